"""Names of a package that are imported when they are asked for.

A process that uses one part of a package need not load the others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any

__all__ = ["on_demand"]


def on_demand(
    package: str, homes: Mapping[str, Sequence[str]], namespace: dict[str, Any]
) -> Callable[[str], Any]:
    """Return a `__getattr__` for a package: `homes` are modules with the names from each.

    What was asked for once is in `namespace`, the package's `globals()`, from then on.
    AttributeError for other names.
    """

    def find(name: str) -> Any:
        for module, names in homes.items():
            if name in names:
                found = namespace[name] = getattr(import_module(module), name)
                return found
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    return find
