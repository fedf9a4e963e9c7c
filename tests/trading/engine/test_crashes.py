"""The engine is killed at random against an exchange that keeps its own books; both sides agree."""

from __future__ import annotations

import json
import os
import random
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.processes import Process, wait_until
from tests.store.desk import Desk, password_of
from tests.store.fixtures import alice, desk, store_server
from tests.trading.engine.trader import LEASE_S, engine_of
from tests.trading.exchange.process import KEYS, ExchangeProcess
from trading.engine import (
    AlertRecord,
    FillRecord,
    OrderRecord,
    PositionRecord,
    TradingEngine,
)
from trading.exchange import ExchangeBroker, Fault
from trading.exchange.faults import FAULT_KINDS

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


def _price(units: int) -> Any:
    from tests.trading.engine.trader import AAPL

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
    import time

    time.sleep(seconds)


@pytest.fixture
def exchange(tmp_path: Path) -> Iterator[ExchangeProcess]:
    with ExchangeProcess(tmp_path, *OPTIONS) as process:
        yield process


def test_an_engine_that_is_killed_loses_and_doubles_nothing(
    desk: Desk, exchange: ExchangeProcess
) -> None:
    seed = int(os.environ.get("ENGINE_SEED", random.randint(0, 10**6)))
    print("seed", seed)
    world = World(desk, exchange, seed)
    for _ in range(4):
        world.round()
    world.agree()


@pytest.mark.long
@pytest.mark.timeout(0)
def test_an_engine_that_is_killed_a_thousand_times(desk: Desk, exchange: ExchangeProcess) -> None:
    seed = int(os.environ.get("ENGINE_SEED", random.randint(0, 10**6)))
    print("seed", seed)
    world = World(desk, exchange, seed)
    for number in range(ROUNDS):
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
