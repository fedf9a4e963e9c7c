"""Figures of the market's process: how fresh prices and bars are."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Protocol

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

__all__ = ["MarketFigures"]


class _Market(Protocol):
    rows: int
    newest: int

    @property
    def waiting(self) -> int:
        """Events that are not kept yet."""

    @property
    def bar_delays(self) -> Mapping[str, float]:
        """By symbol, how long after its end the last bar was final, in seconds."""


class MarketFigures:
    """Reads a market's process when Prometheus asks."""

    def __init__(self, market: _Market) -> None:
        self._market = market

    def register(self, registry: CollectorRegistry) -> None:
        """Add the figures to a registry."""
        registry.register(self)

    def describe(self) -> Iterable[Metric]:
        """Nothing is known before it is asked for."""
        return []

    def collect(self) -> Iterable[Metric]:
        """Return the figures as they are now."""
        market = self._market
        yield CounterMetricFamily("market_ticks", "Ticks that came", value=market.rows)
        yield GaugeMetricFamily(
            "market_waiting_events", "Events that are not kept yet", value=market.waiting
        )
        if market.newest:
            age = time.time() - market.newest / 1e9
            yield GaugeMetricFamily("market_tick_age_seconds", "Age of the newest tick", value=age)
        delays = GaugeMetricFamily(
            "prices_bar_delay_seconds",
            "Time from a bar's end until it was final",
            labels=["symbol"],
        )
        for symbol, delay in market.bar_delays.items():
            delays.add_metric([symbol], delay)
        yield delays
