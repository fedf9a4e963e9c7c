"""Classes that a command line names."""

from __future__ import annotations

import importlib

from store.base import Storable
from store.errors import StoreError


def class_named(name: str) -> type[Storable]:
    """The class of a module and name; StoreError where there is none."""
    module, _, attribute = name.rpartition(".")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise StoreError(
            f"no class {name!r} can be imported: {error}; give module and name, such as "
            "store.models.Trade, of a module that Python finds from here"
        ) from error
    if not (isinstance(found, type) and issubclass(found, Storable)):
        raise StoreError(f"expected a Storable class, got {name}")
    return found
