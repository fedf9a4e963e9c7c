"""Deephaven's side of publishing: blink tables, the refresh request, and the loop between.

Like every module that imports deephaven, this one can be imported only once the JVM is up.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Mapping
from typing import Any

import jpy
from deephaven import DynamicTableWriter, dtypes, new_table
from deephaven.column import double_col, long_col, string_col
from deephaven.execution_context import ExecutionContext, get_exec_ctx
from deephaven.stream.table_publisher import table_publisher
from deephaven.table import Table

from server.errors import PublishingStopped
from server.publisher import Columns, Publisher, PublishLoop


class Engine:
    """Makes ticking tables in the running JVM and the publishers that feed them."""

    def __init__(self, min_interval: float = 0.010) -> None:
        graph = jpy.get_type("io.deephaven.engine.updategraph.impl.PeriodicUpdateGraph")
        self._update_graph = graph.getInstance("DEFAULT")
        self._context = get_exec_ctx()
        self.loop = PublishLoop(self._update_graph.requestRefresh, min_interval)
        # What feeds each table now, and what fed those that were made anew.
        self._targets: dict[str, Any] = {}
        self._replaced: list[Any] = []
        guard_table_writers(self._update_graph)

    @property
    def context(self) -> ExecutionContext:
        """The context in which another thread can make tables."""
        # One each time: it keeps what it opened, and two threads would close each other's.
        return ExecutionContext(self._context.j_exec_ctx)

    def blink_table(
        self, name: str, schema: Mapping[str, str], publisher: Publisher | None = None
    ) -> tuple[Table, Publisher]:
        """Return a blink table and its publisher.

        Args:
            name: for the engine's log.
            schema: column name → string, double, long or instant. An instant is given to the
                publisher as nanoseconds since the epoch, and null as None.
            publisher: one that fed a table of this schema which has failed; it feeds this one from
                now on.
        """
        makers: dict[str, Any] = {"string": string_col, "double": double_col, "long": long_col}
        types = {"string": dtypes.string, "double": dtypes.double, "long": dtypes.int64}
        stored = {
            _raw_name(column, kind): "long" if kind == "instant" else kind
            for column, kind in schema.items()
        }
        blink, target = table_publisher(name, {c: types[k] for c, k in stored.items()})
        if publisher is not None:
            self._replaced.append(self._targets[name])
        self._targets[name] = target

        def add(columns: Columns) -> None:
            if not target.is_alive:
                # It would drop them without a word.
                raise PublishingStopped(f"the engine takes no more rows for {name}: it failed")
            target.add(
                new_table(
                    [
                        makers[kind](column, values)
                        for (column, kind), values in zip(stored.items(), columns, strict=True)
                    ]
                )
            )

        # Turning a number into an Instant inside the engine is ten times cheaper than in Python.
        view = [
            f"{column} = epochNanosToInstant({_raw_name(column, kind)})"
            if kind == "instant"
            else column
            for column, kind in schema.items()
        ]
        shown = blink.view(view)
        if publisher is None:
            return shown, self.loop.publisher(schema, add)
        publisher.redirect(add)
        return shown, publisher

    def end_replaced(self) -> None:
        """Fail the tables that were made anew, so that who follows one opens the new one instead.

        One that had not failed itself would go on without an update, and nobody would notice.
        """
        while self._replaced:
            target = self._replaced.pop()
            if target.is_alive:
                target.publish_failure(RuntimeError("this table was made anew; open it again"))

    def close(self) -> None:
        """Publish what is pending and stop the loop."""
        self.loop.close()


def guard_table_writers(update_graph: Any) -> None:
    """Let each DynamicTableWriter of this process begin between two update cycles.

    One that is made while a cycle runs, and written to in the same cycle, breaks an assertion of
    the engine, which ends the process.
    """
    make = DynamicTableWriter.__init__
    if getattr(make, "is_guarded", False):
        return

    @functools.wraps(make)
    def guarded(self: Any, *args: Any, **kwargs: Any) -> None:
        if update_graph.currentThreadProcessesUpdates():
            # The cycle waits for this thread, and has looked at its sources already.
            make(self, *args, **kwargs)
            return
        lock = update_graph.sharedLock()
        lock.lock()
        try:
            make(self, *args, **kwargs)
        finally:
            lock.unlock()

    guarded.is_guarded = True  # type: ignore[attr-defined]
    DynamicTableWriter.__init__ = guarded


def replace_variables(replaced: Mapping[str, tuple[Any, Any]]) -> None:
    """Let variables of the main module that hold an old object hold the new one in its place.

    These are what clients and screens open by name.
    """
    variables = vars(sys.modules["__main__"])
    for old, new in replaced.values():
        for name, value in list(variables.items()):
            if value is old:
                variables[name] = new


def _raw_name(column: str, kind: str) -> str:
    return f"{column}Ns" if kind == "instant" else column
