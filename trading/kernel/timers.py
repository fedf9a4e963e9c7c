"""What is due at a time: fired in the order of time, then of setting."""

from __future__ import annotations

from heapq import heappop, heappush

__all__ = ["NEVER", "Timer", "Timers"]

NEVER = 2**62
"""A time that no input has."""

Timer = tuple[int, int, str, str]
"""Time, sequence, kind and subject."""


class Timers:
    """A heap of timers; one that has lost its meaning is ignored when it fires."""

    def __init__(self) -> None:
        self.heap: list[Timer] = []
        self._sequence = 0

    def set(self, time: int, kind: str, subject: str = "") -> None:
        """Let something be due at a time."""
        self._sequence += 1
        heappush(self.heap, (time, self._sequence, kind, subject))

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
        self.heap, self._sequence = list(heap), sequence
