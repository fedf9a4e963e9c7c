"""When a value counts as unchanged."""

from __future__ import annotations

from typing import Any


def same(left: Any, right: Any) -> bool:
    """Whether values are equal, or both NaN; values that cannot be compared count as different."""
    try:
        return bool(left is right or left == right or (left != left and right != right))
    except Exception:  # noqa: BLE001 - arrays, for one, have no truth value
        return False
