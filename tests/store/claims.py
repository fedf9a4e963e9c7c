"""A claim that is paid out by a workflow, which some may start by some of its transitions."""

from __future__ import annotations

from dataclasses import dataclass

from store import Storable
from store.state_machine import StateMachine, Transition


def pay_out(claim_id: str) -> str:
    """The workflow."""
    return f"paid out {claim_id}"


def write_off(claim_id: str) -> str:
    """Another one."""
    return f"written off {claim_id}"


class ClaimLifecycle(StateMachine):
    initial = "NEW"
    transitions = (
        Transition("NEW", "CHECKED"),
        Transition("CHECKED", "PAID", allowed_by=["carol"], start_workflow=pay_out),
        Transition("CHECKED", "LOST", start_workflow=write_off),
        Transition("CHECKED", "CLOSED"),
    )


@dataclass
class Claim(Storable):
    symbol: str = ""
    quantity: int = 0
    _state_machine = ClaimLifecycle


@dataclass
class Receipt(Storable):
    """Something else of the same owner, without any workflow."""

    symbol: str = ""
