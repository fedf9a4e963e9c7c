"""Where the outputs of a step are collected, ids are made and the digest grows."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from typing import Any

import msgspec

from trading.journal.codec import encode_all
from trading.journal.digest import BLOCK, DigestState, chain, final
from trading.journal.outputs import BarClosed, Output

__all__ = ["Recorder", "RecorderState"]

# Outputs that are encoded together: few enough to be in the processor's cache still.
_TOGETHER = 64


class RecorderState(msgspec.Struct, array_like=True, gc=False):
    """Time, the number of the input in hand, and how many ids it has given out."""

    now: int = 0
    number: int = 0
    ordinal: int = 0
    digest: DigestState = msgspec.field(default_factory=DigestState)


class Recorder:
    """Collects outputs in order; an id is the number of its input and its ordinal there.

    `now` is the time of the input in hand, in nanoseconds. With `digest=False` nothing is hashed;
    `bars=False` leaves closed bars out of outputs and digest.
    """

    def __init__(self, prefix: str = "", *, digest: bool = True, bars: bool = True) -> None:
        self.now = 0
        self.number = 0
        self.ordinal = 0
        self.outputs: list[Output] = []
        self.emit: Callable[[Output], None] = self.outputs.append
        self._prefix = prefix
        self._hashes = digest
        self._bars = bars
        self._chain = bytes(32)
        self._tail = bytearray()
        self._in_tail = 0
        self._count = 0
        # The chain and the first bytes of the tail, once somebody has asked for the digest.
        self._running: Any = None
        self._in_running = 0
        # How many of the outputs were taken; they stay until several are encoded at once.
        self._taken = 0

    def begin(self, time: int, count: int = 1) -> None:
        """Start with an input, or with the last of several that had no outputs."""
        self.now = max(time, self.now)
        self.number += count
        self.ordinal = 0

    def next_id(self) -> str:
        """Return an id that no other input or output of the run has."""
        self.ordinal += 1
        return f"{self._prefix}{self.number}-{self.ordinal}"

    def bar(self, closed: BarClosed) -> None:
        """Give out a closed bar, where the run wants them."""
        if self._bars:
            self.emit(closed)

    def take(self) -> list[Output]:
        """Return the outputs since the last call, and take them into the digest."""
        outputs, taken = self.outputs, self._taken
        count = len(outputs)
        if count == taken:
            return []
        given = outputs[taken:] if taken else outputs[:]
        self._taken = count
        if count >= _TOGETHER:
            self._hash()
        return given

    def _hash(self) -> None:
        """Take what waits into the digest; blocks are full at the same outputs in any batches."""
        left = self.outputs[: self._taken]
        # In place: others hold on to the list's append.
        del self.outputs[: self._taken]
        self._taken = 0
        if not self._hashes:
            return
        self._count += len(left)
        while len(left) >= (room := BLOCK - self._in_tail):
            encode_all(left[:room], self._tail)
            self._chain = chain(self._chain, self._tail)
            self._tail.clear()
            self._in_tail, self._running = 0, None
            left = left[room:]
        encode_all(left, self._tail)
        self._in_tail += len(left)

    @property
    def digest(self) -> str:
        """The digest of all outputs that were taken so far."""
        self._hash()
        if self._running is None:
            self._running, self._in_running = sha256(self._chain), 0
        # An engine asks after each group: the unfinished block is not hashed from its begin again.
        self._running.update(self._tail[self._in_running :])
        self._in_running = len(self._tail)
        return final(self._running, self._count)

    @property
    def count(self) -> int:
        """How many outputs there were, counted with the digest."""
        return self._count + (self._taken if self._hashes else 0)

    def _digest_state(self) -> DigestState:
        self._hash()
        return DigestState(self._chain, bytes(self._tail), self._count)

    def dump(self) -> RecorderState:
        """Return what a snapshot keeps; between steps only, when every output is taken."""
        return RecorderState(self.now, self.number, self.ordinal, self._digest_state())

    def load(self, state: RecorderState) -> None:
        """Go on from a snapshot."""
        self.now, self.number, self.ordinal = state.now, state.number, state.ordinal
        digest = state.digest
        self._chain, self._tail = digest.chain, bytearray(digest.tail)
        self._count, self._in_tail = digest.count, digest.count % BLOCK
        self._running = None
        self.outputs.clear()
        self._taken = 0
