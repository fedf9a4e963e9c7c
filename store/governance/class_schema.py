"""A governed class: its fields with their columns, made while the class is being defined."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import MISSING, dataclass
from operator import attrgetter
from types import FunctionType
from typing import Any, Protocol

from store.errors import RegistryError, Violation, shown
from store.governance.annotations import (
    AnnotatedField,
    Unresolved,
    annotated_fields,
    check_records,
    defining_frames,
    init_vars_without_default,
    record_types,
)
from store.governance.checks import GOOD, SCHEMA, Problem, Problems, inside, type_check
from store.governance.column import ColumnDef, field_check, limits_of, quick_check
from store.governance.column_types import (
    ColumnType,
    EnumOf,
    meet,
    parse_type,
    split_optional,
    type_text,
)


class Catalog(Protocol):
    """What a class is checked against, such as `store.registry.ColumnRegistry`."""

    def resolve(self, name: str) -> tuple[ColumnDef, str | None]:
        """The column and the prefix of a field name; RegistryError if it is not defined."""


@dataclass(frozen=True)
class GovernedField:
    """A field of a governed class: its column, and what the class says beyond it.

    `prefix` is `"trader"` for `trader_name`. `type` is the column's type, or a more precise one
    that the class declares. `nullable` tells whether its values may be None. `default` and
    `factory` are `dataclasses.MISSING` where the class gives none.
    """

    name: str
    column: ColumnDef
    prefix: str | None
    type: ColumnType
    nullable: bool
    default: Any
    factory: Callable[[], Any] | Any

    @property
    def title(self) -> str:
        """What people read over the field."""
        if self.prefix is None:
            return self.column.title
        words = self.prefix.replace("_", " ").capitalize()
        return f"{words} {self.column.title[:1].lower()}{self.column.title[1:]}"

    @property
    def is_secret(self) -> bool:
        """Whether messages must not show its values."""
        return self.column.sensitivity in ("confidential", "restricted")

    @property
    def may_be_missing(self) -> bool:
        """Whether there is a value for it where JSON lacks it."""
        has_default = self.default is not MISSING or self.factory is not MISSING
        return has_default or self.nullable or self.column.default is not None

    def class_default(self) -> Any:
        """The default that the class gives, made anew by its factory; or `MISSING`."""
        return self.default if self.factory is MISSING else self.factory()

    def is_default(self, value: Any) -> bool:
        """Whether a value is the default of the class, of the same type."""
        default = self.class_default()
        return type(default) is type(value) and bool(default == value)


class ClassSchema:
    """The governed fields of one class, by one registry, and the check of its instances."""

    def __init__(self, cls: type, registry: Catalog, fields: list[GovernedField]) -> None:
        self.class_name = cls.__name__
        self.registry = registry
        self.fields = {field.name: field for field in fields}
        self.checks = tuple(
            field_check(field.column, field.type, nullable=field.nullable) for field in fields
        )
        # What is true here is good; what is not has to be looked at by the check.
        self.quick = tuple(quick_check(field.column, field.type) for field in fields)
        self._values = values_getter(tuple(self.fields))

    def problems(self, obj: Any) -> Problems:
        """What is wrong with an instance; a field left at its class's default is not."""
        values = self._values(obj)
        for quick, check, value in zip(self.quick, self.checks, values):  # noqa: B905 - speed
            if not quick(value) and check(value):
                break
        else:
            return GOOD
        found: list[Problem] = []
        for field, check, value in zip(self.fields.values(), self.checks, values, strict=True):
            problems = check(value)
            if problems and not field.is_default(value):
                found += (
                    problem._replace(secret=field.is_secret or problem.secret)
                    for problem in inside([(field.name, value, problems)])
                )
        return tuple(found)

    def violations(self, obj: Any) -> list[Violation]:
        """The problems of an instance, each with its class, value and a message."""
        return [
            Violation(
                self.class_name,
                problem.path,
                problem.value,
                problem.rule,
                f"{self.class_name}.{problem.path}: "
                f"{'a value' if problem.secret else shown(problem.value)} "
                f"breaks {problem.rule}: {problem.allowed}",
            )
            for problem in self.problems(obj)
        ]


def values_getter(names: tuple[str, ...]) -> Callable[[Any], tuple[Any, ...]]:
    """A function that reads these attributes of an object, as a tuple."""
    if len(names) > 1:
        return attrgetter(*names)
    return lambda obj: tuple(getattr(obj, name) for name in names)


def build_schema(cls: type, registry: Catalog) -> ClassSchema:
    """Read a class by the rules of a registry; RegistryError names everything that breaks one."""
    problems = [
        f"InitVar {name!r} needs a default: it is not kept, so an object could not be made again"
        for name in init_vars_without_default(cls)
    ]
    fields: list[GovernedField] = []
    for declared in annotated_fields(cls):
        try:
            fields.append(_govern(cls, declared, registry))
        except RegistryError as error:
            problems.append(str(error))
    if problems:
        told = f" {problems[0]}" if len(problems) == 1 else "\n  ".join(["", *problems])
        raise RegistryError(f"class {cls.__name__} is refused:{told}")
    # `slots=True` makes the class a second time: one warning will do.
    if "__dataclass_fields__" not in vars(cls):
        _warn_of_deprecated(cls, fields)
    return ClassSchema(cls, registry, fields)


def schema_of(cls: type, registry: Catalog) -> ClassSchema:
    """The schema of a class, made now if this registry has not seen it yet."""
    kept = vars(cls).get(SCHEMA)
    if isinstance(kept, ClassSchema) and kept.registry is registry:
        return kept
    return build_schema(cls, registry)


def field_types(cls: type) -> dict[str, ColumnType]:
    """The type of each field of a governed class or of a plain dataclass."""
    schema = vars(cls).get(SCHEMA)
    if isinstance(schema, ClassSchema):
        return {name: field.type for name, field in schema.fields.items()}
    return record_types(cls)


def governed(cls: type) -> ClassSchema:
    """The schema of a class that a registry has taken up; RegistryError for any other class."""
    schema = vars(cls).get(SCHEMA)
    if not isinstance(schema, ClassSchema):
        raise RegistryError(
            f"class {cls.__name__} is not governed; make it a Storable, or let a registry check it "
            "with validate_class"
        )
    return schema


def _govern(cls: type, declared: AnnotatedField, registry: Catalog) -> GovernedField:
    name = declared.name
    column, prefix = registry.resolve(name)
    if isinstance(declared.annotation, Unresolved):
        raise RegistryError(f"column {name!r}: {declared.annotation.reason}")
    hidden = _hidden_method(cls, name)
    if hidden is not None:
        raise RegistryError(f"column {name!r}: as a field it would hide the method {hidden}")
    kind = _field_type(cls, name, declared.annotation, column)
    default = declared.default
    if default is not MISSING and default is not None:
        for problem in type_check(kind)(default):
            raise RegistryError(f"column {name!r}: the default {shown(default)}: {problem.allowed}")
    nullable = column.nullable or default is None
    return GovernedField(name, column, prefix, kind, nullable, default, declared.factory)


def _field_type(cls: type, name: str, annotation: Any, column: ColumnDef) -> ColumnType:
    inner, optional = split_optional(annotation)
    if optional and not column.nullable:
        raise RegistryError(
            f"column {name!r}: {cls.__name__}.{name} is Optional, but the column is not nullable; "
            f"declare it as {column.type}, or define the column with nullable=True"
        )
    try:
        declared = parse_type(inner, pending=cls)
        check_records(declared)
        kind = meet(declared, column.type)
    except TypeError:
        kind = None  # A type that no column can have matches none.
    if kind is None:
        raise RegistryError(
            f"column {name!r}: type {type_text(inner)} of {cls.__name__}.{name} does not match "
            f"the catalog's {column.type}"
        )
    if isinstance(kind, EnumOf) and not isinstance(column.type, EnumOf):
        for member in kind.python:
            for is_good, broken in limits_of(column):
                if not is_good(member.value):
                    raise RegistryError(
                        f"column {name!r}: {member} is against the catalog's {broken[0].rule}: "
                        f"{broken[0].allowed}"
                    )
    return kind


def _hidden_method(cls: type, name: str) -> str | None:
    methods = (FunctionType, classmethod, staticmethod, property)
    for base in cls.__mro__[1:]:
        if isinstance(vars(base).get(name), methods):
            return f"{base.__name__}.{name}"
    return None


def _warn_of_deprecated(cls: type, fields: list[GovernedField]) -> None:
    for field in fields:
        advice = field.column.deprecated
        if advice:
            text = f"{cls.__name__}.{field.name}: column {field.column.name!r} is deprecated"
            text += f": {advice}" if isinstance(advice, str) else ""
            frame = next(defining_frames(cls), None)
            if frame is None:
                warnings.warn(text, DeprecationWarning, stacklevel=2)
            else:
                warnings.warn_explicit(
                    text, DeprecationWarning, frame.f_code.co_filename, frame.f_lineno
                )
