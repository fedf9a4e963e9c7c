"""Checks of a column: type, null and the limits that it sets."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from store.checks import GOOD, INT_MAX, Check, Problems, one_problem, type_check
from store.column_types import ColumnType, EnumOf, Scalar

if TYPE_CHECKING:
    from store.column import ColumnDef


_NULL = one_problem("null", "a value is expected: the column takes no null")


def field_check(column: ColumnDef, kind: ColumnType, *, nullable: bool) -> Check:
    """The check of a field of this type on this column."""
    of_type = type_check(kind)
    # An Enum over a column of str or int: its members were checked when the class was defined.
    over_values = isinstance(kind, EnumOf) and not isinstance(column.type, EnumOf)
    limits = [] if over_values else limits_of(column)
    null = (
        GOOD if nullable else one_problem("null", "a value is expected: the column takes no null")
    )

    def check(value: Any) -> Problems:
        if value is None:
            return null
        problems = of_type(value)
        if problems or not limits:
            # A limit can be asked of values of the right type alone.
            return problems
        return tuple(
            problem for is_good, broken in limits if not is_good(value) for problem in broken
        )

    return check


def limits_of(column: ColumnDef) -> list[tuple[Callable[[Any], Any], Problems]]:
    """For each limit of a column, what tells that a value keeps it, and what is wrong if not."""
    limits: list[tuple[Callable[[Any], Any], Problems]] = []
    unit = f" {column.unit}" if column.unit else ""

    def add(rule: str, allowed: str, is_good: Callable[[Any], Any]) -> None:
        limits.append((is_good, one_problem(rule, allowed)))

    if column.enum is not None:
        choices = frozenset(column.enum)
        add("enum", "one of " + ", ".join(map(repr, column.enum)), choices.__contains__)
    if (low := column.min_value) is not None:
        add("min_value", f"at least {low}{unit} is expected", lambda value: value >= low)
    if (high := column.max_value) is not None:
        add("max_value", f"at most {high}{unit} is expected", lambda value: value <= high)
    if (longest := column.max_length) is not None:
        add("max_length", f"a length of at most {longest}", lambda value: len(value) <= longest)
    if column.pattern is not None:
        add(
            "pattern",
            f"a match of {column.pattern} is expected",
            re.compile(column.pattern).fullmatch,
        )
    return limits


def quick_check(column: ColumnDef, kind: ColumnType) -> Callable[[Any], Any]:
    """What tells in one step that an ordinary value is good; the full check judges all others."""
    if not isinstance(kind, Scalar) or kind.python not in (str, int, float, bool):
        return _never
    if column.enum is not None:
        python, choices = kind.python, frozenset(column.enum)
        return lambda value: value.__class__ is python and value in choices
    if kind.python is str:
        return _quick_str(column)
    if kind.python is bool:
        return lambda value: value is True or value is False
    greatest = sys.float_info.max if kind.python is float else INT_MAX - 1
    low = -greatest if column.min_value is None else column.min_value
    high = greatest if column.max_value is None else column.max_value
    if kind.python is float:
        return lambda value: value.__class__ is float and low <= value <= high
    return lambda value: value.__class__ is int and low <= value <= high


def _quick_str(column: ColumnDef) -> Callable[[Any], Any]:
    longest = column.max_length or sys.maxsize
    if column.pattern is None:
        return lambda value: (
            value.__class__ is str
            and len(value) <= longest
            and value.isascii()
            and "\0" not in value
        )
    matches = re.compile(column.pattern).fullmatch
    return lambda value: (
        value.__class__ is str
        and len(value) <= longest
        and matches(value)
        and value.isascii()
        and "\0" not in value
    )


def _never(_: Any) -> bool:
    return False
