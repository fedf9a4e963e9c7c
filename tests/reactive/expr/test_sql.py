"""SQL text: quoting, columns, parameters, strict reading, and PostgreSQL's own ways."""

# ruff: noqa: E501 - a table reads best with a row a line

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import psycopg2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reactive import Const, Expr, ExpressionRangeError, ExpressionValueError, Field, Func, If, Type
from tests.reactive.cases import ROWS
from tests.reactive.postgres import in_postgres, same

x, y, s = Field("x"), Field("y"), Field("s")
texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)
awkward = st.one_of(texts, st.text(st.sampled_from("'\\\"%_$-/*;() sE"), max_size=12))


@pytest.fixture(params=["on", "off"])
def quoting(postgres: Any, request: pytest.FixtureRequest) -> Iterator[Any]:
    """The connection under both ways to read a backslash, in a session with settings of its own."""
    with postgres.cursor() as cursor:
        cursor.execute("SET escape_string_warning = off")
        cursor.execute(f"SET standard_conforming_strings = {request.param}")
        cursor.execute("SET TimeZone = 'Asia/Kolkata'; SET IntervalStyle = sql_standard")
    yield postgres
    with postgres.cursor() as cursor:
        cursor.execute("RESET ALL")


# --- quoting ----------------------------------------------------------------------------------


@given(text=awkward)
def test_no_text_leaves_its_literal(quoting_connections: list[Any], text: str) -> None:
    expr = Const("<").concat(s.concat(text))
    for connection in quoting_connections:
        assert in_postgres(connection, expr.to_sql(), None, [{"s": ""}]) == ["<" + text]
        bound, parameters = expr.to_sql_params()
        assert in_postgres(connection, bound, parameters, [{"s": ""}]) == ["<" + text]


def names_a_field(name: str) -> bool:
    return name.isprintable() and name != "" and not (name[:2] == "__" == name[-2:])


@given(name=awkward.filter(names_a_field))
def test_no_name_leaves_its_quotes(quoting_connections: list[Any], name: str) -> None:
    expr = Field(name).concat("!")
    for connection in quoting_connections:
        assert in_postgres(connection, expr.to_sql(), None, [{name: "it"}]) == ["it!"]
        bound, parameters = expr.to_sql_params()
        assert in_postgres(connection, bound, parameters, [{name: "it"}]) == ["it!"]


@pytest.fixture(scope="module")
def quoting_connections(postgres: Any) -> Iterator[list[Any]]:
    connections = []
    for setting in ("on", "off"):
        connection = psycopg2.connect(postgres.dsn)
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("SET escape_string_warning = off")
            cursor.execute(f"SET standard_conforming_strings = {setting}")
        connections.append(connection)
    yield connections
    for connection in connections:
        connection.close()


def test_values_do_not_depend_on_the_session(quoting: Any) -> None:
    for row in ROWS:
        if row.expr.type is Type.ANY:
            continue
        for fields, value in row.values:
            assert same(value, in_postgres(quoting, row.expr.to_sql(), None, [fields])[0])


@pytest.mark.parametrize(
    "col", ["data", "t.data", '"my data"', '"a""b".data', "public.t.data", "_d1", "größe"]
)
def test_columns(col: str) -> None:
    assert Field("x").to_sql(col) == f"({col}->>'x')"


@pytest.mark.parametrize(
    "col",
    [
        "",
        "data; DROP TABLE t",
        "data->'a'",
        "a b",
        '"a',
        "1a",
        "data)",
        "a..b",
        "f(x)",
        None,
        "a.b.c.d.e",
    ],
)
def test_what_is_no_column(col: Any) -> None:
    with pytest.raises(ExpressionValueError, match="expected the name of a column, got"):
        x.to_sql(col)
    with pytest.raises(ExpressionValueError, match="expected the name of a column, got"):
        x.to_sql_params(col)


# --- parameters -------------------------------------------------------------------------------


def test_parameters_come_in_the_order_of_their_places() -> None:
    text, values = ((x % 7 > 1) & s.contains("50%") & Field("100%").starts_with("a")).to_sql_params(
        "t.data"
    )
    assert text == (
        "(((((t.data->>'x')::float - %s::float * FLOOR((t.data->>'x')::float / %s::float)) > %s::float) "
        "AND (strpos((t.data->>'s'), %s::text) > 0)) AND starts_with((t.data->>'100%%'), %s::text))"
    )
    assert values == [7.0, 7.0, 1.0, "50%", "a"]


def test_parameters_have_the_type_in_which_they_are_read() -> None:
    _, values = (
        (x > 1) & (Field("n", int) > 1) & (Field("d", Decimal) > 1) & (s == "a")
    ).to_sql_params()
    assert [type(value) for value in values] == [float, int, Decimal, str]
    text, values = (Field("day") == date(2026, 2, 22)).to_sql_params()
    assert (text, values) == ("(data->>'day')::date = %s::date", [date(2026, 2, 22)])


# --- reading ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("type_", "sql"),
    [
        (None, "(data->>'x')"),
        (str, "(data->>'x')"),
        (bool, "(data->>'x')::boolean"),
        (int, "(data->>'x')::numeric"),
        (float, "(data->>'x')::float"),
        (Decimal, "(data->>'x')::numeric"),
        (date, "(data->>'x')::date"),
        (datetime, "(data->>'x')::timestamptz"),
    ],
)
def test_a_field_is_cast_as_its_type(type_: Any, sql: str) -> None:
    assert Field("x", type_).to_sql() == sql
    assert Field("x").to_sql(as_type=type_) == sql


def test_a_result_can_be_asked_as_a_type() -> None:
    assert (x + 1).to_sql(
        as_type=str
    ) == "TRIM_SCALE(((data->>'x')::float + 1)::text::numeric)::text"
    assert (x > 1).to_sql(as_type=bool) == "(data->>'x')::float > 1"
    assert Const(None).to_sql(as_type=float) == "NULL::float"


def test_fields_can_be_read_another_way() -> None:
    sql = ((s == "AAPL") & (x > 1) & s.is_null()).to_sql(
        field_text=lambda name: f"jt(data, '{name}')"
    )
    assert (
        sql
        == "(((jt(data, 's') = 'AAPL') AND (jt(data, 'x')::float > 1)) AND (jt(data, 's') IS NULL))"
    )


STRICT: list[tuple[Expr, Any, Any]] = [
    (x + 1, "12", "field x: expected a number (float), seen 12"),
    (x + 1, "NaN", "field x: expected a number (float), seen NaN"),
    (x + 1, True, "field x: expected a number (float), seen true"),
    (Field("x", int) + 1, 1.5, "field x: expected a whole number (int), seen 1.5"),
    (Field("x", Decimal) + 1, "NaN", "field x: expected a number (Decimal), seen NaN"),
    (x == "12", 12, "field x: expected text, seen 12"),
    (If(x, 1, 2), 1, "field x: expected a boolean, seen 1"),
    (Field("x", date).year(), "now", "field x: expected a date, seen now"),
    (Field("x", datetime).year(), "2026-01-01T10:00:00", "field x: expected a datetime"),
]


@pytest.mark.parametrize(("expr", "value", "message"), STRICT)
def test_strict_sql_refuses_what_eval_refuses(
    postgres: Any, expr: Expr, value: Any, message: str
) -> None:
    with pytest.raises(psycopg2.errors.InvalidTextRepresentation) as caught:
        in_postgres(postgres, expr.to_sql(strict=True), None, [{"x": value}])
    assert message in str(caught.value)
    text, parameters = expr.to_sql_params(strict=True)
    with pytest.raises(psycopg2.errors.InvalidTextRepresentation):
        in_postgres(postgres, text, parameters, [{"x": value}])


def test_strict_sql_gives_the_same_values(postgres: Any) -> None:
    for row in ROWS:
        if row.expr.type is Type.ANY:
            continue
        for fields, value in row.values:
            strict = row.expr.to_sql(strict=True)
            assert same(value, in_postgres(postgres, strict, None, [fields])[0])


def test_strict_sql_takes_numbers_of_any_length(postgres: Any) -> None:
    for number in (-1e300, 10**250, 0.1):
        for expr in (Field("x", Decimal) + 0, x.is_in([Decimal("0.1")]), x == Decimal("0.1")):
            stored = in_postgres(postgres, expr.to_sql(strict=True), None, [{"x": number}])[0]
            assert same(expr.eval({"x": number}), stored)


# --- what PostgreSQL does on its own ----------------------------------------------------------


def test_constants_are_safe_by_themselves(postgres: Any) -> None:
    for constant in (
        Const(1) / 0,
        Const(1) % 0,
        Func("log", [0]),
        Func("sqrt", [-1]),
        Const(-8) ** 0.5,
        Const("a").cast(int),
    ):
        expr = If(x > 0, constant, 5)
        assert in_postgres(postgres, expr.to_sql(), None, [{"x": -1}, {"x": 1}]) == [5, None]


def test_constants_that_overflow_are_refused_before_postgres_sees_them() -> None:
    with pytest.raises(
        ExpressionRangeError, match=r"the constant part 1e\+308 \* 10: .* beyond a double"
    ):
        If(x > 0, Const(1e308) * 10, 5).to_sql()
    assert If(Const(False), Const(1e308) * 10, 5).to_sql().startswith("CASE WHEN FALSE")


def test_whole_constants_do_not_overflow_integers(postgres: Any) -> None:
    expr = Const(2**31 - 1) + 1 + Const(2**62) * 4
    assert in_postgres(postgres, expr.to_sql(), None, [{}]) == [2**31 + 2**64]


def test_long_values_are_computed_once(postgres: Any) -> None:
    expr: Expr = x
    for divisor in range(3, 24):
        expr = Func("max", [expr % divisor + 1, 2]) + x
    sql = expr.to_sql()
    assert len(sql) < 20_000
    assert same(expr.eval({"x": 1234.5}), in_postgres(postgres, sql, None, [{"x": 1234.5}])[0])


def test_names_of_the_subselect_hide_no_column(postgres: Any) -> None:
    long = Func("max", [sum((Field(f"x{i}") for i in range(1, 12)), Field("x0")) % 7, Field("y")])
    sql = Func("max", [long, 1]).to_sql("once.v0")
    with postgres.cursor() as cursor:
        document = json.dumps({f"x{i}": i for i in range(12)} | {"y": 3.5})
        cursor.execute(f"SELECT {sql} FROM (SELECT %s::jsonb AS v0 OFFSET 0) AS once", [document])
        assert cursor.fetchone() == (3.5,)


def test_conditions_can_stand_next_to_others(postgres: Any) -> None:
    for condition in (
        (x > 1) | (y > 1),
        x > 1,
        x.is_null(),
        x.between(1, 2),
        x.is_in([1]),
        ~(x > 1),
    ):
        beside = f"FALSE AND {condition.to_sql()}"
        assert in_postgres(postgres, beside, None, [{"x": 2, "y": 2}, {"x": 1}]) == [False, False]
