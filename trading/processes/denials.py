"""Why an order was denied, in words for who sent it: the rule's own, or what the order needs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from store.client import StoreClient
from trading.engine import DecisionRecord, OrderRecord, TradingEngine
from trading.numbers import from_units
from trading.specification import InstrumentSpec

__all__ = ["Denial", "denial_of", "explained"]

_ILL_FORMED = "a well-formed order"
_SHOWN_MAX = 50
_DECIMAL = re.compile(r"Decimal\('([^']*)'\)")


class Denial(NamedTuple):
    """A denial in a sentence, and what was seen and is allowed in it."""

    code: str
    detail: str
    limit: str = ""
    seen: str = ""
    allowed: str = ""


def denial_of(
    engine: TradingEngine, store: StoreClient, specs: Mapping[str, InstrumentSpec], order_id: str
) -> Denial | None:
    """Return why an order was denied; None where it was not."""
    order = engine.order(order_id)
    if order is not None and str(order.status) != "DENIED":
        return None
    symbol = "" if order is None else order.symbol
    if order is None:
        known = store.query(OrderRecord, {"order_id": order_id}, limit=1)
        if not known or known[0].status != "DENIED":
            return None
        symbol = known[0].symbol
    wanted = {"order_id": order_id, "decision_kind": "RISK"}
    for each in store.query(DecisionRecord, wanted, limit=5):
        if each.decision_code != "OK":
            return explained(
                *(each.decision_code, each.limit_text, each.seen_text, each.allowed_text),
                *(symbol, specs),
            )
    return Denial("DENIED", "the order is denied")


def explained(
    code: str,
    limit: str,
    seen: str,
    allowed: str,
    symbol: str,
    specs: Mapping[str, InstrumentSpec],
) -> Denial:
    """Return a denial in words; `symbol` is that of the order, `specs` what the desk trades.

    An order that no limit has denied, but which is wrong by itself, is told what would be right.
    """
    if limit != _ILL_FORMED:
        detail = f"denied: {limit}: seen {seen}, allowed {allowed}"
        return Denial(code, detail, limit, seen, allowed)
    # The record has numbers as Python shows them.
    seen = _DECIMAL.sub(r"\1", seen).partition("; round it before")[0]
    allowed = _allowed(code, symbol, specs)
    detail = f"denied: {seen}" + (f"; allowed: {allowed}" if allowed else "")
    return Denial(code, detail, limit, seen, allowed or "a corrected order")


def _allowed(code: str, symbol: str, specs: Mapping[str, InstrumentSpec]) -> str:
    spec = specs.get(symbol)
    if code == "UNKNOWN_INSTRUMENT" or spec is None:
        return f"one of {', '.join(sorted(specs)[:_SHOWN_MAX])}"
    if code == "PRICE_INCREMENT":
        return f"multiples of {from_units(spec.price_increment, spec.price_decimals)}"
    if code == "SIZE_INCREMENT":
        return f"multiples of {from_units(spec.size_increment, spec.size_decimals)}"
    return ""
