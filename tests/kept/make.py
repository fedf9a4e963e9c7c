"""Makes the kept data with the version that is imported, as dumps of its two databases.

    python -m tests.kept.make FOLDER

`scripts/make_kept_data.py` runs it with an earlier version of the packages.
"""

from __future__ import annotations

import gzip
import json
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from datetime import date, datetime, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

from bridge import StoreBridge
from server.options import Options
from server.trading_server import TradingServer
from store.client import StoreClient
from store.projections import Projection, rebuild
from store.schema import provision_user
from store.server import ObjectStoreServer, _programs
from store.subscriptions import EventBus, SubscriptionListener, parked_events
from tests.kept import desk
from tests.kept.desk import ADMIN_PASSWORD, ENGINE, EXPENSIVE, PASSWORD, QUEUE, USER
from tests.processes import free_port, wait_until
from workflow import Cron, MemoryEngine, WorkflowStatus
from workflow.dbos_engine import DBOSEngine

SECONDS = 60.0


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    facts: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="kept-data-") as place:
        place_of_data = Path(place) / "data"
        with ObjectStoreServer(place_of_data, ADMIN_PASSWORD) as server:
            admin = server.admin_conn()
            provision_user(admin, USER, PASSWORD)
            with StoreClient(USER, PASSWORD, **server.conn_info()) as client:
                facts |= objects(client)
                facts |= subscriptions(client, server)
                facts |= bridges(client, server)
                facts |= promise(client)
                facts["events"] = client.verify().events
            facts |= workflows(server)
            dump(server, "postgres", folder / "store.sql.gz")
            dump(server, "workflow_engine", folder / "engine.sql.gz")
            admin.close()
    facts["made_at"] = datetime.now(timezone.utc).isoformat()
    text = json.dumps(facts, indent=1, sort_keys=True)
    (folder / "facts.json").write_text(text + "\n", encoding="utf-8")


def objects(client: StoreClient) -> dict[str, Any]:
    """Several classes, with versions, periods, states and one that was deleted."""
    trades = [
        desk.Trade(symbol=symbol, quantity=quantity, price=10.5, side="BUY")
        for symbol, quantity in (("AAPL", 100), ("MSFT", 200), ("IBM", 300))
    ]
    client.write_many(trades)
    first_time = trades[0]._store_tx_time
    trades[0].quantity = 150
    client.update(trades[0], valid_from=datetime(2026, 1, 1, tzinfo=timezone.utc))
    client.delete(trades[1])
    order = desk.Order(symbol="AAPL", quantity=1, price=2.0, side="SELL", order_type="LIMIT")
    holding = desk.Holding(
        label="naïve – 价格",
        amount=Decimal("12345678901234567890.123456789"),
        colour=desk.Colour.BLUE,
        reference=UUID("12345678-1234-5678-1234-567812345678"),
        since=datetime(2026, 2, 28, 12, 30, 0, 123456, tzinfo=timezone.utc),
        lots=[desk.Lot(Decimal("0.10"), date(2024, 2, 29))],
    )
    client.write(order)
    client.write(holding)
    projection = Projection("quantities", 0, desk.add, types=[desk.Trade])
    rebuild(client, projection)
    assert first_time is not None
    return {
        "trades": [trade._store_entity_id for trade in trades],
        "first_time": first_time.isoformat(),
        "order": order._store_entity_id,
        "holding": holding._store_entity_id,
    }


def subscriptions(client: StoreClient, server: ObjectStoreServer) -> dict[str, Any]:
    """A checkpoint behind which events follow, and a dead letter."""
    login = {**server.conn_info(), "user": USER, "password": PASSWORD, "start": "beginning"}
    heard: list[Any] = []
    bus = EventBus()
    bus.on_all(heard.append)
    with SubscriptionListener(bus, subscriber_id="kept subscription", **login):
        wait_until(lambda: len(heard) >= 7, SECONDS, "the events so far")
    picky = EventBus()

    def refuse(event: Any) -> None:
        if "IBM" in event.data:
            raise ValueError("IBM is not traded here")

    picky.on("Trade", refuse)
    options: Any = {"retries": 1, "retry_seconds": 0.01}
    with SubscriptionListener(picky, subscriber_id="kept dead letters", **login, **options) as each:
        wait_until(lambda: each.status().parked == 1, SECONDS, "the dead letter")
    [parked] = parked_events(client.conn, "kept dead letters")
    later = client.write(desk.Trade(symbol="LATER", quantity=1, price=1.0, side="BUY"))
    return {"parked": parked.entity_id, "later": later, "heard": len(heard)}


def bridges(client: StoreClient, server: ObjectStoreServer) -> dict[str, Any]:
    """The checkpoint of a bridge, and what it has not shown."""
    streams = sys.stdout, sys.stderr
    engine = TradingServer(Options(port=free_port(), seed=7, rate=1.0, raw_rows=100))
    sys.stdout, sys.stderr = streams
    bridge = StoreBridge(
        **server.conn_info(), user=USER, password=PASSWORD, subscriber_id="kept bridge"
    )
    bridge.register(desk.Trade, filter=EXPENSIVE)
    bridge.start("beginning")
    assert bridge.flush()
    bridge.stop()
    missed = desk.Trade(symbol="MISSED", quantity=1_000, price=9.0, side="BUY")
    client.write(missed)
    engine.stop()
    return {"missed": missed._store_entity_id}


def promise(client: StoreClient) -> dict[str, Any]:
    """A workflow that a transition recorded in the outbox, and that nobody has started."""
    ticket = desk.Ticket(label="promised")
    client.write(ticket)
    desk.Ticket._workflow_engine = MemoryEngine()  # not running: it starts nothing
    client.transition(ticket, "SENT")
    desk.Ticket._workflow_engine = None
    return {"ticket": ticket._store_entity_id}


def workflows(server: ObjectStoreServer) -> dict[str, Any]:
    """Workflows that sleep, wait, stand in a queue, are blocked, or have ended."""
    with DBOSEngine(server.dbos_url(), ENGINE) as engine:

        def start(workflow_id: str, fn: Callable[..., Any], *args: Any) -> str:
            engine.options(workflow_id=workflow_id).workflow(fn, *args)
            return workflow_id

        engine.create_queue(QUEUE, 1)
        ended = start("ends", desk.ends, "x"), start("fails", desk.fails, "no such trade")
        for each in ended:
            wait_until(lambda e=each: engine.get_workflow_status(e).is_final, SECONDS, each)
        start("sleeps", desk.sleeps, "sleeper")
        start("waits", desk.waits, "waiter")
        start("compensates", desk.compensates, "trade")
        start("parent", desk.asks, "child")
        start(
            "expression", desk.evaluates, EXPENSIVE, {"price": 2.0, "quantity": 600, "side": "BUY"}
        )
        start("cancelled", desk.waits, "cancelled")
        for number in (1, 2):
            queued = engine.options(workflow_id=f"queued {number}", priority=number)
            queued.queue(QUEUE, desk.waits, f"queued {number}")
        engine.options(workflow_id="delayed").queue(QUEUE, desk.noted, "delayed")
        engine.register("known by name", desk.noted)
        blocked = engine.options(workflow_id="by name", delay=20)
        blocked.queue("by name", desk.noted, "by name")
        engine.schedule("every second", "* * * * * *", desk.tick)
        engine.schedule("yearly", Cron("0 0 1 1 *", "Europe/London"), desk.noted, "new year")

        def run_lambda() -> None:
            try:
                engine.options(workflow_id="lambda").run(lambda: engine_recv(engine))
            except Exception as error:  # noqa: BLE001 - it is interrupted, which is what is wanted
                print(f"interrupted: {error!r}")  # noqa: T201

        thread = threading.Thread(target=run_lambda, daemon=True)
        thread.start()
        steps = {"sleeper, first step", "trade booked"}
        wait_until(lambda: steps <= set(desk.calls), SECONDS, "the first steps")
        running = ("waits", "child", "expression", "cancelled", "queued 1", "lambda")
        wait_until(lambda: all(is_running(engine, each) for each in running), SECONDS, "all")
        wait_until(lambda: engine.get_event("waits", "progress") is not None, SECONDS, "an event")
        engine.send("waits", "go", {"sent": "by the version before"})
        wait_until(lambda: any(c.startswith("waiter") for c in desk.calls), SECONDS, "its step")
        engine.send("child", "other", "never taken")
        engine.cancel("cancelled")
        wait_until(lambda: any(c.startswith("tick") for c in desk.calls), SECONDS, "the schedule")
        # Until what they wait for is in the database.
        time.sleep(1.0)
        facts = {
            "statuses": {
                info.workflow_id: info.status.value
                for info in engine.list_workflows(limit=None)
                if not info.workflow_id.startswith("every second@")
            }
        }
    thread.join(SECONDS)
    return facts


def engine_recv(engine: Any) -> Any:
    return engine.recv("never")


def is_running(engine: DBOSEngine, workflow_id: str) -> bool:
    found = engine.list_workflows(id_prefix=workflow_id)
    return any(info.status is WorkflowStatus.RUNNING for info in found)


def dump(server: ObjectStoreServer, database: str, path: Path) -> None:
    """Write a database as SQL that any version of psql reads, compressed."""
    programs = _programs()
    info = {**server.conn_info(), "dbname": database}
    command = [
        str(programs.folders[programs.newest] / "pg_dump"),
        f"--host={info['host']}",
        f"--port={info['port']}",
        "--username=postgres",
        database,
    ]
    done = subprocess.run(
        command, env={"PGPASSWORD": ADMIN_PASSWORD}, capture_output=True, check=True
    )
    lines = done.stdout.decode().splitlines(keepends=True)
    text = "".join(line for line in lines if not line.startswith(("\\restrict", "\\unrestrict")))
    # What says nothing but where it was made.
    text = text.replace(f"{Path.cwd()}/", "").replace(f"{socket.gethostname()}-", "host-")
    # The same data give the same file.
    path.write_bytes(gzip.compress(text.encode(), mtime=0))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
