"""A simulated broker: orders rest in it and meet ticks or bars; no clock and no chance of its own.

    broker = PaperBroker("next_open", PerShare("0.005", "1.00"), slippage="1 tick", seed=7)

The kernel connects it to the market's prices and hears its reports; used alone, `connect` does so
with any `Market` and any function for reports.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import msgspec

from trading.brokers.commissions import Commission, NoCommission
from trading.brokers.fill_models import FillModel, Slippage, bar_path
from trading.brokers.levels import EVERY_TICK, NEVER, LevelBook, Levels
from trading.brokers.protocol import Sink
from trading.errors import SettingsError
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
from trading.numbers import Number, to_units
from trading.orders.order import Order
from trading.risk.account import Market

__all__ = ["BarPrices", "PaperBroker", "PaperState", "Resting"]

BarPrices = tuple[int, int, int, int]
"""Open, high, low and close in price units."""

_EXECUTIONS_KEPT = 1_000


class Resting(msgspec.Struct, array_like=True, gc=False):
    """An order as the broker holds it; prices and sizes in the instrument's units."""

    order_id: str
    account: str
    symbol: str
    strategy: str
    side: int
    qty: int
    kind: str
    limit: int | None
    stop: int | None
    tif: str
    trail: int | None
    trail_bps: int | None
    reduce_only: bool
    post_only: bool
    opens_at: int | None = None
    closes_at: int | None = None
    best: int | None = None
    triggered: bool = False
    # Number of the symbol's bar during which it arrived.
    since: int = 0
    touches: int = 0
    queue: int = 0
    filled: int = 0
    value: int = 0
    fees: int = 0
    fills: int = 0
    arrived: int = 0

    @property
    def leaves(self) -> int:
        """Size that has not filled yet."""
        return self.qty - self.filled

    @property
    def rests_at_limit(self) -> bool:
        """Whether a limit price is what it waits for."""
        return self.kind == "LIMIT" or (self.kind == "STOP_LIMIT" and self.triggered)

    @property
    def waits_for_stop(self) -> bool:
        """Whether a stop price is what it waits for."""
        return self.kind in ("STOP", "STOP_LIMIT", "TRAILING_STOP") and not self.triggered


class _Flight(msgspec.Struct, array_like=True, gc=False):
    """A request on its way to the broker."""

    due: int
    verb: str
    order_id: str
    resting: Resting | None = None
    qty: int = 0
    limit: int | None = None
    stop: int | None = None


class PaperState(msgspec.Struct, array_like=True, gc=False):
    """All that a simulated broker remembers."""

    now: int = 0
    # By symbol and order id, in the order of arrival.
    resting: dict[str, dict[str, Resting]] = {}
    flights: list[_Flight] = []
    net: dict[str, dict[str, int]] = {}
    bars: dict[str, int] = {}
    sequence: int = 0
    executions: list[tuple[int, OrderFilled]] = []


class PaperBroker:
    """Fills orders by a model, charges commissions, and reports like any broker.

    `fill_model` is a name of `FILL_MODELS` or a `FillModel`; `slippage` a number of ticks, a text
    such as `5 bps`, or a `Slippage`; `latency` nanoseconds that every request takes to arrive.
    """

    def __init__(
        self,
        fill_model: str | FillModel = "next_open",
        commission: Commission | None = None,
        slippage: Number | Slippage | None = None,
        latency: int = 0,
        seed: int = 0,
    ) -> None:
        self.model = FillModel(fill_model) if isinstance(fill_model, str) else fill_model
        self.commission: Commission = NoCommission() if commission is None else commission
        self.slippage = slippage if isinstance(slippage, Slippage) else Slippage(slippage)
        if latency < 0:
            raise SettingsError(f"latency: expected nanoseconds of 0 or more, seen {latency}")
        self.latency = latency
        self.seed = seed
        self._exact = not (self.slippage.ticks or self.slippage.bps[0])
        self.state = PaperState()
        self._by_id: dict[str, Resting] = {}
        self.levels = LevelBook()
        self.reports: list[object] = []
        self._sink: Sink = self.reports.append
        self._keeps = True
        self._submitted: set[str] = set()
        self._market = Market(10)
        # What is left of a bar's or tick's volume; None is as much as anybody wants.
        self._budget: int | None = None
        self.wakes: list[int] = []

    def connect(self, market: Market, sink: Sink) -> None:
        """Take prices and instruments from a market, and send reports to a function.

        Who hears every report has no need to ask for executions: none are kept then.
        """
        self._market = market
        self._sink = sink
        self._keeps = False

    # --- the broker's protocol --------------------------------------------------------------------

    def submit(
        self, order: Order, *, opens_at: int | None = None, closes_at: int | None = None
    ) -> None:
        """Take an order; the times are those of the auction that AT_OPEN and AT_CLOSE wait for."""
        if order.order_id in self._by_id:
            return
        if self._keeps:
            if order.order_id in self._submitted:
                return
            self._submitted.add(order.order_id)
        resting = Resting(
            order.order_id,
            order.account,
            order.symbol,
            order.strategy,
            order.side,
            order.qty,
            order.kind,
            order.limit,
            order.stop,
            order.tif,
            order.trail,
            order.trail_bps,
            order.reduce_only,
            order.post_only,
            opens_at,
            closes_at,
        )
        if self.latency:
            self._send(_Flight(self.state.now + self.latency, "submit", order.order_id, resting))
        else:
            self._arrive(resting)

    def cancel(self, order_id: str) -> None:
        """Ask for an order's end."""
        if self.latency:
            self._send(_Flight(self.state.now + self.latency, "cancel", order_id))
        else:
            self._cancel(order_id)

    def replace(self, order_id: str, quantity: int, limit: int | None, stop: int | None) -> None:
        """Ask for other terms."""
        if self.latency:
            due = self.state.now + self.latency
            self._send(_Flight(due, "replace", order_id, None, quantity, limit, stop))
        else:
            self._replace(order_id, quantity, limit, stop)

    def expire(self, order_id: str) -> None:
        """End an order whose time in force is over."""
        resting = self._by_id.get(order_id)
        if resting is not None:
            self._remove(resting)
            self._sink(OrderExpired(self.state.now, resting.account, order_id))
            return
        for at, flight in enumerate(self.state.flights):
            if flight.order_id == order_id and flight.resting is not None:
                del self.state.flights[at]
                reason = "its time was over before it arrived"
                account = flight.resting.account
                self._sink(OrderRejected(self.state.now, account, order_id, reason))
                return

    def open_orders(self) -> Sequence[str]:
        """Return the ids of the orders that rest here."""
        return list(self._by_id)

    def positions(self) -> dict[tuple[str, str], int]:
        """Return signed size by account and symbol, flat ones left out."""
        return {
            (account, symbol): size
            for account, of_account in self.state.net.items()
            for symbol, size in of_account.items()
            if size
        }

    def executions_since(self, sequence: int) -> Sequence[tuple[int, OrderFilled]]:
        """Return the executions after a sequence number; a broker used alone keeps a thousand."""
        return [each for each in self.state.executions if each[0] > sequence]

    def set_position(self, account: str, symbol: str, size: int) -> None:
        """Take over a position that changed otherwise: by a split, a bust, a transfer."""
        self.state.net.setdefault(account, {})[symbol] = size

    # --- time -------------------------------------------------------------------------------------

    def _send(self, flight: _Flight) -> None:
        self.state.flights.append(flight)
        self.wakes.append(flight.due)

    def advance(self, now: int) -> None:
        """Let requests arrive that are due, and auctions begin or end."""
        state = self.state
        state.now = now
        while state.flights and state.flights[0].due <= now:
            flight = state.flights.pop(0)
            if flight.verb == "submit" and flight.resting is not None:
                self._arrive(flight.resting)
            elif flight.verb == "cancel":
                self._cancel(flight.order_id)
            else:
                self._replace(flight.order_id, flight.qty, flight.limit, flight.stop)
        for resting in list(self._by_id.values()):
            if resting.opens_at is not None and resting.opens_at <= now and self.model.by_ticks:
                resting.opens_at = None
                self._touch(resting)
            closes = resting.closes_at
            if closes is not None and closes <= now and self.model.by_ticks:
                price = self._market.last.get(resting.symbol)
                if price is not None and self._fits(resting, price):
                    self._fill(resting, price, closes, maker=False)
                self._finish(resting)

    # --- arrivals ---------------------------------------------------------------------------------

    def _arrive(self, resting: Resting) -> None:
        state, symbol = self.state, resting.symbol
        if resting.post_only and self._marketable(resting):
            self._sink(
                OrderRejected(
                    state.now, resting.account, resting.order_id, "post-only order would trade"
                )
            )
            return
        waits = resting.tif in ("AT_OPEN", "AT_CLOSE")
        if waits:
            self.wakes += [t for t in (resting.opens_at, resting.closes_at) if t is not None]
        if resting.kind == "TRAILING_STOP":
            self._follow(resting, self._market.last.get(symbol))
        self._by_id[resting.order_id] = resting
        self._sink(OrderAccepted(state.now, resting.account, resting.order_id))
        if self._by_id.get(resting.order_id) is not resting:
            return  # whoever heard of it has cancelled it
        if not waits and self.model.at_once:
            self._take(resting)
            if resting.filled == resting.qty or resting.order_id not in self._by_id:
                return
            if resting.tif in ("IOC", "FOK"):
                self._finish(resting)
                return
        resting.since = state.bars.get(symbol, 0)
        resting.arrived = state.now
        if self.model.queue:
            spec = self._market.specs[symbol]
            resting.queue = to_units(self.model.queue, spec.size_decimals, "queue")
        state.resting.setdefault(symbol, {})[resting.order_id] = resting
        self._touch(resting)

    def _reference(self, symbol: str, side: int) -> int | None:
        """The price that an order of this side meets now: the opposite quote, or the last trade."""
        if self.model.by_ticks:
            quote = (self._market.ask if side > 0 else self._market.bid).get(symbol)
            if quote is not None:
                return quote
        return self._market.last.get(symbol)

    def _marketable(self, resting: Resting) -> bool:
        price = self._reference(resting.symbol, resting.side)
        return price is not None and self._fits(resting, price)

    @staticmethod
    def _fits(resting: Resting, price: int) -> bool:
        """Whether the order would trade at this price."""
        return resting.limit is None or (resting.limit - price) * resting.side >= 0

    def _take(self, resting: Resting) -> None:
        """Trade at once what the market gives, where nothing bounds the volume."""
        price = self._reference(resting.symbol, resting.side)
        if price is None:
            return
        if resting.stop is not None and resting.waits_for_stop:
            last = self._market.last.get(resting.symbol)
            if last is None or (last - resting.stop) * resting.side < 0:
                return
            self._trigger(resting)
        if self._fits(resting, price) and (
            self.model.volume_share is None or resting.tif in ("IOC", "FOK")
        ):
            self._budget = None
            self._fill(resting, self._worse(resting, price), self.state.now, maker=False)

    def _worse(self, resting: Resting, price: int) -> int:
        """The price with slippage, never beyond the order's limit."""
        side = resting.side
        if self._exact:
            return price
        worse = self.slippage.worsen(price, side, self._market.specs[resting.symbol])
        limit = resting.limit
        return limit if limit is not None and (worse - limit) * side > 0 else worse

    def _trigger(self, resting: Resting) -> None:
        resting.triggered = True
        if resting.kind == "STOP_LIMIT":
            self._sink(OrderTriggered(self.state.now, resting.account, resting.order_id))

    def _follow(self, resting: Resting, price: int | None) -> None:
        """Let a trailing stop follow the best price since it arrived."""
        if price is None or (
            resting.best is not None and (price - resting.best) * resting.side >= 0
        ):
            return
        resting.best = price
        if resting.trail is not None:
            distance = resting.trail
        else:
            step = self._market.specs[resting.symbol].price_increment
            part = abs(price) * (resting.trail_bps or 0)
            distance = -(-part // (10_000 * step)) * step
        stop = price + resting.side * distance
        # A stop that was given holds until the market has moved far enough.
        if resting.stop is None or (stop - resting.stop) * resting.side < 0:
            resting.stop = stop

    def _cancel(self, order_id: str) -> None:
        resting = self._by_id.get(order_id)
        if resting is None:
            self._sink(OrderCancelRejected(self.state.now, "", order_id, "the order is finished"))
            return
        self._remove(resting)
        self._sink(OrderCanceled(self.state.now, resting.account, order_id))

    def _replace(self, order_id: str, qty: int, limit: int | None, stop: int | None) -> None:
        resting = self._by_id.get(order_id)
        now = self.state.now
        if resting is None:
            self._sink(OrderReplaceRejected(now, "", order_id, "the order is finished"))
            return
        # Below what is filled means: no more than that.
        resting.qty = max(qty, resting.filled)
        resting.limit, resting.stop = limit, stop
        resting.touches = 0
        if resting.qty == resting.filled:
            self._remove(resting)
        else:
            self._touch(resting)
        self._sink(OrderReplaced(now, resting.account, order_id, resting.qty, limit, stop))
        if resting.order_id in self._by_id and self.model.by_ticks and resting.opens_at is None:
            self._take(resting)

    def _finish(self, resting: Resting, reason: str = "") -> None:
        """Cancel what is left of an order that does not rest."""
        if self._by_id.get(resting.order_id) is resting:
            self._remove(resting)
            self._sink(
                OrderCanceled(
                    self.state.now, resting.account, resting.order_id, reason or resting.tif
                )
            )

    def _remove(self, resting: Resting) -> None:
        del self._by_id[resting.order_id]
        listed = self.state.resting.get(resting.symbol)
        if listed is not None and listed.pop(resting.order_id, None) is not None:
            self.levels.drop(resting.order_id)

    def _fill(self, resting: Resting, price: int, executed: int, *, maker: bool) -> None:
        """Execute what the volume and the position allow, at one price."""
        state, account, symbol = self.state, resting.account, resting.symbol
        size = resting.qty - resting.filled
        spec = self._market.specs[symbol]
        net = state.net.get(account)
        if net is None:
            net = state.net[account] = {}
        held = net.get(symbol, 0)
        if resting.reduce_only:
            size = min(size, max(-held * resting.side, 0))
            if size == 0:
                self._finish(resting, "reduce-only, and there is nothing to reduce")
                return
        if self._budget is not None:
            if self._budget < size and resting.tif == "FOK":
                self._finish(resting)
                return
            size = min(size, self._budget)
            size -= size % spec.size_increment
            if size <= 0:
                return
            self._budget -= size
        value = size * abs(price) * self._market.factors[symbol]
        fees = self.commission.charge(
            (resting.filled, resting.value, resting.fees),
            size,
            value,
            maker,
            spec,
            self._market.money_decimals,
        )
        resting.filled += size
        resting.value += value
        resting.fees += fees
        resting.fills += 1
        net[symbol] = held + size * resting.side
        if resting.filled == resting.qty:
            self._remove(resting)
        report = OrderFilled(
            state.now,
            account,
            resting.order_id,
            f"{resting.order_id}.{resting.fills}",
            size,
            price,
            fees,
            executed,
            maker,
            resting.side,
            symbol,
            resting.strategy,
        )
        if self._keeps:
            state.sequence += 1
            state.executions.append((state.sequence, report))
            if len(state.executions) > 2 * _EXECUTIONS_KEPT:
                del state.executions[:_EXECUTIONS_KEPT]
        self._sink(report)

    # --- ticks ------------------------------------------------------------------------------------

    def on_trade(self, symbol: str, price: int, size: int, now: int) -> None:
        """Let the resting orders of a symbol meet a trade (only the `tick` model does)."""
        self.state.now = now
        listed = self.state.resting.get(symbol)
        if not listed or not self.model.by_ticks:
            return
        self._budget = self.model.available(size)
        for resting in list(listed.values()):
            limit = resting.limit
            if limit is not None and resting.stop is None and (limit - price) * resting.side < 0:
                continue  # by far the most: the market is on the other side of the limit
            waits = resting.opens_at is not None or resting.closes_at is not None
            if resting.order_id in self._by_id and not waits:
                self._meet(resting, price, size, now)
        self._budget = None

    def _meet(self, resting: Resting, price: int, size: int, now: int) -> None:
        side = resting.side
        if resting.waits_for_stop:
            if resting.kind == "TRAILING_STOP":
                self._follow(resting, price)
            if resting.stop is None or (price - resting.stop) * side < 0:
                return
            self._trigger(resting)
            self._touch(resting)
            if self._fits(resting, price):
                self._fill(resting, self._worse(resting, price), now, maker=False)
            return
        limit = resting.limit
        if not resting.rests_at_limit or limit is None:
            # A market order that waited for a price, or for volume.
            quote = self._reference(resting.symbol, side)
            market = price if quote is None else quote
            self._fill(resting, self._worse(resting, market), now, maker=False)
            if resting.tif in ("IOC", "FOK", "AT_OPEN"):
                self._finish(resting)
        elif (limit - price) * side > 0 or (limit == price and self._touched(resting, size)):
            self._fill(resting, limit, now, maker=True)
        if resting.tif == "AT_OPEN":
            self._finish(resting)

    def _touched(self, resting: Resting, size: int) -> bool:
        """Whether a trade at the limit itself reaches this order in the queue."""
        if resting.queue > 0:
            resting.queue -= size
            if resting.queue >= 0:
                return False
        resting.touches += 1
        return self.model.touched(self.seed, resting.order_id, resting.touches)

    def on_quote(self, symbol: str, bid: int, ask: int, now: int) -> None:
        """Let resting limit orders and waiting market orders meet a quote."""
        self.state.now = now
        listed = self.state.resting.get(symbol)
        if not listed or not self.model.by_ticks:
            return
        for resting in list(listed.values()):
            if resting.order_id not in self._by_id or resting.waits_for_stop:
                continue
            if resting.opens_at is not None or resting.closes_at is not None:
                continue
            quote = ask if resting.side > 0 else bid
            if resting.limit is None:
                if self.model.volume_share is None:
                    self._fill(resting, self._worse(resting, quote), now, maker=False)
            elif (resting.limit - quote) * resting.side >= 0:
                self._fill(resting, resting.limit, now, maker=True)

    def _touch(self, resting: Resting) -> None:
        """Note at which ticks a resting order has to be looked at."""
        listed = self.state.resting.get(resting.symbol)
        if self.model.by_ticks and listed is not None and resting.order_id in listed:
            self.levels.set(resting.order_id, resting.symbol, self._levels_of(resting))

    def _levels_of(self, resting: Resting) -> Levels:
        if resting.opens_at is not None or resting.closes_at is not None:
            return NEVER
        at_limit = resting.rests_at_limit
        price = resting.limit if at_limit else resting.stop
        market = resting.triggered and not at_limit
        if price is None or market or resting.kind == "TRAILING_STOP" or resting.tif == "AT_OPEN":
            return EVERY_TICK
        low, high, low_ask, high_bid = NEVER
        if not at_limit:
            return (
                (low, price, low_ask, high_bid)
                if resting.side > 0
                else (
                    price,
                    high,
                    low_ask,
                    high_bid,
                )
            )
        # A touch matters where it may fill or moves the queue.
        touch = 0 if self.model.touch[0] else 1
        if resting.side > 0:
            return price - touch, high, price, high_bid
        return low, price + touch, low_ask, price

    # --- bars -------------------------------------------------------------------------------------

    def on_bar(
        self, symbol: str, prices: BarPrices, volume: int, start: int, end: int, now: int
    ) -> None:
        """Let the resting orders of a symbol meet a bar (all models but `tick`)."""
        state = self.state
        state.now = now
        if self.model.by_ticks:
            return
        number = state.bars.get(symbol, 0) + 1
        state.bars[symbol] = number
        if not state.resting.get(symbol):
            return
        self._budget = self.model.available(volume)
        path = bar_path(self.model.path, *prices)
        self._at_open(symbol, number, path[0], start, end)
        for before, after in pairwise(path):
            self._move(symbol, number, before, after, end)
        self._at_close(symbol, number, path[3], end)
        self._budget = None

    def _eligible(self, symbol: str, number: int, end: int) -> list[Resting]:
        """Orders that may meet this bar: those that came before its end.

        An order that the close of another symbol's bar has caused must not trade in the past. With
        `intrabar`, orders that arise while this bar is met trade in the rest of it.
        """
        listed = self.state.resting.get(symbol)
        if not listed:
            return []
        if self.model.name == "intrabar":
            return [e for e in listed.values() if e.arrived < end or e.since == number]
        return [e for e in listed.values() if e.since < number and e.arrived < end]

    def _at_open(self, symbol: str, number: int, price: int, start: int, end: int) -> None:
        at_open = self.model.name in ("next_open", "intrabar")
        for resting in self._eligible(symbol, number, end):
            if resting.order_id not in self._by_id or resting.tif == "AT_CLOSE":
                continue
            if resting.opens_at is not None and resting.opens_at >= end:
                continue
            if resting.waits_for_stop:
                if resting.stop is not None and (price - resting.stop) * resting.side >= 0:
                    # The gap went through the stop: it fills at what the market opened with.
                    self._trigger(resting)
                    if self._fits(resting, price):
                        self._fill(resting, self._worse(resting, price), start, maker=False)
                elif resting.kind == "TRAILING_STOP":
                    self._follow(resting, price)
                continue
            auction = resting.tif == "AT_OPEN"
            if resting.limit is not None:
                if self._fits(resting, price):
                    # At or beyond its limit the market opened in favour of the order.
                    self._fill(resting, price, start, maker=False)
            elif at_open or auction:
                self._fill(resting, self._worse(resting, price), start, maker=False)
            else:
                continue
            if auction or resting.tif in ("IOC", "FOK"):
                self._finish(resting)

    def _move(self, symbol: str, number: int, start: int, target: int, end: int) -> None:
        """Let the price go from one point to the next, and fill what lies on its way in order."""
        way = 1 if target > start else -1
        price = start
        met: set[str] = set()
        while True:
            best: tuple[int, Resting] | None = None
            for resting in self._eligible(symbol, number, end):
                if resting.order_id in met or resting.order_id not in self._by_id:
                    continue
                level = self._level(resting, way, target)
                # Behind the price lies what it has passed already.
                if level is None or (level - price) * way < 0:
                    continue
                if best is None or (level - best[0]) * way < 0:
                    best = level, resting
            if best is None:
                break
            price, resting = best
            met.add(resting.order_id)
            self._cross(resting, price, target, end)
            if resting.kind == "STOP_LIMIT" and resting.triggered:
                met.discard(resting.order_id)
        for resting in self._eligible(symbol, number, end):
            if resting.kind == "TRAILING_STOP" and resting.waits_for_stop:
                self._follow(resting, target)

    @staticmethod
    def _level(resting: Resting, way: int, target: int) -> int | None:
        """The price at which a move towards `target` meets the order, or None."""
        if resting.tif == "AT_CLOSE" or resting.opens_at is not None:
            return None
        if resting.waits_for_stop:
            level, meets = resting.stop, resting.side == way
        elif resting.rests_at_limit:
            level, meets = resting.limit, resting.side == -way
        else:
            return None
        if level is None or not meets or (target - level) * way < 0:
            return None
        return level

    def _cross(self, resting: Resting, price: int, target: int, end: int) -> None:
        if resting.waits_for_stop:
            self._trigger(resting)
            if self._fits(resting, price):
                self._fill(resting, self._worse(resting, price), end, maker=False)
        elif target != price or self._touched(resting, 0):
            # Traded through; a move that ends at the limit has only touched it.
            self._fill(resting, price, end, maker=True)

    def _at_close(self, symbol: str, number: int, price: int, end: int) -> None:
        at_close = self.model.name in ("next_close", "this_close")
        for resting in self._eligible(symbol, number, end):
            if resting.order_id not in self._by_id:
                continue
            if resting.tif == "AT_CLOSE":
                if resting.closes_at is not None and end < resting.closes_at:
                    continue
                if self._fits(resting, price):
                    self._fill(resting, price, end, maker=False)
                self._finish(resting)
            elif resting.limit is None and not resting.waits_for_stop:
                waiting = resting.triggered or self.model.volume_share is not None
                if at_close or waiting:
                    self._fill(resting, self._worse(resting, price), end, maker=False)
                if at_close and resting.tif in ("IOC", "FOK"):
                    self._finish(resting)

    # --- snapshots --------------------------------------------------------------------------------

    def restore(self, state: PaperState) -> None:
        """Take over what another broker of the same settings remembered."""
        self.state = state
        self._by_id = {
            order_id: resting
            for listed in state.resting.values()
            for order_id, resting in listed.items()
        }
        self.levels.clear()
        for resting in self._by_id.values():
            self._touch(resting)

    def settings(self) -> list[object]:
        """Return what must be the same where a snapshot is taken up again."""
        model = self.model
        return [
            model.name,
            model.path,
            list(model.touch),
            str(model.queue),
            None if model.volume_share is None else list(model.volume_share),
            type(self.commission).__name__,
            _plain(vars(self.commission)),
            self.slippage.ticks,
            list(self.slippage.bps),
            self.latency,
            self.seed,
        ]


def _plain(settings: dict[str, object]) -> list[list[str]]:
    return [[name, str(value)] for name, value in sorted(settings.items()) if name[0] != "_"]
