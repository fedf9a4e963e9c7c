"""What the kernel says: events that happened, and effects that somebody else carries out.

Numbers are whole numbers in the instrument's units, money in the run's; times are nanoseconds.
"""

from __future__ import annotations

import msgspec

from trading.journal.inputs import Bar, OrderTerms

__all__ = [
    "EFFECTS",
    "Alert",
    "BarClosed",
    "CashMoved",
    "CommandAnswered",
    "Effect",
    "FillBooked",
    "FillTakenBack",
    "GroupChanged",
    "LimitsChanged",
    "MatchMade",
    "MatchVoided",
    "OrderChanged",
    "OrderEvent",
    "OrderOpened",
    "Output",
    "ParametersChanged",
    "PickerDecision",
    "PositionChanged",
    "ReservationChanged",
    "RiskDecision",
    "SendCancel",
    "SendOrder",
    "SendReplace",
    "SignalMade",
    "StrategyStopped",
    "TickLate",
    "TradingStateChanged",
    "WeightsChanged",
]


class OrderOpened(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=40):
    """An order exists; it is INITIALIZED."""

    time: int
    order_id: str
    terms: OrderTerms
    command_id: str = ""
    group: str = ""
    role: str = ""
    parent: str = ""


class RiskDecision(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=41):
    """What the rules said of an order, and what they saw; the code of a pass is OK."""

    time: int
    order_id: str
    code: str
    limits_id: str
    quantity: int
    position: int
    price: int | None = None
    equity: int | None = None
    gross: int | None = None
    limit: str = ""
    seen: str = ""
    allowed: str = ""


class OrderEvent(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=42):
    """An order's event and the state that it led to."""

    time: int
    order_id: str
    event: str
    status: str
    filled: int
    detail: str = ""


class OrderChanged(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=43):
    """An order has other terms now."""

    time: int
    order_id: str
    quantity: int
    limit: int | None
    stop: int | None


class FillBooked(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=44):
    """An execution is in the books; `note` is LATE, OVERFILL or UNKNOWN where it was one."""

    time: int
    account: str
    strategy: str
    symbol: str
    order_id: str
    fill_id: str
    side: int
    quantity: int
    price: int
    fees: int
    executed: int
    maker: bool
    status: str
    filled: int
    note: str = ""


class MatchMade(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=45):
    """A piece of a fill closed a piece of a lot; `side` is 1 where the lot was long."""

    time: int
    account: str
    strategy: str
    symbol: str
    open_fill_id: str
    open_order_id: str
    close_fill_id: str
    close_order_id: str
    side: int
    quantity: int
    open_value: int
    close_value: int
    open_fees: int
    close_fees: int
    realized: int
    opened: int
    closed: int


class MatchVoided(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=46):
    """A match that no longer holds, since one of its fills was taken back or corrected."""

    time: int
    account: str
    strategy: str
    symbol: str
    close_fill_id: str
    open_fill_id: str
    realized: int


class FillTakenBack(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=47):
    """An execution was busted, or corrected where there is another id.

    Where it was too long ago to match later fills anew, `reversed` says that its opposite was
    booked at its price instead.
    """

    time: int
    account: str
    fill_id: str
    corrected_id: str
    reversed: bool
    reason: str


class PositionChanged(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=48):
    """A position with its totals; with `net` 0 it is gone from the open positions."""

    time: int
    account: str
    strategy: str
    symbol: str
    net: int
    cost: int
    realized: int
    fees: int
    income: int


class CashMoved(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=49):
    """Cash that no fill moved: START, TRANSFER, DIVIDEND or LIEU."""

    time: int
    account: str
    currency: str
    amount: int
    reason: str
    subject: str = ""


class TradingStateChanged(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=50):
    """An account may trade, may only reduce, or is halted."""

    time: int
    account: str
    state: str
    reason: str
    by: str


class LimitsChanged(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=51):
    """Limits were recorded for a time."""

    time: int
    account: str
    limits_id: str
    valid_from: int
    valid_to: int | None
    requested_by: str
    approved_by: str


class CommandAnswered(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=52):
    """What became of a command: its code is OK, REPEATED, or why it was refused."""

    time: int
    command_id: str
    code: str
    detail: str = ""


class GroupChanged(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=53):
    """A group of orders has come to a state of its own."""

    time: int
    group: str
    kind: str
    state: str


class Alert(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=54):
    """Something that a person must see."""

    time: int
    code: str
    account: str
    subject: str
    message: str


class BarClosed(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=55):
    """A bar became final."""

    bar: Bar


class TickLate(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=56):
    """A tick came after its bar was final."""

    time: int
    symbol: str
    event_time: int
    price: int
    size: int
    bar_end: int


class SignalMade(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=57):
    """A strategy's opinion: a size hint in units, and confidence in millionths."""

    time: int
    signal_id: str
    account: str
    strategy: str
    version: str
    parameters: str
    symbol: str
    action: str
    size_hint: int
    confidence: int
    reason: str


class PickerDecision(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=58):
    """Whether a signal becomes an order, of which size, and why."""

    time: int
    signal_id: str
    code: str
    quantity: int
    order_id: str
    detail: str = ""


class ParametersChanged(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=63):
    """A strategy has other parameters from now on; `parameters` is their hash."""

    time: int
    account: str
    strategy: str
    change_id: str
    parameters: str
    requested_by: str
    approved_by: str


class StrategyStopped(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=59):
    """A strategy raised an error and hears nothing any more."""

    time: int
    strategy: str
    handler: str
    error: str


class ReservationChanged(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=61):
    """A place for a symbol: MADE, or how it ended: POSITION_ARRIVED, ORDER_ENDED, EXPIRED."""

    time: int
    account: str
    symbol: str
    state: str
    signal_id: str
    quantity: int
    until: int


class WeightsChanged(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=62):
    """A strategy has another weight, in millionths."""

    time: int
    account: str
    strategy: str
    weight: int
    by: str
    reason: str


class SendOrder(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=70):
    """Effect: send an order to the broker under this id."""

    time: int
    order_id: str
    account: str
    symbol: str
    side: int
    quantity: int
    kind: str
    limit: int | None
    stop: int | None
    tif: str
    expire_at: int | None
    reduce_only: bool
    post_only: bool
    trail: int | None
    trail_bps: int | None


class SendCancel(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=71):
    """Effect: ask the broker to end an order."""

    time: int
    order_id: str
    account: str


class SendReplace(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=72):
    """Effect: ask the broker for other terms; the quantity includes what is filled."""

    time: int
    order_id: str
    account: str
    quantity: int
    limit: int | None
    stop: int | None


Effect = SendOrder | SendCancel | SendReplace
EFFECTS = frozenset({SendOrder, SendCancel, SendReplace})

Output = (
    OrderOpened
    | RiskDecision
    | OrderEvent
    | OrderChanged
    | FillBooked
    | MatchMade
    | MatchVoided
    | FillTakenBack
    | PositionChanged
    | CashMoved
    | TradingStateChanged
    | LimitsChanged
    | CommandAnswered
    | GroupChanged
    | Alert
    | BarClosed
    | TickLate
    | SignalMade
    | PickerDecision
    | StrategyStopped
    | ReservationChanged
    | WeightsChanged
    | ParametersChanged
    | Effect
)
