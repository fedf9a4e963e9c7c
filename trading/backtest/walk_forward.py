"""Walk-forward: parameters chosen on one stretch of time, tested on the next, again and again.

found = walk_forward(backtest, {"fast": [5, 10], "slow": [30, 60]}, train="365D", test="90D")
found.table.to_pandas(), found.metrics
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa

from trading.backtest.backtest import Backtest
from trading.backtest.result import Result
from trading.backtest.sweep import Progress, Sweep, sweep
from trading.bars.interval import parse_duration_ns
from trading.errors import BacktestError
from trading.history.reading import NS
from trading.kernel import BarColumns
from trading.metrics import equity_metrics
from trading.times import moment

__all__ = ["Step", "WalkForward", "walk_forward"]


@dataclass(frozen=True)
class Step:
    """One stretch: the sweep on its first part, and the run of the best on the part after it."""

    train_start: int
    test_start: int
    test_end: int
    best: dict[str, Any]
    sweep: Sweep
    result: Result


@dataclass(frozen=True)
class WalkForward:
    """The stretches, and what they are together when the tested parts follow each other."""

    steps: list[Step]
    metric: str

    @property
    def table(self) -> pa.Table:
        """A row for each stretch: its times, the parameters, the figure where chosen and tested."""
        rows = []
        for step in self.steps:
            trained = max(
                (row[self.metric] for row in step.sweep.rows if row.get(self.metric) is not None),
                default=None,
            )
            tested = step.result.metrics.get(self.metric)
            rows.append(
                {
                    "train_start": step.train_start,
                    "test_start": step.test_start,
                    "test_end": step.test_end,
                    **step.best,
                    f"train_{self.metric}": trained,
                    f"test_{self.metric}": tested,
                    "final_equity": float(step.result.final_equity),
                }
            )
        made = pa.Table.from_pylist(rows)
        for at, name in enumerate(("train_start", "test_start", "test_end")):
            made = made.set_column(at, name, made.column(name).cast(pa.int64()).cast(NS))
        return made

    @cached_property
    def equity(self) -> pa.Table:
        """Equity of the tested parts one after the other, each going on from where one ended."""
        times, values, level = [], [], None
        for step in self.steps:
            curve = np.asarray(step.result.equity.column("equity").to_numpy())
            if not len(curve):
                continue
            start = step.result.equity_units[next(iter(step.result.equity_units))]
            first = float(int(start[0])) / 10.0**step.result.market.money_decimals
            level = first if level is None else level
            values.append(curve * (level / curve[0]))
            times.append(np.asarray(step.result.times))
            level = float(values[-1][-1])
        if not values:
            raise BacktestError("no tested part has any price")
        return pa.table(
            {
                "timestamp": pa.array(np.concatenate(times)).cast(NS),
                "equity": pa.array(np.concatenate(values)),
            }
        )

    @cached_property
    def metrics(self) -> dict[str, Any]:
        """The figures of the tested parts together: nothing of them was seen when choosing."""
        return equity_metrics(self.equity)


def walk_forward(
    backtest: Backtest,
    parameters: Mapping[str, Sequence[Any]] | Sequence[Mapping[str, Any]],
    *,
    train: str | int,
    test: str | int,
    metric: str = "sharpe",
    processes: int | None = None,
    progress: Progress | None = None,
) -> WalkForward:
    """Choose parameters on each stretch of `train` and test them on the `test` after it.

    Both are lengths of time such as "365D", or nanoseconds. The next stretch begins `test` later.
    BacktestError where the data is shorter than one stretch.
    """
    learn, try_ = parse_duration_ns(train, name="train"), parse_duration_ns(test, name="test")
    if learn <= 0 or try_ <= 0:
        raise BacktestError(f"train {train} and test {test} must be longer than nothing")
    columns = backtest.load().columns
    first = int(columns.starts.min() if isinstance(columns, BarColumns) else columns.times[0])
    last = int(columns.times[-1])
    begins = list(range(first, last - learn, try_))
    if not begins:
        raise BacktestError(
            f"the data goes from {moment(first)} to {moment(last)}, which is no longer than the "
            f"{train} to train with"
        )
    steps = []
    for done, begin in enumerate(begins):
        middle, end = begin + learn, min(begin + learn + try_, last + 1)
        if progress is not None:
            progress(done, len(begins))
        part = replace(backtest, start=begin, end=middle)
        chosen = sweep(part, parameters, processes=processes, metric=metric)
        tested = replace(backtest, start=middle, end=end)
        best = chosen.best
        result = tested.with_strategies(chosen.strategy(best)).run()
        steps.append(Step(begin, middle, end, best, chosen, result))
    if progress is not None:
        progress(len(begins), len(begins))
    return WalkForward(steps, metric)
