"""The rules that an order passes before it leaves, in their order; the first that refuses speaks.

A rule is a function of a `Question` that returns None or a `Refused`. It never lets an order pass
on a number that is missing: that is a refusal with a code of its own, MISSING_….
"""

from __future__ import annotations

from trading.risk.limits import HeldLimits, Limits
from trading.risk.rules.activity import duplicate_order, forget_before, order_rate, record_sent
from trading.risk.rules.exposure import (
    account_exposure,
    position_limit,
    strategy_notional,
    symbol_notional,
)
from trading.risk.rules.losses import daily_loss, drawdown, lost_too_much, scale_of
from trading.risk.rules.order import (
    in_session,
    notional_bounds,
    order_equity_share,
    order_notional,
    price_collar,
    reduce_only,
    size_bounds,
    symbol_allowed,
    trading_state,
)
from trading.risk.rules.question import (
    CODES,
    Bounds,
    Question,
    Refused,
    Rule,
    floor_units,
    ratio_of,
)
from trading.risk.rules.together import correlated_notional, correlation_clusters, portfolio_heat
from trading.specification import InstrumentSpec

__all__ = [
    "CODES",
    "RULES",
    "Bounds",
    "Question",
    "Refused",
    "Rule",
    "compile_limits",
    "forget_before",
    "lost_too_much",
    "record_sent",
    "rules_of",
    "scale_of",
]

# A rule, and the limits of which one must be set for it to be needed.
RULES: tuple[tuple[Rule, tuple[str, ...]], ...] = (
    (trading_state, ()),
    (symbol_allowed, ("symbols",)),
    (in_session, ()),
    (size_bounds, ()),
    (notional_bounds, ()),
    (order_notional, ("max_order_notional",)),
    (order_equity_share, ("max_order_equity_share",)),
    (price_collar, ("price_collar",)),
    (reduce_only, ()),
    (position_limit, ("max_position",)),
    (symbol_notional, ("max_symbol_notional",)),
    (account_exposure, ("max_gross_exposure", "max_net_exposure")),
    (strategy_notional, ("max_strategy_notional",)),
    (daily_loss, ("max_daily_loss",)),
    (drawdown, ("drawdown_steps",)),
    (correlation_clusters, ("clusters",)),
    (correlated_notional, ("max_correlated_notional",)),
    (portfolio_heat, ("max_portfolio_heat",)),
    (order_rate, ("max_orders",)),
    (duplicate_order, ("duplicate_window",)),
)
"""The order in which rules are asked."""

_OF_OPENING = frozenset(
    {
        *(symbol_allowed, order_equity_share, position_limit, symbol_notional, account_exposure),
        *(strategy_notional, daily_loss, drawdown, correlation_clusters, correlated_notional),
        portfolio_heat,
    }
)
"""Rules that an order which reduces a position is not asked."""


def rules_of(bounds: Bounds, spec: InstrumentSpec) -> tuple[tuple[Rule, ...], tuple[Rule, ...]]:
    """Return the rules that can refuse an ordinary order of a symbol, opening and reducing.

    Those that look at what the account or the instrument does not have are left out: a trading
    state other than ACTIVE, reduce-only, sessions, bounds of notional.
    """
    found = bounds.chosen.get(spec.symbol)
    if found is None:
        idle = {trading_state, reduce_only}
        if not spec.calendar:
            idle.add(in_session)
        if spec.min_notional is None and spec.max_notional is None:
            idle.add(notional_bounds)
        found = bounds.chosen[spec.symbol] = (
            tuple(rule for rule in bounds.rules if rule not in idle),
            tuple(rule for rule in bounds.reducing if rule not in idle),
        )
    return found


_AMOUNTS = (
    *("max_order_notional", "max_symbol_notional", "max_gross_exposure", "max_net_exposure"),
    *("max_strategy_notional", "max_daily_loss", "max_correlated_notional"),
)
_OF_TOTALS = (
    *("max_gross_exposure", "max_net_exposure", "max_strategy_notional", "max_daily_loss"),
    *("drawdown_steps", "max_order_equity_share", "max_portfolio_heat", "halt_drawdown"),
)
_SHARES = (
    *("max_order_equity_share", "price_collar", "max_correlation", "max_portfolio_heat"),
    "halt_drawdown",
)


NO_LIMITS = Limits(drawdown_steps=())
"""An account without limits of its own: the market's rules alone."""


def compile_limits(held: HeldLimits | None, money_decimals: int) -> Bounds:
    """Return limits in whole numbers, with only the rules that they need."""
    limits = NO_LIMITS if held is None else held.limits

    def money(text: str) -> int:
        return floor_units(text, money_decimals)

    def is_set(name: str) -> bool:
        return getattr(limits, name) not in (None, ())

    rules = tuple(rule for rule, names in RULES if not names or any(map(is_set, names)))
    return Bounds(
        limits_id="" if held is None else held.limits_id,
        limits=limits,
        rules=rules,
        reducing=tuple(rule for rule in rules if rule not in _OF_OPENING),
        amounts={n: money(getattr(limits, n)) for n in _AMOUNTS if is_set(n)},
        shares={n: ratio_of(getattr(limits, n)) for n in _SHARES if is_set(n)},
        steps=tuple((ratio_of(at), ratio_of(scale)) for at, scale in limits.drawdown_steps),
        clusters=tuple(
            (c.name, frozenset(c.symbols), money(c.max_notional)) for c in limits.clusters
        ),
        needs_equity=any(map(is_set, ("max_daily_loss", "drawdown_steps", "halt_drawdown"))),
        needs_totals=any(map(is_set, _OF_TOTALS)),
        needs_record=is_set("max_orders") or is_set("duplicate_window"),
    )
