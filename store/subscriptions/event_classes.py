"""The class that reads an event, and what is wrong with an event that it cannot read."""

from __future__ import annotations

from collections.abc import Iterable

from store.base import Storable
from store.columns import REGISTRY
from store.errors import RegistryError, SerializationError
from store.events import ChangeEvent
from store.registry import ColumnRegistry


class EventClasses:
    """Finds classes by the type names of events: one of `types`, or of the platform's catalog."""

    def __init__(self, types: Iterable[str | type[Storable]] = ()) -> None:
        self._known: dict[str, type[Storable]] = {}
        for each in types:
            if isinstance(each, type) and issubclass(each, Storable):
                self._known |= dict.fromkeys(each.type_names(), each)

    def get(self, type_name: str) -> type[Storable] | None:
        """The class that stores under a type name; None if this program knows none."""
        cls = self._known.get(type_name)
        if cls is None:
            try:
                found = REGISTRY.entity(type_name)
            except RegistryError:
                return None
            if issubclass(found, Storable):
                cls = self._known[type_name] = found
        return cls

    def problem(self, event: ChangeEvent) -> str | None:
        """Why an event is not as its class writes it; None if nothing is wrong with it.

        It cannot be parsed, does not fit its class, or breaks the rules of the catalog.
        """
        try:
            event.fields()
            cls = self.get(event.type_name)
            if cls is None:
                return None
            registry: ColumnRegistry = cls._registry
            violations = registry.validate_instance(cls.from_json(event.data or "{}"))
        except (SerializationError, TypeError, ValueError, ArithmeticError) as error:
            return str(error)
        return "; ".join(violations) or None
