"""JSON of older versions of a class, written by the older class itself."""

from __future__ import annotations

import json
import pickle
from dataclasses import dataclass, field
from datetime import date, datetime, timezone
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from store import RegistryError, SerializationError, Storable, upcaster
from tests.store.registries import registry_of

REG = registry_of(
    symbol=str,
    px=float,
    price=float,
    amount=Decimal,
    currency=str,
    ts={"python_type": datetime, "nullable": True},
    timestamp={"python_type": datetime, "nullable": True},
    times=list[datetime],
    created=date,
    legs=list,
)
NOON = datetime(2026, 2, 22, 12, tzinfo=ZoneInfo("Europe/Oslo"))


@dataclass
class TradeV1(Storable):
    _registry = REG
    symbol: str = ""
    px: float = 0.0
    ts: datetime | None = None


@dataclass
class TradeV2(Storable):
    """`px` became `price`, `ts` became `timestamp`."""

    _registry = REG
    symbol: str = ""
    price: float = 0.0
    timestamp: datetime | None = None

    @upcaster(from_version=1)
    @staticmethod
    def longer_names(data: dict[str, Any]) -> dict[str, Any]:
        data["price"] = data.pop("px")
        data["timestamp"] = data.pop("ts")
        return data


@dataclass
class TradeV3(Storable):
    """The price became an exact amount with a currency of its own."""

    _registry = REG
    symbol: str = ""
    amount: Decimal = Decimal(0)
    currency: str = "USD"
    timestamp: datetime | None = None

    longer_names = TradeV2.__dict__["longer_names"]

    @upcaster(from_version=2)
    def exact_amount(data: dict[str, Any]) -> dict[str, Any]:  # noqa: N805
        amount = data.pop("price")
        return {**data, "amount": amount, "currency": "EUR" if "/" in data["symbol"] else "USD"}


def test_each_version_reads_what_the_older_ones_wrote() -> None:
    first = TradeV1("AAPL", 150.25, NOON).to_json()
    second = TradeV2("AAPL", 150.25, NOON).to_json()
    third = TradeV3("AAPL", Decimal("150.25"), "USD", NOON).to_json()
    assert [json.loads(text).get("$version") for text in (first, second, third)] == [None, 2, 3]
    assert TradeV2.from_json(first) == TradeV2.from_json(second) == TradeV2("AAPL", 150.25, NOON)
    exact = TradeV3("AAPL", Decimal("150.25"), "USD", NOON)
    assert [TradeV3.from_json(text) for text in (first, second, third)] == [exact] * 3
    # The zone went along with the renamed time.
    assert TradeV3.from_json(first).timestamp.tzinfo is NOON.tzinfo  # type: ignore[union-attr]
    # The number never went through a float.
    text = TradeV1("EUR/USD", 0.1, None).to_json().replace("0.1", "0.1000000000000000000001")
    assert TradeV3.from_json(text) == TradeV3(
        "EUR/USD", Decimal("0.1000000000000000000001"), "EUR", None
    )


def test_zones_in_containers_go_along() -> None:
    @dataclass
    class Old(Storable):
        _registry = REG
        times: list[datetime] = field(default_factory=list)

    @dataclass
    class New(Storable):
        _registry = REG
        timestamp: datetime | None = None

        @upcaster(1)
        @staticmethod
        def only_the_last(data: dict[str, Any]) -> dict[str, Any]:
            return {"timestamp": data["times"][-1]}

    utc = NOON.astimezone(timezone.utc)
    last = New.from_json(Old([utc, NOON]).to_json()).timestamp
    assert last == NOON
    assert last.tzinfo is NOON.tzinfo  # type: ignore[union-attr]
    assert New.from_json(Old([NOON, utc]).to_json()).timestamp.tzinfo is timezone.utc  # type: ignore[union-attr]


def test_objects_inside_are_lifted_by_their_own_class() -> None:
    @dataclass
    class Spread(Storable):
        _registry = REG
        legs: list[TradeV2] = field(default_factory=list)

    text = f'{{"legs":[{TradeV1("A", 1.5).to_json()},{TradeV2("B", 2.5).to_json()}]}}'
    assert Spread.from_json(text) == Spread([TradeV2("A", 1.5), TradeV2("B", 2.5)])


def test_a_subclass_inherits_the_steps() -> None:
    @dataclass
    class Special(TradeV2):
        currency: str = "USD"

    assert Special.from_json(TradeV1("A", 1.5).to_json()) == Special("A", 1.5)
    assert json.loads(Special().to_json())["$version"] == 2

    @dataclass
    class More(TradeV2):
        @upcaster(1)
        @staticmethod
        def longer_names(data: dict[str, Any]) -> dict[str, Any]:
            return {"symbol": "replaced"}

        @upcaster(2)
        @staticmethod
        def upper(data: dict[str, Any]) -> dict[str, Any]:
            return {**data, "symbol": data["symbol"].upper()}

    assert More.from_json(TradeV1("a", 1.5).to_json()) == More("REPLACED")


@pytest.mark.parametrize("slots", [False, True])
def test_a_step_is_an_ordinary_static_method(slots: bool) -> None:
    @dataclass(slots=slots)
    class Lifted(Storable):
        _registry = REG
        symbol: str = ""

        @upcaster(from_version=1)
        @staticmethod
        def upper(data: dict[str, Any]) -> dict[str, Any]:
            data["symbol"] = data["symbol"].upper()
            return data

    assert Lifted.upper({"symbol": "a"}) == Lifted("a").upper({"symbol": "a"}) == {"symbol": "A"}
    assert Lifted.from_json('{"symbol":"a"}') == Lifted("A")
    assert Lifted.from_json('{"symbol":"a","$version":2}') == Lifted("a")


def _class_with(**steps: Any) -> type[Storable]:
    body = {"__annotations__": {"symbol": str}, "symbol": "", "_registry": REG, **steps}
    return dataclass(type("Stepped", (Storable,), body))


@pytest.mark.parametrize(
    ("versions", "message"),
    [
        ([2], "Stepped lacks the upcaster from version 1; it has those from [2]"),
        ([1, 3], "Stepped lacks the upcaster from version 2; it has those from [1, 3]"),
        ([1, 2, 2], "Stepped has two upcasters from version 2"),
    ],
)
def test_the_steps_must_be_a_chain(versions: list[int], message: str) -> None:
    before = REG.entities()
    with pytest.raises(RegistryError) as caught:
        _class_with(**{f"s{n}": upcaster(v)(dict) for n, v in enumerate(versions)})
    assert message in str(caught.value)
    assert REG.entities() == before


@pytest.mark.parametrize("version", [0, -1, "1", 1.0, True])
def test_versions_count_from_one(version: Any) -> None:
    with pytest.raises(RegistryError, match="counts from 1"):
        upcaster(version)


def _broken(data: dict[str, Any]) -> dict[str, Any]:
    return {"symbol": data["missing"]}


def _forgetful(data: dict[str, Any]) -> None:
    data["symbol"] = "x"


@pytest.mark.parametrize(
    ("step", "text", "message"),
    [
        (dict, '{"$version":3}', "is of version 3, the program knows the class up to version 2"),
        (dict, '{"$version":0}', "$version is 0, not a whole number"),
        (dict, '{"$version":"2"}', "$version is '2', not a whole number"),
        (dict, '{"$version":true}', "$version is True"),
        (_broken, "{}", "the upcaster _broken of Stepped from 1 failed: KeyError: 'missing'"),
        (_forgetful, "{}", "the upcaster _forgetful of Stepped from 1 must return a dict"),
    ],
)
def test_what_cannot_be_lifted_is_explained(step: Any, text: str, message: str) -> None:
    with pytest.raises(SerializationError) as caught:
        _class_with(step=upcaster(1)(step)).from_json(text)
    assert message in str(caught.value)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_a_class_without_steps_refuses_a_newer_version() -> None:
    with pytest.raises(SerializationError, match=r"is of version 2, .* up to version 1"):
        TradeV1.from_json('{"symbol":"a","$version":2}')
