"""Former names of public things: they still work, and warn of themselves."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any


def former_names(
    module: str, names: Mapping[str, str], present: Mapping[str, Any]
) -> Callable[[str], Any]:
    """A `__getattr__` for a module: each former name gives what is in `present` by the new one."""

    def find(name: str) -> Any:
        if name not in names:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        warn_of(f"{module}.{name}", f"{module}.{names[name]}", stacklevel=3)
        return present[names[name]]

    return find


def warn_of(former: str, name: str, stacklevel: int = 3) -> None:
    """Warn the caller of the caller that a name is another one now."""
    warnings.warn(f"{former} is now {name}", DeprecationWarning, stacklevel=stacklevel)
