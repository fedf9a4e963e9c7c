"""What backtests hide: strategies that see the future, and figures that are not warm yet.

check_lookahead(backtest)      # the signals of a prefix must be those of the whole
check_warmup(backtest)         # started later, the signals after the warm-up must be the same
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from trading.backtest.backtest import Backtest, Loaded
from trading.backtest.result import Result
from trading.errors import BacktestError
from trading.journal.outputs import OrderOpened, SignalMade
from trading.kernel import BarColumns
from trading.numbers import from_units
from trading.times import MINUTE, moment

__all__ = ["CLEAN", "FOUND", "NOTHING", "Difference", "Verdict", "check_lookahead", "check_warmup"]

CLEAN, FOUND, NOTHING = "CLEAN", "FOUND", "NOTHING"
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Difference:
    """The first signal or order that one run has and the other has not."""

    strategy: str
    symbol: str
    time: int
    expected: str
    """What the whole run says there; empty where it says nothing."""
    found: str
    """What the other run says there."""
    cut: int
    """Where the other run's prices end or begin, in nanoseconds."""


@dataclass(frozen=True)
class Verdict:
    """CLEAN, FOUND with the first difference, or NOTHING where no signal could be compared."""

    check: str
    status: str
    runs: int
    compared: int
    difference: Difference | None = None

    @property
    def ok(self) -> bool:
        """Whether everything was compared and the same."""
        return self.status == CLEAN

    def __str__(self) -> str:
        if self.status == NOTHING:
            return (
                f"{self.check}: undecided. The strategy gave no signal and sent no order in the "
                "whole run; use more prices or other parameters"
            )
        if self.difference is None:
            return (
                f"{self.check}: clean. {self.compared} signals and orders are the same in "
                f"{self.runs} runs"
            )
        d = self.difference
        until = f"{moment(d.cut):%Y-%m-%d %H:%M:%S} UTC"
        if self.check == "lookahead":
            return (
                f"lookahead: FOUND in {d.strategy}. At {moment(d.time):%Y-%m-%d %H:%M:%S} UTC it "
                f"says {d.expected or 'nothing'} with all prices, and {d.found or 'nothing'} where "
                f"prices end at {until}: it saw what came later"
            )
        return (
            f"warmup: FOUND in {d.strategy}. At {moment(d.time):%Y-%m-%d %H:%M:%S} UTC it says "
            f"{d.expected or 'nothing'} with all prices before, and {d.found or 'nothing'} where "
            f"prices begin at {until}: it needs a longer warm-up"
        )


def check_lookahead(
    backtest: Backtest, *, cuts: int = 20, progress: Progress | None = None
) -> Verdict:
    """Run on prefixes and on the whole: what a prefix says must be what the whole says until then.

    Prefixes end right after bars on which something was said, where a glance ahead shows first, and
    at even distances.
    """
    loaded = backtest.load()
    whole = _said(backtest.run(loaded))
    times = np.unique(loaded.columns.times)
    ends = _cuts(times, [row.time for row in whole], cuts)
    compared = 0
    for done, end in enumerate(ends):
        if progress is not None:
            progress(done, len(ends))
        found = _said(backtest.run(_until(loaded, end)))
        expected = [row for row in whole if row.time <= end]
        difference = _first([row for row in found if row.time <= end], expected, end)
        if difference is not None:
            return Verdict("lookahead", FOUND, done + 1, compared, difference)
        compared = max(compared, len(expected))
    if not whole and not compared:
        return Verdict("lookahead", NOTHING, len(ends), 0)
    return Verdict("lookahead", CLEAN, len(ends), compared)


def check_warmup(
    backtest: Backtest,
    *,
    warmup: int | None = None,
    starts: int = 5,
    progress: Progress | None = None,
) -> Verdict:
    """Begin later and warm up: what is said after the warm-up must not depend on the beginning.

    `warmup` is a number of bars, by default that of the strategies. Both runs of a pair begin to
    trade at the same bar, so that positions do not differ.
    """
    bars = backtest.bars_before() if warmup is None else warmup
    if not isinstance(bars, int):
        raise BacktestError(f"warmup: expected a number of bars, seen {bars!r}")
    loaded = replace(backtest.load(), trades_from=0)
    columns = loaded.columns
    anchor = columns.times
    if isinstance(columns, BarColumns):
        anchor = columns.times[columns.intervals == 0]
    else:
        length = loaded.interval or MINUTE
        anchor = (columns.times // length + 1) * length
    times = np.unique(anchor)
    if len(times) < bars + 3:
        raise BacktestError(f"warmup: {bars} bars are asked for, the data has {len(times)}")
    most = max(len(times) - bars - 2, 1)
    places = sorted({1 + most * at // (starts + 1) for at in range(1, starts + 1)})
    compared = 0
    for done, at in enumerate(places):
        if progress is not None:
            progress(done, len(places))
        begin, trades = int(times[at - 1]), int(times[at + bars - 1]) + 1
        whole = _said(backtest.run(replace(loaded, trades_from=trades)))
        late = _said(backtest.run(replace(_after(loaded, begin), trades_from=trades)))
        difference = _first(late, whole, begin)
        if difference is not None:
            return Verdict("warmup", FOUND, done + 1, compared, difference)
        compared += len(whole)
    status = CLEAN if compared else NOTHING
    return Verdict("warmup", status, len(places), compared)


@dataclass(frozen=True)
class _Said:
    """A signal or order, without the ids that count what came before."""

    time: int
    strategy: str
    symbol: str
    text: str


def _said(result: Result) -> list[_Said]:
    """Signals and orders in the order in which they were given; twins say the same once more."""
    rows = []
    specs = result.market.specs
    for event in (*result.records.of(SignalMade), *result.records.of(OrderOpened)):
        if isinstance(event, SignalMade):
            size = from_units(event.size_hint, specs[event.symbol].size_decimals)
            text = f"the signal {event.action} {size} {event.symbol}"
            text += f" ({event.confidence / 1e6:g}) {event.reason}"
            strategy, symbol, account = event.strategy, event.symbol, event.account
        else:
            terms = event.terms
            spec = specs.get(terms.symbol)
            size = from_units(terms.quantity, 0 if spec is None else spec.size_decimals)
            side = "BUY" if terms.side > 0 else "SELL"
            text = f"the order {side} {size} {terms.symbol} {terms.kind}"
            for name, price in (("limit", terms.limit), ("stop", terms.stop)):
                if price is not None and spec is not None:
                    text += f" {name} {spec.price(price)}"
            strategy, symbol, account = terms.strategy, terms.symbol, terms.account
        if not account.startswith("paper:"):
            rows.append(_Said(event.time, strategy, symbol, text.strip()))
    return sorted(rows, key=lambda row: row.time)


def _first(found: Sequence[_Said], expected: Sequence[_Said], cut: int) -> Difference | None:
    for other, own in zip_longest(found, expected):
        if other == own:
            continue
        first = min((row for row in (other, own) if row is not None), key=lambda row: row.time)
        same = other is not None and own is not None and other.time == own.time
        return Difference(
            first.strategy,
            first.symbol,
            first.time,
            own.text if own is not None and (same or own is first) else "",
            other.text if other is not None and (same or other is first) else "",
            cut,
        )
    return None


def _cuts(times: Any, said: Sequence[int], count: int) -> list[int]:
    """Ends of prefixes: half right after something was said, half at even distances."""
    moments = sorted({time for time in said if time < int(times[-1])})
    half = max(count // 2, 1)
    chosen = {moments[len(moments) * at // half] for at in range(half)} if moments else set()
    rest = max(count - len(chosen), 1)
    chosen |= {int(times[len(times) * (at + 1) // (rest + 1)]) for at in range(rest)}
    return sorted(chosen)


def _until(loaded: Loaded, end: int) -> Loaded:
    """The prices that are known at a time."""
    columns = loaded.columns
    stop = int(np.searchsorted(columns.times, end, "right"))
    table = loaded.table
    stamps = table.column("timestamp").cast(pa.int64())
    if not isinstance(columns, BarColumns):
        return replace(
            loaded, columns=columns.slice(0, stop), table=table.filter(pc.less_equal(stamps, end))
        )
    return replace(
        loaded, columns=columns.slice(0, stop), table=_rows(loaded, columns, slice(0, stop))
    )


def _after(loaded: Loaded, begin: int) -> Loaded:
    """The prices that became known after a time."""
    columns = loaded.columns
    start = int(np.searchsorted(columns.times, begin, "right"))
    rest: Any = columns.slice(start, len(columns))
    if not isinstance(columns, BarColumns):
        stamps = loaded.table.column("timestamp").cast(pa.int64())
        return replace(loaded, columns=rest, table=loaded.table.filter(pc.greater(stamps, begin)))
    return replace(loaded, columns=rest, table=_rows(loaded, columns, slice(start, len(columns))))


def _rows(loaded: Loaded, columns: BarColumns, part: slice) -> pa.Table:
    """The rows of the table whose bars are in a part of the columns."""
    own = columns.intervals[part] == 0
    codes, starts = columns.codes[part][own], columns.starts[part][own]
    table, keep = loaded.table, np.zeros(len(loaded.table), np.bool_)
    stamps = np.asarray(table.column("timestamp").cast(pa.int64()).to_numpy())
    names = table.column("symbol").to_numpy(zero_copy_only=False)
    for code, symbol in enumerate(columns.symbols):
        rows = np.flatnonzero(names == symbol)
        keep[rows[np.isin(stamps[rows], starts[codes == code])]] = True
    return table.filter(pa.array(keep))
