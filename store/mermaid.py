"""State machines as pictures: the text that Mermaid draws."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from store.state_machine import Transition

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
