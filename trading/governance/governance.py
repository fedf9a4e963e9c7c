"""What people do: ask for changes, decide on those of others, break the glass, stop an account.

    governance = Governance(client)
    change = governance.propose_limits("ACC", Limits(max_position=500), reason="new desk")
    Governance(others_client).approve(change)
    governance.halt("ACC", "fat finger")

The running engine of the account follows; one that is down obeys when it starts.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from typing import Any, TypeVar

import msgspec

from store.base import Storable
from store.client import StoreClient
from store.database.execute import execute
from store.errors import (
    AccessError,
    GuardFailure,
    InvalidTransition,
    SchemaError,
    TransitionNotPermitted,
    VersionConflict,
)
from trading.decoding import json_decoder
from trading.errors import GovernanceError, LimitsError
from trading.governance.entities import (
    ACTIONS,
    ControlRequest,
    EmergencyReview,
    LimitsChange,
    ParametersChange,
    machine_for,
    who_may,
)
from trading.risk import Limits
from trading.strategy.parameters import parameters_json, parameters_of

__all__ = ["Change", "Governance", "limits_of"]

_LOG = logging.getLogger(__name__)
_PEOPLE = "SELECT person, duty FROM trading_governance.people(%s)"
APPROVE_WITHIN = timedelta(hours=24)
LIVE = "live"

Change = LimitsChange | ParametersChange
T = TypeVar("T", bound=Storable)
C = TypeVar("C", LimitsChange, ParametersChange)


def limits_of(text: str) -> Limits:
    """Return the limits of a JSON text; LimitsError for NaN, negative and unknown ones."""
    try:
        return json_decoder(_Strict).decode(text).limits()
    except msgspec.MsgspecError as error:
        known = ", ".join(Limits.__struct_fields__)
        more = f"; there are {known}" if "unknown field" in str(error) else ""
        raise LimitsError(f"these are no limits: {error}{more}") from None


class _Strict(Limits, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """Limits of a text that a person wrote: a name that there is not is a mistake."""

    def limits(self) -> Limits:
        return Limits(**{name: getattr(self, name) for name in Limits.__struct_fields__})


class Governance:
    """Governed changes and requests, as one user of the store.

    Every call is checked by the database against the duties of who calls it: `grant_duty`.
    GovernanceError says what is not possible, and why.
    """

    def __init__(self, client: StoreClient) -> None:
        self._client = client

    # --- asking -----------------------------------------------------------------------------------

    def propose_limits(
        self,
        account: str,
        limits: Limits,
        *,
        reason: str = "",
        effective_from: datetime | None = None,
        approve_within: timedelta = APPROVE_WITHIN,
        command_id: str = "",
    ) -> LimitsChange:
        """Ask for other limits of an account; another person must approve them in time.

        `command_id` is a key of one's own, by which the change is found again.
        """
        text = msgspec.json.encode(limits).decode()
        change = LimitsChange(account, text, reason, effective_from, command_id=command_id)
        return self._propose(change, approve_within)

    def propose_parameters(
        self,
        account: str,
        strategy: str,
        parameters: Any,
        *,
        kind: type[Any] | None = None,
        reason: str = "",
        effective_from: datetime | None = None,
        approve_within: timedelta = APPROVE_WITHIN,
        command_id: str = "",
    ) -> ParametersChange:
        """Ask for other parameters of a strategy: its `Parameters`, or a dict of values.

        With `kind`, the class of the strategy, a dict is checked now; else the engine checks it.
        """
        if isinstance(parameters, dict):
            text = msgspec.json.encode(parameters).decode()
            if kind is not None:
                text = parameters_json(parameters_of(kind, text))
        else:
            text = parameters_json(parameters)
        change = ParametersChange(
            account, strategy, text, reason, effective_from, command_id=command_id
        )
        return self._propose(change, approve_within)

    def _propose(self, change: C, within: timedelta) -> C:
        if within <= timedelta(0):
            raise GovernanceError(f"approve_within: expected more than no time, seen {within}")
        if change.effective_from is not None and change.effective_from.tzinfo is None:
            raise GovernanceError("effective_from needs a time zone")
        change.requested_by = self._client.user
        change.approve_by = datetime.now(timezone.utc) + within
        with _explained(f"a change for account {change.account}"):
            self._client.write(change)
        return change

    # --- deciding ---------------------------------------------------------------------------------

    def approve(self, change: Change, note: str = "") -> Change:
        """Approve what another person has asked for; it is in force from its time on."""
        if isinstance(change, LimitsChange):
            # Not only by who asked: a program of their own may have written anything.
            limits_of(change.limits_json)
        return self._move(change, "APPROVED", approved_by=self._client.user, decision_reason=note)

    def reject(self, change: Change, reason: str) -> Change:
        """Refuse what another person has asked for."""
        return self._move(change, "REJECTED", approved_by=self._client.user, decision_reason=reason)

    def withdraw(self, change: Change) -> Change:
        """Take back what one has asked for, while it is not in force."""
        return self._move(change, "WITHDRAWN")

    def lapse(self, change: Change) -> Change:
        """Note that nobody has approved a change in its time."""
        return self._move(change, "LAPSED")

    # --- break-glass ------------------------------------------------------------------------------

    def break_glass(self, change: Change, reason: str) -> Change:
        """Put a change in force at once, alone; another person must review it later.

        The engine raises the alarm BREAK_GLASS when it follows.
        """
        if not reason.strip():
            raise GovernanceError("breaking the glass needs a reason, for those who review it")
        if isinstance(change, LimitsChange):
            limits_of(change.limits_json)
        me = self._client.user
        review = EmergencyReview(
            change.account, change._store_entity_id or "", reason, requested_by=me
        )
        what = f"breaking the glass on account {change.account}"
        with _explained(what), self._client.transaction():
            self._client.write(review)
            self._move(
                change,
                "EMERGENCY",
                approved_by=me,
                decision_reason=reason,
                review_id=review._store_entity_id or "",
            )
        _LOG.warning(
            "BREAK GLASS: %s has put %s %s of account %s in force alone: %s",
            *(me, type(change).__name__, change._store_entity_id, change.account, reason),
        )
        return change

    def review(self, review: EmergencyReview, *, justified: bool, note: str) -> EmergencyReview:
        """Say whether another person was right to break the glass."""
        return self._move(
            review,
            "REVIEWED",
            reviewed_by=self._client.user,
            review_outcome="JUSTIFIED" if justified else "NOT_JUSTIFIED",
            decision_reason=note,
        )

    # --- stopping ---------------------------------------------------------------------------------

    def halt(self, account: str, reason: str, *, run: str = LIVE) -> ControlRequest:
        """Ask for the end of all trading on an account, its resting orders included."""
        return self.request("HALT", account, reason, run=run)

    def reduce(self, account: str, reason: str, *, run: str = LIVE) -> ControlRequest:
        """Ask that only orders which reduce positions pass."""
        return self.request("REDUCE", account, reason, run=run)

    def resume(self, account: str, reason: str, *, run: str = LIVE) -> ControlRequest:
        """Ask for trading again; the engine refuses it where who asks trades on the account."""
        return self.request("RESUME", account, reason, run=run)

    def flatten(
        self, account: str, reason: str, *, run: str = LIVE, strategy: str = "", symbol: str = ""
    ) -> ControlRequest:
        """Ask that orders be cancelled and positions closed at the market."""
        return self.request("FLATTEN", account, reason, run=run, strategy=strategy, symbol=symbol)

    def request(
        self,
        action: str,
        account: str,
        reason: str,
        *,
        run: str = LIVE,
        strategy: str = "",
        symbol: str = "",
        command_id: str = "",
    ) -> ControlRequest:
        """Ask the engine of an account's run for one of `ACTIONS`; it obeys once it runs."""
        if action not in ACTIONS:
            raise GovernanceError(f"no action {action!r}; there are: {', '.join(ACTIONS)}")
        if not reason.strip():
            raise GovernanceError(f"{action} of account {account}: say why; it is journaled")
        request = ControlRequest(
            *(account, run, action, strategy, symbol, reason),
            requested_by=self._client.user,
            command_id=command_id,
        )
        with _explained(f"{action} of account {account}"):
            self._client.write(request)
        return request

    def wait(self, entity: T, states: Iterable[str], timeout: float = 30.0) -> T:
        """Wait until an entity is in one of some states, and return it as it is then.

        GovernanceError where it is not after so many seconds.
        """
        wanted = set(states)
        end = time.monotonic() + timeout
        while True:
            found = self._client.read(type(entity), entity._store_entity_id or "")
            state = None if found is None else found._store_state
            if found is not None and state in wanted:
                return found
            if time.monotonic() > end:
                raise GovernanceError(
                    f"{type(entity).__name__} {entity._store_entity_id} is {state} after "
                    f"{timeout:g} s, not {' or '.join(sorted(wanted))}: is the engine running? It "
                    "follows when it starts"
                )
            time.sleep(0.05)

    # --- what there is ----------------------------------------------------------------------------

    def changes(self, account: str | None, *states: str) -> list[Change]:
        """Return changes of an account, or of all for None, in the states that are named."""
        return [
            *self._found(LimitsChange, account, states),
            *self._found(ParametersChange, account, states),
        ]

    def reviews(self, account: str | None, *states: str) -> list[EmergencyReview]:
        """Return reviews of an account; with "OPEN" those that somebody has to do."""
        return self._found(EmergencyReview, account, states)

    def requests(self, account: str | None, *states: str) -> list[ControlRequest]:
        """Return what the engine of an account was asked to do."""
        return self._found(ControlRequest, account, states)

    def _found(self, cls: type[T], account: str | None, states: tuple[str, ...]) -> list[T]:
        filters = None if account is None else {"account": account}
        items = self._client.query(cls, filters, limit=None)
        return [each for each in items if not states or each._store_state in states]

    def of_command(self, cls: type[T], command_id: str) -> T | None:
        """Return what this user has asked for under a key; None where there is nothing."""
        asked = {"command_id": command_id, "requested_by": self._client.user}
        items = self._client.query(cls, asked, limit=2)
        return next((each for each in items if each._store_owner == self._client.user), None)

    def who_may(self, entity: Storable) -> dict[str, list[str]]:
        """Return the states that an entity can be taken to now, and the people who may do it."""
        account: str = getattr(entity, "account", "")
        return who_may(entity, self.people(account), datetime.now(timezone.utc))

    def people(self, account: str) -> dict[str, list[str]]:
        """Return who has each duty on an account, for who has one there."""
        with _explained(f"the people of account {account}"):
            rows = execute(self._client.conn, _PEOPLE, [account])
        found: dict[str, list[str]] = {}
        for person, duty in rows:
            found.setdefault(duty, []).append(person)
        return found

    # --- moving -----------------------------------------------------------------------------------

    def _move(self, entity: T, state: str, **changed: str) -> T:
        """Take an entity to a state with some fields changed; nothing is changed if it fails."""
        before = {name: getattr(entity, name) for name in changed}
        account: str = getattr(entity, "account", "")
        machine = machine_for(entity, self.people(account), entity._store_owner or "")
        entity._state_machine = machine
        done = False
        try:
            for name, value in changed.items():
                setattr(entity, name, value)
            with _explained(f"{type(entity).__name__} {entity._store_entity_id} to {state}"):
                self._client.transition(entity, state)
            done = True
        finally:
            del entity._state_machine
            if not done:
                for name, value in before.items():
                    setattr(entity, name, value)
        return entity


@contextmanager
def _explained(what: str) -> Any:
    """The store's refusals as errors of governance; conflicts and lost connections stay."""
    try:
        yield
    except (TransitionNotPermitted, InvalidTransition, GuardFailure, AccessError) as error:
        raise GovernanceError(f"{what} is refused: {error}") from error
    except SchemaError as error:
        raise GovernanceError(
            f"{what}: governance is not set up in this database; an administrator runs "
            "trading.governance.bootstrap_governance"
        ) from error
    except VersionConflict as error:
        raise GovernanceError(
            f"{what}: somebody else has decided on it meanwhile; read it again ({error})"
        ) from error


Command = Callable[..., ControlRequest]


def command_of(governance: Governance, action: str) -> Command:
    """Return the call that asks for an action of `ACTIONS`."""
    if action not in ACTIONS:
        raise GovernanceError(f"no action {action!r}; there are: {', '.join(ACTIONS)}")
    found: Command = getattr(governance, action.lower())
    return found
