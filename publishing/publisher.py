"""Publisher: declare ticking tables, and write rows to them from any thread."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any

from publishing.engine import guard_table_writers, request_refresh, require_engine
from publishing.errors import RegistrationError
from publishing.queue import MAX_PENDING_ROWS, PublishLoop
from publishing.table_writer import TableWriter, WriterStatus


class Publisher:
    """Ticking tables of one program, which share a thread that feeds them.

    EngineNotRunning before Deephaven was started. `close` publishes what waits and ends all
    writers; the tables stay as they are.
    """

    def __init__(self) -> None:
        require_engine()
        guard_table_writers()
        self._loop = PublishLoop(request_refresh)
        self._writers: dict[str, TableWriter] = {}

    def table(
        self,
        name: str,
        columns: Mapping[str, Any],
        *,
        rows: int | None = None,
        keys: Iterable[str] | str = (),
        max_pending_rows: int = MAX_PENDING_ROWS,
        strict: bool = False,
        renews: bool = True,
    ) -> TableWriter:
        """Declare a table and return its writer; the arguments are those of TableWriter.

        RegistrationError for a name that is taken, and for columns of which no table can be made.
        """
        if name in self._writers:
            raise RegistrationError(f"there is a table {name!r} already; choose another name")
        writer = TableWriter(
            columns,
            name=name,
            rows=rows,
            keys=keys,
            max_pending_rows=max_pending_rows,
            strict=strict,
            renews=renews,
            loop=self._loop,
        )
        self._writers[name] = writer
        return writer

    def __getitem__(self, name: str) -> TableWriter:
        return self._writers[name]

    def status(self) -> dict[str, WriterStatus]:
        """What was published, by table."""
        return {name: writer.status() for name, writer in self._writers.items()}

    def flush(self, timeout: float = 10.0) -> bool:
        """Wait until all rows written so far are in their tables; False if time ran out."""
        end = time.monotonic() + timeout
        return all(
            writer.flush(max(0.0, end - time.monotonic())) for writer in self._writers.values()
        )

    def close(self, timeout: float = 5.0) -> None:
        """Publish what is pending, then stop; later writes raise PublishingStopped."""
        self._loop.close(timeout)

    def __enter__(self) -> Publisher:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
