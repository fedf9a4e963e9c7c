"""Runs a command, and tells of its errors in one line."""

from __future__ import annotations

import argparse

from store.cli.output import complain
from store.errors import StoreError
from trading.errors import TradingError

__all__ = ["outcome"]


def outcome(options: argparse.Namespace) -> int:
    """Run the command that the options are of, and return the exit status."""
    try:
        status: int = options.run(options)
        return status
    except (TradingError, StoreError, OSError) as error:
        complain(str(error))
        return 3
    except KeyboardInterrupt:
        return 130
