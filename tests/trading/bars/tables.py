"""Tables of ticks for tests of bars, and times in nanoseconds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

SECOND = 1_000_000_000
MINUTE = 60 * SECOND
UTC = pa.timestamp("ns", "UTC")


def ns(text: str) -> int:
    return int(np.datetime64(text, "ns").astype(np.int64))


def ticks(
    times: list[Any],
    prices: list[Any] | pa.Array | None = None,
    sizes: list[Any] | pa.Array | None = None,
    symbol: str = "AAPL",
    **more: Any,
) -> pa.Table:
    return pa.table(
        {
            "timestamp": times if isinstance(times, pa.Array) else pa.array(times, UTC),
            "symbol": pa.array([symbol] * len(times), pa.string()),
            "price": [10.0] * len(times) if prices is None else prices,
            "size": [1.0] * len(times) if sizes is None else sizes,
            **more,
        }
    )
