"""From a request in decimals to terms in whole numbers, and from these to an order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from trading.errors import InvalidOrderRequest, NumberError
from trading.journal.inputs import OrderTerms
from trading.numbers import to_decimal, to_units
from trading.orders.order import Order
from trading.orders.request import Bracket, OneCancelsOther, OneTriggersOther, OrderRequest
from trading.specification import InstrumentSpec
from trading.times import nanoseconds

__all__ = [
    "build_order",
    "faulty_terms",
    "group_terms",
    "open_order",
    "terms_of",
    "terms_or_fault",
]


def terms_of(request: OrderRequest, spec: InstrumentSpec) -> OrderTerms:
    """Return a request in whole numbers; InvalidOrderRequest, with its code, where it is none."""
    problems = request.problems()
    if problems:
        raise InvalidOrderRequest("; ".join(problems))
    return OrderTerms(
        account=request.account,
        strategy=request.strategy,
        symbol=request.symbol,
        side=1 if request.side == "BUY" else -1,
        quantity=_size(request.quantity, spec),
        kind=request.kind,
        limit=_price(request.limit_price, spec, "limit_price"),
        stop=_price(request.stop_price, spec, "stop_price"),
        tif=request.time_in_force,
        trail=_trail(request, spec),
        trail_bps=request.trail_bps,
        expire_at=None if request.expire_at is None else _time(request.expire_at),
        reduce_only=request.reduce_only,
        post_only=request.post_only,
        emulate=request.emulate,
        not_before=None if request.not_before is None else _time(request.not_before),
        flat_by=None if request.flat_by is None else _time(request.flat_by),
        tag=request.tag,
    )


def faulty_terms(request: OrderRequest, error: InvalidOrderRequest) -> OrderTerms:
    """Return terms that say why a request is no order: the journal records the refusal as well."""
    return OrderTerms(
        account=str(request.account),
        strategy=str(request.strategy),
        symbol=str(request.symbol),
        side=-1 if request.side == "SELL" else 1,
        quantity=0,
        kind=str(request.kind),
        limit=None,
        stop=None,
        tif=str(request.time_in_force),
        tag=str(request.tag),
        fault_code=error.code,
        fault=str(error),
    )


def terms_or_fault(request: OrderRequest, spec: InstrumentSpec | None) -> OrderTerms:
    """Return terms, with the fault in them where the request is no order."""
    if spec is None:
        problem = f"no instrument {request.symbol!r} is defined"
        return faulty_terms(request, InvalidOrderRequest(problem, "UNKNOWN_INSTRUMENT"))
    try:
        return terms_of(request, spec)
    except InvalidOrderRequest as error:
        return faulty_terms(request, error)


def group_terms(
    group: Bracket | OneCancelsOther | OneTriggersOther,
    spec: Callable[[str], InstrumentSpec],
    own: Callable[[OrderRequest], OrderRequest] = lambda request: request,
) -> tuple[str, tuple[OrderTerms, ...]]:
    """Return the kind of a group and its orders in whole numbers.

    `spec` finds an instrument by symbol, `own` may complete each request. A request that is no
    order keeps its fault in its terms, as `terms_or_fault` says.
    """
    if isinstance(group, Bracket):
        entry = own(group.entry)
        common = (entry.account, entry.symbol, "SELL" if entry.side == "BUY" else "BUY")
        more: dict[str, Any] = {"strategy": entry.strategy, "reduce_only": True, "tag": entry.tag}
        target = OrderRequest(*common, entry.quantity, "LIMIT", group.target, **more)
        stop = OrderRequest(*common, entry.quantity, "STOP", None, group.stop, **more)
        kind, requests = "BRACKET", [entry, target, stop]
    elif isinstance(group, OneCancelsOther):
        kind, requests = "OCO", [own(each) for each in group.orders]
    else:
        kind = "OTO_FULL" if group.when_full else "OTO"
        requests = [own(group.parent), own(group.child)]
    return kind, tuple(terms_or_fault(each, spec(each.symbol)) for each in requests)


def open_order(terms: OrderTerms, spec: InstrumentSpec, order_id: str, now: int) -> Order:
    """Return a new order of these terms."""
    order = Order(
        order_id,
        terms.account,
        terms.strategy,
        terms.symbol,
        terms.side,
        terms.kind,
        terms.tif,
        terms.quantity,
        terms.limit,
        terms.stop,
        spec.price_decimals,
        spec.size_decimals,
        now,
    )
    order.updated = now
    # Few orders have any of these: the defaults cost less than to name them all.
    if terms.trail is not None:
        order.trail = terms.trail
    if terms.trail_bps is not None:
        order.trail_bps = terms.trail_bps
    if terms.expire_at is not None:
        order.expire_at = terms.expire_at
    if terms.reduce_only:
        order.reduce_only = True
    if terms.post_only:
        order.post_only = True
    if terms.emulate:
        order.emulate = True
    if terms.tag:
        order.tag = terms.tag
    if terms.flat_by is not None:
        order.flat_by = terms.flat_by
    if terms.not_before is not None:
        order.not_before = terms.not_before
    return order


def build_order(request: OrderRequest, spec: InstrumentSpec, order_id: str, now: int) -> Order:
    """Return a new order of a request; InvalidOrderRequest where it is none."""
    return open_order(terms_of(request, spec), spec, order_id, now)


def _size(value: object, spec: InstrumentSpec) -> int:
    if type(value) is int:
        units = value * int(10**spec.size_decimals)
    else:
        units = _units(value, spec.size_decimals, "quantity", "SIZE_INCREMENT")
    if units <= 0:
        raise InvalidOrderRequest(f"quantity: expected a size above 0, seen {value}")
    if units % spec.size_increment:
        raise InvalidOrderRequest(
            f"quantity: {value} is no multiple of the size increment "
            f"{spec.size(spec.size_increment)} of {spec.symbol}",
            "SIZE_INCREMENT",
        )
    return units


def _price(value: object | None, spec: InstrumentSpec, what: str) -> int | None:
    if value is None:
        return None
    units = _units(value, spec.price_decimals, what, "PRICE_INCREMENT")
    if units % spec.price_increment:
        raise InvalidOrderRequest(
            f"{what}: {value} is no multiple of the price increment "
            f"{spec.price(spec.price_increment)} of {spec.symbol}; round it, and say which way",
            "PRICE_INCREMENT",
        )
    if units <= 0 and not spec.negative_prices:
        raise InvalidOrderRequest(
            f"{what}: {value} is not above 0, and {spec.symbol} has no negative prices"
        )
    return units


def _trail(request: OrderRequest, spec: InstrumentSpec) -> int | None:
    bps = request.trail_bps
    if bps is not None and not 0 < bps < 10_000:
        raise InvalidOrderRequest(f"trail_bps: expected 1 to 9999 basis points, seen {bps}")
    if request.trail is None:
        return None
    units = _units(request.trail, spec.price_decimals, "trail", "PRICE_INCREMENT")
    if units <= 0 or units % spec.price_increment:
        raise InvalidOrderRequest(
            f"trail: expected a multiple of {spec.price(spec.price_increment)} above 0, "
            f"seen {request.trail}",
            "PRICE_INCREMENT",
        )
    return units


def _units(value: object, decimals: int, what: str, code: str) -> int:
    try:
        number = to_decimal(value, what)
    except NumberError as error:
        raise InvalidOrderRequest(str(error), "NOT_A_NUMBER") from None
    try:
        return to_units(number, decimals, what)
    except NumberError as error:
        raise InvalidOrderRequest(str(error), code) from None


def _time(value: object) -> int:
    try:
        return nanoseconds(value)  # type: ignore[arg-type]  # the wrong type is what is refused
    except NumberError as error:
        raise InvalidOrderRequest(str(error)) from None
