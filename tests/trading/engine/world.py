"""An exchange, a store and engines that come and go, and what both sides must agree on."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from store.schema import bootstrap_schema, provision_user
from store.server import ObjectStoreServer
from tests.processes import alive, wait_until
from tests.relay import Relay
from tests.store.desk import ADMIN_PASSWORD, Desk, password_of
from tests.trading.engine.trader import AAPL, engine_of
from tests.trading.exchange.process import KEYS, ExchangeProcess
from tests.trading.verified import await_verified
from trading.engine import AlertRecord, FillRecord, OrderRecord, PositionRecord, TradingEngine
from trading.exchange import ExchangeBroker, Fault
from trading.exchange.faults import FAULT_KINDS
from trading.orders.status import TERMINAL

QUIET_SECONDS = 120.0
OPTIONS = (
    *("--instrument", "AAPL=100.00", "--makers", "3", "--maker-interval", "0.05"),
    *("--maker-fee", "-0.2", "--taker-fee", "1.5", "--maker-size", "30"),
)


@contextlib.contextmanager
def own_desk(inside: Path | None = None) -> Iterator[Desk]:
    """A PostgreSQL that may be killed: what it has answered outlasts its processes."""
    folder = Path(tempfile.mkdtemp(prefix="store-of-engines-", dir=inside))
    try:
        with ObjectStoreServer(folder / "data", ADMIN_PASSWORD) as server:
            admin = server.admin_conn()
            with admin.cursor() as cursor:
                # A kill, unlike a power cut, needs no fsync.
                cursor.execute("COMMIT")
                cursor.execute("ALTER SYSTEM SET fsync = off")
                cursor.execute("SELECT pg_reload_conf()")
            bootstrap_schema(admin)
            provision_user(admin, "alice", password_of("alice"))
            admin.close()
            desk = Desk(server, "postgres")
            yield desk
            desk.close()
    finally:
        shutil.rmtree(folder)


class Traders:
    """A process that engines are forks of, so that none has to import everything."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._count = 0
        self._child = subprocess.Popen(
            [sys.executable, "-m", "tests.trading.engine.trader"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._line() == "ready"

    def _line(self) -> str:
        assert self._child.stdout is not None
        return self._child.stdout.readline().strip()

    def start(self, config: dict[str, Any]) -> ForkedTrader:
        assert self._child.stdin is not None
        self._count += 1
        output = self._folder / f"trader-{self._count}.out"
        output.touch()
        self._child.stdin.write(json.dumps({"config": config, "output": str(output)}) + "\n")
        self._child.stdin.flush()
        return ForkedTrader(int(self._line()), output)

    def close(self) -> None:
        assert self._child.stdin is not None
        self._child.stdin.close()
        self._child.wait(60)
        assert self._child.stdout is not None
        self._child.stdout.close()


class ForkedTrader:
    """An engine that trades in a process of its own."""

    def __init__(self, pid: int, output: Path) -> None:
        self.pid = pid
        self._output = output

    @property
    def output(self) -> str:
        return self._output.read_text(errors="replace")

    @property
    def is_alive(self) -> bool:
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        return True

    def wait_for_output(self, text: str, seconds: float = QUIET_SECONDS) -> None:
        wait_until(lambda: text in self.output or not self.is_alive, seconds, repr(text))
        assert text in self.output, self.output

    def send(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def end(self, number: signal.Signals = signal.SIGKILL, seconds: float = 60.0) -> None:
        self.send(number)
        wait_until(lambda: not self.is_alive, seconds, "the end of the engine")


class World:
    """An exchange, a store, and engines that come and go; chance comes from the seed."""

    def __init__(
        self, desk: Desk, exchange: ExchangeProcess, seed: int, traders: Traders | None = None
    ) -> None:
        self.desk = desk
        self.exchange = exchange
        self.chance = random.Random(seed)
        self.seed = seed
        self.traders = traders
        self.relay = Relay("127.0.0.1", exchange.port)
        self.rounds: list[str] = []
        # Orders that had ended, and were compared one by one.
        self._ended: set[str] = set()

    def close(self) -> None:
        self.relay.close()

    def config(self, **more: Any) -> dict[str, Any]:
        login = {"user": "alice", "password": password_of("alice"), **self.desk.info}
        return {
            "store": login,
            "port": self.relay.port,
            "key": KEYS["ACC"],
            "seed": self.chance.randint(0, 10**6),
            **more,
        }

    # --- rounds -----------------------------------------------------------------------------------

    @property
    def disturbances(self) -> dict[str, Callable[[ForkedTrader], None]]:
        """What may happen to an engine that trades, by name."""
        return {
            "kill the engine": lambda trader: trader.end(signal.SIGKILL),
            "stop the engine in order": self._end_engine,
            "kill the exchange": self._kill_exchange,
            "stop the exchange for a while": self._stop_exchange,
            "stop the engine for a while": self._stop_engine,
            "cut the link": self._cut_link,
            "restart PostgreSQL": lambda _: self._restart_store(),
            "kill PostgreSQL": lambda _: kill_and_restart(self.desk.server),
            "cut the store's connections": self._cut_store,
            **{f"{kind} messages": partial(self._put_fault, kind) for kind in FAULT_KINDS},
        }

    def round(self, what: str | None = None) -> None:
        """Let people and a strategy trade, disturb them, let them go on, and kill the engine."""
        assert self.traders is not None
        name = what or self.chance.choice(sorted(self.disturbances))
        self.rounds.append(name)
        trader = self.traders.start(self.config())
        try:
            trader.wait_for_output("RUNNING")
            # An order at least, then chance says how many more.
            trader.wait_for_output("TRADING")
            wait(self.chance.uniform(0.0, 0.3))
            self.disturbances[name](trader)
            wait(self.chance.uniform(0.0, 0.3))
        finally:
            trader.end(signal.SIGKILL)
        assert "FAILED" not in trader.output, f"{self}: {trader.output}"

    def __str__(self) -> str:
        return f"seed {self.seed}, rounds {self.rounds}"

    def _kill_exchange(self, _: ForkedTrader) -> None:
        self.exchange.kill()
        self.exchange.start()

    def _stop_exchange(self, _: ForkedTrader) -> None:
        self.exchange.send(signal.SIGSTOP)
        wait(self.chance.uniform(0.1, 1.5))
        self.exchange.send(signal.SIGCONT)

    def _stop_engine(self, trader: ForkedTrader) -> None:
        """A second engine takes over from one that was stopped, which then goes on."""
        assert self.traders is not None
        second = self.traders.start(self.config())
        try:
            second.wait_for_output("STANDBY")
            trader.send(signal.SIGSTOP)
            second.wait_for_output("RUNNING")
            wait(self.chance.uniform(0.0, 0.5))
            trader.send(signal.SIGCONT)
            # It learns that it has lost the account, and waits for its turn.
            trader.wait_for_output("STANDBY")
            wait(self.chance.uniform(0.0, 0.5))
        finally:
            second.end(signal.SIGKILL)
        assert "FAILED" not in second.output, f"{self}: {second.output}"

    def _end_engine(self, trader: ForkedTrader) -> None:
        trader.end(signal.SIGTERM)
        assert "ACC live STOPPED ACTIVE" in trader.output, f"{self}: {trader.output}"

    def _cut_link(self, _: ForkedTrader) -> None:
        self.relay.cut()
        wait(self.chance.uniform(0.0, 0.5))
        self.relay.mend()

    def _restart_store(self) -> None:
        self.desk.server.stop()
        self.desk.server.start()

    def _cut_store(self, _: ForkedTrader) -> None:
        with contextlib.closing(self.desk.server.admin_conn()) as admin, admin.cursor() as cursor:
            for _each in range(3):
                cursor.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'alice'"
                )
                wait(self.chance.uniform(0.0, 0.1))

    def _put_fault(self, kind: str, _: ForkedTrader) -> None:
        direction = self.chance.choice(("in", "out"))
        count, delay = self.chance.randint(1, 8), self.chance.randint(1, 60)
        with self.exchange.admin() as admin:
            admin.fault(Fault(kind, direction, "ACC", count, 0.5, delay, self.seed))

    # --- what both sides say ----------------------------------------------------------------------

    def agree(self, *, verify: bool = True) -> None:
        """Start an engine on which nobody trades, let all be answered, and compare everything."""
        with self.exchange.admin() as admin:
            admin.clear()
            admin.pause()
            engine = engine_of(self.config())
            engine.start(QUIET_SECONDS)
            try:
                wait_until(lambda: is_quiet(engine), QUIET_SECONDS, "the answers")
                self._compare(engine, broker_of(engine), whole=verify)
                if verify:
                    await_verified(engine)
            finally:
                engine.stop()
                engine._store.close()
            admin.resume()

    def _compare(self, engine: TradingEngine, broker: ExchangeBroker, *, whole: bool) -> None:
        said, status, store = str(self), engine.status(), engine._store
        assert status.trading_state == "ACTIVE", f"{said}: {status}"
        there = {each.order_id for each in broker.open_orders()}
        sent = {
            each.order_id
            for each in status.open_orders
            if each.status not in ("INITIALIZED", "EMULATED", "RELEASED")
        }
        assert there == sent, said
        self._compare_orders(store.query(OrderRecord, limit=None), broker, whole=whole)
        fills = store.query(FillRecord, limit=None)
        booked = {
            each.fill_id: (each.order_id, each.fill_quantity, each.fill_price) for each in fills
        }
        executions = {
            fill.fill_id: (fill.order_id, fill.quantity, AAPL.price(fill.price))
            for _, fill in broker.executions_since(0)
        }
        assert booked == executions, said
        assert fills or not self.rounds or not whole, said
        assert len(fills) == len(executions), f"{said}: a fill is booked twice"
        position = status.positions.get("AAPL", 0)
        assert broker.positions().get("AAPL", 0) == position, said
        held = sum(each.net_quantity for each in store.query(PositionRecord, limit=None))
        assert held == position, said
        assert status.cash["USD"].scaleb(10) == broker.cash()["USD"], said
        wrong = [
            each.alert_message
            for each in store.query(AlertRecord, limit=None)
            if each.alert_code not in ("CONTRADICTION", "CLOCK")
        ]
        assert not wrong, f"{said}: {wrong}"

    def _compare_orders(
        self, records: list[OrderRecord], broker: ExchangeBroker, *, whole: bool
    ) -> None:
        """Compare each order with the exchange's; those that had ended before, if it is `whole`."""
        assert records
        ids = [each.order_id for each in records]
        assert len(set(ids)) == len(ids), f"{self}: an order is recorded twice"
        for each in records:
            if each.order_id in self._ended and not whole:
                continue
            theirs = broker.find_order(each.order_id)
            if theirs is None:
                assert each.status in ("DENIED", "CANCELED", "INITIALIZED"), f"{self}: {each}"
                assert not each.filled_quantity, f"{self}: {each}"
            else:
                here = each.status, each.filled_quantity
                assert (theirs.status, theirs.filled) == here, f"{self}: {each} {theirs}"
                if each.status in TERMINAL:
                    self._ended.add(each.order_id)


def kill_and_restart(server: ObjectStoreServer) -> None:
    """All of PostgreSQL at once, as the kernel does when memory is short."""
    pid = int((server.data_dir / "pg" / "postmaster.pid").read_text().split()[0])
    children = subprocess.run(
        ["pgrep", "-P", str(pid)], capture_output=True, text=True, check=False
    ).stdout.split()
    for each in (pid, *map(int, children)):
        with contextlib.suppress(ProcessLookupError):
            os.kill(each, signal.SIGKILL)
    wait_until(
        lambda: not any(alive(int(each)) for each in children),
        60,
        "the end of PostgreSQL",
    )
    server.stop()
    server.start()


def seed_of_run() -> int:
    seed = int(os.environ.get("ENGINE_SEED") or random.randint(0, 10**6))
    print("seed", seed)  # noqa: T201 - shown where a test fails
    return seed


def broker_of(engine: TradingEngine) -> ExchangeBroker:
    link = engine._link
    assert link is not None
    broker: Any = link.broker
    return broker  # type: ignore[no-any-return]


def is_quiet(engine: TradingEngine) -> bool:
    status = engine.status()
    return not (status.unanswered or status.waiting or broker_of(engine).unconfirmed)


def wait(seconds: float) -> None:
    """Let the others trade for a while: the moment of the fault is what is tried out."""
    threading.Event().wait(seconds)
