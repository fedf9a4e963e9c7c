"""What a superuser changes behind the store's back is found."""

from __future__ import annotations

import pytest

from store.client import StoreClient
from store.models import Trade
from store.verification import verify
from tests.store.desk import Desk

EVENT, SEG, HEAD = (f"object_store.{name}" for name in ("event", "seg", "head"))


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
        (f"UPDATE {SEG} SET valid_from = valid_from - interval '1 h'", 3, "not what was written"),
        (
            f"INSERT INTO {EVENT} SELECT entity_id, 4, xid, seq + 100, event_type, type_name, "
            f"owner, updated_by, tx_time + interval '1 h', valid_from, valid_to, state, "
            f"event_meta, data, event_id, request, hash FROM {EVENT} WHERE version = 3",
            4,
            "its hash",
        ),
    ],
)
def test_the_first_break_is_named(
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
        where = " AND" if "WHERE" in tampering else " WHERE"
        cursor.execute(f"{tampering}{where} entity_id = %s", [bad._store_entity_id])
        assert cursor.rowcount
    found = verify(admin)
    assert not found
    (first,) = found.breaks
    assert (first.entity_id, first.version) == (bad._store_entity_id, version)
    assert problem in first.problem
    assert str(version) in str(first)
