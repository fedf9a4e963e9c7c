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
python -m trading halt --account ACC --user eve --reason "fat finger"
python -m trading eod --account ACC --user trader --date 2026-02-20 --mark AAPL=228.25
python -m trading governance propose --account ACC --user ann --limits limits.json
python -m trading verify paper:demo --user paper_trader
python -m trading replay paper:demo --user paper_trader --set fast=5
python -m trading explain ACC.live.4-1 --run-name live --user alice --svg why.svg
python -m trading archive live day.tar --day 2026-02-20 --key key.pem --user alice
python -m trading verify-archive day.tar --key key.pem.pub
python -m trading desk --data my_desk
python -m trading check lookahead bars.parquet --strategy my.py:SmaCross --symbols AAPL

The exit status is 0 when all is well, 1 where something was found (bars that differ from their
ticks, a strategy that was stopped or sees the future), 2 for a command line that is wrong, 3 for an
error, which is told on the standard error output, and 130 after Ctrl-C.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import NamedTuple

__all__ = ["COMMANDS", "Command", "main"]


class Command(NamedTuple):
    """A command, the module that adds it, and what the list of commands says of it."""

    name: str
    module: str
    help: str


# A module is imported for its own commands alone: it has `add(commands)`, which adds all of its
# commands with the same names and texts.
COMMANDS = (
    Command("ingest", "market.ingest", "keep ticks of files or feeds"),
    Command("export", "market.export", "write kept ticks to a file"),
    Command("bars", "market.bars", "make bars of ticks, or verify kept bars"),
    Command("backtest", "backtest", "run a strategy over recorded prices"),
    Command(
        "check",
        "check",
        "find what backtests hide: lookahead, or a warm-up that is too short",
    ),
    Command("metrics", "metrics", "figures of equity, returns, fills or trade matches"),
    Command("report", "report", "write a report with pictures"),
    Command("settings", "settings", "show the settings in force and their sources"),
    Command(
        "exchange",
        "exchange",
        "a simulated exchange of its own, and faults for it by command",
    ),
    Command("paper", "engine", "trade live prices with simulated fills"),
    Command("live", "engine", "trade an account at a venue"),
    Command("desk", "desk", "a whole desk: market, engine, API and page"),
    Command("halt", "control", "stop an account: its orders are cancelled, new ones refused"),
    Command("reduce", "control", "let an account only reduce its positions"),
    Command(
        "flatten", "control", "cancel an account's orders and close its positions at the market"
    ),
    Command(
        "resume", "control", "let a halted account trade again; another person than its trader does"
    ),
    Command(
        "governance",
        "governance",
        "limits and parameters that two people change; duties; reviews",
    ),
    Command("eod", "eod", "close a day of an account: marks, P&L, settlement, report"),
    Command("verify", "replay", "fold a run's journal again and compare its digest"),
    Command("replay", "replay", "play a run's journal again, as it was or with something changed"),
    Command("explain", "explain", "say why something happened"),
    Command("archive", "archive", "write a day of a run as one signed file"),
    Command("verify-archive", "archive", "check a signed archive"),
)
"""The commands in the order of the list."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return the exit status."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    parser = argparse.ArgumentParser(
        prog="python -m trading", description="Market data and trading."
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    asked = next((each.module for each in COMMANDS if given[:1] == [each.name]), "")
    added = set()
    for each in COMMANDS:
        if each.module != asked:
            # In the list of commands alone.
            commands.add_parser(each.name, help=each.help)
        elif asked not in added:
            added.add(asked)
            import_module(f"trading.cli.{asked}").add(commands)
    options = parser.parse_args(given)
    status: int = import_module("trading.cli.outcome").outcome(options)
    return status
