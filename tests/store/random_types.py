"""Random column types and classes of them, for the property tests of JSON and its exports."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import Enum, IntEnum
from typing import Any, Optional
from uuid import UUID

import hypothesis.strategies as st

from store import Storable
from tests.store.registries import registry_of


class Side(Enum):
    BUY = "BUY"
    SELL = 'it\'s "sell"'


class Level(IntEnum):
    LOW = -1
    HIGH = 10**20


@dataclass
class Point:
    x: float
    at: Optional[datetime]  # noqa: UP045
    side: Side = Side.BUY


@dataclass(frozen=True)
class Path:
    points: list[Point]
    cost: Decimal
    notes: Any = None


SCALARS: list[Any] = [str, int, float, bool, Decimal, datetime, date, UUID, Side, Level]
types: st.SearchStrategy[Any] = st.recursive(
    st.sampled_from([*SCALARS, Point, Path, list, dict]),
    lambda inner: st.one_of(
        inner.map(lambda item: list[item]),  # type: ignore[valid-type]
        inner.map(lambda value: dict[str, value]),  # type: ignore[valid-type]
        inner.map(lambda item: list[Optional[item]]),  # type: ignore[valid-type] # noqa: UP045
    ),
    max_leaves=3,
)


@st.composite
def classes(draw: st.DrawFn) -> type[Storable]:
    """A class with one to five fields of random types, nullable or not, with or without slots."""
    columns = draw(
        st.dictionaries(
            st.sampled_from("abcdefgh"),
            st.fixed_dictionaries({"python_type": types, "nullable": st.booleans()}),
            min_size=1,
            max_size=5,
        )
    )
    body = {
        "__annotations__": {name: given["python_type"] for name, given in columns.items()},
        "_registry": registry_of(**columns),
        "__module__": __name__,
    }
    options = draw(st.fixed_dictionaries({"slots": st.booleans(), "frozen": st.booleans()}))
    return dataclass(**options)(type("Random", (Storable,), body))


def same(left: Any, right: Any) -> bool:
    """Equal, and of the same types, scales and zones all the way down."""
    if type(left) is not type(right) or left != right:
        return False
    if isinstance(left, list):
        return all(map(same, left, right))
    if isinstance(left, dict):
        return all(same(value, right[key]) for key, value in left.items())
    if isinstance(left, datetime):
        # The offset says all that a fold does; where no clock goes back, a fold says nothing.
        return left.utcoffset() == right.utcoffset()
    if isinstance(left, Decimal):
        return left.as_tuple().exponent == right.as_tuple().exponent
    if hasattr(left, "__dataclass_fields__"):
        return all(
            same(getattr(left, name), getattr(right, name)) for name in left.__dataclass_fields__
        )
    return True
