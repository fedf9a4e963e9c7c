"""Effects that the broker has not answered: what is sent again after a crash."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from trading.journal import reports
from trading.journal.outputs import EFFECTS, Effect, Output, SendCancel, SendOrder, SendReplace
from trading.journal.reports import BrokerReport

__all__ = ["PendingEffects"]

_ENDS = (reports.OrderRejected, reports.OrderCanceled, reports.OrderExpired)
_REPORTS = {
    reports.OrderAccepted,
    *_ENDS,
    reports.OrderTriggered,
    reports.OrderReplaced,
    reports.OrderReplaceRejected,
    reports.OrderCancelRejected,
    reports.OrderFilled,
}


class PendingEffects:
    """Follows effects and reports, so that it is known which effects have no answer yet.

    Any report of an order answers its `SendOrder`. A cancel or replace is answered by its own
    report, or by the end of the order.
    """

    def __init__(self) -> None:
        self._by_order: dict[str, list[Effect]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._by_order.values()))

    def take(self, event: object, outputs: Sequence[Output]) -> None:
        """Follow one input and its outputs."""
        if event.__class__ in _REPORTS:
            self._answered(event)
        for output in outputs:
            if output.__class__ in EFFECTS:
                self._by_order.setdefault(output.order_id, []).append(output)

    def _answered(self, report: BrokerReport) -> None:
        order_id = getattr(report, "order_id", "")
        waiting = self._by_order.get(order_id)
        if waiting is None:
            return
        if isinstance(report, _ENDS):
            del self._by_order[order_id]
            return
        done: tuple[type, ...] = (SendOrder,)
        if isinstance(report, (reports.OrderReplaced, reports.OrderReplaceRejected)):
            done = (SendOrder, SendReplace)
        elif isinstance(report, reports.OrderCancelRejected):
            done = (SendOrder, SendCancel)
        left = [each for each in waiting if not isinstance(each, done)]
        if left:
            self._by_order[order_id] = left
        else:
            del self._by_order[order_id]

    def forget(self, order_id: str) -> None:
        """Let go of what concerns an order that has ended."""
        self._by_order.pop(order_id, None)

    def of(self, order_id: str) -> list[Effect]:
        """Return the unanswered effects of an order, in the order in which they were made."""
        return list(self._by_order.get(order_id, ()))

    def all(self) -> list[Effect]:
        """Return every unanswered effect, in order."""
        return [each for waiting in self._by_order.values() for each in waiting]

    def load(self, effects: Iterable[Effect]) -> None:
        """Go on from a snapshot."""
        self._by_order = {}
        for each in effects:
            self._by_order.setdefault(each.order_id, []).append(each)
