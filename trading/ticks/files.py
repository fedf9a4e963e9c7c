"""Ticks in files: Parquet and CSV, written and read piece by piece."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pc_csv
import pyarrow.parquet as pq

from trading.bars.columns import SIZE_DIGITS
from trading.errors import TickError
from trading.ticks.reading import EARLIEST

# What pieces of a file are read and appended by.
ROWS = 250_000
NUMBERS = ("price", "size", "bid", "ask", "bid_size", "ask_size")
_TIMES = ("timestamp", "received")
_FITS = 10**18


def check_suffix(path: Path) -> str:
    """`parquet` or `csv`; TickError for another file."""
    kind = {".parquet": "parquet", ".pq": "parquet", ".csv": "csv"}.get(path.suffix.lower())
    if kind is None:
        raise TickError(f"{path}: ticks are kept in .parquet and .csv files")
    return kind


def write(path: Path, schema: pa.Schema, tables: Iterable[pa.Table]) -> int:
    """Write tables of one schema to a new file; one that could not be finished is removed."""
    kind = check_suffix(path)
    if path.exists():
        raise TickError(f"{path} exists already; name another file")
    unfinished = path.with_name(path.name + ".part")
    written = 0
    try:
        schema = _plain(schema)
        with _writer(kind, unfinished, schema) as out:
            for table in tables:
                out.write_table(table.cast(schema))
                written += len(table)
        unfinished.rename(path)
    except pa.ArrowInvalid as error:
        raise TickError(f"{path}: the ticks cannot be written: {error}") from error
    finally:
        unfinished.unlink(missing_ok=True)
    return written


def _plain(schema: pa.Schema) -> pa.Schema:
    """Symbols as texts, and decimals of 18 digits, which Parquet keeps as integers."""
    fields = []
    for field in schema:
        kind = field.type
        if pa.types.is_dictionary(kind):
            kind = pa.string()
        elif pa.types.is_decimal(kind):
            kind = pa.decimal128(18, kind.scale)
        fields.append(pa.field(field.name, kind))
    return pa.schema(fields)


def _writer(kind: str, path: Path, schema: pa.Schema) -> Any:
    if kind == "csv":
        return pc_csv.CSVWriter(path, schema)
    integers = [name for name in schema.names if name != "symbol"]
    return pq.ParquetWriter(
        path,
        schema,
        compression="zstd",
        use_dictionary=["symbol"],
        column_encoding=dict.fromkeys(integers, "DELTA_BINARY_PACKED"),
        store_decimal_as_integer=True,
    )


def read(path: Path) -> Iterator[tuple[pa.Table, int, int]]:
    """Tables of a file, each with how much of the file is read then, and of how much.

    In a CSV file times are ISO 8601, UTC where they name no zone, and prices and sizes are read
    as the decimal numbers that they are.
    """
    kind = check_suffix(path)
    try:
        if kind == "parquet":
            yield from _read_parquet(path)
        else:
            yield from _read_csv(path)
    except FileNotFoundError:
        raise TickError(f"{path}: no such file") from None
    except (pa.ArrowInvalid, pa.ArrowTypeError, UnicodeDecodeError) as error:
        first = str(error).splitlines()[0]
        raise TickError(f"{path} cannot be read as ticks: {first}") from error


def extent(path: Path) -> tuple[int, int, list[str]] | None:
    """The first time, the one after the last, in nanoseconds, and the symbols of a file of ticks.

    None for a file without ticks.
    """
    low, high, symbols = EARLIEST, EARLIEST, set()
    for table, _done, _whole in read(path):
        at = table["timestamp"]
        if not pa.types.is_integer(at.type):
            at = at.cast(pa.timestamp("ns", getattr(at.type, "tz", None))).cast(pa.int64())
        first, last = pc.min_max(at).values()
        if first.is_valid:
            low = first.as_py() if low == EARLIEST else min(low, first.as_py())
            high = max(high, last.as_py() + 1)
            symbols |= set(pc.unique(table["symbol"].cast(pa.string())).to_pylist())
    return (low, high, sorted(symbols)) if symbols else None


def alike(table: pa.Table) -> list[pa.Table]:
    """The rows in tables whose columns `sequence` and `received` are filled in all rows or none."""
    names = [
        name
        for name in ("sequence", "received")
        if name in table.column_names and 0 < table[name].null_count < len(table)
    ]
    tables = [table]
    for name in names:
        tables = [
            part
            for whole in tables
            for part in (
                whole.filter(pc.is_valid(whole[name])),
                whole.filter(pc.is_null(whole[name])),
            )
            if len(part)
        ]
    return [_without_empty(part) for part in tables]


def _without_empty(table: pa.Table) -> pa.Table:
    empty = [
        name
        for name in ("sequence", "received")
        if name in table.column_names and table[name].null_count == len(table)
    ]
    return table.drop_columns(empty)


def _read_parquet(path: Path) -> Iterator[tuple[pa.Table, int, int]]:
    with pq.ParquetFile(path) as file:
        whole, done = file.metadata.num_rows, 0
        for batch in file.iter_batches(ROWS):
            done += len(batch)
            yield pa.Table.from_batches([batch]), done, whole


def _read_csv(path: Path) -> Iterator[tuple[pa.Table, int, int]]:
    size = path.stat().st_size
    types: dict[str, pa.DataType] = {name: pa.decimal128(28, SIZE_DIGITS) for name in NUMBERS}
    types |= {"symbol": pa.string(), "sequence": pa.int64()} | dict.fromkeys(_TIMES, pa.string())
    options = pc_csv.ConvertOptions(
        column_types=types,
        null_values=[""],
        strings_can_be_null=True,
        quoted_strings_can_be_null=False,
    )
    with (
        path.open("rb") as raw,
        pc_csv.open_csv(
            raw, pc_csv.ReadOptions(block_size=1 << 24), convert_options=options
        ) as file,
    ):
        for batch in file:
            table = pa.Table.from_batches([batch])
            for name in set(_TIMES) & set(table.column_names):
                place = table.column_names.index(name)
                table = table.set_column(place, name, _instants(table[name]))
            yield table, min(raw.tell(), size), size


def _instants(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    """ISO 8601 texts as nanoseconds of UTC; a zone may stand behind each, or behind none."""
    if len(texts) == 0:
        return texts.cast(pa.timestamp("ns", "UTC"))
    has_zone = pc.match_substring_regex(texts, r"([Zz]|[+-]\d\d:?\d\d)$")
    if not pc.any(has_zone).as_py():
        return texts.cast(pa.timestamp("ns")).cast(pa.timestamp("ns", "UTC"))
    return texts.cast(pa.timestamp("ns", "UTC"))
