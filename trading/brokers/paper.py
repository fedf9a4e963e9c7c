"""A simulated broker: orders rest in it and meet ticks or bars; no clock and no chance of its own.

    broker = PaperBroker("next_open", PerShare("0.005", "1.00"), slippage="1 tick", seed=7)

The kernel connects it to the market's prices and hears its reports; used alone, `connect` does so
with any `Market` and any function for reports.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from trading.brokers.bar_matching import BarPrices, meet_bar
from trading.brokers.commissions import Commission, NoCommission
from trading.brokers.fill_models import FillModel, Slippage, bar_path
from trading.brokers.levels import LevelBook
from trading.brokers.protocol import Sink
from trading.brokers.resting import Flight, PaperState, Resting, is_trailing, levels_of
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

__all__ = ["AUCTIONS", "PaperBroker"]

_EXECUTIONS_KEPT = 1_000
_UNTRADED = (0, 0, 0)
AUCTIONS = frozenset({"AT_OPEN", "AT_CLOSE"})
"""Times in force that wait for an auction."""


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
        self._trailing: dict[str, dict[str, Resting]] = {}
        self.reports: list[object] = []
        self._sink: Sink = self.reports.append
        self._accepted: Callable[[OrderAccepted], None] = self._sink
        self._filled: Callable[[OrderFilled], None] = self._sink
        self._filled_at_once: Callable[[Order, OrderFilled], None] = self._accept_and_fill
        self._keeps = True
        # Whether a market order may fill as it arrives, whole and before anybody can end it.
        self._fills_on_arrival = False
        self._submitted: set[str] = set()
        self._market = Market(10)
        # What is left of a bar's or tick's volume; None is as much as anybody wants.
        self._budget: int | None = None
        self.wakes: list[int] = []

    def connect(
        self,
        market: Market,
        sink: Sink,
        on_accepted: Callable[[OrderAccepted], None] | None = None,
        on_filled: Callable[[OrderFilled], None] | None = None,
        on_filled_at_once: Callable[[Order, OrderFilled], None] | None = None,
    ) -> None:
        """Take prices and instruments from a market, and send reports to a function.

        The two most frequent kinds may go to functions of their own, and both together where an
        order fills whole as it arrives. Who hears every report has no need to ask for executions:
        none are kept then.
        """
        self._market = market
        self._sink = sink
        self._accepted = sink if on_accepted is None else on_accepted
        self._filled = sink if on_filled is None else on_filled
        if on_filled_at_once is not None:
            self._filled_at_once = on_filled_at_once
        self._keeps = False
        self._fills_on_arrival = (
            self.model.at_once and self.model.volume_share is None and not self.latency
        )

    # --- the broker's protocol --------------------------------------------------------------------

    def submit(
        self, order: Order, opens_at: int | None = None, closes_at: int | None = None
    ) -> None:
        """Take an order; the times are those of the auction that AT_OPEN and AT_CLOSE wait for."""
        if (
            self._fills_on_arrival
            and order.kind == "MARKET"
            and opens_at is closes_at is None
            and not (order.group or order.reduce_only or order.post_only)
            and order.tif not in AUCTIONS
        ):
            price = self._reference(order.symbol, order.side)
            if price is not None:
                self._fill_arriving(order, price)
                return
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
            self._send(Flight(self.state.now + self.latency, "submit", order.order_id, resting))
        else:
            self._arrive(resting)

    def cancel(self, order_id: str) -> None:
        """Ask for an order's end."""
        if self.latency:
            self._send(Flight(self.state.now + self.latency, "cancel", order_id))
        else:
            self._cancel(order_id)

    def replace(self, order_id: str, quantity: int, limit: int | None, stop: int | None) -> None:
        """Ask for other terms."""
        if self.latency:
            due = self.state.now + self.latency
            self._send(Flight(due, "replace", order_id, None, quantity, limit, stop))
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

    def end_all(self, symbol: str, reason: str) -> None:
        """End every order of a symbol, also those on their way here."""
        flights = self.state.flights
        arriving = [e.resting for e in flights if e.resting is not None]
        flights[:] = [e for e in flights if e.resting is None or e.resting.symbol != symbol]
        for resting in arriving:
            if resting.symbol == symbol:
                self._sink(OrderRejected(self.state.now, resting.account, resting.order_id, reason))
        for resting in list(self._by_id.values()):
            if resting.symbol == symbol:
                self.finish(resting, reason)

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

    def _send(self, flight: Flight) -> None:
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
                if price is not None and self.fits(resting, price):
                    self.fill(resting, price, closes, maker=False)
                self.finish(resting)

    # --- arrivals ---------------------------------------------------------------------------------

    def _arrive(self, resting: Resting) -> None:
        state, symbol = self.state, resting.symbol
        if resting.post_only and self._marketable(resting, resting.limit):
            self._sink(
                OrderRejected(
                    state.now, resting.account, resting.order_id, "post-only order would trade"
                )
            )
            return
        tif = resting.tif
        waits = tif in AUCTIONS
        if waits:
            self.wakes += [t for t in (resting.opens_at, resting.closes_at) if t is not None]
        if resting.kind == "TRAILING_STOP":
            self.follow(resting, self._market.last.get(symbol))
        self._by_id[resting.order_id] = resting
        self._accepted(OrderAccepted(state.now, resting.account, resting.order_id))
        if self._by_id.get(resting.order_id) is not resting:
            return  # whoever heard of it has cancelled it
        if not waits and self.model.at_once:
            self._take(resting)
            if resting.filled == resting.qty or resting.order_id not in self._by_id:
                return
            if resting.tif in ("IOC", "FOK"):
                self.finish(resting)
                return
        resting.since = state.bars.get(symbol, 0)
        resting.arrived = state.now
        if self.model.queue:
            spec = self._market.specs[symbol]
            resting.queue = to_units(self.model.queue, spec.size_decimals, "queue")
        state.resting.setdefault(symbol, {})[resting.order_id] = resting
        self._touch(resting)

    def _fill_arriving(self, order: Order, price: int) -> None:
        """Accept a market order and fill it whole: it never rests here."""
        now, market = self.state.now, self._market
        account, symbol, order_id = order.account, order.symbol, order.order_id
        size, side, spec = order.qty, order.side, market.specs[symbol]
        if not self._exact:
            price = self.slippage.worsen(price, side, spec)
        value = size * (price if price >= 0 else -price) * market.factors[symbol]
        fees = self.commission.charge(_UNTRADED, size, value, False, spec, market.money_decimals)
        net = self.state.net.get(account)
        if net is None:
            net = self.state.net[account] = {}
        net[symbol] = net.get(symbol, 0) + size * side
        self._filled_at_once(
            order,
            OrderFilled(
                now,
                account,
                order_id,
                order_id + ".1",
                size,
                price,
                fees,
                now,
                False,
                side,
                symbol,
                order.strategy,
            ),
        )

    def _accept_and_fill(self, order: Order, report: OrderFilled) -> None:
        self._accepted(OrderAccepted(report.time, order.account, order.order_id))
        self._filled(report)

    def _reference(self, symbol: str, side: int) -> int | None:
        """The price that an order of this side meets now: the opposite quote, or the last trade."""
        if self.model.by_ticks:
            quote = (self._market.ask if side > 0 else self._market.bid).get(symbol)
            if quote is not None:
                return quote
        return self._market.last.get(symbol)

    def _marketable(self, resting: Resting, limit: int | None) -> bool:
        """Whether the order would trade at once with this limit."""
        price = self._reference(resting.symbol, resting.side)
        return price is not None and (limit is None or (limit - price) * resting.side >= 0)

    @staticmethod
    def fits(resting: Resting, price: int) -> bool:
        """Whether the order would trade at this price."""
        return resting.limit is None or (resting.limit - price) * resting.side >= 0

    def _take(self, resting: Resting) -> None:
        """Trade at once what the market gives, where nothing bounds the volume."""
        market, symbol = self._market, resting.symbol
        price = None
        if self.model.by_ticks:
            price = (market.ask if resting.side > 0 else market.bid).get(symbol)
        if price is None:
            price = market.last.get(symbol)
        if price is None:
            return
        if resting.waits_for_stop:
            last, stop = self._market.last.get(resting.symbol), resting.stop
            if last is None or stop is None or (last - stop) * resting.side < 0:
                return
            self.trigger(resting)
        if self.fits(resting, price) and (
            self.model.volume_share is None or resting.tif in ("IOC", "FOK")
        ):
            self._budget = None
            worse = price if self._exact else self.worse(resting, price)
            self.fill(resting, worse, self.state.now, maker=False)

    def worse(self, resting: Resting, price: int) -> int:
        """The price with slippage, never beyond the order's limit."""
        side = resting.side
        if self._exact:
            return price
        worse = self.slippage.worsen(price, side, self._market.specs[resting.symbol])
        limit = resting.limit
        return limit if limit is not None and (worse - limit) * side > 0 else worse

    def trigger(self, resting: Resting) -> None:
        """Note that a stop was reached; a stop-limit rests at its limit from now on."""
        resting.triggered = True
        if resting.kind == "STOP_LIMIT":
            self._sink(OrderTriggered(self.state.now, resting.account, resting.order_id))

    def follow(self, resting: Resting, price: int | None) -> None:
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
        moves = resting.post_only and limit != resting.limit
        if moves and self._marketable(resting, limit):
            reason = "post-only order would trade"
            self._sink(OrderReplaceRejected(now, resting.account, order_id, reason))
            return
        # Below what is filled means: no more than that.
        resting.qty = max(qty, resting.filled)
        resting.limit = limit
        if stop is not None or resting.kind != "TRAILING_STOP":
            resting.stop = stop
        resting.touches = 0
        if resting.qty == resting.filled:
            self._remove(resting)
        else:
            self._touch(resting)
        self._sink(OrderReplaced(now, resting.account, order_id, resting.qty, limit, resting.stop))
        takes = self.model.at_once and resting.tif not in AUCTIONS
        if takes and resting.order_id in self._by_id:
            self._take(resting)

    def finish(self, resting: Resting, reason: str = "") -> None:
        """Cancel what is left of an order that does not rest."""
        if self._by_id.get(resting.order_id) is resting:
            self._remove(resting)
            self._sink(
                OrderCanceled(
                    self.state.now, resting.account, resting.order_id, reason or resting.tif
                )
            )

    def _remove(self, resting: Resting) -> None:
        order_id, symbol = resting.order_id, resting.symbol
        del self._by_id[order_id]
        listed = self.state.resting.get(symbol)
        if listed and listed.pop(order_id, None) is not None:
            self.levels.drop(order_id)
            if resting.kind == "TRAILING_STOP":
                self._trailing.get(symbol, {}).pop(order_id, None)

    def fill(self, resting: Resting, price: int, executed: int, *, maker: bool) -> None:
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
                self.finish(resting, "reduce-only, and there is nothing to reduce")
                return
        if resting.tif == "FOK" and (
            size < resting.qty or (self._budget is not None and self._budget < size)
        ):
            self.finish(resting)
            return
        if self._budget is not None:
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
        self._filled(report)

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
                self.follow(resting, price)
            if resting.stop is None or (price - resting.stop) * side < 0:
                return
            self.trigger(resting)
            self._touch(resting)
            if self.fits(resting, price):
                self.fill(resting, self.worse(resting, price), now, maker=False)
            return
        limit = resting.limit
        if not resting.rests_at_limit or limit is None:
            # A market order that waited for a price, or for volume.
            quote = self._reference(resting.symbol, side)
            market = price if quote is None else quote
            self.fill(resting, self.worse(resting, market), now, maker=False)
            if resting.tif in ("IOC", "FOK", "AT_OPEN"):
                self.finish(resting)
        elif resting.tif == "AT_OPEN":
            # All of an auction trade at its price, not at their limits.
            if self.fits(resting, price):
                self.fill(resting, price, now, maker=False)
            self.finish(resting)
        elif (limit - price) * side > 0 or (limit == price and self.touched(resting, size)):
            self.fill(resting, limit, now, maker=True)

    def touched(self, resting: Resting, size: int) -> bool:
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
            if resting.tif == "AT_OPEN":
                # The market opens with a quote: it is the opening price.
                if self.fits(resting, quote):
                    self.fill(resting, self.worse(resting, quote), now, maker=False)
                self.finish(resting)
            elif resting.limit is None:
                if self.model.volume_share is None:
                    self.fill(resting, self.worse(resting, quote), now, maker=False)
            elif (resting.limit - quote) * resting.side >= 0:
                self.fill(resting, resting.limit, now, maker=True)

    def _touch(self, resting: Resting) -> None:
        """Note at which ticks a resting order has to be looked at."""
        listed = self.state.resting.get(resting.symbol)
        if self.model.by_ticks and listed is not None and resting.order_id in listed:
            if resting.kind == "TRAILING_STOP":
                self._trailing.setdefault(resting.symbol, {}).pop(resting.order_id, None)
                if is_trailing(resting):
                    self._trailing[resting.symbol][resting.order_id] = resting
            self.levels.set(
                resting.order_id, resting.symbol, levels_of(resting, bool(self.model.touch[0]))
            )

    def trailing(self, symbol: str) -> list[Resting]:
        """Return the trailing stops of a symbol that wait for trades."""
        found = self._trailing.get(symbol)
        return list(found.values()) if found else []

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
        meet_bar(
            self, state.resting[symbol], number, bar_path(self.model.path, *prices), start, end
        )
        self._budget = None

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
        self._trailing.clear()
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
