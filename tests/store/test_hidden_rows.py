"""What a login can learn of rows that it may not see: pairs of a hit and a miss, compared.

Each pair asks the same question twice: once so that hidden rows would answer it, and once so that
none does. Answers, plans, estimates, buffers and counters must be alike.
"""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import psycopg2
import pytest
from psycopg2 import errors

from reactive import Field
from store.client import StoreClient
from store.entities.as_read import as_read
from store.entities.index_conditions import implied
from store.entities.query import Query
from store.models import Order, Signal, Trade
from store.permissions import share_read
from store.schema import index_field
from tests.store.desk import Desk
from tests.store.sql import TABLES, run

HIDDEN = 400
INDEXED = ("symbol", "price", "quantity", "timestamp")
STAMP = datetime(2026, 2, 22, tzinfo=timezone.utc)
NOBODYS = "00000000-0000-7000-8000-00000000dead"

SETTINGS = [
    [],
    *([f"SET {name} = off"] for name in ("enable_seqscan", "enable_bitmapscan", "enable_sort")),
    ["SET enable_indexscan = off", "SET enable_bitmapscan = off"],
    ["SET enable_indexonlyscan = off", "SET enable_nestloop = off", "SET enable_hashjoin = off"],
    ["SET plan_cache_mode = force_custom_plan", "SET random_page_cost = 0.1"],
    ["SET plan_cache_mode = force_generic_plan", "SET work_mem = '64kB'"],
    ["SET row_security = off"],
]


@pytest.fixture
def hidden(desk: Desk, alice: StoreClient, bob: StoreClient) -> dict[str, Any]:
    """Rows of alice, some shared with bob; mallory has a few of her own and sees no others."""
    admin = desk.admin()
    for name in INDEXED:
        index_field(admin, name)
    trades = [
        Trade(f"SECRET{n % 7}", 1_000 + n, 31_337 + n / 8, "BUY", STAMP + timedelta(seconds=n))
        for n in range(HIDDEN)
    ]
    ids = alice.write_many(trades)
    # Large enough to be kept apart, where reading them would be counted.
    noise = "".join(chr(0x4E00 + (n * 7919) % 20_000) for n in range(4_000))
    alice.write(Signal(symbol="SECRET", direction="LONG", strength=1.0, notes=noise[:2_000]))
    alice.write(Order(symbol="SECRET", quantity=1, price=1.0, side="BUY"))
    for trade in trades[:50]:
        trade.quantity += 1
    alice.update_many(trades[:50])
    alice.delete(trades[60])
    share_read(alice.conn, ids[3], "bob")
    share_read(alice.conn, ids[4], "bob")
    mallory = desk.client("mallory")
    mallory.write_many([Trade(f"OWN{n}", n, n / 2, "SELL", STAMP) for n in range(30)])
    with admin.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")
    middle = alice.audit(ids[3])[0]["tx_time"]
    return {"ids": ids, "recorded": middle}


def calls(hidden: dict[str, Any]) -> Iterator[tuple[str, str, list[Any], list[Any]]]:
    """Every function that reads, with values for which hidden rows answer and for which not."""
    names = ["store.models.Trade"]
    one, other = hidden["ids"][3], NOBODYS
    now = datetime.now(timezone.utc)

    def query(filters: Any, tx: Any = None, valid: Any = None) -> list[Any]:
        query = Query(Trade, filters, (), tx, valid)
        asked = query._asked(50, None)
        meant = query._sure
        assert meant is None or json.loads(asked[3]) == implied(meant, as_read(Trade).types)
        return asked

    page = (
        "SELECT * FROM object_store.present(%s::text[], %s, %s, %s::jsonb, %s, %s::text[], "
        "%s::text[], %s::uuid, %s)"
    )
    count = "SELECT object_store.count_present(%s::text[], %s, %s, %s::jsonb, %s, %s::text[])"
    questions = [
        (Field("symbol") == "SECRET3", Field("symbol") == "NONE"),
        (Field("symbol") >= "SECRET", Field("symbol") >= "ZZ"),
        (Field("symbol").is_in(["SECRET1", "SECRET2"]), Field("symbol").is_in(["N1", "N2"])),
        (Field("price") > 31_337, Field("price") > 99_999),
        (Field("price").between(31_337, 31_338), Field("price").between(98_000, 98_001)),
        (Field("quantity") == 1_007, Field("quantity") == 9_007),
        (Field("timestamp") > STAMP + timedelta(seconds=5), Field("timestamp") > now),
        (Field("symbol").contains("CRET"), Field("symbol").contains("NONE")),
        (Field("price") / (Field("quantity") - 1_007) > 0, Field("price") / 1 > 99_999),
        (Field("symbol").length() == 7, Field("symbol").length() == 77),
    ]
    for hit, miss in questions:
        for tx, valid in ((None, None), (None, now), (hidden["recorded"], None)):
            pair = [query(each, tx, valid) for each in (hit, miss)]
            yield ("present", page, *pair)
            yield ("count", count, *(each[:6] for each in pair))
    base = query(None)
    for after in (hidden["ids"][0], hidden["ids"][-1]):
        yield ("after", page, [*base[:7], after, 5], [*base[:7], other, 5])
    types = (["store.models.Order"], ["store.models.None"])
    yield (
        "type",
        page,
        *([[t], *base[1:]] if isinstance(t, str) else [t, *base[1:]] for t in types),
    )
    for statement, more in (
        ("SELECT * FROM object_store.value_now(%s::uuid, %s)", [names]),
        ("SELECT * FROM object_store.value_at(%s::uuid, %s, now(), now())", [names]),
        (
            "SELECT * FROM object_store.value_at(%s::uuid, %s, %s, NULL)",
            [names, hidden["recorded"]],
        ),
        ("SELECT * FROM object_store.versions(%s::uuid, NULL)", []),
        ("SELECT * FROM object_store.shared_with(%s::uuid)", []),
        ("SELECT * FROM object_store.verify(ARRAY[%s]::uuid[])", []),
        ("SELECT * FROM object_store.segments('{store.models.Trade}', ARRAY[%s]::uuid[])", []),
        (
            "SELECT * FROM object_store.newest_versions('{store.models.Trade}', ARRAY[%s]::uuid[])",
            [],
        ),
        ("SELECT * FROM object_store.is_starting(%s::uuid, 1)", []),
        ("SELECT * FROM object_store.written_as(%s::uuid)", []),
    ):
        yield ("entity", statement, [one, *more], [other, *more])
    place = "object_store.log_page('{}', 0, '{}', %s, %s, NULL, 1000, 1000000)"
    far = "18446744073709551615"
    statement = f"SELECT * FROM {place.format(0, far)}"
    yield ("log", statement, [None, ["store.models.Order"]], [None, ["store.models.None"]])
    yield ("log", statement, [hidden["recorded"], None], [STAMP, None])
    moments = "SELECT * FROM object_store.position_at(%s, '18446744073709551615')"
    yield ("position", moments, [now + timedelta(days=1)], [now + timedelta(days=2)])
    lag = "SELECT * FROM object_store.lag('0', 0, %s, NULL, 100000)"
    yield ("lag", lag, [["store.models.Order"]], [["store.models.None"]])
    for statement in ("parked_events(%s)", "own_checkpoint(%s)"):
        yield ("own", f"SELECT * FROM object_store.{statement}", ["secret"], ["none"])
    snapshot = "SELECT * FROM object_store.newest_snapshot(%s, 1, '', '9', 9, now())"
    yield ("own", snapshot, ["secret"], ["none"])


COUNTERS = """
SELECT relid::regclass::text, seq_scan, seq_tup_read, idx_scan, idx_tup_fetch
FROM pg_stat_xact_all_tables WHERE schemaname = 'object_store' AND seq_scan IS NOT NULL
    AND idx_scan IS NOT NULL
"""
OPTIONS = "ANALYZE, BUFFERS, COSTS, SETTINGS, WAL, TIMING OFF, SUMMARY OFF"


def seen(login: Any, statement: str, values: list[Any]) -> tuple[Any, ...]:
    """All that the server tells of a statement: rows, plans, and what was counted."""
    plain = run(login, f"EXPLAIN {statement}", values)
    # Twice: what has to be read into the caches once says nothing.
    for _ in range(2):
        analyzed = run(login, f"EXPLAIN ({OPTIONS}) {statement}", values)
    run(login, "BEGIN")
    before = Counter({(row[0], n): row[n] for row in run(login, COUNTERS) for n in range(1, 5)})
    rows = run(login, statement, values)
    after = Counter({(row[0], n): row[n] for row in run(login, COUNTERS) for n in range(1, 5)})
    run(login, "ROLLBACK")
    after.subtract(before)
    return rows, plain, analyzed, {key: number for key, number in after.items() if number}


def test_nothing_differs_between_a_hit_and_a_miss(desk: Desk, hidden: dict[str, Any]) -> None:
    pairs = list(calls(hidden))
    assert len(pairs) > 70
    for settings in SETTINGS:
        login = desk.login("mallory")
        for setting in settings:
            run(login, setting)
        for what, statement, hit, miss in pairs:
            try:
                first, second = seen(login, statement, hit), seen(login, statement, miss)
            except errors.InsufficientPrivilege:
                # A setting with which the server refuses to look at all.
                assert settings == ["SET row_security = off"]
                run(login, "ROLLBACK")
                continue
            assert first == second, (what, settings, statement, hit, miss)
        login.close()


def test_the_questions_have_answers_for_who_may_see(
    alice: StoreClient, hidden: dict[str, Any]
) -> None:
    """Else the test before compares nothing with nothing."""
    different = 0
    for what, statement, hit, miss in calls(hidden):
        if what in ("present", "count", "entity", "log", "lag"):
            different += run(alice.conn, statement, hit) != run(alice.conn, statement, miss)
    assert different > 60


def test_errors_say_nothing_of_hidden_rows(desk: Desk, hidden: dict[str, Any]) -> None:
    """A condition that fails on a hidden row alone does not fail."""
    login = desk.login("mallory")
    page = (
        "SELECT count(*) FROM object_store.present("
        "%s, NULL, NULL, '[]', %s, '{}', '{}', NULL, NULL)"
    )
    text = "(object_store.json_text(d.data, 'symbol'))"
    leak = f"CASE WHEN {text} = 'SECRET3' THEN {text}::numeric > 0 ELSE TRUE END"
    for settings in SETTINGS[:-1]:
        for setting in settings:
            run(login, setting)
        assert run(login, page, [["store.models.Trade"], leak]) == [(30,)]
        run(login, "RESET ALL")
    # On a row of one's own it does.
    run(login, "SELECT 1")
    with pytest.raises(psycopg2.DataError):
        run(login, page, [["store.models.Trade"], leak.replace("SECRET3", "OWN3")])


def test_no_table_can_be_looked_at(desk: Desk, hidden: dict[str, Any]) -> None:
    login = desk.login("mallory")
    ways = [
        "SELECT * FROM {}",
        "EXPLAIN SELECT * FROM {}",
        "EXPLAIN ANALYZE SELECT count(*) FROM {}",
        "SELECT * FROM {} WHERE ctid = '(0,1)'",
        "SELECT * FROM {} TABLESAMPLE SYSTEM (100)",
        "DECLARE c CURSOR WITH HOLD FOR SELECT * FROM {}",
        "TABLE {}",
        "COPY {} TO STDOUT",
        "SELECT 1 WHERE EXISTS (SELECT FROM {})",
    ]
    for table, way in itertools.product([*TABLES, "refusal", "era", "clock", "event_seq"], ways):
        with pytest.raises(psycopg2.Error) as caught:
            run(login, way.format(f"object_store.{table}"))
        assert caught.value.pgcode in ("42501", "0A000"), (table, way)


def test_catalogs_and_statistics_tell_no_value(desk: Desk, hidden: dict[str, Any]) -> None:
    """Sizes and totals remain, which the page of the store says."""
    login = desk.login("mallory")
    for view in ("pg_stats", "pg_stats_ext", "pg_stats_ext_exprs"):
        assert run(login, f"SELECT * FROM {view} WHERE schemaname = 'object_store'") == []
    admin = desk.admin()
    kept = run(
        admin, "SELECT DISTINCT attname FROM pg_stats WHERE schemaname = 'object_store' ORDER BY 1"
    )
    assert {name for (name,) in kept} <= {"viewer", "owner", "grantee", "username"}
    # Nor does the planner print what it knows: see the settings of the functions.
    run(login, "SET debug_print_plan = on")
    run(login, "SET client_min_messages = log")
    run(
        login,
        "SELECT object_store.count_present('{store.models.Trade}', NULL, NULL, '[]', NULL, '{}')",
    )
    assert "31337" not in str(login.notices)
    assert "SECRET" not in str(login.notices)


def test_an_index_of_rows_begins_with_who_may_see_them(desk: Desk, hidden: dict[str, Any]) -> None:
    """What the client's conditions are asked of has no index that leads through others' rows."""
    leading = run(
        desk.admin(),
        "SELECT i.indexrelid::regclass::text, a.attname FROM pg_index i "
        "LEFT JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0] "
        "WHERE i.indrelid IN ('object_store.seg'::regclass, 'object_store.head'::regclass)",
    )
    assert len(leading) == 3 + len(INDEXED)
    assert {name for _, name in leading} == {"viewer", "owner"}
