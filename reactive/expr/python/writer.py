"""Writes a generated Python function: variables, blocks, regions behind a test for None.

The code follows one idea. Sums, products, comparisons and the like are null exactly where one of
the values that they are made of is, so a whole region of them is one Python expression behind a
single test for None. What may be null for reasons of its own (a quotient, a root, a choice)
becomes a variable of its own.
"""

from __future__ import annotations

import functools
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeAlias

from reactive.expr.nodes import Const, Field
from reactive.expr.operators import Expr
from reactive.expr.python import readers, runtime
from reactive.expr.types import UNDECIDED, Type

Evaluate: TypeAlias = Callable[..., Any]
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
    for name, value in {**vars(readers), **vars(runtime)}.items()
    if not name.startswith("_")
}

Emitters: TypeAlias = Mapping[type[Expr], Callable[[Any, Any, Type], Value]]
"""By class of node: the function `(writer, node, type)` that writes it and returns its value."""


class PythonWriter:
    """The text of one function of the fields' values, which stand in the variables v0, v1, …

    Field names and constants are variables too (n0, k0, …), never text: so formulas of one shape
    share their compiled code, and nothing in them can become code. `careful` code reads whole
    numbers through a function. A field that is read as one type is read in place; `mixed`
    collects those that are not. Where `ahead` is a list, it collects what is read in any case, by
    position and type: the function is then given values that are read already. `prefix` begins the
    names of constants, so that several expressions can stand in one function.
    """

    def __init__(
        self,
        names: Sequence[str],
        emitters: Emitters,
        *,
        careful: bool,
        prefix: str = "",
        draft: PythonWriter | None = None,
    ) -> None:
        self.names = names
        self.careful = careful
        self.mixed: set[str] = set(draft.mixed) if draft else set()
        self.wanted: dict[str, Type] = {}
        self.ahead: list[tuple[int, Type]] | None = None
        self.lines: list[str] = []
        self.namespace = NAMESPACE.copy()
        self.level = 0
        self._emitters = emitters
        self._prefix = prefix
        self._index = {name: index for index, name in enumerate(names)}
        self._variables = 0
        self._constants = 0
        # Fields that are already read as a type, in this block or around it.
        self._known: dict[tuple[str, Type], Value] = {}
        # Functions for parts that lie deep; the draft's can be used again.
        self._parts: dict[tuple[int, Type], tuple[PythonWriter, Evaluate]] = (
            draft._parts if draft else {}
        )
        for index, name in enumerate(names):
            self.namespace[f"n{index}"] = name

    # --- nodes --------------------------------------------------------------------------------

    def read(self, node: Expr, want: Type) -> Value:
        """Write the node's value, as the type that its surroundings need."""
        if isinstance(node, Field) and node.type is Type.ANY:
            return self.field(node.name, want)
        if isinstance(node, Const):
            return self._constant(node, want)
        if self.level > MAX_NESTING and not isinstance(node, Field):
            return self._apart(node, want)
        have = want if node.type in UNDECIDED else node.type
        value = self._emitters[type(node)](self, node, have)
        if want is have or want in UNDECIDED or want is Type.JSON:
            return value
        return self._converted(value, have, want)

    def literal(self, node: Const, want: Type) -> Any:
        """Return a constant's value as a type."""
        value = node.value
        return value if want is node.type else readers.READERS[want](value, "constant")

    def _constant(self, node: Const, want: Type) -> Value:
        if node.value is None:
            return self.partial("None", ())
        return Value(self.constant(self.literal(node, want)), atom=True)

    def _converted(self, value: Value, have: Type, want: Type) -> Value:
        """Turn a number into another kind of number."""
        function = {
            # What is too large for a double sends fast code to the careful one, which says so.
            (Type.INT, Type.FLOAT): "double({})" if self.careful else "({} + 0.0)",
            (Type.DECIMAL, Type.FLOAT): "double({})",
            (Type.INT, Type.DECIMAL): "Decimal({})",
        }[have, want]
        return self.strict(function, value)

    def _apart(self, node: Expr, want: Type) -> Value:
        """Put a part that lies deep in blocks into a function of its own."""
        if (id(node), want) not in self._parts:
            names = sorted(node.fields())
            inner = write_body(node, names, self._emitters, careful=self.careful, want=want)
            parameters = ", ".join(f"v{index}" for index in range(len(inner.names)))
            function = inner.build(f"def evaluate({parameters}):\n{inner.text(1)}")
            self._parts[id(node), want] = inner, function
        inner, function = self._parts[id(node), want]
        for name, type_ in inner.wanted.items():
            self.wants(name, type_)
        self.mixed |= inner.mixed
        arguments = ", ".join(self.raw(name) for name in inner.names)
        return self.partial(f"{self.constant(function)}({arguments})", ())

    # --- the function -------------------------------------------------------------------------

    def returns(self, expr: Expr, want: Type) -> None:
        """Write the lines that compute and return the expression."""
        value = self.read(expr, want)
        if value.leaves and not value.atom:
            # What in_variable() would do, one jump shorter.
            self.line(f"if {any_null(value.leaves)}: return None")
            value = value._replace(leaves=())
        if self.careful and value.unchecked and not value.atom:
            self.line(f"return finite({value.text}, locals(), names)")
            return
        self.line(f"return {self.in_variable(value).text}")

    def text(self, level: int) -> str:
        """Return the lines, indented."""
        return "\n".join("    " * level + line for line in self.lines)

    def build(self, source: str, **later: Callable[[], Evaluate]) -> Evaluate:
        """Compile the source; functions that it needs `later` are made when first called."""
        namespace = self.namespace
        namespace["names"] = self.names
        for name, make in later.items():
            namespace[name] = made_when_called(namespace, name, make)
        return types.FunctionType(compiled(source), namespace, "evaluate")

    # --- lines and variables ------------------------------------------------------------------

    def line(self, text: str) -> None:
        """Add a statement."""
        self.lines.append("    " * self.level + text)

    def variable(self) -> str:
        """Return an unused variable."""
        self._variables += 1
        return f"t{self._variables}"

    def constant(self, value: Any) -> str:
        """Put a value where the function finds it, and return its name."""
        name = f"{self._prefix}k{self._constants}"
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

    def in_variable(self, value: Value) -> Value:
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
            return self.in_variable(value)
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
            value = self.in_variable(value)
        if value.atom:
            return value.text, value
        variable = self.variable()
        return f"({variable} := {value.text})", value._replace(text=variable)

    def strict(self, template: str, *values: Value, unchecked: bool = False) -> Value:
        """Combine values in an operation that is null exactly where one of them is."""
        nesting = 1 + max(value.nesting for value in values)
        if nesting > MAX_NESTING:
            values = tuple(self.in_variable(value) for value in values)
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


def write_body(
    expr: Expr,
    names: Sequence[str],
    emitters: Emitters,
    *,
    careful: bool = False,
    want: Type | None = None,
    ahead: list[tuple[int, Type]] | None = None,
) -> PythonWriter:
    """Write the lines that compute the expression from v0, v1, …"""
    body = PythonWriter(names, emitters, careful=careful)
    body.ahead = ahead
    body.returns(expr, want or expr.type)
    if body.mixed:
        # That a field is read as several types, so that its raw value is needed, shows at the end.
        body = PythonWriter(names, emitters, careful=careful, draft=body)
        body.ahead = None if ahead is None else []
        body.returns(expr, want or expr.type)
    return body


@functools.lru_cache(maxsize=1_024)
def compiled(source: str) -> types.CodeType:
    """Compile a function's source; formulas of one shape have the same."""
    module = compile(source, "<expression>", "exec")
    return next(constant for constant in module.co_consts if isinstance(constant, types.CodeType))


def made_when_called(
    namespace: dict[str, Any], name: str, make: Callable[[], Evaluate]
) -> Evaluate:
    """Return a function that, when it is first called, puts what `make` returns in its place."""

    def call(*args: Any) -> Any:
        function = namespace[name] = make()
        return function(*args)

    return call
