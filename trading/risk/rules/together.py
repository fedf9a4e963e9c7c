"""Rules of symbols that move together: clusters, measured correlation, portfolio heat."""

from __future__ import annotations

from trading.risk.rules.exposure import walk
from trading.risk.rules.question import Question, Refused

__all__ = ["correlated_notional", "correlation_clusters", "portfolio_heat"]


def correlation_clusters(q: Question) -> Refused | None:
    if q.notional is None and (refused := q.find_notional()) is not None:
        return refused
    for name, symbols, bound in q.bounds.clusters:
        if q.order.symbol in symbols:
            totals = walk(q, q.account.exposures, symbols)
            if isinstance(totals, Refused):
                return totals
            if not totals[0] <= bound:
                return Refused(
                    "CORRELATION_CLUSTER",
                    f"cluster {name} ({' '.join(sorted(symbols))}) {q.money(bound)}",
                    q.money(totals[0]),
                    f"at most {q.money(bound)} in the cluster",
                )
    return None


def correlated_notional(q: Question) -> Refused | None:
    if q.notional is None and (refused := q.find_notional()) is not None:
        return refused
    own, bound = q.order.symbol, q.bounds.shares["max_correlation"]
    together = {own}
    for symbol, exposure in q.account.exposures.items():
        if symbol == own or exposure.nothing:
            continue
        reaches = q.market.correlations.reaches(own, symbol, bound)
        if reaches is None:
            return q.missing("MISSING_CORRELATION", f"the correlation of {own} and {symbol}")
        if reaches:
            together.add(symbol)
    totals = walk(q, q.account.exposures, frozenset(together))
    if isinstance(totals, Refused):
        return totals
    if not totals[0] <= q.bounds.amounts["max_correlated_notional"]:
        return Refused(
            "CORRELATED_NOTIONAL",
            f"max_correlated_notional {q.bounds.limits.max_correlated_notional} for symbols with "
            f"a correlation of {q.bounds.limits.max_correlation} or more",
            f"{q.money(totals[0])} in {' '.join(sorted(together))}",
            f"at most {q.money(q.bounds.amounts['max_correlated_notional'])}",
        )
    return None


def portfolio_heat(q: Question) -> Refused | None:
    """Sum of size times average true range, in money, against a share of equity."""
    refused = q.find_equity()
    if refused or q.equity is None:
        return refused
    heat = 0
    sizes = {s: max(abs(e.longest), abs(e.shortest)) for s, e in q.account.exposures.items()}
    sizes[q.order.symbol] = sizes.get(q.order.symbol, 0) + q.order.qty
    for symbol, size in sizes.items():
        if not size:
            continue
        atr = q.market.atr.get(symbol)
        if atr is None:
            return q.missing("MISSING_ATR", f"the average true range of {symbol}")
        money = q.market.convert(
            size * atr * q.market.factors[symbol],
            q.market.specs[symbol].currency,
            q.account.base,
        )
        if money is None:
            return q.missing("MISSING_RATE", f"a rate of {q.market.specs[symbol].currency}")
        heat += money
    above, below = q.bounds.shares["max_portfolio_heat"]
    if not heat * below <= max(q.equity, 0) * above:
        return Refused(
            "PORTFOLIO_HEAT",
            f"max_portfolio_heat {q.bounds.limits.max_portfolio_heat} of equity",
            f"{q.money(heat)} of {q.money(q.equity)}",
            f"at most {q.money(max(q.equity, 0) * above // below)}",
        )
    return None
