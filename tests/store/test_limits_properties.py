"""Random limits and values, judged by a brute-force reading; and the strategies of valid values."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from datetime import date, datetime, timezone
from decimal import Decimal
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from store import ColumnDef, Storable
from store.models import Signal, Trade
from store.testing import column_values, instances
from tests.store.random_types import Level, Path, Side
from tests.store.registries import column, registry_of

NUMBERS: dict[type, st.SearchStrategy[Any]] = {
    int: st.integers(-3, 3) | st.integers(),
    float: st.sampled_from([-1.5, -0.0, 0.0, 0.5, 2.0]) | st.floats(allow_nan=False),
    Decimal: st.decimals(-3, 3, places=1),
}
PATTERNS = ["a", "a*", "^[ab]+$", "a|bb", "(?i)A[^b]*", "é?"]
LETTERS = st.text("abAé\0\n\ud800", max_size=5)


@st.composite
def limits(draw: st.DrawFn) -> dict[str, Any]:
    python_type = draw(st.sampled_from([int, float, Decimal, str, bool]))
    found: dict[str, Any] = {"python_type": python_type, "nullable": draw(st.booleans())}
    if python_type in NUMBERS:
        finite = NUMBERS[python_type].filter(lambda value: abs(value) < 10**300)
        bounds = sorted(draw(st.lists(finite, min_size=2, max_size=2)))
        named = zip(("min_value", "max_value"), bounds, strict=True)
        found |= {name: bound for name, bound in named if draw(st.booleans())}
    elif python_type is str:
        if draw(st.booleans()):
            found["max_length"] = draw(st.integers(1, 4))
        if draw(st.booleans()):
            found["pattern"] = draw(st.sampled_from(PATTERNS))
        elif draw(st.booleans()):
            found["enum"] = draw(st.lists(st.sampled_from("abé"), min_size=1, unique=True))
            found["max_length"] = 4
    return found


def brute_force_accepts(rules: dict[str, Any], value: Any) -> bool:
    if value is None:
        return bool(rules["nullable"])
    python_type = rules["python_type"]
    if isinstance(value, bool) != (python_type is bool):
        return False
    if python_type is float:
        if not isinstance(value, (int, float)) or not abs(value) < math.inf:
            return False
        if isinstance(value, int) and not (abs(value) < 10**308 and int(float(value)) == value):
            return False
    elif not isinstance(value, python_type):
        return False
    if isinstance(value, str):
        return (
            "\0" not in value
            and "\ud800" not in value
            and len(value) <= rules.get("max_length", 99)
            and value in rules.get("enum", [value])
            and re.fullmatch(rules.get("pattern", r"[\s\S]*"), value) is not None
        )
    if isinstance(value, Decimal) and not value.is_finite():
        return False
    if "min_value" in rules and value < rules["min_value"]:
        return False
    return not ("max_value" in rules and value > rules["max_value"])


values = st.one_of(
    st.none(), st.booleans(), *NUMBERS.values(), LETTERS, st.floats(), st.decimals(), st.binary()
)


@settings(max_examples=4 * settings.default.max_examples)
@given(limits(), values)
def test_values_are_good_exactly_by_the_limits(rules: dict[str, Any], value: Any) -> None:
    registry = registry_of(x=rules)
    body = {"__annotations__": {"x": rules["python_type"]}, "_registry": registry}
    obj = dataclass(type("Holder", (Storable,), body))(value)  # type: ignore[call-arg]
    assert (registry.validate_instance(obj) == []) == brute_force_accepts(rules, value)


COLUMNS = [
    column("a", str, pattern="^[A-Z0-9./]+$", max_length=12),
    column("b", str, max_length=3),
    column("c", str, enum=["BUY", "SELL"]),
    column("d", float, min_value=0, max_value=1),
    column("e", int, min_value=-2, max_value=2),
    column("f", Decimal, min_value=0, max_value=Decimal("99.5")),
    column("g", datetime, min_value=datetime(2026, 1, 1, tzinfo=timezone.utc)),
    column("h", date, min_value=date(2026, 1, 1), max_value=date(2026, 1, 3)),
    column("i", list[str], max_length=2, nullable=True),
    column("j", Side, enum=[Side.SELL]),
    column("k", dict[str, list[Path]], max_length=1),
    column("l", Level),
    column("m", list),
    column("n", bool),
]


@pytest.mark.parametrize("given_column", COLUMNS, ids=lambda made: made.name)
@given(st.data())
def test_a_column_gives_values_that_it_takes(given_column: ColumnDef, data: st.DataObject) -> None:
    kept = {"python_type": given_column.python_type, "nullable": given_column.nullable}
    kept |= {name: getattr(given_column, name) for name in ("enum", "pattern", "max_length")}
    kept |= {name: getattr(given_column, name) for name in ("min_value", "max_value")}
    registry = registry_of(x=kept)
    body = {"__annotations__": {"x": given_column.python_type}, "_registry": registry}
    holder = dataclass(type("Holder", (Storable,), body))
    assert registry.validate_instance(holder(data.draw(column_values(given_column)))) == []  # type: ignore[call-arg]


@given(instances(Trade, symbol=st.just("AAPL"), quantity=st.integers(1, 9)))
def test_fields_can_be_given(trade: Trade) -> None:
    assert trade.symbol == "AAPL"
    assert 1 <= trade.quantity <= 9
    assert trade.side in ("BUY", "SELL")


@given(instances(Signal))
def test_objects_are_good(signal: Signal) -> None:
    assert Signal._registry.validate_instance(signal) == []


@given(instances(Path))
def test_plain_dataclasses_too(path: Path) -> None:
    assert type(path.cost) is Decimal


def test_an_unknown_field_is_named() -> None:
    with pytest.raises(TypeError, match=r"Trade has no fields \['px'\]; it has \['symbol', "):
        instances(Trade, px=st.just(1.0))


@dataclass
class Derived(Storable):
    _registry = registry_of(a=int, b=int)
    a: int
    b: int = field(init=False)


@given(instances(Derived))
def test_fields_outside_of_init_are_filled_too(derived: Derived) -> None:
    assert type(derived.b) is int
