"""Position: a place in the log, in the one order in which everybody reads it."""

from __future__ import annotations

from typing import NamedTuple

from store.errors import PositionError


class Position(NamedTuple):
    """A place in the log: all events up to it have been read, none after it.

    `xid` is a transaction's number and `seq` counts the events; they order the log. `epoch` names
    the cluster that gave the numbers: those of another one mean nothing here. Positions of one
    epoch compare as they stand in the log. `str` and `parse` lead to a text and back.
    """

    epoch: str
    xid: int
    seq: int

    def __str__(self) -> str:
        return f"{self.epoch}:{self.xid}:{self.seq}"

    @classmethod
    def parse(cls, text: str) -> Position:
        """The position of a text; PositionError if it is none."""
        parts = text.split(":") if isinstance(text, str) else []
        good = len(parts) == 3 and all(part.isdecimal() and part.isascii() for part in parts[1:])
        if not good:
            raise PositionError(
                f"{text!r:.80} is no position; a text such as '7710600186791720894:742:3' is "
                "expected, as str(event.position) gives it"
            )
        return cls(parts[0], int(parts[1]), int(parts[2]))


# Before the first event, in every epoch.
START = Position("", 0, 0)
