"""Equity curves: what people give as equity or returns, checked and put together by day.

curve = Curve.of(frame)                      # columns timestamp and equity
curve.levels, curve.returns, curve.days      # numpy arrays
"""

from __future__ import annotations

import zoneinfo
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from trading.errors import MetricsError, shown

__all__ = ["TIME_ZONE", "Curve", "Kind", "days_in", "frame_of", "instants"]

Floats = npt.NDArray[np.float64]
Days = npt.NDArray[np.datetime64]
Kind = Literal["equity", "returns"]

TIME_ZONE = "Europe/Oslo"
"""Whose days count, unless told otherwise."""

_TIMES = ("timestamp", "time", "date", "day", "datetime", "ts")
_VALUES: dict[str, Kind] = {
    "equity": "equity",
    "nav": "equity",
    "return": "returns",
    "returns": "returns",
}
# Nanoseconds of 1970-01-02: a smaller number is a date such as 20260102, or seconds.
_NANOSECONDS_MIN = 86_400 * 10**9
_LIKELY_RETURN = 0.5


@dataclass(frozen=True)
class Curve:
    """An equity curve of n periods.

    `levels` has n + 1 values, the first one being the start; `returns` has n. `days` are the days
    of the levels in the time zone that was asked for, or None where no times were given; the first
    one of a series of returns lies one typical step before it.
    """

    levels: Floats
    returns: Floats
    days: Days | None = None
    is_money: bool = False

    @classmethod
    def of(
        cls,
        data: Any,
        *,
        kind: Kind | None = None,
        time_zone: str = TIME_ZONE,
        daily: bool = True,
    ) -> Curve:
        """Read equity or returns and check them; MetricsError says what is wrong in which row.

        `data` is a sequence, an array, a pandas or polars Series, or a frame (pandas, polars,
        Arrow, mapping of columns) with times and a column `equity` or `returns`. Without such a
        name, values of which most are below 0.5 count as returns; where this leaves a doubt, the
        error asks for `kind`. With `daily`, several values of a day of `time_zone` become one: the
        last equity, the compounded return.
        """
        if isinstance(data, Curve):
            return data
        values, times, named = _read(data, kind)
        _check_numbers(values, named)
        asked = kind or named or _guess(values)
        days = None if times is None else days_in(times, time_zone)
        if asked == "equity":
            _check_equity(values)
            return _of_equity(values, days, daily)
        if asked == "returns":
            _check_returns(values)
            return _of_returns(values, days, daily)
        raise MetricsError(f"kind {shown(kind)} is none of: equity, returns")

    @property
    def periods(self) -> int:
        """How many returns there are."""
        return len(self.returns)

    @property
    def years(self) -> float | None:
        """Calendar time from the first to the last level in years of 365.25 days, if known."""
        if self.days is None:
            return None
        return float((self.days[-1] - self.days[0]).astype(np.int64)) / 365.25

    @property
    def drawdown(self) -> Floats:
        """How far each level is below the highest one until then, as a fraction (0 to -1)."""
        return np.asarray(self.levels / np.maximum.accumulate(self.levels) - 1.0)


# --- by day ---------------------------------------------------------------------------------------


def _of_equity(values: Floats, days: Days | None, daily: bool) -> Curve:
    if days is not None and daily:
        last = np.append(days[1:] != days[:-1], True)
        if not last.all():
            kept, kept_days = values[last], days[last]
            if not last[0]:
                # What was earned on the first day counts from the first value on.
                kept = np.concatenate([values[:1], kept])
                kept_days = np.concatenate([kept_days[:1], kept_days])
            values, days = kept, kept_days
    return Curve(values, values[1:] / values[:-1] - 1.0, days, is_money=True)


def _of_returns(values: Floats, days: Days | None, daily: bool) -> Curve:
    if days is not None and daily:
        first = np.append(True, days[1:] != days[:-1])
        if not first.all():
            starts = np.flatnonzero(first)
            values = np.multiply.reduceat(1.0 + values, starts) - 1.0
            days = days[first]
    levels = np.cumprod(np.concatenate([[1.0], 1.0 + values]))
    if days is not None:
        steps = np.diff(days.astype(np.int64))
        step = max(1, int(np.median(steps))) if len(steps) else 1
        days = np.concatenate([days[:1] - np.timedelta64(step, "D"), days])
    return Curve(levels, values, days)


def days_in(times: pd.Series, time_zone: str) -> Days:
    """Return the days of instants in a time zone; times at midnight without a zone are days."""
    if times.dt.tz is not None:
        try:
            times = times.dt.tz_convert(zoneinfo.ZoneInfo(time_zone))
        except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
            raise MetricsError(
                f"no time zone {shown(time_zone)} is known; give one such as Europe/Oslo or UTC"
            ) from None
        times = times.dt.tz_localize(None)
    return np.asarray(times.to_numpy(), dtype="datetime64[D]")


# --- reading --------------------------------------------------------------------------------------


def frame_of(data: Any) -> pd.DataFrame:
    """Return a pandas frame of a pandas, polars or Arrow table, a mapping, or rows of structs."""
    if isinstance(data, pd.DataFrame):
        return data
    if hasattr(data, "to_pandas"):
        frame = data.to_pandas()
        return frame if isinstance(frame, pd.DataFrame) else frame.to_frame()
    return pd.DataFrame(data)


def instants(column: Any, what: str = "timestamp") -> pd.Series:
    """Return times as a datetime Series, in order or not; MetricsError for what is no time.

    Instants need their time zone; times without one are taken where all are midnight: they are
    days. Whole numbers are nanoseconds since 1970 in UTC.
    """
    times = pd.Series(column).reset_index(drop=True)
    if pd.api.types.is_integer_dtype(times.dtype):
        if len(times) and int(times.min()) < _NANOSECONDS_MIN:
            raise MetricsError(
                f"{what}: {times.min()} is no time in nanoseconds since 1970; give nanoseconds, "
                "datetimes or ISO texts"
            )
        times = pd.to_datetime(times, unit="ns", utc=True)
    elif not pd.api.types.is_datetime64_any_dtype(times.dtype):
        times = _parsed(times, what)
    stamps = _stamps(times)
    empty = np.isnat(stamps)
    if empty.any():
        raise MetricsError(f"{what}: row {int(np.argmax(empty))} has no time")
    if times.dt.tz is None:
        off = stamps != stamps.astype("datetime64[D]")
        if off.any():
            row = int(np.argmax(off))
            raise MetricsError(
                f"{what}: row {row} is {times[row]}, without a time zone; give times in UTC "
                "(2026-01-02T15:30:00Z), or days"
            )
    return times


def _stamps(times: pd.Series) -> Days:
    """Times as an array, in UTC where they have a zone."""
    return times.to_numpy(dtype="datetime64[ns]")


def _parsed(times: pd.Series, what: str) -> pd.Series:
    texts = times.dropna().astype(str)
    with_zone = texts.str.contains(r"(?:Z|[+-]\d\d:?\d\d)$", regex=True)
    if with_zone.any() and not with_zone.all():
        row = with_zone.index[int(np.argmin(with_zone.to_numpy()))]
        raise MetricsError(
            f"{what}: row {row} is {shown(texts[row])}, without a time zone, where other rows have "
            "one; give it to all"
        )
    try:
        # Offsets of summer and winter differ within one column: as UTC they can be compared.
        return pd.Series(pd.to_datetime(times, format="ISO8601", utc=bool(with_zone.any())))
    except (ValueError, TypeError, OverflowError):
        pass
    row = next((row for row, text in texts.items() if not _is_time(text)), 0)
    raise MetricsError(
        f"{what}: row {row} is {shown(texts.get(row))}, no time; give ISO 8601, such as 2026-01-02 "
        "or 2026-01-02T15:30:00Z"
    )


def _is_time(text: str) -> bool:
    try:
        pd.to_datetime(text, format="ISO8601")
    except (ValueError, TypeError, OverflowError):
        return False
    return True


def _read(data: Any, kind: Kind | None) -> tuple[Floats, pd.Series | None, Kind | None]:
    """The values, their times if there are any, and what the column's name says they are."""
    if hasattr(data, "to_pandas") and not isinstance(data, (pd.Series, pd.DataFrame)):
        data = data.to_pandas()
    if isinstance(data, Mapping):
        data = pd.DataFrame(data)
    if isinstance(data, pd.DataFrame):
        data = _column(data, kind)
    if isinstance(data, pd.Series):
        named = _VALUES.get(str(data.name).lower())
        times = None
        if isinstance(data.index, pd.DatetimeIndex):
            times = instants(data.index, "index")
            _check_order(times)
        return _numbers(data.to_numpy()), times, named
    if isinstance(data, (str, bytes)) or not isinstance(data, Iterable):
        raise MetricsError(f"expected equity or returns as a series or a frame, seen {shown(data)}")
    array = data if isinstance(data, np.ndarray) else list(data)
    return _numbers(array), None, None


def _column(frame: pd.DataFrame, kind: Kind | None) -> pd.Series:
    """The column of a frame that holds the values, under its times."""
    names = {str(name).lower(): name for name in frame.columns}
    found = [
        names[name] for name, means in _VALUES.items() if name in names and kind != _other(means)
    ]
    times = next((names[name] for name in _TIMES if name in names), None)
    rest = [name for name in frame.columns if name != times]
    if not found and len(rest) == 1:
        found = rest
    if not found:
        raise MetricsError(
            f"expected a column equity or returns, seen {', '.join(map(str, frame.columns))}"
        )
    values = frame[found[0]]
    if times is None:
        return values
    index = pd.DatetimeIndex(instants(frame[times], str(times)))
    return pd.Series(values.to_numpy(), index=index, name=values.name)


def _other(kind: Kind) -> Kind:
    return "returns" if kind == "equity" else "equity"


def _numbers(values: Any) -> Floats:
    """One column as floats; texts and decimals are numbers too."""
    array = np.asarray(values)
    if array.ndim != 1:
        raise MetricsError(f"expected one column of numbers, seen {array.ndim} dimensions")
    try:
        if array.dtype != bool:
            return array.astype(np.float64)
    except (TypeError, ValueError):
        pass
    row = next((row for row, value in enumerate(values) if not _is_number(value)), 0)
    raise MetricsError(f"row {row} is {shown(values[row])}, no number")


def _is_number(value: Any) -> bool:
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return not isinstance(value, bool)


def _guess(values: Floats) -> Kind:
    size = np.abs(values)
    if size.max() < _LIKELY_RETURN:
        return "returns"
    small = bool(np.median(size) < _LIKELY_RETURN)
    if values.min() < 0:
        return "returns" if small else "equity"
    if small:
        raise MetricsError(
            f"these values, from {values.min():g} to {values.max():g}, can be an equity curve or "
            'returns; say kind="equity" or kind="returns"'
        )
    return "equity"


# --- checks ---------------------------------------------------------------------------------------


def _check_order(times: pd.Series) -> None:
    stamps = _stamps(times)
    wrong = stamps[1:] <= stamps[:-1]
    if wrong.any():
        row = int(np.argmax(wrong)) + 1
        if stamps[row] == stamps[row - 1]:
            raise MetricsError(
                f"rows {row - 1} and {row} have the same time {times[row]}; keep one of them"
            )
        raise MetricsError(
            f"row {row} is of {times[row]}, before row {row - 1} of {times[row - 1]}; sort the "
            "rows by time"
        )


def _check_numbers(values: Floats, named: Kind | None) -> None:
    if len(values) < 2:
        raise MetricsError(f"expected at least 2 rows, seen {len(values)}")
    finite = np.isfinite(values)
    if not finite.all():
        row = int(np.argmin(finite))
        hint = ""
        if row == 0 and finite[1:].all() and named != "equity":
            hint = "; the first row of pct_change() has no return: drop it with dropna()"
        raise MetricsError(f"row {row} is {values[row]}, expected a finite number{hint}")


def _check_equity(values: Floats) -> None:
    wrong = values <= 0
    if wrong.any():
        row = int(np.argmax(wrong))
        raise MetricsError(
            f"row {row}: an equity of {values[row]:g} has no return after it; figures need equity "
            "above 0, so end the curve before that row, or start with more cash"
        )


def _check_returns(values: Floats) -> None:
    wrong = values <= -1
    if wrong.any():
        row = int(np.argmax(wrong))
        raise MetricsError(
            f"row {row}: a return of {values[row]:g} loses everything; returns are fractions above "
            "-1 (0.01 is one percent), and equity is given as kind='equity'"
        )
