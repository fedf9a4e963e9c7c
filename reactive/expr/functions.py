"""What functions, date parts, conversions and text operations take and give."""

from __future__ import annotations

from typing import NamedTuple

from reactive.expr.types import NUMERIC, ORDERED, Type


class Signature(NamedTuple):
    """What a function takes and gives; without `reads` the arguments' common type decides."""

    least: int
    most: int | None
    allowed: frozenset[Type]
    expected: str
    reads: Type | None = None
    gives: Type | None = None

    @property
    def arity(self) -> str:
        """How many arguments it takes, in words."""
        if self.most is None:
            return f"{self.least} or more arguments"
        if self.most == self.least:
            return f"{self.least} argument{'s' if self.least > 1 else ''}"
        return f"{self.least} to {self.most} arguments"


_NUMBER = "a number"

FUNCTIONS: dict[str, Signature] = {
    "abs": Signature(1, 1, NUMERIC, _NUMBER),
    "sign": Signature(1, 1, NUMERIC, _NUMBER),
    "ceil": Signature(1, 1, NUMERIC, _NUMBER),
    "floor": Signature(1, 1, NUMERIC, _NUMBER),
    # Half to even; a second argument, a whole constant, is the number of decimal places.
    "round": Signature(1, 2, NUMERIC, _NUMBER),
    "sqrt": Signature(1, 1, NUMERIC, _NUMBER, Type.FLOAT),
    "exp": Signature(1, 1, NUMERIC, _NUMBER, Type.FLOAT),
    # Natural.
    "log": Signature(1, 1, NUMERIC, _NUMBER, Type.FLOAT),
    "log10": Signature(1, 1, NUMERIC, _NUMBER, Type.FLOAT),
    # Null where one of the arguments is null.
    "min": Signature(2, None, ORDERED, "values that have an order"),
    "max": Signature(2, None, ORDERED, "values that have an order"),
    # From the first date to the second; negative when the second is the earlier one.
    "days_between": Signature(2, 2, frozenset({Type.DATE}), "a date", Type.DATE, Type.INT),
}

MAX_ROUND_DIGITS = 15

DATE_PARTS: dict[str, frozenset[Type]] = {
    "year": frozenset({Type.DATE, Type.DATETIME}),
    "quarter": frozenset({Type.DATE, Type.DATETIME}),
    "month": frozenset({Type.DATE, Type.DATETIME}),
    "day": frozenset({Type.DATE, Type.DATETIME}),
    # Monday is 1, as in ISO 8601.
    "weekday": frozenset({Type.DATE, Type.DATETIME}),
    "hour": frozenset({Type.DATETIME}),
    "minute": frozenset({Type.DATETIME}),
    "second": frozenset({Type.DATETIME}),
}

CASTS: dict[Type, frozenset[Type]] = {
    Type.FLOAT: NUMERIC | {Type.STR},
    Type.INT: NUMERIC | {Type.STR},
    Type.DECIMAL: NUMERIC | {Type.STR},
    Type.STR: NUMERIC | {Type.STR, Type.BOOL, Type.DATE},
    Type.BOOL: frozenset({Type.BOOL, Type.STR}),
    Type.DATE: frozenset({Type.DATE, Type.DATETIME, Type.STR}),
    Type.DATETIME: frozenset({Type.DATETIME, Type.DATE}),
}

TEXT_OPERATIONS: dict[str, tuple[int, Type]] = {
    "length": (0, Type.INT),
    "upper": (0, Type.STR),
    "lower": (0, Type.STR),
    "trim": (0, Type.STR),
    "contains": (1, Type.BOOL),
    "starts_with": (1, Type.BOOL),
    "ends_with": (1, Type.BOOL),
    "concat": (1, Type.STR),
}
"""Operations on text: how many further texts they take, and the type that they give."""
