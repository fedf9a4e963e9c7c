"""Final bars of the tick store as the API shows them."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from trading.api.market_hub import bar_data

__all__ = ["bar_rows", "instant_text"]

_NAMES = ("start", "end", "open", "high", "low", "close", "volume", "count", "vwap", "state")


def bar_rows(table: pa.Table, timeframe: str) -> list[dict[str, Any]]:
    """Return the bars of a table of the tick store, in its order."""
    columns: dict[str, list[Any]] = {}
    for name in (*_NAMES, "version", "recorded", "symbol"):
        column = table[name]
        if pa.types.is_timestamp(column.type):
            column = column.cast(pa.timestamp("ns", "UTC")).cast(pa.int64())
        values = column.to_pylist()
        if name in ("open", "high", "low", "close", "volume"):
            values = [None if value is None else _plain(value) for value in values]
        columns[name] = values
    rows = (dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True))
    return [
        {**bar_data({"timeframe": timeframe, **row}), "recorded": instant_text(row["recorded"])}
        for row in rows
    ]


def instant_text(value: int | None) -> str | None:
    """Return nanoseconds as a time of the API."""
    return None if value is None else bar_data({"start": value, "end": value})["start"]


def _plain(value: Any) -> str:
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
