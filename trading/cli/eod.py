"""`eod`: the end of a day of an account, computed once, and again where more is known."""

from __future__ import annotations

import argparse
from datetime import date, datetime, timezone
from pathlib import Path
from typing import Any

from store.cli.access import reached
from store.cli.output import say
from trading.cli.login import add_login, as_user
from trading.errors import SettlementError
from trading.governance.governance import LIVE
from trading.metrics.curve import TIME_ZONE
from trading.settlement.dates import day_of, zone_of

__all__ = ["add"]


def add(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "eod",
        help="close a day of an account: marks, P&L, settlement, report",
        description="Computes the end of a day as a durable workflow: each of its steps is done "
        "once, also where this is killed and started again. A day that was closed is computed "
        "again where something else is known of it, such as a late fill; else nothing is written.",
    )
    add_login(parser)
    parser.add_argument("--account", required=True)
    parser.add_argument("--run-name", default=LIVE, metavar="RUN", help=f"default: {LIVE}")
    parser.add_argument("--date", type=date.fromisoformat, metavar="DAY", help="default: today")
    parser.add_argument("--zone", default=TIME_ZONE, help=f"whose days (default: {TIME_ZONE})")
    parser.add_argument("--directory", type=Path, default=Path("reports"), help="of the reports")
    parser.add_argument(
        "--mark",
        action="append",
        default=[],
        metavar="SYMBOL=PRICE",
        help="a closing price; others are the last ones in the journal before the day's end",
    )
    parser.set_defaults(run=_close)


def _close(options: argparse.Namespace) -> int:
    # The workflow engine takes a while to import; nobody else pays for it.
    from trading.settlement import EndOfDay  # noqa: PLC0415
    from workflow.dbos_engine import DBOSEngine  # noqa: PLC0415

    marks = {}
    for text in options.mark:
        symbol, is_given, price = text.rpartition("=")
        if not is_given or not symbol:
            raise SettlementError(f"--mark {text!r}: SYMBOL=PRICE is expected")
        marks[symbol] = price
    day = options.date or day_of(datetime.now(timezone.utc), zone_of(options.zone))
    with (
        as_user(options) as client,
        reached(options) as server,
        DBOSEngine(server.dbos_url(), name="settlement") as engine,
    ):
        closing = EndOfDay(client, engine, options.directory, zone=options.zone)
        report = closing.close(options.account, options.run_name, day, marks)
    say(report.report_text)
    say(f"report {options.directory / report.report_file}")
    return 1 if report.difference_text else 0
