"""A column of the catalog: what a field of that name is, may hold, means and looks like."""

from __future__ import annotations

import keyword
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import KW_ONLY, dataclass, field
from datetime import date, datetime, timezone
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

from store.errors import RegistryError
from store.governance.annotations import check_records
from store.governance.checks import (
    GOOD,
    INT_MAX,
    Check,
    Problems,
    is_short_decimal,
    is_utc,
    one_problem,
    type_check,
)
from store.governance.column_types import (
    NUMBERS,
    AnyJson,
    ColumnType,
    DictOf,
    EnumOf,
    ListOf,
    Nullable,
    Scalar,
    parse_type,
)

ROLES = ("dimension", "measure", "attribute")
AGGREGATIONS = ("sum", "avg", "min", "max", "count", "count_distinct", "first", "last", "none")
# From what everybody may see to what only named people may.
SENSITIVITIES = ("public", "internal", "confidential", "restricted")
DEEPHAVEN_TYPES = (
    *("string", "bool", "byte", "short", "int", "long", "float", "double", "char"),
    *("Instant", "LocalDate", "LocalTime", "BigDecimal", "BigInteger"),
)
# Units of numbers that are compared and averaged, never added up.
INTENSIVE_UNITS = frozenset(
    {"ratio", "percent", "probability", "score", "years", "days", "seconds"}
)

_NULL = one_problem("null", "a value is expected: the column takes no null")
_LISTS = ("enum", "synonyms", "sample_values", "tags", "allowed_prefixes")
_ORDERED = (*NUMBERS, datetime, date)
_PROBES: dict[type, Any] = {
    str: "text",
    int: 1,
    float: 1.5,
    bool: True,
    Decimal: Decimal("1.5"),
    datetime: datetime(2026, 2, 22, tzinfo=timezone.utc),
    date: date(2026, 2, 22),
    UUID: UUID(int=0),
}


@dataclass(frozen=True)
class ColumnDef:
    """One column of the catalog; contradictions raise RegistryError, all of them at once.

    None for a list means none. Text values must match the whole of `pattern`. A `default` stands
    in where stored JSON lacks the field and the class gives none. `aggregation` is what reports do
    by default (see `default_aggregation`); `format` is a Python format specification. `deprecated`
    is True or a text that says what to use instead.
    """

    # Core
    name: str
    python_type: Any
    _: KW_ONLY
    nullable: bool = False
    default: Any = None
    # Constraints
    enum: tuple[Any, ...] | list[Any] | None = None
    min_value: Any = None
    max_value: Any = None
    max_length: int | None = None
    pattern: str | None = None
    # AI / semantic
    description: str = ""
    synonyms: tuple[str, ...] | list[str] = ()
    sample_values: tuple[Any, ...] | list[Any] = ()
    semantic_type: str | None = None
    # OLAP
    role: str = ""
    aggregation: str | None = None
    unit: str | None = None
    # Display
    display_name: str | None = None
    format: str = ""
    category: str = "general"
    # Governance
    sensitivity: str = "public"
    deprecated: bool | str = False
    tags: tuple[str, ...] | list[str] = ()
    allowed_prefixes: tuple[str, ...] | list[str] = ()
    # Cross-layer
    legend_type: str | None = None
    dh_type_override: str | None = None
    # `python_type`, read.
    type: ColumnType = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        problems = list(self._take_lists())
        if not problems:
            problems = [*self._read_type(), *_naming_problems(self), *_meaning_problems(self)]
        if not problems:
            problems = list(_limit_problems(self))
        if not problems:
            problems = [*_value_problems(self), *_display_problems(self)]
        if problems:
            raise RegistryError(f"column {self.name!r}: {'; '.join(problems)}")

    def _take_lists(self) -> Iterator[str]:
        """Make tuples of the lists: a column does not change."""
        for name in _LISTS:
            given = getattr(self, name)
            if isinstance(given, (list, tuple)):
                object.__setattr__(self, name, tuple(given))
            elif given is None:
                # No enum allows every value, no synonyms are an empty list of them.
                object.__setattr__(self, name, None if name == "enum" else ())
            else:
                yield f"{name!r} must be a list, not {given!r}"

    def _read_type(self) -> Iterator[str]:
        try:
            kind = parse_type(self.python_type)
            check_records(kind)
        except TypeError as error:
            yield f"python_type {error}"
            return
        object.__setattr__(self, "type", kind)
        if isinstance(kind, Nullable):
            yield "python_type is Optional; give the type itself and nullable=True"
        elif isinstance(kind, AnyJson):
            yield "python_type must say what the values are, not Any"

    @property
    def title(self) -> str:
        """What people read over the column: `display_name`, or the name in words."""
        return self.display_name or self.name.replace("_", " ").capitalize()

    @property
    def default_aggregation(self) -> str:
        """How the column is summed up where nobody says: `aggregation`, else by role and unit.

        Measures add up unless their unit is a ratio, a duration or a price per something;
        dimensions are counted by their distinct values; attributes are not summed up.
        """
        if self.aggregation is not None:
            return self.aggregation
        if self.role == "measure":
            unit = self.unit or ""
            return "avg" if unit in INTENSIVE_UNITS or "/" in unit else "sum"
        return "count_distinct" if self.role == "dimension" else "none"

    def display(self, value: Any) -> str:
        """The value as people read it, by `format`; an empty text for None."""
        if value is None:
            return ""
        if isinstance(value, list):
            return ", ".join(map(self.display, value))
        return format(value.value if isinstance(value, Enum) else value, self.format)

    def __hash__(self) -> int:
        return hash(self.name)


def _naming_problems(column: ColumnDef) -> Iterator[str]:
    yield from _name_problems("a name", column.name)
    for prefix in column.allowed_prefixes:
        yield from _name_problems("an allowed prefix", prefix)
    names = [*column.synonyms, *column.tags]
    if not all(isinstance(name, str) and name.strip() for name in names):
        yield "synonyms and tags must be texts with something in them"
    if column.name in column.synonyms:
        yield "a synonym repeats the name"


def _name_problems(what: str, name: object) -> Iterator[str]:
    if (
        not isinstance(name, str)
        or not name.isidentifier()
        or keyword.iskeyword(name)
        or name.startswith("_")
        or name.endswith("_")
    ):
        yield f"{name!r} cannot be {what}: a Python identifier without outer underscores is needed"


def _meaning_problems(column: ColumnDef) -> Iterator[str]:
    allowed = ", ".join(map(repr, ROLES))
    if not column.role:
        yield f"'role' is required: one of {allowed}"
    elif column.role not in ROLES:
        yield f"role must be one of {allowed}, not {column.role!r}"
    if not isinstance(column.description, str) or not column.description.strip():
        yield "'description' is required: what the number or text means, for a stranger"
    if column.role == "measure" and not (column.unit and str(column.unit).strip()):
        yield "measures require 'unit', such as 'USD', 'shares' or 'ratio'"
    kind = getattr(column, "type", None)
    numeric = isinstance(kind, Scalar) and kind.python in NUMBERS
    if column.role == "measure" and kind is not None and not numeric:
        yield f"a measure is an int, float or Decimal, not {kind}"
    if column.aggregation is not None and column.aggregation not in AGGREGATIONS:
        yield f"aggregation must be one of {', '.join(AGGREGATIONS)}, not {column.aggregation!r}"
    elif column.aggregation in ("sum", "avg") and kind is not None and not numeric:
        yield f"aggregation {column.aggregation!r} needs numbers, not {kind}"
    if column.sensitivity not in SENSITIVITIES:
        yield f"sensitivity must be one of {', '.join(SENSITIVITIES)}, not {column.sensitivity!r}"
    if column.dh_type_override is not None and column.dh_type_override not in DEEPHAVEN_TYPES:
        yield (
            f"dh_type_override must be one of {', '.join(DEEPHAVEN_TYPES)}, "
            f"not {column.dh_type_override!r}"
        )
    if column.legend_type is not None and not re.fullmatch(r"\w+(::\w+)*", column.legend_type):
        yield f"legend_type must be a Pure type or path such as 'Float', not {column.legend_type!r}"


def _limit_problems(column: ColumnDef) -> Iterator[str]:
    kind = column.type
    python = kind.python if isinstance(kind, Scalar) else None
    limits = {"min_value": column.min_value, "max_value": column.max_value}
    for name, limit in limits.items():
        if limit is None:
            continue
        if python not in _ORDERED:
            yield f"{name} needs numbers, dates or times, not {kind}"
        elif type_check(kind)(limit) and not (python is Decimal and type(limit) is int):
            yield f"{name} {limit!r} is no {kind}"
    low, high = column.min_value, column.max_value
    if column.max_length is not None:
        if python is not str and not isinstance(kind, (ListOf, DictOf)):
            yield f"max_length needs str, list or dict, not {kind}"
        if type(column.max_length) is not int or column.max_length < 1:
            yield f"max_length must be a whole number above zero, not {column.max_length!r}"
    if column.pattern is not None:
        if python is not str:
            yield f"pattern needs str, not {kind}"
        try:
            re.compile(column.pattern)
        except (re.error, TypeError) as error:
            yield f"pattern {column.pattern!r} is broken: {error}"
    if column.enum is not None:
        if not isinstance(kind, (Scalar, EnumOf)):
            yield f"enum needs single values, not {kind}"
        elif not column.enum or len(set(map(repr, column.enum))) < len(column.enum):
            yield "enum must list at least one value, each once"
        else:
            bad = [value for value in column.enum if type_check(kind)(value)]
            if bad:
                yield f"enum values {bad!r} are no {kind}"
    try:
        if low is not None and high is not None and low > high:
            yield f"min_value {low!r} is above max_value {high!r}"
    except TypeError:
        yield f"min_value {low!r} and max_value {high!r} cannot be compared"


def _value_problems(column: ColumnDef) -> Iterator[str]:
    check = field_check(column, column.type, nullable=True)
    given = {"default": [column.default], "enum": column.enum or ()}
    given["sample_values"] = column.sample_values
    for name, values in given.items():
        for value in values:
            for problem in check(value):
                yield f"{name} {value!r} is against its own {problem.rule}: {problem.allowed}"


def _display_problems(column: ColumnDef) -> Iterator[str]:
    kind = column.type.item if isinstance(column.type, ListOf) else column.type
    if isinstance(kind, EnumOf):
        probe = next(iter(kind.python)).value
    else:
        probe = _PROBES[kind.python] if isinstance(kind, Scalar) else {}
    try:
        format(probe, column.format)
    except (ValueError, TypeError) as error:
        yield f"format {column.format!r} does not fit {column.type}: {error}"


# --- checks of the values of a field ----------------------------------------------------------


def field_check(column: ColumnDef, kind: ColumnType, *, nullable: bool) -> Check:
    """The check of a field of this type on this column."""
    of_type = type_check(kind)
    # An Enum over a column of str or int: its members were checked when the class was defined.
    over_values = isinstance(kind, EnumOf) and not isinstance(column.type, EnumOf)
    limits = [] if over_values else limits_of(column)
    null = GOOD if nullable else _NULL

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
    if not isinstance(kind, Scalar):
        return _never
    python = kind.python
    if python is datetime and not limits_of(column):
        return is_utc
    if python is Decimal and column.enum is None:
        return _quick_decimal(column)
    if python not in (str, int, float, bool):
        return _never
    if column.enum is not None:
        choices = frozenset(column.enum)
        return lambda value: value.__class__ is python and value in choices
    if python is str:
        return _quick_str(column)
    if python is bool:
        return lambda value: value is True or value is False
    greatest = sys.float_info.max if python is float else INT_MAX - 1
    low = -greatest if column.min_value is None else column.min_value
    high = greatest if column.max_value is None else column.max_value
    if python is float:
        return lambda value: value.__class__ is float and low <= value <= high
    return lambda value: value.__class__ is int and low <= value <= high


def _quick_decimal(column: ColumnDef) -> Callable[[Any], Any]:
    low, high = column.min_value, column.max_value
    if low is None and high is None:
        return is_short_decimal
    return lambda value: (
        is_short_decimal(value)
        and (low is None or value >= low)
        and (high is None or value <= high)
    )


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
