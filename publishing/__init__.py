"""Rows into ticking tables of Deephaven, from any thread: the one path that all packages use.

    from publishing import Publisher

    publisher = Publisher()
    bars = publisher.table("bars", {"symbol": str, "close": float}, rows=10_000, keys="symbol")
    bars.write_row("AAPL", 228.5)
    publisher.flush()
    bars.table, bars.live()

Deephaven must run in the process. Its own objects are imported only then, so `import publishing`
needs no Java.
"""

from publishing.conversion_errors import ConversionErrors
from publishing.errors import (
    EngineNotRunning,
    PublishingError,
    PublishingStopped,
    RegistrationError,
    RowError,
)
from publishing.publisher import Publisher
from publishing.queue import PublishLoop, RowQueue, WriterStats
from publishing.stream import Stream
from publishing.table_writer import TableWriter, WriterStatus

__all__ = [
    "ConversionErrors",
    "EngineNotRunning",
    "PublishLoop",
    "Publisher",
    "PublishingError",
    "PublishingStopped",
    "RegistrationError",
    "RowError",
    "RowQueue",
    "Stream",
    "TableWriter",
    "WriterStats",
    "WriterStatus",
]
