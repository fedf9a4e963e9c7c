"""Several threads on one graph: one update after the other, and nobody sees half of one."""

from __future__ import annotations

import math
import random
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pytest

from reactive import Field, ReactiveGraph, computed


@dataclass
class Leg:
    price: float | None = 100.0
    quantity: int = 1


def run_all(*targets: Callable[[], None]) -> None:
    """Run functions in threads of their own, and raise what one of them raised."""
    errors: list[BaseException] = []
    together = threading.Barrier(len(targets))

    def guarded(target: Callable[[], None]) -> None:
        try:
            together.wait(30)
            target()
        except BaseException as error:  # noqa: BLE001 - raised again below
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(target,), daemon=True) for target in targets]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
        assert not thread.is_alive(), "stuck"
    for error in errors:
        raise error


def test_updates_of_two_threads_do_not_mix() -> None:
    graph = ReactiveGraph()
    legs = [Leg() for _ in range(20)]
    nodes = [graph.track(leg) for leg in legs]
    for node in nodes:
        graph.computed(node, "mv", Field("price") * Field("quantity"))
    graph.group_computed("total", nodes, "mv", sum)
    graph.group_computed("by_size", nodes, "mv", sum, key="quantity")
    wrong: list[Any] = []
    calls: list[int] = []

    def check(_: str, value: float) -> None:
        calls.append(threading.get_ident())
        expected = math.fsum(graph.get(node, "mv") for node in nodes)
        if value != expected:
            wrong.append((value, expected))

    graph.group_effect("total", check)

    def work(seed: int) -> Callable[[], None]:
        def run() -> None:
            rng = random.Random(seed)
            for step in range(400):
                node = rng.choice(nodes)
                if step % 3 == 0:
                    graph.update(node, "price", rng.uniform(1, 200))
                elif step % 3 == 1:
                    graph.batch_update(node, {"price": 1.0, "quantity": rng.randrange(9)})
                else:
                    graph.update_many("price", {n: rng.uniform(1, 9) for n in rng.sample(nodes, 5)})

        return run

    run_all(*(work(seed) for seed in range(4)))
    assert not wrong
    assert len(set(calls)) == 5, "effects run on the thread that updates (and one on this one)"
    assert graph.get_group("total") == math.fsum(leg.price * leg.quantity for leg in legs)
    assert math.isclose(
        math.fsum(graph.get_group("by_size").values()), graph.get_group("total"), rel_tol=1e-12
    )
    assert graph.callback_errors == 0


def test_a_reader_never_sees_half_of_a_batch() -> None:
    graph = ReactiveGraph()
    nodes = [graph.track(Leg(0.0)) for _ in range(5)]
    graph.group_computed("total", nodes, "price", sum)
    done = threading.Event()
    seen: set[float] = set()

    def write() -> None:
        for amount in range(300):
            with graph.batch():
                # Moved around inside the batch; the total is 0 before and after.
                for node, sign in zip(nodes, (1, -1, 1, -1, 0), strict=True):
                    graph.update(node, "price", float(sign * amount))
        done.set()

    def read() -> None:
        while not done.is_set():
            seen.add(graph.get_group("total"))
            with graph.batch():
                seen.add(math.fsum(graph.get(node, "price") for node in nodes))

    run_all(write, read, read)
    assert seen == {0.0}


def test_nodes_come_and_go_while_others_update() -> None:
    graph = ReactiveGraph()
    graph.group_computed("total", Leg, "price", sum)
    fixed = graph.track(Leg())
    graph.computed(fixed, "double", Field("price") * 2)

    def come_and_go() -> None:
        for _ in range(300):
            node = graph.track(Leg(1.0))
            graph.computed(node, "double", Field("price") * 2)
            graph.effect(node, "double", lambda *_: None)
            graph.untrack(node)

    def tick() -> None:
        for price in range(600):
            graph.update(fixed, "price", float(price))

    run_all(come_and_go, tick, come_and_go)
    assert graph.get_group("total") == 599.0
    assert graph.group_members("total") == [fixed]


@pytest.mark.parametrize("way", ["update", "batch"])
def test_others_wait_until_the_effects_are_through(way: str) -> None:
    graph = ReactiveGraph()
    node = graph.track(Leg())
    inside, go_on = threading.Event(), threading.Event()
    order: list[str] = []

    def slow(_: str, value: float) -> None:
        if value == 1.0:
            inside.set()
            assert go_on.wait(30)
            order.append("effect")

    graph.effect(node, "price", slow)

    def first() -> None:
        if way == "update":
            graph.update(node, "price", 1.0)
        else:
            with graph.batch():
                graph.update(node, "price", 1.0)

    def second() -> None:
        assert inside.wait(30)
        threading.Timer(0.05, go_on.set).start()
        graph.update(node, "price", 2.0)
        order.append("second")

    run_all(first, second)
    assert order == ["effect", "second"]


def test_an_assignment_while_another_thread_writes_the_object_is_an_update_too() -> None:
    inside, go_on = threading.Event(), threading.Event()

    @dataclass
    class Checked:
        price: float = 1.0
        quantity: int = 1

        def __setattr__(self, name: str, value: Any) -> None:
            if (name, value) == ("price", 2.0):
                inside.set()
                assert go_on.wait(30)
            super().__setattr__(name, value)

        @computed
        def double(self) -> int:
            return self.quantity * 2

    graph, leg = ReactiveGraph(), Checked()
    node = graph.track(leg)

    def assign() -> None:
        assert inside.wait(30)
        threading.Timer(0.05, go_on.set).start()
        leg.quantity = 5

    run_all(lambda: graph.update(node, "price", 2.0), assign)
    assert (leg.quantity, leg.double) == (5, 10)


class Desk:
    """One of several threads that do anything to a graph that they share."""

    def __init__(self, graph: ReactiveGraph, shared: list[str], number: int, seed: int) -> None:
        self.graph = graph
        self.shared = shared
        self.own: list[str] = []
        self.book = f"book {number}"
        self.rng = random.Random(f"{seed} {number}")
        graph.group_computed(self.book, [], "mv", "sum")

    def run(self) -> None:
        steps = [self.tick, self.tick, self.many, self.batch, self.come, self.go, self.move]
        steps += [self.what_if, self.redefine, self.roll, self.fail]
        for _ in range(250):
            self.rng.choice(steps)()

    def any_node(self) -> str:
        return self.rng.choice(self.own + self.shared)

    def price(self) -> float | None:
        return self.rng.choice([None, 1e16, 0.1, self.rng.uniform(-9, 9)])

    def tick(self) -> None:
        self.graph.update(self.any_node(), "price", self.price())

    def many(self) -> None:
        nodes = self.own + self.shared
        self.graph.update_many("quantity", {n: self.rng.randrange(4) for n in nodes})

    def batch(self) -> None:
        with self.graph.batch():
            for _ in range(3):
                self.tick()
            self.move()

    def fail(self) -> None:
        with suppress(ZeroDivisionError), self.graph.batch():
            self.tick()
            self.many()
            raise ZeroDivisionError

    def come(self) -> None:
        node = self.graph.track(Leg(1.5))
        self.graph.computed(node, "mv", MV)
        self.own.append(node)

    def go(self) -> None:
        if self.own:
            self.graph.untrack(self.own.pop(self.rng.randrange(len(self.own))))

    def move(self) -> None:
        node = self.any_node()
        if node in self.graph.group_members(self.book):  # nobody else moves nodes of this book
            self.graph.remove_from_group(self.book, node)
        else:
            self.graph.add_to_group(self.book, node)

    def what_if(self) -> None:
        node = self.any_node()
        self.graph.override(node, "mv", 100.0)
        if self.rng.random() < 0.8:
            self.graph.clear_override(node, "mv")

    def redefine(self) -> None:
        factor = self.rng.randrange(1, 3)
        self.graph.computed(self.any_node(), "mv", MV if factor == 1 else MV * factor)

    def roll(self) -> None:
        if self.book in self.graph.group_members("firm"):
            self.graph.remove_from_group("firm", self.book)
        else:
            self.graph.add_to_group("firm", self.book)


MV = Field("price") * Field("quantity")


@pytest.mark.parametrize("seed", range(3))
def test_whatever_several_threads_did_all_is_right_in_the_end(seed: int) -> None:
    graph = ReactiveGraph()
    shared = [graph.track(Leg()) for _ in range(5)]
    for node in shared:
        graph.computed(node, "mv", MV)
    graph.group_computed("all", Leg, "mv", "sum")
    graph.group_computed("by_size", Leg, "mv", "sum", key="quantity", where=Field("mv") > 0)
    graph.rollup("firm", [])
    graph.rollup("sizes", "by_size")
    told: dict[Any, Any] = {}
    desks = [Desk(graph, shared, number, seed) for number in range(4)]
    groups = ["all", "firm", "sizes", *(desk.book for desk in desks)]
    for name in groups:
        graph.group_effect(name, told.__setitem__)
    graph.group_effect("by_size", lambda _, changes: told.setdefault("by", {}).update(changes))

    run_all(*(desk.run for desk in desks))

    nodes = [*shared, *(node for desk in desks for node in desk.own)]
    values: dict[str, Any] = {}
    for node in nodes:
        leg = graph.object_of(node)
        plain = None if leg.price is None else leg.price * leg.quantity
        values[node] = graph.get(node, "mv")
        if not graph.overrides(node):
            assert values[node] in (plain, None if plain is None else plain * 2)

    def total(members: Iterable[str]) -> float:
        return math.fsum(v for v in map(values.__getitem__, members) if v is not None)

    expected = {desk.book: total(graph.group_members(desk.book)) for desk in desks}
    expected["firm"] = math.fsum(map(expected.__getitem__, graph.group_members("firm")))
    expected["all"] = total(nodes)
    positive = [n for n in nodes if values[n] is not None and values[n] > 0]
    by_size: dict[int, list[str]] = {}
    for node in positive:
        by_size.setdefault(graph.object_of(node).quantity, []).append(node)
    sums = {size: total(members) for size, members in by_size.items()}
    expected["sizes"] = math.fsum(sums.values())
    assert sorted(graph.group_members("all")) == sorted(nodes)
    assert graph.get_group("by_size") == sums
    assert {name: graph.get_group(name) for name in groups} == expected
    assert {size: value for size, value in told.pop("by").items() if value is not None} == sums
    assert told == expected
    assert graph.callback_errors == 0
