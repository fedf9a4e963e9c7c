"""A class that the bridge carries: its events into its raw table, its present states into live."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from bridge.columns import Columns, EventReader, Misfits, field_columns, schema_of
from bridge.errors import RegistrationError
from bridge.live import LiveTable
from bridge.status import TableStatus
from bridge.targets import Target, target_for
from reactive.errors import ExpressionError
from reactive.expr import Expr
from store.base import Storable
from store.events import ChangeEvent
from store.governance.class_schema import governed

logger = logging.getLogger(__name__)


class Feed:
    """Takes the events of one class, in order, and shows them."""

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
        self.misfits = Misfits(cls.__name__)
        test = None if passing is None else _test_of(cls, passing)
        self._reader = EventReader(cls, fields, self.misfits, test)
        self.target: Target = target_for(writer, cls.__name__, schema, rows, max_pending_rows)
        self.live = LiveTable(cls.__name__, schema, max_pending_rows) if live else None
        self.kept_rows = rows
        self.replaced = 0
        self._live_error = ""
        self._begin_count()

    def _begin_count(self) -> None:
        self._rows = self._lost = self._filtered = self._deleted = 0

    def take(
        self, events: Sequence[ChangeEvent], raw: Sequence[bool], holding: Sequence[bool]
    ) -> None:
        """Show events.

        `raw` tells which of them go to the raw table, `holding` which are the present state of
        their entity.
        """
        parsed = self._reader.parse(events)
        matches = self._reader.matches(parsed)
        places = [n for n, match in enumerate(matches) if match]
        chosen = [events[n] for n in places]
        columns = self._reader.columns(chosen, [parsed[n] for n in places]) if places else Columns()
        self._filtered += sum(raw) - sum(raw[n] for n in places)
        raw_rows = [row for row, n in enumerate(places) if raw[n]]
        if len(raw_rows) < len(places):
            self._write(columns.chosen(raw_rows), len(raw_rows))
        else:
            self._write(columns, len(raw_rows))
        self._deleted += sum(chosen[row].event_type == "DELETED" for row in raw_rows)
        if self.live is not None and any(holding):
            row_of = {n: row for row, n in enumerate(places)}
            present = [n for n, holds in enumerate(holding) if holds]
            self._show_live(
                columns,
                [None if events[n].event_type == "DELETED" else row_of.get(n) for n in present],
                [events[n].entity_id for n in present],
            )

    def show_present(self, events: Sequence[ChangeEvent], gone: Sequence[str]) -> None:
        """Show in live what holds, and no more those that are gone."""
        if self.live is not None and (events or gone):
            parsed = self._reader.parse(events)
            columns = self._reader.columns(events, parsed)
            places = [n if match else None for n, match in enumerate(self._reader.matches(parsed))]
            self._show_live(
                columns, [*places, *[None] * len(gone)], [*(e.entity_id for e in events), *gone]
            )

    def has_failed_live(self) -> bool:
        """Did the table of present states fail in the engine, or miss rows?"""
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
        misfits = dict(self.misfits.counts)
        self._begin_count()
        try:
            yield
        finally:
            self.misfits.counts.clear()
            self.misfits.counts.update(misfits)

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
            misfits=dict(self.misfits.counts),
            last_error=self._live_error or self.target.last_error,
            failed=self.failed(),
            replaced=self.replaced,
        )

    def failed(self) -> tuple[str, ...]:
        """Which of its tables have failed in the engine, "raw" and "live"."""
        return (*["raw"] * self.target.has_failed(), *["live"] * self.has_failed_live())

    def _show_live(
        self, columns: Columns, places: Sequence[int | None], ids: Sequence[str]
    ) -> None:
        assert self.live is not None
        try:
            self.live.show(columns, places, ids)
        except Exception as error:
            logger.exception("%d present states of %s are not shown", len(ids), self.cls.__name__)
            self.miss_live(error)

    def miss_live(self, error: BaseException) -> None:
        """The table of present states lacks rows: it is made anew from the store."""
        self._live_error = f"{type(error).__name__}: {error}"

    def _write(self, columns: Columns, rows: int) -> None:
        if not rows:
            return
        try:
            lost = self.target.write(columns)
        except Exception as error:
            # Somebody else's writer, or a table that failed: the other classes go on.
            logger.exception("%d rows of %s could not be shown", rows, self.cls.__name__)
            self.target.last_error = f"{type(error).__name__}: {error}"
            lost = rows
        self._lost += lost
        self._rows += rows - lost


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
