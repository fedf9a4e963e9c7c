"""Two-time questions: what was so at one time, as it was known at another, and what changed since.

    bootstrap_books(admin_conn)                    # once in a database, by an administrator
    books = TwoTimes(store)
    books.pnl(tx_time=five_past_ten, valid_time=ten)
    for each in books.changes(five_past_ten, valid_time=ten):
        print(each.line())

`valid_time` is the market's: executions count from when they were executed. `tx_time` is the
store's: what was recorded by then is known. A bust counts as never having been once it is known,
and a `Split` of the store as having been at its time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from decimal import Decimal
from fractions import Fraction
from importlib.resources import files
from typing import Any

import psycopg2
import pyarrow as pa
from psycopg2 import sql

from store.admin.roles import OWNER, repeated, transaction
from store.base import Storable
from store.client import StoreClient
from trading.corporate_actions import Action
from trading.engine import LimitsRecord, OrderRecord
from trading.errors import ReplayError
from trading.numbers import Number, to_decimal
from trading.replay.split_books import SplitBook, money, split_books
from trading.specification import InstrumentSpec
from trading.ticks import BarRecipe, TickStore
from trading.times import nanoseconds

__all__ = ["AsOf", "BookEvent", "ChangedFigure", "PnlAt", "TwoTimes", "bootstrap_books"]

# One bootstrap at a time in a database; the number means nothing else.
_LOCK = 7_021_415_131
_STEPS = ("0001_books.sql", "0002_blocks.sql")
_VERSION = len(_STEPS)
_PNL = (
    "SELECT * FROM trading_books.pnl(%s, %s, %s, %s, %s, %s::text[], %s::numeric[], %s::numeric[])"
)
_FILLS = "SELECT * FROM trading_books.fills(%s, %s, %s, %s, %s, %s::text[])"
_SPLITS = "SELECT * FROM trading_books.splits(%s, %s)"
_SPLIT_CHANGES = "SELECT * FROM trading_books.split_changes(%s, %s, %s)"
_CHANGES = "SELECT * FROM trading_books.changes(%s, %s, %s, %s, %s, %s)"
_FIGURES = ("net", "cost", "realized", "unrealized", "fees", "income", "total")
_ORDER_FIELDS = ("status", "order_quantity", "filled_quantity", "limit_price", "stop_price")
_BAR_FIELDS = ("open", "high", "low", "close", "volume", "state")
_MOST_SHOWN = 3
# Later than anything is known or valid from; what is known at the end of time is known no longer.
_EVER = datetime(9999, 12, 31, tzinfo=timezone.utc)


@repeated
def bootstrap_books(admin_conn: Any) -> None:
    """Make or update the typed tables of executions in a database; nothing where they are there.

    `admin_conn` is an administrator's. What is in the log by then is taken in at once, which locks
    out writers meanwhile. ReplayError where the tables are of a newer program.
    """
    with transaction(admin_conn) as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
        cursor.execute("SELECT obj_description(to_regnamespace('trading_books'), 'pg_namespace')")
        (found,) = cursor.fetchone() or (None,)
        version = int(found or 0)
        if version > _VERSION:
            raise ReplayError(
                f"the books of this database are of version {version}, this program knows "
                f"{_VERSION}; update the program"
            )
        if version == _VERSION:
            return
        owner = sql.Identifier(OWNER)
        if version == 0:
            cursor.execute(sql.SQL("CREATE SCHEMA trading_books AUTHORIZATION {}").format(owner))
        cursor.execute(sql.SQL("SET LOCAL ROLE {}").format(owner))
        for step in _STEPS[version:]:
            cursor.execute((files("trading.replay") / "sql" / step).read_text(encoding="utf-8"))
        cursor.execute("SELECT trading_books.rebuild()")
        cursor.execute(f"COMMENT ON SCHEMA trading_books IS '{_VERSION}'")
        cursor.execute("RESET ROLE")


@dataclass(frozen=True)
class PnlAt:
    """Position and P&L of an account, run, strategy and symbol, in the instrument's currency.

    Realized and unrealized are before fees; `total` is after fees and with income. Without a price
    of what is open, both of the latter are None. Dividends have no strategy: they are a row of
    their own under an empty one.
    """

    account: str
    run: str
    strategy: str
    symbol: str
    net: Decimal
    cost: Decimal
    realized: Decimal
    unrealized: Decimal | None
    fees: Decimal
    income: Decimal
    fills: int

    @property
    def total(self) -> Decimal | None:
        """All of it in one amount."""
        if self.unrealized is None:
            return None
        return self.realized + self.unrealized - self.fees + self.income

    @property
    def key(self) -> tuple[str, str, str, str]:
        """Account, run, strategy and symbol."""
        return self.account, self.run, self.strategy, self.symbol


@dataclass(frozen=True)
class BookEvent:
    """What became known: a FILL, BUST, CORRECTION, DIVIDEND, LIEU, SPLIT, ORDER, LIMITS or BAR.

    DELETED is a record that was deleted, MOVED one that is now of another book or a later time.
    `entity_id` and `version` name it in the log; bars are kept elsewhere and have a version alone.
    """

    what: str
    subject: str
    entity_id: str
    version: int
    known_at: datetime
    valid_at: datetime
    by: str = ""
    detail: str = ""

    def line(self) -> str:
        """Return it as a text."""
        by = f" by {self.by}" if self.by else ""
        return f"{self.what} {self.subject}{self.detail} known {self.known_at.isoformat()}{by}"


@dataclass(frozen=True)
class ChangedFigure:
    """A figure that is another one now than was known then, with the events that changed it."""

    table: str
    key: tuple[str, ...]
    figure: str
    before: Any
    after: Any
    events: tuple[BookEvent, ...]

    def line(self) -> str:
        """Return it as a text."""
        because = "; ".join(each.line() for each in self.events[:_MOST_SHOWN])
        if len(self.events) > _MOST_SHOWN:
            because += f"; and {len(self.events) - _MOST_SHOWN} more"
        name = " ".join(part for part in self.key if part)
        return f"{self.table} {name} {self.figure}: {self.before} -> {self.after} ({because})"


@dataclass(frozen=True)
class AsOf:
    """All of the trading projections at one pair of times."""

    tx_time: datetime
    valid_time: datetime
    pnl: list[PnlAt]
    orders: list[OrderRecord]
    limits: list[LimitsRecord]
    bars: pa.Table | None = None

    @property
    def positions(self) -> list[PnlAt]:
        """What was held."""
        return [each for each in self.pnl if each.net]


@dataclass
class TwoTimes:
    """Asks the store, as the user of a client: rows that he may not see count in no figure.

    `specs` give multipliers, 1 without them. `bars` of a tick store give prices where none are
    given: the last close by the valid time, as it was known. With `owner` only records of that user
    count, such as those of the login by which the engine writes: what others share under the same
    account and run does not.
    """

    store: StoreClient
    specs: Mapping[str, InstrumentSpec] = field(default_factory=dict)
    ticks: TickStore | None = None
    recipe: BarRecipe | str = "1m"
    owner: str | None = None

    # --- at one pair of times ---------------------------------------------------------------------

    def pnl(
        self,
        tx_time: datetime | None = None,
        valid_time: datetime | None = None,
        *,
        account: str | None = None,
        run: str | None = None,
        prices: Mapping[str, Number] | None = None,
    ) -> list[PnlAt]:
        """Return positions and P&L at a valid time, as known at a time; now where none is given.

        Lots are first in, first out by the time of execution: what the books would have said at
        `valid_time` had all that is known been known in time. Splits turn the lots before them into
        more or fewer shares at the same cost; a fraction of a share goes where `specs` say how
        small a size can be. ReplayError where the database has no books.
        """
        tx, valid = self._times(tx_time, valid_time)
        known = dict(prices or {})
        if prices is None and self.ticks is not None:
            known = self._closes(tx_time, valid)
        symbols = sorted({*known, *self.specs})
        multipliers = [_multiplier(self.specs.get(each)) for each in symbols]
        exact = [None if s not in known else to_decimal(known[s], f"price of {s}") for s in symbols]
        times = tx or _EVER, valid or _EVER
        rows = self._read(_PNL, (account, run, self.owner, *times, symbols, multipliers, exact))
        found = [PnlAt(*row) for row in rows]
        splits = self._splits(*times, {each.symbol for each in found if each.fills})
        if splits:
            of_split = self._split_pnl(
                splits, (account, run, self.owner, *times), dict(zip(symbols, exact, strict=True))
            )
            found = [each for each in found if each.symbol not in splits or not each.fills]
            found = sorted(found + of_split, key=lambda each: each.key)
        return found

    def as_of(
        self,
        tx_time: datetime | None = None,
        valid_time: datetime | None = None,
        *,
        account: str | None = None,
        run: str | None = None,
        prices: Mapping[str, Number] | None = None,
        symbols: Sequence[str] | None = None,
        bars_from: Any = None,
    ) -> AsOf:
        """Return P&L, positions, orders, limits and bars at one pair of times.

        Bars are those of the tick store that end by the valid time and start at `bars_from`.
        """
        tx, valid = self._times(tx_time, valid_time)
        asked = {"account": account, "run": run}
        bars = None
        if self.ticks is not None and bars_from is not None:
            bars = self.bars(symbols, bars_from, tx_time, valid)
        now = datetime.now(timezone.utc)
        return AsOf(
            tx or now,
            valid or now,
            self.pnl(tx, valid, **asked, prices=prices),
            self._records(OrderRecord, tx, valid, **asked),
            self._records(LimitsRecord, tx, valid, **asked),
            bars,
        )

    def bars(
        self,
        symbols: Sequence[str] | None,
        start: Any,
        tx_time: datetime | None = None,
        valid_time: datetime | None = None,
    ) -> pa.Table:
        """Return the bars that start at a time or later and end by the valid time, as known."""
        if self.ticks is None:
            raise ReplayError("bars: give `ticks`, the tick store whose bars are meant")
        _, given = self._times(tx_time, valid_time)
        valid = given or datetime.now(timezone.utc)
        table = self.ticks.bars.read(symbols, self.recipe, start, valid, known_at=tx_time)
        ends = table["end"].cast(pa.int64()).to_pylist()
        limit = int(valid.timestamp() * 1_000_000) * 1_000
        return table.take(pa.array([n for n, end in enumerate(ends) if end <= limit], pa.int64()))

    # --- what changed since -----------------------------------------------------------------------

    def changes(
        self,
        since: datetime,
        until: datetime | None = None,
        valid_time: datetime | None = None,
        *,
        account: str | None = None,
        run: str | None = None,
        prices: Mapping[str, Number] | None = None,
        symbols: Sequence[str] | None = None,
        bars_from: Any = None,
    ) -> list[ChangedFigure]:
        """Return every figure at a valid time that is another one by `until` than it was `since`.

        Both are times of knowing; `until` is now, `valid_time` is `since`, where none is given.
        """
        given, _ = self._times(until, None)
        until_tx = given or max(datetime.now(timezone.utc), since)
        valid = since if valid_time is None else valid_time
        asked = {"account": account, "run": run}
        found = self._changed_pnl(since, until_tx, valid, asked, prices)
        for cls, table, name, fields in (
            (OrderRecord, "orders", "order_id", _ORDER_FIELDS),
            (LimitsRecord, "limits", "limits_id", ("limits_json",)),
        ):
            found += self._changed_records(cls, table, name, fields, since, until_tx, valid, asked)
        if self.ticks is not None and bars_from is not None:
            found += self._changed_bars(symbols, bars_from, since, until_tx, valid)
        return found

    def _changed_pnl(
        self,
        since: datetime,
        until: datetime,
        valid: datetime,
        asked: Mapping[str, str | None],
        prices: Mapping[str, Number] | None,
    ) -> list[ChangedFigure]:
        then = {each.key: each for each in self.pnl(since, valid, **asked, prices=prices)}
        now = {each.key: each for each in self.pnl(until, valid, **asked, prices=prices)}
        events: dict[tuple[str, str, str, str], list[BookEvent]] = {}
        values = asked["account"], asked["run"], self.owner, since, until, valid
        rows = self._read(_CHANGES, values)
        for row in rows:
            events.setdefault(row[:4], []).append(_book_event(row))
        of_splits = self._split_events(since, until, valid)
        found = []
        for key in sorted({*then, *now}):
            before, after = then.get(key), now.get(key)
            for figure in _FIGURES:
                was = Decimal(0) if before is None else getattr(before, figure)
                is_now = Decimal(0) if after is None else getattr(after, figure)
                if was != is_now:
                    of_key = (*events.get(key, ()), *of_splits.get(key[3], ()))
                    found.append(ChangedFigure("pnl", key, figure, was, is_now, of_key))
        return found

    def _split_events(
        self, since: datetime, until: datetime, valid: datetime
    ) -> dict[str, list[BookEvent]]:
        """Return what became known of splits up to a valid time, by symbol."""
        until_valid = min(valid, datetime.now(timezone.utc))
        found: dict[str, list[BookEvent]] = {}
        for row in self._read(_SPLIT_CHANGES, (since, until, until_valid)):
            what, symbol, entity_id, version, known_at, valid_at, by, new, old = row
            event = BookEvent(
                *(what, symbol, str(entity_id), version, known_at, valid_at, by),
                f" {new} for {old}",
            )
            found.setdefault(symbol, []).append(event)
        return found

    def _changed_records(
        self,
        cls: type[Any],
        table: str,
        name: str,
        fields: Sequence[str],
        since: datetime,
        until: datetime,
        valid: datetime,
        asked: Mapping[str, str | None],
    ) -> list[ChangedFigure]:
        then, now = (self._entities(cls, tx, valid, **asked) for tx in (since, until))
        what = "ORDER" if cls is OrderRecord else "LIMITS"
        found = []
        for entity_id in sorted({*then, *now}):
            before, after = then.get(entity_id), now.get(entity_id)
            newest: Any = after or before
            changed = [
                (figure, getattr(before, figure, None), getattr(after, figure, None))
                for figure in fields
                if getattr(before, figure, None) != getattr(after, figure, None)
            ]
            if not changed:
                continue
            event = self._record_event(what, getattr(newest, name), before, after, until)
            key = (newest.account, newest.run, getattr(newest, name))
            for figure, was, is_now in changed:
                found.append(ChangedFigure(table, key, figure, was, is_now, (event,)))
        return found

    def _record_event(
        self, what: str, subject: str, before: Any, after: Any, until: datetime
    ) -> BookEvent:
        """Return the version of a record that changed it; a tombstone where it was deleted."""
        newest = after
        if newest is None:
            versions = self.store.history(type(before), before._store_entity_id)
            newest = [each for each in versions if each._store_tx_time <= until][-1]
            what = "DELETED" if newest._store_event_type == "DELETED" else what
        return BookEvent(
            what,
            subject,
            newest._store_entity_id,
            newest._store_version or 0,
            newest._store_tx_time,
            newest._store_valid_from,
            newest._store_updated_by or "",
        )

    def _changed_bars(
        self,
        symbols: Sequence[str] | None,
        start: Any,
        since: datetime,
        until: datetime,
        valid: datetime,
    ) -> list[ChangedFigure]:
        then, now = (
            {
                (row["symbol"], row["start"]): row
                for row in self.bars(symbols, start, tx, valid).to_pylist()
            }
            for tx in (since, until)
        )
        found = []
        for key in sorted({*then, *now}):
            before, after = then.get(key, {}), now.get(key, {})
            newest = after or before
            event = BookEvent(
                *("BAR", f"{key[0]} {key[1].isoformat()}", ""),
                newest["version"],
                newest["recorded"],
                newest["start"],
            )
            name = (key[0], key[1].isoformat())
            for figure in _BAR_FIELDS:
                was, is_now = before.get(figure), after.get(figure)
                if was != is_now:
                    found.append(ChangedFigure("bars", name, figure, was, is_now, (event,)))
        return found

    # --- splits -----------------------------------------------------------------------------------

    def _splits(
        self, tx: datetime, valid: datetime, symbols: set[str]
    ) -> Mapping[str, Sequence[Action]]:
        """Return the splits of symbols up to a valid time, as known at a time."""
        # What is announced for later is no split yet.
        until = min(valid, datetime.now(timezone.utc))
        found: dict[str, list[Action]] = {}
        for symbol, at, new, old in self._read(_SPLITS, (tx, until)):
            if symbol in symbols:
                found.setdefault(symbol, []).append(Action(nanoseconds(at), new, old))
        return found

    def _split_pnl(
        self,
        splits: Mapping[str, Sequence[Action]],
        asked: tuple[Any, ...],
        prices: Mapping[str, Decimal | None],
    ) -> list[PnlAt]:
        """Return the P&L of symbols that were split, execution by execution."""
        units = {
            symbol: Fraction(1, 10 ** self.specs[symbol].size_decimals)
            for symbol in splits
            if symbol in self.specs
        }
        rows = self._read(_FILLS, (*asked, sorted(splits)))
        return [
            self._pnl_of(key, book, prices.get(key[3]))
            for key, book in split_books(rows, splits, units).values()
        ]

    def _pnl_of(
        self, key: tuple[str, str, str, str], book: SplitBook, price: Decimal | None
    ) -> PnlAt:
        factor = Fraction(_multiplier(self.specs.get(key[3])))
        unrealized: Decimal | None = Decimal(0)
        if book.net:
            value = None if price is None else (book.net * Fraction(price) - book.cost) * factor
            unrealized = None if value is None else money(value)
        return PnlAt(
            *key,
            money(book.net),
            money(book.cost * factor),
            money(book.realized * factor),
            unrealized,
            money(book.fees),
            Decimal(0),
            book.fills,
        )

    # --- inside -----------------------------------------------------------------------------------

    def _times(
        self, tx_time: datetime | None, valid_time: datetime | None
    ) -> tuple[datetime | None, datetime | None]:
        for name, given in (("tx_time", tx_time), ("valid_time", valid_time)):
            if given is not None and given.tzinfo is None:
                raise ReplayError(f"{name} {given} has no time zone; give it one, such as UTC")
        if tx_time is not None:
            # Whoever began to write before then has ended: the answer stays the same.
            self.store._connection.settle(tx_time)
        return tx_time, valid_time

    def _records(
        self,
        cls: type[Storable],
        tx: datetime | None,
        valid: datetime | None,
        **asked: str | None,
    ) -> list[Any]:
        filters = {name: value for name, value in asked.items() if value is not None}
        found = self.store.query(cls, filters or None, limit=None, tx_time=tx, valid_time=valid)
        return [each for each in found if self.owner in (None, each._store_owner)]

    def _entities(
        self, cls: type[Storable], tx: datetime | None, valid: datetime | None, **asked: str | None
    ) -> dict[str, Any]:
        """Return records by their entity's id."""
        return {each._store_entity_id: each for each in self._records(cls, tx, valid, **asked)}

    def _closes(self, tx_time: datetime | None, given: datetime | None) -> dict[str, Number]:
        assert self.ticks is not None
        valid = given or datetime.now(timezone.utc)
        start = valid.replace(hour=0, minute=0, second=0, microsecond=0)
        table = self.bars(None, start, tx_time, valid)
        rows = zip(table["symbol"].to_pylist(), table["close"].to_pylist(), strict=True)
        return {symbol: close for symbol, close in rows if close is not None}

    def _read(self, statement: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        try:
            with self.store.conn.cursor() as cursor:
                cursor.execute(statement, values)
                return list(cursor.fetchall())
        except (psycopg2.errors.InvalidSchemaName, psycopg2.errors.UndefinedFunction) as error:
            raise ReplayError(
                "this database has no books for two-time questions; an administrator makes them "
                "with trading.replay.two_times.bootstrap_books(admin_conn)"
            ) from error


def _multiplier(spec: InstrumentSpec | None) -> Decimal:
    if spec is None:
        return Decimal(1)
    return Decimal(spec.multiplier).scaleb(-spec.multiplier_decimals)


def _book_event(row: Sequence[Any]) -> BookEvent:
    what, subject, entity_id, version, known_at, valid_at, quantity, price, amount, by = row[4:]
    detail = f" {quantity:+f} at {price:f}" if quantity is not None else f" {amount:f}"
    return BookEvent(what, subject, str(entity_id), version, known_at, valid_at, by, detail)
