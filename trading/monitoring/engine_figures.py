"""Figures of the engine's process: counted from what the kernel says, and read from its books."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from prometheus_client import CollectorRegistry, Counter
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from trading.engine import Phase, TradingEngine
from trading.errors import EngineStopped
from trading.journal import outputs as said
from trading.journal.outputs import Output
from trading.kernel import Kernel
from trading.monitoring.webhook import Webhook
from trading.numbers import from_units

__all__ = ["EngineFigures", "Watched"]


class Watched(Protocol):
    """An account's engines, such as a `Book` of the desk's engine process."""

    @property
    def engines(self) -> Mapping[str, TradingEngine]:
        """The engines by run."""


class EngineFigures:
    """Takes the outputs of each group, and reads the books when Prometheus asks."""

    def __init__(self, webhook: Webhook | None = None) -> None:
        self._webhook = webhook
        self._books: Mapping[str, Watched] = {}
        self._lock = threading.Lock()
        self._rolled_up: dict[str, float] = {}
        # Made here and registered later: outputs may come before anybody asks.
        self._registry = CollectorRegistry()
        registry = self._registry
        self._accepted = Counter(
            "tp_signals_accepted",
            "Signals that became orders",
            ["account", "reason"],
            registry=registry,
        )
        self._rejected = Counter(
            "tp_signals_rejected", "Signals that became none", ["code"], registry=registry
        )
        self._matches = Counter(
            "engine_matches_emitted", "Pieces of fills that closed lots", registry=registry
        )
        self._refused = Counter(
            "engine_refusals", "Orders that a limit has denied", ["code"], registry=registry
        )
        self._alerts = Counter("engine_alerts", "Alerts", ["code"], registry=registry)
        self._fills = Counter("engine_fills", "Fills", ["account", "run"], registry=registry)
        self._failed = Counter(
            "engine_strategies_stopped", "Strategies stopped by an error", registry=registry
        )

    def follow(self, books: Mapping[str, Watched]) -> None:
        """Read these accounts from now on."""
        self._books = books

    def register(self, registry: CollectorRegistry) -> None:
        """Add the figures to a registry."""
        registry.register(self)

    # --- what is counted --------------------------------------------------------------------------

    def take(self, account: str, run: str, outputs: Sequence[Output]) -> None:
        """Count what a committed group said."""
        for output in outputs:
            if isinstance(output, said.PickerDecision):
                if output.code == "OK":
                    self._accepted.labels(account, "OK").inc()
                else:
                    self._rejected.labels(output.code).inc()
            elif isinstance(output, said.MatchMade):
                self._matches.inc()
            elif isinstance(output, said.RiskDecision):
                if output.code != "OK":
                    self._refused.labels(output.code).inc()
            elif isinstance(output, said.FillBooked):
                self._fills.labels(account, run).inc()
            elif isinstance(output, said.PositionChanged):
                with self._lock:
                    self._rolled_up[output.symbol] = time.time()
            elif isinstance(output, said.StrategyStopped):
                self._failed.inc()
            elif isinstance(output, said.Alert):
                self._alert(account, run, output)

    def _alert(self, account: str, run: str, alert: said.Alert) -> None:
        self._alerts.labels(alert.code).inc()
        if self._webhook is not None:
            self._webhook.send(
                {
                    "id": f"{account}|{run}|{alert.time}|{alert.code}|{alert.subject}",
                    "account": alert.account or account,
                    "run": run,
                    "code": alert.code,
                    "subject": alert.subject,
                    "message": alert.message,
                    "time_ns": alert.time,
                }
            )

    # --- what is read -----------------------------------------------------------------------------

    def describe(self) -> Iterable[Metric]:
        """Nothing is known before it is asked for."""
        return []

    def collect(self) -> Iterable[Metric]:
        """Return all figures as they are now."""
        yield from self._registry.collect()
        families = _Families()
        for account, book in self._books.items():
            for run, engine in book.engines.items():
                _status(families, account, run, engine)
                try:
                    found = engine.look(lambda kernel, account=account: _earned(kernel, account))  # type: ignore[misc]
                except (EngineStopped, KeyError):
                    continue
                named = account if not run.startswith("twin:") else f"paper:{account}"
                for strategy, figures in found.items():
                    for name, value in figures.items():
                        families.gauge(name, (named, strategy), value)
        yield from families.all()
        now = time.time()
        stale = GaugeMetricFamily(
            "te_rollup_staleness_seconds", "Age of a symbol's last position", labels=["symbol"]
        )
        with self._lock:
            for symbol, at in self._rolled_up.items():
                stale.add_metric([symbol], now - at)
        yield stale
        if self._webhook is not None:
            yield CounterMetricFamily(
                "engine_webhook_sent", "Alerts that the webhook took", value=self._webhook.sent
            )
            yield CounterMetricFamily(
                "engine_webhook_lost", "Alerts that it did not", value=self._webhook.lost
            )


_OF_STRATEGY = ["account", "strategy"]
_OF_RUN = ["account", "run"]
_GAUGES: dict[str, tuple[str, list[str]]] = {
    "te_unrealized_pnl_total": ("Unrealized profit of open positions", _OF_STRATEGY),
    "te_realized_pnl_total": ("Realized profit, net of fees", _OF_STRATEGY),
    "te_net_exposure": ("Market value of open positions", _OF_STRATEGY),
    "te_open_positions_count": ("Open positions", _OF_STRATEGY),
    "engine_running": ("1 while the engine takes orders", _OF_RUN),
    "engine_lease_held": ("1 while the engine holds its account's lease", _OF_RUN),
    "engine_lease_epoch": ("How often the lease was taken", _OF_RUN),
    "engine_halted": ("1 while the account is HALTED", _OF_RUN),
    "engine_open_orders": ("Orders that may still fill", _OF_RUN),
    "engine_waiting_inputs": ("Inputs that are not in the journal yet", _OF_RUN),
    "engine_unanswered_effects": ("Requests that the venue has not answered", _OF_RUN),
    "engine_group_size": ("Inputs of the last group", _OF_RUN),
    "engine_commit_seconds": ("Time that the last group took to be durable", _OF_RUN),
    "engine_lag_seconds": ("Time from the oldest input of the last group to its commit", _OF_RUN),
}
_COUNTERS: dict[str, tuple[str, list[str]]] = {
    "engine_groups": ("Groups in the journal", _OF_RUN),
    "engine_inputs": ("Inputs in the journal", _OF_RUN),
    "engine_reconciliations": ("Comparisons with the broker that this process made", _OF_RUN),
    "engine_commit_seconds_sum": ("Time that groups took to be durable", _OF_RUN),
}


class _Families:
    """Collects values by the name of their figure."""

    def __init__(self) -> None:
        self._gauges = {
            name: GaugeMetricFamily(name, text, labels=labels)
            for name, (text, labels) in _GAUGES.items()
        }
        self._counters = {
            name: CounterMetricFamily(name, text, labels=labels)
            for name, (text, labels) in _COUNTERS.items()
        }

    def gauge(self, name: str, labels: Sequence[str], value: float) -> None:
        self._gauges[name].add_metric(labels, float(value))

    def counter(self, name: str, labels: Sequence[str], value: float) -> None:
        self._counters[name].add_metric(labels, float(value))

    def all(self) -> Iterable[Metric]:
        yield from self._gauges.values()
        yield from self._counters.values()


def _status(families: _Families, account: str, run: str, engine: TradingEngine) -> None:
    status, figures, labels = engine.status(), engine.figures, (account, run)
    running = status.phase is Phase.RUNNING
    gauges: dict[str, Any] = {
        "engine_running": running,
        "engine_lease_held": running or status.phase is Phase.RECOVERING,
        "engine_lease_epoch": status.epoch,
        "engine_halted": status.trading_state == "HALTED",
        "engine_open_orders": len(status.open_orders),
        "engine_waiting_inputs": status.waiting,
        "engine_unanswered_effects": status.unanswered,
        "engine_group_size": figures.last_size,
        "engine_commit_seconds": figures.last_commit_s,
        "engine_lag_seconds": figures.last_lag_s,
    }
    for name, value in gauges.items():
        families.gauge(name, labels, value)
    families.counter("engine_groups", labels, status.group)
    families.counter("engine_inputs", labels, status.inputs)
    families.counter("engine_reconciliations", labels, figures.reconciliations)
    families.counter("engine_commit_seconds_sum", labels, figures.commit_s)


def _earned(kernel: Kernel, account: str) -> dict[str, dict[str, float]]:
    """What each strategy has earned and holds, in the account's own money."""
    market, decimals = kernel.market, kernel.market.money_decimals
    total: dict[str, dict[str, float]] = {}
    for (owner, strategy, symbol), position in kernel.positions.items():
        if owner != account:
            continue
        of = total.setdefault(
            strategy or "manual",
            dict.fromkeys(
                (
                    "te_unrealized_pnl_total",
                    "te_realized_pnl_total",
                    "te_net_exposure",
                    "te_open_positions_count",
                ),
                0.0,
            ),
        )
        realized = position.realized - position.fees + position.income
        of["te_realized_pnl_total"] += float(from_units(realized, decimals))
        price = market.last.get(symbol)
        if position.net:
            of["te_open_positions_count"] += 1
        if position.net and price is not None:
            value = position.net * price * market.factors[symbol]
            of["te_net_exposure"] += float(from_units(value, decimals))
            unrealized = from_units(value - position.cost, decimals)
            of["te_unrealized_pnl_total"] += float(unrealized)
    return total
