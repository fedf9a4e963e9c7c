"""What commands that run strategies have in common: options, and the backtest that they mean."""

from __future__ import annotations

import argparse
from typing import Any, TypeVar

from trading.backtest import Backtest, load_strategy
from trading.backtest.backtest import OUTPUTS
from trading.brokers import FILL_MODELS
from trading.brokers.commissions import commission_of
from trading.errors import BacktestError
from trading.picker import TradePicker
from trading.settings import PickerOptions, Settings, load_settings

__all__ = ["add_backtest_options", "given_backtest", "values_of"]

T = TypeVar("T")


def add_backtest_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that describe a backtest."""
    parser.add_argument("files", nargs="+", metavar="FILE", help="bars or ticks (.parquet, .csv)")
    parser.add_argument(
        "--strategy",
        required=True,
        metavar="WHERE",
        help="package.module:Class, or file.py:Class (the class may be left out if it is alone)",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a parameter of the strategy, or a setting such as tradepicker.maxOpenPositions=5; "
        "may be repeated",
    )
    parser.add_argument("--settings", metavar="FILE", help="a TOML file of settings")
    parser.add_argument("--symbols", help="A,B,…; needed where the strategy names none")
    parser.add_argument("--timeframes", help="1m,1h,…; the shortest is the anchor")
    parser.add_argument("--timeframe", help="the length of the bars, or of those made of ticks")
    parser.add_argument("--calendar", help='the market\'s sessions for longer bars: "XNYS", "24/7"')
    parser.add_argument("--cash", default="100000", help="to begin with (default: 100000)")
    parser.add_argument("--currency", default="USD", help="of the account (default: USD)")
    parser.add_argument("--fill", default="next_open", choices=FILL_MODELS, help="fill model")
    parser.add_argument(
        "--commission",
        metavar="MODEL",
        help='"per-share 0.005 1.00", "bps 10", "per-contract 0.85", "maker-taker -0.2 5"',
    )
    parser.add_argument("--slippage", help='"1 tick", "2 ticks" or "5 bps"')
    parser.add_argument("--start", help="YYYY-MM-DD or a time; the first that counts")
    parser.add_argument("--end", help="YYYY-MM-DD or a time; the first that does not count")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--warmup", help='bars, or a length of time such as "5D"')
    parser.add_argument(
        "--outputs", choices=OUTPUTS, help="what is kept (default: full, or engine.outputs if set)"
    )


def given_backtest(options: argparse.Namespace) -> Backtest:
    """Return the backtest that is meant; BacktestError or StrategyError says what is wrong."""
    named: dict[str, Any] = {}
    for name in ("symbols", "timeframes"):
        value = getattr(options, name)
        if value:
            named[name] = [each.strip() for each in value.split(",")]
    warmup: Any = options.warmup
    given = [values_of(each, "--set") for each in options.set]
    # Names of settings have a dot, names of parameters have none.
    settings = load_settings(
        options.settings, arguments={name: value for name, value in given if "." in name}
    )
    parameters = {name: value for name, value in given if "." not in name}
    return Backtest(
        load_strategy(options.strategy, parameters, **named),
        options.files if len(options.files) > 1 else options.files[0],
        cash=options.cash,
        currency=options.currency,
        fill=options.fill,
        commission=commission_of(options.commission),
        slippage=options.slippage,
        start=options.start,
        end=options.end,
        seed=options.seed,
        warmup=int(warmup) if warmup and warmup.isdigit() else warmup,
        timeframe=options.timeframe,
        calendar=options.calendar,
        picker=TradePicker(**_picker_options(settings)),
        outputs=options.outputs or _set(settings, "engine.outputs", settings.outputs, "full"),
    )


def _picker_options(settings: Settings) -> PickerOptions:
    """What the settings say; a reservation waits for its bar, however long, unless they say so."""
    options = settings.picker_options()
    ttl = options["reservation_ttl_ms"]
    options["reservation_ttl_ms"] = _set(settings, "tradepicker.reservationTtlMs", ttl, 0)
    return options


def _set(settings: Settings, name: str, value: T, otherwise: T) -> T:
    """The value of a setting that somebody gave, or the default of a backtest."""
    return otherwise if settings.source(name) == "default" else value


def values_of(text: str, option: str) -> tuple[str, str]:
    """Return name and value of NAME=VALUE."""
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise BacktestError(f"{option}: write NAME=VALUE, seen {text!r}")
    return name.strip(), value.strip()
