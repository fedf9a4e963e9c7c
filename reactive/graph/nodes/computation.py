"""How one computed value of a node is made from the node's fields and its other computed values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from reactive.expr.operators import Expr
from reactive.expr.python.inline import Inline, inline
from reactive.expr.types import UNDECIDED, Type
from reactive.graph.failure import Failure


class Computation:
    """A named function of some of a node's names; nodes of one shape share it.

    `inputs` are the names that it reads. Its function is called with their values, or with the
    object itself where `reads_object`; without one the value is the input itself, or the inputs as
    a tuple. Hidden computations serve groups and observers of fields, and are removed with them.
    `gives_scalar` says that `!=` tells its values apart.
    """

    __slots__ = (
        "__weakref__",
        "expr",
        "function",
        "gives_scalar",
        "hidden",
        "inputs",
        "name",
        "reads_object",
        "text",
        "type",
        "typed",
    )

    def __init__(
        self,
        name: str,
        inputs: tuple[str, ...],
        function: Callable[..., Any] | None,
        text: str,
        *,
        reads_object: bool = False,
        hidden: bool = False,
        expr: Expr | None = None,
        typed: Expr | None = None,
    ) -> None:
        self.name = name
        self.inputs = inputs
        self.function = function
        self.text = text
        self.reads_object = reads_object
        self.hidden = hidden
        self.expr, self.typed = expr, typed
        self.type = None if typed is None or typed.type in UNDECIDED else typed.type
        self.gives_scalar = self.type not in (None, Type.JSON)

    @property
    def label(self) -> str:
        """Its name in messages."""
        return self.text if self.hidden else self.name

    def inline(self, prefix: str) -> Inline | None:
        """Return lines that compute the value, if it is a small expression."""
        return None if self.typed is None else inline(self.typed, self.inputs, prefix)

    def call(self, function: str, inputs: list[str]) -> str:
        """Return source of the value, from the function's name and the source of the inputs."""
        if self.function is None:
            return inputs[0] if len(inputs) == 1 else f"({', '.join(inputs)})"
        return f"{function}({'o' if self.reads_object else ', '.join(inputs)})"

    def evaluate(self, obj: Any, inputs: list[Any]) -> Any:
        """Return the value, or the failure."""
        for value in inputs:
            if value.__class__ is Failure:
                return value
        try:
            if self.function is None:
                return inputs[0] if len(inputs) == 1 else tuple(inputs)
            return self.function(obj) if self.reads_object else self.function(*inputs)
        except Exception as error:  # noqa: BLE001 - kept as the value, and raised when that is read
            return Failure(error)
