"""Batches: many changes in one call, all or none, and under a lease by its holder alone."""

from __future__ import annotations

import json
import pickle
from datetime import datetime, timedelta, timezone
from typing import Any

import hypothesis.strategies as st
import psycopg2
import pytest
from hypothesis import HealthCheck, given, settings

from step_scope import StepScope, entered
from store import Storable
from store.client import StoreClient
from store.database.arrays import JSON_ARRAY, array_text, json_array_text
from store.entities.batch import Batch
from store.errors import (
    AccessError,
    AlreadyStored,
    BatchConflict,
    Conflict,
    EntityNotFound,
    GuardFailure,
    LeaseHeld,
    LeaseLost,
    NotStored,
    SerializationError,
    StoreError,
    ValidationError,
    VersionConflict,
)
from store.models import Order, Trade
from store.permissions import refuse_from, share_read, share_write
from store.subscriptions import ChangeEvent, EventBus
from store.verification import verify
from tests.store.desk import Desk
from tests.store.lifecycle import Swap, machine_with
from tests.store.sql import run


def trade(quantity: int = 1) -> Trade:
    return Trade(symbol="AAPL", quantity=quantity, price=228.0, side="BUY")


def updates_of(client: StoreClient, *objects: Storable) -> Batch:
    batch = client.batch()
    for each in objects:
        batch.update(each)
    return batch


def test_an_entity_is_created_changed_and_moved_in_one_batch(alice: StoreClient) -> None:
    swap, old = Swap("AAPL", 5), trade()
    alice.write(old)
    with alice.batch() as batch:
        entity_id = batch.write(swap)
        swap.quantity = 7
        assert batch.update(swap) == 2
        old.quantity = 9
        assert batch.update(old) == 2
        assert swap._store_entity_id is None, "nothing is known before the commit"
        assert len(batch) == 3
    assert [(r.entity_id, r.version, r.event_type) for r in batch.receipts] == [
        (entity_id, 1, "CREATED"),
        (entity_id, 2, "UPDATED"),
        (old._store_entity_id, 2, "UPDATED"),
    ]
    assert (swap._store_entity_id, swap._store_version, swap._store_state) == (
        entity_id,
        2,
        "PENDING",
    )
    assert [each.quantity for each in alice.history(Swap, entity_id)] == [5, 7]
    times = [receipt.tx_time for receipt in batch.receipts]
    assert times[0] < times[1]
    first = alice.as_of(Swap, entity_id, tx_time=times[0])
    assert first is not None
    assert first.quantity == 5
    assert alice.verify()


@pytest.mark.parametrize("more", [False, True], ids=["each given once", "one given twice"])
def test_a_batch_writes_what_single_calls_write(alice: StoreClient, more: bool) -> None:
    """Both ways that the database has for a batch; one of an entity given twice is the other."""
    begun = datetime.now(timezone.utc) - timedelta(hours=2)
    since, later = begun + timedelta(hours=1), begun + timedelta(minutes=90)
    singly, together = ([trade(1), trade(2), Swap("AAPL", 5)] for _ in range(2))
    for each in (*singly, *together):
        alice.write(each, valid_from=begun)
        if isinstance(each, Swap):
            each._state_machine = machine_with()  # type: ignore[assignment]

    def change(objects: list[Any], to: StoreClient | Batch) -> None:
        first, second, swap = objects
        first.quantity = second.quantity = 7
        to.update(second, valid_from=since)
        to.write(new := trade(8), valid_from=since)
        to.transition(swap, "FILLED")
        to.update(first)
        if more:
            first.quantity = 9
            to.update(first)
        objects.append(new)

    change(singly, alice)
    with alice.batch() as batch:
        change(together, batch)

    def written(obj: Storable) -> list[Any]:
        entity_id = obj._store_entity_id or ""
        found: list[Any] = [each.to_json() for each in alice.history(type(obj), entity_id)]
        for row in alice.audit(entity_id):
            # Where no beginning was given, it is the time of the write.
            given = row["valid_from"] if row["valid_from"] <= later else None
            names = ("version", "event_type", "state", "valid_to", "event_meta")
            found.append((given, *(row[name] for name in names)))
        for at in (begun, since, later, None):
            value = alice.as_of(type(obj), entity_id, valid_time=at)
            found.append(value and (value._store_version, value._store_newest_version))
        return found

    assert [written(each) for each in together] == [written(each) for each in singly]
    kinds = [receipt.event_type for receipt in batch.receipts]
    assert kinds[:4] == ["CORRECTED", "CREATED", "STATE_CHANGE", "UPDATED"]
    assert [each._store_version for each in together] == [2 + more, 2, 2, 1]
    assert alice.verify()


def test_an_object_is_taken_as_it_is_when_it_is_given(alice: StoreClient) -> None:
    each = trade(1)
    batch = alice.batch()
    entity_id = batch.write(each)
    each.quantity = 2
    batch.commit()
    assert alice.read(Trade, entity_id).quantity == 1  # type: ignore[union-attr]


def test_a_block_that_raises_writes_nothing(alice: StoreClient) -> None:
    with pytest.raises(InterruptedError), alice.batch() as batch:  # noqa: PT012 - the whole block
        batch.write(trade())
        raise InterruptedError
    assert alice.count(Trade) == 0
    assert len(batch) == 0
    assert alice.batch().commit() == []


def test_every_conflict_is_named_and_nothing_is_written(desk: Desk, alice: StoreClient) -> None:
    other = desk.client("alice")
    objects = [trade(number) for number in range(5)]
    alice.write_many(objects)
    for number in (1, 3):
        mine = other.read(Trade, objects[number]._store_entity_id or "")
        assert mine is not None
        mine.quantity = 100
        other.update(mine)
    new = trade(50)
    batch = alice.batch()
    batch.write(new)
    for each in objects:
        each.quantity += 10
        batch.update(each)
    with pytest.raises(BatchConflict, match=r"change 2 of entity .*; change 4 of entity") as caught:
        batch.commit()
    assert [tuple(each) for each in caught.value.conflicts] == [
        (2, objects[1]._store_entity_id, 1, 2),
        (4, objects[3]._store_entity_id, 1, 2),
    ]
    assert isinstance(caught.value, VersionConflict)
    assert (caught.value.expected_version, caught.value.actual_version) == (1, 2)
    assert new._store_entity_id is None
    assert [each._store_version for each in objects] == [1] * 5
    assert alice.count(Trade) == 5


def test_errors_survive_pickle() -> None:
    error = BatchConflict([Conflict(2, "an id", 1, 4)])
    again = pickle.loads(pickle.dumps(error))
    assert str(again) == str(error)
    assert again.conflicts == error.conflicts
    held = pickle.loads(pickle.dumps(LeaseHeld("a", "b", 1.5)))
    assert str(held) == "lease 'a' is held by b for 1.5 s more, if it is not renewed; wait for " + (
        "it, or let its holder release it"
    )


def test_what_cannot_be_written_is_refused_before_anything_is(alice: StoreClient) -> None:
    stored = trade()
    alice.write(stored)
    batch = alice.batch()
    with pytest.raises(AlreadyStored, match="is an entity already"):
        batch.write(stored)
    with pytest.raises(NotStored, match="was never written"):
        batch.update(trade())
    with pytest.raises(StoreError, match="Storable"):
        batch.write("no object")  # type: ignore[arg-type]
    new = trade()
    batch.write(new)
    with pytest.raises(AlreadyStored):
        batch.write(new)
    new.quantity = "many"  # type: ignore[assignment]
    with pytest.raises(ValidationError):
        batch.update(new)
    batch.commit()
    assert alice.count(Trade) == 2


def test_entities_of_others(desk: Desk, alice: StoreClient, bob: StoreClient) -> None:
    """Those shared for writing are written, for all who see them; others are refused."""
    given, shown, hidden = trade(1), trade(2), trade(3)
    alice.write_many([given, shown, hidden])
    share_write(alice.conn, given._store_entity_id, "bob")
    share_read(alice.conn, given._store_entity_id, "carol")
    share_read(alice.conn, shown._store_entity_id, "bob")

    own = trade(4)
    theirs = bob.read(Trade, given._store_entity_id or "")
    assert theirs is not None
    with bob.batch() as batch:
        batch.write(own)
        for quantity in (11, 12):
            theirs.quantity = quantity
            batch.update(theirs)
    for user in (alice, bob, desk.client("carol")):
        seen = user.read(Trade, given._store_entity_id or "")
        assert seen is not None
        assert (seen.quantity, seen._store_owner, seen._store_updated_by) == (12, "alice", "bob")
    assert alice.verify()

    shown_to_bob = bob.read(Trade, shown._store_entity_id or "")
    assert shown_to_bob is not None
    batch = updates_of(bob, own, shown_to_bob)
    with pytest.raises(AccessError):
        batch.commit()
    batch = updates_of(bob, own, hidden)
    with pytest.raises(EntityNotFound):
        batch.commit()
    assert own._store_version == 1


def test_what_is_new_is_shared_at_once(desk: Desk, alice: StoreClient, bob: StoreClient) -> None:
    plain, dated = trade(1), trade(2)
    since = datetime.now(timezone.utc) + timedelta(hours=1)
    for each, period in ((plain, {}), (dated, {"valid_to": since})):
        with alice.batch(readers=["bob"]) as batch:
            batch.write(each, **period)
            each.quantity += 10
            batch.update(each)
    assert sorted(each.quantity for each in bob.query(Trade)) == [11, 12]
    assert desk.client("carol").count(Trade) == 0
    for wrong in ("alice", "nobody"):
        batch = alice.batch(readers=[wrong])
        batch.write(trade())
        with pytest.raises(StoreError, match="no other user of the store"):
            batch.commit()
    refuse_from(bob.conn, "alice")
    batch = alice.batch(readers=["bob"])
    batch.write(trade())
    with pytest.raises(AccessError, match="bob refuses what alice shares"):
        batch.commit()


def test_a_repeat_under_the_same_event_ids_gives_the_first_answer(alice: StoreClient) -> None:
    def write() -> list[Any]:
        each = trade(3)
        batch = alice.batch()
        batch.write(each, event_id="order 7: new")
        each.quantity = 4
        batch.update(each, event_id="order 7: changed")
        return batch.commit()

    first, again = write(), write()
    assert [r.repeated for r in first] == [False, False]
    assert [r.repeated for r in again] == [True, True]
    assert [r[:-1] for r in first] == [r[:-1] for r in again]
    assert alice.count(Trade) == 1


def test_a_step_that_is_run_again_writes_nothing_twice(alice: StoreClient) -> None:

    def step() -> list[Any]:
        swap = Swap("AAPL", 5)
        with entered(StepScope("a workflow: step 1")):
            with alice.batch() as both:
                both.write(swap)
                both.update(swap)
            with alice.batch() as batch:
                batch.update(swap)
            alice.write(trade())
        return both.receipts + batch.receipts

    first, again = step(), step()
    assert [r[:-1] for r in first] == [r[:-1] for r in again]
    assert all(r.repeated for r in again)
    assert (alice.count(Swap), alice.count(Trade)) == (1, 1)


def test_transitions_are_checked_and_their_effects_follow(alice: StoreClient) -> None:
    done: list[str] = []

    def action(obj: Swap, before: str, after: str) -> None:
        alice.write(trade(obj.quantity))
        done.append(f"action {before} {after}")

    def hook(_obj: Swap, before: str, after: str) -> None:
        done.append(f"hook {before} {after}")

    swap = Swap("AAPL", 5)
    swap._state_machine = machine_with(action=action, on_enter=hook)  # type: ignore[assignment]
    batch = alice.batch()
    batch.write(swap)
    batch.transition(swap, "FILLED")
    assert done == []
    batch.commit()
    assert done == ["action PENDING FILLED", "hook PENDING FILLED"]
    assert swap._store_state == "FILLED"
    assert alice.count(Trade) == 1
    meta = alice.audit(swap._store_entity_id or "")[1]["event_meta"]
    assert (meta["from_state"], meta["to_state"]) == ("PENDING", "FILLED")

    empty = Swap("AAPL", 0)
    batch = alice.batch()
    batch.write(empty)
    with pytest.raises(GuardFailure):
        batch.transition(empty, "FILLED")
    batch.discard()
    assert alice.count(Swap) == 1


def test_an_action_that_raises_undoes_the_batch(alice: StoreClient) -> None:
    def action(obj: Swap, _before: str, _after: str) -> None:
        obj.quantity = 99
        raise InterruptedError

    swap, other = Swap("AAPL", 5), trade()
    swap._state_machine = machine_with(action=action)  # type: ignore[assignment]
    batch = alice.batch()
    batch.write(other)
    batch.write(swap)
    batch.transition(swap, "FILLED")
    with pytest.raises(InterruptedError):
        batch.commit()
    assert (swap.quantity, swap._store_entity_id, other._store_entity_id) == (5, None, None)
    assert alice.count() == 0


def test_a_batch_in_a_transaction_that_is_undone(alice: StoreClient) -> None:
    each = trade()
    with alice.lease("desk") as lease:
        with pytest.raises(InterruptedError), alice.transaction():  # noqa: PT012
            with alice.batch(lease=lease) as batch:
                batch.write(each)
            assert each._store_version == 1
            raise InterruptedError
        assert (each._store_entity_id, alice.count(Trade)) == (None, 0)
        with alice.batch(lease=lease) as batch:
            batch.write(each)
    assert alice.count(Trade) == 1


def test_listeners_hear_of_each_change(desk: Desk) -> None:
    bus, heard = EventBus(), []

    def listen(event: ChangeEvent) -> None:
        heard.append((event.event_type, event.version))

    bus.on_all(listen)
    client = desk.client("alice", event_bus=bus)
    each = trade()
    with client.batch() as batch:
        batch.write(each)
        batch.update(each)
        assert heard == []
    assert heard == [("CREATED", 1), ("UPDATED", 2)]


# --- leases ---------------------------------------------------------------------------------------


def test_a_batch_that_marks_nothing(desk: Desk) -> None:
    heard: list[ChangeEvent] = []
    bus = EventBus()
    bus.on_all(heard.append)
    for name, told in (("none", None), ("bus", bus)):
        made, client = trade(), desk.client("alice", event_bus=told)
        with client.lease(name) as lease:
            with client.batch(lease=lease, marks=False) as batch:
                entity_id = batch.write(made)
                made.quantity = 2
                assert batch.update(made) == 2
            assert (made._store_entity_id, batch.receipts) == (None, [])
            # Whoever keeps ids and versions goes on with them.
            made._store_entity_id, made._store_version = entity_id, 2
            made.quantity = 3
            with client.batch(lease=lease, marks=False) as batch:
                assert batch.update(made) == 3
            assert lease.turn == 2
            stale = client.batch(lease=lease, marks=False)
            stale.update(made)
            with pytest.raises(BatchConflict):
                stale.commit()
        assert [each.quantity for each in client.history(Trade, entity_id)] == [1, 2, 3]
        assert client.verify()
    assert [event.version for event in heard] == [1, 2, 3]


def test_one_holds_a_lease_and_another_waits(desk: Desk, alice: StoreClient) -> None:
    other = desk.client("alice")
    lease = alice.lease("account 7", seconds=0.5, holder="first")
    with pytest.raises(LeaseHeld, match="lease 'account 7' is held by first for 0") as caught:
        other.lease("account 7")
    assert 0 < caught.value.seconds_left <= 0.5
    desk.client("bob").lease("account 7").release()  # names of another login
    taken = other.lease("account 7", wait=20.0, holder="second")
    assert taken.epoch == lease.epoch + 1
    assert not lease.renew()
    assert [(s.name, s.holder, s.epoch) for s in alice.leases()] == [("account 7", "second", 2)]
    taken.release()
    assert alice.lease("account 7").epoch == 3


def test_a_holder_that_was_stopped_writes_nothing(desk: Desk, alice: StoreClient) -> None:
    other = desk.client("alice")
    stopped = alice.lease("account 7", seconds=0.1)
    with alice.batch(lease=stopped) as batch:
        batch.write(trade(1))
    taken = other.lease("account 7", wait=20.0)
    assert taken.turn == 1, "it knows how many batches there were"
    late = trade(2)
    batch = alice.batch(lease=stopped)
    batch.write(late)
    with pytest.raises(LeaseLost, match="epoch 1 of lease account 7 is refused: it is at epoch 2"):
        batch.commit()
    assert late._store_entity_id is None
    with other.batch(lease=taken) as batch:
        batch.write(trade(3))
    assert sorted(each.quantity for each in alice.query(Trade)) == [1, 3]


def test_the_same_batch_sent_again_is_written_once(
    alice: StoreClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a connection that was lost when the commit was answered."""
    lease = alice.lease("account 7")
    connection = alice._connection
    write = type(connection).write
    lost: list[int] = []

    def write_and_lose(self: Any, statement: str, values: Any, *, repeats: bool = False) -> Any:
        rows = write(self, statement, values, repeats=repeats)
        if "append_batch" in statement and not lost:
            assert repeats, "a batch under a lease may be sent again"
            lost.append(len(rows))
            return write(self, statement, values, repeats=repeats)
        return rows

    monkeypatch.setattr(type(connection), "write", write_and_lose)
    each = trade()
    with alice.batch(lease=lease) as batch:
        batch.write(each)
        each.quantity = 5
        batch.update(each)
    assert lost == [2]
    assert [(r.version, r.repeated) for r in batch.receipts] == [(1, True), (2, True)]
    assert each._store_version == 2
    assert [t.quantity for t in alice.history(Trade, each._store_entity_id or "")] == [1, 5]


def test_a_server_that_restarts_in_the_middle(desk: Desk, alice: StoreClient) -> None:
    """The connection is cut while batches are written; each is there once."""
    admin = desk.admin()
    lease = alice.lease("account 7", seconds=60)
    for number in range(20):
        if number % 4 == 2:
            with admin.cursor() as cursor:
                cursor.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE usename = 'alice' AND datname = current_database()"
                )
        with alice.batch(lease=lease) as batch:
            batch.write(trade(number))
    assert sorted(each.quantity for each in alice.query(Trade)) == list(range(20))


@pytest.mark.parametrize("seconds", [0, -1, 1e9, float("nan")])
def test_a_time_that_is_no_time_of_a_lease(alice: StoreClient, seconds: float) -> None:
    with pytest.raises(StoreError, match=r"0\.1 to 3600 are possible"):
        alice.lease("account 7", seconds=seconds)


def test_leases_and_batches_by_sql_alone(rogue: psycopg2.extensions.connection) -> None:
    """Who has psql cannot touch the table, nor skip a batch's checks."""
    with rogue.cursor() as cursor:
        for statement in (
            "SELECT * FROM object_store.lease",
            "SELECT object_store.take_turn('a', 1, 1, NULL, 1)",
            "SELECT * FROM object_store.append_plain_batch("
            "'{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '1', now())",
        ):
            with pytest.raises(psycopg2.errors.InsufficientPrivilege):
                cursor.execute(statement)


def test_orders_of_a_day(alice: StoreClient) -> None:
    """Many entities with several versions each, in batches of several hundred changes."""
    orders = [Order("AAPL", n + 1, 228.0, "BUY", "LIMIT", "NEW") for n in range(300)]
    with alice.batch() as batch:
        for order in orders:
            batch.write(order)
            order.status = "SENT"
            batch.update(order)
    for status in ("FILLED", "SETTLED"):
        with alice.batch() as batch:
            for order in reversed(orders):
                order.status = status
                batch.update(order)
    assert {order._store_version for order in orders} == {4}
    found = alice.query(Order, {"status": "SETTLED"}, limit=None)
    assert sorted(order.quantity for order in found) == list(range(1, 301))
    checked = alice.verify()
    assert checked
    assert checked.events == 1200


def test_update_many_names_every_conflict(desk: Desk, alice: StoreClient) -> None:
    objects = [trade(number) for number in range(4)]
    alice.write_many(objects)
    for number in (0, 2):
        alice.update(alice.read(Trade, objects[number]._store_entity_id or ""))  # type: ignore[arg-type]
    with pytest.raises(BatchConflict) as caught:
        desk.client("alice").update_many(objects)
    assert [tuple(each) for each in caught.value.conflicts] == [
        (0, objects[0]._store_entity_id, 1, 2),
        (2, objects[2]._store_entity_id, 1, 2),
    ]
    assert [each._store_version for each in objects] == [1] * 4
    assert alice.update_many(objects[1::2]) == [2, 2]
    # Who calls the function by hand cannot get around its being once for each entity.
    entity_id = objects[1]._store_entity_id
    with pytest.raises(psycopg2.errors.InvalidParameterValue, match="given twice"):
        run(
            alice.conn,
            "SELECT object_store.update_many(ARRAY[%s, %s]::uuid[], '{2,3}', '{T,T}', "
            "'{null,null}', NULL, NULL, NULL)",
            [entity_id, entity_id],
        )
    assert alice.verify()


def test_update_many_of_entities_that_others_see(desk: Desk, alice: StoreClient) -> None:
    """Everybody's copy follows, whatever the period; the plain and the cut ones in one call."""
    objects = [trade(number) for number in range(6)]
    alice.write_many(objects)
    for each in objects[:4]:
        share_read(alice.conn, each._store_entity_id or "", "bob")
    share_write(alice.conn, objects[3]._store_entity_id or "", "carol")
    now = datetime.now(timezone.utc)
    # From here on the timelines of these two have several periods.
    alice.update_many([objects[1], objects[5]], valid_from=now + timedelta(days=2))
    for period in ({}, {"valid_from": now}, {"valid_to": now + timedelta(days=1)}):
        for each in objects:
            each.quantity += 10
        alice.update_many(objects, **period)
    theirs = desk.client("carol").read(Trade, objects[3]._store_entity_id or "")
    assert theirs is not None
    theirs.quantity = 777
    assert desk.client("carol").update_many([theirs]) == [5]
    mine = {each._store_entity_id: each.quantity for each in alice.query(Trade)}
    assert list(mine.values()) == [30, 31, 32, 777, 34, 35]
    seen = {each._store_entity_id: each.quantity for each in desk.client("bob").query(Trade)}
    assert seen == dict(list(mine.items())[:4])
    later = now + timedelta(days=3)
    for each in objects[:4]:
        found = [
            client.as_of(Trade, each._store_entity_id or "", valid_time=later)
            for client in (alice, desk.client("bob"))
        ]
        assert found[0] == found[1]
        assert found[0] is not None
    assert verify(desk.admin()).breaks == ()


@pytest.mark.parametrize("size", [1, 40])
def test_plans_are_good_for_tables_that_grow(alice: StoreClient, size: int) -> None:
    """What was planned for tables without rows or statistics reads no more once they have many."""
    first = [trade(number) for number in range(size)]
    alice.write_many(first)
    alice.update_many(first)
    updates_of(alice, *first).commit()
    objects = [trade(number) for number in range(3_000)]
    alice.write_many(objects)
    before = _rows_read(alice)
    for _ in range(3):
        alice.update_many(objects[:size])
        updates_of(alice, *objects[:size]).commit()
    read = {name: rows - before[name] for name, rows in _rows_read(alice).items()}
    # A lookup may meet versions that are no more; all rows of a table would be 3,000 each time.
    assert all(rows <= 100 * size for rows in read.values()), read


def _rows_read(client: StoreClient) -> dict[str, int]:
    """How many rows this session's statements have read of each table."""
    run(client.conn, "SELECT pg_stat_force_next_flush()")
    rows = run(
        client.conn,
        "SELECT relname, seq_tup_read + coalesce(idx_tup_fetch, 0) "
        "FROM pg_stat_all_tables WHERE schemaname = 'object_store'",
    )
    return {name: int(count) for name, count in rows}


_texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(values=st.lists(st.none() | _texts | st.sampled_from(['"', "\\", "NULL", "{}", ",", '\\"'])))
def test_arrays_of_any_texts(alice: StoreClient, values: list[str | None]) -> None:
    [(found,)] = run(alice.conn, "SELECT %s::text[]", [array_text(values)])
    assert found == (values if any(each is not None for each in values) or not values else None)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(values=st.lists(st.none() | st.dictionaries(_texts | st.just("\x1e"), _texts)))
def test_arrays_of_any_json(alice: StoreClient, values: list[dict[str, str] | None]) -> None:
    texts = [None if each is None else json.dumps(each) for each in values]
    [(found,)] = run(alice.conn, f"SELECT {JSON_ARRAY}::text[]", [json_array_text(texts)])
    if any(each is not None for each in values) or not values:
        assert [None if each is None else json.loads(each) for each in found] == values
    else:
        assert found is None


@pytest.mark.parametrize("text", ["", '{"name":"a"}\x1e{"name":"b"}'])
def test_what_is_no_json_does_not_become_two_values(text: str) -> None:
    for texts in ([text], ['{"name":"c"}', text, None]):
        with pytest.raises(SerializationError, match="no JSON text"):
            json_array_text(texts)


def test_arrays_of_numbers_and_moments(alice: StoreClient) -> None:
    zone = timezone(timedelta(hours=-3, minutes=-30))
    moments = [datetime(1, 1, 2, tzinfo=zone), None, datetime(9999, 1, 1, 1, 2, 3, 4, timezone.utc)]
    [found] = run(
        alice.conn,
        "SELECT %s::int[], %s::timestamptz[]",
        [array_text([1, None, -2]), array_text(moments)],
    )
    assert found == ([1, None, -2], moments)
