"""Strategies by name: `package.module:Class`, or `path/to/file.py:Class`."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from types import ModuleType
from typing import Any

from trading.errors import BacktestError
from trading.strategy import Strategy

__all__ = ["class_of", "load_strategy", "place_of"]


def load_strategy(
    where: str, parameters: Mapping[str, Any] | None = None, **options: Any
) -> Strategy:
    """Return a strategy by where its class is, with parameters set by name.

    The class may be left out where there is one alone. `options` are those of a strategy: name,
    symbols, timeframes. BacktestError says what was not found.
    """
    made = class_of(where)(**options, **(parameters or {}))
    if not isinstance(made, Strategy):
        raise BacktestError(f"{where} is no Strategy")
    return made


def class_of(where: str) -> type[Strategy]:
    """Return the class of a strategy by its module or file."""
    place, _, name = where.rpartition(":") if ":" in where else (where, "", "")
    path = Path(place)
    if path.suffix == ".py":
        module = _from_file(path)
    else:
        try:
            module = importlib.import_module(place)
        except ModuleNotFoundError as error:
            if error.name is not None and (place == error.name or place.startswith(error.name)):
                raise BacktestError(
                    f"there is no module {place!r}; write package.module:Class or file.py:Class"
                ) from None
            raise
    own = {
        each.__name__: each
        for each in vars(module).values()
        if isinstance(each, type)
        and issubclass(each, Strategy)
        and each.__module__ == module.__name__
    }
    if name:
        found = getattr(module, name, None)
        if isinstance(found, type) and issubclass(found, Strategy):
            return found
        raise BacktestError(
            f"{place} has no strategy {name!r}; it has {', '.join(sorted(own)) or 'none'}"
        )
    if len(own) == 1:
        return next(iter(own.values()))
    raise BacktestError(
        f"{place} has {len(own)} strategies ({', '.join(sorted(own)) or 'none'}); name the "
        f"one that is meant: {place}:Class"
    )


def _from_file(path: Path) -> ModuleType:
    if not path.exists():
        raise FileNotFoundError(f"{path} is not there; give a file of Python with a Strategy")
    whole = str(path.resolve())
    name = f"strategy_{path.stem}_{sha256(whole.encode()).hexdigest()[:8]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, whole)
    if spec is None or spec.loader is None:
        raise BacktestError(f"{path} cannot be loaded as Python")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise BacktestError(f"{path}: {type(error).__name__}: {error}") from error
    return module


def place_of(kind: type[Strategy]) -> str:
    """Return by what another process finds a class: its module, or the file that it was run from.

    BacktestError for a class that no other process can find.
    """
    module = sys.modules.get(kind.__module__)
    file = getattr(module, "__file__", None)
    if "<locals>" in kind.__qualname__ or module is None or file is None:
        raise BacktestError(
            f"{kind.__name__} cannot be found by other processes; put it at the top of a module or "
            "file, or use processes=1"
        )
    if kind.__module__ == "__main__" or kind.__module__.startswith("strategy_"):
        return f"{file}:{kind.__name__}"
    return f"{kind.__module__}:{kind.__name__}"
