"""Where the rows of a class go: a table of the bridge's own, or a writer that its user gives."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from bridge.columns import Columns
from bridge.errors import BridgeClosed, RegistrationError
from publishing.engine import (
    await_cycle,
    await_new_cycle,
    has_failed,
    holds_up_engine,
    keep_rows,
    table_kinds,
    to_engine,
    to_python,
)
from publishing.kinds import KINDS
from publishing.stream import Stream, batch_table, input_column
from publishing.table_writer import TableWriter

logger = logging.getLogger(__name__)

# How long a batch waits for an engine that does not come to its next cycle.
CYCLE_SECONDS = 60.0


class RowWriter(Protocol):
    """Something that takes rows, such as Deephaven's DynamicTableWriter."""

    def write_row(self, *values: Any) -> None:
        """Take one row."""


class Target(Protocol):
    """Takes the rows of one class; `table` is where they show, None if only the writer knows."""

    @property
    def table(self) -> Any:
        """Where the rows show."""

    last_error: str

    def write(self, columns: Columns) -> int:
        """Take a batch; how many rows were lost."""

    def await_shown(self, timeout: float) -> bool:
        """Wait until everything taken is in the table; False if time ran out."""

    def has_failed(self) -> bool:
        """Whether the table failed in the engine."""

    @property
    def lost_all(self) -> int:
        """How often its rows were lost with a table that failed; they are to be written again."""

    def renew(self) -> None:
        """Put an empty table in the place of one that failed, if it is the bridge's own."""


class OwnTable:
    """A table of the bridge's own, with all rows or the newest ones."""

    last_error = ""
    lost_all = 0

    def __init__(
        self, name: str, schema: Mapping[str, str], rows: int | None, max_pending_rows: int
    ) -> None:
        self._names = list(schema)
        self._rows = rows
        self._stream = Stream(name, schema, max_pending_rows)
        # Made now, so that no row comes before it.
        _ = self.table

    @property
    def table(self) -> Any:
        """Another one after `renew`."""
        return self._stream.derive("table", lambda blink: keep_rows(blink, self._rows))

    def has_failed(self) -> bool:
        """Ask the engine."""
        return self._stream.has_failed()

    def renew(self) -> None:
        """Begin again with an empty table."""
        self._stream.remake()
        self._stream.end_replaced()
        self.lost_all += 1

    def write(self, columns: Columns) -> int:
        """Add the batch."""
        self._stream.add([columns[name] for name in self._names], columns.made)
        return 0

    def await_shown(self, timeout: float) -> bool:
        """Wait for the engine."""
        return self._stream.await_taken(timeout)


class SharedWriter:
    """A TableWriter, which others may write to as well."""

    last_error = ""

    def __init__(self, writer: TableWriter, owner: str, schema: Mapping[str, str]) -> None:
        self._writer = writer
        self._names = list(writer.columns)
        _check_columns(owner, schema, writer.columns)

    @property
    def table(self) -> Any:
        """The table that the writer has now."""
        return self._writer.table

    def has_failed(self) -> bool:
        """Ask the writer."""
        return self._writer.has_failed()

    @property
    def lost_all(self) -> int:
        """How often the writer began again."""
        return self._writer.stats.replaced

    def renew(self) -> None:
        """Nothing to do: the writer does it."""

    def write(self, columns: Columns) -> int:
        """Queue the batch."""
        nulls = [None] * len(columns["EntityId"])
        parts = [columns.get(name, nulls) for name in self._names]
        self._writer.write_encoded(list(zip(*parts, strict=True)))
        return 0

    def await_shown(self, timeout: float) -> bool:
        """Wait for the writer."""
        return self._writer.flush(timeout)


class RowTarget:
    """Anything with `write_row`; see `row_function`."""

    last_error = ""
    lost_all = 0

    def __init__(self, writer: RowWriter, owner: str, schema: Mapping[str, str]) -> None:
        self._owner = owner
        self._names = list(schema)
        self.table = getattr(writer, "table", None)
        self._write = row_function(writer, owner, schema)

    def has_failed(self) -> bool:
        """Ask the engine, where the writer has a table of its."""
        return has_failed(self.table)

    def renew(self) -> None:
        """Nothing that could be done: the table is its user's."""

    def write(self, columns: Columns) -> int:
        """Write row by row; one that the writer refuses is logged and lost."""
        lost = 0
        for row in zip(*[columns[name] for name in self._names], strict=True):
            try:
                self._write(row)
            except Exception as error:
                lost += 1
                self.last_error = f"{type(error).__name__}: {error}"
                logger.exception("a row of %s is refused by its writer", self._owner)
        return lost

    def await_shown(self, timeout: float) -> bool:  # noqa: ARG002
        """Nothing to wait for: `write_row` has returned."""
        return True


def row_function(
    writer: RowWriter, owner: str, schema: Mapping[str, str]
) -> Callable[[Sequence[Any]], None]:
    """The function that writes one row, given as encoded values in the order of the schema.

    A writer with a table of Deephaven's is written by the names of its columns, with the engine's
    values; any other gets all columns in order, with Python values.
    """
    names = list(schema)
    if isinstance(writer, TableWriter):
        _check_columns(owner, schema, writer.columns)
        places = [names.index(name) if name in schema else None for name in writer.columns]
        write = writer.write_encoded
        return lambda row: write([[None if n is None else row[n] for n in places]])
    table = getattr(writer, "table", None)
    columns: Mapping[str, str | None] = schema
    convert: Callable[[Any], Callable[[Any], Any]] = to_python
    write_row = writer.write_row
    if hasattr(table, "columns") and hasattr(table, "j_table"):
        columns, convert = table_kinds(table), to_engine
        _check_columns(owner, schema, columns)
        if not holds_up_engine():
            # A DynamicTableWriter that is written to in the very cycle in which it was made breaks
            # an assertion of the engine, which ends the process.
            await_cycle()
        write_row = one_at_a_time(writer)
    makers = [
        (names.index(name), convert(KINDS[schema[name]])) if name in schema else None
        for name in columns
    ]

    def write_one(row: Sequence[Any]) -> None:
        write_row(
            *[
                None if maker is None or (value := row[maker[0]]) is None else maker[1](value)
                for maker in makers
            ]
        )

    return write_one


class PublisherTarget:
    """A table publisher, with the table that it feeds where that was given along."""

    last_error = ""
    lost_all = 0

    def __init__(
        self,
        table: Any,
        publisher: Any,
        owner: str,
        schema: Mapping[str, str],
        max_pending_rows: int,
    ) -> None:
        from deephaven.execution_context import get_exec_ctx

        self.table = table
        self._publisher = publisher
        self._context = get_exec_ctx()
        self._max_pending_rows = max_pending_rows
        self._pending_rows = 0
        known = schema if table is None else table_kinds(table)
        _check_columns(owner, schema, known)
        self._schema = {name: schema[name] for name in known if name in schema}
        missing = [name for name in known if name not in schema]
        if missing:
            raise RegistrationError(
                f"{owner} has no columns {missing} for the publisher's table; "
                f"make that with infer_dh_schema({owner})"
            )

    def has_failed(self) -> bool:
        """Ask the engine."""
        return not getattr(self._publisher, "is_alive", True) or has_failed(self.table)

    def renew(self) -> None:
        """Nothing that could be done: the table is its user's."""

    def write(self, columns: Columns) -> int:
        """Publish the batch as one table; BridgeClosed where the publisher would drop it unsaid."""
        if not getattr(self._publisher, "is_alive", True):
            raise BridgeClosed("the publisher takes no more rows: its table failed")
        names, kinds = list(self._schema), [KINDS[kind] for kind in self._schema.values()]
        parts = [
            input_column(name, kind, columns[name]) for name, kind in zip(names, kinds, strict=True)
        ]
        rows = len(columns["EntityId"])
        carried = batch_table(names, kinds, parts, rows)
        view = [
            f"{name}={(kind.formula or '{0}').format(name)}"
            for name, kind in zip(names, kinds, strict=True)
        ]
        with self._context:
            self._publisher.add(carried.view(view))
        self._pending_rows += rows
        if self._pending_rows >= self._max_pending_rows:
            # Its engine side has no bound of its own: let it catch up.
            self.await_shown(CYCLE_SECONDS)
            self._pending_rows = 0
        return 0

    def await_shown(self, timeout: float) -> bool:
        """Wait for a whole cycle of the engine."""
        return await_new_cycle(timeout)


def target_for(
    writer: Any,
    owner: str,
    schema: Mapping[str, str],
    rows: int | None,
    max_pending_rows: int,
) -> Target:
    """What takes the rows of a class, for the `writer` that its user gave, if any."""
    if writer is None:
        return OwnTable(owner, schema, rows, max_pending_rows)
    if rows is not None:
        raise RegistrationError(
            f"{owner}: rows={rows} bounds a table of the bridge's own; a writer brings its table"
        )
    if isinstance(writer, TableWriter):
        return SharedWriter(writer, owner, schema)
    table, publisher = writer if isinstance(writer, tuple) and len(writer) == 2 else (None, writer)
    if callable(getattr(publisher, "write_row", None)):
        return RowTarget(publisher, owner, schema)
    if callable(getattr(publisher, "add", None)):
        return PublisherTarget(table, publisher, owner, schema, max_pending_rows)
    raise RegistrationError(
        f"{owner}: writer={writer!r:.60} has no write_row; give a TableWriter, a "
        "DynamicTableWriter, anything else with write_row, or what table_publisher returns"
    )


_guard = threading.Lock()


def one_at_a_time(writer: Any) -> Callable[..., None]:
    """The `write_row` of a DynamicTableWriter behind a lock, for all who call it from now on.

    It tears rows that two threads write at a time, without an error.
    """
    with _guard:
        write_row: Callable[..., None] = writer.write_row
        if getattr(write_row, "is_guarded", False):
            return write_row
        lock = threading.Lock()

        def guarded(*values: Any) -> None:
            with lock:
                write_row(*values)

        guarded.is_guarded = True  # type: ignore[attr-defined]
        writer.write_row = guarded
        return guarded


def _check_columns(
    owner: str, schema: Mapping[str, str], columns: Mapping[str, str | None]
) -> None:
    wrong = [
        f"{name} is {kind or 'of another type'}, not {schema[name]}"
        for name, kind in columns.items()
        if name in schema and kind != schema[name]
    ]
    if wrong or not any(name in schema for name in columns):
        raise RegistrationError(
            f"the writer's table does not fit {owner}: "
            f"{'; '.join(wrong) or 'no column has a name of its'}; "
            f"infer_dh_schema({owner}) gives its columns"
        )
