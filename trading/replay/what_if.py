"""what_if: a run's inputs with other parameters, limits, fills or code, order by order.

changed = recipe_of(recorded, strategies=[SmaCross(fast=5)], broker=PaperBroker("tick"))
found = what_if(recorded, original, changed)
print(found.text())

Both runs get the same prices and commands. What a venue reported belongs to the orders of the run
that was recorded; a changed run has a simulated broker instead.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import msgspec

from trading.errors import ReplayError
from trading.journal.inputs import Cancel, OpenAccount, Replace, SetLimits
from trading.journal.outputs import FillBooked, FillTakenBack, OrderEvent, OrderOpened, RiskDecision
from trading.journal.reports import BrokerReport
from trading.kernel import Kernel
from trading.numbers import from_units, money_text
from trading.replay.figures import NO_PNL, PnlFigures, pnl_of
from trading.replay.run_journal import Recipe, RecordedRun
from trading.risk import Limits
from trading.times import moment

__all__ = ["Comparison", "OrderDifference", "OrderOutcome", "PnlDifference", "what_if"]

_REPORTS = BrokerReport.__args__
_NO_PRICE = "(no price)"
_BY = ("replay", "replay 2")

# What makes two orders the same one: when, whose, of what, and which of several alike.
_Key = tuple[int, str, str, str, int, int]


@dataclass
class OrderOutcome:
    """An order as one of the two runs has it at the end; sizes and prices are Decimal."""

    order_id: str
    time: int
    account: str
    strategy: str
    symbol: str
    side: str
    kind: str
    quantity: Decimal
    limit: Decimal | None
    stop: Decimal | None
    status: str = "INITIALIZED"
    refusal: str = ""
    filled: Decimal = Decimal(0)
    paid: Decimal = Decimal(0)
    fees: Decimal = Decimal(0)

    @property
    def average_price(self) -> Decimal | None:
        """What a unit of it was filled at on average, None without a fill."""
        return self.paid / self.filled if self.filled else None

    def line(self) -> str:
        """Return the order as a text."""
        price = self.average_price
        at = "" if price is None else f" at {price.normalize():f}"
        why = f" ({self.refusal})" if self.refusal else ""
        limit = "" if self.limit is None else f" {self.limit}"
        return (
            f"{self.side} {self.quantity} {self.symbol} {self.kind}{limit}: {self.status}{why}, "
            f"filled {self.filled}{at}, fees {self.fees.normalize():f}"
        )


@dataclass(frozen=True)
class OrderDifference:
    """An order of the recorded run, of the changed one, or of both with another outcome."""

    key: _Key
    recorded: OrderOutcome | None
    changed: OrderOutcome | None
    fields: tuple[str, ...] = ()

    @property
    def what(self) -> str:
        """GONE (it would not have been sent), NEW, or OTHER (another outcome)."""
        if self.changed is None:
            return "GONE"
        return "NEW" if self.recorded is None else "OTHER"


@dataclass(frozen=True)
class PnlDifference:
    """The P&L of an account, strategy and symbol in both runs."""

    account: str
    strategy: str
    symbol: str
    recorded: PnlFigures
    changed: PnlFigures


@dataclass
class Comparison:
    """What would have been different."""

    orders: list[OrderDifference] = field(default_factory=list)
    same_orders: int = 0
    pnl: list[PnlDifference] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    recorded_digest: str = ""
    changed_digest: str = ""

    def total(self, which: str) -> Decimal | None:
        """The sum of total P&L of `recorded` or `changed`; None where a price is missing."""
        totals = [getattr(each, which).total for each in self.pnl]
        return None if None in totals else sum(totals, Decimal(0))

    def text(self) -> str:
        """Return it as text: orders that differ, then P&L against P&L."""
        lines = [*self.notes, f"{self.same_orders} orders are the same, {len(self.orders)} differ"]
        for each in self.orders:
            time = moment(each.key[0]).isoformat()
            lines.append(f"{each.what:5} {time} {each.key[2] or '(by hand)'}")
            lines += [
                f"      {name:8} {side.line()}"
                for name, side in (("recorded", each.recorded), ("changed", each.changed))
                if side is not None
            ]
        lines.append("P&L after fees: account, strategy, symbol, recorded, changed")
        for row in self.pnl:
            then, now = (money_text(side.total, _NO_PRICE) for side in (row.recorded, row.changed))
            lines.append(f"  {row.account} {row.strategy or '-'} {row.symbol} {then} {now}")
        totals = (money_text(self.total(each), _NO_PRICE) for each in ("recorded", "changed"))
        lines.append(f"  all {' '.join(totals)}")
        return "\n".join(lines)


def what_if(
    recorded: RecordedRun,
    original: Recipe,
    changed: Recipe,
    *,
    limits: Limits | None = None,
) -> Comparison:
    """Give both recipes the inputs of a run, and return what differs.

    `limits` take the place of all that the journal sets. Commands that name an order of the
    recorded run mean the same order of the changed one. ReplayError where the original does not
    fold to the journal's digest: compare with what happened, not with something else.
    """
    then, now = _Side(original.kernel()), _Side(changed.kernel())
    keeps_reports = changed.broker is None
    found = Comparison()
    dropped = untranslated = 0
    ids: dict[str, str] = {}
    for each in recorded.inputs():
        if each.error:
            continue
        event: Any = each.event
        then.step(event)
        if isinstance(event, _REPORTS) and not keeps_reports:
            dropped += 1
            continue
        if limits is not None and isinstance(event, SetLimits):
            continue
        if isinstance(event, (Cancel, Replace)) and event.order_id in then.orders:
            known = ids.get(event.order_id)
            if known is None:
                untranslated += 1
                continue
            event = msgspec.structs.replace(event, order_id=known)
        now.step(event)
        if limits is not None and isinstance(event, OpenAccount):
            now.step(_limits(event, limits))
        _pair(then, now, ids)
    if recorded.groups and then.kernel.digest != recorded.digest:
        raise ReplayError(
            f"run {recorded.run} of account {recorded.account} does not fold to its own digest "
            "with the original strategies and settings: give those (see `verify`), then say what "
            "is to be changed"
        )
    if dropped:
        found.notes.append(
            f"{dropped} reports of the venue belong to the recorded orders; in the changed run "
            "the simulated broker says what becomes of an order"
        )
    if untranslated:
        found.notes.append(
            f"{untranslated} commands name orders that the changed run does not have"
        )
    found.recorded_digest, found.changed_digest = then.kernel.digest, now.kernel.digest
    _compare_orders(then, now, found)
    _compare_pnl(then.kernel, now.kernel, found)
    return found


def _limits(opened: OpenAccount, limits: Limits) -> SetLimits:
    text = msgspec.json.encode(limits).decode()
    return SetLimits(opened.time, "", *_BY, opened.account, "replay", text, 0)


def _pair(then: _Side, now: _Side, ids: dict[str, str]) -> None:
    """Note which order of the changed run each new order of the recorded one is."""
    for key in (*then.new, *now.new):
        if key in then.by_key and key in now.by_key:
            ids[then.by_key[key].order_id] = now.by_key[key].order_id
    then.new.clear()
    now.new.clear()


class _Side:
    """One of the two runs: its kernel, and the orders that it has had."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.orders: dict[str, OrderOutcome] = {}
        self.by_key: dict[_Key, OrderOutcome] = {}
        self.new: list[_Key] = []
        self._fills: dict[str, FillBooked] = {}

    def step(self, event: Any) -> None:
        for output in self.kernel.step(event):
            if isinstance(output, OrderOpened):
                self._opened(output)
            elif isinstance(output, OrderEvent):
                self._order(output.order_id).status = output.status
            elif isinstance(output, RiskDecision) and output.code != "OK":
                self._order(output.order_id).refusal = output.code
            elif isinstance(output, FillBooked):
                self._fills[output.fill_id] = output
                self._filled(output, 1)
            elif isinstance(output, FillTakenBack) and output.fill_id in self._fills:
                self._filled(self._fills[output.fill_id], -1)

    def _order(self, order_id: str) -> OrderOutcome:
        return self.orders[order_id]

    def _opened(self, output: OrderOpened) -> None:
        terms = output.terms
        spec = self.kernel.market.specs.get(terms.symbol)
        decimals = (0, 0) if spec is None else (spec.price_decimals, spec.size_decimals)
        made = OrderOutcome(
            output.order_id,
            output.time,
            terms.account,
            terms.strategy,
            terms.symbol,
            "BUY" if terms.side > 0 else "SELL",
            terms.kind,
            from_units(terms.quantity, decimals[1]),
            None if terms.limit is None else from_units(terms.limit, decimals[0]),
            None if terms.stop is None else from_units(terms.stop, decimals[0]),
        )
        key: _Key = (output.time, terms.account, terms.strategy, terms.symbol, terms.side, 0)
        while key in self.by_key:
            key = (*key[:5], key[5] + 1)
        self.orders[output.order_id] = self.by_key[key] = made
        self.new.append(key)

    def _filled(self, fill: FillBooked, sign: int) -> None:
        order = self.orders.get(fill.order_id)
        if order is None:
            return  # a fill of an order that was never asked for here
        spec = self.kernel.market.specs[fill.symbol]
        size = spec.size(fill.quantity) * sign
        order.filled += size
        order.paid += size * spec.price(fill.price)
        order.fees += from_units(fill.fees, self.kernel.market.money_decimals) * sign
        if sign > 0 and fill.status:
            order.status = fill.status


_COMPARED = ("kind", "quantity", "limit", "stop", "status", "refusal", "filled", "paid", "fees")


def _compare_orders(then: _Side, now: _Side, found: Comparison) -> None:
    for key in sorted({**then.by_key, **now.by_key}):
        before, after = then.by_key.get(key), now.by_key.get(key)
        if before is not None and after is not None:
            fields = tuple(n for n in _COMPARED if getattr(before, n) != getattr(after, n))
            if not fields:
                found.same_orders += 1
                continue
            found.orders.append(OrderDifference(key, before, after, fields))
        else:
            found.orders.append(OrderDifference(key, before, after))


def _compare_pnl(then: Kernel, now: Kernel, found: Comparison) -> None:
    before, after = pnl_of(then), pnl_of(now)
    for key in sorted({**before, **after}):
        found.pnl.append(PnlDifference(*key, before.get(key, NO_PNL), after.get(key, NO_PNL)))
