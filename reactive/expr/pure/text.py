"""What Pure text is made of: literals, quotes, and pieces that know if they need parentheses."""

from __future__ import annotations

import re
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

from reactive.errors import ExpressionValueError

MAX_LENGTH = 100_000
"""Characters of Pure; null-safe text repeats what it tests, which can grow fast."""

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_ESCAPES = {
    "\\": "\\\\",
    "'": "\\'",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
    "\b": "\\b",
    "\f": "\\f",
}


class Pure(NamedTuple):
    """A piece of Pure.

    What is not `closed` needs parentheses next to an operator; what is `wrapped` has them.
    """

    text: str
    closed: bool = True
    wrapped: bool = False

    @property
    def operand(self) -> str:
        """The text next to an operator."""
        return self.text if self.closed else f"({self.text})"


def bounded(text: str) -> str:
    """Return the text, unless it has become too long to be of use."""
    if len(text) > MAX_LENGTH:
        raise ExpressionValueError(
            f"the Pure text is longer than {MAX_LENGTH} characters; "
            "compute parts of it on their own"
        )
    return text


def negated(condition: Pure) -> Pure:
    """Return what is true where the condition is not; `!a == b` would read as `!(a == b)`."""
    text = condition.text if condition.wrapped else f"({condition.text})"
    return Pure(f"!{text}", closed=False)


def quoted(text: str) -> str:
    """Return text as a literal that it cannot leave."""
    characters = (_ESCAPES.get(c) or (c if c.isprintable() else _unicode_escape(c)) for c in text)
    return f"'{''.join(characters)}'"


def _unicode_escape(character: str) -> str:
    """Escape as UTF-16, the code of Pure's strings."""
    units = character.encode("utf-16-be")
    return "".join(f"\\u{units[i]:02x}{units[i + 1]:02x}" for i in range(0, len(units), 2))


def literal(value: Any) -> Pure:
    """Write a constant."""
    if value is None:
        return Pure("[]")
    if isinstance(value, bool):
        return Pure("true" if value else "false")
    if isinstance(value, str):
        return Pure(quoted(value))
    if isinstance(value, datetime):
        fraction = f".{value.microsecond:06d}" if value.microsecond else ""
        return Pure(f"%{value:%Y-%m-%dT%H:%M:%S}{fraction}+0000")
    if isinstance(value, (int, float, Decimal)):
        text = _number(value)
        return Pure(text, closed=not text.startswith("-"))
    return Pure(f"%{value.isoformat()}")


def _number(value: float | Decimal) -> str:
    if isinstance(value, Decimal):
        return f"{value:f}D"
    text = repr(value)
    if isinstance(value, float) and "e" in text:
        # Without a point, 1e-05 would read as 1e - 05.
        mantissa, exponent = text.split("e")
        text = f"{mantissa if '.' in mantissa else mantissa + '.0'}e{int(exponent)}"
    return text


def property_name(name: str) -> str:
    """Return a field's name as that of a property."""
    return name if _IDENTIFIER.fullmatch(name) else quoted(name)
