# ruff: noqa: E402
"""The store against "plain": the same rows in a bare table, by the same kind of user.

The plain table has the same columns, a primary key and one index; no projection, hash or policy.
Shown are times of both and their ratio, best of several rounds that take turns, as other work on
the machine disturbs both alike. BENCH_ENTITIES says how many entities the queries look through
(1,000,000 if not given; that many take minutes to write).
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

# This file has the name of the package that it measures.
sys.path[0] = str(Path(__file__).resolve().parent.parent)

import psycopg2
from psycopg2.extras import execute_values

from reactive import Field
from store.client import StoreClient
from store.entities.appender import new_entity_id
from store.models import Trade
from store.schema import index_field, provision_user
from store.server import ObjectStoreServer

ENTITIES = int(os.environ.get("BENCH_ENTITIES", "1000000"))
ROUNDS = 7
COLUMNS = "entity_id, version, event_type, type_name, owner, tx_time, valid_from, data"


def best(work: Callable[[], object], times: int = 1, rounds: int = ROUNDS) -> float:
    """Milliseconds of one call, of the best round."""
    found = []
    for _ in range(rounds):
        start = time.perf_counter()
        for _ in range(times):
            work()
        found.append((time.perf_counter() - start) / times)
    return min(found) * 1_000


def show(what: str, ours: float, plain: float) -> None:
    print(f"{what:<46}{ours:>10.3f} ms {plain:>10.3f} ms {ours / plain:>8.2f} x", flush=True)


def compare(
    what: str, ours: Callable[[], object], plain: Callable[[], object], times: int = 1
) -> None:
    """Show the best rounds of both, which take turns."""
    found = [(best(ours, times, 1), best(plain, times, 1)) for _ in range(ROUNDS)]
    show(what, min(each[0] for each in found), min(each[1] for each in found))


def trade(number: int = 0) -> Trade:
    now = datetime(2026, 2, 22, 10, tzinfo=timezone.utc)
    return Trade(f"S{number % max(ENTITIES // 50, 1)}", number, 228.5, "BUY", now)


def row(obj: Trade) -> tuple[Any, ...]:
    now = datetime.now(timezone.utc)
    return (new_entity_id(), 1, "CREATED", Trade.type_name(), "plain", now, now, obj.to_json())


class Plain:
    """A user with a bare table."""

    def __init__(self, info: dict[str, Any]) -> None:
        self.conn = psycopg2.connect(user="plain", password="plain", **info)
        self.conn.autocommit = True

    def insert(self, objects: list[Trade]) -> None:
        with self.conn.cursor() as cursor:
            statement = f"INSERT INTO plain.event ({COLUMNS}) VALUES %s"
            execute_values(cursor, statement, [row(o) for o in objects], page_size=1_000)

    def read(self, entity_id: str) -> Any:
        with self.conn.cursor() as cursor:
            statement = f"SELECT {COLUMNS} FROM plain.event WHERE entity_id = %s::uuid"
            cursor.execute(statement, [entity_id])
            return Trade.from_json(cursor.fetchone()[-1])


def together(works: list[Callable[[], object]], each: int) -> float:
    """Milliseconds a commit, of threads that work at the same time."""

    def repeat(work: Callable[[], object]) -> None:
        for _ in range(each):
            work()

    start = time.perf_counter()
    with ThreadPoolExecutor(len(works)) as pool:
        list(pool.map(repeat, works))
    return (time.perf_counter() - start) * 1_000 / (each * len(works))


def main() -> None:
    folder = tempfile.mkdtemp(prefix="store-benchmark-")
    with ObjectStoreServer(Path(folder) / "data") as server:
        admin = server.admin_conn()
        for user in ("alice", "bob", "carol", "plain"):
            provision_user(admin, user, user)
        index_field(admin, "symbol")
        index_field(admin, "quantity")
        with admin.cursor() as cursor:
            cursor.execute(
                "CREATE SCHEMA plain; CREATE TABLE plain.event (entity_id uuid, version int, "
                "event_type text, type_name text, owner text, tx_time timestamptz, "
                "valid_from timestamptz, data text, PRIMARY KEY (entity_id, version)); "
                "CREATE INDEX ON plain.event (tx_time); GRANT USAGE ON SCHEMA plain TO plain; "
                "GRANT SELECT, INSERT ON plain.event TO plain"
            )
        info = server.conn_info()
        measure(info, admin, StoreClient("alice", "alice", **info), Plain(info))
        admin.close()
    shutil.rmtree(folder)


def measure(info: dict[str, Any], admin: Any, ours: StoreClient, plain: Plain) -> None:
    print(f"{'':<46}{'store':>13} {'plain':>13} {'ratio':>10}")
    compare("write", lambda: ours.write(trade()), lambda: plain.insert([trade()]), 200)
    thousand = [trade(n) for n in range(1_000)]
    compare(
        "write_many of 1,000",
        lambda: ours.write_many([trade(n) for n in range(1_000)]),
        lambda: plain.insert([trade(n) for n in range(1_000)]),
    )
    ours.write_many(thousand)
    compare(
        "update_many of 1,000, against plain inserts",
        lambda: ours.update_many(thousand),
        lambda: plain.insert(thousand),
    )

    clients = [StoreClient("alice", "alice", **info) for _ in range(16)]
    plains = [Plain(info) for _ in range(16)]
    writes = [lambda c=c: c.write(trade()) for c in clients]
    inserts = [lambda p=p: p.insert([trade()]) for p in plains]
    both = [(together(writes, 40), together(inserts, 40)) for _ in range(ROUNDS)]
    show(
        "write, 16 clients at once, a commit each", *(min(each) for each in zip(*both, strict=True))
    )
    for each in clients:
        each.close()

    entity_id = ours.write(trade())
    with plain.conn.cursor() as cursor:
        cursor.execute("SELECT entity_id FROM plain.event LIMIT 1")
        (plain_id,) = cursor.fetchone()
    compare("read", lambda: ours.read(Trade, entity_id), lambda: plain.read(plain_id), 300)
    short, long = long_histories(ours, (10, 10_000))
    for what, moment in (("T in the middle", "tx_time"), ("V in the middle", "valid_time")):
        works = []
        for obj in (long, short):
            history = ours.audit(obj._store_entity_id)
            at = {moment: history[len(history) // 2]["tx_time"]}
            works.append(lambda o=obj, at=at: ours.as_of(Trade, o._store_entity_id, **at))
        compare(f"as_of, {what}: 10,000 versions against 10", *works, 50)
    unasked(ours, StoreClient("carol", "carol", **info))
    sizes(admin, StoreClient("bob", "bob", **info))
    queries(admin, ours, StoreClient("bob", "bob", **info))


def unasked(giver: StoreClient, receiver: StoreClient) -> None:
    """A user's own query after 20,000 grants that nobody asked for, against before."""
    receiver.write_many([trade(n) for n in range(20)])
    own = trade()
    own.symbol = "OWN"
    entity_id = receiver.write(own)

    def measured() -> tuple[float, float]:
        by_symbol = best(lambda: receiver.query(Trade, {"symbol": "OWN"}), 20)
        return by_symbol, best(lambda: receiver.read(Trade, entity_id), 100)

    before = measured()
    with giver.conn.cursor() as cursor:
        for start in range(0, 20_000, 1_000):
            ids = giver.write_many([trade(n) for n in range(start, start + 1_000)])
            cursor.execute(
                "SELECT count(object_store.share(id, 'carol', true, NULL)) "
                "FROM unnest(%s::uuid[]) id",
                [ids],
            )
    for what, after, earlier in zip(("query", "read"), measured(), before, strict=True):
        show(f"{what} of one's own, 20,000 unasked grants, before", after, earlier)
    receiver.close()


def long_histories(ours: StoreClient, lengths: tuple[int, ...]) -> list[Trade]:
    """An entity for each number of versions."""
    objects = [trade() for _ in lengths]
    for obj, versions in zip(objects, lengths, strict=True):
        ours.write(obj)
        for _ in range(versions // 500 or 1):
            ours.update_many([obj] * min(versions, 500))
    return objects


def size(admin: Any, *tables: str) -> int:
    with admin.cursor() as cursor:
        cursor.execute(
            "SELECT sum(pg_total_relation_size(t::regclass)) FROM unnest(%s) t", [list(tables)]
        )
        return int(cursor.fetchone()[0])


def sizes(admin: Any, ours: StoreClient) -> None:
    """Bytes on disk of what `write_many` wrote, all tables and indexes of the store."""
    names = ("event", "head", "seg", "past")
    objects = [trade(n) for n in range(20_000)]
    before = size(admin, *(f"object_store.{name}" for name in names))
    for start in range(0, len(objects), 1_000):
        ours.write_many(objects[start : start + 1_000])
    grown = size(admin, *(f"object_store.{name}" for name in names)) - before
    json_bytes = sum(len(obj.to_json()) for obj in objects) / len(objects)
    print(
        f"bytes on disk of an event: {grown / len(objects):.0f}, all tables and indexes; "
        f"its JSON has {json_bytes:.0f}"
    )
    ours.close()


def queries(admin: Any, alice: StoreClient, bob: StoreClient) -> None:
    """A query of 50 by an indexed column: while there are more entities, and longer histories."""
    written = 0
    held: list[Trade] = []
    for entities in (ENTITIES // 10, ENTITIES):
        for start in range(written, entities, 1_000):
            batch = [trade(n) for n in range(start, start + 1_000)]
            alice.write_many(batch)
            held += [obj for obj in batch if obj.symbol == "S7"]
        written = entities
        timed_queries(admin, alice, bob, f"{entities:,} entities")
    # Every entity that the query finds, and many beside them, get long histories.
    many = [*held, *alice.query(Trade, limit=2_000).items]
    many = list({obj._store_entity_id: obj for obj in many}.values())
    for _ in range(20):
        alice.update_many(many)
    timed_queries(admin, alice, bob, f"{entities:,} entities, those found with 20 versions more")


def timed_queries(admin: Any, alice: StoreClient, bob: StoreClient, among: str) -> None:
    with admin.cursor() as cursor:
        # As autovacuum does within a minute.
        cursor.execute("VACUUM ANALYZE object_store.seg")
    moment = datetime(2026, 2, 22, 10, tzinfo=timezone.utc)
    works: dict[str, Callable[[], object]] = {
        "50 by symbol": lambda: alice.query(Trade, {"symbol": "S7"}, limit=50),
        "50 by a range of numbers": lambda: alice.query(Trade, Field("quantity") < 50, limit=50),
        "the first 50": lambda: alice.query(Trade, limit=50),
        "the first 50 of somebody who sees 20,000": lambda: bob.query(Trade, limit=50),
        "50 by symbol as of a time": lambda: alice.query(
            Trade, {"symbol": "S7"}, limit=50, valid_time=moment + timedelta(days=9_000)
        ),
    }
    print(f"query among {among}:")
    for what, work in works.items():
        slow = "as of" in what
        print(f"    {what:<46}{best(work, 1 if slow else 10, 1 if slow else 5):>10.2f} ms")


if __name__ == "__main__":
    main()
