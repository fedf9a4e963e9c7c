"""Replay of recorded prices from CSV or Parquet files, checked before the first tick is played."""

from __future__ import annotations

import math
import re
import warnings
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from server.errors import FeedFileError
from server.feed import LongArray, TickBatch

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
    where they name no zone. The reference price of a day is
    the last price of the day before; on the first day it is the open, or else the first price.
    Volume adds up within a day. Without quotes, bid and ask are one basis point around the price.

    Args:
        paths: CSV (`.csv`, also compressed) or Parquet (`.parquet`) files.
        speed: how many times faster than recorded to play; infinity plays without waiting.

    Raises:
        FeedFileError: a file is missing or unreadable, a column is missing, a symbol's
            timestamps go backwards, or a row is bad; it names file, line and reason.
    """

    name = "replay"

    def __init__(self, paths: Sequence[str | Path], *, speed: float = 1.0) -> None:
        if not paths:
            raise ValueError("a replay needs at least one file")
        if not speed > 0:
            raise ValueError(f"speed must be above 0, or inf to play without waiting, not {speed}")
        self.speed = speed
        frames = [_load(Path(path)) for path in paths]
        # A stable sort keeps the order of the file among ticks of one instant.
        ticks = pd.concat(frames).sort_values("timestamp", kind="stable", ignore_index=True)
        self._ticks = _with_session_columns(ticks)
        first = self._ticks.drop_duplicates("symbol").sort_values("symbol")
        self.opening_prices = dict(zip(first["symbol"], first["reference"], strict=True))
        self.symbols = tuple(self.opening_prices)

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


def _load(path: Path) -> pd.DataFrame:
    """Read a file into the columns of COLUMN_NAMES, each row checked."""
    raw, first_line = _read(path)
    found: dict[str, str] = {}
    for ours, names in COLUMN_NAMES.items():
        matches = [c for c in raw.columns if str(c).strip().lower() in names]
        if len(matches) > 1:
            seen = " and ".join(f"'{match}'" for match in matches)
            raise FeedFileError(str(path), None, f"both {seen} could be the {ours}; keep one")
        if matches:
            found[ours] = matches[0]
    missing = [ours for ours in REQUIRED if ours not in found]
    if missing:
        wanted = " and ".join(f"'{m}' (or {', '.join(COLUMN_NAMES[m][1:])})" for m in missing)
        seen = ", ".join(map(str, raw.columns)) or "nothing"
        raise FeedFileError(str(path), None, f"no column {wanted}; the file has: {seen}")
    if raw.empty:
        raise FeedFileError(str(path), None, "no rows under the header")
    check = _RowCheck(path, first_line)
    frame = pd.DataFrame(index=raw.index)
    frame["timestamp"] = check.timestamps(raw[found["timestamp"]])
    if "symbol" in found:
        frame["symbol"] = check.symbols(raw[found["symbol"]])
    else:
        symbol = re.sub(r"(\.(csv|parquet|pq))?(\.(gz|bz2|xz|zip|zst))?$", "", path.name)
        frame["symbol"] = pd.Series(symbol, index=raw.index, dtype=object)
    frame["price"] = check.numbers("price", raw[found["price"]], positive=True)
    for name in ("open", "bid", "ask"):
        if name in found:
            frame[name] = check.numbers(name, raw[found[name]], positive=True)
    if "volume" in found:
        frame["volume"] = check.numbers("volume", raw[found["volume"]], positive=False)
    else:
        frame["volume"] = 0.0
    frame["bid"] = frame["bid"] if "bid" in frame else frame["price"] * (1 - HALF_SPREAD)
    frame["ask"] = frame["ask"] if "ask" in frame else frame["price"] * (1 + HALF_SPREAD)
    frame["open"] = frame["open"] if "open" in frame else frame["price"]
    check.refuse(frame["bid"] > frame["ask"], "bid {} is above ask {}", frame["bid"], frame["ask"])
    check.refuse(
        frame.groupby("symbol", sort=False)["timestamp"].diff() < 0,
        "timestamp {} is before the one that {} has above it; sort the file by time",
        raw[found["timestamp"]],
        frame["symbol"],
    )
    return frame


def _read(path: Path) -> tuple[pd.DataFrame, int]:
    """Return the file's columns and the line number of its first row."""
    try:
        if path.suffix.lower() in (".parquet", ".pq"):
            frame: pd.DataFrame = pd.read_parquet(path)
            # pandas keeps the dates of daily prices in the index.
            return frame.reset_index() if frame.index.name else frame, 1
        with warnings.catch_warnings():
            # A row with more fields than the header would be cut off with a warning.
            warnings.simplefilter("error", pd.errors.ParserWarning)
            # Text first: a number that does not parse must be shown as it was written; and
            # "NA" is a company.
            return pd.read_csv(
                path,
                dtype=str,
                index_col=False,
                skip_blank_lines=False,
                keep_default_na=False,
                na_values=[""],
            ), 2
    except FileNotFoundError:
        raise FeedFileError(str(path), None, "no such file") from None
    except pd.errors.ParserWarning:
        reason = "rows have more fields than the header"
        raise FeedFileError(str(path), None, f"cannot be read: {reason}") from None
    except (OSError, EOFError, ValueError, zlib.error) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
        raise FeedFileError(str(path), None, f"cannot be read: {reason}") from error


class _RowCheck:
    """Turns columns into numbers and refuses the first bad row with its line."""

    def __init__(self, path: Path, first_line: int) -> None:
        self._path = str(path)
        self._first_line = first_line

    def refuse(self, bad: pd.Series, reason: str, *shown: pd.Series) -> None:
        """Raise for the first row that is bad, if any; `{}` in the reason shows its values."""
        rows = np.flatnonzero(bad.to_numpy(dtype=bool))
        if rows.size:
            row = int(rows[0])
            values = ("(empty)" if pd.isna(s.iloc[row]) else s.iloc[row] for s in shown)
            raise FeedFileError(self._path, row + self._first_line, reason.format(*values))

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
        return stripped.astype(object)

    def numbers(self, name: str, text: pd.Series, *, positive: bool) -> pd.Series:
        """Return finite numbers above 0, or not below it."""
        values = pd.to_numeric(text, errors="coerce").astype("float64")
        self.refuse(values.isna() | values.abs().eq(np.inf), f"{name} {{}} is not a number", text)
        if positive:
            self.refuse(values <= 0, f"{name} {{}} is not above 0", text)
        else:
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
    return ticks.assign(
        reference=days["reference"].reindex(keys).to_numpy(),
        volume=by_day["volume"].cumsum().round().astype("int64"),
    )
