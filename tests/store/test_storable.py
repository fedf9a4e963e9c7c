"""Names, metadata, equality, repr, copies and pickles of stored objects."""

from __future__ import annotations

import copy
import dataclasses
import pickle
import threading
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

import pytest

from store import RegistryError, SerializationError, Storable
from store.columns import REGISTRY
from store.models import Order, Signal, Trade
from tests.store.registries import registry_of

METADATA = (
    "_store_entity_id",
    "_store_version",
    "_store_owner",
    "_store_updated_by",
    "_store_tx_time",
    "_store_valid_from",
    "_store_valid_to",
    "_store_state",
    "_store_event_type",
)
REG = registry_of(symbol=str, price=float, tags=list[str])


@dataclass
class Plain(Storable):
    _registry = REG
    symbol: str = ""
    tags: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Slotted(Storable):
    _registry = REG
    symbol: str = ""
    tags: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Frozen(Storable):
    _registry = REG
    symbol: str = ""
    tags: list[str] = field(default_factory=list, hash=False)


@dataclass(frozen=True, slots=True)
class FrozenSlots(Storable):
    _registry = REG
    symbol: str = ""
    tags: list[str] = field(default_factory=list)


KINDS = (Plain, Slotted, Frozen, FrozenSlots)


def written(cls: Any) -> Any:
    obj = cls("AAPL", ["a"])
    object.__setattr__(obj, "_store_entity_id", "e1")
    object.__setattr__(obj, "_store_version", 3)
    object.__setattr__(obj, "_store_tx_time", datetime(2026, 2, 22, tzinfo=timezone.utc))
    return obj


@pytest.mark.parametrize("cls", KINDS)
def test_metadata_is_none_before_the_first_write(cls: Any) -> None:
    assert [getattr(cls(), name) for name in METADATA] == [None] * len(METADATA)
    assert [getattr(cls, name) for name in ("_state_machine", "_workflow_engine")] == [None, None]


@pytest.mark.parametrize("cls", KINDS)
def test_metadata_is_no_part_of_equality_repr_and_fields(cls: Any) -> None:
    assert written(cls) == cls("AAPL", ["a"])
    assert "_store" not in repr(written(cls))
    assert repr(written(cls)).endswith("(symbol='AAPL', tags=['a'])")
    assert list(dataclasses.asdict(written(cls))) == ["symbol", "tags"]


@pytest.mark.parametrize("cls", KINDS)
def test_a_copy_is_the_same_entity(cls: Any) -> None:
    obj = written(cls)
    for twin in (copy.copy(obj), copy.deepcopy(obj), pickle.loads(pickle.dumps(obj))):
        assert twin is not obj
        assert twin == obj
        assert type(twin) is cls
        assert [getattr(twin, name) for name in METADATA] == [getattr(obj, n) for n in METADATA]
    assert copy.copy(obj).tags is obj.tags
    assert copy.deepcopy(obj).tags is not obj.tags


@pytest.mark.parametrize("cls", KINDS)
def test_replace_makes_a_new_object(cls: Any) -> None:
    other = dataclasses.replace(written(cls), symbol="MSFT")
    assert (other.symbol, other.tags, other._store_entity_id) == ("MSFT", ["a"], None)


@pytest.mark.parametrize("cls", KINDS)
def test_services_are_shared_by_copies_and_left_out_of_pickles(cls: Any) -> None:
    obj = written(cls)
    engine = threading.Lock()  # Like a real engine, it can be neither copied nor pickled.
    object.__setattr__(obj, "_workflow_engine", engine)
    object.__setattr__(obj, "_state_machine", dict)
    assert copy.copy(obj)._workflow_engine is engine
    assert copy.deepcopy(obj)._workflow_engine is engine
    thawed = pickle.loads(pickle.dumps(obj))
    assert (thawed._workflow_engine, thawed._state_machine) == (None, dict)


def test_objects_that_refer_to_each_other_are_copied_whole() -> None:
    registry = registry_of(items=list)

    @dataclass
    class Node(Storable):
        _registry = registry
        items: list[Node] = field(default_factory=list)

    node = Node()
    node.items.append(node)
    twin = copy.deepcopy(node)
    assert twin.items[0] is twin


def test_half_made_objects_can_be_copied() -> None:
    obj = Slotted.__new__(Slotted)
    assert not hasattr(copy.copy(obj), "symbol")
    with pytest.raises(SerializationError, match=r"Slotted is not whole: .*symbol"):
        obj.to_json()


def test_type_names() -> None:
    assert Trade.type_name() == "store.models.Trade"
    assert Trade.type_names() == ("store.models.Trade",)

    @dataclass
    class Inner(Storable):
        _registry = REG

    assert Inner.type_name() == f"{__name__}.test_type_names.<locals>.Inner"


def test_a_class_can_be_moved_and_renamed() -> None:
    registry = registry_of(symbol=str)

    @dataclass
    class Deal(Storable):
        _registry = registry
        _type_aliases = ("desk.models.Trade", "desk.Trade")
        symbol: str = ""

    @dataclass
    class Fixed(Storable):
        _registry = registry
        symbol: str = ""

        @classmethod
        def type_name(cls) -> str:
            return "desk.Fixed"

    @dataclass
    class Child(Deal):
        pass

    assert registry.entity("desk.models.Trade") is Deal
    assert registry.entity(Deal.type_name()) is Deal
    assert registry.entity("desk.Fixed") is Fixed
    assert Deal.type_names() == (Deal.type_name(), "desk.models.Trade", "desk.Trade")
    assert Child.type_names() == (Child.type_name(),)
    with pytest.raises(RegistryError, match=r"no class stores as 'desk\.Order'; import its module"):
        registry.entity("desk.Order")


def test_two_classes_must_not_share_their_events() -> None:
    registry = registry_of(symbol=str)

    @dataclass
    class Fixed(Storable):
        _registry = registry
        symbol: str = ""

        @classmethod
        def type_name(cls) -> str:
            return "desk.Fixed"

    with pytest.raises(RegistryError, match=r"inherits the type_name\(\) 'desk.Fixed' of Fixed"):

        @dataclass
        class Child(Fixed):
            pass

    assert registry.entities() == [Fixed]

    @dataclass
    class Usurper(Storable):
        _registry = registry
        _type_aliases = ("desk.Fixed",)
        symbol: str = ""

    with pytest.raises(RegistryError, match=r"'desk.Fixed' is claimed by .*Fixed and .*Usurper"):
        registry.entity("desk.Fixed")


def test_the_platforms_entities() -> None:
    assert Trade("AAPL", 100, 150.0, "BUY") == Trade(
        symbol="AAPL", quantity=100, price=150.0, side="BUY"
    )
    names = [[f.name for f in dataclasses.fields(cls)] for cls in (Trade, Order, Signal)]
    assert names == [
        ["symbol", "quantity", "price", "side", "timestamp"],
        ["symbol", "quantity", "price", "side", "order_type", "status", "timestamp"],
        ["symbol", "direction", "strength", "model_name", "notes", "timestamp"],
    ]
    assert REGISTRY.entity("store.models.Order") is Order
    for cls in (Trade, Order, Signal):
        assert cls.from_json(cls().to_json()) == cls()
