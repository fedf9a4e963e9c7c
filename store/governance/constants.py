"""Values that stay what they are, so that work on them need not be done again for the same object.

Records of one class share most of their values: the account, the symbol, a fee of zero. Whoever
checks or encodes them keeps the last ones and looks which are the same objects.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from types import NoneType
from typing import Any

from store.times import UTC

UNKNOWN: Any = object()
"""Is no field's value; stands where nothing is known of the last one."""

_CONSTANT = frozenset({int, float, bool, NoneType, Decimal})
# A longer text is seldom the same again, and is not kept alive for that.
_TEXT_MAX = 200


def kept(value: Any) -> Any:
    """The value, where the same object can never mean something else later; else `UNKNOWN`."""
    cls = value.__class__
    if cls is str:
        return value if len(value) <= _TEXT_MAX else UNKNOWN
    if cls in _CONSTANT or (cls is datetime and value.tzinfo is UTC):
        return value
    return UNKNOWN
