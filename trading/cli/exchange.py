"""`exchange`: the simulated exchange as a process, and the administrator's commands to it."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path
from typing import Any

import msgspec

from store.cli.output import say
from trading.errors import ExchangeError
from trading.exchange import ExchangeAdmin, Fault
from trading.exchange.faults import DIRECTIONS, FAULT_KINDS
from trading.exchange.matching.inputs import PHASES, SELF_TRADE, ExchangeSettings
from trading.exchange.serving import listed, read_accounts, serve


def add(commands: Any) -> None:
    """Add the command and those below it."""
    parser = commands.add_parser(
        "exchange",
        help="a simulated exchange of its own, and faults for it by command",
        description="A simulated exchange with its own books on disk, for tests and for trying "
        "programs out. docs/exchange.md describes it.",
    )
    below = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_serve(below.add_parser("serve", help="run the exchange"))
    for name, help_text, arguments in _COMMANDS:
        command = below.add_parser(name, help=help_text)
        command.add_argument("--host", default="127.0.0.1")
        command.add_argument("--port", type=int, required=True)
        command.add_argument(
            "--accounts", type=Path, required=True, help="the exchange's file with admin_key"
        )
        for flags, options in arguments:
            command.add_argument(*flags, **options)
        command.set_defaults(run=_command, command=name)


def _add_serve(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("directory", type=Path, help="where the exchange keeps its log")
    parser.add_argument(
        "--accounts",
        type=Path,
        required=True,
        help='JSON: {"accounts": {"ACC": {"key": "...", "cash": {"USD": "100000"}}}, '
        '"admin_key": "..."}; mode 600',
    )
    parser.add_argument(
        "--instrument", action="append", default=[], metavar="SYMBOL=PRICE", help="may be repeated"
    )
    parser.add_argument("--instruments", type=Path, help="a JSON list of instruments")
    parser.add_argument("--host", default="127.0.0.1", help="a loopback address")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one (default)")
    parser.add_argument("--name", default="exchange")
    parser.add_argument("--self-trade", choices=SELF_TRADE, default="CANCEL_NEWEST")
    parser.add_argument("--maker-fee", default="0", help="basis points; below 0 is a rebate")
    parser.add_argument("--taker-fee", default="0", help="basis points")
    parser.add_argument("--makers", type=int, default=0, help="price levels that makers quote")
    parser.add_argument("--maker-size", type=int, default=100)
    parser.add_argument("--maker-take", type=int, default=3, help="every so many steps; 0 is never")
    parser.add_argument("--maker-seed", type=int, default=0)
    parser.add_argument("--maker-interval", type=float, default=0.1, help="seconds")
    parser.add_argument(
        "--clock-offset", type=float, default=0.0, help="seconds by which its clock is wrong"
    )
    parser.set_defaults(run=_serve)


_COMMANDS: tuple[tuple[str, str, tuple[tuple[tuple[str, ...], dict[str, Any]], ...]], ...] = (
    ("status", "what the exchange is doing, as JSON", ()),
    (
        "fault",
        "make the link of an account bad",
        (
            (("kind",), {"choices": FAULT_KINDS}),
            (("--direction",), {"choices": DIRECTIONS, "default": "out"}),
            (("--account",), {"default": "", "help": "every account by default"}),
            (("--count",), {"type": int, "default": 1}),
            (("--probability",), {"type": float, "default": 1.0}),
            (("--delay-ms",), {"type": int, "default": 100}),
            (("--seed",), {"type": int, "default": 0}),
        ),
    ),
    ("clear", "end all faults of links", ()),
    ("pause", "let the makers stand still; their quotes stay", ()),
    ("resume", "let the makers go on", ()),
    (
        "bust",
        "take a trade back, for both sides",
        ((("trade",), {"type": int}), (("--reason",), {"default": ""})),
    ),
    (
        "correct",
        "give a trade another size and price",
        (
            (("trade",), {"type": int}),
            (("--quantity",), {"type": int, "required": True, "help": "in size units"}),
            (("--price",), {"type": int, "required": True, "help": "in price units"}),
        ),
    ),
    ("phase", "open or close the market", ((("phase",), {"choices": PHASES}),)),
    (
        "reject",
        "let the next orders of an account be rejected",
        (
            (("account",), {}),
            (("--count",), {"type": int, "default": 1}),
            (("--reason",), {"default": "rejected by command"}),
        ),
    ),
)


def _serve(options: argparse.Namespace) -> int:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    serve(
        options.directory,
        ExchangeSettings(
            name=options.name,
            self_trade=options.self_trade,
            maker_fee=options.maker_fee,
            taker_fee=options.taker_fee,
            maker_seed=options.maker_seed,
            maker_levels=options.makers,
            maker_size=options.maker_size,
            maker_take=options.maker_take,
        ),
        read_accounts(options.accounts),
        listed(options.instrument, options.instruments),
        host=options.host,
        port=options.port,
        maker_interval_s=options.maker_interval,
        clock_offset_s=options.clock_offset,
        say=say,
    )
    return 0


def _command(options: argparse.Namespace) -> int:
    key = read_accounts(options.accounts).admin_key
    if key is None:
        raise ExchangeError(f"{options.accounts} has no admin_key")
    with ExchangeAdmin(options.host, options.port, key) as admin:
        if options.command == "status":
            say(msgspec.json.format(msgspec.json.encode(admin.status())).decode())
        elif options.command == "fault":
            admin.fault(
                Fault(
                    options.kind,
                    options.direction,
                    options.account,
                    options.count,
                    options.probability,
                    options.delay_ms,
                    options.seed,
                )
            )
        elif options.command == "bust":
            admin.bust(options.trade, options.reason)
        elif options.command == "correct":
            admin.correct(options.trade, options.quantity, options.price)
        elif options.command == "phase":
            admin.phase(options.phase)
        elif options.command == "reject":
            admin.reject(options.account, options.count, options.reason)
        else:
            admin.ask(options.command)
    return 0
