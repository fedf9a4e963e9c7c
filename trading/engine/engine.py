"""The trading engine: the kernel with a durable journal, one writer, and a broker.

    with TradingEngine(
        store=client, feed=None, broker=broker, strategies=[SmaCross()], account="ACC", run="live",
        instruments=[specify("AAPL")], cash=100_000,
    ) as engine:
        order_id = engine.submit(OrderRequest("ACC", "AAPL", "BUY", 100, "LIMIT", "228.25"))
        engine.cancel(order_id)
        print(engine.status().line())

What a call returns is durable. Nothing reaches the broker before the transaction that records it.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import socket
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import replace
from datetime import datetime
from typing import Any, TypeVar

import msgspec

from store.client import StoreClient
from store.errors import LeaseHeld, LeaseLost, StoreError, Unavailable
from store.leases import Lease
from trading.brokers.paper import PaperBroker
from trading.engine.feeding import Feeder
from trading.engine.figures import WriterFigures
from trading.engine.following import Follower
from trading.engine.inbox import Inbox, Item, refuse
from trading.engine.journal import Journal
from trading.engine.link import BrokerLink
from trading.engine.opening import Opening, recipe_of
from trading.engine.options import EngineOptions
from trading.engine.staging import Attempt, CommitUnknown
from trading.engine.state import Answer, EngineState, Recipe
from trading.engine.status import EngineStatus, Phase, open_for_s, status_of
from trading.engine.writer import Writer
from trading.errors import (
    BrokerRefused,
    EngineError,
    EngineStopped,
    EngineTimeout,
    InvalidOrderRequest,
    JournalError,
)
from trading.journal import decode_input, encode
from trading.journal.inputs import (
    Cancel,
    CancelAll,
    Flatten,
    Input,
    Replace,
    SetLimits,
    SetTradingState,
    Submit,
    Transfer,
)
from trading.journal.outputs import Output
from trading.kernel import HostedStrategy, Kernel, Picker, Settings
from trading.numbers import Number, to_units
from trading.orders import Bracket, OneCancelsOther, OneTriggersOther, OrderRequest
from trading.orders.build import group_terms, terms_or_fault
from trading.orders.order import Order
from trading.picker import TradePicker
from trading.risk import Limits
from trading.specification import InstrumentSpec
from trading.strategy import Strategy
from trading.ticks.feeds.events import Feed
from trading.times import nanoseconds
from trading.venues.protocol import VenueBroker

__all__ = ["TradingEngine"]

_LOG = logging.getLogger(__name__)
_NAME = re.compile(r"[A-Za-z0-9_-]{1,60}")
_RUN = re.compile(r"[A-Za-z0-9_-]{1,60}(:[A-Za-z0-9_-]{1,60})?")
_BACKOFF_S = 0.5

Request = OrderRequest | Bracket | OneCancelsOther | OneTriggersOther
T = TypeVar("T")
AnyBroker = PaperBroker | VenueBroker | Callable[[], VenueBroker]


class TradingEngine:
    """Trades one account: what comes in is journaled, stepped through the kernel, and carried out.

    `store` is a client of the login that owns the account's records: all engines of an account use
    one login. `feed` gives ticks (None: none); a function makes it of the broker, as
    `lambda broker: broker.market_data()` for the exchange's own ticks. `broker` is a `PaperBroker`,
    which fills inside the kernel, a `VenueBroker` for the account, or a function that makes one:
    then the engine can wait again after it has lost its lease. `run` is `live`, `paper:NAME` or
    another name.

    `instruments` are what is traded; `cash` (an amount of `currency`, or a dict by currency) is
    what the account of a new run begins with, `owner` who trades on it. `settings` are the
    kernel's; run and prefix are the engine's own. By default the newest 5,000 finished orders are
    remembered for 15 minutes, and with a venue as many fills of a position, for late busts.
    `publish` is called with the outputs of each committed group, in order, one call at a time.
    `governor` brings what people have decided: limits, parameters, halts.
    """

    def __init__(
        self,
        *,
        store: StoreClient,
        feed: Feed | Callable[[Any], Feed] | None,
        broker: AnyBroker,
        strategies: Sequence[Strategy | HostedStrategy] = (),
        account: str,
        run: str,
        instruments: Sequence[InstrumentSpec] = (),
        cash: Number | Mapping[str, Number] = 0,
        currency: str = "USD",
        owner: str = "",
        settings: Settings | None = None,
        picker: Picker | None = None,
        options: EngineOptions | None = None,
        publish: Callable[[Sequence[Output]], None] | None = None,
        governor: Follower | None = None,
    ) -> None:
        if not _NAME.fullmatch(account) or not _RUN.fullmatch(run):
            raise EngineError(
                f"account {account!r}, run {run!r}: write letters, digits, _ and -, up to 60, and "
                "in a run one colon, as in paper:demo; order ids are made of them"
            )
        self._store = store
        self._feed = feed
        self._paper = broker if isinstance(broker, PaperBroker) else None
        self._broker = None if self._paper is not None else broker
        self._specs = {spec.symbol: spec for spec in instruments}
        self._currency = currency
        self._owner = owner or store.user
        self._options = options or EngineOptions()
        self._publish = publish or _nobody
        self._governor = governor
        self._recipe = recipe_of(
            account,
            run,
            settings,
            strategies,
            list(self._specs),
            self._paper,
            picker if picker is not None else TradePicker(),
        )
        self._opening = Opening(
            account,
            self._owner,
            currency,
            cash if isinstance(cash, Mapping) else {currency: cash},
            self._specs.values(),
            self._recipe.settings.money_decimals,
        )
        self._holder = f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
        self._inbox = Inbox()
        self._stop = threading.Event()
        self._changed = threading.Condition()
        self._phase = Phase.NEW
        self._problem = ""
        self._error: BaseException | None = None
        self._epoch = 0
        self._writer: Writer | None = None
        self.figures = WriterFigures()
        self._link: BrokerLink | None = None
        self._feeder: Feeder | None = None
        if feed is not None and not callable(feed):
            self._feeder = self._feeder_of(feed)
        self._thread: threading.Thread | None = None

    # --- life -------------------------------------------------------------------------------------

    def start(self, timeout: float | None = None) -> None:
        """Start, and wait up to `timeout` seconds until orders are taken.

        None returns at once; `wait_running` waits. EngineError where it cannot start, EngineTimeout
        while it still waits: for another engine's lease, the store, or the broker.
        """
        if self._thread is not None:
            raise EngineError("the engine was started before; make another one")
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        self._thread.start()
        if timeout is not None:
            self.wait_running(timeout)

    def wait_running(self, timeout: float) -> None:
        """Wait until orders are taken; EngineError or EngineTimeout where they are not."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._phase in (Phase.RUNNING, Phase.FAILED, Phase.STOPPED), timeout
            )
            phase, problem = self._phase, self._problem
        if phase is Phase.RUNNING:
            return
        if phase in (Phase.FAILED, Phase.STOPPED):
            raise EngineError(f"the engine is {phase}: {problem}") from self._error
        writer = self._writer
        problem = problem or ("" if writer is None else writer.problem)
        raise EngineTimeout(f"the engine is still {phase} after {timeout:g} s: {problem}")

    def stop(self) -> EngineStatus:
        """Finish the group at hand, keep a snapshot, give the lease back; say what is open.

        Orders go on working at the broker. EngineError where the engine had failed.
        """
        self._stop.set()
        self._inbox.wake()
        if self._feeder is not None:
            self._feeder.stop()
        if self._thread is not None:
            self._thread.join()
        if self._phase is Phase.FAILED:
            raise EngineError(f"the engine had failed: {self._problem}") from self._error
        return self.status()

    def __enter__(self) -> TradingEngine:
        self.start(self._options.answer_s)
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(EngineError):
            self.stop()

    def _enter(self, phase: Phase, problem: str = "") -> None:
        with self._changed:
            if phase is not self._phase or problem:
                _LOG.info("%s %s: %s %s", self._recipe.account, self._recipe.run, phase, problem)
            self._phase, self._problem = phase, problem
            self._changed.notify_all()

    # --- the thread -------------------------------------------------------------------------------

    def _run(self) -> None:
        attempt: Attempt | None = None
        try:
            while not self._stop.is_set():
                try:
                    attempt = self._term(attempt)
                except LeaseLost as error:
                    _forgotten(attempt)
                    attempt = None
                    self._lost(error)
                except Unavailable as error:
                    self._enter(Phase.STORE_UNAVAILABLE, str(error))
                    self._stop.wait(_BACKOFF_S)
            self._enter(Phase.STOPPED, self._problem)
        except EngineStopped:
            self._enter(Phase.STOPPED)
        except Exception as error:  # noqa: BLE001 - it is the thread's end, and is told to callers
            _LOG.exception("the engine failed")
            self._error = error
            self._enter(Phase.FAILED, f"{type(error).__name__}: {error}")
        finally:
            _forgotten(attempt)
            self._end()

    def _term(self, attempt: Attempt | None) -> Attempt | None:
        """Hold the lease and write, until told to stop; what was not answered by the store."""
        lease = self._take_lease()
        if self._broker is not None and self._link is not None and lease.epoch > self._epoch + 1:
            # Another engine wrote between: what was told to us is its by now.
            _forgotten(attempt)
            attempt = None
            self._lost(LeaseLost("another engine has written meanwhile"))
        self._epoch = lease.epoch
        link = self._linked()
        self._enter(Phase.RECOVERING)
        writer = Writer(
            self._recipe,
            self._store,
            lease,
            link,
            self._inbox,
            self._options,
            self._stop,
            self._publish,
        )
        writer.figures = self.figures
        self._writer = writer
        try:
            writer.recover(self._news, attempt)
            attempt = None
            if self._governor is not None:
                decided = self._governor.after_recovery()
                if decided:
                    writer.commit([Item(each) for each in decided])
            if self._feeder is not None:
                self._feeder.start()
            self._enter(Phase.RUNNING, writer.problem)
            if self._governor is not None:
                self._governor.start(self)
            writer.serve()
            writer.finish()
        except CommitUnknown as error:
            self._enter(Phase.STORE_UNAVAILABLE, str(error))
            self._stop.wait(_BACKOFF_S)
            return writer.attempt
        except Unavailable as error:
            self._enter(Phase.STORE_UNAVAILABLE, str(error))
            self._stop.wait(_BACKOFF_S)
            return None if writer.settled else attempt
        except BrokerRefused as error:
            if error.code != "FENCED":
                writer.finish()
                raise
            raise LeaseLost(str(error)) from error
        except (EngineStopped, EngineError):
            with contextlib.suppress(StoreError):
                lease.release()
            raise
        return None

    def _take_lease(self) -> Lease:
        """Wait for the lease of the account; EngineStopped where it was told to stop meanwhile."""
        name = f"trading account {self._recipe.account}"
        if self._paper is not None:
            # Simulated fills concern nobody else: each run is an account of its own.
            name += f" run {self._recipe.run}"
        while not self._stop.is_set():
            try:
                return self._store.lease(
                    name, seconds=self._options.lease_s, holder=self._holder, wait=0.1
                )
            except LeaseHeld as error:
                self._enter(Phase.STANDBY, str(error))
            except Unavailable as error:
                self._enter(Phase.STORE_UNAVAILABLE, str(error))
                self._stop.wait(_BACKOFF_S)
        raise EngineStopped("the engine was told to stop while it waited for its lease")

    def _linked(self) -> BrokerLink | None:
        if self._broker is None:
            return None
        if self._link is None:
            made = self._broker
            broker: VenueBroker = made if hasattr(made, "connect") else made()  # type: ignore[assignment]
            if broker.account != self._recipe.account:
                raise EngineError(
                    f"the broker trades account {broker.account!r}, the engine "
                    f"{self._recipe.account!r}; give both the same"
                )
            self._link = BrokerLink(broker, self._inbox)
            if callable(self._feed):
                self._feeder = self._feeder_of(self._feed(broker))
        return self._link

    def _feeder_of(self, feed: Feed) -> Feeder:
        return Feeder(feed, self._inbox, self._specs.values())

    def _lost(self, error: LeaseLost) -> None:
        """Forget everything: another engine writes for the account."""
        _LOG.warning("the lease is lost: %s", error)
        if self._writer is not None:
            _forgotten(self._writer.attempt)
        self._writer = None
        self._refuse_waiting("another engine has taken the account over")
        if self._link is not None:
            self._link.close()
            self._link = None
            self._inbox.clear_broker()
            if self._feeder is not None and callable(self._feed):
                self._feeder.stop()
                self._feeder = None
            if hasattr(self._broker, "connect"):
                raise EngineError(
                    f"another engine has taken account {self._recipe.account} over: {error}. This "
                    "one ends, since its broker cannot log on again; give a function that makes a "
                    "broker, and it waits for its turn"
                ) from error
        self._enter(Phase.STANDBY, str(error))

    def _refuse_waiting(self, why: str) -> None:
        refuse(self._inbox.clear(), f"{why}; the command was not recorded here, give it again")

    def _end(self) -> None:
        if self._governor is not None:
            self._governor.stop()
        if self._feeder is not None:
            self._feeder.stop()
        if self._link is not None:
            self._link.close()
        self._refuse_waiting("the engine has stopped")

    def _news(self, state: EngineState) -> list[Input]:
        """What is new of instruments and the account, and what people have decided meanwhile."""
        found = self._opening.inputs(state.kernel)
        if self._governor is not None:
            found += self._governor.before_broker(state)
        return found

    # --- commands ---------------------------------------------------------------------------------

    def send(self, command: Input) -> Future[Answer]:
        """Give the kernel a command of `trading.journal.inputs`; its time is that of its arrival.

        What became of it is told once that is durable. EngineError for a command that cannot be
        journaled, EngineStopped where the engine does not run.
        """
        try:
            checked = decode_input(encode(command))
        except JournalError as error:
            raise EngineError(f"the command cannot be journaled: {error}") from None
        # Only where its JSON looks like it: to look at each text takes several times as long.
        if b"\\u0000" in msgspec.json.encode(checked) and _has_nul(msgspec.to_builtins(checked)):
            raise EngineError("the command has a NUL character in a text; the store takes none")
        if self._phase in (Phase.NEW, Phase.STOPPED, Phase.FAILED) or self._stop.is_set():
            raise EngineStopped(f"the engine is {self._phase}: {self._problem or 'start it first'}")
        if self._inbox.is_full:
            raise EngineStopped("too many commands wait; the command was not taken, try again")
        answer: Future[Answer] = Future()
        self._inbox.put(Item(checked, answer=answer))
        return answer

    def command(self, command: Input, timeout: float | None = None) -> Answer:
        """Give the kernel a command and wait for what becomes of it, as `send` does not.

        EngineTimeout where the engine did not answer in time: the command may be recorded then, and
        given again under the same `command_id` it is answered as the first time.
        """
        answer = self.send(command)
        seconds = self._options.answer_s if timeout is None else timeout
        try:
            return answer.result(seconds)
        except FutureTimeout:
            raise EngineTimeout(
                f"no answer to command {getattr(command, 'command_id', '')!r} within {seconds:g} "
                f"s, the engine is {self._phase}: it may be recorded yet. Give it again under the "
                "same command_id to learn what became of it"
            ) from None

    def submit(
        self,
        request: Request,
        *,
        command_id: str | None = None,
        by: str = "",
        timeout: float | None = None,
    ) -> str:
        """Ask for an order or a group; returns the id of the order, or of the group.

        The order may be denied by a limit: `order(order_id)` and its record in the store say so.
        InvalidOrderRequest for a group that is none, and for another account's order.
        """
        if isinstance(request, OrderRequest):
            own = self._own(request)
            kind = "ORDER"
            terms: tuple[object, ...] = (terms_or_fault(own, self._specs.get(own.symbol)),)
        else:
            kind, terms = group_terms(request, self._specs.get, self._own)  # type: ignore[arg-type]
        command = Submit(0, _id(command_id), by or self._owner, kind, terms)  # type: ignore[arg-type]
        answer = self.command(command, timeout)
        if answer.ok or answer.code == "DENIED":
            return answer.detail
        raise InvalidOrderRequest(f"{answer.code}: {answer.detail}")

    def _own(self, request: OrderRequest) -> OrderRequest:
        account = self._recipe.account
        if not request.account:
            return msgspec.structs.replace(request, account=account)
        if request.account != account:
            raise InvalidOrderRequest(
                f"the order is for account {request.account}, this engine trades {account}"
            )
        return request

    def cancel(self, order_id: str, *, command_id: str | None = None, by: str = "") -> Answer:
        """Ask for an order's end."""
        return self.command(Cancel(0, _id(command_id), by or self._owner, order_id))

    def replace(
        self,
        order_id: str,
        *,
        quantity: Number | None = None,
        limit_price: Number | None = None,
        stop_price: Number | None = None,
        command_id: str | None = None,
        by: str = "",
    ) -> Answer:
        """Ask for other terms; None keeps what the order has."""
        order = self.order(order_id)
        if order is None:
            return Answer("UNKNOWN_ORDER", order_id)
        spec = self._specs[order.symbol]
        return self.command(
            Replace(
                0,
                _id(command_id),
                by or self._owner,
                order_id,
                None if quantity is None else spec.size_units(quantity, "quantity"),
                None if limit_price is None else spec.price_units(limit_price, "limit_price"),
                None if stop_price is None else spec.price_units(stop_price, "stop_price"),
            )
        )

    def cancel_all(
        self, *, strategy: str = "", symbol: str = "", command_id: str | None = None, by: str = ""
    ) -> Answer:
        """Ask for the end of every open order, or of a strategy's or symbol's."""
        who, account = by or self._owner, self._recipe.account
        return self.command(CancelAll(0, _id(command_id), who, account, strategy, symbol))

    def flatten(
        self, *, strategy: str = "", symbol: str = "", command_id: str | None = None, by: str = ""
    ) -> Answer:
        """Cancel orders and close positions at the market, or a strategy's or symbol's."""
        who, account = by or self._owner, self._recipe.account
        return self.command(Flatten(0, _id(command_id), who, account, strategy, symbol))

    def set_trading_state(
        self, state: str, reason: str, *, by: str, command_id: str | None = None
    ) -> Answer:
        """Make the account ACTIVE, REDUCING or HALTED; only another than its owner lifts a halt."""
        account = self._recipe.account
        return self.command(SetTradingState(0, _id(command_id), by, account, state, reason))

    def set_limits(
        self,
        limits: Limits,
        *,
        requested_by: str,
        approved_by: str,
        limits_id: str = "",
        valid_from: datetime | int | None = None,
        valid_to: datetime | int | None = None,
        command_id: str | None = None,
    ) -> Answer:
        """Set limits for a time (from now on by default); two people are behind them."""
        name = limits_id or f"limits-{uuid.uuid4().hex[:12]}"
        return self.command(
            SetLimits(
                0,
                _id(command_id),
                requested_by,
                approved_by,
                self._recipe.account,
                name,
                msgspec.json.encode(limits).decode(),
                time.time_ns() if valid_from is None else nanoseconds(valid_from),
                None if valid_to is None else nanoseconds(valid_to),
            )
        )

    def transfer(
        self, amount: Number, currency: str = "", *, by: str = "", command_id: str | None = None
    ) -> Answer:
        """Move money into the account, or out of it when negative."""
        units = to_units(amount, self._recipe.settings.money_decimals, "amount")
        who, account = by or self._owner, self._recipe.account
        return self.command(
            Transfer(0, _id(command_id), who, account, currency or self._currency, units)
        )

    # --- what there is ----------------------------------------------------------------------------

    def order(self, order_id: str) -> Order | None:
        """Return an order as it stands, a copy; None for one that was forgotten or never was."""
        writer = self._writer
        if writer is None:
            return None
        with writer.lock:
            found = writer.state.kernel.orders.get(order_id)
            return None if found is None else msgspec.structs.replace(found)

    def look(self, at: Callable[[Kernel], T]) -> T:
        """Return what a function finds in the kernel, which stands still meanwhile.

        The function must change nothing and return no part of the kernel that changes later.
        EngineStopped while the engine has no state: it starts, or waits for another engine.
        """
        writer = self._writer
        if writer is None:
            raise EngineStopped(f"the engine is {self._phase}: {self._problem or 'start it first'}")
        with writer.lock:
            return at(writer.state.kernel)

    @property
    def digest(self) -> str:
        """SHA-256 over everything the run has said; that of the journal, between groups."""
        return self.status().digest

    def verify(self) -> str:
        """Fold the journal again from its beginning and return the digest of the run.

        EngineError names the first group after which the digest is not the one in the journal. The
        engine need not run.
        """
        journal = Journal(self._store, self._recipe.account, self._recipe.run)
        state = EngineState(self._recipe)
        for group in journal.groups(journal.segments()):
            state.fold(group)
        return state.kernel.digest

    @property
    def feed_silence_s(self) -> float | None:
        """Seconds since the feed gave anything while a market was open.

        None where no market is, there is no feed, or it is not read yet.
        """
        feeder, writer = self._feeder, self._writer
        if feeder is None or writer is None:
            return None
        with writer.lock:
            open_for = open_for_s(writer.state.kernel.market, self._specs.values(), time.time_ns())
        silent = time.monotonic() - feeder.heard_at
        return None if open_for is None else min(silent, open_for)

    def limits_now(self) -> Limits | None:
        """Return the account's limits that hold now; None where there are none."""
        writer = self._writer
        if writer is None:
            return None
        with writer.lock:
            account = writer.state.kernel.accounts.get(self._recipe.account)
            held = None if account is None else account.limits.at(time.time_ns())
            return None if held is None else held.limits

    @property
    def recipe(self) -> Recipe:
        """What kernels of the run are made of: whoever folds its journal needs the same."""
        return self._recipe

    @property
    def phase(self) -> Phase:
        """How far the engine is."""
        return self._phase

    def status(self) -> EngineStatus:
        """Return what the engine is doing."""
        writer, link = self._writer, self._link
        more = {
            "account": self._recipe.account,
            "run": self._recipe.run,
            "phase": self._phase,
            "epoch": self._epoch,
            "group": 0 if writer is None else writer.group,
            "broker": "" if link is None else link.broker.name,
            "broker_state": "" if link is None else str(link.broker.state),
            "problem": self._problem or ("" if writer is None else writer.problem),
        }
        feeder = self._feeder
        if not more["problem"] and feeder is not None:
            more["problem"] = feeder.problem
        if writer is None:
            return status_of(None, waiting=self._inbox.unsettled, **more)
        with writer.lock:
            status = status_of(writer.state, waiting=0, **more)
        # Counted last: where nothing waits then, all that the status tells is in the journal.
        return replace(status, waiting=self._inbox.unsettled)


def _forgotten(attempt: Attempt | None) -> None:
    """Let go of a group that the store did not answer for."""
    if attempt is not None:
        refuse(
            attempt.items,
            "the store did not say whether the command is recorded; give it again under the same "
            "command_id to learn what became of it",
        )


def _nobody(_outputs: Sequence[Output]) -> None:
    """Nobody listens."""


def _id(command_id: str | None) -> str:
    return uuid.uuid4().hex if command_id is None else command_id


def _has_nul(value: object) -> bool:
    if isinstance(value, str):
        return "\0" in value
    if isinstance(value, (list, tuple)):
        return any(map(_has_nul, value))
    return False
