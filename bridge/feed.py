"""A class that the bridge carries: its events into its raw table, its present states into live."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import compress, count
from typing import Any, NamedTuple

from bridge.columns import Columns, EventReader, Unread, field_columns, schema_of
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
        self._unread: OrderedDict[tuple[str, int], None] = OrderedDict()
        self._dead_letter_count = 0
        self._last_dead_letter = ""
        self._live_error = ""
        self._begin_count()

    def _begin_count(self) -> None:
        self._rows = self._lost = self._filtered = self._deleted = 0

    def take(self, rows: Sequence[EventRow], gone: Sequence[str] = ()) -> None:
        """Show events, and no more the present states of the entities that are `gone`."""
        rows = [row for row in rows if row.raw or row.present]
        data = self._reader.parse([row.event for row in rows])
        showing = [each.__class__ is dict for each in data]
        shown = list(compress(rows, showing))
        columns, unread = self._reader.columns(
            [row.event for row in shown],
            list(compress(data, showing)),  # type: ignore[arg-type]
        )
        if unread:
            readable = [n not in unread for n in range(len(shown))]
            columns, shown = columns.where(readable), list(compress(shown, readable))
            places = list(compress(count(), showing))
            for n, reason in unread.items():
                data[places[n]] = reason
                showing[places[n]] = False
        if len(shown) < len(rows):
            # At once, so that dead letters are told in the order of the events.
            self._set_aside(rows, data)
        self._write([row for row in shown if row.raw], columns.where([row.raw for row in shown]))
        if self.live is not None:
            self._show_live(rows, showing, shown, columns, gone)

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
    def repeating(self) -> Iterator[None]:
        """Take events that were taken before: what was counted of them is counted anew.

        Values that did not fit were counted and logged then.
        """
        counts = dict(self.conversion_errors.counts)
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

    def _set_aside(self, rows: Sequence[EventRow], data: Sequence[Any]) -> None:
        """Count what the filter did not pass, and set aside what cannot be read."""
        for row, each in zip(rows, data, strict=True):
            if each is None:
                self._filtered += row.raw
            elif isinstance(each, Unread):
                self._add_dead_letter(row.event, str(each))

    def _add_dead_letter(self, event: ChangeEvent, error: str) -> None:
        version = (event.entity_id, event.version)
        if version in self._unread:
            # It was met before, as a table was filled again.
            return
        self._unread[version] = None
        if len(self._unread) > UNREAD_KEPT:
            self._unread.popitem(last=False)
        self._dead_letter_count += 1
        self._last_dead_letter = (
            f"version {event.version} of {event.entity_id} by {event.updated_by}: {error}"
        )
        logger.error("%s: %s; it is not shown", self.cls.__name__, self._last_dead_letter)
        if event.position is not None:
            self.dead_letters.append(DeadLetter(event, error))

    def _show_live(
        self,
        rows: Sequence[EventRow],
        showing: Sequence[bool],
        shown: Sequence[EventRow],
        columns: Columns,
        gone: Sequence[str],
    ) -> None:
        assert self.live is not None
        present = [
            (row.event.entity_id, is_shown and row.event.event_type != "DELETED")
            for row, is_shown in zip(rows, showing, strict=True)
            if row.present
        ]
        present += [(entity_id, False) for entity_id in gone]
        if not present:
            return
        wanted = [row.present and row.event.event_type != "DELETED" for row in shown]
        try:
            self.live.show(
                [entity_id for entity_id, _ in present],
                [is_there for _, is_there in present],
                columns.where(wanted),
            )
        except Exception as error:
            logger.exception(
                "%d present states of %s are not shown", len(present), self.cls.__name__
            )
            self.miss_live(error)

    def miss_live(self, error: BaseException) -> None:
        """Note that the table of present states lacks rows: it is made anew from the store."""
        self._live_error = f"{type(error).__name__}: {error}"

    def _write(self, rows: Sequence[EventRow], columns: Columns) -> None:
        if not rows:
            return
        self._deleted += sum(row.event.event_type == "DELETED" for row in rows)
        try:
            lost = self.target.write(columns)
        except Exception as error:
            # Somebody else's writer, or a table that failed: the other classes go on.
            logger.exception("%d rows of %s could not be shown", len(rows), self.cls.__name__)
            self.target.last_error = f"{type(error).__name__}: {error}"
            lost = len(rows)
        self._lost += lost
        self._rows += len(rows) - lost


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
