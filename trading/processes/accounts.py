"""The accounts of a desk's engine process: an engine for each, and one for its paper twins."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from store.client import StoreClient
from trading.backtest import load_strategy
from trading.brokers import PaperBroker
from trading.engine import EngineOptions, Phase, TradingEngine
from trading.errors import EngineError, TradingError, UnknownInstrument
from trading.exchange import ExchangeBroker
from trading.governance.governance import limits_of
from trading.governance.governor import Governor
from trading.journal.inputs import SetWeights
from trading.journal.outputs import Output
from trading.kernel import Kernel
from trading.picker import TradePicker
from trading.picker.portfolio import Scoreboard
from trading.processes.config import (
    NO_CAP,
    AccountConfig,
    DeskConfig,
    instruments_of,
    twin_run,
)
from trading.processes.market_feed import LinkedMarket
from trading.specification import InstrumentSpec
from trading.strategy import Strategy

__all__ = ["Book"]

_LOG = logging.getLogger(__name__)
_WEIGHTS_EVERY_S = 60.0
_GOVERNED_EVERY_S = 0.5

Publish = Callable[[str, str, Sequence[Output]], None]


class Book:
    """One account: its engine, that of its twins, and the weights that follow from them."""

    def __init__(
        self, config: DeskConfig, account: AccountConfig, store: StoreClient, publish: Publish
    ) -> None:
        self.config = account
        self.specs = {spec.symbol: spec for spec in instruments_of(config)}
        self.strategies = [_strategy(each, config) for each in account.strategies]
        self._desk = config
        self._store = store
        self._publish = publish
        # What people decide is the account's; its twins trade without limits, for comparison.
        self.engine = self._engine(
            account.run,
            account.max_open,
            self._broker(),
            Governor(store, account.account, account.run, period_s=_GOVERNED_EVERY_S),
        )
        self.twin: TradingEngine | None = None
        if account.twins and account.strategies:
            self.twin = self._engine(twin_run(account), NO_CAP, PaperBroker("tick"))
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._board = Scoreboard()
        self._earned: dict[str, int] = {}

    def _engine(
        self, run: str, places: int, broker: Any, governor: Governor | None = None
    ) -> TradingEngine:
        desk, account = self._desk, self.config
        publish = self._publish
        return TradingEngine(
            store=self._store,
            feed=LinkedMarket(desk.ports["market"], desk.link_key, list(desk.symbols)),
            broker=broker,
            strategies=[_strategy(each, desk) for each in account.strategies],
            account=account.account,
            run=run,
            instruments=list(self.specs.values()),
            cash=account.cash,
            currency=account.currency,
            owner=account.owner,
            picker=TradePicker(places),
            options=EngineOptions(readers=tuple(sorted(account.members))),
            publish=lambda outputs: publish(account.account, run, outputs),
            governor=governor,
        )

    def _broker(self) -> Any:
        desk, account = self._desk, self.config
        if account.broker == "paper":
            return PaperBroker("tick")

        def linked() -> ExchangeBroker:
            return ExchangeBroker(
                "127.0.0.1",
                desk.ports["exchange"],
                account=account.account,
                key=desk.exchange_keys[account.account],
                instruments=list(self.specs.values()),
            )

        return linked

    # --- life -------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the engines; they recover by themselves."""
        self.engine.start()
        if self.twin is not None:
            self.twin.start()
        self._thread = threading.Thread(target=self._tend, name="weights", daemon=True)
        self._thread.start()

    def spec(self, symbol: str) -> InstrumentSpec:
        """Return an instrument; UnknownInstrument where the desk trades none of this symbol."""
        found = self.specs.get(symbol)
        if found is None:
            raise UnknownInstrument(symbol, len(self.specs))
        return found

    @property
    def engines(self) -> dict[str, TradingEngine]:
        """The engines by run."""
        found = {self.config.run: self.engine}
        if self.twin is not None:
            found[twin_run(self.config)] = self.twin
        return found

    @property
    def failed(self) -> str:
        """Why an engine has failed; empty while all is well."""
        for engine in (self.engine, self.twin):
            if engine is not None and engine.phase is Phase.FAILED:
                return engine.status().problem
        return ""

    def stop(self) -> None:
        """Stop the engines in order; what is open stays so."""
        self._stop.set()
        for engine in (self.engine, self.twin):
            if engine is None:
                continue
            try:
                engine.stop()
            except EngineError as error:
                _LOG.warning("%s: %s", self.config.account, error)

    # --- limits and weights -----------------------------------------------------------------------

    def _tend(self) -> None:
        """Set the first limits, then weigh the strategies by what their twins earn."""
        while not self._stop.wait(0.2):
            if self.engine.phase is Phase.RUNNING:
                break
        self._first_limits()
        due = time.monotonic() + _WEIGHTS_EVERY_S
        while not self._stop.wait(0.5):
            if time.monotonic() >= due:
                due = time.monotonic() + _WEIGHTS_EVERY_S
                try:
                    self._weigh()
                except TradingError as error:
                    _LOG.warning("%s: weights stay as they are: %s", self.config.account, error)

    def _first_limits(self) -> None:
        """Set the configured limits where the account has none: later ones are people's."""
        account = self.config
        if not account.limits or self._stop.is_set():
            return
        try:
            if self.engine.look(lambda kernel: bool(kernel.accounts[account.account].limits.held)):
                return
            answer = self.engine.set_limits(
                limits_of(msgspec.json.encode(account.limits).decode()),
                requested_by=account.owner or "desk",
                approved_by="the desk's configuration",
                limits_id="configured",
            )
        except TradingError as error:
            _LOG.warning("%s: the limits of the configuration: %s", account.account, error)
            return
        if not answer.ok:
            _LOG.warning("%s: the limits of the configuration: %s", account.account, answer)

    def _weigh(self) -> None:
        twin = self.twin
        if twin is None or twin.phase is not Phase.RUNNING:
            return
        if self.engine.phase is not Phase.RUNNING:
            return
        name = self.config.account
        earned = twin.look(lambda kernel: _earned(kernel, name))
        capital = twin.look(lambda kernel: kernel.accounts[name].day_start_equity) or 1
        for strategy in self.strategies:
            now = earned.get(strategy.name, 0)
            before = self._earned.get(strategy.name, now)
            self._board.add(name, strategy.name, (now - before) / capital)
            self._earned[strategy.name] = now
        weights = self._board.step(name, time.time_ns())
        if len(weights) > 1:
            self.engine.command(
                SetWeights(
                    0,
                    f"weights {time.time_ns()}",
                    "portfolio",
                    name,
                    tuple(weights.items()),
                    "scores of paper twins",
                )
            )


def _strategy(given: Any, config: DeskConfig) -> Strategy:
    more: dict[str, Any] = {"symbols": list(given.symbols or config.symbols)}
    if given.timeframes:
        more["timeframes"] = list(given.timeframes)
    return load_strategy(given.where, dict(given.parameters), **more)


def _earned(kernel: Kernel, account: str) -> dict[str, int]:
    """What each strategy has earned since the beginning, net of fees, in units of money."""
    market, total = kernel.market, dict[str, int]()
    for (owner, strategy, symbol), position in kernel.positions.items():
        if owner != account:
            continue
        earned = position.realized - position.fees + position.income
        price = market.last.get(symbol)
        if position.net and price is not None:
            earned += position.net * price * market.factors[symbol] - position.cost
        total[strategy] = total.get(strategy, 0) + earned
    return total
