"""States and edges of an order: every edge of the table, and every edge that is not in it."""

from __future__ import annotations

import pickle
import re
from itertools import product

import pytest

from tests.processes import ROOT
from trading.orders import EDGES, EVENTS, InvalidOrderEvent, OrderStatus, next_status
from trading.orders.status import OPEN, PENDING, TERMINAL, WORKING, status_diagram

# The specification, written by hand: state, then what each event leads to.
TABLE = """
INITIALIZED: DENIED EMULATED RELEASED SUBMITTED REJECTED ACCEPTED CANCELED EXPIRED TRIGGERED UPDATED=stay
EMULATED: RELEASED CANCELED EXPIRED UPDATED=stay
RELEASED: SUBMITTED DENIED CANCELED UPDATED=stay
SUBMITTED: ACCEPTED REJECTED PENDING_UPDATE PENDING_CANCEL CANCELED PARTIALLY_FILLED FILLED UPDATED=stay
ACCEPTED: PENDING_UPDATE PENDING_CANCEL TRIGGERED CANCELED EXPIRED REJECTED PARTIALLY_FILLED FILLED UPDATED=stay
TRIGGERED: PENDING_UPDATE PENDING_CANCEL CANCELED EXPIRED REJECTED PARTIALLY_FILLED FILLED UPDATED=stay
PARTIALLY_FILLED: PENDING_UPDATE PENDING_CANCEL CANCELED EXPIRED ACCEPTED PARTIALLY_FILLED FILLED UPDATED=stay
PENDING_UPDATE: PENDING_CANCEL ACCEPTED TRIGGERED CANCELED EXPIRED REJECTED FILLED PARTIALLY_FILLED=stay PENDING_UPDATE=stay UPDATED=back UPDATE_REJECTED=back
PENDING_CANCEL: ACCEPTED CANCELED EXPIRED REJECTED FILLED PARTIALLY_FILLED=stay PENDING_CANCEL=stay CANCEL_REJECTED=back
CANCELED: PARTIALLY_FILLED FILLED
DENIED:
REJECTED:
EXPIRED:
FILLED:
"""  # noqa: E501


def specified() -> dict[tuple[str, str], str]:
    found = {}
    for line in TABLE.strip().splitlines():
        state, _, events = line.partition(":")
        for event in events.split():
            name, _, way = event.partition("=")
            found[state, name] = way or name
    return found


SPECIFIED = specified()


@pytest.mark.parametrize(("state", "event"), list(product([s.value for s in OrderStatus], EVENTS)))
def test_every_state_with_every_event(state: str, event: str) -> None:
    status = OrderStatus(state)
    way = SPECIFIED.get((state, event))
    if way is None:
        with pytest.raises(InvalidOrderEvent) as caught:
            next_status(status, event, order_id="o-1")
        message = str(caught.value)
        assert "o-1" in message
        assert state in message
        assert event in message
        assert str(pickle.loads(pickle.dumps(caught.value))) == message
        return
    expected = {"stay": status, "back": OrderStatus.TRIGGERED}.get(way) or OrderStatus(way)
    assert next_status(status, event, previous=OrderStatus.TRIGGERED) is expected


def test_the_table_is_the_specification() -> None:
    assert len(OrderStatus) == 14
    assert {(s.value, e): to for s, ways in EDGES.items() for e, to in ways.items()} == SPECIFIED


def test_events_that_are_none_are_refused() -> None:
    for status, event in ((OrderStatus.ACCEPTED, "INITIALIZED"), ("LOST", "FILLED")):
        with pytest.raises(InvalidOrderEvent):
            next_status(status, event)


def test_a_state_is_its_text() -> None:
    assert OrderStatus.FILLED == "FILLED"
    assert f"{OrderStatus.FILLED}" == "FILLED"
    assert next_status("SUBMITTED", "ACCEPTED") is OrderStatus.ACCEPTED
    assert OrderStatus("FILLED") in {"FILLED"}


def test_kinds_of_states() -> None:
    assert {s for s in OrderStatus if not EDGES[s]} | {OrderStatus.CANCELED} == TERMINAL
    assert not (WORKING | PENDING) & TERMINAL
    assert set(OrderStatus) == OPEN | TERMINAL
    for status in OrderStatus:
        if "PENDING_CANCEL" in EDGES[status] and status not in PENDING:
            assert status in WORKING or status is OrderStatus.SUBMITTED


def test_the_picture_in_the_docs_is_the_table() -> None:
    page = (ROOT / "docs" / "orders.md").read_text("utf-8")
    [picture] = re.findall(r"```mermaid\n(.*?)```", page, re.DOTALL)
    assert picture == status_diagram()
    drawn = set(re.findall(r"^    (\w+) --> (\w+)", picture, re.MULTILINE))
    for (state, event), way in SPECIFIED.items():
        if way not in ("stay", "back"):
            assert (state, event) in drawn
