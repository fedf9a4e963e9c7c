"""Classes, workflows and logins that the kept data was made with; both versions import them.

The data holds names of classes and functions, and the steps of workflows: these must not change.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

from reactive.expr import Const, Expr, Field
from store.base import Storable
from store.models import Order, Trade
from store.projections import Projection
from store.state_machine import StateMachine, Transition
from tests.store.registries import registry_of
from workflow import current_engine

ADMIN_PASSWORD = "only for tests"
USER, PASSWORD = "alice", "the password of alice"
ENGINE = "kept"
QUEUE = "settlements"
EXPENSIVE: Expr = (Field("price") * Field("quantity") > Const(1_000)) & (Field("side") == "BUY")


class Colour(Enum):
    """Stored by its value."""

    RED = "red"
    BLUE = "blue"


@dataclass
class Lot:
    """A nested value."""

    size: Decimal
    opened: date


@dataclass
class Holding(Storable):
    """A class with fields of many kinds, each of which is kept exactly."""

    _registry = registry_of(
        label=str,
        amount=Decimal,
        colour=Colour,
        reference={"python_type": UUID, "nullable": True},
        since={"python_type": datetime, "nullable": True},
        lots=list[Lot],
    )
    label: str = ""
    amount: Decimal = Decimal(0)
    colour: Colour = Colour.RED
    reference: UUID | None = None
    since: datetime | None = None
    lots: list[Lot] = field(default_factory=list)


class TicketStates(StateMachine):
    """Sending a ticket starts a workflow."""

    initial = "DRAFT"
    transitions = (
        Transition("DRAFT", "SENT", start_workflow="tests.kept.desk:sent"),
        Transition("SENT", "DONE"),
    )


@dataclass
class Ticket(Storable):
    """A class whose states start workflows."""

    label: str = ""
    _state_machine = TicketStates


def add(state: Any, event: Any) -> int:
    """Sum the quantities of trades."""
    return int(state or 0) + int(Trade.from_json(event.data).quantity)


# --- workflows ------------------------------------------------------------------------------------

calls: list[str] = []
"""What has run in this process, steps and compensations."""


def noted(what: str) -> str:
    calls.append(what)
    return what


def sleeps(what: str) -> str:
    engine = current_engine()
    engine.step(noted, f"{what}, first step")
    engine.sleep(30)
    return engine.step(noted, f"{what}, second step")


def waits(what: str) -> list[Any]:
    engine = current_engine()
    engine.set_event("progress", {"what": what, "done": Decimal("0.5")})
    first = engine.recv("go")
    return [engine.step(noted, f"{what} {first}"), engine.recv("go")]


def compensates(what: str) -> None:
    engine = current_engine()
    engine.step(noted, f"{what} booked", undo=undo)
    engine.recv("go")
    raise ValueError(f"{what} failed")


def undo(what: str) -> None:
    noted(f"{what}, undone")


def asks(child_id: str) -> Any:
    engine = current_engine()
    child = engine.options(workflow_id=child_id).workflow(waits, "child")
    return engine.step(noted, f"parent of {child.get_result()}")


def evaluates(expression: Expr, row: dict[str, Any]) -> list[Any]:
    engine = current_engine()
    kept = engine.step(same, expression)
    engine.recv("go")
    return [expression.eval(row), kept.eval(row), expression == kept]


def same(value: Any) -> Any:
    return value


def ends(what: str) -> Lot:
    return Lot(Decimal("1.50"), date(2026, 2, 28))


def fails(what: str) -> None:
    raise LookupError(what)


def sent(entity_id: str) -> str:
    return noted(f"sent {entity_id}")


def tick(scheduled_at: datetime) -> str:
    return noted(f"tick {scheduled_at.isoformat()}")


__all__ = ["Order", "Projection", "Trade"]
