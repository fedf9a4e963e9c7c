"""Rules of positions and exposures, with open orders and reservations."""

from __future__ import annotations

from trading.risk.account import Exposure
from trading.risk.rules.question import Question, Refused
from trading.risk.totals import Totals

__all__ = [
    "account_exposure",
    "position_limit",
    "strategy_notional",
    "symbol_notional",
    "walk",
]

NOTHING = Exposure()


def position_limit(q: Question) -> Refused | None:
    exposure, order = q.exposure, q.order
    after = exposure.longest + order.qty if order.side > 0 else exposure.shortest - order.qty
    most = q.bounds.size("max_position", q.spec.size_decimals)
    if not -most <= after <= most:
        bound = q.bounds.limits.max_position
        spare = most - (exposure.longest if order.side > 0 else -exposure.shortest)
        return Refused(
            "POSITION_LIMIT",
            f"max_position {bound}",
            f"{q.spec.size(after)} with open orders",
            f"at most {q.spec.size(max(spare, 0))} more",
        )
    return None


def _worst(q: Question, exposure: Exposure, symbol: str, extra: int) -> tuple[int, int] | Refused:
    """Return the largest long and short value of a symbol, in the account's money."""
    market, base = q.market, q.account.base
    price = market.last.get(symbol)
    if price is None:
        price = q.price if symbol == q.order.symbol else None
    if price is None:
        return q.missing("MISSING_PRICE", f"a price of {symbol}")
    each = abs(price) * market.factors[symbol]
    longest = exposure.net + exposure.open_buy + exposure.reserved
    shortest = exposure.net - exposure.open_sell
    if extra > 0:
        longest += extra
    else:
        shortest += extra
    currency = market.specs[symbol].currency
    if currency == base:
        return longest * each, shortest * each
    up = market.convert(longest * each, currency, base)
    down = market.convert(shortest * each, currency, base)
    if up is None or down is None:
        return q.missing("MISSING_RATE", f"a rate of {currency}")
    return up, down


def symbol_notional(q: Question) -> Refused | None:
    if q.notional is None and (refused := q.find_notional()) is not None:
        return refused
    worst = _worst(q, q.exposure, q.order.symbol, q.order.side * q.order.qty)
    if isinstance(worst, Refused):
        return worst
    q.worst = worst
    seen = worst[0] if q.order.side > 0 else -worst[1]
    if not abs(seen) <= q.bounds.amounts["max_symbol_notional"]:
        return q.refuse_amount("SYMBOL_NOTIONAL", "max_symbol_notional", seen)
    return None


def totals_of(
    q: Question, exposures: dict[str, Exposure], running: Totals | None
) -> tuple[int, int, int] | Refused:
    """Return gross, longest net and shortest net value, with this order and all open ones.

    From running sums where there are some; a price or rate that is missing is looked for by a walk,
    which names it.
    """
    own, extra = q.order.symbol, q.order.side * q.order.qty
    if running is not None and running.is_known(own):
        worst: tuple[int, int] | Refused | None = None
        if exposures is q.account.exposures:
            worst = q.worst
        if worst is None:
            worst = _worst(q, exposures.get(own, NOTHING), own, extra)
        return worst if isinstance(worst, Refused) else running.with_worst(own, worst)
    return walk(q, exposures)


def walk(
    q: Question, exposures: dict[str, Exposure], symbols: frozenset[str] | None = None
) -> tuple[int, int, int] | Refused:
    """Return the same by looking at every exposure, or at those of some symbols."""
    gross = longest = shortest = 0
    own, extra = q.order.symbol, q.order.side * q.order.qty
    found = exposures if own in exposures else {**exposures, own: NOTHING}
    for symbol, exposure in found.items():
        if symbols is not None and symbol not in symbols:
            continue
        if symbol != own and exposure.nothing:
            continue
        worst = _worst(q, exposure, symbol, extra if symbol == own else 0)
        if isinstance(worst, Refused):
            return worst
        up, down = worst
        gross += max(abs(up), abs(down))
        longest += up
        shortest += down
    return gross, longest, shortest


def account_exposure(q: Question) -> Refused | None:
    if q.notional is None and (refused := q.find_notional()) is not None:
        return refused
    running = None if q.totals is None else q.totals.whole
    totals = totals_of(q, q.account.exposures, running)
    if isinstance(totals, Refused):
        return totals
    gross, longest, shortest = totals
    q.gross = gross
    amounts = q.bounds.amounts
    bound = amounts.get("max_gross_exposure")
    if bound is not None and not gross <= bound:
        return q.refuse_amount("GROSS_EXPOSURE", "max_gross_exposure", gross)
    bound = amounts.get("max_net_exposure")
    net = longest if q.order.side > 0 else shortest
    if bound is not None and not abs(net) <= bound:
        return q.refuse_amount("NET_EXPOSURE", "max_net_exposure", net)
    return None


def strategy_notional(q: Question) -> Refused | None:
    if q.notional is None and (refused := q.find_notional()) is not None:
        return refused
    strategy = q.order.strategy
    running = None if q.totals is None else q.totals.of_strategy(strategy)
    totals = totals_of(q, q.account.by_strategy.get(strategy, {}), running)
    if isinstance(totals, Refused):
        return totals
    if not totals[0] <= q.bounds.amounts["max_strategy_notional"]:
        return q.refuse_amount("STRATEGY_NOTIONAL", "max_strategy_notional", totals[0])
    return None
