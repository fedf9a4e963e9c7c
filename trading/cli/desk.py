"""`desk`: a whole trading desk on this machine, started and kept by one command."""

from __future__ import annotations

import argparse
import logging
import math
import shutil
import signal
import tempfile
import threading
from pathlib import Path
from typing import Any

from store.cli.output import say
from trading.errors import DeskError
from trading.processes.config import StrategyConfig
from trading.processes.desk import Desk
from trading.processes.setting_up import (
    DEFAULT_SYMBOLS,
    DeskOptions,
    default_accounts,
    read_accounts_file,
)


def add(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "desk",
        help="a whole desk: market, engine, API and page",
        description="Starts a market, the tick store, bars, an engine with strategies that trade "
        "on paper, the API and the page, and keeps them running. It prints links that log in. "
        "Ctrl-C stops it; --data DIR keeps everything, and the desk goes on there.",
    )
    parser.add_argument("--data", type=Path, metavar="DIR", help="keep everything there")
    parser.add_argument("--port", type=int, default=8000, help="of API and page (default: 8000)")
    parser.add_argument("--host", default="127.0.0.1", help="default: 127.0.0.1")
    parser.add_argument(
        "--name",
        action="append",
        default=[],
        metavar="HOST",
        help="a name under which the API may be called as well; may be repeated",
    )
    market = parser.add_argument_group("market")
    market.add_argument(
        "--simulate", nargs="+", default=[], metavar="SYMBOL=PRICE", help="a simulated market"
    )
    market.add_argument("--seed", type=int, help="same seed, same market (default: random)")
    market.add_argument("--rate", type=float, default=10.0, help="its ticks a second and symbol")
    market.add_argument("--replay", nargs="+", default=[], metavar="FILE", help="play ticks")
    market.add_argument("--speed", type=float, default=1.0, help="of the replay")
    market.add_argument("--timeframes", default="5s,1m,5m", help="of kept bars")
    market.add_argument("--calendar", default="", help="of the instruments, such as XNYS")
    market.add_argument(
        "--options",
        metavar="SYMBOL",
        help="simulated options on this symbol (default: the first one; 'none' for none)",
    )
    screens = parser.add_argument_group("Deephaven")
    screens.add_argument(
        "--no-deephaven", action="store_true", help="without its tables and dashboards"
    )
    screens.add_argument(
        "--deephaven-port", type=int, metavar="PORT", help="default: the first free one from 10000"
    )
    screens.add_argument(
        "--deephaven-heap-mb", type=int, default=1024, metavar="MB", help="default: %(default)s"
    )
    account = parser.add_argument_group("accounts")
    account.add_argument("--accounts", type=Path, metavar="FILE", help="a JSON list of accounts")
    account.add_argument("--broker", choices=("paper", "exchange"), default="paper")
    account.add_argument(
        "--strategy",
        action="append",
        default=[],
        metavar="WHERE",
        help="package.module:Class or file.py:Class, in place of the examples; may be repeated",
    )
    parser.add_argument("--webhook", default="", metavar="URL", help="where alerts are sent")
    parser.add_argument("--seconds", type=float, help="stop after so many")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run a desk until it is told to stop."""
    is_temporary = options.data is None
    folder = Path(tempfile.mkdtemp(prefix="desk-")) if is_temporary else options.data.resolve()
    try:
        wanted = _options(options, folder)
        logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(name)s %(message)s")
        done = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: done.set())
        folder.mkdir(parents=True, exist_ok=True)
        desk = Desk(wanted, say)
        try:
            desk.run(done.wait, options.seconds)
        finally:
            desk.stop()
        say("the desk has stopped" + ("" if is_temporary else f"; its data is in {folder}"))
    finally:
        if is_temporary:
            shutil.rmtree(folder, ignore_errors=True)
    return 0


def _options(options: argparse.Namespace, folder: Path) -> DeskOptions:
    more: dict[str, Any] = {}
    if options.simulate and options.replay:
        raise DeskError("give either --simulate or --replay")
    symbols = dict(_symbol(text) for text in options.simulate)
    if options.replay:
        symbols = _replayed(options.replay)
    if symbols:
        more["symbols"] = symbols
    more["options"] = _underlying(options, symbols)
    if options.accounts is not None:
        more["accounts"] = read_accounts_file(options.accounts)
    else:
        given = [StrategyConfig(where) for where in options.strategy]
        more["accounts"] = default_accounts(options.broker, given or None)
    return DeskOptions(
        directory=folder,
        port=options.port,
        host=options.host,
        hosts=("127.0.0.1", "localhost", "[::1]", *options.name),
        timeframes=tuple(each.strip() for each in options.timeframes.split(",")),
        calendar=options.calendar,
        seed=options.seed,
        rate=options.rate,
        replay=tuple(str(Path(each).resolve()) for each in options.replay),
        speed=options.speed,
        webhook=options.webhook,
        deephaven=not options.no_deephaven,
        deephaven_port=options.deephaven_port,
        deephaven_heap_mb=options.deephaven_heap_mb,
        **more,
    )


def _underlying(options: argparse.Namespace, symbols: dict[str, str]) -> str:
    """The symbol that options are quoted on; a recording has none, its options are its own."""
    wanted: str | None = options.options
    if wanted == "none" or (options.replay and wanted is None):
        return ""
    if options.replay:
        raise DeskError("--options goes with a simulated market; a replay plays what it has")
    there = list(symbols or DEFAULT_SYMBOLS)
    if wanted is not None and wanted not in there:
        raise DeskError(f"--options {wanted}: the market has {', '.join(there)}")
    return there[0] if wanted is None else wanted


def _symbol(text: str) -> tuple[str, str]:
    symbol, _, price = text.rpartition("=")
    try:
        good = bool(symbol) and 0 < float(price) < math.inf
    except ValueError:
        good = False
    if not good:
        raise DeskError(f"--simulate {text!r}: SYMBOL=PRICE is expected")
    return symbol, price


def _replayed(files: list[str]) -> dict[str, str]:
    """The symbols of recorded ticks; prices come from the recording."""
    from trading.ticks.feeds import RecordedTicks  # noqa: PLC0415 - reads the files

    return dict.fromkeys(RecordedTicks(files).symbols, "0")
