# ruff: noqa: UP006, UP045 - the older spellings are tested too
"""What happens when a class is defined: accepted, or refused with a reason and without a trace.

This file does not postpone its annotations; `test_postponed_annotations` does.
"""

import warnings
from dataclasses import KW_ONLY, InitVar, dataclass, field
from datetime import date, datetime, timezone
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, ClassVar, Generic, List, NewType, Optional, TypeVar  # noqa: UP035

import pytest

from store import RegistryError, Storable
from store.columns import REGISTRY
from store.registry import ColumnRegistry
from tests.processes import collect_until
from tests.store.registries import MEANING, registry_of

T = TypeVar("T")
F = TypeVar("F", bound=float)
N = TypeVar("N", int, float)
Isin = NewType("Isin", str)


class Side(Enum):
    BUY = "BUY"
    SELL = "SELL"


class Way(Enum):
    BUY = "BUY"
    HOLD = "HOLD"


class Level(Enum):
    LOW = 1


@dataclass
class Leg:
    strike: float
    quantity: int


@dataclass
class Stamped:
    """A mixin with a governed field."""

    timestamp: datetime | None = None


@dataclass
class Rogue:
    """A mixin with a field that no catalog knows."""

    foo: int = 0


REG = registry_of(
    symbol=str,
    price=float,
    quantity=int,
    active=bool,
    amount=Decimal,
    timestamp={"python_type": datetime, "nullable": True},
    created=date,
    notes={"python_type": str, "nullable": True},
    side={"python_type": str, "enum": ["BUY", "SELL"]},
    level=int,
    choice=Side,
    tags=list[str],
    extras=list,
    prices=dict[str, float],
    legs=list[Leg],
    name={"python_type": str, "allowed_prefixes": ["trader", "sales_person"]},
    curve=list[float | None],
)


def defined(annotations: dict[str, Any], registry: ColumnRegistry = REG, **body: Any) -> type:
    namespace = {"__annotations__": annotations, "_registry": registry, **body}
    return dataclass(type("Case", (Storable,), namespace))


@pytest.mark.parametrize(
    ("annotations", "body"),
    [
        ({"symbol": str, "price": float}, {}),
        ({"symbol": str}, {"symbol": ""}),
        ({"price": float}, {"price": 0}),
        ({"price": float}, {"price": None}),
        ({"timestamp": Optional[datetime]}, {"timestamp": None}),
        ({"timestamp": datetime | None}, {"timestamp": None}),
        ({"timestamp": datetime}, {}),
        ({"notes": Annotated[Optional[str], "free"]}, {}),
        ({"symbol": Annotated[str, "ticker"]}, {}),
        ({"symbol": Isin}, {}),
        ({"side": Side}, {"side": Side.BUY}),
        ({"choice": Side}, {"choice": Side.SELL}),
        ({"level": Level}, {}),
        ({"tags": list[str]}, {"tags": field(default_factory=list)}),
        ({"tags": List[str]}, {}),
        ({"tags": list}, {}),
        ({"extras": list[Leg]}, {}),
        ({"extras": list[Any]}, {}),
        ({"prices": dict[str, float]}, {}),
        ({"prices": dict}, {}),
        ({"legs": list[Leg]}, {}),
        ({"curve": list[Optional[float]]}, {}),
        ({"trader_name": str, "sales_person_name": str, "name": str}, {}),
        ({"symbol": str, "foo": ClassVar[int]}, {"foo": 1}),
        ({"symbol": str, "seed": InitVar[int]}, {"symbol": "", "seed": 1}),
        ({"symbol": str, "_": KW_ONLY, "price": float}, {"symbol": ""}),
        ({"symbol": str}, {"foo": 1}),
        ({"symbol": str}, {"symbol": field(default="", repr=False, compare=False)}),
        ({"price": float}, {"price": field(init=False, default=1.0)}),
    ],
)
def test_accepted(annotations: dict[str, Any], body: dict[str, Any]) -> None:
    cls = defined(annotations, **body)
    fields = [name for name in annotations if name not in ("foo", "seed", "_")]
    assert [field.name for field in REG.fields_for(cls)] == fields
    assert cls in REG.entities()


@pytest.mark.parametrize(
    ("annotations", "body", "message"),
    [
        ({"foo": str}, {}, "column 'foo' is not defined"),
        ({"simbol": str}, {}, "column 'simbol' is not defined; did you mean 'symbol'?"),
        (
            {"random_name": str},
            {},
            "'random' is not an allowed prefix of 'name'; allowed: 'trader'",
        ),
        ({"my_price": float}, {}, "'my' is not an allowed prefix of 'price'; allowed: it has none"),
        ({"trader_sales_person_name": str}, {}, "is not an allowed prefix of 'name'"),
        ({"price": str}, {}, "type str of Case.price does not match the catalog's float"),
        ({"price": int}, {}, "type int of Case.price does not match the catalog's float"),
        ({"quantity": bool}, {}, "type bool of Case.quantity does not match the catalog's int"),
        ({"created": datetime}, {}, "type datetime of Case.created does not match"),
        ({"timestamp": date}, {}, "type date of Case.timestamp does not match"),
        ({"price": Any}, {"price": "x"}, "column 'price': the default 'x': float"),
        ({"price": set}, {}, "type set of Case.price does not match the catalog's float"),
        ({"price": int | str}, {}, "type int | str of Case.price does not match"),
        ({"price": Optional[float]}, {}, "Case.price is Optional, but the column is not nullable"),
        ({"price": float | None}, {}, "Case.price is Optional, but the column is not nullable"),
        ({"notes": Optional[int]}, {}, "type int of Case.notes does not match the catalog's str"),
        ({"tags": list[int]}, {}, "type list[int] of Case.tags does not match"),
        ({"tags": list[Optional[str]]}, {}, "does not match the catalog's list[str]"),
        ({"tags": set[str]}, {}, "type set[str] of Case.tags does not match"),
        ({"extras": list[set]}, {}, "does not match the catalog's list"),
        ({"extras": list[Rogue]}, {}, None),
        ({"legs": list[Stamped]}, {}, "does not match the catalog's list[Leg]"),
        ({"side": Way}, {}, "Way.HOLD is against the catalog's enum: one of 'BUY', 'SELL'"),
        ({"side": Level}, {}, "type Level of Case.side does not match the catalog's str"),
        ({"choice": Way}, {}, "type Way of Case.choice does not match the catalog's Side"),
        ({"choice": str}, {}, "type str of Case.choice does not match the catalog's Side"),
        ({"price": float}, {"price": ""}, "the default '': float (or an int) is expected"),
        ({"price": float}, {"price": float("nan")}, "the default nan: a finite number"),
        ({"price": float}, {"price": field(default="x")}, "the default 'x'"),
        ({"active": bool}, {"active": 0}, "the default 0: bool is expected"),
        ({"timestamp": datetime}, {"timestamp": datetime(2026, 1, 1)}, "a time with a zone"),
        ({"seed": InitVar[int]}, {}, "InitVar 'seed' needs a default"),
        ({"extras": list["Later"]}, {}, "the annotation 'Later' cannot be resolved"),  # noqa: F821
        ({"_secret": int}, {}, "column '_secret' is not defined"),
    ],
)
def test_refused(annotations: dict[str, Any], body: dict[str, Any], message: str | None) -> None:
    if message is None:  # A plain dataclass is approved as a part of its column.
        assert defined(annotations, **body)
        return
    before = REG.entities()
    with pytest.raises(RegistryError, match="class Case is refused") as caught:
        defined(annotations, **body)
    assert message in str(caught.value)
    assert REG.entities() == before


def test_the_words_of_the_documented_messages() -> None:
    with pytest.raises(RegistryError) as caught:

        @dataclass
        class Bad(Storable):
            foo: str = ""
            price: str = ""
            random_name: str = ""

    message = str(caught.value)
    for part in ("column 'foo'", "not defined", "allowed prefix", "type str", "does not match"):
        assert part in message
    assert len(message.splitlines()) == 4


def test_a_field_must_not_hide_a_method() -> None:
    registry = registry_of(type_name=str, to_json=str, worth=float)

    class Valued(Storable):
        _registry = registry

        @property
        def worth(self) -> float:
            return 1.0

    for name, base in (("type_name", Storable), ("to_json", Storable), ("worth", Valued)):
        body = {"__annotations__": {name: str}, "_registry": registry}
        with pytest.raises(RegistryError, match=f"it would hide the method {base.__name__}.{name}"):
            type("Hiding", (base,), body)


def test_slots_frozen_kw_only_and_order() -> None:
    registry = registry_of(symbol=str, price=float)
    for options in (
        {"slots": True},
        {"frozen": True},
        {"kw_only": True},
        {"slots": True, "frozen": True, "order": True},
        {"match_args": False},
    ):

        @dataclass(**options)
        class Quote(Storable):
            _registry = registry
            symbol: str = "A"
            price: float = 0.0

        assert registry.entities() == [Quote]
        assert Quote(symbol="B") == Quote(symbol="B", price=0.0)
        assert registry.validate_instance(Quote()) == []
        if options.get("slots"):
            assert "symbol" not in vars(Quote())


def test_inherited_fields_and_mixins() -> None:
    registry = registry_of(symbol=str, price=float, timestamp=datetime, foo=int)
    strict = registry_of(symbol=str, price=float)

    @dataclass
    class Quote(Storable):
        _registry = registry
        symbol: str = ""

    @dataclass
    class Tick(Quote):
        price: float = 0.0

    with pytest.raises(RegistryError, match=r"Stampede\.timestamp is Optional"):

        @dataclass
        class Stampede(Tick, Stamped):
            pass

    @dataclass
    class Odd(Tick, Rogue):
        pass

    assert [field.name for field in registry.fields_for(Odd)] == ["foo", "symbol", "price"]
    assert registry.entities() == [Quote, Tick, Odd]
    with pytest.raises(RegistryError, match="column 'foo' is not defined"):

        @dataclass
        class Governed(Odd):
            _registry = strict

    assert strict.entities() == []


def test_a_subclass_may_make_an_inherited_field_more_precise() -> None:
    @dataclass
    class Loose(Storable):
        _registry = REG
        side: str = "BUY"

    @dataclass
    class Precise(Loose):
        side: Side = Side.BUY

    assert str(REG.fields_for(Precise)[0].type) == "Side"
    assert str(REG.fields_for(Loose)[0].type) == "str"
    with pytest.raises(RegistryError, match="type int"):

        @dataclass
        class Wrong(Loose):
            side: int = 0


def test_generic_classes() -> None:
    @dataclass
    class Box(Storable, Generic[T]):
        _registry = REG
        price: T
        extras: list[T]

    @dataclass
    class FloatBox(Box[float]):
        pass

    @dataclass
    class Deeper(Box[T], Generic[T]):
        symbol: str = ""

    @dataclass
    class DeepBox(Deeper[float]):
        pass

    @dataclass
    class Bounded(Storable, Generic[F, N]):
        _registry = REG
        price: F
        quantity: N

    assert [str(field.type) for field in REG.fields_for(FloatBox)] == ["float", "list[float]"]
    assert [str(each.type) for each in REG.fields_for(DeepBox)] == ["float", "list[float]", "str"]
    assert [str(field.type) for field in REG.fields_for(Bounded)] == ["float", "int"]
    for base in (Box[int], Deeper[int]):
        with pytest.raises(RegistryError, match=r"type int of Wrong\.price does not match"):
            _subclass(base)
    with pytest.raises(RegistryError, match="type N of"):

        @dataclass
        class Unfit(Storable, Generic[N]):
            _registry = REG
            symbol: N


def _subclass(base: Any) -> type:
    class Wrong(base):  # type: ignore[misc]
        pass

    return Wrong


def test_a_class_may_refer_to_itself() -> None:
    registry = registry_of(symbol=str, extras=list, parent={"python_type": dict, "nullable": True})

    @dataclass(slots=True)
    class Node(Storable):
        _registry = registry
        symbol: str = ""
        extras: "list[Node]" = field(default_factory=list)

    tree = Node("a", [Node("b"), Node("c", [Node("d")])])
    assert Node.from_json(tree.to_json()) == tree
    assert registry.validate_instance(Node("a", [Node(5)]))[0].field == "extras[0].symbol"


def test_a_failed_class_leaves_no_trace() -> None:
    registry = registry_of(symbol=str, price=float)

    def fail() -> None:
        @dataclass
        class Bad(Storable):
            _registry = registry
            symbol: str = ""
            foo: str = ""

    def fail_in_dataclass() -> None:
        @dataclass
        class Worse(Storable):
            _registry = registry
            symbol: str = ""
            price: float

    def fail_at_the_end() -> None:
        @dataclass(order=True)
        class Worst(Storable):
            _registry = registry
            symbol: str = ""

            def __lt__(self, other: object) -> bool:
                return False

    for attempt, error in (
        (fail, RegistryError),
        (fail_in_dataclass, TypeError),
        (fail_at_the_end, TypeError),
    ):
        with pytest.raises(error):
            attempt()
        assert registry.entities() == []
        assert registry.entities_with("symbol") == []


def test_an_undecorated_class_is_no_entity_and_says_so() -> None:
    registry = registry_of(symbol=str, price=float)

    class Forgotten(Storable):
        _registry = registry
        symbol: str = ""

    assert registry.entities() == []
    with pytest.raises(RegistryError, match="put @dataclass above the class statement"):
        Forgotten().to_json()

    @dataclass
    class Quote(Storable):
        _registry = registry
        symbol: str = ""

    class More(Quote):
        price: float = 0.0

    class Same(Quote):
        note: ClassVar[str] = "no further fields"

    with pytest.raises(RegistryError, match="class More declares fields but is no dataclass"):
        More().to_json()
    assert registry.entities() == [Quote, Same]
    assert Same("A").to_json() == '{"symbol":"A"}'


def test_the_newest_definition_of_a_class_counts() -> None:
    registry = registry_of(symbol=str, price=float)

    def define(annotations: dict[str, Any]) -> type:
        return dataclass(
            type("Quote", (Storable,), {"__annotations__": annotations, "_registry": registry})
        )

    first = define({"symbol": str})
    second = define({"symbol": str, "price": float})
    assert registry.entities() == [second]
    assert registry.entity(first.type_name()) is second
    assert first("A") != second("A", 1.0)


def test_classes_are_forgotten_with_their_last_reference() -> None:
    registry = registry_of(symbol=str)

    @dataclass
    class Passing(Storable):
        _registry = registry
        symbol: str = ""

    Passing.from_json(Passing("A").to_json())
    assert registry.validate_instance(Passing("A")) == []
    assert registry.entities() == [Passing]
    del Passing
    collect_until(lambda: registry.entities() == [], "the class to be forgotten")


def test_deprecated_columns_warn_once_where_the_class_is() -> None:
    registry = registry_of(
        px={"python_type": float, "deprecated": "use 'price'"},
        old={"python_type": int, "deprecated": True},
    )
    with pytest.warns(DeprecationWarning, match="is deprecated") as caught:

        @dataclass(slots=True)
        class Quote(Storable):
            _registry = registry
            px: float = 0.0
            old: int = 0

    assert [str(each.message) for each in caught] == [
        "Quote.px: column 'px' is deprecated: use 'price'",
        "Quote.old: column 'old' is deprecated",
    ]
    assert all(each.filename == __file__ for each in caught)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert registry.columns_for(Quote)[0].name == "px"


def test_plain_dataclasses_can_be_checked_too() -> None:
    registry = registry_of(symbol=str, price=float)

    @dataclass
    class Quote:
        symbol: str = ""
        price: float = 0.0

    @dataclass
    class Bad:
        foo: str = ""

    registry.validate_class(Quote)
    assert registry.entities() == [Quote]
    assert registry.entity(f"{__name__}.{Quote.__qualname__}") is Quote
    assert [column.name for column in registry.columns_for(Quote)] == ["symbol", "price"]
    assert registry.validate_instance(Quote(price="x"))[0].rule == "type"
    with pytest.raises(RegistryError, match="column 'foo'"):
        registry.validate_class(Bad)
    with pytest.raises(RegistryError, match="column 'foo'"):
        registry.validate_instance(Bad())
    assert registry.entities() == [Quote]


def test_another_registry_does_not_take_a_class_over() -> None:
    mine = registry_of(price=float, role={"python_type": str})
    other = ColumnRegistry()
    other.define("price", float, **MEANING, max_value=1)

    @dataclass
    class Quote(Storable):
        _registry = mine
        price: float = 0.0

    other.validate_class(Quote)
    assert other.entities() == mine.entities() == [Quote]
    assert mine.validate_instance(Quote(5.0)) == []
    assert other.validate_instance(Quote(5.0))[0].rule == "max_value"
    assert Quote not in REGISTRY.entities()


def test_the_documented_classes_load() -> None:
    @dataclass
    class Position(Storable):
        symbol: str = ""
        quantity: int = 0
        avg_cost: float = 0.0
        current_price: float = 0.0

    @dataclass
    class Trade(Storable):
        symbol: str = ""
        trader_name: str = ""
        price: float = 0.0

    assert Position(symbol="AAPL", quantity=100, avg_cost=220.0, current_price=230.0)
    assert REGISTRY.resolve("trader_name") == (REGISTRY.get("name"), "trader")
    assert [column.name for column in REGISTRY.columns_for(Trade)] == ["symbol", "name", "price"]
    assert {Position, Trade} <= set(REGISTRY.entities_with("symbol"))
    assert Trade in REGISTRY.entities_with("trader_name")
    assert Position not in REGISTRY.entities_with("trader_name")
    assert Trade in REGISTRY.entities_with("name")


def test_dates_of_other_zones_make_a_good_default() -> None:
    start = datetime(2026, 1, 1, tzinfo=timezone.utc)
    cls = defined({"timestamp": datetime}, timestamp=start)
    assert cls().timestamp == start
