"""WorkflowDispatcher: state transitions as steps of a workflow.

dispatcher = WorkflowDispatcher(engine, client)

def settlement(entity_id):
    order = engine.step(client.read, Order, entity_id)
    engine.step(call_clearing_house, order)
    dispatcher.durable_transition(order, "SETTLED")
"""

from __future__ import annotations

from typing import Any, Protocol

from workflow.engine import WorkflowEngine
from workflow.references import name_of


class TransitionClient(Protocol):
    """A client that moves an object to another state, and updates the object accordingly."""

    def transition(self, obj: Any, new_state: str, *args: Any, **kwargs: Any) -> Any:
        """Move the object to another state; return what `durable_transition` should return."""


class WorkflowDispatcher:
    """Moves objects through their states from within workflows."""

    def __init__(self, engine: WorkflowEngine, client: TransitionClient) -> None:
        self._engine = engine
        self._client = client

    def durable_transition(self, obj: Any, new_state: str, **kwargs: Any) -> Any:
        """Move an object to another state as a step, once, and return what the client returned.

        The object has the fields that the transition left it with, also where the step is replayed.
        """

        def transition() -> tuple[Any, Any]:
            return self._client.transition(obj, new_state, **kwargs), obj

        transition.__qualname__ = f"transition to {new_state}"
        transition.__module__ = name_of(type(obj))
        returned, after = self._engine.step(transition)
        for name in {**getattr(after, "__dataclass_fields__", {}), **vars(after)}:
            object.__setattr__(obj, name, getattr(after, name))
        return returned
