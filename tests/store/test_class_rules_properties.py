"""Random classes over random registries, judged by a brute-force reading of the rules."""

from __future__ import annotations

from dataclasses import MISSING, dataclass, field
from datetime import date, datetime, timezone
from decimal import Decimal
from enum import Enum
from typing import Any, Optional

import hypothesis.strategies as st
from hypothesis import event, given, settings

from store import RegistryError, Storable
from store.registry import ColumnRegistry
from tests.store.registries import MEANING


class Side(Enum):
    BUY = "BUY"
    SELL = "SELL"


class Way(Enum):
    HOLD = "HOLD"


class Level(Enum):
    ONE = 1


# A good value of each type.
VALUES: dict[Any, Any] = {
    str: "BUY",
    int: 1,
    float: 1.5,
    bool: True,
    Decimal: Decimal(1),
    date: date(2026, 2, 22),
    datetime: datetime(2026, 2, 22, tzinfo=timezone.utc),
    Side: Side.BUY,
    Way: Way.HOLD,
    Level: Level.ONE,
    list: [1],
    list[str]: ["a"],
    list[int]: [1],
    dict: {},
    dict[str, float]: {"a": 1.0},
}
TYPES = list(VALUES)
NAMES = ["a", "b", "c_b", "name"]
PREFIXES = ["x", "y", "x_y"]
LIMITED = {str: {"enum": ["BUY", "SELL"]}, int: {"min_value": 1}}


@dataclass(frozen=True)
class Column:
    """A column as this test reads it: no code of the package decides here."""

    name: str
    type: Any
    nullable: bool
    limited: bool
    prefixes: tuple[str, ...]


@dataclass(frozen=True)
class Declared:
    name: str
    type: Any
    optional: bool
    default: Any


columns = st.builds(
    Column,
    st.sampled_from(NAMES),
    st.sampled_from(TYPES),
    st.booleans(),
    st.booleans(),
    st.lists(st.sampled_from(PREFIXES), unique=True, max_size=2).map(tuple),
)
names = st.one_of(
    st.sampled_from(NAMES),
    st.builds("{}_{}".format, st.sampled_from(PREFIXES), st.sampled_from(NAMES)),
    st.just("unknown"),
)


@st.composite
def declarations(draw: st.DrawFn, catalog: list[Column]) -> list[Declared]:
    """Fields that are mostly right, so that both answers come up."""
    found = {}
    for _ in range(draw(st.integers(1, 4))):
        base = draw(st.sampled_from(catalog))
        usual = [base.name, *(f"{prefix}_{base.name}" for prefix in base.prefixes)]
        name = draw(st.sampled_from(usual) if draw(st.integers(0, 9)) else names)
        kind = base.type if draw(st.integers(0, 9)) else draw(st.sampled_from(TYPES))
        optional = draw(st.booleans()) if base.nullable else not draw(st.integers(0, 9))
        default = draw(st.sampled_from([MISSING, None, VALUES[kind], VALUES[base.type], "", 0]))
        found[name] = Declared(name, kind, optional, default)
    return list(found.values())


def names_of(column: Column) -> list[str]:
    return [column.name, *(f"{prefix}_{column.name}" for prefix in column.prefixes)]


def brute_force_accepts(catalog: list[Column], declared: Declared) -> bool:
    for column in catalog:
        if declared.name in names_of(column):
            return (
                (column.nullable or not declared.optional)
                and types_agree(column, declared.type)
                and default_fits(column, declared)
            )
    return False


def types_agree(column: Column, kind: Any) -> bool:
    if kind == column.type:
        return True
    pairs = [(list, list[str]), (list, list[int]), (dict, dict[str, float])]
    if (kind, column.type) in pairs or (column.type, kind) in pairs:
        return True
    # An Enum over its values; a limit of the column must admit all of them.
    if kind is Way:
        return column.type is str and not column.limited
    return (kind is Side and column.type is str) or (kind is Level and column.type is int)


def default_fits(column: Column, declared: Declared) -> bool:
    default = declared.default
    if default is MISSING or default is None or isinstance(default, (list, dict)):
        return True  # What a factory makes is looked at when there is an object.
    if declared.type in (Side, Way, Level):
        return isinstance(default, declared.type)
    numbers = (int, float) if declared.type is float else (declared.type,)
    return type(default) in numbers


def build_registry(catalog: list[Column]) -> ColumnRegistry:
    registry = ColumnRegistry()
    for column in catalog:
        limits = LIMITED.get(column.type, {}) if column.limited else {}
        registry.define(
            column.name,
            column.type,
            nullable=column.nullable,
            allowed_prefixes=column.prefixes,
            **MEANING,
            **limits,
        )
    return registry


def is_one_catalog(catalog: list[Column]) -> bool:
    taken = [name for column in catalog for name in names_of(column)]
    return len(taken) == len(set(taken))


def annotation_of(declared: Declared, as_text: bool) -> Any:
    if not as_text:
        return Optional[declared.type] if declared.optional else declared.type  # noqa: UP045
    text = str(declared.type) if "[" in str(declared.type) else declared.type.__name__
    return f"Optional[{text}]" if declared.optional else text


def default_of(declared: Declared) -> Any:
    if isinstance(declared.default, (list, dict)):
        return field(default_factory=declared.default.copy)
    return declared.default


def define(
    name: str,
    fields: list[Declared],
    bases: tuple[type, ...],
    body: dict[str, Any],
    *,
    as_text: bool,
    **options: bool,
) -> type:
    """The class that `@dataclass(...)` above a class statement would make."""
    namespace: dict[str, Any] = {"__module__": __name__, **body}
    namespace["__annotations__"] = {each.name: annotation_of(each, as_text) for each in fields}
    namespace.update((f.name, default_of(f)) for f in fields if f.default is not MISSING)
    return dataclass(kw_only=True, **options)(type(name, bases, namespace))


@settings(max_examples=4 * settings.default.max_examples)
@given(st.data())
def test_classes_are_accepted_exactly_by_the_rules(data: st.DataObject) -> None:
    catalog = data.draw(st.lists(columns, min_size=1, max_size=4).filter(is_one_catalog))
    fields = data.draw(declarations(catalog))
    in_mixin = data.draw(st.sets(st.sampled_from([each.name for each in fields])))
    slots, frozen, as_text = (data.draw(st.booleans()) for _ in range(3))
    registry = build_registry(catalog)
    expected = all(brute_force_accepts(catalog, each) for each in fields)
    event(f"accepted: {expected}")

    above = [each for each in fields if each.name in in_mixin]
    own = [each for each in fields if each.name not in in_mixin]
    mixin = define("Mixin", above, (), {}, as_text=as_text, frozen=frozen)
    try:
        cls = define(
            "Case",
            own,
            (mixin, Storable),
            {"_registry": registry},
            as_text=as_text,
            slots=slots,
            frozen=frozen,
        )
    except RegistryError:
        assert not expected
        assert registry.entities() == []
        return
    assert expected
    assert registry.entities() == [cls]
    found = {each.name: each for each in registry.fields_for(cls)}
    assert list(found) == [each.name for each in above + own]
    for each in fields:
        [column] = [one for one in catalog if each.name in names_of(one)]
        assert found[each.name].column.name == column.name
        assert found[each.name].nullable == (column.nullable or each.default is None)
