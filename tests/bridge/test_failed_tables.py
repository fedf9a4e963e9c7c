"""Tables that fail in the engine: noticed, shown, and made anew with the rows that they had."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from bridge import Push, State, StoreBridge, TableWriter, push, push_group
from reactive import Field, ReactiveGraph
from store.client import StoreClient
from store.models import Order, Signal
from store.permissions import unshare_read
from tests.bridge.books import rows_of
from tests.bridge.classes import Overridden
from tests.bridge.conftest import MakeBridge
from tests.processes import wait_until
from tests.store.desk import Desk


def until(condition: Callable[[], Any]) -> None:
    wait_until(condition, 30, "the tables are as they should be")


def end_in_engine(stream: Any) -> None:
    """Let a table fail as the engine does it: with all that is made of it, for good."""
    stream._target.publisher.publish_failure(RuntimeError("ended by a test"))
    until(lambda: bool(stream.table.j_table.isFailed()))


def raw_stream(bridge: StoreBridge, cls: Any) -> Any:
    return bridge._feeds.by_class[cls].target._stream  # type: ignore[attr-defined]


def live_stream(bridge: StoreBridge, cls: Any) -> Any:
    live = bridge._feeds.by_class[cls].live
    assert live is not None
    return live._stream


def await_replaced(bridge: StoreBridge, cls: Any, times: int) -> None:
    def is_well() -> bool:
        status = bridge.status()
        table = status.tables[cls.__name__]
        return table.replaced == times and not table.failed and status.state is State.LIVE

    until(is_well)
    assert bridge.flush()


@pytest.fixture
def names() -> Iterator[dict[str, Any]]:
    """Variables of the main module; at the end they are again as they were."""
    variables = vars(sys.modules["__main__"])
    before = dict(variables)
    yield variables
    for name in set(variables) - set(before):
        del variables[name]
    # The session's server and its clients go on with those of its market.
    variables.update(before)


@pytest.mark.parametrize("from_", ["beginning", "present", "now"])
def test_both_tables_are_made_anew_with_the_same_rows(
    from_: Any, make_bridge: MakeBridge, alice: StoreClient, names: dict[str, Any]
) -> None:
    old = [Signal(symbol=f"OLD{n}", strength=0.5) for n in range(3)]
    alice.write_many(old)
    alice.delete(old[0])
    bridge = make_bridge()
    bridge.register(Signal)
    bridge.register(Order)
    replaced: list[type] = []
    bridge.on_replaced = replaced.append
    bridge.start(from_)
    new = Signal(symbol="NEW", strength=0.1)
    alice.write(new)
    new.strength = 0.2
    alice.update(new)
    assert bridge.flush()
    columns = ("EntityId", "Version", "EventType", "symbol", "strength")
    raw, live = (rows_of(t, *columns) for t in (bridge.table(Signal), bridge.live(Signal)))
    counted = bridge.status().tables["Signal"]
    names["signals_raw"] = before = bridge.table(Signal)
    names["signals_live"] = bridge.live(Signal)
    orders = bridge.table(Order)

    end_in_engine(raw_stream(bridge, Signal))
    end_in_engine(live_stream(bridge, Signal))
    await_replaced(bridge, Signal, 2)

    assert bridge.table(Signal) is not before
    assert names["signals_raw"] is bridge.table(Signal)
    assert names["signals_live"] is bridge.live(Signal)
    assert bridge.table(Order) is orders
    assert set(replaced) == {Signal}
    shown = rows_of(bridge.table(Signal), *columns)
    if from_ == "present":
        # It begins with the present again: one row of each entity.
        newest = {row[0]: row for row in raw}
        assert sorted(shown) == sorted(row for row in newest.values() if row[2] != "DELETED")
    else:
        assert shown == raw
        after = bridge.status().tables["Signal"]
        assert (after.rows, after.deletions) == (counted.rows, counted.deletions)
    assert sorted(rows_of(bridge.live(Signal), *columns)) == sorted(live)

    # What follows is in both, once.
    new.strength = 0.3
    alice.update(new)
    alice.delete(old[1])
    assert bridge.flush()
    entity_id = new._store_entity_id
    assert rows_of(bridge.table(Signal), *columns)[-2:] == [
        (entity_id, 3, "UPDATED", "NEW", 0.3),
        (old[1]._store_entity_id, 2, "DELETED", "OLD1", 0.5),
    ]
    assert sorted(row[3] for row in rows_of(bridge.live(Signal), *columns)) == ["NEW", "OLD2"]


def test_a_bounded_table_has_its_newest_rows_again(
    make_bridge: MakeBridge, alice: StoreClient
) -> None:
    bridge = make_bridge()
    bridge.register(Signal, rows=10, filter=Field("strength") > 0.4)
    bridge.start("beginning")
    for first in range(0, 60, 4):
        shown = [Signal(symbol=f"S{first + n}", strength=0.5) for n in range(4)]
        # What the filter leaves out takes no row's place.
        faint = [Signal(symbol="FAINT", strength=0.1) for _ in range(8)]
        alice.write_many([*shown, *faint])
        assert bridge.flush()
    newest = [(f"S{n}",) for n in range(50, 60)]
    assert rows_of(bridge.table(Signal), "symbol") == newest
    end_in_engine(raw_stream(bridge, Signal))
    await_replaced(bridge, Signal, 1)
    assert rows_of(bridge.table(Signal), "symbol") == newest
    # The log was read again from near the rows that are kept, not from the beginning.
    assert bridge.status().tables["Signal"].rows < 60


def test_a_value_that_does_not_fit_is_counted_once_however_often_its_table_is_made(
    make_bridge: MakeBridge, alice: StoreClient
) -> None:
    bridge = make_bridge()
    bridge.register(Overridden)
    bridge.start()
    alice.write(Overridden(tiny=1_000))
    assert bridge.flush()
    assert bridge.status().tables["Overridden"].conversion_errors == {"tiny": 1}
    end_in_engine(live_stream(bridge, Overridden))
    await_replaced(bridge, Overridden, 1)
    assert bridge.live(Overridden).size == 1
    assert bridge.status().tables["Overridden"].conversion_errors == {"tiny": 1}


def test_a_table_that_is_made_anew_shows_nothing_that_was_taken_away(
    make_bridge: MakeBridge, alice: StoreClient, bob: StoreClient
) -> None:
    from store.permissions import share_read

    seen = Signal(symbol="SEEN", strength=0.5)
    alice.write(seen)
    entity_id = seen._store_entity_id
    assert entity_id
    share_read(alice.conn, entity_id, "bob")
    bob.write(Signal(symbol="OWN", strength=0.5))
    bridge = make_bridge("bob")
    bridge.register(Signal)
    bridge.start("beginning")
    assert bridge.flush()
    assert bridge.table(Signal).size == 2
    unshare_read(alice.conn, entity_id, "bob")
    end_in_engine(raw_stream(bridge, Signal))
    end_in_engine(live_stream(bridge, Signal))
    await_replaced(bridge, Signal, 2)
    assert rows_of(bridge.table(Signal), "symbol") == [("OWN",)]
    assert rows_of(bridge.live(Signal), "symbol") == [("OWN",)]


def test_events_that_come_meanwhile_are_there_once(
    make_bridge: MakeBridge, alice: StoreClient
) -> None:
    bridge = make_bridge()
    bridge.register(Signal)
    bridge.start("beginning")
    signals = [Signal(symbol=f"S{n}", strength=0.5) for n in range(50)]
    for n, signal in enumerate(signals):
        alice.write(signal)
        if n == 20:
            end_in_engine(raw_stream(bridge, Signal))
            end_in_engine(live_stream(bridge, Signal))
        if n % 5 == 0:
            signal.strength = 0.75
            alice.update(signal)
    await_replaced(bridge, Signal, 2)
    rows = rows_of(bridge.table(Signal), "EntityId", "Version")
    assert len(rows) == len(set(rows)) == 60
    assert bridge.live(Signal).size == 50


def test_the_status_says_so_until_the_table_is_there_again(
    make_bridge: MakeBridge, alice: StoreClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bridge import mending

    bridge = make_bridge()
    bridge.register(Signal)
    bridge.start()
    alice.write(Signal(symbol="A", strength=0.5))
    assert bridge.flush()
    # The first failure is mended at once, the next in a row only after a pause.
    monkeypatch.setattr(mending, "PAUSE_SECONDS_MAX", 3_600.0)
    end_in_engine(raw_stream(bridge, Signal))
    await_replaced(bridge, Signal, 1)
    bridge._follower._mender._pauses[bridge._feeds.by_class[Signal], "raw"]._next += 3_600  # type: ignore[union-attr]
    end_in_engine(raw_stream(bridge, Signal))
    status = bridge.status()
    assert status.state is State.DEGRADED
    assert "raw of Signal" in status.error
    assert (status.tables["Signal"].failed, status.tables["Signal"].replaced) == (("raw",), 1)


def test_a_store_that_goes_away_in_the_middle_is_no_end(
    make_bridge: MakeBridge, alice: StoreClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bridge import follower, mending

    monkeypatch.setattr(follower, "PAGE_EVENTS", 4)
    monkeypatch.setattr(mending, "PAUSE_SECONDS", 0.1)
    bridge = make_bridge()
    bridge.register(Signal)
    bridge.start("beginning")
    alice.write_many([Signal(symbol=f"S{n}", strength=0.5) for n in range(20)])
    assert bridge.flush()
    raw = rows_of(bridge.table(Signal), "symbol")
    mender = bridge._follower._mender  # type: ignore[union-attr]
    read, calls = mender._read, 0

    def cut_off(session: Any, position: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 3:
            session.conn.close()
        return read(session, position)

    monkeypatch.setattr(mender, "_read", cut_off)
    end_in_engine(raw_stream(bridge, Signal))
    until(lambda: calls > 5 and bridge.status().state is State.LIVE)
    assert bridge.flush()
    assert rows_of(bridge.table(Signal), "symbol") == raw
    assert bridge.status().reconnects >= 1


@pytest.mark.parametrize("bound", [None, 1_000])
def test_a_writer_begins_anew_and_its_classes_are_written_again(
    bound: int | None, make_bridge: MakeBridge, alice: StoreClient, names: dict[str, Any]
) -> None:
    from bridge import infer_dh_schema

    shared = TableWriter(infer_dh_schema(Signal), rows=bound, keys="symbol")
    try:
        names["shared_table"], names["shared_live"] = shared.table, shared.live()
        bridge = make_bridge()
        bridge.register(Signal, writer=shared)
        bridge.start("beginning")
        alice.write(Signal(symbol="A", strength=0.5))
        assert bridge.flush()
        replaced: list[int] = []
        shared.on_replaced = lambda: replaced.append(shared.stats.replaced)
        end_in_engine(shared._stream)
        until(lambda: shared.stats.replaced == 1 and not shared.has_failed())
        until(lambda: rows_of(bridge.table(Signal), "symbol") == [("A",)])
        assert replaced == [1]
        assert names["shared_table"] is shared.table is bridge.table(Signal)
        assert names["shared_live"] is shared.live()
        shared.write_row(*[None] * 6, "B", *[None] * (len(shared.columns) - 7))
        assert shared.flush()
        assert sorted(rows_of(shared.live(), "symbol")) == [("A",), ("B",)]
    finally:
        shared.close()


@dataclass
class Held:
    symbol: str
    price: float
    quantity: int


def test_a_pushed_table_begins_with_what_the_graph_holds(
    engine: Any, pushes: list[Push], names: dict[str, Any]
) -> None:
    graph = ReactiveGraph()
    nodes = [graph.track(Held("AAPL", 10.0, 2)), graph.track(Held("IBM", 20.0, 3))]
    for node in nodes:
        graph.computed(node, "value", Field("price") * Field("quantity"))
    graph.group_computed("total", nodes, "value", sum)
    pushes.append(push(graph, nodes, fields="symbol", computed="value", keys="symbol", rows=100))
    pushes.append(push_group(graph, "total"))
    pushed, totals = pushes
    graph.update(nodes[0], "price", 11.0)
    assert pushed.flush()
    assert totals.flush()
    names["risk_live"] = pushed.live()
    for each in pushes:
        own = each._rows._own
        assert own
        end_in_engine(own._stream)
        until(lambda own=own: own.stats.replaced == 1 and not own.has_failed())  # type: ignore[misc]
        until(each.flush)
    assert names["risk_live"] is pushed.live()
    until(
        lambda: sorted(rows_of(pushed.live(), "symbol", "value")) == [("AAPL", 22.0), ("IBM", 60.0)]
    )
    until(lambda: rows_of(totals.table, "Group", "Value") == [("total", 82.0)])
    graph.update(nodes[1], "quantity", 4)
    assert pushed.flush()
    assert ("IBM", 80.0) in rows_of(pushed.live(), "symbol", "value")


def test_a_table_of_a_user_is_watched_too(make_bridge: MakeBridge, alice: StoreClient) -> None:
    from deephaven.stream.table_publisher import table_publisher

    from bridge import infer_dh_schema

    table, publisher = table_publisher("of a user", infer_dh_schema(Signal))
    bridge = make_bridge()
    bridge.register(Signal, writer=(table, publisher))
    bridge.start()
    publisher.publish_failure(RuntimeError("ended by a test"))
    until(lambda: bridge.status().tables["Signal"].failed == ("raw",))
    assert bridge.status().state is State.DEGRADED
    assert bridge.status().tables["Signal"].replaced == 0


EDGES = [datetime(2262, 4, 11, 23, 47, 15, 999_999), datetime(1677, 9, 21, 0, 12, 43, 145_225)]


def test_the_last_moments_of_an_instant_are_shown_and_those_beyond_are_counted(
    make_bridge: MakeBridge, alice: StoreClient, desk: Desk
) -> None:
    bridge = make_bridge()
    bridge.register(Signal)
    bridge.start("now")
    moments = [edge.replace(tzinfo=timezone.utc) for edge in EDGES]
    beyond = [
        *(moments[0] + timedelta(microseconds=n) for n in (1, 500_000, 854_775, 854_776)),
        moments[1] - timedelta(microseconds=1),
        datetime(9999, 12, 31, tzinfo=timezone.utc),
        datetime(1, 1, 1, tzinfo=timezone.utc),
    ]
    for moment in [*moments, *beyond]:
        alice.write(Signal(symbol="A", strength=0.5, timestamp=moment))
    assert bridge.flush()
    for table in (bridge.table(Signal), bridge.live(Signal)):
        # Everything that an engine does with a time.
        asked = table.sort("timestamp").update(
            ["Day = toLocalDate(timestamp, 'UTC')", "Text = `` + timestamp"]
        )
        assert sorted(rows_of(asked, "timestamp"), key=str) == sorted(
            rows_of(table, "timestamp"), key=str
        )
        shown = [row[0] for row in rows_of(table, "timestamp")]
        assert sorted(n for n in shown if n is not None) == [
            -9_223_372_036_854_775_000,
            9_223_372_035_999_999_000,
        ]
        assert shown.count(None) == len(beyond)
        assert not table.j_table.isFailed()
    status = bridge.status()
    assert status.state is State.LIVE
    assert status.tables["Signal"].conversion_errors == {"timestamp": len(beyond)}
