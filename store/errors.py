"""What can go wrong in the store, under one root; every error survives pickle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


class StoreError(Exception):
    """Root of all errors of this package."""


class RegistryError(StoreError):
    """A column or a class breaks the rules of the catalog."""


class SerializationError(StoreError):
    """A value has no exact JSON form, or a JSON text does not fit its class."""


@dataclass(frozen=True)
class Violation:
    """One value that breaks one rule of its column.

    `field` is a path: `legs[0].strike` for a value inside a list of dataclasses. `rule` is the
    name of the broken rule: `type`, `null`, `finite`, `zone`, `text`, `digits`, `enum`,
    `min_value`, `max_value`, `max_length` or `pattern`.
    """

    class_name: str
    field: str
    value: Any
    rule: str
    message: str

    def __str__(self) -> str:
        return self.message


class ValidationError(StoreError):
    """An instance breaks rules of the catalog; `violations` holds every one of them."""

    def __init__(self, violations: Sequence[Violation]) -> None:
        super().__init__(violations)
        self.violations = list(violations)

    def __str__(self) -> str:
        if len(self.violations) == 1:
            return self.violations[0].message
        lines = "".join(f"\n  {violation}" for violation in self.violations)
        return f"{len(self.violations)} values break the rules of the catalog:{lines}"
