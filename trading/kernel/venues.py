"""Where orders go: to the simulated broker inside the kernel, or out as effects."""

from __future__ import annotations

from trading.brokers.paper import AUCTIONS, PaperBroker
from trading.journal.outputs import SendCancel, SendOrder, SendReplace
from trading.journal.recorder import Recorder
from trading.orders.order import Order
from trading.risk.account import Market

__all__ = ["EffectVenue", "PaperVenue"]


class PaperVenue:
    """Hands orders to a simulated broker, with the times of the auctions that they wait for."""

    def __init__(self, recorder: Recorder, market: Market, broker: PaperBroker) -> None:
        self._recorder = recorder
        self._market = market
        self._broker = broker
        self._submit = broker.submit

    def send(self, order: Order) -> None:
        """Send an order."""
        if order.tif in AUCTIONS:
            self._broker.submit(order, *self._auction(order))
        else:
            self._submit(order)

    def _auction(self, order: Order) -> tuple[int | None, int | None]:
        market, now = self._market, self._recorder.now
        calendar = market.specs[order.symbol].calendar
        session = market.session(calendar, now)
        if session is None:
            return None, None
        if order.tif == "AT_CLOSE":
            return None, session[1]
        if session[0] < now:
            session = market.session(calendar, session[1])
        return (None if session is None else session[0]), None

    def send_cancel(self, order: Order) -> None:
        """Ask for an order's end."""
        self._broker.cancel(order.order_id)

    def send_replace(
        self, order: Order, quantity: int, limit: int | None, stop: int | None
    ) -> None:
        """Ask for other terms."""
        self._broker.replace(order.order_id, quantity, limit, stop)


class EffectVenue:
    """Says what is to be sent; somebody outside sends it after the outputs are recorded."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    def send(self, order: Order) -> None:
        """Say that an order is to be sent."""
        recorder = self._recorder
        recorder.emit(
            SendOrder(
                recorder.now,
                order.order_id,
                order.account,
                order.symbol,
                order.side,
                order.qty,
                order.kind,
                order.limit,
                order.stop,
                order.tif,
                order.expire_at,
                order.reduce_only,
                order.post_only,
                order.trail,
                order.trail_bps,
            )
        )

    def send_cancel(self, order: Order) -> None:
        """Say that an order is to be cancelled."""
        recorder = self._recorder
        recorder.emit(SendCancel(recorder.now, order.order_id, order.account))

    def send_replace(
        self, order: Order, quantity: int, limit: int | None, stop: int | None
    ) -> None:
        """Say that other terms are to be asked for."""
        recorder = self._recorder
        recorder.emit(
            SendReplace(recorder.now, order.order_id, order.account, quantity, limit, stop)
        )
