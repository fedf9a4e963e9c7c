"""Several threads on one graph: one update after the other, and nobody sees half of one."""

from __future__ import annotations

import math
import random
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from reactive import Field, ReactiveGraph


@dataclass
class Leg:
    price: float = 100.0
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
