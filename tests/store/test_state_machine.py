"""Machines by themselves: what may be declared, and what they answer."""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from typing import Any

import pytest

from reactive import Field
from store import Order, Storable
from store.errors import StoreError
from store.state_machine import (
    GuardFailure,
    InvalidTransition,
    StateMachine,
    StateMachineError,
    Transition,
    TransitionNotPermitted,
)


def settle(entity_id: str) -> None:
    """A workflow."""


class OrderLifecycle(StateMachine):
    initial = "PENDING"
    transitions = (
        Transition("PENDING", "FILLED", guard=Field("quantity") > 0, start_workflow=settle),
        Transition("PENDING", "CANCELLED", allowed_by=["risk_manager", "alice"]),
        Transition("FILLED", "SETTLED", guard=Field("price") > 0),
    )


def test_what_may_follow() -> None:
    machine = OrderLifecycle
    assert machine.states() == ["PENDING", "FILLED", "CANCELLED", "SETTLED"]
    assert machine.get_transition("PENDING", "FILLED") is machine.transitions[0]
    assert machine.get_transition("FILLED", "PENDING") is None
    assert machine.allowed_transitions("PENDING") == ["FILLED", "CANCELLED"]
    assert machine.allowed_transitions("PENDING", {"quantity": 0}, "alice") == ["CANCELLED"]
    assert machine.allowed_transitions("PENDING", {"quantity": 1}, "bob") == ["FILLED"]
    # A guard that cannot be asked is not true.
    assert machine.allowed_transitions("PENDING", {"quantity": "many"}, "bob") == []
    assert machine.allowed_transitions("SETTLED") == machine.allowed_transitions("NOWHERE") == []


def test_validation_says_what_is_wrong() -> None:
    machine = OrderLifecycle
    assert machine.validate_transition("PENDING", "FILLED") is machine.transitions[0]
    assert machine.validate_transition("PENDING", "FILLED", {"quantity": 1}, "bob")
    with pytest.raises(InvalidTransition, match="can follow: FILLED, CANCELLED") as invalid:
        machine.validate_transition("PENDING", "SETTLED", {}, "bob")
    assert invalid.value.allowed == ("FILLED", "CANCELLED")
    with pytest.raises(InvalidTransition, match="it is an end"):
        machine.validate_transition("SETTLED", "PENDING")
    with pytest.raises(TransitionNotPermitted, match=r"bob may not .*risk_manager, alice"):
        machine.validate_transition("PENDING", "CANCELLED", {}, "bob")
    assert machine.validate_transition("PENDING", "CANCELLED", {}, "risk_manager")
    with pytest.raises(GuardFailure, match="quantity > 0 is not true"):
        machine.validate_transition("PENDING", "FILLED", {"quantity": 0}, "bob")
    with pytest.raises(GuardFailure, match="cannot be evaluated"):
        machine.validate_transition("PENDING", "FILLED", {"quantity": "many"}, "bob")


@pytest.mark.parametrize("context", [{}, {"quantity": None}])
def test_a_guard_that_is_null_does_not_pass(context: dict[str, Any]) -> None:
    with pytest.raises(GuardFailure):
        OrderLifecycle.validate_transition("PENDING", "FILLED", context)


@pytest.mark.parametrize(
    "error",
    [
        InvalidTransition("A", "B", ("C",)),
        GuardFailure("A", "B", "x > 0", "why"),
        TransitionNotPermitted("A", "B", "bob", ("alice",)),
    ],
)
def test_errors_survive_pickle(error: StoreError) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert str(again) == str(error)
    assert vars(again) == vars(error)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("", "B"), "is no state"),
        (("A", None), "is no state"),
        (("A", "B", True), "guard of the transition A → B is a bool"),
        (("A", "B", None, "run"), "action of the transition A → B is 'run'"),
        (("A", "B", None, None, None, None, 7), "start_workflow"),
        (("A", "B", None, None, None, None, None, "alice"), "list of user names"),
        (("A", "B", None, None, None, None, None, [1]), "list of user names"),
    ],
)
def test_transitions_that_cannot_be(arguments: tuple[Any, ...], said: str) -> None:
    with pytest.raises(StateMachineError, match=said):
        Transition(*arguments)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"transitions": [Transition("A", "B")]}, "no initial state"),
        ({"initial": ""}, "no state"),
        ({"initial": "A", "transitions": ["A to B"]}, "expected a Transition"),
        ({"initial": "A", "transitions": [Transition("A", "B")] * 2}, "two transitions A → B"),
        ({"initial": "A", "transitions": [Transition("B", "C")]}, "never reaches B, C from 'A'"),
    ],
)
def test_machines_that_cannot_be(body: dict[str, Any], said: str) -> None:
    with pytest.raises(StateMachineError, match=said):
        type("Wrong", (StateMachine,), body)


def test_a_class_and_its_machine_must_fit() -> None:
    class ByStrike(StateMachine):
        initial = "A"
        transitions = (Transition("A", "B", guard=Field("strike") > 0),)

    with pytest.raises(StateMachineError, match="asks for strike, which Position does not have"):

        @dataclass
        class Position(Storable):
            symbol: str = ""
            _state_machine = ByStrike

    with pytest.raises(StateMachineError, match="does not fit the types"):
        type(
            "ByName",
            (StateMachine,),
            {"initial": "A", "transitions": [Transition("A", "B", guard=Field("symbol") > 0)]},
        ).check_fields("Order", Order._registry.types_for(Order))  # type: ignore[attr-defined]


def test_a_base_for_machines_needs_no_states() -> None:
    class Base(StateMachine):
        """Shared by the desk."""

    class Narrow(Base):
        initial = "A"

    assert Narrow.states() == ["A"]
    assert Narrow.allowed_transitions("A") == []


def test_a_picture_of_a_machine() -> None:
    assert OrderLifecycle.mermaid() == (
        "stateDiagram-v2\n"
        "    [*] --> PENDING\n"
        "    PENDING --> FILLED: [quantity #62; 0] starts settle\n"
        "    PENDING --> CANCELLED: by risk_manager or alice\n"
        "    FILLED --> SETTLED: [price #62; 0]\n"
        "    CANCELLED --> [*]\n"
        "    SETTLED --> [*]\n"
    )

    class Odd(StateMachine):
        initial = "in work"
        transitions = (Transition("in work", "end", action=lambda *_: None, allowed_by=[]),)

    assert Odd.mermaid() == (
        "stateDiagram-v2\n"
        '    state "in work" as s0_\n'
        '    state "end" as s1_\n'
        "    [*] --> s0_\n"
        "    s0_ --> s1_: by nobody / action\n"
        "    s1_ --> [*]\n"
    )
