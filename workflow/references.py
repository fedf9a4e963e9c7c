"""References of functions, `module:qualname`, by which any process finds them.

reference, args = refer(settle, (trade_id,))     # "desk.settlement:settle"
function = resolve("desk.settlement:settle")
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from workflow.errors import FunctionNotFound, OptionError
from workflow.names import checked_name

# What `engine.register` was given, for the whole process.
_registered: dict[str, Callable[..., Any]] = {}


def register(name: str, function: Callable[..., Any]) -> None:
    """Register a function in this process under a name without `:`."""
    checked_name(name, "a function's name")
    if ":" in name:
        raise OptionError(f"{name!r} cannot be a function's name; it needs a text without ':'")
    known = _registered.setdefault(name, function)
    if known is not function:
        raise OptionError(f"{name!r} is the name of {known!r} already, in this process")


def registered_name(function: Callable[..., Any]) -> str | None:
    """Return the name that a function was registered under; None if it was not."""
    for name, known in _registered.items():
        if known is function:
            return name
    return None


def refer(
    function: Callable[..., Any] | str, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[str, tuple[Any, ...], dict[str, Any]]:
    """Return the reference of a function and the arguments that go with it.

    A bound method's object and the arguments of a `functools.partial` become arguments.
    FunctionNotFound if no other process could find it.
    """
    if isinstance(function, str):
        resolve(function)
        return function, args, kwargs
    name = registered_name(function)
    if name is not None:
        return name, args, kwargs
    if isinstance(function, functools.partial):
        merged = {**function.keywords, **kwargs}
        return refer(function.func, (*function.args, *args), merged)
    owner = getattr(function, "__self__", None)
    if owner is not None and not isinstance(owner, (type, ModuleType)):
        method = getattr(function, "__func__", None)
        if method is not None:
            return refer(method, (owner, *args), kwargs)
    refuse_coroutine(function)
    return _reference(function), args, kwargs


def name_of(function: Callable[..., Any]) -> str:
    """Return a name for people and for the check of a replay: `module.qualname`."""
    if isinstance(function, functools.partial):
        return name_of(function.func)
    qualname = getattr(function, "__qualname__", None) or type(function).__qualname__
    return f"{getattr(function, '__module__', None) or type(function).__module__}.{qualname}"


def refuse_coroutine(function: Callable[..., Any]) -> None:
    """Raise TypeError for an `async def`: steps and workflows are plain functions."""
    if inspect.iscoroutinefunction(function):
        raise TypeError(
            f"{name_of(function)} is an async function; give a plain one, which may call "
            "asyncio.run itself"
        )


def refuse_arguments(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    """Raise TypeError for arguments that a function cannot be called with."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return  # written in C, some say nothing of their parameters
    try:
        signature.bind(*args, **kwargs)
    except TypeError as error:
        raise TypeError(
            f"{name_of(function)}{signature} cannot be called with the arguments given: {error}"
        ) from None


def resolve(reference: str) -> Callable[..., Any]:
    """Return the function of a reference; FunctionNotFound says what is missing."""
    if reference in _registered:
        return _registered[reference]
    place, colon, qualname = reference.rpartition(":")
    if not colon:
        raise FunctionNotFound(
            f"no function is registered as {reference!r} in this process; call "
            f"engine.register({reference!r}, function) before the engine is launched"
        )
    try:
        found: Any = _module(place)
        for part in qualname.split("."):
            found = getattr(found, part)
    except Exception as error:  # a module may raise anything while it is imported
        raise FunctionNotFound(
            f"the function {reference!r} cannot be found: {_message_of(error)}; it must be "
            "importable here, under the name it had when the workflow was started"
        ) from error
    if not callable(found):
        raise FunctionNotFound(f"expected a function under {reference!r}, got {found!r}")
    return found  # type: ignore[no-any-return]


def _message_of(error: Exception) -> str:
    expected = isinstance(error, ImportError | AttributeError | OSError)
    return str(error) if expected else f"{type(error).__name__}: {error}"


def _reference(function: Callable[..., Any]) -> str:
    qualname = getattr(function, "__qualname__", None)
    place = getattr(function, "__module__", None)
    if qualname is None or place is None:
        raise _unfindable(function, "it has no name")
    if "<lambda>" in qualname:
        raise _unfindable(function, "it is a lambda")
    if "<locals>" in qualname:
        raise _unfindable(function, "it is defined inside another function")
    reference = f"{_main_place() if place == '__main__' else place}:{qualname}"
    # Equal, not the same: a class method is bound anew each time.
    if resolve(reference) != function:
        raise _unfindable(function, f"another object is found under {reference!r}")
    return reference


def _unfindable(function: Callable[..., Any], why: str) -> FunctionNotFound:
    return FunctionNotFound(
        f"{name_of(function)} cannot be found again by another process: {why}; define it at the "
        "top of a module, or call engine.register(name, function) in every process"
    )


def _main_place() -> str:
    """Return where other processes find `__main__` of this one: a module, or a file's path."""
    main = sys.modules["__main__"]
    spec = getattr(main, "__spec__", None)
    if spec is not None:
        return str(spec.name).removesuffix(".__main__")
    file = getattr(main, "__file__", None)
    if file is None:
        raise FunctionNotFound(
            "a function of an interactive session cannot be found by another process; define it "
            "in a module, or call engine.register(name, function) in every process"
        )
    return str(Path(file).resolve())


def _module(place: str) -> ModuleType:
    if not place.endswith(".py"):
        main = sys.modules["__main__"]
        spec = getattr(main, "__spec__", None)
        if spec is not None and spec.name in (place, f"{place}.__main__"):
            return main
        return importlib.import_module(place)
    main_file = getattr(sys.modules["__main__"], "__file__", None)
    if main_file is not None and str(Path(main_file).resolve()) == place:
        return sys.modules["__main__"]
    # As multiprocessing does: not "__main__", so that the script's own start does not run.
    name = f"__workflow_main__{place}"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, place)
        if spec is None or spec.loader is None:
            raise ImportError(f"{place} is no Python file")
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        try:
            spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[name]
            raise
    return sys.modules[name]
