"""Rules of money lost: the daily loss, and the drawdown that scales sizes."""

from __future__ import annotations

from trading.risk.account import Account
from trading.risk.rules.question import Bounds, Question, Ratio, Refused

__all__ = ["daily_loss", "drawdown", "lost_too_much", "scale_of"]


def daily_loss(q: Question) -> Refused | None:
    refused = q.find_equity()
    start = q.account.day_start_equity
    if refused or q.equity is None:
        return refused
    if start is None:
        return q.missing("MISSING_EQUITY", "the equity at the start of the session")
    # Reached is refused: what is left to lose is nothing.
    if not start - q.equity < q.bounds.amounts["max_daily_loss"]:
        return q.refuse_amount("DAILY_LOSS", "max_daily_loss", start - q.equity)
    return None


def lost_too_much(bounds: Bounds, account: Account, equity: int) -> str:
    """Return why an account of this equity is halted by its limits; empty where it is not."""
    limits, start, high = bounds.limits, account.day_start_equity, account.high_water
    bound = bounds.amounts.get("max_daily_loss")
    if bound is not None and start is not None and not start - equity < bound:
        return f"daily loss reached max_daily_loss {limits.max_daily_loss}"
    share = bounds.shares.get("halt_drawdown")
    if share is not None and high is not None and high > 0:
        above, below = share
        if (high - equity) * below >= high * above:
            return f"drawdown reached halt_drawdown {limits.halt_drawdown}"
    return ""


def scale_of(bounds: Bounds, equity: int, high_water: int) -> Ratio:
    """Return the part of a size that is traded at this drawdown."""
    scale = (1, 1)
    lost = high_water - equity
    if lost > 0:
        for (above, below), part in bounds.steps:
            if lost * below >= high_water * above:
                scale = part
    return scale


def drawdown(q: Question) -> Refused | None:
    refused = q.find_equity()
    high = q.account.high_water
    if refused or q.equity is None:
        return refused
    if high is None or high <= 0:
        return q.missing("MISSING_EQUITY", "an equity above 0")
    if q.equity >= high:
        return None
    above, below = scale_of(q.bounds, q.equity, high)
    step = q.spec.size_increment
    qty = q.order.qty * above // below // step * step if above != below else q.order.qty
    if qty < max(q.spec.min_size, 1):
        return Refused(
            "DRAWDOWN",
            f"drawdown_steps {q.bounds.limits.drawdown_steps}",
            f"equity {q.money(q.equity)}, {q.money(high - q.equity)} below its high",
            "orders that reduce positions",
        )
    q.order.qty = qty
    return None
