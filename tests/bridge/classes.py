"""Classes with every type of column, with overrides, and with a past."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from typing import Any, ClassVar
from uuid import UUID

from store.base import Storable, upcaster
from tests.store.registries import registry_of


class Mood(Enum):
    GOOD = "good"
    BAD = "bad"


class Level(Enum):
    LOW = 1
    HIGH = 2


@dataclass
class Leg:
    ratio: Decimal
    due: date


REGISTRY = registry_of(
    name=str,
    amount={"python_type": Decimal, "nullable": True},
    created={"python_type": datetime, "nullable": True},
    ts_date={"python_type": date, "nullable": True},
    active={"python_type": bool, "nullable": True},
    weight={"python_type": float, "nullable": True},
    quantity={"python_type": int, "nullable": True},
    mood={"python_type": Mood, "nullable": True},
    level={"python_type": Level, "nullable": True},
    tags={"python_type": list[str], "nullable": True},
    row_id={"python_type": UUID, "nullable": True},
    legs={"python_type": list[Leg], "nullable": True},
    extra={"python_type": dict[str, Any], "nullable": True},
    tiny={"python_type": int, "nullable": True, "dh_type_override": "byte"},
    small={"python_type": int, "nullable": True, "dh_type_override": "short"},
    whole={"python_type": int, "nullable": True, "dh_type_override": "int"},
    huge={"python_type": int, "nullable": True, "dh_type_override": "BigInteger"},
    single={"python_type": float, "nullable": True, "dh_type_override": "float"},
    exact={"python_type": Decimal, "nullable": True, "dh_type_override": "BigDecimal"},
    letter={"python_type": str, "nullable": True, "dh_type_override": "char"},
    opens={"python_type": str, "nullable": True, "dh_type_override": "LocalTime"},
)


@dataclass
class Everything(Storable):
    _registry: ClassVar[Any] = REGISTRY

    name: str = ""
    amount: Decimal | None = None
    created: datetime | None = None
    ts_date: date | None = None
    active: bool | None = None
    weight: float | None = None
    quantity: int | None = None
    mood: Mood | None = None
    level: Level | None = None
    tags: list[str] | None = field(default=None)
    row_id: UUID | None = None
    legs: list[Leg] | None = None
    extra: dict[str, Any] | None = None


@dataclass
class Overridden(Storable):
    _registry: ClassVar[Any] = REGISTRY

    tiny: int | None = None
    small: int | None = None
    whole: int | None = None
    huge: int | None = None
    single: float | None = None
    exact: Decimal | None = None
    letter: str | None = None
    opens: str | None = None


@dataclass
class OldPrice(Storable):
    """As it was before its field got another name."""

    _registry: ClassVar[Any] = registry_of(px=Decimal)

    px: Decimal = Decimal(0)

    @classmethod
    def type_name(cls) -> str:
        return "tests.Price"


@dataclass
class Price(Storable):
    _registry: ClassVar[Any] = registry_of(cents=int, currency={"python_type": str})

    cents: int = 0
    currency: str = "USD"

    @classmethod
    def type_name(cls) -> str:
        return "tests.Price"

    @upcaster(from_version=1)
    @staticmethod
    def in_cents(data: dict[str, Any]) -> dict[str, Any]:
        return {"cents": int(data["px"] * 100)}
