"""Our orders and instruments in the words of ccxt, and its answers in ours; no network."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import msgspec

from trading.journal.outputs import SendOrder
from trading.numbers import MONEY_DECIMALS, to_units
from trading.specification import InstrumentSpec

__all__ = [
    "ENDS",
    "Tracked",
    "base_id",
    "client_id",
    "create_arguments",
    "fee_of",
    "trade_key",
    "unsupported",
    "whole_units",
]

_CLIENT_ID = re.compile(r"[A-Za-z0-9._/-]{1,32}")
_GENERATION = re.compile(r"(.+):(\d{1,3})")
ENDS = {
    "canceled": "CANCELED",
    "expired": "CANCELED",
    "rejected": "REJECTED",
    "closed": "FILLED",
}


class Tracked(msgspec.Struct, gc=False):
    """An order as it is known here.

    A venue without amendments gets a new order for a replace: `generation` counts them, `earlier`
    is what the former ones filled. `fills` is what was reported, in size units. `status` is how it
    ended at the venue, empty while it works.
    """

    order_id: str
    symbol: str
    side: int
    quantity: int
    limit: int | None
    stop: int | None
    tif: str = "GTC"
    kind: str = "LIMIT"
    generation: int = 1
    earlier: int = 0
    fills: int = 0
    venue_id: str = ""
    status: str = ""
    accepted: bool = False
    ended: bool = False
    replacing: bool = False
    # What the venue says it filled in all; the end is told once as much was reported.
    final: int = 0


def client_id(order_id: str, generation: int = 1) -> str:
    """Return an order's client id at the venue; ValueError for an id that does not fit there.

    It is the whole order id: a shortened one could be taken for another order's.
    """
    if not _CLIENT_ID.fullmatch(order_id):
        raise ValueError(
            f"order id {order_id!r} is no client order id at venues: 1 to 32 letters, digits and "
            ". _ / - are allowed; give the run a shorter prefix"
        )
    return order_id if generation == 1 else f"{order_id}:{generation}"


def base_id(client: str) -> tuple[str, int]:
    """Return the order id and the generation of a client id."""
    found = _GENERATION.fullmatch(client)
    return (client, 1) if found is None else (found[1], int(found[2]))


def unsupported(order: SendOrder, market: Mapping[str, Any]) -> str:
    """Return why an order cannot be sent through ccxt to this market; empty when it can."""
    if order.kind == "TRAILING_STOP":
        return "trailing stops are not sent to venues; name them in the run's `emulate`"
    if order.tif not in ("GTC", "IOC", "FOK"):
        return f"{order.tif} is not sent to venues; the engine's timers end orders"
    if order.reduce_only and market.get("spot") and order.side > 0:
        return "a reduce-only order that buys has nothing to reduce on a spot market"
    return ""


def create_arguments(
    order: SendOrder, spec: InstrumentSpec, quantity: int, limit: int | None, stop: int | None
) -> tuple[str, str, str, str | None, dict[str, Any]]:
    """Return type, side, amount, price and parameters for ccxt's `create_order`.

    Numbers are texts: ccxt's floats would change them.
    """
    parameters: dict[str, Any] = {}
    limited = order.kind in ("LIMIT", "STOP_LIMIT")
    if limited and not order.post_only:
        parameters["timeInForce"] = order.tif
    if order.post_only:
        parameters["postOnly"] = True
    if stop is not None:
        parameters["triggerPrice"] = str(spec.price(stop))
    price = None if limit is None else str(spec.price(limit))
    return (
        "limit" if limited else "market",
        "buy" if order.side > 0 else "sell",
        format(spec.size(quantity), "f"),
        price,
        parameters,
    )


def whole_units(value: object, decimals: int) -> int:
    """Return a number of ccxt in units; 0 for one that is missing."""
    return 0 if value is None else to_units(Decimal(str(value)), decimals)


def trade_key(trade: Mapping[str, Any]) -> str:
    """Return what a trade is known by: venues number them within a symbol."""
    return f"{trade['symbol']}#{trade['id']}"


def fee_of(trade: Mapping[str, Any], spec: InstrumentSpec, base: str) -> tuple[int, str]:
    """Return a trade's fee as money, and a remark where it was paid in another currency.

    A fee in the coin that was traded counts at the trade's price.
    """
    fee = trade.get("fee") or {}
    cost, currency = fee.get("cost"), fee.get("currency")
    if cost is None or not Decimal(str(cost)):
        return 0, ""
    amount = Decimal(str(cost))
    if currency == base:
        amount *= Decimal(str(trade["price"]))
    elif currency != spec.currency:
        return 0, f"a fee of {amount} {currency} is not in {spec.currency} and was not booked"
    # Venues may charge fractions beyond our smallest unit of money.
    return int(amount.scaleb(MONEY_DECIMALS).to_integral_value()), ""
