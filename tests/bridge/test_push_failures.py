"""Nodes of a push that come and go at the wrong moment, and those that are not ready."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from bridge import Push, push, push_group
from reactive import Field, ReactiveGraph
from tests.bridge.books import rows_of

pytestmark = pytest.mark.usefixtures("engine")


@dataclass
class Position:
    symbol: str
    price: float


@pytest.fixture
def graph() -> ReactiveGraph:
    return ReactiveGraph()


def tracked(graph: ReactiveGraph, symbol: str) -> str:
    node = graph.track(Position(symbol, 1.0))
    graph.computed(node, "twice", Field("price") * 2)
    return node


def test_a_node_that_was_not_ready_can_be_added_later(
    graph: ReactiveGraph, pushes: list[Push]
) -> None:
    first = tracked(graph, "A")
    graph.computed(first, "thrice", Field("price") * 3)
    pushed = push(graph, first, fields="symbol", computed=["twice", "thrice"])
    pushes.append(pushed)
    late = tracked(graph, "B")
    with pytest.raises(KeyError, match="thrice"):
        pushed.add(late)
    graph.computed(late, "thrice", Field("price") * 3)
    pushed.add(late)
    assert pushed.flush()
    assert rows_of(pushed.table, "symbol", "twice", "thrice") == [("A", 2, 3), ("B", 2, 3)]


@pytest.mark.parametrize("leave", ["remove", "stop"])
def test_a_node_that_leaves_while_it_is_added_is_pushed_no_more(
    graph: ReactiveGraph, pushes: list[Push], monkeypatch: pytest.MonkeyPatch, leave: str
) -> None:
    pushed = push(graph, tracked(graph, "A"), fields="symbol", computed="twice")
    pushes.append(pushed)
    node = tracked(graph, "B")
    half_way, left = threading.Event(), threading.Event()
    attach: Callable[..., Any] = graph.effect

    def slow(*arguments: Any) -> Any:
        half_way.set()
        assert left.wait(10)
        return attach(*arguments)

    monkeypatch.setattr(graph, "effect", slow)
    adding = threading.Thread(target=pushed.add, args=(node,))
    adding.start()
    assert half_way.wait(10)
    pushed.remove(node) if leave == "remove" else pushed.stop()
    left.set()
    adding.join(10)
    written: list[Any] = []
    monkeypatch.setattr(pushed._rows, "write", lambda *row: written.append(row))
    graph.update(node, "price", 5.0)
    assert written == []


def test_a_group_that_is_added_twice_is_pushed_once(
    graph: ReactiveGraph, pushes: list[Push]
) -> None:
    node = tracked(graph, "A")
    graph.group_computed("total", [node], "twice", sum)
    pushed = push_group(graph, "total")
    pushes.append(pushed)
    pushed.add_group("total")
    graph.update(node, "price", 2.0)
    assert pushed.flush()
    assert rows_of(pushed.table, "Group", "Value") == [("total", 2.0), ("total", 4.0)]


def test_a_push_that_cannot_begin_leaves_no_thread(graph: ReactiveGraph) -> None:
    def threads() -> list[threading.Thread]:
        return [each for each in threading.enumerate() if each.name == "bridge nobody's"]

    node = tracked(graph, "A")

    def vanish(*_: Any) -> Any:
        raise KeyError("untracked meanwhile")

    graph.effect = vanish  # type: ignore[method-assign]
    with pytest.raises(KeyError, match="untracked"):
        push(graph, node, computed="twice", name="nobody's")
    assert threads() == []
