"""The table of cases that all targets share, and that docs/expressions.md shows.

Run this module to print the table: python -m tests.reactive.cases
"""

# ruff: noqa: E501 - a row a line
# fmt: off

from __future__ import annotations

from datetime import date, datetime, timezone
from decimal import Decimal
from typing import Any, NamedTuple

from reactive import Case, Coalesce, Const, Expr, Field, Func, If, NullIf, UnaryOp


class Row(NamedTuple):
    """One operation: its values on rows, and its text in SQL and Pure."""

    python: str
    expr: Expr
    values: list[tuple[dict[str, Any], Any]]
    sql: str
    pure: str


class Section(NamedTuple):
    title: str
    rows: list[Row]


x, y, s, t, d = Field("x"), Field("y"), Field("s"), Field("t"), Field("d")
n, m, amount = Field("n", int), Field("m", int), Field("amount", Decimal)
day, ts = Field("day", date), Field("ts", datetime)
NOON = datetime(2026, 2, 22, 12, 30, 15, tzinfo=timezone.utc)

X, Y, S, T = "(data->>'x')::float", "(data->>'y')::float", "(data->>'s')", "(data->>'t')"

SECTIONS = [
    Section(
        "Fields and constants",
        [
            Row("x", x, [({"x": 5}, 5), ({}, None)], "(data->>'x')", "$row.x"),
            Row("Const(42)", Const(42), [({}, 42)], "42", "42"),
            Row("Const('hello')", Const("hello"), [({}, "hello")], "'hello'", "'hello'"),
            Row("Const(True)", Const(True), [({}, True)], "TRUE", "true"),
            Row("Const(None)", Const(None), [({}, None)], "NULL", "[]"),
            Row("Const(Decimal('1.50'))", Const(Decimal("1.50")), [({}, Decimal("1.50"))], "1.50", "1.50D"),
            Row("Const(date(2026, 2, 22))", Const(date(2026, 2, 22)), [({}, date(2026, 2, 22))], "'2026-02-22'::date", "%2026-02-22"),
            Row('Const("it\'s \\\\ x")', Const("it's \\ x"), [({}, "it's \\ x")], "E'it''s \\\\ x'", "'it\\'s \\\\ x'"),
        ],
    ),
    Section(
        "Arithmetic",
        [
            Row("x + y", x + y, [({"x": 1, "y": 2}, 3.0), ({"x": 1}, None)], f"{X} + {Y}", "($row.x + $row.y)"),
            Row("x - 5", x - 5, [({"x": 3}, -2.0), ({"x": None}, None)], f"{X} - 5", "($row.x - 5)"),
            Row("10 - x", 10 - x, [({"x": 4}, 6.0)], f"10 - {X}", "(10 - $row.x)"),
            Row("(x - y) * 2", (x - y) * 2, [({"x": 3, "y": 1}, 4.0)], f"({X} - {Y}) * 2", "(($row.x - $row.y) * 2)"),
            Row("x / y", x / y, [({"x": 5, "y": 2}, 2.5), ({"x": 5, "y": 0}, None)], f"{X} / NULLIF({Y}, 0)", "($row.x / $row.y)"),
            Row("x / 4", x / 4, [({"x": 1}, 0.25)], f"{X} / 4", "($row.x / 4)"),
            Row("Const(5) / 2", Const(5) / 2, [({}, 2.5)], "5::float / 2", "(5 / 2)"),
            Row("x % 3", x % 3, [({"x": -7}, 2.0), ({"x": 7.5}, 1.5)], f"({X} - 3 * FLOOR({X} / 3))", "mod($row.x, 3)"),
            Row(
                "n % m (whole numbers)",
                n % m,
                [({"n": 7, "m": -3}, -2), ({"n": 7, "m": 0}, None)],
                "MOD(MOD((data->>'n')::numeric, NULLIF((data->>'m')::numeric, 0)) + (data->>'m')::numeric, (data->>'m')::numeric)",
                "mod($row.n, $row.m)",
            ),
            Row("n * m (whole numbers)", n * m, [({"n": 2**53 + 1, "m": 3}, 3 * 2**53 + 3)], "(data->>'n')::numeric * (data->>'m')::numeric", "($row.n * $row.m)"),
            Row("amount + Decimal('0.1')", amount + Decimal("0.1"), [({"amount": Decimal("0.2")}, Decimal("0.3"))], "(data->>'amount')::numeric + 0.1", "($row.amount + 0.1D)"),
            Row("x ** 2", x**2, [({"x": -3}, 9.0)], f"POWER({X}, 2)", "pow($row.x, 2)"),
            Row("2 ** x ** 2", 2**x**2, [({"x": 3}, 512.0)], f"POWER(2::float, POWER({X}, 2))", "pow(2, pow($row.x, 2))"),
            Row("x ** 0.5", x**0.5, [({"x": 4}, 2.0), ({"x": -4}, None)], f"POWER(NULLIF(GREATEST({X}, -5e-324), -5e-324), 0.5)", "pow($row.x, 0.5)"),
            Row("x ** -1", x**-1, [({"x": 4}, 0.25), ({"x": 0}, None)], f"POWER(NULLIF({X}, 0), -1)", "pow($row.x, -1)"),
            Row("-x ** 2", -(x**2), [({"x": 3}, -9.0)], f"-POWER({X}, 2)", "(-pow($row.x, 2))"),
            Row("-(-x)", UnaryOp("-", -x), [({"x": 3}, 3.0)], f"-(-{X})", "(-(-$row.x))"),
        ],
    ),
    Section(
        "Functions of numbers",
        [
            Row("abs(x)", abs(x), [({"x": -3.5}, 3.5)], f"ABS({X})", "abs($row.x)"),
            Row("Func('sign', [x])", Func("sign", [x]), [({"x": -3.5}, -1.0), ({"x": 0}, 0.0)], f"SIGN({X})", "sign($row.x)"),
            Row("Func('ceil', [x])", Func("ceil", [x]), [({"x": 1.2}, 2.0), ({"x": -1.2}, -1.0)], f"CEIL({X})", "ceiling($row.x)"),
            Row("Func('floor', [x])", Func("floor", [x]), [({"x": -1.2}, -2.0)], f"FLOOR({X})", "floor($row.x)"),
            Row("Func('round', [x])", Func("round", [x]), [({"x": 2.5}, 2.0), ({"x": 3.5}, 4.0)], f"ROUND({X})", "round($row.x)"),
            Row("round(x, 2)", round(x, 2), [({"x": 1.125}, 1.12), ({"x": 1.375}, 1.38)], f"(ROUND({X} * 100) / 100)", "(round(($row.x * 100)) / 100)"),
            Row("Func('sqrt', [x])", Func("sqrt", [x]), [({"x": 9}, 3.0), ({"x": -9}, None)], f"SQRT(NULLIF(GREATEST({X}, -5e-324), -5e-324))", "sqrt($row.x)"),
            Row("Func('log', [x])", Func("log", [x]), [({"x": 1}, 0.0), ({"x": 0}, None)], f"LN(NULLIF(GREATEST({X}, 0), 0))", "log($row.x)"),
            Row("Func('log10', [x])", Func("log10", [x]), [({"x": 1000}, 3.0), ({"x": -1}, None)], f"LOG(NULLIF(GREATEST({X}, 0), 0))", "log10($row.x)"),
            Row("Func('exp', [x])", Func("exp", [x]), [({"x": 0}, 1.0), ({"x": -1000}, 0.0)], f"CASE WHEN {X} < -745.2 THEN 0 ELSE EXP({X}) END", "exp($row.x)"),
            Row(
                "Func('min', [x, y])",
                Func("min", [x, y]),
                [({"x": 2, "y": 1}, 1.0), ({"x": 2}, None)],
                f"CASE WHEN {X} IS NULL OR {Y} IS NULL THEN NULL ELSE LEAST({X}, {Y}) END",
                "min($row.x, $row.y)",
            ),
            Row("Func('max', [x, 0])", Func("max", [x, 0]), [({"x": -2}, 0.0), ({}, None)], f"CASE WHEN {X} IS NULL THEN NULL ELSE GREATEST({X}, 0) END", "max($row.x, 0)"),
        ],
    ),
    Section(
        "Comparisons",
        [
            Row("x > 5", x > 5, [({"x": 6}, True), ({"x": 5}, False), ({}, None)], f"{X} > 5", "($row.x > 5)"),
            Row("x <= y", x <= y, [({"x": 1, "y": 1.0}, True)], f"{X} <= {Y}", "($row.x <= $row.y)"),
            Row("x == 1", x == 1, [({"x": 1.0}, True), ({"x": 2}, False)], f"{X} = 1", "(toFloat($row.x) == 1.0)"),
            Row("x != 1", x != 1, [({"x": 1.0}, False), ({}, None)], f"{X} <> 1", "(toFloat($row.x) != 1.0)"),
            Row("s == 'AAPL'", s == "AAPL", [({"s": "AAPL"}, True), ({"s": "aapl"}, False)], f"{S} = 'AAPL'", "($row.s == 'AAPL')"),
            Row("s < 'a'", s < "a", [({"s": "Z"}, True), ({"s": "é"}, False)], f"{S} COLLATE \"C\" < 'a'", "($row.s < 'a')"),
            Row(
                "x == y (bare fields)",
                x == y,
                [({"x": 1, "y": 1.0}, True), ({"x": 1, "y": "1"}, False), ({"x": 1, "y": True}, False)],
                "NULLIF(data->'x', 'null') = NULLIF(data->'y', 'null')",
                "($row.x == $row.y)",
            ),
            Row("n == 2**53 + 1", n == 2**53 + 1, [({"n": 2**53 + 1}, True), ({"n": 2**53}, False)], "(data->>'n')::numeric = 9007199254740993", "($row.n == 9007199254740993)"),
            Row("x.is_in([1, 2])", x.is_in([1, 2]), [({"x": 2.0}, True), ({"x": 3}, False), ({}, None)], f"{X} IN (1, 2)", "in(toFloat($row.x), [1.0, 2.0])"),
            Row("x.is_in([1, None])", x.is_in([1, None]), [({"x": 1}, True), ({"x": 3}, None)], f"{X} IN (1, NULL)", "if(in(toFloat($row.x), [1.0]), |true, |[])"),
            Row("x.between(1, 2)", x.between(1, 2), [({"x": 2}, True), ({"x": 2.1}, False)], f"{X} BETWEEN 1 AND 2", "(($row.x >= 1) && ($row.x <= 2))"),
        ],
    ),
    Section(
        "Logic",
        [
            Row("(x > 1) & (y > 1)", (x > 1) & (y > 1), [({"x": 2, "y": 2}, True), ({"x": 0}, False), ({"x": 2}, None)], f"(({X} > 1) AND ({Y} > 1))", "(($row.x > 1) && ($row.y > 1))"),
            Row("(x > 1) | (y > 1)", (x > 1) | (y > 1), [({"x": 2}, True), ({"x": 0}, None)], f"(({X} > 1) OR ({Y} > 1))", "(($row.x > 1) || ($row.y > 1))"),
            Row("~(x > 1)", ~(x > 1), [({"x": 2}, False), ({}, None)], f"NOT ({X} > 1)", "!($row.x > 1)"),
            Row("~Field('active')", ~Field("active"), [({"active": False}, True)], "NOT (data->>'active')::boolean", "!($row.active)"),
            Row("~(x == 1) == Field('b')", ~(x == 1) == Field("b"), [({"x": 2, "b": True}, True)], f"(NOT ({X} = 1)) = (data->>'b')::boolean", "((!(toFloat($row.x) == 1.0)) == $row.b)"),
        ],
    ),
    Section(
        "Choice and nulls",
        [
            Row(
                "If(x > 0, 'up', 'down')",
                If(x > 0, "up", "down"),
                [({"x": 1}, "up"), ({"x": 0}, "down"), ({}, "down")],
                f"CASE WHEN {X} > 0 THEN 'up' ELSE 'down' END",
                "if(($row.x > 0), |'up', |'down')",
            ),
            Row(
                "Case([(x > 2, 'high'), (x > 1, 'mid')], 'low')",
                Case([(x > 2, "high"), (x > 1, "mid")], "low"),
                [({"x": 3}, "high"), ({"x": 2}, "mid"), ({}, "low")],
                f"CASE WHEN {X} > 2 THEN 'high' WHEN {X} > 1 THEN 'mid' ELSE 'low' END",
                "if(($row.x > 2), |'high', |if(($row.x > 1), |'mid', |'low'))",
            ),
            Row("Coalesce([x, y, 0])", Coalesce([x, y, 0]), [({"y": 2}, 2.0), ({}, 0.0)], f"COALESCE({X}, {Y}, 0)", "coalesce($row.x, $row.y, 0)"),
            Row("x.is_null()", x.is_null(), [({"x": None}, True), ({}, True), ({"x": 0}, False)], "(data->>'x') IS NULL", "isEmpty($row.x)"),
            Row("NullIf(x, 0)", NullIf(x, 0), [({"x": 0}, None), ({"x": 1}, 1.0)], f"NULLIF({X}, 0)", "if((toFloat($row.x) == 0.0), |[], |$row.x)"),
        ],
    ),
    Section(
        "Text",
        [
            Row("s.length()", s.length(), [({"s": "日本"}, 2), ({"s": ""}, 0)], f"LENGTH({S})", "length($row.s)"),
            Row("s.upper()", s.upper(), [({"s": "aé"}, "Aé"), ({}, None)], f'UPPER({S} COLLATE "C")', "toUpper($row.s)"),
            Row("s.lower()", s.lower(), [({"s": "AÉ"}, "aÉ")], f'LOWER({S} COLLATE "C")', "toLower($row.s)"),
            Row("s.trim()", s.trim(), [({"s": " a b\t"}, "a b")], f"BTRIM({S}, E' \\t\\n\\x0b\\f\\r')", "trim($row.s)"),
            Row("s.contains('%')", s.contains("%"), [({"s": "5%"}, True), ({"s": "5"}, False)], f"strpos({S}, '%') > 0", "contains($row.s, '%')"),
            Row("s.starts_with('_')", s.starts_with("_"), [({"s": "_a"}, True), ({"s": "a"}, False)], f"starts_with({S}, '_')", "startsWith($row.s, '_')"),
            Row("s.ends_with(t)", s.ends_with(t), [({"s": "EURUSD", "t": "USD"}, True), ({"s": "a", "t": ""}, True)], f"(RIGHT({S}, LENGTH({T})) = {T})", "endsWith($row.s, $row.t)"),
            Row("s.concat(t)", s.concat(t), [({"s": "a", "t": "b"}, "ab"), ({"s": "a"}, None)], f"{S} || {T}", "($row.s + $row.t)"),
            Row(
                "s.substring(3, 3)",
                s.substring(3, 3),
                [({"s": "EURUSD"}, "USD"), ({"s": "EU"}, "")],
                f"SUBSTR({S}, 4, 3)",
                "substring($row.s, min(3, length($row.s)), min(6, length($row.s)))",
            ),
        ],
    ),
    Section(
        "Dates",
        [
            Row(
                "day < date(2026, 3, 1)",
                day < date(2026, 3, 1),
                [({"day": date(2026, 2, 28)}, True), ({"day": "2026-03-01"}, False)],
                "(data->>'day')::date < '2026-03-01'::date",
                "($row.day < %2026-03-01)",
            ),
            Row(
                "ts >= datetime(...)",
                ts >= NOON,
                [({"ts": NOON}, True), ({"ts": "2026-02-22T13:00:00+01:00"}, False)],
                "(data->>'ts')::timestamptz >= '2026-02-22T12:30:15+00:00'::timestamptz",
                "($row.ts >= %2026-02-22T12:30:15+0000)",
            ),
            Row("day.year()", day.year(), [({"day": date(2026, 2, 22)}, 2026)], "EXTRACT(YEAR FROM (data->>'day')::date)", "year($row.day)"),
            Row("day.weekday()", day.weekday(), [({"day": date(2026, 2, 22)}, 7)], "EXTRACT(ISODOW FROM (data->>'day')::date)", "dayOfWeekNumber($row.day)"),
            Row("ts.hour()", ts.hour(), [({"ts": "2026-02-22T13:00:00+01:00"}, 12)], "EXTRACT(HOUR FROM (data->>'ts')::timestamptz AT TIME ZONE 'UTC')", "hour($row.ts)"),
            Row("ts.second()", ts.second(), [({"ts": NOON}, 15)], "FLOOR(EXTRACT(SECOND FROM (data->>'ts')::timestamptz AT TIME ZONE 'UTC'))", "second($row.ts)"),
            Row(
                "Func('days_between', [day, d])",
                Func("days_between", [day, d]),
                [({"day": date(2026, 2, 1), "d": date(2026, 3, 1)}, 28)],
                "(data->>'d')::date - (data->>'day')::date",
                "dateDiff($row.day, $row.d, DurationUnit.DAYS)",
            ),
        ],
    ),
    Section(
        "Conversions",
        [
            Row("x.cast(int)", x.cast(int), [({"x": -2.7}, -2), ({"x": 3}, 3)], "TRUNC((data->>'x')::numeric)", "if(($row.x < 0), |ceiling($row.x), |floor($row.x))"),
            Row("n.cast(float)", n.cast(float), [({"n": 3}, 3.0)], "(data->>'n')::numeric::float", "toFloat($row.n)"),
            Row("n.cast(str)", n.cast(str), [({"n": 42}, "42")], "TRIM_SCALE((data->>'n')::numeric)::text", "toString($row.n)"),
            Row("ts.cast(date)", ts.cast(date), [({"ts": NOON}, date(2026, 2, 22))], "((data->>'ts')::timestamptz AT TIME ZONE 'UTC')::date", "datePart($row.ts)"),
            Row(
                "Field('s', str).cast(bool)",
                Field("s", str).cast(bool),
                [({"s": "true"}, True), ({"s": "yes"}, None)],
                f"CASE {S} WHEN 'true' THEN TRUE WHEN 'false' THEN FALSE END",
                "($row.s == 'true')",
            ),
        ],
    ),
]

ROWS = [row for section in SECTIONS for row in section.rows]


def _shown(value: Any) -> str:
    return f"`{value!r}`" if not isinstance(value, (date, Decimal)) else f"`{value}`"


def _cell(text: str) -> str:
    return "`" + text.replace("|", "\\|") + "`"


def _row(fields: dict[str, Any]) -> str:
    return ", ".join(f"{name} = {value if isinstance(value, (date, Decimal)) else repr(value)}" for name, value in fields.items())


def table() -> str:
    """The cases as Markdown."""
    lines = []
    for section in SECTIONS:
        lines += [f"### {section.title}", "", "| Python | gives | PostgreSQL | Pure |", "|---|---|---|---|"]
        for row in section.rows:
            gives = "; ".join(
                f"{_row(fields)} → {_shown(value)}" if fields else _shown(value) if not row.expr.fields() else f"all missing → {_shown(value)}" for fields, value in row.values
            ).replace("|", "\\|")
            lines.append(f"| {_cell(row.python)} | {gives} | {_cell(row.sql)} | {_cell(row.pure)} |")
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"


if __name__ == "__main__":
    print(table())  # noqa: T201
