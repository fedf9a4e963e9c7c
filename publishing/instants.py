"""What the engine's Instants can hold, asked of the engine itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

# A long without the least value, which is the engine's null.
_LONGS = range(-(2**63) + 1, 2**63)
_asked: range | None = None


def engine_runs() -> bool:
    """Tell whether Deephaven's JVM runs in this process."""
    try:
        # Before the JVM is up, its library is not found.
        import jpy

        return bool(jpy.has_jvm())
    except ImportError:
        return False


def instant_nanos() -> range:
    """The nanoseconds since the epoch that an Instant can hold: 64 bits before the engine runs.

    Some seconds at the ends of the 64 bits can be made into an Instant and not be read back, and
    then every table that reads them fails.
    """
    global _asked  # noqa: PLW0603 - the engine is asked once
    if _asked is None:
        if not engine_runs():
            return _LONGS
        import jpy

        times = jpy.get_type("io.deephaven.time.DateTimeUtils")
        holds = _round_trip(times)
        _asked = range(_last_good(0, _LONGS[0], holds), _last_good(0, _LONGS[-1], holds) + 1)
    return _asked


def _round_trip(times: Any) -> Callable[[int], bool]:
    def holds(nanos: int) -> bool:
        try:
            return bool(times.epochNanos(times.epochNanosToInstant(nanos)) == nanos)
        except RuntimeError:
            # Java's exception for a number that is out of range.
            return False

    return holds


def _last_good(good: int, bound: int, holds: Callable[[int], bool]) -> int:
    """The number closest to `bound` that holds, by bisection from one that does."""
    if holds(bound):
        return bound
    bad = bound
    while abs(bad - good) > 1:
        middle = (good + bad) // 2
        if holds(middle):
            good = middle
        else:
            bad = middle
    return good
