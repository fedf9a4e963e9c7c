"""Data of others that cannot be read are named or set aside; they end nothing."""

from __future__ import annotations

import asyncio
import json
import logging
import warnings
from dataclasses import replace
from datetime import datetime, timezone
from typing import Any

import pytest

from reactive import Field
from store import Order, Trade
from store.client import StoreClient
from store.entities.unreadable import UnreadableWarning
from store.errors import SerializationError
from store.events import ChangeEvent
from store.permissions import share_read, share_write, unshare
from store.projections import Projection, Projector, state_of
from store.subscriptions import (
    START,
    EventBus,
    SubscriptionListener,
    SubscriptionState,
    parked_events,
    stream,
)
from store.subscriptions.event_log import EventLog
from store.subscriptions.status import DATA_KEPT_MAX, Counters
from tests.processes import wait_until
from tests.store.desk import Desk, password_of

# More digits than Python reads: a ValueError of its parser.
DIGITS = "1" * 4_400
# What the parser, a cast of PostgreSQL, or the class itself stumbles over.
SPOILT = {
    "a text for a number": {"symbol": "BAD", "price": "abc", "quantity": 1},
    "a list for a number": {"symbol": "BAD", "price": [1], "quantity": 1},
    "a number for a time": {"symbol": "BAD", "price": 1.0, "timestamp": 5},
    "no time": {"symbol": "BAD", "price": 1.0, "timestamp": "tomorrow, perhaps"},
    "not whole": {"symbol": "BAD", "price": 1.0, "quantity": 1.5},
    "an array": ["BAD"],
    "a text": "BAD",
}


def shared_by_mallory(
    desk: Desk, data: str, meta: str | None = None, type_name: str = Trade.type_name()
) -> str:
    """An entity of hers with data of any kind, shared with alice."""
    mallory = desk.login("mallory")
    with mallory.cursor() as cursor:
        cursor.execute(
            "SELECT (object_store.append('CREATED', gen_random_uuid(), NULL, %s, %s, NULL, NULL, "
            "NULL, %s, NULL)).entity_id",
            (type_name, data, meta),
        )
        entity_id = str(cursor.fetchone()[0])
    share_read(mallory, entity_id, "alice")
    return entity_id


def listening(desk: Desk, bus: EventBus, **options: Any) -> SubscriptionListener:
    return SubscriptionListener(
        bus, **desk.info, user="alice", password=password_of("alice"), **options
    )


@pytest.mark.parametrize("meta", [f'{{"x": {DIGITS}}}', "[1]", '"text"'])
def test_meta_that_python_cannot_parse_ends_nothing(desk: Desk, meta: str) -> None:
    alice = desk.client("alice")
    spoilt = shared_by_mallory(desk, '{"symbol": "A"}', meta)
    mine = alice.write(Trade(symbol="MSFT"))
    heard: list[ChangeEvent] = []
    bus = EventBus()
    bus.on_all(heard.append)
    for subscriber_id in ("risk", "risk", None):
        heard.clear()
        listener = listening(desk, bus, subscriber_id=subscriber_id, start="beginning").start()
        status = listener.status
        wait_until(
            lambda status=status: status().state is SubscriptionState.LIVE,
            20,
            "the listener is live",
        )
        listener.stop()
        if subscriber_id is None:
            assert [event.entity_id for event in heard] == [spoilt, mine]
            with pytest.raises(SerializationError, match=spoilt):
                _ = heard[0].event_meta
            assert heard[0].fields() == {"symbol": "A"}
    assert [len(page.events) for page in EventLog(alice.conn).pages(START)] == [2]
    [row] = alice.audit(spoilt)
    assert row["event_meta"] == meta
    assert alice.read(Trade, spoilt).symbol == "A"


def test_a_former_writer_leaves_the_trail_readable(desk: Desk) -> None:
    alice, mallory = desk.client("alice"), desk.login("mallory")
    mine = alice.write(Trade(symbol="MSFT"))
    share_write(alice.conn, mine, "mallory")
    with mallory.cursor() as cursor:
        cursor.execute(
            "SELECT object_store.append('UPDATED', %s, 1, %s, %s, NULL, NULL, NULL, %s, NULL)",
            (mine, Trade.type_name(), f'{{"quantity": {DIGITS}}}', f'{{"x": {DIGITS}}}'),
        )
    unshare(alice.conn, mine, "mallory")
    assert [row["updated_by"] for row in alice.audit(mine)] == ["alice", "mallory"]
    with pytest.warns(UnreadableWarning, match=mine):
        versions = alice.history(Trade, mine)
    assert [trade.symbol for trade in versions] == ["MSFT"]
    [lost] = versions.unreadable
    assert (lost.entity_id, lost.version, lost.updated_by) == (mine, 2, "mallory")
    assert lost.data == f'{{"quantity": {DIGITS}}}'
    with pytest.raises(SerializationError, match="version 2"):
        alice.history(Trade, mine, on_unreadable="raise")
    with pytest.raises(SerializationError, match="version 2"):
        alice.read(Trade, mine)
    # The owner's way out: the next version is an ordinary one.
    versions[0]._store_newest_version = 2
    alice.update(versions[0])
    assert alice.read(Trade, mine).symbol == "MSFT"


@pytest.mark.parametrize("data", SPOILT.values(), ids=SPOILT)
def test_a_query_gives_what_can_be_read_and_names_the_rest(desk: Desk, data: Any) -> None:
    alice = desk.client("alice")
    spoilt = shared_by_mallory(desk, json.dumps(data))
    at = datetime(2026, 2, 22, 9, tzinfo=timezone.utc)
    for number in range(3):
        alice.write(Trade("AAPL", number, 100.0 + number, "BUY", at))
    with pytest.warns(UnreadableWarning, match="1 cannot be read"):
        everything = alice.query(Trade, limit=None)
    assert [trade.quantity for trade in everything] == [0, 1, 2]
    [lost] = everything.unreadable
    assert (lost.entity_id, lost.version, lost.updated_by) == (spoilt, 1, "mallory")
    assert json.loads(lost.data) == data
    assert str(lost).startswith(f"version 1 of {spoilt} by mallory")
    with pytest.raises(SerializationError, match=spoilt):
        alice.query(Trade, limit=None, on_unreadable="raise")
    for wanted in (
        Field("price") > 99,
        Field("price") * Field("quantity") >= 0.0,
        Field("timestamp") == at,
        {"quantity": 1},
        Field("symbol") == "AAPL",
    ):
        expected = [t.quantity for t in everything if wanted_passes(wanted, t)]
        with warnings.catch_warnings():
            # By its other fields, or by their defaults, the bad one may pass.
            warnings.simplefilter("ignore", UnreadableWarning)
            page = alice.query(Trade, wanted)
        assert [trade.quantity for trade in page] == expected
        assert alice.count(Trade, wanted) == len(expected) + len(page.unreadable)
    for order in ("price", "-quantity", "timestamp", "symbol"):
        with pytest.warns(UnreadableWarning):
            page = alice.query(Trade, order_by=order, limit=None)
        assert sorted(trade.quantity for trade in page) == [0, 1, 2]
        assert [each.entity_id for each in page.unreadable] == [spoilt]
    # A block goes on after a filter that met the bad data.
    with alice.transaction():
        assert alice.count(Trade, Field("price") > 100.5) == 2
        alice.write(Trade("AAPL", 3, 103.0, "BUY", at))
    assert alice.count(Trade, Field("price") > 100.5) == 3


def wanted_passes(wanted: Any, trade: Trade) -> bool:
    if isinstance(wanted, dict):
        return all(getattr(trade, name) == value for name, value in wanted.items())
    return wanted.eval(trade) is True


def test_pages_pass_over_what_cannot_be_read(desk: Desk) -> None:
    alice = desk.client("alice")
    spoilt = {shared_by_mallory(desk, '{"price": "abc"}') for _ in range(4)}
    for number in range(5):
        alice.write(Trade("AAPL", number))
    found: list[int] = []
    named: list[str] = []
    cursor = None
    while True:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UnreadableWarning)
            page = alice.query(Trade, limit=2, cursor=cursor)
        found += [trade.quantity for trade in page]
        named += [each.entity_id for each in page.unreadable]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert found == [0, 1, 2, 3, 4]
    assert sorted(named) == sorted(spoilt)


def test_arithmetic_of_somebody_elses_numbers_that_overflows_is_theirs(desk: Desk) -> None:
    alice = desk.client("alice")
    huge = shared_by_mallory(desk, '{"symbol": "H", "price": 1e300, "quantity": 1}')
    alice.write(Trade("AAPL", 2, 100.0))
    wanted = Field("price") * Field("price") > 9_000
    with pytest.warns(UnreadableWarning, match=huge):
        page = alice.query(Trade, wanted)
    assert [trade.symbol for trade in page] == ["AAPL"]
    assert alice.count(Trade, wanted) == 1


def test_a_filter_parks_what_it_cannot_be_asked_of_and_goes_on(desk: Desk) -> None:
    alice = desk.client("alice")
    spoilt = [
        shared_by_mallory(desk, f'{{"price": {DIGITS}}}'),
        shared_by_mallory(desk, '{"price": "abc"}'),
        shared_by_mallory(desk, '["price"]'),
    ]
    alice.write(Trade("AAPL", 1, 100.0))
    heard: list[str] = []
    bus = EventBus()
    bus.on_all(lambda event: heard.append(event.type_name))
    listener = listening(
        desk,
        bus,
        subscriber_id="risk",
        filter=Field("price") > 50,
        start="beginning",
        # That is about the handler.
        on_error="stop",
    )
    with listener:
        wait_until(lambda: listener.status().delivered == 1, 20, "the good event is delivered")
        assert listener.status().state in (SubscriptionState.LIVE, SubscriptionState.READING)
    assert [parked.entity_id for parked in parked_events(alice.conn)] == spoilt


def test_a_stream_with_a_filter_goes_on(desk: Desk) -> None:
    alice = desk.client("alice")
    shared_by_mallory(desk, '{"price": "abc"}')
    alice.write(Trade("AAPL", 1, 100.0))

    async def first() -> ChangeEvent:
        events = stream(
            **desk.info,
            user="alice",
            password=password_of("alice"),
            start="beginning",
            filter=Field("price") > 50,
        )
        try:
            return await asyncio.wait_for(anext(events), 60)
        finally:
            await events.aclose()

    assert asyncio.run(first()).fields()["symbol"] == "AAPL"


def add_up(state: dict[str, int], event: ChangeEvent) -> dict[str, int]:
    trade = Trade.from_json(event.data or "{}")
    if trade.quantity < 0:
        raise ValueError("no sales are meant to be here")
    return {**state, trade.symbol: state.get(trade.symbol, 0) + trade.quantity}


POSITIONS: Projection[dict[str, int]] = Projection("positions", {}, add_up, types=[Trade])


def test_a_projection_sets_aside_what_cannot_be_read(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    alice = desk.client("alice")
    alice.write(Trade("AAPL", 1, side="BUY"))
    spoilt = [
        shared_by_mallory(desk, f'{{"quantity": {DIGITS}}}'),
        shared_by_mallory(desk, '{"symbol": "AAPL", "quantity": "many"}'),
        # It fits the class and breaks the catalog's rules.
        shared_by_mallory(desk, '{"symbol": "AAPL", "quantity": -5, "side": "NEITHER"}'),
    ]
    alice.write(Trade("AAPL", 2, side="BUY"))
    with caplog.at_level(logging.WARNING):
        folded = state_of(alice, POSITIONS)
    assert folded.value == {"AAPL": 3}
    assert [each.entity_id for each in folded.set_aside] == spoilt
    assert all(entity_id in caplog.text for entity_id in spoilt)
    login = {**desk.info, "user": "alice", "password": password_of("alice")}
    with Projector(POSITIONS, **login) as projector:
        wait_until(lambda: projector.state.events == 5, 20, "all events are folded")
        assert projector.state.value == {"AAPL": 3}
    # From the kept state on.
    alice.write(Trade("AAPL", 4, side="BUY"))
    assert state_of(alice, POSITIONS).value == {"AAPL": 7}


def test_a_good_event_that_a_projection_raises_on_ends_the_fold(alice: StoreClient) -> None:
    alice.write(Trade("AAPL", -1, side="SELL"))
    with pytest.raises(ValueError, match="no sales"):
        state_of(alice, POSITIONS)


def test_long_data_do_not_stay_in_memory_with_what_is_parked() -> None:
    counters = Counters()
    event = ChangeEvent("e", 1, "CREATED", "t", "u", None, datetime.now(timezone.utc), data="x")
    counters.set_aside(event, "why")
    counters.set_aside(replace(event, data="x" * (DATA_KEPT_MAX + 1)), "why")
    short, long = counters.status(None).recently_parked
    assert (short[0].data, long[0].data) == ("x", None)


def test_types_unknown_to_a_program_are_filtered_as_they_are_stored(desk: Desk) -> None:
    alice = desk.client("alice")
    shared_by_mallory(desk, '{"price": 60.0}', type_name="nobody.knows.It")
    heard: list[str] = []
    bus = EventBus()
    bus.on_all(lambda event: heard.append(event.type_name))
    listener = listening(desk, bus, filter=Field("price") > 50, start="beginning")
    alice.write(Order("AAPL", 1, 100.0))
    with listener:
        wait_until(lambda: listener.status().delivered == 2, 20, "both are heard")
    assert heard == ["nobody.knows.It", Order.type_name()]
