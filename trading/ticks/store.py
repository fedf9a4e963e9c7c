"""TickStore: keeps ticks in PostgreSQL, each once, and reads them by symbol and time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any

import pyarrow as pa

from store.cli.progress import progress as progress_bar
from store.client import StoreClient
from trading.bars.columns import as_arrow, instant_ns
from trading.bars.interval import parse_duration_ns
from trading.corporate_actions import CorporateActions
from trading.errors import SequenceConflict, TickError
from trading.ticks import files
from trading.ticks.appending import DAY_NS, Appender
from trading.ticks.bar_store import BarStore
from trading.ticks.batch import read_batch
from trading.ticks.login import Login, Server
from trading.ticks.reading import EARLIEST, LATEST, layout, read
from trading.ticks.schema import grant_ticks, keep_ticks_for, revoke_ticks

Symbols = str | Iterable[str] | None
_HOUR_NS = 3_600_000_000_000
_REQUIRED = ("timestamp", "symbol")


@dataclass(frozen=True)
class TickStatus:
    """What a tick store holds of the symbols that the user may read.

    `size_bytes` is of the whole store with its indexes. `newest` is the latest tick's time, in
    nanoseconds since 1970 UTC, and `lag_s` how many seconds that is before now; both are None where
    nothing is held.
    """

    trades: int
    quotes: int
    symbols: int
    days: int
    first_day: date | None
    last_day: date | None
    size_bytes: int
    newest: int | None
    lag_s: float | None
    conflicts: int
    keep_days: int | None


@dataclass(frozen=True)
class Conflict:
    """A tick that was refused because another one has its source sequence."""

    symbol: str
    source: str
    sequence: int
    refused: str
    seen_at: datetime


class TickStore:
    """Ticks in PostgreSQL: partitioned by day, each kept once, readable by whom they are granted.

    `client_or_dsn`: a StoreClient (its user logs in), a dsn or psycopg2's parameters as a mapping,
    or an ObjectStoreServer (its administrator logs in). An administrator's first login makes the
    schema `trading_ticks`. Threads may share a store; each call is a transaction of its own.
    """

    def __init__(self, client_or_dsn: StoreClient | str | Mapping[str, Any] | Server) -> None:
        self._login = Login(client_or_dsn)
        self._appender = Appender(self._login)
        # The bars that are kept beside the ticks, under the same rights.
        self.bars = BarStore(self._login)

    def __enter__(self) -> TickStore:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Log out."""
        self._login.close()

    def append(
        self,
        ticks: Any,
        *,
        source: str = "default",
        allow_negative: bool = False,
        lateness: str | int = "0s",
        max_ahead: str | int | None = "60s",
        round_to: int | None = None,
    ) -> int:
        """Keep a table of ticks and return how many were new; durable when this returns.

        `timestamp` (UTC, ns), `symbol`, `price` and `size`; optionally `bid`, `ask`, `bid_size`,
        `ask_size`, `sequence` and `received`. A row without a price is a quote. Prices and sizes
        are exact, with up to 9 decimal places; floats may be rounded to `round_to` places. A
        `sequence`, counted by the `source` for each symbol (gaps are fine), makes a tick known: a
        repeated one is kept once. Ticks without it are all kept.

        TickError, and nothing is kept, for a bad row: NaN, negative (prices may be by
        `allow_negative`), beyond 64 bits, after the clock by more than `max_ahead`, or a symbol's
        times (those of receipt, where they are given) going back by more than `lateness`.
        SequenceConflict for other ticks under a known sequence; the rest is kept then.
        """
        table = as_arrow(ticks)
        if not len(table):
            missing = [name for name in _REQUIRED if name not in table.column_names]
            if missing:
                raise TickError(f"a table of ticks needs {', '.join(missing)}")
            return 0
        ahead = None if max_ahead is None else parse_duration_ns(max_ahead, name="max_ahead")
        batch = read_batch(
            table,
            allow_negative=allow_negative,
            latest=None if ahead is None else time.time_ns() + ahead,
            lateness=parse_duration_ns(lateness, name="lateness"),
            round_to=round_to,
        )
        return self._appender.append(batch, source)

    def read(
        self,
        symbols: Symbols = None,
        start: Any = None,
        end: Any = None,
        *,
        source: str | None = None,
        exact: bool = True,
        actions: CorporateActions | None = None,
    ) -> pa.Table:
        """The ticks of symbols (None: of all) in [start, end) that the user may read.

        In the order of time, then of the sequence. Prices and sizes are decimals, with the places
        of the finest symbol, or floats with `exact=False`. A missing start or end is open.
        `actions` gives the view adjusted by splits and dividends, in floats.
        """
        low, high = _range(start, end)
        exact = exact and actions is None
        with self._login.transaction() as cursor:
            # Ticks that are gathered into blocks meanwhile are read once.
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            table = read(cursor, layout(cursor, _names(symbols), source), low, high, exact=exact)
        if actions is None:
            return table
        return actions.adjust(table, lambda symbol, at: self._last_price(symbol, at, source))

    def _last_price(self, symbol: str, before: int, source: str | None) -> float | None:
        """The price of the last trade before a time."""
        for day in reversed(self.days(symbol)):
            begin = _day_ns(day)
            if begin < before:
                end = min(begin + DAY_NS, before)
                table = self.read(symbol, begin, end, source=source, exact=False)
                prices = table["price"].drop_null()
                if len(prices):
                    return float(prices[-1].as_py())
        return None

    def symbols(self, symbols: Symbols = None) -> list[str]:
        """Which of the symbols (None: of all) have ticks that the user may read, by name."""
        with self._login.transaction() as cursor:
            return list(layout(cursor, _names(symbols), None).names)

    def newest(self, source: str | None = None) -> int | None:
        """The time of the latest tick of a source (None: of any), in nanoseconds since 1970 UTC."""
        with self._login.transaction() as cursor:
            cursor.execute("SELECT max(newest) FROM trading_ticks.held(NULL, %s)", [source])
            (newest,) = cursor.fetchone()
        return None if newest is None else int(newest)

    def days(self, symbols: Symbols = None) -> list[date]:
        """The days (UTC) of which ticks of the symbols (None: of any) are kept, in their order."""
        with self._login.transaction() as cursor:
            cursor.execute(
                "SELECT DISTINCT day FROM trading_ticks.held(%s, NULL) ORDER BY day",
                [_names(symbols)],
            )
            return [day for (day,) in cursor.fetchall()]

    def held(self, symbols: Symbols = None) -> dict[str, tuple[date, int, int]]:
        """What is kept of symbols (None: of all): first day (UTC), newest time in ns, and rows."""
        with self._login.transaction() as cursor:
            cursor.execute(
                "SELECT name, min(day), max(newest), sum(trades + quotes)::bigint "
                "FROM trading_ticks.held(%s, NULL) GROUP BY name ORDER BY name",
                [_names(symbols)],
            )
            return {name: (day, newest, rows) for name, day, newest, rows in cursor.fetchall()}

    def export(
        self,
        path: str | Path,
        symbols: Symbols = None,
        start: Any = None,
        end: Any = None,
        *,
        source: str | None = None,
        progress: bool = False,
    ) -> int:
        """Write ticks to a new Parquet (zstd, delta-coded integers) or CSV file; returns how many.

        All of it is of one snapshot. `progress` shows a bar on a terminal.
        """
        files.check_suffix(Path(path))
        names, (low, high) = _names(symbols), _range(start, end)
        with self._login.transaction() as cursor, _shown(f"export {path}", progress) as show:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            found = layout(cursor, names, source)
            schema = _full_schema(read(cursor, found, 0, 0, exact=True))
            cursor.execute(
                "SELECT day, sum(trades + quotes)::bigint FROM trading_ticks.held(%s, %s) "
                "GROUP BY day ORDER BY day",
                [names, source],
            )
            days = [(_day_ns(day), count) for day, count in cursor.fetchall()]
            days = [d for d in days if d[0] < high and d[0] + DAY_NS > low]

            def tables() -> Iterator[pa.Table]:
                for number, (day, count) in enumerate(days):
                    # Small days at once, others hour by hour.
                    step = DAY_NS if count < files.ROWS else _HOUR_NS
                    for hour in range(max(day, low), min(day + DAY_NS, high), step):
                        until = min(hour + step, day + DAY_NS, high)
                        table = read(cursor, found, hour, until, exact=True)
                        if len(table):
                            yield _filled(table, schema)
                    show(number + 1, len(days))

            return files.write(Path(path), schema, tables())

    def load(
        self,
        path: str | Path,
        *,
        source: str = "default",
        progress: bool = False,
        on_progress: Callable[[int], object] | None = None,
        **options: Any,
    ) -> int:
        """Append the ticks of a Parquet or CSV file, piece by piece; returns how many were new.

        Each piece is kept in a transaction of its own; `on_progress` is told how many rows are
        kept. Loading again after an interruption keeps nothing twice where ticks have sequences.
        `options` are those of `append`. A SequenceConflict comes at the end, once all is loaded.
        """
        new, rows, conflicts = 0, 0, 0
        first: SequenceConflict | None = None
        with _shown(f"load {path}", progress) as show:
            for table, done, whole in files.read(Path(path)):
                for part in files.alike(table):
                    try:
                        new += self.append(part, source=source, **options)
                    except SequenceConflict as conflict:
                        first = first or conflict
                        new += conflict.new or 0
                        conflicts += conflict.conflicts or 0
                    except TickError as error:
                        raise TickError(
                            f"{path}, in the piece after {rows} rows: {error}",
                            error.row,
                            error.rows,
                        ) from error
                rows += len(table)
                if on_progress is not None:
                    on_progress(rows)
                show(done, whole)
        if first is not None:
            raise SequenceConflict(f"{path}: {first}", new, conflicts) from first
        return new

    def status(self) -> TickStatus:
        """Size, rows, days and lag."""
        with self._login.transaction() as cursor:
            cursor.execute(
                "SELECT coalesce(sum(trades), 0)::bigint, coalesce(sum(quotes), 0)::bigint, "
                "count(DISTINCT name), count(DISTINCT day), min(day), max(day), max(newest) "
                "FROM trading_ticks.held(NULL, NULL)"
            )
            trades, quotes, symbols, days, first, last, newest = cursor.fetchone()
            cursor.execute("SELECT bytes, keep_days FROM trading_ticks.overview()")
            size, keep = cursor.fetchone()
            cursor.execute("SELECT count(*) FROM trading_ticks.conflicts()")
            (conflicts,) = cursor.fetchone()
        lag = None if newest is None else (time.time_ns() - newest) / 1e9
        return TickStatus(
            trades, quotes, symbols, days, first, last, size, newest, lag, conflicts, keep
        )

    def conflicts(self) -> list[Conflict]:
        """Ticks that were refused because another one has their sequence, oldest first."""
        with self._login.transaction() as cursor:
            cursor.execute("SELECT * FROM trading_ticks.conflicts()")
            return [Conflict(*row) for row in cursor.fetchall()]

    def maintain(self) -> int:
        """Drop days that are older than `keep_days`, and gather the ticks of days that are over.

        Old days are dropped by the writer of a new day, too. Ticks that came a few at a time have a
        row each; gathering them into blocks, by symbol and time, takes seconds per million and
        makes reads several times faster. It holds up late ticks of that day meanwhile, and readers
        never. Returns how many partitions were gathered.
        """
        with self._login.transaction() as cursor:
            cursor.execute("SELECT trading_ticks.drop_old()")
        with self._login.transaction() as cursor:
            cursor.execute("SELECT trading_ticks.unsealed()")
            leaves = [leaf for (leaf,) in cursor.fetchall()]
        for leaf in leaves:
            for step in ("make_blocks", "seal"):
                with self._login.transaction() as cursor:
                    cursor.execute(f"SELECT trading_ticks.{step}(%s)", [leaf])
        return len(leaves)

    def keep_days(self, days: int | None) -> None:
        """Keep so many days back from today (UTC), and drop older ones; None keeps all.

        For administrators; it holds for the whole store.
        """
        with self._login.connection() as connection:
            keep_ticks_for(connection, days)
        with self._login.transaction() as cursor:
            cursor.execute("SELECT trading_ticks.drop_old()")

    def grant(self, user: str, symbols: Symbols = None, *, write: bool = False) -> None:
        """Let a user read the ticks of symbols, or of all for None; `write` lets him append.

        For administrators. A writer may append ticks of any symbol.
        """
        with self._login.connection() as connection:
            grant_ticks(connection, user, _names(symbols), write=write)

    def revoke(self, user: str, symbols: Symbols = None, *, write: bool = False) -> None:
        """Take reading of symbols, or all of it for None, from a user; with `write` appending too.

        For administrators.
        """
        with self._login.connection() as connection:
            revoke_ticks(connection, user, _names(symbols), write=write)


def _names(symbols: Symbols) -> list[str] | None:
    if symbols is None:
        return None
    return [symbols] if isinstance(symbols, str) else list(symbols)


def _range(start: Any, end: Any) -> tuple[int, int]:
    low = EARLIEST if start is None else instant_ns(start)
    high = LATEST if end is None else instant_ns(end)
    return low, high


def _day_ns(day: date) -> int:
    epoch = date(1970, 1, 1)
    return (day - epoch) // timedelta(days=1) * DAY_NS


def _shown(what: str, wanted: bool) -> AbstractContextManager[Callable[[int, int], None]]:
    return progress_bar(what) if wanted else nullcontext(lambda _done, _whole: None)


def _full_schema(empty: pa.Table) -> pa.Schema:
    """All columns that a piece of the file may have."""
    schema = empty.schema.append(pa.field("sequence", pa.int64()))
    return schema.append(pa.field("received", pa.timestamp("ns", "UTC")))


def _filled(table: pa.Table, schema: pa.Schema) -> pa.Table:
    for field in schema:
        if field.name not in table.column_names:
            table = table.append_column(field, pa.nulls(len(table), field.type))
    return table.select(schema.names)
