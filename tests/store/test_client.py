"""What each call of the client means, beyond what random histories show."""

from __future__ import annotations

import copy
import pickle
import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from reactive import Field
from store import Order, Signal, Storable, Trade, ValidationError
from store.base import upcaster
from store.client import QueryResult, StoreClient, VersionConflict
from store.errors import (
    AccessError,
    AlreadyStored,
    EntityNotFound,
    EventIdReused,
    FilterError,
    InvalidPeriod,
    NoStateMachine,
    NotStored,
    StoreError,
    TransactionConflict,
    Unavailable,
)
from store.permissions import share_read
from tests.store.desk import ADMIN_PASSWORD, Desk
from tests.store.values import HOUR, now, trade


def test_a_written_object_knows_what_the_store_knows(alice: StoreClient) -> None:
    before = now()
    obj = trade()
    entity_id = alice.write(obj)
    assert obj._store_entity_id == entity_id
    assert (obj._store_version, obj._store_event_type) == (1, "CREATED")
    assert (obj._store_owner, obj._store_updated_by) == ("alice", "alice")
    assert before <= obj._store_tx_time == obj._store_valid_from <= now()
    assert obj._store_valid_to is None
    read = alice.read(Trade, entity_id)
    assert read == obj
    assert vars(read) == vars(obj)


def test_an_update_with_a_past_start_is_a_correction(alice: StoreClient) -> None:
    obj = trade()
    alice.write(obj, valid_from=now() - 5 * HOUR)
    assert obj._store_event_type == "CREATED"
    alice.update(obj, valid_from=now() - HOUR)
    assert obj._store_event_type == "CORRECTED"
    alice.update(obj)
    assert obj._store_event_type == "UPDATED"
    alice.update(obj, valid_from=now() + HOUR)
    assert obj._store_event_type == "UPDATED"


def test_after_a_bounded_correction_of_the_past_the_present_can_be_updated(
    alice: StoreClient,
) -> None:
    obj = trade()
    alice.write(obj, valid_from=now() - 5 * HOUR)
    obj.price = 1.0
    alice.update(obj, valid_from=now() - 4 * HOUR, valid_to=now() - 3 * HOUR)
    read = alice.read(Trade, obj._store_entity_id)
    assert (read.price, read._store_version) == (228.5, 1)
    read.price = 230.0
    assert alice.update(read) == 3


def test_writes_that_cannot_be_leave_the_object_as_it_was(alice: StoreClient, bob: Any) -> None:
    obj = trade()
    alice.write(obj)
    stale = copy.copy(obj)
    alice.update(obj)
    hidden = copy.copy(obj)
    for action, error in [
        (lambda: alice.update(stale), VersionConflict),
        (lambda: alice.delete(stale), VersionConflict),
        (lambda: alice.update_many([obj, stale]), VersionConflict),
        (lambda: bob.update(hidden), EntityNotFound),
        (lambda: alice.write(obj), AlreadyStored),
        (lambda: alice.update(obj, valid_from=now(), valid_to=now() - HOUR), InvalidPeriod),
        (lambda: alice.update(obj, valid_to=now() - HOUR), InvalidPeriod),
        (lambda: alice.update(obj, valid_from=datetime(2026, 1, 1)), InvalidPeriod),
        (
            lambda: alice.update(obj, valid_from=datetime.min.replace(tzinfo=timezone.utc)),
            InvalidPeriod,
        ),
        (lambda: alice.transition(obj, "FILLED"), NoStateMachine),
    ]:
        before = [dict(vars(each)) for each in (obj, stale, hidden)]
        with pytest.raises(error) as caught:
            action()
        assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
        assert [vars(each) for each in (obj, stale, hidden)] == before
    new = trade()
    with pytest.raises(NotStored):
        alice.update(new)
    new.price = float("nan")
    with pytest.raises(ValidationError):
        alice.write(new)
    assert new._store_entity_id is None
    assert len(alice.history(Trade, obj._store_entity_id)) == 2


def test_a_conflict_says_what_was_expected_and_what_is(alice: StoreClient) -> None:
    obj = trade()
    entity_id = alice.write(obj)
    stale = alice.read(Trade, entity_id)
    alice.update(obj)
    alice.update(obj)
    with pytest.raises(VersionConflict) as caught:
        alice.update(stale)
    error = caught.value
    assert (error.entity_id, error.expected_version, error.actual_version) == (entity_id, 1, 3)


def test_a_batch_is_written_whole_or_not_at_all(alice: StoreClient) -> None:
    objects = [trade(quantity=n) for n in range(5)]
    ids = alice.write_many(objects)
    assert [obj._store_entity_id for obj in objects] == ids
    assert [alice.read(Trade, each).quantity for each in ids] == list(range(5))
    bad = [trade(), trade(price="much")]
    with pytest.raises(ValidationError):
        alice.write_many(bad)
    assert all(obj._store_entity_id is None for obj in bad)
    with pytest.raises(InvalidPeriod):
        alice.write_many([trade()], valid_from=now(), valid_to=now() - HOUR)
    assert alice.count(Trade) == 5
    assert alice.write_many([]) == []
    assert alice.update_many([]) == []
    assert alice.update_many(objects) == [2] * 5


def test_violations_can_be_let_through_with_a_warning(desk: Desk) -> None:
    client = desk.client("alice", on_violation="warn")
    with pytest.warns(UserWarning, match="side"):
        entity_id = client.write(trade(side="SIDEWAYS"))
    assert client.read(Trade, entity_id).side == "SIDEWAYS"


def test_an_event_id_makes_a_write_happen_once(alice: StoreClient, bob: StoreClient) -> None:
    key = str(uuid.uuid4())
    obj = trade()
    entity_id = alice.write(obj, event_id=key)
    again = trade()
    assert alice.write(again, event_id=key) == entity_id
    assert vars(again) == vars(obj)
    with pytest.raises(EventIdReused):
        alice.write(trade(quantity=1), event_id=key)
    # Another user's ids are their own.
    assert bob.write(trade(), event_id=key) != entity_id

    before = copy.copy(obj)
    assert alice.update(obj, event_id="order 7, fill 1") == 2
    assert alice.update(before, event_id="order 7, fill 1") == 2
    with pytest.raises(EventIdReused):
        alice.delete(obj, event_id="order 7, fill 1")
    assert alice.delete(obj, event_id="gone") == 3
    many = [trade(quantity=n) for n in range(3)]
    ids = alice.write_many(many, event_ids=["a", "b", "c"])
    assert alice.write_many([copy.copy(m) for m in many], event_ids=["a", "b", "c"]) == ids
    assert alice.verify()


def test_a_deleted_entity_is_gone_and_can_come_back(alice: StoreClient) -> None:
    obj = trade()
    entity_id = alice.write(obj)
    alice.delete(obj)
    assert obj._store_event_type == "DELETED"
    assert alice.read(Trade, entity_id) is None
    assert alice.count(Trade) == 0
    tombstone = alice.history(Trade, entity_id)[-1]
    assert (tombstone._store_event_type, tombstone.quantity) == ("DELETED", 100)
    alice.update(obj)
    assert alice.read(Trade, entity_id) == obj


def test_audit_says_who_changed_what(alice: StoreClient, bob: StoreClient) -> None:
    obj = trade()
    entity_id = alice.write(obj)
    alice.update(obj)
    trail = alice.audit(entity_id)
    assert [(e["version"], e["event_type"], e["updated_by"]) for e in trail] == [
        (1, "CREATED", "alice"),
        (2, "UPDATED", "alice"),
    ]
    assert {"owner", "state", "event_meta", "tx_time", "valid_from"} <= set(trail[0])
    assert bob.audit(entity_id) == []


@pytest.mark.parametrize("entity_id", ["", "nothing", "7", "0f6a8c0e-7d2b-4c39-8a51-3f1f0b7c2d11"])
def test_what_is_not_there_is_not_there(alice: StoreClient, entity_id: str) -> None:
    assert alice.read(Trade, entity_id) is None
    assert alice.as_of(Trade, entity_id, tx_time=now()) is None
    assert alice.history(Trade, entity_id) == []
    assert alice.audit(entity_id) == []


def test_an_entity_is_read_as_its_own_class_only(alice: StoreClient) -> None:
    entity_id = alice.write(trade())
    assert alice.read(Order, entity_id) is None
    assert alice.history(Order, entity_id) == []
    assert alice.list_types() == [Trade.type_name()]


# --- transactions ---------------------------------------------------------------------------------


def test_a_block_is_kept_whole_or_not_at_all(alice: StoreClient, desk: Desk) -> None:
    other = desk.client("alice")
    first, second = trade(), trade(symbol="MSFT")
    called = []
    with alice.transaction() as block:
        block.on_commit(lambda: called.append(other.count(Trade)))
        alice.write(first)
        alice.write(second)
        assert alice.count(Trade) == 2
        assert other.count(Trade) == 0
        assert called == []
    assert called == [2]

    before = dict(vars(first))
    new = trade()
    with pytest.raises(InterruptedError), alice.transaction() as block:  # noqa: PT012 - the whole block fails
        block.on_commit(lambda: called.append(0))
        first.price = 1.0
        alice.update(first)
        alice.write(new)
        raise InterruptedError
    assert vars(first) == {**before, "price": 1.0}
    assert new._store_entity_id is None
    assert (called, alice.count(Trade)) == ([2], 2)


def test_a_block_in_a_block_can_fail_alone(alice: StoreClient) -> None:
    kept, undone = trade(), trade()
    with alice.transaction():
        alice.write(kept)
        with pytest.raises(InterruptedError), alice.transaction():  # noqa: PT012 - the whole block fails
            alice.update(kept)
            alice.write(undone)
            raise InterruptedError
        assert (kept._store_version, undone._store_entity_id) == (1, None)
        alice.update(kept)
    assert [e["version"] for e in alice.audit(kept._store_entity_id)] == [1, 2]


def test_after_an_error_in_a_block_the_rest_of_it_is_refused(alice: StoreClient) -> None:
    obj = trade()
    alice.write(obj)
    stale = copy.copy(obj)
    alice.update(obj)
    with pytest.raises(TransactionConflict), alice.transaction():  # noqa: PT012 - the whole block fails
        with pytest.raises(VersionConflict):
            alice.update(stale)
        alice.update(obj)
    assert alice.update(obj) == 3


# --- queries --------------------------------------------------------------------------------------


def test_filters_of_all_kinds_agree_with_python(alice: StoreClient) -> None:
    stamp = datetime(2026, 2, 22, 10, tzinfo=timezone.utc)
    book = [
        trade(symbol=f"S{n % 3}", quantity=n, price=n / 4, timestamp=stamp if n % 2 else None)
        for n in range(12)
    ]
    alice.write_many(book)
    cases: list[tuple[Any, Any]] = [
        ({"symbol": "S1"}, lambda t: t.symbol == "S1"),
        ({"symbol": "S1", "quantity": 4}, lambda t: t.symbol == "S1" and t.quantity == 4),
        ({"price": 1}, lambda t: t.price == 1),
        ({"timestamp": stamp}, lambda t: t.timestamp == stamp),
        ({"timestamp": None}, lambda t: t.timestamp is None),
        ({}, lambda t: True),
        (Field("price") * Field("quantity") > 5, lambda t: t.price * t.quantity > 5),
        (
            (Field("symbol") == "S2") | (Field("quantity") < 2),
            lambda t: t.symbol == "S2" or t.quantity < 2,
        ),
    ]
    for filters, wanted in cases:
        found = alice.query(Trade, filters)
        assert [t.quantity for t in found] == [t.quantity for t in book if wanted(t)]
        assert alice.count(Trade, filters) == len(found)


@pytest.mark.shared_database
@pytest.mark.parametrize(
    "arguments",
    [
        {"filters": {"colour": "red"}},
        {"filters": Field("colour") == "red"},
        {"filters": {"symbol": ["AAPL"]}},
        {"filters": {"price": "high"}},
        {"filters": "symbol"},
        {"order_by": "colour"},
        {"limit": 0},
        {"limit": "all"},
        {"cursor": "x"},
    ],
)
def test_a_query_that_does_not_fit_says_so(alice: StoreClient, arguments: dict[str, Any]) -> None:
    with pytest.raises(FilterError):
        alice.query(Trade, **arguments)


def test_a_filter_cannot_leave_its_literal(alice: StoreClient) -> None:
    nasty = "%s'; DROP TABLE object_store.event; -- \\"
    alice.write_many([Signal(symbol="AAPL", notes=""), Signal(symbol="AAPL", notes=nasty)])
    assert len(alice.query(Signal, {"notes": nasty})) == 1
    assert len(alice.query(Signal, Field("notes") != nasty)) == 1


@pytest.mark.parametrize("order", [(), "price", "-price", ["side", "-quantity"], "timestamp"])
def test_pages_give_everything_once_while_others_write(alice: StoreClient, order: Any) -> None:
    stamp = datetime(2026, 2, 22, 10, tzinfo=timezone.utc)
    book = [
        trade(
            quantity=n,
            price=float(n % 4),
            side="BUY" if n % 3 else "SELL",
            timestamp=stamp + n * HOUR if n % 2 else None,
        )
        for n in range(23)
    ]
    alice.write_many(book)
    whole = [t.quantity for t in alice.query(Trade, order_by=order, limit=None)]
    seen: list[int] = []
    cursor = None
    while True:
        page = alice.query(Trade, limit=5, cursor=cursor, order_by=order)
        seen += [t.quantity for t in page]
        assert page.next_cursor is None or len(page) == 5
        if page.next_cursor is None:
            break
        cursor = page.next_cursor
        # Neither of them changes the order of what is there.
        alice.update(book[min(len(seen), 22)])
        alice.write(trade(quantity=1_000, symbol="NEW"))
    assert [n for n in seen if n != 1_000] == [n for n in whole if n != 1_000]
    assert sorted(n for n in seen if n != 1_000) == list(range(23))
    with pytest.raises(FilterError, match="another query"):
        alice.query(Trade, {"side": "BUY"}, cursor=cursor, order_by=order)


def test_a_page_can_be_indexed_and_iterated(alice: StoreClient) -> None:
    alice.write_many([trade(quantity=n) for n in range(3)])
    page = alice.query(Trade, limit=2)
    assert (len(page), page[0].quantity, page[-1].quantity) == (2, 0, 1)
    assert [t.quantity for t in page[:1]] == [0]
    assert [t.quantity for t in page] == [t.quantity for t in page.items] == [0, 1]


def test_a_query_gives_frames_and_tables_typed_by_the_catalog(alice: StoreClient) -> None:
    stamp = datetime(2026, 2, 22, 10, tzinfo=timezone.utc)
    ids = alice.write_many([trade(quantity=n, timestamp=stamp if n else None) for n in range(3)])
    found = alice.query(Trade, limit=None)
    frame, table = found.to_pandas(), found.to_arrow()
    assert list(frame.index) == table["_entity_id"].to_pylist() == ids
    assert dict(frame.dtypes.astype(str)) == {
        "symbol": "string",
        "quantity": "Int64",
        "price": "float64",
        "side": "string",
        "timestamp": "datetime64[us, UTC]",
    }
    assert frame["quantity"].sum() == 3
    assert str(table.schema.field("timestamp").type) == "timestamp[us, tz=UTC]"
    assert table["timestamp"].to_pylist() == [None, stamp, stamp]
    nothing = alice.query(Trade, {"symbol": "NONE"})
    assert (len(nothing.to_pandas()), nothing.to_arrow().num_rows) == (0, 0)
    assert nothing.to_pandas().dtypes.equals(frame.dtypes)
    with pytest.raises(FilterError, match="no class"):
        QueryResult([]).to_pandas()


def test_own_and_shared_entities_stand_in_one_order(alice: StoreClient, bob: StoreClient) -> None:
    for n in range(12):
        client = alice if n % 3 else bob
        entity_id = client.write(trade(quantity=n, price=float(n % 2)))
        if client is alice and n % 2:
            share_read(alice.conn, entity_id, "bob")
    mine = [n for n in range(12) if not n % 3 or n % 2]
    assert [t.quantity for t in bob.query(Trade, limit=None)] == mine
    assert bob.count(Trade) == bob.count() == len(mine)
    assert bob.count(Trade, Field("quantity") > 5) == len([n for n in mine if n > 5])
    assert bob.list_types() == [Trade.type_name()]
    ordered = sorted(mine, key=lambda n: (-(n % 2), n))
    seen: list[int] = []
    page = bob.query(Trade, limit=3, order_by="-price")
    while True:
        seen += [t.quantity for t in page]
        if page.next_cursor is None:
            break
        page = bob.query(Trade, limit=3, order_by="-price", cursor=page.next_cursor)
    assert seen == ordered
    # What one may see oneself is not counted twice when it is shared with others.
    assert alice.count(Trade) == 8


# --- classes that change --------------------------------------------------------------------------


def test_old_events_are_lifted_to_the_class_of_today(alice: StoreClient) -> None:
    @dataclass
    class Quote(Storable):
        symbol: str = ""
        price: float = 0.0

        @classmethod
        def type_name(cls) -> str:
            return "quotes"

    entity_id = alice.write(Quote("AAPL", 228.0))
    written = now()

    @dataclass
    class Quote2(Storable):
        symbol: str = ""
        bid: float = 0.0
        ask: float = 0.0
        _type_aliases = ("quotes",)

        @upcaster(from_version=1)
        @staticmethod
        def price_was_one(data: dict[str, Any]) -> dict[str, Any]:
            data["bid"] = data["ask"] = data.pop("price")
            return data

    assert alice.as_of(Quote2, entity_id, tx_time=written) == Quote2("AAPL", 228.0, 228.0)
    lifted = alice.read(Quote2, entity_id)
    lifted.ask = 229.0
    alice.update(lifted)
    assert [q.ask for q in alice.history(Quote2, entity_id)] == [228.0, 229.0]
    assert alice.query(Quote2)[0] == lifted


# --- logging in and out ---------------------------------------------------------------------------


def test_a_closed_client_and_a_wrong_password_say_so(alice: StoreClient, desk: Desk) -> None:
    alice.close()
    with pytest.raises(StoreError, match="closed"):
        alice.count()
    with pytest.raises(AccessError, match="mallory cannot log in"):
        StoreClient("mallory", "guessed", **desk.info)
    with pytest.raises(Unavailable):
        StoreClient("alice", "x", host="127.0.0.1", port=1)


@pytest.mark.parametrize(
    "end",
    [
        datetime(9999, 12, 31, tzinfo=timezone.utc),
        datetime.max.replace(tzinfo=timezone.utc),
        datetime(9999, 12, 31, tzinfo=timezone(timedelta(hours=9))),
        datetime(9999, 12, 31, 12, tzinfo=timezone(timedelta(hours=-12))),
    ],
)
def test_the_last_day_of_the_calendar_is_for_ever(alice: StoreClient, end: datetime) -> None:
    obj = trade()
    entity_id = alice.write(obj, valid_to=end)
    assert obj._store_valid_to is None
    assert alice.read(Trade, entity_id)._store_valid_to is None
    alice.update_many([obj], valid_to=end)
    assert obj._store_valid_to is None


@pytest.mark.parametrize(
    "bounds",
    [
        {"valid_from": datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=9)))},
        {"valid_from": datetime(9999, 12, 31, 23, tzinfo=timezone(timedelta(hours=-9)))},
        {"valid_to": datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=9)))},
    ],
)
def test_a_bound_that_utc_has_not_is_refused_with_the_true_bounds(
    alice: StoreClient, bounds: dict[str, datetime]
) -> None:
    with pytest.raises(InvalidPeriod, match="0001-01-01 00:00 UTC and end before 9999-12-31"):
        alice.write(trade(), **bounds)


def test_an_administrator_is_no_user_of_the_store(desk: Desk) -> None:
    """To one the database shows what is everybody's, and of its own it has nothing."""
    with pytest.raises(AccessError, match="provision_user"):
        StoreClient("postgres", ADMIN_PASSWORD, **desk.info)
    with desk.admin().cursor() as cursor:
        cursor.execute("CREATE ROLE overseer LOGIN PASSWORD 'pw' IN ROLE object_store_owner")
        cursor.execute("GRANT CONNECT ON DATABASE " + desk.info["dbname"] + " TO overseer")
    try:
        with pytest.raises(PermissionError, match="overseer administers"):
            StoreClient("overseer", "pw", **desk.info)
    finally:
        with desk.admin().cursor() as cursor:
            cursor.execute("DROP OWNED BY overseer")
            cursor.execute("DROP ROLE overseer")
