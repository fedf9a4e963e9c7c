"""How a simulated broker fills: which price an order meets, how much of it, and how late.

FillModel("intrabar", path="nearest", volume_share="0.1")
Slippage("2 ticks")
"""

from __future__ import annotations

import re
from hashlib import sha256

from trading.errors import SettingsError
from trading.numbers import Number, div_away, to_decimal
from trading.specification import InstrumentSpec

__all__ = ["FILL_MODELS", "PATHS", "FillModel", "Slippage", "bar_path"]

FILL_MODELS = ("next_open", "this_close", "next_close", "intrabar", "tick")
PATHS = ("ohlc", "nearest")


class FillModel:
    """When and at what price orders fill; all choices are deterministic.

    `next_open`, `this_close` and `next_close` say at which price of a bar a market order fills.
    `intrabar` fills at the next open too, and lets orders that arise within a bar fill in the rest
    of it. `tick` fills at the opposite quote, or the last trade where there is no quote.

    `path` is the way from a bar's open to its close: by the high first (`ohlc`), or by the extreme
    that is nearer to the open (`nearest`). `touch` is the probability that a resting limit order
    fills where the price only touches its limit; traded through, it always does. `queue` is the
    size that must trade at the limit before that. `volume_share` bounds each fill to a part of the
    traded volume.
    """

    def __init__(
        self,
        name: str = "next_open",
        *,
        path: str = "ohlc",
        touch: Number = 0,
        queue: Number = 0,
        volume_share: Number | None = None,
    ) -> None:
        if name not in FILL_MODELS:
            raise SettingsError(f"unknown fill model {name!r}; there are: {' '.join(FILL_MODELS)}")
        if path not in PATHS:
            raise SettingsError(f"unknown path {path!r}; there are: {' '.join(PATHS)}")
        self.name = name
        # Whether ticks fill orders (otherwise bars do), and whether some fill when they arrive.
        self.by_ticks = name == "tick"
        self.at_once = name in ("tick", "this_close")
        self.path = path
        self.touch = _share(touch, "touch")
        self.queue = to_decimal(queue, "queue")
        if self.queue < 0:
            raise SettingsError(f"queue: expected a size of 0 or more, seen {queue}")
        self.volume_share = None if volume_share is None else _share(volume_share, "volume_share")

    def touched(self, seed: int, order_id: str, count: int) -> bool:
        """Whether a resting order fills on its `count`-th touch: a matter of the seed alone."""
        above, below = self.touch
        if not above:
            return False
        drawn = sha256(f"{seed}|{order_id}|{count}".encode()).digest()
        return int.from_bytes(drawn[:8], "big") * below < above << 64

    def available(self, volume: int) -> int | None:
        """Return the size of a traded volume that an order may have; None is all it wants."""
        if self.volume_share is None:
            return None
        above, below = self.volume_share
        return volume * above // below


def _share(value: Number, what: str) -> tuple[int, int]:
    number = to_decimal(value, what)
    if not 0 <= number <= 1:
        raise SettingsError(f"{what}: expected a part of one, 0 to 1, seen {value}")
    return number.as_integer_ratio()


def bar_path(path: str, open_: int, high: int, low: int, close: int) -> tuple[int, int, int, int]:
    """Return the four prices of a bar in the order in which they are taken to be met."""
    low_first = path == "nearest" and open_ - low < high - open_
    return (open_, low, high, close) if low_first else (open_, high, low, close)


_SLIPPAGE = re.compile(r"\s*([0-9.]+)\s*(ticks?|bps)\s*")


class Slippage:
    """How much worse than the market an order that takes liquidity fills.

    A number is so many price increments; a text says `2 ticks` or `5 bps`. Basis points are rounded
    against the order, to the next price increment.
    """

    def __init__(self, amount: Number | None = None) -> None:
        self.ticks = 0
        self.bps = (0, 1)
        if amount is None:
            return
        match = _SLIPPAGE.fullmatch(amount) if isinstance(amount, str) else None
        number = to_decimal(match[1] if match else amount, "slippage")
        if number < 0:
            raise SettingsError(f"slippage: expected 0 or more, seen {amount}")
        if match and match[2] == "bps":
            above, below = number.as_integer_ratio()
            self.bps = above, below * 10_000
        elif number == int(number):
            self.ticks = int(number)
        else:
            raise SettingsError(f"slippage: expected whole ticks, seen {amount}")

    def worsen(self, price: int, side: int, spec: InstrumentSpec) -> int:
        """Return the price that an order of this side gets where the market is at `price`."""
        step = spec.price_increment
        worse = self.ticks * step
        if self.bps[0]:
            worse += div_away(abs(price) * self.bps[0], self.bps[1] * step) * step
        moved = price + side * worse
        return moved if moved > 0 or spec.negative_prices else min(price, step)
