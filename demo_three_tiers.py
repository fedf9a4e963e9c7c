"""What a state transition may set off, in three tiers, and what becomes of it when things fail.

    python3 demo_three_tiers.py

Starts a store of its own in a temporary directory, and removes it at the end.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from reactive import Field
from store.client import StoreClient
from store.models import Order, Trade
from store.outbox import Outbox
from store.schema import provision_user
from store.server import ObjectStoreServer
from store.state_machine import StateMachine, Transition
from workflow import current_engine
from workflow.dbos_engine import DBOSEngine
from workflow.dispatcher import WorkflowDispatcher

USER, PASSWORD = "trader", "only for the demonstration"
client: StoreClient


# --- what the transitions set off -----------------------------------------------------------------


def book_trade(order: Order, _before: str, _after: str) -> None:
    """Tier 1: the fill as a trade, in the same transaction."""
    client.write(Trade(order.symbol, order.quantity, order.price, order.side))


def book_trade_and_fail(order: Order, before: str, after: str) -> None:
    """Tier 1, with a fault after its write."""
    book_trade(order, before, after)
    raise ConnectionError("the credit check does not answer")


def notify_risk(order: Order, _before: str, after: str) -> None:
    """Tier 2: a message to somebody who may be away."""
    raise TimeoutError(f"the risk desk does not hear that {order.symbol} is {after}")


def die(_order: Order, _before: str, _after: str) -> None:
    """Kill this process, as a power cut would: after the commit, before any workflow starts."""
    os.kill(os.getpid(), signal.SIGKILL)


def settlement(entity_id: str) -> str:
    """Tier 3: hours and several systems in real life; each step is done once."""
    engine = current_engine()
    order = engine.step(client.read, Order, entity_id)
    confirmation = engine.step(call_clearing_house, order.symbol, order.quantity)
    engine.sleep(0.2)
    WorkflowDispatcher(engine, client).durable_transition(order, "SETTLED")
    return confirmation


def call_clearing_house(symbol: str, quantity: int) -> str:
    return f"{quantity} {symbol} confirmed"


def machine(**effects: Any) -> type[StateMachine]:
    """An order's life, with these effects on its fill."""

    class OrderLifecycle(StateMachine):
        initial = "PENDING"
        transitions = (
            Transition("PENDING", "FILLED", guard=Field("quantity") > 0, **effects),
            Transition("FILLED", "SETTLED", guard=Field("price") > 0),
        )

    return OrderLifecycle


# --- the demonstrations ---------------------------------------------------------------------------


def new_order(symbol: str, **effects: Any) -> Order:
    Order._state_machine = machine(**effects)
    order = Order(symbol=symbol, quantity=100, price=228.5, side="BUY", order_type="LIMIT")
    client.write(order)
    return order


def state_of(order: Order) -> str:
    stored = client.read(Order, order._store_entity_id or "")
    assert stored is not None
    return str(stored._store_state)


def trades(symbol: str) -> int:
    return client.count(Trade, {"symbol": symbol})


def show(what: str, value: object, expected: object) -> None:
    print(f"   {what:<34} {value}")
    if value != expected:
        raise AssertionError(f"{what}: {expected!r} was expected, not {value!r}")


def tier_1_commits() -> None:
    order = new_order("AAPL", action=book_trade)
    client.transition(order, "FILLED")
    show("order in the store", state_of(order), "FILLED")
    show("trades that the action wrote", trades("AAPL"), 1)


def tier_1_rolls_back() -> None:
    order = new_order("MSFT", action=book_trade_and_fail)
    try:
        client.transition(order, "FILLED")
    except ConnectionError as error:
        print(f"   the action raised                  {error}")
    show("order in the store", state_of(order), "PENDING")
    show("the object itself", order._store_state, "PENDING")
    show("trades that the action wrote", trades("MSFT"), 0)


def tier_2_fails_without_harm() -> None:
    order = new_order("GOOG", action=book_trade, on_enter=notify_risk)
    client.transition(order, "FILLED")
    show("order in the store", state_of(order), "FILLED")
    show("trades that the action wrote", trades("GOOG"), 1)
    show("hooks that raised, counted", client.transition_counts.hooks_raised, 1)


def tier_3_is_followed(engine: DBOSEngine) -> None:
    order = new_order("TSLA", start_workflow=settlement)
    version = client.transition(order, "FILLED")
    workflow_id = f"{order._store_entity_id}:{version}"
    show("order in the store", state_of(order), "FILLED")
    print(f"   the workflow                       {workflow_id}")
    result = engine.get_workflow_result(workflow_id, timeout=30)
    show("its result", result, "100 TSLA confirmed")
    show("its status", engine.get_workflow_status(workflow_id).value, "SUCCESS")
    show("order in the store", state_of(order), "SETTLED")


def tier_3_survives(place: dict[str, Any]) -> None:
    died = child("die", place)
    show("the process was killed by signal", -died.returncode, int(signal.SIGKILL))
    [order] = client.query(Order, {"symbol": "NVDA"})
    show("order in the store", state_of(order), "FILLED")
    show("workflows that wait to be started", len(Outbox(client).pending()), 1)
    again = child("again", place)
    if again.returncode != 0:
        raise AssertionError(again.stdout + again.stderr)
    print(f"   started again                      {again.stdout.strip()}")
    show("order in the store", state_of(order), "SETTLED")
    show("workflows that wait to be started", len(Outbox(client).pending()), 0)
    events = [event["event_type"] for event in client.audit(order._store_entity_id or "")]
    show("its events", " ".join(events), "CREATED STATE_CHANGE STATE_CHANGE")


# --- the process that dies, and the one that comes after it ---------------------------------------


def child(part: str, place: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, __file__, part],
        env={**os.environ, "DEMO_PLACE": json.dumps(place)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def play_part(part: str) -> None:
    global client  # noqa: PLW0603 - the workflow finds it here
    place = json.loads(os.environ["DEMO_PLACE"])
    client = StoreClient(**place["store"])
    with client, DBOSEngine(place["url"], "demo") as engine:
        Order._workflow_engine = engine
        if part == "die":
            order = new_order("NVDA", on_exit=die, start_workflow=settlement)
            client.transition(order, "FILLED")
        Order._state_machine = machine(start_workflow=settlement)
        [order] = client.query(Order, {"symbol": "NVDA"})
        engine.attach(Outbox(client))
        workflow_id = f"{order._store_entity_id}:{order._store_version}"
        while not engine.list_workflows(id_prefix=workflow_id):
            time.sleep(0.05)
        print(engine.get_workflow_result(workflow_id, timeout=60))


class OneLine(logging.Formatter):
    """The store logs a hook's whole traceback; here its first line is enough."""

    def formatException(self, ei: Any) -> str:  # noqa: N802 - the name of logging's own method
        return f"      {ei[0].__name__}: {ei[1]}"


def main() -> None:
    if len(sys.argv) == 2:
        play_part(sys.argv[1])
        return
    global client
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(OneLine("   log: %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    folder = Path(tempfile.mkdtemp(prefix="three-tiers-"))
    try:
        with ObjectStoreServer(folder / "data") as server:
            provision_user(server.admin_conn(), USER, PASSWORD)
            store = {"user": USER, "password": PASSWORD, **server.conn_info()}
            place = {"store": store, "url": server.dbos_url()}
            with StoreClient(**store) as client:
                with DBOSEngine(place["url"], "demo") as engine:
                    Order._workflow_engine = engine
                    print("1. Tier 1: the action commits with the change of state")
                    tier_1_commits()
                    print("2. Tier 1: the action fails, and nothing has happened")
                    tier_1_rolls_back()
                    print("3. Tier 2: a hook fails, and the change of state stands")
                    tier_2_fails_without_harm()
                    print("4. Tier 3: a workflow is started, and followed to its end")
                    tier_3_is_followed(engine)
                print("5. Tier 3: killed between the commit and the start of the workflow")
                tier_3_survives(place)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print("All five went as they should.")


if __name__ == "__main__":
    main()
