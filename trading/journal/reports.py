"""What a broker says about an order: the same whether it is simulated, a venue or a test.

Numbers are whole numbers in the instrument's units, times nanoseconds. A broker names its orders by
the ids that it was given.
"""

from __future__ import annotations

import msgspec

__all__ = [
    "BrokerReport",
    "FillBusted",
    "FillCorrected",
    "OrderAccepted",
    "OrderCancelRejected",
    "OrderCanceled",
    "OrderExpired",
    "OrderFilled",
    "OrderRejected",
    "OrderReplaceRejected",
    "OrderReplaced",
    "OrderTriggered",
]


class OrderAccepted(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=20):
    """The order works at the broker."""

    time: int
    account: str
    order_id: str
    venue_id: str = ""


class OrderRejected(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=21):
    """The broker does not take the order, or not at its trigger."""

    time: int
    account: str
    order_id: str
    reason: str


class OrderCanceled(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=22):
    """The order works no longer."""

    time: int
    account: str
    order_id: str
    reason: str = ""


class OrderExpired(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=23):
    """The order's time in force is over."""

    time: int
    account: str
    order_id: str


class OrderTriggered(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=24):
    """The stop price of a stop-limit was reached: it rests as a limit order now."""

    time: int
    account: str
    order_id: str


class OrderReplaced(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=25):
    """The order has these terms now."""

    time: int
    account: str
    order_id: str
    quantity: int
    limit: int | None
    stop: int | None


class OrderReplaceRejected(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=26):
    """The order keeps its terms."""

    time: int
    account: str
    order_id: str
    reason: str


class OrderCancelRejected(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=27):
    """The order was not cancelled."""

    time: int
    account: str
    order_id: str
    reason: str


class OrderFilled(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=28):
    """An execution; `fees` is money in the instrument's currency, `executed` the market's time.

    Side and symbol are needed only where the order may be unknown to who is told.
    """

    time: int
    account: str
    order_id: str
    fill_id: str
    quantity: int
    price: int
    fees: int
    executed: int
    maker: bool = False
    side: int = 0
    symbol: str = ""
    strategy: str = ""


class FillBusted(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=29):
    """An execution that is taken back: it counts as never having been.

    What it was (order, symbol, strategy, side, quantity, price, fees) is needed only where it may
    be too long ago for the books to remember it.
    """

    time: int
    account: str
    fill_id: str
    reason: str = ""
    order_id: str = ""
    symbol: str = ""
    strategy: str = ""
    side: int = 0
    quantity: int = 0
    price: int = 0
    fees: int = 0


class FillCorrected(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=30):
    """An execution that has these numbers instead, under an id of its own."""

    time: int
    account: str
    fill_id: str
    corrected_id: str
    quantity: int
    price: int
    fees: int


BrokerReport = (
    OrderAccepted
    | OrderRejected
    | OrderCanceled
    | OrderExpired
    | OrderTriggered
    | OrderReplaced
    | OrderReplaceRejected
    | OrderCancelRejected
    | OrderFilled
    | FillBusted
    | FillCorrected
)
