"""Runs one process of a desk: `python -m trading.processes NAME CONFIG`; the supervisor does."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Callable
from importlib import import_module

from trading.errors import TradingError
from trading.monitoring.logs import log_as_json
from trading.processes.config import DeskConfig, read_config

# A process imports what it runs, and nothing of the others.
_RUNNERS = ("market", "exchange", "engine", "api", "deephaven")
_PR_SET_PDEATHSIG = 1


def _die_with_parent() -> None:
    """End when the supervisor does, however it ends; Linux only."""
    parent = os.getppid()
    try:
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    except (OSError, AttributeError):
        return
    if os.getppid() != parent:
        sys.exit(1)


def main(arguments: list[str]) -> int:
    """Run a process until SIGTERM; returns its exit status."""
    if len(arguments) != 2 or arguments[0] not in _RUNNERS:
        names = ", ".join(_RUNNERS)
        sys.stderr.write(f"usage: python -m trading.processes NAME CONFIG; names are {names}\n")
        return 2
    name, path = arguments
    _die_with_parent()
    # The terminal's Ctrl-C is for the supervisor, which stops the processes in order.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    log_as_json(name)
    run: Callable[[DeskConfig], int] = import_module(f"trading.processes.run_{name}").run
    try:
        return run(read_config(path))
    except TradingError as error:
        sys.stderr.write(f"{name}: {error}\n")
        return 3


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
