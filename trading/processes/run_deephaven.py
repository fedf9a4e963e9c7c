"""Deephaven's process, as the supervisor starts it."""

from __future__ import annotations

import logging
import signal

from server.errors import ServerError
from server.shutdown import exit_with
from trading.errors import TradingError
from trading.monitoring.screen_figures import ScreenFigures
from trading.monitoring.serving import FiguresServer
from trading.processes.config import DeskConfig
from trading.processes.deephaven import DeephavenProcess

__all__ = ["run"]

_LOG = logging.getLogger(__name__)


def run(config: DeskConfig) -> int:
    """Run Deephaven's process; it ends past the interpreter's own exit, which waits for the JVM."""
    exit_with(lambda: _run(config))


def _run(config: DeskConfig) -> int:
    try:
        process = DeephavenProcess(config)
        signal.signal(signal.SIGTERM, lambda *_: process.stop())
        process.run()
    except (ServerError, TradingError) as error:
        _LOG.error("Deephaven does not start: %s", error)
        return 1
    # Whoever connects to this port knows that the tables stand.
    with FiguresServer(
        config.ports["deephaven_metrics"], config.metrics_token, ScreenFigures(process)
    ):
        try:
            process.wait()
        except TradingError as error:
            _LOG.error("%s", error)
            return 1
    process.close()
    return 0
