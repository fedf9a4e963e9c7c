"""The life of orders as lines of the log, with the run and the order that each is about."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from trading.journal import outputs as said
from trading.journal.outputs import Output

__all__ = ["log_outputs"]

_LOG = logging.getLogger("trading.orders")


def log_outputs(account: str, run: str, outputs: Sequence[Output]) -> None:
    """Log the orders, fills and alerts of a committed group."""
    for output in outputs:
        about = {"account": account, "run": run}
        if isinstance(output, said.OrderEvent):
            level = logging.WARNING if output.status in ("DENIED", "REJECTED") else logging.INFO
            about["order_id"] = output.order_id
            _LOG.log(level, "order %s: %s", output.status, output.detail, extra=about)
        elif isinstance(output, said.FillBooked):
            about |= {"order_id": output.order_id, "symbol": output.symbol}
            _LOG.info("fill %s, order %s", output.fill_id, output.status, extra=about)
        elif isinstance(output, said.Alert):
            about["code"] = output.code
            _LOG.warning("alert %s: %s", output.subject, output.message, extra=about)
        elif isinstance(output, said.StrategyStopped):
            about["strategy"] = output.strategy
            _LOG.error("%s raised %s", output.handler, output.error, extra=about)
