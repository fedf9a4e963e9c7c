"""Checks of a column: type, null and the limits that it sets."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from store.checks import GOOD, Check, Problems, one_problem, type_check
from store.column_types import ColumnType, EnumOf

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
            return problems
        for is_good, broken in limits:
            if not is_good(value):
                return broken
        return GOOD

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
