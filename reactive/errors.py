"""What can go wrong in `reactive`: one root, and a class for each thing to catch."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


def shown(value: object) -> str:
    """Return a value as messages show it, at most sixty characters."""
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001 - an int of too many digits, too deep, or somebody's own repr
        return f"this {type(value).__name__}"
    return text if len(text) <= 60 else f"{text[:57]}..."


def _rebuild(cls: type[ReactiveError], args: tuple[Any, ...], state: dict[str, Any]) -> Exception:
    error = cls.__new__(cls, *args)
    error.__dict__.update(state)
    return error


class ReactiveError(Exception):
    """Root of every error of this package; all of them survive pickle."""

    def __reduce__(self) -> tuple[Any, ...]:
        # The default calls cls(*args), which fails for constructors that take fields.
        return _rebuild, (type(self), self.args, self.__dict__)


class ExpressionError(ReactiveError):
    """Root of what can go wrong with an expression."""


class ExpressionValueError(ExpressionError, ValueError):
    """What no expression can be made of: an unknown function, NaN, a name that is no column."""

    @classmethod
    def unknown(cls, what: str, given: object, allowed: Iterable[str]) -> ExpressionValueError:
        """Return the error for a name that is none of those allowed."""
        return cls(f"unknown {what} {shown(given)}; there are: {' '.join(allowed)}")


class ExpressionTypeError(ExpressionError, TypeError):
    """A part of an expression has a type that its operation does not take.

    `node` is the operation, `path` leads to the part from where the error was raised.
    """

    def __init__(self, node: str, path: str, expected: str, given: str, hint: str = "") -> None:
        self.node = node
        self.path = path
        self.expected = expected
        self.given = given
        self.hint = hint
        at = f" at {path}" if path else ""
        super().__init__(
            f"{node}{at}: expected {expected}, given {given}" + (f"; {hint}" if hint else "")
        )

    def under(self, parent: str) -> ExpressionTypeError:
        """Return the same error seen from one level up."""
        path = f"{parent}.{self.path}" if self.path else parent
        return ExpressionTypeError(self.node, path, self.expected, self.given, self.hint)


class ExpressionFormatError(ExpressionError, ValueError):
    """JSON that is no expression; `path` leads to what is wrong, as in `$.left.args[1]`."""

    def __init__(self, path: str, problem: str) -> None:
        self.path = path
        self.problem = problem
        super().__init__(f"{path}: {problem}")


class ExpressionRangeError(ExpressionError, ArithmeticError):
    """A result beyond what a double can hold; PostgreSQL raises 22003 for the same."""


class FieldTypeError(ExpressionError, TypeError):
    """The data holds a value of another type than the expression reads there."""

    def __init__(self, field: str, expected: str, value: object) -> None:
        self.field = field
        self.expected = expected
        self.seen = f"{type(value).__name__} {shown(value)}"
        super().__init__(
            f"field {field!r}: expected {expected}, seen {self.seen}; "
            "correct the data, or declare the type that it has: Field(name, type)"
        )
