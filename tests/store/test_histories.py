"""Random histories against the one rule of the bi-temporal model, in plain lists."""

from __future__ import annotations

import itertools
import os
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from store.client import StoreClient
from store.models import Trade

HISTORIES = 2_000 if os.environ.get("HYPOTHESIS_PROFILE") == "nightly" else 120
MINUTE = timedelta(minutes=1)
TICK = timedelta(microseconds=1)
FOR_EVER = datetime.max.replace(tzinfo=timezone.utc)
_marks = itertools.count(1)


@dataclass(frozen=True)
class Event:
    """What the model keeps of an event."""

    version: int
    event_type: str
    tx_time: datetime
    valid_from: datetime
    valid_to: datetime
    quantity: int


def value_at(events: list[Event], tx_time: datetime, valid_time: datetime) -> Event | None:
    """The rule: the newest event recorded by then whose period contains the valid time."""
    for event in reversed(events):
        if event.tx_time <= tx_time and event.valid_from <= valid_time < event.valid_to:
            return None if event.event_type == "DELETED" else event
    return None


def as_event(obj: Trade) -> Event:
    return Event(
        obj._store_version,
        obj._store_event_type,
        obj._store_tx_time,
        obj._store_valid_from,
        obj._store_valid_to or FOR_EVER,
        obj.quantity,
    )


# Minutes around now, never now itself; None is the default: from now on, or for ever.
_minute = st.integers(-5, 5).filter(bool)
_periods = st.tuples(st.none() | _minute, st.none() | _minute)
_steps = st.tuples(
    st.sampled_from(["update", "update", "delete", "both", "twice", "block", "undone"]),
    st.integers(0, 1),
    _periods,
)


class History:
    """Two entities, written through a client and in the model alike."""

    def __init__(self, client: StoreClient, periods: list[tuple[Any, Any]]) -> None:
        self.client = client
        self.symbol = f"S{next(_marks)}"
        self.base = datetime.now(timezone.utc)
        self.quantity = 0
        self.objects: list[Trade] = []
        self.events: list[list[Event]] = []
        for period in periods:
            obj = Trade(symbol=self.symbol, quantity=self.next_quantity())
            client.write(obj, **self.bounds(period))
            self.objects.append(obj)
            self.events.append([as_event(obj)])

    def next_quantity(self) -> int:
        self.quantity += 1
        return self.quantity

    def moment(self, minutes: int) -> datetime:
        return self.base + minutes * MINUTE

    def bounds(self, period: tuple[int | None, int | None]) -> dict[str, datetime | None]:
        start, end = period
        if end is not None and end <= (start or 0):
            end = (start or 0) + 1
        return {
            "valid_from": None if start is None else self.moment(start),
            "valid_to": None if end is None else self.moment(end),
        }

    def step(self, action: str, which: int, period: tuple[int | None, int | None]) -> None:
        obj, events, bounds = self.objects[which], self.events[which], self.bounds(period)
        before = dict(vars(obj))
        obj.quantity = self.next_quantity()
        if action == "update":
            self.client.update(obj, **bounds)
        elif action == "delete":
            # A tombstone carries what was there before, not what the object says by now.
            obj.quantity = events[-1].quantity
            self.client.delete(obj, **bounds)
        elif action == "both":
            other = self.objects[1 - which]
            other.quantity = self.next_quantity()
            self.client.update_many([obj, other], **bounds)
            self.events[1 - which].append(as_event(other))
        elif action == "twice":
            self.client.update_many([obj, obj], **bounds)
            first = self.client.history(Trade, obj._store_entity_id)[-2]
            events.append(as_event(first))
        elif action == "block":
            with self.client.transaction():
                self.client.update(obj, **bounds)
                events.append(as_event(obj))
                obj.quantity = self.next_quantity()
                self.client.update(obj, **bounds)
        else:
            with pytest.raises(InterruptedError), self.client.transaction():  # noqa: PT012 - the whole block fails
                self.client.update(obj, **bounds)
                raise InterruptedError
            obj.quantity = before["quantity"]
            assert vars(obj) == before
            return
        events.append(as_event(obj))

    def batch(self, changes: list[tuple[str, int, tuple[int | None, int | None]]]) -> None:
        """Write changes in one call; a number that no object has is that of a new one."""
        written: list[tuple[int, int]] = []
        with self.client.batch() as batch:
            for action, number, period in changes:
                which, bounds = min(number, len(self.objects)), self.bounds(period)
                if which == len(self.objects):
                    obj = Trade(symbol=self.symbol, quantity=self.next_quantity())
                    batch.write(obj, **bounds)
                    self.objects.append(obj)
                    self.events.append([])
                elif action == "delete":
                    of_this = [quantity for number, quantity in written if number == which]
                    self.objects[which].quantity = (
                        of_this[-1] if of_this else self.events[which][-1].quantity
                    )
                    batch.delete(self.objects[which], **bounds)
                else:
                    self.objects[which].quantity = self.next_quantity()
                    batch.update(self.objects[which], **bounds)
                written.append((which, self.objects[which].quantity))
        for (which, quantity), (_, _, period), receipt in zip(
            written, changes, batch.receipts, strict=True
        ):
            start, end = self.bounds(period).values()
            assert start in (None, receipt.valid_from)
            assert receipt.valid_to == (end or FOR_EVER)
            corrects = receipt.event_type == "CORRECTED"
            assert not corrects or receipt.valid_from < receipt.tx_time
            self.events[which].append(
                Event(
                    receipt.version,
                    receipt.event_type,
                    receipt.tx_time,
                    receipt.valid_from,
                    receipt.valid_to,
                    quantity,
                )
            )

    def moments(self) -> list[datetime]:
        """The moments at which something changes, and those next to them."""
        bounds = {
            moment
            for events in self.events
            for event in events
            for moment in (event.tx_time, event.valid_from, event.valid_to)
            if moment < FOR_EVER
        }
        return sorted({m + shift for m in bounds for shift in (-TICK, timedelta(0), TICK)})


def check_history(client: StoreClient, starts: Any, steps: Any, data: st.DataObject) -> None:
    """Write a history, and compare every way of reading it with the rule."""
    history = History(client, list(starts))
    for action, which, period in steps:
        history.step(action, which, period)
    check_reading(history, data)


def check_reading(history: History, data: st.DataObject) -> None:
    client = history.client
    now = datetime.now(timezone.utc)
    ids = [obj._store_entity_id for obj in history.objects]
    for entity_id, events in zip(ids, history.events, strict=True):
        assert [event.version for event in events] == list(range(1, len(events) + 1))
        assert [as_event(obj) for obj in client.history(Trade, entity_id)] == events
        read = client.read(Trade, entity_id)
        assert (None if read is None else as_event(read)) == value_at(events, now, now)
        assert read is None or read._store_newest_version == len(events)

    present = [value_at(events, now, now) for events in history.events]
    found = client.query(Trade, {"symbol": history.symbol})
    assert [as_event(obj) for obj in found] == [event for event in present if event is not None]
    assert client.count(Trade, {"symbol": history.symbol}) == len(found)

    moments = st.sampled_from(history.moments())
    # What will have been recorded at a time to come is refused.
    recorded = moments.filter(lambda moment: moment <= now)
    for _ in range(3):
        tx_time = data.draw(st.none() | recorded)
        valid_time = data.draw(st.none() | moments)
        values = []
        for entity_id, events in zip(ids, history.events, strict=True):
            expected = value_at(events, tx_time or FOR_EVER, valid_time or now)
            value = client.as_of(Trade, entity_id, tx_time=tx_time, valid_time=valid_time)
            assert (None if value is None else as_event(value)) == expected
            values += [] if expected is None else [expected]
        book = client.query(
            Trade, {"symbol": history.symbol}, tx_time=tx_time, valid_time=valid_time
        )
        assert [as_event(obj) for obj in book] == values


GIVEN = {
    "starts": st.tuples(_periods, _periods),
    "steps": st.lists(_steps, max_size=8),
    "data": st.data(),
}
NO_DEADLINE: dict[str, Any] = {
    "deadline": None,
    "suppress_health_check": [HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
}


@settings(max_examples=HISTORIES, **NO_DEADLINE)
@given(**GIVEN)
def test_every_reading_follows_the_rule(
    alice: StoreClient, starts: Any, steps: Any, data: st.DataObject
) -> None:
    check_history(alice, starts, steps, data)


_batches = st.lists(
    st.lists(
        st.tuples(
            st.sampled_from(["update", "update", "update", "delete"]),
            st.integers(0, 4),
            # Mostly the usual period, for which a batch is written in one statement.
            st.just((None, None))
            | st.tuples(st.none() | st.integers(-5, -1), st.none())
            | _periods,
        ),
        min_size=1,
        max_size=8,
    ),
    max_size=4,
)


@settings(max_examples=HISTORIES // 4, **NO_DEADLINE)
@given(starts=st.tuples(_periods, _periods), batches=_batches, data=st.data())
def test_batches_follow_the_rule(
    alice: StoreClient, starts: Any, batches: Any, data: st.DataObject
) -> None:
    history = History(alice, list(starts))
    for changes in batches:
        history.batch(changes)
    check_reading(history, data)
    assert alice.verify()


def test_nothing_was_lost_or_altered_by_any_history(alice: StoreClient) -> None:
    history = History(alice, [(None, None), (-3, 3)])
    for step in [("update", 0, (-4, -2)), ("delete", 1, (-1, 2)), ("twice", 0, (None, None))]:
        history.step(*step)
    checked = alice.verify()
    assert checked
    assert (checked.entities, checked.events) == (2, 6)
