# ruff: noqa: E402
"""Ticks into the store and out of it, against a bare COPY into a bare table in the same run.

Both get the same Arrow table of BENCH_TICKS ticks (1,000,000 if not given) of eight symbols. The
bare table has no index, the symbol as an integer and prices as float8; its buffer is built the
same way. The store's user is a writer by grant; every table has one tick in a hundred twice, which
the store must find. Shown are the best of rounds that take turns.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

# This file stands beside others that have the names of packages.
sys.path[0] = str(Path(__file__).resolve().parent.parent)

import numpy as np
import psycopg2
import pyarrow as pa

from store.schema import provision_user
from store.server import ObjectStoreServer
from trading.ticks import TickStore, appending
from trading.ticks.copying import CopyReader, row_pieces

TICKS = int(os.environ.get("BENCH_TICKS", "1000000"))
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "5"))
SYMBOLS = 8
START = 1_767_623_400_000_000_000


def ticks(number: int, symbols: int = SYMBOLS) -> pa.Table:
    """A batch of the day's ticks; sequences go on from batch to batch."""
    random = np.random.default_rng(number)
    # One in a hundred is there twice.
    rows = np.sort(np.r_[np.arange(TICKS - TICKS // 100), np.arange(TICKS // 100) * 99])
    first = number * TICKS
    return pa.table(
        {
            "timestamp": pa.array(START + (first + rows) * 1_000, pa.timestamp("ns", "UTC")),
            "symbol": pa.DictionaryArray.from_arrays(
                pa.array((rows % symbols).astype(np.int32)), [f"S{n}" for n in range(symbols)]
            ),
            "price": np.round(100 + random.normal(0, 1, TICKS)[rows], 2),
            "size": (rows % 500 + 1).astype(np.int64),
            "sequence": first + rows,
        }
    )


def seconds(work: Callable[[], Any]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def bare_copy(connection: Any, table: pa.Table) -> None:
    # A float8 travels as the eight bytes of an integer.
    columns = [
        ("ts", np.asarray(table["timestamp"].cast(pa.int64()))),
        ("symbol", np.asarray(table["symbol"].combine_chunks().indices)),
        ("price", np.asarray(table["price"]).view(np.int64)),
        ("size", np.asarray(table["size"])),
        ("seq", np.asarray(table["sequence"])),
    ]
    reader = CopyReader(row_pieces(columns, slice(None), len(table)))
    with connection, connection.cursor() as cursor:
        cursor.copy_expert("COPY bare FROM STDIN (FORMAT binary)", reader, 1 << 21)


def report_read(store: TickStore, source: str, what: str) -> None:
    times = [seconds(lambda: store.read("S0", source=source)) for _ in range(ROUNDS)]
    print(f"a symbol's day of {TICKS:,}, {what}: {min(times):.3f} s (target 0.5)")


def main() -> None:
    folder = Path(tempfile.mkdtemp(prefix="bench-market-"))
    with ObjectStoreServer(folder / "data") as server:
        admin = server.admin_conn()
        provision_user(admin, "writer", "writer")
        with admin.cursor() as cursor:
            cursor.execute("CREATE SCHEMA plain AUTHORIZATION writer")
        store = TickStore(server)
        store.grant("writer", None, write=True)
        login = {**server.conn_info(), "user": "writer", "password": "writer"}
        bare = psycopg2.connect(**login, options="-c search_path=plain")
        with bare, bare.cursor() as cursor:
            cursor.execute(
                "CREATE TABLE bare (ts int8, symbol int4, price float8, size int8, seq int8)"
            )
        with TickStore(login) as ours:
            found = []
            for number in range(ROUNDS):
                table = ticks(number)
                plain = seconds(lambda table=table: bare_copy(bare, table))
                found.append((seconds(lambda table=table: ours.append(table)), plain))
            kept, plain = (min(times) for times in zip(*found, strict=True))
            print(f"append, {TICKS:,} ticks: {TICKS / kept / 1e6:.2f} M/s")
            print(f"bare COPY into a bare table: {TICKS / plain / 1e6:.2f} M/s")
            print(f"ratio: {plain / kept:.2f} x (target 0.60), rounds {found}")
            one = ticks(0, symbols=1)
            ours.append(one, source="alone")
            report_read(ours, "alone", "in blocks")
            # What comes a few at a time has a row each until its day is over.
            appending.BLOCK_MIN = TICKS + 1
            ours.append(one, source="few")
            report_read(ours, "few", "a row each")
            took = seconds(store.maintain)
            print(f"gathered into blocks: {took:.2f} s")
            report_read(ours, "few", "gathered into blocks")
        bare.close()
        store.close()
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
