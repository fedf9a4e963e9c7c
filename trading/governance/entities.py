"""Governed entities: changes of limits and parameters, requests to an engine, and reviews.

Their state machines are declared here and kept twice: by the client, and by triggers in the
database (`trading.governance.schema`), which know who writes and what that person may do.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from reactive import Field
from store.base import Storable
from store.state_machine import StateMachine, Transition

__all__ = [
    "ACTIONS",
    "APPROVE",
    "BREAK_GLASS_DUTY",
    "DUTIES",
    "ENGINE",
    "OPERATE",
    "PROPOSE",
    "READ",
    "RESUME",
    "ControlRequest",
    "Edge",
    "EmergencyReview",
    "LimitsChange",
    "ParametersChange",
    "edges",
    "machine_for",
    "who_may",
]

PROPOSE = "PROPOSE"
APPROVE = "APPROVE"
BREAK_GLASS_DUTY = "BREAK_GLASS"
OPERATE = "OPERATE"
RESUME = "RESUME"
ENGINE = "ENGINE"
READ = "READ"
DUTIES = (PROPOSE, APPROVE, BREAK_GLASS_DUTY, OPERATE, RESUME, ENGINE, READ)
"""What a person may do on an account: ask for changes, approve or review those of others, put one
in force alone, halt and flatten, lift a halt, be its engine, or see all of that."""

ACTIONS = ("HALT", "REDUCE", "FLATTEN", "RESUME")
"""What an engine can be asked to do."""


@dataclass(frozen=True)
class Edge:
    """One way of an entity from state to state; its first event comes from the state ''.

    `duty` is what who takes it must have on the account, empty for any duty. `who` is CREATOR for
    who wrote the entity, OTHER for anybody else, empty for both. `signs` is the field that names
    who took it. It can be taken only before the time in `before`, or from that in `after` on.
    """

    from_state: str
    to_state: str
    duty: str = ""
    who: str = ""
    signs: str = ""
    needs_reason: bool = False
    needs_review: bool = False
    before: str = ""
    after: str = ""
    action: str = ""


_CHANGE = (
    Edge("", "PROPOSED", PROPOSE, signs="requested_by", before="approve_by"),
    Edge("PROPOSED", "APPROVED", APPROVE, "OTHER", "approved_by", before="approve_by"),
    Edge("PROPOSED", "REJECTED", APPROVE, "OTHER", "approved_by", needs_reason=True),
    Edge("PROPOSED", "WITHDRAWN", who="CREATOR"),
    Edge("PROPOSED", "LAPSED", after="approve_by"),
    Edge(
        *("PROPOSED", "EMERGENCY", BREAK_GLASS_DUTY, "", "approved_by"),
        needs_reason=True,
        needs_review=True,
    ),
    Edge("APPROVED", "WITHDRAWN", who="CREATOR", before="effective_from"),
    Edge("APPROVED", "EFFECTIVE", ENGINE, after="effective_from"),
    Edge("APPROVED", "REFUSED", ENGINE, after="effective_from"),
    Edge("EMERGENCY", "EFFECTIVE", ENGINE),
    Edge("EMERGENCY", "REFUSED", ENGINE),
    Edge("EFFECTIVE", "SUPERSEDED", ENGINE),
)
_REQUEST = (
    *(
        Edge("", "REQUESTED", OPERATE, signs="requested_by", action=action)
        for action in ACTIONS[:3]
    ),
    Edge("", "REQUESTED", RESUME, signs="requested_by", action="RESUME"),
    Edge("REQUESTED", "DONE", ENGINE),
    Edge("REQUESTED", "REFUSED", ENGINE),
)
_REVIEW = (
    Edge("", "OPEN", BREAK_GLASS_DUTY, signs="requested_by"),
    Edge("OPEN", "REVIEWED", APPROVE, "OTHER", "reviewed_by", needs_reason=True),
)


def _transitions(
    edges_of: Sequence[Edge], people: Mapping[str, Iterable[str]] | None = None, creator: str = ""
) -> list[Transition]:
    """The edges for the client; with the people of each duty, who may take them."""
    found = []
    for edge in edges_of:
        if not edge.from_state:
            continue
        allowed = None if people is None else sorted(_having(edge, people, creator))
        guard = Field("decision_reason") != "" if edge.needs_reason else None
        found.append(Transition(edge.from_state, edge.to_state, guard=guard, allowed_by=allowed))
    return found


class _ChangeMachine(StateMachine):
    initial = "PROPOSED"
    transitions = _transitions(_CHANGE)


class _RequestMachine(StateMachine):
    initial = "REQUESTED"
    transitions = _transitions(_REQUEST)


class _ReviewMachine(StateMachine):
    initial = "OPEN"
    transitions = _transitions(_REVIEW)


@dataclass
class LimitsChange(Storable):
    """Other limits for an account, as JSON of `trading.risk.Limits`.

    In force from `effective_from` on, or from its approval where that is later. An approval after
    `approve_by` is refused. `command_id` is the key under which it was asked for, if there was one.
    """

    account: str = ""
    limits_json: str = ""
    change_reason: str = ""
    effective_from: datetime | None = None
    approve_by: datetime | None = None
    requested_by: str = ""
    approved_by: str = ""
    decision_reason: str = ""
    review_id: str = ""
    outcome_code: str = ""
    outcome_text: str = ""
    command_id: str = ""

    _state_machine = _ChangeMachine


@dataclass
class ParametersChange(Storable):
    """Other parameters for a strategy of an account, all of them as JSON."""

    account: str = ""
    strategy: str = ""
    parameters_json: str = ""
    change_reason: str = ""
    effective_from: datetime | None = None
    approve_by: datetime | None = None
    requested_by: str = ""
    approved_by: str = ""
    decision_reason: str = ""
    review_id: str = ""
    outcome_code: str = ""
    outcome_text: str = ""
    command_id: str = ""

    _state_machine = _ChangeMachine


@dataclass
class ControlRequest(Storable):
    """Something that the engine of an account's run is to do: one of `ACTIONS`.

    FLATTEN may be of one strategy or symbol; empty means all of them.
    """

    account: str = ""
    run: str = ""
    control_action: str = ""
    strategy: str = ""
    symbol: str = ""
    change_reason: str = ""
    requested_by: str = ""
    outcome_code: str = ""
    outcome_text: str = ""
    command_id: str = ""

    _state_machine = _RequestMachine


@dataclass
class EmergencyReview(Storable):
    """What another person has to look at, since one alone has put a change in force.

    `review_outcome` is JUSTIFIED or NOT_JUSTIFIED once it is REVIEWED.
    """

    account: str = ""
    change_id: str = ""
    change_reason: str = ""
    requested_by: str = ""
    reviewed_by: str = ""
    review_outcome: str = ""
    decision_reason: str = ""

    _state_machine = _ReviewMachine


_EDGES: dict[type[Storable], tuple[Edge, ...]] = {
    LimitsChange: _CHANGE,
    ParametersChange: _CHANGE,
    ControlRequest: _REQUEST,
    EmergencyReview: _REVIEW,
}


def edges() -> list[tuple[str, Edge]]:
    """Return the edges of every governed class, each with the name of its type."""
    return [(cls.type_name(), edge) for cls, some in _EDGES.items() for edge in some]


def who_may(
    entity: Storable, people: Mapping[str, Iterable[str]], now: datetime
) -> dict[str, list[str]]:
    """Return the states that an entity can be taken to now, each with the people who may do so.

    `people` are those with each duty on its account. The database decides in the end, by its clock.
    """
    found = {}
    for edge in _EDGES[type(entity)]:
        if not edge.from_state or edge.from_state != entity._store_state:
            continue
        if edge.before and not _is_before(now, getattr(entity, edge.before)):
            continue
        if edge.after and _is_before(now, getattr(entity, edge.after)):
            continue
        found[edge.to_state] = sorted(_having(edge, people, entity._store_owner or ""))
    return found


def _is_before(now: datetime, time: datetime | None) -> bool:
    """Whether a time is still to come; one that is missing is long past."""
    return time is not None and now < time


def _having(edge: Edge, people: Mapping[str, Iterable[str]], creator: str) -> set[str]:
    """Who may take an edge."""
    if edge.duty:
        having = set(people.get(edge.duty, ()))
    else:
        having = {person for each in people.values() for person in each}
    if edge.who == "CREATOR":
        return having & {creator}
    return having - {creator} if edge.who == "OTHER" else having


def machine_for(
    entity: Storable, people: Mapping[str, Iterable[str]], creator: str
) -> type[StateMachine]:
    """Return the state machine of an entity with who may take each transition.

    `people` are those with each duty on its account, `creator` is who wrote it.
    """
    machine = type(entity)._state_machine
    members = {
        "initial": machine.initial,
        "transitions": _transitions(_EDGES[type(entity)], people, creator),
    }
    made: type[StateMachine] = type(machine.__name__, (StateMachine,), members)
    return made
