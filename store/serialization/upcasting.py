"""Lifting stored JSON of an older version of a class to the present one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from store.errors import RegistryError, SerializationError
from store.serialization.json_reader import zoned

VERSION_KEY = "$version"
ZONE_KEY = "$zone"

Lift = Callable[[dict[str, Any]], dict[str, Any]]


class Upcaster(staticmethod):  # type: ignore[type-arg]
    """A function that lifts JSON from one version of its class to the next; see `upcaster`."""

    def __init__(self, lift: Lift, from_version: int) -> None:
        super().__init__(lift)
        self.from_version = from_version


def upcaster(from_version: int) -> Callable[[Any], Upcaster]:
    """Mark a static method of a class as the step from `from_version` to the next version.

    It takes the JSON object of that version as a dict, which it may change, and returns the one
    of the next: numbers as int and float (as Decimal in a class with Decimal fields), times as
    text. The version of a class is one more than its number of steps; a subclass inherits them.

        @upcaster(from_version=1)
        @staticmethod
        def price_was_px(data):
            data["price"] = data.pop("px")
            return data
    """
    if type(from_version) is not int or from_version < 1:
        raise RegistryError(f"from_version counts from 1, {from_version!r} is not possible")

    def mark(function: Any) -> Upcaster:
        lift = function.__func__ if isinstance(function, staticmethod) else function
        return Upcaster(lift, from_version)

    return mark


def upcasters_of(cls: type) -> list[Upcaster]:
    """The steps of a class in their order; RegistryError if one is missing or there twice."""
    steps: dict[int, Upcaster] = {}
    for base in reversed(cls.__mro__):
        own = [each for each in vars(base).values() if isinstance(each, Upcaster)]
        versions = [step.from_version for step in own]
        twice = {version for version in versions if versions.count(version) > 1}
        if twice:
            raise RegistryError(f"{base.__name__} has two upcasters from version {min(twice)}")
        steps.update(zip(versions, own, strict=True))
    missing = set(range(1, len(steps) + 1)) - set(steps)
    if missing:
        raise RegistryError(
            f"{cls.__name__} lacks the upcaster from version {min(missing)}; "
            f"it has those from {sorted(steps)}"
        )
    return [steps[version] for version in sorted(steps)]


def lift(class_name: str, data: dict[str, Any], steps: list[Upcaster]) -> dict[str, Any]:
    """The JSON object of the present version; SerializationError where a step fails."""
    version = data.get(VERSION_KEY, 1)
    present = len(steps) + 1
    if type(version) is not int or version < 1:
        raise SerializationError(f"{class_name}: {VERSION_KEY} is {version!r}, not a whole number")
    if version > present:
        raise SerializationError(
            f"{class_name}: this JSON is of version {version}, the program knows the class up to "
            f"version {present}; update the program"
        )
    if version == present:
        return data
    zones = data.get(ZONE_KEY)
    data = {key: part for key, part in data.items() if key not in (VERSION_KEY, ZONE_KEY)}
    data = zoned(data, zones)
    for step in steps[version - 1 :]:
        name = f"the upcaster {step.__func__.__name__} of {class_name} from {step.from_version}"
        try:
            lifted = step.__func__(data)
        except Exception as error:
            raise SerializationError(f"{name} failed: {type(error).__name__}: {error}") from error
        if not isinstance(lifted, dict):
            raise SerializationError(f"{name} must return a dict, not {type(lifted).__name__}")
        data = lifted
    return data
