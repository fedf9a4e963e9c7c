"""Continuous trading: price-time priority, times in force, stops, replaces."""

from __future__ import annotations

from trading.exchange.matching.accounts import ExchangeAccount
from trading.exchange.matching.orders import ExchangeOrder
from trading.exchange.matching.state import ExchangeState
from trading.exchange.matching.stops import Stops
from trading.journal.outputs import SendReplace
from trading.journal.reports import OrderReplaced, OrderTriggered

__all__ = ["Matching"]


class Matching:
    """Lets orders meet the book."""

    def __init__(self, state: ExchangeState, stops: Stops) -> None:
        self._state = state
        self._stops = stops

    def crosses(self, symbol: str, side: int, limit: int | None) -> bool:
        """Whether an order of this side and limit would trade at once."""
        price = self._state.books[symbol].best_price(-side)
        return price is not None and (limit is None or (limit - price) * side >= 0)

    def begin(self, order: ExchangeOrder) -> None:
        """Let an accepted order wait, trade or rest."""
        symbol = order.symbol
        self._state.out.symbols.add(symbol)
        if order.for_auction:
            self._state.auctions[symbol][order.venue_id] = order
            return
        if order.waits:
            last = self._state.last.get(symbol)
            if last is not None:
                self._stops.follow(order, last)
            if not self._stops.is_reached(order, last) or self._state.phase == "CLOSED":
                self._state.waiting[symbol][order.venue_id] = order
                return
            self._stops.reached.append(order)
        else:
            self._trade(order)
        self.run_stops()

    def replace(self, account: ExchangeAccount, order: ExchangeOrder, request: SendReplace) -> None:
        """Give an order other terms; only one that gets smaller keeps its place."""
        book = self._state.books[order.symbol]
        # Below what is filled means: no more than that.
        quantity = max(request.quantity, order.filled)
        self._state.out.symbols.add(order.symbol)
        stays = request.limit == order.limit and quantity <= order.quantity and order.resting
        if stays:
            book.resize(order, quantity - order.quantity)
            order.quantity = quantity
        else:
            book.remove(order)
            order.quantity, order.limit = quantity, request.limit
        if request.stop is not None or order.request.kind != "TRAILING_STOP":
            order.stop = request.stop
        self._state.say(
            account,
            OrderReplaced(
                self._state.now, account.name, order.order_id, quantity, order.limit, order.stop
            ),
        )
        if order.leaves == 0:
            self._state.end(order, "FILLED")
        elif not stays:
            self._state.waiting[order.symbol].pop(order.venue_id, None)
            self.begin(order)

    def _trade(self, order: ExchangeOrder) -> None:
        """Let an order take what the book gives; what is left rests or ends."""
        request = order.request
        if self._state.phase == "OPEN":
            if request.tif == "FOK" and self._available(order) < order.leaves:
                self._state.cancel(order, "FOK: the market cannot fill all of it")
                return
            self._take(order)
            if not order.is_open:
                return
            if order.limit is None:
                self._state.cancel(order, "nothing is left to trade with")
                return
            if request.tif in ("IOC", "FOK"):
                self._state.cancel(order, f"{request.tif}: the rest is not filled")
                return
        self._state.books[order.symbol].add(order)

    def _take(self, order: ExchangeOrder) -> None:
        book = self._state.books[order.symbol]
        while order.leaves:
            best = book.best(-order.side)
            if best is None or best.limit is None:
                return
            if order.limit is not None and (order.limit - best.limit) * order.side < 0:
                return
            if best.account == order.account and self._state.settings.self_trade != "ALLOW":
                if self._prevent_self_trade(order, best):
                    return
                continue
            size = min(self._state.fillable(order), order.leaves)
            if not size:
                self._state.cancel(order, "reduce-only, and there is nothing to reduce")
                return
            rest = self._state.fillable(best)
            if not rest:
                self._state.cancel(best, "reduce-only, and there is nothing to reduce")
                continue
            self._state.execute(order, best, min(size, rest), best.limit, order.side)
            self._stops.meet(order.symbol, best.limit)

    def _prevent_self_trade(self, order: ExchangeOrder, best: ExchangeOrder) -> bool:
        """Cancel one or both; True where the arriving order has ended."""
        rule = self._state.settings.self_trade
        if rule in ("CANCEL_OLDEST", "CANCEL_BOTH"):
            self._state.cancel(best, "it would trade with its own account")
        if rule == "CANCEL_OLDEST":
            return False
        self._state.cancel(order, "it would trade with its own account")
        return True

    def _available(self, order: ExchangeOrder) -> int:
        """Return how much an order could fill now, up to what it wants."""
        moved: dict[str, int] = {}
        rule, found = self._state.settings.self_trade, 0
        wanted = self._state.fillable(order)
        for best in self._state.books[order.symbol].orders(-order.side):
            limit = best.limit
            if limit is None or (
                order.limit is not None and (order.limit - limit) * order.side < 0
            ):
                break
            if best.account == order.account and rule != "ALLOW":
                if rule == "CANCEL_OLDEST":
                    continue
                break
            held = self._state.accounts[best.account].reducible(best, moved.get(best.account, 0))
            size = min(held, wanted - found)
            for each in (best, order):
                moved[each.account] = moved.get(each.account, 0) + size * each.side
            found += size
            if found >= wanted:
                break
        return found

    def run_stops(self) -> None:
        """Let the orders whose stop was reached act, in the order in which they were."""
        at = 0
        while at < len(self._stops.reached):
            order = self._stops.reached[at]
            at += 1
            if not order.is_open:
                continue
            order.triggered = True
            if order.request.kind == "STOP_LIMIT":
                order.status = "TRIGGERED"
                account = self._state.accounts[order.account]
                self._state.say(
                    account, OrderTriggered(self._state.now, account.name, order.order_id)
                )
            self._trade(order)
        self._stops.reached.clear()
