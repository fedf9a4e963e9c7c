"""Effects: when they run and in which order, what they see, and what they may do."""

from __future__ import annotations

import itertools
import logging
from dataclasses import dataclass
from typing import Any

import pytest

from reactive import CycleError, Field, If, ReactiveGraph


@dataclass
class Cell:
    x: float = 0.0
    y: float = 0.0


@pytest.fixture
def graph() -> ReactiveGraph:
    return ReactiveGraph()


@pytest.fixture
def node(graph: ReactiveGraph) -> str:
    return graph.track(Cell())


def test_an_effect_runs_once_when_it_is_attached(graph: ReactiveGraph, node: str) -> None:
    seen: list[Any] = []
    graph.effect(node, "x", lambda name, value: seen.append((name, value)))
    assert seen == [("x", 0.0)]


def test_attached_in_a_batch_it_waits_for_the_end(graph: ReactiveGraph, node: str) -> None:
    seen: list[Any] = []
    with graph.batch():
        graph.update(node, "x", 1.0)
        graph.effect(node, "x", lambda _, value: seen.append(value))
        graph.update(node, "x", 2.0)
        assert seen == []
    assert seen == [2.0]


def test_a_diamond_is_seen_whole(graph: ReactiveGraph, node: str) -> None:
    graph.computed(node, "left", Field("x") + 1)
    graph.computed(node, "right", Field("x") * 2)
    graph.computed(node, "sum", Field("left") + Field("right"))
    graph.group_computed("group", [node], "left", sum)
    graph.multi_computed("both", lambda g: g.get(node, "sum") + g.get_group("group"))
    seen: list[Any] = []

    def look(_: str, value: float) -> None:
        x = graph.get_field(node, "x")
        assert graph.get(node, "sum") == 3 * x + 1
        assert graph.get_group("both") == 4 * x + 2
        seen.append(value)

    for name in ("left", "right", "sum"):
        graph.effect(node, name, look)
    for name in ("group", "both"):
        graph.group_effect(name, look)
    seen.clear()
    graph.update(node, "x", 10.0)
    assert seen == [11.0, 20.0, 31.0, 11.0, 42.0]
    assert graph.callback_errors == 0


def test_effects_run_in_the_order_in_which_they_were_attached(
    graph: ReactiveGraph, node: str
) -> None:
    graph.computed(node, "sum", Field("x") + Field("y"))
    graph.group_computed("group", [node], "sum", sum)
    order: list[str] = []
    graph.group_effect("group", lambda *_: order.append("group"))
    graph.effect(node, "y", lambda *_: order.append("y"))
    graph.effect(node, "sum", lambda *_: order.append("sum"))
    graph.effect(node, "x", lambda *_: order.append("x"))
    order.clear()
    graph.batch_update(node, {"x": 1.0, "y": 2.0})
    assert order == ["group", "y", "sum", "x"]


def test_an_effect_that_raises_is_logged_and_counted_and_stops_nobody(
    graph: ReactiveGraph, node: str, caplog: pytest.LogCaptureFixture
) -> None:
    graph.computed(node, "double", Field("x") * 2)
    seen: list[Any] = []

    def fail(_: str, value: float) -> None:
        if value:
            raise ZeroDivisionError("in the callback")

    effect = graph.effect(node, "x", fail)
    graph.effect(node, "double", lambda _, value: seen.append(value))
    with caplog.at_level(logging.ERROR, "reactive.graph"):
        graph.update(node, "x", 1.0)
    assert seen == [0.0, 2.0]
    assert graph.callback_errors == effect.errors == 1
    assert "effect on Cell-1.x raised ZeroDivisionError: in the callback" in caplog.text
    assert "Traceback" in caplog.text
    assert "in fail" in caplog.text
    graph.update(node, "x", 2.0)
    assert graph.callback_errors == 2
    assert graph.get(node, "double") == 4.0


def test_an_interrupt_gets_through_and_leaves_the_graph_working(
    graph: ReactiveGraph, node: str
) -> None:
    seen: list[Any] = []

    def interrupt(_: str, value: float) -> None:
        if value == 1.0:
            raise KeyboardInterrupt

    graph.effect(node, "x", interrupt)
    graph.effect(node, "x", lambda _, value: seen.append(value))
    with pytest.raises(KeyboardInterrupt):
        graph.update(node, "x", 1.0)
    graph.update(node, "x", 2.0)
    assert seen == [0.0, 2.0]


# --- taking effects off ---------------------------------------------------------------------------


def test_removed_by_what_was_returned_or_by_what_it_is_on(graph: ReactiveGraph, node: str) -> None:
    graph.computed(node, "double", Field("x") * 2)
    graph.group_computed("group", [node], "x", sum)
    seen: list[str] = []
    first = graph.effect(node, "x", lambda *_: seen.append("first"))
    graph.effect(node, "x", lambda *_: seen.append("second"))
    graph.effect(node, "double", lambda *_: seen.append("double"))
    graph.group_effect("group", lambda *_: seen.append("group"))
    graph.node_effect(node, lambda *_: seen.append("node"))

    def after(value: float) -> list[str]:
        seen.clear()
        graph.update(node, "x", value)
        return list(seen)

    assert after(1.0) == ["first", "second", "double", "group", "node"]
    graph.remove_effect(first)
    graph.remove_effect(first)
    assert after(2.0) == ["second", "double", "group", "node"]
    graph.remove_effect(node, "x")
    assert after(3.0) == ["double", "group", "node"]
    graph.remove_effect("group")
    assert after(4.0) == ["double", "node"]
    graph.remove_effect(node)
    assert after(5.0) == []
    with pytest.raises(KeyError):
        graph.remove_effect(node, "nothing")
    with pytest.raises(KeyError):
        graph.remove_effect("nobody")


def test_an_effect_may_take_itself_or_another_one_off(graph: ReactiveGraph, node: str) -> None:
    seen: list[str] = []

    def once(_: str, value: float) -> None:
        seen.append("once")
        if value:
            graph.remove_effect(effect)
            graph.remove_effect(other)

    effect = graph.effect(node, "x", once)
    other = graph.effect(node, "x", lambda *_: seen.append("other"))
    graph.update(node, "x", 1.0)
    graph.update(node, "x", 2.0)
    assert seen == ["once", "other", "once"]


def test_a_node_effect_gets_all_that_changed_in_one_call(graph: ReactiveGraph, node: str) -> None:
    graph.computed(node, "double", Field("x") * 2)
    graph.computed(node, "sign", If(Field("x") < 0, -1, 1))
    seen: list[Any] = []
    graph.node_effect(node, lambda node_id, values: seen.append((node_id, values)))
    graph.update(node, "x", 1.0)
    graph.computed(node, "late", Field("y"))
    graph.update(node, "y", 5.0)
    graph.batch_update(node, {"x": -1.0, "y": 6.0})
    assert seen == [
        (node, {"double": 0.0, "sign": 1}),
        (node, {"double": 2.0}),
        (node, {"late": 0.0}),
        (node, {"late": 5.0}),
        (node, {"double": -2.0, "sign": -1, "late": 6.0}),
    ]


# --- callbacks that update ------------------------------------------------------------------------


def test_a_callback_may_update_and_sees_its_own_writes(graph: ReactiveGraph, node: str) -> None:
    graph.computed(node, "sum", Field("x") + Field("y"))
    seen: list[Any] = []

    def follow(_: str, value: float) -> None:
        graph.update(node, "y", value * 10)
        assert graph.get(node, "sum") == value * 11

    graph.effect(node, "x", follow)
    graph.effect(node, "sum", lambda _, value: seen.append(value))
    graph.update(node, "x", 1.0)
    assert seen == [0.0, 11.0], "run once, with the newest value"
    assert graph.callback_errors == 0


def test_what_a_callback_causes_comes_after_what_waits(graph: ReactiveGraph, node: str) -> None:
    order: list[Any] = []
    graph.effect(node, "y", lambda _, value: order.append(("y", value)))

    def first(_: str, value: float) -> None:
        order.append(("first", value))
        graph.update(node, "y", value)
        order.append("updated")

    graph.effect(node, "x", first)
    graph.effect(node, "x", lambda _, value: order.append(("second", value)))
    order.clear()
    graph.update(node, "x", 1.0)
    assert order == [("first", 1.0), "updated", ("second", 1.0), ("y", 1.0)]


def test_callbacks_that_settle_down_are_no_cycle(graph: ReactiveGraph, node: str) -> None:
    def halve(_: str, value: float) -> None:
        if value > 1.0:
            graph.update(node, "x", value / 2)

    graph.effect(node, "x", halve)
    graph.update(node, "x", 1024.0)
    assert graph.get(node, "x") == 1.0


def test_a_cycle_through_callbacks_is_named_and_does_not_hang(
    graph: ReactiveGraph, node: str
) -> None:
    other = graph.track(Cell())
    bystander: list[Any] = []
    graph.computed(node, "next", Field("x") + 1)
    graph.computed(other, "next", Field("x") + 1)
    graph.effect(node, "next", lambda _, value: graph.update(other, "x", value) if value > 1 else 0)
    graph.effect(other, "next", lambda _, value: graph.update(node, "x", value) if value > 1 else 0)
    graph.effect(node, "x", lambda _, value: bystander.append(value))
    with pytest.raises(CycleError) as caught:
        graph.update(node, "x", 5.0)
    assert caught.value.path in (
        [
            "effect on Cell-1.next",
            "update of Cell-2.x",
            "effect on Cell-2.next",
            "update of Cell-1.x",
            "effect on Cell-1.next",
        ],
        [
            "effect on Cell-2.next",
            "update of Cell-1.x",
            "effect on Cell-1.next",
            "update of Cell-2.x",
            "effect on Cell-2.next",
        ],
    )
    x = graph.get_field(node, "x")
    assert graph.get(node, "next") == x + 1, "values are in step"
    assert bystander[-1] == x, "so are the other effects"
    graph.remove_effect(other, "next")
    graph.update(node, "x", 1000.0)
    assert graph.get(other, "next") == 1002.0


def test_a_callback_may_define_and_untrack(graph: ReactiveGraph, node: str) -> None:
    other = graph.track(Cell(7.0))
    graph.group_computed("sum", Cell, "x", sum)
    seen: list[Any] = []
    graph.group_effect("sum", lambda _, value: seen.append(value))

    def change(_: str, value: float) -> None:
        if value == 1.0:
            graph.untrack(other)
            graph.track(Cell(100.0))
        if value == 2.0:
            graph.remove_group("sum")

    graph.effect(node, "x", change)
    graph.update(node, "x", 1.0)
    graph.update(node, "x", 2.0)
    assert seen == [7.0, 8.0, 101.0, 102.0]
    assert graph.callback_errors == 0


# --- depth ----------------------------------------------------------------------------------------

DEEP = 10_000


def test_a_deep_chain_of_computed_values(graph: ReactiveGraph, node: str) -> None:
    before = "x"
    for number in range(DEEP):
        graph.computed(node, f"c{number}", Field(before) + 1)
        before = f"c{number}"
    graph.update(node, "x", 5.0)
    assert graph.get(node, before) == 5.0 + DEEP


def test_a_deep_chain_of_groups_and_functions(graph: ReactiveGraph, node: str) -> None:
    graph.group_computed("g0", [node], "x", sum)
    graph.multi_computed("m0", lambda g: g.get(node, "x"))
    for number in range(DEEP):
        graph.rollup(f"g{number + 1}", [f"g{number}"])
        graph.multi_computed(f"m{number + 1}", lambda g, below=f"m{number}": g.get_group(below))
    graph.update(node, "x", 5.0)
    assert graph.get_group(f"g{DEEP}") == graph.get_group(f"m{DEEP}") == 5.0


def test_a_deep_chain_of_callbacks(graph: ReactiveGraph) -> None:
    nodes = [graph.track(Cell()) for _ in range(DEEP)]
    for here, there in itertools.pairwise(nodes):
        graph.effect(here, "x", lambda _, value, there=there: graph.update(there, "x", value))
    graph.update(nodes[0], "x", 5.0)
    assert graph.get(nodes[-1], "x") == 5.0


def test_effects_of_a_cycle_run_again_afterwards(graph: ReactiveGraph) -> None:
    one, two = graph.track(Cell()), graph.track(Cell())
    seen: list[float] = []

    def forward(to: str) -> Any:
        def tell(_: str, x: float) -> None:
            seen.append(x)
            if x > 0:
                graph.update(to, "x", x + 1)

        return tell

    graph.effect(one, "x", forward(two))
    graph.effect(two, "x", forward(one))
    with pytest.raises(CycleError):
        graph.update(one, "x", 1.0)
    seen.clear()
    graph.update(one, "x", -1.0)
    graph.update(two, "x", -2.0)
    assert seen == [-1.0, -2.0]


def test_all_effects_of_an_object_are_removed_by_the_object_itself(graph: ReactiveGraph) -> None:
    cell, seen = Cell(), []
    graph.effect(graph.track(cell), "x", lambda _, value: seen.append(value))
    graph.remove_effect(cell)
    graph.update(cell, "x", 1.0)
    assert seen == [0.0]
