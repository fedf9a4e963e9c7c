"""PostgreSQL's binary COPY format to and from numpy arrays."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from io import BytesIO
from typing import Any

import numpy as np
import numpy.typing as npt

_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_TRAILER = b"\xff\xff"
# Small enough that the server reads one piece while the next is built.
_ROWS = 1 << 14
Columns = Sequence[tuple[str, npt.NDArray[Any]]]


class CopyReader:
    """A file that COPY FROM reads: rows of integer columns, built piece by piece."""

    def __init__(self, columns: Columns, rows: npt.NDArray[np.intp] | slice, count: int) -> None:
        self._pieces = _pieces(columns, rows, count)
        self._rest = memoryview(b"")

    def read(self, size: int) -> bytes:
        """At most `size` bytes; none at the end."""
        if not self._rest:
            self._rest = memoryview(next(self._pieces, b""))
        part, self._rest = self._rest[:size], self._rest[size:]
        return bytes(part)


def _pieces(columns: Columns, rows: npt.NDArray[np.intp] | slice, count: int) -> Iterator[bytes]:
    yield _HEADER
    buffer = np.zeros(min(count, _ROWS), dtype=row_type([(n, v.dtype) for n, v in columns]))
    buffer["fields"] = len(columns)
    for name, values in columns:
        buffer[f"{name}_bytes"] = values.dtype.itemsize
    for start in range(0, count, _ROWS):
        piece = buffer[: min(_ROWS, count - start)]
        part = (
            slice(start, start + len(piece))
            if isinstance(rows, slice)
            else rows[start : start + len(piece)]
        )
        for name, values in columns:
            piece[name] = values[part]
        yield piece.tobytes()
    yield _TRAILER


def row_type(columns: Sequence[tuple[str, Any]]) -> np.dtype[Any]:
    """The bytes of a row: how many fields, then the length and the value of each."""
    fields: list[tuple[str, str]] = [("fields", ">i2")]
    for name, kind in columns:
        fields += [(f"{name}_bytes", ">i4"), (name, f">i{np.dtype(kind).itemsize}")]
    return np.dtype(fields)


def copied(
    cursor: Any, statement: str, columns: Sequence[tuple[str, Any]]
) -> dict[str, npt.NDArray[Any]]:
    """What `COPY (…) TO STDOUT` gives of integer columns that are never null."""
    out = BytesIO()
    cursor.copy_expert(f"COPY ({statement}) TO STDOUT (FORMAT binary)", out)
    data = out.getbuffer()
    kind = row_type(columns)
    rows = (len(data) - len(_HEADER) - len(_TRAILER)) // kind.itemsize
    read = np.frombuffer(data, dtype=kind, count=rows, offset=len(_HEADER))
    return {name: read[name].astype(width) for name, width in columns}
