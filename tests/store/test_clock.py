"""A server whose clock is set back: the store's own goes on from the newest thing written.

What tells is how the two clocks stand to each other, so the store's is moved ahead.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from store.client import StoreClient
from store.errors import FutureTimeError
from store.models import Trade
from store.permissions import share_read
from store.projections import Projection, state_of
from tests.store.desk import Desk
from tests.store.sql import run

AHEAD = timedelta(hours=1)


def here(desk: Desk) -> datetime:
    moment: datetime = run(desk.admin(), "SELECT clock_timestamp()")[0][0]
    return moment


@pytest.fixture
def stepped(desk: Desk) -> Any:
    """Something was written by a clock that then went an hour back."""
    run(
        desk.admin(),
        "SELECT setval('object_store.clock', "
        "(extract(epoch FROM clock_timestamp() + interval '1 hour') * 1000000)::bigint)",
    )
    return here(desk) + AHEAD


def test_what_was_written_is_read(desk: Desk, stepped: datetime, alice: StoreClient) -> None:
    bob = desk.client("bob")
    objects = [Trade("AAPL", n, 1.0, "BUY") for n in range(4)]
    alice.write(objects[0])
    alice.write_many(objects[1:])
    share_read(alice.conn, objects[0]._store_entity_id, "bob")
    for round_number in range(3):
        objects[0].quantity = 100 + round_number
        alice.update(objects[0])
        objects[1].quantity = 200 + round_number
        alice.update_many(objects[1:3])
        assert objects[0]._store_event_type == "UPDATED"
        for client in (alice, bob):
            assert client.read(Trade, objects[0]._store_entity_id).quantity == 100 + round_number
        assert alice.count(Trade) == 4
        assert sorted(t.quantity for t in alice.query(Trade)) == sorted(o.quantity for o in objects)
        assert bob.count() == 1
    alice.delete(objects[3])
    assert alice.read(Trade, objects[3]._store_entity_id) is None
    assert alice.count(Trade) == 3
    # In order, though the server's clock stands an hour before all of it.
    times = [event["tx_time"] for event in alice.audit(objects[0]._store_entity_id)]
    assert times == sorted(set(times))
    assert here(desk) < times[0] < here(desk) + AHEAD + timedelta(minutes=1)
    assert alice.verify().breaks == ()


def test_reading_now_is_reading_at_the_stores_time(
    desk: Desk, stepped: datetime, alice: StoreClient
) -> None:
    trade = Trade("AAPL", 1, 1.0, "BUY")
    entity_id = alice.write(trade)
    trade.quantity = 2
    # Begins and ends between the two clocks.
    alice.update(trade, valid_from=stepped - AHEAD / 2, valid_to=stepped - AHEAD / 3)
    trade.quantity = 3
    alice.update(trade, valid_from=stepped + AHEAD)
    [(now,)] = run(alice.conn, "SELECT object_store.store_time()")
    assert now >= alice.history(Trade, entity_id)[-1]._store_tx_time
    assert alice.read(Trade, entity_id).quantity == 1
    for tx_time, valid_time in ((now, now), (None, now), (now, None)):
        found = alice.as_of(Trade, entity_id, tx_time=tx_time, valid_time=valid_time)
        assert found.quantity == 1
        book = alice.query(Trade, tx_time=tx_time, valid_time=valid_time)
        assert [t.quantity for t in book] == [1]
    assert alice.as_of(Trade, entity_id, valid_time=stepped - AHEAD / 2).quantity == 2


def test_a_time_to_come_is_refused_or_waited_for(desk: Desk, alice: StoreClient) -> None:
    entity_id = alice.write(Trade("AAPL", 1, 1.0, "BUY"))
    add = Projection("count", 0, lambda state, _: state + 1, types=[Trade])
    for moment in (
        here(desk) + timedelta(minutes=1),
        datetime.max.replace(tzinfo=here(desk).tzinfo),
    ):
        for ask in (
            lambda at: alice.as_of(Trade, entity_id, tx_time=at),
            lambda at: alice.query(Trade, tx_time=at),
            lambda at: state_of(alice, add, at=at),
        ):
            with pytest.raises(FutureTimeError, match="lies ahead of the store's clock"):
                ask(moment)
    soon = here(desk) + timedelta(seconds=1)
    assert alice.as_of(Trade, entity_id, tx_time=soon) is not None
    assert here(desk) >= soon


def test_an_answer_about_the_past_stays_though_the_clock_is_set_back(
    desk: Desk, alice: StoreClient
) -> None:
    alice.write(Trade("AAPL", 1, 1.0, "BUY"))
    # Later than anything written, and now no longer free for what follows.
    asked = here(desk)
    assert len(alice.query(Trade, tx_time=asked)) == 1
    [(reached,)] = run(desk.admin(), "SELECT last_value FROM object_store.clock")
    assert reached >= int(asked.timestamp() * 1_000_000)
    alice.write(Trade("MSFT", 2, 1.0, "BUY"))
    assert len(alice.query(Trade, tx_time=asked)) == 1


def test_the_clock_cannot_be_moved_by_users(desk: Desk) -> None:
    login = desk.login("mallory")
    before = run(login, "SELECT object_store.store_time()")
    for statement in (
        "SELECT setval('object_store.clock', 1)",
        "SELECT nextval('object_store.clock')",
        "SELECT object_store.next_time()",
        "SELECT object_store.settle_time('infinity')",
        "SELECT object_store.settle_time(now() + interval '1 day')",
    ):
        with pytest.raises(Exception, match=r"permission denied|lies ahead"):
            run(login, statement)
    assert run(login, "SELECT object_store.store_time()") >= before
