"""Values against the limits of their columns: what is a violation, and how it is told."""

from __future__ import annotations

import pickle
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, timezone, tzinfo
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pandas as pd
import pytest

from store import RegistryError, Storable, ValidationError
from store.columns import REGISTRY
from store.errors import Violation
from store.governance.checks import DEPTH_MAX
from store.models import Order, Trade
from tests.store.registries import registry_of


class Side(Enum):
    BUY = "BUY"


class Other(Enum):
    BUY = "BUY"


@dataclass
class Leg:
    strike: float
    notes: str | None = None


KEY = UUID(int=1)
REG = registry_of(
    text={"python_type": str, "max_length": 5, "pattern": "^[a-zé😀]+$"},
    number={"python_type": float, "min_value": 0, "max_value": 10, "unit": "USD"},
    count={"python_type": int, "min_value": 1},
    flag=bool,
    money={"python_type": Decimal, "max_value": 100},
    at={"python_type": datetime, "min_value": datetime(2000, 1, 1, tzinfo=timezone.utc)},
    day={"python_type": date, "max_value": date(2030, 1, 1)},
    key=UUID,
    side=Side,
    way={"python_type": str, "enum": ["BUY", "SELL"]},
    words={"python_type": list[str], "max_length": 2},
    rates=dict[str, float],
    legs=list[Leg],
    extra=dict,
    maybe={"python_type": str, "nullable": True},
    secret={"python_type": str, "sensitivity": "restricted", "max_length": 3},
    free=str,
)


@dataclass
class Thing(Storable):
    _registry = REG
    text: str = "abc"
    number: float = 1.0
    count: int = 1
    flag: bool = True
    money: Decimal = Decimal("1.50")
    at: datetime = datetime(2026, 2, 22, tzinfo=timezone.utc)
    day: date = date(2026, 2, 22)
    key: UUID = KEY
    side: Side = Side.BUY
    way: str = "BUY"
    words: list[str] = field(default_factory=list)
    rates: dict[str, float] = field(default_factory=dict)
    legs: list[Leg] = field(default_factory=list)
    extra: dict[str, Any] = field(default_factory=dict)
    maybe: str | None = None
    secret: str = ""
    free: str = ""


OSLO = ZoneInfo("Europe/Oslo")


class NoOffset(tzinfo):
    def utcoffset(self, _: datetime | None) -> timedelta | None:
        return None


class Tiny(float):
    pass


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("text", "é😀"),
        ("number", 0),
        ("number", 10),
        ("number", Tiny(2.5)),
        ("count", 10**20),
        ("money", Decimal("-1E-16383")),
        ("at", datetime(2026, 6, 1, tzinfo=OSLO)),
        ("at", pd.Timestamp("2026-06-01T00:00:00.000001", tz="Europe/Oslo")),
        ("at", datetime(2026, 10, 25, 2, 30, fold=1, tzinfo=OSLO)),
        ("side", Side.BUY),
        ("words", ["a", "b"]),
        ("rates", {"": 1, "EUR": 2.0}),
        ("legs", [Leg(1.0), Leg(2, "x")]),
        ("extra", {"a": [1, 2.5, None, True, {"b": "c"}]}),
        ("maybe", None),
        ("free", "\u0001\x7f"),
    ],
)
def test_good_values(name: str, value: Any) -> None:
    thing = Thing(**{name: value})
    assert REG.validate_instance(thing) == []
    REG.validate(thing)
    assert Thing.from_json(thing.to_json()) == thing


@pytest.mark.parametrize(
    ("name", "value", "rule", "allowed"),
    [
        ("text", "abcdef", "max_length", "a length of at most 5"),
        ("text", "ABC", "pattern", "a match of ^[a-zé😀]+$"),
        ("text", "abc\n", "pattern", "a match of"),
        ("text", "", "pattern", "a match of"),
        ("text", 5, "type", "str is expected"),
        ("text", None, "null", "a value is expected"),
        ("number", -0.01, "min_value", "at least 0 USD is expected"),
        ("number", 10.01, "max_value", "at most 10 USD is expected"),
        ("number", float("nan"), "finite", "a finite number is expected"),
        ("number", float("inf"), "finite", "a finite number is expected"),
        ("number", True, "type", "float (or an int) is expected"),
        ("number", "1", "type", "float (or an int) is expected"),
        ("number", Decimal(1), "type", "float (or an int) is expected"),
        ("number", 2**53 + 1, "digits", "an int that a float holds exactly"),
        ("number", 10**400, "digits", "an int that a float holds exactly"),
        ("count", 0, "min_value", "at least 1"),
        ("count", 1.0, "type", "int is expected"),
        ("count", True, "type", "int is expected"),
        ("flag", 1, "type", "bool is expected"),
        ("money", Decimal("100.01"), "max_value", "at most 100"),
        ("money", Decimal("NaN"), "finite", "a finite number"),
        ("money", Decimal("-Infinity"), "finite", "a finite number"),
        ("money", Decimal("1E-16384"), "digits", "16,383 after"),
        ("money", Decimal("1E+131072"), "digits", "131,072 digits before"),
        ("money", 1.5, "type", "Decimal is expected"),
        ("at", datetime(1999, 1, 1, tzinfo=timezone.utc), "min_value", "at least 2000-01-01"),
        ("at", datetime(2026, 1, 1), "zone", "a time with a zone is expected"),
        ("at", datetime(2026, 1, 1, tzinfo=NoOffset()), "zone", "a time with a zone"),
        ("at", datetime(2026, 3, 29, 2, 30, tzinfo=OSLO), "zone", "does not exist in Europe/Oslo"),
        ("at", datetime(9999, 12, 31, 23, tzinfo=timezone(-timedelta(hours=2))), "zone", "9999"),
        ("at", pd.Timestamp("2026-01-01T00:00:00.000000001Z"), "digits", "to the microsecond"),
        ("at", date(2026, 1, 1), "type", "datetime is expected"),
        ("day", datetime(2026, 1, 1, tzinfo=timezone.utc), "type", "date is expected"),
        ("day", date(2031, 1, 1), "max_value", "at most 2030-01-01"),
        ("key", "00000000-0000-0000-0000-000000000001", "type", "UUID is expected"),
        ("side", "BUY", "type", "a member of Side is expected"),
        ("side", Other.BUY, "type", "a member of Side is expected"),
        ("way", "HOLD", "enum", "one of 'BUY', 'SELL'"),
        ("words", ["a", "b", "c"], "max_length", "a length of at most 2"),
        ("words", ("a",), "type", "list is expected"),
        ("rates", [1.0], "type", "dict is expected"),
        ("free", "a\0b", "text", "without the NUL character"),
        ("free", "\ud800", "text", "whole characters"),
    ],
)
def test_bad_values(name: str, value: Any, rule: str, allowed: str) -> None:
    [violation] = REG.validate_instance(Thing(**{name: value}))
    assert (violation.class_name, violation.field, violation.rule) == ("Thing", name, rule)
    assert violation.value is value
    assert str(violation) == violation.message
    assert violation.message.startswith(f"Thing.{name}: ")
    assert f"breaks {rule}: " in violation.message
    assert allowed in violation.message


@pytest.mark.parametrize(
    ("name", "value", "path", "part", "rule"),
    [
        ("words", ["a", 5], "words[1]", 5, "type"),
        ("words", ["a", None], "words[1]", None, "type"),
        ("rates", {"a": 1.0, "b": "x"}, "rates['b']", "x", "type"),
        ("rates", {5: 1.0}, "rates[5]", 5, "type"),
        ("rates", {"a\0": 1.0}, "rates['a\\x00']", "a\0", "text"),
        ("legs", [Leg(1.0), Leg("2")], "legs[1].strike", "2", "type"),  # type: ignore[arg-type]
        ("legs", [5], "legs[0]", 5, "type"),
        ("extra", {"a": [1, {"b": (1,)}]}, "extra['a'][1]['b']", (1,), "type"),
        ("extra", {"a": float("inf")}, "extra['a']", float("inf"), "finite"),
        ("extra", {"a": Decimal(1)}, "extra['a']", Decimal(1), "type"),
        ("extra", {"a": "\0"}, "extra['a']", "\0", "text"),
    ],
)
def test_the_path_into_a_value(name: str, value: Any, path: str, part: Any, rule: str) -> None:
    [violation] = REG.validate_instance(Thing(**{name: value}))
    assert (violation.field, violation.value, violation.rule) == (path, part, rule)


def test_an_int_too_long_to_write() -> None:
    [violation] = REG.validate_instance(Thing(count=10**4_300))
    assert violation.message == (
        "Thing.count: this int breaks digits: an int of at most 4,300 digits is expected"
    )


def test_a_subclass_inside_would_lose_its_fields() -> None:
    @dataclass
    class LongLeg(Leg):
        more: str = ""

    [violation] = REG.validate_instance(Thing(legs=[LongLeg(1.0)]))
    assert (violation.field, violation.rule) == ("legs[0]", "type")


def test_every_violation_is_told_at_once() -> None:
    thing = Thing(text="ABCDEF", number=-1, count=0, words=["a", 1, 2])
    with pytest.raises(ValidationError) as caught:
        REG.validate(thing)
    told = [(violation.field, violation.rule) for violation in caught.value.violations]
    # Of one value every broken limit is told, of a container every bad part.
    assert told == [
        ("text", "max_length"),
        ("text", "pattern"),
        ("number", "min_value"),
        ("count", "min_value"),
        ("words[1]", "type"),
        ("words[2]", "type"),
    ]
    message = str(caught.value)
    assert message.startswith("5 values break the rules of the catalog:\n")
    assert "Thing.number: -1 breaks min_value: at least 0 USD is expected" in message


def test_errors_survive_pickle() -> None:
    with pytest.raises(ValidationError) as caught:
        REG.validate(Thing(count=0))
    again = pickle.loads(pickle.dumps(caught.value))
    assert (
        str(again) == str(caught.value) == "Thing.count: 0 breaks min_value: at least 1 is expected"
    )
    assert again.violations == caught.value.violations
    [violation] = again.violations
    assert isinstance(violation, Violation)
    assert (violation.class_name, violation.field, violation.value) == ("Thing", "count", 0)


@pytest.mark.parametrize("value", [Trade, 5, None, "Trade", [Trade()]])
def test_what_can_have_no_fields_is_not_called_good(value: Any) -> None:
    with pytest.raises(RegistryError, match="no object of a governed class"):
        REGISTRY.validate_instance(value)


def test_violations_are_texts() -> None:
    violations = REG.validate_instance(Thing(count=0, number=-1))
    assert any("count" in violation and "min_value" in violation for violation in violations)
    assert "; ".join(violations).count("min_value") == 2
    assert str(violations[0]) == violations[0].message


def test_sensitive_values_stay_out_of_messages() -> None:
    [violation] = REG.validate_instance(Thing(secret="passw0rd"))
    assert violation.value == "passw0rd"
    assert violation.message == ("Thing.secret: a value breaks max_length: a length of at most 3")


def test_sensitive_values_of_objects_inside_stay_out_too() -> None:
    registry = registry_of(items=list, secret=REG.get("secret").python_type)
    registry = registry_of(
        items=list, secret={"python_type": str, "sensitivity": "confidential", "max_length": 3}
    )

    @dataclass
    class Inner(Storable):
        _registry = registry
        secret: str = ""

    @dataclass
    class Outer(Storable):
        _registry = registry
        items: list[Inner] = field(default_factory=list)

    [violation] = registry.validate_instance(Outer([Inner("ab"), Inner("passw0rd")]))
    assert violation.field == "items[1].secret"
    assert "passw0rd" not in violation.message


def test_long_values_are_shortened_in_messages() -> None:
    [violation] = REG.validate_instance(Thing(way="x" * 1_000))
    assert len(violation.message) < 200


def test_a_field_left_at_its_default_is_good() -> None:
    assert REGISTRY.validate_instance(Order()) == []
    assert REGISTRY.validate_instance(Order(symbol="", side="")) == []
    [violation] = REGISTRY.validate_instance(Order(symbol="aapl"))
    assert violation.rule == "pattern"

    @dataclass
    class Blank(Storable):
        _registry = REG
        count: int = 0
        text: str = None  # type: ignore[assignment]
        words: list[str] = field(default_factory=lambda: ["a", "b", "c"])
        flag: bool = False

    assert REG.validate_instance(Blank()) == []
    assert REG.validate_instance(Blank(count=False))[0].rule == "type"  # 0, but no int
    assert REG.validate_instance(Blank(words=["a", "b", "d"]))[0].rule == "max_length"
    assert {field.name: field.nullable for field in REG.fields_for(Blank)}["text"]


def test_the_platforms_own_entities() -> None:
    now = datetime.now(timezone.utc)
    assert REGISTRY.validate_instance(Trade("AAPL", 100, 228.0, "BUY", now)) == []
    violations = REGISTRY.validate_instance(Trade("apple", 1.5, -1.0, "buy", "now"))  # type: ignore[arg-type]
    assert [violation.rule for violation in violations] == [
        "pattern",
        "type",
        "min_value",
        "enum",
        "type",
    ]


def test_every_limit_that_a_value_breaks_is_told() -> None:
    registry = registry_of(
        code={"python_type": str, "max_length": 3, "pattern": "[A-Z]+"},
        free=dict,
        listed={"python_type": list[str], "max_length": 1},
    )

    @dataclass
    class Coded(Storable):
        _registry = registry
        code: str = "A"
        free: dict[str, Any] = field(default_factory=dict)
        listed: list[str] = field(default_factory=list)

    found = registry.validate_instance(Coded(code="abcd"))
    assert [(v.field, v.rule) for v in found] == [("code", "max_length"), ("code", "pattern")]
    assert [v.rule for v in registry.validate_instance(Coded(listed=["a", "b"]))] == ["max_length"]
    found = registry.validate_instance(Coded(free={"a\0": 1, "b": float("nan")}))
    assert [(v.field, v.rule) for v in found] == [
        ("free['a\\x00']", "text"),
        ("free['b']", "finite"),
    ]
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]
    found = registry.validate_instance(Coded(free={"k": deep}))
    assert [(v.field, v.rule) for v in found] == [("free['k']", "depth")]
    nested: Any = 1
    for _ in range(DEPTH_MAX):
        nested = [nested]
    assert registry.validate_instance(Coded(free={"k": nested})) == []
    assert [v.rule for v in registry.validate_instance(Coded(free={"k": [nested]}))] == ["depth"]
