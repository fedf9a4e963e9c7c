"""The client restates what the API takes and gives, since it needs no store: both must agree."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel

from trading.api import schemas
from trading.api.record_views import view_of
from trading.client import shapes
from trading.engine.records import FillRecord, OrderRecord, PositionRecord
from trading.governance import ControlRequest, EmergencyReview, LimitsChange, ParametersChange

PRICED = {"last_price", "unrealized_amount", "value_amount"}
DECIDING = {"may", "mine"}


def names(shape: type[Any]) -> set[str]:
    return set(shape.__struct_fields__)


@pytest.mark.parametrize(
    ("shape", "records", "more"),
    [
        (shapes.Order, [OrderRecord], {"history"}),
        (shapes.Fill, [FillRecord], set()),
        # What a position is worth is added where its price may be read.
        (shapes.Position, [PositionRecord], PRICED),
        (shapes.Change, [LimitsChange, ParametersChange], {"changes", "history", *DECIDING}),
        (shapes.Review, [EmergencyReview], DECIDING),
        (shapes.Request, [ControlRequest], set()),
    ],
)
def test_a_type_of_the_client_has_the_fields_of_the_record(
    shape: type[Any], records: list[type[Any]], more: set[str]
) -> None:
    shown: set[str] = set()
    for record in records:
        fields = {"limits_json": "{}"} if record is LimitsChange else {}
        fields = {"parameters_json": "{}"} if record is ParametersChange else fields
        shown |= view_of(record(**fields)).keys()
    assert names(shape) == shown | more


@pytest.mark.parametrize(
    ("shape", "model"),
    [
        (shapes.NewOrder, schemas.OrderBody),
        (shapes.Answer, schemas.CommandAnswer),
        (shapes.Preview, schemas.PreviewAnswer),
        (shapes.Session, schemas.SessionAnswer),
        (shapes.Page, schemas.Page),
    ],
)
def test_a_type_of_the_client_has_the_fields_of_the_body(
    shape: type[Any], model: type[BaseModel]
) -> None:
    assert names(shape) == model.model_fields.keys()
