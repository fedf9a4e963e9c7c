"""The types that a column may have: those with one exact form in JSON."""

from __future__ import annotations

import types
from collections.abc import Callable
from dataclasses import dataclass, is_dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Generic, NewType, TypeAlias, TypeVar, Union, get_args, get_origin
from uuid import UUID

SCALARS = (str, int, float, bool, Decimal, datetime, date, UUID)
NUMBERS = (int, float, Decimal)
ALLOWED = (
    "str, int, float, bool, Decimal, datetime, date, UUID, an Enum of str or int values, "
    "a dataclass, list[...] and dict[str, ...] of these"
)


@dataclass(frozen=True)
class Scalar:
    """One of `SCALARS`."""

    python: type

    def __str__(self) -> str:
        return self.python.__name__


@dataclass(frozen=True)
class EnumOf:
    """An Enum class; its members are kept by value, all str or all int."""

    python: type[Enum]

    def __str__(self) -> str:
        return self.python.__name__

    @property
    def value_type(self) -> type:
        """The type of the members' values: str or int."""
        return str if isinstance(next(iter(self.python)).value, str) else int


@dataclass(frozen=True)
class Record:
    """A dataclass, kept as a JSON object."""

    python: type

    def __str__(self) -> str:
        return self.python.__name__


@dataclass(frozen=True)
class ListOf:
    """A list with items of one type."""

    item: ColumnType

    def __str__(self) -> str:
        return "list" if self.item == AnyJson() else f"list[{self.item}]"


@dataclass(frozen=True)
class DictOf:
    """A dict with str keys and values of one type."""

    value: ColumnType

    def __str__(self) -> str:
        return "dict" if self.value == AnyJson() else f"dict[str, {self.value}]"


@dataclass(frozen=True)
class Nullable:
    """A type, or None."""

    inner: ColumnType

    def __str__(self) -> str:
        return f"Optional[{self.inner}]"


@dataclass(frozen=True)
class AnyJson:
    """Free-form JSON: None, bool, int, float, str, lists and dicts of these."""

    def __str__(self) -> str:
        return "Any"


@dataclass(frozen=True)
class TypeParam:
    """A type variable of a generic class that no subclass has filled in yet."""

    name: str
    options: tuple[ColumnType, ...]

    def __str__(self) -> str:
        return self.name


ColumnType: TypeAlias = (
    "Scalar | EnumOf | Record | ListOf | DictOf | Nullable | AnyJson | TypeParam"
)

T = TypeVar("T")


@dataclass(frozen=True)
class PerType(Generic[T]):
    """Something that there is for every type, such as a check or a JSON writer.

    `of` makes it for a type from what it is for the parts of the type. It is made here for all who
    need one, so that a new kind of type is a new field, which mypy asks everybody for.
    """

    scalar: Callable[[type], T]
    enum: Callable[[EnumOf], T]
    record: Callable[[type], T]
    list_of: Callable[[T], T]
    dict_of: Callable[[T], T]
    nullable: Callable[[T], T]
    # Of any JSON, and of a type variable that is still open.
    any_json: T

    def of(self, kind: ColumnType) -> T:
        """What it is for one type."""
        match kind:
            case Scalar(python=python):
                return self.scalar(python)
            case EnumOf():
                return self.enum(kind)
            case Record(python=record):
                return self.record(record)
            case ListOf(item=item):
                return self.list_of(self.of(item))
            case DictOf(value=value):
                return self.dict_of(self.of(value))
            case Nullable(inner=inner):
                return self.nullable(self.of(inner))
            case AnyJson() | TypeParam():
                return self.any_json


def parse_type(annotation: Any, pending: type | None = None) -> ColumnType:
    """Read a resolved annotation; TypeError where it has no exact JSON form.

    `pending` is the class whose body is being read: it may refer to itself before it is a
    dataclass.
    """
    annotation = strip_annotation(annotation)
    inner, optional = split_optional(annotation)
    if optional:
        return Nullable(parse_type(inner, pending))
    if annotation is Any or annotation is object:
        return AnyJson()
    if isinstance(annotation, TypeVar):
        options = annotation.__constraints__ or (
            (annotation.__bound__,) if annotation.__bound__ is not None else ()
        )
        return TypeParam(annotation.__name__, tuple(parse_type(o, pending) for o in options))
    origin, arguments = get_origin(annotation) or annotation, get_args(annotation)
    if origin is list:
        return ListOf(parse_type(arguments[0], pending) if arguments else AnyJson())
    if origin is dict:
        if not arguments:
            return DictOf(AnyJson())
        if arguments[0] is not str:
            raise TypeError(f"{type_text(annotation)} has keys that are not str")
        return DictOf(parse_type(arguments[1], pending))
    if isinstance(origin, type):
        if origin in SCALARS:
            return Scalar(origin)
        if issubclass(origin, Enum):
            return _parse_enum(origin)
        if origin is pending or is_dataclass(origin):
            return Record(origin)
    raise TypeError(f"{type_text(annotation)} has no exact form in JSON; allowed are {ALLOWED}")


def _parse_enum(enum: type[Enum]) -> EnumOf:
    values = [member.value for member in enum]
    if values and all(isinstance(value, str) for value in values):
        return EnumOf(enum)
    if values and all(isinstance(value, int) and not isinstance(value, bool) for value in values):
        return EnumOf(enum)
    raise TypeError(f"the values of {enum.__name__} must be all str or all int, at least one")


def strip_annotation(annotation: Any) -> Any:
    """Take off `Annotated[...]` and `NewType`, which change nothing about the values."""
    while True:
        if get_origin(annotation) is Annotated:
            annotation = get_args(annotation)[0]
        elif isinstance(annotation, NewType):
            annotation = annotation.__supertype__
        else:
            return annotation


def split_optional(annotation: Any) -> tuple[Any, bool]:
    """`Optional[X]` as `(X, True)`, anything else as `(itself, False)`."""
    annotation = strip_annotation(annotation)
    if get_origin(annotation) in (Union, types.UnionType):
        rest = [option for option in get_args(annotation) if option is not type(None)]
        if len(rest) == 1:
            return strip_annotation(rest[0]), True
    return annotation, False


def type_text(annotation: Any) -> str:
    """An annotation as people write it: `str`, `list[str]`, `float | None`."""
    if isinstance(annotation, type) and not get_args(annotation):
        return annotation.__name__
    return (
        annotation.__name__
        if isinstance(annotation, TypeVar)
        else str(annotation).replace("typing.", "")
    )


def python_type(kind: ColumnType) -> Any:
    """What `isinstance` would be asked of the values of a type, an Enum's by their values."""
    match kind:
        case Scalar(python=python) | Record(python=python):
            return python
        case EnumOf():
            return kind.value_type
        case ListOf():
            return list
        case DictOf():
            return dict
    return object


def meet(declared: ColumnType, column: ColumnType) -> ColumnType | None:
    """The type of a field declared as one type on a column of another; None if they disagree.

    They agree when they are equal, where one of them leaves a part open (`list` and
    `list[str]`), and for an Enum over a column of its values' type.
    """
    match declared, column:
        case AnyJson(), _:
            return column
        case TypeParam(options=options), _:
            found = (meet(option, column) for option in options)
            return next((each for each in found if each is not None), None) if options else column
        case ListOf(item=left), (ListOf() | AnyJson()):
            item = meet(left, column.item if isinstance(column, ListOf) else column)
            return None if item is None else ListOf(item)
        case DictOf(value=left), (DictOf() | AnyJson()):
            value = meet(left, column.value if isinstance(column, DictOf) else column)
            return None if value is None else DictOf(value)
        case Nullable(inner=left), (Nullable() | AnyJson()):
            inner = meet(left, column.inner if isinstance(column, Nullable) else column)
            return None if inner is None else Nullable(inner)
        case EnumOf(), Scalar(python=python) if declared.value_type is python:
            return declared
    return declared if declared == column or isinstance(column, AnyJson) else None
