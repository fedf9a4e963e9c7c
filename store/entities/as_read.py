"""What a filter or an order means over stored JSON: the values that objects have once read.

Stored JSON may lack a field, which then reads as its default, or be of an older version of its
class, which an upcaster lifts. Defaults can be told to PostgreSQL, upcasters cannot: the rows that
depend on one are named by a condition, and looked at by the client.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable
from datetime import date
from decimal import Decimal
from enum import Enum
from functools import cached_property, reduce
from typing import Any
from uuid import UUID

from reactive.expr import BinOp, Coalesce, Const, Expr, Field, IsNull
from store.base import Storable
from store.governance.class_schema import governed
from store.governance.column_types import EnumOf, Scalar
from store.serialization.codec import defaults_of
from store.serialization.upcasting import VERSION_KEY, upcasters_of

_COMPARED: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
}
# Below it, whole numbers and doubles are the same numbers.
_EXACT = 2**53
_KEPT = "_store_as_read"


class AsRead:
    """The meaning of expressions for the objects of one class."""

    def __init__(self, cls: type[Storable]) -> None:
        self._fields = governed(cls).fields
        self._present = len(upcasters_of(cls)) + 1
        self._defaults = defaults_of(cls)

    @cached_property
    def types(self) -> dict[str, Any]:
        """The Python types of the fields that expressions can read, those of Enums by value."""
        found: dict[str, Any] = {}
        for name, field in self._fields.items():
            match field.type:
                case Scalar(python=python):
                    found[name] = str if python is UUID else python
                case EnumOf() as kind:
                    found[name] = kind.value_type
        return found

    def condition(self, expr: Expr) -> Expr:
        """The condition over JSON of the present version that holds where `expr` does of objects.

        Only where it is unknown may it be false instead.
        """
        if isinstance(expr, BinOp) and expr.op in ("&", "|"):
            return BinOp(expr.op, self.condition(expr.left), self.condition(expr.right))
        if self._fails_of_defaults(expr):
            # Where the field is missing it is null, and so does not pass: as its default.
            return expr
        return self.value(expr)

    def value(self, expr: Expr) -> Expr:
        """The value over JSON of the present version that `expr` has of objects."""
        if isinstance(expr, Field):
            constant = self._constant(expr.name)
            return expr if constant is None else Coalesce([expr, constant])
        return expr.map_children(lambda _, child: self.value(child))

    def unsure(self, names: Iterable[str]) -> Expr | None:
        """Which rows PostgreSQL cannot judge by these fields; None if there can be none."""
        parts: list[Expr] = []
        if self._present > 1:
            version = Coalesce([Field(VERSION_KEY), Const(1)])
            parts.append(version != Const(self._present))
        parts += [IsNull(Field(name)) for name in sorted(set(names)) if self._is_ambiguous(name)]
        return reduce(lambda left, right: left | right, parts) if parts else None

    def may_be_old(self) -> Expr | None:
        """Which rows may be stored otherwise than the class writes them today."""
        parts: list[Expr] = [IsNull(Field(name)) for name in self._defaults]
        version = self.unsure(())
        parts += [] if version is None else [version]
        return reduce(lambda left, right: left | right, parts) if parts else None

    def is_old(self, data: dict[str, Any]) -> bool:
        """Whether JSON was written by an older program: of another version, or without a field."""
        return data.get(VERSION_KEY, 1) != self._present or any(n not in data for n in self._fields)

    def row(self, obj: Storable) -> dict[str, Any]:
        """An object as expressions read it."""
        return {name: _plain(getattr(obj, name)) for name in self._fields}

    def _fails_of_defaults(self, expr: Expr) -> bool:
        """Whether it compares a field with a constant that the field's default does not pass."""
        if not (isinstance(expr, BinOp) and expr.op in _COMPARED):
            return False
        left, right = expr.left, expr.right
        field = left if isinstance(left, Field) else right
        if not isinstance(field, Field) or not isinstance(right if field is left else left, Const):
            return False
        default = self._constant(field.name)
        if default is None:
            return False
        one, other = (default if side is field else side for side in (left, right))
        if isinstance(one, Const) and isinstance(other, Const) and _compare_alike(one, other):
            return not _COMPARED[expr.op](one.value, other.value)
        return self.value(expr).typed(self.types).eval({}) is not True

    def _constant(self, name: str) -> Const | None:
        """What a missing field reads as, where JSON can say nothing else."""
        if name not in self._defaults or self._is_ambiguous(name) or name not in self.types:
            return None
        value = _plain(self._defaults[name]())
        return None if value is None else Const(value)

    def _is_ambiguous(self, name: str) -> bool:
        """Whether a null can be the value None as well as a missing field with another default.

        So can a field whose default is another one each time.
        """
        make = self._defaults.get(name)
        value = None if make is None else make()
        if make is None or value is None:
            return False
        # Lists, dicts and dataclasses are no constants of expressions.
        no_constant = name not in self.types
        return bool(no_constant or self._fields[name].nullable or make() != value)


def as_read(cls: type[Storable]) -> AsRead:
    """That of a class, made at its first use."""
    kept: AsRead | None = vars(cls).get(_KEPT)
    if kept is None:
        kept = AsRead(cls)
        setattr(cls, _KEPT, kept)
    return kept


def _compare_alike(one: Const, other: Const) -> bool:
    """Whether Python compares two constants as expressions do, so that none is evaluated."""
    kinds = {type(one.value), type(other.value)}
    if kinds <= {int, float}:
        return all(abs(each.value) < _EXACT for each in (one, other))
    return len(kinds) == 1 and kinds <= {str, date, Decimal}


def _plain(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    return str(value) if isinstance(value, UUID) else value
