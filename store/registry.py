"""The registry of columns: what a field may be called, and which classes use it."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable
from dataclasses import is_dataclass
from typing import Any, Concatenate, ParamSpec

from store.errors import RegistryError, ValidationError, Violation, shown
from store.governance.checks import SCHEMA
from store.governance.class_schema import GovernedField, build_schema, schema_of
from store.governance.column import ColumnDef
from store.governance.column_types import python_type
from store.governance.governed_classes import Entities
from store.governance.search import rank, suggestion

__all__ = ["ColumnDef", "ColumnRegistry", "RegistryError"]

P = ParamSpec("P")


def _taking_arguments_of(
    _: Callable[P, ColumnDef],
) -> Callable[[Callable[..., ColumnDef]], Callable[Concatenate[ColumnRegistry, P], ColumnDef]]:
    """Let a method be typed and shown as one that takes what ColumnDef takes."""

    def mark(method: Any) -> Any:
        own = next(iter(inspect.signature(method).parameters.values()))
        arguments = inspect.signature(ColumnDef).parameters.values()
        method.__signature__ = inspect.Signature([own, *arguments])
        return method

    return mark


class ColumnRegistry:
    """A catalog of columns that governs classes; the platform's own is `store.columns.REGISTRY`.

    Safe to use from several threads. Tests make registries of their own: a class with
    `_registry = mine` in its body is governed by that one.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._columns: dict[str, ColumnDef] = {}
        # Every name that a field may have, prefixed ones too.
        self._names: dict[str, tuple[ColumnDef, str | None]] = {}
        self._entities = Entities()

    @_taking_arguments_of(ColumnDef)
    def define(self, *args: Any, **metadata: Any) -> ColumnDef:
        """Add a column, `define(name, python_type, *, role=..., description=..., ...)`.

        Takes what `ColumnDef` takes. RegistryError where a rule is broken, a limit contradicts
        another or the name is already defined, alone or as a prefixed one; nothing is added then.
        """
        column = ColumnDef(*args, **metadata)
        names: dict[str, tuple[ColumnDef, str | None]] = {column.name: (column, None)}
        names.update((f"{each}_{column.name}", (column, each)) for each in column.allowed_prefixes)
        with self._lock:
            for name in names:
                if name in self._names:
                    other, prefix = self._names[name]
                    how = f", as {other.name!r} with prefix {prefix!r}" if prefix else ""
                    raise RegistryError(
                        f"column {name!r} is already defined{how}: {other.description}"
                    )
            self._columns[column.name] = column
            self._names.update(names)
        return column

    def get(self, name: str) -> ColumnDef:
        """The column of a field name, prefixed or not; RegistryError if there is none."""
        return self.resolve(name)[0]

    def resolve(self, name: str) -> tuple[ColumnDef, str | None]:
        """The column and the prefix of a field name: `trader_name` is column `name`, `"trader"`.

        RegistryError names what may have been meant.
        """
        found = self._names.get(name) if isinstance(name, str) else None
        if found is None:
            raise RegistryError(self._unknown(str(name)))
        return found

    def has(self, name: str) -> bool:
        """Whether a field may have this name, prefixed or not."""
        return name in self._names

    def is_prefixed(self, name: str) -> bool:
        """Whether it is a column with one of its allowed prefixes, such as `trader_name`."""
        return self._names.get(name, (None, None))[1] is not None

    def prefixed_columns(self, name: str) -> list[str]:
        """The names that the prefixes of a column allow, in the order of the prefixes."""
        column = self.get(name)
        return [f"{prefix}_{column.name}" for prefix in column.allowed_prefixes]

    def all_columns(self) -> dict[str, ColumnDef]:
        """All columns by name, in the order of their definition."""
        with self._lock:
            return dict(self._columns)

    def find(
        self,
        text: str = "",
        *,
        role: str | None = None,
        category: str | None = None,
        semantic_type: str | None = None,
        tag: str | None = None,
    ) -> list[ColumnDef]:
        """Search the catalog as a stranger would; best first.

        A text is looked for in names, titles and synonyms, then in descriptions; the keywords
        narrow the result and do without a text.
        """
        ranked: list[tuple[int, ColumnDef]] = []
        for column in self.all_columns().values():
            wanted = (
                role in (None, column.role)
                and category in (None, column.category)
                and semantic_type in (None, column.semantic_type)
                and (tag is None or tag in column.tags)
            )
            place = rank(column, text) if wanted else None
            if place is not None:
                ranked.append((place, column))
        return [column for _, column in sorted(ranked, key=lambda pair: pair[0])]

    def validate_class(self, cls: type) -> None:
        """Check a class against the catalog and take it up among the entities.

        RegistryError names every field that breaks a rule; the class is not taken up then.
        """
        schema = build_schema(cls, self)
        if getattr(cls, "_registry", self) is self:
            setattr(cls, SCHEMA, schema)
        self._entities.add(cls)

    def validate_instance(self, obj: object) -> list[Violation]:
        """Every value of an object that breaks a rule; an empty list when it is good.

        A field that still holds its class's default is good, even outside of the limits.
        RegistryError for what can have no fields: a class itself, a number, a list.
        """
        # A dataclass of a program that is run by exec() has this module's name, too.
        bare = type(obj).__module__ == "builtins" and not is_dataclass(obj)
        if isinstance(obj, type) or bare:
            raise RegistryError(f"{shown(obj)} is no object of a governed class; give an instance")
        return schema_of(type(obj), self).violations(obj)

    def validate(self, obj: object) -> None:
        """Raise ValidationError with every violation of an object, if there are any."""
        violations = self.validate_instance(obj)
        if violations:
            raise ValidationError(violations)

    def entities(self) -> list[type]:
        """The governed classes that are alive, in the order of their definition."""
        return self._entities.all()

    def entity(self, type_name: str) -> type:
        """The class that stores under a type name, or did so under an earlier one."""
        return self._entities.named(type_name)

    def entities_with(self, name: str) -> list[type]:
        """The classes with a field on this column, prefixed or not, or of this very name."""
        column = self.get(name)
        wanted = {name} if self.is_prefixed(name) else {name, *self.prefixed_columns(column.name)}
        return [
            cls for cls in self.entities() if not wanted.isdisjoint(schema_of(cls, self).fields)
        ]

    def columns_for(self, cls: type) -> list[ColumnDef]:
        """The columns of a class, in the order of its fields."""
        return [field.column for field in self.fields_for(cls)]

    def fields_for(self, cls: type) -> list[GovernedField]:
        """The fields of a class with their columns, precise types, nullability and defaults."""
        return list(schema_of(cls, self).fields.values())

    def types_for(self, cls: type) -> dict[str, Any]:
        """The Python type of each field in JSON, `float` or `float | None`, for type checks.

        An Enum counts as the type of its values, as in SQL; a container as `list` or `dict`.
        """
        found = {}
        for field in self.fields_for(cls):
            kind = python_type(field.type)
            found[field.name] = kind | None if field.nullable else kind
        return found

    def _unknown(self, name: str) -> str:
        """Say that a name is not defined, why, and what may have been meant."""
        text = f"column {name!r} is not defined"
        columns = self.all_columns()
        bases = [base for base in columns if name.endswith(f"_{base}")]
        if bases:
            column = columns[max(bases, key=len)]
            allowed = ", ".join(map(repr, column.allowed_prefixes)) or "it has none"
            prefix = name.removesuffix(f"_{column.name}")
            text += f": {prefix!r} is not an allowed prefix of {column.name!r}; allowed: {allowed}"
        meant = suggestion(name, columns.values(), self._names)
        if meant is not None:
            return f"{text}; did you mean {meant}?"
        return text if bases else f"{text} in the catalog"
