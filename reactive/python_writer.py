"""Writes a generated Python function: variables, blocks, regions behind a test for None."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from reactive import python_readers, python_runtime
from reactive.expr import Const, Expr
from reactive.types import Type

MAX_NESTING = 16
"""Parentheses or blocks in each other; Python's own limits are 200 and 20 (for loops)."""


class Value(NamedTuple):
    """A Python expression that may be evaluated once none of its `leaves` (variables) is None.

    `unchecked` says that it is a double which may be infinite or NaN: it came out of arithmetic
    or straight out of the row. Sums and products of such values show it too, so one look at their
    result is enough. `atom` says that it is a variable or a literal, which can be written twice.
    """

    text: str
    leaves: tuple[str, ...] = ()
    unchecked: bool = False
    atom: bool = False
    nesting: int = 0


NAMESPACE: dict[str, Any] = {
    name: value
    for name, value in {**vars(python_readers), **vars(python_runtime)}.items()
    if not name.startswith("_")
}


class Writer(ABC):
    """The text of one function of the fields' values, which stand in the variables v0, v1, …

    Field names and constants are variables too (n0, k0, …), never text: so formulas of one shape
    share their compiled code, and nothing in them can become code. `careful` code reads whole
    numbers through a function. A field that is read as one type is read in place; `mixed`
    collects those that are not. Where `ahead` is a list, it collects what is read in any case, by
    position and type: the function is then given values that are read already.
    """

    def __init__(self, names: Sequence[str], careful: bool, mixed: set[str]) -> None:
        self.names = names
        self.careful = careful
        self.mixed = set(mixed)
        self.wanted: dict[str, Type] = {}
        self.ahead: list[tuple[int, Type]] | None = None
        self.lines: list[str] = []
        self.namespace = NAMESPACE.copy()
        self.level = 0
        self._index = {name: index for index, name in enumerate(names)}
        self._variables = 0
        self._constants = 0
        # Fields that are already read as a type, in this block or around it.
        self._known: dict[tuple[str, Type], Value] = {}
        for index, name in enumerate(names):
            self.namespace[f"n{index}"] = name

    @abstractmethod
    def read(self, node: Expr, want: Type) -> Value:
        """Write the node's value, as the type that its surroundings need."""

    @abstractmethod
    def literal(self, node: Const, want: Type) -> Any:
        """Return a constant's value as a type."""

    def line(self, text: str) -> None:
        """Add a statement."""
        self.lines.append("    " * self.level + text)

    def variable(self) -> str:
        """Return an unused variable."""
        self._variables += 1
        return f"t{self._variables}"

    def constant(self, value: Any) -> str:
        """Put a value where the function finds it, and return its name."""
        name = f"k{self._constants}"
        self._constants += 1
        self.namespace[name] = value
        return name

    @contextmanager
    def block(self, header: str) -> Iterator[None]:
        """Indent what is written under a header; what is read in there is not known outside."""
        self.line(header)
        known = self._known
        self._known = known.copy()
        self.level += 1
        yield
        self.level -= 1
        self._known = known

    def raw(self, name: str) -> str:
        """Return the variable that holds a field as the row has it."""
        return f"v{self._index[name]}"

    def wants(self, name: str, want: Type) -> None:
        """Note that a field is read as a type."""
        if self.wanted.setdefault(name, want) is not want:
            self.mixed.add(name)

    def field(self, name: str, want: Type) -> Value:
        """Read a field as a type."""
        raw = self.raw(name)
        self.wants(name, want)
        known = self._known.get((name, want))
        if want is Type.ANY:
            if known is None:
                self.line(f"if isinstance({raw}, Enum): {raw} = member_value({raw})")
            known = self._known[name, want] = Value(raw, (raw,), atom=True)
        if known is None:
            # Reading twice changes nothing, but for JSON.
            apart = name in self.mixed or want is Type.JSON
            variable = self.variable() if apart else raw
            if variable != raw:
                self.line(f"{variable} = {raw}")
            if self.ahead is not None and not apart and not self.level:
                self.ahead.append((self._index[name], want))
            else:
                template = _READ_CAREFULLY if self.careful and want is Type.FLOAT else _READ[want]
                self.line(template.format(v=variable, n=f"n{raw[1:]}"))
            known = Value(variable, (variable,), want is Type.FLOAT, atom=True)
            self._known[name, want] = known
        return known

    def settle(self, value: Value) -> Value:
        """Put a value into a variable, None where a leaf is None."""
        if value.atom:
            return self.checked(value)
        variable = self.variable()
        nulls = any_null(value.leaves)
        if not value.unchecked:
            self.line(f"{variable} = {_unless(nulls, value.text)}")
        elif nulls:
            self.line(f"if {nulls}: {variable} = None")
            self.line("else:")
            self.line(f"    {variable} = {value.text}")
            self.line(f"    {_CHECK.format(variable)}")
        else:
            self.line(f"{variable} = {value.text}")
            self.line(_CHECK.format(variable))
        return Value(variable, (variable,) if nulls else (), atom=True)

    def checked(self, value: Value) -> Value:
        """Return the value with infinities and NaN refused."""
        if not value.unchecked:
            return value
        if not value.atom:
            return self.settle(value)
        self.line(f"if {value.text} is not None:")
        self.line(f"    {_CHECK.format(value.text)}")
        checked = value._replace(unchecked=False)
        for key, known in self._known.items():
            if known.text == value.text:
                self._known[key] = checked
                break
        return checked

    def partial(self, text: str, leaves: tuple[str, ...]) -> Value:
        """Put into a variable what may be None although its leaves are not."""
        variable = self.variable()
        self.line(f"{variable} = {_unless(any_null(leaves), text)}")
        return Value(variable, (variable,), atom=True)

    def named(self, value: Value) -> tuple[str, Value]:
        """Return text that computes and names the value, and the value under that name."""
        if value.nesting >= MAX_NESTING:
            value = self.settle(value)
        if value.atom:
            return value.text, value
        variable = self.variable()
        return f"({variable} := {value.text})", value._replace(text=variable)

    def strict(self, template: str, *values: Value, unchecked: bool = False) -> Value:
        """Combine values in an operation that is null exactly where one of them is."""
        nesting = 1 + max(value.nesting for value in values)
        if nesting > MAX_NESTING:
            values = tuple(self.settle(value) for value in values)
            nesting = 1
        leaves = tuple(dict.fromkeys(leaf for value in values for leaf in value.leaves))
        return Value(
            template.format(*(value.text for value in values)), leaves, unchecked, nesting=nesting
        )


_CHECK = "if not LOWEST < {0} < HIGHEST: out_of_range(locals(), names)"


def _unless(nulls: str, text: str) -> str:
    return f"None if {nulls} else {text}" if nulls else text


def any_null(leaves: tuple[str, ...]) -> str:
    """Write the test for None among variables."""
    return " or ".join(f"{leaf} is None" for leaf in dict.fromkeys(leaves))


_READ_CAREFULLY = "if {v}.__class__ is not float: {v} = read_float({v}, {n})"
_READ = {
    # An int beyond a double raises OverflowError; the careful code then names the field.
    Type.FLOAT: "if {v}.__class__ is not float: "
    "{v} = {v} + 0.0 if {v}.__class__ is int else read_float({v}, {n})",
    Type.INT: "if {v}.__class__ is not int: {v} = read_int({v}, {n})",
    Type.DECIMAL: "{v} = read_decimal({v}, {n})",
    Type.STR: "if {v}.__class__ is not str: {v} = read_str({v}, {n})",
    Type.BOOL: "if {v}.__class__ is not bool: {v} = read_bool({v}, {n})",
    Type.DATE: "if {v}.__class__ is not date: {v} = read_date({v}, {n})",
    Type.DATETIME: "{v} = read_datetime({v}, {n})",
    Type.JSON: "{v} = read_json({v}, {n})",
}
