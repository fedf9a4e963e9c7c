"""The exchange's rules: orders in, reports and trades out; no clock, file, socket or chance.

engine = MatchingEngine(ExchangeSettings())
engine.apply(AddInstrument(time, spec))
outcome = engine.apply(Request(time, SendOrder(...)))
outcome.reports            # [(account, sequence, report), …]
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Any

from trading.errors import ExchangeError
from trading.exchange.matching.accounts import ExchangeAccount
from trading.exchange.matching.auction import Auction
from trading.exchange.matching.book import Book
from trading.exchange.matching.continuous import Matching
from trading.exchange.matching.corrections import Corrections
from trading.exchange.matching.inputs import (
    PHASES,
    AddAccount,
    AddInstrument,
    BustTrade,
    Clock,
    CorrectTrade,
    ExchangeInput,
    ExchangeSettings,
    MakerStep,
    RaiseEpoch,
    RejectNext,
    Request,
    SetPhase,
)
from trading.exchange.matching.makers import MAKER_ACCOUNT, Makers
from trading.exchange.matching.orders import ExchangeOrder
from trading.exchange.matching.state import ExchangeState, Outcome
from trading.exchange.matching.stops import Stops
from trading.journal.outputs import SendCancel, SendOrder, SendReplace
from trading.journal.reports import (
    OrderAccepted,
    OrderCancelRejected,
    OrderRejected,
    OrderReplaceRejected,
)
from trading.numbers import MONEY_DECIMALS
from trading.times import DAY
from trading.venues.repeats import Repeats, request_digest, same_terms
from trading.venues.validation import faults_of_order, faults_of_terms

__all__ = ["MatchingEngine"]


class MatchingEngine:
    """Carries out inputs one by one; `state` is what it has come to."""

    def __init__(self, settings: ExchangeSettings) -> None:
        self.state = ExchangeState(settings)
        self._stops = Stops(self.state)
        self._matching = Matching(self.state, self._stops)
        self._auction = Auction(self.state, self._stops)
        self._corrections = Corrections(self.state)
        self.makers = Makers(settings)
        if self.makers.active:
            self.state.accounts[MAKER_ACCOUNT] = ExchangeAccount(MAKER_ACCOUNT, silent=True)
        self._timers: list[tuple[int, int, ExchangeOrder]] = []
        self._timer_number = 0
        self._handlers: dict[type, Callable[[Any], None]] = {
            AddInstrument: self._add_instrument,
            AddAccount: self._add_account,
            Request: self._request,
            Clock: lambda _: self._expire(),
            SetPhase: self._set_phase,
            BustTrade: self._corrections.bust,
            CorrectTrade: self._corrections.correct,
            RejectNext: self._reject_next,
            RaiseEpoch: self._raise_epoch,
            MakerStep: lambda _: self.makers.step(self.state, self._matching),
        }

    @property
    def next_timer(self) -> int | None:
        """When the next order expires, in nanoseconds."""
        timers = self._timers
        while timers and not timers[0][2].is_open:
            heapq.heappop(timers)
        return timers[0][0] if timers else None

    def apply(self, event: ExchangeInput) -> Outcome:
        """Carry out an input; ExchangeError for one that cannot be, which changes nothing."""
        handler = self._handlers.get(type(event))
        if handler is None:
            raise ExchangeError(f"the exchange has its settings already, seen {event}")
        before, self.state.now = self.state.now, max(self.state.now, event.time)
        outcome = self.state.out = Outcome()
        try:
            handler(event)
        except ExchangeError:
            self.state.now = before
            raise
        if not outcome.changed:
            self.state.now = before
        return outcome

    def _add_instrument(self, event: AddInstrument) -> None:
        spec, symbol = event.spec, event.spec.symbol
        known = self.state.specs.get(symbol)
        if known == spec:
            self.state.out.changed = False
            return
        if known is not None and (known.price_decimals, known.size_decimals) != (
            spec.price_decimals,
            spec.size_decimals,
        ):
            raise ExchangeError(
                f"{symbol} is traded with {known.price_decimals} decimals of price and "
                f"{known.size_decimals} of size; its orders would change their meaning"
            )
        self.state.factors[symbol] = spec.factor(MONEY_DECIMALS)
        self.state.specs[symbol] = spec
        self.state.books.setdefault(symbol, Book())
        self.state.waiting.setdefault(symbol, {})
        self.state.auctions.setdefault(symbol, {})
        if event.price is not None:
            self.state.last.setdefault(symbol, event.price)

    def _add_account(self, event: AddAccount) -> None:
        if event.account in self.state.accounts:
            self.state.out.changed = False
            return
        if not event.account or event.account == MAKER_ACCOUNT:
            raise ExchangeError(f"an account cannot be called {event.account!r}")
        self.state.accounts[event.account] = ExchangeAccount(event.account, cash=dict(event.cash))

    def _reject_next(self, event: RejectNext) -> None:
        account = self.state.account(event.account)
        account.rejects, account.reject_reason = max(event.count, 0), event.reason

    def _raise_epoch(self, event: RaiseEpoch) -> None:
        account = self.state.account(event.account)
        account.epoch = max(account.epoch, event.epoch)

    def _request(self, event: Request) -> None:
        request = event.request
        account = self.state.account(request.account)
        if isinstance(request, SendOrder):
            self._new_order(account, request)
            return
        digest = request_digest(request)
        order = account.orders.get(request.order_id)
        answers = account.strays if order is None else order.answers
        if digest in answers:
            self._repeat(answers[digest])
            return
        # The answer is the next report.
        answers[digest] = account.sequence + 1
        if isinstance(request, SendCancel):
            self._cancel_request(account, order, request)
        else:
            self._replace_request(account, order, request)

    def _repeat(self, sequence: int) -> None:
        self.state.out.changed = False
        self.state.out.repeats = sequence

    def _new_order(self, account: ExchangeAccount, request: SendOrder) -> None:
        known = account.orders.get(request.order_id)
        if known is not None:
            if same_terms(known.request, request):
                self._repeat(known.answer)
            else:
                self.state.out.changed = False
                self.state.out.refused = Repeats.refusal(request.order_id)
            return
        order = self.state.enter(account, request)
        spec = self.state.specs.get(request.symbol)
        fault = faults_of_order(request, spec, self.state.now)
        if not fault and account.rejects:
            account.rejects -= 1
            fault = account.reject_reason
        if not fault:
            fault = self._fault_of_market(order)
        order.answer = account.sequence + 1
        if fault:
            order.status = "REJECTED"
            self.state.say(
                account, OrderRejected(self.state.now, account.name, order.order_id, fault)
            )
            return
        self.state.say(
            account, OrderAccepted(self.state.now, account.name, order.order_id, order.venue_id)
        )
        account.open[order.order_id] = order
        self._set_timer(order)
        self._matching.begin(order)

    def _fault_of_market(self, order: ExchangeOrder) -> str:
        """Return why the market as it is now cannot take an order."""
        request = order.request
        if self.state.phase == "CLOSED" and not order.for_auction:
            if request.kind == "MARKET" or request.tif in ("IOC", "FOK"):
                return f"the market is closed, and a {request.kind} {request.tif} cannot wait"
            if request.post_only:
                return "the market is closed, and a post-only order may trade in the auction"
        if request.post_only and self._matching.crosses(order.symbol, order.side, order.limit):
            return "a post-only order would trade at once"
        return ""

    def _set_timer(self, order: ExchangeOrder) -> None:
        request = order.request
        if request.tif == "GTD":
            order.expires = request.expire_at
        elif request.tif == "DAY":
            order.expires = (self.state.now // DAY + 1) * DAY
        if order.expires is not None:
            self._timer_number += 1
            heapq.heappush(self._timers, (order.expires, self._timer_number, order))

    def _cancel_request(
        self, account: ExchangeAccount, order: ExchangeOrder | None, request: SendCancel
    ) -> None:
        if order is None or not order.is_open:
            reason = "the order is not known here" if order is None else f"it is {order.status}"
            self.state.say(
                account, OrderCancelRejected(self.state.now, account.name, request.order_id, reason)
            )
            return
        self.state.cancel(order, "")

    def _replace_request(
        self, account: ExchangeAccount, order: ExchangeOrder | None, request: SendReplace
    ) -> None:
        fault = ""
        if order is None or not order.is_open:
            fault = "the order is not known here" if order is None else f"it is {order.status}"
        elif request.quantity > order.filled:
            spec = self.state.specs[order.symbol]
            fault = faults_of_terms(
                order.request, spec, request.quantity, request.limit, request.stop
            )
            if (
                not fault
                and order.request.post_only
                and self._matching.crosses(order.symbol, order.side, request.limit)
            ):
                fault = "a post-only order would trade at once"
        elif not order.filled:
            fault = f"expected a size above 0, seen {request.quantity}"
        if fault or order is None:
            self.state.say(
                account, OrderReplaceRejected(self.state.now, account.name, request.order_id, fault)
            )
            return
        self._matching.replace(account, order, request)

    def _expire(self) -> None:
        while (due := self.next_timer) is not None and due <= self.state.now:
            self.state.expire(heapq.heappop(self._timers)[2])

    def _set_phase(self, event: SetPhase) -> None:
        if event.phase not in PHASES:
            raise ExchangeError(f"phase {event.phase!r} is none of {' '.join(PHASES)}")
        if event.phase == self.state.phase:
            self.state.out.changed = False
            return
        tif = "AT_OPEN" if event.phase == "OPEN" else "AT_CLOSE"
        for symbol in self.state.books:
            self._auction.run(symbol, tif)
        if event.phase == "CLOSED":
            # Stops that the closing auction reached act while there is a market.
            self._matching.run_stops()
            self.state.phase = event.phase
            for account in self.state.accounts.values():
                for order in list(account.open.values()):
                    if order.request.tif == "DAY":
                        self.state.expire(order)
            return
        self.state.phase = event.phase
        for symbol, price in self.state.last.items():
            self._stops.meet(symbol, price)
        self._matching.run_stops()
