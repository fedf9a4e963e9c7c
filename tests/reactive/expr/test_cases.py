"""One table of cases holds for all targets, and the documentation shows it as it is."""

from __future__ import annotations

import types
from typing import Any

import pytest

from reactive import Type, compile_positional
from tests.processes import ROOT
from tests.reactive.cases import ROWS, Row, table
from tests.reactive.postgres import in_postgres, same
from tests.reactive.pure_reader import read

pytestmark = pytest.mark.usefixtures("both_ways")

DOCUMENT = ROOT / "docs" / "expressions.md"
BEGIN, END = "<!-- cases -->\n", "<!-- end of cases -->"

each = pytest.mark.parametrize("row", ROWS, ids=lambda row: row.python)


@each
def test_python(row: Row) -> None:
    names = sorted(row.expr.fields())
    of_values = compile_positional(row.expr, names)
    for fields, value in row.values:
        results = [
            row.expr.eval(fields),
            row.expr.eval(types.SimpleNamespace(**fields)),
            of_values(*(fields.get(name) for name in names)),
        ]
        for result in results:
            assert type(result) is type(value)
            assert result == value


@each
def test_postgres(postgres: Any, row: Row) -> None:
    assert row.expr.to_sql() == row.sql
    if row.expr.type is Type.ANY:
        return  # a bare field is its text
    text, parameters = row.expr.to_sql_params()
    for fields, value in row.values:
        assert same(value, in_postgres(postgres, row.sql, None, [fields])[0])
        assert same(value, in_postgres(postgres, text, parameters, [fields])[0])


@each
def test_pure(row: Row) -> None:
    assert row.expr.to_pure() == row.pure
    read(row.pure)
    read(row.expr.to_pure(null_safe=True))


def test_the_documentation_shows_the_cases() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    shown = text[text.index(BEGIN) + len(BEGIN) : text.index(END)]
    assert shown.strip() == table().strip(), "run: python -m tests.reactive.cases"
