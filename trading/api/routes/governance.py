"""Changes that need two people, reviews of a broken glass, and requests to engines.

Each is written as who is logged in, so that the database refuses what that person may not do. What
it would refuse is told before, with who may.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.concurrency import run_in_threadpool

from store.base import Storable
from trading.api.current import (
    CurrentPool,
    CurrentSession,
    accounts_of,
    parts_of,
    unknown_account,
)
from trading.api.governing import Holding, decided, deciders, shown, shown_all
from trading.api.problems import Problem
from trading.api.reading import LIMIT_MAX
from trading.api.record_views import view_of
from trading.api.routes.commands import CommandKey
from trading.api.routes.filters import (
    AccountFilter,
    Limit,
    StateFilter,
    refuse_unknown_names,
    state_of,
)
from trading.api.schemas import (
    AccountName,
    LimitsBody,
    NoteBody,
    Page,
    ParametersBody,
    ReasonBody,
    RequestBody,
    ReviewBody,
)
from trading.api.sessions import UserPool
from trading.governance import (
    ControlRequest,
    EmergencyReview,
    Governance,
    LimitsChange,
    ParametersChange,
)
from trading.governance.entities import OPERATE, PROPOSE
from trading.governance.entities import RESUME as RESUMES
from trading.governance.governance import Change, limits_of

router = APIRouter(tags=["governance"])

_SHOWN_CHANGES = 50
AccountQuery = Annotated[AccountName, Query()]
IdPath = Annotated[
    str, Path(pattern=r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$")
]

# One request at a time under a key: the second one finds what the first has written.
_KEYS = threading.Lock()
_KEYS_IN_USE: dict[tuple[str, str], threading.Lock] = {}


# --- reading --------------------------------------------------------------------------------------


@router.get("/governance")
async def show_governance(
    request: Request, session: CurrentSession, pool: CurrentPool, account: AccountQuery
) -> dict[str, Any]:
    """All of an account: what holds, what is proposed, reviews, requests, people and duties."""
    strategies = await _strategies(request, session.user, account)
    run = parts_of(request).settings.own_run(account)
    return await run_in_threadpool(_overview, request, pool, account, run, strategies)


def _overview(
    request: Request,
    pool: UserPool,
    account: str,
    run: str | None,
    strategies: list[dict[str, Any]],
) -> dict[str, Any]:
    governance, me = Governance(pool.store), pool.user
    people = _people(request, governance, account, me)
    holding = Holding.of(pool, account, run, strategies)
    changes = _newest_first(governance.changes(account))
    waiting = [each for each in changes if each._store_state in _OPEN]
    others = [each for each in changes if each._store_state not in _OPEN]
    found = _newest_first([*waiting, *others[: max(0, _SHOWN_CHANGES - len(waiting))]])
    reviews = _newest_first(governance.reviews(account))
    reviews.sort(key=lambda each: each._store_state != "OPEN")
    requests = _newest_first(governance.requests(account))
    known = {account: (people, holding)}
    return {
        "account": account,
        "run": run,
        "user": me,
        "duties": sorted(duty for duty, some in people.items() if me in some),
        "people": people,
        "limits": holding.limits_shown(),
        "parameters": holding.parameters_shown(),
        "limit_names": Holding.names(),
        "changes": shown_all(found, me, known),
        "reviews": shown_all(reviews[:_SHOWN_CHANGES], me, known),
        "requests": shown_all(requests[:_SHOWN_CHANGES], me, known),
    }


_OPEN = ("PROPOSED", "APPROVED", "EMERGENCY", "EFFECTIVE")


@router.get("/governance/changes", response_model=Page)
async def list_changes(
    request: Request,
    session: CurrentSession,
    pool: CurrentPool,
    account: AccountFilter = None,
    state: StateFilter = None,
    kind: Literal["limits", "parameters"] | None = None,
    limit: Limit = 100,
) -> dict[str, Any]:
    """Changes of limits and parameters, the newest first."""
    strategies = await _strategies(request, session.user, account)
    states = _states(state, LimitsChange)

    def read() -> dict[str, Any]:
        governance = Governance(pool.store)
        found = _newest_first(governance.changes(account, *states))
        if kind is not None:
            wanted = LimitsChange if kind == "limits" else ParametersChange
            found = [each for each in found if isinstance(each, wanted)]
        if not found:
            refuse_unknown_names(request, pool.user, account)
        return _page(request, pool, governance, found[:limit], strategies)

    return await run_in_threadpool(read)


@router.get("/governance/changes/{change_id}")
async def show_change(
    request: Request, session: CurrentSession, pool: CurrentPool, change_id: IdPath
) -> dict[str, Any]:
    """A change with every state that it had."""
    strategies = await _strategies(request, session.user, None)

    def read() -> dict[str, Any]:
        change = _change(pool, change_id)
        history = pool.store.history(type(change), change_id)
        found = _page(request, pool, Governance(pool.store), [change], strategies)["items"][0]
        return {**found, "history": [view_of(each) for each in history]}

    return await run_in_threadpool(read)


@router.get("/governance/reviews", response_model=Page)
def list_reviews(
    request: Request,
    pool: CurrentPool,
    account: AccountFilter = None,
    state: StateFilter = None,
    limit: Limit = 100,
) -> dict[str, Any]:
    """What others have to look at, since one person alone has put a change in force."""
    governance = Governance(pool.store)
    found = governance.reviews(account, *_states(state, EmergencyReview))
    return _newest_page(request, pool, governance, found, account, limit)


@router.get("/governance/requests", response_model=Page)
def list_requests(
    request: Request,
    pool: CurrentPool,
    account: AccountFilter = None,
    state: StateFilter = None,
    limit: Limit = 100,
) -> dict[str, Any]:
    """What engines were asked to do, and what became of it."""
    governance = Governance(pool.store)
    found = governance.requests(account, *_states(state, ControlRequest))
    return _newest_page(request, pool, governance, found, account, limit)


def _states(given: str | None, cls: type[Any]) -> list[str]:
    """The state that a list is filtered by, if there is one; Problem for one of no such name."""
    state = state_of(given, "state", cls._state_machine.states())
    return [] if state is None else [state]


def _newest_page(
    request: Request,
    pool: UserPool,
    governance: Governance,
    found: list[Any],
    account: str | None,
    limit: int,
) -> dict[str, Any]:
    if not found:
        refuse_unknown_names(request, pool.user, account)
    return _page(request, pool, governance, _newest_first(found)[:limit], [])


# --- asking ---------------------------------------------------------------------------------------


@router.post("/governance/limits", status_code=201)
async def propose_limits(
    request: Request, session: CurrentSession, pool: CurrentPool, key: CommandKey, body: LimitsBody
) -> dict[str, Any]:
    """Ask for other limits of an account; another person approves them in time."""
    limits = limits_of(msgspec.json.encode(body.limits).decode())

    def write(governance: Governance) -> LimitsChange:
        return governance.propose_limits(
            body.account,
            limits,
            reason=body.reason,
            effective_from=body.effective_from,
            approve_within=timedelta(seconds=body.approve_within_s),
            command_id=key,
        )

    def same(known: LimitsChange) -> bool:
        return (known.account, known.change_reason, limits_of(known.limits_json)) == (
            *(body.account, body.reason, limits),
        )

    return await _asked(request, session, pool, key, PROPOSE, body, LimitsChange, write, same)


@router.post("/governance/parameters", status_code=201)
async def propose_parameters(
    request: Request,
    session: CurrentSession,
    pool: CurrentPool,
    key: CommandKey,
    body: ParametersBody,
) -> dict[str, Any]:
    """Ask for other parameters of a strategy; another person approves them in time."""
    await _refuse_wrong(request, session.user, body)

    def write(governance: Governance) -> ParametersChange:
        return governance.propose_parameters(
            body.account,
            body.strategy,
            dict(body.parameters),
            reason=body.reason,
            effective_from=body.effective_from,
            approve_within=timedelta(seconds=body.approve_within_s),
            command_id=key,
        )

    def same(known: ParametersChange) -> bool:
        return (known.account, known.strategy, known.change_reason) == (
            *(body.account, body.strategy, body.reason),
        ) and msgspec.json.decode(known.parameters_json) == dict(body.parameters)

    return await _asked(request, session, pool, key, PROPOSE, body, ParametersChange, write, same)


async def _refuse_wrong(request: Request, user: str, body: ParametersBody) -> None:
    """Problem where the account's strategy cannot have these; an engine that is away refuses later.

    Otherwise another person would approve what cannot come into force.
    """
    try:
        await parts_of(request).engine.ask(
            "check_parameters",
            by=user,
            account=body.account,
            strategy=body.strategy,
            parameters=dict(body.parameters),
        )
    except Problem as problem:
        if problem.status < 500:
            raise


@router.post("/governance/requests", status_code=201)
async def ask_engine(
    request: Request,
    session: CurrentSession,
    pool: CurrentPool,
    key: CommandKey,
    body: RequestBody,
) -> dict[str, Any]:
    """Ask the engine of an account for HALT, REDUCE, FLATTEN or RESUME; it obeys once it runs."""
    if body.symbol:
        refuse_unknown_names(request, session.user, symbol=body.symbol)
    run = parts_of(request).settings.own_run(body.account) or "live"
    fields = (body.account, run, body.action, body.strategy, body.symbol, body.reason)

    def write(governance: Governance) -> ControlRequest:
        return governance.request(
            body.action,
            body.account,
            body.reason,
            run=run,
            strategy=body.strategy,
            symbol=body.symbol,
            command_id=key,
        )

    def same(known: ControlRequest) -> bool:
        return fields == (
            *(known.account, known.run, known.control_action, known.strategy, known.symbol),
            known.change_reason,
        )

    duty = RESUMES if body.action == "RESUME" else OPERATE
    return await _asked(request, session, pool, key, duty, body, ControlRequest, write, same)


async def _asked(
    request: Request,
    session: CurrentSession,
    pool: UserPool,
    key: str,
    duty: str,
    body: Any,
    cls: type[Any],
    write: Any,
    same: Any,
) -> dict[str, Any]:
    """What was asked for under a key: what the first such request wrote, or a new one."""
    strategies = await _strategies(request, session.user, body.account)

    def carried_out() -> dict[str, Any]:
        governance = Governance(pool.store)
        people = _people(request, governance, body.account, pool.user)
        with _one_at_a_time(pool.user, key):
            known = governance.of_command(cls, key)
            if known is not None and not same(known):
                raise Problem(
                    409,
                    "KEY_REUSED",
                    f"something else was asked for under the Idempotency-Key {key!r}; each request "
                    "needs a key of its own",
                )
            if known is None:
                if pool.user not in people.get(duty, ()):
                    raise deciders(pool.user, duty, people, f"ask this of account {body.account}")
                known = write(governance)
        return {
            **_page(request, pool, governance, [known], strategies)["items"][0],
            "command_id": key,
        }

    return await run_in_threadpool(carried_out)


class _one_at_a_time:  # noqa: N801 - used like a function, in a with statement
    """Lets one request of a user and key in at a time."""

    def __init__(self, user: str, key: str) -> None:
        self._name = user, key

    def __enter__(self) -> None:
        with _KEYS:
            if len(_KEYS_IN_USE) > LIMIT_MAX:
                for name in [n for n, each in _KEYS_IN_USE.items() if not each.locked()]:
                    del _KEYS_IN_USE[name]
            self._lock = _KEYS_IN_USE.setdefault(self._name, threading.Lock())
            # Under the outer lock nobody drops it between finding and taking it.
            taken = self._lock.acquire(blocking=False)
        if not taken:
            self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()


# --- deciding -------------------------------------------------------------------------------------


class _Deciding:
    """Who decides on which change."""

    def __init__(
        self, request: Request, session: CurrentSession, pool: CurrentPool, change_id: IdPath
    ) -> None:
        self._request = request
        self._user = session.user
        self._pool = pool
        self._id = change_id

    async def to(self, action: str, reason: str = "") -> dict[str, Any]:
        """Take the change there, unless it was taken there already; returns it as it is then."""
        strategies = await _strategies(self._request, self._user, None)

        def carried_out() -> dict[str, Any]:
            governance = Governance(self._pool.store)
            change = _change(self._pool, self._id)
            made = decided(
                *(governance, change, action, self._user),
                lambda each: _MOVES[action](governance, each, reason),
            )
            found = _page(self._request, self._pool, governance, [made], strategies)
            shown_one: dict[str, Any] = found["items"][0]
            return shown_one

        return await run_in_threadpool(carried_out)


_MOVES: dict[str, Callable[[Governance, Any, str], Change]] = {
    "approve": Governance.approve,
    "reject": Governance.reject,
    "withdraw": lambda governance, change, _reason: governance.withdraw(change),
    "break_glass": Governance.break_glass,
}
Deciding = Annotated[_Deciding, Depends()]


@router.post("/governance/changes/{change_id}/approve")
async def approve(deciding: Deciding, body: NoteBody) -> dict[str, Any]:
    """Approve what another person has asked for; it is in force from its time on."""
    return await deciding.to("approve", body.reason)


@router.post("/governance/changes/{change_id}/reject")
async def reject(deciding: Deciding, body: ReasonBody) -> dict[str, Any]:
    """Refuse what another person has asked for."""
    return await deciding.to("reject", body.reason)


@router.post("/governance/changes/{change_id}/withdraw")
async def withdraw(deciding: Deciding) -> dict[str, Any]:
    """Take back what you have asked for, while it is not in force."""
    return await deciding.to("withdraw")


@router.post("/governance/changes/{change_id}/break_glass")
async def break_glass(deciding: Deciding, body: ReasonBody) -> dict[str, Any]:
    """Put a change in force at once, alone; another person reviews it later."""
    return await deciding.to("break_glass", body.reason)


@router.post("/governance/reviews/{review_id}")
def review(
    request: Request, pool: CurrentPool, review_id: IdPath, body: ReviewBody
) -> dict[str, Any]:
    """Say whether another person was right to break the glass."""
    found = pool.store.read(EmergencyReview, review_id)
    if found is None:
        raise Problem(404, "UNKNOWN_REVIEW", f"there is no review {review_id} that you may see")
    outcome = "JUSTIFIED" if body.justified else "NOT_JUSTIFIED"
    governance = Governance(pool.store)

    def move(each: Storable) -> EmergencyReview:
        assert isinstance(each, EmergencyReview)
        if each._store_state == "REVIEWED" and each.review_outcome != outcome:
            raise Problem(409, "STATE", f"you have said {each.review_outcome} of this already")
        return governance.review(each, justified=body.justified, note=body.reason)

    if found._store_state == "REVIEWED" and found.review_outcome != outcome:
        move(found)
    made = decided(governance, found, "review", pool.user, move)
    return _page(request, pool, governance, [made], [])["items"][0]  # type: ignore[no-any-return]


# --- inside ---------------------------------------------------------------------------------------


async def _strategies(request: Request, user: str, account: str | None) -> list[dict[str, Any]]:
    """The strategies of a user's accounts as the engine has them; none while it is away."""
    more = {} if account is None else {"account": account}
    try:
        answer = await parts_of(request).engine.ask("strategies", by=user, **more)
    except Problem:
        return []
    items: list[dict[str, Any]] = answer["items"]
    return items


def _people(
    request: Request, governance: Governance, account: str, user: str
) -> dict[str, list[str]]:
    people = governance.people(account)
    if not people:
        raise unknown_account(user, account, accounts_of(request, user))
    return people


def _change(pool: UserPool, change_id: str) -> Change:
    found = pool.store.read(LimitsChange, change_id) or pool.store.read(ParametersChange, change_id)
    if found is not None:
        return found
    raise Problem(404, "UNKNOWN_CHANGE", f"there is no change {change_id} that you may see")


def _newest_first(found: list[Any]) -> list[Any]:
    start = datetime.min.replace(tzinfo=timezone.utc)
    return sorted(
        found,
        key=lambda each: (each._store_tx_time or start, each._store_entity_id or ""),
        reverse=True,
    )


def _page(
    request: Request,
    pool: UserPool,
    governance: Governance,
    found: list[Any],
    strategies: list[dict[str, Any]],
) -> dict[str, Any]:
    """Entities as they are shown, with what holds and who may decide, looked up once an account."""
    settings = parts_of(request).settings
    known = {}
    for account in {each.account for each in found}:
        of_account = [each for each in strategies if each["account"] == account]
        holding = Holding.of(pool, account, settings.own_run(account), of_account)
        known[account] = governance.people(account), holding
    return {
        "items": [shown(each, pool.user, *known[each.account]) for each in found],
        "next_cursor": None,
    }
