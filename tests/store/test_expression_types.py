"""Expressions are checked against the types of one class, which may be finer than the catalog's."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone
from enum import Enum

import pytest

from reactive import Const, Field
from reactive.errors import ExpressionError
from reactive.expr.types import Type, field_types
from store import REGISTRY, Storable
from store.models import Order
from tests.store.registries import registry_of

NOON = datetime(2026, 2, 22, 12, tzinfo=timezone.utc)


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


def test_a_formula_runs_on_an_object_before_and_after_its_json() -> None:
    types = REGISTRY.types_for(Order)
    with pytest.raises(ExpressionError, match="expected a datetime"):
        (Field("timestamp") > Const("noon")).typed(types)
    since = (Field("timestamp") >= Const(NOON)).typed(types)
    order = Order("AAPL", 100, 1.5, "BUY")
    assert since.eval(order) is None
    order.timestamp = NOON
    assert since.eval(order) is True
    assert since.eval(Order.from_json(order.to_json())) is True
