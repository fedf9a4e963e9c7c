"""Busts and corrections: trades that are taken back, or had other numbers."""

from __future__ import annotations

from trading.errors import ExchangeError
from trading.exchange.matching.accounts import ExchangeAccount, Trade, TradeSide
from trading.exchange.matching.inputs import BustTrade, CorrectTrade
from trading.exchange.matching.state import ExchangeState
from trading.journal.reports import FillBusted, FillCorrected
from trading.numbers import MONEY_DECIMALS
from trading.specification import InstrumentSpec

__all__ = ["Corrections"]


class Corrections:
    """Takes trades back for both of their sides: positions, cash and what the orders filled."""

    def __init__(self, state: ExchangeState) -> None:
        self._state = state

    def _known(self, number: int) -> Trade:
        trade = self._state.trades.get(number)
        if trade is None or not trade.size:
            raise ExchangeError(
                f"trade {number} is not known here or was busted; the last one is "
                f"{self._state.trade_number}"
            )
        return trade

    def bust(self, event: BustTrade) -> None:
        """Take a trade back."""
        trade = self._known(event.trade)
        spec = self._state.specs[trade.symbol]
        for each in trade.sides:
            account = self._state.accounts[each.account]
            value = trade.size * trade.price * self._state.factors[trade.symbol]
            account.settle(spec, -trade.size * each.side, -value * each.side, -each.fees)
            self._unfill(account, each, trade, -trade.size, -abs(value), -each.fees)
            self._state.say(
                account,
                FillBusted(
                    self._state.now,
                    account.name,
                    each.fill_id,
                    event.reason,
                    each.order_id,
                    trade.symbol,
                    "",
                    each.side,
                    trade.size,
                    trade.price,
                    each.fees,
                ),
            )
        trade.size = 0

    def correct(self, event: CorrectTrade) -> None:
        """Give a trade other numbers, under new execution ids."""
        trade = self._known(event.trade)
        spec = self._state.specs[trade.symbol]
        self._check(trade, event, spec)
        trade.corrections += 1
        for each in trade.sides:
            account, factor = self._state.accounts[each.account], self._state.factors[trade.symbol]
            old, new = trade.size * trade.price * factor, event.quantity * event.price * factor
            fees = self._state.fees.charge(
                (0, 0, 0), event.quantity, abs(new), each.maker, spec, MONEY_DECIMALS
            )
            more = event.quantity - trade.size
            account.settle(spec, more * each.side, (new - old) * each.side, fees - each.fees)
            corrected_id = f"{each.fill_id.partition('~')[0]}~{trade.corrections}"
            self._state.say(
                account,
                FillCorrected(
                    self._state.now,
                    account.name,
                    each.fill_id,
                    corrected_id,
                    event.quantity,
                    event.price,
                    fees,
                ),
            )
            self._unfill(account, each, trade, more, abs(new) - abs(old), fees - each.fees)
            each.fill_id, each.fees = corrected_id, fees
        trade.size, trade.price = event.quantity, event.price

    def _check(self, trade: Trade, event: CorrectTrade, spec: InstrumentSpec) -> None:
        if event.quantity <= 0 or event.quantity % spec.size_increment:
            raise ExchangeError(
                f"trade {trade.number}: {event.quantity} is no size of {spec.symbol}; "
                "bust the trade to take all of it back"
            )
        if event.price % spec.price_increment or (event.price <= 0 and not spec.negative_prices):
            raise ExchangeError(f"trade {trade.number}: {event.price} is no price of {spec.symbol}")
        for each in trade.sides:
            account = self._state.accounts[each.account]
            if account.silent:
                continue
            order = account.orders.get(each.order_id)
            room = 0 if order is None else max(order.leaves, 0)
            if event.quantity > trade.size and room < event.quantity - trade.size:
                raise ExchangeError(
                    f"trade {trade.number}: order {each.order_id} has {room} left, and the "
                    f"correction adds {event.quantity - trade.size}"
                )

    def _unfill(
        self,
        account: ExchangeAccount,
        side: TradeSide,
        trade: Trade,
        size: int,
        value: int,
        fees: int,
    ) -> None:
        """Change what an order has filled; one that has ended does not work again."""
        order = account.orders.get(side.order_id)
        if order is None:
            return
        self._state.out.symbols.add(trade.symbol)
        self._state.books[trade.symbol].resize(order, -size)
        order.filled += size
        order.value += value
        order.fees += fees
        if not order.is_open:
            return
        if not order.leaves:
            self._state.end(order, "FILLED")
        elif not order.filled and order.status == "PARTIALLY_FILLED":
            order.status = "ACCEPTED"
