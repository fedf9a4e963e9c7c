"""What an engine writes to the store: one class for each kind of record.

    client.query(OrderRecord, {"account": "ACC", "run": "live", "status": "ACCEPTED"})
    client.history(OrderRecord, entity_id)        # the states of an order, one version each

Every record carries the account and the run that made it. Prices, sizes and money are Decimal;
times are the engine's, except `executed_at`, which is the market's.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from store.base import Storable

__all__ = [
    "RECORDS",
    "AlertRecord",
    "CashRecord",
    "DecisionRecord",
    "FillRecord",
    "LimitsRecord",
    "MatchRecord",
    "OrderRecord",
    "PositionRecord",
    "SignalRecord",
    "TradingStateRecord",
]

_ZERO = Decimal(0)


@dataclass
class OrderRecord(Storable):
    """An order; each of its states is a version, and `event` is what led to it."""

    account: str = ""
    run: str = ""
    order_id: str = ""
    strategy: str = ""
    symbol: str = ""
    side: str = ""
    quantity: Decimal = _ZERO
    kind: str = ""
    limit_price: Decimal | None = None
    stop_price: Decimal | None = None
    time_in_force: str = ""
    status: str = ""
    event: str = ""
    filled_quantity: Decimal = _ZERO
    detail: str = ""
    group_id: str = ""
    group_role: str = ""
    parent_id: str = ""
    command_id: str = ""
    tag: str = ""
    timestamp: datetime | None = None


@dataclass
class FillRecord(Storable):
    """An execution; `status` is BOOKED, BUSTED or CORRECTED (by the fill `corrected_id`).

    `note` is LATE, CROSSED, OVERFILL or UNKNOWN where it was one.
    """

    account: str = ""
    run: str = ""
    fill_id: str = ""
    order_id: str = ""
    strategy: str = ""
    symbol: str = ""
    side: str = ""
    quantity: Decimal = _ZERO
    price: Decimal = _ZERO
    fees: Decimal = _ZERO
    is_maker: bool = False
    status: str = "BOOKED"
    corrected_id: str = ""
    note: str = ""
    executed_at: datetime | None = None
    timestamp: datetime | None = None


@dataclass
class MatchRecord(Storable):
    """A piece of a fill that closed a piece of a lot; `status` is MADE or VOIDED."""

    account: str = ""
    run: str = ""
    strategy: str = ""
    symbol: str = ""
    side: str = ""
    quantity: Decimal = _ZERO
    open_fill_id: str = ""
    open_order_id: str = ""
    close_fill_id: str = ""
    close_order_id: str = ""
    open_value: Decimal = _ZERO
    close_value: Decimal = _ZERO
    open_fees: Decimal = _ZERO
    close_fees: Decimal = _ZERO
    realized_pnl: Decimal = _ZERO
    status: str = "MADE"
    timestamp: datetime | None = None


@dataclass
class PositionRecord(Storable):
    """A position with its totals; with `net_quantity` 0 it is flat."""

    account: str = ""
    run: str = ""
    strategy: str = ""
    symbol: str = ""
    net_quantity: Decimal = _ZERO
    cost: Decimal = _ZERO
    realized_pnl: Decimal = _ZERO
    fees: Decimal = _ZERO
    income: Decimal = _ZERO
    timestamp: datetime | None = None


@dataclass
class CashRecord(Storable):
    """Cash that no fill moved: START, TRANSFER, DIVIDEND or LIEU."""

    account: str = ""
    run: str = ""
    currency: str = ""
    amount: Decimal = _ZERO
    reason: str = ""
    subject: str = ""
    timestamp: datetime | None = None


@dataclass
class SignalRecord(Storable):
    """A strategy's opinion; confidence is from 0 to 1."""

    account: str = ""
    run: str = ""
    signal_id: str = ""
    strategy: str = ""
    strategy_version: str = ""
    parameters_hash: str = ""
    symbol: str = ""
    action: str = ""
    size_hint: Decimal = _ZERO
    confidence: Decimal = _ZERO
    reason: str = ""
    timestamp: datetime | None = None


@dataclass
class DecisionRecord(Storable):
    """What was decided about a signal (PICKER), an order (RISK), a place or a weight.

    The kinds RESERVATION and WEIGHT are the picker's. `code` is OK or why not; of a refusal by a
    risk rule, `limit_text`, `seen_text` and `allowed_text` say which limit, what it saw and what
    is allowed.
    """

    account: str = ""
    run: str = ""
    kind: str = ""
    subject_id: str = ""
    order_id: str = ""
    code: str = ""
    quantity: Decimal = _ZERO
    limits_id: str = ""
    limit_text: str = ""
    seen_text: str = ""
    allowed_text: str = ""
    detail: str = ""
    timestamp: datetime | None = None


@dataclass
class LimitsRecord(Storable):
    """Limits of an account, as JSON; they hold for the period in which the record is valid."""

    account: str = ""
    run: str = ""
    limits_id: str = ""
    limits_json: str = ""
    requested_by: str = ""
    approved_by: str = ""
    timestamp: datetime | None = None


@dataclass
class TradingStateRecord(Storable):
    """Whether an account is ACTIVE, REDUCING or HALTED, why, and by whom."""

    account: str = ""
    run: str = ""
    status: str = ""
    reason: str = ""
    changed_by: str = ""
    timestamp: datetime | None = None


@dataclass
class AlertRecord(Storable):
    """Something that a person must see."""

    account: str = ""
    run: str = ""
    code: str = ""
    subject_id: str = ""
    message: str = ""
    timestamp: datetime | None = None


RECORDS: tuple[type[Storable], ...] = (
    OrderRecord,
    FillRecord,
    MatchRecord,
    PositionRecord,
    CashRecord,
    SignalRecord,
    DecisionRecord,
    LimitsRecord,
    TradingStateRecord,
    AlertRecord,
)
