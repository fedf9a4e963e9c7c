"""Data of the former schema, made by its own functions, brought forward."""

from __future__ import annotations

import random
from datetime import timedelta
from typing import Any

import pytest

import store.schema
from store.client import StoreClient
from store.models import Trade
from store.permissions import list_shared_with, share_read, unshare
from store.schema import MIGRATIONS, bootstrap_schema
from store.verification import verify
from tests.store.desk import Desk
from tests.store.sql import run

FORMER = 2
# The last schema whose batches hashed by another function.
BEFORE_FAST_BATCHES = 6
APPEND = (
    "SELECT entity_id::text, version FROM object_store.append("
    "%s, %s::uuid, %s, 'store.models.Trade', %s::jsonb, NULL, %s, %s, NULL, NULL)"
)
OLD_BREAKS = (
    "SELECT * FROM object_store.breaks('00000000-0000-0000-0000-000000000000', "
    "'ffffffff-ffff-ffff-ffff-ffffffffffff')"
)


@pytest.fixture
def former(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """A database with the schema of version 2."""
    return _at_version(FORMER, desk, monkeypatch)


def _at_version(version: int, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> Desk:
    admin = desk.admin()
    run(admin, "DROP SCHEMA object_store CASCADE")
    with monkeypatch.context() as patch:
        patch.setattr(store.schema, "MIGRATIONS", MIGRATIONS[:version])
        bootstrap_schema(admin)
    return desk


def wrote(
    login: Any, kind: str, entity_id: str, expected: int | None, quantity: int, **at: Any
) -> None:
    data = Trade("CAFÉ", quantity, quantity / 4, "BUY").to_json()
    run(login, APPEND, [kind, entity_id, expected, data, at.get("since"), at.get("until")])


def test_data_of_the_former_schema_come_forward(former: Desk) -> None:
    admin, alice, bob = former.admin(), former.login("alice"), former.login("bob")
    run(
        admin,
        "CREATE INDEX seg_by_field_symbol ON object_store.seg "
        "((object_store.json_text(data, 'symbol') COLLATE \"C\"), entity_id)",
    )
    rng = random.Random(2026)
    [(now,)] = run(admin, "SELECT now()")
    hour = timedelta(hours=1)
    ids = [run(admin, "SELECT gen_random_uuid()::text")[0][0] for _ in range(30)]
    versions = dict.fromkeys(ids, 1)
    for number, entity_id in enumerate(ids):
        wrote(alice, "CREATED", entity_id, None, number)
    for step in range(200):
        entity_id = rng.choice(ids)
        kind = rng.choice(["UPDATED", "UPDATED", "UPDATED", "DELETED"])
        since = rng.choice([None, now - hour * rng.randint(1, 9), now + hour])
        until = rng.choice([None, None, now + hour * rng.randint(2, 9)])
        wrote(alice, kind, entity_id, versions[entity_id], step, since=since, until=until)
        versions[entity_id] += 1
    for entity_id in ids[:7]:
        run(alice, "SELECT object_store.share(%s, 'bob', true, true)", [entity_id])
    # A session of another encoding, whose hashes are of its bytes.
    bob.set_client_encoding("LATIN1")
    wrote(bob, "UPDATED", ids[0], versions[ids[0]], 777)
    assert [row[0] for row in run(admin, OLD_BREAKS)] == [ids[0]]

    now_there = "SELECT * FROM object_store.value_now(%s, '{store.models.Trade}')"
    past_there = "SELECT object_store.version_at(%s, 'infinity', %s)"
    moments = [now - hour * n - timedelta(seconds=1) for n in range(-9, 10)]
    before = {i: run(alice, now_there, [i]) for i in ids}
    past = {(i, m): run(alice, past_there, [i, m])[0][0] for i in ids for m in moments}
    log = run(
        admin,
        "SELECT entity_id, version, hash, data, xid, seq FROM object_store.event ORDER BY seq",
    )

    bootstrap_schema(admin)

    assert (
        run(
            admin,
            "SELECT entity_id, version, hash, data, xid, seq FROM object_store.event ORDER BY seq",
        )
        == log
    )
    assert verify(admin).breaks == ()
    assert verify(admin).events == 231
    assert {i: run(alice, now_there, [i]) for i in ids} == before
    client, other = former.client("alice"), former.client("bob")
    for (entity_id, moment), version in past.items():
        found = client.as_of(Trade, entity_id, valid_time=moment)
        kept = client.history(Trade, entity_id)[version - 1] if version else None
        is_there = kept is not None and kept._store_event_type != "DELETED"
        assert (found and found._store_version) == (version if is_there else None)
    assert [t.quantity for t in client.query(Trade, limit=None)] == [
        client.read(Trade, t._store_entity_id).quantity for t in client.query(Trade, limit=None)
    ]
    assert {t._store_entity_id for t in client.query(Trade, {"symbol": "CAFÉ"}, limit=None)} == {
        i for i, rows in before.items() if rows
    }
    assert other.count(Trade) == sum(bool(before[i]) for i in ids[:7])
    assert list_shared_with(client.conn, ids[0]) == {"readers": ["bob"], "writers": ["bob"]}
    [(definition,)] = run(
        admin, "SELECT indexdef FROM pg_indexes WHERE indexname = 'seg_by_field_symbol'"
    )
    assert "(viewer, " in definition

    # Life goes on, in entities of either kind.
    for entity_id in ids:
        obj = client.history(Trade, entity_id)[-1]
        obj.symbol, obj.quantity = "CAFE", obj.quantity + 1
        client.update(obj)
        assert client.read(Trade, entity_id).quantity == obj.quantity
    assert other.read(Trade, ids[1]) is not None
    assert unshare(client.conn, ids[1], "bob")
    assert share_read(client.conn, ids[20], "bob")
    assert verify(admin).breaks == other.verify().breaks == ()
    # A forged old event is found as before.
    run(
        admin,
        "UPDATE object_store.event SET data = '{}' WHERE entity_id = %s AND version = 1",
        [ids[3]],
    )
    first = verify(admin).breaks[0]
    assert (first.entity_id, first.version) == (ids[3], 1)


def test_writing_after_another_who_uses_another_encoding(desk: Desk, alice: StoreClient) -> None:
    """The hash is of the characters, not of how a session writes them."""
    login = desk.login("alice")
    [(entity_id,)] = run(login, "SELECT gen_random_uuid()::text")
    wrote(login, "CREATED", entity_id, None, 0)
    for version, encoding in enumerate(("LATIN1", "WIN1252", "UTF8", "LATIN9"), 1):
        login.set_client_encoding(encoding)
        wrote(login, "UPDATED", entity_id, version, version)
        wrote(login, "CREATED", run(login, "SELECT gen_random_uuid()")[0][0], None, version)
    assert alice.verify().breaks == ()
    # Whatever the one who checks has set.
    for checker in (login, desk.admin()):
        checker.set_client_encoding("LATIN1")
        assert verify(checker).breaks == ()
    # And all that does not fit is named, not the first alone.
    admin = desk.admin()
    for version in (2, 4):
        run(
            admin,
            "UPDATE object_store.event SET data = data || '{\"quantity\": 99}' "
            "WHERE entity_id = %s AND version = %s",
            [entity_id, version],
        )
    broken = {b.version for b in alice.verify().breaks if "hash" in b.problem}
    assert broken == {2, 4}
    assert {b.entity_id for b in alice.verify().breaks} == {entity_id}


def test_batches_of_the_former_schema_go_on(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Chains that were begun by the former function are continued, in sessions that stay open."""
    _at_version(BEFORE_FAST_BATCHES, desk, monkeypatch)
    admin, client = desk.admin(), desk.client("alice")
    objects = [Trade("CAFE", number, 2.5, "BUY") for number in range(1, 21)]

    def change_all() -> None:
        with client.batch() as batch:
            for each in objects:
                if each._store_entity_id is None:
                    batch.write(each)
                for _ in range(2):
                    each.quantity += 100
                    batch.update(each)

    change_all()
    hashes = run(admin, "SELECT hash FROM object_store.event ORDER BY seq")
    bootstrap_schema(admin)
    assert verify(admin).breaks == ()
    change_all()
    assert client.update_many(objects) == [6] * 20
    assert verify(admin).breaks == client.verify().breaks == ()
    assert run(admin, "SELECT hash FROM object_store.event ORDER BY seq LIMIT 60") == hashes
    assert [each.quantity for each in client.query(Trade)] == [n + 400 for n in range(1, 21)]
