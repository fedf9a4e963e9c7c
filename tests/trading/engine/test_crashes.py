"""The engine is killed at random against an exchange that keeps its own books; both sides agree."""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.processes import Process, wait_until
from tests.store.desk import Desk, password_of
from tests.store.fixtures import alice, desk, store_server
from tests.trading.engine.relay import Relay
from tests.trading.engine.trader import AAPL, LEASE_S, engine_of
from tests.trading.exchange.process import KEYS, ExchangeProcess
from trading.engine import (
    AlertRecord,
    FillRecord,
    JournalSegment,
    OrderRecord,
    Phase,
    PositionRecord,
    TradingEngine,
)
from trading.errors import EngineError, EngineTimeout
from trading.exchange import ExchangeBroker, Fault
from trading.exchange.faults import FAULT_KINDS
from trading.journal.inputs import Clock
from trading.journal.outputs import SendOrder
from trading.journal.reports import OrderCanceled, OrderFilled
from trading.orders import OrderRequest

__all__ = ["alice", "desk", "store_server"]

ROUNDS = int(os.environ.get("ENGINE_ROUNDS", "1000"))
QUIET_SECONDS = 60.0
OPTIONS = (
    *("--instrument", "AAPL=100.00", "--makers", "3", "--maker-interval", "0.02"),
    *("--maker-fee", "-0.2", "--taker-fee", "1.5", "--maker-size", "30"),
)


class World:
    """An exchange, a store, and engines that come and go."""

    def __init__(self, desk: Desk, exchange: ExchangeProcess, seed: int) -> None:
        self.desk = desk
        self.exchange = exchange
        self.chance = random.Random(seed)
        self.seed = seed

    def config(self, **more: Any) -> dict[str, Any]:
        login = {"user": "alice", "password": password_of("alice"), **self.desk.info}
        return {
            "store": login,
            "port": self.exchange.port,
            "key": KEYS["ACC"],
            "seed": self.chance.randint(0, 10**6),
            **more,
        }

    def process(self) -> Process:
        config = json.dumps(self.config())
        return Process(sys.executable, "-m", "tests.trading.engine.trader", config)

    def disturb(self) -> None:
        """Spoil the link of the account, or kill the exchange as well."""
        what = self.chance.random()
        if what < 0.2:
            self.exchange.kill()
            self.exchange.start()
        elif what < 0.7:
            kind = self.chance.choice(FAULT_KINDS)
            direction = self.chance.choice(("in", "out"))
            count, delay = self.chance.randint(1, 6), self.chance.randint(1, 60)
            with self.exchange.admin() as admin:
                admin.fault(Fault(kind, direction, "ACC", count, 0.5, delay, self.seed))

    def round(self) -> None:
        """Let an engine trade for a while and kill it."""
        process = self.process()
        try:
            process.wait_for_output("RUNNING")
            wait_for = self.chance.uniform(0.0, 1.5)
            self.disturb()
            _wait(wait_for)
        finally:
            process.end(signal.SIGKILL)
        assert "FAILED" not in process.output, f"seed {self.seed}: {process.output}"

    def fight(self) -> None:
        """Two engines, of which the one that writes is stopped for longer than its lease."""
        first = self.process()
        second = None
        try:
            first.wait_for_output("RUNNING")
            second = self.process()
            second.wait_for_output("STANDBY")
            _wait(self.chance.uniform(0.0, 0.5))
            first.child.send_signal(signal.SIGSTOP)
            second.wait_for_output("RUNNING")
            _wait(self.chance.uniform(0.0, 0.5))
            first.child.send_signal(signal.SIGCONT)
            _wait(self.chance.uniform(0.0, 1.0))
        finally:
            for process in (first, second):
                if process is not None:
                    process.end(signal.SIGKILL)
        assert second is not None
        assert "FAILED" not in first.output + second.output, f"seed {self.seed}"

    def agree(self) -> None:
        """Start an engine that does not trade, let all be answered, and compare everything."""
        with self.exchange.admin() as admin:
            admin.clear()
            admin.pause()
            engine = engine_of(self.config())
            engine.start(QUIET_SECONDS)
            try:
                wait_until(lambda: _is_quiet(engine), QUIET_SECONDS, "the answers")
                status = engine.status()
                assert status.trading_state == "ACTIVE", f"seed {self.seed}: {status}"
                broker = _link(engine)
                self._compare(engine, broker)
                assert engine.verify() == engine.digest, f"seed {self.seed}"
            finally:
                engine.stop()
            admin.resume()

    def _compare(self, engine: TradingEngine, broker: ExchangeBroker) -> None:
        store, seed = self.desk.client("alice"), f"seed {self.seed}"
        status = engine.status()
        there = {each.order_id for each in broker.open_orders()}
        sent = {
            each.order_id
            for each in status.open_orders
            if each.status not in ("INITIALIZED", "EMULATED", "RELEASED")
        }
        assert there == sent, seed
        records = store.query(OrderRecord, limit=None)
        assert records
        for each in records:
            theirs = broker.find_order(each.order_id)
            if theirs is None:
                assert each.status in ("DENIED", "CANCELED", "INITIALIZED"), seed
                assert not each.filled_quantity, seed
            else:
                assert (theirs.status, theirs.filled) == (
                    each.status,
                    each.filled_quantity,
                ), f"{seed}: {each} {theirs}"
        fills = {
            each.fill_id: (each.order_id, each.fill_quantity, each.fill_price)
            for each in store.query(FillRecord, limit=None)
        }
        executions = {
            fill.fill_id: (fill.order_id, fill.quantity, _price(fill.price))
            for _, fill in broker.executions_since(0)
        }
        assert fills == executions, seed
        assert fills
        assert store.count(FillRecord) == len(executions), f"{seed}: a fill is booked twice"
        assert broker.positions().get("AAPL", 0) == status.positions.get("AAPL", 0), seed
        held = sum(each.net_quantity for each in store.query(PositionRecord, limit=None))
        assert held == status.positions.get("AAPL", 0), seed
        cash = broker.cash()["USD"]
        assert status.cash["USD"].scaleb(10) == cash, seed
        alerts = store.query(AlertRecord, limit=None)
        wrong = [
            each.alert_message
            for each in alerts
            if each.alert_code not in ("CONTRADICTION", "CLOCK")
        ]
        assert not wrong, f"{seed}: {wrong}"


def _seed() -> int:
    seed = int(os.environ.get("ENGINE_SEED") or random.randint(0, 10**6))
    print("seed", seed)  # noqa: T201 - shown where a test fails
    return seed


def _price(units: int) -> Any:
    return AAPL.price(units)


def _link(engine: TradingEngine) -> ExchangeBroker:
    link = engine._link
    assert link is not None
    assert isinstance(link.broker, ExchangeBroker)
    return link.broker


def _is_quiet(engine: TradingEngine) -> bool:
    status = engine.status()
    broker = _link(engine)
    return not (status.unanswered or status.waiting or broker.unconfirmed)


def _wait(seconds: float) -> None:
    """Let the others trade for a while: the moment of the kill is what is tried out."""
    threading.Event().wait(seconds)


@pytest.fixture
def exchange(tmp_path: Path) -> Iterator[ExchangeProcess]:
    with ExchangeProcess(tmp_path, *OPTIONS) as process:
        yield process


def test_an_engine_that_is_killed_loses_and_doubles_nothing(
    desk: Desk, exchange: ExchangeProcess
) -> None:
    seed = _seed()
    world = World(desk, exchange, seed)
    for _ in range(4):
        world.round()
    world.agree()


@pytest.mark.long
@pytest.mark.timeout(0)
def test_an_engine_that_is_killed_a_thousand_times(desk: Desk, exchange: ExchangeProcess) -> None:
    seed = _seed()
    world = World(desk, exchange, seed)
    for number in range(ROUNDS):
        if world.chance.random() < 0.2:
            world.fight()
        else:
            world.round()
        if number % 10 == 9:
            world.agree()
    world.agree()


def test_a_stopped_engine_is_replaced_and_can_never_write_again(
    desk: Desk, exchange: ExchangeProcess
) -> None:
    world = World(desk, exchange, 1)
    first = world.process()
    second = None
    try:
        first.wait_for_output("RUNNING")
        second = world.process()
        second.wait_for_output("STANDBY")
        first.child.send_signal(signal.SIGSTOP)
        second.wait_for_output("RUNNING", 30 + LEASE_S)
        first.child.send_signal(signal.SIGCONT)
        # It learns that it has lost the account, and waits for its turn.
        wait_until(lambda: "STANDBY" in first.output, 30, "the first engine's standby")
        _wait(0.5)
        first.end(signal.SIGKILL)
        second.end(signal.SIGKILL)
        assert "FAILED" not in first.output + second.output
        world.agree()
    finally:
        for process in (first, second):
            if process is not None and process.child.poll() is None:
                process.end(signal.SIGKILL)


def test_a_clean_stop_says_what_is_open(desk: Desk, exchange: ExchangeProcess) -> None:
    world = World(desk, exchange, 2)
    process = world.process()
    process.wait_for_output("RUNNING")
    _wait(0.5)
    assert process.end(signal.SIGTERM, 30) == 0
    assert "ACC live STOPPED ACTIVE" in process.output
    world.agree()


def test_connections_to_the_store_are_cut_while_people_trade(
    desk: Desk, exchange: ExchangeProcess
) -> None:
    world = World(desk, exchange, 3)
    process = world.process()
    process.wait_for_output("RUNNING")
    with desk.admin().cursor() as cursor:
        for _ in range(20):
            _wait(world.chance.uniform(0.0, 0.1))
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'alice'"
            )
    assert process.end(signal.SIGTERM, 60) == 0, process.output
    assert "FAILED" not in process.output
    world.agree()


def order_of(order_id: str, quantity: int, price: int) -> SendOrder:
    return SendOrder(
        *(1, order_id, "ACC", "AAPL", 1, quantity, "LIMIT", price, None, "GTC", None),
        *(False, False, None, None),
    )


def test_what_nobody_can_explain_halts_the_account(desk: Desk, exchange: ExchangeProcess) -> None:
    world = World(desk, exchange, 4)
    with exchange.broker() as stranger:
        stranger.connect()
        stranger.wait_connected(30)
        stranger.submit(order_of("by-hand-1", 7, 9_000))
        wait_until(stranger.open_orders, 30, "the order of somebody else")
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
    desk: Desk, exchange: ExchangeProcess
) -> None:
    world = World(desk, exchange, 5)
    with exchange.admin() as admin:
        admin.pause()
    engine = engine_of(world.config())
    engine.start(QUIET_SECONDS)
    order_id = engine.submit(OrderRequest("ACC", "AAPL", "BUY", 5, "LIMIT", "99.50"))
    wait_until(lambda: engine.order(order_id).status == "ACCEPTED", 30, "the answer")  # type: ignore[union-attr]
    engine.stop()
    with exchange.broker("BOB") as other:
        other.connect()
        other.wait_connected(30)
        sale = order_of("bob-1", 500, 9_950)
        other.submit(msgspec.structs.replace(sale, account="BOB", side=-1))
        wait_until(lambda: other.positions().get("AAPL", 0) < 0, 30, "the sale")
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


def test_reports_that_were_lost_are_explained_by_the_broker(
    desk: Desk, exchange: ExchangeProcess
) -> None:
    world, deaf = World(desk, exchange, 8), []
    with exchange.admin() as admin:
        admin.pause()
    engine = engine_of(world.config())
    make = engine._broker

    def broker() -> Any:
        deaf.append(Deaf(make()))  # type: ignore[operator]
        return deaf[-1]

    engine._broker = broker
    engine.start(QUIET_SECONDS)
    filled = engine.submit(OrderRequest("ACC", "AAPL", "BUY", 5, "LIMIT", "100.03"))
    gone = engine.submit(
        OrderRequest("ACC", "AAPL", "BUY", 9, "LIMIT", "90.00", time_in_force="IOC")
    )
    heard = engine.submit(OrderRequest("ACC", "AAPL", "BUY", 1, "LIMIT", "90.00"))
    wait_until(lambda: engine.order(heard).status == "ACCEPTED", 30, "the last answer")  # type: ignore[union-attr]
    assert len(deaf[0].lost) >= 2
    assert engine.status().positions == {}
    engine.stop()
    later = engine_of(world.config())
    later.start(QUIET_SECONDS)
    try:
        status = later.status()
        assert (status.trading_state, status.problem) == ("ACTIVE", "")
        assert status.positions == {"AAPL": 5}
        assert [each.order_id for each in status.open_orders] == [heard]
        assert later.order(filled).status == "FILLED"  # type: ignore[union-attr]
        assert later.order(gone).status == "CANCELED"  # type: ignore[union-attr]
        assert later.verify() == later.digest
    finally:
        later.stop()


def test_a_wrong_key_is_said(desk: Desk, exchange: ExchangeProcess) -> None:
    config = {**World(desk, exchange, 6).config(), "key": "wrong"}
    engine = engine_of(config)
    with pytest.raises(EngineError, match="WRONG_KEY"):
        engine.start(QUIET_SECONDS)
    with pytest.raises(EngineError, match="had failed"):
        engine.stop()


def test_no_order_is_taken_while_the_venue_is_down(desk: Desk, exchange: ExchangeProcess) -> None:
    exchange.kill()
    engine = engine_of(World(desk, exchange, 7).config())
    with pytest.raises(EngineTimeout, match="RECOVERING"):
        engine.start(3)
    with pytest.raises(EngineTimeout, match="RECOVERING"):
        engine.command(Clock(0), timeout=0.5)
    exchange.start()
    engine.wait_running(QUIET_SECONDS)
    assert engine.stop().phase == "STOPPED"


def test_the_store_is_away_for_longer_than_a_write_waits(
    desk: Desk, exchange: ExchangeProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("store.database.connection.RETRY_SECONDS", 0.2)
    world = World(desk, exchange, 9)
    config = world.config()
    relay = Relay(config["store"]["host"], config["store"]["port"])
    config["store"] = {**config["store"], "port": relay.port}
    engine = engine_of(config)
    engine.start(QUIET_SECONDS)
    try:
        for number in range(6):
            request = OrderRequest("ACC", "AAPL", "BUY", 2, "LIMIT", "100.03")
            first = engine.submit(request)
            relay.cut()
            with ThreadPoolExecutor(1) as pool:
                waiting = pool.submit(engine.submit, request, command_id=f"during-{number}")
                wait_until(
                    lambda: engine.phase is Phase.STORE_UNAVAILABLE, 30, "the engine's notice"
                )
                assert not waiting.done()
                relay.mend()
                engine.wait_running(QUIET_SECONDS)
                order_id = waiting.result(QUIET_SECONDS)
            assert order_id != first
            assert engine.submit(request, command_id=f"during-{number}") == order_id
    finally:
        engine.stop()
        relay.close()
    assert desk.client("alice").count(OrderRecord) == 12
    world.agree()
