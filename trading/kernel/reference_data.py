"""What is known of instruments: descriptions, sessions, rates, corporate actions."""

from __future__ import annotations

from trading.brokers.paper import PaperBroker
from trading.journal import inputs as given
from trading.journal.outputs import Alert
from trading.journal.recorder import Recorder
from trading.kernel.desk import Desk
from trading.kernel.prices.bars import BarFold
from trading.risk.account import Account, Market

__all__ = ["ReferenceData"]


class ReferenceData:
    """Takes in descriptions of instruments and markets, and what they change."""

    def __init__(
        self,
        recorder: Recorder,
        market: Market,
        accounts: dict[str, Account],
        desk: Desk,
        fold: BarFold | None,
        paper: PaperBroker | None,
    ) -> None:
        self._recorder = recorder
        self._market = market
        self._accounts = accounts
        self._desk = desk
        self._fold = fold
        self._paper = paper

    def define(self, event: given.DefineInstrument) -> None:
        """Add an instrument, or describe it anew."""
        spec, before = event.spec, self._market.specs.get(event.spec.symbol)
        if before is not None and (
            (before.price_decimals, before.size_decimals, before.multiplier, before.currency)
            != (spec.price_decimals, spec.size_decimals, spec.multiplier, spec.currency)
        ):
            recorder = self._recorder
            recorder.emit(
                Alert(
                    recorder.now,
                    "INSTRUMENT_CHANGED",
                    "",
                    spec.symbol,
                    "decimals, multiplier and currency of an instrument stay for a run; the new "
                    "description is not taken",
                )
            )
            return
        self._market.define(spec)
        self._desk.gate.instrument_changed()
        if self._fold is not None:
            self._fold.refresh()

    def define_sessions(self, event: given.DefineSessions) -> None:
        """Take in when the markets of a calendar are open."""
        self._market.sessions[event.calendar] = sorted(event.sessions)
        if self._fold is not None:
            self._fold.refresh()

    def gap(self, event: given.FeedGap) -> None:
        """Take in that no data came for a time."""
        if self._fold is not None:
            self._fold.gap(event.start, event.end, event.symbol)

    def set_rate(self, event: given.SetRate) -> None:
        """Take in what a currency is worth, or that nobody knows."""
        if event.numerator > 0 and event.denominator > 0:
            self._market.rates[event.currency] = event.numerator, event.denominator
        else:
            # No rate is better than a wrong one: rules that need it refuse.
            self._market.rates.pop(event.currency, None)
        self._desk.gate.forget_totals()

    def set_atr(self, event: given.SetAtr) -> None:
        """Take in the average true range of a symbol."""
        if event.atr is None:
            self._market.atr.pop(event.symbol, None)
        else:
            self._market.atr[event.symbol] = event.atr

    def split(self, event: given.SplitShares) -> None:
        """Split the shares of a symbol: positions and prices; orders for it end."""
        self._desk.ledger.split(event.symbol, event.new, event.old, event.lieu_price)
        market, symbol = self._market, event.symbol
        for prices in (market.last, market.correlations.last):
            if symbol in prices:
                prices[symbol] = prices[symbol] * event.old // event.new
        self._desk.ledger.touch(symbol)
        for stale in (market.bid, market.ask, market.atr):
            stale.pop(symbol, None)
        if self._paper is not None:
            for account in self._accounts.values():
                self._paper.set_position(account.name, event.symbol, account.position(event.symbol))
        reason = "the symbol was split"
        for account in self._accounts.values():
            self._desk.cancel_all(account.name, "", event.symbol, reason)
        if self._paper is not None:
            # Where requests take their time, orders would meet prices of another scale meanwhile.
            self._paper.end_all(symbol, reason)

    def dividend(self, event: given.CashDividend) -> None:
        """Pay a dividend on every position of a symbol."""
        self._desk.ledger.dividend(event.symbol, event.cash)
