"""Orders that depend on each other: brackets, one-cancels-other, one-triggers-other.

A group is brought into line after every event of a member: what each member should be is computed
from what has filled, and whatever differs is sent, replaced or cancelled. So partial fills, late
answers and refused replaces all end at the same place.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from trading.journal.outputs import GroupChanged
from trading.journal.recorder import Recorder
from trading.orders.order import Order
from trading.orders.status import TERMINAL, WORKING, OrderStatus
from trading.orders.writer import OrderWriter

__all__ = ["KINDS", "Group", "Groups"]

KINDS = ("BRACKET", "OCO", "OTO", "OTO_FULL")

_INITIALIZED = OrderStatus.INITIALIZED
_EMULATED = OrderStatus.EMULATED
_CHANGEABLE = WORKING | {_EMULATED}


class Group(msgspec.Struct, array_like=True, gc=False):
    """Member orders; the first of a bracket or OTO is the parent. `asked` is each one's own size.

    `tried` is the size that was last asked of the broker for a member, so that a refused replace
    is not sent again and again; for a cancel it is -1 less what all members had filled.
    """

    group_id: str
    kind: str
    members: list[str]
    asked: list[int]
    state: str = "CREATED"
    tried: dict[str, int] = {}


class Groups:
    """Keeps the members of groups in line.

    `release` sends a held member on its way; `may_grow` judges a larger size of one that works.
    """

    def __init__(
        self,
        recorder: Recorder,
        writer: OrderWriter,
        release: Callable[[Order], None],
        may_grow: Callable[[Order, int], bool],
    ) -> None:
        self._recorder = recorder
        self._writer = writer
        self._release = release
        self._may_grow = may_grow
        self.groups: dict[str, Group] = {}
        self._syncing = ""

    def add(self, group: Group) -> None:
        """Take charge of a group whose orders the writer knows already."""
        self.groups[group.group_id] = group
        self._say(group, "CREATED")

    def resized(self, order: Order, quantity: int) -> None:
        """Note that somebody asks for another size of a member."""
        group = self.groups.get(order.group)
        if group is not None:
            group.asked[group.members.index(order.order_id)] = quantity

    def sync(self, group_id: str) -> None:
        """Bring a group into line with what its members have filled."""
        group = self.groups.get(group_id)
        if group is None or self._syncing == group_id:
            return  # an event of its own making; the loop below looks again
        before, self._syncing = self._syncing, group_id
        try:
            # Each pass acts on what the one before it caused, such as a fill at once.
            for _ in range(4 * len(group.members)):
                if not self._pass(group):
                    break
        finally:
            self._syncing = before
        self._end(group)

    def _pass(self, group: Group) -> bool:
        if group.kind == "OCO":
            return self._one_cancels_other(group)
        return self._parent_and_children(group)

    def _order(self, order_id: str) -> Order | None:
        return self._writer.orders.get(order_id)

    # --- OCO --------------------------------------------------------------------------------------

    def _one_cancels_other(self, group: Group) -> bool:
        orders = [self._order(each) for each in group.members]
        if not any(order is not None and order.filled for order in orders):
            return False
        acted = False
        for order in orders:
            if (
                order is not None
                and not order.filled
                and self._cancel(group, order, "the other filled")
            ):
                acted = True
        return acted

    # --- bracket and OTO --------------------------------------------------------------------------

    def _parent_and_children(self, group: Group) -> bool:
        parent = self._order(group.members[0])
        if parent is None:
            return False
        children = [self._order(each) for each in group.members[1:]]
        ended = parent.status in TERMINAL
        filled = parent.filled
        if group.kind == "OTO_FULL" and not (ended and filled >= parent.qty):
            filled = 0
        if filled == 0:
            if not ended:
                return False
            acted = False
            for child in children:
                if child is not None and self._cancel(group, child, "the parent ended unfilled"):
                    acted = True
            return acted
        exited = sum(child.filled for child in children if child is not None)
        acted = False
        for at, child in enumerate(children, 1):
            if child is None or child.status in TERMINAL:
                continue
            if group.kind == "BRACKET":
                wanted = child.filled + max(filled - exited, 0)
            else:
                wanted = min(group.asked[at], filled)
            if self._adjust(group, child, wanted):
                acted = True
        if group.kind == "BRACKET" and exited and not any(map(_works, children)):
            # No exit is left for what the entry might still fill.
            acted = self._cancel(group, parent, "its exit filled") or acted
        return acted

    def _adjust(self, group: Group, child: Order, wanted: int) -> bool:
        """Give a child the size that it should have; True where something was done."""
        if wanted <= child.filled:
            return self._cancel(group, child, "nothing is left to exit")
        if child.status is _INITIALIZED:
            if child.qty != wanted:
                self._writer.resize(child, wanted)
            if child.sent:
                return False
            child.sent = True
            self._release(child)
            return True
        if child.qty == wanted:
            group.tried.pop(child.order_id, None)
            return False
        if group.tried.get(child.order_id) == wanted or child.status not in _CHANGEABLE:
            return False
        group.tried[child.order_id] = wanted
        if wanted > child.qty and not self._may_grow(child, wanted):
            return False
        self._writer.replace(child, wanted, child.limit, self._writer.kept_stop(child))
        return True

    def _cancel(self, group: Group, order: Order, reason: str) -> bool:
        """Cancel a member; what the broker refuses is asked again when more has filled."""
        if order.status in TERMINAL or order.status is OrderStatus.PENDING_CANCEL:
            return False
        members = (self._order(each) for each in group.members)
        mark = -1 - sum(each.filled for each in members if each is not None)
        if group.tried.get(order.order_id) == mark:
            return False
        group.tried[order.order_id] = mark
        return self._writer.cancel(order, reason) == "OK"

    # --- states -----------------------------------------------------------------------------------

    def _say(self, group: Group, state: str) -> None:
        group.state = state
        recorder = self._recorder
        recorder.emit(GroupChanged(recorder.now, group.group_id, group.kind, state))

    def _end(self, group: Group) -> None:
        """Say how far the group has come, and let it go when all its orders ended."""
        orders = [order for each in group.members if (order := self._order(each)) is not None]
        state = self._state(group, orders)
        if state != group.state:
            self._say(group, state)
        if all(order.status in TERMINAL for order in orders):
            if group.state not in ("CANCELLED", "REJECTED"):
                self._say(group, "COMPLETED")
            del self.groups[group.group_id]
            self._writer.finished += [(self._recorder.now, each) for each in group.members]

    def _state(self, group: Group, orders: list[Order]) -> str:
        if group.kind == "OCO" or not orders:
            return group.state
        parent, children = orders[0], orders[1:]
        if not parent.filled:
            if parent.status in (OrderStatus.REJECTED, OrderStatus.DENIED):
                return "REJECTED"
            return "CANCELLED" if parent.status in TERMINAL else "ENTRY_PLACED"
        for child in children:
            if child.filled and child.filled >= child.qty:
                if group.kind != "BRACKET":
                    return "COMPLETED"
                return "TARGET_FILLED" if child.role == "TARGET" else "STOPLOSS_FILLED"
        if any(child.sent for child in children):
            return "EXIT_ORDERS_PLACED"
        return "ENTRY_FILLED"


def _works(order: Order | None) -> bool:
    """Whether an order is open, and nobody has asked for its end."""
    return order is not None and order.is_open and order.status is not OrderStatus.PENDING_CANCEL
