"""Modules of earlier releases, by the paths that stored data may still refer to.

A pickle names the module of each class in it. Expressions, errors and objects that workflows stored
before the modules were grouped into sub-packages are loaded by these names.
"""

from __future__ import annotations

import sys
import types
from importlib import import_module
from typing import Any

MOVED = {
    "reactive.aggregate": "reactive.aggregates.aggregate",
    "reactive.choices": "reactive.expr",
    "reactive.exact": "reactive.aggregates.exact_sum",
    "reactive.explain": "reactive.graph.explain",
    "reactive.leaves": "reactive.expr",
    "reactive.operators": "reactive.expr",
    "reactive.text": "reactive.expr",
    "reactive.tracked": "reactive.old_paths",
    "reactive.types": "reactive.expr.types",
}
"""By the path of a former module: where its classes are now."""


class MovedModule(types.ModuleType):
    """Stands in the place of a module and looks its names up where they are now."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(import_module(MOVED[self.__name__]), name)


def register() -> None:
    """Let the old paths be imported."""
    for path, target in MOVED.items():
        sys.modules.setdefault(path, MovedModule(path, f"Moved to {target}."))


def _nothing() -> None:
    """Return what the node of a pickled object is: the copy is not tracked."""
