"""Workflows that write to the store, for processes that are killed.

The process is told by its environment where store and engine are (`SETTLEMENT`, as JSON), which
workflows stop at which point (`HOLD`), and which file every execution of a step is noted in.
"""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path
from typing import Any

from store.client import StoreClient
from store.models import Order, Trade
from store.outbox import Outbox
from store.state_machine import StateMachine, Transition
from workflow import current_engine, current_workflow_id
from workflow.dispatcher import WorkflowDispatcher
from workflow.engine import WorkflowEngine

PLACE: dict[str, Any] = json.loads(os.environ.get("SETTLEMENT", "{}"))
HOLD = os.environ.get("HOLD") == "1"
_clients = threading.local()
QUEUE = "settlements"


def client() -> StoreClient:
    """This thread's login to the store."""
    if not hasattr(_clients, "client"):
        _clients.client = StoreClient(**PLACE["store"])
    found: StoreClient = _clients.client
    return found


def note(what: str) -> None:
    """One line in the file of this scenario, whole and at its end."""
    line = f"{os.getpid()} {what}\n".encode()
    with Path(PLACE["notes"]).open("ab", buffering=0) as file:
        file.write(line)


def hold(point: str) -> None:
    """Come to a point and, in the process that is to be killed, stay there."""
    if HOLD:
        note(f"at {point}")
        time.sleep(600)


def write(name: str, number: int) -> str:
    """The effect: a trade in the store, which must be there once."""
    note(f"write {name} {number} {current_workflow_id()}")
    return client().write(Trade(symbol=name.upper(), quantity=number, price=1.0, side="BUY"))


def write_held(name: str, before: str = "", after: str = "") -> str:
    if before:
        hold(before)
    entity_id = write(name, 2)
    if after:
        hold(after)
    return entity_id


def step(*args: Any, **kwargs: Any) -> Any:
    return current_engine().step(*args, **kwargs)


def killed_before_effect() -> int:
    step(write, "before", 1)
    step(write_held, "before", before="before")
    step(write, "before", 3)
    return 3


def killed_after_effect() -> int:
    step(write, "after", 1)
    step(write_held, "after", after="after")
    step(write, "after", 3)
    return 3


def killed_between() -> int:
    step(write, "between", 1)
    hold("between")
    step(write, "between", 2)
    return 2


def killed_asleep() -> int:
    step(write, "asleep", 1)
    if HOLD:
        note("at asleep")
    # Longer than a loaded machine takes to see it asleep; it begins while others are started.
    current_engine().sleep(5)
    step(write, "asleep", 2)
    return 2


def killed_in_recv() -> int:
    step(write, "recv", 1)
    if HOLD:
        note("at recv")
    number = current_engine().recv("number", 120)
    step(write, "recv", number)
    return 2


def take_back(name: str, number: int) -> None:
    """What undoes a write: another one."""
    write(name, number + 10)
    if number == 1:
        hold("undoing")


def killed_undoing() -> None:
    careful = current_engine().step_options(undo=take_back)
    careful.step(write, "undoing", 1)
    careful.step(write, "undoing", 2)
    raise ValueError("both are to be undone")


def killed_in_queue(number: int) -> int:
    step(write, "queue", number)
    if number == 1:
        hold("queue")
    return 1


def killed_parent() -> int:
    step(write, "child", 1)
    child = current_engine().workflow(killed_child)
    found: int = child.get_result()
    step(write, "child", 4)
    return found


def killed_child() -> int:
    step(write, "child", 2)
    hold("child")
    step(write, "child", 3)
    return 4


class Lifecycle(StateMachine):
    """Filled, then settled by a workflow."""

    initial = "PENDING"
    transitions = (
        Transition(
            "PENDING",
            "FILLED",
            # After the commit, and before the workflow is started.
            on_exit=lambda _order, _before, _after: hold("commit"),
            start_workflow="tests.workflow.settlement:settled",
        ),
        Transition("FILLED", "SETTLED"),
    )


class HeldClient:
    """The store's client, which is held up between its transition and the step's checkpoint."""

    def transition(self, obj: Any, new_state: str, **kwargs: Any) -> int:
        version = client().transition(obj, new_state, **kwargs)
        hold("transition")
        return version


def settled(entity_id: str) -> str:
    """The workflow of the third tier."""
    engine = current_engine()
    step(write, "settled", 1)
    order = engine.step(lambda: client().read(Order, entity_id))
    version = WorkflowDispatcher(engine, HeldClient()).durable_transition(order, "SETTLED")
    order.quantity += version
    engine.step(lambda: client().update(order))
    return str(order._store_state)


def fill(symbol: str) -> None:
    """Write an order and fill it, from outside of any workflow."""
    order = Order(symbol=symbol, quantity=100, price=228.5, side="BUY", order_type="LIMIT")
    client().write(order)
    client().transition(order, "FILLED")


def prepare(engine: WorkflowEngine) -> None:
    """Let the engine start what transitions promised."""
    Order._state_machine = Lifecycle
    Order._workflow_engine = engine
    engine.attach(Outbox(client()))


def long(name: str, steps: int) -> int:
    """Many short steps, with everything else that can be interrupted among them."""
    engine = current_engine()
    for number in range(1, steps + 1):
        step(write, name, number)
        if number % 3 == 0:
            engine.sleep(0.05)
        if number % 4 == 0:
            engine.run(nap, name)
    return steps


def nap(name: str) -> str:
    current_engine().sleep(0.02)
    return name
