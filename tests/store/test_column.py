# ruff: noqa: UP045 - the older spelling is tested too
"""What `define` accepts and refuses, and what a column answers."""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from datetime import date, datetime, timezone
from decimal import Decimal
from enum import Enum, IntFlag
from typing import Any, NewType, Optional
from uuid import UUID

import pytest

from store.errors import RegistryError
from store.governance.column import ColumnDef
from store.registry import ColumnRegistry
from tests.store.registries import MEANING, MEASURE, column, registry_of


class Side(Enum):
    BUY = "BUY"
    SELL = "SELL"


class Odd(Enum):
    A = (1, 2)


class Mixed(Enum):
    A = 1
    B = "b"


class Empty(Enum):
    pass


class Rights(IntFlag):
    READ = 1
    WRITE = 2


@dataclass
class Leg:
    strike: float
    expiry: date | None = None


@dataclass
class Sets:
    names: set[str]


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"description": "x"}, "'role' is required"),
        ({"role": "", "description": "x"}, "'role' is required"),
        ({"role": "fact", "description": "x"}, "role must be one of 'dimension', 'measure'"),
        ({"role": "attribute"}, "'description' is required"),
        ({"role": "attribute", "description": "  "}, "'description' is required"),
        ({"role": "measure", "description": "x"}, "measures require 'unit'"),
        ({"role": "measure", "description": "x", "unit": " "}, "measures require 'unit'"),
        ({**MEANING, "sensitivity": "secret"}, "sensitivity must be one of public, internal"),
        ({**MEANING, "aggregation": "total"}, "aggregation must be one of sum, avg"),
        ({**MEANING, "dh_type_override": "Float"}, "dh_type_override must be one of string"),
        ({**MEANING, "legend_type": "My Type"}, "legend_type must be a Pure type or path"),
        ({**MEANING, "synonyms": "px"}, "'synonyms' must be a list, not 'px'"),
        ({**MEANING, "tags": 7}, "'tags' must be a list, not 7"),
        ({**MEANING, "synonyms": [""]}, "synonyms and tags must be texts"),
        ({**MEANING, "synonyms": ["x"]}, "a synonym repeats the name"),
        ({**MEANING, "allowed_prefixes": ["my desk"]}, "'my desk' cannot be an allowed prefix"),
        ({**MEANING, "format": "%Q"}, "format '%Q' does not fit float"),
    ],
)
def test_metadata_must_make_sense(metadata: dict[str, Any], message: str) -> None:
    registry = ColumnRegistry()
    with pytest.raises(RegistryError, match="column 'x'") as caught:
        registry.define("x", float, **metadata)
    assert message in str(caught.value)
    assert registry.all_columns() == {}


def test_every_problem_is_told_at_once() -> None:
    with pytest.raises(RegistryError) as caught:
        ColumnDef("x", set)
    for part in ("'role' is required", "'description' is required", "set has no exact form"):
        assert part in str(caught.value)


@pytest.mark.parametrize("name", ["", "2x", "a b", "class", "_x", "x_", "a-b", None, 5])
def test_a_name_must_be_a_field_name(name: Any) -> None:
    with pytest.raises(RegistryError, match="cannot be a name"):
        column(name, str)


@pytest.mark.parametrize(
    ("python_type", "limits", "message"),
    [
        (float, {"min_value": 2, "max_value": 1}, "min_value 2 is above max_value 1"),
        (float, {"min_value": "0"}, "min_value '0' is no float"),
        (float, {"min_value": "0", "max_value": 1}, "'0' and max_value 1 cannot be compared"),
        (float, {"min_value": float("nan")}, "min_value nan is no float"),
        (int, {"max_value": 1.5}, "max_value 1.5 is no int"),
        (bool, {"min_value": False}, "min_value needs numbers, dates or times, not bool"),
        (str, {"max_value": "z"}, "max_value needs numbers, dates or times, not str"),
        (datetime, {"min_value": datetime(2026, 1, 1)}, "is no datetime"),
        (str, {"max_length": 0}, "max_length must be a whole number above zero"),
        (str, {"max_length": True}, "max_length must be a whole number above zero"),
        (int, {"max_length": 3}, "max_length needs str, list or dict, not int"),
        (str, {"pattern": "["}, "pattern '[' is broken"),
        (str, {"pattern": 5}, "pattern 5 is broken"),
        (int, {"pattern": "1"}, "pattern needs str, not int"),
        (str, {"enum": []}, "enum must list at least one value, each once"),
        (str, {"enum": ["a", "a"]}, "enum must list at least one value, each once"),
        (str, {"enum": ["a", 1]}, "enum values [1] are no str"),
        (str, {"enum": "ab"}, "'enum' must be a list"),
        (Side, {"enum": ["BUY"]}, "enum values ['BUY'] are no Side"),
        (list[str], {"enum": ["a"]}, "enum needs single values, not list[str]"),
        (str, {"enum": ["long"], "max_length": 3}, "enum 'long' is against its own max_length"),
        (float, {"min_value": 0, "default": -1.0}, "default -1.0 is against its own min_value"),
        (float, {"default": "1"}, "default '1' is against its own type"),
        (str, {"enum": ["a"], "default": "b"}, "default 'b' is against its own enum"),
        (str, {"pattern": "[A-Z]+", "sample_values": ["a"]}, "sample_values 'a' is against its"),
        (int, {"sample_values": [1, 2.5]}, "sample_values 2.5 is against its own type"),
        (bool, {"sample_values": [1]}, "sample_values 1 is against its own type"),
        (str, {"role": "measure", "unit": "USD"}, "a measure is an int, float or Decimal, not str"),
        (str, {"aggregation": "sum"}, "aggregation 'sum' needs numbers, not str"),
    ],
)
def test_contradictions_are_refused(python_type: Any, limits: dict[str, Any], message: str) -> None:
    with pytest.raises(RegistryError) as caught:
        column("x", python_type, **limits)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("python_type", "message"),
    [
        (set, "set has no exact form in JSON; allowed are str, int"),
        (tuple[int, int], "tuple[int, int] has no exact form"),
        (complex, "complex has no exact form"),
        (dict[int, str], "dict[int, str] has keys that are not str"),
        (int | str, "int | str has no exact form"),
        (Optional[int], "python_type is Optional; give the type itself and nullable=True"),
        (int | None, "python_type is Optional"),
        (Any, "python_type must say what the values are, not Any"),
        (Odd, "the values of Odd must be all str or all int"),
        (Mixed, "the values of Mixed must be all str or all int"),
        (Empty, "the values of Empty must be all str or all int"),
        ("float", "has no exact form"),
        (list[set[int]], "set[int] has no exact form"),
        (Sets, "Sets.names: set[str] has no exact form"),
        (list[Sets], "Sets.names: set[str] has no exact form"),
    ],
)
def test_types_without_exact_json_are_refused(python_type: Any, message: str) -> None:
    with pytest.raises(RegistryError) as caught:
        column("x", python_type)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("python_type", "text"),
    [
        (str, "str"),
        (Decimal, "Decimal"),
        (UUID, "UUID"),
        (Side, "Side"),
        (Rights, "Rights"),
        (Leg, "Leg"),
        (list, "list"),
        (list[Leg], "list[Leg]"),
        (list[float | None], "list[Optional[float]]"),
        (dict[str, Any], "dict"),
        (dict[str, list[date]], "dict[str, list[date]]"),
        (NewType("Isin", str), "str"),
    ],
)
def test_types_with_exact_json(python_type: Any, text: str) -> None:
    assert str(column("x", python_type).type) == text


def test_limits_of_other_numbers_and_times() -> None:
    column("a", Decimal, min_value=0, max_value=Decimal("1e6"), default=Decimal("0.5"))
    column("b", date, min_value=date(2026, 1, 1), default=date(2026, 2, 1))
    column("c", list[str], max_length=2, default=["x"])
    column("d", Side, enum=[Side.BUY], default=Side.BUY)


def test_a_column_is_a_value() -> None:
    made = column("x", float, synonyms=["ex"], sample_values=[1.5])
    assert made == column("x", float, synonyms=("ex",), sample_values=[1.5])
    assert made != column("x", float)
    assert hash(made) == hash(column("x", float))
    assert pickle.loads(pickle.dumps(made)) == made
    with pytest.raises(AttributeError):
        made.unit = "EUR"  # type: ignore[misc]


def test_lists_are_taken_over() -> None:
    choices = ["BUY"]
    made = column("x", str, enum=choices)
    choices.append("HOLD")
    assert made.enum == ("BUY",)


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        (MEASURE, "sum"),
        ({**MEASURE, "unit": "ratio"}, "avg"),
        ({**MEASURE, "unit": "USD/share"}, "avg"),
        ({**MEASURE, "aggregation": "last"}, "last"),
        ({**MEANING, "role": "dimension"}, "count_distinct"),
        (MEANING, "none"),
    ],
)
def test_aggregation_follows_role_and_unit(metadata: dict[str, Any], expected: str) -> None:
    assert column("x", float, **metadata).default_aggregation == expected


@pytest.mark.parametrize(
    ("python_type", "spec", "value", "text"),
    [
        (float, ",.2f", 1234.5, "1,234.50"),
        (float, ".1%", 0.256, "25.6%"),
        (int, ",d", 2500, "2,500"),
        (Decimal, ",.2f", Decimal("1250.755"), "1,250.76"),
        (date, "%d %b %Y", date(2026, 2, 22), "22 Feb 2026"),
        (datetime, "%H:%M %Z", datetime(2026, 2, 22, 9, tzinfo=timezone.utc), "09:00 UTC"),
        (str, "", "AAPL", "AAPL"),
        (Side, "", Side.BUY, "BUY"),
        (list[str], "", ["a", "b"], "a, b"),
        (list[float], ".1f", [1.25, 2.0], "1.2, 2.0"),
        (float, ",.2f", None, ""),
    ],
)
def test_display(python_type: Any, spec: str, value: Any, text: str) -> None:
    assert column("x", python_type, format=spec).display(value) == text


def test_title() -> None:
    assert column("avg_cost", float).title == "Avg cost"
    assert column("avg_cost", float, display_name="Average cost").title == "Average cost"


def test_defining_twice_is_refused() -> None:
    registry = registry_of(price=float, name={"python_type": str, "allowed_prefixes": ["trader"]})
    for name in ("price", "trader_name"):
        with pytest.raises(RegistryError, match=f"column '{name}' is already defined"):
            registry.define(name, float, **MEANING)
    with pytest.raises(RegistryError, match="column 'trader_name' is already defined, as 'name'"):
        registry.define("trader_name", str, **MEANING)
    registry.define("client_cost", float, **MEANING)
    with pytest.raises(RegistryError, match="column 'client_cost' is already defined"):
        registry.define("cost", float, **MEANING, allowed_prefixes=["desk", "client"])
    assert not registry.has("cost")
    assert not registry.has("desk_cost")


def test_none_for_a_list_means_none() -> None:
    lists = dict.fromkeys(("enum", "synonyms", "sample_values", "tags", "allowed_prefixes"))
    given = column("price", float, **lists)
    assert given == column("price", float)
    assert (given.enum, given.synonyms, given.tags, given.allowed_prefixes) == (None, (), (), ())
    assert registry_of(price={"python_type": float, **lists}).has("price")
    with pytest.raises(RegistryError, match="'tags' must be a list"):
        column("price", float, tags="one")
