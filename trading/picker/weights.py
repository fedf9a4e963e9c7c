"""Weights of strategies by what their paper twins earn: figures, and how they become weights."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from trading.errors import SettingsError

__all__ = ["Score", "WeightRules", "next_weights", "score"]

_WHOLE = 1_000_000


@dataclass(frozen=True)
class WeightRules:
    """How scores become weights.

    `window` is how many periods count, `least` how many there must be before they do. A weight is
    `equal_share` of an equal part and the rest by score, within `floor` and `cap`, and changes by
    at most `max_step` at a time. Where so many strategies cannot keep floor or cap, an equal part
    replaces it.
    """

    window: int = 60
    least: int = 20
    equal_share: float = 0.5
    floor: float = 0.02
    cap: float = 0.5
    max_step: float = 0.1

    def __post_init__(self) -> None:
        if not 2 <= self.least <= self.window:
            raise SettingsError(
                f"least: expected 2 to window {self.window} periods, seen {self.least}"
            )
        for name in ("equal_share", "floor", "cap", "max_step"):
            value = getattr(self, name)
            if not 0.0 <= value <= 1.0:
                raise SettingsError(f"{name}: expected a part of one, 0 to 1, seen {value}")
        if self.floor > self.cap:
            raise SettingsError(f"floor {self.floor} is above cap {self.cap}")


@dataclass(frozen=True)
class Score:
    """The Sharpe ratio of some returns, not annualised, and what is left of it when it is shrunk.

    `shrunk` is the ratio moved towards zero by its own standard error, zero where it is smaller.
    """

    count: int
    mean: float
    deviation: float
    sharpe: float
    standard_error: float
    shrunk: float

    @property
    def t_statistic(self) -> float:
        """The ratio in standard errors."""
        return self.sharpe / self.standard_error if self.standard_error else 0.0


def score(returns: Sequence[float], rules: WeightRules | None = None) -> Score:
    """Return the score of the last returns of a window; zero while there are too few.

    The standard error is that of a Sharpe ratio of independent returns, √((1 + SR²/2) / n).
    """
    rules = WeightRules() if rules is None else rules
    last = list(returns)[-rules.window :]
    count = len(last)
    if count < rules.least:
        return Score(count, 0.0, 0.0, 0.0, 0.0, 0.0)
    mean = math.fsum(last) / count
    deviation = math.sqrt(math.fsum((x - mean) * (x - mean) for x in last) / (count - 1))
    if deviation == 0.0:
        return Score(count, mean, 0.0, 0.0, 0.0, 0.0)
    sharpe = mean / deviation
    error = math.sqrt((1.0 + 0.5 * sharpe * sharpe) / count)
    shrunk = math.copysign(max(abs(sharpe) - error, 0.0), sharpe)
    return Score(count, mean, deviation, sharpe, error, shrunk)


def next_weights(
    scores: Mapping[str, Score],
    before: Mapping[str, int] | None = None,
    rules: WeightRules | None = None,
) -> dict[str, int]:
    """Return weights in millionths that add up to one; `before` are those that hold now.

    A strategy that was not there before is not held back by `max_step`.
    """
    rules = WeightRules() if rules is None else rules
    names = list(scores)
    if not names:
        return {}
    equal = 1.0 / len(names)
    good = {name: max(each.shrunk, 0.0) for name, each in scores.items()}
    total = math.fsum(good.values())
    wanted = {
        name: rules.equal_share * equal
        + (1.0 - rules.equal_share) * (good[name] / total if total else equal)
        for name in names
    }
    low = dict.fromkeys(names, min(rules.floor, equal))
    high = dict.fromkeys(names, max(rules.cap, equal))
    if before:
        bounded_low, bounded_high = dict(low), dict(high)
        for name in names:
            if name in before:
                held = before[name] / _WHOLE
                bounded_low[name] = min(max(low[name], held - rules.max_step), high[name])
                bounded_high[name] = max(min(high[name], held + rules.max_step), low[name])
        # Where strategies come or go, one step may not be enough to add up to one.
        if math.fsum(bounded_low.values()) <= 1.0 <= math.fsum(bounded_high.values()):
            low, high = bounded_low, bounded_high
    return _in_millionths(_fitted(wanted, low, high), names)


def _fitted(
    wanted: Mapping[str, float], low: Mapping[str, float], high: Mapping[str, float]
) -> dict[str, float]:
    """The weights nearest to what is wanted within the bounds that add up to one."""
    down, up = -1.0, 1.0
    for _ in range(60):
        middle = (down + up) / 2
        total = math.fsum(min(max(w + middle, low[n]), high[n]) for n, w in wanted.items())
        if total < 1.0:
            down = middle
        else:
            up = middle
    return {n: min(max(w + up, low[n]), high[n]) for n, w in wanted.items()}


def _in_millionths(weights: Mapping[str, float], names: Sequence[str]) -> dict[str, int]:
    whole = {name: int(weights[name] * _WHOLE) for name in names}
    rest = _WHOLE - sum(whole.values())
    by_part = sorted(names, key=lambda name: (whole[name] - weights[name] * _WHOLE, name))
    for name in by_part[: max(rest, 0)]:
        whole[name] += 1
    return whole
