"""A class that the bridge carries: its events into its raw table, its present states into live."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import compress
from operator import and_, attrgetter
from typing import Any, NamedTuple

from bridge.columns import Columns, EventReader, ReadEvents, field_columns, schema_of
from bridge.errors import RegistrationError
from bridge.live import LiveTable
from bridge.status import TableStatus
from bridge.targets import Target, target_for
from publishing.conversion_errors import ConversionErrors
from reactive.errors import ExpressionError
from reactive.expr import Expr
from store.base import Storable
from store.events import ChangeEvent
from store.governance.class_schema import governed

logger = logging.getLogger(__name__)

_entity_of = attrgetter("entity_id")
# Of so many versions that could not be read, the feed knows that they were counted.
UNREAD_KEPT = 10_000


class EventRow(NamedTuple):
    """An event for the tables of its class.

    `raw`: its row goes to the raw table. `present`: it is the present state of its entity.
    """

    event: ChangeEvent
    raw: bool
    present: bool


class DeadLetter(NamedTuple):
    """An event that cannot be shown, and why."""

    event: ChangeEvent
    error: str


class Feed:
    """Takes the events of one class, in order, and shows them.

    An event whose data its class cannot read has no row: it is a dead letter, and its entity leaves
    the table of present states. Those from the log wait in `dead_letters` for whoever keeps them.
    """

    def __init__(
        self,
        cls: type[Storable],
        *,
        passing: Expr | None,
        columns: Iterable[str] | None,
        writer: Any,
        rows: int | None,
        live: bool,
        max_pending_rows: int,
    ) -> None:
        self.cls = cls
        fields = field_columns(cls, columns)
        schema = schema_of(fields)
        self.conversion_errors = ConversionErrors(cls.__name__)
        test = None if passing is None else _test_of(cls, passing)
        self._reader = EventReader(cls, fields, self.conversion_errors, test)
        self.target: Target = target_for(writer, cls.__name__, schema, rows, max_pending_rows)
        self.live = LiveTable(cls.__name__, schema, max_pending_rows) if live else None
        self.kept_rows = rows
        self.replaced = 0
        self.dead_letters: list[DeadLetter] = []
        # Versions that could not be read, and whether their places in the log are known.
        self._unread: OrderedDict[tuple[str, int], bool] = OrderedDict()
        self._dead_letter_count = 0
        self._last_dead_letter = ""
        self._live_error = ""
        self._begin_count()

    def _begin_count(self) -> None:
        self._rows = self._lost = self._filtered = self._deleted = 0

    def take(self, rows: Sequence[EventRow], gone: Sequence[str] = ()) -> int:
        """Show events, and no more the present states of the entities that are `gone`.

        Return how many rows the raw table was given.
        """
        rows = [row for row in rows if row.raw or row.present]
        events, raw, present = zip(*rows, strict=True) if rows else ((), (), ())
        read = self._reader.read(events)
        shown_raw: Sequence[bool] = raw
        if not all(read.shown):
            self._set_aside(events, raw, read)
            shown_raw = list(compress(raw, read.shown))
        written = self._write(read.columns.where(shown_raw))
        if self.live is not None and (gone or any(present)):
            self._show_live(events, present, read, gone)
        return written

    def is_unread(self, event: ChangeEvent) -> bool:
        """Whether an event was met that could not be read."""
        return (event.entity_id, event.version) in self._unread

    def has_failed_live(self) -> bool:
        """Whether the table of present states failed in the engine, or misses rows."""
        return self.live is not None and (bool(self._live_error) or self.live.has_failed())

    def renew_live(self) -> None:
        """Begin again with an empty table of present states."""
        assert self.live is not None
        self.live.renew()
        self._live_error = ""
        self.replaced += 1

    def renew_raw(self) -> None:
        """Begin again with an empty raw table, where that is the bridge's own."""
        before = self.target.lost_all
        self.target.renew()
        self.replaced += self.target.lost_all - before

    @contextmanager
    def repeating(self, *, raw: bool) -> Iterator[None]:
        """Take events that were taken before: values that did not fit were counted and logged then.

        With `raw`, what was counted of the rows of the raw table is counted anew.
        """
        counts = dict(self.conversion_errors.counts)
        if raw:
            self._begin_count()
        try:
            yield
        finally:
            self.conversion_errors.counts.clear()
            self.conversion_errors.counts.update(counts)

    def await_shown(self, timeout: float) -> bool:
        """Wait until the engine has all; False if time ran out."""
        return self.target.await_shown(timeout) and (
            self.live is None or self.live.await_shown(timeout)
        )

    def status(self) -> TableStatus:
        """What it has shown so far."""
        return TableStatus(
            rows=self._rows,
            deletions=self._deleted,
            filtered=self._filtered,
            lost_rows=self._lost,
            conversion_errors=dict(self.conversion_errors.counts),
            dead_letters=self._dead_letter_count,
            last_dead_letter=self._last_dead_letter,
            last_error=self._live_error or self.target.last_error,
            failed=self.failed(),
            replaced=self.replaced,
        )

    def failed(self) -> tuple[str, ...]:
        """Which of its tables have failed in the engine, "raw" and "live"."""
        return (*["raw"] * self.target.has_failed(), *["live"] * self.has_failed_live())

    def _set_aside(
        self, events: Sequence[ChangeEvent], raw: Sequence[bool], read: ReadEvents
    ) -> None:
        """Count what the filter did not pass, and set aside what cannot be read."""
        for n, event in enumerate(events):
            if n in read.unread:
                self._add_dead_letter(event, str(read.unread[n]))
            elif not read.shown[n]:
                self._filtered += raw[n]

    def _add_dead_letter(self, event: ChangeEvent, error: str) -> None:
        version = (event.entity_id, event.version)
        was_placed = self._unread.get(version)
        if event.position is not None and not was_placed:
            # Also one that was met and counted without its place, as tables were loaded.
            self.dead_letters.append(DeadLetter(event, error))
        self._unread[version] = event.position is not None or bool(was_placed)
        if was_placed is not None:
            return
        if len(self._unread) > UNREAD_KEPT:
            self._unread.popitem(last=False)
        self._dead_letter_count += 1
        self._last_dead_letter = (
            f"version {event.version} of {event.entity_id} by {event.updated_by}: {error}"
        )
        logger.error("%s: %s; it is not shown", self.cls.__name__, self._last_dead_letter)

    def _show_live(
        self,
        events: Sequence[ChangeEvent],
        present: Sequence[bool],
        read: ReadEvents,
        gone: Sequence[str],
    ) -> None:
        assert self.live is not None
        there = read.shown
        if "DELETED" in read.columns["EventType"]:
            there = [
                is_shown and event.event_type != "DELETED"
                for event, is_shown in zip(events, there, strict=True)
            ]
        ids = [*compress(map(_entity_of, events), present), *gone]
        try:
            self.live.show(
                ids,
                [*compress(there, present), *[False] * len(gone)],
                read.columns.where(list(compress(map(and_, there, present), read.shown))),
            )
        except Exception as error:
            logger.exception("%d present states of %s are not shown", len(ids), self.cls.__name__)
            self.miss_live(error)

    def miss_live(self, error: BaseException) -> None:
        """Note that the table of present states lacks rows: it is made anew from the store."""
        self._live_error = f"{type(error).__name__}: {error}"

    def _write(self, columns: Columns) -> int:
        """Write to the raw table; how many rows it was given."""
        rows = columns.row_count
        if not rows:
            return 0
        self._deleted += columns["EventType"].count("DELETED")
        try:
            lost = self.target.write(columns)
        except Exception as error:
            # Somebody else's writer, or a table that failed: the other classes go on.
            logger.exception("%d rows of %s could not be shown", rows, self.cls.__name__)
            self.target.last_error = f"{type(error).__name__}: {error}"
            lost = rows
        self._lost += lost
        self._rows += rows - lost
        return rows


def _test_of(cls: type[Storable], passing: Expr) -> Any:
    """The filter as a function of an event's data."""
    if not isinstance(passing, Expr):
        raise RegistrationError(
            f"filter={passing!r:.60} of {cls.__name__}: an expression such as "
            "Field('symbol') == 'AAPL' is expected"
        )
    fields = governed(cls).fields
    unknown = sorted(set(passing.fields()) - set(fields))
    if unknown:
        raise RegistrationError(
            f"the filter of {cls.__name__} reads {', '.join(unknown)}; "
            f"{cls.__name__} has {', '.join(fields)}"
        )
    try:
        typed = passing.typed(cls)
    except ExpressionError as error:
        raise RegistrationError(f"the filter of {cls.__name__}: {error}") from error
    return lambda row: typed.eval(row) is True
