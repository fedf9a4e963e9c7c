"""Deephaven's side: batches into ticking tables, and values as the engine's own objects.

Deephaven can be imported only once its JVM is up, so the imports stand inside the functions.
"""

from __future__ import annotations

import logging
import math
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from bridge.errors import BridgeClosed, EngineNotRunning, RegistrationError
from bridge.kinds import KINDS, Kind
from bridge.limits import engine_runs

logger = logging.getLogger(__name__)

# How long a writer waits for the engine before it looks whether the table is still alive.
_LOOK_SECONDS = 1.0
# As good as for ever, and still a number of nanoseconds.
_LONGEST_SECONDS = 1e9


def require_engine() -> None:
    """Raise EngineNotRunning unless Deephaven runs in this process."""
    if not engine_runs():
        raise EngineNotRunning(
            "Deephaven does not run in this process; start its server first, as server/app.py "
            "and server.jvm.start_jvm_server do"
        )


def request_refresh() -> None:
    """Ask the engine for an update cycle now instead of at its next turn."""
    _update_graph().requestRefresh()


def await_cycle(timeout: float = math.inf) -> bool:
    """Wait until the update cycle that may be running has ended; False if time ran out."""
    import jpy

    lock = _update_graph().sharedLock()
    nanos = int(min(max(0.0, timeout), _LONGEST_SECONDS) * 1e9)
    if not lock.tryLock(nanos, jpy.get_type("java.util.concurrent.TimeUnit").NANOSECONDS):
        return False
    lock.unlock()
    return True


def await_new_cycle(timeout: float) -> bool:
    """Wait until a cycle that has not begun yet has ended; False if time ran out."""
    end = time.monotonic() + timeout
    clock = _update_graph().clock()
    # The step counts cycles, the one that runs included.
    wanted = clock.currentStep() + 1
    while clock.currentStep() < wanted:
        if time.monotonic() > end:
            return False
        request_refresh()
        time.sleep(0.002)
    return await_cycle(end - time.monotonic())


def holds_up_engine() -> bool:
    """Does this thread work for a cycle, or hold a lock of the engine? It must not wait for it."""
    graph = _update_graph()
    return bool(
        graph.currentThreadProcessesUpdates()
        or graph.sharedLock().isHeldByCurrentThread()
        or graph.exclusiveLock().isHeldByCurrentThread()
    )


def _update_graph() -> Any:
    import jpy

    return jpy.get_type("io.deephaven.engine.updategraph.impl.PeriodicUpdateGraph").getInstance(
        "DEFAULT"
    )


def dtype_of(kind: str) -> Any:
    """Deephaven's DType of a kind of column."""
    from deephaven import dtypes

    return getattr(dtypes, {"bool": "bool_", "int": "int32", "float": "float32"}.get(kind, kind))


def kind_of(dtype: Any) -> str | None:
    """The kind of column for a DType, None for one that the bridge does not write."""
    name = str(dtype)
    return next((kind for kind in KINDS if str(dtype_of(kind)) == name), None)


def table_kinds(table: Any) -> dict[str, str | None]:
    """The kind of each column of a table."""
    return {column.name: kind_of(column.data_type) for column in table.columns}


def to_engine(kind: Kind) -> Callable[[Any], Any]:
    """The function that makes the engine's object of what travels, for `write_row`."""
    import jpy

    if kind.formula is None and kind.name != "Instant":
        return bool if kind.name == "bool" else lambda value: value
    name, factory = {
        "Instant": ("io.deephaven.time.DateTimeUtils", "epochNanosToInstant"),
        "LocalDate": ("java.time.LocalDate", "ofEpochDay"),
        "LocalTime": ("java.time.LocalTime", "ofNanoOfDay"),
        "BigDecimal": ("java.math.BigDecimal", ""),
        "BigInteger": ("java.math.BigInteger", ""),
        "char": ("java.lang.Character", "valueOf"),
    }[kind.name]
    java = jpy.get_type(name)
    if not factory:
        return lambda value: java(value)  # noqa: PLW0108 - a type of jpy, not a function
    make: Callable[[Any], Any] = getattr(java, factory)
    return make


def to_python(kind: Kind) -> Callable[[Any], Any]:
    """The function that makes a Python value of what travels."""
    return kind.python or (lambda value: value)


def replace_variables(old: Any, new: Any) -> list[str]:
    """Let the variables of the main module that hold a table hold another one; their names.

    These are what clients and screens open by name.
    """
    from deephaven.table import Table

    variables = vars(sys.modules["__main__"])
    names = [
        name
        for name, value in list(variables.items())
        if value is old or (isinstance(value, Table) and value.j_table == old.j_table)
    ]
    for name in names:
        variables[name] = new
    return names


class Stream:
    """A ticking table of what was just written, and the way for batches into it.

    Any thread may add; a batch appears whole, in one update. When `max_pending_rows` were added
    that the engine has not taken yet, `add` waits: a slow engine makes back-pressure, not memory.
    """

    def __init__(self, name: str, schema: Mapping[str, str], max_pending_rows: int) -> None:
        require_engine()
        from deephaven import DHError
        from deephaven.execution_context import get_exec_ctx
        from deephaven.stream.table_publisher import table_publisher

        self.name = name
        # In which another thread can make more tables of it.
        self.context = get_exec_ctx()
        self._kinds = [KINDS[kind] for kind in schema.values()]
        self._carriers = _carrier_names(self._kinds)
        self._max_pending_rows = max_pending_rows
        self._taken = threading.Condition()
        # On their way to the engine, and there but not in the table yet.
        self._coming_rows = self._waiting_rows = 0
        try:
            blink, self._publisher = table_publisher(
                name,
                {
                    carrier: dtype_of(kind.travels)
                    for carrier, kind in zip(self._carriers, self._kinds, strict=True)
                },
                on_flush_callback=self._flushed,
            )
            self.table = blink.view(
                [
                    f"{column}={(kind.formula or '{0}').format(carrier)}"
                    for column, carrier, kind in zip(
                        schema, self._carriers, self._kinds, strict=True
                    )
                ]
            )
        except DHError as error:
            raise RegistrationError(
                f"Deephaven refuses a table {name!r} with the columns {list(schema)}: {error}"
            ) from error

    def add(
        self, columns: Sequence[Sequence[Any]], made: dict[tuple[str, int], Any] | None = None
    ) -> None:
        """Hand over a batch: for each column what travels, None for null.

        `made` keeps columns for another stream that gets some of the same. BridgeClosed once the
        engine does not take rows any more.
        """
        made = {} if made is None else made
        rows = len(columns[0])
        with self._taken:
            while self._pending_rows and self._pending_rows + rows > self._max_pending_rows:
                request_refresh()
                self._taken.wait(_LOOK_SECONDS)
                self._require_alive()
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
            self._publisher.add(batch_table(self._carriers, self._kinds, parts, rows))
            handed_over = rows
        finally:
            with self._taken:
                self._coming_rows -= rows
                self._waiting_rows += handed_over
                self._taken.notify_all()

    def await_taken(self, timeout: float) -> bool:
        """Wait until the engine has taken all rows; False if time ran out."""
        with self._taken:
            return self._taken.wait_for(lambda: not self._pending_rows, timeout)

    def has_failed(self, *tables: Any) -> bool:
        """Did it fail in the engine, or one of the tables that were made of it?"""
        return not self._publisher.is_alive or any(
            table.j_table.isFailed() for table in (self.table, *tables)
        )

    @property
    def _pending_rows(self) -> int:
        return self._coming_rows + self._waiting_rows

    def _require_alive(self) -> None:
        if not self._publisher.is_alive:
            raise BridgeClosed(f"the engine takes no more rows for {self.name}: its table failed")

    def _flushed(self, _publisher: Any) -> None:
        # Called by the engine as it begins to take what was added; an error here would be the end
        # of the table. Rows that are still coming may miss this cycle: they are not counted off.
        with self._taken:
            self._waiting_rows = 0
            self._taken.notify_all()


def _carrier_names(kinds: Sequence[Kind]) -> list[str]:
    """A name for each column as it travels: its kind and a number among those of the kind.

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
    """A table of what travels, of columns that `input_column` made."""
    import jpy
    from deephaven import new_table
    from deephaven.table import Table

    table = new_table(list(parts))
    instants = [name for name, kind in zip(names, kinds, strict=True) if kind.name == "Instant"]
    if not instants:
        return table
    as_instant = jpy.get_type("io.deephaven.engine.table.impl.sources.LongAsInstantColumnSource")
    sources = jpy.get_type("java.util.LinkedHashMap")(table.j_table.getColumnSourceMap())
    for name in instants:
        sources.put(name, as_instant(sources.get(name)))
    return Table(jpy.get_type("io.deephaven.engine.util.TableTools").newTable(rows, sources))


def input_column(name: str, kind: Kind, values: Sequence[Any]) -> Any:
    """A column of what travels, for `batch_table`."""
    import jpy
    from deephaven.column import InputColumn

    carrier = "long" if kind.travels == "Instant" else kind.travels
    dtype = dtype_of(carrier)
    if carrier == "string":
        return InputColumn(name, dtype, input_data=values)
    null = kind.null
    if None in values:
        values = [null if value is None else value for value in values]
    travels = np.array(values, kind.dtype)
    if carrier == "bool":
        return InputColumn(name, dtype, input_data=travels)
    column = InputColumn(name, dtype)
    # What InputColumn does of itself looks at each number once more.
    column.j_column = jpy.get_type("io.deephaven.qst.column.Column").ofUnsafe(
        name, jpy.array(carrier, travels)
    )
    return column


def keep_rows(blink: Any, rows: int | None) -> Any:
    """A table that keeps the newest rows of a blink table, or all of them."""
    from deephaven import ring_table
    from deephaven.stream import blink_to_append_only

    return blink_to_append_only(blink) if rows is None else ring_table(blink, rows)


def newest_by(blink: Any, keys: Iterable[str]) -> Any:
    """A table of the newest row for each key."""
    return blink.last_by(list(keys))
