"""A group of inputs on its way into the journal, and one of which it is not known whether it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from store.entities.batch import Batch
from trading.engine.inbox import Item
from trading.engine.journal import Entry, Group
from trading.errors import EngineError
from trading.journal.inputs import Input
from trading.journal.outputs import Output
from trading.kernel import TickColumns

__all__ = ["Attempt", "CommitUnknown", "Planned", "Staged"]


@dataclass(frozen=True)
class Attempt:
    """A group whose commit was not answered: it may or may not be in the journal.

    `rest` are reports that came with it and are in no group yet. Number 0 is no group at all.
    """

    number: int
    entries: list[Entry]
    items: list[Item]
    rest: list[Item]


class CommitUnknown(EngineError):
    """The store did not say whether a group is committed; `Writer.attempt` is that group."""


@dataclass
class Planned:
    """An input with its time, on its way into a group."""

    item: Item
    event: Input | TickColumns
    error: str = ""


@dataclass
class Staged:
    """A group that was stepped and is in a batch, which is not committed yet.

    `rest` are reports that came with it and are in no group yet.
    """

    items: Sequence[Item]
    planned: list[Planned]
    outputs: list[Output]
    group: Group
    batch: Batch
    rest: list[Item]
