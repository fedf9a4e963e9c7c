"""`paper` and `live`: the trading engine as a program, with a line that says what it is doing."""

from __future__ import annotations

import argparse
import json
import logging
import secrets
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from store.cli.access import add_password_option, add_server_options, given_password, reached
from store.cli.output import say
from store.client import StoreClient
from store.schema import provision_user
from trading.backtest import load_strategy
from trading.brokers import FILL_MODELS, PaperBroker
from trading.brokers.commissions import commission_of
from trading.cli.strategies import values_of
from trading.engine import EngineOptions, EngineStatus, Phase, TradingEngine
from trading.engine.heap import freeze_heap
from trading.errors import EngineError, FeedError, InstrumentError
from trading.exchange import ExchangeBroker
from trading.governance import bootstrap_governance, grant_duty
from trading.governance.governor import Governor
from trading.picker import TradePicker
from trading.replay.description import Description, describe_run
from trading.specification import InstrumentSpec, specify
from trading.strategy import Strategy
from trading.ticks.feeds import Feed, FieldMapping, SimulatedMarket, WebSocketFeed
from trading.venues import VenueBroker
from trading.venues.keys import secret

_PAPER_USER = "paper_trader"


def add(commands: Any) -> None:
    """Add both commands."""
    paper = commands.add_parser(
        "paper",
        help="trade live prices with simulated fills",
        description="Trades an account on live or simulated prices; orders are filled by a "
        "simulated broker, and everything is kept in the store. Ctrl-C stops it and says what is "
        "open; the same command goes on where it stopped.",
    )
    _add_common(paper, account="DEMO", run="paper:demo")
    paper.add_argument("--fill", choices=FILL_MODELS, default="tick", help="fill model")
    paper.add_argument("--commission", metavar="MODEL", help='"per-share 0.005 1.00", "bps 10", …')
    paper.set_defaults(run=_paper)
    live = commands.add_parser(
        "live",
        help="trade an account at a venue",
        description="Trades an account at the simulated exchange or at a real venue. One engine "
        "trades an account; a second one waits and takes over. Ctrl-C stops it and says what is "
        "open; orders go on working at the venue.",
    )
    _add_common(live, account=None, run="live")
    where = live.add_mutually_exclusive_group(required=True)
    where.add_argument(
        "--exchange",
        metavar="HOST:PORT",
        help="a simulated exchange; its own prices are the feed unless another is given",
    )
    where.add_argument("--venue", metavar="NAME", help="a venue of ccxt, such as binance")
    live.add_argument("--sandbox", action="store_true", help="the venue's sandbox")
    live.add_argument(
        "--keys",
        type=Path,
        metavar="FILE",
        help="NAME=value lines with EXCHANGE_KEY or the venue's keys, mode 600 (default: the "
        "environment)",
    )
    live.set_defaults(run=_live)


def _add_common(parser: argparse.ArgumentParser, *, account: str | None, run: str) -> None:
    add_server_options(parser)
    parser.add_argument("--user", help="the store's user that owns the account's records")
    add_password_option(parser)
    parser.add_argument("--account", default=account, required=account is None)
    parser.add_argument("--run-name", default=run, metavar="RUN", help=f"default: {run}")
    parser.add_argument("--cash", default="100000", help="of a new run (default: 100000)")
    parser.add_argument("--currency", default="USD")
    parser.add_argument(
        "--instrument",
        action="append",
        default=[],
        metavar="SYMBOL",
        help="with a price increment of 0.01 and a size increment of 1; may be repeated",
    )
    parser.add_argument(
        "--instruments", type=Path, metavar="FILE", help="a JSON list of what specify() takes"
    )
    feed = parser.add_argument_group("prices")
    feed.add_argument("--simulate", nargs="+", metavar="SYMBOL=PRICE", help="a simulated market")
    feed.add_argument("--seed", type=int, default=0, help="of the simulated market")
    feed.add_argument("--rate", type=float, default=10.0, help="its ticks a second and symbol")
    feed.add_argument("--websocket", metavar="URL", help="a feed of JSON messages")
    feed.add_argument("--mapping", type=Path, help="JSON with the fields of FieldMapping")
    parser.add_argument("--strategy", metavar="WHERE", help="package.module:Class or file.py:Class")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--max-open", type=int, default=3, help="places for signals (default: 3)")
    parser.add_argument("--seconds", type=float, help="stop after so many")
    parser.add_argument(
        "--status-every", type=float, default=5.0, help="seconds between lines (default: 5)"
    )


def _paper(options: argparse.Namespace) -> int:
    broker = PaperBroker(options.fill, commission_of(options.commission))
    return _trade(options, broker, _specs(options))


def _live(options: argparse.Namespace) -> int:
    specs = _specs(options)

    def broker() -> VenueBroker:
        if options.exchange:
            host, _, port = options.exchange.rpartition(":")
            if not port.isdigit():
                raise EngineError(f"--exchange {options.exchange!r}: HOST:PORT is expected")
            key = secret("EXCHANGE_KEY", options.keys)
            return ExchangeBroker(
                host or "127.0.0.1",
                int(port),
                account=options.account,
                key=key,
                instruments=specs,
            )
        # ccxt takes a while to import; nobody else pays for it.
        from trading.venues.ccxt_broker import CcxtBroker  # noqa: PLC0415

        return CcxtBroker(
            options.venue,
            account=options.account,
            instruments={spec.symbol: spec for spec in specs},
            keys_file=options.keys,
            sandbox=options.sandbox,
        )

    if options.user is None:
        raise EngineError("live: give --user, the store's user that owns the account's records")
    own = options.exchange and not (options.simulate or options.websocket)
    return _trade(options, broker, specs, ExchangeBroker.market_data if own else None)


def _trade(
    options: argparse.Namespace,
    broker: Any,
    specs: Sequence[InstrumentSpec],
    feed: Callable[[Any], Feed] | None = None,
) -> int:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    done = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: done.set())
    with _store(options) as store:
        engine = TradingEngine(
            store=store,
            feed=feed or _feed(options),
            broker=broker,
            strategies=_strategies(options, specs),
            account=options.account,
            run=options.run_name,
            instruments=specs,
            cash=options.cash,
            currency=options.currency,
            picker=TradePicker(options.max_open),
            options=EngineOptions(),
            governor=Governor(store, options.account, options.run_name),
        )
        describe_run(store, options.account, options.run_name, _description(options))
        freeze_heap()
        engine.start()
        _watch(engine, options, done)
        status = engine.stop()
    _tell(status)
    return 0


def _description(options: argparse.Namespace) -> Description:
    """What `verify` and `replay` need to make the run's kernel again."""
    return Description(
        strategy=options.strategy or "",
        parameters=dict(values_of(each, "--set") for each in options.set),
        fill=getattr(options, "fill", "") or "",
        commission=getattr(options, "commission", None) or "",
        max_open=options.max_open,
    )


def _watch(engine: TradingEngine, options: argparse.Namespace, done: threading.Event) -> None:
    """Say what the engine is doing until it is to stop; EngineError where it failed."""
    end = None if options.seconds is None else time.monotonic() + options.seconds
    phase, told, line = None, 0.0, ""
    while not done.wait(0.1):
        now = time.monotonic()
        if engine.phase is not phase or now - told >= options.status_every:
            phase, told = engine.phase, now
            newest = engine.status().line()
            if newest != line:
                line = newest
                say(line)
        if phase in (Phase.FAILED, Phase.STOPPED) or (end is not None and now >= end):
            return


def _tell(status: EngineStatus) -> None:
    say(status.line())
    for line in status.what_is_open() or ["nothing is open"]:
        say(line)
    say(f"digest {status.digest}")


@contextmanager
def _store(options: argparse.Namespace) -> Iterator[StoreClient]:
    """The store as the user who is meant; for paper trading one is made where none is given."""
    with reached(options, make_schema=True) as server:
        user, password = options.user, secrets.token_urlsafe(24)
        if user is not None:
            password = given_password(options, f"the password of {user}")
        admin = server.admin_conn()
        try:
            if user is None:
                user = _PAPER_USER
                provision_user(admin, user, password)
            bootstrap_governance(admin)
            grant_duty(admin, user, options.account, "ENGINE")
        finally:
            admin.close()
        with StoreClient(user, password, **server.conn_info()) as store:
            yield store


def _specs(options: argparse.Namespace) -> list[InstrumentSpec]:
    """The instruments that are traded: those of the file, named ones, and simulated ones."""
    found: dict[str, InstrumentSpec] = {}
    if options.instruments is not None:
        try:
            for each in json.loads(options.instruments.read_text(encoding="utf-8")):
                fields = {name: value for name, value in each.items() if name != "price"}
                spec = specify(**fields)
                found[spec.symbol] = spec
        except (TypeError, ValueError, AttributeError) as error:
            raise InstrumentError(f"{options.instruments}: {error}") from error
    named = [*options.instrument, *(text.rpartition("=")[0] for text in options.simulate or ())]
    for symbol in named:
        found.setdefault(symbol, specify(symbol, currency=options.currency))
    if not found:
        raise InstrumentError("there is nothing to trade: give --instrument or --instruments")
    return list(found.values())


def _feed(options: argparse.Namespace) -> Feed | None:
    if options.simulate:
        prices = {}
        for text in options.simulate:
            symbol, _, price = text.rpartition("=")
            try:
                prices[symbol] = float(price)
            except ValueError:
                raise FeedError(f"--simulate {text!r}: SYMBOL=PRICE is expected") from None
        return SimulatedMarket(
            prices,
            seed=options.seed,
            start=time.time_ns(),
            rate=options.rate,
            depth_every_s=None,
            step_s=0.2,
        )
    if options.websocket is None:
        return None
    if options.mapping is None:
        raise FeedError("--websocket needs --mapping, a JSON file that says what is where")
    try:
        fields = json.loads(options.mapping.read_text(encoding="utf-8"))
        return WebSocketFeed(options.websocket, FieldMapping(**fields))
    except (TypeError, ValueError) as error:
        raise FeedError(f"{options.mapping}: {error}") from error


def _strategies(options: argparse.Namespace, specs: Sequence[InstrumentSpec]) -> Sequence[Strategy]:
    if options.strategy is None:
        return ()
    parameters = dict(values_of(each, "--set") for each in options.set)
    symbols = [spec.symbol for spec in specs]
    return (load_strategy(options.strategy, parameters, symbols=symbols),)
