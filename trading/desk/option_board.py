"""SimulatedOptions: an option chain on a simulated underlying, quoted from the chain's own model.

board = SimulatedOptions("AAPL")
chain = board.chain(now, 230.12)     # as `trading.features.option_chain`, with bid and ask
"""

from __future__ import annotations

import math
from datetime import datetime, time, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa

from trading.features.chain import (
    DEFAULT_RATE,
    Floats,
    Model,
    days_to_expiry,
    option_chain,
    option_price,
)

__all__ = ["MODEL", "SimulatedOptions", "ladder"]

MODEL: Model = "black_scholes"
_TIME = pa.timestamp("ns", "UTC")
_EXCHANGE = ZoneInfo("America/New_York")
_CLOSE = time(16, 0)
_FRIDAY = 4
# The first expiry is one that does not end while somebody looks at it for the first time.
_SHORTEST = timedelta(hours=1)
_FIGURES = ("implied_vol", "theoretical_price", "delta", "gamma", "vega", "theta", "rho")


class SimulatedOptions:
    """European options on one underlying: the next Fridays, and strikes around its first price.

    `volatility` is a year's, at the money; it rises with the distance from the money, more to the
    side of low strikes. Mid prices are the model's, in cents; quotes lie one percent around them.
    `calendar` is that of `trading.features.days_to_expiry`.
    """

    def __init__(
        self,
        underlying: str,
        *,
        expiries: int = 3,
        strikes: int = 11,
        volatility: float = 0.28,
        calendar: str = "",
    ) -> None:
        self.underlying = underlying
        self._count, self._strike_count = expiries, strikes
        self._volatility = volatility
        self._calendar = calendar or None
        self._strikes: Floats = np.empty(0)
        self._expiries: list[int] = []

    def chain(self, now: int, price: float) -> pa.Table:
        """Return the chain at a time (nanoseconds) and price of the underlying.

        The columns are those of `option_chain`, `bid` and `ask`. An expiry that has passed is in it
        a last time, with 0 days left.
        """
        if not len(self._strikes):
            self._strikes = _strikes(price, self._strike_count)
        if not self._expiries:
            self._expiries = _fridays(now + _ns(_SHORTEST), self._count)
        shown = self._expiries
        self._expiries = [each for each in shown if each > now]
        missing = self._count - len(self._expiries)
        if missing:
            self._expiries += _fridays(max([now, *shown]), missing)
        options = self._quoted(shown, now, price)
        made = option_chain(
            options,
            now=now,
            underlying_price=price,
            model=MODEL,
            calendar=self._calendar,
        )
        quotes = options.select(["symbol", "bid", "ask"])
        order = ("expiry", "strike", "right")
        return made.join(quotes, "symbol").sort_by([(name, "ascending") for name in order])

    def _quoted(self, expiries: list[int], now: int, price: float) -> pa.Table:
        count = len(self._strikes)
        strikes = np.tile(np.repeat(self._strikes, 2), len(expiries))
        rights = np.tile(np.array(["C", "P"]), count * len(expiries))
        ends = np.repeat(np.array(expiries, dtype=np.int64), 2 * count)
        left = [days_to_expiry(now, each, calendar=self._calendar) for each in expiries]
        days = np.repeat(np.array(left), 2 * count)
        deviations = np.log(strikes / price) / np.sqrt(np.maximum(days, 1.0) / 365)
        away = np.clip(deviations / self._volatility, -3.0, 3.0)
        volatility = self._volatility * (1 - 0.06 * away + 0.03 * away**2)
        exact = option_price(rights, price, strikes, days, volatility, model=MODEL)
        cents = np.maximum(np.rint(np.nan_to_num(exact) * 100), 1)
        half = np.maximum(np.rint(cents * 0.01), 1)
        symbols = [
            _symbol(self.underlying, *each)
            for each in zip(ends.tolist(), strikes.tolist(), rights.tolist(), strict=True)
        ]
        return pa.table(
            {
                "symbol": symbols,
                "strike": strikes,
                "expiry": pa.array(ends).cast(_TIME),
                "right": rights.tolist(),
                "price": cents / 100,
                "bid": np.maximum(cents - half, 0) / 100,
                "ask": (cents + half) / 100,
            }
        )


def ladder(underlying: str, chain: pa.Table, now: int, price: float) -> dict[str, Any]:
    """Return a chain as people see it: by expiry, one row a strike with its call and its put.

    Times are nanoseconds, prices texts. Options that have expired are left out.
    """
    expiries: dict[int, dict[str, Any]] = {}
    rows: dict[tuple[int, float], dict[str, Any]] = {}
    moments = chain["expiry"].cast(pa.int64()).to_pylist()
    for expiry, option in zip(moments, chain.drop_columns(["expiry"]).to_pylist(), strict=True):
        if option["t_days"] <= 0:
            continue
        part = expiries.setdefault(
            expiry, {"expiry": expiry, "t_days": round(option["t_days"], 4), "rows": []}
        )
        strike = option["strike"]
        row = rows.get((expiry, strike))
        if row is None:
            row = rows[expiry, strike] = {
                "strike": f"{strike:g}",
                "moneyness": round(option["moneyness"], 6),
                "call": None,
                "put": None,
            }
            part["rows"].append(row)
        row["call" if option["right"] == "C" else "put"] = {
            "symbol": option["symbol"],
            **{name: f"{option[name]:.2f}" for name in ("bid", "ask", "option_price")},
            **{name: _rounded(option[name]) for name in _FIGURES},
            "note": option["note"],
        }
    return {
        "symbol": underlying,
        "time": now,
        "underlying_price": f"{price:.2f}",
        "model": MODEL,
        "rate": DEFAULT_RATE,
        "expiries": list(expiries.values()),
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 6)


def _symbol(underlying: str, expiry: int, strike: float, right: str) -> str:
    day = datetime.fromtimestamp(expiry / 1e9, _EXCHANGE)
    return f"{underlying} {day:%Y%m%d} {strike:g} {right}"


def _strikes(price: float, count: int) -> Floats:
    """Strikes at even steps of about two percent around a price."""
    rough = price * 0.02
    power = 10.0 ** math.floor(math.log10(rough))
    step = power * min((1.0, 2.0, 2.5, 5.0, 10.0), key=lambda each: abs(each * power - rough))
    middle = round(price / step)
    first = max(middle - count // 2, 1)
    return np.round((first + np.arange(count)) * step, 9)


def _fridays(after: int, count: int) -> list[int]:
    """The closes of the next Fridays after a moment, in nanoseconds."""
    moment = datetime.fromtimestamp(after / 1e9, _EXCHANGE)
    day = moment.date() + timedelta(days=(_FRIDAY - moment.weekday()) % 7)
    found: list[int] = []
    while len(found) < count:
        close = datetime.combine(day, _CLOSE, _EXCHANGE)
        if close > moment:
            found.append(int(close.astimezone(timezone.utc).timestamp()) * 10**9)
        day += timedelta(days=7)
    return found


def _ns(span: timedelta) -> int:
    return int(span.total_seconds()) * 10**9
