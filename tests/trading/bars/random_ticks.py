"""Random ticks, and the rows of their bars."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import strategies as st

from tests.trading.bars.model import Tick
from tests.trading.bars.tables import SECOND

# A Friday, an hour before New York closes for half a day: 2024-11-29 13:00 in New York.
BASE = int(np.datetime64("2024-11-29T17:00", "ns").astype(np.int64))


def as_table(ticks: list[Tick], *, received: bool = True) -> pa.Table:
    columns: dict[str, Any] = {
        "timestamp": pa.array([t.timestamp for t in ticks], pa.timestamp("ns", tz="UTC")),
        "symbol": pa.array([t.symbol for t in ticks], pa.string()),
        "price": pa.array([t.price for t in ticks], pa.float64()),
        "size": pa.array([t.size for t in ticks], pa.float64()),
        "sequence": pa.array([t.sequence for t in ticks], pa.int64()),
    }
    if received:
        columns["received"] = pa.array([t.received for t in ticks], pa.timestamp("ns", tz="UTC"))
    return pa.table(columns)


def as_rows(table: pa.Table) -> list[dict[str, Any]]:
    rows = table.to_pylist()
    for row in rows:
        row["start"], row["end"] = row["start"].value, row["end"].value
    return rows


@st.composite
def tick_lists(draw: st.DrawFn) -> list[Tick]:
    """Ticks over some minutes, some up to two minutes late, in the order of receipt."""
    count = draw(st.integers(1, 60))
    digits = draw(st.sampled_from([0, 2, 4, 9]))
    ticks = []
    for sequence in range(count):
        at = BASE + draw(st.integers(0, 300)) * SECOND
        delay = draw(st.sampled_from([0, 0, 0, 1, 59, 61, 120])) * SECOND
        price = draw(st.integers(1, 10**6)) / 10**digits
        size = draw(st.integers(0, 10**7)) / 10 ** draw(st.sampled_from([0, 3]))
        symbol = draw(st.sampled_from(["AAPL", "BRK.B", "EUR/USD"]))
        ticks.append(Tick(at, symbol, price, size, sequence, at + delay))
    return sorted(ticks, key=lambda t: t.received)
