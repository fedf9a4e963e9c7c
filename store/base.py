"""Storable: the base of everything that is kept in the store."""

from __future__ import annotations

import copy
from collections.abc import Callable
from datetime import datetime
from typing import Any, ClassVar, TypeVar

from store.columns import REGISTRY
from store.errors import RegistryError
from store.registry import ColumnRegistry
from store.serialization.codec import codec_of
from store.serialization.upcasting import upcaster, upcasters_of
from store.state_machine import StateMachine

__all__ = ["Storable", "upcaster"]

S = TypeVar("S", bound="Storable")
# Set on an object, these are shared by its copies: they are services, not data.
_SERVICES = ("_state_machine", "_workflow_engine", "_registry")


class Storable:
    """Base of the dataclasses that the store keeps; every field is a column of the catalog.

    A class with a field that breaks the catalog's rules raises RegistryError at its definition.
    What the store knows of an object (`_store_*`) is None before the first write, and is no part
    of its JSON, equality or repr. `copy.copy` and pickle keep it: the copy is the same entity
    at the same version. `dataclasses.replace` makes a new object that was never written.
    """

    _store_entity_id: str | None = None
    _store_version: int | None = None
    _store_owner: str | None = None
    _store_updated_by: str | None = None
    _store_tx_time: datetime | None = None
    _store_valid_from: datetime | None = None
    _store_valid_to: datetime | None = None
    _store_state: str | None = None
    _store_event_type: str | None = None
    # The entity's newest version when the object was read or written: what a write builds on.
    # It is above `_store_version` where a newer version holds for another period only.
    _store_newest_version: int | None = None

    _state_machine: Any = None
    _workflow_engine: Any = None
    # The catalog that governs the class; a test may set one of its own in the class body.
    _registry: ClassVar[ColumnRegistry] = REGISTRY
    # Names that the class stored under before it was moved or renamed; not inherited.
    _type_aliases: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        upcasters_of(cls)
        _check_type_name(cls)
        cls._registry.validate_class(cls)
        machine = vars(cls).get("_state_machine")
        if isinstance(machine, type) and issubclass(machine, StateMachine):
            names = [field.name for field in cls._registry.fields_for(cls)]
            machine.check_fields(cls.__name__, dict.fromkeys(names, Any))

    @classmethod
    def type_name(cls) -> str:
        """The name that events of this class are stored under: `module.QualName`.

        A class that overrides it can be moved and renamed; `_type_aliases` does so afterwards.
        """
        return f"{cls.__module__}.{cls.__qualname__}"

    @classmethod
    def type_names(cls) -> tuple[str, ...]:
        """`type_name()`, then the names of `_type_aliases`: all that its events may carry."""
        return (cls.type_name(), *vars(cls).get("_type_aliases", ()))

    def to_json(self) -> str:
        """The fields as canonical JSON text: numbers as numbers, times as sortable text in UTC.

        SerializationError names a value without an exact form, such as NaN. The catalog's limits
        are not checked here; `REGISTRY.validate` does that.
        """
        return codec_of(type(self)).to_text(self)

    @classmethod
    def from_json(cls: type[S], text: str | bytes) -> S:
        """The object of a JSON text, lifted by the class's upcasters if it is of an older version.

        Unknown keys are ignored; a missing field gets its default. SerializationError says where
        the text does not fit the class.
        """
        obj: S = codec_of(cls).from_text(text)
        return obj

    def __copy__(self: S) -> S:
        return _rebuild(type(self), _attributes(self))

    def __deepcopy__(self: S, memo: dict[int, Any]) -> S:
        twin = _rebuild(type(self), {})
        memo[id(self)] = twin
        for name, value in _attributes(self).items():
            own = value if name in _SERVICES else copy.deepcopy(value, memo)
            object.__setattr__(twin, name, own)
        return twin

    def __reduce__(self: S) -> tuple[Callable[..., S], tuple[type[S], dict[str, Any]]]:
        # An engine holds connections and threads: the object finds its class's again.
        kept = {
            name: part for name, part in _attributes(self).items() if name != "_workflow_engine"
        }
        return _rebuild, (type(self), kept)


def _attributes(obj: Storable) -> dict[str, Any]:
    names = getattr(obj, "__dataclass_fields__", ())
    in_slots = {name: getattr(obj, name) for name in names if hasattr(obj, name)}
    return {**in_slots, **vars(obj)}


def _rebuild(cls: type[S], attributes: dict[str, Any]) -> S:
    obj = object.__new__(cls)
    for name, value in attributes.items():
        object.__setattr__(obj, name, value)
    return obj


def _check_type_name(cls: type[Storable]) -> None:
    """An overridden `type_name` is inherited, but two classes must not share their events."""
    for base in cls.__mro__[1:]:
        overrides = "type_name" in vars(base) and base is not Storable
        if overrides and issubclass(base, Storable) and base.type_name() == cls.type_name():
            raise RegistryError(
                f"class {cls.__name__} is refused: it inherits the type_name() "
                f"{cls.type_name()!r} of {base.__name__}; give it one of its own"
            )
