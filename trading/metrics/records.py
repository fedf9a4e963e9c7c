"""Fills and matches as people keep them: rows of files and frames, checked."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from trading.errors import MetricsError, TradingError
from trading.metrics.curve import frame_of, instants
from trading.numbers import to_decimal
from trading.positions.fill import Fill, TradeMatch

__all__ = ["columns_of", "fills_of", "is_matches", "matches_of", "nanoseconds_of"]

# Names of other systems, in small letters with underscores, and ours.
_OTHER_NAMES = {
    "account_id": "account",
    "strategy_id": "strategy",
    "ts": "timestamp",
    "match_timestamp": "timestamp",
    "time": "timestamp",
    "date": "timestamp",
    "executed": "timestamp",
    "fill_qty": "quantity",
    "fill_price": "price",
    "matched_qty": "quantity",
    "qty": "quantity",
    "realized": "realized_pnl",
    "opened": "opened_at",
}
_TEXTS = ("account", "strategy", "order_id", "fill_id", "match_id", "currency")


def columns_of(data: Any) -> pd.DataFrame:
    """Return records as a frame under our names of columns: `matchedQty` becomes `quantity`."""
    if isinstance(data, (str, bytes)) or not (
        isinstance(data, (Mapping, Iterable)) or hasattr(data, "to_pandas")
    ):
        raise MetricsError(f"expected a frame of fills or matches, seen {type(data).__name__}")
    frame = frame_of(data)
    names = [re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", str(name)).lower() for name in frame.columns]
    return frame.set_axis([_OTHER_NAMES.get(name, name) for name in names], axis=1)


def is_matches(data: Any) -> bool:
    """Say whether records are matches, which have a realized P&L, or fills."""
    if isinstance(data, (list, tuple)) and data and not isinstance(data[0], Mapping):
        return isinstance(data[0], TradeMatch)
    return "realized_pnl" in columns_of(data).columns


def fills_of(data: Any) -> list[Fill]:
    """Return fills in order of time from `Fill`s or a frame.

    A frame has `timestamp, symbol, side, quantity, price` and may have `fees, account, strategy,
    order_id, fill_id`; ids that are missing are row numbers.
    """
    if isinstance(data, (list, tuple)) and all(isinstance(row, Fill) for row in data):
        fills = list(data)
    else:
        frame = columns_of(data)
        _require(frame, ("timestamp", "symbol", "side", "quantity", "price"), "fills")
        times = nanoseconds_of(frame["timestamp"])
        numbers = [str(row) for row in range(len(frame))]
        columns = {
            "account": _column(frame, "account", ""),
            "strategy": _column(frame, "strategy", ""),
            "symbol": frame["symbol"].astype(str).tolist(),
            "order_id": _column(frame, "order_id", numbers),
            "fill_id": _column(frame, "fill_id", numbers),
            "side": frame["side"].astype(str).str.upper().tolist(),
            "quantity": frame["quantity"].tolist(),
            "price": frame["price"].tolist(),
            "fees": _column(frame, "fees", 0),
            "timestamp": times.tolist(),
        }
        fills = _structs(Fill, columns)
    _check_order([_nanoseconds(fill) for fill in fills], "fills")
    return fills


def matches_of(data: Any) -> list[TradeMatch]:
    """Return matches in the order given from `TradeMatch`es or a frame.

    A frame has `timestamp, opened_at, symbol, side, quantity, buy_price, sell_price, realized_pnl`
    and may have the other fields of `TradeMatch`.
    """
    if isinstance(data, (list, tuple)) and all(isinstance(row, TradeMatch) for row in data):
        return list(data)
    frame = columns_of(data)
    needed = ("timestamp", "opened_at", "symbol", "side", "quantity", "buy_price", "sell_price")
    _require(frame, (*needed, "realized_pnl"), "matches")
    columns: dict[str, list[Any]] = {}
    for name in TradeMatch.__struct_fields__:
        if name in ("timestamp", "opened_at"):
            columns[name] = nanoseconds_of(frame[name], name).tolist()
        elif name in ("quantity", "buy_price", "sell_price", "realized_pnl"):
            columns[name] = _decimals(frame[name], name)
        elif name in ("buy_fees", "sell_fees"):
            columns[name] = _decimals(pd.Series(_column(frame, name, 0)), name)
        elif name == "side":
            columns[name] = frame[name].astype(str).str.upper().tolist()
        else:
            columns[name] = _column(frame, name, "")
    return _structs(TradeMatch, columns)


def nanoseconds_of(column: Any, what: str = "timestamp") -> np.ndarray[Any, np.dtype[np.int64]]:
    """Return times as nanoseconds since 1970; days count from midnight in UTC."""
    if not len(column):
        return np.array([], dtype=np.int64)
    times = instants(column, what)
    if times.dt.tz is not None:
        times = times.dt.tz_convert("UTC").dt.tz_localize(None)
    return times.to_numpy().astype("datetime64[ns]").astype(np.int64)


def _nanoseconds(fill: Fill) -> int:
    if isinstance(fill.timestamp, int):
        return fill.timestamp
    return int(pd.Timestamp(fill.timestamp).value)


def _decimals(column: pd.Series, name: str) -> list[Any]:
    return [to_decimal(value, f"row {row}: {name}") for row, value in enumerate(column.tolist())]


def _column(frame: pd.DataFrame, name: str, default: Any) -> list[Any]:
    if name not in frame.columns:
        return list(default) if isinstance(default, list) else [default] * len(frame)
    values = frame[name]
    return (
        values.astype(str).tolist() if name in _TEXTS or name.endswith("_id") else values.tolist()
    )


def _require(frame: pd.DataFrame, names: Iterable[str], what: str) -> None:
    missing = [name for name in names if name not in frame.columns]
    if missing:
        raise MetricsError(
            f"{what}: no column {', '.join(missing)}; seen {', '.join(map(str, frame.columns))}"
        )


def _structs(cls: Any, columns: dict[str, list[Any]]) -> list[Any]:
    names, made = list(columns), []
    for row, values in enumerate(zip(*columns.values(), strict=True)):
        try:
            made.append(cls(**dict(zip(names, values, strict=True))))
        except TradingError as error:
            raise MetricsError(f"row {row}: {error}") from None
    return made


def _check_order(times: list[int], what: str) -> None:
    stamps = np.asarray(times, dtype=np.int64)
    wrong = stamps[1:] < stamps[:-1]
    if wrong.any():
        row = int(np.argmax(wrong)) + 1
        raise MetricsError(f"{what}: row {row} is earlier than row {row - 1}; sort them by time")
