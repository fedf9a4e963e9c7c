"""What the exchange knows, and the few ways in which it changes: report, end, trade."""

from __future__ import annotations

from dataclasses import dataclass, field

from trading.brokers.commissions import MakerTaker
from trading.errors import ExchangeError
from trading.exchange.matching.accounts import ExchangeAccount, NumberedReport, Trade, TradeSide
from trading.exchange.matching.book import Book
from trading.exchange.matching.inputs import SELF_TRADE, ExchangeSettings
from trading.exchange.matching.orders import ExchangeOrder
from trading.journal.codec import pack
from trading.journal.outputs import SendOrder
from trading.journal.reports import BrokerReport, OrderCanceled, OrderExpired, OrderFilled
from trading.numbers import MONEY_DECIMALS
from trading.specification import InstrumentSpec
from trading.venues.protocol import RequestRefused

__all__ = ["ExchangeState", "Outcome"]


@dataclass
class Outcome:
    """What an input led to.

    `changed` is False where it was a repeat or could not be carried out: it need not be recorded,
    and `repeats` is the sequence number of the report that answered it the first time.
    """

    reports: list[NumberedReport] = field(default_factory=list)
    trades: list[Trade] = field(default_factory=list)
    symbols: set[str] = field(default_factory=set)
    changed: bool = True
    repeats: int = 0
    refused: RequestRefused | None = None


class ExchangeState:
    """Books, accounts, orders and trades; `out` collects what the present input leads to."""

    def __init__(self, settings: ExchangeSettings) -> None:
        if settings.self_trade not in SELF_TRADE:
            raise ExchangeError(
                f"self_trade {settings.self_trade!r} is none of {' '.join(SELF_TRADE)}"
            )
        self.settings = settings
        self.fees = MakerTaker(settings.maker_fee, settings.taker_fee)
        self.now = settings.time
        self.phase = "OPEN"
        self.specs: dict[str, InstrumentSpec] = {}
        self.factors: dict[str, int] = {}
        self.books: dict[str, Book] = {}
        self.last: dict[str, int] = {}
        self.accounts: dict[str, ExchangeAccount] = {}
        self.trades: dict[int, Trade] = {}
        self.trade_number = 0
        self.order_number = 0
        # Orders that wait for their stop price or for an auction, by symbol, in order of arrival.
        self.waiting: dict[str, dict[str, ExchangeOrder]] = {}
        self.auctions: dict[str, dict[str, ExchangeOrder]] = {}
        self.out = Outcome()

    def account(self, name: str) -> ExchangeAccount:
        """Return an account; ExchangeError where there is none."""
        found = self.accounts.get(name)
        if found is None:
            raise ExchangeError(f"no account {name!r} is known here")
        return found

    def enter(self, account: ExchangeAccount, request: SendOrder) -> ExchangeOrder:
        """Note a new order under a number of the exchange's own."""
        self.order_number += 1
        order = ExchangeOrder(
            request, f"X{self.order_number}", request.quantity, request.limit, request.stop
        )
        account.orders[request.order_id] = order
        return order

    def cancel(self, order: ExchangeOrder, reason: str) -> None:
        """End an order."""
        account = self.accounts[order.account]
        self.end(order, "CANCELED")
        self.say(account, OrderCanceled(self.now, account.name, order.order_id, reason))

    def end(self, order: ExchangeOrder, status: str) -> None:
        """Take an order out of everything it waits in; its report is the caller's."""
        symbol = order.symbol
        self.books[symbol].remove(order)
        self.waiting[symbol].pop(order.venue_id, None)
        self.auctions[symbol].pop(order.venue_id, None)
        order.status = status
        account = self.accounts[order.account]
        account.open.pop(order.order_id, None)
        if account.silent:
            account.orders.pop(order.order_id, None)
        self.out.symbols.add(symbol)

    def expire(self, order: ExchangeOrder) -> None:
        """End an order whose time is over."""
        account = self.accounts[order.account]
        self.end(order, "EXPIRED")
        self.say(account, OrderExpired(self.now, account.name, order.order_id))

    def fillable(self, order: ExchangeOrder) -> int:
        """Return how much an order may fill now."""
        return self.accounts[order.account].reducible(order)

    def execute(
        self, one: ExchangeOrder, other: ExchangeOrder, size: int, price: int, taker: int
    ) -> None:
        """Trade between two orders; `one` came last, unless it is an auction (`taker` 0)."""
        symbol = one.symbol
        self.trade_number += 1
        number, spec = self.trade_number, self.specs[symbol]
        sides = []
        for order, maker in ((one, False), (other, taker != 0)):
            sides.append(self._fill(order, number, spec, size, price, maker))
        trade = Trade(number, self.now, symbol, price, size, taker, (sides[0], sides[1]))
        if not all(self.accounts[each.account].silent for each in sides):
            self.trades[number] = trade
        self.last[symbol] = price
        self.out.trades.append(trade)
        self.out.symbols.add(symbol)

    def _fill(
        self,
        order: ExchangeOrder,
        number: int,
        spec: InstrumentSpec,
        size: int,
        price: int,
        maker: bool,
    ) -> TradeSide:
        account = self.accounts[order.account]
        value = size * price * self.factors[spec.symbol]
        before = order.filled, order.value, order.fees
        fees = self.fees.charge(before, size, abs(value), maker, spec, MONEY_DECIMALS)
        self.books[spec.symbol].resize(order, -size)
        order.filled += size
        order.value += abs(value)
        order.fees += fees
        order.status = "PARTIALLY_FILLED"
        if not order.leaves:
            self.end(order, "FILLED")
        account.settle(spec, size * order.side, value * order.side, fees)
        fill_id = f"{self.settings.name}.{number}{'B' if order.side > 0 else 'S'}"
        self.say(
            account,
            OrderFilled(
                self.now,
                account.name,
                order.order_id,
                fill_id,
                size,
                price,
                fees,
                self.now,
                maker,
                order.side,
                spec.symbol,
            ),
        )
        return TradeSide(account.name, order.order_id, fill_id, order.side, fees, maker)

    def say(self, account: ExchangeAccount, report: BrokerReport) -> None:
        """Number a report for an account."""
        if account.silent:
            return
        account.sequence += 1
        self.out.reports.append((account.name, account.sequence, report))

    def digest_bytes(self) -> bytes:
        """Return all that matters of the state as canonical bytes: equal states have equal ones."""
        books = {
            symbol: [
                [order.venue_id, order.leaves, order.limit]
                for side in (1, -1)
                for order in book.orders(side)
            ]
            for symbol, book in sorted(self.books.items())
        }
        accounts = [
            [
                name,
                account.sequence,
                account.epoch,
                account.rejects,
                sorted(account.positions.items()),
                sorted(account.cash.items()),
                [
                    [order.request, order.status, order.quantity, order.filled, order.fees]
                    for _, order in sorted(account.orders.items())
                ],
            ]
            for name, account in sorted(self.accounts.items())
        ]
        return pack([self.phase, self.trade_number, self.last, books, accounts])
