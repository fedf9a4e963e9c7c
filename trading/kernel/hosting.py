"""Strategies inside the kernel: what one must offer, what it may see and do, and who picks."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Protocol

import msgspec

from trading.errors import SettingsError, StrategyError
from trading.journal.inputs import (
    Bar,
    Cancel,
    OrderTerms,
    Replace,
    SetWeights,
    Submit,
    Tick,
    Timeframe,
)
from trading.journal.outputs import PickerDecision, SignalMade, StrategyStopped
from trading.journal.recorder import Recorder
from trading.journal.reports import OrderFilled
from trading.kernel.ledger import Ledger
from trading.kernel.timers import Timers
from trading.numbers import from_units
from trading.orders.build import terms_or_fault
from trading.orders.order import Order
from trading.orders.request import OrderRequest
from trading.risk.account import Account, Market
from trading.specification import InstrumentSpec

__all__ = [
    "AcceptAll",
    "Context",
    "HostedStrategy",
    "Listeners",
    "Orders",
    "Picker",
    "StrategyHost",
]


class HostedStrategy(Protocol):
    """A strategy as the kernel sees it; all numbers are whole numbers in the instrument's units.

    `symbols` empty means all of them. `parameters` is a hash of the parameters. Ticks are walked
    one by one for a strategy with `wants_ticks`, and fold in batches otherwise. One that has an
    attribute `wants_revisions` that is true hears of bars that late ticks revised, too. One whose
    parameters can change has `set_parameters(json)`, which raises StrategyError, and
    `on_parameters(ctx)`.
    """

    name: str
    account: str
    version: str
    parameters: str
    symbols: Sequence[str]
    wants_ticks: bool

    def on_start(self, ctx: Context) -> None:
        """Hear that prices or the time begin, before the first of them is handled."""
        ...

    def on_bar(self, ctx: Context, bar: Bar) -> None:
        """Hear of a final bar."""
        ...

    def on_tick(self, ctx: Context, tick: Tick) -> None:
        """Hear of a tick."""
        ...

    def on_fill(self, ctx: Context, order: Order, fill: OrderFilled) -> None:
        """Hear of a fill of one of the strategy's orders, after the books have it."""
        ...

    def on_timer(self, ctx: Context, label: str) -> None:
        """Hear of a timer that the strategy has set."""
        ...

    def dump(self) -> bytes:
        """Return what a snapshot keeps."""
        ...

    def load(self, data: bytes) -> None:
        """Go on from a snapshot."""
        ...


class Picker(Protocol):
    """Decides which signals become orders, and of which size."""

    def connect(self, market: Market, recorder: Recorder) -> None:
        """Take instruments and prices from a market, and tell of changes to a recorder."""
        ...

    def set_weights(self, command: SetWeights) -> tuple[str, str]:
        """Give strategies of an account other weights; returns OK, or why not, and a detail."""
        ...

    def decide(self, signal: SignalMade, account: Account, now: int) -> tuple[str, int, str]:
        """Return a code, OK or why not, the quantity in units, and a detail."""
        ...

    def order_placed(self, signal: SignalMade, order: Order, now: int) -> None:
        """Hear of the order that an accepted signal became."""
        ...

    def order_moved(self, order: Order, now: int) -> None:
        """Hear of an event of an order, fills included."""
        ...

    @property
    def due(self) -> int:
        """When a reservation's time is over next, or NEVER."""
        ...

    def expire(self, now: int) -> Sequence[str]:
        """Give up the reservations whose time is over; returns the orders that have to end."""
        ...

    def dump(self) -> bytes:
        """Return what a snapshot keeps."""
        ...

    def load(self, data: bytes) -> None:
        """Go on from a snapshot."""
        ...


class AcceptAll:
    """Takes every signal with its size hint."""

    due = 2**62

    def connect(self, market: Market, recorder: Recorder) -> None:
        """Need nothing of it."""

    def set_weights(self, command: SetWeights) -> tuple[str, str]:
        """Have no weights."""
        return "NO_WEIGHTS", "every signal is taken with its size hint"

    def decide(self, signal: SignalMade, account: Account, now: int) -> tuple[str, int, str]:
        """Accept a signal that has a size."""
        if signal.size_hint <= 0:
            return "NO_SIZE", 0, "the signal has no size hint"
        return "OK", signal.size_hint, ""

    def order_placed(self, signal: SignalMade, order: Order, now: int) -> None:
        """Need nothing of it."""

    def order_moved(self, order: Order, now: int) -> None:
        """Need nothing of it."""

    def expire(self, now: int) -> Sequence[str]:
        """Have no reservations."""
        return ()

    def dump(self) -> bytes:
        """Remember nothing."""
        return b""

    def load(self, data: bytes) -> None:
        """Remember nothing."""


class Orders(Protocol):
    """What the kernel does with a strategy's orders."""

    def open_terms(self, terms: OrderTerms) -> Order:
        """Take an order through risk to the market."""
        ...

    def cancel(self, command: Cancel) -> tuple[str, str]:
        """Ask for an order's end; returns OK, or why not."""
        ...

    def order(self, order_id: str) -> Order | None:
        """Return an order that is not forgotten yet."""
        ...

    def submit(self, command: Submit) -> tuple[str, str]:
        """Open a group of orders; returns OK and its id, or why not."""
        ...

    def replace(self, command: Replace) -> tuple[str, str]:
        """Give an order other terms; returns OK, or why not."""
        ...


class Context:
    """What one strategy sees and does; it sees nothing that is not past."""

    def __init__(
        self,
        strategy: HostedStrategy,
        recorder: Recorder,
        market: Market,
        accounts: dict[str, Account],
        ledger: Ledger,
        orders: Orders,
        picker: Picker,
        timers: Timers,
        last_bars: dict[str, dict[Timeframe, Bar]],
    ) -> None:
        self._strategy = strategy
        self._recorder = recorder
        self._market = market
        self._accounts = accounts
        self._ledger = ledger
        self._orders = orders
        self._picker = picker
        self._timers = timers
        self._last_bars = last_bars

    @property
    def now(self) -> int:
        """The time of the input in hand, in nanoseconds."""
        return self._recorder.now

    @property
    def cash(self) -> int:
        """Money of the account in its own currency."""
        account = self._accounts[self._strategy.account]
        return account.cash.get(account.base, 0)

    @property
    def equity(self) -> int | None:
        """Cash and market value of the account; None where a price is missing."""
        return self._accounts[self._strategy.account].equity(self._market)

    @property
    def money_decimals(self) -> int:
        """Decimals of the run's money."""
        return self._market.money_decimals

    def money(self, units: int) -> Decimal:
        """Return an amount of money as a Decimal."""
        return from_units(units, self._market.money_decimals)

    def spec(self, symbol: str) -> InstrumentSpec:
        """Return an instrument's description, with its decimals."""
        return self._market.specs[symbol]

    def last(self, symbol: str) -> int | None:
        """Return the last price of a symbol."""
        return self._market.last.get(symbol)

    def bar(self, symbol: str, interval: Timeframe) -> Bar | None:
        """Return the last final bar of a symbol and interval."""
        return self._last_bars.get(symbol, {}).get(interval)

    def position(self, symbol: str) -> int:
        """Return the strategy's own signed size of a symbol."""
        own = self._strategy
        found = self._ledger.positions.get((own.account, own.name, symbol))
        return 0 if found is None else found.net

    def order(self, order_id: str) -> Order | None:
        """Return an order, as long as it is not forgotten."""
        return self._orders.order(order_id)

    def submit(self, request: OrderRequest) -> str:
        """Send an order as it is asked for; returns its id, also where it is denied."""
        return self.submit_terms(terms_or_fault(request, self._market.specs.get(request.symbol)))

    def submit_terms(self, terms: OrderTerms) -> str:
        """Send an order in whole numbers; returns its id, also where it is denied."""
        return self._orders.open_terms(terms).order_id

    def submit_group(self, kind: str, terms: tuple[OrderTerms, ...]) -> str:
        """Send a BRACKET, OCO, OTO or OTO_FULL; returns the group's id.

        Orders that are no such group leave a denied order that says why, whose id is returned.
        """
        faulty = next((each for each in terms if each.fault_code), None)
        if faulty is None:
            now, name = self._recorder.now, self._strategy.name
            code, detail = self._orders.submit(Submit(now, "", name, kind, terms))
            if code in ("OK", "DENIED"):
                return detail
            fault = f"{kind}: {detail}"
            faulty = msgspec.structs.replace(terms[0], fault_code=code, fault=fault)
        return self.submit_terms(faulty)

    def cancel(self, order_id: str) -> str:
        """Ask for an order's end; returns OK or why not."""
        now, name = self._recorder.now, self._strategy.name
        return self._orders.cancel(Cancel(now, "", name, order_id))[0]

    def replace(
        self,
        order_id: str,
        quantity: int | None = None,
        limit: int | None = None,
        stop: int | None = None,
    ) -> str:
        """Ask for other terms of an order; returns OK or why not."""
        now, name = self._recorder.now, self._strategy.name
        return self._orders.replace(Replace(now, "", name, order_id, quantity, limit, stop))[0]

    def buy(self, symbol: str, quantity: int) -> str:
        """Buy at the market; the quantity is in the instrument's units."""
        return self.submit_terms(self._market_terms(symbol, 1, quantity))

    def sell(self, symbol: str, quantity: int) -> str:
        """Sell at the market; the quantity is in the instrument's units."""
        return self.submit_terms(self._market_terms(symbol, -1, quantity))

    def _market_terms(self, symbol: str, side: int, quantity: int) -> OrderTerms:
        own = self._strategy
        return OrderTerms(
            own.account, own.name, symbol, side, quantity, "MARKET", None, None, "GTC"
        )

    def signal(
        self,
        action: str,
        symbol: str,
        size_hint: int,
        confidence: int = 1_000_000,
        reason: str = "",
    ) -> str | None:
        """Give a signal, BUY or SELL; the picker says whether it becomes an order.

        The size hint is in units, confidence in millionths. Returns the order's id, or None.
        """
        own, recorder = self._strategy, self._recorder
        signal = SignalMade(
            recorder.now,
            recorder.next_id(),
            own.account,
            own.name,
            own.version,
            own.parameters,
            symbol,
            action,
            size_hint,
            confidence,
            reason,
        )
        recorder.emit(signal)
        account = self._accounts[own.account]
        code, quantity, detail = self._picker.decide(signal, account, recorder.now)
        self._ledger.touch(symbol)
        order = None
        if code == "OK":
            side = 1 if action == "BUY" else -1
            order = self._orders.open_terms(self._market_terms(symbol, side, quantity))
            self._picker.order_placed(signal, order, recorder.now)
            self._ledger.touch(symbol)
        recorder.emit(
            PickerDecision(
                recorder.now,
                signal.signal_id,
                code,
                quantity,
                "" if order is None else order.order_id,
                detail,
            )
        )
        return None if order is None else order.order_id

    def set_timer(self, time: int, label: str) -> None:
        """Be told at a time."""
        self._timers.set(time, "strategy", f"{self._strategy.name}|{label}")


Listeners = Sequence[tuple[HostedStrategy, Callable[[Context, Bar], None], Context]]
"""Who hears of the bars of one symbol."""

_ADDRESS = re.compile(r"0x[0-9a-fA-F]+")


class StrategyHost:
    """Tells strategies what happens, after it happened; one that raises is stopped.

    What is to be told waits in a queue until the books are in order, so that a strategy that acts
    on a fill never acts in the middle of another's.
    """

    def __init__(self, recorder: Recorder, strategies: Sequence[HostedStrategy]) -> None:
        self._recorder = recorder
        names = [each.name for each in strategies]
        if len(set(names)) != len(names):
            raise SettingsError(f"two strategies have one name: {', '.join(sorted(names))}")
        self.strategies = dict(zip(names, strategies, strict=True))
        self.contexts: dict[str, Context] = {}
        self.stopped: dict[str, str] = {}
        self.started = False
        self.version = 0
        # Whether there is nobody to tell anything.
        self.idle = not strategies
        # What waits to be told, in order.
        self.queue: deque[tuple[HostedStrategy, str, tuple[object, ...]]] = deque()
        self._draining = False

    def set_parameters(self, account: str, name: str, parameters: str) -> str:
        """Give a strategy other parameters, as JSON; returns why not, where they are refused."""
        each = self.strategies.get(name)
        if each is None or each.account != account:
            known = ", ".join(n for n, e in self.strategies.items() if e.account == account)
            return f"no strategy {name!r} trades {account}; there are: {known or 'none'}"
        change = getattr(each, "set_parameters", None)
        if change is None:
            return f"strategy {name} takes no parameters"
        try:
            change(parameters)
        except (StrategyError, msgspec.MsgspecError) as error:
            return str(error)
        if self.started:
            self.queue.append((each, "on_parameters", ()))
        return ""

    def wants_tick(self, symbol: str) -> bool:
        """Whether somebody listens to single ticks of a symbol."""
        return any(
            each.wants_ticks
            and each.name not in self.stopped
            and (not each.symbols or symbol in each.symbols)
            for each in self.strategies.values()
        )

    def start(self) -> None:
        """Tell every strategy that the run begins."""
        self.started = True
        for each in self.strategies.values():
            self.queue.append((each, "on_start", ()))

    def bar(self, bar: Bar) -> None:
        """Tell who listens of a final bar; of a revised one, who has `wants_revisions`."""
        revised = bar.state == "revised"
        for each in self.strategies.values():
            if revised and not getattr(each, "wants_revisions", False):
                continue
            if not each.symbols or bar.symbol in each.symbols:
                self.queue.append((each, "on_bar", (bar,)))

    def bars_ahead(self, columns: object) -> None:
        """Show a batch of bars to who computes figures of all of it at once."""
        for each in self.strategies.values():
            look = getattr(each, "bars_ahead", None)
            if look is not None:
                look(columns)

    def listeners(self, symbol: str) -> Listeners:
        """Return who listens to the bars of a symbol."""
        return [
            (each, each.on_bar, self.contexts[name])
            for name, each in self.strategies.items()
            if not each.symbols or symbol in each.symbols
        ]

    def tell_bar(self, bar: Bar, listeners: Listeners) -> None:
        """Tell of a final bar at once; only where nothing waits to be told."""
        self._draining, stopped = True, self.stopped
        try:
            for strategy, on_bar, ctx in listeners:
                if stopped and strategy.name in stopped:
                    continue
                try:
                    on_bar(ctx, bar)
                except Exception as error:  # noqa: BLE001 - one strategy's fault must not end the run
                    self._stop(strategy, "on_bar", error)
        finally:
            self._draining = False

    def tick(self, tick: Tick) -> None:
        """Tell who listens of a tick."""
        for each in self.strategies.values():
            if each.wants_ticks and (not each.symbols or tick.symbol in each.symbols):
                self.queue.append((each, "on_tick", (tick,)))

    def fill(self, order: Order, report: OrderFilled) -> None:
        """Tell the order's strategy of a fill."""
        each = self.strategies.get(order.strategy)
        if each is not None:
            self.queue.append((each, "on_fill", (order, report)))

    def timer(self, subject: str) -> None:
        """Tell a strategy of a timer that it has set."""
        name, _, label = subject.partition("|")
        each = self.strategies.get(name)
        if each is not None:
            self.queue.append((each, "on_timer", (label,)))

    def drain(self) -> None:
        """Tell what waits, and what that causes, in order."""
        if self._draining:
            return
        self._draining = True
        try:
            while self.queue:
                strategy, handler, told = self.queue.popleft()
                if strategy.name in self.stopped:
                    continue
                try:
                    getattr(strategy, handler)(self.contexts[strategy.name], *told)
                except Exception as error:  # noqa: BLE001 - one strategy's fault must not end the run
                    self._stop(strategy, handler, error)
        finally:
            self._draining = False

    def _stop(self, strategy: HostedStrategy, handler: str, error: Exception) -> None:
        # An address in memory differs from process to process, the digest must not.
        text = _ADDRESS.sub("0x…", f"{type(error).__name__}: {error}")
        self.stopped[strategy.name] = text
        self.version += 1
        recorder = self._recorder
        recorder.emit(StrategyStopped(recorder.now, strategy.name, handler, text))
