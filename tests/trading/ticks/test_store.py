"""The tick store against a dict of ticks, and what it refuses."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psycopg2
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.store.desk import ADMIN_PASSWORD, Desk
from tests.trading.ticks.tables import DAY, START, rows_of, ticks
from trading.bars import bars
from trading.ticks import (
    SequenceConflict,
    TickError,
    TickStore,
    TickStoreError,
    appending,
    schema,
)


@pytest.fixture
def store(desk: Desk) -> Iterator[TickStore]:
    with TickStore({**desk.info, "user": "postgres", "password": ADMIN_PASSWORD}) as store:
        yield store


BATCHES = st.lists(
    st.lists(
        st.tuples(
            st.integers(0, 3 * DAY),
            st.sampled_from(["AAPL", "BRK.B", "BTC/USDT:USDT"]),
            st.decimals(0, 10**6, places=3),
            st.decimals(0, 10**4, places=2),
            st.integers(0, 40),
        ),
        min_size=1,
        max_size=25,
    ),
    min_size=1,
    max_size=6,
)


@settings(max_examples=40)
@given(
    batches=BATCHES,
    seed=st.integers(0, 3),
    block_min=st.sampled_from([1, 4, appending.BLOCK_MIN]),
    is_gathered=st.booleans(),
)
def test_random_batches_equal_a_dict_of_ticks(
    shared: TickStore, batches: list[list[Any]], seed: int, block_min: int, is_gathered: bool
) -> None:
    """Ticks that are kept one by one, in blocks from the beginning, and gathered into blocks."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(appending, "BLOCK_MIN", block_min)
        patch.setattr(appending, "BLOCK_MAX", 3)
        append_and_compare(shared, batches, seed, is_gathered=is_gathered)


def append_and_compare(
    shared: TickStore, batches: list[list[Any]], seed: int, *, is_gathered: bool
) -> None:
    source = f"source {next(_numbers)}"
    kept: dict[tuple[str, int], tuple[Any, ...]] = {}
    conflicts: set[tuple[Any, ...]] = set()
    # Some batches are delivered again.
    random = np.random.default_rng(seed)
    again = [batches[i] for i in random.integers(0, len(batches), 2)]
    for number, batch in enumerate([*batches, *again]):
        if is_gathered and number in (1, len(batches)):
            shared.maintain()
        new, bad = 0, set()
        for stamp, symbol, price, size, sequence in batch:
            tick = (START + stamp, symbol, price, size, sequence)
            before = kept.get((symbol, sequence))
            if before is None:
                kept[symbol, sequence] = tick
                new += 1
            elif before != tick:
                bad.add(tick)
        table = ticks(*((START + row[0], *row[1:]) for row in batch))
        if bad:
            with pytest.raises(SequenceConflict) as refused:
                shared.append(table, source=source, lateness="30D")
            assert refused.value.new == new
            conflicts |= bad
        else:
            assert shared.append(table, source=source, lateness="30D") == new
    expected = sorted(kept.values(), key=lambda tick: (tick[0], tick[4], tick[1]))
    found = rows_of(shared.read(source=source))
    assert sorted(found, key=lambda tick: (tick[0], tick[4], tick[1])) == expected
    assert [row[0] for row in found] == sorted(row[0] for row in found)
    shown = {(c.symbol, c.sequence) for c in shared.conflicts() if c.source == source}
    assert shown == {(tick[1], tick[4]) for tick in conflicts}
    one = rows_of(shared.read("BRK.B", START + DAY, START + 2 * DAY, source=source))
    assert one == [t for t in expected if t[1] == "BRK.B" and START + DAY <= t[0] < START + 2 * DAY]


_numbers = iter(range(1, 10**9))


@pytest.fixture(scope="module")
def shared(store_server: Any) -> Iterator[TickStore]:
    outside = Desk(store_server, "postgres")
    with outside.admin().cursor() as cursor:
        cursor.execute("CREATE DATABASE shared_ticks")
    info = {**outside.info, "dbname": "shared_ticks"}
    with TickStore({**info, "user": "postgres", "password": ADMIN_PASSWORD}) as store:
        yield store
    outside.close()


def test_ticks_without_sequence_are_all_kept_in_the_order_of_arrival(store: TickStore) -> None:
    table = ticks(
        (START, "A", 3.0, 1), (START, "B", 1.5, 2), (START, "A", 2.0, 1), columns=NO_SEQUENCE
    )
    assert store.append(table) == 3
    assert store.append(table) == 3
    assert store.read("A")["price"].to_pylist() == [3, 2, 3, 2]
    assert "sequence" not in store.read().column_names


NO_SEQUENCE = "timestamp symbol price size"


@pytest.mark.parametrize("kept", ["one by one", "in blocks", "gathered"])
def test_quotes_trades_and_both_in_one_row(
    store: TickStore, kept: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if kept == "in blocks":
        monkeypatch.setattr(appending, "BLOCK_MIN", 1)
    table = ticks(
        (START, "A", None, None, 1.25, 1.5, 100, None, 7),
        (START + 1, "A", 1.5, 3, 1.25, None, 5, 6, 8),
        (START + 2, "A", 1.5, 4, None, None, None, None, 9),
        columns="timestamp symbol price size bid ask bid_size ask_size sequence",
    )
    assert store.append(table) == 3
    assert store.maintain() == (0 if kept == "in blocks" else 2)
    assert store.append(table) == 0
    read = store.read("A")
    for name in ("price", "size", "bid", "ask", "bid_size", "ask_size", "sequence"):
        assert read[name].to_pylist() == table[name].to_pylist(), name
    other = table.set_column(5, "ask", pa.array([1.5, 1.75, None]))
    with pytest.raises(SequenceConflict, match="sequence 8 of 'A'"):
        store.append(other)
    status = store.status()
    assert (status.trades, status.quotes, status.conflicts) == (2, 2, 1)


def test_prices_and_sizes_are_exact_and_get_more_places_when_they_need_them(
    store: TickStore,
) -> None:
    texts = ["0.1", "187.23", "0.123456789", "9000000000.5", "12345678.9"]
    store.append(ticks((START, "A", 5, 9_000_000_000_000_000_000, 1)))
    for number, text in enumerate(texts, 2):
        symbol = "B" if number < 4 else f"C{number}"
        store.append(ticks((START + number, symbol, float(text), Decimal("0.001"), number)))
    assert store.read("A")["size"].to_pylist() == [9_000_000_000_000_000_000]
    assert store.read("B")["price"].to_pylist() == [Decimal("0.1"), Decimal("187.23")]
    for number, text in enumerate(texts[2:], 4):
        assert store.read(f"C{number}")["price"].to_pylist() == [Decimal(text)]
    # The same symbol with coarser and finer prices reads as one column.
    store.append(ticks((START + 9, "B", Decimal("1.000000001"), 1, 99)))
    read = store.read("B")["price"].to_pylist()
    assert read == [Decimal("0.1"), Decimal("187.23"), Decimal("1.000000001")]
    assert store.append(ticks((START + 2, "B", 0.1, Decimal("0.001"), 2))) == 0
    assert store.read("B", exact=False)["price"].to_pylist() == [0.1, 187.23, 1.000000001]


BAD = {
    "NaN": ticks((START, "A", 1.0, 1, 1), (START, "A", float("nan"), 1, 2)),
    "infinite": ticks((START, "A", 1.0, 1, 1), (START, "A", float("inf"), 1, 2)),
    "negative price": ticks((START, "A", 1.0, 1, 1), (START, "A", -1.0, 1, 2)),
    "negative size": ticks((START, "A", 1.0, 1, 1), (START, "A", 1.0, -1, 2)),
    "negative sequence": ticks((START, "A", 1.0, 1, 1), (START, "A", 1.0, 1, -2)),
    "price beyond 64 bits": ticks((START, "A", 1.0, 1, 1), (START, "A", 1e19, 1, 2)),
    "size beyond 64 bits": ticks((START, "A", 1.0, 1.0, 1), (START, "A", 1.0, 1e19, 2)),
    "ten places": ticks((START, "A", 1.0, 1, 1), (START, "A", 1.0000000001, 1, 2)),
    "unsorted": ticks((START, "A", 1.0, 1, 1), (START - 1, "A", 1.0, 1, 2)),
    "texts as prices": ticks((START, "A", "1.0", 1, 1)),
    "no symbol": ticks((START, "A", 1.0, 1, 1), (START, None, 1.0, 1, 2)),
    "blank symbol": ticks((START, "A", 1.0, 1, 1), (START, " ", 1.0, 1, 2)),
    "small letters": ticks((START, "A", 1.0, 1, 1), (START, "aapl", 1.0, 1, 2)),
    "a blank inside": ticks((START, "A", 1.0, 1, 1), (START, "A B", 1.0, 1, 2)),
    "size without price": ticks((START, "A", 1.0, 1, 1), (START, "A", None, 1, 2)),
    "no size": ticks((START, "A", 1.0, 1, 1), (START, "A", 1.0, None, 2)),
    "in the future": ticks((START, "A", 1.0, 1, 1), (2**62, "A", 1.0, 1, 2)),
    "missing columns": pa.table({"symbol": ["A"], "price": [1.0]}),
    "NaN bid": ticks((START, "A", 1.0, 1, float("nan")), columns="timestamp symbol price size bid"),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_input_is_refused_and_nothing_of_it_is_taken(shared: TickStore, kind: str) -> None:
    before = shared.status()
    with pytest.raises(TickError):
        shared.append(BAD[kind], source=f"bad {kind}")
    assert len(shared.read(source=f"bad {kind}")) == 0
    assert shared.status().trades == before.trades


def test_the_message_names_the_row_and_says_what_to_do(shared: TickStore) -> None:
    with pytest.raises(TickError, match=r"timestamp of row 1 goes back .* pass lateness=") as bad:
        shared.append(BAD["unsorted"])
    assert bad.value.row == 1
    with pytest.raises(TickError, match=r"price 1\.0000000001 of row 1 \('A'\) has more than 9"):
        shared.append(BAD["ten places"])
    assert shared.append(BAD["ten places"], source="rounded", round_to=4) == 2
    with pytest.raises(TickError, match="expected an Arrow table"):
        shared.append([1, 2, 3])


def test_negative_prices_lateness_and_pandas_frames_where_they_are_allowed(
    store: TickStore,
) -> None:
    assert store.append(BAD["negative price"], allow_negative=True) == 2
    late = BAD["unsorted"].set_column(1, "symbol", pa.array(["L", "L"]))
    assert store.append(late, lateness="1s") == 2
    stamps = pd.to_datetime([START, START + 5], utc=True)
    frame = pd.DataFrame({"timestamp": stamps, "symbol": "P", "price": [1.0, 2.0], "size": [1, 2]})
    assert store.append(frame) == 2
    assert len(store.read("P", stamps[0], stamps[1])) == 1


def test_a_reading_of_the_store_makes_the_bars_of_the_ticks(store: TickStore) -> None:
    random = np.random.default_rng(5)
    count = 5_000
    table = pa.table(
        {
            "timestamp": pa.array(
                START + np.sort(random.integers(0, DAY // 3, count)), pa.timestamp("ns", "UTC")
            ),
            "symbol": random.choice(np.array(["A", "B"], dtype=object), count),
            "price": np.round(100 + random.normal(0, 1, count), 2),
            "size": random.integers(1, 100, count),
            "sequence": np.arange(count),
        }
    )
    assert store.append(table) == count
    expected = bars(table, "5m").to_pandas()
    found = bars(store.read(exact=False), "5m").to_pandas()
    for name in ("symbol", "start", "open", "high", "low", "close", "count"):
        assert (found[name] == expected[name]).all(), name


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_files_hold_ticks_exactly(store: TickStore, tmp_path: Path, suffix: str) -> None:
    columns = "timestamp symbol price size bid ask bid_size ask_size sequence received"
    table = ticks(
        *(
            (START + i, "A^=:/ B"[i % 3 : 5], p, s, b, None, 3, None, i, START + i + 10)
            for i, (p, s, b) in enumerate([(1.5, 2, 1.25), (0.00012, 0.5, None), (3.0, 1, 2.5)] * 3)
        ),
        columns=columns,
    )
    store.append(table)
    store.append(ticks((START + 2 * DAY, "A", 1.0, 1), columns=NO_SEQUENCE))
    file = tmp_path / f"ticks.{suffix}"
    assert store.export(file) == 10
    assert store.load(file, source="copy") == 10
    copy = store.read(source="copy")
    original = store.read(source="default")
    assert copy.drop_columns("symbol").equals(original.drop_columns("symbol"))
    assert copy["symbol"].to_pylist() == original["symbol"].to_pylist()
    # Only ticks without a sequence are taken again.
    assert store.load(file, source="copy") == 1
    with pytest.raises(TickError, match="exists already"):
        store.export(file)
    with pytest.raises(TickError, match=r"\.parquet and \.csv"):
        store.load(tmp_path / "ticks.txt")


def test_a_bad_file_says_where(store: TickStore, tmp_path: Path) -> None:
    file = tmp_path / "bad.csv"
    file.write_text("timestamp,symbol,price,size\n2025-01-02T10:00:00Z,A,1.5,x\n")
    with pytest.raises(TickError, match=r"bad\.csv cannot be read"):
        store.load(file)
    file.write_text("timestamp,symbol,price,size\n2025-01-02T10:00:00Z,A,-1.5,2\n")
    with pytest.raises(TickError, match=r"bad\.csv, in the piece after 0 rows: price"):
        store.load(file)
    assert store.status().trades == 0


def test_days_are_partitions_that_are_dropped_when_they_are_too_old(store: TickStore) -> None:
    now = datetime.now(timezone.utc)
    for days in (40, 3, 1):
        moment = int((now - timedelta(days=days)).timestamp()) * 10**9
        store.append(ticks((moment, "A", 1.0, 1, 100 - days)))
    assert store.status().days == 3
    store.keep_days(10)
    status = store.status()
    assert (status.days, status.trades, status.keep_days) == (2, 2, 10)
    assert status.lag_s is not None
    assert 86_000 < status.lag_s < 90_000
    assert len(store.read("A")) == 2
    # The writer of a new day drops old ones, too.
    store.keep_days(2)
    assert store.append(ticks((int(now.timestamp()) * 10**9, "A", 1.0, 1, 200))) == 1
    assert store.status().days == 2
    with pytest.raises(Exception, match="keep_days must be 1 or more"):
        store.keep_days(0)


def test_a_day_that_was_dropped_meanwhile_is_made_again(store: TickStore, desk: Desk) -> None:
    store.append(ticks((START, "A", 1.0, 1, 1)))
    with desk.admin().cursor() as cursor:
        cursor.execute("DROP TABLE trading_ticks.trade_20241004")
    assert store.append(ticks((START + 1, "A", 1.0, 1, 2))) == 1
    assert len(store.read("A")) == 1


def test_days_that_are_over_are_indexed_once(store: TickStore, desk: Desk) -> None:
    store.append(ticks((START, "A", 1.0, 1, 1), (START + DAY, "A", 1.0, 1, 2)))
    assert store.maintain() == 2
    assert store.maintain() == 0
    assert store.append(ticks((START + 1, "A", 2.0, 1, 3))) == 1
    assert len(store.read("A")) == 3
    # A late tick is gathered by the next call.
    assert store.maintain() == 1
    assert store.read("A")["sequence"].to_pylist() == [1, 3, 2]


def test_who_reads_while_a_day_is_gathered_sees_each_tick_once(
    store: TickStore, desk: Desk
) -> None:
    store.append(ticks((START, "A", 1.0, 1, 1), (START + 1, "A", 1.5, 1, 2)))
    count = "SELECT count(*), sum(price) FROM trading_ticks.trades"
    reader = desk.login("postgres", ADMIN_PASSWORD)
    reader.autocommit = False
    with reader.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        cursor.execute(count)
        before = cursor.fetchall()
        assert store.maintain() == 1
        cursor.execute(count)
        assert cursor.fetchall() == before == [(2, 25_000)]
        reader.commit()
        cursor.execute(count)
        assert cursor.fetchall() == before
        cursor.execute("SELECT count(*) FROM ONLY trading_ticks.trade_20241004")
        assert cursor.fetchall() == [(0,)]
    reader.close()


def test_a_block_that_no_store_wrote_is_told(store: TickStore, desk: Desk) -> None:
    store.append(ticks((START, "A", 1.0, 1, 1), (START + 1, "A", 1.5, 1, 2)))
    store.maintain()
    with desk.admin().cursor() as cursor:
        with pytest.raises(psycopg2.errors.CheckViolation, match="one_length"):
            cursor.execute("UPDATE trading_ticks.trade_block SET price = '{1}'")
        cursor.execute("UPDATE trading_ticks.trade_block SET price = '{1, NULL}'")
    with pytest.raises(TickStoreError, match="nulls among the elements of price"):
        store.read()


def test_ticks_of_the_version_before_are_read_known_and_gathered(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Version 4 kept every tick in a row of its own, and indexed days that were over."""
    where = {**desk.info, "user": "postgres", "password": ADMIN_PASSWORD}
    count = 2 * appending.BLOCK_MIN
    table = pa.table(
        {
            "timestamp": pa.array(START + np.arange(count), pa.timestamp("ns", "UTC")),
            "symbol": ["A", "B"] * (count // 2),
            "price": np.arange(count) / 4,
            "size": np.arange(count),
            "sequence": np.arange(count),
        }
    )
    with monkeypatch.context() as patch:
        patch.setattr(schema, "MIGRATIONS", schema.MIGRATIONS[:4])
        patch.setattr("trading.ticks.login.MIGRATIONS", schema.MIGRATIONS[:4])
        patch.setattr(appending, "BLOCK_MIN", 10**9)
        with TickStore(where) as old:
            assert old.append(table.slice(0, count - 2)) == count - 2
        with desk.admin().cursor() as cursor:
            cursor.execute("SELECT trading_ticks.seal(leaf) FROM trading_ticks.unsealed() leaf")
            assert cursor.rowcount == 1
    with TickStore(where) as store:
        assert store.append(table) == 2
        other = table.set_column(2, "price", pa.array(np.arange(count) / 8))
        with pytest.raises(SequenceConflict, match=f"{count - 1} ticks"):
            store.append(other)
        assert rows_of(store.read()) == rows_of(table)
        assert store.maintain() == 1
        assert store.append(table) == 0
        assert rows_of(store.read()) == rows_of(table)
        part = store.read("A", START + 100, START + 200)
        assert rows_of(part) == rows_of(table)[100:200:2]
