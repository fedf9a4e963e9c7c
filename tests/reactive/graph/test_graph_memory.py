"""What goes leaves nothing behind, and positions are small."""

from __future__ import annotations

import gc
import itertools
import sys
import tracemalloc
import weakref
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from reactive import Field, ReactiveGraph, computed, effect
from reactive.graph.nodes.tracked_node import TrackedNode
from tests.processes import collect_until
from tests.reactive.strategies import NIGHTLY


@dataclass
class Position:
    symbol: str
    quantity: int
    avg_cost: float
    price: float


MV = Field("price") * Field("quantity")
PNL = (Field("price") - Field("avg_cost")) * Field("quantity")


@dataclass
class Live:
    price: float
    quantity: int = 1

    @computed
    def mv(self) -> float:
        return self.price * self.quantity

    @effect("mv")
    def on_mv(self, value: float) -> None:
        self.seen = value


def life(graph: ReactiveGraph, number: int) -> None:
    """Track an object, attach things to it, and untrack it."""
    obj = Live(float(number)) if number % 2 else Position("A", 1, 1.0, float(number))
    node = graph.track(obj)
    if not number % 2:
        graph.computed(node, "mv", MV)
    graph.effect(node, "mv", lambda *_: None)
    graph.add_to_group("total", node)
    graph.update(node, "price", 2.0)
    if number % 50 == 0:
        graph.computed(node, "own", MV + number % 2_500)
        graph.override(node, "mv", 1.0)
        graph.node_effect(node, lambda *_: None)
        graph.signal(node, "mv")
        graph.watch(node, "mv")
        graph.feed(node, "price", lambda: 3.0)
    graph.untrack(node)


# Minutes on a busy machine with the many objects of `make test-long`.
@pytest.mark.timeout(1800)
def test_thousands_of_objects_leave_nothing_behind() -> None:
    each = 25_000 if NIGHTLY else 7_500
    graph = ReactiveGraph()
    graph.group_computed("total", [], "mv", sum)
    graph.group_computed("by price", Position, "mv", max, key="price")
    graph.multi_computed("reads", lambda g: g.get_group("total"))

    def lives(first: int, count: int) -> int:
        for number in range(first, first + count):
            life(graph, number)
        gc.collect()
        return sys.getallocatedblocks()

    blocks = [lives(0, 5_000)]  # has met all formulas
    blocks += [lives(5_000 + turn * each, each) for turn in range(4)]
    # What is left behind is left each time; what the interpreter and other threads keep, once.
    growth = [after - before for before, after in itertools.pairwise(blocks)]
    assert min(growth) < each / 100, f"a hundredth of a block for each, but {growth}"
    assert not [
        thing
        for thing in gc.get_objects()
        if type(thing) is TrackedNode and thing.engine is graph._engine  # other tests have theirs
    ]
    assert graph.get_group("total") == 0


def test_formulas_that_nobody_has_any_more_are_forgotten() -> None:
    """Some are remembered, up to a bound; one takes about 100 blocks, with its code."""
    graph = ReactiveGraph()

    def formulas(first: int, count: int) -> int:
        for number in range(first, first + count):
            node = graph.track(Position("A", 1, 1.0, 1.0))
            graph.computed(node, "own", MV + number)
            graph.update(node, "price", 2.0)
            graph.untrack(node)
        gc.collect()
        return sys.getallocatedblocks()

    before = formulas(0, 500)
    after = formulas(500, 1_500)
    assert after - before < 1_500 * 10


@pytest.mark.parametrize("make", [lambda: Position("A", 1, 1.0, 1.0), lambda: Live(1.0)])
def test_a_graph_lets_go_of_its_objects_and_of_itself(make: Callable[[], object]) -> None:
    graph = ReactiveGraph()
    obj = make()
    node = graph.track(obj)
    graph.effect(node, "price", lambda *_: None)
    gone = [weakref.ref(graph), weakref.ref(obj)]
    del obj
    graph.untrack(node)
    collect_until(lambda: gone[1]() is None, "the object to be gone")
    graph.track(make())
    del graph
    collect_until(lambda: gone[0]() is None, "the graph to be gone")


def test_what_its_end_sets_off_does_not_keep_an_object() -> None:
    graph = ReactiveGraph()
    obj = Live(1.0)
    node = graph.track(obj)
    graph.effect(node, "mv", lambda *_: None).at_end = lambda: graph.update(node, "price", 2.0)
    gone = weakref.ref(obj)
    del obj
    graph.untrack(node)
    gc.collect()
    assert gone() is None


def test_a_position_takes_at_most_1_500_bytes() -> None:
    """Four fields and two computed values, with the object itself and its numbers."""
    graph = ReactiveGraph()
    count = 2_000

    def add(number: int) -> str:
        position = Position(f"S{number}", 100 + number, 1.0 + number, 2.0 + number)
        node = graph.track(position)
        graph.computed(node, "mv", MV)
        graph.computed(node, "pnl", PNL)
        return node

    graph.update(add(0), "price", 1.0)
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        nodes = [add(number) for number in range(count)]
        graph.group_computed("total", nodes, "mv", sum)
        for node in nodes:
            graph.update(node, "price", 7.5)
        size = (tracemalloc.get_traced_memory()[0] - before) / count
    finally:
        tracemalloc.stop()
    assert size <= 1_500
