# ruff: noqa: E402
"""Bars kept in a table of their own, against bars as entities of the object store.

    python benchmarks/kept_bars.py

BENCH_BARS one-minute bars (20,000 if not given) of eight symbols, kept and read by an ordinary
user; both ways keep two times and every version. The entities are written by `write_many` of 1,000
and read by `query`, the table by `BarStore.keep` of 1,000 and `BarStore.read`. Sizes are those of
all tables with their indexes, once everything is written.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

# This file stands beside others that have the names of packages.
sys.path[0] = str(Path(__file__).resolve().parent.parent)

import numpy as np
import pyarrow as pa

from store.base import Storable
from store.client import StoreClient
from store.schema import provision_user
from store.server import ObjectStoreServer
from trading.bars import bars
from trading.ticks import TickStore

BARS = int(os.environ.get("BENCH_BARS", "20000"))
SYMBOLS = 8
START = 1_767_623_400_000_000_000
PIECE = 1_000


@dataclass
class Bar(Storable):
    """A bar as an entity would be."""

    symbol: str = ""
    interval: str = "1m"
    start: datetime | None = None
    end: datetime | None = None
    open: Decimal | None = None
    high: Decimal | None = None
    low: Decimal | None = None
    close: Decimal | None = None
    volume: int = 0
    count: int = 0
    vwap: float | None = None


def some_bars() -> pa.Table:
    rows = np.arange(BARS * 4)
    random = np.random.default_rng(1)
    table = pa.table(
        {
            "timestamp": pa.array(
                START + rows // (4 * SYMBOLS) * 60_000_000_000, pa.timestamp("ns", "UTC")
            ),
            "symbol": [f"S{row % SYMBOLS}" for row in rows],
            "price": np.round(100 + random.normal(0, 1, len(rows)), 2),
            "size": rows % 500 + 1,
        }
    )
    return bars(table, "1m")


def entities(table: pa.Table) -> list[Bar]:
    names = ("symbol", "start", "end", "volume", "count", "vwap")
    return [
        Bar(
            **{name: row[name] for name in names},
            **{name: Decimal(str(row[name])) for name in ("open", "high", "low", "close")},
        )
        for row in table.to_pylist()
    ]


def seconds(work: Callable[[], Any]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def size_of(admin: Any, schema: str) -> int:
    with admin.cursor() as cursor:
        cursor.execute(
            "SELECT sum(pg_total_relation_size(c.oid))::bigint FROM pg_class c "
            "JOIN pg_namespace n ON n.oid = c.relnamespace "
            "WHERE n.nspname = %s AND c.relkind = 'r'",
            [schema],
        )
        return int(cursor.fetchone()[0] or 0)


def main() -> None:
    folder = Path(tempfile.mkdtemp(prefix="bench-bars-"))
    table = some_bars()
    objects = entities(table)
    with ObjectStoreServer(folder / "data") as server:
        admin = server.admin_conn()
        admin.autocommit = True
        provision_user(admin, "bars_user", "user")
        with TickStore(server) as all_ticks:
            all_ticks.grant("bars_user", None, write=True)
        info = server.conn_info()
        with (
            TickStore({**info, "user": "bars_user", "password": "user"}) as ticks,
            StoreClient("bars_user", "user", **info) as client,
        ):
            before = [size_of(admin, schema) for schema in ("object_store", "trading_ticks")]
            as_rows = as_entities = 0.0
            for at in range(0, len(table), PIECE):
                piece, part = table.slice(at, PIECE), objects[at : at + PIECE]
                as_rows += seconds(lambda piece=piece: ticks.bars.keep(piece, "1m"))
                as_entities += seconds(lambda part=part: client.write_many(part))
            read_rows = min(seconds(lambda: ticks.bars.read(None, "1m")) for _ in range(3))
            read_entities = min(seconds(lambda: client.query(Bar, limit=None)) for _ in range(3))
            after = [size_of(admin, schema) for schema in ("object_store", "trading_ticks")]
        count = len(table)
        sizes = [(new - old) / count for new, old in zip(after, before, strict=True)]
        print(f"{count:,} bars          table      entities   ratio")
        for what, ours, theirs in (
            ("kept, 1/s", count / as_rows, count / as_entities),
            ("read, 1/s", count / read_rows, count / read_entities),
            ("bytes a bar", sizes[1], sizes[0]),
        ):
            print(f"{what:<14} {ours:>12,.0f}  {theirs:>12,.0f}  {ours / theirs:>6.2f}")
        again = seconds(lambda: ticks.bars.keep(table.slice(0, PIECE), "1m"))
        print(f"{PIECE:,} kept bars given again: {again * 1e3:.0f} ms")
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
