"""A bridge shows what its role may see, and no more once that is taken away."""

from __future__ import annotations

from store.client import StoreClient
from store.models import Trade
from store.permissions import share_read, share_write, unshare
from tests.bridge.books import present, rows_of, trades
from tests.bridge.conftest import MakeBridge
from tests.processes import wait_until


def ids(table: object) -> set[str]:
    return {row[0] for row in rows_of(table, "EntityId")}


def test_only_what_is_shared_is_shown(
    make_bridge: MakeBridge, alice: StoreClient, bob: StoreClient
) -> None:
    shared, hidden, written = trades(3)
    alice.write_many([shared, hidden, written])
    assert shared._store_entity_id
    assert written._store_entity_id
    share_read(alice.conn, shared._store_entity_id, "bob")
    bridge = make_bridge("bob")
    bridge.register(Trade)
    bridge.start("beginning")
    share_write(alice.conn, written._store_entity_id, "bob")
    for trade in (shared, hidden, written):
        trade.price = 9.0
        alice.update(trade)
    own = trades(1)[0]
    bob.write(own)
    assert bridge.flush()
    visible = {shared._store_entity_id, written._store_entity_id, own._store_entity_id}
    assert ids(bridge.live(Trade)) == visible
    assert sorted(rows_of(bridge.live(Trade))) == present(bob, Trade)
    assert ids(bridge.table(Trade)) <= visible


def test_unshared_entities_leave_live_and_come_back(
    make_bridge: MakeBridge, alice: StoreClient, bob: StoreClient
) -> None:
    book = trades(3)
    names = alice.write_many(book)
    for name in names:
        share_read(alice.conn, name, "bob")
    bridge = make_bridge("bob")
    bridge.register(Trade)
    bridge.start("present")
    assert bridge.flush()
    assert ids(bridge.live(Trade)) == set(names)
    unshare(alice.conn, names[0], "bob")
    # By itself, without anybody asking for it.
    wait_until(lambda: ids(bridge.live(Trade)) == set(names[1:]), 10, "its leaving")
    rows = bridge.table(Trade).size
    book[0].price = 9.0
    alice.update(book[0])
    assert bridge.flush()
    assert bridge.table(Trade).size == rows
    assert ids(bridge.live(Trade)) == set(names[1:])
    share_read(alice.conn, names[0], "bob")
    assert bridge.flush()
    assert sorted(rows_of(bridge.live(Trade))) == present(bob, Trade)
    book[0].price = 10.0
    alice.update(book[0])
    assert bridge.flush()
    assert sorted(rows_of(bridge.live(Trade))) == present(bob, Trade)
    bridge.stop()
    unshare(alice.conn, names[1], "bob")
    again = make_bridge("bob", subscriber_id="again")
    again.register(Trade)
    again.start("beginning")
    assert again.flush()
    assert ids(again.table(Trade)) == ids(again.live(Trade)) == {names[0], names[2]}


def test_a_change_by_time_of_an_entity_that_was_unshared_stays_hidden(
    make_bridge: MakeBridge, alice: StoreClient
) -> None:
    from datetime import datetime, timedelta, timezone

    trade = trades(1)[0]
    name = alice.write(trade)
    share_read(alice.conn, name, "bob")
    soon = datetime.now(timezone.utc) + timedelta(seconds=1)
    trade.price = 7.0
    alice.update(trade, valid_to=soon)
    bridge = make_bridge("bob")
    bridge.register(Trade)
    bridge.start()
    assert bridge.flush()
    unshare(alice.conn, name, "bob")
    assert bridge.flush()
    assert ids(bridge.live(Trade)) == set()
    wait_until(lambda: datetime.now(timezone.utc) > soon, 5, "the change")
    assert bridge.flush()
    assert ids(bridge.live(Trade)) == set()
