"""Annotations that are text: this file postpones all of them."""

from __future__ import annotations

import dataclasses
import typing as t
from dataclasses import KW_ONLY, InitVar, dataclass, field
from datetime import date
from enum import Enum
from typing import TYPE_CHECKING, ClassVar

import pytest

from store import RegistryError, Storable
from tests.store.registries import registry_of

if TYPE_CHECKING:
    from decimal import Decimal

REG = registry_of(
    symbol=str,
    price=float,
    side=str,
    created=date,
    extras=list,
    date={"python_type": date, "nullable": True},
)


class Side(Enum):
    OUTER = "OUTER"


@pytest.mark.parametrize("slots", [False, True])
def test_names_of_the_enclosing_function_are_known(slots: bool) -> None:
    class Side(Enum):
        BUY = "BUY"

    @dataclass
    class Leg:
        side: Side

    @dataclass(slots=slots)
    class Order(Storable):
        _registry = REG
        limit: ClassVar[int] = 3
        also: t.ClassVar[Decimal]
        seed: InitVar[int] = 0
        _: KW_ONLY
        symbol: str = ""
        side: Side = Side.BUY
        extras: list[Leg] = field(default_factory=list)
        more: dataclasses.InitVar[int | None] = None

    assert [str(each.type) for each in REG.fields_for(Order)] == ["str", "Side", "list[Leg]"]
    order = Order(symbol="A", extras=[Leg(Side.BUY)])
    assert Order.from_json(order.to_json()) == order
    assert Order.from_json(order.to_json()).side is Side.BUY


def test_a_field_may_have_the_name_of_its_type() -> None:
    @dataclass
    class Bond(Storable):
        _registry = REG
        date: date | None = None

    assert Bond.from_json('{"date":"2026-02-22"}').date.isoformat() == "2026-02-22"


def test_a_class_inside_a_class() -> None:
    class Desk:
        class Side(Enum):
            SELL = "SELL"

        @dataclass
        class Order(Storable):
            _registry = REG
            side: Side

    assert Desk.Order.from_json('{"side":"SELL"}').side is Desk.Side.SELL


def test_the_names_of_a_caller_do_not_count() -> None:
    def define() -> type:
        @dataclass
        class Order(Storable):
            _registry = REG
            side: Side = Side.OUTER

        return Order

    def call() -> type:
        Side = int  # noqa: N806, F841
        return define()

    assert call()().side is Side.OUTER


@pytest.mark.parametrize("annotation", ["Decimal", "list[Later]", "str +"])
def test_what_is_not_there_yet_is_refused(annotation: str) -> None:
    with pytest.raises(RegistryError, match=r"cannot be resolved .*above the class") as caught:
        type(
            "Order",
            (Storable,),
            {"__annotations__": {"price": annotation}, "_registry": REG, "__module__": __name__},
        )
    assert "column 'price': the annotation" in str(caught.value)


def test_a_mixin_from_elsewhere_keeps_its_own_names() -> None:
    from tests.store.mixins import Priced

    @dataclass
    class Quote(Priced, Storable):
        _registry = REG
        symbol: str = ""

    assert [str(each.type) for each in REG.fields_for(Quote)] == ["Worth", "str"]


def test_a_wrong_type_is_found_behind_the_text() -> None:
    with pytest.raises(RegistryError, match=r"type str of Order\.price does not match .* float"):

        @dataclass
        class Order(Storable):
            _registry = REG
            price: str = ""
