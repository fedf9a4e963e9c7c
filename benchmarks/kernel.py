"""How fast the trading kernel is; every figure with a rival in the same run.

    python benchmarks/kernel.py [--orders 50000] [--ticks 2000000] [--memory 10000000]

The rival of the order path is a bare loop that keeps positions, cash and P&L in plain variables,
with neither order objects nor rules, records or a digest: what could be computed at best. The rival
of ticks is numpy folding the same ticks into the same bars, without orders or time. Times are those
of the processor, which others on the machine disturb least. Compare ratios.
"""

from __future__ import annotations

import argparse
import gc
import resource
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

# Run as a script, it finds the packages beside its folder.
sys.path[0] = str(Path(__file__).resolve().parent.parent)

import msgspec  # noqa: E402

from trading.brokers import PaperBroker, PerShare  # noqa: E402
from trading.journal.inputs import (  # noqa: E402
    Bar,
    DefineInstrument,
    OpenAccount,
    OrderTerms,
    SetLimits,
    Submit,
    Tick,
)
from trading.kernel import Context, HostedStrategy, Kernel, Settings, TickColumns  # noqa: E402
from trading.risk import Limits  # noqa: E402
from trading.specification import specify  # noqa: E402
from trading.times import MINUTE, SECOND  # noqa: E402

ROUNDS = 3
START = 1_700_000_000 * SECOND
SYMBOLS = tuple(f"S{i:02d}" for i in range(20))


def best(run: Callable[[], int], rounds: int = ROUNDS) -> float:
    """Return things per second, the best of several rounds."""
    rates = []
    for _ in range(rounds):
        gc.collect()
        begun = time.process_time()
        count = run()
        rates.append(count / (time.process_time() - begun))
    return max(rates)


def kernel(
    *,
    limits: Limits | None = None,
    digest: bool = True,
    bars: bool = True,
    timeframes: tuple[str, ...] = (),
    strategies: Sequence[HostedStrategy] = (),
) -> Kernel:
    made = Kernel(
        Settings(digest=digest, bar_interval=MINUTE if bars else 0, timeframes=timeframes),
        broker=PaperBroker("tick", PerShare("0.005", "1.00")),
        strategies=strategies,
    )
    for symbol in SYMBOLS:
        made.step(DefineInstrument(START, specify(symbol)))
    made.step(OpenAccount(START, "ACC", "USD", (("USD", 10**18),), "trader"))
    for symbol in SYMBOLS:
        made.step(Tick(START, symbol, 10_000, 100))
    if limits is not None:
        text = msgspec.json.encode(limits).decode()
        made.step(SetLimits(START, "l", "ann", "bob", "ACC", "L1", text, 0))
    return made


LIMITS = Limits(
    max_order_notional=10_000_000,
    price_collar="0.1",
    max_position=100_000,
    max_symbol_notional=50_000_000,
    max_gross_exposure=500_000_000,
    max_net_exposure=500_000_000,
    max_daily_loss=50_000_000,
    max_orders=1_000_000,
)


# --- orders ---------------------------------------------------------------------------------------


def orders_through(made: Kernel, count: int) -> int:
    """Market orders that go long and short in turns: every other one flips the position."""
    step, terms = made.step, {}
    for side in (1, -1):
        terms[side] = tuple(
            OrderTerms("ACC", "trend", s, side, 100, "MARKET", None, None, "GTC") for s in SYMBOLS
        )
    at = made.now
    for number in range(count):
        at += 1_000
        side = 1 if number // 20 % 2 == 0 else -1
        step(Submit(at, "", "bench", "ORDER", (terms[side][number % 20],)))
    return count


def bare_loop(count: int) -> int:
    """Positions, cash and P&L of the same orders in plain variables."""
    position, cost, realized, cash = dict.fromkeys(SYMBOLS, 0), dict.fromkeys(SYMBOLS, 0), 0, 0
    for number in range(count):
        symbol = SYMBOLS[number % 20]
        quantity = 100 if number // 20 % 2 == 0 else -100
        held = position[symbol]
        if held * quantity < 0:
            realized += quantity * (cost[symbol] // held - 10_000)
            cost[symbol] = 0
        else:
            cost[symbol] += quantity * 10_000
        position[symbol] = held + quantity
        cash -= quantity * 10_000
    return count + 0 * (realized + cash)


# --- ticks ----------------------------------------------------------------------------------------


def ticks(count: int, per_second: int, seed: int = 1) -> TickColumns:
    rng = np.random.default_rng(seed)
    gaps = rng.integers(1, 2 * SECOND // per_second, count)
    return TickColumns(
        SYMBOLS,
        START + SECOND + np.cumsum(gaps),
        rng.integers(0, len(SYMBOLS), count),
        10_000 + np.cumsum(rng.integers(-1, 2, count)) // 50,
        rng.integers(1, 500, count),
    )


def feed(made: Kernel, columns: TickColumns, size: int = 65_536) -> int:
    for start in range(0, len(columns), size):
        made.step(columns.slice(start, min(start + size, len(columns))))
    return len(columns)


def numpy_bars(columns: TickColumns) -> int:
    """The same bars by one sort of the whole table."""
    keys = (columns.times // MINUTE) * 20 + columns.codes
    order = np.argsort(keys, kind="stable")
    keys, prices, sizes = keys[order], columns.prices[order], columns.sizes[order]
    starts = np.flatnonzero(np.concatenate(([True], keys[1:] != keys[:-1])))
    np.maximum.reduceat(prices, starts)
    np.minimum.reduceat(prices, starts)
    np.add.reduceat(sizes, starts)
    np.add.reduceat(sizes * prices, starts)
    return len(columns)


class MarketMaker:
    """Places a limit order near the market at every so many ticks, by a timer."""

    name, account, version, parameters, wants_ticks = "mm", "ACC", "1", "", False
    symbols = SYMBOLS

    def __init__(self, interval: int) -> None:
        self.interval = interval
        rng = np.random.default_rng(7)
        self.drawn = iter(rng.integers(0, 40, 1_000_000).tolist())

    def on_start(self, ctx: Context) -> None:
        ctx.set_timer(ctx.now + self.interval, "quote")

    def on_timer(self, ctx: Context, label: str) -> None:
        ctx.set_timer(ctx.now + self.interval, label)
        drawn = next(self.drawn)
        symbol, side = SYMBOLS[drawn // 2], 1 if drawn % 2 else -1
        last = ctx.last(symbol)
        assert last is not None
        ctx.submit_terms(
            OrderTerms("ACC", "mm", symbol, side, 100, "LIMIT", last - side * 2, None, "GTC")
        )

    def on_bar(self, ctx: Context, bar: Bar) -> None:
        pass

    def on_tick(self, ctx: Context, tick: Tick) -> None:
        pass

    def on_fill(self, ctx: Context, order: object, fill: object) -> None:
        pass

    def dump(self) -> bytes:
        return b""

    def load(self, data: bytes) -> None:
        pass


def feed_with_orders(columns: TickColumns, every: int) -> float:
    """Ticks with limit orders that are placed near the market and fill as it moves."""
    made = kernel(strategies=[MarketMaker(every * SECOND // 20_000)])
    gc.collect()
    begun = time.process_time()
    feed(made, columns)
    return len(columns) / (time.process_time() - begun)


def feed_with_trailing_stops(columns: TickColumns) -> float:
    """Ticks past two trailing stops a symbol, which follow the market and are not reached."""
    made = kernel()
    for symbol in SYMBOLS:
        for side in (1, -1):
            terms = OrderTerms(
                *("ACC", "t", symbol, side, 100, "TRAILING_STOP", None, None, "GTC"), trail=5_000
            )
            made.step(Submit(made.now, "", "bench", "ORDER", (terms,)))
    gc.collect()
    begun = time.process_time()
    feed(made, columns)
    return len(columns) / (time.process_time() - begun)


# --- snapshots and memory -------------------------------------------------------------------------


def snapshot_times(lots: int) -> tuple[float, float, int]:
    made = kernel()
    terms = [OrderTerms("ACC", "a", s, 1, 100, "MARKET", None, None, "GTC") for s in SYMBOLS]
    for number in range(lots):
        made.step(Submit(made.now + 1, "", "b", "ORDER", (terms[number % 20],)))
    writes, reads = [], []
    data = made.snapshot()
    for _ in range(9):
        gc.collect()
        begun = time.process_time()
        data = made.snapshot()
        writes.append(time.process_time() - begun)
        other = kernel()
        begun = time.process_time()
        other.restore(data)
        reads.append(time.process_time() - begun)
    return min(writes) * 1e3, min(reads) * 1e3, len(data)


def memory(count: int) -> tuple[float, float]:
    """Return the megabytes of the process after the first tenth of the ticks and at the end."""
    made, chunk, seen = kernel(), 500_000, []
    for number in range(0, count, chunk):
        columns = ticks(chunk, 20_000, seed=number)
        shifted = TickColumns(
            SYMBOLS,
            columns.times + (made.now - START),
            columns.codes,
            columns.prices,
            columns.sizes,
        )
        feed(made, shifted)
        seen.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    return seen[max(len(seen) // 10, 1)], seen[-1]


def say(what: str, rate: float, rival: float) -> None:
    print(f"  {what:42s}{rate:14,.0f}   {rate / rival:8.3f} of the rival")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--orders", type=int, default=50_000)
    parser.add_argument("--ticks", type=int, default=2_000_000)
    parser.add_argument("--memory", type=int, default=10_000_000)
    options = parser.parse_args()
    orders: int = options.orders

    # Many short rounds: the best of them was disturbed least by others on the machine.
    part = max(orders // 40, 1)
    bare = best(lambda: bare_loop(part * 10), 40)
    plain, limited, silent = (
        best(lambda made=made: orders_through(made, part), 40)  # type: ignore[misc]
        for made in (kernel(), kernel(limits=LIMITS), kernel(digest=False))
    )
    print("a market order: request, risk, states, paper fill, lots, P&L, digest (orders/s)")
    say("bare loop, neither orders nor records", bare, bare)
    say("kernel, the market's rules", plain, bare)
    say("kernel, ten limits of its own", limited, bare)
    say("kernel without a digest", silent, bare)

    columns = ticks(options.ticks, 20_000)
    flat = best(lambda: numpy_bars(columns))
    bars = best(lambda: feed(kernel(), columns))
    sparse = ticks(options.ticks // 4, 500)
    thin = best(lambda: feed(kernel(), sparse))
    print(f"ticks of {len(SYMBOLS)} symbols into one-minute bars (ticks/s)")
    say("numpy, all bars by one sort", flat, flat)
    say("kernel, 20,000 ticks a second", bars, flat)
    say("kernel, 500 ticks a second", thin, flat)
    for every in (300, 60):
        rate = max(feed_with_orders(columns, every) for _ in range(ROUNDS))
        say(f"kernel, a limit order every {every} ticks", rate, flat)

    rate = max(feed_with_trailing_stops(columns) for _ in range(ROUNDS))
    say(f"kernel, {2 * len(SYMBOLS)} trailing stops", rate, flat)
    several = best(lambda: feed(kernel(timeframes=("5m", "1h")), columns))
    say("kernel, bars of 1m, 5m and 1h", several, flat)

    wrote, read, size = snapshot_times(10_000)
    print(f"snapshot of 10,000 open lots: {wrote:.1f} ms out, {read:.1f} ms in, {size:,} bytes")
    early, late = memory(options.memory)
    print(f"memory over {options.memory:,} ticks: {early:.0f} MB, at the end {late:.0f} MB")


if __name__ == "__main__":
    main()
