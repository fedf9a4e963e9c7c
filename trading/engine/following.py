"""Who tells an engine what people have decided: `trading.governance.governor.Governor` does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from trading.engine.state import EngineState
from trading.journal.inputs import Input

__all__ = ["Follower"]


class Follower(Protocol):
    """Gives an engine its commands at the start, and then while it runs."""

    def before_broker(self, state: EngineState) -> Sequence[Input]:
        """Return what is journaled before the engine speaks to its broker."""
        ...

    def after_recovery(self) -> Sequence[Input]:
        """Return what is journaled once both agree, before any order is taken."""
        ...

    def start(self, engine: Any) -> None:
        """The engine runs: give it commands from now on, whenever its phase is RUNNING."""
        ...

    def stop(self) -> None:
        """The engine has ended."""
        ...
