"""Expressions as Python functions: generated once, compiled, no walk through the tree."""

from __future__ import annotations

import keyword
import types
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from reactive.errors import ExpressionValueError
from reactive.expr.operators import Expr
from reactive.expr.python.nodes import EMITTERS
from reactive.expr.python.readers import READERS, has_attributes, read_fields
from reactive.expr.python.writer import (
    Evaluate,
    PythonWriter,
    compiled,
    made_when_called,
    write_body,
)
from reactive.expr.types import Type


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
    body = write_body(expr, names, EMITTERS)
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
    return _row_source(_DICT, names, write_body(expr, names, EMITTERS))


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
    """Whether `row.name` means the field; Python would normalise other letters."""
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
        body = write_body(expr, names, EMITTERS)
        namespace.update(body.namespace, names=names, cls=cls, careful=careful, other=careful)
        if len(kinds) > 1:
            namespace["other"] = made_when_called(
                namespace, "other", lambda: _of_row(expr, names, kinds[1:], cls)
            )
        evaluate.__code__ = compiled(_row_source(kinds[0], names, body))
        return evaluate(row)

    namespace["first"] = first
    evaluate: Evaluate = types.FunctionType(_START, namespace, "evaluate")
    return evaluate


def _careful(expr: Expr, names: tuple[str, ...]) -> Callable[[list[Any]], Any]:
    """Return the function of a list of values that says what is wrong with them."""
    body = write_body(expr, names, EMITTERS, careful=True, ahead=[])
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


_FIRST_CALLS = 16
_START = compiled("def evaluate(row): return first(row)")
