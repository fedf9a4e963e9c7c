"""The commands of `python -m trading`, each in a file of its own.

python -m trading ingest ticks.parquet more.csv
python -m trading ingest --simulate AAPL=230 --seconds 60
python -m trading export day.parquet --symbols AAPL,MSFT --start 2026-02-20T00:00:00Z
python -m trading bars ticks.parquet --interval 1m --calendar XNYS --output bars.parquet
python -m trading metrics equity.csv --periods 252 --json
python -m trading report fills.parquet --cash 100000 --prices bars.parquet --output report
python -m trading settings --set tradepicker.maxOpenPositions=5
python -m trading bars verify ticks.parquet --bars bars.parquet --interval 1m --calendar XNYS
python -m trading exchange serve DIRECTORY --accounts accounts.json --instrument AAPL=228.25
python -m trading backtest bars.parquet --strategy my.py:SmaCross --symbols AAPL --set fast=10
python -m trading paper --simulate AAPL=230 --strategy my.py:SmaCross --set fast=10
python -m trading live --account ACC --user alice --exchange 127.0.0.1:7001 --instrument AAPL
python -m trading desk --data my_desk
python -m trading check lookahead bars.parquet --strategy my.py:SmaCross --symbols AAPL

The exit status is 0 when all is well, 1 where something was found (bars that differ from their
ticks, a strategy that was stopped or sees the future), 2 for a command line that is wrong, 3 for an
error, which is told on the standard error output, and 130 after Ctrl-C.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from store.cli.output import complain
from store.errors import StoreError
from trading.cli import (
    backtest,
    bars,
    check,
    desk,
    engine,
    exchange,
    export,
    ingest,
    metrics,
    report,
    settings,
)
from trading.errors import TradingError

# A command more is a module more, with `add(commands)`.
COMMANDS = (
    ingest,
    export,
    bars,
    backtest,
    check,
    metrics,
    report,
    settings,
    exchange,
    engine,
    desk,
)

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m trading", description="Market data and trading."
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for module in COMMANDS:
        module.add(commands)
    options = parser.parse_args(arguments)
    try:
        status: int = options.run(options)
        return status
    except (TradingError, StoreError, OSError) as error:
        complain(str(error))
        return 3
    except KeyboardInterrupt:
        return 130
