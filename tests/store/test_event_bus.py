"""The bus by itself: who hears of what."""

from __future__ import annotations

import logging
from datetime import datetime, timezone
from typing import Any

import pytest

from store import Order, Trade
from store.subscriptions import ChangeEvent, EventBus, SubscriptionError

AT = datetime(2026, 2, 22, tzinfo=timezone.utc)


def event(entity_id: str = "e1", type_name: str = "store.models.Order") -> ChangeEvent:
    return ChangeEvent(entity_id, 1, "CREATED", type_name, "alice", None, AT)


def test_by_type_by_entity_and_all() -> None:
    bus, heard = EventBus(), []
    bus.on("Order", lambda e: heard.append("short"))
    bus.on("store.models.Order", lambda e: heard.append("full"))
    bus.on(Order, lambda e: heard.append("class"))
    bus.on("Trade", lambda e: heard.append("trade"))
    bus.on("models.Order", lambda e: heard.append("part of a name"))
    bus.on_entity("e1", lambda e: heard.append("entity"))
    bus.on_all(lambda e: heard.append("all"))
    bus.emit(event())
    assert heard == ["full", "class", "short", "entity", "all"]
    heard.clear()
    bus.emit(event("e2", "desk.Trade"))
    assert heard == ["trade", "all"]
    heard.clear()
    bus.emit(event("e2", "desk.tests.<locals>.Order"))
    assert heard == ["short", "all"]


def test_a_class_hears_of_its_former_names() -> None:
    class Moved(Order):
        _type_aliases = ("desk.old.Swap",)

    bus, heard = EventBus(), []
    bus.on(Moved, heard.append)
    bus.emit(event(type_name="desk.old.Swap"))
    bus.emit(event(type_name=Moved.type_name()))
    assert len(heard) == 2


def test_a_callback_hears_an_event_once() -> None:
    bus, heard = EventBus(), []
    bus.on("Order", heard.append)
    bus.on("store.models.Order", heard.append)
    bus.on_entity("e1", heard.append)
    bus.on_all(heard.append)
    bus.emit(event())
    assert heard == [event()]


def test_off_undoes_on() -> None:
    bus, heard = EventBus(), []
    bus.on(Order, heard.append)
    bus.on_entity("e1", heard.append)
    bus.on_all(heard.append)
    bus.off("Trade", heard.append)
    bus.off_entity("e2", heard.append)
    bus.off(Order, heard.append)
    bus.off_entity("e1", heard.append)
    bus.emit(event())
    assert len(heard) == 1
    bus.off_all(heard.append)
    bus.off_all(heard.append)
    bus.emit(event())
    assert len(heard) == 1


def test_a_callback_that_raises_disturbs_nobody(caplog: pytest.LogCaptureFixture) -> None:
    bus, heard = EventBus(), []

    def bad(e: ChangeEvent) -> None:
        raise ZeroDivisionError("in a callback")

    bus.on("Order", bad)
    bus.on_all(heard.append)
    with caplog.at_level(logging.ERROR):
        bus.emit(event())
    assert heard == [event()]
    assert "in a callback" in caplog.text
    assert "Traceback" in caplog.text
    assert (bus.counts.emitted, bus.counts.called, bus.counts.raised) == (1, 2, 1)


def test_a_callback_may_register_another_one() -> None:
    bus, heard = EventBus(), []
    bus.on_all(lambda e: bus.on_all(heard.append))
    bus.emit(event())
    assert heard == []
    bus.emit(event())
    assert heard == [event()]


@pytest.mark.parametrize("key", ["", None, 7, int])
def test_what_names_no_type(key: Any) -> None:
    with pytest.raises(SubscriptionError, match="names no type"):
        EventBus().on(key, print)


def test_what_cannot_be_called() -> None:
    for register in (EventBus().on_all, lambda c: EventBus().on(Trade, c)):
        with pytest.raises(SubscriptionError, match="cannot be called"):
            register("print")
