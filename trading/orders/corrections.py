"""Executions that a broker takes back or corrects: busts and corrections of fills."""

from __future__ import annotations

from trading.journal.reports import FillBusted, FillCorrected
from trading.orders.partners import Books
from trading.orders.status import PENDING, TERMINAL, OrderStatus
from trading.orders.writer import OrderWriter, content_of
from trading.positions.lots import Execution

__all__ = ["Corrections"]

_ACCEPTED = OrderStatus.ACCEPTED
_PARTIAL = OrderStatus.PARTIALLY_FILLED
_FILLED = OrderStatus.FILLED


class Corrections:
    """Makes positions, cash and orders as if a fill had never been, or had been right."""

    def __init__(self, writer: OrderWriter, books: Books) -> None:
        self._writer = writer
        self._books = books

    def busted(self, report: FillBusted) -> None:
        """An execution never was: positions, cash and the order's quantities say so.

        One that the books no longer remember is booked as its opposite, where the report says
        what it was.
        """
        if self._taken_back(report.account, report.fill_id):
            return
        before = self._books.find_execution(report.account, report.fill_id)
        if before is not None:
            self._books.book_back(report.account, before, None, report.reason)
            self._unfill(before, None)
        elif report.side and self._books.knows(report.account, report.symbol):
            before = Execution(
                report.fill_id,
                report.order_id,
                report.side,
                report.quantity,
                report.price,
                report.fees,
                report.time,
            )
            self._books.book_reverse(
                report.account, report.strategy, report.symbol, before, report.reason
            )
            self._unfill(before, None)
        else:
            self._unknown_fill(report.account, report.fill_id)

    def corrected(self, report: FillCorrected) -> None:
        """An execution has other numbers, under an id of its own."""
        if self._taken_back(report.account, report.fill_id):
            return
        before = self._books.find_execution(report.account, report.fill_id)
        if before is None:
            self._unknown_fill(report.account, report.fill_id)
            return
        instead = Execution(
            report.corrected_id,
            before.order_id,
            before.side,
            report.quantity,
            report.price,
            report.fees,
            before.time,
        )
        if self._writer.remembers:
            content = content_of(before.order_id, report.quantity, report.price, report.fees)
            self._writer.remember(report.account, report.corrected_id, content)
        self._books.book_back(report.account, before, instead, "corrected")
        self._unfill(before, instead)

    def _taken_back(self, account: str, fill_id: str) -> bool:
        """Whether this was said before; a bust is booked once."""
        known = self._writer.taken_back.setdefault(account, {})
        if fill_id in known:
            return True
        known[fill_id] = None
        return False

    def _unknown_fill(self, account: str, fill_id: str) -> None:
        self._writer.taken_back[account].pop(fill_id)
        self._writer.alert(
            "UNKNOWN_FILL",
            account,
            fill_id,
            f"execution {fill_id} is taken back by the broker and not in the books' memory; "
            "say it again with its symbol, side, quantity, price and fees",
        )

    def _unfill(self, before: Execution, corrected: Execution | None) -> None:
        order = self._writer.orders.get(before.order_id)
        if order is None:
            return
        size = 0 if corrected is None else corrected.quantity
        order.filled += size - before.quantity
        order.value -= before.quantity * before.price
        order.fees -= before.fees
        if before.fill_id in order.fill_ids:
            order.fill_ids.remove(before.fill_id)
        if corrected is not None:
            order.value += size * corrected.price
            order.fees += corrected.fees
            order.fill_ids.append(corrected.fill_id)
        if order.status in TERMINAL:
            if order.status is _FILLED and order.filled < order.qty:
                self._writer.alert(
                    "BUSTED_AFTER_END",
                    order.account,
                    order.order_id,
                    f"filled {order.filled} of {order.qty} after a bust; it works no longer, "
                    "send a new order for the rest",
                )
            self._writer.unfilled(order)
            return
        if order.filled >= order.qty:
            self._writer.event(order, "FILLED", "corrected")
        elif order.status is _PARTIAL and order.filled == 0:
            self._writer.event(order, "ACCEPTED", "its only fill was busted")
        if order.status in PENDING and order.previous is _PARTIAL and order.filled == 0:
            order.previous = _ACCEPTED
        self._writer.recount(order)
        self._writer.unfilled(order)
