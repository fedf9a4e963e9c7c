"""The condition of a filter in the database: what it means, and what it cannot be made to say."""

from __future__ import annotations

import json
import os
from typing import Any

import psycopg2
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from reactive import ExpressionRangeError, Field, Type
from store.client import StoreClient
from store.entities.index_conditions import field_text
from store.entities.query import _Condition
from store.models import Trade
from store.schema import index_field
from tests.reactive.agreement import agree, in_python, is_lazy
from tests.reactive.postgres import to_json_value
from tests.reactive.strategies import expressions, rows
from tests.store.desk import Desk
from tests.store.sql import run

CASES = 5_000 if os.environ.get("HYPOTHESIS_PROFILE") == "nightly" else 150
QUIET: dict[str, Any] = {
    "deadline": None,
    "suppress_health_check": [HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
}
CHECKED = "SELECT object_store.checked(%s, %s)"
PRESENT = (
    "SELECT owner FROM object_store.present("
    "'{store.models.Trade}', NULL, NULL, '[]', %s, %s, %s, NULL, NULL)"
)


@pytest.fixture
def looking(desk: Desk) -> Any:
    """A superuser's login."""
    return desk.admin()


@pytest.fixture
def rogue(desk: Desk, alice: StoreClient) -> Any:
    """A login of mallory's, who has one row among those of others."""
    alice.write_many([Trade(f"A{n}", n, 1.0, "BUY") for n in range(3)])
    desk.client("mallory").write(Trade("M", 1, 1.0, "SELL"))
    return desk.login("mallory")


@settings(max_examples=CASES, **QUIET)
@given(data=st.data())
def test_a_checked_condition_means_what_it_meant(looking: Any, data: st.DataObject) -> None:
    """Against Python, and against the SQL that went in."""
    expr = data.draw(expressions(Type.BOOL), label="expression")
    row = data.draw(rows(expr.fields()), label="row")
    what = _Condition()
    try:
        text, values = expr.to_sql_params("d.data", as_type=bool, field_text=field_text)
    except ExpressionRangeError:
        return
    what.add(text, values)
    admin = looking
    [(checked,)] = run(admin, CHECKED, what.asked())
    source = "FROM (SELECT %s::jsonb AS data) d"
    document = json.dumps({key: to_json_value(value) for key, value in row.items()})

    def outcome(statement: str, more: list[Any]) -> Any:
        try:
            return run(admin, statement, more)[0][0]
        except psycopg2.DataError as error:
            return error.pgcode

    ours = outcome(f"SELECT {checked.replace('%', '%%')} {source}", [document])
    theirs = outcome(f"SELECT {text} {source}", [*values, document])
    assert ours == theirs
    if not isinstance(ours, str):
        assert agree(in_python(expr, row), ours, is_lazy(expr)), (expr, row)


PIECES = [
    *("(", ")", "((", "))", ",", "'", "''", "E'\\'", "E'a'", "$1", "$2", "$99", "$", "$$", "$a$"),
    *("--", "/*", "*/", ";", "\\", "\n", "\0"[:0], "::", "->>", "->", "||", "=", "<>", "!", "|"),
    *("d.data", "d.owner", "d.viewer", "d", "data", "d.entity_id", "object_store.seg", "seg"),
    *("object_store.event", "pg_class", "pg_sleep(1)", "version()", "current_user", "once", "v0"),
    *("SELECT", "select", "FROM", "UNION", "WHERE", "LIMIT", "FOR", "UPDATE", "CASE", "WHEN"),
    *("THEN", "ELSE", "END", "AND", "OR", "NOT", "TRUE", "NULL", "IN", "IS", "AS", "OFFSET"),
    *("object_store.json_text(d.data, 'symbol')", "1", "1.5e300", "0", "text", "numeric", "jsonb"),
    *(
        "COALESCE(",
        "LENGTH(",
        "query_to_xml(",
        "TO_CHAR(",
        '"C"',
        '"d"',
        "U&'a'",
        "B'1'",
        "COLLATE",
    ),
    *("FROM object_store.event", "(SELECT 1)", "(SELECT d.data FROM d)", "EXTRACT(DAY FROM"),
    *("1 = 1) END OR (TRUE", "TRUE) OR (TRUE", "TRUE END OR TRUE OR CASE WHEN TRUE THEN TRUE"),
]
# Refused by the check, by the parser, for a type, or for a value.
REFUSALS = ("42", "22", "0A", "54", "21")


@settings(max_examples=CASES * 2, **QUIET)
@given(pieces=st.lists(st.sampled_from(PIECES) | st.text(max_size=3), max_size=12))
@example(["TRUE) OR (TRUE"])
@example(["TRUE END OR TRUE OR CASE WHEN TRUE THEN TRUE"])
@example(["(SELECT TRUE FROM object_store.seg OFFSET 0)"])
@example(["EXISTS", "(SELECT FROM object_store.event)"])
def test_no_condition_reaches_beyond_the_users_own_rows(
    rogue: Any, looking: Any, pieces: list[str]
) -> None:
    text = " ".join(pieces).replace("\0", "").encode("utf-8", "replace").decode()
    for where, order in ((text, []), ("TRUE", [text, "ASC"])):
        found = answered(rogue, where, order)
        if found is None:
            continue
        assert {owner for (owner,) in found} <= {"mallory"}
        # It passed: then nothing is read but the rows it is asked of.
        [(checked,)] = run(looking, CHECKED, [text, ["x", "1"]])
        plan = run(
            looking,
            "EXPLAIN (FORMAT JSON) SELECT 1 FROM object_store.seg d WHERE d.viewer = 'mallory' "
            f"AND CASE WHEN d.viewer = 'mallory' THEN ({checked}) IS NOT NULL END",
        )
        relations = set(_values(plan[0][0], "Relation Name"))
        assert relations <= {"seg"}, text
        assert not set(_values(plan[0][0], "Function Name")) - {None}, text


def answered(login: Any, where: str, order: list[str]) -> list[Any] | None:
    """The owners of what is found; None where the condition is refused."""
    code = ""
    try:
        return run(login, PRESENT, [where, ["x", "1"], order])
    except psycopg2.Error as error:
        code = str(error.pgcode)
    assert code.startswith(REFUSALS), (where, order, code)
    return None


def _values(plan: Any, key: str) -> list[Any]:
    if isinstance(plan, list):
        return [found for each in plan for found in _values(each, key)]
    if not isinstance(plan, dict):
        return []
    own = [plan[key]] if key in plan else []
    return own + [found for each in plan.values() for found in _values(each, key)]


@pytest.mark.shared_database
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("d.owner = 'alice'", "cannot name 'd.owner'"),
        ("EXISTS (SELECT 1)", "cannot name 'EXISTS'"),
        ("pg_sleep(1) IS NULL", "cannot name 'pg_sleep'"),
        ("TRUE) OR (TRUE", "parentheses"),
        ("TRUE; SELECT 1", "cannot contain ';'"),
        ('"viewer" = 1', "cannot contain"),
        ("$3 = 1", "cannot name '\\$3'"),
        ("'a\\' = 1", "cannot contain"),
    ],
)
def test_what_a_condition_cannot_say(desk: Desk, text: str, said: str) -> None:
    with pytest.raises(psycopg2.errors.SyntaxError, match=said):
        run(desk.login("mallory"), PRESENT, [text, ["1", "2"], []])


def test_bounds_take_nothing_but_fields_and_constants(desk: Desk) -> None:
    for name in ("symbol", "price"):
        index_field(desk.admin(), name)
    login = desk.login("mallory")
    call = "SELECT object_store.count_present('{T}', NULL, NULL, %s::jsonb, NULL, NULL)"
    nasty = "x' OR '1'='1"
    for bound in (
        {"field": nasty, "op": "=", "text": nasty},
        {"field": "symbol", "op": "=", "text": nasty},
        {"field": "symbol", "op": "in", "texts": [nasty, "}"]},
        {"field": "price", "op": ">", "number": "1"},
        {"field": "symbol", "op": "null"},
    ):
        assert run(login, call, [json.dumps([bound])]) == [(0,)]
    for bound in (
        {"field": "x", "op": "= '' OR TRUE --", "text": "x"},
        {"op": "=", "text": "x"},
        {"field": "x", "text": "x"},
        {"field": "price", "op": "=", "number": "1) OR (1=1"},
    ):
        with pytest.raises((psycopg2.errors.SyntaxError, psycopg2.DataError)):
            run(login, call, [json.dumps([bound])])


def test_filters_of_many_values_and_long_ones(alice: StoreClient) -> None:
    alice.write_many([Trade(f"S{n}", n, n / 4, "BUY") for n in range(50)])
    some = [f"S{n}" for n in range(3_000)]
    assert alice.count(Trade, Field("symbol").is_in(some)) == 50
    assert alice.count(Trade, Field("quantity").is_in(list(range(10, 5_000)))) == 40
    either = Field("symbol") == "S1"
    for n in range(2, 40):
        either = either | (Field("symbol") == f"S{n}")
    assert alice.count(Trade, either) == 39
    assert alice.count(Trade, {"symbol": 'it\'s 100% \\ "quoted"'}) == 0
