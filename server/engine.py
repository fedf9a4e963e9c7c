"""Deephaven's side of publishing: blink tables, the refresh request, and the loop between.

Like every module that imports deephaven, this one can be imported only once the JVM is up.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jpy
from deephaven import dtypes, new_table
from deephaven.column import double_col, long_col, string_col
from deephaven.stream.table_publisher import table_publisher
from deephaven.table import Table

from server.errors import PublishingStopped
from server.publisher import Columns, Publisher, PublishLoop


class Engine:
    """Makes ticking tables in the running JVM and the publishers that feed them."""

    def __init__(self, min_interval: float = 0.010) -> None:
        graph = jpy.get_type("io.deephaven.engine.updategraph.impl.PeriodicUpdateGraph")
        self._update_graph = graph.getInstance("DEFAULT")
        self.loop = PublishLoop(self._update_graph.requestRefresh, min_interval)

    def blink_table(self, name: str, schema: Mapping[str, str]) -> tuple[Table, Publisher]:
        """Return a blink table and its publisher.

        Args:
            name: for the engine's log.
            schema: column name → string, double, long or instant. An instant is given to the
                publisher as nanoseconds since the epoch, and null as None.
        """
        makers: dict[str, Any] = {"string": string_col, "double": double_col, "long": long_col}
        types = {"string": dtypes.string, "double": dtypes.double, "long": dtypes.int64}
        stored = {
            _raw_name(column, kind): "long" if kind == "instant" else kind
            for column, kind in schema.items()
        }
        blink, publisher = table_publisher(name, {c: types[k] for c, k in stored.items()})

        def add(columns: Columns) -> None:
            if not publisher.is_alive:
                # It would drop them without a word.
                raise PublishingStopped(f"the engine takes no more rows for {name}: it failed")
            publisher.add(
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
        return blink.view(view), self.loop.publisher(stored, add)

    def close(self) -> None:
        """Publish what is pending and stop the loop."""
        self.loop.close()


def _raw_name(column: str, kind: str) -> str:
    return f"{column}Ns" if kind == "instant" else column
