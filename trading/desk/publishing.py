"""The platform's path by which rows come into ticking tables; the only file here that knows it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from bridge import TableWriter


class Writer(Protocol):
    """A ticking table and the way for rows into it, from any thread."""

    table: Any

    def live(self, *keys: str) -> Any:
        """A ticking table of the newest row for each value of the key columns."""

    def write_row(self, *values: Any) -> None:
        """Write one row; None is null."""

    def flush(self, timeout: float = 10.0) -> bool:
        """Wait until all rows written so far are in the table; False if time ran out."""

    def close(self, timeout: float = 5.0) -> None:
        """Write what is pending, then stop."""


def make_writer(
    name: str, columns: Mapping[str, Any], *, rows: int, keys: Iterable[str] = ()
) -> Writer:
    """A ticking table of the newest `rows` rows; `keys` are those that `live` is asked for."""
    return TableWriter(columns, name=name, rows=rows, keys=keys)
