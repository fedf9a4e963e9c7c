"""State machines: which states an object may go through, when, by whom, and what follows.

class OrderLifecycle(StateMachine):
    initial = "PENDING"
    transitions = [
        Transition("PENDING", "FILLED", guard=Field("quantity") > 0),
        Transition("PENDING", "CANCELLED", allowed_by=["risk_manager"]),
    ]

Order._state_machine = OrderLifecycle
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from reactive.errors import ExpressionError
from reactive.expr import Expr
from store.errors import (
    GuardFailure,
    InvalidTransition,
    StateMachineError,
    TransitionNotPermitted,
)

__all__ = [
    "GuardFailure",
    "InvalidTransition",
    "StateMachine",
    "StateMachineError",
    "Transition",
    "TransitionNotPermitted",
]

Effect = Callable[[Any, str, str], object]


@dataclass(frozen=True, eq=False)
class Transition:
    """A way from one state to another.

    `guard` is an expression over the object's fields that must be true; null is not.
    `allowed_by` names the users who may take it, all if it is missing. `action`, `on_exit` and
    `on_enter` are called with the object and both states: the action within the transaction, the
    others after the commit. `start_workflow` is a function that the object's engine runs with the
    entity's id, or its "module:qualname".
    """

    from_state: str
    to_state: str
    guard: Expr | None = None
    action: Effect | None = None
    on_exit: Effect | None = None
    on_enter: Effect | None = None
    start_workflow: Callable[..., Any] | str | None = None
    allowed_by: Sequence[str] | None = None

    def __post_init__(self) -> None:
        for state in (self.from_state, self.to_state):
            if not isinstance(state, str) or not state:
                raise StateMachineError(f"{state!r} is no state; a text such as 'FILLED' is needed")
        what = f"the transition {self.from_state} → {self.to_state}"
        if self.guard is not None and not isinstance(self.guard, Expr):
            raise StateMachineError(
                f"the guard of {what} is a {type(self.guard).__name__}; an expression such as "
                "Field('quantity') > 0 is needed"
            )
        for name in ("action", "on_exit", "on_enter"):
            effect = getattr(self, name)
            if effect is not None and not callable(effect):
                raise StateMachineError(f"{name} of {what} is {effect!r:.80}, which is no function")
        start = self.start_workflow
        if start is not None and not callable(start) and not isinstance(start, str):
            raise StateMachineError(
                f"start_workflow of {what} is {start!r:.80}; a function or its 'module:qualname' "
                "is needed"
            )
        if self.allowed_by is not None:
            given = self.allowed_by
            if isinstance(given, str) or not all(isinstance(each, str) for each in given):
                raise StateMachineError(
                    f"allowed_by of {what} is {given!r:.80}; a list of user names is needed"
                )
            object.__setattr__(self, "allowed_by", tuple(given))

    def permits(self, user: str) -> bool:
        """Whether this user may take it."""
        return self.allowed_by is None or user in self.allowed_by

    def passes(self, context: Mapping[str, Any]) -> bool:
        """Whether the guard is true of these fields."""
        return self.guard is None or bool(self.guard.eval(context))

    def __str__(self) -> str:
        return f"{self.from_state} → {self.to_state}"


class StateMachine:
    """The states of a class or of an object; a subclass names `initial` and `transitions`.

    StateMachineError at its definition where two transitions lead the same way, or a state cannot
    be reached. The class itself is used, as `_state_machine`; it has no instances of interest.
    """

    initial: ClassVar[str]
    transitions: ClassVar[Sequence[Transition]] = ()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if not hasattr(cls, "initial"):
            if cls.transitions:
                raise StateMachineError(f"{cls.__name__} has no initial state; set initial = '…'")
            return  # A base for other machines.
        if not isinstance(cls.initial, str) or not cls.initial:
            raise StateMachineError(f"{cls.__name__}.initial is {cls.initial!r:.80}, no state")
        _check_transitions(cls)

    @classmethod
    def states(cls) -> list[str]:
        """All states, the initial one first, then in the order of the transitions."""
        found = {cls.initial: None}
        for each in cls.transitions:
            found |= {each.from_state: None, each.to_state: None}
        return list(found)

    @classmethod
    def get_transition(cls, from_state: str, to_state: str) -> Transition | None:
        """The transition from one state to another; None where there is none."""
        for each in cls.transitions:
            if (each.from_state, each.to_state) == (from_state, to_state):
                return each
        return None

    @classmethod
    def validate_transition(
        cls,
        from_state: str,
        to_state: str,
        context: Mapping[str, Any] | None = None,
        user: str | None = None,
    ) -> Transition:
        """The transition, if it exists, the user may take it, and its guard is true.

        InvalidTransition, TransitionNotPermitted or GuardFailure if not. Without `user` nobody is
        asked for, without `context` (the fields by name) the guard is not.
        """
        found = cls.get_transition(from_state, to_state)
        if found is None:
            raise InvalidTransition(
                from_state, to_state, tuple(cls.allowed_transitions(from_state))
            )
        if user is not None and not found.permits(user):
            raise TransitionNotPermitted(from_state, to_state, user, tuple(found.allowed_by or ()))
        if context is not None:
            try:
                passed = found.passes(context)
            except ExpressionError as error:
                raise GuardFailure(from_state, to_state, repr(found.guard), str(error)) from error
            if not passed:
                raise GuardFailure(from_state, to_state, repr(found.guard))
        return found

    @classmethod
    def allowed_transitions(
        cls,
        from_state: str,
        context: Mapping[str, Any] | None = None,
        user: str | None = None,
    ) -> list[str]:
        """The states that can be reached in one step, by this user and with these fields if given.

        A guard that cannot be asked about the fields counts as not true.
        """
        found = []
        for each in cls.transitions:
            if each.from_state != from_state or (user is not None and not each.permits(user)):
                continue
            try:
                if context is None or each.passes(context):
                    found.append(each.to_state)
            except ExpressionError:
                continue
        return found

    @classmethod
    def check_fields(cls, name: str, types: Mapping[str, Any]) -> None:
        """StateMachineError if a guard does not fit the fields of the class `name`.

        `types` holds their Python types; Any for one that is not known yet.
        """
        for each in cls.transitions:
            if each.guard is None:
                continue
            unknown = sorted(set(each.guard.fields()) - set(types))
            if unknown:
                raise StateMachineError(
                    f"the guard of {each} of {cls.__name__} asks for {', '.join(unknown)}, which "
                    f"{name} does not have; it has {', '.join(types)}"
                )
            try:
                each.guard.typed({name: kind for name, kind in types.items() if kind is not Any})
            except ExpressionError as error:
                raise StateMachineError(
                    f"the guard {each.guard!r} of {each} of {cls.__name__} does not fit the types "
                    f"of {name}: {error}"
                ) from error

    @classmethod
    def mermaid(cls) -> str:
        """The machine as the text of a Mermaid state diagram."""
        return state_diagram(cls.initial, cls.transitions)


def _check_transitions(cls: type[StateMachine]) -> None:
    seen: set[tuple[str, str]] = set()
    for each in cls.transitions:
        if not isinstance(each, Transition):
            raise StateMachineError(
                f"{cls.__name__}.transitions: expected a Transition, got {each!r:.80}"
            )
        if (each.from_state, each.to_state) in seen:
            raise StateMachineError(f"{cls.__name__} has two transitions {each}; join them")
        seen.add((each.from_state, each.to_state))
    reached = {cls.initial}
    while new := {end for start, end in seen if start in reached} - reached:
        reached |= new
    lost = [state for state in cls.states() if state not in reached]
    if lost:
        raise StateMachineError(
            f"{cls.__name__} never reaches {', '.join(lost)} from {cls.initial!r}; add a "
            "transition that leads there, or correct the spelling"
        )


# --- the picture ------------------------------------------------------------------------------

_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
# Words of the language itself, which cannot name a state.
_TAKEN = {"state", "end", "note", "direction", "default", "class", "style", "click", "as"}


def state_diagram(initial: str, transitions: Sequence[Transition]) -> str:
    """A `stateDiagram-v2`: guards in brackets, who may, and what is done.

    Ends are the states that nothing leaves.
    """
    states = {initial: None}
    for each in transitions:
        states |= {each.from_state: None, each.to_state: None}
    names = {state: _name(state, number) for number, state in enumerate(states)}
    lines = ["stateDiagram-v2"]
    lines += [
        f'    state "{_escaped(state)}" as {name}' for state, name in names.items() if state != name
    ]
    lines.append(f"    [*] --> {names[initial]}")
    for each in transitions:
        label = _label(each)
        way = f"    {names[each.from_state]} --> {names[each.to_state]}"
        lines.append(f"{way}: {label}" if label else way)
    left = {each.from_state for each in transitions}
    lines += [f"    {name} --> [*]" for state, name in names.items() if state not in left]
    return "\n".join(lines) + "\n"


def _name(state: str, number: int) -> str:
    plain = _PLAIN.fullmatch(state) and state.lower() not in _TAKEN
    return state if plain else f"s{number}_"


def _label(transition: Transition) -> str:
    parts = []
    if transition.guard is not None:
        parts.append(f"[{transition.guard!r}]")
    if transition.allowed_by is not None:
        parts.append(f"by {' or '.join(transition.allowed_by) or 'nobody'}")
    if transition.action is not None:
        parts.append(f"/ {_called(transition.action)}")
    if transition.start_workflow is not None:
        parts.append(f"starts {_called(transition.start_workflow)}")
    return _escaped(" ".join(parts))


def _called(what: object) -> str:
    name = what.rpartition(":")[2] if isinstance(what, str) else getattr(what, "__name__", "")
    return "action" if name in ("", "<lambda>") else name


def _escaped(text: str) -> str:
    """Signs that Mermaid would read as its own, and line ends, as numbers."""
    return re.sub(r'[#;:"<>{}\n\r]', lambda match: f"#{ord(match[0])};", text)
