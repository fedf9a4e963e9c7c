"""The governed classes that are alive, by name."""

from __future__ import annotations

import threading
import weakref

from store.errors import RegistryError
from store.governance.annotations import own_field_names


class Entities:
    """Governed classes, weakly held: one that nobody uses any more is forgotten.

    Of a class that was defined again, as in a notebook, the newest counts.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._classes: list[weakref.ref[type]] = []

    def add(self, cls: type) -> None:
        """Take up a class, once."""
        with self._lock:
            alive = [known for known in self._classes if known() not in (None, cls)]
            self._classes = [*alive, weakref.ref(cls)]

    def all(self) -> list[type]:
        """The classes with fields, in the order of their definition."""
        # By name only now: `slots=True` makes a class that gets its full name afterwards.
        newest: dict[str, type] = {}
        for known in self._classes:
            cls = known()
            if cls is not None and _is_finished(cls):
                newest[f"{cls.__module__}.{cls.__qualname__}"] = cls
        return list(newest.values())

    def named(self, type_name: str) -> type:
        """The class that stores under this name, or did once; RegistryError if none does."""
        found = [cls for cls in self.all() if type_name in names_of(cls)]
        if len(found) == 1:
            return found[0]
        if not found:
            known = ", ".join(sorted(names_of(cls)[0] for cls in self.all())) or "none"
            raise RegistryError(
                f"no class stores as {type_name!r}; import its module, or name it among the "
                f"_type_aliases of the class that took its place; known are: {known}"
            )
        both = " and ".join(f"{cls.__module__}.{cls.__qualname__}" for cls in found)
        raise RegistryError(f"{type_name!r} is claimed by {both}; one of them must give it up")


def names_of(cls: type) -> tuple[str, ...]:
    """The name that a class stores under, then the names it had before."""
    names: tuple[str, ...]
    if hasattr(cls, "type_names"):
        names = cls.type_names()
    else:
        names = (f"{cls.__module__}.{cls.__qualname__}",)
    return names


def _is_finished(cls: type) -> bool:
    """Whether a class has fields and `dataclass` has finished with it.

    It runs after the class was checked, and may still refuse it.
    """
    if own_field_names(cls):
        body = vars(cls)
        parameters = body.get("__dataclass_params__")
        made = parameters is not None and ("__init__" in body or not parameters.init)
        # These two are the last that it sets.
        return made and ("__match_args__" in body or body["__doc__"] is not None)
    return bool(getattr(cls, "__dataclass_fields__", {}))
