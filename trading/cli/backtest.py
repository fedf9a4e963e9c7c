"""`backtest`: a strategy over files of prices, once, over parameters, or walking forward."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from store.cli.output import complain, say
from store.cli.progress import progress
from trading.backtest import Backtest, Result, sweep, walk_forward
from trading.cli.strategies import add_backtest_options, given_backtest, values_of
from trading.errors import BacktestError
from trading.reports import Report

_TABLES = ("orders", "fills", "matches", "signals", "alerts", "equity", "bars")
_SHOWN = ("total_return", "annual_return", "volatility", "sharpe", "sortino", "max_drawdown", "psr")
_TOP = 10


def add(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "backtest",
        help="run a strategy over recorded prices",
        description="Run a strategy over files of bars or ticks, through the kernel that trades "
        "live. Exit status 1 where a strategy was stopped by an error.",
    )
    add_backtest_options(parser)
    parser.add_argument(
        "--output", type=Path, metavar="DIR", help="write tables (Parquet) and summary.json there"
    )
    parser.add_argument(
        "--report", type=Path, metavar="DIR", help="write a page with pictures there"
    )
    parser.add_argument("--json", action="store_true", help="print the summary as JSON")
    many = parser.add_argument_group("many runs")
    many.add_argument(
        "--sweep",
        action="append",
        default=[],
        metavar="NAME=V1,V2,…",
        help="values to try; with several, all combinations",
    )
    many.add_argument("--metric", default="sharpe", help="what the best is chosen by")
    many.add_argument("--processes", type=int, help="how many at a time (default: processors)")
    many.add_argument(
        "--keep", type=Path, metavar="FILE", help="keep results there, to go on after a break"
    )
    many.add_argument(
        "--walk-forward",
        nargs=2,
        metavar=("TRAIN", "TEST"),
        help='choose on one length of time, test on the next: "365D" "90D"',
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the backtest and tell what it found."""
    backtest = given_backtest(options)
    if options.sweep:
        grid = {}
        for each in options.sweep:
            name, values = values_of(each, "--sweep")
            grid[name] = [value.strip() for value in values.split(",")]
        if options.walk_forward:
            return _walk(backtest, grid, options)
        return _sweep(backtest, grid, options)
    if options.walk_forward:
        raise BacktestError("--walk-forward chooses among parameters; give --sweep as well")
    return _once(backtest, options)


def _once(backtest: Backtest, options: argparse.Namespace) -> int:
    result = backtest.run()
    if options.output is not None:
        _write(result, options.output)
    if options.report is not None:
        report = Report.of(
            result.equity,
            fills=result.fills if result.outputs == "full" else None,
            matches=result.matches,
            prices=result.bars,
            instruments=result.market.specs,
            title=", ".join(each["name"] for each in result.strategies),
            run=result.run,
        )
        report.write(options.report, overwrite=True)
    if options.json:
        say(json.dumps(_finite(result.summary()), indent=2))
    else:
        _tell(result)
    for name, error in result.stopped.items():
        complain(f"{name} was stopped by its error in {error}")
    return 1 if result.stopped else 0


def _tell(result: Result) -> None:
    summary = result.summary()
    for each in result.strategies:
        say(f"{each['name']} {each['parameters']} on {each['account']}")
    say(
        f"{summary['orders']} orders, {summary['fills']} fills, {summary['matches']} matches; "
        f"equity at the end {result.final_equity.normalize():f}"
    )
    say("  ".join(f"{name} {_text(result.metrics.get(name))}" for name in _SHOWN))
    for note in result.notes:
        say(f"note: {note}")
    say(f"digest {result.digest}")


def _sweep(backtest: Backtest, grid: dict[str, list[str]], options: argparse.Namespace) -> int:
    with progress("runs") as told:
        found = sweep(
            backtest,
            grid,
            processes=options.processes,
            keep=options.keep,
            metric=options.metric,
            progress=told,
        )
    if options.output is not None:
        options.output.mkdir(parents=True, exist_ok=True)
        pq.write_table(found.table, options.output / "sweep.parquet")
    best = found.best
    if options.json:
        told_best = {"best": best, "deflated_sharpe": found.deflated_sharpe, "runs": found.rows}
        say(json.dumps(_finite(told_best), indent=2))
        return 0
    rows = [row for row in found.rows if row.get(options.metric) is not None]
    rows.sort(key=lambda row: -float(row[options.metric]))
    for row in rows[:_TOP]:
        values = " ".join(f"{name}={row[name]}" for name in found.names)
        say(f"{values}  {options.metric} {_text(row[options.metric])}  {row['fills']} fills")
    if len(rows) > _TOP:
        say(f"… and {len(rows) - _TOP} more; --output keeps all of them")
    if found.resumed:
        say(f"{found.resumed} of {len(found.rows)} results were kept from before.")
    say(
        f"best: {' '.join(f'{k}={v}' for k, v in best.items())}; deflated Sharpe "
        f"{_text(found.deflated_sharpe)} (below 0.95 the best of {len(found.rows)} is easily luck)"
    )
    return 0


def _walk(backtest: Backtest, grid: dict[str, list[str]], options: argparse.Namespace) -> int:
    train, test = options.walk_forward
    with progress("stretches") as told:
        found = walk_forward(
            backtest,
            grid,
            train=train,
            test=test,
            metric=options.metric,
            processes=options.processes,
            progress=told,
        )
    table = found.table
    if options.output is not None:
        options.output.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, options.output / "walk_forward.parquet")
        pq.write_table(found.equity, options.output / "equity.parquet")
    if options.json:
        rows = [
            {k: str(v) if hasattr(v, "tzinfo") else v for k, v in r.items()}
            for r in table.to_pylist()
        ]
        say(json.dumps(_finite({"stretches": rows, "metrics": found.metrics}), indent=2))
        return 0
    for step, row in zip(found.steps, table.to_pylist(), strict=True):
        values = " ".join(f"{name}={value}" for name, value in step.best.items())
        say(
            f"{row['test_start']:%Y-%m-%d} to {row['test_end']:%Y-%m-%d}  {values}  trained "
            f"{_text(row[f'train_{found.metric}'])}, tested {_text(row[f'test_{found.metric}'])}"
        )
    say("together  " + "  ".join(f"{name} {_text(found.metrics.get(name))}" for name in _SHOWN))
    return 0


def _write(result: Result, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in _TABLES:
        table: pa.Table = getattr(result, name)
        pq.write_table(table, folder / f"{name}.parquet")
    text = json.dumps(_finite(result.summary()), indent=2)
    (folder / "summary.json").write_text(text + "\n", encoding="utf-8")


def _text(value: Any) -> str:
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def _finite(value: Any) -> Any:
    """The value with null for numbers that JSON does not have."""
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(each) for each in value]
    if isinstance(value, float) and value - value != 0.0:
        return None
    return value if isinstance(value, (int, float, str, bool, type(None))) else str(value)
