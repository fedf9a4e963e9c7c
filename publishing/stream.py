"""Stream: a ticking table of what was just written, and the way for batches into it."""

from __future__ import annotations

import functools
import logging
import threading
from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import numpy.typing as npt

from publishing.engine import (
    dtype_of,
    has_failed,
    replace_variables,
    request_refresh,
    require_engine,
)
from publishing.errors import PublishingStopped, RegistrationError
from publishing.kinds import KINDS, Kind

logger = logging.getLogger(__name__)

# How long a writer waits for the engine before it looks whether the table is still alive.
_LOOK_SECONDS = 1.0
# Columns that were made for one stream, for others that get the same values.
MadeColumns = dict[tuple[str, int], Any]


class Stream:
    """A blink table, which holds the rows of the newest update, and the tables derived from it.

    Any thread may add; a batch appears whole, in one update. While more than `max_pending_rows`
    wait for the engine, `add` waits: a slow engine makes back-pressure, not memory. The engine ends
    a table for good at the first error while it is updated; `remake` puts empty ones in its place.
    EngineNotRunning before Deephaven was started.
    """

    def __init__(self, name: str, schema: Mapping[str, str], max_pending_rows: int) -> None:
        require_engine()
        from deephaven.execution_context import get_exec_ctx

        self.name = name
        self._schema = dict(schema)
        self._kinds = [KINDS[kind] for kind in schema.values()]
        self._max_pending_rows = max_pending_rows
        # In which another thread can make tables.
        self._context = get_exec_ctx()
        self._makers: dict[Hashable, Callable[[Any], Any]] = {}
        self._derived: dict[Hashable, Any] = {}
        self._replaced: list[_Target] = []
        self._target = _Target(name, self._schema, self._kinds, max_pending_rows)

    @property
    def table(self) -> Any:
        """The blink table."""
        return self._target.table

    def derive(self, key: Hashable, make: Callable[[Any], Any]) -> Any:
        """Return the table that `make` derives from the blink table, the same one for one key.

        `remake` calls `make` again, in the order in which the tables were first asked for.
        """
        if key not in self._derived:
            self._derived[key] = make(self.table)
            self._makers[key] = make
        return self._derived[key]

    def has(self, key: Hashable) -> bool:
        """Whether a table was derived under a key."""
        return key in self._derived

    def add(
        self, columns: Sequence[Sequence[Any] | npt.NDArray[Any]], made: MadeColumns | None = None
    ) -> None:
        """Hand over a batch: for each column its encoded values, None for null, or an array.

        `made` keeps columns for another stream that gets some of the same. PublishingStopped once
        the engine does not take rows any more.
        """
        self._target.add(columns, {} if made is None else made)

    def await_taken(self, timeout: float) -> bool:
        """Wait until the engine has taken all rows; False if time ran out."""
        return self._target.await_taken(timeout)

    def has_failed(self) -> bool:
        """Whether it has failed in the engine, or a table that was derived from it."""
        target = self._target
        return not target.is_alive or any(map(has_failed, (target.table, *self._derived.values())))

    def remake(self) -> None:
        """Put empty tables in the place of all of these, in the main module's variables as well."""
        old = dict(self._derived)
        self._replaced.append(self._target)
        with self._context:
            self._target = _Target(self.name, self._schema, self._kinds, self._max_pending_rows)
            for key, make in self._makers.items():
                self._derived[key] = make(self.table)
        for key, table in old.items():
            replace_variables(table, self._derived[key])

    def end_replaced(self) -> None:
        """Fail the tables that were replaced, so that who follows one opens the new one instead.

        One that had not failed itself would go on without an update, and nobody would notice.
        """
        while self._replaced:
            self._replaced.pop().end()


class _Target:
    """One publisher of the engine with its blink table, and what waits on the way there."""

    def __init__(
        self, name: str, schema: Mapping[str, str], kinds: Sequence[Kind], max_pending_rows: int
    ) -> None:
        from deephaven import DHError
        from deephaven.stream.table_publisher import table_publisher

        self._name = name
        self._kinds = kinds
        self._carriers = _carrier_names(kinds)
        self._max_pending_rows = max_pending_rows
        self._taken = threading.Condition()
        # On their way to the engine, and there but not in the table yet.
        self._coming_rows = self._waiting_rows = 0
        try:
            blink, self.publisher = table_publisher(
                name,
                {
                    carrier: dtype_of(kind.carrier)
                    for carrier, kind in zip(self._carriers, kinds, strict=True)
                },
                on_flush_callback=self._flushed,
            )
            self.table = blink.view(
                [
                    f"{column}={(kind.formula or '{0}').format(carrier)}"
                    for column, carrier, kind in zip(schema, self._carriers, kinds, strict=True)
                ]
            )
        except DHError as error:
            raise RegistrationError(
                f"Deephaven refuses a table {name!r} with the columns {list(schema)}: "
                # Java's own lines would follow, by the dozen.
                f"{str(error).splitlines()[0]}"
            ) from error

    @property
    def is_alive(self) -> bool:
        return bool(self.publisher.is_alive)

    def add(self, columns: Sequence[Sequence[Any] | npt.NDArray[Any]], made: MadeColumns) -> None:
        rows = len(columns[0])
        with self._taken:
            self._wait_for_room(rows)
            self._coming_rows += rows
        handed_over = 0
        try:
            self._require_alive()
            parts = []
            for carrier, kind, values in zip(self._carriers, self._kinds, columns, strict=True):
                key = (carrier, id(values))
                if key not in made:
                    made[key] = input_column(carrier, kind, values)
                parts.append(made[key])
            self.publisher.add(batch_table(self._carriers, self._kinds, parts, rows))
            handed_over = rows
        finally:
            with self._taken:
                self._coming_rows -= rows
                self._waiting_rows += handed_over
                self._taken.notify_all()

    def await_taken(self, timeout: float) -> bool:
        with self._taken:
            return self._taken.wait_for(lambda: not self._pending_rows, timeout)

    def end(self) -> None:
        if self.is_alive:
            self.publisher.publish_failure(RuntimeError("this table was made anew; open it again"))

    def _wait_for_room(self, rows: int) -> None:
        while self._pending_rows and self._pending_rows + rows > self._max_pending_rows:
            request_refresh()
            self._taken.wait(_LOOK_SECONDS)
            self._require_alive()

    @property
    def _pending_rows(self) -> int:
        return self._coming_rows + self._waiting_rows

    def _require_alive(self) -> None:
        if not self.is_alive:
            # The engine would drop the rows without a word.
            raise PublishingStopped(
                f"the engine takes no more rows for {self._name}: its table failed"
            )

    def _flushed(self, _publisher: Any) -> None:
        # Called by the engine as it begins to take what was added; an error here would be the end
        # of the table. Rows that are still coming may miss this cycle: they are not counted off.
        with self._taken:
            self._waiting_rows = 0
            self._taken.notify_all()


def _carrier_names(kinds: Sequence[Kind]) -> list[str]:
    """A name for each column of carriers: its kind, and a number among those of the kind.

    The engine compiles a formula once for its text, which is then the same in most tables.
    """
    seen: Counter[str] = Counter()
    names = []
    for kind in kinds:
        names.append(f"{kind.name}{seen[kind.name]}")
        seen[kind.name] += 1
    return names


def batch_table(
    names: Sequence[str], kinds: Sequence[Kind], parts: Sequence[Any], rows: int
) -> Any:
    """A table of columns that `input_column` made, with Instants for their carriers."""
    from deephaven.table import Table

    table = _java("io.deephaven.engine.table.TableFactory").newTable(*parts)
    instants = [name for name, kind in zip(names, kinds, strict=True) if kind.name == "Instant"]
    if instants:
        as_instant = _java("io.deephaven.engine.table.impl.sources.LongAsInstantColumnSource")
        sources = _java("java.util.LinkedHashMap")(table.getColumnSourceMap())
        for name in instants:
            sources.put(name, as_instant(sources.get(name)))
        table = _java("io.deephaven.engine.util.TableTools").newTable(rows, sources)
    return Table(table)


def input_column(name: str, kind: Kind, values: Sequence[Any] | npt.NDArray[Any]) -> Any:
    """A column of encoded values, for `batch_table`.

    It is made by as few calls of Java as can be, three or four less than InputColumn makes: each
    gives up the interpreter's lock, and has to wait for it where another thread computes.
    """
    import jpy
    from deephaven import dtypes
    from deephaven.column import InputColumn

    carrier = "long" if kind.carrier == "Instant" else kind.carrier
    if carrier == "string":
        column = _java("io.deephaven.qst.column.Column")
        return column.of(_string_header(name), dtypes.array(dtypes.string, values))
    encoded = kind.array(values)
    if carrier == "bool":
        return InputColumn(name, dtype_of(carrier), input_data=encoded).j_column
    # What `dtypes.array` does of itself looks at each number once more.
    return _java("io.deephaven.qst.column.Column").ofUnsafe(name, jpy.array(carrier, encoded))


@functools.cache
def _java(name: str) -> Any:
    """A class of Java's."""
    import jpy

    return jpy.get_type(name)


@functools.cache
def _string_header(name: str) -> Any:
    from deephaven import dtypes

    return _java("io.deephaven.qst.column.header.ColumnHeader").of(name, dtypes.string.qst_type)
