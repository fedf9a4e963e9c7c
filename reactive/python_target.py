"""Expressions as Python functions: generated once, compiled, no walk through the tree.

The code follows one idea. Sums, products, comparisons and the like are null exactly where one of
the values that they are made of is, so a whole region of them is one Python expression behind a
single test for None. What may be null for reasons of its own (a quotient, a root, a choice)
becomes a variable of its own.
"""

from __future__ import annotations

import functools
import keyword
import types
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from reactive.errors import ExpressionValueError
from reactive.expr import Const, Expr, Field
from reactive.python_nodes import EMIT, converted
from reactive.python_readers import READERS, has_attributes, read_fields
from reactive.python_writer import MAX_NESTING, Value, Writer, any_null
from reactive.types import UNDECIDED, Type

Evaluate = Callable[..., Any]


def compile_python(expr: Expr, like: Any = None) -> Callable[[Any], Any]:
    """Return a function of one row, a mapping or an object, that computes the expression.

    It is fastest on rows of the kind of `like` (by default a dict), and right on all.
    """
    names = tuple(sorted(expr.fields()))
    kinds = [_DICT]
    if all(_is_attribute(name) for name in names):
        kinds.append(_OBJECT)
        if like is not None and has_attributes(like):
            kinds.insert(0, _LIKE)
    return _of_row(expr, names, kinds, like.__class__)


def compile_positional(expr: Expr, field_names: Sequence[str]) -> Evaluate:
    """Return a function of the values of these fields, in this order, that computes the expression.

    For a hot path that already holds the values; it checks them as `eval` does.
    """
    names = tuple(dict.fromkeys(field_names))
    if len(names) != len(field_names):
        raise ExpressionValueError(f"a field name occurs twice in {list(field_names)}")
    missing = expr.fields() - set(names)
    if missing:
        raise ExpressionValueError(
            f"{expr!r} also reads {sorted(missing)}; given were the fields {list(names)}"
        )
    body = _body(expr, names)
    parameters = ", ".join(f"v{index}" for index in range(len(names)))
    source = _FUNCTION.format(
        parameters=parameters, start="", lines=body.text(2), failures="OverflowError"
    )

    def careful() -> Evaluate:
        compute = _careful(expr, names)
        return lambda *values: compute(list(values))

    return body.build(source, careful=careful)


def python_source(expr: Expr) -> str:
    """Return the source that `eval` runs on a dict; n0, n1 … are the names of the fields."""
    names = tuple(sorted(expr.fields()))
    return _row_source(_DICT, names, _body(expr, names))


# --- one function a kind of row, and a careful one for whatever they give up on -------------

_FUNCTION = """\
def evaluate({parameters}):{start}
    try:
{lines}
    except ({failures}): return careful({parameters})"""


class _Kind(NamedTuple):
    """How a kind of row is known and read, and what is raised where a field is missing."""

    unless: str
    load: str
    failures: str


# A look at one class is faster than at all that are known to have attributes.
_LIKE = _Kind("row.__class__ is not cls", "v{index} = row.{name}", "AttributeError, OverflowError")
_DICT = _Kind("row.__class__ is not dict", "v{index} = row[n{index}]", "KeyError, OverflowError")
_OBJECT = _Kind(
    "row.__class__ not in plain_classes", "v{index} = row.{name}", "AttributeError, OverflowError"
)


def _is_attribute(name: str) -> bool:
    """Tell whether `row.name` means the field; Python would normalise other letters."""
    return name.isascii() and name.isidentifier() and not keyword.iskeyword(name)


def _row_source(kind: _Kind, names: tuple[str, ...], body: PythonWriter) -> str:
    loads = "".join(
        f"        {kind.load.format(index=index, name=name)}\n" for index, name in enumerate(names)
    )
    start = f"\n    if {kind.unless}: return other(row)"
    return _FUNCTION.format(
        parameters="row", start=start, lines=loads + body.text(2), failures=kind.failures
    )


def _of_row(expr: Expr, names: tuple[str, ...], kinds: list[_Kind], cls: type) -> Evaluate:
    """Return the function for the first kind of row, which hands others to the next one.

    Most of the time that compiling takes goes into reading rows fast. The careful code is short,
    so it computes the first rows; a function that is called again and again is then given its
    own code.
    """
    compute = _careful(expr, names)
    calls_left = iter(range(_FIRST_CALLS))
    namespace: dict[str, Any] = {}

    def careful(row: Any) -> Any:
        return compute(read_fields(row, names))

    def first(row: Any) -> Any:
        if next(calls_left, None) is not None:
            return careful(row)
        body = _body(expr, names)
        namespace.update(body.namespace, names=names, cls=cls, careful=careful, other=careful)
        if len(kinds) > 1:
            namespace["other"] = _made_when_called(
                namespace, "other", lambda: _of_row(expr, names, kinds[1:], cls)
            )
        evaluate.__code__ = _compiled(_row_source(kinds[0], names, body))
        return evaluate(row)

    namespace["first"] = first
    evaluate: Evaluate = types.FunctionType(_START, namespace, "evaluate")
    return evaluate


def _careful(expr: Expr, names: tuple[str, ...]) -> Callable[[list[Any]], Any]:
    """Return the function of a list of values that says what is wrong with them."""
    body = _body(expr, names, careful=True, ahead=[])
    parameters = ", ".join(f"v{index}" for index in range(len(names)))
    compute = body.build(f"def evaluate({parameters}):\n{body.text(1)}")
    ahead = [
        (index, names[index], READERS[type_], float if type_ is Type.FLOAT else None)
        for index, type_ in body.ahead or ()
    ]

    def evaluate(values: list[Any]) -> Any:
        for index, name, read, plain in ahead:
            # Whether a double is finite shows in the result.
            if values[index].__class__ is not plain:
                values[index] = read(values[index], name)
        return compute(*values)

    return evaluate


def _body(
    expr: Expr,
    names: Sequence[str],
    careful: bool = False,
    want: Type | None = None,
    ahead: list[tuple[int, Type]] | None = None,
) -> PythonWriter:
    """Write the lines that compute the expression from v0, v1, …"""
    body = PythonWriter(names, careful)
    body.ahead = ahead
    body.returns(expr, want or expr.type)
    if body.mixed:
        # That a field is read as several types, so that its raw value is needed, shows at the end.
        body = PythonWriter(names, careful, body)
        body.ahead = None if ahead is None else []
        body.returns(expr, want or expr.type)
    return body


@functools.lru_cache(maxsize=1_024)
def _compiled(source: str) -> types.CodeType:
    """Compile a function's source; formulas of one shape have the same."""
    module = compile(source, "<expression>", "exec")
    return next(constant for constant in module.co_consts if isinstance(constant, types.CodeType))


_FIRST_CALLS = 16
_START = _compiled("def evaluate(row): return first(row)")


class PythonWriter(Writer):
    """A writer that knows the nodes."""

    def __init__(
        self, names: Sequence[str], careful: bool, draft: PythonWriter | None = None
    ) -> None:
        super().__init__(names, careful, draft.mixed if draft else set())
        # Functions for parts that lie deep; the draft's can be used again.
        self._parts: dict[tuple[int, Type], tuple[PythonWriter, Evaluate]] = (
            draft._parts if draft else {}
        )

    def returns(self, expr: Expr, want: Type) -> None:
        """Write the lines that compute and return the expression."""
        value = self.read(expr, want)
        if value.leaves and not value.atom:
            # What settle() would do, one jump shorter.
            self.line(f"if {any_null(value.leaves)}: return None")
            value = value._replace(leaves=())
        if self.careful and value.unchecked and not value.atom:
            self.line(f"return finite({value.text}, locals(), names)")
            return
        self.line(f"return {self.settle(value).text}")

    def text(self, level: int) -> str:
        """Return the lines, indented."""
        return "\n".join("    " * level + line for line in self.lines)

    def build(self, source: str, **later: Callable[[], Evaluate]) -> Evaluate:
        """Compile the source; functions that it needs `later` are made when first called."""
        namespace = self.namespace
        namespace["names"] = self.names
        for name, make in later.items():
            namespace[name] = _made_when_called(namespace, name, make)
        return types.FunctionType(_compiled(source), namespace, "evaluate")

    def read(self, node: Expr, want: Type) -> Value:
        """Write the node's value, as the type that its surroundings need."""
        if isinstance(node, Field) and node.type is Type.ANY:
            return self.field(node.name, want)
        if isinstance(node, Const):
            return self._constant(node, want)
        if self.level > MAX_NESTING and not isinstance(node, Field):
            return self._apart(node, want)
        have = want if node.type in UNDECIDED else node.type
        value = EMIT[type(node)](self, node, have)
        if want is have or want in UNDECIDED or want is Type.JSON:
            return value
        return converted(self, value, have, want)

    def literal(self, node: Const, want: Type) -> Any:
        """Return a constant's value as a type."""
        value = node.value
        return value if want is node.type else READERS[want](value, "constant")

    def _constant(self, node: Const, want: Type) -> Value:
        if node.value is None:
            return self.partial("None", ())
        return Value(self.constant(self.literal(node, want)), atom=True)

    def _apart(self, node: Expr, want: Type) -> Value:
        """Put a part that lies deep in blocks into a function of its own."""
        if (id(node), want) not in self._parts:
            inner = _body(node, sorted(node.fields()), self.careful, want)
            parameters = ", ".join(f"v{index}" for index in range(len(inner.names)))
            function = inner.build(f"def evaluate({parameters}):\n{inner.text(1)}")
            self._parts[id(node), want] = inner, function
        inner, function = self._parts[id(node), want]
        for name, type_ in inner.wanted.items():
            self.wants(name, type_)
        self.mixed |= inner.mixed
        arguments = ", ".join(self.raw(name) for name in inner.names)
        return self.partial(f"{self.constant(function)}({arguments})", ())


def _made_when_called(
    namespace: dict[str, Any], name: str, make: Callable[[], Evaluate]
) -> Evaluate:
    def call(*args: Any) -> Any:
        function = namespace[name] = make()
        return function(*args)

    return call
