"""Faults of the link, by command: messages that are late, lost, doubled or out of order.

Faults concern commands on their way in, and reports and `Done` on their way out. Logging on,
queries and heartbeats stay as they are, so that both sides can find out what is missing.
"""

from __future__ import annotations

import random

import msgspec

from trading.errors import ExchangeError, shown

__all__ = ["DIRECTIONS", "FAULT_KINDS", "Fault", "LinkFaults"]

FAULT_KINDS = ("delay", "drop", "duplicate", "reorder", "disconnect")
DIRECTIONS = ("in", "out")
_LONGEST_DELAY_MS = 60_000


class Fault(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A fault for the next `count` messages that it hits, each hit with a probability.

    An empty account means every account. `delay_ms` is for delays. Chance comes from the seed.
    """

    kind: str
    direction: str = "out"
    account: str = ""
    count: int = 1
    probability: float = 1.0
    delay_ms: int = 100
    seed: int = 0

    def checked(self) -> Fault:
        """Return the fault itself; ExchangeError where it is none."""
        if self.kind not in FAULT_KINDS:
            raise ExchangeError(f"fault {shown(self.kind)} is none of {' '.join(FAULT_KINDS)}")
        if self.direction not in DIRECTIONS:
            raise ExchangeError(f"direction {shown(self.direction)} is none of in out")
        if self.count < 1 or not 0 < self.probability <= 1:
            raise ExchangeError(
                f"a fault has a count of 1 or more and a probability above 0 up to 1, seen "
                f"{self.count} and {self.probability}"
            )
        if not 0 <= self.delay_ms <= _LONGEST_DELAY_MS:
            raise ExchangeError(f"delay_ms is 0 to {_LONGEST_DELAY_MS}, seen {self.delay_ms}")
        return self


class _Active:
    """A fault that still has messages to hit."""

    def __init__(self, fault: Fault) -> None:
        self.fault = fault
        self.left = fault.count
        self.chance = random.Random(fault.seed)


class LinkFaults:
    """The faults that are in force; they are forgotten when the exchange ends."""

    def __init__(self) -> None:
        self._active: list[_Active] = []

    def add(self, fault: Fault) -> None:
        """Put a fault in force."""
        self._active.append(_Active(fault.checked()))

    def clear(self) -> None:
        """End all faults."""
        self._active.clear()

    @property
    def none(self) -> bool:
        """Whether no fault is in force."""
        return not self._active

    def next(self, direction: str, account: str) -> Fault | None:
        """Return the fault that hits the next message, None mostly."""
        for active in self._active:
            fault = active.fault
            if fault.direction != direction or fault.account not in ("", account):
                continue
            if active.chance.random() >= fault.probability:
                continue
            active.left -= 1
            if not active.left:
                self._active.remove(active)
            return fault
        return None

    def listed(self) -> list[tuple[Fault, int]]:
        """Return the faults in force and how many messages each will still hit."""
        return [(active.fault, active.left) for active in self._active]
