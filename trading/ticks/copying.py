"""PostgreSQL's binary COPY format to and from numpy arrays."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from io import BytesIO
from typing import Any

import numpy as np
import numpy.typing as npt

from trading.errors import TickStoreError

_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_TRAILER = b"\xff\xff"
# Small enough that the server reads one piece while the next is built.
_ROWS = 1 << 14
Columns = Sequence[tuple[str, npt.NDArray[Any]]]
# An array without nulls: its bytes, dimensions, whether it has nulls, the elements' type, how many
# there are, and the number of the first.
_ARRAY = struct.Struct(">iiiIii")
_ELEMENT = np.dtype([("bytes", ">i4"), ("value", ">i8")])
_SIZE = struct.Struct(">i")
_NOTHING = np.zeros(0, dtype=np.int64)
# PostgreSQL's number of the type bigint.
_INT8 = 20


class CopyReader:
    """A file that COPY FROM reads: the pieces of `row_pieces` or `block_pieces`."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._rest = memoryview(b"")

    def read(self, size: int) -> bytes:
        """At most `size` bytes; none at the end."""
        if not self._rest:
            self._rest = memoryview(next(self._pieces, b""))
        part, self._rest = self._rest[:size], self._rest[size:]
        return bytes(part)


def row_pieces(columns: Columns, rows: npt.NDArray[np.intp] | slice, count: int) -> Iterator[bytes]:
    """Some rows of integer columns, built piece by piece."""
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


def block_pieces(single: Columns, arrays: Columns, starts: Sequence[int]) -> Iterator[bytes]:
    """A row a block: its integers of `single`, then `bigint[]`s of its part of each of `arrays`.

    Parts begin at `starts`, and the last one ends with the arrays.
    """
    yield _HEADER
    head = np.zeros(len(starts), dtype=row_type([(n, v.dtype) for n, v in single]))
    head["fields"] = len(single) + len(arrays)
    for name, values in single:
        head[f"{name}_bytes"] = values.dtype.itemsize
        head[name] = values
    ends = [*starts[1:], len(arrays[0][1])]
    elements = np.zeros(max(e - s for s, e in zip(starts, ends, strict=True)), dtype=_ELEMENT)
    elements["bytes"] = 8
    for number, (start, end) in enumerate(zip(starts, ends, strict=True)):
        count = end - start
        parts = [head[number].tobytes()]
        before = _ARRAY.pack(_ARRAY.size - 4 + count * _ELEMENT.itemsize, 1, 0, _INT8, count, 1)
        for _name, values in arrays:
            elements["value"][:count] = values[start:end]
            parts += (before, elements[:count].tobytes())
        yield b"".join(parts)
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


def copied_blocks(
    cursor: Any, statement: str, arrays: Sequence[str], single: str, missing: int
) -> dict[str, npt.NDArray[Any]]:
    """What `COPY (…) TO STDOUT` gives of rows of `bigint[]`s and of one integer, put together.

    An array that is null stands for as many elements as the first one has, all `missing`; the
    integer stands beside each element.
    """
    out = BytesIO()
    cursor.copy_expert(f"COPY ({statement}) TO STDOUT (FORMAT binary)", out)
    data = out.getbuffer()
    found: dict[str, list[npt.NDArray[Any]]] = {name: [] for name in (*arrays, single)}
    at = len(_HEADER)
    while data[at : at + 2] != _TRAILER:
        at += 2
        count = 0
        for name in arrays:
            (size,) = _SIZE.unpack_from(data, at)
            if size < 0:
                found[name].append(np.full(count, missing))
                at += 4
                continue
            _size, dimensions, has_nulls, _type, count, _first = _ARRAY.unpack_from(data, at)
            if has_nulls or dimensions != 1:
                raise TickStoreError(
                    f"a block of ticks has nulls among the elements of {name}, or more than one "
                    "dimension, which no TickStore writes; an administrator finds it by "
                    "array_position(…, NULL) and array_ndims"
                )
            at += _ARRAY.size
            found[name].append(np.frombuffer(data, _ELEMENT, count, at)["value"])
            at += count * _ELEMENT.itemsize
        found[single].append(np.full(count, _SIZE.unpack_from(data, at + 4)[0], dtype=np.int32))
        at += 8
    whole = {n: np.concatenate(v, dtype=np.int64) if v else _NOTHING for n, v in found.items()}
    return {**whole, single: whole[single].astype(np.int32)}
