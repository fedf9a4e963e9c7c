"""The engine's process, as the supervisor starts it."""

from __future__ import annotations

import signal
from collections.abc import Sequence

from trading.engine.heap import freeze_heap
from trading.journal.outputs import Output
from trading.monitoring.engine_figures import EngineFigures
from trading.monitoring.order_log import log_outputs
from trading.monitoring.serving import FiguresServer
from trading.monitoring.webhook import Webhook
from trading.processes.config import DeskConfig
from trading.processes.engine import EngineProcess

__all__ = ["run"]


def run(config: DeskConfig) -> int:
    """Run the engine's process."""
    webhook = Webhook(config.webhook) if config.webhook else None
    figures = EngineFigures(webhook)

    def take(account: str, run: str, outputs: Sequence[Output]) -> None:
        figures.take(account, run, outputs)
        log_outputs(account, run, outputs)

    freeze_heap()
    process = EngineProcess(config, take)
    signal.signal(signal.SIGTERM, lambda *_: process.stop())
    figures.follow(process.books)
    with FiguresServer(config.ports["engine_metrics"], config.metrics_token, figures):
        process.run()
    if webhook is not None:
        webhook.close()
    return 0
