"""The exchange is killed, stopped and given bad links while an account trades; both sides agree.

The account's side is a real kernel: its orders go out through an ExchangeBroker, its reports come
in through it, and its books are compared with the exchange's after each round.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from tests.processes import wait_until
from tests.trading.exchange.orders import order
from tests.trading.exchange.process import ExchangeProcess
from tests.trading.runs import AAPL, kernel
from trading.exchange import ExchangeBroker, Fault
from trading.exchange.faults import FAULT_KINDS
from trading.journal.inputs import Cancel, OrderTerms, Replace, Submit, Tick
from trading.journal.outputs import Alert, SendCancel, SendOrder, SendReplace
from trading.journal.reports import OrderAccepted
from trading.kernel import Kernel
from trading.orders.status import TERMINAL
from trading.venues.protocol import RequestRefused, SequencedReport, VenueBroker

ROUNDS = int(os.environ.get("EXCHANGE_ROUNDS", "1000"))
ORDERS_A_ROUND = 60
QUIET_SECONDS = 60.0


class Desk:
    """A kernel that trades through a broker, as an engine would."""

    def __init__(self, broker: VenueBroker, seed: int) -> None:
        self.broker = broker
        self.chance = random.Random(seed)
        self.kernel: Kernel = kernel(bust_memory=10**18, order_memory=10**18)
        self.time = time.time_ns()
        self.alerts: list[Alert] = []
        self.refused: list[RequestRefused] = []
        self.sequences: list[int] = []
        self.feed(Tick(self.now(), "AAPL", 10_000, 100))

    def now(self) -> int:
        self.time += 1
        return self.time

    def feed(self, event: Any) -> None:
        for output in self.kernel.step(event):
            if isinstance(output, SendOrder):
                self.broker.submit(output)
                if self.chance.random() < 0.2:
                    self.broker.submit(output)  # as after a crash of the engine
            elif isinstance(output, SendCancel):
                self.broker.cancel(output)
            elif isinstance(output, SendReplace):
                self.broker.replace(output)
            elif isinstance(output, Alert):
                self.alerts.append(output)

    def listen(self, timeout: float = 0.0) -> int:
        events = self.broker.poll(timeout)
        for event in events:
            if isinstance(event, SequencedReport):
                self.sequences.append(event.sequence)
                self.time = max(self.time, event.report.time)
                self.feed(event.report)
            elif isinstance(event, RequestRefused):
                self.refused.append(event)
        return len(events)

    def act(self) -> None:
        """Do something that a trader might."""
        chance, orders = self.chance, list(self.kernel.orders.values())
        working = [each for each in orders if each.is_open]
        what = chance.random()
        if working and what < 0.25:
            target = chance.choice(working)
            self.feed(Cancel(self.now(), "", "trader", target.order_id))
        elif working and what < 0.45:
            target = chance.choice(working)
            if target.limit is not None:
                limit = target.limit + chance.randint(-2, 2)
                quantity = max(target.qty + chance.randint(-20, 20), 1)
                self.feed(
                    Replace(self.now(), "", "trader", target.order_id, quantity, limit, target.stop)
                )
        else:
            self.feed(Submit(self.now(), "", "trader", "ORDER", (self.terms(),)))

    def terms(self) -> OrderTerms:
        chance = self.chance
        kind = chance.choice(("LIMIT", "LIMIT", "LIMIT", "MARKET", "STOP", "STOP_LIMIT"))
        limit = 10_000 + chance.randint(-6, 6) if kind in ("LIMIT", "STOP_LIMIT") else None
        stop = 10_000 + chance.randint(-6, 6) if kind in ("STOP", "STOP_LIMIT") else None
        tif = chance.choice(("GTC", "GTC", "IOC", "FOK")) if kind == "LIMIT" else "GTC"
        side = chance.choice((1, -1))
        return OrderTerms("ACC", "", "AAPL", side, chance.randint(1, 50), kind, limit, stop, tif)

    def settle(self) -> None:
        """Listen until everything is confirmed, reported and answered."""
        assert isinstance(self.broker, ExchangeBroker)
        broker = self.broker

        def quiet() -> bool:
            self.listen(0.05)
            return not broker.unconfirmed and not any(
                each.status in ("SUBMITTED", "PENDING_UPDATE", "PENDING_CANCEL")
                for each in self.kernel.orders.values()
            )

        wait_until(quiet, QUIET_SECONDS, "the answers")
        self.broker.wait_connected(QUIET_SECONDS)


def agree(desk: Desk, exchange: ExchangeProcess, seed: int) -> None:
    """Both sides have the same orders, states, fills, positions and cash."""
    broker, books = desk.broker, desk.kernel
    with exchange.admin() as admin:
        last = admin.status()["accounts"]["ACC"]["reports"]
    wait_until(lambda: desk.listen(0.02) >= 0 and desk.sequences[-1] >= last, 30, "the last report")
    assert desk.sequences == list(range(1, len(desk.sequences) + 1)), f"seed {seed}"
    there = {each.order_id: each for each in broker.open_orders()}
    here = {each.order_id for each in books.orders.values() if each.status not in TERMINAL}
    assert set(there) == here, f"seed {seed}"
    for mine in books.orders.values():
        if not mine.sent and mine.status != "SUBMITTED" and not mine.acknowledged:
            continue
        theirs = broker.find_order(mine.order_id)
        assert theirs is not None, f"seed {seed}: {mine.order_id} is not known there"
        assert (theirs.status, theirs.filled, theirs.quantity) == (
            str(mine.status),
            mine.filled,
            mine.qty,
        ), f"seed {seed}: {mine} {theirs}"
        assert (theirs.limit, theirs.fees) == (mine.limit, mine.fees), f"seed {seed}: {theirs}"
    positions = {key[2]: each.net for key, each in books.positions.items() if each.net}
    assert broker.positions() == positions, f"seed {seed}"
    account = books.accounts["ACC"]
    assert broker.cash()["USD"] == account.cash["USD"], f"seed {seed}"
    assert not desk.refused, f"seed {seed}: {desk.refused}"
    unexpected = [each for each in desk.alerts if not _is_expected(each)]
    assert not unexpected, f"seed {seed}: {unexpected}"


def _is_expected(alert: Alert) -> bool:
    """A bust after the end says so; a stop that triggers while its cancel is on its way, too."""
    crossed = "is PENDING_CANCEL and cannot have the event TRIGGERED" in alert.message
    return alert.code == "BUSTED_AFTER_END" or (alert.code == "CONTRADICTION" and crossed)


def disturb(exchange: ExchangeProcess, chance: random.Random, done: threading.Event) -> None:
    """Kill, stop or spoil the links of the exchange, again and again."""
    while not done.is_set():
        what = chance.choice(("kill", "stop", "fault", "fault", "cut", "bust"))
        done.wait(chance.uniform(0.02, 0.3))
        if what == "kill":
            exchange.kill()
            exchange.start()
        elif what == "stop":
            exchange.send(signal.SIGSTOP)
            done.wait(chance.uniform(0.05, 1.5))
            exchange.send(signal.SIGCONT)
        else:
            with exchange.admin() as admin:
                if what == "bust":
                    trades = admin.status()["trades"]
                    if trades:
                        _bust(admin, chance.randint(1, trades))
                    continue
                kind = "disconnect" if what == "cut" else chance.choice(FAULT_KINDS)
                direction = chance.choice(("in", "out"))
                count, delay = chance.randint(1, 6), chance.randint(1, 60)
                seed = chance.randint(0, 10**6)
                admin.fault(Fault(kind, direction, "ACC", count, 0.5, delay, seed))


def _bust(admin: Any, trade: int) -> None:
    found = admin.ask("trade", trade)
    if found is not None and found[4] > 0:
        admin.bust(trade, "an error of the exchange")


def rounds(tmp_path: Path, count: int, seed: int) -> None:
    options = (
        *("--instrument", "AAPL=100.00", "--makers", "3", "--maker-interval", "0.02"),
        *("--maker-fee", "-0.2", "--taker-fee", "1.5", "--maker-seed", str(seed)),
        *("--maker-size", "30"),
    )
    with ExchangeProcess(tmp_path, *options) as exchange:
        broker = exchange.broker(instruments=[AAPL])
        with broker:
            broker.connect()
            broker.wait_connected(30)
            desk = Desk(broker, seed)
            for number in range(count):
                one_round(desk, exchange, seed * 1_000_003 + number)


def one_round(desk: Desk, exchange: ExchangeProcess, seed: int) -> None:
    chance, done = random.Random(seed), threading.Event()
    errors: list[BaseException] = []

    def trouble() -> None:
        try:
            disturb(exchange, chance, done)
        except Exception as error:  # noqa: BLE001 - told by the test's own thread
            errors.append(error)

    thread = threading.Thread(target=trouble)
    thread.start()
    try:
        for _ in range(ORDERS_A_ROUND):
            desk.act()
            desk.listen(0.01)
    finally:
        done.set()
        thread.join()
    assert not errors, f"seed {seed}: {errors}"
    with exchange.admin() as admin:
        admin.clear()
        desk.settle()
        # What rests would fill while it is compared.
        admin.pause()
        agree(desk, exchange, seed)
        admin.resume()


def test_both_sides_agree_after_ten_rounds_of_trouble(tmp_path: Path) -> None:
    seed = random.randrange(10**6)
    sys.stdout.write(f"seed {seed}\n")
    rounds(tmp_path, 10, seed)


@pytest.mark.long
def test_both_sides_agree_after_many_rounds_of_trouble(tmp_path: Path) -> None:
    seed = random.randrange(10**6)
    sys.stdout.write(f"seed {seed}\n")
    rounds(tmp_path, ROUNDS, seed)


@pytest.mark.parametrize("kind", FAULT_KINDS)
@pytest.mark.parametrize("direction", ["in", "out"])
def test_each_fault_is_made_good(tmp_path: Path, kind: str, direction: str) -> None:
    """Every second message is hit; in the end each order was taken once, in its order."""
    with ExchangeProcess(tmp_path) as exchange, exchange.broker() as broker:
        broker.connect()
        broker.wait_connected(30)
        with exchange.admin() as admin:
            admin.fault(Fault(kind, direction, "ACC", 8, 0.5, 30, seed=7))
            for number in range(30):
                broker.submit(order(f"o{number}", 1, 1 + number, 9_000, account="ACC"))
            told: list[str] = []

            def heard() -> bool:
                events = broker.poll(0.05)
                reports = [each.report for each in events if isinstance(each, SequencedReport)]
                told.extend(each.order_id for each in reports if isinstance(each, OrderAccepted))
                return len(told) >= 30 and not broker.unconfirmed

            wait_until(heard, 60, "thirty acceptances")
            assert told == [f"o{number}" for number in range(30)]
            assert admin.status()["accounts"]["ACC"] == {"reports": 30, "open": 30}
