"""Reading the log: in order, complete, and only what a role may see."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import pytest

from store import Order, Trade
from store.client import StoreClient
from store.errors import PositionError, StoreError
from store.permissions import share_read, unshare
from store.position import START, Position
from store.subscriptions import SubscriptionError
from store.subscriptions.event_log import EventLog, Page
from tests.store.desk import Desk
from tests.store.sql import clock


def read(log: EventLog, after: Position = START, limit: int = 7) -> tuple[list[Any], Position]:
    events, end = [], after
    for page in log.pages(after, limit):
        events += page.events
        end = page.end
    return events, end


def keys(events: list[Any]) -> list[tuple[str, int]]:
    return [(e.entity_id, e.version) for e in events]


def test_pages_give_everything_once_in_order(alice: StoreClient) -> None:
    objects = [Trade(symbol=f"S{n}", quantity=n) for n in range(20)]
    alice.write_many(objects)
    alice.update_many(objects[:10])
    alice.delete(objects[0])
    log = EventLog(alice.conn)
    events, end = read(log)
    assert len(events) == 31
    assert [e.position for e in events] == sorted(e.position for e in events)
    assert keys(events)[:20] == [(o._store_entity_id, 1) for o in objects]
    assert keys(events)[20:] == [(o._store_entity_id, 2) for o in objects[:10]] + [
        (objects[0]._store_entity_id, 3)
    ]
    assert read(log, end) == ([], log.end())
    assert keys(read(log, events[4].position)[0]) == keys(events)[5:]
    last = events[-1]
    assert (last.event_type, last.owner, last.updated_by) == ("DELETED", "alice", "alice")
    assert (last.valid_to, last.event_meta) == (None, None)
    assert Trade.from_json(events[3].data) == objects[3]


@pytest.mark.parametrize("by", [Order, "Order", "store.models.Order"])
def test_types_by_class_and_by_name(alice: StoreClient, by: Any) -> None:
    alice.write_many([Trade(symbol="T"), Order(symbol="O"), Trade(symbol="T")])
    events, _ = read(EventLog(alice.conn, types=[by]))
    assert [e.type_name for e in events] == ["store.models.Order"]
    assert EventLog(alice.conn, types=[by]).lag(START).events == 1
    with pytest.raises(SubscriptionError, match="names no type"):
        EventLog(alice.conn, types=[3])  # type: ignore[list-item]


def test_a_late_commit_is_waited_for(desk: Desk, alice: StoreClient) -> None:
    """What was written after it is not given before it: nothing is ever behind a reader."""
    log, early = EventLog(desk.client("alice").conn), desk.client("alice")
    with early.transaction():
        early.write(Trade(symbol="EARLY"))
        late = alice.write(Trade(symbol="LATE"))
        events, end = read(log)
        assert events == []
        lag = log.lag(end)
        assert (lag.events, lag.events_fenced) == (1, 1)
        assert lag.seconds > 0
    events, end = read(log, end)
    assert len(events) == 2
    assert events[1].entity_id == late
    assert log.lag(end).events == 0


def test_a_role_sees_its_own_and_does_not_look_twice(alice: StoreClient, bob: StoreClient) -> None:
    alice.write_many([Trade(symbol=f"S{n}") for n in range(50)])
    mine = bob.write(Trade(symbol="MINE"))
    log = EventLog(bob.conn)
    page = log.page(START, 10)
    assert keys(page.events) == [(mine, 1)]
    assert page.is_last
    # The next look begins behind all that bob may not see.
    assert page.end == Position(log.epoch, log.end().xid, 0)
    assert log.page(page.end) == Page([], page.end, True)


def test_far_looks_come_in_pieces(alice: StoreClient, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(8):
        alice.write(Trade(symbol="A"))
    monkeypatch.setattr("store.subscriptions.event_log.SPAN_XIDS", 3)
    log = EventLog(alice.conn)
    after = Position(log.epoch, log.end().xid - 12, 0)
    pages = list(log.pages(after))
    assert len(pages) == 4
    assert sum(len(page.events) for page in pages) == 8


def test_sharing_shows_what_comes_and_what_was_not_read_yet(
    alice: StoreClient, bob: StoreClient
) -> None:
    obj = Trade(symbol="AAPL")
    entity_id = alice.write(obj)
    log = EventLog(bob.conn)
    _, end = read(log)
    share_read(alice.conn, entity_id, "bob")
    # Sharing is no event, and the reader is past the first version.
    assert read(log, end)[0] == []
    alice.update(obj)
    alice.update(obj)
    assert keys(read(log, end)[0]) == [(entity_id, 2), (entity_id, 3)]
    assert len(read(log)[0]) == 3
    unshare(alice.conn, entity_id, "bob")
    assert read(log, end)[0] == []


def test_the_place_of_a_time(desk: Desk, alice: StoreClient) -> None:
    log = EventLog(alice.conn)
    before = clock(alice)
    first = alice.write(Trade(symbol="A"))
    between = clock(alice)
    second = alice.write(Trade(symbol="B"))
    assert keys(read(log, log.position_at(before))[0]) == [(first, 1), (second, 1)]
    assert keys(read(log, log.position_at(between))[0]) == [(second, 1)]
    assert log.position_at(clock(alice) + timedelta(days=1)) == log.end()
    early = desk.client("alice")
    with early.transaction():
        slow = early.write(Trade(symbol="SLOW"))
        moment = clock(alice)
        last = alice.write(Trade(symbol="C"))
        early.write(Trade(symbol="SLOW2"))
        place = log.position_at(moment)
    found = keys(read(log, place)[0])
    # All that was recorded at the moment or later; what is older by a hair may come as well.
    assert len(found) == 3
    assert found[0] == (slow, 1)
    assert (last, 1) in found
    with pytest.raises(StoreError, match="zone"):
        log.position_at(before.replace(tzinfo=None))


def test_positions_are_texts_too(alice: StoreClient) -> None:
    alice.write(Trade(symbol="A"))
    position = read(EventLog(alice.conn))[0][0].position
    assert Position.parse(str(position)) == position
    assert position > START
    assert Position.parse(str(START)) == START
    for wrong in ("", "1:2", "a:b:c", "e:-1:2", "e:1:2:3", "e:1:²", None):
        with pytest.raises(PositionError, match="is no position"):
            Position.parse(wrong)  # type: ignore[arg-type]


def test_a_place_in_another_cluster_is_refused(alice: StoreClient) -> None:
    log = EventLog(alice.conn)
    with pytest.raises(PositionError, match="another cluster"):
        log.page(Position("77", 1, 1))
    with pytest.raises(PositionError, match="another cluster"):
        log.lag(Position("77", 1, 1))


def test_readers_and_writers_at_the_same_time(desk: Desk) -> None:
    """Whatever writers do meanwhile, a reader that follows sees each event once, in order."""
    stop = threading.Event()
    written: list[list[str]] = [[] for _ in range(4)]

    def write(number: int) -> None:
        client = desk.client("alice")
        while not stop.is_set():
            with client.transaction():
                for _ in range(number + 1):
                    obj = Trade(symbol="A")
                    written[number].append(client.write(obj))
                    client.update(obj)

    threads = [threading.Thread(target=write, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    log, events, end = EventLog(desk.client("alice").conn), [], START
    while len(events) < 1_000:
        found, end = read(log, end, 50)
        events += found
    stop.set()
    for thread in threads:
        thread.join(30)
    events += read(log, end)[0]
    assert len(set(keys(events))) == len(events)
    expected = {(entity_id, v) for ids in written for entity_id in ids for v in (1, 2)}
    assert set(keys(events)) == expected
    place = {key: number for number, key in enumerate(keys(events))}
    assert all(place[each, 1] < place[each, 2] for ids in written for each in ids)
