"""All errors of the packages travel between processes: they survive pickle, their text as well."""

from __future__ import annotations

import importlib
import inspect
import pickle
import pkgutil
from collections.abc import Iterator
from typing import Any

import pytest

from store.errors import Conflict, Violation

PACKAGES = (
    "reactive",
    "store",
    "workflow",
    "publishing",
    "bridge",
    "client",
    "server",
    "trading",
)
# Need Deephaven in the process as they are imported, and define no errors.
WITH_ENGINE = {
    *("server.app", "server.dashboard", "server.tables"),
    *("trading.desk.dashboard", "trading.desk.desk_tables", "trading.desk.screens"),
}
SAMPLES: dict[str, Any] = {
    "str": "asked",
    "object": "asked",
    "int": 7,
    "int | None": 7,
    "float": 1.5,
    "Sequence[Conflict]": [Conflict(2, "an id", 1, 4)],
    "list[str]": ["one", "two"],
    "dict[str, Any]": {"seen": 1},
    "Mapping[str, str] | None": {"Retry-After": "1"},
    "tuple[str, ...]": ("one", "two"),
    "Sequence[str]": ("one", "two"),
    "Iterable[object]": ("one", "two"),
    "Sequence[Violation]": [Violation("Trade", "price", -1.0, "min_value", "too low")],
    "Exception": ValueError("no"),
    "list[tuple[str, Exception]]": [("step", OSError("x"))],
}


def error_classes() -> Iterator[type[Exception]]:
    for name in PACKAGES:
        package = importlib.import_module(name)
        for module in pkgutil.walk_packages(package.__path__, f"{name}."):
            if module.name in WITH_ENGINE or module.name.endswith("__main__"):
                continue
            for value in vars(importlib.import_module(module.name)).values():
                is_error = isinstance(value, type) and issubclass(value, Exception)
                if is_error and value.__module__ == module.name:
                    yield value


BUILTINS = {
    "store.errors.AccessError": PermissionError,
    "store.errors.TransitionNotPermitted": PermissionError,
    "store.errors.Unavailable": ConnectionError,
    "store.errors.FenceTimeout": TimeoutError,
    "store.errors.SerializationError": ValueError,
    "store.errors.ValidationError": ValueError,
    "store.errors.EventIdReused": ValueError,
    "bridge.errors.NotRegistered": KeyError,
    "bridge.errors.EngineNotRunning": RuntimeError,
    "bridge.errors.BridgeClosed": RuntimeError,
    "workflow.errors.EngineUnavailable": ConnectionError,
    "workflow.errors.ResultTimeout": TimeoutError,
    "client.errors.AccessDenied": PermissionError,
    "client.errors.ViewOnly": PermissionError,
    "client.errors.TableNotFound": KeyError,
}


@pytest.mark.parametrize(("name", "builtin"), BUILTINS.items(), ids=BUILTINS)
def test_errors_that_python_has_a_name_for_are_its_own_too(
    name: str, builtin: type[Exception]
) -> None:
    module, _, kind = name.rpartition(".")
    assert issubclass(getattr(importlib.import_module(module), kind), builtin)


@pytest.mark.parametrize("kind", list(error_classes()), ids=lambda kind: kind.__name__)
def test_errors_survive_pickle(kind: type[Exception]) -> None:
    if kind.__init__ in (Exception.__init__, KeyError.__init__):
        error = kind("what was asked, what was seen, and what to do")
    else:
        parameters = list(inspect.signature(kind.__init__).parameters.values())[1:]
        named = [p for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
        values = {p: SAMPLES[str(p.annotation)] for p in named}
        keywords = {p.name: v for p, v in values.items() if p.kind is p.KEYWORD_ONLY}
        given = [v for p, v in values.items() if p.kind is not p.KEYWORD_ONLY]
        error = kind(*given if named else ("said",), **keywords)
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is kind
    assert str(again) == str(error)
    assert repr(vars(again)) == repr(vars(error))
