"""`report`: a page with pictures, JSON and Parquet of a run's files."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from store.cli.output import say
from trading.cli.files import read_records
from trading.cli.metrics import add_trade_options, equity_of_trades, kind_of, metrics_options
from trading.errors import MetricsError
from trading.metrics.records import columns_of
from trading.metrics.round_trips import GROUPINGS
from trading.reports import Report
from trading.settings import add_settings_options


def add(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "report",
        help="write a report with pictures",
        description="Writes report.html (one file, nothing from the network), report.json and "
        "Parquet files. FILE holds equity or returns with times, or fills or trade matches; these "
        "need --cash, unless --equity gives the curve.",
    )
    parser.add_argument("file", type=Path, metavar="FILE", help=".csv, .parquet or .json")
    parser.add_argument("--equity", type=Path, help="the equity of FILE's fills or matches")
    parser.add_argument("--prices", type=Path, help="bars or ticks: MAE, MFE, charts of prices")
    parser.add_argument("--output", type=Path, required=True, metavar="FOLDER", help="where to")
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier report")
    parser.add_argument("--title", help="of the page (default: the file's name)")
    parser.add_argument("--run", dest="run_id", default="", help="the run that it is of")
    parser.add_argument("--periods", type=float, help="returns a year (default: a setting, 252)")
    parser.add_argument("--risk-free", type=float, help="annual rate (default: a setting, 0)")
    parser.add_argument("--time-zone", help="whose days count (default: a setting, Europe/Oslo)")
    parser.add_argument("--trials", type=int, help="how many parameter sets were tried: deflates")
    parser.add_argument("--grouping", choices=GROUPINGS, help="what one trade is")
    add_trade_options(parser)
    add_settings_options(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Write the report."""
    asked = metrics_options(options)
    records = read_records(options.file)
    what = kind_of(records)
    trades: dict[str, Any] = {}
    if what == "series":
        if options.equity is not None:
            raise MetricsError(f"{options.file} holds equity itself; --equity goes with trades")
        equity = records
    else:
        equity = (
            equity_of_trades(records, what, options, asked["time_zone"])
            if options.equity is None
            else read_records(options.equity)
        )
        if what == "fills" or {"opened_at", "side"} <= set(columns_of(records).columns):
            trades[what] = records
    report = Report.of(
        equity,
        prices=None if options.prices is None else read_records(options.prices),
        title=options.title or options.file.stem,
        run=options.run_id,
        trials=options.trials,
        grouping=options.grouping,
        **trades,
        **asked,
    )
    for path in report.write(options.output, overwrite=options.overwrite):
        say(f"{path} was written.")
    return 0
