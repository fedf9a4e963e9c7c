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
    "ParametersRecord",
    "PositionRecord",
    "SignalRecord",
    "TradingStateRecord",
]

_ZERO = Decimal(0)


@dataclass
class OrderRecord(Storable):
    """An order; a version for each group of the journal that changed it.

    `order_steps` names everything that happened to it in that group, as `INITIALIZED SUBMITTED`,
    and `order_event` the last of it. `limits_id` are the limits that it passed, or was denied by.
    """

    account: str = ""
    run: str = ""
    order_id: str = ""
    strategy: str = ""
    symbol: str = ""
    side: str = ""
    order_quantity: Decimal = _ZERO
    order_kind: str = ""
    limit_price: Decimal | None = None
    stop_price: Decimal | None = None
    time_in_force: str = ""
    status: str = ""
    order_event: str = ""
    order_steps: str = ""
    filled_quantity: Decimal = _ZERO
    order_detail: str = ""
    group_id: str = ""
    group_role: str = ""
    parent_id: str = ""
    command_id: str = ""
    order_tag: str = ""
    limits_id: str = ""
    timestamp: datetime | None = None


@dataclass
class FillRecord(Storable):
    """An execution; `status` is BOOKED, BUSTED or CORRECTED (by the fill `corrected_id`).

    The numbers stay those that were executed; a correction's own are the `corrected_` ones.
    `fill_note` is LATE, CROSSED, OVERFILL or UNKNOWN where it was one.
    """

    account: str = ""
    run: str = ""
    fill_id: str = ""
    order_id: str = ""
    strategy: str = ""
    symbol: str = ""
    side: str = ""
    fill_quantity: Decimal = _ZERO
    fill_price: Decimal = _ZERO
    fee_amount: Decimal = _ZERO
    is_maker: bool = False
    status: str = "BOOKED"
    corrected_id: str = ""
    fill_note: str = ""
    executed_at: datetime | None = None
    timestamp: datetime | None = None
    corrected_quantity: Decimal | None = None
    corrected_price: Decimal | None = None
    corrected_fee_amount: Decimal | None = None


@dataclass
class MatchRecord(Storable):
    """A piece of a fill that closed a piece of a lot; `status` is MADE or VOIDED."""

    account: str = ""
    run: str = ""
    strategy: str = ""
    symbol: str = ""
    direction: str = ""
    match_quantity: Decimal = _ZERO
    open_fill_id: str = ""
    open_order_id: str = ""
    close_fill_id: str = ""
    close_order_id: str = ""
    open_amount: Decimal = _ZERO
    close_amount: Decimal = _ZERO
    open_fee_amount: Decimal = _ZERO
    close_fee_amount: Decimal = _ZERO
    realized_amount: Decimal = _ZERO
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
    cost_amount: Decimal = _ZERO
    realized_amount: Decimal = _ZERO
    fee_amount: Decimal = _ZERO
    income_amount: Decimal = _ZERO
    timestamp: datetime | None = None


@dataclass
class CashRecord(Storable):
    """Cash that no fill moved: START, TRANSFER, DIVIDEND or LIEU."""

    account: str = ""
    run: str = ""
    currency: str = ""
    amount: Decimal = _ZERO
    cash_reason: str = ""
    cash_subject: str = ""
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
    signal_action: str = ""
    hint_quantity: Decimal = _ZERO
    confidence: float = 0.0
    signal_reason: str = ""
    timestamp: datetime | None = None


@dataclass
class DecisionRecord(Storable):
    """What was decided about a signal (PICKER), an order (RISK), a place or a weight.

    The kinds RESERVATION and WEIGHT are the picker's. An order that passed with its whole size has
    no RISK decision: its own record names the limits. `decision_code` is OK or why not; of a
    refusal by a risk rule, `limit_text`, `seen_text` and `allowed_text` say which limit, what it
    saw and what is allowed.
    """

    account: str = ""
    run: str = ""
    decision_kind: str = ""
    subject_id: str = ""
    order_id: str = ""
    decision_code: str = ""
    decided_quantity: Decimal = _ZERO
    limits_id: str = ""
    limit_text: str = ""
    seen_text: str = ""
    allowed_text: str = ""
    decision_detail: str = ""
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
class ParametersRecord(Storable):
    """Parameters of a strategy, as JSON, from the time of the record on.

    `parameters_hash` is what its signals carry from then on, `change_id` names the change.
    """

    account: str = ""
    run: str = ""
    strategy: str = ""
    change_id: str = ""
    parameters_hash: str = ""
    parameters_json: str = ""
    requested_by: str = ""
    approved_by: str = ""
    timestamp: datetime | None = None


@dataclass
class TradingStateRecord(Storable):
    """Whether an account is ACTIVE, REDUCING or HALTED, why, and by whom."""

    account: str = ""
    run: str = ""
    trading_state: str = ""
    state_reason: str = ""
    state_changed_by: str = ""
    timestamp: datetime | None = None


@dataclass
class AlertRecord(Storable):
    """Something that a person must see."""

    account: str = ""
    run: str = ""
    alert_code: str = ""
    subject_id: str = ""
    alert_message: str = ""
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
    ParametersRecord,
    TradingStateRecord,
    AlertRecord,
)
