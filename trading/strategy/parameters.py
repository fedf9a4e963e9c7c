"""Typed parameters of a strategy: checked when it is made, set by name, hashed for the record."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from difflib import get_close_matches
from hashlib import sha256
from typing import Any

import msgspec

from trading.decoding import converted
from trading.errors import StrategyError

__all__ = [
    "NoParameters",
    "make_parameters",
    "parameters_hash",
    "parameters_json",
    "parameters_of",
]


@dataclasses.dataclass(frozen=True)
class NoParameters:
    """The parameters of a strategy that has none."""


def make_parameters(kind: type[Any], values: Mapping[str, Any], owner: str) -> Any:
    """Return a dataclass of parameters with some values set by name, each of its declared type.

    Texts are taken for numbers where numbers are declared, so that a command line can set them.
    StrategyError names the parameter, what was given and what is allowed.
    """
    fields = {field.name: field for field in dataclasses.fields(kind) if field.init}
    for name in values:
        if name not in fields:
            near = get_close_matches(name, fields, 1)
            hint = f"; did you mean {near[0]}?" if near else ""
            known = ", ".join(fields) or "none"
            raise StrategyError(f"{owner} has no parameter {name!r}; it has: {known}{hint}")
    missing = [
        name
        for name, field in fields.items()
        if field.default is dataclasses.MISSING
        and field.default_factory is dataclasses.MISSING
        and name not in values
    ]
    if missing:
        raise StrategyError(f"{owner} needs a value for {', '.join(missing)}")
    given = {name: msgspec.to_builtins(value) for name, value in values.items()}
    try:
        return _typed(kind, _fields(_typed(kind, given)))
    except (msgspec.ValidationError, ValueError, TypeError) as error:
        shown = ", ".join(f"{name}={value!r}" for name, value in values.items())
        raise StrategyError(f"{owner}({shown}): {_plain(str(error))}") from None


def _typed(kind: type[Any], given: Mapping[str, Any]) -> Any:
    """An instance with these values as the types that are declared, and the other defaults."""
    found = converted(dict(given), kind, strict=False)
    return kind(**{name: getattr(found, name) for name in given})


def _fields(parameters: Any) -> dict[str, Any]:
    return {
        field.name: msgspec.to_builtins(getattr(parameters, field.name))
        for field in dataclasses.fields(parameters)
        if field.init
    }


def _plain(message: str) -> str:
    """A message with the parameter's name where the library gives a path."""
    problem, _, path = message.partition(" - at `$.")
    return f"{path.rstrip('`')}: {problem}" if path else message


def parameters_of(strategy: type[Any], text: str) -> Any:
    """Return the parameters of a class of strategies from JSON; what is left out has its default.

    StrategyError says what does not fit.
    """
    name = strategy.__name__
    try:
        values = msgspec.json.decode(text)
    except msgspec.MsgspecError as error:
        raise StrategyError(f"the parameters of {name} are no JSON: {error}") from None
    if not isinstance(values, dict):
        raise StrategyError(f"the parameters of {name}: expected an object, seen {text:.80}")
    return make_parameters(strategy.Parameters, values, name)


def parameters_json(parameters: Any) -> str:
    """Return parameters as JSON with sorted names: equal parameters give equal texts."""
    names = sorted(field.name for field in dataclasses.fields(parameters))
    return msgspec.json.encode({name: getattr(parameters, name) for name in names}).decode()


def parameters_hash(parameters: Any) -> str:
    """Return the first sixteen hexadecimal digits of SHA-256 over the parameters' JSON."""
    return sha256(parameters_json(parameters).encode()).hexdigest()[:16]
