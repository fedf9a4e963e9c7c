"""One backtest many times over parameters, in several processes, resumable.

found = sweep(backtest, {"fast": [5, 10, 20], "slow": [30, 60]}, keep="sweep.jsonl")
found.table.to_pandas().sort_values("sharpe")
found.best, found.deflated_sharpe
"""

from __future__ import annotations

import dataclasses
import json
import multiprocessing
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from itertools import product
from math import isfinite
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa

from trading.backtest.backtest import Backtest, Loaded
from trading.backtest.loading import class_of, place_of
from trading.backtest.result import Result
from trading.errors import BacktestError, MetricsError
from trading.journal.outputs import FillBooked, MatchMade, OrderOpened
from trading.metrics import deflated_sharpe
from trading.strategy import Strategy, parameters_hash

__all__ = ["Sweep", "sweep"]

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Sweep:
    """What a sweep found: a row for each set of parameters, in the order of the grid."""

    names: tuple[str, ...]
    rows: list[dict[str, Any]]
    metric: str
    backtest: Backtest
    loaded: Loaded
    resumed: int
    """How many rows were there already."""

    @property
    def table(self) -> pa.Table:
        """Parameters, figures, counts and the digest of each run."""
        keys = dict.fromkeys(key for row in self.rows for key in row)
        return pa.table(
            {key: pa.array([_plain(row.get(key)) for row in self.rows]) for key in keys}
        )

    @property
    def best(self) -> dict[str, Any]:
        """The parameters with the best figure; BacktestError where no run has one."""
        rows = [row for row in self.rows if _number(row.get(self.metric)) is not None]
        if not rows:
            raise BacktestError(f"no run has a {self.metric}; look at the errors in the table")
        found = max(rows, key=lambda row: float(row[self.metric]))
        return {name: found[name] for name in self.names}

    def strategy(self, values: Mapping[str, Any]) -> Strategy:
        """Return the strategy with these parameters."""
        return _made(_only(self.backtest), values)

    @cached_property
    def best_result(self) -> Result:
        """The run of the best parameters, made once more."""
        return _with(self.backtest, self.best).run(self.loaded)

    @cached_property
    def deflated_sharpe(self) -> float:
        """The probability that the best run is better than the luck of trying so many."""
        trials = [number for row in self.rows if (number := _number(row.get("sharpe"))) is not None]
        return deflated_sharpe(self.best_result.equity, trials)


def sweep(
    backtest: Backtest,
    parameters: Mapping[str, Sequence[Any]] | Sequence[Mapping[str, Any]],
    *,
    processes: int | None = None,
    keep: str | Path | None = None,
    metric: str = "sharpe",
    progress: Progress | None = None,
    loaded: Loaded | None = None,
) -> Sweep:
    """Run a backtest of one strategy for each set of parameters.

    `parameters` is a list of values by name, of which all combinations are run, or the sets
    themselves. `processes`, this one among them, is the number of processors unless it is given.
    With `keep`, each result is written to that file when it is there, or when this process's own
    run ends, and a sweep that is started again goes on after what the file has. `progress` is
    called with how many are done, and of how many.
    """
    strategy = _only(backtest)
    sets = list(_sets(parameters))
    loaded = backtest.load() if loaded is None else loaded
    # A wrong set is told before hours of runs.
    made = [_made(strategy, each) for each in sets]
    whole = _context(backtest, strategy, loaded)
    keys = [sha256(f"{whole}|{parameters_hash(e.parameters)}".encode()).hexdigest() for e in made]
    path = None if keep is None else Path(keep)
    found = {} if path is None else _read(path)
    resumed = len({key for key in keys if key in found})
    todo = [
        (key, each) for key, each in dict(zip(keys, sets, strict=True)).items() if key not in found
    ]
    total = len(dict.fromkeys(keys))
    count = _processors() if processes is None else processes
    if progress is not None:
        progress(resumed, total)
    runs = (
        _here(backtest, loaded, todo)
        if count <= 1 or len(todo) <= 1
        else _elsewhere(backtest, strategy, loaded, todo, min(count, len(todo)))
    )
    for done, (key, row) in enumerate(runs, resumed + 1):
        found[key] = row
        if path is not None:
            _append(path, key, row)
        if progress is not None:
            progress(done, total)
    names = tuple(dict.fromkeys(name for each in sets for name in each))
    rows = [{**each, **found[key]} for key, each in zip(keys, sets, strict=True)]
    return Sweep(names, rows, metric, backtest, loaded, resumed)


def _only(backtest: Backtest) -> Strategy:
    given = backtest.strategies
    one = given[0] if isinstance(given, (list, tuple)) and len(given) == 1 else given
    made = one() if isinstance(one, type) else one
    if not isinstance(made, Strategy):
        raise BacktestError("a sweep is over the parameters of one strategy; give one alone")
    return made


def _sets(
    parameters: Mapping[str, Sequence[Any]] | Sequence[Mapping[str, Any]],
) -> Iterator[dict[str, Any]]:
    if isinstance(parameters, Mapping):
        for name, values in parameters.items():
            if isinstance(values, str) or not isinstance(values, Sequence):
                raise BacktestError(f"{name}: expected a list of values, seen {values!r}")
        for values in product(*parameters.values()):
            yield dict(zip(parameters, values, strict=True))
    else:
        yield from (dict(each) for each in parameters)


def _made(strategy: Strategy, values: Mapping[str, Any]) -> Strategy:
    """The strategy with some parameters set anew."""
    before = {
        field.name: getattr(strategy.parameters, field.name)
        for field in dataclasses.fields(strategy.parameters)
        if field.init
    }
    return type(strategy)(
        name=strategy.name,
        symbols=strategy.symbols,
        timeframes=strategy.timeframes,
        account=strategy.account,
        **{**before, **values},
    )


def _with(backtest: Backtest, values: Mapping[str, Any]) -> Backtest:
    return backtest.with_strategies(_made(_only(backtest), values))


def _context(backtest: Backtest, strategy: Strategy, loaded: Loaded) -> str:
    """What else than the parameters decides a result: prices, settings, the strategy's version."""
    told = sha256()
    columns = loaded.columns
    for name in sorted(columns.__slots__):
        values = getattr(columns, name)
        told.update(values.tobytes() if isinstance(values, np.ndarray) else repr(values).encode())
    settings = {
        field.name: getattr(backtest, field.name)
        for field in dataclasses.fields(backtest)
        if field.name not in ("strategies", "data", "start", "end", "run_id")
    }
    for name, value in settings.items():
        # Private attributes are caches and states of runs, and differ from process to process.
        state = {k: v for k, v in getattr(value, "__dict__", {}).items() if k[0] != "_"}
        told.update(f"{name}={type(value).__name__}:{state or value!r}".encode())
    kind = type(strategy)
    told.update(f"{kind.__name__}|{strategy.version}|{strategy.timeframes}".encode())
    told.update(repr(sorted(loaded.market.specs)).encode() + str(loaded.trades_from).encode())
    return told.hexdigest()


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


# --- running --------------------------------------------------------------------------------------


def _row(result: Result) -> dict[str, Any]:
    """A row of the table: figures, counts, the digest, and the error of a strategy that stopped."""
    row: dict[str, Any] = {}
    try:
        row.update(result.metrics)
        error = ""
    except MetricsError as problem:
        error = str(problem)
    stopped = "; ".join(result.stopped.values())
    row.update(
        final_equity=str(result.final_equity),
        orders=len(result.records.of(OrderOpened)),
        fills=len(result.records.of(FillBooked)),
        matches=len(result.records.of(MatchMade)),
        digest=result.digest,
        error=stopped or error,
    )
    return {key: _plain(value) for key, value in row.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, (np.floating, np.integer)):
        value = value.item()
    if isinstance(value, float) and not isfinite(value):
        return None
    return value if value is None or isinstance(value, (int, float, str, bool)) else str(value)


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not isfinite(value):
        return None
    return float(value)


_Todo = Sequence[tuple[str, Mapping[str, Any]]]


def _here(backtest: Backtest, loaded: Loaded, todo: _Todo) -> Iterator[tuple[str, dict[str, Any]]]:
    for key, values in todo:
        yield key, _row(_with(backtest, values).run(loaded))


class _Worker:
    """What a process of a sweep keeps between its runs."""

    backtest: Backtest
    loaded: Loaded


def _begin(place: str, options: dict[str, Any], backtest: Backtest, loaded: Loaded) -> None:
    strategy = class_of(place)(**options)
    _Worker.backtest = backtest.with_strategies(strategy)
    _Worker.loaded = loaded


def _run(key: str, values: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    return key, _row(_with(_Worker.backtest, values).run(_Worker.loaded))


def _elsewhere(
    backtest: Backtest, strategy: Strategy, loaded: Loaded, todo: _Todo, processes: int
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Run here and in other processes; what fails there is raised here, the rest is ended."""
    place = place_of(type(strategy))
    options = {
        "name": strategy.name,
        "symbols": strategy.symbols,
        "timeframes": strategy.timeframes,
        "account": strategy.account,
        **msgspec.to_builtins(strategy.parameters),
    }
    plain = dataclasses.replace(backtest, strategies=(), data=None)
    # A forked process would inherit threads' locks; a new one begins clean.
    context = multiprocessing.get_context("spawn")
    others = processes - 1
    executor = ProcessPoolExecutor(others, context, _begin, (place, options, plain, loaded))
    waiting: set[Future[tuple[str, dict[str, Any]]]] = set()
    rest = iter(todo)

    def fill(most: int) -> None:
        while len(waiting) < most and (following := next(rest, None)) is not None:
            waiting.add(executor.submit(_run, *following))

    try:
        while True:
            fill(others)
            # A process needs a second or two to import what it runs with; this one has it all.
            own = next(rest, None)
            fill(2 * others)
            if own is None and not waiting:
                return
            if own is not None:
                yield from _here(backtest, loaded, [own])
            finished, waiting = wait(
                waiting, timeout=None if own is None else 0, return_when=FIRST_COMPLETED
            )
            for each in finished:
                yield each.result()
    finally:
        executor.shutdown(wait=True, cancel_futures=True)


# --- the file of results --------------------------------------------------------------------------


def _read(path: Path) -> dict[str, dict[str, Any]]:
    """Rows by key; a last line that was cut off by a kill counts as not there."""
    if not path.exists():
        return {}
    found: dict[str, dict[str, Any]] = {}
    lines = path.read_bytes().split(b"\n")
    for number, line in enumerate(lines[:-1], 1):
        try:
            row = json.loads(line)
            found[row.pop("key")] = row
        except (ValueError, KeyError, AttributeError):
            raise BacktestError(
                f"{path}, line {number}, is no result of a sweep; give another file"
            ) from None
    if lines[-1]:
        with path.open("r+b") as file:
            file.truncate(len(b"\n".join(lines[:-1])) + (1 if len(lines) > 1 else 0))
    return found


def _append(path: Path, key: str, row: dict[str, Any]) -> None:
    with path.open("ab") as file:
        file.write(json.dumps({"key": key, **row}).encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())
