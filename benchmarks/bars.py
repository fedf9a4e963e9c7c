"""How fast ticks become bars, and indicators follow; every figure with its rival in the same run.

    python benchmarks/bars.py [--ticks 5000000] [--chunk 1000] [--values 100000]

The work: one-minute bars (open, high, low, close, volume, count, and for ours the exact notional
amount and VWAP) of eight interleaved symbols, from columns and in chunks; EMA and RSI value by
value. Rivals take turns, and the best of several rounds counts: compare ratios. Times are the
process's own, so that other programs disturb them less.
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

# polars counts as one thread, as ours does; it must be said before it is imported.
os.environ.setdefault("POLARS_MAX_THREADS", "1")

import numpy as np
import polars as pl
import pyarrow as pa
import talipp.indicators

# Run as a script, it finds the packages beside its folder.
sys.path[0] = str(Path(__file__).resolve().parent.parent)

from trading.bars import BarBuilder, bars  # noqa: E402
from trading.indicators import EMA, RSI  # noqa: E402

ROUNDS = 5
SYMBOLS = ["AAPL", "BRK.B", "BTC-USD", "^GSPC", "ES=F", "EUR/USD", "MSFT", "NVDA"]
TICKS_PER_SECOND = 1_000


def recording(count: int, seed: int = 7) -> pa.Table:
    """Ticks in order of time, prices in cents, whole sizes."""
    rng = np.random.default_rng(seed)
    begin = int(np.datetime64("2024-03-04T14:30", "ns").astype(np.int64))
    gaps = rng.exponential(1e9 / TICKS_PER_SECOND, count)
    codes = rng.integers(0, len(SYMBOLS), count).astype(np.int8)
    return pa.table(
        {
            "timestamp": pa.array(
                begin + np.cumsum(gaps).astype(np.int64), pa.timestamp("ns", "UTC")
            ),
            "symbol": pa.DictionaryArray.from_arrays(pa.array(codes), SYMBOLS),
            "price": np.round(100 + np.cumsum(rng.normal(0, 0.01, count)), 2),
            "size": rng.integers(1, 500, count).astype(np.float64),
        }
    )


def best(runs: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Seconds of each, the best of the rounds; they take turns."""
    seconds = dict.fromkeys(runs, float("inf"))
    for _round in range(ROUNDS):
        for name, run in runs.items():
            gc.collect()
            begin = time.process_time()
            run()
            seconds[name] = min(seconds[name], time.process_time() - begin)
    return seconds


def of_columns(ticks: pa.Table) -> None:
    frame = pl.from_arrow(ticks).with_columns(pl.col("symbol").cast(pl.Categorical))
    price, size = pl.col("price"), pl.col("size")

    def polars() -> pl.DataFrame:
        minute = pl.col("timestamp").dt.truncate("1m").alias("start")
        return frame.group_by("symbol", minute).agg(
            price.first().alias("open"),
            price.max().alias("high"),
            price.min().alias("low"),
            price.last().alias("close"),
            size.sum().alias("volume"),
            pl.len().alias("count"),
        )

    def integer_polars() -> pl.DataFrame:
        minute = (pl.col("timestamp").to_physical() // 60_000_000_000).alias("start")
        return frame.group_by(pl.col("symbol").to_physical(), minute).agg(
            price.first().alias("open"),
            price.max().alias("high"),
            price.min().alias("low"),
            price.last().alias("close"),
            size.sum().alias("volume"),
            pl.len().alias("count"),
        )

    assert len(polars()) == len(bars(ticks, "1m")) == len(integer_polars())
    seconds = best({"ours": lambda: bars(ticks, "1m"), "polars": polars, "ints": integer_polars})
    report(
        "columns to 1m bars",
        len(ticks),
        seconds["ours"],
        {
            "polars, truncated times": seconds["polars"],
            "polars, integer keys": seconds["ints"],
        },
    )


def in_chunks(ticks: pa.Table, chunk: int) -> None:
    chunks = [ticks.slice(at, chunk) for at in range(0, len(ticks), chunk)]

    def push() -> None:
        builder = BarBuilder("1m", lateness="2s")
        for piece in chunks:
            builder.push(piece)

    seconds = best({"ours": push})["ours"]
    report(f"pushed in chunks of {chunk:,}", len(ticks), seconds, {})
    print(f"    {seconds / len(chunks) * 1e6:,.0f} µs a push")


def indicators(count: int) -> None:
    rng = np.random.default_rng(5)
    values = (100 + np.cumsum(rng.normal(0, 0.1, count))).tolist()
    for name, ours, theirs in (
        ("EMA(20)", lambda: EMA(20), lambda: talipp.indicators.EMA(20)),
        ("RSI(14)", lambda: RSI(14), lambda: talipp.indicators.RSI(14)),
    ):

        def update(make: Callable[[], EMA | RSI] = ours) -> None:
            step = make().update
            for value in values:
                step(value)

        def add(make: Callable[[], talipp.indicators.EMA] = theirs) -> None:
            step = make().add
            for value in values:
                step(value)

        seconds = best({"ours": update, "talipp": add})
        report(name, count, seconds["ours"], {"talipp": seconds["talipp"]})


def report(what: str, count: int, seconds: float, rivals: dict[str, float]) -> None:
    print(f"{what}: {count / seconds / 1e6:.2f} M/s")
    for name, theirs in rivals.items():
        print(f"    {name}: {count / theirs / 1e6:.2f} M/s, ours {theirs / seconds:.2f} x as fast")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ticks", type=int, default=5_000_000)
    parser.add_argument("--chunk", type=int, default=1_000)
    parser.add_argument("--values", type=int, default=100_000)
    options = parser.parse_args()
    ticks = recording(options.ticks)
    of_columns(ticks)
    in_chunks(ticks.slice(0, min(options.ticks, 1_000_000)), options.chunk)
    indicators(options.values)


if __name__ == "__main__":
    main()
