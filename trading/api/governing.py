"""Governed changes as the API shows them: what they change, and who may decide on them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

import msgspec

from reactive.expr import Const, Expr, Field
from store.base import Storable
from trading.api.problems import Problem
from trading.api.reading import page_of
from trading.api.record_views import set_limits, view_of
from trading.api.sessions import UserPool
from trading.governance import ControlRequest, EmergencyReview, Governance
from trading.governance.entities import who_may
from trading.risk import Limits

__all__ = ["Holding", "decided", "deciders", "shown", "shown_all"]

People = Mapping[str, Sequence[str]]

_STATES = {
    "approve": "APPROVED",
    "reject": "REJECTED",
    "withdraw": "WITHDRAWN",
    "break_glass": "EMERGENCY",
    "review": "REVIEWED",
}
_ACTIONS = {state: action for action, state in _STATES.items()}
# Where an approved change, or one that was put in force alone, goes by itself.
_LATER = ("EFFECTIVE", "REFUSED", "SUPERSEDED")


@dataclass
class Holding:
    """What holds for an account now: its limits, and the parameters of its strategies."""

    limits: dict[str, Any] | None = None
    parameters: list[dict[str, Any]] = field(default_factory=list)

    @classmethod
    def of(
        cls, pool: UserPool, account: str, run: str | None, strategies: list[dict[str, Any]]
    ) -> Holding:
        """Return what the user may see of it; `strategies` are those that the engine tells."""
        wanted: Expr = Field("account") == Const(account)
        if run is not None:
            wanted = wanted & (Field("run") == Const(run))
        limits = page_of(pool, "limits", wanted, limit=50)["items"]
        # From the oldest to the newest, so that the newest one of a strategy stays.
        changed = {
            each["strategy"]: each
            for each in reversed(page_of(pool, "parameters", wanted, limit=500)["items"])
        }
        names = dict.fromkeys([*(each["strategy"] for each in strategies), *changed])
        told = {each["strategy"]: each for each in strategies}
        parameters = [_parameters(name, told.get(name), changed.get(name)) for name in names]
        return cls(limits[0] if limits else None, parameters)

    def limits_shown(self) -> dict[str, Any] | None:
        """Return the limits with who is behind them; None where the account has none."""
        if self.limits is None:
            return None
        return {
            "limits_id": self.limits["limits_id"],
            "values": set_limits(msgspec.json.decode(self.limits["limits_json"])),
            "requested_by": self.limits["requested_by"],
            "approved_by": self.limits["approved_by"],
            "since": self.limits["timestamp"],
        }

    def parameters_shown(self) -> list[dict[str, Any]]:
        """Return each strategy's parameters with who is behind them."""
        return self.parameters

    def differences(self, change: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return what a change makes different, by the name of each limit or parameter."""
        if change["kind"] == "limits":
            shown_limits = self.limits_shown()
            before = {} if shown_limits is None else shown_limits["values"]
        else:
            [before] = [
                each["values"] for each in self.parameters if each["strategy"] == change["strategy"]
            ] or [{}]
        after = change[change["kind"]] or {}
        return [
            {"name": name, "before": before.get(name), "after": after.get(name)}
            for name in dict.fromkeys([*before, *after])
            if before.get(name) != after.get(name)
        ]

    @staticmethod
    def names() -> list[dict[str, str]]:
        """Return the limits that there are, each with the kind of its value."""
        return [{"name": name, "kind": _kind(name)} for name in Limits.__struct_fields__]


_COUNTS = ("max_orders", "order_window", "max_cancels", "cancel_window", "duplicate_window")
_SHARES = (
    *("max_order_equity_share", "price_collar", "max_correlation", "max_portfolio_heat"),
    "halt_drawdown",
)


def _kind(name: str) -> str:
    if name in (*_COUNTS, "max_feed_silence"):
        return "count"
    if name in _SHARES:
        return "share"
    if name == "flatten_on_halt":
        return "flag"
    return "list" if name in ("symbols", "drawdown_steps", "clusters") else "amount"


def _parameters(
    name: str, told: Mapping[str, Any] | None, changed: Mapping[str, Any] | None
) -> dict[str, Any]:
    values: Any = {} if told is None else told["parameters"]
    digest = "" if told is None else told["parameters_hash"]
    if changed is not None:
        values = msgspec.json.decode(changed["parameters_json"])
        digest = changed["parameters_hash"]
    changed = changed or {}
    return {
        "strategy": name,
        "values": values,
        "parameters_hash": digest,
        "change_id": changed.get("change_id", ""),
        "requested_by": changed.get("requested_by", ""),
        "approved_by": changed.get("approved_by", ""),
        "since": changed.get("timestamp"),
    }


# --- showing --------------------------------------------------------------------------------------


def shown(entity: Storable, user: str, people: People, holding: Holding) -> dict[str, Any]:
    """Return an entity with what it changes and who may decide on it now."""
    found = view_of(entity)
    if isinstance(entity, ControlRequest):
        return found
    now = datetime.now(timezone.utc)
    may = {
        _ACTIONS[state]: names
        for state, names in who_may(entity, people, now).items()
        if state in _ACTIONS
    }
    if not isinstance(entity, EmergencyReview):
        found["changes"] = holding.differences(found)
    found["may"] = may
    found["mine"] = [action for action, names in may.items() if user in names]
    return found


def shown_all(
    found: Sequence[Storable], user: str, known: Mapping[str, tuple[People, Holding]]
) -> list[dict[str, Any]]:
    """Return entities of some accounts as they are shown."""
    return [shown(each, user, *known[getattr(each, "account", "")]) for each in found]


# --- deciding -------------------------------------------------------------------------------------


def decided(
    governance: Governance,
    entity: Storable,
    action: str,
    user: str,
    move: Callable[[Any], Storable],
) -> Storable:
    """Decide on an entity, unless the user has decided so already; Problem says who may."""
    if _was_decided(entity, action, user):
        return entity
    people = governance.people(getattr(entity, "account", ""))
    _refuse(entity, action, user, people)
    return move(entity)


def _was_decided(entity: Any, action: str, user: str) -> bool:
    """Whether this user has taken the entity to where the action leads."""
    state, wanted = entity._store_state, _STATES[action]
    if action == "review":
        return bool(state == wanted and entity.reviewed_by == user)
    if action == "withdraw":
        return bool(state == wanted and entity._store_owner == user)
    if entity.approved_by != user:
        return False
    if action == "reject":
        return bool(state == wanted)
    was_alone = bool(entity.review_id)
    return state in (wanted, *_LATER) and was_alone == (action == "break_glass")


def _refuse(entity: Storable, action: str, user: str, people: People) -> None:
    """Problem where the entity cannot be taken there now, or not by this user."""
    owner, state = entity._store_owner or "", entity._store_state or ""
    possible = who_may(entity, people, datetime.now(timezone.utc))
    wanted = _STATES[action]
    what = "review" if isinstance(entity, EmergencyReview) else "change"
    if wanted not in possible:
        others = [_ACTIONS[each] for each in possible if each in _ACTIONS]
        now = f"now there is {', '.join(others)}" if others else "nothing is left to decide"
        raise Problem(
            409,
            "STATE",
            f"to {action} this {what} is not possible: it is {state}, or its time is over; {now}",
            state=state,
            allowed=[],
        )
    allowed = possible[wanted]
    if user in allowed:
        return
    who = " or ".join(allowed) if allowed else "nobody"
    if owner == user and action in ("approve", "reject", "review"):
        raise Problem(
            403,
            "FOUR_EYES",
            f"{user} asked for this {what}, and another person must {action} it: {who} may",
            state=state,
            allowed=allowed,
        )
    raise Problem(
        403,
        "DUTY",
        f"{user} may not {action} this {what}; {who} may",
        state=state,
        allowed=allowed,
    )


def deciders(user: str, duty: str, people: People, what: str) -> Problem:
    """Return the problem of somebody without a duty, with who has it."""
    allowed = sorted(people.get(duty, ()))
    who = " or ".join(allowed) if allowed else "nobody"
    return Problem(
        403,
        "DUTY",
        f"{user} may not {what}: the duty {duty} is missing; {who} has it",
        duty=duty,
        allowed=allowed,
    )
