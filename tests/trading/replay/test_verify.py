"""Recorded runs through the kernel again: the same, changed, or different."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from store.client import StoreClient
from tests.store.desk import Desk
from tests.store.fixtures import alice, desk
from tests.trading.replay.recorded import RUN, Crosser, engine_of
from trading.brokers import BasisPoints, PaperBroker
from trading.engine import EngineOptions
from trading.errors import ReplayError
from trading.journal.inputs import Tick
from trading.picker import TradePicker
from trading.replay import read_run, recipe_of, run_names, verify_run, what_if
from trading.replay.run_journal import Recipe, RecordedRun
from trading.risk import Limits

__all__ = ["alice", "desk"]


def recipe(recorded: RecordedRun, **more: Any) -> Recipe:
    made = {
        "strategies": [Crosser()],
        "broker": PaperBroker("tick"),
        "picker": TradePicker(3),
        **more,
    }
    return recipe_of(recorded, **made)


@pytest.fixture
def recorded(reader: StoreClient) -> RecordedRun:
    return read_run(reader, None, RUN)


def test_a_run_verifies_and_what_it_is_made_of_is_known(
    recorded_run: Desk, reader: StoreClient, recorded: RecordedRun
) -> None:
    [name] = run_names(reader)
    assert (name.account, name.run, name.groups) == ("ACC", RUN, len(recorded.groups))
    found = verify_run(recorded, recipe(recorded), reader)
    assert found, found.text()
    assert found.digest == recorded.digest
    assert found.inputs == sum(1 for _ in recorded.inputs())
    assert recorded.digest in found.text()
    assert recorded.strategies == ("Crosser",)
    assert recorded.broker == PaperBroker("tick").settings()
    assert list(recorded.specs) == ["AAPL"]
    with pytest.raises(ReplayError, match="no journal of run other"):
        read_run(reader, None, "other")
    with pytest.raises(ReplayError, match="there are: none"):
        read_run(recorded_run.client("bob"), None, RUN)


def test_the_first_event_that_differs_is_shown_with_its_cause(
    reader: StoreClient, recorded: RecordedRun
) -> None:
    found = verify_run(
        recorded, recipe(recorded, broker=PaperBroker("tick", BasisPoints(10))), reader
    )
    assert not found
    difference = found.difference
    assert difference is not None
    # The first fill is that of the market order by hand, or the strategy's, whichever came first.
    assert difference.recorded.startswith("FillRecord")
    assert difference.folded.startswith("FillRecord")
    assert "fee_amount was" in difference.reason
    numbered = {each.number: each for each in recorded.inputs()}
    cause = numbered[difference.input_number]
    assert type(cause.event).__name__ in difference.cause
    assert cause.group == difference.group
    assert "! recorded |" in found.text()
    assert "! here     |" in found.text()


def test_a_strategy_that_is_missing_is_the_difference(
    reader: StoreClient, recorded: RecordedRun
) -> None:
    found = verify_run(recorded, recipe(recorded, strategies=[]), reader)
    assert found.difference is not None
    assert "strategy=Crosser" in found.difference.recorded
    without_store = verify_run(recorded, recipe(recorded, strategies=[]))
    assert without_store.difference is not None
    assert without_store.difference.group == found.difference.group
    assert without_store.difference.recorded == ""


def test_what_the_kernel_could_not_process_is_passed_over(alice: StoreClient) -> None:
    with engine_of(alice, strategies=[], options=EngineOptions(lease_s=1.0)) as engine:
        engine.command(Tick(0, "AAPL", 22_800, 10))
        engine.send(Tick(0, "MSFT", 1, 1)).result(30)
        assert engine.status().trading_state == "HALTED"
    recorded = read_run(alice, "ACC", RUN)
    assert [each.error for each in recorded.inputs() if each.error]
    assert verify_run(recorded, recipe(recorded, strategies=[]), alice)


def test_other_parameters_limits_and_fees(reader: StoreClient, recorded: RecordedRun) -> None:
    original = recipe(recorded)
    same = what_if(recorded, original, recipe(recorded))
    assert not same.orders
    assert same.same_orders > 3
    assert same.recorded_digest == same.changed_digest == recorded.digest
    assert same.total("recorded") == same.total("changed")

    dear = what_if(
        recorded, original, recipe(recorded, broker=PaperBroker("tick", BasisPoints(10)))
    )
    assert {each.what for each in dear.orders} == {"OTHER"}
    assert all(each.fields == ("fees",) for each in dear.orders)
    fees = sum((row.changed.fees for row in dear.pnl), Decimal(0))
    paid = sum((each.changed.fees for each in dear.orders if each.changed), Decimal(0))
    assert fees == paid > 0
    assert dear.total("recorded") - dear.total("changed") == fees  # type: ignore[operator]

    # The replaced and cancelled order is the same one, whatever its id is in the changed run.
    larger = what_if(recorded, original, recipe(recorded, strategies=[Crosser(size=6)]))
    by_hand = [each for each in larger.orders if each.key[2] == ""]
    assert not by_hand
    assert {each.key[2] for each in larger.orders} <= {"Crosser"}

    bounded = what_if(recorded, original, recipe(recorded), limits=Limits(max_order_quantity=6))
    refused = {
        each.changed.quantity: each.changed.refusal for each in bounded.orders if each.changed
    }
    assert refused[Decimal(7)] == "SIZE_MAX"
    assert "(SIZE_MAX)" in bounded.text()


def test_a_comparison_begins_with_what_happened(recorded: RecordedRun) -> None:
    with pytest.raises(ReplayError, match="does not fold to its own digest"):
        what_if(recorded, recipe(recorded, strategies=[]), recipe(recorded))
