"""Tables of bars, from rows or from columns."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from trading.bars.fold import NOTIONAL_DIGITS, ExactSums, Groups
from trading.bars.grid import Slots
from trading.bars.ticks import INT64_MAX, SIZE_DIGITS, Numbers, TickColumns
from trading.bars.working import VWAP_DIVISOR, BarRow
from trading.errors import TickError

_TIME = pa.timestamp("ns", tz="UTC")
# Amounts up to 10^20 in all decimal places that prices times sizes can have.
NOTIONAL_TYPE = pa.decimal128(38, NOTIONAL_DIGITS)
_NOTIONAL_LIMIT = 10**38
_EXACT = float(2**53)


def bar_schema(price: Numbers, size: Numbers, *, quotes: bool) -> pa.Schema:
    """The columns of a table of bars; prices and volumes are of the ticks' own types."""
    return _schema(price.arrow_type, size.arrow_type, quotes)


# Making it takes as long as the columns of a few bars.
@lru_cache(64)
def _schema(price: pa.DataType, size: pa.DataType, quotes: bool) -> pa.Schema:
    fields = [
        ("symbol", pa.string()),
        ("start", _TIME),
        ("end", _TIME),
        *((name, price) for name in ("open", "high", "low", "close")),
        ("volume", size),
        ("count", pa.int64()),
        ("vwap", pa.float64()),
        ("notional", NOTIONAL_TYPE),
        ("state", pa.string()),
        ("version", pa.int32()),
    ]
    if quotes:
        fields += [("bid", pa.float64()), ("ask", pa.float64())]
    return pa.schema(fields)


def empty_table(price: Numbers, size: Numbers, *, quotes: bool) -> pa.Table:
    """A table without bars."""
    return bar_schema(price, size, quotes=quotes).empty_table()


def bar_table(rows: Sequence[BarRow], price: Numbers, size: Numbers, *, quotes: bool) -> pa.Table:
    """Rows as a table, in their order."""
    schema = bar_schema(price, size, quotes=quotes)
    if not rows:
        return schema.empty_table()
    arrays = []
    for field, values in zip(schema, zip(*rows, strict=True), strict=False):
        if field.name in ("start", "end"):
            arrays.append(pa.array(np.array(values, dtype=np.int64), _TIME))
        elif field.name == "volume":
            arrays.append(volume_units_array(values, field.type))
        elif field.name == "notional":
            arrays.append(notional_array(values))
        elif field.name in ("open", "high", "low", "close") and price.digits is not None:
            arrays.append(_exact_prices(values, field.type, price.digits))
        else:
            arrays.append(pa.array(values, field.type))
    return pa.table(arrays, schema=schema)


def group_table(groups: Groups, columns: TickColumns, slots: Slots, since: int | None) -> pa.Table:
    """The bars of a recording without a calendar, as columns and not one by one."""
    price, size = columns.price, columns.size
    schema = bar_schema(price, size, quotes=False)
    starts, ends = slots.starts[groups.slot], slots.ends[groups.slot]
    state = np.full(len(groups), "final", dtype=object)
    if since is not None:
        state[(starts < since) & (since < ends)] = "partial"
    # Symbols by name, as everywhere; the codes are in order of appearance.
    names = np.array(columns.names, dtype=object)[groups.symbol]
    by_name = np.argsort(np.argsort(np.array(columns.names, dtype=object)))[groups.symbol]
    order = np.lexsort((starts, by_name))
    prices = (price.values[groups.first], groups.high, groups.low, price.values[groups.last])
    arrays = [
        pa.array(names[order], pa.string()),
        pa.array(starts[order], schema.field("start").type),
        pa.array(ends[order], schema.field("end").type),
        *(price_array(column[order], price) for column in prices),
        volume_array(groups.volume, order, size),
        pa.array(groups.count[order], pa.int64()),
        vwap_array(groups.volume, groups.notional, order),
        notional_sums(groups.notional, order),
        pa.array(state[order], pa.string()),
        pa.array(np.ones(len(groups), dtype=np.int32)),
    ]
    return pa.table(arrays, schema=schema)


def price_array(values: npt.NDArray[Any], price: Numbers) -> pa.Array:
    """A column of prices as they are inside, in their own type."""
    if price.digits is None:
        return pa.array(values, price.arrow_type)
    return _exact_prices(values.tolist(), price.arrow_type, price.digits)


def volume_array(volume: ExactSums, order: npt.NDArray[Any], size: Numbers) -> pa.Array:
    """Volumes in some order, in the sizes' type."""
    if volume.units.dtype == object or pa.types.is_decimal(size.arrow_type):
        volumes = np.array(volume.scaled(SIZE_DIGITS), dtype=object)[order].tolist()
        return volume_units_array(volumes, size.arrow_type)
    # Below 2^53 the division of whole floats is that of the integers, correctly rounded.
    return pa.array(volume.units[order] / 10**volume.digits).cast(size.arrow_type)


def vwap_array(volume: ExactSums, notional: ExactSums, order: npt.NDArray[Any]) -> pa.Array:
    """Notional amount over volume, the same bits as by Python's integers; null without volume."""
    divisor = 10.0 ** (notional.digits - volume.digits)
    if object not in (volume.units.dtype, notional.units.dtype):
        amount = volume.units[order] * divisor
        if len(amount) == 0 or amount.max() < _EXACT:
            with np.errstate(invalid="ignore", divide="ignore"):
                return pa.array(notional.units[order] / amount, mask=amount == 0)
    rows = zip(
        np.array(volume.scaled(SIZE_DIGITS), dtype=object)[order].tolist(),
        np.array(notional.scaled(NOTIONAL_DIGITS), dtype=object)[order].tolist(),
        strict=True,
    )
    return pa.array([n / (v * VWAP_DIVISOR) if v else None for v, n in rows], pa.float64())


def notional_array(amounts: Sequence[int]) -> pa.Array:
    """Exact amounts of money from integers of 18 decimal places; null from 10^20 on."""
    if all(abs(amount) < _NOTIONAL_LIMIT for amount in amounts):
        # As Arrow holds them: integers of 128 bits.
        words = b"".join([amount.to_bytes(16, "little", signed=True) for amount in amounts])
        return pa.Array.from_buffers(NOTIONAL_TYPE, len(amounts), [None, pa.py_buffer(words)])
    decimals = [
        _decimal(amount, NOTIONAL_DIGITS) if abs(amount) < _NOTIONAL_LIMIT else None
        for amount in amounts
    ]
    return pa.array(decimals, NOTIONAL_TYPE)


def notional_sums(notional: ExactSums, order: npt.NDArray[Any]) -> pa.Array:
    """The same from sums, in some order."""
    if notional.units.dtype == object:
        units = np.array(notional.scaled(NOTIONAL_DIGITS), dtype=object)
        return notional_array(units[order].tolist())
    # Whole floats below 2^53: a word of the decimal each, and its sign continued in the next.
    low = notional.units[order].astype(np.int64)
    words = np.stack([low, low >> 63], axis=1)
    kind = pa.decimal128(38, notional.digits)
    array = pa.Array.from_buffers(kind, len(low), [None, pa.py_buffer(words.tobytes())])
    return array.cast(NOTIONAL_TYPE)


def volume_units_array(volumes: Sequence[int], kind: pa.DataType) -> pa.Array:
    """Volumes from integers of 9 decimal places, in the type of the ticks' sizes."""
    unit = 10**SIZE_DIGITS
    if pa.types.is_floating(kind):
        return pa.array([volume / unit for volume in volumes], kind)
    if pa.types.is_integer(kind):
        whole = [volume // unit for volume in volumes]
        if max(whole, default=0) > INT64_MAX:
            raise TickError(
                f"the volume of a bar is {max(whole):,}, beyond 64 bits; give the sizes as "
                "decimals (decimal128), or in a larger unit"
            )
        return pa.array(whole, kind)
    return pa.array([_decimal(volume, SIZE_DIGITS) for volume in volumes], kind)


def _exact_prices(values: Sequence[Any], kind: pa.DataType, digits: int) -> pa.Array:
    if pa.types.is_decimal(kind):
        values = [None if x is None else _decimal(x, digits) for x in values]
    return pa.array(values, kind)


def _decimal(units: int, digits: int) -> Decimal:
    """Exact, whatever the precision of the thread's decimal context."""
    sign, figures = (1, str(-units)) if units < 0 else (0, str(units))
    return Decimal((sign, tuple(map(int, figures)), -digits))
