"""Values of a graph as signals of reaktiv, and signals that feed fields."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

import pytest
import reaktiv

from reactive import Field, ReactiveGraph, UnknownNameError


@dataclass
class Quote:
    bid: float = 1.0
    ask: float = 3.0
    symbol: str = "A"


@pytest.fixture
def graph() -> ReactiveGraph:
    return ReactiveGraph()


@pytest.fixture
def node(graph: ReactiveGraph) -> str:
    node = graph.track(Quote())
    graph.computed(node, "mid", (Field("bid") + Field("ask")) / 2)
    return node


def test_values_are_signals_that_reaktiv_can_compute_with(graph: ReactiveGraph, node: str) -> None:
    graph.group_computed("sum", [node], "mid", sum)
    mid, bid, total = (
        graph.signal(node, "mid"),
        graph.signal(node, "bid"),
        graph.group_signal("sum"),
    )
    spread = reaktiv.Computed(lambda: (mid() - bid(), total()))
    seen: list[Any] = []
    watching = reaktiv.Effect(lambda: seen.append(spread()))
    graph.update(node, "bid", 2.0)
    graph.update(node, "symbol", "B")
    graph.batch_update(node, {"bid": 0.0, "ask": 4.0})
    assert seen == [(1.0, 2.0), (0.5, 2.5), (2.0, 2.0)], "one run an update, never half of one"
    watching.dispose()


def test_a_signal_is_made_once_and_cannot_be_set(graph: ReactiveGraph, node: str) -> None:
    assert graph.signal(node, "mid") is graph.signal(node, "mid")
    with pytest.raises(AttributeError):
        graph.signal(node, "mid").set(1.0)
    with pytest.raises(UnknownNameError):
        graph.signal(node, "nothing")


def test_effects_find_signals_up_to_date(graph: ReactiveGraph, node: str) -> None:
    mid = graph.signal(node, "mid")
    seen: list[Any] = []
    graph.effect(node, "mid", lambda _, value: seen.append((value, mid())))

    def follow(_: str, value: float) -> None:
        if value == 5.0:
            graph.update(node, "ask", 7.0)
            seen.append(mid())

    graph.effect(node, "bid", follow)
    graph.update(node, "bid", 5.0)
    assert seen == [(2.0, 2.0), (4.0, 4.0), 4.0, (6.0, 6.0)]


def test_a_value_that_fails_shows_as_none(graph: ReactiveGraph, node: str) -> None:
    mid = graph.signal(node, "mid")
    graph.update(node, "bid", "none")
    assert mid() is None
    graph.update(node, "bid", 1.0)
    assert mid() == 2.0


def test_groups_by_key_are_signals_too(graph: ReactiveGraph, node: str) -> None:
    graph.group_computed("by symbol", [node], "mid", sum, key="symbol")
    everything = graph.group_signal("by symbol")
    one = graph.group_signal("by symbol", key="A")
    seen: list[Any] = []
    watching = reaktiv.Effect(lambda: seen.append((everything(), one())))
    graph.update(node, "ask", 5.0)
    graph.update(node, "symbol", "B")
    assert seen == [({"A": 2.0}, 2.0), ({"A": 3.0}, 3.0), ({"B": 3.0}, None)]
    watching.dispose()


def test_a_signal_feeds_a_field(graph: ReactiveGraph, node: str) -> None:
    source = reaktiv.Signal(10.0)
    seen: list[Any] = []
    graph.feed(node, "bid", source)
    graph.feed(node, "ask", lambda: source() + 2)
    graph.effect(node, "mid", lambda _, value: seen.append(value))
    assert graph.get(node, "mid") == 11.0
    source.set(20.0)
    assert seen[0] == 11.0
    assert seen[-1] == 21.0
    assert graph.get(node, "mid") == 21.0
    graph.untrack(node)
    source.set(30.0)
    assert graph.callback_errors == 0


def test_a_feed_depends_on_nothing_that_effects_read(graph: ReactiveGraph, node: str) -> None:
    source, other = reaktiv.Signal(1.0), reaktiv.Signal(0.0)
    runs: list[Any] = []
    graph.effect(node, "bid", lambda _, value: runs.append((value, other())))
    graph.feed(node, "bid", source)
    source.set(2.0)
    other.set(5.0)
    assert runs == [(1.0, 0.0), (2.0, 0.0)]


@pytest.mark.parametrize("meets", ["update", "untrack"])
def test_a_feed_and_another_thread_do_not_wait_for_each_other(
    graph: ReactiveGraph, node: str, meets: str
) -> None:
    """One comes from the signal to the graph, the other from the graph to the signal's feed."""
    source, other = reaktiv.Signal(1.0), graph.track(Quote())
    mid = graph.signal(node, "mid")
    inside, go_on = threading.Event(), threading.Event()

    def total() -> float:
        value = source() + mid()
        if value == 12.0:
            inside.set()
            assert go_on.wait(30)
        return value

    graph.feed(other, "bid", total)

    def meet() -> None:
        assert inside.wait(30)
        threading.Timer(0.2, go_on.set).start()
        if meets == "update":
            graph.update(node, "bid", 3.0)
        else:
            graph.untrack(other)

    threads = [
        threading.Thread(target=target, daemon=True) for target in (lambda: source.set(10.0), meet)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive(), "stuck"
    if meets == "update":
        assert graph.get(other, "bid") == 13.0


def test_a_feed_that_fails_is_logged_and_counted(
    graph: ReactiveGraph, node: str, caplog: pytest.LogCaptureFixture
) -> None:
    source = reaktiv.Signal(2.0)
    graph.feed(node, "bid", lambda: 1 / source())
    source.set(0.0)
    assert graph.callback_errors == 1
    assert "feed of Quote-1.bid raised ZeroDivisionError" in caplog.text
    source.set(4.0)
    assert graph.get(node, "bid") == 0.25
    with pytest.raises(UnknownNameError):
        graph.feed(node, "mid", source)


def test_a_signal_goes_with_its_group_and_its_node(graph: ReactiveGraph, node: str) -> None:
    graph.group_computed("gone", [node], "bid", sum)
    before = graph.group_signal("gone")
    graph.signal(node, "bid")
    graph.remove_group("gone")
    graph.group_computed("gone", [node], "bid", sum)
    after = graph.group_signal("gone")
    graph.update(node, "bid", 77.0)
    assert after is not before
    assert (before() == 77.0, after()) == (False, 77.0)
    graph.remove_group("gone")
    graph.untrack(node)
    assert not graph._signals._by_source, "nothing is kept of what has gone"
