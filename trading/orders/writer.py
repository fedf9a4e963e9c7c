"""The one place that changes orders: their states, terms, fills, and what is sent for them."""

from __future__ import annotations

from hashlib import blake2b

from trading.errors import InvalidOrderEvent
from trading.journal.outputs import (
    Alert,
    FillBooked,
    OrderChanged,
    OrderEvent,
)
from trading.journal.recorder import Recorder
from trading.journal.reports import (
    OrderAccepted,
    OrderCanceled,
    OrderCancelRejected,
    OrderExpired,
    OrderFilled,
    OrderRejected,
    OrderReplaced,
    OrderReplaceRejected,
    OrderTriggered,
)
from trading.orders.id_digests import IdDigests
from trading.orders.order import Order
from trading.orders.partners import Books, Listener, Venue
from trading.orders.status import (
    EDGES,
    NEXT,
    PENDING,
    TERMINAL,
    WORKING,
    OrderStatus,
    next_status,
)
from trading.positions.lots import Execution

__all__ = ["OrderWriter", "content_of"]

# Bound once: an Enum's attribute costs more than the rest of an edge.
_INITIALIZED = OrderStatus.INITIALIZED
_SUBMITTED = OrderStatus.SUBMITTED
_ACCEPTED = OrderStatus.ACCEPTED
_TRIGGERED = OrderStatus.TRIGGERED
_CANCELED = OrderStatus.CANCELED
_PARTIAL = OrderStatus.PARTIALLY_FILLED
_FILLED = OrderStatus.FILLED
_PENDING_UPDATE = OrderStatus.PENDING_UPDATE
_PENDING_CANCEL = OrderStatus.PENDING_CANCEL
_EMULATED = OrderStatus.EMULATED
_RELEASED = OrderStatus.RELEASED
_NAMES = {status: status.value for status in OrderStatus}
# State and event → the next state, its name, whether it is a pending one and whether it ends the
# order: the edges that depend on the two alone.
_STEPS = {
    before: {
        name: (after, _NAMES[after], after in PENDING, after in TERMINAL and before not in TERMINAL)
        for name, after in events.items()
        if after is not None and before not in PENDING
    }
    for before, events in NEXT.items()
}
_HELD = frozenset({_INITIALIZED, _EMULATED, _RELEASED})
_UNCOUNTED = TERMINAL | {_INITIALIZED}


def content_of(order_id: str, quantity: int, price: int, fees: int) -> int:
    """Return what an execution says in 64 bits, short enough to be kept for ever."""
    said = f"{order_id}|{quantity}|{price}|{fees}"
    return int.from_bytes(blake2b(said.encode(), digest_size=8).digest(), "big", signed=True)


class OrderWriter:
    """Changes orders by commands of ours and reports of the broker.

    A report that contradicts an order's state changes nothing but is an alert, except that every
    execution is booked once. With `remembers`, execution ids are kept for ever, so that a repeat
    is recognised however late it comes; a broker that cannot repeat itself needs no memory.
    """

    def __init__(
        self,
        recorder: Recorder,
        venue: Venue,
        books: Books,
        listener: Listener,
        *,
        remembers: bool = True,
    ) -> None:
        self._recorder = recorder
        self._emit = recorder.emit
        self._venue = venue
        self._books = books
        self._listener = listener
        self.remembers = remembers
        self.orders: dict[str, Order] = {}
        # By account: what each execution said, and those that were taken back.
        self.seen: dict[str, IdDigests] = {}
        self.taken_back: dict[str, dict[str, None]] = {}
        self.finished: list[tuple[int, str]] = []

    # --- events -----------------------------------------------------------------------------------

    def event(self, order: Order, name: str, detail: str = "") -> None:
        """Lead an order along an edge and say so; InvalidOrderEvent where there is none."""
        before = order.status
        step = _STEPS[before].get(name)
        if step is None:
            # The cancel of an order whose replace is open gives the pending replace back.
            both = before is _PENDING_CANCEL and order.update_pending
            previous = _PENDING_UPDATE if both else order.previous
            found = next_status(before, name, previous=previous, order_id=order.order_id)
            said, ends = _NAMES[found], found in TERMINAL and before not in TERMINAL
        else:
            found, said, pending, ends = step
            if pending:
                order.previous = before
        order.status = found
        now = self._recorder.now
        # Setting a field costs several times as much as reading it.
        if order.updated != now:
            order.updated = now
        self._emit(OrderEvent(now, order.order_id, name, said, order.filled, detail))
        if ends:
            self._close(order)

    def _close(self, order: Order) -> None:
        if order.cancel_wanted or order.update_pending:
            order.cancel_wanted = order.update_pending = False
            order.wanted = None
        if order.counted:
            self.recount(order)
        # A group's orders are needed until all of them have ended, one that opened something until
        # it is closed by its time.
        now, flat_by = self._recorder.now, order.flat_by
        if not order.group and not (flat_by is not None and flat_by > now and order.filled):
            self.finished.append((now, order.order_id))

    def recount(self, order: Order) -> None:
        """Keep the size that open orders may trade.

        Reduce-only orders add nothing, nor do those that wait for their time or group: the rules
        have not judged them yet.
        """
        adds = order.status not in _UNCOUNTED and not order.reduce_only
        leaves = order.qty - order.filled if adds else 0
        change = max(leaves, 0) - order.counted
        if change:
            order.counted += change
            self._books.count(order, change)

    def _alert(self, code: str, order: Order, message: str) -> None:
        self.alert(code, order.account, order.order_id, message)

    def alert(self, code: str, account: str, subject: str, message: str) -> None:
        """Say something that a person must see."""
        recorder = self._recorder
        recorder.emit(Alert(recorder.now, code, account, subject, message))

    # --- commands ---------------------------------------------------------------------------------

    def add(self, order: Order) -> None:
        """Take charge of a new order."""
        self.orders[order.order_id] = order

    def submit(self, order: Order) -> None:
        """Send an order that has passed its risk checks."""
        self.event(order, "SUBMITTED")
        order.sent = True
        self._venue.send(order)

    def cancel(self, order: Order, reason: str = "") -> str:
        """Ask for an order's end; returns OK or why not. Asking again changes nothing."""
        status = order.status
        if status in TERMINAL:
            return "ORDER_FINISHED"
        if status in _HELD:
            self.event(order, "CANCELED", reason)
            self._listener.order_moved(order)
            return "OK"
        if status is _PENDING_CANCEL:
            return "OK"
        self.event(order, "PENDING_CANCEL", reason)
        if order.acknowledged:
            self._venue.send_cancel(order)
        else:
            # It is sent once the order is acknowledged: a broker may not know it before.
            order.cancel_wanted = True
        return "OK"

    def replace(self, order: Order, quantity: int, limit: int | None, stop: int | None) -> str:
        """Ask for other terms; returns OK or why not.

        A quantity below what is filled means: no more than that.
        """
        status = order.status
        if status in TERMINAL:
            return "ORDER_FINISHED"
        if status is _PENDING_CANCEL:
            return "CANCEL_PENDING"
        if status is _PENDING_UPDATE:
            return "UPDATE_PENDING"
        if status in _HELD:
            self._take_terms(order, quantity, limit, stop)
            self.event(order, "UPDATED")
            return "OK"
        order.wanted = (max(quantity, order.filled), limit, stop)
        order.update_pending = True
        self.event(order, "PENDING_UPDATE")
        if order.acknowledged:
            self._send_wanted(order)
        return "OK"

    @staticmethod
    def kept_stop(order: Order) -> int | None:
        """Return the stop that leaves an order's stop as it is when it is asked for in a replace.

        None for a trailing stop at a broker: the stop has moved since it was told here.
        """
        return None if order.kind == "TRAILING_STOP" and order.status not in _HELD else order.stop

    def _send_wanted(self, order: Order) -> None:
        if order.wanted is not None:
            self._venue.send_replace(order, *order.wanted)

    def _take_terms(self, order: Order, quantity: int, limit: int | None, stop: int | None) -> None:
        order.qty, order.limit, order.stop = quantity, limit, stop
        self.recount(order)
        recorder = self._recorder
        recorder.emit(OrderChanged(recorder.now, order.order_id, quantity, limit, stop))

    def resize(self, order: Order, quantity: int) -> None:
        """Give an order that was not sent yet another size."""
        self._take_terms(order, quantity, order.limit, order.stop)

    def unfilled(self, order: Order) -> None:
        """Hear that what an order filled was taken back or corrected."""
        self._listener.order_moved(order)

    def move_stop(self, order: Order, stop: int) -> None:
        """Let the stop of a trailing order follow the market."""
        self._take_terms(order, order.qty, order.limit, stop)

    # --- reports ----------------------------------------------------------------------------------

    def _report(self, order: Order | None, report: object, name: str, detail: str = "") -> bool:
        """Lead an order along the edge of a report; an alert where there is no such edge."""
        if order is None:
            self.alert(
                "UNKNOWN_ORDER",
                getattr(report, "account", ""),
                getattr(report, "order_id", ""),
                f"{type(report).__name__} for an order that is not known here",
            )
            return False
        if order.status in TERMINAL:
            return False  # reports after the end change no state
        try:
            self.event(order, name, detail)
        except InvalidOrderEvent as error:
            self._alert("CONTRADICTION", order, str(error))
            return False
        return True

    def accepted(self, report: OrderAccepted) -> None:
        """The broker works the order: what waited for this is sent now."""
        order = self.orders.get(report.order_id)
        if order is None:
            self._report(None, report, "ACCEPTED")
            return
        if order.acknowledged:
            return  # said before
        if order.status is _SUBMITTED:
            self.event(order, "ACCEPTED")
        elif order.filled or order.status in WORKING:
            pass  # a late acknowledgement of what already fills changes no state
        elif not self._report(order, report, "ACCEPTED"):
            return
        order.acknowledged = True
        if report.venue_id:
            order.venue_id = report.venue_id
        if order.cancel_wanted:
            order.cancel_wanted = False
            if order.status is not _PENDING_CANCEL:
                self.event(order, "PENDING_CANCEL")
            self._venue.send_cancel(order)
        elif order.update_pending:
            if order.status is not _PENDING_UPDATE:
                self.event(order, "PENDING_UPDATE")
            self._send_wanted(order)
        if order.group:
            self._listener.order_moved(order)

    def rejected(self, report: OrderRejected) -> None:
        """The broker does not take the order."""
        self._ended(report, "REJECTED", report.reason)

    def canceled(self, report: OrderCanceled) -> None:
        """The order works no longer."""
        self._ended(report, "CANCELED", report.reason)

    def expired(self, report: OrderExpired) -> None:
        """The order's time is over."""
        self._ended(report, "EXPIRED")

    def _ended(
        self, report: OrderRejected | OrderCanceled | OrderExpired, name: str, detail: str = ""
    ) -> None:
        order = self.orders.get(report.order_id)
        if self._report(order, report, name, detail) and order is not None:
            self._listener.order_moved(order)

    def triggered(self, report: OrderTriggered) -> None:
        """A stop-limit rests at its limit now.

        A trigger that crosses our cancel, comes after a fill or is said again changes no state: a
        cancel that is refused gives TRIGGERED back.
        """
        order = self.orders.get(report.order_id)
        if order is not None and order.kind == "STOP_LIMIT":
            crosses = order.status is _PENDING_CANCEL
            if crosses or order.triggered or order.filled:
                order.triggered = True
                if crosses and order.previous is _ACCEPTED:
                    order.previous = _TRIGGERED
                return
        if self._report(order, report, "TRIGGERED") and order is not None:
            order.triggered = True

    def replaced(self, report: OrderReplaced) -> None:
        """The order has other terms; below what is filled it is finished."""
        order = self.orders.get(report.order_id)
        if order is None:
            self._report(None, report, "UPDATED")
            return
        if order.status in TERMINAL:
            return
        order.update_pending = False
        order.wanted = None
        self._take_terms(order, max(report.quantity, order.filled), report.limit, report.stop)
        # A cancel that is pending stays on show.
        if "UPDATED" in EDGES[order.status]:
            self.event(order, "UPDATED")
        if 0 < order.qty == order.filled:
            self.event(order, "FILLED", "replaced to what is filled")
        self._listener.order_moved(order)

    def replace_rejected(self, report: OrderReplaceRejected) -> None:
        """The order keeps its terms, and has its former state back."""
        order = self.orders.get(report.order_id)
        if order is None or order.status in TERMINAL:
            return
        order.update_pending = False
        order.wanted = None
        if order.status is _PENDING_UPDATE:
            self.event(order, "UPDATE_REJECTED", report.reason)
        self._listener.order_moved(order)

    def cancel_rejected(self, report: OrderCancelRejected) -> None:
        """The order works on, and has its former state back."""
        order = self.orders.get(report.order_id)
        if order is None or order.status in TERMINAL:
            return
        if self._report(order, report, "CANCEL_REJECTED", report.reason):
            self._listener.order_moved(order)

    def filled(self, report: OrderFilled) -> None:
        """Book an execution once: late, early, after a cancel or above the order's quantity."""
        if self.remembers and self._repeats(report):
            return
        order = self.orders.get(report.order_id)
        if order is None:
            self._fill_of_unknown(report)
        else:
            self._book(order, report)

    def filled_at_once(self, order: Order, report: OrderFilled) -> None:
        """A simulated broker took a submitted order and filled the whole of it as it arrived."""
        self.event(order, "ACCEPTED")
        order.acknowledged = True
        self._book(order, report)

    def _book(self, order: Order, report: OrderFilled) -> None:
        fill_id, quantity = report.fill_id, report.quantity
        price, fees = report.price, report.fees
        order.filled += quantity
        order.value += quantity * price
        order.fees += fees
        order.fill_ids.append(fill_id)
        if order.status is _ACCEPTED and order.filled == order.qty:
            # By far the most; the general way is below.
            note = ""
            if order.updated != self._recorder.now:
                order.updated = self._recorder.now
            order.status = _FILLED
            self._close(order)
        else:
            note = self._fill_state(order)
        if order.counted:
            self.recount(order)
        order_id, side, executed = order.order_id, order.side, report.executed
        account, strategy, symbol = order.account, order.strategy, order.symbol
        self._emit(
            FillBooked(
                self._recorder.now,
                account,
                strategy,
                symbol,
                order_id,
                fill_id,
                side,
                quantity,
                price,
                fees,
                executed,
                report.maker,
                _NAMES[order.status],
                order.filled,
                note,
            )
        )
        self._books.book_fill(
            account,
            strategy,
            symbol,
            Execution(fill_id, order_id, side, quantity, price, fees, executed),
        )
        if note:
            self._note_fill(order, note)
        self._listener.order_filled(order, report)

    def _note_fill(self, order: Order, note: str) -> None:
        """Say what was unusual about a fill, after it is booked."""
        if note == "OVERFILL":
            over = order.filled - order.qty
            self._alert("OVERFILL", order, f"filled {order.filled} of {order.qty}, {over} too many")
        if order.status is _PARTIAL and note == "CROSSED":
            # The fill crossed the cancel: nothing of the order works any more.
            self.event(order, "CANCELED", "a fill crossed the cancel")

    def _fill_state(self, order: Order) -> str:
        """Lead an order along the edge of its fill; returns what was unusual about it."""
        full = order.filled >= order.qty
        before = order.status
        order.updated = self._recorder.now
        over = "OVERFILL" if order.filled > order.qty else ""
        if before in TERMINAL and before is not _CANCELED:
            return over or "LATE"
        if before in _HELD:
            # First heard of from the broker, or sent by somebody else under our id.
            if before is _INITIALIZED:
                self.event(order, "ACCEPTED", "filled before it was sent from here")
            else:
                self._alert("CONTRADICTION", order, f"a fill while it is {before}")
                return over or "LATE"
        name = "FILLED" if full else "PARTIALLY_FILLED"
        status = next_status(order.status, name, order_id=order.order_id)
        if order.status in PENDING and not full:
            order.previous = _PARTIAL
        order.status = status
        if full and before is not _CANCELED:
            self._close(order)
        return over or ("CROSSED" if before is _CANCELED else "")

    def remember(self, account: str, fill_id: str, content: int) -> int | None:
        """Note what an execution says; where it is known, return what it said first."""
        seen = self.seen.get(account)
        if seen is None:
            seen = self.seen[account] = IdDigests()
        return seen.add(fill_id, content)

    def _repeats(self, report: OrderFilled) -> bool:
        content = content_of(report.order_id, report.quantity, report.price, report.fees)
        known = self.remember(report.account, report.fill_id, content)
        if known is None:
            return False
        if known != content:
            self.alert(
                "FILL_CONFLICT",
                report.account,
                report.fill_id,
                f"execution {report.fill_id} came again with other content: order "
                f"{report.order_id}, {report.quantity} at {report.price}; the first one stays",
            )
        return True

    def _fill_of_unknown(self, report: OrderFilled) -> None:
        """An execution of an order that is not ours, or was finished and removed long ago."""
        known = report.side and self._books.knows(report.account, report.symbol)
        self.alert(
            "UNKNOWN_ORDER",
            report.account,
            report.order_id,
            f"execution {report.fill_id} of {report.quantity} at {report.price} for an order that "
            f"is not known here; it is {'booked' if known else 'not booked: name its symbol'}",
        )
        if not known:
            return
        recorder = self._recorder
        recorder.emit(
            FillBooked(
                recorder.now,
                report.account,
                report.strategy,
                report.symbol,
                report.order_id,
                report.fill_id,
                report.side,
                report.quantity,
                report.price,
                report.fees,
                report.executed,
                report.maker,
                "",
                report.quantity,
                "UNKNOWN",
            )
        )
        self._books.book_fill(
            report.account,
            report.strategy,
            report.symbol,
            Execution(
                report.fill_id,
                report.order_id,
                report.side,
                report.quantity,
                report.price,
                report.fees,
                report.executed,
            ),
        )

    def evict(self, before: int, most: int = 0) -> None:
        """Forget orders that ended at or before a time; their records are in the journal.

        Where more than `most` are kept, and a quarter again, the oldest are forgotten too (0: no
        bound).
        """
        finished, count = self.finished, 0
        if finished and finished[-1][0] <= before:
            for _, order_id in finished:
                self.orders.pop(order_id, None)
            finished.clear()
            return
        spare = len(finished) - most if most and len(finished) > most + most // 4 else 0
        while count < len(finished) and (count < spare or finished[count][0] <= before):
            self.orders.pop(finished[count][1], None)
            count += 1
        if count:
            del finished[:count]
