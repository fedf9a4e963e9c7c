"""Indicators, a value at a time or over whole columns; equal to TA-Lib's after the warm-up.

average = EMA(20)
for price in prices:
    average.update(price)
    if average.ready:
        print(average.value)
"""

from trading.indicators.averages import DEMA, EMA, KAMA, SMA, TEMA, WMA
from trading.indicators.base import Indicator
from trading.indicators.history import IndicatorSet
from trading.indicators.momentum import (
    ADX,
    CCI,
    MACD,
    MFI,
    ROC,
    RSI,
    TRIX,
    Aroon,
    AroonValue,
    MACDValue,
    Stochastic,
    StochasticValue,
    UltimateOscillator,
    WilliamsR,
)
from trading.indicators.volatility import (
    ATR,
    Bands,
    BollingerBands,
    DonchianChannel,
    KeltnerChannel,
    RealizedVolatility,
    ZScore,
)
from trading.indicators.volume import OBV, VWAP

__all__ = [
    "ADX",
    "ATR",
    "CCI",
    "DEMA",
    "EMA",
    "KAMA",
    "MACD",
    "MFI",
    "OBV",
    "ROC",
    "RSI",
    "SMA",
    "TEMA",
    "TRIX",
    "VWAP",
    "WMA",
    "Aroon",
    "AroonValue",
    "Bands",
    "BollingerBands",
    "DonchianChannel",
    "Indicator",
    "IndicatorSet",
    "KeltnerChannel",
    "MACDValue",
    "RealizedVolatility",
    "Stochastic",
    "StochasticValue",
    "UltimateOscillator",
    "WilliamsR",
    "ZScore",
]
