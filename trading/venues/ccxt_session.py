"""What an account has at a venue, kept in step over ccxt: requests, orders, trades, reports.

Everything here runs in one asyncio loop, one request at a time under `lock`. An order that a venue
may or may not have taken is asked for by its client id before it is sent again.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from ccxt.base import errors as ccxt_errors

from trading.errors import BrokerRefused
from trading.journal.outputs import SendCancel, SendOrder, SendReplace
from trading.journal.reports import (
    BrokerReport,
    OrderAccepted,
    OrderCanceled,
    OrderCancelRejected,
    OrderFilled,
    OrderRejected,
    OrderReplaced,
    OrderReplaceRejected,
)
from trading.specification import InstrumentSpec
from trading.times import MILLISECOND
from trading.venues.ccxt_orders import (
    ENDS,
    Tracked,
    base_id,
    client_id,
    create_arguments,
    fee_of,
    trade_key,
    unsupported,
    whole_units,
)
from trading.venues.protocol import RequestRefused, VenueOrder
from trading.venues.repeats import Repeats
from trading.venues.validation import faults_of_order, faults_of_terms

__all__ = ["OVERLAP_MS", "REFUSING", "CcxtSession"]

_log = logging.getLogger("trading.venues.ccxt")

# What is asked for again after a pause: clocks and lists of trades of venues are not exact.
OVERLAP_MS = 10_000
REFUSING = (ccxt_errors.AuthenticationError, ccxt_errors.PermissionDenied)
_PAGE = 500
_TRADES_REMEMBERED = 200_000
_LOOKUPS_IN_DOUBT = 3
_LOOKUP_PAUSE_S = 0.25

Request = SendOrder | SendCancel | SendReplace


class CcxtSession:
    """Carries out requests on a ccxt exchange and reports what became of them.

    `specs` are our instruments by ccxt's symbols. `report` takes a report and the venue's time of
    it in milliseconds, `refuse` what changed no order.
    """

    def __init__(
        self,
        exchange: Any,
        account: str,
        specs: Mapping[str, InstrumentSpec],
        report: Callable[[int, BrokerReport], None],
        refuse: Callable[[RequestRefused], None],
    ) -> None:
        self._exchange = exchange
        self._account = account
        self._specs = dict(specs)
        self._symbols = {spec.symbol: symbol for symbol, spec in specs.items()}
        self._report = report
        self._refuse = refuse
        self.lock = asyncio.Lock()
        self.tracked: dict[str, Tracked] = {}
        self._by_venue: dict[tuple[str, str], Tracked] = {}
        self._seen: OrderedDict[str, None] = OrderedDict()
        # Trades before this time were told by an earlier process.
        self._begin_ms = 0
        self._since_ms = 0

    # --- connecting ---------------------------------------------------------------------------

    def use(self, exchange: Any) -> None:
        """Go on over another connection."""
        self._exchange = exchange
        self.lock = asyncio.Lock()

    async def check_instruments(self) -> None:
        """Load the venue's markets; BrokerRefused where ours do not fit them."""
        await self._exchange.load_markets(True)
        for symbol, spec in self._specs.items():
            market = self._exchange.markets.get(symbol)
            if market is None:
                raise BrokerRefused(f"there is no market {symbol} at this venue", "INSTRUMENTS")
            for what, ours, places in (
                ("price", spec.price(spec.price_increment), "price"),
                ("size", spec.size(spec.size_increment), "amount"),
            ):
                step = self._step(market["precision"][places])
                if step and ours % step:
                    raise BrokerRefused(
                        f"{symbol}: the {what} increment is {step} at the venue and {ours} here; "
                        "orders would be rounded. Define the instrument with the venue's",
                        "INSTRUMENTS",
                    )

    def _step(self, precision: object) -> Decimal | None:
        """Return a precision as an increment; some venues give it as a number of decimals."""
        if precision is None:
            return None
        number = Decimal(str(precision))
        # 4 is ccxt's TICK_SIZE, 2 its DECIMAL_PLACES.
        return number if self._exchange.precisionMode == 4 else Decimal(1).scaleb(-int(number))

    async def recover(self, after_ms: int) -> None:
        """Find out what happened since a time: trades, orders that work, orders that ended."""
        now = int(self._exchange.milliseconds())
        if not self._begin_ms:
            self._begin_ms = max(after_ms - OVERLAP_MS, 0) if after_ms else now
            self._since_ms = self._begin_ms
        async with self.lock:
            for symbol in self._specs:
                for trade in await self.trades_since(symbol, self._since_ms):
                    await self._take_trade(trade)
                for order in await self._exchange.fetch_open_orders(symbol):
                    await self._take_order(order)
            for each in list(self.tracked.values()):
                if each.accepted and not each.ended:
                    await self._refresh(each)
            self._since_ms = max(now - OVERLAP_MS, self._begin_ms)

    async def trades_since(self, symbol: str, since_ms: int) -> list[dict[str, Any]]:
        """Return all trades of a symbol from a time on, oldest first."""
        found: dict[str, dict[str, Any]] = {}
        while True:
            page = await self._exchange.fetch_my_trades(symbol, since_ms, _PAGE)
            new = [trade for trade in page if trade_key(trade) not in found]
            found.update((trade_key(trade), trade) for trade in new)
            if len(page) < _PAGE or not new:
                return sorted(found.values(), key=lambda trade: trade["timestamp"])
            since_ms = max(trade["timestamp"] for trade in page)

    # --- requests -----------------------------------------------------------------------------

    async def carry_out(self, request: Request, *, doubt: bool) -> None:
        """Carry out a request; ccxt's OperationFailed leaves its outcome open.

        With `doubt` it may have been carried out before.
        """
        async with self.lock:
            if isinstance(request, SendOrder):
                await self._submit(request, doubt)
            elif isinstance(request, SendCancel):
                await self._cancel(request)
            else:
                await self._replace(request)

    async def _submit(self, order: SendOrder, doubt: bool) -> None:
        if order.order_id in self.tracked:
            return
        symbol = self._symbols.get(order.symbol, "")
        spec = self._specs.get(symbol)
        now = int(self._exchange.milliseconds())
        fault = faults_of_order(order, spec, now * MILLISECOND)
        if not fault and spec is not None:
            fault = unsupported(order, self._exchange.markets[symbol])
        try:
            client_id(order.order_id)
        except ValueError as error:
            fault = fault or str(error)
        if fault or spec is None:
            self._tell(now, OrderRejected(now * MILLISECOND, self._account, order.order_id, fault))
            return
        if doubt and await self._is_there(order, symbol, spec, _LOOKUPS_IN_DOUBT):
            return
        tracked = self._track(order, symbol)
        try:
            made = await self._create(tracked, order, order.quantity)
        except ccxt_errors.OperationFailed:
            del self.tracked[order.order_id]
            raise
        except ccxt_errors.BaseError as error:
            del self.tracked[order.order_id]
            if isinstance(error, REFUSING):
                raise
            if _is_duplicate(error) and await self._is_there(order, symbol, spec, 1):
                return
            now = int(self._exchange.milliseconds())
            report = OrderRejected(now * MILLISECOND, self._account, order.order_id, _said(error))
            self._tell(now, report)
        else:
            await self._take_order(made)

    def _track(self, order: SendOrder, symbol: str) -> Tracked:
        tracked = self.tracked[order.order_id] = Tracked(
            order.order_id,
            symbol,
            order.side,
            order.quantity,
            order.limit,
            order.stop,
            order.tif,
            order.kind,
        )
        return tracked

    async def _create(self, tracked: Tracked, order: SendOrder, quantity: int) -> Mapping[str, Any]:
        """Send an order under the client id of the generation at hand; return the answer."""
        spec = self._specs[tracked.symbol]
        kind, side, amount, price, parameters = create_arguments(
            order, spec, quantity, tracked.limit, tracked.stop
        )
        parameters["clientOrderId"] = client_id(tracked.order_id, tracked.generation)
        made: Mapping[str, Any] = await self._exchange.create_order(
            tracked.symbol, kind, side, amount, price, parameters
        )
        self._link(tracked, str(made["id"]))
        return made

    async def _is_there(
        self, order: SendOrder, symbol: str, spec: InstrumentSpec, times: int
    ) -> bool:
        """Ask for an order that may have been sent; take it over where the venue has it.

        An order in flight may be missed: the question is asked more than once.
        """
        for attempt in range(times):
            if attempt:
                await asyncio.sleep(_LOOKUP_PAUSE_S * 2**attempt)
            found = await self._generations(order.order_id, symbol)
            if not found:
                continue
            first = found[0]
            same = (
                first["side"] == ("buy" if order.side > 0 else "sell")
                and whole_units(first["amount"], spec.size_decimals) == order.quantity
                and (
                    order.limit is None
                    or whole_units(first["price"], spec.price_decimals) == order.limit
                )
            )
            if not same:
                self._refuse(Repeats.refusal(order.order_id))
                return True
            await self._adopt(order.order_id, found)
            return True
        return False

    async def _cancel(self, request: SendCancel) -> None:
        tracked = await self._known(request.order_id)
        reason = "the venue does not know the order"
        if tracked is not None:
            reason = f"it is {ENDS.get(tracked.status, tracked.status)}"
            if not tracked.ended:
                try:
                    await self._cancel_now(tracked)
                except ccxt_errors.InvalidOrder as error:
                    reason = _said(error)
                await self._refresh(tracked)
                if tracked.status == "canceled" or (tracked.ended and tracked.replacing):
                    return
        now = int(self._exchange.milliseconds())
        self._tell(
            now,
            OrderCancelRejected(now * MILLISECOND, self._account, request.order_id, reason),
        )

    async def _cancel_now(self, tracked: Tracked) -> None:
        name = client_id(tracked.order_id, tracked.generation)
        await self._exchange.cancel_order(None, tracked.symbol, {"clientOrderId": name})

    async def _replace(self, request: SendReplace) -> None:
        """Cancel an order and send what is left of it under its next client id.

        What the first one filled is known before the second is sent, so that both together never
        fill more than was asked for.
        """
        tracked = await self._known(request.order_id)
        fault = self._fault_of_replace(tracked, request)
        if fault or tracked is None:
            self._reject_replace(request, fault)
            return
        tracked.replacing = True
        try:
            if tracked.status == "":
                try:
                    await self._cancel_now(tracked)
                except ccxt_errors.InvalidOrder as error:
                    _log.info("cancel for a replace of %s: %s", tracked.order_id, error)
                await self._refresh(tracked)
            if tracked.status != "canceled":
                tracked.replacing = False
                self._settle(tracked)
                reason = f"it is {ENDS.get(tracked.status, 'still working')} at the venue"
                self._reject_replace(request, reason)
                return
            await self._send_rest(tracked, request)
        except BaseException:
            # It is asked for again, and goes on from what the venue says then.
            tracked.replacing = tracked.status == "canceled"
            raise

    def _fault_of_replace(self, tracked: Tracked | None, request: SendReplace) -> str:
        if tracked is None:
            return "the venue does not know the order"
        if tracked.ended:
            return f"it is {ENDS.get(tracked.status, tracked.status)}"
        if request.quantity <= tracked.fills:
            return "" if tracked.fills else f"expected a size above 0, seen {request.quantity}"
        spec = self._specs[tracked.symbol]
        order = self._order_of(tracked, spec)
        return faults_of_terms(order, spec, request.quantity, request.limit, request.stop)

    async def _send_rest(self, tracked: Tracked, request: SendReplace) -> None:
        rest = request.quantity - tracked.fills
        before = (tracked.quantity, tracked.limit, tracked.stop)
        tracked.quantity = max(request.quantity, tracked.fills)
        tracked.limit, tracked.stop = request.limit, request.stop
        if rest <= 0:
            tracked.replacing, tracked.ended, tracked.status = False, True, "closed"
            self._replaced(tracked)
            return
        tracked.generation, tracked.earlier = tracked.generation + 1, tracked.fills
        tracked.final, tracked.status = 0, ""
        made: Mapping[str, Any] | None
        try:
            order = self._order_of(tracked, self._specs[tracked.symbol])
            made = await self._create(tracked, order, rest)
        except ccxt_errors.OperationFailed:
            made = await self._find_rest(tracked, rest)
        except ccxt_errors.BaseError as error:
            if isinstance(error, REFUSING):
                raise
            tracked.quantity, tracked.limit, tracked.stop = before
            tracked.replacing, tracked.ended, tracked.status = False, True, "canceled"
            reason = f"the order for the rest was refused: {_said(error)}"
            self._reject_replace(request, reason)
            now = int(self._exchange.milliseconds())
            self._tell(
                now, OrderCanceled(now * MILLISECOND, self._account, tracked.order_id, reason)
            )
            return
        tracked.replacing = False
        if made is not None:
            # Fills of the new order follow the report of the replace.
            self._replaced(tracked)
            await self._take_order(made)

    def _replaced(self, tracked: Tracked) -> None:
        now = int(self._exchange.milliseconds())
        self._tell(
            now,
            OrderReplaced(
                now * MILLISECOND,
                self._account,
                tracked.order_id,
                tracked.quantity,
                tracked.limit,
                tracked.stop,
            ),
        )

    async def _find_rest(self, tracked: Tracked, rest: int) -> Mapping[str, Any] | None:
        """The answer to the second half of a replace was lost: ask for it, or send it again."""
        name = client_id(tracked.order_id, tracked.generation)
        for attempt in range(20):
            await asyncio.sleep(min(_LOOKUP_PAUSE_S * 2**attempt, 5.0))
            try:
                found = await self._fetch(name, tracked.symbol)
                if found is not None:
                    self._link(tracked, str(found["id"]))
                    return found
                if attempt >= _LOOKUPS_IN_DOUBT:
                    order = self._order_of(tracked, self._specs[tracked.symbol])
                    return await self._create(tracked, order, rest)
            except ccxt_errors.OperationFailed as error:
                _log.warning("replace of %s: %s", tracked.order_id, error)
        self._refuse(
            RequestRefused(
                tracked.order_id,
                "UNKNOWN_OUTCOME",
                "the former order is cancelled and the venue does not say whether the one for the "
                f"rest, {name}, was taken; look there",
            )
        )
        return None

    def _order_of(self, tracked: Tracked, spec: InstrumentSpec) -> SendOrder:
        return SendOrder(
            0,
            tracked.order_id,
            self._account,
            spec.symbol,
            tracked.side,
            tracked.quantity,
            tracked.kind,
            tracked.limit,
            tracked.stop,
            tracked.tif,
            None,
            False,
            False,
            None,
            None,
        )

    def _reject_replace(self, request: SendReplace, reason: str) -> None:
        now = int(self._exchange.milliseconds())
        self._tell(
            now,
            OrderReplaceRejected(now * MILLISECOND, self._account, request.order_id, reason),
        )

    # --- what the venue has -------------------------------------------------------------------

    async def _fetch(self, name: str, symbol: str) -> dict[str, Any] | None:
        try:
            found: dict[str, Any] = await self._exchange.fetch_order(
                None, symbol, {"clientOrderId": name}
            )
        except ccxt_errors.OrderNotFound:
            return None
        return found

    async def _generations(self, order_id: str, symbol: str) -> list[dict[str, Any]]:
        """Return an order and those that replaced it, oldest first."""
        found: list[dict[str, Any]] = []
        try:
            while True:
                each = await self._fetch(client_id(order_id, len(found) + 1), symbol)
                if each is None:
                    return found
                found.append(each)
        except ValueError:
            return found

    async def _known(self, order_id: str) -> Tracked | None:
        """Return an order of this process, or one that the venue has from before."""
        tracked = self.tracked.get(order_id)
        if tracked is not None:
            return tracked
        for symbol in self._specs:
            found = await self._generations(order_id, symbol)
            if found:
                return await self._adopt(order_id, found)
        return None

    async def _adopt(self, order_id: str, generations: Sequence[Mapping[str, Any]]) -> Tracked:
        """Take over an order that an earlier process sent, with what it filled."""
        last = generations[-1]
        symbol = last["symbol"]
        spec = self._specs[symbol]
        sizes = [whole_units(each["filled"], spec.size_decimals) for each in generations]
        price = last["price"] if last["type"] != "market" else None
        trigger = last.get("triggerPrice") or last.get("stopPrice")
        tracked = self.tracked[order_id] = Tracked(
            order_id,
            symbol,
            1 if last["side"] == "buy" else -1,
            sum(sizes[:-1]) + whole_units(last["amount"], spec.size_decimals),
            None if price is None else whole_units(price, spec.price_decimals),
            None if trigger is None else whole_units(trigger, spec.price_decimals),
            last.get("timeInForce") or "GTC",
            {
                (True, True): "STOP_LIMIT",
                (True, False): "STOP",
                (False, True): "LIMIT",
                (False, False): "MARKET",
            }[bool(trigger), price is not None],
            generation=len(generations),
            earlier=sum(sizes[:-1]),
        )
        for each in generations:
            self._link(tracked, str(each["id"]))
        for each in generations:
            await self._take_trades_of(tracked, str(each["id"]))
        await self._take_order(last)
        return tracked

    def _link(self, tracked: Tracked, venue_id: str) -> None:
        tracked.venue_id = venue_id
        self._by_venue[tracked.symbol, venue_id] = tracked

    async def _refresh(self, tracked: Tracked) -> None:
        found = await self._fetch(client_id(tracked.order_id, tracked.generation), tracked.symbol)
        if found is not None:
            await self._take_order(found)

    async def _take_trades_of(self, tracked: Tracked, venue_id: str) -> None:
        for trade in await self._exchange.fetch_my_trades(
            tracked.symbol, None, _PAGE, {"orderId": venue_id}
        ):
            if str(trade["order"]) == venue_id:
                await self._take_trade(trade)

    # --- what the venue says ------------------------------------------------------------------

    async def orders_said(self, orders: Sequence[Mapping[str, Any]]) -> None:
        """Take orders of the stream."""
        async with self.lock:
            for order in orders:
                if order["symbol"] in self._specs:
                    await self._take_order(order)

    async def trades_said(self, trades: Sequence[Mapping[str, Any]]) -> None:
        """Take trades of the stream."""
        async with self.lock:
            for trade in trades:
                if trade["symbol"] not in self._specs or trade_key(trade) in self._seen:
                    continue
                if (trade.get("fee") or {}).get("cost") is not None:
                    await self._take_trade(trade)
                else:
                    await self._take_with_fee(trade)

    async def _take_with_fee(self, trade: Mapping[str, Any]) -> None:
        """Take a trade whose fee the stream leaves out from the list of trades.

        The list may lag behind; what is not there yet comes when it is asked for the next time.
        """
        venue_id, symbol = str(trade["order"]), trade["symbol"]
        for attempt in range(_LOOKUPS_IN_DOUBT):
            if attempt:
                await asyncio.sleep(_LOOKUP_PAUSE_S)
            for listed in await self._exchange.fetch_my_trades(
                symbol, None, _PAGE, {"orderId": venue_id}
            ):
                if str(listed["order"]) == venue_id:
                    await self._take_trade(listed)
            if trade_key(trade) in self._seen:
                return

    async def _take_order(self, order: Mapping[str, Any]) -> None:
        symbol, venue_id = order["symbol"], str(order["id"])
        tracked = self._by_venue.get((symbol, venue_id))
        if tracked is None:
            name = str(order.get("clientOrderId") or f"venue-{venue_id}")
            order_id, generation = base_id(name)
            tracked = self.tracked.get(order_id)
            if tracked is None:
                # It may have been replaced, or be somebody else's.
                found = await self._generations(order_id, symbol)
                tracked = await self._adopt(order_id, found or [dict(order)])
                self._by_venue[symbol, venue_id] = tracked
                return
            if generation < tracked.generation:
                return
            self._link(tracked, venue_id)
        elif venue_id != tracked.venue_id:
            return  # an earlier generation
        spec = self._specs[symbol]
        if not tracked.accepted and order.get("status") != "rejected":
            tracked.accepted = True
            self._accept(tracked, order)
        filled = tracked.earlier + whole_units(order.get("filled"), spec.size_decimals)
        tracked.final = max(tracked.final, filled)
        if order.get("status") in ENDS and not tracked.status:
            tracked.status = str(order["status"])
            if tracked.status == "expired":
                tracked.status = "canceled"
        if tracked.status and tracked.fills < tracked.final:
            await self._take_trades_of(tracked, venue_id)
        self._settle(tracked)

    def _accept(self, tracked: Tracked, order: Mapping[str, Any]) -> None:
        made = int(order.get("timestamp") or self._exchange.milliseconds())
        if made < self._begin_ms:
            return  # an earlier process was told
        self._tell(
            made,
            OrderAccepted(
                made * MILLISECOND, self._account, tracked.order_id, str(tracked.venue_id)
            ),
        )

    async def _take_trade(self, trade: Mapping[str, Any]) -> None:
        key, symbol = trade_key(trade), trade["symbol"]
        if key in self._seen:
            return
        venue_id = str(trade["order"])
        tracked = self._by_venue.get((symbol, venue_id))
        if tracked is None:
            order = await self._exchange.fetch_order(venue_id, symbol)
            await self._take_order(order)
            tracked = self._by_venue.get((symbol, venue_id))
            if tracked is None or key in self._seen:
                return  # taking the order over has taken its trades
        self._seen[key] = None
        if len(self._seen) > _TRADES_REMEMBERED:
            self._seen.popitem(last=False)
        spec = self._specs[symbol]
        quantity = whole_units(trade["amount"], spec.size_decimals)
        tracked.fills += quantity
        moment = int(trade["timestamp"])
        if moment >= self._begin_ms:
            if not tracked.accepted:
                tracked.accepted = True
                self._accept(tracked, trade)
            self._tell(moment, self.execution(trade, tracked.order_id))
        self._settle(tracked)

    def execution(self, trade: Mapping[str, Any], order_id: str) -> OrderFilled:
        """Return a trade as the report of an execution."""
        spec = self._specs[trade["symbol"]]
        base = self._exchange.markets[trade["symbol"]]["base"]
        fees, remark = fee_of(trade, spec, base)
        if remark:
            _log.warning("%s: %s", trade_key(trade), remark)
        time = int(trade["timestamp"]) * MILLISECOND
        return OrderFilled(
            time,
            self._account,
            order_id,
            trade_key(trade),
            whole_units(trade["amount"], spec.size_decimals),
            whole_units(trade["price"], spec.price_decimals),
            fees,
            time,
            trade.get("takerOrMaker") == "maker",
            1 if trade["side"] == "buy" else -1,
            spec.symbol,
        )

    async def order_id_of(self, trade: Mapping[str, Any]) -> str:
        """Return whose execution a trade is."""
        tracked = self._by_venue.get((trade["symbol"], str(trade["order"])))
        if tracked is not None:
            return tracked.order_id
        order = await self._exchange.fetch_order(str(trade["order"]), trade["symbol"])
        return base_id(str(order.get("clientOrderId") or f"venue-{trade['order']}"))[0]

    def _settle(self, tracked: Tracked) -> None:
        """Tell an order's end once all that it filled was told."""
        if tracked.ended or tracked.replacing or not tracked.status:
            return
        if tracked.fills < tracked.final:
            return
        tracked.ended = True
        if tracked.status == "canceled":
            now = int(self._exchange.milliseconds())
            self._tell(
                now, OrderCanceled(now * MILLISECOND, self._account, tracked.order_id, "canceled")
            )
        elif tracked.status == "rejected":
            now = int(self._exchange.milliseconds())
            reason = "rejected by the venue"
            self._tell(
                now, OrderRejected(now * MILLISECOND, self._account, tracked.order_id, reason)
            )

    def _tell(self, moment_ms: int, report: BrokerReport) -> None:
        self._report(moment_ms, report)

    # --- questions ----------------------------------------------------------------------------

    async def open_orders(self) -> list[VenueOrder]:
        """Return the orders that work."""
        found = []
        async with self.lock:
            for symbol in self._specs:
                for order in await self._exchange.fetch_open_orders(symbol):
                    await self._take_order(order)
                    tracked = self._by_venue.get((symbol, str(order["id"])))
                    if tracked is not None and not tracked.ended:
                        found.append(self._view(tracked))
        return found

    async def find_order(self, order_id: str) -> VenueOrder | None:
        """Return an order as the venue has it now."""
        async with self.lock:
            tracked = await self._known(order_id)
            if tracked is None:
                return None
            await self._refresh(tracked)
            return self._view(tracked)

    def _view(self, tracked: Tracked) -> VenueOrder:
        filled = max(tracked.final, tracked.fills)
        status = ENDS.get(tracked.status, "PARTIALLY_FILLED" if filled else "ACCEPTED")
        return VenueOrder(
            tracked.order_id,
            self._specs[tracked.symbol].symbol,
            tracked.side,
            tracked.kind,
            tracked.tif,
            tracked.quantity,
            filled,
            status,
            tracked.limit,
            tracked.stop,
            tracked.venue_id,
        )


def _is_duplicate(error: Exception) -> bool:
    """Venues give a repeated client id by a class of its own, or by words alone."""
    return isinstance(error, ccxt_errors.DuplicateOrderId) or "uplicate" in str(error)


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:300]
