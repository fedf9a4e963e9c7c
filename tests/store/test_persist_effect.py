"""Computed values of a graph, written back to the real store."""

from __future__ import annotations

import threading
from dataclasses import dataclass

import pytest

from reactive import Field, PersistError, ReactiveGraph, auto_persist_effect, computed
from store import Storable
from store.client import StoreClient
from tests.processes import wait_until
from tests.store.desk import Desk


@dataclass
class Held(Storable):
    symbol: str = "AAPL"
    quantity: int = 100
    avg_cost: float = 220.0
    current_price: float = 230.0
    pnl: float = 1000.0


@dataclass
class Live(Storable):
    symbol: str = "AAPL"
    quantity: int = 100
    current_price: float = 230.0

    @computed
    def value(self) -> float:
        return self.current_price * self.quantity


PNL = (Field("current_price") - Field("avg_cost")) * Field("quantity")


@pytest.fixture
def graph() -> ReactiveGraph:
    return ReactiveGraph()


@pytest.fixture
def held(alice: StoreClient) -> Held:
    held = Held()
    alice.write(held)
    return held


@pytest.fixture
def node(graph: ReactiveGraph, held: Held) -> str:
    node = graph.track(held)
    graph.computed(node, "pnl", PNL)
    return node


def stored(client: StoreClient, obj: Held) -> Held:
    assert obj._store_entity_id is not None
    found = client.read(Held, obj._store_entity_id)
    assert found is not None
    return found


def test_an_update_is_one_version(
    graph: ReactiveGraph, alice: StoreClient, held: Held, node: str
) -> None:
    persist = auto_persist_effect(graph, node, alice, held)
    graph.update(node, "current_price", 235.0)
    graph.batch_update(node, {"current_price": 240.0, "quantity": 10})
    graph.update(node, "symbol", "MSFT")
    assert persist.errors == 0
    assert held._store_entity_id is not None
    versions = alice.history(Held, held._store_entity_id)
    assert [(v._store_version, v.pnl) for v in versions] == [(1, 1000.0), (2, 1500.0), (3, 200.0)]
    assert versions[-1].symbol == "AAPL", "a field that no computed value reads is no reason"
    assert held._store_version == 3


def test_a_conflict_is_read_again_and_written_once_more(
    graph: ReactiveGraph, desk: Desk, alice: StoreClient, held: Held, node: str
) -> None:
    persist = auto_persist_effect(graph, node, alice, held)
    elsewhere = desk.client("alice")
    theirs = stored(elsewhere, held)
    theirs.quantity, theirs.current_price = 10, 1.0
    elsewhere.update(theirs)
    graph.update(node, "current_price", 240.0)
    found = stored(elsewhere, held)
    assert persist.errors == 0
    assert (found._store_version, found.quantity, found.current_price, found.pnl) == (
        3,
        10,
        240.0,
        200.0,
    )
    assert (held._store_version, held.quantity, held.pnl) == (3, 10, 200.0)
    assert graph.get(node, "pnl") == 200.0


def test_a_second_conflict_is_said(
    graph: ReactiveGraph,
    desk: Desk,
    alice: StoreClient,
    held: Held,
    node: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Somebody writes between every reading and every writing."""
    elsewhere = desk.client("alice")

    class Disturbed:
        def update(self, obj: Held) -> None:
            theirs = stored(elsewhere, held)
            theirs.quantity += 1
            elsewhere.update(theirs)
            alice.update(obj)

        def read(self, cls: type[Held], entity_id: str) -> Held | None:
            return alice.read(cls, entity_id)

    persist = auto_persist_effect(graph, node, Disturbed(), held)
    graph.update(node, "current_price", 240.0)
    assert (persist.errors, graph.callback_errors) == (1, 1)
    assert PersistError.__name__ in caplog.text
    assert "twice in a row" in caplog.text
    found = stored(elsewhere, held)
    assert (found._store_version, found.current_price) == (3, 230.0)
    assert held.current_price == 240.0, "the graph is right, the store is behind"


def test_many_changes_within_an_interval_are_one_version(
    graph: ReactiveGraph, alice: StoreClient, held: Held, node: str
) -> None:
    persist = auto_persist_effect(graph, node, alice, held, interval_seconds=0.2)
    with graph.batch():  # other threads wait, the timer's too
        graph.update(node, "current_price", 250.0)
    changes = threading.Thread(
        target=lambda: [graph.update(node, "current_price", 250.0 + n) for n in range(1, 100)]
    )
    changes.start()
    changes.join()
    wait_until(lambda: stored(alice, held).current_price == 349.0, 30, "the last price")
    persist.close()
    assert persist.errors == 0
    found = stored(alice, held)
    assert found.pnl == 12_900.0
    assert found._store_version is not None
    assert found._store_version <= 4


def test_objects_that_follow_assignments(graph: ReactiveGraph, alice: StoreClient) -> None:
    live = Live()
    alice.write(live)
    auto_persist_effect(graph, graph.track(live), alice, live)
    live.current_price = 231.0
    assert live.value == 23_100.0
    assert live._store_entity_id is not None
    found = alice.read(Live, live._store_entity_id)
    assert found == live
    assert found is not None
    assert (found._store_version, found.value) == (2, 23_100.0)


def test_a_deleted_entity_is_not_revived(
    graph: ReactiveGraph,
    desk: Desk,
    alice: StoreClient,
    held: Held,
    node: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    persist = auto_persist_effect(graph, node, alice, held)
    elsewhere = desk.client("alice")
    elsewhere.delete(stored(elsewhere, held))
    graph.update(node, "current_price", 240.0)
    assert persist.errors == 1
    assert "not in the store any more" in caplog.text
    assert held._store_entity_id is not None
    assert alice.read(Held, held._store_entity_id) is None


def test_a_failed_write_leaves_the_graph_right_and_is_made_good(
    graph: ReactiveGraph, alice: StoreClient, held: Held, node: str
) -> None:
    persist = auto_persist_effect(graph, node, alice, held)
    graph.update(node, "current_price", 1e308)  # times the quantity it is beyond a double
    assert persist.errors == 0, "there is no value to write"
    assert stored(alice, held)._store_version == 1
    graph.update(node, "current_price", 231.0)
    assert (stored(alice, held)._store_version, stored(alice, held).pnl) == (2, 1100.0)
