"""Computed values and effects as methods of a class, for objects whose assignments are updates.

    @dataclass
    class Position:
        quantity: int
        avg_cost: float
        current_price: float

        @computed
        def pnl(self):
            return (self.current_price - self.avg_cost) * self.quantity

        @effect("pnl")
        def on_pnl(self, value):
            print("P&L is", value)

Once `graph.track(position)` was called, `position.current_price = 235.0` is an update of the graph.
An object that is not tracked computes `position.pnl` when it is read, and its effects do not run.
"""

from __future__ import annotations

import dataclasses
import graphlib
import inspect
import weakref
from collections.abc import Callable
from typing import Any, Generic, TypeVar, overload

from reactive.errors import CycleError, ExpressionError, NotAnExpressionError
from reactive.expr.nodes import Field
from reactive.expr.operators import Expr
from reactive.expr.types import UNDECIDED
from reactive.graph.methods.reader import read_method
from reactive.graph.methods.source import names_read
from reactive.graph.nodes.assignments import node_of
from reactive.graph.nodes.tracked_class import declared_types

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])
_EFFECTS = "_reactive_effects"


def computed(function: Callable[[Any], T]) -> ComputedMethod[T]:
    """Make a method a computed value of its object, read like an attribute."""
    return ComputedMethod(function)


def effect(name: str) -> Callable[[F], F]:
    """Make a method run with the new value each time that a field or computed value has changed.

    It also runs once when its object is tracked. A method may carry several.
    """

    def mark(function: F) -> F:
        setattr(function, _EFFECTS, (*getattr(function, _EFFECTS, ()), name))
        return function

    return mark


class ComputedMethod(Generic[T]):
    """A computed value as an attribute: of an object the value, of the class with its `expr`."""

    def __init__(self, function: Callable[[Any], T], owner: type | None = None) -> None:
        self.function = function
        self.name = function.__name__
        self.__doc__ = function.__doc__
        self._owner = owner

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name
        self._owner = owner

    @overload
    def __get__(self, obj: None, owner: type) -> ComputedMethod[T]: ...
    @overload
    def __get__(self, obj: object, owner: type) -> T: ...
    def __get__(self, obj: object | None, owner: type) -> ComputedMethod[T] | T:
        if obj is None:
            return (
                self
                if owner is self._owner
                else ComputedMethod(self.function, owner)._named(self.name)
            )
        node = node_of(obj)
        if node is not None:
            value: T = node.read(self.name)
            return value
        plan = plan_of(type(obj))
        typed = plan.typed.get(self.name)
        return self.function(obj) if typed is None else typed.eval(obj)

    def __set__(self, obj: object, value: object) -> None:
        raise AttributeError(
            f"{type(obj).__name__}.{self.name} is computed and cannot be assigned; "
            f"for a what-if, graph.override(node, {self.name!r}, {value!r})"
        )

    def __repr__(self) -> str:
        return f"<computed {self._owner.__name__ if self._owner else '?'}.{self.name}>"

    @property
    def expr(self) -> Expr:
        """The method as an expression over fields alone; computed values in it are spelled out.

        Raises NotAnExpressionError where it, or one that it reads, runs as plain Python.
        """
        assert self._owner is not None, "a computed method belongs to a class"
        return plan_of(self._owner).over_fields(self.name)

    def _named(self, name: str) -> ComputedMethod[T]:
        self.name = name
        return self


class ClassPlan:
    """The computed methods and effects of a class: what each reads, and in which order they run."""

    def __init__(self, cls: type) -> None:
        self.cls = cls
        is_dataclass = dataclasses.is_dataclass(cls)
        self.fields = [f.name for f in dataclasses.fields(cls)] if is_dataclass else []
        self._types = declared_types(cls) if is_dataclass else {}
        members = _members(cls)
        self.methods = {name: m for name, m in members if isinstance(m, ComputedMethod)}
        self.effects = [(name, m) for _, m in members for name in getattr(m, _EFFECTS, ())]
        self.exprs: dict[str, Expr | NotAnExpressionError] = {}
        """The expression of each method, or the error that says why it is not one."""
        self.typed: dict[str, Expr] = {}
        """Those that are expressions, with the types of what they read."""
        self._reading: set[str] = set()
        for name in self.methods:
            self._read(name)
        self.inputs = {name: self._inputs_of(name) for name in self.methods}
        self.order = self._in_order()

    @property
    def is_reactive(self) -> bool:
        """Whether assignments to objects of the class are updates."""
        return bool(self.methods or self.effects)

    def over_fields(self, name: str) -> Expr:
        """Return a method's expression with the computed values in it spelled out."""
        expr = self.exprs[name]
        if isinstance(expr, NotAnExpressionError):
            raise expr
        return self._spelled_out(expr)

    def _spelled_out(self, expr: Expr) -> Expr:
        if isinstance(expr, Field):
            return self.over_fields(expr.name) if expr.name in self.methods else expr
        return expr.map_children(lambda _, child: self._spelled_out(child))

    def _read(self, name: str) -> None:
        if name in self.exprs or name in self._reading:
            return
        self._reading.add(name)
        function = self.methods[name].function
        try:
            expr = read_method(function, {*self.fields, *self.methods}, self._type_of)
            types_of = {i: self._type_of(i) for i in expr.fields()}
            self.typed[name] = expr.typed({i: t for i, t in types_of.items() if t is not None})
            self.exprs[name] = expr
        except NotAnExpressionError as error:
            self.exprs[name] = error
        except ExpressionError as error:
            self.exprs[name] = NotAnExpressionError(f"{function.__qualname__}: {error}")

    def _type_of(self, name: str) -> Any:
        """Return the type that is declared for a field, or that a method gives, as far as known."""
        if name not in self.methods:
            return self._types.get(name)
        self._read(name)
        typed = self.typed.get(name)
        return None if typed is None or typed.type in UNDECIDED else typed.type

    def _inputs_of(self, name: str) -> tuple[str, ...]:
        """Return what a method reads; where that cannot be seen, all that is defined above it."""
        expr = self.exprs[name]
        if isinstance(expr, Expr):
            return tuple(sorted(expr.fields()))
        seen = names_read(self.methods[name].function)
        known = {*self.fields, *self.methods}
        if seen is not None and all(n in known or _is_constant(self.cls, n) for n in seen):
            return tuple(sorted(seen & known))
        methods = list(self.methods)
        return (*self.fields, *methods[: methods.index(name)])

    def _in_order(self) -> list[str]:
        reads = {name: [i for i in self.inputs[name] if i in self.methods] for name in self.methods}
        try:
            return list(graphlib.TopologicalSorter(reads).static_order())
        except graphlib.CycleError as error:
            problem = f"computed values of {self.cls.__name__} depend on themselves"
            raise CycleError(error.args[1][::-1], problem) from None


_plans: weakref.WeakKeyDictionary[type, ClassPlan] = weakref.WeakKeyDictionary()


def plan_of(cls: type) -> ClassPlan:
    """Return the plan of a class, made when it is first needed."""
    plan = _plans.get(cls)
    if plan is None:
        plan = _plans[cls] = ClassPlan(cls)
    return plan


def _members(cls: type) -> list[tuple[str, Any]]:
    """Return the attributes of a class as it has them, those of its bases first."""
    names = dict.fromkeys(name for base in reversed(cls.__mro__) for name in vars(base))
    return [(name, inspect.getattr_static(cls, name)) for name in names]


def _is_constant(cls: type, name: str) -> bool:
    value = inspect.getattr_static(cls, name, None)
    return value is not None and not callable(value) and not hasattr(value, "__get__")
