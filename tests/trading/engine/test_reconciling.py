"""The books of the engine and of the broker differ: what is explained, and what halts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.processes import wait_until
from tests.store.desk import Desk
from tests.store.fixtures import desk
from tests.trading.engine.trader import engine_of
from tests.trading.engine.world import OPTIONS, QUIET_SECONDS, World
from tests.trading.exchange.process import ExchangeProcess
from tests.trading.verified import await_verified
from trading.engine import JournalSegment
from trading.exchange import ExchangeBroker
from trading.journal.outputs import SendOrder
from trading.journal.reports import OrderCanceled, OrderFilled
from trading.orders import OrderRequest

__all__ = ["desk"]


@pytest.fixture
def exchange(tmp_path: Path) -> Iterator[ExchangeProcess]:
    with ExchangeProcess(tmp_path, *OPTIONS) as process:
        yield process


@pytest.fixture
def world(desk: Desk, exchange: ExchangeProcess) -> Iterator[World]:
    """One in which the makers stand still, and somebody sells at 105."""
    with exchange.admin() as admin:
        admin.pause()
    with exchange.broker("BOB") as other:
        other.connect()
        other.wait_connected(60)
        sale = order_of("bob-0", 500, 10_500)
        other.submit(msgspec.structs.replace(sale, account="BOB", side=-1))
        wait_until(other.open_orders, 60, "what somebody offers")
    found = World(desk, exchange, 4)
    yield found
    found.close()


def order_of(order_id: str, quantity: int, price: int) -> SendOrder:
    return SendOrder(
        *(1, order_id, "ACC", "AAPL", 1, quantity, "LIMIT", price, None, "GTC", None),
        *(False, False, None, None),
    )


def test_what_nobody_can_explain_halts_the_account(world: World, exchange: ExchangeProcess) -> None:
    with exchange.broker() as stranger:
        stranger.connect()
        stranger.wait_connected(60)
        stranger.submit(order_of("by-hand-1", 7, 9_000))
        wait_until(stranger.open_orders, 60, "the order of somebody else")
    engine = engine_of(world.config())
    engine.start(QUIET_SECONDS)
    try:
        status = engine.status()
        assert status.trading_state == "HALTED"
        assert "by-hand-1" in status.state_reason
        assert "ACCEPTED at exchange and unknown here" in status.state_reason
        denied = engine.submit(OrderRequest("ACC", "AAPL", "BUY", 1, "LIMIT", "90"))
        assert engine.order(denied).status == "DENIED"  # type: ignore[union-attr]
    finally:
        engine.stop()


def test_fills_that_came_meanwhile_are_booked_as_reconciled(
    desk: Desk, world: World, exchange: ExchangeProcess
) -> None:
    engine = engine_of(world.config())
    engine.start(QUIET_SECONDS)
    order_id = engine.submit(OrderRequest("ACC", "AAPL", "BUY", 5, "LIMIT", "99.50"))
    wait_until(lambda: engine.order(order_id).status == "ACCEPTED", QUIET_SECONDS, "the answer")  # type: ignore[union-attr]
    engine.stop()
    with exchange.broker("BOB") as other:
        other.connect()
        other.wait_connected(60)
        sale = order_of("bob-1", 500, 9_950)
        other.submit(msgspec.structs.replace(sale, account="BOB", side=-1))
        wait_until(lambda: other.positions().get("AAPL", 0) < 0, 60, "the sale")
    later = engine_of(world.config())
    later.start(QUIET_SECONDS)
    assert later.status().positions == {"AAPL": 5}
    store = desk.client("alice")
    [segment] = store.query(JournalSegment)
    notes = [
        entry.note
        for group in store.history(JournalSegment, segment._store_entity_id or "")
        for entry in group.group().entries
        if entry.sequence
    ]
    assert notes == ["", "reconciled"]
    later.stop()


class Deaf:
    """A broker that loses reports, as a stream of a venue may that does not number them."""

    def __init__(self, broker: ExchangeBroker) -> None:
        self.broker = broker
        self.lost: list[object] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.broker, name)

    def poll(self, timeout: float = 0.0, limit: int = 1_000) -> list[Any]:
        events = self.broker.poll(timeout, limit)
        lost = [
            each
            for each in events
            if isinstance(getattr(each, "report", None), (OrderFilled, OrderCanceled))
        ]
        self.lost += lost
        return [each for each in events if each not in lost]


def deaf_engine(world: World, made: list[Deaf]) -> Any:
    engine = engine_of(world.config())
    make = engine._broker

    def broker() -> Any:
        made.append(Deaf(make()))  # type: ignore[operator]
        return made[-1]

    engine._broker = broker
    engine.start(QUIET_SECONDS)
    return engine


def status_of(engine: Any, order_id: str) -> str:
    return str(engine.order(order_id).status)


@pytest.mark.parametrize("again", ["restart", "reconnect"])
def test_reports_that_were_lost_are_explained_by_the_broker(world: World, again: str) -> None:
    made: list[Deaf] = []
    engine = deaf_engine(world, made)
    filled = engine.submit(OrderRequest("ACC", "AAPL", "BUY", 5, "LIMIT", "105.00"))
    gone = engine.submit(
        OrderRequest("ACC", "AAPL", "BUY", 9, "LIMIT", "90.00", time_in_force="IOC")
    )
    heard = engine.submit(OrderRequest("ACC", "AAPL", "BUY", 1, "LIMIT", "90.00"))
    wait_until(lambda: status_of(engine, heard) == "ACCEPTED", QUIET_SECONDS, "the last answer")
    assert len(made[0].lost) >= 2
    assert engine.status().positions == {}
    if again == "restart":
        engine.stop()
        engine = engine_of(world.config())
        engine.start(QUIET_SECONDS)
    else:
        world.relay.cut()
        world.relay.mend()
    try:
        wait_until(lambda: engine.status().positions, QUIET_SECONDS, "the missed fill")
        wait_until(lambda: status_of(engine, gone) == "CANCELED", QUIET_SECONDS, "the missed end")
        wait_until(lambda: not engine.status().problem, QUIET_SECONDS, "the agreement")
        status = engine.status()
        assert status.trading_state == "ACTIVE"
        assert status.positions == {"AAPL": 5}
        assert [each.order_id for each in status.open_orders] == [heard]
        assert status_of(engine, filled) == "FILLED"
        await_verified(engine)
    finally:
        engine.stop()


def test_what_nobody_can_explain_halts_after_a_reconnect_too(
    world: World, exchange: ExchangeProcess
) -> None:
    engine = engine_of(world.config())
    engine.start(QUIET_SECONDS)
    try:
        resting = engine.submit(OrderRequest("ACC", "AAPL", "BUY", 5, "LIMIT", "90.00"))
        wait_until(lambda: status_of(engine, resting) == "ACCEPTED", QUIET_SECONDS, "the answer")
        world.relay.cut()
        with exchange.broker() as stranger:
            stranger.connect(epoch=engine.status().epoch)
            stranger.wait_connected(60)
            stranger.submit(order_of("by-hand-2", 7, 9_000))
            wait_until(lambda: len(stranger.open_orders()) == 2, 60, "the order of somebody else")
        world.relay.mend()
        wait_until(
            lambda: engine.status().trading_state == "HALTED", QUIET_SECONDS, "the account's halt"
        )
        assert "by-hand-2" in engine.status().state_reason
        denied = engine.submit(OrderRequest("ACC", "AAPL", "BUY", 1, "LIMIT", "90"))
        assert status_of(engine, denied) == "DENIED"
    finally:
        engine.stop()
