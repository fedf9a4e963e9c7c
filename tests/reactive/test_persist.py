"""Computed changes written back to a store, here one that lives in a dict."""

from __future__ import annotations

import copy
import threading
from dataclasses import dataclass
from typing import Any

import pytest

from reactive import Field, PersistError, ReactiveGraph, computed
from reactive.bridge import Conflict, ReadsBack, StoreClient, auto_persist_effect


@dataclass
class Position:
    quantity: int = 100
    avg_cost: float = 220.0
    current_price: float = 230.0
    pnl: float | None = None

    _store_entity_id = None
    _store_version = None


class VersionConflict(Exception):
    def __init__(self, entity_id: str, expected_version: int, actual_version: int) -> None:
        super().__init__(f"{entity_id}: expected {expected_version}, is {actual_version}")
        self.entity_id = entity_id
        self.expected_version = expected_version
        self.actual_version = actual_version


class Store:
    """The contract of a store client, with a dict in the place of the database."""

    def __init__(self) -> None:
        self.versions: dict[str, list[Any]] = {}
        self.failures: list[Exception] = []
        self.written = threading.Event()

    def write(self, obj: Any) -> None:
        obj._store_entity_id = f"entity {len(self.versions)}"
        obj._store_version = 1
        self.versions[obj._store_entity_id] = [copy.copy(obj)]

    def update(self, obj: Any) -> None:
        if self.failures:
            raise self.failures.pop()
        versions = self.versions[obj._store_entity_id]
        if obj._store_version != len(versions):
            raise VersionConflict(obj._store_entity_id, obj._store_version, len(versions))
        obj._store_version += 1
        versions.append(copy.copy(obj))
        self.written.set()

    def read(self, cls: type, entity_id: str) -> Any:
        versions = self.versions.get(entity_id)
        return None if versions is None else copy.copy(versions[-1])

    def change(self, entity_id: str, **fields: Any) -> None:
        """Write a version as another client would."""
        newest = self.read(Position, entity_id)
        for name, value in fields.items():
            setattr(newest, name, value)
        self.update(newest)


PNL = (Field("current_price") - Field("avg_cost")) * Field("quantity")


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def graph() -> ReactiveGraph:
    return ReactiveGraph()


@pytest.fixture
def position(store: Store) -> Position:
    position = Position(pnl=1000.0)
    store.write(position)
    return position


@pytest.fixture
def node(graph: ReactiveGraph, position: Position) -> str:
    node = graph.track(position)
    graph.computed(node, "pnl", PNL)
    graph.computed(node, "size", Field("quantity") * Field("current_price"))
    return node


def newest(store: Store) -> Any:
    return store.versions["entity 0"][-1]


def test_one_write_for_an_update_that_changes_computed_values(
    graph: ReactiveGraph, store: Store, position: Position, node: str
) -> None:
    auto_persist_effect(graph, node, store, position)
    assert position._store_version == 1, "attaching changes nothing"
    graph.update(node, "current_price", 235.0)
    assert position._store_version == 2
    assert (newest(store).pnl, newest(store).current_price) == (1500.0, 235.0)
    graph.batch_update(node, {"current_price": 240.0, "quantity": 10})
    assert (position._store_version, newest(store).pnl) == (3, 200.0)
    graph.update(node, "current_price", 240.0)
    with graph.batch():
        graph.update(node, "current_price", 1.0)
        graph.update(node, "current_price", 240.0)
    assert position._store_version == 3
    assert graph.get_field(node, "pnl") == 200.0


def test_a_field_that_lags_behind_is_written_at_once(graph: ReactiveGraph, store: Store) -> None:
    position = Position()
    store.write(position)
    node = graph.track(position)
    graph.computed(node, "pnl", PNL)
    auto_persist_effect(graph, node, store, position)
    assert (position._store_version, newest(store).pnl) == (2, 1000.0)


def test_computed_values_defined_later_are_written_too(
    graph: ReactiveGraph, store: Store, position: Position, node: str
) -> None:
    auto_persist_effect(graph, node, store, position)
    graph.computed(node, "half", Field("avg_cost") / 2)
    graph.update(node, "avg_cost", 200.0)
    assert newest(store).avg_cost == 200.0


def test_after_a_conflict_both_changes_are_kept(
    graph: ReactiveGraph, store: Store, position: Position, node: str
) -> None:
    persist = auto_persist_effect(graph, node, store, position)
    store.change("entity 0", quantity=10, current_price=1.0)
    graph.update(node, "current_price", 240.0)
    assert position._store_version == len(store.versions["entity 0"]) == 3
    assert (position.quantity, newest(store).quantity) == (10, 10), "theirs, where we changed none"
    assert newest(store).current_price == 240.0, "ours, where we did"
    assert newest(store).pnl == graph.get(node, "pnl") == 200.0, "computed from both"
    graph.update(node, "current_price", 250.0)
    assert (position._store_version, newest(store).pnl) == (4, 300.0)
    assert persist.errors == graph.callback_errors == 0


def test_a_second_conflict_is_said_and_the_next_change_tries_again(
    graph: ReactiveGraph,
    store: Store,
    position: Position,
    node: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    persist = auto_persist_effect(graph, node, store, position)
    store.failures = [VersionConflict("entity 0", 1, 2), VersionConflict("entity 0", 1, 2)]
    graph.update(node, "current_price", 240.0)
    assert persist.errors == graph.callback_errors == 1
    assert "PersistError: Position-1 was changed by others twice in a row" in caplog.text
    assert position._store_version == 1
    persist.flush()
    assert (position._store_version, newest(store).pnl) == (2, 2000.0)


def test_what_is_no_conflict_is_not_tried_again(
    graph: ReactiveGraph, store: Store, position: Position, node: str
) -> None:
    persist = auto_persist_effect(graph, node, store, position)
    store.failures = [ConnectionError("gone")]
    graph.update(node, "current_price", 240.0)
    assert (persist.errors, position._store_version) == (1, 1)
    graph.update(node, "current_price", 241.0)
    assert (persist.errors, newest(store).current_price) == (1, 241.0)


def test_an_entity_that_is_gone(
    graph: ReactiveGraph,
    store: Store,
    position: Position,
    node: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    auto_persist_effect(graph, node, store, position)
    store.failures = [VersionConflict("no such entity", 1, 2)]
    graph.update(node, "current_price", 240.0)
    assert "is not in the store any more" in caplog.text
    assert PersistError.__name__ in caplog.text


def test_a_client_that_cannot_read_says_the_conflict(
    graph: ReactiveGraph, store: Store, position: Position, node: str
) -> None:
    class WriteOnly:
        def update(self, obj: Any) -> None:
            store.update(obj)

    persist = auto_persist_effect(graph, node, WriteOnly(), position)
    store.change("entity 0", quantity=10)
    graph.update(node, "current_price", 240.0)
    assert (persist.errors, position.quantity) == (1, 100)


def test_an_override_is_not_for_the_store(
    graph: ReactiveGraph, store: Store, position: Position, node: str
) -> None:
    auto_persist_effect(graph, node, store, position)
    graph.override(node, "pnl", 5000.0)
    graph.update(node, "current_price", 240.0)
    assert position._store_version == 1
    graph.clear_override(node, "pnl")
    assert (position._store_version, newest(store).pnl) == (2, 2000.0)


@pytest.mark.parametrize("interval", [0.0, 0.01])
def test_the_end_of_an_override_that_came_true_is_written(
    graph: ReactiveGraph, store: Store, position: Position, node: str, interval: float
) -> None:
    auto_persist_effect(graph, node, store, position, interval_seconds=interval)
    graph.override(node, "pnl", 2000.0)
    graph.override(node, "size", 24_000.0)
    graph.update(node, "current_price", 230.5)
    graph.update(node, "current_price", 240.0)
    graph.clear_override(node, "size")
    assert position._store_version == 1
    graph.clear_override(node, "pnl")
    assert store.written.wait(30)
    assert (newest(store).current_price, newest(store).pnl) == (240.0, 2000.0)


def test_a_value_that_fails_is_not_written(
    graph: ReactiveGraph, store: Store, position: Position, node: str
) -> None:
    persist = auto_persist_effect(graph, node, store, position)
    graph.update(node, "current_price", "closed")
    assert position._store_version == 1
    assert persist.errors == 0
    graph.update(node, "current_price", 240.0)
    assert (position._store_version, newest(store).pnl) == (2, 2000.0)


def test_with_an_interval_many_changes_are_one_write(
    graph: ReactiveGraph, store: Store, position: Position, node: str
) -> None:
    persist = auto_persist_effect(graph, node, store, position, interval_seconds=0.05)
    with graph.batch():  # holds the timer off as well
        pass
    for price in range(231, 300):
        graph.update(node, "current_price", float(price))
    assert store.written.wait(30)
    persist.close()
    assert newest(store).current_price == 299.0
    assert position._store_version is not None
    assert position._store_version <= 3
    graph.update(node, "current_price", 1.0)
    persist.flush()
    assert newest(store).current_price == 299.0, "closed"


def test_closing_writes_what_waits(
    graph: ReactiveGraph, store: Store, position: Position, node: str
) -> None:
    persist = auto_persist_effect(graph, node, store, position, interval_seconds=3600)
    graph.update(node, "current_price", 240.0)
    assert position._store_version == 1
    persist.close()
    assert (position._store_version, newest(store).pnl) == (2, 2000.0)


def test_untracking_writes_what_waits(
    graph: ReactiveGraph, store: Store, position: Position, node: str
) -> None:
    graph.group_computed("total", [node], "pnl", sum)
    seen: list[Any] = []
    graph.group_effect("total", lambda _, value: seen.append(value))
    persist = auto_persist_effect(graph, node, store, position, interval_seconds=3600)
    graph.update(node, "current_price", 240.0)
    graph.untrack(node)
    assert (position._store_version, newest(store).pnl) == (2, 2000.0)
    assert seen == [1000.0, 2000.0, 0]
    persist.close()
    assert persist.errors == 0


@pytest.mark.parametrize("way", ["close", "untrack"])
@pytest.mark.parametrize("interval", [0.0, 3600.0])
def test_the_last_change_of_a_batch_is_written_too(
    graph: ReactiveGraph, store: Store, position: Position, node: str, way: str, interval: float
) -> None:
    persist = auto_persist_effect(graph, node, store, position, interval_seconds=interval)
    with graph.batch():
        graph.update(node, "current_price", 240.0)
        if way == "close":
            persist.close()
        else:
            graph.untrack(node)
    assert (position._store_version, newest(store).pnl) == (2, 2000.0)
    assert persist.errors == 0


def test_an_end_without_a_change_of_computed_values_writes_nothing(
    graph: ReactiveGraph, store: Store, position: Position, node: str
) -> None:
    persist = auto_persist_effect(graph, node, store, position)
    graph.update(node, "current_price", "closed")
    persist.close()
    graph.untrack(node)
    assert (position._store_version, persist.errors) == (1, 0)


def test_a_timer_that_could_not_be_started_is_started_later(
    graph: ReactiveGraph,
    store: Store,
    position: Position,
    node: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    persist = auto_persist_effect(graph, node, store, position, interval_seconds=0.01)

    def no_thread(_: threading.Timer) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Timer, "start", no_thread)
        graph.update(node, "current_price", 240.0)
    assert graph.callback_errors == 1
    graph.update(node, "current_price", 250.0)
    assert store.written.wait(30)
    persist.close()
    assert newest(store).current_price == 250.0


def test_a_value_of_no_field_may_fail(
    graph: ReactiveGraph, store: Store, position: Position, node: str
) -> None:
    graph.computed(node, "fails", lambda _: 1 / 0)
    persist = auto_persist_effect(graph, node, store, position)
    graph.update(node, "current_price", 240.0)
    assert (persist.errors, newest(store).pnl) == (0, 2000.0)


def test_objects_with_computed_methods(graph: ReactiveGraph, store: Store) -> None:
    @dataclass
    class Live:
        price: float = 1.0
        _store_entity_id = None
        _store_version = None

        @computed
        def double(self) -> float:
            return self.price * 2

    live = Live()
    store.write(live)
    auto_persist_effect(graph, graph.track(live), store, live)
    live.price = 5.0
    store.change("entity 0", price=7.0)
    live.price = 6.0
    assert live._store_version == len(store.versions["entity 0"]) == 4
    assert (newest(store).price, live.double) == (6.0, 12.0)


def test_the_fake_is_what_the_bridge_asks_for(store: Store) -> None:
    client: StoreClient = store
    assert isinstance(client, ReadsBack)
    assert isinstance(VersionConflict("e", 1, 2), Conflict)
    assert not isinstance(ValueError(), Conflict)


def test_a_failure_is_not_tried_again_because_of_what_it_took_over(
    graph: ReactiveGraph, store: Store, position: Position, node: str
) -> None:
    """Else a store that somebody else keeps writing to would be written to without an end."""
    attempts = []

    class Disturbed(Store):
        def update(self, obj: Any) -> None:
            attempts.append(obj)
            store.change("entity 0", quantity=100 + len(attempts))
            store.update(obj)

        def read(self, cls: type, entity_id: str) -> Any:
            return store.read(cls, entity_id)

    persist = auto_persist_effect(graph, node, Disturbed(), position)
    graph.update(node, "current_price", 240.0)
    assert (len(attempts), persist.errors, graph.callback_errors) == (2, 1, 1)


def test_an_override_that_changed_nothing_writes_nothing(
    graph: ReactiveGraph, store: Store, position: Position, node: str
) -> None:
    persist = auto_persist_effect(graph, node, store, position)
    graph.override(node, "pnl", 5000.0)
    graph.clear_override(node, "pnl")
    persist.flush()
    persist.close()
    assert position._store_version == 1


def test_only_the_tracked_object_can_be_written(
    graph: ReactiveGraph, store: Store, position: Position, node: str
) -> None:
    assert graph.object_of(node) is position
    with pytest.raises(PersistError, match="another object"):
        auto_persist_effect(graph, node, store, copy.copy(position))
    with pytest.raises(KeyError):
        auto_persist_effect(graph, "nobody", store, position)
