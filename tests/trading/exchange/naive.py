"""The exchange in the plainest way: one list of orders that is searched anew for every step.

It shares no code with the matching engine. `NaiveExchange.said` has what accounts are told, as
tuples of account, word, order id and figures.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from trading.journal.outputs import SendCancel, SendOrder, SendReplace


@dataclass(eq=False)
class Entry:
    request: SendOrder
    number: int
    quantity: int
    limit: int | None
    stop: int | None
    where: str = "new"  # new, book, stops, auction, done
    status: str = "ACCEPTED"
    filled: int = 0
    rank: int = 0
    best: int | None = None
    triggered: bool = False

    @property
    def id(self) -> str:
        return self.request.order_id

    @property
    def side(self) -> int:
        return self.request.side

    @property
    def account(self) -> str:
        return self.request.account

    @property
    def left(self) -> int:
        return self.quantity - self.filled


class NaiveExchange:
    def __init__(self, self_trade: str) -> None:
        self.self_trade = self_trade
        self.entries: list[Entry] = []
        self.said: list[tuple[Any, ...]] = []
        self.last: int | None = None
        self.open = True
        self.held: dict[str, int] = {}
        self.clock = 0
        self.hit: list[Entry] = []

    # --- requests ---------------------------------------------------------------------------------

    def order(self, request: SendOrder) -> None:
        entry = Entry(request, len(self.entries) + 1, request.quantity, request.limit, request.stop)
        self.entries.append(entry)
        called = request.tif in ("AT_OPEN", "AT_CLOSE")
        refused = request.post_only and (not self.open or self.would_trade(entry, entry.limit))
        if not self.open and not called:
            refused = refused or request.kind == "MARKET" or request.tif in ("IOC", "FOK")
        if refused:
            entry.where, entry.status = "done", "REJECTED"
            self.said.append((entry.account, "REJECTED", entry.id))
            return
        self.said.append((entry.account, "ACCEPTED", entry.id))
        self.place(entry)

    def place(self, entry: Entry) -> None:
        if entry.request.tif in ("AT_OPEN", "AT_CLOSE"):
            entry.where = "auction"
            return
        if entry.request.kind.endswith(("STOP", "STOP_LIMIT")) and not entry.triggered:
            entry.where = "stops"
            self.clock += 1
            entry.rank = self.clock
            self.trail(entry)
            if not (self.open and self.reached(entry)):
                return
            self.hit.append(entry)
        else:
            self.execute(entry)
        self.stops()

    def cancel(self, request: SendCancel) -> None:
        entry = self.find(request.order_id)
        if entry is None:
            self.said.append((request.account, "CANCEL_REJECTED", request.order_id))
        else:
            self.finish(entry, "CANCELED")

    def replace(self, request: SendReplace) -> None:
        entry = self.find(request.order_id)
        no = entry is None or (request.quantity <= entry.filled and not entry.filled)
        if entry is not None and request.quantity > entry.filled and entry.request.post_only:
            no = no or self.would_trade(entry, request.limit)
        if entry is None or no:
            self.said.append((request.account, "REPLACE_REJECTED", request.order_id))
            return
        quantity = max(request.quantity, entry.filled)
        keeps = entry.where == "book" and entry.limit == request.limit
        keeps = keeps and quantity <= entry.quantity
        entry.quantity, entry.limit = quantity, request.limit
        if request.stop is not None or entry.request.kind != "TRAILING_STOP":
            entry.stop = request.stop
        self.said.append(
            (entry.account, "REPLACED", entry.id, entry.quantity, entry.limit, entry.stop)
        )
        if entry.left == 0:
            entry.where, entry.status = "done", "FILLED"
        elif not keeps:
            entry.where = "new" if entry.where != "auction" else "auction"
            self.place(entry)

    def find(self, order_id: str) -> Entry | None:
        for entry in self.entries:
            if entry.id == order_id and entry.where != "done":
                return entry
        return None

    def finish(self, entry: Entry, word: str) -> None:
        entry.where, entry.status = "done", word
        self.said.append((entry.account, word, entry.id))

    # --- trading ----------------------------------------------------------------------------------

    def against(self, entry: Entry) -> list[Entry]:
        """The other side's book in the order in which it trades."""
        found = [e for e in self.entries if e.where == "book" and e.side == -entry.side]
        return sorted(found, key=lambda e: (e.limit * entry.side, e.rank))  # type: ignore[operator]

    def would_trade(self, entry: Entry, limit: int | None) -> bool:
        return any(self.meets(entry, limit, each) for each in self.against(entry))

    @staticmethod
    def meets(entry: Entry, limit: int | None, other: Entry) -> bool:
        if limit is None or other.limit is None:
            return True
        return limit >= other.limit if entry.side > 0 else limit <= other.limit

    def may(self, entry: Entry, held: dict[str, int]) -> int:
        if not entry.request.reduce_only:
            return entry.left
        position = held.get(entry.account, 0)
        return min(entry.left, max(0, -position if entry.side > 0 else position))

    def execute(self, entry: Entry) -> None:
        tif = entry.request.tif
        if self.open:
            if tif == "FOK" and not self.fills_whole(entry):
                self.finish(entry, "CANCELED")
                return
            self.sweep(entry)
            if entry.where == "done":
                return
            if entry.limit is None or tif in ("IOC", "FOK"):
                self.finish(entry, "CANCELED")
                return
        self.clock += 1
        entry.where, entry.rank = "book", self.clock

    def fills_whole(self, entry: Entry) -> bool:
        """Try on copies of the positions whether all of it would fill."""
        held, got = dict(self.held), 0
        if self.may(entry, held) < entry.left:
            return False
        for other in self.against(entry):
            if not self.meets(entry, entry.limit, other) or got >= entry.left:
                break
            if other.account == entry.account and self.self_trade != "ALLOW":
                if self.self_trade == "CANCEL_OLDEST":
                    continue
                break
            size = min(self.may(other, held), entry.left - got)
            held[other.account] = held.get(other.account, 0) + size * other.side
            held[entry.account] = held.get(entry.account, 0) + size * entry.side
            got += size
        return got >= entry.left

    def sweep(self, entry: Entry) -> None:
        while entry.left:
            others = self.against(entry)
            if not others or not self.meets(entry, entry.limit, others[0]):
                return
            other = others[0]
            if other.account == entry.account and self.self_trade != "ALLOW":
                if self.self_trade != "CANCEL_NEWEST":
                    self.finish(other, "CANCELED")
                if self.self_trade != "CANCEL_OLDEST":
                    self.finish(entry, "CANCELED")
                    return
                continue
            if self.may(entry, self.held) == 0:
                self.finish(entry, "CANCELED")
                return
            if self.may(other, self.held) == 0:
                self.finish(other, "CANCELED")
                continue
            size = min(self.may(entry, self.held), self.may(other, self.held))
            self.trade(entry, other, size, other.limit)  # type: ignore[arg-type]

    def trade(self, one: Entry, other: Entry, size: int, price: int) -> None:
        for each in (one, other):
            each.filled += size
            each.status = "PARTIALLY_FILLED"
            self.held[each.account] = self.held.get(each.account, 0) + size * each.side
            if each.left == 0:
                each.where, each.status = "done", "FILLED"
            self.said.append((each.account, "FILLED", each.id, size, price))
        self.last = price
        waiting = [e for e in self.entries if e.where == "stops"]
        for entry in sorted(waiting, key=lambda e: e.rank):
            self.trail(entry)
            if self.reached(entry):
                entry.where = "hit"
                self.hit.append(entry)

    # --- stops ------------------------------------------------------------------------------------

    def trail(self, entry: Entry) -> None:
        if entry.request.kind != "TRAILING_STOP" or self.last is None:
            return
        better = entry.best is None or (
            self.last < entry.best if entry.side > 0 else self.last > entry.best
        )
        if not better:
            return
        entry.best = self.last
        assert entry.request.trail is not None
        stop = self.last + entry.side * entry.request.trail
        if entry.stop is None:
            entry.stop = stop
        else:
            entry.stop = min(entry.stop, stop) if entry.side > 0 else max(entry.stop, stop)

    def reached(self, entry: Entry) -> bool:
        if self.last is None or entry.stop is None:
            return False
        return self.last >= entry.stop if entry.side > 0 else self.last <= entry.stop

    def stops(self) -> None:
        while self.hit:
            entry = self.hit.pop(0)
            if entry.where == "done":
                continue
            entry.triggered = True
            entry.where = "new"
            if entry.request.kind == "STOP_LIMIT":
                entry.status = "TRIGGERED"
                self.said.append((entry.account, "TRIGGERED", entry.id))
            self.execute(entry)

    # --- auctions ---------------------------------------------------------------------------------

    def phase(self, to_open: bool) -> None:
        if to_open is self.open:
            return
        self.call("AT_OPEN" if to_open else "AT_CLOSE")
        if not to_open:
            self.stops()
        self.open = to_open
        if not to_open:
            for account in ("A", "B", "C"):
                for entry in self.entries:
                    day = entry.request.tif == "DAY" and entry.where != "done"
                    if day and entry.account == account:
                        self.finish(entry, "EXPIRED")
            return
        for entry in sorted((e for e in self.entries if e.where == "stops"), key=lambda e: e.rank):
            self.trail(entry)
            if self.reached(entry):
                entry.where = "hit"
                self.hit.append(entry)
        self.stops()

    def call(self, tif: str) -> None:
        mine = [e for e in self.entries if e.where == "auction" and e.request.tif == tif]
        book = [e for e in self.entries if e.where == "book"]
        everyone = mine + book

        def willing(side: int, price: int) -> list[Entry]:
            return [
                e
                for e in everyone
                if e.side == side
                and (e.limit is None or (e.limit >= price if side > 0 else e.limit <= price))
            ]

        best = None
        prices = {e.limit for e in everyone if e.limit is not None}
        for price in prices | ({self.last} if self.last is not None else set()):
            buy, sell = (
                sum(self.may(e, self.held) for e in willing(side, price)) for side in (1, -1)
            )
            if min(buy, sell):
                away = abs(price - self.last) if self.last is not None else 0
                figure = (-min(buy, sell), abs(buy - sell), away, price)
                best = figure if best is None else min(best, figure)
        if best is not None:
            self.pair(willing(1, best[3]), willing(-1, best[3]), best[3])
        for entry in mine:
            if entry.where != "done":
                self.finish(entry, "CANCELED")

    def pair(self, buys: list[Entry], sells: list[Entry], price: int) -> None:
        def order(entry: Entry) -> tuple[Any, ...]:
            called = entry.where == "auction"
            when = entry.number if called else entry.rank
            if entry.limit is None:
                return (0, 0, 0, when)
            return (1, -entry.limit * entry.side, called, when)

        buys, sells = sorted(buys, key=order), sorted(sells, key=order)
        while buys and sells:
            size = min(self.may(buys[0], self.held), self.may(sells[0], self.held))
            if size:
                self.trade(buys[0], sells[0], size, price)
            for queue in (buys, sells):
                if queue[0].where == "done" or self.may(queue[0], self.held) == 0:
                    queue.pop(0)

    # --- to compare -------------------------------------------------------------------------------

    def depth(self, side: int) -> list[tuple[int, int, int]]:
        levels: dict[int, list[int]] = {}
        for entry in self.entries:
            if entry.where == "book" and entry.side == side:
                assert entry.limit is not None
                levels.setdefault(entry.limit, []).append(entry.left)
        found = [(price, sum(sizes), len(sizes)) for price, sizes in levels.items()]
        return sorted(found, key=lambda level: -level[0] * side)
