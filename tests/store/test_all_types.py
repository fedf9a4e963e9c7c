"""Every type that a column may have, in every operation that tells types apart.

A type that a table forgets is found here, not by the first who orders by a Decimal.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum
from typing import Any
from uuid import UUID

import pytest
from hypothesis import find
from jsonschema import Draft202012Validator

from publishing.kinds import KINDS
from reactive import Field
from reactive.expr import Const
from store import RegistryError, Storable
from store.client import StoreClient
from store.entities.as_read import as_read
from store.entities.keyset import SQL_TYPES
from store.entities.unreadable import UnreadableWarning
from store.errors import FilterError
from store.events import ChangeEvent
from store.exports.deephaven import deephaven_types
from store.exports.frames import arrow_schema, pandas_dtypes, to_arrow, to_frame
from store.exports.json_schema import json_schema
from store.exports.pure import pure_model
from store.governance.checks import type_check
from store.governance.class_schema import governed
from store.governance.column import ColumnDef, field_check, quick_check
from store.governance.column_types import SCALARS
from store.registry import ColumnRegistry
from store.schema import index_field
from store.subscriptions.event_filter import EventFilter
from store.testing import column_values, instances
from tests.store.desk import Desk
from tests.store.pure_reader import read_pure
from tests.store.registries import MEANING, column


class Side(Enum):
    BUY = "BUY"
    SELL = "SELL"
    SHORT = "SHORT"


class Level(IntEnum):
    LOW = 2
    MIDDLE = 9
    HIGH = 10


@dataclass
class Leg:
    strike: Decimal
    at: datetime


UTC = timezone.utc
NOON = datetime(2026, 2, 22, 12, tzinfo=UTC)
# Three values of each type in their order; as texts, some of them stand otherwise.
VALUES: dict[Any, list[Any]] = {
    str: ["B", "a", "å"],
    int: [-5, 9, 10],
    float: [-1.5, 9.5, 10.0],
    bool: [False, True],
    Decimal: [Decimal("9.9"), Decimal("10.10"), Decimal("100.5")],
    datetime: [NOON, NOON + timedelta(microseconds=500_000), NOON + timedelta(days=400)],
    date: [date(2026, 2, 22), date(2026, 12, 1), date(2027, 1, 1)],
    UUID: [UUID(int=7), UUID(int=8), UUID(int=2**100)],
    Side: list(Side),
    Level: list(Level),
}
CONTAINERS: dict[Any, Any] = {
    list[Decimal]: [Decimal("1.5")],
    dict[str, datetime]: {"open": NOON},
    list: [1, None, "x"],
    dict: {"k": [1.5, None]},
    Leg: Leg(Decimal("1.5"), NOON),
    list[Leg]: [Leg(Decimal("2.5"), NOON)],
}
NAMES = {kind: f"a_{getattr(kind, '__name__', str(kind)).lower()}" for kind in VALUES}
REG = ColumnRegistry()
for kind, name in NAMES.items():
    REG.define(name, kind, nullable=True, **MEANING)
for number, kind in enumerate(CONTAINERS):
    REG.define(f"held_{number}", kind, nullable=True, **MEANING)


@dataclass
class Everything(Storable):
    _registry = REG
    a_str: str | None = None
    a_int: int | None = None
    a_float: float | None = None
    a_bool: bool | None = None
    a_decimal: Decimal | None = None
    a_datetime: datetime | None = None
    a_date: date | None = None
    a_uuid: UUID | None = None
    a_side: Side | None = None
    a_level: Level | None = None
    held_0: list[Decimal] | None = None
    held_1: dict[str, datetime] | None = None
    held_2: list[Any] | None = None
    held_3: dict[str, Any] | None = None
    held_4: Leg | None = None
    held_5: list[Leg] | None = field(default=None)


FULL = Everything(
    *(values[-1] for values in VALUES.values()),
    *CONTAINERS.values(),
)
SINGLE = [pytest.param(kind, id=name) for kind, name in NAMES.items()]


def test_this_file_has_every_type() -> None:
    assert set(SCALARS) <= set(VALUES)
    assert set(governed(Everything).fields) == {
        *NAMES.values(),
        *(f"held_{number}" for number in range(len(CONTAINERS))),
    }
    assert set(as_read(Everything).types) == set(NAMES.values())
    assert set(as_read(Everything).types.values()) <= set(SQL_TYPES)


@pytest.fixture
def stored(alice: StoreClient) -> StoreClient:
    """One entity a value, in an order that is not theirs, and one of nothing."""
    alice.write(Everything())
    for kind, name in NAMES.items():
        values = VALUES[kind]
        alice.write_many([Everything(**{name: value}) for value in [*values[1:], values[0]]])
    alice.write(replace(FULL))
    return alice


def test_ordering(stored: StoreClient) -> None:
    for kind, name in NAMES.items():
        values = sorted([*VALUES[kind], VALUES[kind][-1]], key=VALUES[kind].index)
        for order, expected in ((name, values), (f"-{name}", values[::-1])):
            found = stored.query(Everything, order_by=order, limit=None)
            seen = [getattr(obj, name) for obj in found]
            # What is missing comes last either way.
            assert seen[: len(values)] == expected, order
            assert set(seen[len(values) :]) == {None}
            paged: list[Any] = []
            cursor = None
            for _ in range(len(values)):
                page = stored.query(Everything, order_by=order, limit=1, cursor=cursor)
                paged += [getattr(obj, name) for obj in page]
                cursor = page.next_cursor
            assert paged == expected, order


def test_filters(stored: StoreClient) -> None:
    for kind, name in NAMES.items():
        values = VALUES[kind]
        for value in values:
            expected = [value] * (2 if value == values[-1] else 1)
            found = stored.query(Everything, {name: value})
            assert [getattr(obj, name) for obj in found] == expected, (name, value)
            assert stored.count(Everything, {name: value}) == len(expected)
        assert stored.count(Everything, {name: None}) == stored.count(Everything) - len(values) - 1
        assert stored.count(Everything, Field(name).is_null()) == stored.count(
            Everything, {name: None}
        )
        if kind is bool:
            assert stored.count(Everything, Field(name)) == 2
            continue
        middle = as_constant(values[1])
        assert stored.count(Everything, Field(name) > middle) == 2, name
        assert stored.count(Everything, Field(name) <= middle) == 2, name
        assert stored.count(Everything, ~(Field(name) > middle)) == 2, name


def as_constant(value: Any) -> Any:
    return str(value) if isinstance(value, UUID) else getattr(value, "value", value)


def test_filters_of_subscriptions() -> None:
    def event(obj: Everything) -> ChangeEvent:
        return ChangeEvent(
            "e", 1, "CREATED", Everything.type_name(), "u", None, NOON, data=obj.to_json()
        )

    for kind, name in NAMES.items():
        for value in VALUES[kind]:
            wanted = EventFilter(Field(name) == Const(as_constant(value)), [Everything])
            for other in VALUES[kind]:
                assert wanted.passes(event(Everything(**{name: other}))) is (other == value), name
            assert not wanted.passes(event(Everything()))


def test_data_of_another_type_stop_no_filter_and_no_order(desk: Desk) -> None:
    alice = desk.client("alice")
    for value in ("x", 5, True, [1], {"k": 1}, 1e300):
        data = json.dumps(dict.fromkeys(NAMES.values(), value))
        with desk.login("alice").cursor() as cursor:
            cursor.execute(
                "SELECT object_store.append('CREATED', gen_random_uuid(), NULL, %s, %s, NULL, "
                "NULL, NULL, NULL, NULL)",
                (Everything.type_name(), data),
            )
    alice.write(replace(FULL))
    for kind, name in NAMES.items():
        value = VALUES[kind][-1]
        with pytest.warns(UnreadableWarning):
            page = alice.query(Everything, order_by=name, limit=None)
        assert list(page) == [FULL]
        assert alice.count(Everything, Field(name) == Const(as_constant(value))) >= 1, name


def test_indexes(desk: Desk) -> None:
    admin, alice = desk.admin(), desk.client("alice")
    for name in NAMES.values():
        index_field(admin, name, REG)
    for kind, name in NAMES.items():
        alice.write_many([Everything(**{name: value}) for value in VALUES[kind]])
        assert alice.count(Everything, {name: VALUES[kind][0]}) == 1
    for number in range(len(CONTAINERS)):
        with pytest.raises(RegistryError, match=f"held_{number}"):
            index_field(admin, f"held_{number}", REG)


@pytest.mark.parametrize("kind", [Decimal, Level])
def test_an_index_of_numbers_is_used(desk: Desk, kind: Any) -> None:
    admin, alice, name = desk.admin(), desk.client("alice"), NAMES[kind]
    alice.write_many(
        [Everything(**{name: kind(9)}) for _ in range(2)] + [Everything() for _ in range(3_000)]
    )
    index_field(admin, name, REG)

    def scans() -> int:
        # Else the server keeps its counts to itself for up to a second.
        alice.conn.cursor().execute("SELECT pg_stat_force_next_flush()")
        with admin.cursor() as cursor:
            cursor.execute(
                "SELECT sum(idx_scan) FROM pg_stat_user_indexes WHERE indexrelname = %s",
                (f"seg_by_field_{name}",),
            )
            return int(cursor.fetchone()[0])

    before = scans()
    assert len(alice.query(Everything, {name: kind(9)})) == 2
    assert scans() > before


def test_what_has_no_order_and_no_equal_is_refused(alice: StoreClient) -> None:
    for number in range(len(CONTAINERS)):
        with pytest.raises(FilterError, match=f"held_{number}"):
            alice.query(Everything, order_by=f"held_{number}")
        with pytest.raises(FilterError, match=f"held_{number}"):
            alice.query(Everything, {f"held_{number}": [1]})


def test_frames() -> None:
    assert set(pandas_dtypes(Everything)) == set(governed(Everything).fields)
    assert set(arrow_schema(Everything).names) == set(governed(Everything).fields)
    frame = to_frame(Everything, [FULL, Everything()])
    table = to_arrow(Everything, [FULL, Everything()])
    for kind, name in NAMES.items():
        value = VALUES[kind][-1]
        expected = value if isinstance(value, UUID) else as_constant(value)
        assert frame[name][0] == expected, name
        assert frame[name].isna()[1]
        assert table[name][0].as_py() == as_constant(value), name
        assert table[name][1].as_py() is None
    for number in range(len(CONTAINERS)):
        assert frame[f"held_{number}"][0] is not None
        assert table[f"held_{number}"][0].is_valid


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("a_int", 2**63),
        ("a_int", -(2**63) - 1),
        ("a_int", 10**40),
        ("a_decimal", Decimal("1e21")),
        ("a_decimal", Decimal("0.1") ** 19),
    ],
)
def test_numbers_that_no_frame_holds_are_named(name: str, value: Any) -> None:
    objects = [Everything(**{name: value}), Everything(**{name: type(value)(1)})]
    with pytest.raises(ValueError, match=f"Everything.{name}"):
        to_arrow(Everything, objects)
    if name == "a_int":
        with pytest.raises(ValueError, match=f"Everything.{name}"):
            to_frame(Everything, objects)
    else:
        assert list(to_frame(Everything, objects)[name]) == [value, Decimal(1)]
    # In JSON all of them are kept.
    assert [Everything.from_json(obj.to_json()) for obj in objects] == objects


def test_schemas_of_other_tools() -> None:
    schema = json_schema(Everything)
    Draft202012Validator.check_schema(schema)
    for obj in (FULL, Everything()):
        Draft202012Validator(schema).validate(json.loads(obj.to_json()))
    assert set(governed(Everything).fields) <= set(schema["properties"])
    types = deephaven_types(Everything)
    assert set(types) == set(governed(Everything).fields)
    assert set(types.values()) <= set(KINDS)
    for kind, name in NAMES.items():
        for value in VALUES[kind]:
            # What the bridge shows of it: from the object, and from parsed JSON.
            parsed = json.loads(Everything(**{name: value}).to_json())[name]
            assert KINDS[types[name]].encode(parsed) == KINDS[types[name]].encode(value), name
    read_pure(pure_model([Everything]))


@pytest.mark.parametrize("kind", SINGLE)
def test_checks_limits_and_display(kind: Any) -> None:
    plain = column("x", kind)
    values = VALUES[kind]
    other = next(value for key, (value, *_) in VALUES.items() if key not in (kind, int, float))
    for value in values:
        assert type_check(plain.type)(value) == ()
        assert field_check(plain, plain.type, nullable=False)(value) == ()
        # The quick check may only say that a good value is good.
        assert not quick_check(plain, plain.type)(None)
        assert plain.display(value) != ""
    assert type_check(plain.type)(other) != ()
    if kind in (str, bool, UUID, Side, Level):
        with pytest.raises(RegistryError, match="min_value"):
            column("x", kind, min_value=values[0])
    else:
        limited = column("x", kind, min_value=values[1], max_value=values[1])
        check = field_check(limited, limited.type, nullable=False)
        assert [[p.rule for p in check(value)] for value in values] == [
            ["min_value"],
            [],
            ["max_value"],
        ]
    listed = column("x", kind, enum=values[:1])
    check = field_check(listed, listed.type, nullable=False)
    assert [[p.rule for p in check(value)] for value in values[:2]] == [[], ["enum"]]


@pytest.mark.parametrize("kind", [*VALUES, *CONTAINERS], ids=str)
def test_values_for_tests(kind: Any) -> None:
    a_column: ColumnDef = column("x", kind)
    check = field_check(a_column, a_column.type, nullable=False)
    found = find(column_values(a_column), lambda value: not check(value))
    assert check(found) == ()
    assert find(instances(Everything), lambda _: True)


def test_json_gives_everything_back(alice: StoreClient) -> None:
    entity_id = alice.write(replace(FULL))
    assert Everything.from_json(FULL.to_json()) == FULL
    assert alice.read(Everything, entity_id) == FULL
