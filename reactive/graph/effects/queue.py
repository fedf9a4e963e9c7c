"""The effects that wait to run after an update, and the order in which they run."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from operator import attrgetter
from typing import Any, Protocol

from reactive.errors import CycleError
from reactive.graph.observer import Origin

RUNS_MAX = 100
"""Times that one effect may run in consequence of one update before that counts as a cycle."""
PATH_MAX = 41
"""Steps of a cycle that its error names."""

logger = logging.getLogger("reactive.graph")
_serial_of = attrgetter("serial")


class QueuedEffect(Protocol):
    """What the queue needs to know of an effect."""

    serial: int
    attached: bool
    queued: bool
    cause: QueuedEffect | None

    @property
    def label(self) -> str:
        """Its name in messages."""

    @property
    def origin(self) -> Origin:
        """The update that last changed what it observes."""

    def run(self) -> None:
        """Call back if there is something new."""


class EffectQueue:
    """The effects that wait to run, in the order in which they were attached."""

    def __init__(self) -> None:
        self.waiting: list[QueuedEffect] = []
        self.errors = 0
        self.signals: list[QueuedEffect] = []
        """Effects that only set a signal of reaktiv; they come before the others."""
        self.signal_batch: Callable[[], AbstractContextManager[Any]] = nullcontext
        """What makes setting several signals one change for those who watch them."""
        self._attached = 0
        self._running = False
        self._runs: dict[QueuedEffect, int] = {}
        self._cycle: CycleError | None = None

    def next_serial(self) -> int:
        """Return the place of a new effect in the order."""
        self._attached += 1
        return self._attached

    def run(self) -> None:
        """Run the waiting effects and those that they cause; does nothing within a run."""
        if self._running:
            return
        self._running = True
        waiting = self.waiting
        try:
            if self.signals:
                self._publish()
            if len(waiting) > 1:
                waiting.sort(key=_serial_of)
            known = len(waiting)
            for effect in waiting:  # grows while it is run through
                effect.queued = False
                if effect.attached:
                    effect.run()
                if self.signals:
                    self._publish()
                if len(waiting) > known:
                    self._follow(effect, known)
                    known = len(waiting)
        except BaseException:
            for effect in (*waiting, *self.signals):
                effect.queued = False
            self.signals.clear()
            raise
        finally:
            waiting.clear()
            self._running = False
            if self._runs:
                self._conclude()

    def _conclude(self) -> None:
        """Clear the record of causes, and raise the cycle that was found."""
        for effect in self._runs:
            effect.cause = None
        self._runs.clear()
        cycle, self._cycle = self._cycle, None
        if cycle is not None:
            raise cycle

    def _publish(self) -> None:
        """Set the signals whose values have changed."""
        while self.signals:
            signals, self.signals = self.signals, []
            with self.signal_batch():
                for signal in signals:
                    signal.queued = False
                    if signal.attached:
                        signal.run()

    def _follow(self, cause: QueuedEffect, known: int) -> None:
        """Put what a callback has caused in order, and stop a cycle of effects."""
        caused = sorted(self.waiting[known:], key=_serial_of)
        del self.waiting[known:]
        for effect in caused:
            effect.cause = cause
            runs = self._runs[effect] = self._runs.get(effect, 0) + 1
            if runs <= RUNS_MAX:
                self.waiting.append(effect)
                continue
            effect.queued = False
            if self._cycle is None:
                self._cycle = _cycle_through(effect)

    def report(self, label: str, error: BaseException) -> None:
        """Count a callback's error and log it with its traceback."""
        self.errors += 1
        logger.error("%s raised %s: %s", label, type(error).__name__, error, exc_info=error)


def _cycle_through(effect: QueuedEffect) -> CycleError:
    """Return the error that names the effects and updates from an effect back to itself."""
    path = [effect.label]
    step: QueuedEffect | None = effect
    while step is not None and len(path) < PATH_MAX:
        _, action, subject, name = step.origin
        step = step.cause
        if step is not None:
            path += [f"{action} of {subject}.{name}", step.label]
        if step is effect:
            break
    return CycleError(path[::-1], f"effects caused one another more than {RUNS_MAX} times")
