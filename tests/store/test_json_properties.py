"""Random objects of random classes through JSON and PostgreSQL's jsonb, byte for byte."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import hypothesis.strategies as st
import psycopg2
import pytest
from hypothesis import given, settings
from jsonschema import Draft202012Validator

from store import Storable
from store.exports.json_schema import json_schema
from store.governance.checks import type_check
from store.governance.column_types import parse_type
from store.models import Order, Signal, Trade
from store.testing import column_values, instances
from store.times import instant_text, parse_time, zone_text
from tests.store.random_types import classes, same, types
from tests.store.registries import registry_of


@pytest.fixture(scope="module")
def cursor(postgres_dsn: str) -> Iterator[Any]:
    connection = psycopg2.connect(postgres_dsn)
    connection.autocommit = True
    with connection.cursor() as cursor:
        yield cursor
    connection.close()


objects = st.one_of(
    classes().flatmap(instances), instances(Trade), instances(Order), instances(Signal)
)


@given(objects)
def test_objects_survive_json(obj: Storable) -> None:
    assert type(obj)._registry.validate_instance(obj) == []
    text = obj.to_json()
    again = type(obj).from_json(text)
    assert same(again, obj)
    assert again.to_json() == text
    json.loads(text, parse_constant=pytest.fail)


@given(objects)
def test_objects_survive_jsonb(cursor: Any, obj: Storable) -> None:
    text = obj.to_json()
    cursor.execute("SELECT (%s::jsonb)::text", (text,))
    [(kept,)] = cursor.fetchall()
    again = type(obj).from_json(kept)
    assert same(again, obj)
    assert again.to_json() == text


@given(objects)
def test_json_is_valid_by_its_schema(obj: Storable) -> None:
    schema = json_schema(type(obj))
    Draft202012Validator.check_schema(schema)
    checker = Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER)
    checker.validate(json.loads(obj.to_json()))


def instances_of_type(kind: Any) -> st.SearchStrategy[Any]:
    return column_values(registry_of(x=kind).get("x"))


JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(st.characters(exclude_categories=())),
    st.decimals(),
    st.dates(),
    st.datetimes(timezones=st.none() | st.timezones(), allow_imaginary=True),
    st.uuids(),
    st.binary(),
    st.tuples(st.integers()),
    types.flatmap(instances_of_type),
)
junk = st.recursive(
    JUNK,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(), inner, max_size=2),
    max_leaves=3,
)


@settings(max_examples=4 * settings.default.max_examples)
@given(types, junk)
def test_what_is_good_can_be_written_and_what_is_not_is_told(kind: Any, value: Any) -> None:
    registry = registry_of(x={"python_type": kind, "nullable": True})
    body = {"__annotations__": {"x": kind}, "_registry": registry, "__module__": __name__}
    obj = dataclass(type("Holder", (Storable,), body))(value)  # type: ignore[call-arg]
    problems = registry.validate_instance(obj)
    assert bool(problems) == bool(value is not None and type_check(parse_type(kind))(value))
    if not problems:
        assert type(obj).from_json(obj.to_json()) == obj
    else:
        assert all(problem.field.startswith("x") for problem in problems)


TIMES = st.datetimes(timezones=st.timezones(), allow_imaginary=False).filter(
    lambda value: 1 < value.year < 9999
)


@given(st.lists(TIMES, min_size=2, max_size=5))
def test_the_order_of_the_texts_is_the_order_of_the_times(
    cursor: Any, times: list[datetime]
) -> None:
    texts = [instant_text(time) for time in times]
    assert {len(text) for text in texts} == {27}
    assert sorted(texts) == [instant_text(time) for time in sorted(times)]
    for text, time in zip(texts, times, strict=True):
        again = parse_time(text, zone_text(time))
        assert same(again, time)
    cursor.execute(
        "SELECT t = ANY(%s) FROM unnest(%s::text[]) AS given(text), "
        "LATERAL (SELECT given.text::timestamptz AS t) AS cast_",
        (times, texts),
    )
    assert all(found for (found,) in cursor.fetchall())
