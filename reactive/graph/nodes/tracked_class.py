"""What the graph knows of a dataclass, and the computations that its objects share."""

from __future__ import annotations

import dataclasses
import inspect
import types
import typing
from collections.abc import Callable
from typing import Any
from weakref import WeakValueDictionary

from reactive.errors import ExpressionError
from reactive.expr.operators import Expr
from reactive.expr.python.compiler import compile_positional
from reactive.graph.nodes.assignments import PLAIN_WRITE, writer_of
from reactive.graph.nodes.computation import Computation


class TrackedClass:
    """What the graph knows of a dataclass: its fields, their types, and how they are written."""

    def __init__(self, cls: type) -> None:
        self.cls = cls
        # A dict for its order and its fast look-up.
        self.fields = dict.fromkeys(f.name for f in dataclasses.fields(cls))
        self.alone = {name: frozenset((name,)) for name in self.fields}
        self.types = declared_types(cls)
        self._hidden: dict[str, Computation] = {}
        self._shared: WeakValueDictionary[Any, Computation] = WeakValueDictionary()
        self.write = writer_of(cls)
        self.plain = getattr(cls, "__setattr__") is PLAIN_WRITE  # noqa: B009 - as a plain function
        """Assignment in the usual form does the same as `write`."""
        self.accepts_all_values = self.write is PLAIN_WRITE and not any(
            _is_property(cls, name) for name in self.fields
        )

    def copy_of(self, field: str) -> Computation:
        """Return the hidden computation that repeats a field, so that it can be observed."""
        return self._kept(f":{field}", (field,))

    def pair_of(self, value: str, weight: str) -> Computation:
        """Return the hidden computation of two names side by side."""
        return self._kept(f":{value}, {weight}", (value, weight))

    def _kept(self, name: str, inputs: tuple[str, ...]) -> Computation:
        if name not in self._hidden:
            self._hidden[name] = Computation(name, inputs, None, name[1:], hidden=True)
        return self._hidden[name]

    def expression(
        self, name: str, expr: Expr, declared: dict[str, Any], *, hidden: bool
    ) -> Computation:
        """Return the computation of an expression, the same one where it means the same.

        `declared` are the types of what it reads, as far as they are known.
        """
        inputs = tuple(sorted(expr.fields()))
        key = name, expr.key, hidden, tuple(map(str, declared.items()))
        known = self._shared.get(key)
        if known is None:
            typed = expr.typed(declared)
            known = Computation(
                name,
                inputs,
                compile_positional(typed, inputs),
                repr(expr),
                hidden=hidden,
                expr=expr,
                typed=typed,
            )
            self._shared[key] = known
        return known

    def weighted(self, name: str, worth: Computation, weight: str) -> Computation:
        """Return the hidden computation of an expression's value side by side with a weight."""
        compute = worth.function
        assert compute is not None, "an expression has a function"
        key = name, worth, weight
        known = self._shared.get(key)
        if known is None:
            known = self._shared[key] = Computation(
                name,
                (*worth.inputs, weight),
                lambda *values: (compute(*values[:-1]), values[-1]),
                f"{worth.text}, {weight}",
                hidden=True,
            )
        return known

    def mismatched(self, name: str, expr: Expr, error: ExpressionError) -> Computation:
        """Return the hidden computation of an expression that does not fit the types it reads."""
        key = name, expr.key, str(error)
        known = self._shared.get(key)
        if known is None:

            def fail(*_: Any) -> Any:
                raise error.with_traceback(None)

            inputs = tuple(sorted(expr.fields()))
            known = Computation(name, inputs, fail, repr(expr), hidden=True, expr=expr)
            self._shared[key] = known
        return known

    def function(
        self,
        name: str,
        function: Callable[[Any], Any],
        inputs: tuple[str, ...],
        guard: Callable[..., Callable[[Any], Any]],
    ) -> Computation:
        """Return the computation of a function, which `guard` lets read its inputs alone."""
        key = name, function, inputs
        known = self._shared.get(key)
        if known is None:
            text = f"function {getattr(function, '__qualname__', repr(function))}"
            run = guard(function, f"{self.cls.__name__}.{name}", inputs)
            known = self._shared[key] = Computation(name, inputs, run, text, reads_object=True)
        return known


def declared_types(cls: type) -> dict[str, Any]:
    """Return the annotations of a dataclass by field, as far as they can be resolved."""
    try:
        return typing.get_type_hints(cls)
    except Exception:  # noqa: BLE001 - what does not resolve is undeclared
        return {f.name: f.type for f in dataclasses.fields(cls)}


def _is_property(cls: type, name: str) -> bool:
    attribute = inspect.getattr_static(cls, name, None)
    return hasattr(attribute, "__set__") and not isinstance(attribute, types.MemberDescriptorType)
