"""The bridge's tables say what the store says: every version once, and the present state."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from bridge import BridgeClosed, BridgeError, NotRegistered, RegistrationError, State
from reactive import Const, Field
from store.client import StoreClient
from store.models import Order, Signal, Trade
from tests.bridge.books import (
    META,
    PERIOD,
    assert_same_versions,
    histories,
    present,
    rows_of,
    trades,
)
from tests.bridge.conftest import MakeBridge
from tests.processes import wait_until
from tests.store.desk import Desk

HOUR = timedelta(hours=1)


def now() -> datetime:
    return datetime.now(timezone.utc)


def test_the_columns_are_the_documented_ones(make_bridge: MakeBridge) -> None:
    bridge = make_bridge()
    bridge.register(Trade)
    bridge.register(Order, columns=["status", "symbol"])
    fields = ["symbol", "quantity", "price", "side", "timestamp"]
    for table in (bridge.table(Trade), bridge.live(Trade)):
        assert table.column_names == [*META, *fields, *PERIOD]
        types = {column.name: str(column.data_type) for column in table.columns}
        assert types == {
            **dict.fromkeys(["EntityId", "EventType", "State", "UpdatedBy"], "java.lang.String"),
            **dict.fromkeys(["symbol", "side"], "java.lang.String"),
            **dict.fromkeys(["Version", "quantity"], "long"),
            **dict.fromkeys(["TxTime", "timestamp", "ValidFrom", "ValidTo"], "java.time.Instant"),
            "price": "double",
        }
    assert bridge.table(Order).column_names == [*META, "status", "symbol", *PERIOD]


def test_every_version_is_a_row_with_its_own_data(
    make_bridge: MakeBridge, alice: StoreClient
) -> None:
    bridge = make_bridge()
    bridge.register(Trade)
    bridge.start()
    trade = trades(1)[0]
    entity_id = alice.write(trade)
    for price in (2.0, 3.0, 4.0):
        trade.price = price
        alice.update(trade)
    trade.price = 5.0
    alice.update(trade, valid_from=now() - 2 * HOUR, valid_to=now() - HOUR)
    alice.delete(trade)
    assert bridge.flush()
    shown = rows_of(bridge.table(Trade))
    assert [row[2] for row in shown] == ["CREATED", *["UPDATED"] * 3, "CORRECTED", "DELETED"]
    assert_same_versions(shown, histories(alice, Trade, [entity_id]))
    assert rows_of(bridge.live(Trade)) == []


def test_live_is_what_a_query_says(make_bridge: MakeBridge, alice: StoreClient) -> None:
    bridge = make_bridge()
    bridge.register(Trade)
    bridge.start()
    book = trades(6)
    alice.write_many(book)
    alice.delete(book[0])
    book[1].price = 9.0
    alice.update(book[1], valid_from=now() - 2 * HOUR, valid_to=now() - HOUR)
    book[2].price = 9.0
    alice.update(book[2], valid_from=now() + HOUR)
    book[3].price = 9.0
    alice.update(book[3], valid_to=now() + HOUR)
    alice.delete(book[4], valid_from=now() - HOUR, valid_to=now() - HOUR / 2)
    alice.delete(book[5], valid_to=now() + HOUR)
    assert bridge.flush()
    shown = sorted(rows_of(bridge.live(Trade)))
    assert shown == present(alice, Trade)
    assert [row[6 + 2] for row in shown] == [2.5, 3.5, 9.0, 5.5]


def test_live_changes_when_time_passes(make_bridge: MakeBridge, alice: StoreClient) -> None:
    bridge = make_bridge()
    bridge.register(Trade)
    ends, begins, hole = trades(3)
    alice.write_many([ends, begins, hole])
    soon = now() + timedelta(seconds=1.5)
    ends.price = 100.0
    alice.update(ends, valid_to=soon)
    bridge.start()
    begins.price = 200.0
    alice.update(begins, valid_from=soon)
    alice.delete(hole, valid_to=soon)
    fresh = trades(1)[0]
    alice.write(fresh, valid_from=soon)
    assert bridge.flush()
    if now() < soon:
        assert sorted(row[8] for row in rows_of(bridge.live(Trade))) == [2.5, 100.0]
    wait_until(lambda: now() > soon, 5, "the moment of the change")
    wanted = [1.5, 1.5, 3.5, 200.0]
    wait_until(
        lambda: sorted(row[8] for row in rows_of(bridge.live(Trade))) == wanted, 5, str(wanted)
    )
    assert sorted(rows_of(bridge.live(Trade))) == present(alice, Trade)


def test_a_filter_holds_for_raw_and_live(make_bridge: MakeBridge, alice: StoreClient) -> None:
    bridge = make_bridge()
    bridge.register(Trade, filter=(Field("symbol") == Const("AAPL")) & (Field("price") > 1))
    apple, ibm = trades(1)[0], trades(1, "IBM")[0]
    early = trades(1)[0]
    alice.write(early)
    bridge.start()
    alice.write(apple)
    alice.write(ibm)
    assert bridge.flush()
    assert len(rows_of(bridge.live(Trade))) == 2
    apple.symbol = "MSFT"
    alice.update(apple)
    early.price = 0.5
    alice.update(early)
    ibm.symbol = "AAPL"
    alice.update(ibm)
    assert bridge.flush()
    assert [row[0] for row in rows_of(bridge.live(Trade))] == [ibm._store_entity_id]
    shown = [(row[0], row[1]) for row in rows_of(bridge.table(Trade))]
    assert shown == [(apple._store_entity_id, 1), (ibm._store_entity_id, 2)]
    assert bridge.status().tables["Trade"].filtered == 3
    apple.symbol = "AAPL"
    alice.update(apple)
    assert bridge.flush()
    assert sorted(rows_of(bridge.live(Trade))) == present(
        alice, Trade, (Field("symbol") == "AAPL") & (Field("price") > 1)
    )


@pytest.mark.parametrize("from_", ["beginning", "present", "now", "resume", "position"])
def test_where_the_raw_table_begins(
    make_bridge: MakeBridge, alice: StoreClient, desk: Desk, from_: Any
) -> None:
    from store.subscriptions.event_log import EventLog

    kept, deleted = trades(2)
    ids = alice.write_many([kept, deleted])
    place = EventLog(alice.conn).end()
    kept.price = 7.0
    alice.update(kept)
    alice.delete(deleted)
    bridge = make_bridge()
    bridge.register(Trade)
    bridge.start(place if from_ == "position" else from_)
    kept.price = 8.0
    alice.update(kept)
    assert bridge.flush()
    shown = [(row[0], row[1]) for row in rows_of(bridge.table(Trade))]
    keeps, goes = ids
    wanted = {
        "beginning": [(keeps, 1), (goes, 1), (keeps, 2), (goes, 2), (keeps, 3)],
        "present": [(keeps, 2), (keeps, 3)],
        "now": [(keeps, 3)],
        "resume": [(keeps, 3)],
        "position": [(keeps, 2), (goes, 2), (keeps, 3)],
    }
    assert shown == wanted[from_]
    assert sorted(rows_of(bridge.live(Trade))) == present(alice, Trade)


def test_a_bridge_goes_on_where_the_one_before_it_stopped(
    make_bridge: MakeBridge, alice: StoreClient
) -> None:
    first = make_bridge(subscriber_id="desk")
    first.register(Trade)
    first.start()
    one, two = trades(2)
    alice.write(one)
    assert first.flush()
    first.stop()
    alice.write(two)
    second = make_bridge(subscriber_id="desk")
    second.register(Trade)
    second.start()
    assert second.flush()
    assert [row[0] for row in rows_of(second.table(Trade))] == [two._store_entity_id]
    assert len(rows_of(second.live(Trade))) == 2


def test_the_default_id_is_no_hindrance_to_a_second_bridge(
    make_bridge: MakeBridge, alice: StoreClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bridge.follower.CLAIM_SECONDS", 0.2)
    monkeypatch.setattr("bridge.follower.SHARED_SECONDS", 0.2)
    bridges = [make_bridge(), make_bridge()]
    for bridge in bridges:
        bridge.register(Trade)
        bridge.start()
    assert [bridge.status().checkpoint for bridge in bridges] == [True, False]
    alice.write_many(trades(3))
    for bridge in bridges:
        assert bridge.flush()
        assert bridge.table(Trade).size == 3
    named = make_bridge(subscriber_id="mine")
    named.register(Trade)
    named.start()
    other = make_bridge(subscriber_id="mine")
    other.register(Trade)
    with pytest.raises(Exception, match="held by session"):
        other.start()


def test_bounded_tables_keep_the_newest_rows(make_bridge: MakeBridge, alice: StoreClient) -> None:
    bridge = make_bridge()
    bridge.register(Trade, rows=10)
    bridge.start()
    alice.write_many(trades(25))
    assert bridge.flush()
    assert [row[7] for row in rows_of(bridge.table(Trade))] == list(range(15, 25))
    assert bridge.live(Trade).size == 25


def test_status_counts(make_bridge: MakeBridge, alice: StoreClient) -> None:
    bridge = make_bridge()
    bridge.register(Trade)
    bridge.register(Signal)
    assert bridge.status().state is State.NEW
    bridge.start()
    book = trades(4)
    alice.write_many(book)
    alice.delete(book[0])
    alice.write(Signal(symbol="A", direction="LONG", strength=0.5, model_name="m"))
    assert bridge.flush()
    # It is measured once a second.
    wait_until(lambda: bridge.status().lag_age_seconds is not None, 10, "the lag")
    wait_until(lambda: bridge.status().lag_events == 0, 10, "no lag")
    status = bridge.status()
    assert status.state is State.LIVE
    assert (status.error, status.reconnects) == ("", 0)
    assert status.checkpoint
    trade = status.tables["Trade"]
    assert (trade.rows, trade.deletions, trade.filtered, trade.lost_rows) == (5, 1, 0, 0)
    assert status.tables["Signal"].rows == 1
    bridge.stop()
    bridge.stop()
    assert bridge.status().state is State.STOPPED
    with pytest.raises(BridgeClosed):
        bridge.flush()
    with pytest.raises(BridgeClosed):
        bridge.start()


def test_a_context_manager_starts_and_stops(make_bridge: MakeBridge, alice: StoreClient) -> None:
    bridge = make_bridge()
    bridge.register(Trade)
    with bridge:
        assert bridge.status().state in (State.LOADING, State.LIVE)
        assert bridge.start() is bridge
    assert bridge.status().state is State.STOPPED
    with make_bridge() as empty:
        empty.register(Trade)
        empty.start()
        alice.write_many(trades(2))
        assert empty.flush()
        assert empty.table(Trade).size == 2


def test_what_cannot_be_registered_is_refused_with_a_reason(make_bridge: MakeBridge) -> None:
    bridge = make_bridge()
    with pytest.raises(BridgeError, match="nothing is registered"):
        bridge.start()
    with pytest.raises(RegistrationError, match="not a class of the store"):
        bridge.register(dict)
    with pytest.raises(RegistrationError, match="colour"):
        bridge.register(Trade, filter=Field("colour") == "red")
    with pytest.raises(RegistrationError, match="Trade"):
        bridge.register(Trade, filter=Field("symbol") * 2 > 1)
    with pytest.raises(RegistrationError, match="an expression such as"):
        bridge.register(Trade, filter=lambda trade: True)  # type: ignore[arg-type]
    with pytest.raises(RegistrationError, match="one of its fields, once"):
        bridge.register(Trade, columns=["symbol", "symbol"])
    with pytest.raises(RegistrationError, match="rows=0"):
        bridge.register(Trade, rows=0)
    with pytest.raises(RegistrationError, match="has no write_row"):
        bridge.register(Trade, writer=object())
    bridge.register(Trade, live=False)
    with pytest.raises(RegistrationError, match="Trade is"):
        bridge.register(Trade)
    with pytest.raises(NotRegistered, match="live=False"):
        bridge.live(Trade)
    with pytest.raises(NotRegistered, match="Order is not registered"):
        bridge.table(Order)
    with pytest.raises(BridgeError, match="start='yesterday'"):
        bridge.start("yesterday")  # type: ignore[arg-type]
    bridge.start()
    with pytest.raises(RegistrationError, match="before start"):
        bridge.register(Order)


def test_a_wrong_password_is_told_at_the_start(desk: Desk, make_bridge: MakeBridge) -> None:
    from bridge import StoreBridge

    bridge = StoreBridge(user="alice", password="wrong", **desk.info)
    bridge.register(Trade)
    with pytest.raises(Exception, match="alice cannot log in"):
        bridge.start()
