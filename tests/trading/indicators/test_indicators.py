"""Indicators against TA-Lib, and against themselves: in batch, from another start, copied."""

from __future__ import annotations

import inspect
import math
import pickle
import random
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import talib
from hypothesis import given, settings
from hypothesis import strategies as st

import trading.indicators
from trading.errors import IndicatorError
from trading.indicators import (
    ADX,
    ATR,
    CCI,
    DEMA,
    EMA,
    KAMA,
    MACD,
    MFI,
    OBV,
    ROC,
    RSI,
    SMA,
    TEMA,
    TRIX,
    VWAP,
    WMA,
    Aroon,
    BollingerBands,
    DonchianChannel,
    Indicator,
    KeltnerChannel,
    RealizedVolatility,
    Stochastic,
    UltimateOscillator,
    WilliamsR,
    ZScore,
)

Columns = dict[str, np.ndarray]


def market(seed: int, bars: int = 400) -> Columns:
    """A random walk with its range and volume; some bars do not move at all.

    Prices are whole 64ths, whose sums are exact: how TA-Lib rounds a tie does not matter then.
    """
    rng = np.random.default_rng(seed)
    steps = rng.normal(0, 0.5, bars) * (rng.random(bars) > 0.1)
    close = np.round(64 * (100 + np.cumsum(steps))) / 64
    reach = np.round(64 * rng.random((2, bars)) * (rng.random(bars) > 0.1)) / 64
    return {
        "close": close,
        "high": close + reach[0],
        "low": close - reach[1],
        "volume": rng.integers(0, 10_000, bars).astype(np.float64),
    }


def both(*arrays: np.ndarray) -> np.ndarray:
    return np.stack(arrays, axis=1)


# Each indicator, and the same by TA-Lib.
REFERENCES: list[tuple[Callable[[], Indicator], Callable[[Columns], np.ndarray]]] = [
    (lambda: SMA(10), lambda c: talib.SMA(c["close"], 10)),
    (lambda: EMA(10), lambda c: talib.EMA(c["close"], 10)),
    (lambda: DEMA(10), lambda c: talib.DEMA(c["close"], 10)),
    (lambda: TEMA(10), lambda c: talib.TEMA(c["close"], 10)),
    (lambda: WMA(10), lambda c: talib.WMA(c["close"], 10)),
    (lambda: KAMA(10), lambda c: talib.KAMA(c["close"], 10)),
    (lambda: RSI(14), lambda c: talib.RSI(c["close"], 14)),
    (lambda: MACD(12, 26, 9), lambda c: both(*talib.MACD(c["close"], 12, 26, 9))),
    (lambda: MACD(3, 10, 4), lambda c: both(*talib.MACD(c["close"], 3, 10, 4))),
    (lambda: BollingerBands(20, 2.0), lambda c: both(*talib.BBANDS(c["close"], 20, 2.0, 2.0))),
    (lambda: ATR(14), lambda c: talib.ATR(c["high"], c["low"], c["close"], 14)),
    (lambda: ADX(14), lambda c: talib.ADX(c["high"], c["low"], c["close"], 14)),
    (lambda: ADX(3), lambda c: talib.ADX(c["high"], c["low"], c["close"], 3)),
    (
        lambda: Stochastic(14, 3, 3),
        lambda c: both(*talib.STOCH(c["high"], c["low"], c["close"], 14, 3, 0, 3, 0)),
    ),
    (lambda: WilliamsR(14), lambda c: talib.WILLR(c["high"], c["low"], c["close"], 14)),
    (lambda: CCI(20), lambda c: talib.CCI(c["high"], c["low"], c["close"], 20)),
    (lambda: MFI(14), lambda c: talib.MFI(c["high"], c["low"], c["close"], c["volume"], 14)),
    (OBV, lambda c: talib.OBV(c["close"], c["volume"])),
    (lambda: Aroon(14), lambda c: both(*talib.AROON(c["high"], c["low"], 14))),
    (
        lambda: UltimateOscillator(7, 14, 28),
        lambda c: talib.ULTOSC(c["high"], c["low"], c["close"], 7, 14, 28),
    ),
    (lambda: TRIX(9), lambda c: talib.TRIX(c["close"], 9)),
    (lambda: ROC(10), lambda c: talib.ROC(c["close"], 10)),
    (
        lambda: DonchianChannel(20),
        lambda c: both(
            talib.MAX(c["high"], 20),
            (talib.MAX(c["high"], 20) + talib.MIN(c["low"], 20)) / 2,
            talib.MIN(c["low"], 20),
        ),
    ),
    (
        lambda: KeltnerChannel(20, 2.0, 10),
        lambda c: both(
            *(
                talib.EMA(c["close"], 20) + side * talib.ATR(c["high"], c["low"], c["close"], 10)
                for side in (2.0, 0.0, -2.0)
            )
        ),
    ),
    (
        lambda: ZScore(20),
        lambda c: (c["close"] - talib.SMA(c["close"], 20)) / talib.STDDEV(c["close"], 20),
    ),
]
# Those that TA-Lib has nothing for are compared with numpy.
OTHERS: list[Callable[[], Indicator]] = [
    VWAP,
    lambda: VWAP(10),
    lambda: RealizedVolatility(20),
]
ALL = [make for make, _ in REFERENCES] + OTHERS


def name_of(value: Any) -> str:
    return repr(type(value()).__name__) if callable(value) and not inspect.isclass(value) else ""


def test_every_exported_indicator_is_in_these_tests() -> None:
    exported = {
        each
        for each in vars(trading.indicators).values()
        if inspect.isclass(each) and issubclass(each, Indicator) and each is not Indicator
    }
    assert {type(make()) for make in ALL} == exported


@pytest.mark.parametrize(("make", "reference"), REFERENCES)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_equals_talib(
    make: Callable[[], Indicator], reference: Callable[[Columns], np.ndarray], seed: int
) -> None:
    columns = market(seed)
    ours, theirs = make().batch(columns), reference(columns)
    assert ours.shape == theirs.shape
    # Not a number in the same places: the first figure comes with the same bar.
    assert np.array_equal(np.isnan(ours), np.isnan(theirs))
    np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("make", ALL)
def test_one_at_a_time_equals_batch(make: Callable[[], Indicator]) -> None:
    columns = market(4)
    indicator = make()
    whole = indicator.batch(columns)
    assert not indicator.ready, "batch leaves the indicator as it is"
    for row, values in enumerate(
        zip(*(columns[n].tolist() for n in indicator.inputs), strict=True)
    ):
        expected = indicator.peek(*values)
        value = indicator.update(*values)
        assert value == expected == indicator.value
        assert indicator.ready == (value is not None)
        if value is None:
            assert np.isnan(whole[row]).all()
        else:
            assert np.array_equal(np.atleast_1d(value), np.atleast_1d(whole[row]))
        if row == 57:
            indicator = pickle.loads(pickle.dumps(indicator))


@pytest.mark.parametrize("make", ALL)
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, None, "12 USD"])
def test_what_is_no_number_is_refused_and_changes_nothing(
    make: Callable[[], Indicator], bad: Any
) -> None:
    columns = market(5, 120)
    indicator, untouched = make(), make()
    rows = list(zip(*(columns[n].tolist() for n in indicator.inputs), strict=True))
    for row in rows:
        with pytest.raises(IndicatorError, match="must be a finite number"):
            indicator.update(*(bad, *row[1:]))
        assert indicator.update(*row) == untouched.update(*row)


def test_a_wrong_number_of_values_names_what_is_taken() -> None:
    with pytest.raises(IndicatorError, match="takes high, low, close; got 1 values"):
        ATR(14).update(1.0)
    with pytest.raises(IndicatorError, match="needs the columns high, low, close; low is missing"):
        ATR(14).batch({"high": [1.0], "close": [1.0]})


@pytest.mark.parametrize("length", [0, -1, 2.5, "10", None, True])
def test_a_length_is_a_whole_number(length: Any) -> None:
    with pytest.raises(IndicatorError, match="must be a whole number"):
        SMA(length)


@settings(deadline=None)
@given(seed=st.integers(0, 2**32), start=st.integers(1, 100), length=st.integers(2, 30))
def test_a_moving_window_depends_on_the_window_alone(seed: int, start: int, length: int) -> None:
    """A strategy that is started later must see the very same figures."""
    rng = random.Random(seed)
    prices = [rng.uniform(1e-3, 1e5) for _ in range(200)]
    for make in (SMA, ZScore, BollingerBands, RealizedVolatility, WMA):
        early, late = make(length).batch(prices), make(length).batch(prices[start:])
        ready = ~np.isnan(late)
        assert np.array_equal(early[start:][ready], late[ready])


@settings(deadline=None)
@given(
    data=st.data(),
    length=st.sampled_from((1, 2, 3, 10, 30, 60, 200)),
    scale=st.sampled_from((1e-5, 0.01, 1.0, 230.0, 68_000.0, 1e12)),
    decimals=st.sampled_from((2, 8, 17)),
    spread=st.sampled_from((0.001, 0.5, 1.0, 3.0)),
)
def test_many_means_are_those_of_one_by_one_rounded_once(
    data: st.DataObject, length: int, scale: float, decimals: int, spread: float
) -> None:
    rng = random.Random(data.draw(st.integers(0, 2**32)))
    single, many, seen = SMA(length), SMA(length), list[float]()
    for _ in range(3):
        some = [
            round(scale * (1 + rng.uniform(-spread, spread)), decimals)
            for _ in range(rng.randrange(2 * length + 5))
        ]
        assert many.extend(some) == [single.update(value) for value in some]
        seen += some
        # Values that are whole multiples of the smallest unit: the mean is that of fractions.
        if len(seen) >= length and scale >= 1 and spread < 1:
            exact = sum(map(Fraction, seen[-length:])) / length
            assert many.value == float(exact)


def test_vwap_and_realized_volatility_by_numpy() -> None:
    columns = market(6)
    typical = (columns["high"] + columns["low"] + columns["close"]) / 3
    amounts, volumes = typical * columns["volume"], columns["volume"]
    with np.errstate(invalid="ignore"):
        whole = np.cumsum(amounts) / np.cumsum(volumes)
    np.testing.assert_allclose(VWAP().batch(columns), whole, rtol=1e-12)
    kernel = np.ones(10)
    moving = np.convolve(amounts, kernel, "valid") / np.convolve(volumes, kernel, "valid")
    np.testing.assert_allclose(VWAP(10).batch(columns)[9:], moving, rtol=1e-12)
    returns = np.diff(np.log(columns["close"]))
    expected = [np.std(returns[i - 20 : i], ddof=1) * math.sqrt(252) for i in range(20, 400)]
    np.testing.assert_allclose(
        RealizedVolatility(20).batch(columns)[20:], expected, rtol=1e-9, atol=1e-12
    )


def test_vwap_begins_anew_at_a_session() -> None:
    vwap = VWAP()
    vwap.update(10.0, 10.0, 10.0, 100)
    vwap.reset()
    assert vwap.value is None
    assert not vwap.ready
    assert vwap.update(20.0, 20.0, 20.0, 0) is None
    assert vwap.update(20.0, 20.0, 20.0, 5) == 20.0
