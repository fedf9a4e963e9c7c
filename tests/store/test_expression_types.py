"""Expressions take the types of their fields from the registry."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone
from enum import Enum

import pytest

from reactive import Const, Field
from reactive.errors import ExpressionError
from reactive.types import ColumnTypes, Type, field_types
from store import REGISTRY, Storable
from store.models import Order
from tests.store.registries import registry_of

# The store satisfies what expressions ask of a catalogue: mypy checks this assignment.
CATALOGUE: ColumnTypes = REGISTRY
NOON = datetime(2026, 2, 22, 12, tzinfo=timezone.utc)


def test_the_registry_is_a_catalogue_of_types() -> None:
    known = field_types(CATALOGUE)
    assert known("price") is Type.FLOAT
    assert known("trader_name") is Type.STR
    assert known("timestamp") is Type.DATETIME
    assert known("amount") is Type.DECIMAL
    assert known("nothing") is None


def test_expressions_are_checked_against_the_catalogue() -> None:
    worth = (Field("price") * Field("quantity")).typed(CATALOGUE)
    order = Order("AAPL", 100, 1.5, "BUY")
    assert worth.eval(order) == 150.0
    with pytest.raises(ExpressionError, match="symbol"):
        (Field("symbol") * Const(2)).typed(CATALOGUE)
    with pytest.raises(ExpressionError, match="expected a datetime"):
        (Field("timestamp") > Const("noon")).typed(REGISTRY.types_for(Order))
    since = (Field("timestamp") >= Const(NOON)).typed(REGISTRY.types_for(Order))
    assert since.eval(order) is None
    order.timestamp = NOON
    assert since.eval(order) is True
    assert since.eval(Order.from_json(order.to_json())) is True


def test_a_class_gives_its_own_types() -> None:
    class Side(Enum):
        BUY = "BUY"

    @dataclass
    class Quote(Storable):
        _registry = registry_of(
            side=str, at={"python_type": datetime, "nullable": True}, tags=list[str]
        )
        side: Side
        at: datetime | None
        tags: list[str]

    known = field_types(Quote._registry.types_for(Quote))
    assert known("side") is Type.STR
    assert known("at") is Type.DATETIME
    assert known("tags") is None
    assert field_types(Order)("price") is Type.FLOAT
