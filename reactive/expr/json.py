"""Expressions as JSON: `{"version": 1, "type": "BinOp", "op": "+", "left": {…}, "right": {…}}`.

Each node is an object with its `type` and its arguments; the outermost one has the version. What
JSON has no type for, a constant names: `{"type": "Const", "value": "1.50", "value_type":
"decimal"}`.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from typing import Any, NamedTuple

from reactive.errors import ExpressionError, ExpressionFormatError, FieldTypeError, shown
from reactive.expr.base import MAX_DEPTH, MAX_SIZE
from reactive.expr.nodes import NODES, Const
from reactive.expr.operators import Expr
from reactive.expr.python.readers import read_datetime
from reactive.expr.python.runtime import parse_date
from reactive.expr.types import Type

VERSION = 1

_CLASSES = {cls.__name__: cls for cls in NODES}
_KINDS = {
    "Expr": "node",
    "Expr | None": "node",
    "tuple[Expr, ...]": "nodes",
    "tuple[tuple[Expr, Expr], ...]": "pairs",
    "str": "text",
    "Type": "text",
    "int": "number",
    "int | None": "number",
}
"""What each part is in JSON, by its annotation in the class of the node."""


class Argument(NamedTuple):
    """How a part of a node is stored: under which key, as what, and whether it may be left out."""

    part: str
    key: str
    kind: str
    optional: bool


_arguments: dict[type[Expr], tuple[Argument, ...]] = {}


def arguments_of(cls: type[Expr]) -> tuple[Argument, ...]:
    """Return how the parts of a class of nodes are stored, in the order of its constructor."""
    found = _arguments.get(cls)
    if found is None:
        found = _arguments[cls] = tuple(_read_arguments(cls))
    return found


def _read_arguments(cls: type[Expr]) -> Iterator[Argument]:
    """Read from a class of nodes what its parts are called, and are, in JSON."""
    parameters = inspect.signature(cls).parameters
    annotations = {
        name: annotation
        for base in reversed(cls.__mro__)
        for name, annotation in vars(base).get("__annotations__", {}).items()
    }
    for part in cls.parts:
        kind = _KINDS.get(annotations[part])
        if kind is None:
            raise TypeError(
                f"{cls.__name__}.{part} is a {annotations[part]}, which has no form in JSON; "
                f"declare it as one of {', '.join(_KINDS)}"
            )
        optional = parameters[part].default is None
        yield Argument(part, cls.json_names.get(part, part), kind, optional)


def to_json(expr: Expr) -> dict[str, Any]:
    """Return the expression as plain dicts, lists, strings and numbers."""
    return {"version": VERSION, **_encode(expr)}


def from_json(data: Any) -> Expr:
    """Build the expression that `to_json` gave; raises `ExpressionFormatError` for anything else.

    A document without a version is read as version 1.
    """
    if isinstance(data, Mapping) and "version" in data:
        version = data["version"]
        data = {key: value for key, value in data.items() if key != "version"}
        if version.__class__ is not int or not 1 <= version <= VERSION:
            raise ExpressionFormatError(
                "$.version",
                f"{shown(version)} is not a version that this release reads (1 to {VERSION})",
            )
    return _Reader().node(data, "$", 1)


def _encode(node: Expr) -> dict[str, Any]:
    if isinstance(node, Const):
        return _encode_constant(node)
    encoded: dict[str, Any] = {"type": type(node).__name__}
    for part, key, _, optional in arguments_of(type(node)):
        value = getattr(node, part)
        if optional and (value is None or value is Type.ANY):
            continue
        encoded[key] = _encode_value(value)
    return encoded


def _encode_value(value: Any) -> Any:
    if isinstance(value, Expr):
        return _encode(value)
    if isinstance(value, tuple):
        return [_encode_value(item) for item in value]
    return value.value if isinstance(value, Type) else value


def _encode_constant(node: Const) -> dict[str, Any]:
    if node.type is Type.DECIMAL:
        return {"type": "Const", "value": str(node.value), "value_type": "decimal"}
    if node.type in (Type.DATE, Type.DATETIME):
        return {"type": "Const", "value": node.value.isoformat(), "value_type": node.type.value}
    return {"type": "Const", "value": node.value}


class _Reader:
    """Reads one document, and counts its nodes."""

    def __init__(self) -> None:
        self._size = 0

    def node(self, data: Any, path: str, depth: int) -> Expr:
        """Build the node at the path."""
        self._size += 1
        if depth > MAX_DEPTH or self._size > MAX_SIZE:
            raise ExpressionFormatError(
                path,
                f"more than {MAX_DEPTH} levels or {MAX_SIZE} nodes, which is beyond any formula",
            )
        if not isinstance(data, Mapping):
            raise ExpressionFormatError(path, f"expected an object with a type, got {shown(data)}")
        name = data.get("type")
        cls = _CLASSES.get(name) if isinstance(name, str) else None
        if cls is None:
            allowed = ", ".join(_CLASSES)
            raise ExpressionFormatError(
                path, f"unknown node type {shown(name)}; there are: {allowed}"
            )
        try:
            if cls is Const:
                return Const(_constant(data, path))
            made: Expr = cls(*self._arguments(arguments_of(cls), data, path, depth))
            return made
        except ExpressionFormatError:
            raise
        except ExpressionError as error:
            raise ExpressionFormatError(path, str(error)) from error

    def _arguments(
        self, declared: tuple[Argument, ...], data: Mapping[Any, Any], path: str, depth: int
    ) -> list[Any]:
        _refuse_keys(data, path, [argument.key for argument in declared])
        arguments = []
        for _, key, kind, optional in declared:
            if key in data:
                arguments.append(self._argument(kind, data[key], f"{path}.{key}", depth + 1))
            elif optional:
                arguments.append(None)
            else:
                raise ExpressionFormatError(path, f"{data['type']} lacks {key!r}")
        return arguments

    def _argument(self, kind: str, value: Any, path: str, depth: int) -> Any:
        if kind == "node":
            return self.node(value, path, depth)
        if kind in ("nodes", "pairs"):
            if not isinstance(value, (list, tuple)):
                raise ExpressionFormatError(path, f"expected a list, got {shown(value)}")
            read = self.node if kind == "nodes" else self._pair
            return [read(item, f"{path}[{index}]", depth) for index, item in enumerate(value)]
        expected = str if kind == "text" else int
        if value.__class__ is not expected:
            raise ExpressionFormatError(path, f"expected {kind}, got {shown(value)}")
        return value

    def _pair(self, value: Any, path: str, depth: int) -> tuple[Expr, Expr]:
        if not isinstance(value, (list, tuple)) or len(value) != 2:
            raise ExpressionFormatError(path, f"expected [condition, value], got {shown(value)}")
        return self.node(value[0], f"{path}[0]", depth), self.node(value[1], f"{path}[1]", depth)


def _refuse_keys(data: Mapping[Any, Any], path: str, allowed: Any) -> None:
    for key in data:
        if key != "type" and key not in allowed:
            raise ExpressionFormatError(
                path, f"unexpected {shown(key)}; {data['type']} has: {', '.join(allowed)}"
            )


_DECIMAL = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]{1,4})?")


def _parse_decimal(text: str) -> Decimal | None:
    return Decimal(text) if _DECIMAL.fullmatch(text) else None


def _parse_datetime(text: str) -> Any:
    try:
        return read_datetime(text, "value")
    except FieldTypeError:
        return None


_VALUE_TYPES: dict[str, Callable[[str], Any]] = {
    "decimal": _parse_decimal,
    "date": parse_date,
    "datetime": _parse_datetime,
}


def _constant(data: Mapping[Any, Any], path: str) -> Any:
    _refuse_keys(data, path, ("value", "value_type"))
    if "value" not in data:
        raise ExpressionFormatError(path, "Const lacks 'value'")
    value = data["value"]
    if "value_type" not in data:
        if value is not None and not isinstance(value, (bool, int, float, str)):
            raise ExpressionFormatError(
                f"{path}.value", f"expected null, true, false, a number or text, got {shown(value)}"
            )
        return value
    name = data["value_type"]
    parse = _VALUE_TYPES.get(name) if isinstance(name, str) else None
    if parse is None:
        raise ExpressionFormatError(
            f"{path}.value_type", f"{shown(name)} is none of {', '.join(_VALUE_TYPES)}"
        )
    parsed = parse(value) if isinstance(value, str) else None
    if parsed is None:
        raise ExpressionFormatError(f"{path}.value", f"{shown(value)} is not a {name}")
    return parsed
