"""Tables of ticks for tests of the tick store."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

DAY = 86_400_000_000_000
START = 20_000 * DAY + 14 * 3_600_000_000_000


def ticks(
    *rows: tuple[Any, ...], columns: str = "timestamp symbol price size sequence"
) -> pa.Table:
    table = {n: list(v) for n, v in zip(columns.split(), zip(*rows, strict=True), strict=True)}
    for name in {"timestamp", "received"} & set(table):
        table[name] = pa.array(table[name], pa.timestamp("ns", "UTC"))
    return pa.table(table)


def rows_of(table: pa.Table) -> list[tuple[Any, ...]]:
    stamps = table["timestamp"].cast(pa.int64()).to_pylist()
    rest = [table[n].to_pylist() for n in ("symbol", "price", "size")]
    sequence = (
        table["sequence"].to_pylist() if "sequence" in table.column_names else [None] * len(table)
    )
    return list(zip(stamps, *rest, sequence, strict=True))
