"""Writes in steps that are run again, and what listeners hear of writes."""

from __future__ import annotations

import copy
import logging
import threading
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import pytest

from step_scope import StepScope, entered
from store.client import StoreClient
from store.entities.idempotency import current_scope, next_event_id, part_of_step
from store.errors import AlreadyStored, EventIdReused, InvalidPeriod, VersionConflict
from store.events import ChangeEvent
from store.models import Order, Signal, Trade
from tests.store.desk import Desk
from tests.store.steps import step
from tests.store.values import HOUR, now, trade


def test_outside_of_a_step_nothing_is_numbered(alice: StoreClient) -> None:
    assert (current_scope(), next_event_id()) == (None, None)
    # A variable of somebody else that has the same name is not taken for it.
    foreign: ContextVar[StepScope] = ContextVar("idempotency_key")
    token = foreign.set(StepScope("somebody else's"))
    assert current_scope() is None
    foreign.reset(token)
    with step("outer"), entered(None):
        assert current_scope() is None
    with part_of_step("part"):
        assert next_event_id() is None
    assert alice.write(trade()) != alice.write(trade())
    assert alice.find_event("workflow 1:0:0") is None


def test_a_step_that_is_run_again_writes_nothing_twice(alice: StoreClient) -> None:
    outside = trade()
    alice.write(outside)

    def run() -> list[Any]:
        # As if the process had begun anew: objects, clocks and data are others.
        mine = alice.read(Trade, outside._store_entity_id)
        new, batch = trade(timestamp=now()), [trade(timestamp=now()) for _ in range(3)]
        with step() as running:
            found = [
                alice.write(new, valid_from=now() - HOUR),
                alice.update(new),
                alice.update(mine, valid_from=now() - HOUR),
                alice.write_many(batch),
                alice.update_many(batch),
                alice.delete(new),
            ]
        assert running.count == 10
        return [*found, new._store_tx_time, new._store_version, batch[2]._store_tx_time]

    first = run()
    events = alice.verify().events
    assert run() == first
    assert run() == first
    assert alice.verify().events == events == 11
    assert alice.find_event("workflow 1:0:0").entity_id == first[0]
    with step("workflow 1:1"):
        assert alice.write(trade()) != first[0]


def test_the_same_objects_may_be_given_again(alice: StoreClient) -> None:
    one, two = trade(), trade()
    with step():
        entity_id = alice.write(one)
        ids = alice.write_many([two])
        # In one run it is a mistake, in another a repetition.
        with pytest.raises(AlreadyStored):
            alice.write(one)
    with step():
        assert alice.write(one) == entity_id
        assert alice.write_many([two]) == ids
    assert alice.count() == 2


def test_numbers_count_writes_that_succeeded(alice: StoreClient) -> None:
    """What is tried again after an error has the same number in a run that meets no error."""
    obj = trade()
    alice.write(obj)
    stale = copy.copy(obj)
    alice.update(obj)
    with step() as running:
        for bad in (
            lambda: alice.update(stale),
            lambda: alice.update_many([stale, stale]),
            lambda: alice.write(trade(), valid_from=now(), valid_to=now() - HOUR),
        ):
            with pytest.raises((VersionConflict, InvalidPeriod)):
                bad()
            assert running.count == 0
        assert alice.update(alice.read(Trade, obj._store_entity_id)) == 3
    with step():
        assert alice.update(alice.read(Trade, obj._store_entity_id)) == 3


def test_a_block_that_is_rolled_back_gives_its_numbers_back(alice: StoreClient) -> None:
    with step() as running:
        alice.write(trade())
        with pytest.raises(InterruptedError), alice.transaction():  # noqa: PT012 - the whole block fails
            alice.write(trade())
            with alice.transaction():
                alice.write(trade())
            assert running.count == 3
            raise InterruptedError
        assert running.count == 1
        with alice.transaction():
            alice.write(trade())
            with pytest.raises(InterruptedError), alice.transaction():  # noqa: PT012 - the whole block fails
                alice.write(trade())
                raise InterruptedError
            assert running.count == 2
            second = alice.write(trade())
    assert alice.find_event("workflow 1:0:2").entity_id == second
    assert alice.count() == 3


def test_another_write_under_the_number_of_a_step_is_refused(alice: StoreClient) -> None:
    """A step must do the same writes in the same order; what differs cannot be a repetition."""
    one, two = trade(), trade()
    alice.write_many([one, two])
    with step():
        alice.update(one)
    others: list[Callable[[], object]] = [
        lambda: alice.update(two),
        lambda: alice.delete(one),
        lambda: alice.write(trade()),
    ]
    for other in others:
        with step(), pytest.raises(EventIdReused):
            other()
    with step("another"):
        alice.write(trade())
    with step("another"), pytest.raises(EventIdReused):
        alice.write(Signal(symbol="AAPL"))


def test_an_id_of_ones_own_keeps_its_strict_rule_and_takes_no_number(alice: StoreClient) -> None:
    with step() as running:
        entity_id = alice.write(trade(), event_id="mine")
        assert alice.write(trade(), event_id="mine") == entity_id
        with pytest.raises(EventIdReused):
            alice.write(trade(quantity=1), event_id="mine")
        assert running.count == 0


def test_a_part_that_is_left_out_shifts_no_number(alice: StoreClient) -> None:
    def run() -> str:
        with step():
            name = next_event_id()
            if alice.find_event(name) is None:
                with part_of_step(f"{name}/action"):
                    assert next_event_id() == "workflow 1:0:0/action:0"
                    alice.write(trade())
            alice.write(Order(symbol="AAPL"))
            return alice.write(trade())

    assert run() == run()
    assert alice.count() == 3


def test_the_ids_of_a_step_belong_to_its_user(alice: StoreClient, bob: StoreClient) -> None:
    with step():
        first = alice.write(trade())
    with step():
        assert bob.write(trade()) != first
    assert bob.find_event("workflow 1:0:0").owner == "bob"


def test_two_runs_of_a_step_at_once_write_once(desk: Desk) -> None:
    clients = [desk.client("alice") for _ in range(4)]
    gate = threading.Barrier(len(clients))
    found: list[str] = []

    def run(client: StoreClient) -> None:
        with step():
            gate.wait(30)
            found.append(client.write(trade()))

    threads = [threading.Thread(target=run, args=[client]) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(found) == 4
    assert len(set(found)) == 1
    assert clients[0].count() == 1


# --- listeners ------------------------------------------------------------------------------------


class Heard:
    def __init__(self) -> None:
        self.events: list[ChangeEvent] = []

    def emit(self, event: ChangeEvent) -> None:
        self.events.append(event)

    def take(self) -> list[tuple[str, int]]:
        told = [(event.event_type, event.version) for event in self.events]
        self.events.clear()
        return told


def test_listeners_hear_of_what_is_committed(desk: Desk) -> None:
    bus = Heard()
    client = desk.client("alice", event_bus=bus)
    obj = trade()
    client.write(obj, valid_from=now() - HOUR)
    (event,) = bus.events
    assert event == ChangeEvent(
        obj._store_entity_id,
        1,
        "CREATED",
        Trade.type_name(),
        "alice",
        None,
        obj._store_tx_time,
        owner="alice",
        valid_from=obj._store_valid_from,
        data=obj.to_json(),
    )
    bus.take()
    client.update_many([obj, obj])
    client.delete(obj, valid_to=now() + HOUR)
    assert bus.events[-1].valid_to == obj._store_valid_to
    assert bus.take() == [("UPDATED", 2), ("UPDATED", 3), ("DELETED", 4)]
    stale = copy.copy(obj)
    client.update(obj)
    with pytest.raises(VersionConflict):
        client.update(stale)
    assert bus.take() == [("UPDATED", 5)]


def test_listeners_hear_nothing_of_a_block_before_its_commit_or_without_it(desk: Desk) -> None:
    bus = Heard()
    client = desk.client("alice", event_bus=bus)
    obj = trade()
    with client.transaction():
        client.write(obj)
        with pytest.raises(InterruptedError), client.transaction():  # noqa: PT012 - the whole block fails
            client.update(obj)
            raise InterruptedError
        with client.transaction():
            client.update(obj)
        assert bus.take() == []
    assert bus.take() == [("CREATED", 1), ("UPDATED", 2)]
    with pytest.raises(InterruptedError), client.transaction():  # noqa: PT012 - the whole block fails
        client.update(obj)
        raise InterruptedError
    assert bus.take() == []


def test_a_repetition_is_no_event(desk: Desk) -> None:
    bus = Heard()
    client = desk.client("alice", event_bus=bus)
    for _ in range(2):
        client.write(trade(), event_id="once")
        with step():
            client.write_many([trade()])
    assert bus.take() == [("CREATED", 1), ("CREATED", 1)]


def test_a_bus_that_fails_is_logged_and_undoes_nothing(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken:
        def emit(self, event: ChangeEvent) -> None:
            raise ZeroDivisionError

    client = desk.client("alice", event_bus=Broken())
    with caplog.at_level(logging.ERROR):
        client.write(trade())
        with client.transaction():
            client.write(trade())
    assert client.count() == 2
    assert [r.exc_info[0] for r in caplog.records if r.exc_info] == [ZeroDivisionError] * 2
