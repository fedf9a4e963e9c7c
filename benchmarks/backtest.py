"""How fast backtests are; every figure with a rival in the same run.

    python benchmarks/backtest.py [--bars 100000] [--ticks 1000000] [--sets 200]

The rival of bars is backtesting.py (`pip install backtesting==0.6.6`): the same SMA cross over the
same one-minute bars, with the same orders. The rival of ticks is a loop over numpy columns that
makes the same bars and the same average, without orders, books or records. Both are run in turns
with ours; times are those of the processor, best of several rounds, except for the sweep, whose
rival is the same sweep in one process by the clock, with plain loops beside it for what two
processes can gain on the machine as it is now. Compare ratios.
"""

from __future__ import annotations

import argparse
import gc
import multiprocessing
import resource
import sys
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

# Run as a script, it finds the packages beside its folder.
ROOT = Path(__file__).resolve().parent.parent
sys.path[0] = str(ROOT)

from trading.backtest import Backtest, sweep  # noqa: E402
from trading.indicators import EMA, SMA  # noqa: E402
from trading.strategy import Bar, Context, Strategy  # noqa: E402

MINUTE = 60 * 10**9


class Cross(Strategy):
    """Long a hundred above, short a hundred below."""

    class Parameters:
        """Lengths in bars."""

        fast: int = 10
        slow: int = 30

    def on_start(self, ctx: Context) -> None:
        """Follow the closes."""
        self.fast = ctx.indicator(SMA(self.parameters.fast), self.symbol)
        self.slow = ctx.indicator(SMA(self.parameters.slow), self.symbol)

    def on_bar(self, ctx: Context, bar: Bar) -> None:
        """Turn the position around where the averages cross."""
        if self.fast.crossed_above(self.slow):
            ctx.buy(bar.symbol, int(100 - ctx.position(bar.symbol)))
        elif self.fast.crossed_below(self.slow):
            ctx.sell(bar.symbol, int(100 + ctx.position(bar.symbol)))


class EmaCross(Strategy):
    """The close against an exponential average of one-minute bars of ticks."""

    timeframes = ("1m",)

    def on_start(self, ctx: Context) -> None:
        """Follow the closes."""
        self.average = ctx.indicator(EMA(20), self.symbol)
        self.above = False

    def on_bar(self, ctx: Context, bar: Bar) -> None:
        """Trade where the close crosses the average."""
        if not self.average.ready:
            return
        above = bar.close > self.average.value
        if above != self.above:
            (ctx.buy if above else ctx.sell)(bar.symbol, 100)
        self.above = above


def bars(count: int, seed: int = 1) -> pd.DataFrame:
    """One-minute bars in cents."""
    rng = np.random.default_rng(seed)
    close = (100 * np.exp(np.cumsum(rng.normal(0, 1e-3, count)))).round(2)
    opened = np.concatenate([close[:1], close[:-1]])
    return pd.DataFrame(
        {
            "timestamp": pd.date_range("2024-01-01", periods=count, freq="min", tz="UTC"),
            "open": opened,
            "high": (np.maximum(opened, close) + 0.02).round(2),
            "low": (np.minimum(opened, close) - 0.02).round(2),
            "close": close,
            "volume": 1_000,
        }
    )


def ticks(count: int, seed: int = 2) -> pa.Table:
    """Trades of one symbol, a tenth of a second apart on average."""
    rng = np.random.default_rng(seed)
    start = 1_704_067_200 * 10**9
    times = start + np.cumsum(rng.integers(1, 200_000_000, count))
    cents = 10_000 + np.cumsum(rng.integers(-1, 2, count))
    return pa.table(
        {
            "timestamp": pa.array(times).cast(pa.timestamp("ns", "UTC")),
            "symbol": pa.DictionaryArray.from_arrays(np.zeros(count, np.int32), ["SIM"]),
            "price": cents / 100,
            "size": rng.integers(1, 500, count),
        }
    )


def rival_of_bars(frame: pd.DataFrame) -> Callable[[], int]:
    """The same strategy by backtesting.py; returns how many trades it made."""
    from backtesting import Backtest as Other
    from backtesting import Strategy as OtherStrategy
    from backtesting.lib import crossover

    def average(values: Any, length: int) -> Any:
        return pd.Series(values).rolling(length).mean()

    class OtherCross(OtherStrategy):  # type: ignore[misc]  # the package has no types
        def init(self) -> None:
            self.fast = self.I(average, self.data.Close, 10)
            self.slow = self.I(average, self.data.Close, 30)

        def next(self) -> None:
            if crossover(self.fast, self.slow):
                self.position.close()
                self.buy(size=100)
            elif crossover(self.slow, self.fast):
                self.position.close()
                self.sell(size=100)

    other = frame.set_index("timestamp").rename(columns=str.capitalize)

    def run() -> int:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return int(Other(other, OtherCross, cash=10**7).run()["# Trades"])

    return run


def rival_of_ticks(table: pa.Table) -> Callable[[], int]:
    """Bars and average by numpy and a loop over the bars; returns how many crossings there are."""
    times = table.column("timestamp").cast(pa.int64()).to_numpy()
    prices = np.rint(table.column("price").to_numpy() * 100).astype(np.int64)
    sizes = table.column("size").to_numpy()

    def run() -> int:
        keys = times // MINUTE
        starts = np.flatnonzero(np.concatenate(([True], keys[1:] != keys[:-1])))
        np.maximum.reduceat(prices, starts)
        np.minimum.reduceat(prices, starts)
        np.add.reduceat(sizes, starts)
        closes = prices[np.append(starts[1:], len(prices)) - 1].tolist()
        average, crossings, above = float(closes[0]), 0, False
        for close in closes:
            average += (close - average) * 2 / 21
            crossings += (close > average) != above
            above = close > average
        return crossings

    return run


def turns(ours: Callable[[], int], rival: Callable[[], int], rounds: int) -> tuple[float, float]:
    """Best processor times of both, run one after the other in each round."""
    best = [float("inf"), float("inf")]
    for _ in range(rounds):
        for at, run in enumerate((ours, rival)):
            gc.collect()
            begun = time.process_time()
            run()
            best[at] = min(best[at], time.process_time() - begun)
    return best[0], best[1]


def measure_bars(count: int, rounds: int) -> None:
    """SMA 10/30 through the whole path: reading the frame, the run, and the figures."""
    frame = bars(count)
    backtest = Backtest(Cross(symbols=["X"]), frame, cash=10**7)
    result = backtest.run()

    def ours() -> int:
        found = backtest.run()
        return len(found.metrics) + len(found.fills)

    mine, other = turns(ours, rival_of_bars(frame), rounds)
    print(f"SMA 10/30 over {count:,} one-minute bars, {len(result.orders):,} orders (bars/s)")
    print(f"  backtesting.py        {count / other:12,.0f}")
    print(f"  ours, frame to figures{count / mine:12,.0f}   {other / mine:6.2f} x")


def measure_ticks(count: int, rounds: int) -> None:
    """One-minute bars of ticks and an EMA cross."""
    table = ticks(count)
    backtest = Backtest(EmaCross(symbols=["SIM"]), table, cash=10**7, fill="tick")
    result = backtest.run()
    loaded = backtest.load()
    mine, other = turns(lambda: len(backtest.run(loaded).times), rival_of_ticks(table), rounds)
    whole, _ = turns(lambda: len(backtest.run().times), lambda: 0, rounds)
    print(f"{count:,} ticks, one-minute bars, EMA cross, {len(result.orders):,} orders (ticks/s)")
    print(f"  numpy, neither orders nor books{count / other:14,.0f}")
    print(f"  ours                           {count / mine:14,.0f}   {other / mine:6.2f} x")
    print(f"  ours with reading the table    {count / whole:14,.0f}   {other / whole:6.2f} x")


def plain_loop(count: int) -> int:
    """Work for one process that needs neither memory nor a disk."""
    total = 0
    for number in range(count):
        total += number * number
    return total


def speed_of_two_processes() -> float:
    """How much faster two processes are than one for plain loops, as the machine is now."""
    parts, size = 8, 3_000_000
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        list(pool.map(plain_loop, [1] * parts))
        begun = time.perf_counter()
        list(pool.map(plain_loop, [size] * parts))
        two = time.perf_counter() - begun
    begun = time.perf_counter()
    for _ in range(parts):
        plain_loop(size)
    return (time.perf_counter() - begun) / two


def processor_time() -> float:
    """Seconds of this process and of those that it has started and that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def measure_sweep(sets: int, count: int) -> None:
    """The same parameters in one process and in two, by the clock and in processor time."""
    backtest = Backtest(Cross(symbols=["X"]), bars(count), cash=10**7)
    grid = [{"fast": 2 + at % 20, "slow": 30 + at // 20} for at in range(sets)]
    loaded = backtest.load()
    taken, used = [], []
    for processes in (1, 2):
        begun, before = time.perf_counter(), processor_time()
        sweep(backtest, grid, processes=processes, loaded=loaded)
        taken.append(time.perf_counter() - begun)
        used.append((processor_time() - before) / sets * 1e3)
    print(f"{sets} parameter sets over {count:,} bars (runs/s)")
    print(f"  one process           {sets / taken[0]:12.2f}")
    print(f"  two processes         {sets / taken[1]:12.2f}   {taken[0] / taken[1]:6.2f} x")
    print(f"  plain loops in two processes         {speed_of_two_processes():6.2f} x")
    print(f"  processor time a set: {used[0]:.0f} ms in one process, {used[1]:.0f} ms in two")
    print(f"  so two free processors do at most    {2 * used[0] / used[1]:6.2f} x")


def measure_memory(count: int) -> None:
    """Peak memory after the second of many runs, and after the last."""
    backtest = Backtest(Cross(symbols=["X"]), bars(count), cash=10**7)
    loaded, seen = backtest.load(), []
    for _ in range(12):
        backtest.run(loaded)
        seen.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    print(f"memory over 12 runs of {count:,} bars: {seen[1]:.0f} MB, at the end {seen[-1]:.0f} MB")


def main() -> None:
    """Print all figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bars", type=int, default=100_000)
    parser.add_argument("--ticks", type=int, default=1_000_000)
    parser.add_argument("--sets", type=int, default=200)
    parser.add_argument("--sweep-bars", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    measure_bars(options.bars, options.rounds)
    measure_ticks(options.ticks, options.rounds)
    measure_sweep(options.sets, options.sweep_bars)
    measure_memory(options.bars)


if __name__ == "__main__":
    main()
