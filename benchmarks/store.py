# ruff: noqa: E402
"""The store against "plain": the same rows in a bare table, by the same kind of user.

The plain table has the same columns, a primary key and one index; no projection, hash or policy.
Shown are times of both and their ratio, best of several. BENCH_ENTITIES says how many entities
the queries look through (100,000 if not given).
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

# This file has the name of the package that it measures.
sys.path[0] = str(Path(__file__).resolve().parent.parent)

import psycopg2
from psycopg2.extras import execute_values

from store.appending import new_entity_id
from store.client import StoreClient
from store.models import Trade
from store.schema import index_field, provision_user
from store.server import ObjectStoreServer

ENTITIES = int(os.environ.get("BENCH_ENTITIES", "100000"))
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
    print(f"{what:<42}{ours:>10.3f} ms {plain:>10.3f} ms {ours / plain:>8.2f} x")


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
        for user in ("alice", "plain"):
            provision_user(admin, user, user)
        index_field(admin, "symbol")
        with admin.cursor() as cursor:
            cursor.execute(
                "CREATE SCHEMA plain; CREATE TABLE plain.event (entity_id uuid, version int, "
                "event_type text, type_name text, owner text, tx_time timestamptz, "
                "valid_from timestamptz, data text, PRIMARY KEY (entity_id, version)); "
                "CREATE INDEX ON plain.event (tx_time); GRANT USAGE ON SCHEMA plain TO plain; "
                "GRANT SELECT, INSERT ON plain.event TO plain"
            )
        info = server.conn_info()
        measure(info, StoreClient("alice", "alice", **info), Plain(info))
        admin.close()
    shutil.rmtree(folder)


def measure(info: dict[str, Any], ours: StoreClient, plain: Plain) -> None:
    print(f"{'':<42}{'store':>13} {'plain':>13} {'ratio':>10}")
    show(
        "write",
        best(lambda: ours.write(trade()), 200),
        best(lambda: plain.insert([trade()]), 200),
    )
    thousand = [trade(n) for n in range(1_000)]
    bare = best(lambda: plain.insert(thousand))
    show("write_many of 1,000", best(lambda: ours.write_many([trade() for _ in thousand])), bare)
    ours.write_many(thousand)
    show("update_many of 1,000", best(lambda: ours.update_many(thousand)), bare)

    clients = [StoreClient("alice", "alice", **info) for _ in range(16)]
    plains = [Plain(info) for _ in range(16)]
    show(
        "write, 16 clients at once, each commit",
        min(together([lambda c=c: c.write(trade()) for c in clients], 40) for _ in range(3)),
        min(together([lambda p=p: p.insert([trade()]) for p in plains], 40) for _ in range(3)),
    )
    entity_id = ours.write(trade())
    with plain.conn.cursor() as cursor:
        cursor.execute("SELECT entity_id FROM plain.event LIMIT 1")
        (plain_id,) = cursor.fetchone()
    show(
        "read",
        best(lambda: ours.read(Trade, entity_id), 300),
        best(lambda: plain.read(plain_id), 300),
    )

    short, long = trade(), trade()
    for obj, versions in ((short, 10), (long, 10_000)):
        ours.write(obj)
        for _ in range(versions // 500 or 1):
            ours.update_many([obj] * min(versions, 500))
    for what, moment in (("T in the middle", "tx_time"), ("V in the middle", "valid_time")):
        times = []
        for obj in (long, short):
            history = ours.audit(obj._store_entity_id)
            at = {moment: history[len(history) // 2]["tx_time"]}
            times.append(best(lambda o=obj, at=at: ours.as_of(Trade, o._store_entity_id, **at), 50))
        show(f"as_of, {what}: 10,000 versions against 10", *times)

    for start in range(0, ENTITIES, 1_000):
        ours.write_many([trade(n) for n in range(start, start + 1_000)])
    took = best(lambda: ours.query(Trade, {"symbol": "S7"}, limit=50), 1, 3)
    print(f"query of 50 by symbol among {ENTITIES:,} entities: {took:.1f} ms")


if __name__ == "__main__":
    main()
