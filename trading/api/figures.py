"""The API's own figures for Prometheus."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from trading.api.market_hub import MarketHub
from trading.api.sessions import Sessions
from trading.api.sockets import Sockets

__all__ = ["RequestFigures", "collect_from"]

_SECONDS = (0.002, 0.005, 0.01, 0.015, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


class RequestFigures:
    """Counts requests and their seconds, by route and status."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._requests = Counter(
            "api_requests", "Requests that were answered", ["route", "status"], registry=registry
        )
        self._seconds = Histogram(
            "api_request_seconds",
            "Time from a request to its answer",
            ["route"],
            buckets=_SECONDS,
            registry=registry,
        )

    def answered(self, route: str, status: int, seconds: float) -> None:
        """Count an answer."""
        self._requests.labels(route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)


class _State:
    """Figures that are read when Prometheus asks."""

    def __init__(self, sessions: Sessions, sockets: Sockets, market: MarketHub) -> None:
        self._sessions = sessions
        self._sockets = sockets
        self._market = market

    def describe(self) -> Iterable[Metric]:
        """Nothing is known before it is asked for."""
        return []

    def collect(self) -> Iterable[Metric]:
        """Return the figures as they are now."""
        for name, text, value in (
            ("api_sessions", "People and programs that are logged in", self._sessions.count()),
            ("api_sockets", "Open WebSockets", self._sockets.count()),
            ("api_market_age_seconds", "Age of the newest tick", self._market.age_s),
        ):
            if value is not None:
                yield GaugeMetricFamily(name, text, value=value)
        for name, text, value in (
            ("api_messages_sent", "Messages sent over WebSockets", self._sockets.sent_events),
            (
                "api_sockets_too_slow",
                "WebSockets that were closed since nothing was read",
                self._sockets.disconnected_slow,
            ),
        ):
            yield CounterMetricFamily(name, text, value=value)


def collect_from(
    registry: CollectorRegistry, sessions: Sessions, sockets: Sockets, market: MarketHub
) -> None:
    """Let a registry tell the state of an API."""
    registry.register(_State(sessions, sockets, market))
