"""What cannot be read: events whose data do not fit their class, or that no program can parse.

Whoever may write an entity that is shared can write such data with a login of their own. It must
stop nobody from reading the rest: queries and histories name it, subscriptions and projections
set it aside.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from store.errors import SerializationError
from store.events import ChangeEvent

OnUnreadable = Literal["warn", "raise"]
SHOWN_MAX = 5
# Characters of an event's data, which may be megabytes.
DATA_KEPT_MAX = 10_000


class UnreadableWarning(UserWarning):
    """An answer lacks entities or versions that cannot be read."""


@dataclass(frozen=True)
class Unreadable:
    """A version of an entity that cannot be read: who wrote it, why not, and its JSON as text."""

    entity_id: str
    version: int
    updated_by: str
    error: str
    data: str = field(repr=False)

    @classmethod
    def of(cls, event: ChangeEvent, error: str) -> Unreadable:
        """What an event is that cannot be read; of long data no more than the beginning is kept."""
        data = (event.data or "")[:DATA_KEPT_MAX]
        return cls(event.entity_id, event.version, event.updated_by, error, data)

    def __str__(self) -> str:
        return f"version {self.version} of {self.entity_id} by {self.updated_by}: {self.error}"


def report(found: Sequence[Unreadable], how: OnUnreadable, stacklevel: int) -> None:
    """Warn of what an answer lacks, or raise SerializationError where that is wanted."""
    if not found:
        return
    shown = "; ".join(str(each)[:300] for each in found[:SHOWN_MAX])
    more = len(found) - SHOWN_MAX
    text = f"{len(found)} cannot be read: {shown}{f'; and {more} more' if more > 0 else ''}"
    if how == "raise":
        raise SerializationError(text)
    warnings.warn(
        f"{text}; the others are in the answer, see its `unreadable`",
        UnreadableWarning,
        stacklevel=stacklevel + 1,
    )
