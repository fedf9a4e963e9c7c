"""What is known of an account's run at a time: its fills, and what its journal says beside them.

Everything is read as it was known at one moment, so that it is the same each time that it is read.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from hashlib import sha256
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

from store.client import StoreClient
from trading.engine.journal import JournalSegment
from trading.engine.records import CashRecord, FillRecord, PositionRecord
from trading.journal import decode_input
from trading.journal import inputs as given
from trading.journal.reports import FillCorrected
from trading.kernel import TickColumns
from trading.numbers import MONEY_DECIMALS, Number, from_units, to_decimal
from trading.settlement.dates import day_end
from trading.specification import InstrumentSpec
from trading.times import nanoseconds

__all__ = ["Facts", "RunFill", "gather"]

_NONE = np.iinfo(np.int64).min
_OF_ACCOUNT = ("START", "TRANSFER")


@dataclass(frozen=True)
class RunFill:
    """A fill that counts: one that was not taken back, with its corrected numbers."""

    fill_id: str
    order_id: str
    strategy: str
    symbol: str
    side: int
    quantity: Decimal
    price: Decimal
    fees: Decimal
    time: int


@dataclass
class Facts:
    """All that the end of a day is computed from.

    `fills` are those executed before the day's end, in order; `later` counts the rest. `held` is
    the engine's own net size by strategy and symbol, now; `net` that of all fills.
    """

    account: str
    run: str
    day: date
    end: int
    base: str = ""
    specs: dict[str, InstrumentSpec] = field(default_factory=dict)
    fills: list[RunFill] = field(default_factory=list)
    later: list[RunFill] = field(default_factory=list)
    cash: dict[str, Decimal] = field(default_factory=dict)
    actions: list[given.SplitShares | given.CashDividend] = field(default_factory=list)
    late_actions: list[given.SplitShares | given.CashDividend] = field(default_factory=list)
    rates: dict[str, tuple[int, int]] = field(default_factory=dict)
    marks: dict[str, tuple[Decimal, str]] = field(default_factory=dict)
    held: dict[tuple[str, str], Decimal] = field(default_factory=dict)
    _corrections: list[FillCorrected] = field(default_factory=list)
    _last: dict[str, tuple[int, int]] = field(default_factory=dict)

    def basis(self, *more: object) -> str:
        """Return a hash over everything that the day's figures follow from."""
        content = [
            *(self.account, self.run, self.day, self.end, self.base, more),
            [
                (f.fill_id, f.strategy, f.symbol, f.side, f.quantity, f.price, f.fees, f.time)
                for f in self.fills
            ],
            sorted(self.cash.items()),
            [repr(each) for each in self.actions],
            sorted(self.rates.items()),
            sorted(self.marks.items()),
        ]
        return sha256(json.dumps(content, default=str).encode()).hexdigest()


def gather(
    store: StoreClient,
    account: str,
    run: str,
    day: date,
    zone: ZoneInfo,
    known: datetime,
    marks: Mapping[str, Number],
) -> Facts:
    """Read what was known at a time about an account's run up to the end of a day.

    `marks` are closing prices that are given; others are the last ones in the run's journal.
    """
    facts = Facts(account, run, day, day_end(day, zone))
    where = {"account": account, "run": run}
    when: dict[str, Any] = {"limit": None, "tx_time": known, "on_unreadable": "raise"}
    _read_journal(store, facts, known)
    _read_fills(facts, store.query(FillRecord, where, valid_time=known, **when))
    for cash in store.query(CashRecord, where, valid_time=known, **when):
        # What the account began with counts from its first fill on, whenever that was.
        is_before = cash.cash_reason == "START" or (
            cash.timestamp is not None and nanoseconds(cash.timestamp) < facts.end
        )
        if is_before and cash.cash_reason in _OF_ACCOUNT:
            facts.cash[cash.currency] = facts.cash.get(cash.currency, Decimal(0)) + cash.amount
    for position in store.query(PositionRecord, where, valid_time=known, **when):
        facts.held[position.strategy, position.symbol] = position.net_quantity
    for symbol, (_, units) in facts._last.items():
        spec = facts.specs.get(symbol)
        if spec is not None:
            facts.marks[symbol] = spec.price(units), "JOURNAL"
    for symbol, price in marks.items():
        facts.marks[symbol] = to_decimal(price, f"the mark of {symbol}"), "GIVEN"
    return facts


def _read_fills(facts: Facts, records: Any) -> None:
    """Put together the fills that count, of records and of what the journal corrected."""
    found: dict[str, RunFill] = {}
    busted: set[str] = set()
    for record in records:
        if record.status == "BUSTED":
            busted.add(record.fill_id)
        # A bust of a fill that was long ago has a record of its own, which says no more.
        if not record.symbol or record.executed_at is None:
            continue
        found[record.fill_id] = RunFill(
            record.fill_id,
            record.order_id,
            record.strategy,
            record.symbol,
            1 if record.side == "BUY" else -1,
            record.fill_quantity,
            record.fill_price,
            record.fee_amount,
            nanoseconds(record.executed_at),
        )
    for correction in facts._corrections:
        before = found.pop(correction.fill_id, None)
        spec = None if before is None else facts.specs.get(before.symbol)
        if before is not None and spec is not None:
            found[correction.corrected_id] = RunFill(
                correction.corrected_id,
                before.order_id,
                before.strategy,
                before.symbol,
                before.side,
                spec.size(correction.quantity),
                spec.price(correction.price),
                from_units(correction.fees, MONEY_DECIMALS),
                before.time,
            )
    fills = [each for each in found.values() if each.fill_id not in busted]
    fills.sort(key=lambda each: (each.time, each.fill_id))
    facts.fills = [each for each in fills if each.time < facts.end]
    facts.later = [each for each in fills if each.time >= facts.end]


def _read_journal(store: StoreClient, facts: Facts, known: datetime) -> None:
    segments = store.query(
        JournalSegment,
        {"account": facts.account, "run": facts.run},
        limit=None,
        on_unreadable="raise",
    )
    for segment in sorted(segments, key=lambda each: each.segment):
        for version in store.history(
            JournalSegment, segment._store_entity_id or "", on_unreadable="raise"
        ):
            if version._store_tx_time is not None and version._store_tx_time > known:
                return
            for entry in version.group().entries:
                if not entry.error:
                    _take(facts, decode_input(entry.data))


def _take(facts: Facts, event: Any) -> None:
    """Take what an input of the journal says of the run."""
    if isinstance(event, given.TickBatch):
        _take_ticks(facts, TickColumns.from_batch(event))
    elif isinstance(event, given.Tick):
        time = event.time if event.event_time is None else event.event_time
        if event.price is not None:
            _see(facts, event.symbol, time, event.price)
    elif isinstance(event, given.Bar):
        _see(facts, event.symbol, event.end - 1, event.close)
    elif isinstance(event, given.DefineInstrument):
        facts.specs[event.spec.symbol] = event.spec
    elif isinstance(event, given.OpenAccount) and event.account == facts.account:
        facts.base = facts.base or event.base
    elif isinstance(event, (given.SplitShares, given.CashDividend)):
        (facts.actions if event.time < facts.end else facts.late_actions).append(event)
    elif isinstance(event, given.SetRate) and event.time < facts.end:
        facts.rates[event.currency] = event.numerator, event.denominator
    elif isinstance(event, FillCorrected) and event.account == facts.account:
        facts._corrections.append(event)


def _take_ticks(facts: Facts, ticks: TickColumns) -> None:
    times = ticks.times if ticks.event_times is None else ticks.event_times
    for code, symbol in enumerate(ticks.symbols):
        rows = np.flatnonzero((ticks.codes == code) & (times < facts.end) & (ticks.prices != _NONE))
        if len(rows):
            last = rows[np.argmax(times[rows])]
            _see(facts, symbol, int(times[last]), int(ticks.prices[last]))


def _see(facts: Facts, symbol: str, time: int, price: int) -> None:
    known = facts._last.get(symbol)
    if time < facts.end and (known is None or time >= known[0]):
        facts._last[symbol] = time, price
