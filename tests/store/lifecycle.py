"""An order that settles, and an engine that keeps in files what it was asked to start."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from reactive import Field
from store import Storable
from store.client import StoreClient
from store.state_machine import StateMachine, Transition


def settle(entity_id: str) -> None:
    """The workflow; the engine of these tests only notes that it was started."""


class FileEngine:
    """Starts each workflow id once, over the lives of several processes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.asked: list[str] = []

    def workflow(self, fn: Any, *args: Any) -> None:
        raise AssertionError("an engine with start_once is asked for that")

    def start_once(self, workflow_id: str, fn: Any, *args: Any) -> None:
        self.asked.append(workflow_id)
        name = fn if isinstance(fn, str) else fn.__qualname__
        try:
            file = os.open(self.folder / workflow_id, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        except FileExistsError:
            return
        with os.fdopen(file, "w") as out:
            out.write(f"{name} {' '.join(args)}")

    def started(self) -> dict[str, str]:
        return {file.name: file.read_text() for file in self.folder.iterdir()}


class SwapLifecycle(StateMachine):
    initial = "PENDING"
    transitions = (
        Transition("PENDING", "FILLED", guard=Field("quantity") > 0, start_workflow=settle),
        Transition("PENDING", "CANCELLED", allowed_by=["bob"]),
        Transition("FILLED", "SETTLED"),
    )


@dataclass
class Swap(Storable):
    symbol: str = ""
    quantity: int = 0
    tags: list[str] = field(default_factory=list)
    _state_machine = SwapLifecycle


def machine_with(**effects: Any) -> type[StateMachine]:
    """One step, from PENDING to FILLED, with these effects."""
    return type(
        "OneStep",
        (StateMachine,),
        {"initial": "PENDING", "transitions": (Transition("PENDING", "FILLED", **effects),)},
    )


class Broken(FileEngine):
    """An engine that is down."""

    def start_once(self, workflow_id: str, fn: Any, *args: Any) -> None:
        raise ConnectionError("the engine is down")


def swap(client: StoreClient, engine: Any = None, **effects: Any) -> Swap:
    obj = Swap(symbol="EUR", quantity=1, tags=["new"])
    if effects:
        obj._state_machine = machine_with(**effects)
    obj._workflow_engine = engine
    client.write(obj)
    return obj
