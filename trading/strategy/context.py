"""What a strategy sees and does, in numbers of people; it sees nothing that is not past."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec

from trading.errors import StrategyError
from trading.indicators import Indicator
from trading.journal.inputs import OrderTerms
from trading.kernel.hosting import Context as KernelContext
from trading.numbers import (
    Number,
    Rounding,
    from_units,
    round_to_increment,
    to_units,
)
from trading.orders import Bracket, OneCancelsOther, OneTriggersOther, Order, OrderRequest
from trading.orders.build import group_terms, terms_or_fault
from trading.specification import InstrumentSpec
from trading.strategy.figures import Figure
from trading.strategy.views import Bar, Signal
from trading.times import moment, nanoseconds

__all__ = ["Context"]


class Context:
    """Prices, positions and money of a strategy, and its ways to trade.

    Numbers are taken as int, float, str or Decimal. A call that asks for an order returns the
    order's id, also where the rules deny it: `order` says what became of it. While the strategy
    warms up, nothing is sent and the id is empty.
    """

    def __init__(
        self,
        kernel: KernelContext,
        name: str,
        account: str,
        bars: Mapping[tuple[str, str], Bar | None],
        frames: Collection[str],
        follow: Callable[[str, str, Figure], None],
        trades_from: int,
    ) -> None:
        self._kernel = kernel
        self._name = name
        self._account = account
        self._bars = bars
        self._frames = frames
        self._follow = follow
        self._trades_from = trades_from

    # --- what there is ----------------------------------------------------------------------------

    @property
    def now(self) -> datetime:
        """The time of what is told now, in UTC."""
        return moment(self._kernel.now)

    @property
    def now_ns(self) -> int:
        """The time of what is told now, in nanoseconds since 1970."""
        return self._kernel.now

    @property
    def account(self) -> str:
        """The account that it trades on."""
        return self._account

    @property
    def cash(self) -> Decimal:
        """Money of the account in its own currency."""
        return from_units(self._kernel.cash, self._kernel.money_decimals)

    @property
    def equity(self) -> Decimal | None:
        """Cash and market value of the account; None where a price or rate is missing."""
        units = self._kernel.equity
        return None if units is None else from_units(units, self._kernel.money_decimals)

    def instrument(self, symbol: str) -> InstrumentSpec:
        """Return an instrument's description; StrategyError where there is none."""
        try:
            return self._kernel.spec(symbol)
        except KeyError:
            raise StrategyError(f"no instrument {symbol!r} is defined in this run") from None

    def last(self, symbol: str) -> float | None:
        """Return the last price of a symbol; None before there was one."""
        units = self._kernel.last(symbol)
        spec = self.instrument(symbol)
        return None if units is None else units / int(10**spec.price_decimals)

    def bar(self, symbol: str, timeframe: str) -> Bar | None:
        """Return the last final bar of a symbol and one of the strategy's timeframes."""
        found = self._bars.get((symbol, timeframe))
        if found is None:
            known = self._frames or {frame for _, frame in self._bars}
            if known and timeframe not in known:
                raise StrategyError(
                    f"{self._name} does not follow {timeframe!r}; its timeframes are "
                    f"{', '.join(known)}"
                )
        return found

    def position(self, symbol: str) -> Decimal:
        """Return the strategy's own signed size of a symbol; 0 when flat."""
        units = self._kernel.position(symbol)
        return Decimal(0) if not units else self.instrument(symbol).size(units)

    def order(self, order_id: str) -> Order | None:
        """Return an order of the run; None when it is finished and forgotten."""
        return self._kernel.order(order_id)

    def indicator(
        self,
        indicator: Indicator,
        symbol: str,
        *,
        timeframe: str = "",
        inputs: str | tuple[str, ...] = (),
    ) -> Figure:
        """Let an indicator follow the bars of a symbol from the next one on, and return it.

        `timeframe` is the anchor's unless it is given; `inputs` names the columns of a bar where
        they differ from the indicator's own.
        """
        names = (inputs,) if isinstance(inputs, str) else tuple(inputs)
        figure = Figure(indicator, names or tuple(indicator.inputs))
        self._follow(symbol, timeframe, figure)
        return figure

    def round_price(self, symbol: str, price: Number, rounding: Rounding = "nearest") -> Decimal:
        """Return a price on the instrument's increment: `nearest`, `down` or `up`."""
        spec = self.instrument(symbol)
        return round_to_increment(price, spec.price(spec.price_increment), rounding, "price")

    # --- what it does -----------------------------------------------------------------------------

    @property
    def _silent(self) -> bool:
        return self._kernel.now < self._trades_from

    def signal(
        self,
        action: str | Signal,
        symbol: str = "",
        size_hint: Number = 0,
        confidence: float = 1.0,
        reason: str = "",
    ) -> str | None:
        """Give a signal; the picker decides. Returns the order's id, None where there is none."""
        given = (
            action
            if isinstance(action, Signal)
            else Signal(action, symbol, size_hint, confidence, reason)
        )
        spec = self.instrument(given.symbol)
        if self._silent:
            return None
        return self._kernel.signal(
            given.action,
            given.symbol,
            given.size_units(spec),
            round(given.confidence * 1_000_000),
            given.reason,
        )

    def buy(self, symbol: str, quantity: Number, **terms: Any) -> str:
        """Buy at the market, or with `limit`, `stop`, `trail`, or other terms of a request."""
        return self._trade(symbol, 1, quantity, terms)

    def sell(self, symbol: str, quantity: Number, **terms: Any) -> str:
        """Sell at the market, or with `limit`, `stop`, `trail`, or other terms of a request."""
        return self._trade(symbol, -1, quantity, terms)

    def _trade(self, symbol: str, side: int, quantity: Number, terms: dict[str, Any]) -> str:
        spec = self.instrument(symbol)
        if not terms and type(quantity) is int and quantity > 0:
            # By far the most: a market order of a whole size needs no request.
            units = quantity * int(10**spec.size_decimals)
            if units % spec.size_increment == 0:
                if self._kernel.now < self._trades_from:
                    return ""
                own = self._account, self._name
                return self._kernel.submit_terms(
                    OrderTerms(*own, symbol, side, units, "MARKET", None, None, "GTC")
                )
        name = "BUY" if side > 0 else "SELL"
        return self.submit(self._request(symbol, name, quantity, **terms))

    def close(self, symbol: str, *, tag: str = "") -> str | None:
        """Close the strategy's own position in a symbol at the market; None when it is flat."""
        size = self.position(symbol)
        if not size:
            return None
        side = "SELL" if size > 0 else "BUY"
        return self.submit(self._request(symbol, side, abs(size), tag=tag))

    def bracket(
        self,
        symbol: str,
        side: str,
        quantity: Number,
        *,
        target: Number,
        stop: Number,
        **terms: Any,
    ) -> str:
        """Send an entry with a target and a stop for what it fills; returns the group's id."""
        return self.submit(Bracket(self._request(symbol, side, quantity, **terms), target, stop))

    def _request(
        self,
        symbol: str,
        side: str,
        quantity: Number,
        *,
        limit: Number | None = None,
        stop: Number | None = None,
        trail: Number | None = None,
        **more: Any,
    ) -> OrderRequest:
        """A request of what was said: a limit or stop price makes the kind of order.

        `more` takes the other fields of `OrderRequest`, such as `time_in_force` or `tag`.
        """
        kind = "MARKET"
        if trail is not None:
            kind = "TRAILING_STOP"
        elif limit is not None:
            kind = "LIMIT" if stop is None else "STOP_LIMIT"
        elif stop is not None:
            kind = "STOP"
        try:
            return OrderRequest(
                self._account,
                symbol,
                side,
                quantity,
                kind,
                limit,
                stop,
                strategy=self._name,
                trail=trail,
                **more,
            )
        except TypeError as error:
            raise StrategyError(f"{side} {symbol}: {error}") from None

    def submit(self, request: OrderRequest | Bracket | OneCancelsOther | OneTriggersOther) -> str:
        """Send an order or a group of them under the strategy's name; returns its id."""
        kernel = self._kernel
        if not isinstance(request, OrderRequest):
            found = group_terms(request, kernel.spec, self._own)
            return "" if self._silent else kernel.submit_group(*found)
        own = self._own(request)
        spec = self.instrument(own.symbol)
        return "" if self._silent else kernel.submit_terms(terms_or_fault(own, spec))

    def _own(self, request: OrderRequest) -> OrderRequest:
        if request.strategy == self._name and request.account == self._account:
            return request
        if request.account not in ("", self._account):
            raise StrategyError(
                f"{self._name} trades on account {self._account}, not on {request.account}"
            )
        return msgspec.structs.replace(request, account=self._account, strategy=self._name)

    def replace(
        self,
        order_id: str,
        *,
        quantity: Number | None = None,
        limit: Number | None = None,
        stop: Number | None = None,
    ) -> str:
        """Ask for other terms of an order; returns OK or why not."""
        order = self.order(order_id)
        if order is None:
            return "UNKNOWN_ORDER"
        sizes, prices = order.size_decimals, order.price_decimals
        return self._kernel.replace(
            order_id,
            None if quantity is None else to_units(quantity, sizes, "quantity"),
            None if limit is None else to_units(limit, prices, "limit"),
            None if stop is None else to_units(stop, prices, "stop"),
        )

    def cancel(self, order_id: str) -> str:
        """Ask for an order's end; returns OK or why not."""
        return self._kernel.cancel(order_id)

    def timer(self, when: datetime | timedelta | int, label: str) -> None:
        """Be told at a time, or after a length of time; an int is nanoseconds since 1970."""
        if isinstance(when, timedelta):
            time = self._kernel.now + when // timedelta(microseconds=1) * 1_000
        else:
            time = nanoseconds(when)
        self._kernel.set_timer(time, label)
