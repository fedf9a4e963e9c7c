"""What other tools are told: JSON Schema, Legend Pure, Deephaven, pandas and Arrow; and masking."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import date, datetime, timezone
from decimal import Decimal
from enum import Enum, IntEnum
from typing import Any
from uuid import UUID

import hypothesis.strategies as st
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from jsonschema import Draft202012Validator, ValidationError

from store import RegistryError, Storable, upcaster
from store.exports.deephaven import deephaven_types
from store.exports.frames import arrow_schema, pandas_dtypes, summary, to_arrow, to_frame
from store.exports.json_schema import json_schema
from store.exports.masking import masked
from store.exports.pure import pure_class, pure_model, pure_path
from store.models import Order, Signal, Trade
from store.testing import instances
from tests.store.pure_reader import read_pure
from tests.store.random_types import classes
from tests.store.registries import MEASURE, registry_of


class Side(Enum):
    BUY = "BUY"
    SELL = "SELL"


class Level(IntEnum):
    LOW = 1


@dataclass
class Leg:
    strike: float
    side: Side
    expiry: date | None = None


REG = registry_of(
    symbol={
        "python_type": str,
        "pattern": "[A-Z]+|x",
        "max_length": 5,
        "synonyms": ["ticker"],
        "sample_values": ["AAPL"],
        "description": "It's a \\ ticker\nof two lines",
        "role": "dimension",
    },
    price={
        "python_type": float,
        "min_value": 0,
        "default": 1.0,
        "legend_type": "Number",
        **MEASURE,
    },
    quantity={"python_type": int, "dh_type_override": "int", "deprecated": False, **MEASURE},
    side=Side,
    way={"python_type": str, "enum": ["BUY", "SELL"], "nullable": True},
    level=Level,
    amount={"python_type": Decimal, "max_value": Decimal("99.5"), **MEASURE},
    at={"python_type": datetime, "nullable": True},
    day={"python_type": date, "min_value": date(2026, 1, 1)},
    key=UUID,
    active=bool,
    tags={"python_type": list[str], "max_length": 3},
    rates=dict[str, float],
    legs=list[Leg],
    leg={"python_type": Leg, "nullable": True},
    extra={"python_type": dict, "max_length": 4},
    salary={
        "python_type": float,
        "sensitivity": "confidential",
        "sample_values": [5.0],
        "nullable": True,
        **MEASURE,
    },
    name={"python_type": str, "allowed_prefixes": ["trader"], "sensitivity": "internal"},
    matrix=list[list[int]],
    curve=list[float | None],
)


@dataclass
class Everything(Storable):
    """All kinds of fields.

    And a second paragraph.
    """

    _registry = REG
    symbol: str
    price: float = 2.0
    quantity: int = 0
    side: Side = Side.BUY
    way: Side | None = None
    level: Level = Level.LOW
    amount: Decimal = Decimal("1.50")
    at: datetime | None = None
    day: date = date(2026, 2, 22)
    key: UUID = field(default_factory=lambda: UUID(int=7))
    active: bool = True
    tags: list[str] = field(default_factory=list)
    rates: dict[str, float] = field(default_factory=dict)
    legs: list[Leg] = field(default_factory=list)
    leg: Leg | None = None
    extra: dict[str, Any] = field(default_factory=dict)
    salary: float | None = None
    trader_name: str = ""
    matrix: list[list[int]] = field(default_factory=list)
    curve: list[float | None] = field(default_factory=list)


FULL = Everything(
    "AAPL",
    at=datetime(2026, 2, 22, 9, tzinfo=timezone.utc),
    way=Side.SELL,
    tags=["a"],
    rates={"EUR": 1.5},
    legs=[Leg(1.0, Side.SELL, date(2026, 3, 1))],
    leg=Leg(2.0, Side.BUY),
    extra={"k": [1, None]},
    salary=1_000.0,
    trader_name="Ada",
    matrix=[[1], []],
    curve=[1.5, None],
)


def test_a_schema_says_what_the_catalog_knows() -> None:
    schema = json_schema(Everything)
    Draft202012Validator.check_schema(schema)
    assert schema["title"] == "Everything"
    assert schema["description"] == "All kinds of fields.\n\nAnd a second paragraph."
    assert schema["required"] == ["symbol"]
    assert schema["properties"]["symbol"] == {
        "title": "Symbol",
        "description": "It's a \\ ticker\nof two lines",
        "examples": ["AAPL"],
        "x-synonyms": ["ticker"],
        "x-role": "dimension",
        "x-aggregation": "count_distinct",
        "x-category": "general",
        "x-sensitivity": "public",
        "type": "string",
        "maxLength": 5,
        "pattern": "^(?:[A-Z]+|x)$",
    }
    price = schema["properties"]["price"]
    assert (price["x-unit"], price["minimum"], price["default"]) == ("USD", 0.0, 2.0)
    assert schema["properties"]["way"]["enum"] == ["BUY", "SELL", None]
    assert schema["properties"]["amount"]["maximum"] == 99.5
    assert schema["properties"]["day"]["x-minimum"] == "2026-01-01"
    assert schema["properties"]["at"]["type"] == ["string", "null"]
    assert schema["properties"]["at"]["format"] == "date-time"
    assert schema["properties"]["tags"]["maxItems"] == 3
    assert schema["properties"]["curve"]["items"] == {"type": ["number", "null"]}
    assert schema["properties"]["extra"]["maxProperties"] == 4
    assert schema["properties"]["trader_name"]["x-column"] == "name"
    assert schema["properties"]["trader_name"]["title"] == "Trader name"
    assert "examples" not in schema["properties"]["salary"]
    [(name, leg)] = schema["$defs"].items()
    assert leg["properties"]["side"] == {"enum": ["BUY", "SELL"]}
    assert schema["properties"]["legs"]["items"] == {"$ref": f"#/$defs/{name}"}
    Draft202012Validator(schema).validate(json.loads(FULL.to_json()))


@pytest.mark.parametrize(
    ("change", "valid"),
    [
        ({}, True),
        ({"symbol": "TOOLONG"}, False),
        ({"symbol": "aapl"}, False),
        ({"price": -1}, False),
        ({"price": None}, False),
        ({"amount": 100}, False),
        ({"side": "HOLD"}, False),
        ({"way": None}, True),
        ({"way": "HOLD"}, False),
        ({"tags": ["a", "b", "c", "d"]}, False),
        ({"leg": {"strike": "x"}}, False),
        ({"unknown": 1}, True),
    ],
)
def test_a_schema_judges_as_the_registry_does(change: dict[str, Any], valid: bool) -> None:
    data = {**json.loads(FULL.to_json()), **change}
    if valid:
        Draft202012Validator(json_schema(Everything)).validate(data)
    else:
        with pytest.raises(ValidationError):
            Draft202012Validator(json_schema(Everything)).validate(data)


def test_blank_defaults_are_valid_by_the_schema_too() -> None:
    for cls in (Trade, Order, Signal):
        checker = Draft202012Validator(json_schema(cls))
        checker.validate(json.loads(cls().to_json()))
        with pytest.raises(ValidationError):
            checker.validate({"symbol": "aapl"})


def test_a_schema_of_a_class_that_refers_to_itself_and_has_versions() -> None:
    registry = registry_of(items=list, symbol=str)

    @dataclass
    class Node(Storable):
        _registry = registry
        symbol: str = ""
        items: list[Node] = field(default_factory=list)

        @upcaster(1)
        @staticmethod
        def nothing(data: dict[str, Any]) -> dict[str, Any]:
            return data

    schema = json_schema(Node)
    assert schema["properties"]["items"]["items"] == {"$ref": "#"}
    assert schema["properties"]["$version"] == {"const": 2}
    tree = json.loads(Node("a", [Node("b")]).to_json())
    Draft202012Validator(schema).validate(tree)
    tree["items"][0]["symbol"] = 5
    with pytest.raises(ValidationError):
        Draft202012Validator(schema).validate(tree)


def test_pure_definitions() -> None:
    here = __name__.replace(".", "::")
    model = read_pure(pure_model([Everything, Trade, Everything]))
    assert list(model) == [
        f"{here}::{name}" if name != "Trade" else "store::models::Trade"
        for name in ("Everything", "Side", "Level", "Leg", "Trade")
    ]
    assert model[f"{here}::Side"] == ["BUY", "SELL"]
    found = model[f"{here}::Everything"]
    assert found.pop("doc") == "All kinds of fields."
    assert found["symbol"] == ("It's a \\ ticker\nof two lines", "String", "1")
    assert {name: f"{kind}[{count}]" for name, (_, kind, count) in found.items()} == {
        "symbol": "String[1]",
        "price": "Number[1]",
        "quantity": "Integer[1]",
        "side": f"{here}::Side[1]",
        "way": f"{here}::Side[0..1]",
        "level": f"{here}::Level[1]",
        "amount": "Decimal[1]",
        "at": "DateTime[0..1]",
        "day": "StrictDate[1]",
        "key": "String[1]",
        "active": "Boolean[1]",
        "tags": "String[*]",
        "rates": "String[1]",
        "legs": f"{here}::Leg[*]",
        "leg": f"{here}::Leg[0..1]",
        "extra": "String[1]",
        "salary": "Float[0..1]",
        "trader_name": "String[1]",
        "matrix": "String[*]",
        "curve": "String[*]",
    }
    assert model[f"{here}::Leg"]["expiry"] == (None, "StrictDate", "0..1")
    assert pure_path(type("A b", (), {"__module__": "x.y"})) == "x::y::'A b'"


@given(classes())
def test_random_classes_have_readable_definitions(cls: type[Storable]) -> None:
    properties = read_pure(pure_model([cls]))[pure_path(cls)]
    assert list(properties)[1:] == [each.name for each in cls._registry.fields_for(cls)]
    assert pure_class(cls) in pure_model([cls])


def test_deephaven_types() -> None:
    types = deephaven_types(Everything)
    assert types["quantity"] == "int"  # The catalog's override.
    assert {types[name] for name in ("symbol", "key", "tags", "rates", "legs", "extra")} == {
        "string"
    }
    names = ("price", "amount", "active", "at", "day", "side", "level")
    assert [types[name] for name in names] == [
        "double",
        "double",
        "bool",
        "Instant",
        "LocalDate",
        "string",
        "long",
    ]


def test_arrow() -> None:
    schema = arrow_schema(Everything)
    assert schema.names == [each.name for each in REG.fields_for(Everything)]
    assert schema.field("price").metadata == {
        b"description": b"a number of a test",
        b"role": b"measure",
        b"unit": b"USD",
    }
    table = to_arrow(Everything, [FULL, Everything("X")])
    assert table.schema.equals(schema, check_metadata=True)
    first, second = table.to_pylist()
    assert first["at"] == FULL.at
    assert first["amount"] == Decimal("1.50")
    assert first["side"] == "BUY"
    assert first["rates"] == [("EUR", 1.5)]
    assert first["legs"] == [{"strike": 1.0, "side": "SELL", "expiry": date(2026, 3, 1)}]
    assert first["extra"] == '{"k": [1, null]}'
    assert first["matrix"] == [[1], []]
    assert first["curve"] == [1.5, None]
    assert first["key"] == str(UUID(int=7))
    assert second["leg"] is None
    assert to_arrow(Everything, []).num_rows == 0


@pytest.mark.parametrize(
    ("change", "name"),
    [({"quantity": 2**63}, "quantity"), ({"amount": Decimal("1E-19")}, "amount")],
)
def test_numbers_beyond_arrow_are_named(change: dict[str, Any], name: str) -> None:
    with pytest.raises(ValueError, match=f"Everything.{name} as "):
        to_arrow(Everything, [Everything("A", **change)])


def test_pandas() -> None:
    frame = to_frame(Everything, [FULL, Everything("X", quantity=2**60 + 1)])
    assert {name: str(dtype) for name, dtype in frame.dtypes.items()} == pandas_dtypes(Everything)
    assert frame["quantity"].tolist() == [0, 2**60 + 1]
    assert frame["at"][0] == pd.Timestamp("2026-02-22T09:00Z")
    assert pd.isna(frame["at"][1])
    assert frame["legs"][0] == [{"strike": 1.0, "side": "SELL", "expiry": date(2026, 3, 1)}]
    empty = to_frame(Everything, [])
    assert {name: str(dtype) for name, dtype in empty.dtypes.items()} == pandas_dtypes(Everything)


@given(instances(Order, quantity=st.integers(-(2**63), 2**63 - 1)))
def test_orders_survive_arrow_and_pandas(order: Order) -> None:
    [row] = to_arrow(Order, [order]).to_pylist()
    assert Order(**row) == order
    assert to_frame(Order, [order])["symbol"].tolist() == [order.symbol]


def test_a_summary_follows_the_catalog() -> None:
    trades = [
        Trade("AAPL", 100, 10.0, "BUY"),
        Trade("AAPL", 50, 20.0, "SELL"),
        Trade("MSFT", 5, 7.0, "BUY"),
    ]
    by_symbol = summary(Trade, to_frame(Trade, trades), "symbol")
    assert by_symbol["quantity"].to_dict() == {"AAPL": 150, "MSFT": 5}  # Adds up.
    assert by_symbol["price"].to_dict() == {"AAPL": 15.0, "MSFT": 7.0}  # Does not.
    assert list(by_symbol) == ["quantity", "price"]
    both = summary(Trade, to_frame(Trade, trades), ["symbol", "side"])
    assert both.loc[("AAPL", "SELL"), "quantity"] == 50


def test_masking() -> None:
    assert masked(FULL)["salary"] is None
    assert masked(FULL)["trader_name"] == "Ada"
    assert masked(FULL, "public")["trader_name"] is None
    assert masked(FULL, "restricted")["salary"] == 1_000.0
    assert masked(FULL)["leg"] == {"strike": 2.0, "side": "BUY", "expiry": None}
    assert masked([FULL, {"a": FULL}])[1]["a"]["salary"] is None
    assert to_arrow(Everything, [FULL])["salary"].to_pylist() == [None]
    assert to_arrow(Everything, [FULL], "confidential")["salary"].to_pylist() == [1_000.0]
    assert to_frame(Everything, [FULL])["salary"].isna().all()
    with pytest.raises(RegistryError, match="clearance must be one of public, internal"):
        masked(FULL, "top secret")


def test_sensitive_objects_inside_are_masked_too() -> None:
    registry = registry_of(
        items=list, salary={"python_type": float, "sensitivity": "restricted", **MEASURE}
    )

    @dataclass
    class Person(Storable):
        _registry = registry
        salary: float = 0.0

    @dataclass
    class Team(Storable):
        _registry = registry
        items: list[Person] = field(default_factory=list)

    assert masked(Team([Person(5.0)])) == {"items": [{"salary": None}]}
    assert to_arrow(Team, [Team([Person(5.0)])]).to_pylist() == [{"items": [{"salary": None}]}]
    assert arrow_schema(Team).field("items").type == pa.list_(pa.struct([("salary", pa.float64())]))


def test_a_class_that_is_not_governed_cannot_be_exported() -> None:
    for export in (deephaven_types, arrow_schema, pandas_dtypes):
        with pytest.raises(RegistryError, match="class Leg is not governed; make it a Storable"):
            export(Leg)
