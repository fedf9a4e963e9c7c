"""What changes the exchange: one type for each thing that is written to its log.

The exchange is a function of these: the same inputs give the same books, reports and trades. Times
are nanoseconds and never go back.
"""

from __future__ import annotations

import msgspec

from trading.errors import ExchangeLogError
from trading.journal.outputs import SendCancel, SendOrder, SendReplace
from trading.specification import InstrumentSpec

__all__ = [
    "PHASES",
    "SELF_TRADE",
    "AddAccount",
    "AddInstrument",
    "BustTrade",
    "Clock",
    "CorrectTrade",
    "ExchangeInput",
    "ExchangeSettings",
    "MakerStep",
    "RaiseEpoch",
    "RejectNext",
    "Request",
    "SetPhase",
    "decode_exchange_input",
]

SELF_TRADE = ("CANCEL_NEWEST", "CANCEL_OLDEST", "CANCEL_BOTH", "ALLOW")
"""What happens where both sides of a trade would be one account's, auctions left out."""

PHASES = ("OPEN", "CLOSED")


class ExchangeSettings(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=1):
    """The rules of an exchange; the first input of its log.

    Fees are basis points as text. Makers quote `maker_levels` prices a side around a price that
    walks at random from `maker_seed`; no levels means no makers. Every `maker_take` steps one of
    them takes liquidity, so that resting orders fill; 0 is never.
    """

    time: int = 0
    name: str = "exchange"
    self_trade: str = "CANCEL_NEWEST"
    maker_fee: str = "0"
    taker_fee: str = "0"
    maker_seed: int = 0
    maker_levels: int = 0
    maker_size: int = 100
    maker_take: int = 3


class AddInstrument(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=2):
    """An instrument is traded from now on; `price` is where makers and auctions begin."""

    time: int
    spec: InstrumentSpec
    price: int | None = None


class AddAccount(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=3):
    """An account may trade; its cash by currency, in units of 10 ** -MONEY_DECIMALS."""

    time: int
    account: str
    cash: tuple[tuple[str, int], ...] = ()


class Request(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=4):
    """An order, cancel or replace of an account has arrived."""

    time: int
    request: SendOrder | SendCancel | SendReplace


class Clock(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=5):
    """Orders expire whose time is over."""

    time: int


class SetPhase(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=6):
    """OPEN ends a closed market with the opening auction; CLOSED begins with the closing one."""

    time: int
    phase: str


class BustTrade(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=7):
    """A trade never was, for both of its sides."""

    time: int
    trade: int
    reason: str = ""


class CorrectTrade(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=8):
    """A trade had another size or price, for both of its sides."""

    time: int
    trade: int
    quantity: int
    price: int


class RejectNext(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=9):
    """The next orders of an account are rejected: a fault for tests."""

    time: int
    account: str
    count: int
    reason: str = "rejected by command"


class RaiseEpoch(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=10):
    """An account has a new writer: those of lower epochs are refused."""

    time: int
    account: str
    epoch: int


class MakerStep(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=11):
    """The makers look at the market again."""

    time: int


ExchangeInput = (
    ExchangeSettings
    | AddInstrument
    | AddAccount
    | Request
    | Clock
    | SetPhase
    | BustTrade
    | CorrectTrade
    | RejectNext
    | RaiseEpoch
    | MakerStep
)

_DECODER: msgspec.msgpack.Decoder[ExchangeInput] = msgspec.msgpack.Decoder(
    ExchangeInput, strict=False
)


def decode_exchange_input(data: bytes) -> ExchangeInput:
    """Return the input that these bytes are; ExchangeLogError where they are none."""
    try:
        return _DECODER.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ExchangeLogError(
            f"these {len(data)} bytes are no input of the exchange: {error}; "
            "the log may be of a newer version"
        ) from None
