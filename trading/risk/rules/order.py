"""Rules of the account's state, the instrument, and the order by itself."""

from __future__ import annotations

from trading.numbers import from_units
from trading.risk.account import HALTED, REDUCING
from trading.risk.rules.question import Question, Refused

__all__ = [
    "in_session",
    "notional_bounds",
    "order_equity_share",
    "order_notional",
    "price_collar",
    "reduce_only",
    "size_bounds",
    "symbol_allowed",
    "trading_state",
]


def trading_state(q: Question) -> Refused | None:
    state = q.account.trading_state
    if state == HALTED:
        return Refused(
            "TRADING_HALTED",
            f"trading of {q.account.name} is halted",
            q.account.state_reason or "halted",
            "cancels, and a flatten by a person; somebody other than the trader lifts the halt",
        )
    if state == REDUCING and not q.reduces:
        return Refused(
            "REDUCING_ONLY",
            f"{q.account.name} may only reduce positions",
            f"{q.order.side_name} {q.order.quantity} with a position of "
            f"{q.spec.size(q.exposure.net)}",
            "orders against the position, up to its size",
        )
    return None


def symbol_allowed(q: Question) -> Refused | None:
    symbols = q.bounds.limits.symbols
    if symbols is not None and q.order.symbol not in symbols:
        return Refused("SYMBOL_NOT_ALLOWED", "symbols", q.order.symbol, " ".join(symbols) or "none")
    return None


def in_session(q: Question) -> Refused | None:
    if q.order.tif in ("IOC", "FOK", "DAY") and not q.market.is_open(q.spec, q.now):
        session = q.market.session(q.spec.calendar, q.now)
        return Refused(
            "OUT_OF_SESSION",
            f"sessions of {q.spec.calendar}",
            f"{q.order.tif} order at {q.now}",
            f"from {session[0]} on" if session else "none is known; give the calendar's sessions",
        )
    return None


def size_bounds(q: Question) -> Refused | None:
    spec, order = q.spec, q.order
    qty = order.qty
    if qty < spec.min_size and not q.reduces:
        least = str(spec.size(spec.min_size))
        return Refused("SIZE_MIN", f"min_size {least}", str(order.quantity), f"at least {least}")
    largest = spec.max_size
    bound = q.bounds.limits.max_order_quantity
    if bound is not None:
        own = q.bounds.size("max_order_quantity", spec.size_decimals)
        largest = own if largest is None else min(own, largest)
    if largest is not None and not qty <= largest:
        most = str(spec.size(largest))
        return Refused("SIZE_MAX", f"max size {most}", str(order.quantity), f"at most {most}")
    return None


def notional_bounds(q: Question) -> Refused | None:
    spec, order = q.spec, q.order
    if spec.min_notional is None and spec.max_notional is None:
        return None
    refused = q.find_notional()
    if refused or q.price is None:
        return refused
    value = abs(q.price) * order.qty * spec.multiplier
    if spec.min_notional is not None and value < spec.min_notional and not q.reduces:
        least = from_units(spec.min_notional, spec.notional_decimals)
        seen = from_units(value, spec.notional_decimals)
        return Refused("NOTIONAL_MIN", f"min_notional {least}", str(seen), f"at least {least}")
    if spec.max_notional is not None and not value <= spec.max_notional:
        most = from_units(spec.max_notional, spec.notional_decimals)
        seen = from_units(value, spec.notional_decimals)
        return Refused("NOTIONAL_MAX", f"max_notional {most}", str(seen), f"at most {most}")
    return None


def order_notional(q: Question) -> Refused | None:
    if q.notional is None and (refused := q.find_notional()) is not None:
        return refused
    if q.notional is not None and not q.notional <= q.bounds.amounts["max_order_notional"]:
        return q.refuse_amount("NOTIONAL_MAX", "max_order_notional", q.notional)
    return None


def order_equity_share(q: Question) -> Refused | None:
    refused = q.find_notional() or q.find_equity()
    if refused or q.notional is None or q.equity is None:
        return refused
    above, below = q.bounds.shares["max_order_equity_share"]
    most = max(q.equity, 0) * above // below
    if not q.notional <= most:
        return Refused(
            "ORDER_EQUITY_SHARE",
            f"max_order_equity_share {q.bounds.limits.max_order_equity_share}",
            f"{q.money(q.notional)} of {q.money(q.equity)} equity",
            f"at most {q.money(most)}",
        )
    return None


def price_collar(q: Question) -> Refused | None:
    price = q.order.limit if q.order.limit is not None else q.order.stop
    if price is None and q.order.kind != "MARKET":
        return None  # a trailing stop follows the market
    last = q.market.last.get(q.order.symbol)
    if last is None:
        return q.missing("MISSING_PRICE", f"a price of {q.order.symbol}")
    if price is None:
        return None
    above, below = q.bounds.shares["price_collar"]
    if not abs(price - last) * below <= abs(last) * above:
        spec, width = q.spec, abs(last) * above // below
        return Refused(
            "PRICE_COLLAR",
            f"price_collar {q.bounds.limits.price_collar} around {spec.price(last)}",
            str(spec.price(price)),
            f"{spec.price(last - width)} to {spec.price(last + width)}",
        )
    return None


def reduce_only(q: Question) -> Refused | None:
    if q.order.reduce_only and q.exposure.net * q.order.side >= 0:
        return Refused(
            "REDUCE_ONLY",
            "a reduce-only order is against a position",
            f"{q.order.side_name} with a position of {q.spec.size(q.exposure.net)}",
            "the other side, or no order while the position is flat",
        )
    return None
