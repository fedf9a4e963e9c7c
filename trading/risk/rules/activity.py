"""Rules of how much is sent: the rate of orders, and an order that was just sent."""

from __future__ import annotations

from bisect import bisect_right

from trading.orders.order import Order
from trading.risk.rules.question import Question, Refused

__all__ = ["duplicate_order", "forget_before", "order_rate", "record_sent"]


def order_rate(q: Question) -> Refused | None:
    limits, times = q.bounds.limits, q.account.order_times
    left = forget_before(times, q.now - limits.order_window)
    count = len(times) - left
    if limits.max_orders is not None and not count < limits.max_orders:
        return Refused(
            "ORDER_RATE",
            f"{limits.max_orders} orders in {limits.order_window} ns",
            f"{count} before this one",
            f"the next one from {times[left] + limits.order_window} on" if count else "none",
        )
    return None


def forget_before(times: list[int], since: int) -> int:
    """Return how many of these times have left a window; they are dropped once they are many."""
    if not times or times[0] > since:
        return 0
    left = bisect_right(times, since)
    if 2 * left < len(times):
        return left
    del times[:left]
    return 0


def duplicate_order(q: Question) -> Refused | None:
    window = q.bounds.limits.duplicate_window or 0
    last = q.account.recent.get(_signature(q.order))
    if last is not None and q.now - last < window:
        return Refused(
            "DUPLICATE_ORDER",
            f"the same order not twice within {window} ns",
            f"one sent at {last}",
            f"from {last + window} on, or another tag to say that it is meant",
        )
    return None


def _signature(order: Order) -> str:
    return (
        f"{order.strategy}|{order.symbol}|{order.side}|{order.qty}|{order.kind}|{order.limit}|"
        f"{order.stop}|{order.tag}"
    )


def record_sent(q: Question) -> None:
    """Remember an order that passed, for the rules that count and compare."""
    limits, account = q.bounds.limits, q.account
    if limits.max_orders is not None:
        account.order_times.append(q.now)
    window = limits.duplicate_window
    if window is not None:
        recent, key = account.recent, _signature(q.order)
        recent.pop(key, None)
        recent[key] = q.now
        while q.now - recent[next(iter(recent))] >= window > 0:
            del recent[next(iter(recent))]
