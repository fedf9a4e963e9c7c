"""Equity by day from what was realized: from matches, or from fills.

equity = equity_of_fills(fills, cash=100_000, final_prices={"AAPL": 231.2})
equity_metrics(equity)
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from trading.errors import MetricsError, PositionError, shown
from trading.metrics.curve import TIME_ZONE, days_in, instants
from trading.metrics.records import columns_of, fills_of
from trading.numbers import Number, to_decimal
from trading.positions import LotBook, TradeMatch
from trading.positions.lots import Method
from trading.specification import InstrumentSpec

__all__ = ["DAYS", "equity_of_fills", "equity_of_matches"]

WhichDays = Literal["weekdays", "calendar", "events"]
DAYS = ("weekdays", "calendar", "events")
_NOTHING = "there is no match, so nothing was realized; give fills or equity"
_DAY = np.timedelta64(1, "D")
_MONDAY = np.datetime64("1970-01-05", "D")


def equity_of_matches(
    matches: Any,
    *,
    cash: Number,
    unrealized: Number | None = None,
    time_zone: str = TIME_ZONE,
    days: WhichDays = "weekdays",
) -> pd.DataFrame:
    """Return equity by day, `date, equity`: cash, and P&L as matches realized it, less their fees.

    `matches` are `TradeMatch`es or a frame with `timestamp, realized_pnl` and optionally
    `buy_fees, sell_fees` or `fees`, `opened_at` and `currency`. `unrealized` is added on the last
    day: the P&L of what is open, at final prices. `days` says which days have a row besides those
    on which something happened: weekdays, all days of the calendar, or none.
    """
    if isinstance(matches, (list, tuple)) and all(isinstance(m, TradeMatch) for m in matches):
        matches = [{name: getattr(m, name) for name in m.__struct_fields__} for m in matches]
    if isinstance(matches, (list, tuple)) and not matches:
        raise MetricsError(_NOTHING)
    frame = columns_of(matches)
    for name in ("timestamp", "realized_pnl"):
        if name not in frame.columns:
            raise MetricsError(
                f"matches: no column {name}; seen {', '.join(map(str, frame.columns)) or 'none'}"
            )
    if not len(frame):
        raise MetricsError(_NOTHING)
    if "currency" in frame.columns:
        currencies = sorted(frame["currency"].astype(str).unique())
        if len(currencies) > 1:
            raise MetricsError(
                f"these matches are in {', '.join(currencies)}, which cannot be added; give those "
                "of one currency"
            )
    amounts = [to_decimal(v, f"row {i}: realized_pnl") for i, v in _rows(frame, "realized_pnl")]
    for name in ("buy_fees", "sell_fees", "fees"):
        if name in frame.columns:
            fees = [to_decimal(value, f"row {i}: {name}") for i, value in _rows(frame, name)]
            amounts = [amount - fee for amount, fee in zip(amounts, fees, strict=True)]
    closed = days_in(instants(frame["timestamp"]), time_zone)
    first = closed.min()
    if "opened_at" in frame.columns:
        first = min(first, days_in(instants(frame["opened_at"], "opened_at"), time_zone).min())
    return _by_day(cash, closed, amounts, first, unrealized, days)


def equity_of_fills(
    fills: Any,
    *,
    cash: Number,
    final_prices: Mapping[str, Number] | None = None,
    time_zone: str = TIME_ZONE,
    days: WhichDays = "weekdays",
    instruments: Mapping[str, InstrumentSpec] | None = None,
    method: Method = "FIFO",
) -> pd.DataFrame:
    """Return equity by day, `date, equity`, from fills: cash, realized P&L, and all fees.

    With `final_prices` of all symbols that are open at the end, their unrealized P&L is added on
    the last day. The other arguments are those of `equity_of_matches` and of `LotBook`.
    """
    given = fills_of(fills)
    if not given:
        raise MetricsError("there is no fill; give at least one, or equity")
    book = LotBook(method, instruments=instruments)
    seen: set[tuple[str, str]] = set()
    amounts = []
    for fill in given:
        gained = sum((match.realized_pnl for match in book.apply(fill)), Decimal(0))
        key = (fill.account, fill.fill_id)
        amounts.append(gained if key in seen else gained - fill.fees)
        seen.add(key)
    stamps = instants([fill.timestamp for fill in given])
    when = days_in(stamps, time_zone)
    unrealized = None
    if final_prices is not None:
        try:
            unrealized = book.unrealized(final_prices)
        except PositionError as error:
            raise MetricsError(f"final_prices: {error}") from None
    return _by_day(cash, when, amounts, when[0], unrealized, days)


def _rows(frame: pd.DataFrame, name: str) -> Any:
    return enumerate(frame[name].tolist())


def _by_day(
    cash: Number,
    when: npt.NDArray[np.datetime64],
    amounts: list[Decimal],
    first: np.datetime64,
    unrealized: Number | None,
    days: WhichDays,
) -> pd.DataFrame:
    """Sum amounts by day; the row before the first day holds the cash alone."""
    if days not in DAYS:
        raise MetricsError(f"days {shown(days)} is none of: {', '.join(DAYS)}")
    sums: dict[np.datetime64, Decimal] = {}
    for day, amount in zip(when, amounts, strict=True):
        sums[day] = sums.get(day, Decimal(0)) + amount
    last = when.max()
    if unrealized is not None:
        sums[last] += to_decimal(unrealized, "unrealized")
    grid = np.arange(first, last + _DAY, _DAY)
    if days == "weekdays":
        weekday = ((grid - _MONDAY) / _DAY).astype(np.int64) % 7
        grid = grid[weekday < 5]
    elif days == "events":
        grid = grid[:0]
    rows = np.union1d(grid, np.array(list(sums), dtype="datetime64[D]"))
    level = to_decimal(cash, "cash")
    levels = [level]
    for day in rows:
        level += sums.get(day, Decimal(0))
        levels.append(level)
    return pd.DataFrame(
        {
            "date": np.concatenate([[rows[0] - _DAY], rows]).astype("datetime64[s]"),
            "equity": [float(value) for value in levels],
        }
    )
