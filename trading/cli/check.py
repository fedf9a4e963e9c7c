"""`check`: whether a strategy sees the future, and whether its warm-up is long enough."""

from __future__ import annotations

import argparse
from typing import Any

from store.cli.output import say
from store.cli.progress import progress
from trading.backtest import check_lookahead, check_warmup
from trading.cli.strategies import add_backtest_options, given_backtest
from trading.errors import BacktestError


def add(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "check",
        help="find what backtests hide: lookahead, or a warm-up that is too short",
        description="lookahead: run on prefixes and on the whole; signals of a prefix must be the "
        "same. warmup: start later; signals after the warm-up must be the same. Exit status 1 "
        "where they are not, or where there was no signal to compare.",
    )
    parser.add_argument("what", choices=("lookahead", "warmup"))
    add_backtest_options(parser)
    parser.add_argument("--cuts", type=int, default=20, help="lookahead: prefixes (default: 20)")
    parser.add_argument("--starts", type=int, default=5, help="warmup: beginnings (default: 5)")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Check, and tell the verdict."""
    backtest = given_backtest(options)
    if min(options.cuts, options.starts) < 1:
        raise BacktestError("--cuts and --starts: give a number of at least 1")
    with progress("runs") as told:
        if options.what == "lookahead":
            verdict = check_lookahead(backtest, cuts=options.cuts, progress=told)
        else:
            verdict = check_warmup(backtest, starts=options.starts, progress=told)
    say(str(verdict))
    return 0 if verdict.ok else 1
