"""Modules of earlier releases, by the paths that pickles may still refer to.

A pickle names the module of each class in it. What workflows stored of the store's answers before
the modules were grouped into sub-packages, such as a page of a query, is loaded by these names.
"""

from __future__ import annotations

import sys
import types
from importlib import import_module
from typing import Any

MOVED = {
    "store.annotations": "store.governance.annotations",
    "store.as_read": "store.entities.as_read",
    "store.checkpoints": "store.subscriptions.checkpoints",
    "store.checks": "store.governance.checks",
    "store.class_schema": "store.governance.class_schema",
    "store.column": "store.governance.column",
    "store.column_types": "store.governance.column_types",
    "store.event_bus": "store.subscriptions.event_bus",
    "store.log": "store.subscriptions.event_log",
    "store.querying": "store.entities.query",
    "store.reading": "store.entities.reader",
    "store.rows": "store.entities.rows",
    "store.subscription_status": "store.subscriptions.status",
    "store.transitions": "store.entities.transitions",
    "store.unreadable": "store.entities.unreadable",
}
"""By the path of a former module with classes that a pickle may hold: where they are now."""
RENAMED = {"State": "SubscriptionState", "Taken": "SubscriptionHeld"}
"""By its former name: what such a class is called now."""


class MovedModule(types.ModuleType):
    """Stands in the place of a module and looks its names up where they are now."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(import_module(MOVED[self.__name__]), RENAMED.get(name, name))


def register() -> None:
    """Let the old paths be imported."""
    for path, target in MOVED.items():
        sys.modules.setdefault(path, MovedModule(path, f"Moved to {target}."))
