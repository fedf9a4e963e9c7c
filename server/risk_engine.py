"""Black–Scholes Greeks of European options, for one option or for arrays of them."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr

FloatArray = npt.NDArray[np.float64]
OptionKind = Literal["call", "put"]

# The strike of an option whose strike is not given, as a multiple of the price.
DEFAULT_MONEYNESS = 1.05


class Greeks(NamedTuple):
    """Sensitivities of the value of one option on one share.

    Attributes:
        delta: change of value for a change of 1 dollar of the price.
        gamma: change of delta for a change of 1 dollar of the price.
        theta: change of value a year of passing time.
        vega: change of value for a change of volatility of 1.00 (divide by 100 for one point).
    """

    delta: FloatArray
    gamma: FloatArray
    theta: FloatArray
    vega: FloatArray


def option_greeks(
    price: npt.ArrayLike,
    strike: npt.ArrayLike,
    T: npt.ArrayLike = 0.25,  # noqa: N803 - the field's symbol
    r: npt.ArrayLike = 0.05,
    sigma: npt.ArrayLike = 0.25,
    kind: OptionKind = "call",
) -> Greeks:
    """Return the Greeks of European options on shares without dividends.

    All arguments broadcast; the results have the broadcast shape. At the edges (T or sigma
    is 0, or the price is 0) the results are the limits; where the limit is infinite, at the
    money at expiry, gamma and the volatility part of theta are given as 0.

    Args:
        price: spot price in dollars, 0 or more.
        strike: strike price in dollars, above 0.
        T: time to expiry in years, 0 or more.
        r: risk-free rate a year, continuously compounded.
        sigma: volatility a year, 0 or more.
        kind: "call" or "put".

    Raises:
        ValueError: an argument is out of its range or not a number; the message names it.

    Source: Black and Scholes (1973); notation of Hull, Options, Futures, and Other
    Derivatives, chapter "The Greek letters".
    """
    if kind not in ("call", "put"):
        raise ValueError(f"kind must be 'call' or 'put', not {kind!r}")
    s, k, t, rate, vol = np.broadcast_arrays(
        _checked("price", price, low=0.0),
        _checked("strike", strike, low=0.0, open_low=True),
        _checked("T", T, low=0.0),
        _checked("r", r),
        _checked("sigma", sigma, low=0.0),
    )
    root_t = np.sqrt(t)
    total_vol = vol * root_t
    with np.errstate(divide="ignore", invalid="ignore", over="ignore", under="ignore"):
        log_moneyness = np.log(s / k) + rate * t
        # Without volatility the option ends in or out of the money for certain; 0/0 is the kink.
        d1 = np.where(log_moneyness == 0, 0.0, log_moneyness / total_vol) + total_vol / 2
        d2 = d1 - total_vol
        density = np.exp(-d1 * d1 / 2) / np.sqrt(2 * np.pi)
        gamma = np.where(density > 0, density / (s * total_vol), 0.0)
        decay = np.where(density > 0, s * density * vol / (2 * root_t), 0.0)
        carry = rate * k * np.exp(-rate * t)
    gamma = np.where(np.isfinite(gamma), gamma, 0.0)
    decay = np.where(np.isfinite(decay), decay, 0.0)
    if kind == "call":
        delta = ndtr(d1)
        theta = -decay - carry * ndtr(d2)
    else:
        # N(d1) - 1 loses all digits far out of the money; -N(-d1) keeps them.
        delta = -ndtr(-d1)
        theta = -decay + carry * ndtr(-d2)
    return Greeks(delta, gamma, theta, s * density * root_t)


def calculate_greeks(
    price: float,
    strike: float | None = None,
    T: float = 0.25,  # noqa: N803 - the field's symbol
    r: float = 0.05,
    sigma: float = 0.25,
) -> tuple[float, float, float, float]:
    """Return (delta, gamma, theta, vega) of one European call.

    The strike is 1.05 × the price where none is given. Units and errors are those of
    `option_greeks`: theta a year, vega for 1.00 of volatility.
    """
    actual_strike = DEFAULT_MONEYNESS * price if strike is None else strike
    delta, gamma, theta, vega = option_greeks(price, actual_strike, T, r, sigma)
    return float(delta), float(gamma), float(theta), float(vega)


def _checked(
    name: str, value: npt.ArrayLike, low: float = -np.inf, open_low: bool = False
) -> npt.NDArray[Any]:
    array = np.asarray(value, dtype=np.float64)
    good = np.isfinite(array) & ((array > low) if open_low else (array >= low))
    if not good.all():
        allowed = "a finite number" + (
            "" if low == -np.inf else f" {'above' if open_low else 'not below'} {low:g}"
        )
        raise ValueError(f"{name} must be {allowed}, not {array[~good].flat[0]!r}")
    return array
