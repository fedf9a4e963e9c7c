"""The one writer of an account: recovers, then takes inputs in groups for as long as it may.

A group is stepped through the kernel, appended with its records in one transaction under the lease,
and only then acknowledged and sent. Whoever holds a newer epoch of the lease makes the append fail.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np

from store.client import StoreClient
from store.errors import LeaseLost, StoreError, Unavailable
from store.leases import Lease
from trading.engine.figures import WriterFigures
from trading.engine.inbox import BrokerEvent, Inbox, Item, refuse
from trading.engine.journal import EngineSnapshot, Entry, Group, Journal
from trading.engine.link import BrokerLink
from trading.engine.options import EngineOptions
from trading.engine.reconciling import RECONCILED, Reconciler
from trading.engine.snapshots import SnapshotKeeper
from trading.engine.staging import Attempt, CommitUnknown, Planned, Staged
from trading.engine.state import Answer, EngineState, Recipe, canonical
from trading.errors import (
    BrokerError,
    BrokerRefused,
    BrokerUnavailable,
    EngineError,
    EngineStopped,
)
from trading.journal import reports
from trading.journal.inputs import Clock, Input, SetTradingState
from trading.journal.outputs import (
    EFFECTS,
    Alert,
    Effect,
    Output,
    SendCancel,
    SendOrder,
    StrategyStopped,
    TradingStateChanged,
)
from trading.kernel import TickColumns
from trading.risk.account import HALTED
from trading.times import SECOND
from trading.venues.protocol import (
    ConnectionChanged,
    ConnectionState,
    RequestRefused,
    SequencedReport,
)

__all__ = ["Writer"]

_LOG = logging.getLogger(__name__)
_ENGINE = "engine"
# Of a group that waits, what is worth a transaction of its own.
_BUSY_PART = 4
# Outputs that a person must see.
_TOLD = frozenset({Alert, StrategyStopped, TradingStateChanged})


class Writer:
    """Writes for an account while its lease is held; made anew for each time that it is taken.

    `tell` hears of phases and problems, `publish` of the outputs of each committed group.
    """

    def __init__(
        self,
        recipe: Recipe,
        store: StoreClient,
        lease: Lease,
        link: BrokerLink | None,
        inbox: Inbox,
        options: EngineOptions,
        stop: threading.Event,
        publish: Callable[[Sequence[Output]], None],
    ) -> None:
        self._recipe = recipe
        self._store = store
        self._lease = lease
        self._link = link
        self._inbox = inbox
        self._options = options
        self._stop = stop
        self._publish = publish
        self._journal = Journal(store, recipe.account, recipe.run)
        self._snapshots = SnapshotKeeper(store, recipe.account, recipe.run, options)
        self._kept_until = time.monotonic()
        self._connected_after = 0
        # What a broker tells between its log-on and the end of what was missed is marked.
        self._note = ""
        self._must_compare = False
        # Reports that were set aside by a group: they are booked before anything that came later.
        self._next: list[Item] = []
        # The group that another thread commits while the next one is stepped.
        self._flight: Future[None] | None = None
        self._flying = 0
        self._committer = ThreadPoolExecutor(1, "engine-commit")
        self.lock = threading.Lock()
        self.figures = WriterFigures()
        self.state = EngineState(recipe)
        self.attempt: Attempt | None = None
        self.settled = False
        self.problem = ""

    @property
    def group(self) -> int:
        """Number of the last committed group."""
        return self._journal.group

    # --- folding ----------------------------------------------------------------------------------

    def fold(self, attempt: Attempt | None = None) -> bool:
        """Bring the state to the end of the journal; whether an unanswered group is in it."""
        with self._renewing():
            return self._folded(attempt)

    @contextlib.contextmanager
    def _renewing(self) -> Iterator[None]:
        """Renew the lease beside what takes longer than it lasts; LeaseLost at the next check."""
        done = threading.Event()

        def renew() -> None:
            while not done.wait(self._lease.seconds / 3):
                with contextlib.suppress(StoreError):
                    self._lease.renew()

        thread = threading.Thread(target=renew, name="engine-lease", daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()
            self._kept_until = 0.0

    def _folded(self, attempt: Attempt | None) -> bool:
        segments = self._journal.segments()
        state, snapshot = self._from_snapshot()
        after = 0 if snapshot is None else snapshot.group_number
        is_known = False
        for group in self._journal.groups(segments, max(after - 1, 0)):
            if group.number == after and snapshot is not None:
                if group.digest != snapshot.digest:
                    _LOG.warning("the snapshot of group %d is of another journal", after)
                    return self._fold_from_nothing(attempt)
                continue
            if attempt is not None and group.number == attempt.number:
                is_known = group.entries == attempt.entries
            state.fold(group)
        if after > self._journal.group:
            return self._fold_from_nothing(attempt)
        with self.lock:
            self.state = state
        self._snapshots.went_on_from(state.inputs)
        return is_known

    def _fold_from_nothing(self, attempt: Attempt | None) -> bool:
        state, is_known = EngineState(self._recipe), False
        for group in self._journal.groups(self._journal.segments()):
            if attempt is not None and group.number == attempt.number:
                is_known = group.entries == attempt.entries
            state.fold(group)
        with self.lock:
            self.state = state
        return is_known

    def _from_snapshot(self) -> tuple[EngineState, EngineSnapshot | None]:
        newest = self._snapshots.newest()
        if newest is None:
            return EngineState(self._recipe), None
        try:
            return EngineState.load(self._recipe, newest.state()), newest
        except Exception as error:  # noqa: BLE001 - a strategy may raise anything
            _LOG.warning("the snapshot is not used, the journal is folded instead: %s", error)
            return EngineState(self._recipe), None

    # --- recovery ---------------------------------------------------------------------------------

    def recover(
        self, opening: Callable[[EngineState], list[Input]], attempt: Attempt | None
    ) -> None:
        """Fold, open what is new, then come to agree with the broker before anything else.

        EngineStopped where it was told to stop meanwhile.
        """
        is_known = self.fold(attempt)
        if attempt is not None:
            self._settle_attempt(attempt, is_known)
        self.settled = True
        new = [Item(each) for each in opening(self.state)]
        if new:
            self.commit(new)
        if self._link is not None:
            self._connect(self._link)
            self.drain()
            self._carry_out(self.state.pending.all(), fresh=False)
            self._reconciler(self._link).run(self._runs)
            self._must_compare = False

    def _settle_attempt(self, attempt: Attempt, is_known: bool) -> None:
        told = list(attempt.rest)
        if is_known:
            for item in attempt.items:
                self._answer(item)
        else:
            # What was told to us is not told again; commands wait until we agree with the broker.
            told = [each for each in attempt.items if each.sequence] + told
            self._inbox.put_back([each for each in attempt.items if not each.sequence])
        if told:
            self.commit(told)

    def _connect(self, link: BrokerLink) -> None:
        """Log on with the last report that is journaled, for as long as it takes."""
        self._connected_after = self._journal.sequence
        link.connect(self._connected_after, self._lease.epoch)
        while True:
            self._check_stop()
            self.keep_lease()
            try:
                link.broker.wait_connected(0.2)
                return
            except BrokerUnavailable as error:
                self.problem = str(error)
            finally:
                # What was missed arrives while we wait.
                self.drain()

    def drain(self) -> bool:
        """Book what the broker has told; whether there was anything."""
        found = False
        while True:
            events, _ = self._take(0.0, broker_only=True)
            if not events:
                return found
            items = self._items_of(events, RECONCILED)
            if items:
                found = True
                self.commit(items)

    def _compare_again(self, link: BrokerLink) -> None:
        """Compare after a reconnect; commands and prices wait meanwhile, as after a restart.

        Where the link goes down or the engine stops before it is done, the next log-on does it.
        """
        _LOG.info("connected again: comparing with %s", link.broker.name)
        self._must_compare = False
        self._reconciler(link).run(
            lambda: not self._stop.is_set() and link.broker.state is ConnectionState.CONNECTED
        )

    def _reconciler(self, link: BrokerLink) -> Reconciler:
        self.figures.reconciliations += 1
        return Reconciler(self, link.broker, self._options.reconcile_s, self._connected_after)

    def pause(self, seconds: float) -> None:
        """Wait, unless it is to stop."""
        self._stop.wait(seconds)

    def _runs(self) -> bool:
        self._check_stop()
        return True

    def _check_stop(self) -> None:
        if self._stop.is_set():
            raise EngineStopped("the engine was told to stop before it had recovered")

    # --- the loop ---------------------------------------------------------------------------------

    def serve(self) -> None:
        """Take what comes in, group by group, until it is told to stop."""
        try:
            while not self._stop.is_set():
                self._turn()
            self._land()
        except Unavailable:
            # A group that was on its way says more, where it failed as well.
            self._land()
            raise
        finally:
            self._committer.shutdown()

    def _turn(self) -> None:
        """Take what has come in, or wait a while for it."""
        # Where nothing waits, there is nothing to do but to see the last group committed.
        if not len(self._inbox):
            self._land()
        events, items = self._take(self._patience())
        taken = self._items_of(events) + items
        if not taken and self.state.kernel.due <= time.time_ns():
            taken = [Item(Clock(0))]
        if taken:
            self._take_in(taken)
        self.keep_lease()
        self._save_snapshot()
        self._check_broker()
        if self._must_compare and self._link is not None:
            self._compare_again(self._link)

    def _take(
        self, timeout: float, *, broker_only: bool = False
    ) -> tuple[list[BrokerEvent], list[Item]]:
        """What has come in; all that was taken before is committed, or is the group in flight."""
        self._inbox.settle(self._flying)
        return self._inbox.take(timeout, self._options.group_size, broker_only=broker_only)

    def _patience(self) -> float:
        """Seconds until something is due by the clock, or the lease has to be renewed."""
        renew = self._kept_until - self._lease.seconds * 2 / 3 - time.monotonic()
        due = (self.state.kernel.due - time.time_ns()) / SECOND
        return max(min(renew, due, 1.0), 0.0)

    def _check_broker(self) -> None:
        link = self._link
        if link is not None and link.broker.state is ConnectionState.REFUSED:
            link.broker.wait_connected(0.0)  # raises why

    def keep_lease(self) -> None:
        """Renew the lease where nothing was written under it for a while; LeaseLost if it is."""
        now = time.monotonic()
        if now < self._kept_until - self._lease.seconds * 2 / 3:
            return
        if not self._lease.renew():
            raise LeaseLost(f"the lease {self._lease.name!r} is another's by now")
        self._kept_until = now + self._lease.seconds

    # --- what a broker tells ----------------------------------------------------------------------

    def _items_of(self, events: Sequence[BrokerEvent], note: str = "") -> list[Item]:
        items: list[Item] = []
        for event in events:
            if isinstance(event, SequencedReport):
                items.append(Item(event.report, event.sequence, note or self._note))
            elif isinstance(event, RequestRefused):
                items.append(Item(self._refused(event), note=note or self._note))
            elif isinstance(event, ConnectionChanged):
                self._connection_changed(event)
        return items

    def _connection_changed(self, event: ConnectionChanged) -> None:
        _LOG.info("broker: %s %s", event.state, event.reason)
        if event.state is ConnectionState.RECOVERING:
            self._note = RECONCILED
        elif event.state is ConnectionState.CONNECTED:
            self._note, self._must_compare = "", True

    def _refused(self, refused: RequestRefused) -> Input:
        """What is booked for a request that the venue did not act on."""
        account, order_id = self._recipe.account, refused.order_id
        reason = f"{refused.code}: {refused.text}"
        if refused.code in ("DUPLICATE_ID", "UNKNOWN_OUTCOME"):
            return self._halt_input(
                f"order {order_id}: the venue says {reason}; look there what it has under this id"
            )
        waiting = self.state.pending.of(order_id)
        if any(isinstance(each, SendOrder) for each in waiting):
            return reports.OrderRejected(0, account, order_id, reason)
        if waiting and isinstance(waiting[-1], SendCancel):
            return reports.OrderCancelRejected(0, account, order_id, reason)
        return reports.OrderReplaceRejected(0, account, order_id, reason)

    # --- groups -----------------------------------------------------------------------------------

    def commit(self, items: Sequence[Item]) -> None:
        """Step a group, append it in one transaction, then answer, publish and send.

        CommitUnknown where the store did not answer, LeaseLost where another writes by now; the
        state in memory is of no use then.
        """
        self._write(self._prepared(items))
        while self._next:
            items, self._next = self._next, []
            self._write(self._prepared(items))

    def _take_in(self, items: Sequence[Item]) -> None:
        """As `commit`; where much waits already, it is stepped while this one is committed.

        Not where little waits: small groups cost the database as much each as large ones.
        """
        staged = self._prepared(items)
        if self._next or len(self._inbox) < self._options.group_size // _BUSY_PART:
            self._write(staged)
            if self._next:
                items, self._next = self._next, []
                self.commit(items)
        else:
            self._flight = self._committer.submit(self._write, staged)
            self._flying = len(items)

    def _land(self) -> None:
        """Wait for the group that is being committed; raises what came of it."""
        flight, self._flight = self._flight, None
        if flight is not None:
            flight.result()
        self._flying = 0

    def _prepared(self, items: Sequence[Item]) -> Staged:
        """Step a group, and see the one before it committed."""
        try:
            staged = self._stage(items)
            self._land()
        except BaseException as error:
            # These are in no group yet: commands wait, reports are not told again.
            self._inbox.put_back([each for each in items if not each.sequence])
            reports = [each for each in items if each.sequence]
            if isinstance(error, CommitUnknown) and self.attempt is not None:
                self.attempt = replace(self.attempt, rest=[*self.attempt.rest, *reports])
            elif isinstance(error, Unavailable):
                self.attempt = Attempt(0, [], [], reports)
                raise CommitUnknown(f"the journal cannot be read: {error}") from error
            raise
        return staged

    def _stage(self, items: Sequence[Item]) -> Staged:
        now = self._now()
        planned = [Planned(item, _stamped(item, now)) for item in items]
        outputs, group, planned = self._step(planned)
        return Staged(items, planned, outputs, group, self._batch, list(self._next))

    def _write(self, staged: Staged) -> None:
        """Commit a group; only then send, answer and publish."""
        effects: list[Any] = [each for each in staged.outputs if each.__class__ in EFFECTS]
        # Nobody waits for the journal alone, which comes with every group of ticks: woken by each,
        # the readers of records would look at the log every few milliseconds.
        wakes = len(staged.batch) > 1
        with self._store.waking_later(wakes=wakes):
            self._commit(staged)
            self._carry_out(effects)
            for each in staged.planned:
                if each.item.answer is not None:
                    self._answer(each.item, each.error)
            _log(staged.outputs)
            try:
                self._publish(staged.outputs)
            except Exception:  # noqa: BLE001 - who listens must not stop the writer
                _LOG.exception("publishing group %d failed", staged.group.number)

    def _commit(self, staged: Staged) -> None:
        begun, group = time.monotonic(), staged.group
        try:
            staged.batch.commit()
        except Unavailable as error:
            known = [each.item for each in staged.planned]
            self.attempt = Attempt(group.number, group.entries, known, staged.rest)
            raise CommitUnknown(
                f"group {group.number} may or may not be committed: {error}"
            ) from error
        except StoreError as error:
            refuse(staged.items, f"the command was not recorded: {error}")
            raise
        self._journal.taken(group)
        done = time.monotonic()
        oldest = min(each.arrived for each in staged.items)
        self.figures.committed(len(staged.items), done - begun, done - oldest)
        self._kept_until = begun + self._lease.seconds

    def _now(self) -> int:
        """The time of the inputs of a group: when they are taken. It never goes back."""
        return max(time.time_ns(), self.state.kernel.now)

    def _step(self, planned: list[Planned]) -> tuple[list[Output], Group, list[Planned]]:
        """Step a group; an input that the kernel cannot process is journaled and halts."""
        while True:
            outputs: list[Output] = []
            entries: list[Entry] = []
            at = 0
            try:
                with self.lock:
                    state = self.state
                    self._batch = self._store.batch(
                        lease=self._lease, readers=self._options.readers, marks=False
                    )
                    state.book.begin(self._batch)
                    for at, each in enumerate(planned):  # noqa: B007 - the handler needs it
                        item = each.item
                        entries.append(
                            Entry(canonical(each.event), item.sequence, each.error, item.note)
                        )
                        if not each.error:
                            outputs += state.step(each.event, item.sequence)
                        else:
                            state.sequence = max(state.sequence, item.sequence)
                    state.end_group()
                    return outputs, self._appended(entries), planned
            except Exception as error:  # noqa: BLE001 - whatever it is, it must not come again
                planned = self._without(planned, at, error)

    def _appended(self, entries: list[Entry]) -> Group:
        state, journal = self.state, self._journal
        ids = [bytes.fromhex(each.replace("-", "")) for each in state.book.created()]
        group = Group(
            journal.appended + 1,
            entries,
            ids,
            state.sequence,
            state.kernel.digest,
            self._lease.epoch,
        )
        journal.append(self._batch, group, state.kernel.now)
        return group

    def _without(self, planned: list[Planned], at: int, error: Exception) -> list[Planned]:
        """The group up to an input that the kernel could not process, which halts the account."""
        # What is folded again has to be in the journal.
        self._land()
        failed = planned[at]
        if isinstance(failed.event, SetTradingState) and failed.event.by == _ENGINE:
            raise EngineError(f"the account cannot be halted: {error}") from error
        text = f"{type(error).__name__}: {error}"
        _LOG.error("the kernel failed on %s", type(failed.event).__name__, exc_info=error)
        self._batch.discard()
        self.fold()
        rest = [each.item for each in planned[at + 1 :]]
        self._next = [each for each in rest if each.sequence] + self._next
        self._inbox.put_back([each for each in rest if not each.sequence])
        failed.error = text
        halt = self._halt_input(f"the kernel failed on a {type(failed.event).__name__}: {text}")
        item = Item(halt)
        return [*planned[:at], failed, Planned(item, _stamped(item, self._now()))]

    def _answer(self, item: Item, error: str = "") -> None:
        answer = item.answer
        if answer is None or answer.done():
            return
        command_id = getattr(item.event, "command_id", "")
        found = self.state.answers.get(command_id, Answer("OK"))
        with contextlib.suppress(Exception):
            answer.set_result(Answer("ENGINE_ERROR", error) if error else found)

    # --- effects ----------------------------------------------------------------------------------

    def _carry_out(self, effects: Sequence[Effect], *, fresh: bool = True) -> None:
        """Send; what cannot be sent at all is booked as rejected."""
        link = self._link
        if link is None or not effects:
            return
        if fresh and time.monotonic() > self._kept_until - self._lease.seconds / 2:
            # It took long since the lease was known to be ours: look once more.
            self._kept_until = 0.0
            self.keep_lease()
        with link.together():
            for effect in effects:
                try:
                    link.send(effect, fresh=fresh)
                except BrokerRefused:
                    raise
                except BrokerError as error:
                    if link.broker.state in (ConnectionState.REFUSED, ConnectionState.CLOSED):
                        return  # it stays unanswered, and is sent after the next log-on
                    self.problem = str(error)
                    _LOG.error("order %s could not be sent: %s", effect.order_id, error)
                    refused = RequestRefused(effect.order_id, "NOT_SENT", str(error))
                    self._inbox.put_broker([refused])

    # --- halting ----------------------------------------------------------------------------------

    def _halt_input(self, reason: str) -> SetTradingState:
        return SetTradingState(0, "", _ENGINE, self._recipe.account, HALTED, reason)

    def halt(self, reason: str) -> None:
        """Halt the account, which cancels its orders, unless it is halted already."""
        self.problem = reason
        _LOG.error("the account is halted: %s", reason)
        account = self.state.kernel.accounts.get(self._recipe.account)
        if account is None or account.trading_state != HALTED:
            self.commit([Item(self._halt_input(reason))])

    # --- the end ----------------------------------------------------------------------------------

    def _save_snapshot(self, *, now: bool = False) -> None:
        state, journal = self.state, self._journal
        if self._snapshots.is_due(state.inputs, now=now):
            self._land()
            self._snapshots.save(
                journal.group, journal.digest, state.dump(), state.kernel.now, state.inputs
            )

    def finish(self) -> None:
        """Save a snapshot and give the lease back."""
        self._land()
        self._save_snapshot(now=True)
        self._snapshots.wait()
        with contextlib.suppress(StoreError):
            self._lease.release()


def _stamped(item: Item, now: int) -> Input | TickColumns:
    """The input at the time of its group, unless it has a time of its own."""
    event = item.event
    if item.stamped:
        return event
    if isinstance(event, TickColumns):
        stamped = event.slice(0, len(event))
        stamped.event_times = event.times if event.event_times is None else event.event_times
        stamped.times = np.full(len(event), now, np.int64)
        return stamped
    return msgspec.structs.replace(event, time=now)


def _log(outputs: Sequence[Output]) -> None:
    """Write what a person must see into the log; everything else is in the store."""
    is_debugging = _LOG.isEnabledFor(logging.DEBUG)
    for output in outputs:
        if output.__class__ not in _TOLD:
            if is_debugging:
                _LOG.debug("%s", output)
        elif isinstance(output, Alert):
            _LOG.warning("alert %s, %s: %s", output.code, output.subject, output.message)
        elif isinstance(output, StrategyStopped):
            _LOG.error(
                "strategy %s is stopped, %s raised %s",
                output.strategy,
                output.handler,
                output.error,
            )
        elif isinstance(output, TradingStateChanged):
            _LOG.warning("account %s is %s: %s", output.account, output.state, output.reason)
