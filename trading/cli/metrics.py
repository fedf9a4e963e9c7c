"""`metrics`: figures of a file of equity, returns, fills or trade matches."""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import Any

import pandas as pd

from store.cli.output import say
from trading.cli.files import prices_by_symbol, read_records
from trading.errors import MetricsError
from trading.metrics import (
    equity_metrics,
    equity_of_fills,
    equity_of_matches,
    round_trip_metrics,
    round_trips,
)
from trading.metrics.figures import without_nan
from trading.metrics.realized import DAYS
from trading.metrics.records import columns_of
from trading.metrics.round_trips import GROUPINGS, Grouping
from trading.settings import MetricsOptions, add_settings_options, settings_of

_WHOLE = ("observations", "max_drawdown_length", "max_drawdown_days", "longest_drawdown")
_RATIOS = (
    "sharpe",
    "sortino",
    "calmar",
    "omega",
    "profit_factor",
    "payoff_ratio",
    "skew",
    "kurtosis",
    "tail_ratio",
    "stability",
    "psr",
    "deflated_sharpe",
)


def add(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "metrics",
        help="figures of equity, returns, fills or trade matches",
        description="Figures of a file (.csv, .parquet, .json) of equity (timestamp, equity), "
        "returns (timestamp, returns), fills (timestamp, symbol, side, quantity, price, …) or "
        "trade matches (timestamp, realized_pnl, …). Fills and matches need --cash, the equity at "
        "the start.",
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="what the figures are of")
    parser.add_argument("--kind", choices=("equity", "returns"), help="where names do not tell")
    parser.add_argument("--periods", type=float, help="returns a year (default: a setting, 252)")
    parser.add_argument("--risk-free", type=float, help="annual rate (default: a setting, 0)")
    parser.add_argument("--time-zone", help="whose days count (default: a setting, Europe/Oslo)")
    parser.add_argument("--every-row", action="store_true", help="rows are periods, not days")
    parser.add_argument("--trials", type=int, help="how many parameter sets were tried: deflates")
    add_trade_options(parser)
    parser.add_argument(
        "--grouping", choices=GROUPINGS, help="what one trade is (default: flat; matches: reduced)"
    )
    parser.add_argument("--json", action="store_true", help="as JSON")
    add_settings_options(parser)
    parser.set_defaults(run=run)


def add_trade_options(parser: argparse.ArgumentParser) -> None:
    """Add the options by which fills and matches become equity."""
    parser.add_argument("--cash", help="fills, matches: the equity at the start")
    parser.add_argument(
        "--days", choices=DAYS, default="weekdays", help="fills, matches: days with a row"
    )
    parser.add_argument(
        "--final-prices",
        nargs="+",
        metavar="SYMBOL=PRICE",
        help="fills: add the unrealized P&L at these prices on the last day",
    )
    parser.add_argument(
        "--unrealized", metavar="AMOUNT", help="matches: add this unrealized P&L on the last day"
    )


def run(options: argparse.Namespace) -> int:
    """Show the figures."""
    asked = metrics_options(options)
    records = read_records(options.file)
    what = kind_of(records)
    trades: dict[str, float] | None = None
    if what == "series":
        if options.cash or options.final_prices or options.unrealized:
            raise MetricsError(
                f"{options.file} holds equity or returns; --cash, --final-prices and --unrealized "
                "are for fills and matches"
            )
        curve = records
    else:
        curve = equity_of_trades(records, what, options, asked["time_zone"])
        grouping: Grouping = options.grouping or ("flat" if what == "fills" else "reduced")
        if what == "fills" or {"opened_at", "side"} <= set(columns_of(records).columns):
            trades = round_trip_metrics(round_trips(records, grouping))
    figures = equity_metrics(
        curve, kind=options.kind, daily=not options.every_row, trials=options.trials, **asked
    )
    if options.json:
        found = {"equity": figures} | ({} if trades is None else {"round_trips": trades})
        say(json.dumps(without_nan(found), indent=2))
        return 0
    for name, value in figures.items():
        say(f"{name:<22} {text_of(name, value)}")
    for name, value in (trades or {}).items():
        say(f"{name:<22} {'-' if math.isnan(value) else f'{value:,.10g}'}")
    return 0


def metrics_options(options: argparse.Namespace) -> MetricsOptions:
    """Return the settings of figures, with what the command line says instead."""
    asked = settings_of(options).metrics_options()
    if options.periods is not None:
        asked["periods"] = options.periods
    if options.risk_free is not None:
        asked["risk_free"] = options.risk_free
    if options.time_zone is not None:
        asked["time_zone"] = options.time_zone
    return asked


def kind_of(records: pd.DataFrame) -> str:
    """Return what rows are, by their columns: `fills`, `matches`, or a `series` of values."""
    names = set(columns_of(records).columns)
    if "realized_pnl" in names:
        return "matches"
    return "fills" if {"side", "quantity", "price"} <= names else "series"


def equity_of_trades(
    records: pd.DataFrame, what: str, options: argparse.Namespace, time_zone: str
) -> pd.DataFrame:
    """Return the equity that fills or matches make of the cash."""
    if options.cash is None:
        raise MetricsError(f"{options.file} holds {what}: give --cash, the equity at the start")
    if what == "fills":
        if options.unrealized is not None:
            raise MetricsError("--unrealized is for matches; with fills give --final-prices")
        final = None if options.final_prices is None else prices_by_symbol(options.final_prices)
        return equity_of_fills(
            records,
            cash=options.cash,
            final_prices=final,
            time_zone=time_zone,
            days=options.days,
        )
    if options.final_prices is not None:
        raise MetricsError(
            "--final-prices is for fills: matches do not tell what is open; give --unrealized"
        )
    return equity_of_matches(
        records,
        cash=options.cash,
        unrealized=options.unrealized,
        time_zone=time_zone,
        days=options.days,
    )


def text_of(name: str, value: float) -> str:
    """Return a figure as people read it; `-` where it does not exist."""
    if math.isnan(value):
        return "-"
    if name in _WHOLE:
        return f"{value:,.0f}"
    if name in _RATIOS:
        return f"{value:,.4f}"
    return f"{value * 100:,.3f} %"
