"""A table of ticks as it is kept: checked, by symbol, with trades and quotes told apart."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from trading.bars.columns import Integers, Numbers, as_arrow, exact_numbers, tick_columns
from trading.errors import TickError
from trading.symbols import ALLOWED, is_symbol
from trading.ticks.scaling import Mask, digits_needed, rounded, scaled

PRICES = ("price", "bid", "ask")
SIZES = ("size", "bid_size", "ask_size")
Codes = npt.NDArray[np.integer[Any]]


@dataclass(frozen=True)
class Column:
    """Numbers of a batch; `valid` says which rows have one, None that all do."""

    numbers: Numbers
    valid: Mask | None

    def has(self, rows: Any) -> Mask:
        """Which of the rows have a number."""
        if self.valid is None:
            return np.asarray(np.ones(len(self.numbers.values), dtype=np.bool_)[rows])
        return np.asarray(self.valid[rows])


@dataclass(frozen=True)
class Batch:
    """Ticks in the order in which they came.

    `code` counts into `names`; `order` sorts the rows by code and leaves the order within a symbol,
    None where there is one symbol alone. `columns` holds what there is of price, size, bid, ask,
    bid_size and ask_size.
    """

    timestamp: Integers
    code: Codes
    names: tuple[str, ...]
    order: npt.NDArray[np.intp] | None
    sequence: Integers | None
    received: Integers | None
    columns: dict[str, Column]

    def __len__(self) -> int:
        return len(self.timestamp)

    def by_symbol(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Values of the rows, sorted by symbol."""
        return values if self.order is None else values[self.order]

    def narrow(self, codes: Codes) -> Codes:
        """Codes of this batch in the type that is fastest to sort."""
        return _narrow(codes, self.names)

    def describe(self, name: str, row: int) -> str:
        """A number for a message."""
        numbers = self.columns[name].numbers
        value = numbers.values[row]
        shown = value if not numbers.digits else value / 10**numbers.digits
        return f"{name} {shown} of row {row} ({self.names[self.code[row]]!r})"

    def fit(self, price_digits: Integers, size_digits: Integers) -> tuple[Integers, Integers]:
        """Decimal places, one number a symbol, by which all prices and sizes are exact."""
        for group in (PRICES, SIZES):
            digits = price_digits if group is PRICES else size_digits
            for name in group:
                if name in self.columns:
                    column = self.columns[name]
                    digits = digits_needed(
                        column.numbers,
                        self.code,
                        digits,
                        column.valid,
                        lambda row, name=name: self.describe(name, row),  # type: ignore[misc]
                    )
            if group is PRICES:
                price_digits = digits
            else:
                size_digits = digits
        return price_digits, size_digits

    def scaled(self, price_digits: Integers, size_digits: Integers) -> dict[str, Integers]:
        """The columns as integers of so many decimal places."""
        return {
            name: scaled(column.numbers, self.code, price_digits if name in PRICES else size_digits)
            for name, column in self.columns.items()
        }


def read_batch(
    ticks: Any,
    *,
    allow_negative: bool,
    latest: int | None,
    lateness: int,
    round_to: int | None,
) -> Batch:
    """Check a table of ticks.

    TickError, naming the first bad row, for whatever `tick_columns` refuses, for times after
    `latest`, for rows that are neither trade nor quote, for sequences below zero, and where the
    times of a symbol (those of receipt, where they are there) go back by more than `lateness`.
    """
    table = as_arrow(ticks)
    if "price" not in table.column_names and {"bid", "ask"} & set(table.column_names):
        table = table.append_column("price", pa.nulls(len(table), pa.float64()))
    for place, field in enumerate(table.schema):
        if pa.types.is_null(field.type) and field.name in (*PRICES, *SIZES):
            table = table.set_column(place, field.name, table[field.name].cast(pa.float64()))
    read = tick_columns(table, allow_negative=allow_negative, now=latest)
    columns: dict[str, Column] = {}
    if read.is_trade is None or read.is_trade.any():
        columns = {"price": Column(read.price, read.is_trade), "size": _sizes(table, read)}
    elif "size" in table.column_names:
        _sizes(table, read)
    for name in ("bid", "ask", "bid_size", "ask_size"):
        if name in table.column_names and table[name].null_count < len(table):
            columns[name] = _quote(table, name, allow_negative and name in PRICES)
    if round_to is not None:
        for name in set(columns) & set(PRICES):
            columns[name] = replace(columns[name], numbers=rounded(columns[name].numbers, round_to))
    batch = Batch(
        read.timestamp,
        read.symbol,
        read.names,
        _order(read.symbol, read.names),
        read.sequence,
        read.received,
        columns,
    )
    _check_symbols(batch)
    _check_rows(batch)
    _check_times(batch, lateness)
    return batch


def _sizes(table: pa.Table, read: Any) -> Column:
    trade = read.is_trade
    if trade is not None and "size" in table.column_names:
        missing = np.asarray(pc.is_null(table["size"], nan_is_null=True).combine_chunks())
        _refuse(missing & trade, "size of row {} is missing; a trade has one")
        _refuse(~missing & ~trade & (read.size.values != 0), "row {} has a size and no price")
    return Column(read.size, trade)


def _quote(table: pa.Table, name: str, allow_negative: bool) -> Column:
    valid = None
    if table[name].null_count:
        valid = np.asarray(pc.is_valid(table[name]).combine_chunks())
    return Column(
        exact_numbers(table[name], name, allow_negative=allow_negative, is_trade=valid), valid
    )


def _order(codes: Codes, names: tuple[str, ...]) -> npt.NDArray[np.intp] | None:
    if len(names) == 1:
        return None
    return np.argsort(_narrow(codes, names), kind="stable")


def _narrow(codes: Codes, names: tuple[str, ...]) -> Codes:
    return codes.astype(np.uint16) if len(names) <= 2**16 else codes


def _check_symbols(batch: Batch) -> None:
    for code in np.flatnonzero(np.bincount(batch.code, minlength=len(batch.names))):
        name = batch.names[code]
        if not is_symbol(name):
            row = int(np.argmax(batch.code == code))
            raise TickError(
                f"symbol {name!r:.100} of row {row} is none; allowed are {ALLOWED}. The table was "
                "not taken",
                row,
                int((batch.code == code).sum()),
            )


def _check_rows(batch: Batch) -> None:
    present = [batch.columns[n] for n in ("price", "bid", "ask") if n in batch.columns]
    if not any(column.valid is None for column in present):
        filled = np.zeros(len(batch), dtype=np.bool_)
        for column in present:
            filled |= column.has(slice(None))
        _refuse(~filled, "row {} has neither a price nor a bid or ask")
    if batch.sequence is not None:
        _refuse(batch.sequence < 0, "sequence of row {} is below zero; sources count from 0 on")


def _check_times(batch: Batch, lateness: int) -> None:
    came = batch.timestamp if batch.received is None else batch.received
    if (came[1:] >= came[:-1]).all():
        return
    what = "timestamp" if batch.received is None else "received"
    sorted_by_symbol = batch.by_symbol(came)
    bounds = np.cumsum(np.bincount(batch.code, minlength=len(batch.names)))
    back = np.zeros(len(batch), dtype=np.bool_)
    for low, high in zip([0, *bounds[:-1]], bounds, strict=True):
        part = sorted_by_symbol[low:high]
        back[low:high] = part < np.maximum.accumulate(part) - lateness
    if batch.order is not None:
        back[batch.order] = back.copy()
    _refuse(
        back,
        f"{what} of row {{}} goes back within its symbol; sort the table, or pass lateness= as "
        "how far times may go back",
    )


def _refuse(bad: Mask, message: str) -> None:
    if bad.any():
        row, count = int(np.argmax(bad)), int(bad.sum())
        more = f"; {count} rows are bad, this is the first" if count > 1 else ""
        raise TickError(f"{message.format(row)}{more}. The table was not taken", row, count)
