"""Who may read and write ticks, as the database enforces it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg2
import pyarrow as pa
import pytest

from tests.store.desk import ADMIN_PASSWORD, Desk, password_of
from tests.trading.ticks.tables import START, ticks
from trading.errors import TickStoreError
from trading.ticks import TickStore


@pytest.fixture
def admin(desk: Desk) -> Iterator[TickStore]:
    with TickStore({**desk.info, "user": "postgres", "password": ADMIN_PASSWORD}) as store:
        columns = "timestamp symbol price size bid ask sequence"
        rows = [
            (START + i, symbol, price + i, 5, price, price + 1.0, i)
            for symbol, price in (("AAPL", 200.0), ("MSFT", 400.0), ("SECRET", 1000.0))
            for i in range(50)
        ]
        store.append(ticks(*rows, columns=columns))
        yield store


def as_user(desk: Desk, user: str) -> TickStore:
    return TickStore(desk.client(user))


def symbols_of(table: pa.Table) -> set[str]:
    return set(table["symbol"].to_pylist())


def test_a_reader_sees_the_granted_symbols_alone(admin: TickStore, desk: Desk) -> None:
    admin.grant("alice", ["AAPL"])
    admin.grant("bob")
    with as_user(desk, "alice") as alice, as_user(desk, "bob") as bob:
        assert symbols_of(alice.read(["AAPL", "MSFT", "SECRET"])) == {"AAPL"}
        assert symbols_of(alice.read()) == {"AAPL"}
        assert len(alice.read("SECRET")) == 0
        assert alice.status().trades == 50
        assert symbols_of(bob.read()) == {"AAPL", "MSFT", "SECRET"}
        # A symbol may be granted before it ticks, and all means later ones, too.
        admin.grant("alice", ["NEW"])
        admin.append(ticks((START, "NEW", 1.0, 1, 1)))
        assert symbols_of(alice.read()) == {"AAPL", "NEW"}
        assert len(bob.read("NEW")) == 1
        admin.revoke("alice", ["AAPL"])
        assert symbols_of(alice.read()) == {"NEW"}
        with pytest.raises(TickStoreError, match="may read all symbols"):
            admin.revoke("bob", ["AAPL"])
        admin.revoke("bob")
        with pytest.raises(TickStoreError, match="right is missing"):
            bob.read()


def test_a_reader_cannot_write_nor_grant(admin: TickStore, desk: Desk) -> None:
    admin.grant("alice")
    with as_user(desk, "alice") as alice:
        with pytest.raises(TickStoreError, match="right is missing"):
            alice.append(ticks((START, "AAPL", 1.0, 1, 900)))
        with pytest.raises(Exception, match=r"administrator|permission"):
            alice.grant("mallory")
    assert admin.status().trades == 150


def test_a_writer_writes_without_seeing(admin: TickStore, desk: Desk) -> None:
    admin.grant("carol", [], write=True)
    with as_user(desk, "carol") as carol:
        assert carol.append(ticks((START, "AAPL", 1.0, 1, 900), (START, "X", 1.0, 1, 1))) == 2
        assert carol.append(ticks((START, "X", 1.0, 1, 1))) == 0
        assert len(carol.read()) == 0
        admin.revoke("carol", write=True)
        with pytest.raises(TickStoreError, match="right is missing"):
            carol.append(ticks((START, "X", 1.0, 1, 2)))


STATEMENTS = [
    "SELECT * FROM trading_ticks.trade_20241004",
    "SELECT * FROM trading_ticks.trade",
    "SELECT * FROM trading_ticks.quote",
    "SELECT * FROM trading_ticks.symbol",
    "SELECT * FROM trading_ticks.span",
    "SELECT * FROM trading_ticks.reader",
    "SELECT * FROM trading_ticks.conflict",
    "SELECT * FROM trading_ticks.trade_block",
    "SELECT * FROM trading_ticks.quote_block",
    "INSERT INTO trading_ticks.trade_block (low, high, low_seq, high_seq, series, ts, seq, price, "
    "size) VALUES (1, 1, 1, 1, 1, '{1}', '{1}', '{1}', '{1}')",
    "INSERT INTO trading_ticks.trade_20241004 VALUES (1, 1, 1, 1, NULL, 1)",
    "UPDATE trading_ticks.trade SET price = 1",
    "DELETE FROM trading_ticks.trade",
    "TRUNCATE trading_ticks.trade",
    "INSERT INTO trading_ticks.reader VALUES ('alice', NULL)",
    "SELECT trading_ticks.make_day('trade', '2024-01-01')",
    "SELECT * FROM trading_ticks.known(ARRAY['SECRET'], 'default')",
    "SELECT * FROM trading_ticks.find('trade', '2024-10-04', ARRAY[1], ARRAY[1], 0, 9)",
    "SELECT trading_ticks.drop_old()",
    "SET ROLE trading_ticks_owner",
    "SET ROLE trading_ticks_writer",
    "DROP TABLE trading_ticks.trade_20241004",
]


@pytest.mark.parametrize("statement", STATEMENTS)
def test_psql_of_a_reader_goes_no_further(admin: TickStore, desk: Desk, statement: str) -> None:
    admin.grant("alice", ["AAPL"])
    login = psycopg2.connect(user="alice", password=password_of("alice"), **desk.info)
    with login.cursor() as cursor, pytest.raises(psycopg2.errors.InsufficientPrivilege):
        cursor.execute(statement)
    login.close()


@pytest.mark.parametrize("view", ["trades", "quotes", "asked_trades", "asked_trade_blocks"])
def test_nobody_writes_by_a_view(admin: TickStore, desk: Desk, view: str) -> None:
    """Not even the administrator: no view names a table of its own for a row."""
    with (
        desk.admin().cursor() as cursor,
        pytest.raises(psycopg2.errors.ObjectNotInPrerequisiteState, match="cannot insert"),
    ):
        cursor.execute(f"INSERT INTO trading_ticks.{view} (seq, series) VALUES (NULL, 1)")


def test_functions_of_the_owner_pin_their_search_path(admin: TickStore, desk: Desk) -> None:
    with desk.admin().cursor() as cursor:
        cursor.execute(
            "SELECT proname FROM pg_proc WHERE pronamespace = 'trading_ticks'::regnamespace "
            "AND NOT coalesce(array_to_string(proconfig, ',') LIKE "
            "'%search_path=pg_catalog, pg_temp%', false)"
        )
        assert cursor.fetchall() == []


def test_estimates_of_a_reader_follow_no_hidden_price(admin: TickStore, desk: Desk) -> None:
    admin.grant("alice", ["AAPL"])
    with desk.admin().cursor() as cursor:
        cursor.execute("ANALYZE trading_ticks.trade, trading_ticks.quote")
    login = desk.login("alice")
    with login.cursor() as cursor:

        def plan(condition: str, table: str, analyze: str) -> list[tuple[str]]:
            cursor.execute(
                f"EXPLAIN ({analyze}) SELECT * FROM trading_ticks.{table}s WHERE {condition}"
            )
            return [
                (line.replace(condition.rsplit(maxsplit=1)[-1], "?"),)
                for (line,) in cursor.fetchall()
            ]

        for table, column in (("trade", "price"), ("quote", "bid")):
            for analyze in ("COSTS ON", "VERBOSE"):
                for hit, miss in (("10000000", "10000001"), ("10200000", "99900000")):
                    for sign in ("=", ">="):
                        assert plan(f"{column} {sign} {hit}", table, analyze) == plan(
                            f"{column} {sign} {miss}", table, analyze
                        )


@pytest.mark.parametrize("options", ["ANALYZE, TIMING OFF, SUMMARY OFF", "COSTS ON", "VERBOSE"])
def test_no_plan_tells_of_a_hidden_number(admin: TickStore, desk: Desk, options: str) -> None:
    """What a hidden tick has and what no tick has look the same, before a day is over and after."""
    admin.grant("alice", ["AAPL"])
    login = desk.login("alice")

    def plan(table: str, condition: str, number: int) -> list[str]:
        cursor.execute(f"EXPLAIN ({options}) SELECT * FROM trading_ticks.{table} WHERE {condition}")
        return [line.replace(str(number), "?") for (line,) in cursor.fetchall()]

    # Prices of SECRET begin at 1000, with four decimal places; no price is 9900.
    hidden, nowhere = 10_000_000, 99_000_000
    columns = (("trades", "price"), ("quotes", "bid"), ("quotes", "ask"))
    for _sealed in range(2):
        with login.cursor() as cursor:
            ask_for_everything(cursor)
            for table, name in (*columns, *((f"asked_{table}", name) for table, name in columns)):
                for sign in ("=", ">="):
                    there = plan(table, f"{name} {sign} {hidden}", hidden)
                    assert there == plan(table, f"{name} {sign} {nowhere}", nowhere)
                    assert any(name in line for line in there)
        admin.maintain()


def ask_for_everything(cursor: Any) -> None:
    """Set what the views of programs look at: series that the user may not read as well."""
    cursor.execute(f"SET trading_ticks.series = '{{{','.join(map(str, range(100)))}}}'")
    cursor.execute("SET trading_ticks.low = -9223372036854775807")
    cursor.execute("SET trading_ticks.high = 9223372036854775807")


def test_asking_for_hidden_series_shows_none_of_them(admin: TickStore, desk: Desk) -> None:
    admin.grant("alice", ["AAPL"])
    login = desk.login("alice")
    blocks = ("asked_trade_blocks", "asked_quote_blocks")
    with login.cursor() as cursor:
        for table in ("asked_trades", "asked_quotes", *blocks):
            cursor.execute(f"SELECT count(*) FROM trading_ticks.{table}")
            assert cursor.fetchall() == [(0,)], "nothing was asked for"
        ask_for_everything(cursor)
        cursor.execute("SELECT min(price), max(price), count(*) FROM trading_ticks.asked_trades")
        assert cursor.fetchall() == [(2_000_000, 2_490_000, 50)]
        cursor.execute("SELECT min(bid), max(ask), count(*) FROM trading_ticks.asked_quotes")
        assert cursor.fetchall() == [(2_000_000, 2_010_000, 50)]
        cursor.execute("SET trading_ticks.high = %s", [START + 10])
        cursor.execute("SELECT count(*) FROM trading_ticks.asked_trades")
        assert cursor.fetchall() == [(10,)]
        admin.maintain()
        for table in blocks:
            cursor.execute(f"SELECT ts[1], cardinality(ts) FROM trading_ticks.{table}")
            assert cursor.fetchall() == [(START, 50)]
        cursor.execute("SET trading_ticks.high = %s", [START])
        for table in ("asked_trades", "asked_quotes", *blocks):
            cursor.execute(f"SELECT count(*) FROM trading_ticks.{table}")
            assert cursor.fetchall() == [(0,)]
        cursor.execute("SELECT min(price), max(price), count(*) FROM trading_ticks.trades")
        assert cursor.fetchall() == [(2_000_000, 2_490_000, 50)]


def test_somebody_without_any_right_is_told_so(admin: TickStore, desk: Desk) -> None:
    with as_user(desk, "mallory") as mallory, pytest.raises(TickStoreError, match="missing"):
        mallory.read()
    with pytest.raises(TickStoreError, match="provision_user"):
        admin.grant("nobody_at_all")


def test_who_may_not_make_the_schema_is_told_who_may(desk: Desk) -> None:
    with as_user(desk, "alice") as alice, pytest.raises(TickStoreError, match="administrator"):
        alice.status()
