"""All two-time answers against a brute force over everything that was written, in random order.

Executions that are told late, busts, corrections, dividends and splits that become known later,
orders, changes of limits and revisions of bars. The blocks of the books are a few versions long.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st

from store.client import StoreClient
from store.server import ObjectStoreServer
from tests.store.desk import ADMIN_PASSWORD
from tests.store.fixtures import database
from tests.trading.replay.test_two_times import record_of
from trading.bars import bars
from trading.engine import CashRecord, LimitsRecord, OrderRecord
from trading.instruments import Split
from trading.positions import Fill, LotBook
from trading.replay.two_times import AsOf, ChangedFigure, TwoTimes, bootstrap_books
from trading.specification import InstrumentSpec, specify
from trading.ticks import TickStore

EXAMPLES = max(settings.default.max_examples // 20, 1)  # type: ignore[attr-defined]
OPEN = datetime(2026, 2, 20, 14, 30, tzinfo=timezone.utc)
MINUTES = 45
RUN = "live"
# Splits of shares do not come out even: the book of lots counts money in whole units.
EXACT = Decimal("1e-6")
_numbers = itertools.count(1)


def minute(number: int, more: int = 0) -> datetime:
    return OPEN + timedelta(minutes=number, microseconds=more)


@dataclass
class Written:
    """A version of something: since when it is known, and what it says."""

    known: datetime
    kind: str
    entity: str
    valid: datetime
    value: Any


@dataclass
class Day:
    """Writes random events of an account of its own, and remembers all of them."""

    store: StoreClient
    ticks: TickStore
    rng: random.Random
    number: int = field(default_factory=lambda: next(_numbers))
    log: list[Written] = field(default_factory=list)
    records: dict[str, list[Any]] = field(default_factory=dict)
    prices: dict[int, list[int]] = field(default_factory=dict)
    busts: dict[str, datetime] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.account = f"A{self.number}"
        self.symbols = [f"X{self.number}", f"Y{self.number}"]
        self.specs: dict[str, InstrumentSpec] = {
            self.symbols[0]: specify(self.symbols[0]),
            self.symbols[1]: specify(self.symbols[1], multiplier=50),
        }
        self.marks = {self.symbols[0]: "101.5", self.symbols[1]: "99.25"}

    def do(self, what: str) -> None:
        actions: dict[str, Callable[[], None]] = {
            "fill": self.fill, "bust": self.bust, "correct": self.correct, "delete": self.delete,
            "cash": self.cash, "split": self.split, "order": self.order, "limits": self.limits,
            "bar": self.bar,
        }  # fmt: skip
        actions[what]()

    def _minute(self) -> int:
        return self.rng.randint(0, MINUTES - 1)

    def _wrote(self, kind: str, record: Any, valid: datetime, value: Any) -> None:
        known, entity = record._store_tx_time, record._store_entity_id
        self.log.append(Written(known, kind, entity, valid, value))

    def _any(self, kind: str) -> Any:
        found = self.records.get(kind)
        return self.rng.choice(found) if found else None

    # --- executions -------------------------------------------------------------------------------

    def fill(self) -> None:
        at = len(self.log)
        executed = minute(self._minute(), at)
        drawn = Fill(
            *(self.account, self.rng.choice("ab"), self.rng.choice(self.symbols), f"o{at}"),
            *(f"f{at}", self.rng.choice(("BUY", "SELL")), self.rng.randint(1, 9)),
            *(f"{self.rng.randint(9_000, 9_400) / 100}", f"{self.rng.randint(0, 99) / 100}"),
        )
        record = record_of(drawn, executed)
        self.store.write(record, valid_from=executed)
        self.records.setdefault("fill", []).append(record)
        self._wrote("fill", record, executed, drawn)

    def bust(self) -> None:
        record = self._taken("fill")
        if record is not None:
            record.status = "BUSTED"
            self.store.update(record)
            self._wrote("fill", record, record.executed_at, None)

    def correct(self) -> None:
        record = self._taken("fill")
        if record is None:
            return
        record.status, record.corrected_id = "CORRECTED", f"k{len(self.log)}"
        record.corrected_quantity = Decimal(self.rng.randint(1, 9))
        record.corrected_price, record.corrected_fee_amount = Decimal("92.25"), Decimal(1)
        self.store.update(record)
        drawn = Fill(
            *(self.account, record.strategy, record.symbol, record.order_id, record.corrected_id),
            *(record.side, record.corrected_quantity, "92.25", 1),
        )
        self._wrote("fill", record, record.executed_at, drawn)
        if self.rng.random() < 0.5:
            # The correction is busted as well: it has a record of its own.
            gone = record_of(drawn, record.executed_at)
            gone.status = "BUSTED"
            self.store.write(gone)
            assert gone._store_tx_time is not None
            self.busts[record.corrected_id] = gone._store_tx_time

    def delete(self) -> None:
        kind = self.rng.choice(("fill", "cash", "split", "order"))
        record = self._taken(kind)
        if record is not None:
            # An order is no more from a time on; executions, income and splits never were.
            since = minute(self._minute()) if kind == "order" else OPEN
            self.store.delete(record, valid_from=since)
            self._wrote(kind, record, since, None)

    def _taken(self, kind: str) -> Any:
        record = self._any(kind)
        if record is not None:
            self.records[kind].remove(record)
        return record

    # --- all else ---------------------------------------------------------------------------------

    def cash(self) -> None:
        symbol, since = self.rng.choice(self.symbols), minute(self._minute())
        amount = Decimal(self.rng.randint(1, 50))
        cash = CashRecord(self.account, RUN, "USD", amount, "DIVIDEND", symbol)
        self.store.write(cash, valid_from=since)
        self.records.setdefault("cash", []).append(cash)
        self._wrote("cash", cash, since, (symbol, amount))

    def split(self) -> None:
        record = self._any("split")
        new, old = self.rng.choice(((2, 1), (3, 2), (1, 2), (4, 1)))
        if record is None or self.rng.random() < 0.5:
            symbol, at = self.rng.choice(self.symbols), minute(self._minute())
            record = Split(symbol, new, old, at)
            self.store.write(record, valid_from=at)
            self.records.setdefault("split", []).append(record)
        else:
            record.ratio_new, record.ratio_old = new, old
            self.store.update(record, valid_from=record.timestamp)
        self._wrote("split", record, record.timestamp, (record.symbol, new, old))

    def order(self) -> None:
        record, since = self._any("order"), minute(self._minute())
        if record is None or self.rng.random() < 0.4:
            record = OrderRecord(self.account, RUN, f"o{len(self.log)}", status="ACCEPTED")
            record.symbol, record.side = self.symbols[0], "BUY"
            self.store.write(record, valid_from=since)
            self.records.setdefault("order", []).append(record)
        else:
            record.status = self.rng.choice(("FILLED", "CANCELLED", "PARTIALLY_FILLED"))
            record.filled_quantity = Decimal(self.rng.randint(0, 5))
            self.store.update(record, valid_from=since)
        value = (record.order_id, record.status, record.filled_quantity)
        self._wrote("order", record, since, value)

    def limits(self) -> None:
        since = minute(self._minute())
        text = f'{{"max_position":"{self.rng.randint(1, 99)}"}}'
        name = f"limits-{len(self.log)}"
        record = LimitsRecord(self.account, RUN, name, text, "ann", "bob", since)
        self.store.write(record, valid_from=since)
        self._wrote("limits", record, since, (name, text))

    def bar(self) -> None:
        """A bar, or one more trade in it that came late."""
        at = self._minute()
        seen = self.prices.setdefault(at, [])
        seen.append(self.rng.randint(9_000, 9_400))
        table = pa.table(
            {
                "timestamp": pa.array([minute(at, n) for n in range(len(seen))]).cast(
                    pa.timestamp("ns", "UTC")
                ),
                "symbol": [self.symbols[0]] * len(seen),
                "price": [each / 100 for each in seen],
                "size": [1.0] * len(seen),
            }
        )
        assert self.ticks.bars.keep(bars(table, "1m"), "1m") == 1
        kept = self.ticks.bars.read(self.symbols[0], "1m", minute(at), minute(at + 1))
        known = kept["recorded"][0].as_py().astimezone(timezone.utc)
        entity = f"bar {at}"
        value = (minute(at), seen[-1] / 100, len(seen))
        self.log.append(Written(known, "bar", entity, minute(at + 1), value))


# --- the brute force ------------------------------------------------------------------------------


def newest(day: Day, kind: str, tx: datetime, valid: datetime) -> dict[str, Any]:
    """What each thing of a kind said at two times: its last version that holds."""
    found: dict[str, Any] = {}
    for each in day.log:
        if each.kind == kind and each.known <= tx and each.valid <= valid:
            found[each.entity] = each
    return {key: each for key, each in found.items() if each.value is not None}


def expected_pnl(day: Day, tx: datetime, valid: datetime) -> dict[Any, Any]:
    """Book all executions that count into a book of lots, and split it on the way."""
    end = datetime.max.replace(tzinfo=timezone.utc)
    last: dict[str, Written] = {}
    for each in day.log:
        if each.kind == "fill" and each.known <= tx:
            executed = last[each.entity].valid if each.entity in last else each.valid
            last[each.entity] = Written(each.known, "fill", each.entity, executed, each.value)
    happened = [
        (each.valid, 1, each.value)
        for each in last.values()
        if each.value is not None
        and each.valid <= valid
        and not day.busts.get(each.value.fill_id, end) <= tx
    ]
    happened += [(each.valid, 0, each.value) for each in newest(day, "split", tx, valid).values()]
    book = LotBook(instruments=day.specs, money_decimals=10)
    counts: dict[Any, int] = {}
    for _, is_fill, value in sorted(happened, key=lambda each: each[:2]):
        if is_fill:
            book.apply(value)
            key = (value.account, RUN, value.strategy, value.symbol)
            counts[key] = counts.get(key, 0) + 1
        else:
            book.split(*value)
    found: dict[Any, Any] = {}
    for position in book._positions.values():
        spec = day.specs[position.symbol]
        key = (position.account, RUN, position.strategy, position.symbol)
        value = position.unrealized(spec.price_units(day.marks[position.symbol]))
        amounts = (position.cost, position.realized, value if position.net else 0, position.fees)
        found[key] = (spec.size(position.net), *map(book._money, amounts), counts[key])
    return found


def income_of(day: Day, tx: datetime, valid: datetime) -> dict[str, Decimal]:
    found: dict[str, Decimal] = {}
    for each in newest(day, "cash", tx, valid).values():
        symbol, amount = each.value
        found[symbol] = found.get(symbol, Decimal(0)) + amount
    return found


def check(day: Day, got: AsOf, tx: datetime, valid: datetime) -> None:
    expected = expected_pnl(day, tx, valid)
    rows = {each.key: each for each in got.pnl if each.fills}
    assert rows.keys() == expected.keys()
    for key, (net, *amounts, count) in expected.items():
        row = rows[key]
        assert (row.net, row.fills) == (net, count), (key, tx, valid)
        seen = (row.cost, row.realized, row.unrealized, row.fees)
        for mine, theirs in zip(seen, amounts, strict=True):
            assert mine is not None
            assert abs(mine - theirs) < EXACT, (key, seen, amounts, tx, valid)
    income = {each.symbol: each.income for each in got.pnl if not each.fills}
    assert income == income_of(day, tx, valid)
    assert {each.key for each in got.positions} == {k for k, row in rows.items() if row.net}
    orders = {(each.order_id, each.status, each.filled_quantity) for each in got.orders}
    assert orders == {each.value for each in newest(day, "order", tx, valid).values()}
    limits = {(each.limits_id, each.limits_json) for each in got.limits}
    assert limits == {each.value for each in newest(day, "limits", tx, valid).values()}
    assert got.bars is not None
    kept = {
        (row["start"].astimezone(timezone.utc), float(row["close"]), row["count"])
        for row in got.bars.to_pylist()
    }
    assert kept == {each.value for each in newest(day, "bar", tx, valid).values()}


def figures(got: AsOf) -> dict[Any, Any]:
    """Every figure of an answer by table, key and name."""
    found: dict[Any, Any] = {}
    for each in got.pnl:
        names = ("net", "cost", "realized", "unrealized", "fees", "income", "total")
        found |= {("pnl", each.key, name): getattr(each, name) for name in names}
    for order in got.orders:
        key = (order.account, order.run, order.order_id)
        for name in ("status", "filled_quantity"):
            found["orders", key, name] = getattr(order, name)
    for limits in got.limits:
        key = (limits.account, limits.run, limits.limits_id)
        found["limits", key, "limits_json"] = limits.limits_json
    assert got.bars is not None
    for row in got.bars.to_pylist():
        found["bars", (row["symbol"], row["start"].isoformat()), "close"] = row["close"]
    return found


def check_changes(changes: list[ChangedFigure], then: AsOf, now: AsOf) -> None:
    """What changed is the difference of both answers; each figure has events from in between."""
    before, after = figures(then), figures(now)

    def value(of: dict[Any, Any], key: Any) -> Any:
        return of.get(key, Decimal(0) if key[0] == "pnl" else None)

    differs = {key for key in before | after if value(before, key) != value(after, key)}
    told = {(each.table, each.key, each.figure): each for each in changes}
    names = {figure for _, _, figure in before | after}
    assert {key for key in told if key[2] in names} == differs
    for key, each in told.items():
        if key[2] in names:
            assert (each.before, each.after) == (value(before, key), value(after, key))
        assert each.events, each
        for event in each.events:
            assert then.tx_time < event.known_at <= now.tx_time, each.line()


KINDS = (
    *("fill",) * 8, "bust", "bust", "correct", "correct", "delete", "delete", "cash", "split",
    "order", "order", "limits", "bar", "bar",
)  # fmt: skip
DAYS = st.lists(st.sampled_from(KINDS), min_size=8, max_size=30)
OF_ALL = [
    *("fill", "fill", "bar", "order", "fill", "limits", "split", "fill", "correct", "bust"),
    *("cash", "order", "bar", "delete", "fill", "correct", "split", "delete", "order"),
]


@pytest.fixture(scope="module")
def written(store_server: ObjectStoreServer) -> Iterator[tuple[StoreClient, TickStore]]:
    """A database of the module, in which each example has an account of its own."""
    with database(store_server, "two_times_property") as desk:
        admin = desk.admin()
        bootstrap_books(admin)
        with admin.cursor() as cursor:
            cursor.execute(
                "CREATE OR REPLACE FUNCTION trading_books.block_versions() RETURNS integer "
                "LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT 4 $$"
            )
            with TickStore({**desk.info, "user": "postgres", "password": ADMIN_PASSWORD}) as ticks:
                yield desk.client("alice"), ticks
            cursor.execute("SELECT count(*) FROM trading_books.block")
            blocks = cursor.fetchone()[0]
    assert blocks > 0


# Each example takes a while in a database, and says all that it did: nothing is made smaller.
@settings(max_examples=EXAMPLES, phases=(Phase.explicit, Phase.reuse, Phase.generate))
@given(kinds=DAYS, seed=st.integers(0, 2**32))
@example(kinds=OF_ALL * 2, seed=3)
def test_every_two_time_answer_is_that_of_a_brute_force(
    written: tuple[StoreClient, TickStore], kinds: list[str], seed: int
) -> None:
    store, ticks = written
    rng = random.Random(seed)
    day = Day(store, ticks, rng)
    for kind in kinds:
        day.do(kind)
    two = TwoTimes(store, day.specs, ticks)
    asked: dict[str, Any] = {
        "account": day.account, "prices": day.marks, "symbols": day.symbols[:1], "bars_from": OPEN,
    }  # fmt: skip
    moments = [*(each.known for each in day.log), *day.busts.values()]
    last = max(moments, default=datetime.now(timezone.utc))
    valid = minute(MINUTES + 60)
    for _ in range(2):
        since, until = sorted((rng.choice(moments or [last]), rng.choice(moments or [last])))
        then, now = (two.as_of(tx, valid, **asked) for tx in (since, until))
        check(day, then, since, valid)
        check(day, now, until, valid)
        check_changes(two.changes(since, until, valid, **asked), then, now)
        valid = minute(rng.randint(0, MINUTES), rng.randint(0, 60))
    check(day, two.as_of(None, valid, **asked), last, valid)
