"""Data of the version before is read: objects, subscriptions, a bridge, and workflows that go on.

`scripts/make_kept_data.py` made it.
"""

from __future__ import annotations

import gzip
import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timezone
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from psycopg2.extensions import make_dsn

from bridge import StoreBridge
from store.client import StoreClient
from store.outbox import Outbox
from store.projections import Projection, state_of
from store.schema import provision_user
from store.server import ObjectStoreServer, _programs
from store.subscriptions import EventBus, SubscriptionListener, parked_events, subscribers, unpark
from tests.bridge.books import rows_of
from tests.kept import desk
from tests.kept.desk import ADMIN_PASSWORD, ENGINE, EXPENSIVE, PASSWORD, QUEUE, USER
from tests.processes import wait_until
from workflow import NotRecoverable, WorkflowCancelled, WorkflowStatus
from workflow.dbos_engine import DBOSEngine

if TYPE_CHECKING:
    from server.trading_server import TradingServer


DATA = Path(__file__).resolve().parent / "data"
SECONDS = 60.0


@dataclass
class Kept:
    """The two databases as they were restored, and what is known of their contents."""

    store: dict[str, Any]
    engine_url: str
    facts: dict[str, Any]

    def client(self) -> StoreClient:
        return StoreClient(USER, PASSWORD, **self.store)


@pytest.fixture(scope="module")
def kept(store_server: ObjectStoreServer) -> Iterator[Kept]:
    url = store_server.dbos_url()
    admin = store_server.admin_conn()
    provision_user(admin, USER, PASSWORD)
    with admin.cursor() as cursor:
        cursor.execute("CREATE DATABASE kept_store TEMPLATE template0")
        cursor.execute("CREATE DATABASE kept_engine TEMPLATE template0 OWNER workflow_engine")
    login = {**store_server.conn_info(), "user": "postgres", "password": ADMIN_PASSWORD}
    for name in ("store", "engine"):
        programs = _programs()
        psql = programs.folders[programs.newest] / "psql"
        place = make_dsn(**login | {"dbname": f"kept_{name}"})
        subprocess.run(
            [psql, "-q", "-v", "ON_ERROR_STOP=1", "-d", place],
            input=gzip.decompress((DATA / f"{name}.sql.gz").read_bytes()),
            check=True,
            capture_output=True,
        )
    with admin.cursor() as cursor:
        cursor.execute("GRANT CONNECT ON DATABASE kept_store TO object_store_user")
    # What a start does with data of an earlier version.
    ObjectStoreServer(dsn=make_dsn(**login | {"dbname": "kept_store"})).start().stop()
    facts = json.loads((DATA / "facts.json").read_text())
    where = {**store_server.conn_info(), "dbname": "kept_store"}
    yield Kept(where, url.rsplit("/", 1)[0] + "/kept_engine", facts)
    with admin.cursor() as cursor:
        cursor.execute("DROP DATABASE kept_store WITH (FORCE)")
        cursor.execute("DROP DATABASE kept_engine WITH (FORCE)")
    admin.close()


@pytest.fixture
def client(kept: Kept) -> Iterator[StoreClient]:
    with kept.client() as found:
        yield found


# --- the store; these tests come in this order, each in a state that those before have left -------


def test_objects_are_read(kept: Kept, client: StoreClient) -> None:
    assert client.verify().events == kept.facts["events"]
    first, second, third = kept.facts["trades"]
    assert [event["event_type"] for event in client.audit(first)] == ["CREATED", "CORRECTED"]
    trade = client.read(desk.Trade, first)
    assert (trade.symbol, trade.quantity, trade._store_version) == ("AAPL", 150, 2)
    assert trade._store_valid_from == datetime(2026, 1, 1, tzinfo=timezone.utc)
    before = client.as_of(
        desk.Trade, first, tx_time=datetime.fromisoformat(kept.facts["first_time"])
    )
    assert before.quantity == 100
    assert second not in {each._store_entity_id for each in client.query(desk.Trade)}
    assert [each.symbol for each in client.query(desk.Trade, {"symbol": "IBM"})] == ["IBM"]
    assert third == client.query(desk.Trade, {"symbol": "IBM"})[0]._store_entity_id
    assert client.read(desk.Order, kept.facts["order"]).order_type == "LIMIT"
    holding = client.read(desk.Holding, kept.facts["holding"])
    assert holding == desk.Holding(
        label="naïve – 价格",
        amount=Decimal("12345678901234567890.123456789"),
        colour=desk.Colour.BLUE,
        reference=UUID("12345678-1234-5678-1234-567812345678"),
        since=datetime(2026, 2, 28, 12, 30, 0, 123456, tzinfo=timezone.utc),
        lots=[desk.Lot(Decimal("0.10"), date(2024, 2, 29))],
    )


def test_subscriptions_go_on_behind_their_checkpoint(kept: Kept, client: StoreClient) -> None:
    known = {each.subscriber_id for each in subscribers(client.conn)}
    assert known == {"kept subscription", "kept dead letters", "kept bridge"}
    heard: list[Any] = []
    bus = EventBus()
    bus.on_all(heard.append)
    login = {**kept.store, "user": USER, "password": PASSWORD}
    with SubscriptionListener(bus, subscriber_id="kept subscription", **login):
        wait_until(lambda: len(heard) >= 4, SECONDS, "what came later")
    assert len(heard) == kept.facts["events"] - kept.facts["heard"] == 4
    wanted = [kept.facts[name] for name in ("later", "missed", "ticket", "ticket")]
    assert [event.entity_id for event in heard] == wanted


def test_dead_letters_are_read(kept: Kept, client: StoreClient) -> None:
    [letter] = parked_events(client.conn, "kept dead letters")
    assert letter.entity_id == kept.facts["parked"]
    assert letter.attempts == 2
    assert "ValueError: IBM is not traded here" in letter.error
    assert unpark(client.conn, letter)
    assert parked_events(client.conn, "kept dead letters") == []


def test_projections_are_taken_up(client: StoreClient) -> None:
    applied: list[str] = []

    def add(state: Any, event: Any) -> int:
        applied.append(event.event_type)
        return desk.add(state, event)

    projection = Projection("quantities", 0, add, types=[desk.Trade])
    # 100 + 200 + 300, 150 again for the update, 200 for the deletion; then 1 and 1,000 came.
    assert state_of(client, projection).value == 950 + 1_001
    assert applied == ["CREATED", "CREATED"]


def test_a_bridge_goes_on_behind_its_checkpoint(kept: Kept, trading_server: TradingServer) -> None:
    login = {**kept.store, "user": USER, "password": PASSWORD}
    bridge = StoreBridge(**login, subscriber_id="kept bridge")
    bridge.register(desk.Trade, filter=EXPENSIVE)
    bridge.start()
    try:
        assert bridge.flush()
        raw = rows_of(bridge.table(desk.Trade), "EntityId", "symbol")
        live = rows_of(bridge.live(desk.Trade), "symbol")
    finally:
        bridge.stop()
    assert raw == [(kept.facts["missed"], "MISSED")]
    assert sorted(live) == [("AAPL",), ("IBM",), ("MISSED",)]


# --- workflows ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def engine(kept: Kept) -> Iterator[DBOSEngine]:
    desk.calls.clear()
    with DBOSEngine(kept.engine_url, ENGINE, takeover_seconds=0.5) as found:
        yield found


def test_workflows_are_listed_as_they_were(kept: Kept) -> None:
    with DBOSEngine(kept.engine_url, "onlooker") as onlooker:
        found = {each: onlooker.get_workflow_status(each).value for each in kept.facts["statuses"]}
    assert found == kept.facts["statuses"]


def test_what_has_ended_is_read(engine: DBOSEngine) -> None:
    assert engine.get_workflow_result("ends") == desk.Lot(Decimal("1.50"), date(2026, 2, 28))
    with pytest.raises(LookupError, match="no such trade"):
        engine.get_workflow_result("fails")
    with pytest.raises(WorkflowCancelled):
        engine.get_workflow_result("cancelled")


def test_a_sleeper_wakes_up_and_does_no_step_twice(engine: DBOSEngine) -> None:
    assert engine.get_workflow_result("sleeps", timeout=SECONDS) == "sleeper, second step"
    assert "sleeper, first step" not in desk.calls


def test_messages_and_events_are_taken(engine: DBOSEngine) -> None:
    assert engine.get_event("waits", "progress") == {"what": "waiter", "done": Decimal("0.5")}
    engine.send("waits", "go", "now")
    first = str({"sent": "by the version before"})
    assert engine.get_workflow_result("waits", timeout=SECONDS) == [f"waiter {first}", "now"]
    assert f"waiter {first}" not in desk.calls


def test_steps_of_the_version_before_are_compensated(engine: DBOSEngine) -> None:
    engine.send("compensates", "go", None)
    with pytest.raises(ValueError, match="trade failed"):
        engine.get_workflow_result("compensates", timeout=SECONDS)
    assert desk.calls.count("trade booked, undone") == 1
    assert "trade booked" not in desk.calls


def test_expressions_are_evaluated(engine: DBOSEngine) -> None:
    engine.send("expression", "go", None)
    values = engine.get_workflow_result("expression", timeout=SECONDS)
    assert values[:2] == [True, True]


def test_children_are_found(engine: DBOSEngine) -> None:
    for message in ("a", "b"):
        engine.send("child", "go", message)
    assert engine.get_workflow_result("parent", timeout=SECONDS) == "parent of ['child a', 'b']"
    assert engine.list_workflows(parent="parent")[0].workflow_id == "child"


def test_queues_keep_their_limits(engine: DBOSEngine) -> None:
    wait_until(
        lambda: engine.get_workflow_status("queued 1") is WorkflowStatus.RUNNING,
        SECONDS,
        "the first",
    )
    assert engine.get_workflow_status("queued 2") is WorkflowStatus.PENDING
    for number in (1, 2):
        for message in ("x", "y"):
            engine.send(f"queued {number}", "go", message)
        result = engine.get_workflow_result(f"queued {number}", timeout=SECONDS)
        assert result == [f"queued {number} x", "y"]
    assert engine.get_workflow_result("delayed", timeout=SECONDS) == "delayed"
    assert {info.workflow_id for info in engine.list_workflows(queue=QUEUE)} == {
        "queued 1",
        "queued 2",
        "delayed",
    }


def test_a_function_known_by_name_is_waited_for(engine: DBOSEngine) -> None:
    def blocked() -> str | None:
        [info] = engine.list_workflows(id_prefix="by name")
        return info.blocked

    wait_until(blocked, SECONDS, "the reason")
    engine.register("known by name", desk.noted)
    engine.resume("by name")
    assert engine.get_workflow_result("by name", timeout=SECONDS) == "by name"


def test_a_call_that_was_not_pickled_says_why(engine: DBOSEngine) -> None:
    with pytest.raises(NotRecoverable, match="it is a lambda"):
        engine.get_workflow_result("lambda", timeout=SECONDS)


def test_schedules_go_on(engine: DBOSEngine) -> None:
    wait_until(lambda: any(c.startswith("tick") for c in desk.calls), SECONDS, "the next start")
    assert engine.unschedule("every second")
    assert engine.unschedule("yearly")
    assert not engine.unschedule("yearly")


def test_what_the_outbox_holds_is_started_once(
    kept: Kept, client: StoreClient, engine: DBOSEngine
) -> None:
    ticket = kept.facts["ticket"]
    for _ in range(2):
        Outbox(client).drain(engine)
    assert engine.get_workflow_result(f"{ticket}:2", timeout=SECONDS) == f"sent {ticket}"
    assert desk.calls.count(f"sent {ticket}") == 1


def test_writes_go_on(kept: Kept, client: StoreClient) -> None:
    events = client.verify().events
    holding = client.read(desk.Holding, kept.facts["holding"])
    holding.lots.append(desk.Lot(Decimal("2.5"), date(2026, 3, 1)))
    assert client.update(holding) == 2
    ticket = client.read(desk.Ticket, kept.facts["ticket"])
    client.transition(ticket, "DONE")
    assert ticket._store_state == "DONE"
    assert client.verify().events == events + 2
