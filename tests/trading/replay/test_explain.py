"""From what happened back to its causes: as data, text and a picture."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree as ET

import pytest

from store.client import StoreClient
from tests.store.fixtures import alice, desk
from tests.trading.replay.days import folded, venue_day
from tests.trading.replay.recorded import RUN, Crosser, trade_a_while
from trading.brokers import PaperBroker
from trading.engine import FillRecord, MatchRecord, OrderRecord
from trading.errors import ReplayError
from trading.journal import encode
from trading.journal import outputs as said
from trading.kernel import TickColumns
from trading.picker import TradePicker
from trading.replay import read_run, recipe_of
from trading.replay.explaining import Explanation, explain
from trading.replay.run_journal import Entry, Group, RecordedRun

__all__ = ["alice", "desk"]


class Signaller(Crosser):
    """Says what it thinks, and leaves the rest to the picker."""

    version = "7"

    def on_bar(self, ctx: Any, bar: Any) -> None:
        self.closes.append(float(bar.close))
        ctx.signal("SELL" if len(self.closes) % 2 else "BUY", bar.symbol, 3, reason="odd")


def kinds(found: Explanation) -> list[str]:
    return [each.kind for each in found.steps]


def test_a_fill_goes_back_to_its_ticks(alice: StoreClient) -> None:
    trade_a_while(alice, strategies=[Signaller(length=4)])
    recorded = read_run(alice, "ACC", RUN)
    recipe = recipe_of(
        recorded,
        strategies=[Signaller(length=4)],
        broker=PaperBroker("tick"),
        picker=TradePicker(3),
    )
    fills = [each for each in alice.query(FillRecord, limit=None) if each.strategy]
    found = explain(recorded, recipe, fills[-1].fill_id)
    chain = kinds(found)
    for kind in ("fill", "order", "decision", "signal", "bar", "tick", "market"):
        assert kind in chain, chain
    signal = next(each for each in found.steps if each.kind == "signal")
    assert "version 7" in signal.text
    assert "length=4" in signal.text
    assert signal.details["parameters_hash"]
    # Every step is a cause of something before it, and names an input of the journal.
    named = {cause for each in found.steps for cause in each.causes}
    assert named == set(range(1, len(found.steps)))
    numbers = {each.number for each in recorded.inputs()}
    assert {each.input_number for each in found.steps} <= numbers
    # A cause is never later than what it led to.
    for each in found.steps:
        assert all(found.steps[cause].time <= each.time for cause in each.causes)
    bar = next(each for each in found.steps if each.kind == "bar")
    ticks = [found.steps[cause] for cause in bar.causes]
    assert all(each.kind == "tick" for each in ticks)
    assert f"input {ticks[-1].input_number}" in found.text()
    data = found.as_data()
    assert data[0]["subject"] == fills[-1].fill_id
    picture = ET.fromstring(found.to_svg())
    boxes = [each for each in picture.iter() if each.tag.endswith("rect")]
    assert len(boxes) == 1 + len(found.steps)

    [match, *_] = alice.query(MatchRecord, limit=None)
    found = explain(recorded, recipe, f"{match.close_fill_id}:{match.open_fill_id}")
    assert kinds(found).count("fill") == 2
    found = explain(recorded, recipe, "pnl:Signaller:AAPL")
    assert kinds(found)[:3] == ["pnl", "match", "fill"]
    refused = next(
        each
        for each in folded_outputs(recorded, recipe)
        if isinstance(each, said.PickerDecision) and each.code != "OK"
    )
    found = explain(recorded, recipe, refused.signal_id)
    assert (found.steps[0].kind, found.steps[1].kind) == ("decision", "signal")
    assert refused.code in found.text()


def folded_outputs(recorded: RecordedRun, recipe: Any) -> list[Any]:
    kernel = recipe.kernel()
    return [output for each in recorded.inputs() for output in kernel.step(each.event)]


def test_a_refusal_names_the_limits_and_who_set_them(reader: StoreClient) -> None:
    recorded = read_run(reader, "ACC", RUN)
    recipe = recipe_of(
        recorded, strategies=[Crosser()], broker=PaperBroker("tick"), picker=TradePicker(3)
    )
    [denied] = reader.query(OrderRecord, {"status": "DENIED"})
    found = explain(recorded, recipe, denied.order_id)
    assert {"order", "decision", "limits", "command"} <= set(kinds(found))
    text = found.text()
    assert "risk refuses it: SIZE_MAX" in text
    assert "asked for by ann, approved by bob" in text
    by_strategy = [each for each in reader.query(OrderRecord, limit=None) if each.strategy]
    assert "bar" in kinds(explain(recorded, recipe, by_strategy[0].order_id))
    with pytest.raises(ReplayError, match="no order, fill, signal or match"):
        explain(recorded, recipe, "nothing")
    with pytest.raises(ReplayError, match="pnl:Crosser:AAPL"):
        explain(recorded, recipe, "pnl:Crosser:MSFT")


def test_busts_and_corrections_are_causes() -> None:
    tape, recipe = venue_day(6, 60)
    entries = [
        Entry(encode(each.to_batch() if isinstance(each, TickColumns) else each))  # type: ignore[arg-type]
        for each in (*tape.opening, *tape.pieces)
    ]
    recorded = RecordedRun("ACC", "live", (Group(1, entries, [], 0, "", 1),))
    back = [each for each in folded(tape, recipe)[1] if isinstance(each, said.FillTakenBack)]
    busted = next(each for each in back if not each.corrected_id)
    assert "busted (a wrong price)" in explain(recorded, recipe, busted.fill_id).text()
    corrected = next(each for each in back if each.corrected_id)
    found = explain(recorded, recipe, corrected.corrected_id)
    assert kinds(found)[:3] == ["fill", "report", "fill"]
    assert "in the place of" in found.text()
