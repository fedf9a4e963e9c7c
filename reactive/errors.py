"""The errors of `reactive`: one root, and a class for each kind that a caller may handle."""

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
    """Root of all errors of expressions."""


class ExpressionValueError(ExpressionError, ValueError):
    """An expression cannot be built from this: an unknown function, NaN, an invalid name."""

    @classmethod
    def unknown(cls, what: str, given: object, allowed: Iterable[str]) -> ExpressionValueError:
        """Return the error for a name that is not one of those allowed."""
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
    """JSON that is not an expression; `path` leads to what is wrong, as in `$.left.args[1]`."""

    def __init__(self, path: str, problem: str) -> None:
        self.path = path
        self.problem = problem
        super().__init__(f"{path}: {problem}")


class ExpressionRangeError(ExpressionError, ArithmeticError):
    """A result outside the range of a double; PostgreSQL raises SQLSTATE 22003 for the same."""


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


# --- the reactive graph ---------------------------------------------------------------------------


class GraphError(ReactiveError):
    """Root of all errors of a reactive graph."""


class UnknownNameError(GraphError, KeyError):
    """There is no node, field, computed value, group or member of this name.

    `kind` is what was looked for, `name` what was given, `where` in what, `known` what there is.
    """

    def __init__(
        self, kind: str, name: object, where: str = "", known: Iterable[object] = ()
    ) -> None:
        self.kind = kind
        self.name = name
        self.where = where
        self.known = sorted(map(str, known))
        shown = ", ".join(self.known[:10]) + (", …" if len(self.known) > 10 else "")
        super().__init__(
            f"no {kind} {name!r}{f' in {where}' if where else ''}"
            f"; there {'are: ' + shown if self.known else 'is none yet'}"
        )

    def __str__(self) -> str:
        # KeyError shows the repr of its argument.
        return str(self.args[0])


class DuplicateNameError(GraphError, KeyError):
    """A second group of one name, or a second tracking of one object."""

    def __str__(self) -> str:
        return str(self.args[0])


class TrackingError(GraphError, TypeError):
    """The object cannot be tracked: it is not an instance of a dataclass."""


class MembershipError(GraphError, ValueError):
    """Members cannot be added to this value or removed from it."""


class AggregateError(GraphError, ValueError):
    """There is no aggregate of this name."""

    def __init__(self, name: str, known: list[str]) -> None:
        self.name = name
        super().__init__(
            f"no aggregate {name!r}; there are {', '.join(known)}, weighted_mean(weight), "
            "and any function"
        )


class ComputeError(GraphError):
    """A value could not be computed; the error that stopped it is its `__cause__`."""

    def __init__(self, name: str, reason: str) -> None:
        self.name = name
        super().__init__(f"{name} has no value: {reason}")


class CycleError(GraphError):
    """Values, or effects and their updates, depend on themselves; `path` names them in order."""

    def __init__(self, path: list[str], problem: str) -> None:
        self.path = path
        super().__init__(f"{problem}: {' → '.join(path)}")


class SideEffectError(GraphError, RuntimeError):
    """A function that computes a value updated the graph, or read what it is not rerun for."""


class NotAnExpressionError(GraphError, TypeError):
    """A method cannot be read as an expression; it runs as plain Python."""


class SlowReaderError(GraphError):
    """A reader of `watch` was so far behind that values were dropped; `lost` is how many."""

    def __init__(self, name: str, lost: int, limit: int) -> None:
        self.name = name
        self.lost = lost
        self.limit = limit
        super().__init__(
            f"the reader of {name} was {limit} values behind and lost {lost}; read faster, "
            "watch with a higher limit, or with conflate=True for the newest value only"
        )


class PersistError(GraphError):
    """A change could not be written to the store, not even on the newest version."""
