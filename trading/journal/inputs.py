"""What the kernel is told: one type for each thing that can happen, in whole numbers.

Every input has a `time`: nanoseconds since 1970 at which it arrived. Commands of people carry a
`command_id`, by which a repeat is recognised, and `by`, who asked.
"""

from __future__ import annotations

import msgspec

from trading.journal.reports import BrokerReport
from trading.specification import InstrumentSpec

__all__ = [
    "Bar",
    "BarBatch",
    "Cancel",
    "CancelAll",
    "CashDividend",
    "Clock",
    "DefineInstrument",
    "DefineSessions",
    "FeedGap",
    "Flatten",
    "Input",
    "OpenAccount",
    "OrderTerms",
    "Replace",
    "SetAtr",
    "SetLimits",
    "SetParameters",
    "SetRate",
    "SetTradingState",
    "SetWeights",
    "SplitShares",
    "Submit",
    "Tick",
    "TickBatch",
    "Timeframe",
    "Transfer",
]


Timeframe = int | str
"""The length of a bar in nanoseconds, or the text of an interval that has no fixed length."""


class Tick(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=1):
    """A trade, a quote, or both; `event_time` is the market's where it differs from `time`."""

    time: int
    symbol: str
    price: int | None
    size: int = 0
    bid: int | None = None
    ask: int | None = None
    event_time: int | None = None


class Bar(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=2):
    """A bar of `[start, end)`; `notional` is the sum of price times size.

    The state is `final`, `partial` (data of a part is missing), `empty` (nothing was traded),
    `missing` (no data came) or `revised` (a late tick changed it after it was final).
    """

    time: int
    symbol: str
    interval: Timeframe
    start: int
    end: int
    open: int
    high: int
    low: int
    close: int
    volume: int
    count: int = 0
    notional: int = 0
    state: str = "final"


class Clock(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=3):
    """Nothing but the time."""

    time: int


class OrderTerms(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What an order asks for; `fault` says why it can be none, with its code, where it cannot."""

    account: str
    strategy: str
    symbol: str
    side: int
    quantity: int
    kind: str
    limit: int | None
    stop: int | None
    tif: str
    trail: int | None = None
    trail_bps: int | None = None
    expire_at: int | None = None
    reduce_only: bool = False
    post_only: bool = False
    emulate: bool = False
    not_before: int | None = None
    flat_by: int | None = None
    tag: str = ""
    fault_code: str = ""
    fault: str = ""


class Submit(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=4):
    """Orders to send: one (ORDER), a BRACKET of entry, target and stop, OCO, OTO or OTO_FULL."""

    time: int
    command_id: str
    by: str
    kind: str
    orders: tuple[OrderTerms, ...]


class Cancel(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=5):
    """End an order; of a bracket's entry, with what rests of the bracket."""

    time: int
    command_id: str
    by: str
    order_id: str


class Replace(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=6):
    """Give an order other terms; None keeps what it has."""

    time: int
    command_id: str
    by: str
    order_id: str
    quantity: int | None = None
    limit: int | None = None
    stop: int | None = None


class CancelAll(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=7):
    """End every open order of an account; an empty strategy or symbol means all of them."""

    time: int
    command_id: str
    by: str
    account: str
    strategy: str = ""
    symbol: str = ""


class Flatten(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=8):
    """Cancel orders and close positions at the market; allowed in every trading state."""

    time: int
    command_id: str
    by: str
    account: str
    strategy: str = ""
    symbol: str = ""


class SetTradingState(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=9):
    """ACTIVE, REDUCING or HALTED (the kill switch); only another than the owner lifts a halt."""

    time: int
    command_id: str
    by: str
    account: str
    state: str
    reason: str = ""


class SetLimits(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=10):
    """Limits of an account for a time, as JSON text; two people are behind them."""

    time: int
    command_id: str
    requested_by: str
    approved_by: str
    account: str
    limits_id: str
    limits: str
    valid_from: int
    valid_to: int | None = None


class OpenAccount(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=11):
    """An account begins with cash by currency; `owner` trades on it."""

    time: int
    account: str
    base: str
    cash: tuple[tuple[str, int], ...]
    owner: str = ""


class DefineInstrument(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=12):
    """An instrument, or a new description of one."""

    time: int
    spec: InstrumentSpec


class DefineSessions(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=13):
    """Opening and closing times of a calendar, in order."""

    time: int
    calendar: str
    sessions: tuple[tuple[int, int], ...]


class SetRate(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=14):
    """What one unit of a currency is worth in the run's common currency, as a fraction."""

    time: int
    currency: str
    numerator: int
    denominator: int


class SetAtr(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=15):
    """The average true range of a symbol, in price units; None when it is not known any more."""

    time: int
    symbol: str
    atr: int | None


class SplitShares(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=16):
    """Every `old` units of a symbol become `new`; fractions are paid at `lieu_price`."""

    time: int
    symbol: str
    new: int
    old: int
    lieu_price: int = 0


class CashDividend(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=17):
    """Money for each whole share held; owed by who is short."""

    time: int
    symbol: str
    cash: int


class Transfer(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=18):
    """Money into an account, or out of it when negative; no profit and no loss."""

    time: int
    command_id: str
    by: str
    account: str
    currency: str
    amount: int


class FeedGap(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=31):
    """No data came in `[start, end)`, of one symbol or (empty) of all: bars there say so."""

    time: int
    start: int
    end: int
    symbol: str = ""


class TickBatch(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=19):
    """Many ticks as columns of little-endian 64-bit integers; `symbols` are what codes count.

    A missing price, bid or ask is the smallest 64-bit integer; empty bytes mean no such column.
    """

    symbols: tuple[str, ...]
    times: bytes
    codes: bytes
    prices: bytes
    sizes: bytes
    bids: bytes = b""
    asks: bytes = b""
    event_times: bytes = b""


class BarBatch(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=34):
    """Many final bars as columns of little-endian 64-bit integers, in order of arrival.

    `symbols` are what codes count, `timeframes` what intervals count, the shortest first. Rows of
    one time are one moment: all of them meet orders before strategies hear of any. Empty bytes mean
    no counts and no notional amounts.
    """

    symbols: tuple[str, ...]
    timeframes: tuple[Timeframe, ...]
    times: bytes
    codes: bytes
    intervals: bytes
    starts: bytes
    ends: bytes
    opens: bytes
    highs: bytes
    lows: bytes
    closes: bytes
    volumes: bytes
    counts: bytes = b""
    notionals: bytes = b""


class SetWeights(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=35):
    """Weights of an account's strategies in millionths, which scale the sizes of their signals."""

    time: int
    command_id: str
    by: str
    account: str
    weights: tuple[tuple[str, int], ...]
    reason: str = ""


class SetParameters(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=36):
    """Parameters of a strategy from now on, as JSON text; two people are behind them."""

    time: int
    command_id: str
    requested_by: str
    approved_by: str
    account: str
    strategy: str
    change_id: str
    parameters: str


Input = (
    Tick
    | Bar
    | Clock
    | Submit
    | Cancel
    | Replace
    | CancelAll
    | Flatten
    | SetTradingState
    | SetLimits
    | OpenAccount
    | DefineInstrument
    | DefineSessions
    | SetRate
    | SetAtr
    | SplitShares
    | CashDividend
    | Transfer
    | TickBatch
    | BarBatch
    | SetWeights
    | SetParameters
    | FeedGap
    | BrokerReport
)
