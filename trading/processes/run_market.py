"""The market's process, as the supervisor starts it."""

from __future__ import annotations

import signal

from trading.monitoring.market_figures import MarketFigures
from trading.monitoring.serving import FiguresServer
from trading.processes.config import DeskConfig
from trading.processes.market import MarketProcess

__all__ = ["run"]


def run(config: DeskConfig) -> int:
    """Run the market's process."""
    process = MarketProcess(config)
    signal.signal(signal.SIGTERM, lambda *_: process.stop())
    with FiguresServer(
        config.ports["market_metrics"], config.metrics_token, MarketFigures(process)
    ):
        process.run()
    return 1 if process.problem else 0
