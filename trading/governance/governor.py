"""The engine's part of governance: it follows what people decided, each thing once.

    engine = TradingEngine(…, governor=Governor(store, "ACC", "live"))

The store says what is to be followed, in order; the journal says what was followed. A command
carries an id made of the entity, so that what was journaled and not yet noted in the store is not
carried out again by the next engine.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any, NamedTuple, Protocol

from store.base import Storable
from store.client import StoreClient
from store.database.execute import execute
from store.errors import SchemaError, StoreError
from trading.engine.journal import Journal
from trading.engine.records import ParametersRecord
from trading.engine.state import Answer, EngineState
from trading.engine.status import Phase
from trading.errors import EngineError, EngineStopped, EngineTimeout, GovernanceError
from trading.governance.entities import (
    ENGINE,
    ControlRequest,
    LimitsChange,
    ParametersChange,
)
from trading.governance.governance import Governance
from trading.journal import decode_input
from trading.journal.inputs import (
    Flatten,
    Input,
    SetLimits,
    SetParameters,
    SetTradingState,
)
from trading.risk.account import HALTED, TRADING_STATES
from trading.risk.limits import BREAK_GLASS
from trading.times import SECOND, nanoseconds

__all__ = ["Governor"]

_LOG = logging.getLogger(__name__)
_TO_FOLLOW = "SELECT * FROM trading_governance.to_follow(%s, %s)"
_STATES = {"HALT": TRADING_STATES[2], "REDUCE": TRADING_STATES[1], "RESUME": TRADING_STATES[0]}
_FEED_STALE = "rule feed_silence"


class Engine(Protocol):
    """What a governor needs of an engine."""

    @property
    def phase(self) -> Phase: ...
    @property
    def feed_silence_s(self) -> float | None: ...
    def command(self, command: Input, timeout: float | None = None) -> Answer: ...
    def limits_now(self) -> Any: ...


class _Row(NamedTuple):
    entity_id: str
    type_name: str
    version: int
    state: str
    requested_by: str
    requested_at: datetime
    decided_version: int
    decided_state: str
    decided_by: str
    effective_at: datetime

    @property
    def change_id(self) -> str:
        """The entity and the version that puts it in force, as decisions name it."""
        return f"{self.entity_id}:{self.decided_version}"

    @property
    def approved_by(self) -> str:
        return BREAK_GLASS if self.decided_state == "EMERGENCY" else self.decided_by


@dataclass(frozen=True)
class _Task:
    """What is to be done: the entity as it stands, and the command that does it."""

    row: _Row
    entity: Any
    command: Input


class Governor:
    """Follows the changes and requests of one account's run, for its engine.

    `store` is a client of the engine's login, which has the duty ENGINE on the account. The store
    is asked every `period_s` seconds.
    """

    def __init__(
        self, store: StoreClient, account: str, run: str, *, period_s: float = 0.25
    ) -> None:
        self._store = store
        self._account = account
        self._run = run
        self._period_s = period_s
        self._governance = Governance(store)
        # What is in the kernel's state already: ids of changes.
        self._followed: set[str] = set()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._engine: Engine | None = None
        self._was_silent = False
        # The kernel knows a repeated command for a day; what is older is looked for in the journal.
        self.known_for = timedelta(hours=12)
        self.problem = ""

    # --- at the start -----------------------------------------------------------------------------

    def before_broker(self, state: EngineState) -> list[Input]:
        """Return what holds before anything else happens: limits, parameters, halts.

        Called with the state after the journal was folded. Unavailable where the store is away.
        """
        if self._store.user not in self._governance.people(self._account).get(ENGINE, ()):
            raise GovernanceError(
                f"{self._store.user} has not the duty ENGINE on account {self._account}, and could "
                "follow nothing; an administrator gives it by trading.governance.grant_duty"
            )
        account = state.kernel.accounts.get(self._account)
        held = () if account is None else account.limits.held
        self._followed = {each.limits_id for each in held}
        records = self._store.query(
            ParametersRecord, {"account": self._account, "run": self._run}, limit=None
        )
        self._followed.update(each.change_id for each in records)
        return [task.command for task in self._tasks() if not isinstance(task.command, Flatten)]

    def after_recovery(self) -> list[Input]:
        """Return what is done once engine and broker agree, and before any order is taken."""
        return [task.command for task in self._tasks() if isinstance(task.command, Flatten)]

    # --- while it runs ----------------------------------------------------------------------------

    def start(self, engine: Engine) -> None:
        """Follow from now on, in a thread of its own, whenever the engine takes commands."""
        self._engine = engine
        if self._thread is None:
            self._thread = threading.Thread(target=self._watch, name="governor", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Follow no more."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(10.0)

    def _watch(self) -> None:
        while not self._stop.wait(self._period_s):
            engine = self._engine
            if engine is None or engine.phase is not Phase.RUNNING:
                continue
            try:
                self.follow(engine)
                self._watch_feed(engine)
                self.problem = ""
            except Exception as error:  # noqa: BLE001 - whatever it is, the kill switch goes on
                text = f"{type(error).__name__}: {error}"
                if text != self.problem:
                    _LOG.warning("governance of account %s: %s", self._account, text)
                self.problem = text

    def follow(self, engine: Engine) -> int:
        """Carry out and note what there is to follow now; returns how many that were."""
        count = 0
        for task in self._tasks():
            try:
                answer = engine.command(task.command)
            except (EngineStopped, EngineTimeout):
                raise
            except EngineError as error:
                # It is not to keep those after it, such as a halt, from being carried out.
                answer = Answer("ENGINE_ERROR", str(error))
            self._note(task, answer)
            count += 1
        return count

    def _watch_feed(self, engine: Engine) -> None:
        """Halt the account where its limits say so and the feed has been silent for too long."""
        limits, silence = engine.limits_now(), engine.feed_silence_s
        bound = None if limits is None else limits.max_feed_silence
        if bound is None or silence is None or silence * SECOND <= bound:
            self._was_silent = False
            return
        if self._was_silent:
            return
        reason = f"no prices for {silence:.1f} s, max_feed_silence is {bound / SECOND:g} s"
        command = SetTradingState(0, "", _FEED_STALE, self._account, HALTED, reason)
        engine.command(command)
        self._was_silent = True
        if limits.flatten_on_halt:
            engine.command(Flatten(0, "", _FEED_STALE, self._account))

    # --- what there is to do ----------------------------------------------------------------------

    def _tasks(self) -> Iterator[_Task]:
        try:
            rows = [
                _Row(*row)
                for row in execute(self._store.conn, _TO_FOLLOW, [self._account, self._run])
            ]
        except SchemaError as error:
            raise GovernanceError(
                "governance is not set up in this database; an administrator runs "
                "trading.governance.bootstrap_governance"
            ) from error
        for row in rows:
            if row.state == "EFFECTIVE" and row.change_id in self._followed:
                continue
            task = self._task(row)
            if task is None:
                continue
            if self._is_in_journal(row, task.command):
                self._note(task, Answer("OK", "it was carried out before"))
                continue
            yield task

    def _task(self, row: _Row) -> _Task | None:
        making = _MAKING.get(row.type_name)
        if making is None:
            return None
        cls, make = making
        entity = self._store.read(cls, row.entity_id)
        if entity is None or entity._store_version != row.version:
            return None  # It has moved on since; the next look sees how.
        return _Task(row, entity, make(row, entity))

    def _is_in_journal(self, row: _Row, command: Any) -> bool:
        """Whether an old command is in the journal already; a new one is known to the kernel."""
        now = datetime.now(timezone.utc)
        if row.state == "EFFECTIVE" or now - row.effective_at < self.known_for:
            return False
        journal = Journal(self._store, self._account, self._run)
        for group in journal.groups(journal.segments()):
            for entry in group.entries:
                if entry.error:
                    continue
                found = getattr(decode_input(entry.data), "command_id", None)
                if found == command.command_id:
                    return True
        return False

    # --- noting what became of it -----------------------------------------------------------------

    def _note(self, task: _Task, answer: Answer) -> None:
        row, entity = task.row, task.entity
        if isinstance(entity, ControlRequest):
            self._moved(entity, "DONE" if _is_done(answer) else "REFUSED", answer)
        elif not _is_done(answer):
            self._followed.add(row.change_id)
            if row.state != "EFFECTIVE":
                self._moved(entity, "REFUSED", answer)
        else:
            self._followed.add(row.change_id)
            if row.state != "EFFECTIVE":
                self._moved(entity, "EFFECTIVE", answer)
                self._supersede(row, entity)

    def _moved(self, entity: Any, state: str, answer: Answer) -> None:
        """Note it in the store; where another has moved it meanwhile, that holds."""
        entity.outcome_code, entity.outcome_text = answer.code, answer.detail
        try:
            self._store.transition(entity, state)
        except StoreError as error:
            _LOG.warning(
                "%s %s is not noted as %s: %s",
                *(type(entity).__name__, entity._store_entity_id, state, error),
            )
            if getattr(error, "is_transient", False):
                raise

    def _supersede(self, row: _Row, entity: LimitsChange | ParametersChange) -> None:
        """Note that the changes before this one are in force no more."""
        for other in self._governance.changes(self._account, "EFFECTIVE"):
            if (
                type(other) is type(entity)
                and other._store_entity_id != row.entity_id
                and getattr(other, "strategy", "") == getattr(entity, "strategy", "")
            ):
                self._moved(other, "SUPERSEDED", Answer(other.outcome_code, other.outcome_text))


def _is_done(answer: Answer) -> bool:
    return answer.code in ("OK", "REPEATED")


def _limits(row: _Row, change: LimitsChange) -> Input:
    # By the engine's clock they hold at once, however far it is behind the database's.
    since = min(nanoseconds(row.effective_at), time.time_ns())
    return SetLimits(
        0,
        f"governed:{row.change_id}",
        row.requested_by,
        row.approved_by,
        change.account,
        row.change_id,
        change.limits_json,
        since,
    )


def _parameters(row: _Row, change: ParametersChange) -> Input:
    return SetParameters(
        0,
        f"governed:{row.change_id}",
        row.requested_by,
        row.approved_by,
        change.account,
        change.strategy,
        row.change_id,
        change.parameters_json,
    )


def _request(row: _Row, request: ControlRequest) -> Input:
    name, by, account = f"governed:{row.change_id}", row.requested_by, request.account
    if request.control_action == "FLATTEN":
        return Flatten(0, name, by, account, request.strategy, request.symbol)
    state = _STATES[request.control_action]
    return SetTradingState(0, name, by, account, state, request.change_reason)


_MAKING: dict[str, tuple[type[Storable], Callable[[_Row, Any], Input]]] = {
    LimitsChange.type_name(): (LimitsChange, _limits),
    ParametersChange.type_name(): (ParametersChange, _parameters),
    ControlRequest.type_name(): (ControlRequest, _request),
}
