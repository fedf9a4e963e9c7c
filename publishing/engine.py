"""Deephaven's side: its update cycles, its types, and values as its own objects.

Deephaven can be imported only once its JVM is up, so the imports stand inside the functions.
"""

from __future__ import annotations

import functools
import math
import sys
import time
from collections.abc import Callable, Iterable
from typing import Any

from publishing.errors import EngineNotRunning
from publishing.instants import engine_runs
from publishing.kinds import KINDS, Kind

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
    """Whether this thread works for a cycle or holds a lock of the engine: it must not wait."""
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
    """The kind of column for a DType, None for one that cannot be written."""
    name = str(dtype)
    return next((kind for kind in KINDS if str(dtype_of(kind)) == name), None)


def table_kinds(table: Any) -> dict[str, str | None]:
    """The kind of each column of a table."""
    return {column.name: kind_of(column.data_type) for column in table.columns}


def to_engine(kind: Kind) -> Callable[[Any], Any]:
    """The function that turns a carrier into the engine's own object, for `write_row`."""
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
    """The function that turns a carrier into a Python value."""
    return kind.decode or (lambda value: value)


def replace_variables(old: Any, new: Any) -> list[str]:
    """Put another table or dashboard into the variables of the main module that hold one.

    These are what clients and screens open by name. Their names are returned.
    """
    from deephaven.table import Table

    def is_old(value: Any) -> bool:
        both_tables = isinstance(value, Table) and isinstance(old, Table)
        return value is old or (both_tables and value.j_table == old.j_table)

    variables = vars(sys.modules["__main__"])
    names = [name for name, value in list(variables.items()) if is_old(value)]
    for name in names:
        variables[name] = new
    return names


def has_failed(table: Any) -> bool:
    """Whether a table has failed in the engine; False for what is none of the engine's."""
    is_failed = getattr(getattr(table, "j_table", None), "isFailed", None)
    return bool(is_failed and is_failed())


def keep_rows(blink: Any, rows: int | None) -> Any:
    """A table that keeps the newest rows of a blink table, or all of them."""
    from deephaven import ring_table
    from deephaven.stream import blink_to_append_only

    return blink_to_append_only(blink) if rows is None else ring_table(blink, rows)


def newest_by(blink: Any, keys: Iterable[str]) -> Any:
    """A table of the newest row for each key."""
    return blink.last_by(list(keys))


def guard_table_writers() -> None:
    """Make every DynamicTableWriter of this process begin between two update cycles.

    One that is made while a cycle runs, and written to in the same cycle, breaks an assertion of
    the engine, which ends the process.
    """
    from deephaven import DynamicTableWriter

    make = DynamicTableWriter.__init__
    if getattr(make, "is_guarded", False):
        return
    graph = _update_graph()

    @functools.wraps(make)
    def guarded(self: Any, *args: Any, **kwargs: Any) -> None:
        if graph.currentThreadProcessesUpdates():
            # The cycle waits for this thread, and has looked at its sources already.
            make(self, *args, **kwargs)
            return
        lock = graph.sharedLock()
        lock.lock()
        try:
            make(self, *args, **kwargs)
        finally:
            lock.unlock()

    guarded.is_guarded = True  # type: ignore[attr-defined]
    DynamicTableWriter.__init__ = guarded
