"""Replay of recorded prices from CSV or Parquet files, checked before the first tick is played."""

from __future__ import annotations

import csv
import math
import re
import warnings
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from pandas.io.common import get_handle  # type: ignore[import-not-found]

from server.errors import FeedFileError
from server.market.feed import LongArray, TickBatch
from server.market.symbols import ALLOWED, is_symbol

# What a column may be called in the file, in lower case; the first is our name for it.
COLUMN_NAMES = {
    "timestamp": ("timestamp", "datetime", "date", "time"),
    "symbol": ("symbol", "ticker"),
    "price": ("price", "close", "last"),
    "open": ("open",),
    "bid": ("bid",),
    "ask": ("ask",),
    "volume": ("volume",),
}
REQUIRED = ("timestamp", "price")
# Half of the spread around the price where the file has no quotes, as a share of it.
HALF_SPREAD = 0.0001
# What nanoseconds since the epoch can tell in 64 bits.
_EARLIEST = pd.Timestamp("1678-01-01", tz="UTC")
_LATEST = pd.Timestamp("2261-12-31", tz="UTC")
# The most ticks in a batch when nothing has to be waited for.
BATCH_ROWS = 1_000


class Replay:
    """Prices recorded in files, played in the order of their timestamps.

    A file holds `timestamp` (or `date`) and `price` (or `close`), and may hold `symbol`, `open`,
    `bid`, `ask` and `volume`; capitals don't matter. Without a symbol column the file's name is
    the symbol (`AAPL.csv`). Each symbol's rows are in the order of their timestamps, which are UTC
    where they name no zone. The reference price of a day is the last price of the day before; on
    the first day it is the open, or else the first price. Volume adds up within a day; it is a
    whole number unless the files have fractions. Without quotes, bid and ask are one basis point
    around the price.

    Args:
        paths: CSV (`.csv`, also compressed) or Parquet (`.parquet`) files.
        speed: how many times faster than recorded to play; infinity plays without waiting.
        allow_negative: whether prices of 0 and below are taken, as some futures and spreads have.

    Raises:
        FeedFileError: a file is missing or unreadable, a column is missing, a symbol's
            timestamps go backwards, or a row is bad; it names file, line and reason.
    """

    name = "replay"

    def __init__(
        self,
        paths: Sequence[str | Path],
        *,
        speed: float = 1.0,
        allow_negative: bool = False,
    ) -> None:
        if not paths:
            raise ValueError("a replay needs at least one file")
        if not speed > 0:
            raise ValueError(f"speed must be above 0, or inf to play without waiting, not {speed}")
        self.speed = speed
        frames = [_load(Path(path), allow_negative=allow_negative) for path in paths]
        # A stable sort keeps the order of the file among ticks of one instant.
        ticks = pd.concat(frames).sort_values("timestamp", kind="stable", ignore_index=True)
        self._ticks = _with_session_columns(ticks)
        first = self._ticks.drop_duplicates("symbol").sort_values("symbol")
        self.opening_prices = dict(zip(first["symbol"], first["reference"], strict=True))
        self.symbols = tuple(self.opening_prices)
        self.has_whole_volumes = self._ticks["volume"].dtype.kind == "i"

    def __len__(self) -> int:
        return len(self._ticks)

    @property
    def duration_s(self) -> float:
        """Seconds that playing takes."""
        stamps = self._ticks["timestamp"]
        return float(stamps.iloc[-1] - stamps.iloc[0]) / 1e9 / self.speed

    def batches(self) -> Iterator[TickBatch]:
        """Yield the ticks; those of one timestamp come together."""
        stamp = self._ticks["timestamp"].to_numpy()
        starts: LongArray
        if math.isinf(self.speed):
            starts = np.arange(0, len(stamp), BATCH_ROWS)
        else:
            starts = np.concatenate([[0], np.flatnonzero(np.diff(stamp)) + 1])
        ends = np.append(starts[1:], len(stamp))
        columns = {name: self._ticks[name].to_numpy() for name in self._ticks.columns}
        for start, end in zip(starts, ends, strict=True):
            part = {name: values[start:end] for name, values in columns.items()}
            yield TickBatch(
                due_s=float(stamp[start] - stamp[0]) / 1e9 / self.speed,
                symbol=part["symbol"],
                price=part["price"],
                bid=part["bid"],
                ask=part["ask"],
                volume=part["volume"],
                reference=part["reference"],
                timestamp_ns=part["timestamp"],
            )


def _load(path: Path, *, allow_negative: bool) -> pd.DataFrame:
    """Read a file into the columns of COLUMN_NAMES, each row checked."""
    raw = _read(path)
    found = _columns_of(path, raw)
    check = _RowCheck(path)
    frame = pd.DataFrame(index=raw.index)
    frame["timestamp"] = check.timestamps(raw.iloc[:, found["timestamp"]])
    if "symbol" in found:
        frame["symbol"] = check.symbols(raw.iloc[:, found["symbol"]])
    else:
        frame["symbol"] = pd.Series(_symbol_of(path), index=raw.index, dtype=object)
    least = None if allow_negative else "above 0"
    for name in ("price", "open", "bid", "ask"):
        if name in found:
            frame[name] = check.numbers(name, raw.iloc[:, found[name]], least)
    if "volume" in found:
        frame["volume"] = check.numbers("volume", raw.iloc[:, found["volume"]], "0 or more")
    else:
        frame["volume"] = 0.0
    half = frame["price"].abs() * HALF_SPREAD
    frame["bid"] = frame["bid"] if "bid" in frame else frame["price"] - half
    frame["ask"] = frame["ask"] if "ask" in frame else frame["price"] + half
    frame["open"] = frame["open"] if "open" in frame else frame["price"]
    check.refuse(frame["bid"] > frame["ask"], "bid {} is above ask {}", frame["bid"], frame["ask"])
    check.refuse(
        frame.groupby("symbol", sort=False)["timestamp"].diff() < 0,
        "timestamp {} is before the one that {} has above it; sort the file by time",
        raw.iloc[:, found["timestamp"]],
        frame["symbol"],
    )
    return frame


def _columns_of(path: Path, raw: pd.DataFrame) -> dict[str, int]:
    """Return where each of our columns is in a file."""
    found: dict[str, int] = {}
    names = [str(column).strip() for column in raw.columns]
    for ours, known in COLUMN_NAMES.items():
        places = [n for n, name in enumerate(names) if name.lower() in known]
        seen = [f"'{names[place]}'" for place in places]
        if len(places) > len(set(seen)):
            reason = f"{len(places)} columns are called {seen[0]}; keep one"
            raise FeedFileError(str(path), None, reason)
        if len(places) > 1:
            reason = f"both {' and '.join(seen)} could be the {ours}; keep one"
            raise FeedFileError(str(path), None, reason)
        if places:
            found[ours] = places[0]
    missing = [ours for ours in REQUIRED if ours not in found]
    if missing:
        wanted = " and ".join(f"'{m}' (or {', '.join(COLUMN_NAMES[m][1:])})" for m in missing)
        there = ", ".join(names) or "nothing"
        raise FeedFileError(str(path), None, f"no column {wanted}; the file has: {there}")
    if raw.empty:
        raise FeedFileError(str(path), None, "no rows under the header")
    return found


def _symbol_of(path: Path) -> str:
    """Return the symbol that a file without a symbol column is named after."""
    endings = r"(\.(csv|parquet|pq))?(\.(gz|bz2|xz|zip|zst))?$"
    symbol = re.sub(endings, "", path.name, flags=re.IGNORECASE).upper()
    if not is_symbol(symbol):
        reason = f"the file's name is no symbol ({ALLOWED}); rename it, or add a column 'symbol'"
        raise FeedFileError(str(path), None, reason)
    return symbol


def _is_parquet(path: Path) -> bool:
    return path.suffix.lower() in (".parquet", ".pq")


def _read(path: Path) -> pd.DataFrame:
    """Return the file's columns, under the names that the file gives them."""
    try:
        if _is_parquet(path):
            frame: pd.DataFrame = pd.read_parquet(path)
            # pandas keeps the dates of daily prices in the index.
            return frame.reset_index() if frame.index.name else frame
        with warnings.catch_warnings():
            # A row with more fields than the header would be cut off with a warning.
            warnings.simplefilter("error", pd.errors.ParserWarning)
            # Text first: a number that does not parse must be shown as it was written; and
            # "NA" is a company.
            frame = pd.read_csv(
                path,
                dtype=str,
                index_col=False,
                skip_blank_lines=False,
                keep_default_na=False,
                na_values=[""],
            )
        # pandas gives a second column of a name another one.
        frame.columns = pd.Index(_records(path)[0].fields)
        # Blank lines at the end are nothing; between two rows, something may be missing.
        filled = np.flatnonzero(frame.notna().any(axis="columns"))
        return frame.iloc[: filled[-1] + 1 if filled.size else 0]
    except FileNotFoundError:
        raise FeedFileError(str(path), None, "no such file") from None
    except pd.errors.ParserWarning:
        reason = "rows have more fields than the header"
        raise FeedFileError(str(path), None, f"cannot be read: {reason}") from None
    except (OSError, EOFError, ValueError, zlib.error) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
        raise FeedFileError(str(path), None, f"cannot be read: {reason}") from error


class _Record(NamedTuple):
    line: int
    fields: list[str]


def _records(path: Path, count: int = 1) -> list[_Record]:
    """Return the first records of a CSV file with the lines that they begin in.

    What is in quotes may go over several lines.
    """
    found: list[_Record] = []
    with get_handle(path, "r", encoding="utf-8-sig", compression="infer") as handles:
        reader = csv.reader(iter(handles.handle))
        while len(found) < count:
            found.append(_Record(reader.line_num + 1, next(reader)))
    return found


class _RowCheck:
    """Turns columns into numbers and refuses the first bad row with its line."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def refuse(self, bad: pd.Series, reason: str, *shown: pd.Series) -> None:
        """Raise for the first row that is bad, if any; `{}` in the reason shows its values."""
        rows = np.flatnonzero(bad.to_numpy(dtype=bool))
        if rows.size:
            row = int(rows[0])
            values = ("(empty)" if pd.isna(s.iloc[row]) else s.iloc[row] for s in shown)
            raise FeedFileError(str(self._path), self._line_of(row), reason.format(*values))

    def _line_of(self, row: int) -> int:
        if _is_parquet(self._path):
            return row + 1
        # The header is a record as well.
        return _records(self._path, row + 2)[-1].line

    def timestamps(self, text: pd.Series) -> pd.Series:
        """Return nanoseconds since the epoch."""
        stamps = pd.to_datetime(text, utc=True, errors="coerce", format="ISO8601")
        # Also of no time at all; pandas makes that of one out of its range, or does not.
        self.refuse(
            ~stamps.between(_EARLIEST, _LATEST),
            "timestamp {} is not a date or time of the years 1678 to 2261, "
            "such as 2026-02-22 or 2026-02-22T10:00:00Z",
            text,
        )
        since_epoch: pd.Series = stamps.dt.as_unit("ns").astype("int64")
        return since_epoch

    def symbols(self, text: pd.Series) -> pd.Series:
        """Return symbols without surrounding blanks."""
        stripped = text.astype(object).where(text.notna(), "").astype(str).str.strip()
        self.refuse(stripped == "", "symbol is empty")
        known = {symbol for symbol in stripped.unique() if is_symbol(symbol)}
        self.refuse(~stripped.isin(known), f"symbol {{!r}} is not {ALLOWED}", stripped)
        return stripped.astype(object)

    def numbers(self, name: str, text: pd.Series, least: str | None) -> pd.Series:
        """Return finite numbers: "above 0", "0 or more", or any."""
        values = pd.to_numeric(text, errors="coerce").astype("float64")
        self.refuse(values.isna() | values.abs().eq(np.inf), f"{name} {{}} is not a number", text)
        if least == "above 0":
            self.refuse(
                values <= 0, f"{name} {{}} is not above 0 (--allow-negative takes it)", text
            )
        elif least:
            self.refuse(values < 0, f"{name} {{}} is negative", text)
        return values


def _with_session_columns(ticks: pd.DataFrame) -> pd.DataFrame:
    """Add the reference price of each tick's day and add up its volume."""
    day = ticks["timestamp"] // (24 * 3600 * 10**9)
    by_day = ticks.groupby([ticks["symbol"], day], sort=True)
    days = by_day.agg(first_open=("open", "first"), close=("price", "last"))
    previous_close = days.groupby(level="symbol")["close"].shift()
    days["reference"] = previous_close.fillna(days["first_open"])
    keys = pd.MultiIndex.from_arrays([ticks["symbol"], day])
    volume = by_day["volume"].cumsum()
    return ticks.assign(
        reference=days["reference"].reindex(keys).to_numpy(), volume=_whole_where_possible(volume)
    )


def _whole_where_possible(volume: pd.Series) -> pd.Series:
    """Return 64-bit whole numbers unless some volume is a fraction or beyond them."""
    if (volume % 1 == 0).all() and volume.max() < 2**63:
        return volume.astype("int64")
    return volume
