"""Bars by a plain loop with fractions: slow, obvious, and the model of the real builder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from typing import Any


@dataclass(frozen=True)
class Tick:
    """One trade; `received` is when it came."""

    timestamp: int
    symbol: str
    price: float
    size: float
    sequence: int
    received: int


@dataclass
class ModelBar:
    """All ticks of a bar."""

    start: int
    end: int
    ticks: list[Tick] = field(default_factory=list)
    version: int = 0

    def row(self, symbol: str, state: str) -> dict[str, Any]:
        ordered = sorted(self.ticks, key=lambda t: (t.timestamp, t.sequence))
        volume = sum((Fraction(str(t.size)) for t in ordered), Fraction(0))
        notional = sum(
            (Fraction(str(t.size)) * Fraction(str(t.price)) for t in ordered), Fraction(0)
        )
        return {
            "symbol": symbol,
            "start": self.start,
            "end": self.end,
            "open": ordered[0].price,
            "high": max(t.price for t in ordered),
            "low": min(t.price for t in ordered),
            "close": ordered[-1].price,
            "volume": float(volume),
            "count": len(ordered),
            "vwap": float(notional / volume) if volume else None,
            "notional": Decimal(notional.numerator) / Decimal(notional.denominator),
            "state": state,
            "version": self.version,
        }


def model_bars(
    ticks: list[Tick], slot_of: Callable[[int], tuple[int, int] | None], lateness: int
) -> list[dict[str, Any]]:
    """All versions of all bars in the order in which they become known, from ticks as they came."""
    working: dict[tuple[str, int], ModelBar] = {}
    done: dict[tuple[str, int], ModelBar] = {}
    rows: list[dict[str, Any]] = []

    def close(clock: float) -> None:
        ready = [key for key, bar in working.items() if bar.end + lateness <= clock]
        for key in sorted(ready, key=lambda key: (working[key].end, key)):
            bar = done[key] = working.pop(key)
            bar.version += 1
            rows.append(bar.row(key[0], "final"))

    clock = -(10**30)
    for tick in ticks:
        clock = max(clock, tick.received)
        close(clock)
        slot = slot_of(tick.timestamp)
        if slot is None:
            continue
        key = (tick.symbol, slot[0])
        if clock >= slot[1] + lateness:
            bar = done.setdefault(key, ModelBar(*slot))
            bar.ticks.append(tick)
            bar.version += 1
            rows.append(bar.row(tick.symbol, "revised"))
        else:
            working.setdefault(key, ModelBar(*slot)).ticks.append(tick)
    close(float("inf"))
    return rows
