"""What makes a request no order of a venue, whatever the market: said in plain words."""

from __future__ import annotations

from trading.errors import shown
from trading.journal.outputs import SendOrder
from trading.orders.request import KINDS, TIMES_IN_FORCE
from trading.specification import InstrumentSpec

__all__ = ["faults_of_order", "faults_of_terms"]

_LONGEST_ID = 200


def faults_of_order(request: SendOrder, spec: InstrumentSpec | None, now: int) -> str:
    """Return why a request is no order here, in plain words; empty when it is one."""
    if spec is None:
        return f"no instrument {shown(request.symbol)} is traded here"
    if not 0 < len(request.order_id) <= _LONGEST_ID:
        return f"an order id has 1 to {_LONGEST_ID} characters, seen {len(request.order_id)}"
    if request.side not in (1, -1):
        return f"side is 1 or -1, seen {request.side}"
    kind, tif = request.kind, request.tif
    if kind not in KINDS:
        return f"kind {shown(kind)} is none of {' '.join(KINDS)}"
    if tif not in TIMES_IN_FORCE:
        return f"time in force {shown(tif)} is none of {' '.join(TIMES_IN_FORCE)}"
    if (tif == "GTD") != (request.expire_at is not None):
        return "GTD and expire_at belong together"
    if request.expire_at is not None and request.expire_at <= now:
        return f"expire_at {request.expire_at} is over, it is {now}"
    if tif in ("AT_OPEN", "AT_CLOSE") and kind not in ("MARKET", "LIMIT"):
        return f"{tif} is for MARKET and LIMIT orders, seen {kind}"
    if request.post_only and (kind != "LIMIT" or tif in ("IOC", "FOK", "AT_OPEN", "AT_CLOSE")):
        return f"post-only is for LIMIT orders that rest, seen {kind} {tif}"
    trails = [each for each in (request.trail, request.trail_bps) if each is not None]
    if (kind == "TRAILING_STOP") != (len(trails) == 1) or any(each <= 0 for each in trails):
        return "trail or trail_bps above 0, one of them, is for a TRAILING_STOP alone"
    if request.trail is not None and request.trail % spec.price_increment:
        return f"trail {spec.price(request.trail)} is off the price increment"
    return faults_of_terms(request, spec, request.quantity, request.limit, request.stop)


def faults_of_terms(
    request: SendOrder, spec: InstrumentSpec, quantity: int, limit: int | None, stop: int | None
) -> str:
    """Return why an order cannot have this size and these prices; empty when it can."""
    kind, size = request.kind, spec.size(quantity)
    if quantity <= 0 or quantity % spec.size_increment:
        return f"size {size} is no multiple above 0 of {spec.size(spec.size_increment)}"
    if quantity < spec.min_size:
        return f"size {size} is below the least, {spec.size(spec.min_size)}"
    if spec.max_size is not None and quantity > spec.max_size:
        return f"size {size} is above the most, {spec.size(spec.max_size)}"
    for name, price, kinds, optional in (
        ("limit", limit, ("LIMIT", "STOP_LIMIT"), False),
        ("stop", stop, ("STOP", "STOP_LIMIT", "TRAILING_STOP"), kind == "TRAILING_STOP"),
    ):
        if price is None:
            if kind in kinds and not optional:
                return f"a {kind} order needs a {name} price"
            continue
        if kind not in kinds:
            return f"a {kind} order has no {name} price, seen {spec.price(price)}"
        if price % spec.price_increment:
            return f"{name} price {spec.price(price)} is off the price increment"
        if price <= 0 and not spec.negative_prices:
            return f"{name} price {spec.price(price)} is not above 0"
    if limit is not None and spec.max_notional is not None:
        notional = abs(limit) * quantity * spec.multiplier
        if notional > spec.max_notional:
            return f"size {size} at {spec.price(limit)} is above the largest notional"
    return ""
