"""Figures of Deephaven's process: how far the screens are behind the store and the market."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

__all__ = ["ScreenFigures"]


class _Screens(Protocol):
    rows: int


class _Bridge(Protocol):
    def status(self) -> Any:
        """What the bridge does, as `BridgeStatus`."""


class _Process(Protocol):
    @property
    def screens(self) -> _Screens:
        """What shows the market."""

    @property
    def bridge(self) -> _Bridge:
        """What shows the store."""


class ScreenFigures:
    """Reads Deephaven's process when Prometheus asks."""

    def __init__(self, process: _Process) -> None:
        self._process = process

    def register(self, registry: CollectorRegistry) -> None:
        """Add the figures to a registry."""
        registry.register(self)

    def describe(self) -> Iterable[Metric]:
        """Nothing is known before it is asked for."""
        return []

    def collect(self) -> Iterable[Metric]:
        """Return the figures as they are now."""
        status = self._process.bridge.status()
        rows = self._process.screens.rows
        yield CounterMetricFamily("deephaven_ticks", "Ticks that the screens show", value=rows)
        yield GaugeMetricFamily(
            "deephaven_store_lag_seconds",
            "Age of the oldest record that the screens do not show yet",
            value=status.lag_seconds,
        )
        yield CounterMetricFamily(
            "deephaven_store_reconnects", "Connections to the store", value=status.reconnects
        )
