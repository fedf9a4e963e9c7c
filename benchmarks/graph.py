"""How fast the reactive graph is; every figure with its rivals in the same run.

    python benchmarks/graph.py [--updates 50000] [--sizes 100 1000 10000 100000]

The work: a book of positions, each worth price x quantity, one total, and one effect that sees the
total after each price. Rivals take turns, and the best of several rounds counts: compare ratios.
csp and beavers are measured where they are installed (`pip install csp beavers`); they are no
dependencies of the project, and pull in numpy, pandas and pyarrow of their own choice.
"""

from __future__ import annotations

import argparse
import gc
import importlib.util
import random
import sys
import threading
import time
import tracemalloc
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

import reaktiv

# Run as a script, it finds the packages beside its folder.
sys.path[0] = str(Path(__file__).resolve().parent.parent)

from reactive import Field, ReactiveGraph  # noqa: E402

ROUNDS = 5
BATCH = 1_000
NAIVE_MAX = 1_000
"""Positions up to which the graph that sums anew each time is worth waiting for."""

MV = Field("price") * Field("quantity")
PNL = (Field("price") - Field("avg_cost")) * Field("quantity")

Ticks = list[tuple[int, float]]
Run = Callable[[Ticks], None]


@dataclass
class Position:
    symbol: str
    quantity: int
    avg_cost: float
    price: float


def positions(count: int) -> list[Position]:
    return [Position(f"S{i}", 100 + i % 7, 100.0, 100.0 + i % 13) for i in range(count)]


def ticks(count: int, updates: int, seed: int) -> Ticks:
    rng = random.Random(seed)
    return [(rng.randrange(count), rng.uniform(90.0, 110.0)) for _ in range(updates)]


def batches(count: int, updates: int, seed: int) -> list[dict[int, float]]:
    """Batches of distinct positions."""
    rng = random.Random(seed)
    size = min(BATCH, count)
    return [
        {at: rng.uniform(90.0, 110.0) for at in rng.sample(range(count), size)}
        for _ in range(max(updates // size, 1))
    ]


# --- the rivals: each returns what runs a list of ticks -------------------------------------------


def plain_loop(count: int) -> Run:
    book = positions(count)
    values = [p.price * p.quantity for p in book]
    total = sum(values)
    seen = 0

    def run(work: Ticks) -> None:
        nonlocal total, seen
        for at, price in work:
            position = book[at]
            position.price = price
            value = price * position.quantity
            total += value - values[at]
            values[at] = value
            seen += 1

    return run


def tracked(count: int) -> tuple[ReactiveGraph, list[str], list[int]]:
    graph = ReactiveGraph()
    nodes = [graph.track(position) for position in positions(count)]
    for node in nodes:
        graph.computed(node, "mv", MV)
    graph.group_computed("total", nodes, "mv", sum)
    seen = [0]

    def count_up(_: str, _value: float) -> None:
        seen[0] += 1

    graph.group_effect("total", count_up)
    return graph, nodes, seen


def our_graph(count: int) -> Run:
    graph, nodes, seen = tracked(count)

    def run(work: Ticks) -> None:
        seen[0] = 0
        update = graph.update
        for at, price in work:
            update(nodes[at], "price", price)
        assert seen[0] == len(work), "an effect for each update"

    return run


def reaktiv_naive(count: int) -> Run:
    book = positions(count)
    prices = [reaktiv.Signal(p.price) for p in book]
    values = [
        reaktiv.Computed(lambda signal=signal, quantity=p.quantity: signal() * quantity)
        for signal, p in zip(prices, book, strict=True)
    ]
    total = reaktiv.Computed(lambda: sum(value() for value in values))
    seen = [0]

    def see() -> None:
        total()
        seen[0] += 1

    effect = reaktiv.Effect(see)

    def run(work: Ticks) -> None:
        for at, price in work:
            prices[at].set(price)

    run.effect = effect  # type: ignore[attr-defined]  # reaktiv holds it weakly
    return run


def csp_book(count: int, live: bool) -> Run:
    """One stateful node in Python and one that sees the total, fed from a thread or from arrays."""
    import csp
    import numpy as np
    from csp import ts
    from csp.impl.pushadapter import PushInputAdapter
    from csp.impl.wiring import py_push_adapter_def

    class Feed(PushInputAdapter):
        """Pushes all ticks as fast as the engine takes them."""

        def __init__(self, work: Ticks) -> None:
            self._work = work

        def start(self, starttime: datetime, endtime: datetime) -> None:  # noqa: ARG002 - csp's
            self._thread = threading.Thread(target=self._push)
            self._thread.start()

        def stop(self) -> None:
            self._thread.join()

        def _push(self) -> None:
            for tick in self._work:
                self.push_tick(tick)

    feed = py_push_adapter_def("feed", Feed, ts[object], work=object)

    @csp.node  # noqa: RET503 - it ticks where it returns
    def book(tick: ts[object]) -> ts[float]:
        with csp.state():
            s_book = positions(count)
            s_values = [p.price * p.quantity for p in s_book]
            s_total = sum(s_values)
        if csp.ticked(tick):
            at, price = tick
            position = s_book[at]
            position.price = price
            value = price * position.quantity
            s_total += value - s_values[at]
            s_values[at] = value
            return s_total

    @csp.node  # noqa: RET503
    def see(total: ts[float], until: int) -> ts[int]:
        with csp.state():
            s_seen = 0
        if csp.ticked(total):
            s_seen += 1
            if s_seen == until:
                csp.stop_engine()
                return s_seen

    @csp.graph
    def from_thread(work: object, until: int):  # type: ignore[no-untyped-def]
        ticks = feed(work, push_mode=csp.PushMode.NON_COLLAPSING)
        csp.add_graph_output("seen", see(book(ticks), until))

    @csp.graph
    def from_arrays(times: object, work: object, until: int):  # type: ignore[no-untyped-def]
        csp.add_graph_output("seen", see(book(csp.curve(object, (times, work))), until))

    begin = datetime(2026, 1, 1)

    def run(work: Ticks) -> None:
        until = len(work)
        array = np.empty(until, dtype=object)
        array[:] = work
        step = np.arange(1, until + 1).astype("timedelta64[us]")
        times = (np.datetime64(begin) + step).astype("datetime64[ns]")
        with warnings.catch_warnings():
            # It remembers graphs by their arguments, and says that it cannot by these.
            warnings.simplefilter("ignore")
            started = time.perf_counter()
            if live:
                seen = csp.run(
                    from_thread, work, until, endtime=timedelta(minutes=2), realtime=True
                )
            else:
                end = begin + timedelta(minutes=2)
                seen = csp.run(from_arrays, times, array, until, starttime=begin, endtime=end)
            run.seconds = time.perf_counter() - started  # type: ignore[attr-defined]
        assert seen["seen"][0][1] == until, "an effect for each update"

    return run


def beavers_node(count: int) -> Run:
    """One stateful node, executed for each tick."""
    from beavers import Dag

    book = positions(count)
    values = [p.price * p.quantity for p in book]
    total = [sum(values)]
    seen = [0]

    def apply(work: Ticks) -> float:
        for at, price in work:
            position = book[at]
            position.price = price
            value = price * position.quantity
            total[0] += value - values[at]
            values[at] = value
        return total[0]

    def see(_: float) -> int:
        seen[0] += 1
        return seen[0]

    dag = Dag()
    source = dag.source_stream(empty=[])
    dag.state(see).map(dag.state(apply).map(source))

    def run(work: Ticks) -> None:
        for tick in work:
            source.set_stream([tick])
            dag.execute()

    return run


# --- measuring ------------------------------------------------------------------------------------


def best(run: Run, count: int, updates: int) -> float:
    """Return updates a second, the best of some rounds."""
    seconds = []
    for number in range(ROUNDS):
        # Other prices each time: an equal price would be no work for some, and work for others.
        work = ticks(count, updates, number)
        started = time.perf_counter()
        run(work)
        taken = time.perf_counter() - started
        seconds.append(getattr(run, "seconds", taken))
    return updates / min(seconds)


def best_of_batches(
    carry_out: Callable[[ReactiveGraph, dict[str, float]], None], count: int, updates: int
) -> float:
    graph, nodes, _ = tracked(count)
    seconds = []
    for number in range(ROUNDS):
        drawn = batches(count, updates, number)
        work = [{nodes[at]: price for at, price in batch.items()} for batch in drawn]
        started = time.perf_counter()
        for prices in work:
            carry_out(graph, prices)
        seconds.append(time.perf_counter() - started)
    return sum(map(len, work)) / min(seconds)


def with_batch(graph: ReactiveGraph, prices: dict[str, float]) -> None:
    with graph.batch():
        for node, price in prices.items():
            graph.update(node, "price", price)


def throughput(sizes: list[int], updates: int) -> None:
    rivals: dict[str, Callable[[int], Run]] = {"plain loop": plain_loop, "reactive": our_graph}
    for name, make in (
        ("csp, live from a thread", partial(csp_book, live=True)),
        ("csp, replay of arrays", partial(csp_book, live=False)),
        ("beavers", beavers_node),
    ):
        if importlib.util.find_spec(name.partition(",")[0]):
            rivals[name] = make
        else:
            print(f"{name} is not installed and is not measured")
    rivals["reaktiv, naive"] = reaktiv_naive
    print("\nSingle updates a second, and how many times slower than the plain loop")
    print(f"{'':24}" + "".join(f"{count:>20,}" for count in sizes))
    loops: dict[int, float] = {}
    ours: dict[int, float] = {}
    for name, make in rivals.items():
        cells = []
        for count in sizes:
            if make is reaktiv_naive and count > NAIVE_MAX:
                cells.append(f"{'-':>20}")
                continue
            few = 200 if make is reaktiv_naive else updates
            rate = best(make(count), count, few)
            loops.setdefault(count, rate)
            if make is our_graph:
                ours[count] = rate
            cells.append(f"{rate:>12,.0f} {loops[count] / rate:6.1f}x")
        print(f"{name:24}" + "".join(cells), flush=True)
    print(f"\nBatches of {BATCH:,} distinct positions: updates a second, and over single ones")
    for name, carry_out in (
        ("update_many", lambda graph, prices: graph.update_many("price", prices)),
        ("with graph.batch()", with_batch),
    ):
        cells = []
        for count in sizes:
            rate = best_of_batches(carry_out, count, updates)
            cells.append(f"{rate:>12,.0f} {rate / ours[count]:6.1f}x")
        print(f"{name:24}" + "".join(cells), flush=True)


def shapes_of_groups(updates: int, count: int = 10_000) -> None:
    """What the update of one price costs with other groups over it."""
    print(f"\nSingle updates a second at {count:,} positions, by what hangs on them")
    kinds: dict[str, Callable[[ReactiveGraph, list[str]], None]] = {
        "one computed value": lambda _graph, _nodes: None,
        "sum": lambda graph, nodes: graph.group_computed("g", nodes, "mv", sum),
        "max": lambda graph, nodes: graph.group_computed("g", nodes, "mv", max),
        "mean": lambda graph, nodes: graph.group_computed("g", nodes, "mv", "mean"),
        "std": lambda graph, nodes: graph.group_computed("g", nodes, "mv", "std"),
        "sum by 7 keys": lambda graph, nodes: graph.group_computed(
            "g", nodes, "mv", sum, key="quantity"
        ),
    }
    for name, define in kinds.items():
        graph = ReactiveGraph()
        nodes = [graph.track(position) for position in positions(count)]
        for node in nodes:
            graph.computed(node, "mv", MV)
        define(graph, nodes)

        def run(work: Ticks, graph: ReactiveGraph = graph, nodes: list[str] = nodes) -> None:
            for at, price in work:
                graph.update(nodes[at], "price", price)

        print(f"{name:24}{best(run, count, updates):>12,.0f}", flush=True)


def size_and_time(count: int = 10_000) -> None:
    def build() -> tuple[ReactiveGraph, list[str]]:
        graph = ReactiveGraph()
        nodes = []
        for position in positions(count):
            node = graph.track(position)
            graph.computed(node, "mv", MV)
            graph.computed(node, "pnl", PNL)
            nodes.append(node)
        graph.group_computed("total", nodes, "mv", sum)
        return graph, nodes

    seconds = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        build()
        seconds.append(time.perf_counter() - started)
    print(f"\nBuilding {count:,} positions with two computed values: {min(seconds):.2f} s")
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    graph, nodes = build()
    for number, node in enumerate(nodes):
        graph.update(node, "price", 50.0 + number)
    size = (tracemalloc.get_traced_memory()[0] - before) / count
    tracemalloc.stop()
    print(f"A position of four fields and two computed values: {size:,.0f} bytes")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--updates", type=int, default=50_000, help="updates in a round")
    parser.add_argument("--sizes", type=int, nargs="+", default=[100, 1_000, 10_000, 100_000])
    arguments = parser.parse_args()
    throughput(arguments.sizes, arguments.updates)
    shapes_of_groups(arguments.updates)
    size_and_time()


if __name__ == "__main__":
    main()
