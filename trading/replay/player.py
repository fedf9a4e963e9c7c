"""Player: a tape through a kernel, forwards, step by step and back to any moment.

It knows no clock and no thread; `ReplaySession` gives it both.
"""

from __future__ import annotations

import gc
from bisect import bisect_right
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from trading.errors import ReplayError
from trading.journal import outputs as said
from trading.journal.outputs import Output
from trading.kernel import BarColumns, Kernel
from trading.replay.screen import Kept, Screen, Shown
from trading.replay.tape import Piece, Tape

__all__ = ["STEPS", "Played", "Player"]

STEPS = ("tick", "bar", "order")
# Rows between two snapshots, at the least, and how many of them there are at the most.
_SNAPSHOT_ROWS = 16_384
_SNAPSHOTS = 32
# How far is looked ahead for the next bar or order, and how much finer where one was seen.
_LOOK_AHEAD, _FINER = 4_096, 16

_ORDERS = (said.OrderOpened, said.OrderEvent, said.OrderChanged, said.FillBooked)


@dataclass(frozen=True)
class _Saved:
    """A moment to go back to."""

    position: int
    time: int
    kernel: bytes
    screen: Kept


@dataclass(frozen=True)
class Played:
    """What a stretch of the tape was, and what it led to."""

    pieces: list[Piece]
    outputs: list[Output]


class Player:
    """Plays a tape through kernels of one recipe; `make` returns a new kernel each time.

    It is at its end at `until`, when the bars after the last row may have become final, too.

    `time` is the recorded time in nanoseconds: everything that is due by then has happened.
    `position` is how many rows have come. What is shown at a time or position is the same, however
    it was reached.
    """

    def __init__(self, tape: Tape, make: Callable[[], Kernel], until: int | None = None) -> None:
        self.tape = tape
        self.until = tape.end if until is None else max(until, tape.end)
        self._make = make
        self.screen = Screen()
        self.kernel = make()
        self.position = 0
        self.time = tape.start
        self._saved: list[_Saved] = []
        self._every = max(_SNAPSHOT_ROWS, -(-len(tape) // _SNAPSHOTS))
        self._begin()

    def _begin(self) -> None:
        for event in self.tape.opening:
            self.screen.take(self.kernel.step(event))
        self.position, self.time = 0, self.tape.start
        if not self._saved:
            self._save()

    @property
    def at_end(self) -> bool:
        """Whether all rows have come, and the time is over."""
        return self.position >= len(self.tape) and self.time >= self.until

    def shown(self) -> Shown:
        """Return all that is shown now."""
        return self.screen.shown(self.kernel, self.time, self.position)

    # --- forwards ---------------------------------------------------------------------------------

    def play_rows(self, stop: int) -> Played:
        """Play up to a position, a moment of bars whole; the time is that of its last row."""
        stop = self.tape.moment_after(stop)
        played = Played([], [])
        while self.position < stop:
            upto = min(stop, self.tape.moment_after(self._next_save()))
            part = Played([], [])
            self._run(upto if upto > self.position else stop, part)
            self.screen.take(part.outputs)
            _join(played, part)
            if self.position >= self._next_save():
                self._save()
        return played

    def play_until(self, time: int) -> Played:
        """Play everything that came by a time, and let happen what is due by then."""
        time = min(time, self.until)
        played = self.play_rows(self.tape.row_at(time))
        if time > self.time:
            outputs = self.kernel.advance(time)
            self.time = time
            self.screen.take(outputs)
            played.outputs.extend(outputs)
        return played

    def _run(self, stop: int, played: Played) -> None:
        """Play rows without showing them."""
        with _uncollected():
            for piece in self.tape.between(self.position, stop):
                played.pieces.append(piece)
                played.outputs.extend(self.kernel.step(piece))
        self.position = stop
        self.time = max(self.time, int(self.tape.times[stop - 1]))

    @property
    def due(self) -> int | None:
        """When something is to be shown next, in recorded time; None when nothing is left."""
        if self.at_end:
            return None
        following = self.until
        if self.position < len(self.tape):
            following = int(self.tape.times[self.position])
        return max(min(following, self.kernel.due), self.time)

    # --- step by step -----------------------------------------------------------------------------

    def step(self, what: str) -> Played:
        """Play up to the next tick, bar or order, or to the end where none comes any more.

        ReplayError for another word.
        """
        if what not in STEPS:
            raise ReplayError(f"step {what!r}: there are {', '.join(STEPS)}")
        if self.at_end:
            return Played([], [])
        if what == "tick" and self.position < len(self.tape):
            return self.play_rows(self.position + 1)
        played = Played([], [])
        found = self._find(what, played)
        self.screen.take(played.outputs)
        if not found:
            _join(played, self.play_until(self.until))
        return played

    def _find(self, what: str, played: Played) -> bool:
        """Play rows up to where the thing is that is looked for; False where it never comes.

        A stretch that has it is gone through again, more finely.
        """
        rows, bound = _LOOK_AHEAD, len(self.tape)
        while self.position < len(self.tape):
            if rows == 1:
                if self._look_at_one(what, played):
                    return True
                continue
            before = self.kernel.snapshot(), self.position, self.time
            ahead = Played([], [])
            self._run(self.tape.moment_after(min(self.position + rows, bound)), ahead)
            if any(_is(what, each) for each in (*ahead.outputs, *ahead.pieces)):
                rows, bound = rows // _FINER, self.position
                self.kernel = self._restored(before[0])
                self.position, self.time = before[1:]
            else:
                _join(played, ahead)
        return False

    def _look_at_one(self, what: str, played: Played) -> bool:
        """What is due by the clock before the next row comes first, then the row."""
        following = int(self.tape.times[self.position])
        due = self.kernel.due
        if due <= following:
            outputs = self.kernel.advance(due)
            self.time = max(self.time, due)
            played.outputs.extend(outputs)
            if any(_is(what, each) for each in outputs):
                return True
            if due < following or self.kernel.due <= following:
                return False
        ahead = Played([], [])
        self._run(self.tape.moment_after(self.position + 1), ahead)
        _join(played, ahead)
        return any(_is(what, each) for each in (*ahead.outputs, *ahead.pieces))

    # --- to any moment ----------------------------------------------------------------------------

    def seek_row(self, position: int) -> None:
        """Go to right after so many rows, forwards or back."""
        position = self.tape.moment_after(position)
        time = int(self.tape.times[position - 1]) if position else self.tape.start
        self._go_back(position, time)
        self.play_rows(position)

    def seek_time(self, time: int) -> None:
        """Go to a time, forwards or back; before the first row and after the last is their time."""
        time = max(time, self.tape.start)
        self._go_back(self.tape.row_at(time), time)
        self.play_until(time)

    def seek_moment(self, position: int, time: int) -> None:
        """Go to where so many rows have come and it is a time, as `shown` says both.

        A step can end between what is due by the clock and a row of the same time. ReplayError for
        a time that is not between the last of these rows and the next one.
        """
        first = int(self.tape.times[position - 1]) if position else self.tape.start
        last = int(self.tape.times[position]) if position < len(self.tape) else self.until
        if self.tape.moment_after(position) != position or not first <= time <= last:
            raise ReplayError(
                f"after {position} rows it is between {first} and {last}, not {time}; give the "
                "time and position of a moment that was shown"
            )
        self._go_back(position, time)
        self.play_rows(position)
        if time > self.time:
            self.screen.take(self.kernel.advance(time))
            self.time = time

    def _go_back(self, position: int, time: int) -> None:
        """Go to the last known moment that is not after a position and a time."""
        places = [each.position for each in self._saved]
        saved = self._saved[max(bisect_right(places, position) - 1, 0)]
        is_ahead = self.position > position or self.time > time
        if is_ahead or saved.position > self.position:
            self.kernel = self._restored(saved.kernel)
            self.position, self.time = saved.position, saved.time
            self.screen.go_to(saved.screen)

    def _restored(self, snapshot: bytes) -> Kernel:
        kernel = self._make()
        kernel.restore(snapshot)
        return kernel

    def _next_save(self) -> int:
        last = self._saved[-1].position
        return last + self._every

    def _save(self) -> None:
        """Keep this moment."""
        self._saved.append(
            _Saved(self.position, self.time, self.kernel.snapshot(), self.screen.keep())
        )


def _join(played: Played, more: Played) -> None:
    played.pieces.extend(more.pieces)
    played.outputs.extend(more.outputs)


def _is(what: str, thing: object) -> bool:
    if what == "order":
        return isinstance(thing, _ORDERS)
    return isinstance(thing, (said.BarClosed, BarColumns))


@contextmanager
def _uncollected() -> Iterator[None]:
    """Let the collector of cycles rest: a kernel makes none, and keeps very many objects."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
