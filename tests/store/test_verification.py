"""What a superuser changes behind the store's back is found."""

from __future__ import annotations

import pytest

from store.client import StoreClient
from store.models import Trade
from store.verification import Verification, verify
from tests.store.desk import Desk

EVENT, SEG, HEAD, PAST = (f"object_store.{name}" for name in ("event", "seg", "head", "past"))
LATER = "now() + interval '1 h'"


@pytest.mark.parametrize(
    ("tampering", "version", "problem"),
    [
        (
            f"UPDATE {EVENT} SET data = data || '{{\"quantity\": 9}}' WHERE version = 2",
            2,
            "its hash",
        ),
        (f"UPDATE {EVENT} SET updated_by = 'bob' WHERE version = 1", 1, "its hash"),
        (f"UPDATE {EVENT} SET tx_time = tx_time - interval '1 h' WHERE version = 3", 3, "its hash"),
        (
            f"UPDATE {EVENT} SET valid_from = valid_from - interval '1 h' WHERE version = 1",
            1,
            "hash",
        ),
        (f"DELETE FROM {EVENT} WHERE version = 2", 3, "the version before it is missing"),
        (f"DELETE FROM {EVENT} WHERE version = 3", 2, "not the newest"),
        (f"DELETE FROM {EVENT}", 3, "all its events are missing"),
        (f"DELETE FROM {HEAD}", 3, "not the newest"),
        (f"UPDATE {SEG} SET data = data || '{{\"quantity\": 9}}'", 3, "not what was written"),
        (f"UPDATE {SEG} SET valid_from = valid_from - interval '1 h'", 3, "not read for"),
        (f"UPDATE {SEG} SET version = 2", 2, "not what was written"),
        (f"DELETE FROM {SEG}", 3, "not read for"),
        (f"UPDATE {SEG} SET valid_to = {LATER}", 3, "not read for"),
        (
            f"INSERT INTO {SEG} SELECT viewer, entity_id, valid_from, {LATER}, version, "
            "event_type, type_name, owner, updated_by, tx_time, state, data, event_from, "
            f"event_to, newest FROM {SEG}",
            3,
            "beside another",
        ),
        (
            f"UPDATE {PAST} SET valid_to = valid_to - interval '1 us' WHERE version = 1",
            1,
            "not read",
        ),
        (
            f"UPDATE {PAST} SET tx_time = tx_time - interval '1 h' WHERE version = 2",
            2,
            "of the past",
        ),
        (f"DELETE FROM {PAST} WHERE version = 1", 1, "not read for"),
        (f"UPDATE {PAST} SET version = 2 WHERE version = 1", 2, "of the past"),
        (
            f"WITH s AS (DELETE FROM {SEG} WHERE true RETURNING *) INSERT INTO {PAST} "
            "SELECT entity_id, valid_from, valid_to, version, tx_time FROM s",
            3,
            "of the past",
        ),
        (f"UPDATE {HEAD} SET version = 2", 3, "not the newest"),
        (f"UPDATE {HEAD} SET tx_time = {LATER}", 3, "not the newest"),
        (f"UPDATE {HEAD} SET owner = 'bob'", 3, "not the newest"),
        (f"UPDATE {HEAD} SET type_name = 'x'", 3, "not the newest"),
        (
            f"INSERT INTO {EVENT} SELECT entity_id, 4, xid, seq + 100, event_type, type_name, "
            f"owner, updated_by, tx_time + interval '1 h', valid_from, valid_to, state, "
            f"event_meta, data, event_id, request, hash, formula FROM {EVENT} WHERE version = 3",
            4,
            "its hash",
        ),
    ],
)
def test_a_break_is_named(
    desk: Desk, alice: StoreClient, tampering: str, version: int, problem: str
) -> None:
    good, bad = Trade(symbol="GOOD"), Trade(symbol="BAD")
    for obj in (good, bad):
        alice.write(obj)
        alice.update(obj)
        alice.update(obj)
    admin = desk.admin()
    assert verify(admin)
    assert verify(admin).events == 6
    with admin.cursor() as cursor:
        mine = f"entity_id = '{bad._store_entity_id}'"
        if "WHERE true" in tampering:
            cursor.execute(tampering.replace("WHERE true", f"WHERE {mine}"))
        else:
            where = " AND" if "WHERE" in tampering else " WHERE"
            cursor.execute(f"{tampering}{where} {mine}")
        assert cursor.rowcount
    found = verify(admin)
    assert not found
    # Its owner finds it as well, of what may still be seen.
    if "owner" not in tampering:
        assert not alice.verify()
    first = found.breaks[0]
    assert {each.entity_id for each in found.breaks} == {bad._store_entity_id}
    assert (first.entity_id, first.version) == (bad._store_entity_id, version)
    assert problem in first.problem
    assert str(version) in str(first)


def test_slices_cover_everything(
    desk: Desk, alice: StoreClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("store.verification.SLICE", 3)
    objects = [Trade(symbol="AAPL", quantity=n) for n in range(10)]
    alice.write_many(objects)
    alice.update_many(objects[:4])
    told: list[tuple[int, int]] = []
    checked = verify(alice.conn, lambda done, whole: told.append((done, whole)))
    assert (checked.entities, checked.events, bool(checked)) == (10, 14, True)
    assert told == [(3, 10), (6, 10), (9, 10), (10, 10)]
    with desk.admin().cursor() as cursor:
        cursor.execute(f"UPDATE {EVENT} SET state = 'x' WHERE version = 1")
    found = dict.fromkeys(b.entity_id for b in alice.verify().breaks)
    assert list(found) == [o._store_entity_id for o in objects]
    with desk.admin().cursor() as cursor:
        cursor.execute(f"DELETE FROM {HEAD}")
    assert len({b.entity_id for b in verify(desk.admin()).breaks}) == 10
    assert verify(desk.login("bob")) == Verification(0, 0, ())
