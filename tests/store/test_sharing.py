"""Refusing what others share, and copies that follow rights."""

from __future__ import annotations

import pytest

from store.client import StoreClient
from store.errors import AccessError, EntityNotFound, StoreError
from store.models import Trade
from store.permissions import (
    Refusal,
    accept,
    accept_from,
    list_refused,
    list_shared_with,
    refuse,
    refuse_from,
    share_read,
    share_write,
    unshare,
)
from store.position import START
from store.subscriptions.event_log import EventLog
from store.verification import verify
from tests.store.desk import Desk
from tests.store.sql import run


@pytest.fixture
def given(alice: StoreClient) -> list[str]:
    """Entities of alice, shared with bob unasked."""
    ids = alice.write_many([Trade(f"S{n}", n, 1.0, "BUY") for n in range(6)])
    for entity_id in ids:
        share_read(alice.conn, entity_id, "bob")
    return ids


def test_an_entity_is_refused_until_it_is_accepted(
    desk: Desk, alice: StoreClient, bob: StoreClient, given: list[str]
) -> None:
    refuse(bob.conn, given[0])
    assert bob.read(Trade, given[0]) is None
    assert bob.count() == 5
    assert list_refused(bob.conn) == [Refusal("alice", given[0])]
    assert list_shared_with(alice.conn, given[0]) == {"readers": [], "writers": []}
    for attempt in (share_read, share_write):
        with pytest.raises(AccessError, match="bob refuses what alice shares"):
            attempt(alice.conn, given[0], "bob")
    # Nothing to take back, which is no error.
    assert unshare(alice.conn, given[0], "bob") is False
    assert share_read(alice.conn, given[0], "carol") is True
    assert accept(bob.conn, given[0]) is True
    assert accept(bob.conn, given[0]) is False
    assert bob.read(Trade, given[0]) is None
    assert share_read(alice.conn, given[0], "bob") is True
    assert bob.read(Trade, given[0]) is not None
    with pytest.raises(EntityNotFound):
        refuse(desk.login("mallory"), given[1])
    assert verify(desk.admin()).breaks == ()


def test_a_user_is_refused_altogether(
    desk: Desk, alice: StoreClient, bob: StoreClient, given: list[str]
) -> None:
    mine = bob.write(Trade("MINE", 1, 1.0, "BUY"))
    assert refuse_from(bob.conn, "alice") == 6
    assert refuse_from(bob.conn, "alice") == 0
    assert [t.symbol for t in bob.query(Trade)] == ["MINE"]
    assert bob.history(Trade, given[0]) == []
    assert {e.entity_id for e in EventLog(bob.conn).page(START).events} == {mine}
    other = alice.write(Trade("NEW", 1, 1.0, "BUY"))
    with pytest.raises(AccessError, match="refuses"):
        share_read(alice.conn, other, "bob")
    # It is about alice alone.
    carols = desk.client("carol").write(Trade("CAROL", 1, 1.0, "BUY"))
    share_read(desk.client("carol").conn, carols, "bob")
    assert bob.read(Trade, carols) is not None
    assert list_refused(bob.conn) == [Refusal("alice", None)]
    assert list_refused(alice.conn) == []
    assert accept_from(bob.conn, "alice") is True
    assert accept_from(bob.conn, "alice") is False
    assert share_read(alice.conn, other, "bob") is True
    for nobody in ("bob", None):
        with pytest.raises(StoreError, match="no other user"):
            refuse_from(bob.conn, nobody)  # type: ignore[arg-type]
    assert verify(desk.admin()).breaks == ()


def test_copies_follow_what_is_written_shared_and_deleted(
    desk: Desk, alice: StoreClient, bob: StoreClient, given: list[str]
) -> None:
    obj = alice.read(Trade, given[0])
    share_write(alice.conn, given[0], "carol")
    for quantity in (10, 11):
        obj.quantity = quantity
        alice.update(obj)
        for user in ("bob", "carol"):
            found = desk.client(user).query(Trade, {"quantity": quantity})
            assert [(t._store_entity_id, t._store_newest_version) for t in found] == [
                (given[0], obj._store_version)
            ]
    theirs = desk.client("carol").read(Trade, given[0])
    theirs.quantity = 12
    desk.client("carol").update_many([theirs])
    assert bob.read(Trade, given[0]).quantity == 12
    [(copies,)] = run(
        desk.admin(), "SELECT count(*) FROM object_store.seg WHERE entity_id = %s", [given[0]]
    )
    assert copies == 3
    alice.delete(alice.read(Trade, given[0]))
    assert [c.read(Trade, given[0]) for c in (alice, bob)] == [None, None]
    assert len(bob.history(Trade, given[0])) == 5
    assert unshare(alice.conn, given[0], "carol")
    assert verify(desk.admin()).breaks == bob.verify().breaks == ()


@pytest.mark.parametrize(
    ("tampering", "problem"),
    [
        ("UPDATE {0}.seg SET data = '{{}}' WHERE viewer = 'bob'", "not what was written"),
        ("DELETE FROM {0}.seg WHERE viewer = 'bob'", "not read for"),
        ("UPDATE {0}.seg SET viewer = 'mallory' WHERE viewer = 'bob'", "may not see it"),
        ("DELETE FROM {0}.acl WHERE grantee = 'bob'", "not those it is shared with"),
        ("UPDATE {0}.head SET is_shared = false WHERE owner = 'alice'", "not those it is shared"),
        ("UPDATE {0}.seg SET newest = 7 WHERE viewer = 'bob'", "not what was written"),
    ],
)
def test_a_copy_that_differs_is_found(
    desk: Desk, given: list[str], tampering: str, problem: str
) -> None:
    admin = desk.admin()
    assert verify(admin).breaks == ()
    run(admin, tampering.format("object_store"))
    assert any(problem in each.problem for each in verify(admin).breaks)


def test_many_unasked_grants_do_not_lengthen_what_is_looked_at(
    desk: Desk, alice: StoreClient, bob: StoreClient
) -> None:
    """A query of the grantee's own is answered by the same number of rows as before."""
    bob.write_many([Trade(f"B{n}", n, 1.0, "BUY") for n in range(20)])
    own = bob.write(Trade("OWN", 1, 1.0, "BUY"))
    ids = alice.write_many([Trade("SPAM", n, 1.0, "SELL") for n in range(2_000)])
    admin = desk.admin()
    from store.schema import index_field

    index_field(admin, "symbol")
    looked = []
    for _ in range(2):
        run(admin, "ANALYZE")
        run(bob.conn, "BEGIN")
        before = _tuples(bob)
        assert len(bob.query(Trade, {"symbol": "OWN"})) == 1
        assert bob.read(Trade, own) is not None
        assert len(bob.history(Trade, own)) == 1
        looked.append(_tuples(bob) - before)
        run(bob.conn, "ROLLBACK")
        run(
            alice.conn,
            "SELECT count(object_store.share(id, 'bob', true, NULL)) FROM unnest(%s::uuid[]) id",
            [ids],
        )
    assert looked[1] <= looked[0] + 5
    assert bob.count(Trade) == 2_021


def _tuples(client: StoreClient) -> int:
    [(found,)] = run(
        client.conn,
        "SELECT sum(coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0))::int "
        "FROM pg_stat_xact_all_tables WHERE schemaname = 'object_store'",
    )
    return int(found)
