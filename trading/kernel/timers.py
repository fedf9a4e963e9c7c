"""What is due at a time: fired in the order of time, then of setting."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heapify, heappop, heappush

__all__ = ["NEVER", "Timer", "Timers"]

NEVER = 2**62
"""A time that no input has."""

_LEAST = 1_024

Timer = tuple[int, int, str, str]
"""Time, sequence, kind and subject."""


def _always(_kind: str, _subject: str) -> bool:
    return True


class Timers:
    """A heap of timers; one that has lost its meaning is ignored when it fires.

    `is_alive` says of a kind and subject whether a timer still means something: those that do not
    are dropped before they are as many as the others.
    """

    def __init__(self) -> None:
        self.heap: list[Timer] = []
        self.is_alive: Callable[[str, str], bool] = _always
        self._sequence = 0
        self._limit = _LEAST

    def set(self, time: int, kind: str, subject: str = "") -> None:
        """Let something be due at a time."""
        self._sequence += 1
        heappush(self.heap, (time, self._sequence, kind, subject))
        if len(self.heap) > self._limit:
            self._drop_dead()

    def _drop_dead(self) -> None:
        # In place: others hold on to the heap.
        self.heap[:] = [each for each in self.heap if self.is_alive(each[2], each[3])]
        heapify(self.heap)
        self._limit = max(_LEAST, 2 * len(self.heap))

    @property
    def due(self) -> int:
        """The time of the next timer, or NEVER."""
        return self.heap[0][0] if self.heap else NEVER

    def pop(self) -> Timer:
        """Take the next timer."""
        return heappop(self.heap)

    def dump(self) -> tuple[list[Timer], int]:
        """Return what a snapshot keeps."""
        return list(self.heap), self._sequence

    def load(self, heap: list[Timer], sequence: int) -> None:
        """Go on from a snapshot."""
        # In place: others hold on to the heap.
        self.heap[:] = heap
        self._sequence = sequence
