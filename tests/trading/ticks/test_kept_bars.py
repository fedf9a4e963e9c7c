"""Kept bars: two times, each version once, rights, and bars that are built on after a crash."""

from __future__ import annotations

import itertools
import signal
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import psycopg2
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from psycopg2.extensions import make_dsn

from store.columns import REGISTRY
from tests.processes import Process, wait_until
from tests.store.desk import ADMIN_PASSWORD, Desk, password_of
from trading.bars import BarBuilder, bars
from trading.cli import main
from trading.errors import BarError, IntervalError, TickStoreError
from trading.ticks import BarRecipe, TickStore, schema
from trading.ticks.bar_keeper import BarKeeper, rebuild, verify_kept

OPEN = int(np.datetime64("2024-11-29T14:30", "ns").astype(np.int64))
SECOND = 10**9
MINUTE = 60 * SECOND
DAY = date(2024, 11, 29)
NYSE = BarRecipe("1m", "XNYS")
# The columns of a bar, but for those that say since when it is known.
FIGURES = ["symbol", "start", "end", "open", "high", "low", "close", "volume", "count", "vwap"]


def day(
    seed: int = 1, count: int = 3_000, symbols: tuple[str, ...] = ("AAPL", "BRK.B")
) -> pa.Table:
    """A half day of two symbols in New York."""
    rng = np.random.default_rng(seed)
    times = OPEN + np.sort(rng.integers(0, int(3.5 * 3600), count)) * SECOND
    return pa.table(
        {
            "timestamp": pa.array(times, pa.timestamp("ns", "UTC")),
            "symbol": rng.choice(symbols, count),
            "price": np.round(100 + np.cumsum(rng.normal(0, 0.02, count)), 2),
            "size": rng.integers(1, 100, count).astype(np.float64),
            "sequence": np.arange(count),
        }
    )


def figures(table: pa.Table) -> list[tuple[Any, ...]]:
    """Bars with trades, as exact numbers."""
    table = table.filter(pc.greater(table["count"], 0))
    rows = table.select(FIGURES).to_pylist()
    return [
        tuple(float(v) if k not in ("symbol", "start", "end") else v for k, v in row.items())
        for row in rows
    ]


@pytest.fixture
def store(desk: Desk) -> Iterator[TickStore]:
    with TickStore({**desk.info, "user": "postgres", "password": ADMIN_PASSWORD}) as store:
        yield store


def test_bars_of_kept_ticks_are_kept_once_and_equal_their_ticks(store: TickStore) -> None:
    store.append(day())
    now = time.time_ns()
    assert rebuild(store, NYSE, OPEN, OPEN + 1, now=now) == (2, 2)
    made, new = rebuild(store, NYSE, OPEN, OPEN + 86_400 * SECOND, now=now)
    assert (made, new) == (420, 418)
    assert rebuild(store, NYSE, OPEN, OPEN + 86_400 * SECOND, now=now) == (420, 0)
    expected = bars(store.read(), "1m", calendar="XNYS")
    kept = store.bars.read(None, "1m", known_at=None)
    assert len(kept) == 0  # Without the calendar these are other bars.
    kept = store.bars.read(None, NYSE)
    for name in expected.column_names:
        assert kept[name].cast(expected[name].type).equals(expected[name])
    assert kept["recorded"].null_count == 0
    assert verify_kept(store, NYSE, DAY, now=now).differences == []
    assert verify_kept(store, NYSE, DAY, now=now).compared > 300
    [apple, _berkshire] = store.bars.held()
    assert (apple.symbol, apple.recipe, apple.versions, apple.first) == ("AAPL", NYSE, 210, OPEN)


def test_every_column_is_in_the_catalog(store: TickStore) -> None:
    """With a meaning and, where it is a figure, a unit."""
    quoted = day(count=50).append_column("bid", pa.array([99.0] * 50))
    quoted = quoted.append_column("ask", pa.array([101.0] * 50))
    for name in ("bid_size", "ask_size"):
        quoted = quoted.append_column(name, pa.array([1] * 50))
    quoted = quoted.append_column("received", quoted["timestamp"])
    store.append(quoted)
    rebuild(store, NYSE, OPEN, OPEN + 3600 * SECOND, now=time.time_ns())
    ticks, kept = store.read(), store.bars.read(None, NYSE)
    assert {"bid", "received", "sequence"} <= set(ticks.column_names)
    assert {"bid", "recorded", "notional"} <= set(kept.column_names)
    for name in {*ticks.column_names, *kept.column_names}:
        column = REGISTRY.get(name)
        assert column.unit or column.role != "measure"


def test_a_revision_is_another_version_and_the_old_one_was_known_then(store: TickStore) -> None:
    table = day(count=400)
    late, rest = table.slice(5, 1), pa.concat_tables([table.slice(0, 5), table.slice(6)])
    builder = BarBuilder("1m", calendar="XNYS", since=OPEN)
    first = builder.push(rest)
    assert store.bars.keep(first, NYSE) == len(first)
    before = store.bars.read(None, NYSE)
    moment = int(pc.max(before["recorded"].cast(pa.int64())).as_py())
    [revised] = builder.push(late).to_pylist()
    assert store.bars.keep(pa.Table.from_pylist([revised]), NYSE) == 1
    now = store.bars.read(None, NYSE)
    changed = [row for row in now.to_pylist() if row["version"] == 2]
    assert [(row["start"], row["state"]) for row in changed] == [(revised["start"], "revised")]
    assert changed[0]["count"] == revised["count"]
    # Asked for the time before, the answer is that of the time before, and stays so.
    for _again in range(2):
        assert store.bars.read(None, NYSE, known_at=moment).equals(before)
    assert len(store.bars.read(None, NYSE, known_at=moment - 10**12)) == 0
    both = store.bars.read(None, NYSE, all_versions=True)
    of_bar = both.filter(pc.equal(both["start"], pa.scalar(revised["start"])))
    of_bar = of_bar.filter(pc.equal(of_bar["symbol"], revised["symbol"]))
    assert of_bar["version"].to_pylist() == [1, 2]
    recorded = of_bar["recorded"].cast(pa.int64()).to_pylist()
    assert recorded[0] < recorded[1]


def test_what_is_not_known_yet_is_not_told(store: TickStore) -> None:
    store.bars.keep(bars(day(), "1m"), "1m")
    with pytest.raises(BarError, match="cannot be told yet"):
        store.bars.read(None, "1m", known_at=time.time_ns() + 3600 * SECOND)


@pytest.mark.parametrize(
    ("interval", "same"), [("60s", "1m"), ("1d", "1D"), ("120m", "2h"), ("1500ms", "1500ms")]
)
def test_one_kind_of_bars_has_one_name(interval: str, same: str) -> None:
    assert BarRecipe(interval) == BarRecipe(same)
    assert BarRecipe(interval).interval == same


def test_what_is_not_kept(store: TickStore) -> None:
    builder = BarBuilder("1m")
    builder.push(day(count=10))
    with pytest.raises(BarError, match="state working are not kept"):
        store.bars.keep(builder.working(), "1m")
    with pytest.raises(IntervalError, match="two builders make other ones"):
        BarRecipe("100 ticks")
    with pytest.raises(BarError, match="no table of bars"):
        store.bars.keep(day(), "1m")


# What a builder published of one bar: versions that differ, the first of them 1.
OUTPUTS = st.lists(st.integers(1, 1000), min_size=1, max_size=4, unique=True)


@settings(max_examples=40, deadline=None)
@given(
    outputs=st.lists(OUTPUTS, min_size=1, max_size=4),
    cuts=st.lists(st.integers(0, 20), max_size=5),
)
def test_versions_that_are_delivered_again_are_known(
    shared: TickStore, outputs: list[list[int]], cuts: list[int]
) -> None:
    """A crash repeats what was delivered from any place on; nothing is doubled, nothing lost."""
    rows = [
        (number * MINUTE, version, float(volume))
        for number, versions in enumerate(outputs)
        for version, volume in enumerate(versions, 1)
    ]
    rows.sort(key=lambda row: row[1])
    deliveries = [rows[cut % len(rows) : cut % len(rows) + 1 + cut] for cut in cuts]
    deliveries = [rows[: cut % len(rows)] for cut in cuts] + deliveries
    symbol = f"S{next(_examples)}"
    for end in range(1, len(rows) + 1):
        shared.bars.keep(rows_as_bars(rows[:end], symbol), "1m")
    for delivery in deliveries:
        if delivery:
            shared.bars.keep(rows_as_bars(delivery, symbol), "1m")
    kept = shared.bars.read(symbol, "1m", all_versions=True, exact=False)
    found = zip(
        kept["start"].cast(pa.int64()).to_pylist(),
        kept["version"].to_pylist(),
        kept["volume"].to_pylist(),
        strict=True,
    )
    assert list(found) == sorted(rows)


@pytest.fixture(scope="module")
def shared(store_server: Any) -> Iterator[TickStore]:
    """A store for many examples, each with a symbol of its own."""
    info = {**store_server.conn_info(), "user": "postgres", "password": ADMIN_PASSWORD}
    admin = Desk(store_server, "postgres")
    with admin.admin().cursor() as cursor:
        cursor.execute("CREATE DATABASE examples_of_bars")
    with TickStore({**info, "dbname": "examples_of_bars"}) as store:
        yield store
    with admin.admin().cursor() as cursor:
        cursor.execute("DROP DATABASE examples_of_bars WITH (FORCE)")
    admin.close()


_examples = itertools.count()


def rows_as_bars(rows: list[tuple[int, int, float]], symbol: str = "AAPL") -> pa.Table:
    count = len(rows)
    starts = np.array([row[0] for row in rows])
    return pa.table(
        {
            "symbol": [symbol] * count,
            "start": pa.array(starts, pa.timestamp("ns", "UTC")),
            "end": pa.array(starts + MINUTE, pa.timestamp("ns", "UTC")),
            **{name: [1.5] * count for name in ("open", "high", "low", "close")},
            "volume": [row[2] for row in rows],
            "count": [int(row[2]) for row in rows],
            "state": ["final" if row[1] == 1 else "revised" for row in rows],
            "version": pa.array([row[1] for row in rows], pa.int32()),
        }
    )


def test_a_past_that_a_writer_still_records_is_waited_for(store: TickStore, desk: Desk) -> None:
    store.bars.keep(rows_as_bars([(0, 1, 5.0)]), "1m")
    writer = desk.admin()
    writer.autocommit = False
    with writer.cursor() as cursor:
        cursor.execute(
            "SELECT trading_ticks.keep_bars('{1}', '{60000000000}', '{1}', '{120000000000}', "
            "'{1}', '{1}', '{1}', '{1}', '{7}', '{7}', '{NULL}', '{NULL}', '{final}', '{NULL}', "
            "'{NULL}'), clock_timestamp()"
        )
        moment = cursor.fetchone()[1]
    answers: list[pa.Table] = []
    thread = threading.Thread(
        target=lambda: answers.append(store.bars.read(None, "1m", known_at=moment))
    )
    thread.start()
    with desk.admin().cursor() as cursor:

        def is_waiting() -> bool:
            cursor.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%settle_bars%' "
                "AND datname = current_database() AND pid <> pg_backend_pid()"
            )
            return bool(cursor.fetchone()[0])

        wait_until(is_waiting, 10, "a reader that waits")
    assert answers == []
    writer.commit()
    thread.join(30)
    # It was recorded before the time asked for, so it is in the answer: now and ever after.
    assert [len(answer) for answer in answers] == [2]
    assert store.bars.read(None, "1m", known_at=moment).equals(answers[0])


def test_bars_follow_the_rights_on_ticks(store: TickStore, desk: Desk) -> None:
    store.append(day())
    rebuild(store, NYSE, OPEN, OPEN + 86_400 * SECOND, now=time.time_ns())
    store.grant("alice", ["AAPL"])
    store.grant("carol", [], write=True)
    with TickStore(desk.client("alice")) as alice, TickStore(desk.client("carol")) as carol:
        assert set(alice.bars.read(None, NYSE)["symbol"].to_pylist()) == {"AAPL"}
        assert len(alice.bars.read(["BRK.B"], NYSE)) == 0
        assert {held.symbol for held in alice.bars.held()} == {"AAPL"}
        with pytest.raises(TickStoreError, match="right is missing"):
            alice.bars.keep(bars(day(), "1m"), "1m")
        # A writer keeps bars without seeing any.
        assert carol.bars.keep(bars(day(), "5m"), "5m") > 0
        assert len(carol.bars.read(None, "5m")) == 0
    login = psycopg2.connect(user="alice", password=password_of("alice"), **desk.info)
    for statement in (
        "SELECT * FROM trading_ticks.bar",
        "SELECT * FROM trading_ticks.bar_series",
        "INSERT INTO trading_ticks.bar DEFAULT VALUES",
        "SELECT trading_ticks.register_bars('{AAPL}', 'live', '1m', '', '', 0)",
        "LOCK TABLE trading_ticks.bar IN ROW EXCLUSIVE MODE",
    ):
        with login.cursor() as cursor, pytest.raises(psycopg2.errors.InsufficientPrivilege):
            cursor.execute(statement)
        login.rollback()
    with login.cursor() as cursor:
        # The numbers of hidden series give nothing, whoever asks for them.
        cursor.execute(
            "SELECT DISTINCT series FROM trading_ticks.read_bars("
            "ARRAY(SELECT generate_series(0, 50)), 0, 9e18::bigint, NULL, true)"
        )
        # AAPL's of one and of five minutes; of the other symbol there are two more.
        assert len(cursor.fetchall()) == 2
    login.close()


def test_a_store_of_the_version_before_takes_bars(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = {**desk.info, "user": "postgres", "password": ADMIN_PASSWORD}
    with monkeypatch.context() as patch:
        patch.setattr(schema, "MIGRATIONS", schema.MIGRATIONS[:1])
        patch.setattr("trading.ticks.login.MIGRATIONS", schema.MIGRATIONS[:1])
        patch.setattr("trading.ticks.appending.BLOCK_MIN", 10**9)
        with TickStore(where) as old:
            old.append(day())
            old.grant("alice", ["AAPL"])
    with TickStore(where) as store:
        assert rebuild(store, NYSE, OPEN, OPEN + 86_400 * SECOND, now=time.time_ns())[1] == 420
    with TickStore(desk.client("alice")) as alice:
        assert len(alice.bars.read(None, NYSE)) == 210


@pytest.mark.parametrize("lost_after", [0, 700, 1_499])
def test_a_keeper_goes_on_where_a_crash_left_it(store: TickStore, lost_after: int) -> None:
    """Ticks that were appended and whose bars were not kept become bars at the next start."""
    table = day(count=2_000)
    store.append(table.slice(0, 1_500))
    if lost_after:
        first = BarKeeper(store, NYSE, lateness="2s", since=OPEN)
        for at in range(0, lost_after, 100):
            first.push(table.slice(at, min(100, lost_after - at)))
    keeper = BarKeeper(store, NYSE, lateness="2s")
    keeper.catch_up()
    store.append(table.slice(1_500))
    for at in range(1_500, 2_000, 100):
        keeper.push(table.slice(at, 100))
    keeper.advance(OPEN + 4 * 3600 * SECOND)
    kept = store.bars.read(None, NYSE)
    assert figures(kept) == figures(bars(table, "1m", calendar="XNYS"))
    assert set(kept["version"].to_pylist()) == {1}
    assert verify_kept(store, NYSE, DAY, now=time.time_ns()).differences == []


@pytest.mark.parametrize("interval", ["1m", "1D"])
@pytest.mark.parametrize("hours", [20, 72])
def test_a_late_tick_after_a_restart_revises_the_whole_bar(
    store: TickStore, interval: str, hours: int
) -> None:
    """Within the day that builders can revise, and later."""
    recipe = BarRecipe(interval)
    table = day()
    late = table.slice(3, 1)
    store.append(pa.concat_tables([table.slice(0, 3), table.slice(4)]))
    rebuild(store, recipe, OPEN, OPEN + 86_400 * SECOND, now=time.time_ns())
    moved = pa.array(np.asarray(table["timestamp"].cast(pa.int64())) + hours * 3600 * SECOND)
    later = table.set_column(0, "timestamp", moved.cast(pa.timestamp("ns", "UTC")))
    store.append(later.set_column(4, "sequence", pa.array(np.arange(3_000) + 10_000)))
    keeper = BarKeeper(store, recipe)
    keeper.catch_up()
    assert store.append(late) == 1
    assert verify_kept(store, recipe, DAY, now=time.time_ns()).differences != []
    keeper.push(late)
    keeper.advance(OPEN + 10 * 86_400 * SECOND)
    assert verify_kept(store, recipe, DAY, now=time.time_ns()).differences == []
    versions = store.bars.read(None, recipe, all_versions=True)["version"].to_pylist()
    assert versions.count(2) == 1
    assert max(versions) == 2


def test_a_feed_of_decimals_makes_the_same_bars(store: TickStore) -> None:
    """Kept ticks and those of a feed come as other types, and are the same numbers."""
    table = day(count=1_000)
    prices = [Decimal(str(price)) for price in table["price"].to_pylist()]
    exact = table.set_column(2, "price", pa.array(prices, pa.decimal128(19, 9)))
    store.append(exact.slice(0, 500))
    keeper = BarKeeper(store, NYSE)
    keeper.catch_up()
    store.append(exact.slice(500))
    keeper.push(exact.slice(500))
    keeper.advance(OPEN + 4 * 3600 * SECOND)
    kept = store.bars.read(None, NYSE)
    assert figures(kept) == figures(bars(table, "1m", calendar="XNYS"))
    assert verify_kept(store, NYSE, DAY, now=time.time_ns()).differences == []


KEEPER = textwrap.dedent(
    """
    import sys
    import pyarrow.parquet as pq
    from trading.ticks import BarRecipe, TickStore
    from trading.ticks.bar_keeper import BarKeeper

    table = pq.read_table(sys.argv[2])
    with TickStore(sys.argv[1]) as store:
        keeper = BarKeeper(store, BarRecipe("1m", "XNYS"), lateness="2s")
        keeper.catch_up()
        begin = len(store.read(exact=False)) // 20 * 20
        for at in range(begin, len(table), 20):
            store.append(table.slice(at, 20))
            keeper.push(table.slice(at, 20))
            print("kept", at, flush=True)
        keeper.advance(int(sys.argv[3]))
    """
)


def test_bars_of_a_killed_keeper_are_there_once(
    store: TickStore, desk: Desk, tmp_path: Path
) -> None:
    table = day(count=2_000)
    pq.write_table(table, tmp_path / "day.parquet")
    dsn = make_dsn(user="postgres", password=ADMIN_PASSWORD, **desk.info)
    end = OPEN + 4 * 3600 * SECOND
    command = [sys.executable, "-c", KEEPER, dsn, str(tmp_path / "day.parquet"), str(end)]
    for wanted in ("kept 200", "kept 900"):
        process = Process(*command)
        process.wait_for_output(wanted)
        assert process.end(signal.SIGKILL) == -signal.SIGKILL
    assert Process(*command).wait(120) == 0
    kept = store.bars.read(None, NYSE, all_versions=True)
    assert figures(kept) == figures(bars(table, "1m", calendar="XNYS"))
    assert set(kept["version"].to_pylist()) == {1}


@pytest.fixture
def server(desk: Desk, store: TickStore, monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.setenv(
        "OBJECT_STORE_DSN", make_dsn(user="postgres", password=ADMIN_PASSWORD, **desk.info)
    )
    return desk


KIND = ["--interval", "1m", "--calendar", "XNYS"]


def test_the_command_keeps_and_verifies(
    server: Desk, store: TickStore, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bars", *KIND]) == 0
    assert "No ticks are kept" in capsys.readouterr().out
    store.append(day())
    assert main(["bars", "verify", *KIND, "--day", "2024-11-26"]) == 1
    assert "no ticks of 2024-11-26 are kept" in capsys.readouterr().err
    assert main(["bars", "verify", *KIND, "--day", "2024-11-29"]) == 1
    assert "there are none" in capsys.readouterr().err
    assert main(["bars", *KIND]) == 0
    assert "420 bars of 1m were made of kept ticks; 420 are new" in capsys.readouterr().out
    assert main(["bars", *KIND, "--day", "2024-11-29", "--symbols", "AAPL"]) == 0
    assert "210 bars of 1m were made of kept ticks; 0 are new" in capsys.readouterr().out
    assert main(["bars", "verify", *KIND, "--day", "2024-11-29"]) == 0
    assert "2024-11-29, 1m: " in (told := capsys.readouterr().out)
    assert "bars equal their ticks" in told
    with server.admin().cursor() as cursor:
        cursor.execute("UPDATE trading_ticks.bar SET high = high + 1 WHERE count = 5")
    assert main(["bars", "verify", *KIND, "--day", "2024-11-29"]) == 1
    told = capsys.readouterr().err
    assert "the first in AAPL 2024-11-29T14:" in told
    assert "high: kept" in told
    assert main(["bars", "verify", "--interval", "5m", "--day", "2024-11-29"]) == 1
    assert "there are 1m --calendar XNYS" in capsys.readouterr().err


def test_ingest_keeps_bars_too(
    server: Desk, store: TickStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pq.write_table(day(), tmp_path / "day.parquet")
    more = ["--bars", "1m", "5m", "--calendar", "XNYS"]
    assert main(["ingest", str(tmp_path / "day.parquet"), *more]) == 0
    assert "420 of 420 bars of 1m are new" in capsys.readouterr().out
    verify = ["bars", "verify", *KIND, "--day", "2024-11-29", "--source", "default"]
    assert main(verify) == 0
    market = ["ingest", "--simulate", "AAPL=230", "--seconds", "30", "--source", "sim"]
    assert main([*market, "--bars", "5s"]) == 0
    assert "bars of sim became final" in capsys.readouterr().out
    kept = store.bars.read(None, BarRecipe("5s", source="sim"))
    assert 5 <= len(kept) <= 7
    today = str(kept["start"][0].as_py().date())
    assert main(["bars", "verify", "--interval", "5s", "--source", "sim", "--day", today]) == 0
