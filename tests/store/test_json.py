"""The JSON of objects, by hand: each type's text, what is refused, defaults, construction."""

from __future__ import annotations

import json
from dataclasses import InitVar, dataclass, field
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum, IntFlag
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pandas as pd
import pytest

from store import SerializationError, Storable
from store.governance.class_schema import schema_of
from store.models import Order, Trade
from store.serialization.codec import codec_of
from tests.store.registries import registry_of


class Side(Enum):
    BUY = "BUY"
    SELL = "SELL"


class Level(IntEnum):
    LOW = 1
    HIGH = 2


class Rights(IntFlag):
    READ = 1
    WRITE = 2


@dataclass
class Point:
    x: float
    at: datetime | None = None


@dataclass(frozen=True)
class Path:
    name: str
    points: list[Point] = field(default_factory=list)


OSLO = ZoneInfo("Europe/Oslo")
NINE = datetime(2026, 2, 22, 9, tzinfo=timezone.utc)
KEY = UUID("12345678-1234-5678-1234-567812345678")
TYPES: dict[str, Any] = {
    "text": str,
    "number": float,
    "count": int,
    "flag": bool,
    "money": Decimal,
    "at": datetime,
    "day": date,
    "key": UUID,
    "side": Side,
    "level": Level,
    "rights": Rights,
    "words": list[str],
    "maybes": list[float | None],
    "times": list[datetime],
    "calendar": dict[str, datetime],
    "rates": dict[str, Decimal],
    "extra": dict,
    "items": list,
    "path": Path,
    "paths": dict[str, list[Path]],
}


def of_type(name: str) -> type[Storable]:
    """A class with one nullable field of a type of `TYPES`."""
    registry = registry_of(x={"python_type": TYPES[name], "nullable": True})
    body = {"__annotations__": {"x": TYPES[name]}, "_registry": registry, "__module__": __name__}
    return dataclass(type("Holder", (Storable,), body))


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("text", "AAPL", '"AAPL"'),
        ("text", 'a"b\\c\n\t\u0001/é😀', '"a\\"b\\\\c\\n\\t\\u0001/é😀"'),
        ("text", "\\u0000", '"\\\\u0000"'),
        ("number", 150.0, "150.0"),
        ("number", 0.1, "0.1"),
        ("number", -0.0, "0.0"),
        ("number", 1e-05, "0.00001"),
        ("number", 1e22, "10000000000000000000000.0"),
        ("number", 1.5e300, "15" + "0" * 299 + ".0"),
        ("number", 100, "100.0"),
        ("count", 100, "100"),
        ("count", -(10**30), "-1" + "0" * 30),
        ("count", Level.HIGH, "2"),
        ("flag", True, "true"),
        ("flag", False, "false"),
        ("money", Decimal("1.10"), "1.10"),
        ("money", Decimal("1E+3"), "1000"),
        ("money", Decimal("1E-7"), "0.0000001"),
        ("money", Decimal("-0.00"), "0.00"),
        ("money", Decimal("0E+5"), "0"),
        ("money", Decimal("-12.50"), "-12.50"),
        ("money", Decimal("-1E+3"), "-1000"),
        ("money", Decimal("-0"), "0"),
        ("money", Decimal("1" * 1_200 + ".5"), "1" * 1_200 + ".5"),
        ("money", Decimal("123456789012345678901234567890.123456789"), None),
        ("at", NINE, '"2026-02-22T09:00:00.000000Z"'),
        ("at", NINE.replace(microsecond=5), '"2026-02-22T09:00:00.000005Z"'),
        ("at", datetime(7, 1, 2, tzinfo=timezone.utc), '"0007-01-02T00:00:00.000000Z"'),
        ("at", datetime(2026, 2, 22, 9), '"2026-02-22T09:00:00.000000"'),
        ("day", date(2026, 2, 22), '"2026-02-22"'),
        ("key", KEY, f'"{KEY}"'),
        ("side", Side.SELL, '"SELL"'),
        ("level", Level.HIGH, "2"),
        ("rights", Rights.READ | Rights.WRITE, "3"),
        ("words", ["b", "a"], '["b","a"]'),
        ("words", [], "[]"),
        ("maybes", [1.5, None], "[1.5,null]"),
        ("rates", {"b": Decimal("1.0"), "a": Decimal(2)}, '{"a":2,"b":1.0}'),
        ("extra", {"b": [1, 2.5, None, True], "a": {"c": "d"}}, None),
        ("items", [1e22, -0.0, {"k": []}], '[10000000000000000000000.0,0.0,{"k":[]}]'),
        ("path", Path("p", [Point(1.0)]), '{"name":"p","points":[{"x":1.0,"at":null}]}'),
        ("paths", {"a": [Path("p"), Path("q")]}, None),
        ("text", None, "null"),
    ],
)
def test_each_type_has_one_text(name: str, value: Any, text: str | None) -> None:
    cls = of_type(name)
    written = cls(value).to_json()  # type: ignore[call-arg]
    if text is not None:
        assert written == f'{{"x":{text}}}'
    again = cls.from_json(written)
    assert again == cls(value)  # type: ignore[call-arg]
    assert type(again.x) is type(value) or name in ("number", "count")  # type: ignore[attr-defined]
    assert again.to_json() == written
    assert cls.from_json(written.encode()) == again
    json.loads(written)


def test_the_scale_of_a_decimal_is_kept() -> None:
    cls = of_type("money")
    assert str(cls.from_json('{"x":1.10}').x) == "1.10"  # type: ignore[attr-defined]
    assert cls.from_json('{"x":1e2}').x == 100  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("value", "zone"),
    [
        (NINE.astimezone(timezone(timedelta(hours=1))), "+01:00"),
        (NINE.astimezone(timezone(timedelta(hours=-5, minutes=-30))), "-05:30"),
        (NINE.astimezone(timezone(timedelta(seconds=3_723, microseconds=4))), "+01:02:03.000004"),
        (NINE.astimezone(OSLO), "+01:00[Europe/Oslo]"),
        (NINE.astimezone(ZoneInfo("UTC")), "+00:00[UTC]"),
        (NINE.replace(month=7).astimezone(OSLO), "+02:00[Europe/Oslo]"),
        (datetime(2026, 10, 25, 2, 30, tzinfo=OSLO), "+02:00[Europe/Oslo]"),
        (datetime(2026, 10, 25, 2, 30, fold=1, tzinfo=OSLO), "+01:00[Europe/Oslo]"),
    ],
)
def test_zones_stand_beside_the_instant(value: datetime, zone: str) -> None:
    cls = of_type("at")
    written = json.loads(cls(value).to_json())  # type: ignore[call-arg]
    instant = value.astimezone(timezone.utc).isoformat(timespec="microseconds")
    assert written == {"x": instant.replace("+00:00", "Z"), "$zone": {"x": zone}}
    again = cls.from_json(json.dumps(written)).x  # type: ignore[attr-defined]
    assert (again, again.utcoffset(), again.fold) == (value, value.utcoffset(), value.fold)
    if isinstance(value.tzinfo, ZoneInfo):
        assert again.tzinfo is value.tzinfo


def test_zones_of_times_inside_containers() -> None:
    berlin = NINE.astimezone(ZoneInfo("Europe/Berlin"))
    for name, value, zones in (
        ("times", [NINE, berlin], [None, "+01:00[Europe/Berlin]"]),
        ("times", [NINE], None),
        ("calendar", {"a": berlin, "b": NINE}, {"a": "+01:00[Europe/Berlin]"}),
    ):
        cls = of_type(name)
        written = json.loads(cls(value).to_json())  # type: ignore[call-arg]
        assert written.get("$zone", {}).get("x") == zones
        again = cls.from_json(json.dumps(written)).x  # type: ignore[attr-defined]
        assert again == value
        assert str(again) == str(value)
    path = Path("p", [Point(1.0, berlin)])
    written = of_type("path")(path).to_json()  # type: ignore[call-arg]
    assert json.loads(written)["x"]["points"][0]["$zone"] == {"at": "+01:00[Europe/Berlin]"}
    assert of_type("path").from_json(written).x == path  # type: ignore[attr-defined]


def test_other_spellings_of_times_are_read() -> None:
    cls = of_type("at")
    for text in ("2026-02-22T10:00:00+01:00", "2026-02-22 09:00:00Z", "2026-02-22T09:00:00+00:00"):
        assert cls.from_json(json.dumps({"x": text})).x == NINE  # type: ignore[attr-defined]


def test_a_zone_that_is_not_there_or_changed_leaves_the_offset() -> None:
    cls = of_type("at")
    for zone in ("+01:00[Mars/Olympus]", "+05:00[Europe/Oslo]"):
        text = json.dumps({"x": "2026-02-22T09:00:00.000000Z", "$zone": {"x": zone}})
        again = cls.from_json(text).x  # type: ignore[attr-defined]
        assert again == NINE
        assert again.isoformat().endswith(zone[:6])


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("number", float("nan"), "nan is no finite number"),
        ("number", float("-inf"), "-inf is no finite number"),
        ("number", True, "expected float, got bool"),
        ("number", "1", "expected float, got str"),
        ("number", 2**53 + 1, "a float would lose digits"),
        ("number", 10**400, "too large"),
        ("count", 1.0, "expected int, got float"),
        ("count", True, "expected int, got bool"),
        ("flag", 1, "expected bool, got int"),
        ("text", 5, "has no exact JSON form"),
        ("money", 1.5, "expected Decimal, got float"),
        ("money", Decimal("NaN"), "NaN is no finite number"),
        ("money", Decimal("1E-20000"), "more digits than PostgreSQL keeps"),
        ("at", pd.Timestamp("2026-01-01T00:00:00.000000001Z"), "kept to the microsecond"),
        ("at", date(2026, 1, 1), "expected datetime, got date"),
        ("at", datetime(2026, 3, 29, 2, 30, tzinfo=OSLO), "does not exist in Europe/Oslo"),
        ("at", datetime.min.replace(tzinfo=timezone(timedelta(hours=1))), "years 1 to 9999"),
        ("day", NINE, "expected date, got datetime"),
        ("key", str(KEY), "expected UUID, got str"),
        ("side", "BUY", "expected Side, got str"),
        ("words", ("a",), "expected list, got tuple"),
        ("words", [5], "has no exact JSON form"),
        ("rates", {1: Decimal(1)}, "has no exact JSON form"),
        ("extra", {"a": {1, 2}}, "set has no JSON form of its own"),
        ("extra", {"a": NINE}, "datetime has no JSON form of its own"),
        ("path", Point(1.0), "Point is no Path"),
    ],
)
def test_what_has_no_exact_form_is_refused(name: str, value: Any, reason: str) -> None:
    with pytest.raises(SerializationError) as caught:
        of_type(name)(value).to_json()  # type: ignore[call-arg]
    assert str(caught.value).startswith("Holder.x: ")
    assert reason in str(caught.value)


@pytest.mark.parametrize("text", ["a\0b", "\\\0", "\ud800", "x\udfff"])
def test_characters_that_postgresql_does_not_keep(text: str) -> None:
    for cls, value in ((of_type("text"), text), (of_type("extra"), {"k": [text]})):
        with pytest.raises(SerializationError, match=r"Holder.x: .*(NUL|surrogate)"):
            cls(value).to_json()  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("text", "", "Holder in JSON: Expecting value"),
        ("text", "[]", "an object is expected, not list"),
        ("text", '{"x": 1}', "Holder.x in JSON: 1: a text is expected, not int"),
        ("number", '{"x": "1"}', "a number is expected, not str"),
        ("number", '{"x": true}', "a number is expected, not bool"),
        ("number", '{"x": 1e400}', "beyond the largest float"),
        ("number", '{"x": NaN}', "NaN is no JSON number"),
        ("number", '{"x": -Infinity}', "-Infinity is no JSON number"),
        ("count", '{"x": 1.0}', "a whole number is expected, not float"),
        ("flag", '{"x": 1}', "true or false is expected, not int"),
        ("money", '{"x": "1"}', "a number is expected, not str"),
        ("at", '{"x": "noon"}', "Invalid isoformat string"),
        ("at", '{"x": 5}', "Holder.x in JSON: 5: "),
        ("day", '{"x": "2026-02-30"}', "day is out of range"),
        ("key", '{"x": "abc"}', "badly formed hexadecimal UUID"),
        ("side", '{"x": "HOLD"}', "'HOLD' is not a valid Side"),
        ("side", '{"x": 1}', "a value of Side is expected, not int"),
        ("level", '{"x": true}', "a value of Level is expected, not bool"),
        ("words", '{"x": {}}', "a list is expected, not dict"),
        ("rates", '{"x": []}', "an object is expected, not list"),
        ("path", '{"x": []}', "an object is expected, not list"),
        ("path", '{"x": {}}', "Path.name in JSON: it is missing and has no default"),
        ("at", '{"x": "2026-02-22T09:00:00.000000Z", "$zone": {"x": "CET"}}', "Holder.x in JSON"),
        ("at", '{"x": "2026-02-22T09:00:00.000000Z", "$zone": []}', "Holder"),
        ("times", '{"x": ["2026-02-22T09:00:00Z"], "$zone": {"x": ["+01:00", null]}}', "Holder.x"),
        ("text", '{"x": "a"', "Holder in JSON: Expecting"),
        ("items", '{"x": ' + "[" * 100_000 + "]" * 100_000 + "}", "recursion"),
    ],
)
def test_json_that_does_not_fit_is_explained(name: str, text: str, reason: str) -> None:
    with pytest.raises(SerializationError) as caught:
        of_type(name).from_json(text)
    assert reason in str(caught.value)
    assert len(str(caught.value)) < 300


def test_json_of_invalid_bytes() -> None:
    with pytest.raises(SerializationError, match="can't decode"):
        Trade.from_json(b'{"symbol": "\xff"}')


def test_unknown_keys_are_ignored_and_missing_ones_get_defaults() -> None:
    trade = Trade.from_json('{"symbol": "AAPL", "px": 5, "nested": {"a": 1}}')
    assert trade == Trade(symbol="AAPL")
    registry = registry_of(
        items=list,
        count={"python_type": int, "default": 7},
        maybe={"python_type": str, "nullable": True},
        price=float,
    )

    @dataclass
    class Bag(Storable):
        _registry = registry
        count: int
        maybe: str | None
        price: float
        items: list[int] = field(default_factory=lambda: [1])

    bag = Bag.from_json('{"price": 1}')
    assert (bag.count, bag.maybe, bag.price, bag.items) == (7, None, 1.0, [1])
    assert Bag.from_json('{"price": 1}').items is not bag.items
    with pytest.raises(SerializationError, match=r"Bag\.price in JSON: it is missing and has no"):
        Bag.from_json("{}")


def test_metadata_is_never_in_the_json() -> None:
    order = Order("AAPL", 100, 150.0, "BUY")
    order._store_entity_id = "abc"
    order._store_version = 3
    assert set(json.loads(order.to_json())) == {
        "symbol",
        "quantity",
        "price",
        "side",
        "order_type",
        "status",
        "timestamp",
    }
    assert Order.from_json(order.to_json())._store_version is None


def test_a_class_without_fields() -> None:
    @dataclass
    class Marker(Storable):
        pass

    assert Marker().to_json() == "{}"
    assert Marker.from_json("{}") == Marker()


@pytest.mark.parametrize("options", [{}, {"slots": True}, {"frozen": True}, {"kw_only": True}])
def test_how_objects_are_made_again(options: dict[str, Any]) -> None:
    registry = registry_of(symbol=str, price=float, quantity=int, amount=float)

    @dataclass(**options)
    class Line(Storable):
        _registry = registry
        symbol: str
        price: float = field(default=0.0, metadata={"x": 1})
        quantity: int = field(init=False, default=2)
        factor: InitVar[int] = 10
        amount: float = field(init=False, compare=False)

        def __post_init__(self, factor: int) -> None:
            object.__setattr__(self, "amount", self.price * self.quantity * factor)

    line = Line(symbol="a", price=1.5)
    assert line.to_json() == '{"symbol":"a","price":1.5,"quantity":2,"amount":30.0}'
    again = Line.from_json('{"symbol":"a","price":1.5,"quantity":3,"amount":99.0}')
    assert (again.quantity, again.amount) == (3, 99.0)


def test_what_post_init_sets_beside_the_fields_is_there() -> None:
    registry = registry_of(symbol=str)

    @dataclass
    class Cached(Storable):
        _registry = registry
        symbol: str = ""

        def __post_init__(self) -> None:
            self._cache: dict[str, int] = {}

    assert Cached.from_json('{"symbol":"a"}')._cache == {}


def test_storables_inside_storables() -> None:
    registry = registry_of(symbol=str, price={"python_type": float, "min_value": 0}, legs=list)

    @dataclass
    class Leg(Storable):
        _registry = registry
        price: float = 0.0

    @dataclass
    class Spread(Storable):
        _registry = registry
        symbol: str = ""
        legs: list[Leg] = field(default_factory=list)

    spread = Spread("a", [Leg(1.0), Leg(2.5)])
    assert spread.to_json() == '{"symbol":"a","legs":[{"price":1.0},{"price":2.5}]}'
    assert Spread.from_json(spread.to_json()) == spread
    with pytest.raises(SerializationError, match=r"Leg\.price: 'x' has no exact JSON form"):
        Spread("a", [Leg("x")]).to_json()  # type: ignore[arg-type]
    with pytest.raises(SerializationError, match=r"Leg\.price in JSON: 'x'"):
        Spread.from_json('{"legs":[{"price":"x"}]}')
    [violation] = registry.validate_instance(Spread("a", [Leg(-1.0)]))
    assert (violation.field, violation.rule) == ("legs[0].price", "min_value")


def test_values_that_did_not_change_keep_their_texts() -> None:
    registry = registry_of(
        symbol=str, price={"python_type": float, "min_value": 0}, quantity=int, legs=list
    )

    @dataclass
    class Deal(Storable):
        _registry = registry
        symbol: str = ""
        price: float = 1.0
        quantity: int = 0
        legs: list[int] = field(default_factory=list)

    legs = [1]
    deal = Deal("a", 2.0, 3, legs)
    codec, schema = codec_of(Deal), schema_of(Deal, registry)
    for change in (
        {},
        {"symbol": "b" * 300},
        {"symbol": "b" * 300},
        {"price": 0.0},
        {"price": -0.0},
        {"quantity": 1},
        {"symbol": "a"},
    ):
        for name, value in change.items():
            setattr(deal, name, value)
        legs.append(7)
        assert codec.good_text(deal, schema) == deal.to_json()
        assert codec.good_text(Deal(), schema) == Deal().to_json()
    # What breaks a rule has no text, and leaves nothing behind.
    for name, bad in (("price", -1.0), ("quantity", True), ("symbol", "\0"), ("legs", "x")):
        good = getattr(deal, name)
        for _ in range(2):
            setattr(deal, name, bad)
            assert codec.good_text(deal, schema) is None
        setattr(deal, name, good)
        assert codec.good_text(deal, schema) == deal.to_json()


def test_values_of_confidential_columns_stay_out_of_messages() -> None:
    registry = registry_of(
        secret={"python_type": str, "sensitivity": "confidential"}, open={"python_type": str}
    )

    @dataclass
    class Vault(Storable):
        _registry = registry
        secret: str = ""
        open: str = ""

    for name, text in (("secret", "a value"), ("open", "31415")):
        with pytest.raises(SerializationError, match=rf"Vault\.{name}: {text} has no exact JSON"):
            Vault(**{name: 31415}).to_json()  # type: ignore[arg-type]
        with pytest.raises(SerializationError, match=rf"Vault\.{name} in JSON") as caught:
            Vault.from_json(json.dumps({name: 31415}))
        assert ("31415" in str(caught.value)) == (name == "open")


def test_an_object_inside_itself_is_refused() -> None:
    registry = registry_of(items=list)

    @dataclass
    class Node(Storable):
        _registry = registry
        items: list[Node] = field(default_factory=list)

    node = Node()
    node.items.append(node)
    with pytest.raises(SerializationError, match="recursion") as caught:
        node.to_json()
    assert len(str(caught.value)) < 300


FOREIGN = registry_of(
    text=str, number=float, whole=int, amount={"python_type": Decimal, "nullable": True}, free=dict
)


@dataclass
class Foreign(Storable):
    """What anybody may send: every field can be missing."""

    _registry = FOREIGN
    text: str = ""
    number: float = 0.0
    whole: int = 0
    free: dict[str, Any] = field(default_factory=dict)


@dataclass
class Exact(Foreign):
    amount: Decimal | None = None


@pytest.mark.parametrize("cls", [Foreign, Exact])
@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"free": ' + '{"k":' * 5_000 + "1" + "}" * 5_001, "recursion"),
        ('{"free": {"k": ' + "[" * 100_000 + "]" * 100_000 + "}}", "recursion"),
        ('{"whole": 1' + "0" * 5_000 + "}", "digits|whole number"),
        ('{"whole": 1e5}', "whole number"),
        ('{"number": 1e400}', "largest float"),
        ('{"number": 1' + "0" * 400 + "}", "too large|largest float"),
        ('{"free": {"k": 1e400}}', "largest float"),
        ('{"free": {"k": [-1e999999999]}}', "largest float"),
        ('{"number": NaN}', "no JSON number"),
        ('{"free": {"k": -Infinity}}', "no JSON number"),
        (r'{"text": "\ud800"}', "surrogate"),
        (r'{"free": {"\uDC00": 1}}', "surrogate"),
        ('{"text": "\ud800"}', "surrogate"),
    ],
)
def test_json_that_no_program_of_ours_writes_is_refused(
    cls: type[Foreign], text: str, reason: str
) -> None:
    with pytest.raises(SerializationError, match=f"(?i){reason}"):
        cls.from_json(text)


def test_of_a_key_that_is_there_twice_the_last_counts() -> None:
    assert Foreign.from_json('{"whole": 1, "whole": 2}').whole == 2


@pytest.mark.parametrize("text", [r"\ud83d\ude00", "\U0001f600", r"\\ud800"])
def test_escapes_that_make_a_whole_character_are_read(text: str) -> None:
    assert Foreign.from_json(f'{{"text": "{text}"}}').text == json.loads(f'"{text}"')


@pytest.mark.parametrize("text", ["1" + "0" * 5_000, "-" + "9" * 6_000, "1" * 4_301 + ".25"])
def test_a_decimal_of_many_digits_comes_back(text: str) -> None:
    obj = Exact(amount=Decimal(text))
    assert Exact.from_json(obj.to_json()) == obj
    assert Exact.from_json(obj.to_json()).amount == Decimal(text)
