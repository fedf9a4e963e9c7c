"""A mixin in a module of its own, with postponed annotations."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Worth(Enum):
    HIGH = "HIGH"


@dataclass
class Priced:
    side: Worth = Worth.HIGH
