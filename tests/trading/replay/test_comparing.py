"""A recorded run against its replay and a changed one, as the API tells both."""

from __future__ import annotations

import dataclasses
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from store.client import StoreClient
from tests.trading.replay.recorded import RUN
from trading.api.problems import Problem
from trading.api.replay.comparing import changes_of, compared, run_recipe, verified
from trading.api.settings import RunSettings, RunStrategy
from trading.errors import LimitsError, SettingsError
from trading.replay.run_journal import RecordedRun, read_run

CROSSER = RunStrategy("tests.trading.replay.recorded:Crosser")
SETTINGS = RunSettings("ACC", RUN, {"alice": "trader"}, (CROSSER,))
KNOWN = {"Crosser": CROSSER, "TurnTaking": RunStrategy("trading.strategy.examples:TurnTaking")}
NOTHING: dict[str, Any] = {
    **{"strategy": "", "parameters": {}, "other_strategy": "", "limits": None},
    **{"fill_model": None, "commission": "", "max_open": None},
}


@pytest.fixture
def recorded(reader: StoreClient) -> RecordedRun:
    return read_run(reader, "ACC", RUN)


def changed(recorded: RecordedRun, **asked: Any) -> dict[str, Any]:
    changes = changes_of(SETTINGS, KNOWN, {**NOTHING, **asked}, ["AAPL"])
    found = compared(SETTINGS, recorded, changes)
    assert msgspec.json.decode(msgspec.json.encode(found)) == found
    return found


@pytest.mark.shared_database
def test_a_run_leads_to_its_digest_and_other_code_does_not(
    reader: StoreClient, recorded: RecordedRun
) -> None:
    same = verified(recorded, run_recipe(SETTINGS, recorded), reader)
    assert (same["is_equal"], same["difference"]) == (True, None)
    assert same["digest"] == recorded.digest
    larger = RunStrategy(CROSSER.where, {"size": 6})
    other = dataclasses.replace(SETTINGS, strategies=(larger,))
    found = verified(recorded, run_recipe(other, recorded), reader)
    assert msgspec.json.decode(msgspec.json.encode(found)) == found
    assert not found["is_equal"]
    difference = found["difference"]
    assert difference["recorded_digest"] != difference["digest_here"]
    assert "was 5 and is 6 here" in difference["reason"]
    assert any(not each["is_same"] for each in difference["lines"])


@pytest.mark.shared_database
def test_what_would_have_been_different_is_told_order_by_order(recorded: RecordedRun) -> None:
    larger = changed(recorded, parameters={"size": 6})
    [quantities] = {
        (each["recorded"]["quantity"], each["changed"]["quantity"])
        for each in larger["orders"]
        if each["recorded"] and each["recorded"]["strategy"] and each["changed"]
    }
    assert quantities == ("5", "6")
    assert larger["same_orders"] > 0
    dear = changed(recorded, commission="per-share 1")
    fees = {each["symbol"]: each["changed"]["fees"] for each in dear["pnl"] if each["strategy"]}
    assert Decimal(fees["AAPL"]) > 0
    assert dear["totals"]["recorded"] == larger["totals"]["recorded"]
    assert dear["totals"]["changed"] != dear["totals"]["recorded"]
    tight = changed(recorded, limits={"max_order_quantity": "4"})
    refusals = {each["changed"]["refusal"] for each in tight["orders"] if each["changed"]}
    assert "SIZE_MAX" in refusals
    other = changed(recorded, strategy="Crosser", other_strategy="TurnTaking")
    strategies = {
        each["changed"]["strategy"] for each in other["orders"] if each["changed"] is not None
    }
    assert "Crosser" not in strategies


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"parameters": {"length": 2}, "strategy": "Cross"}, "Crosser"),
        ({"parameters": {"lenght": 2}}, "it has: length, size"),
        ({"parameters": {"length": "long"}}, "length"),
        ({"other_strategy": "os:system"}, "there are Crosser, TurnTaking"),
    ],
)
def test_changes_that_cannot_be_are_told_before_anything_is_read(
    asked: dict[str, Any], told: str
) -> None:
    with pytest.raises(Problem) as caught:
        changes_of(SETTINGS, KNOWN, {**NOTHING, **asked}, ["AAPL"])
    assert (caught.value.status, told in caught.value.detail) == (422, True), caught.value.detail


def test_limits_and_commissions_that_are_none_are_told() -> None:
    with pytest.raises(LimitsError, match="max_order_quantity"):
        changes_of(SETTINGS, KNOWN, {**NOTHING, "limits": {"max_ordr": "1"}}, ["AAPL"])
    with pytest.raises(SettingsError, match="per-share"):
        changes_of(SETTINGS, KNOWN, {**NOTHING, "commission": "free"}, ["AAPL"])
    by_hand = dataclasses.replace(SETTINGS, strategies=())
    with pytest.raises(Problem, match="by hand alone"):
        changes_of(by_hand, {}, {**NOTHING, "parameters": {"size": 1}}, ["AAPL"])
