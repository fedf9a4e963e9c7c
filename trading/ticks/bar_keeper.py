"""Makes the bars of kept ticks and keeps them: of a range that is over, or as ticks come.

rebuild(ticks, "1m", start, end)                 # bars of kept ticks

keeper = BarKeeper(ticks, BarRecipe("1m", "XNYS"), lateness="2s")
keeper.catch_up()                                # what an earlier process did not get to
ticks.append(table, source="venue")
finished = keeper.push(table)                    # kept already
finished = keeper.advance(now)
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from datetime import date
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from trading.bars import BarBuilder, Verification, verify
from trading.bars.columns import as_arrow, exact_numbers, instant_ns
from trading.bars.grid import Grid
from trading.bars.interval import NS_PER_DAY, parse_duration_ns, parse_interval
from trading.bars.verifying import day_range
from trading.ticks.bar_store import BarRecipe, Symbols
from trading.ticks.files import NUMBERS
from trading.ticks.store import TickStore

# How much time of ticks is read at once.
_PIECE_NS = NS_PER_DAY // 4
# For how long a builder can revise a bar.
_REVISABLE_NS = NS_PER_DAY
_TIME = pa.timestamp("ns", "UTC")


def rebuild(
    ticks: TickStore,
    recipe: BarRecipe | str,
    start: Any,
    end: Any,
    symbols: Symbols = None,
    *,
    now: Any,
    on_progress: Callable[[int, int], object] = lambda _done, _whole: None,
) -> tuple[int, int]:
    """Make the bars of kept ticks that have a moment in [start, end), and keep those that are new.

    Bars that end after `now` are left out. Returns how many bars were made, and how many versions
    were new. What the ticks do not tell stays as it was kept: that data is missing, say.
    """
    recipe = recipe if isinstance(recipe, BarRecipe) else BarRecipe(recipe)
    low, high = _whole_bars(recipe, instant_ns(start), instant_ns(end))
    until = instant_ns(now)
    made = new = 0
    names = ticks.symbols(symbols)
    for number, name in enumerate(names):
        # A print after the close comes in time for the session's last bar.
        builder = _builder(recipe, since=-(2**63), lateness=recipe.close_grace)
        for piece in _pieces(ticks, [name], recipe, low, high):
            counts = _keep_of_range(ticks, recipe, builder.push(piece), low, high, until)
            made, new = made + counts[0], new + counts[1]
        counts = _keep_of_range(ticks, recipe, builder.finish(), low, high, until)
        made, new = made + counts[0], new + counts[1]
        on_progress(number + 1, len(names))
    return made, new


def verify_kept(
    ticks: TickStore,
    recipe: BarRecipe | str,
    day: date,
    symbols: Symbols = None,
    *,
    now: Any,
    known_at: Any = None,
) -> Verification:
    """Rebuild the bars that start on a day from the kept ticks, and compare them with kept bars.

    The day is one of the calendar's time zone, UTC without one. Bars that end after `now` are left
    out. A bar that has ticks and was not kept is a difference, as is one that has none.
    """
    recipe = recipe if isinstance(recipe, BarRecipe) else BarRecipe(recipe)
    low, high = day_range(day, recipe.calendar)
    names = ticks.symbols(symbols)
    kept = ticks.bars.read(names, recipe, low, high, known_at=known_at)
    return verify(
        kept,
        _OfSource(ticks, recipe.source),
        recipe.interval,
        calendar=recipe.calendar,
        close_grace=recipe.close_grace,
        day=day,
        symbols=names,
        until=now,
        allow_negative=True,
    )


class BarKeeper:
    """Builds the bars of one recipe as ticks come, and keeps each as it becomes final.

    Append ticks to the store before they are pushed: bars that this process cannot build from what
    it has seen are built from the kept ticks. `lateness`, `revise_every`, `symbols` and `since` are
    those of `BarBuilder`. Numbers are taken as floats, which show 15 digits.
    """

    def __init__(
        self,
        ticks: TickStore,
        recipe: BarRecipe | str,
        *,
        lateness: str | int = "0s",
        revise_every: str | int = "0s",
        symbols: Iterable[str] = (),
        since: Any = None,
    ) -> None:
        self.recipe = recipe if isinstance(recipe, BarRecipe) else BarRecipe(recipe)
        self._ticks = ticks
        self._newest = -(2**63)
        self._options = {
            "lateness": lateness,
            "revise_every": revise_every,
            "symbols": list(symbols),
        }
        self.builder = _builder(self.recipe, since=since, **self._options)

    def catch_up(self, now: Any = None) -> int:
        """Build on from the kept ticks of the last day; returns how many bar versions were new.

        To be called once, before the first push. `now`: when live data goes on, where they do not
        go on by themselves from the last kept tick on; what lies between is a gap.
        """
        newest = self._ticks.newest(self.recipe.source)
        if newest is None:
            return 0
        # All bars that can still be revised, whole.
        first, high = _whole_bars(self.recipe, newest - _REVISABLE_NS - 1, newest + 1)
        self.builder = _builder(self.recipe, since=first, **self._options)
        self._newest = newest
        new = 0
        for piece in _pieces(self._ticks, None, self.recipe, first, high, exact=False):
            new += self._ticks.bars.keep(self.builder.push(piece), self.recipe)
        if now is not None and instant_ns(now) > newest:
            self.builder.gap(newest + 1, now)
        return new

    def push(self, ticks: Any) -> pa.Table:
        """Take ticks that were appended; the bars that became final or were revised are kept.

        Bars that a tick is too late for are built anew from the kept ticks; they are kept too, and
        not returned.
        """
        table = _as_floats(as_arrow(ticks))
        too_late = sum(self.builder.too_late.values())
        finished = self._keep(self.builder.push(table))
        if len(table):
            times = np.asarray(table["timestamp"].cast(_TIME).cast(pa.int64()))
            self._newest = max(self._newest, int(times.max()))
            if sum(self.builder.too_late.values()) > too_late:
                self._rebuild(table.filter(pa.array(times < self._newest - _REVISABLE_NS)))
        return finished

    def advance(self, now: Any) -> pa.Table:
        """Let the clock go on; the bars that became final by that are kept."""
        return self._keep(self.builder.advance(now))

    def finish(self) -> pa.Table:
        """Keep the open bars too: the feed has ended for good."""
        return self._keep(self.builder.finish())

    def gap(self, start: Any, end: Any, symbol: str | None = None) -> None:
        """Say that no data came in [start, end), for one symbol or for all."""
        self.builder.gap(start, end, symbol)

    def working(self, symbols: Collection[str] | None = None) -> pa.Table:
        """The bars that are open now, of some symbols or of all."""
        return self.builder.working(symbols)

    def _keep(self, finished: pa.Table) -> pa.Table:
        self._ticks.bars.keep(finished, self.recipe)
        return finished

    def _rebuild(self, late: pa.Table) -> None:
        symbols = late["symbol"].cast(pa.string())
        for name in pc.unique(symbols).to_pylist():
            of_symbol = late.filter(pc.equal(symbols, name))["timestamp"]
            first, last = (
                instant_ns(at.as_py()) for at in pc.min_max(of_symbol.cast(_TIME)).values()
            )
            rebuild(self._ticks, self.recipe, first, last + 1, [name], now=self._newest)


class _OfSource:
    """The ticks of one source, read as a tick store is."""

    def __init__(self, ticks: TickStore, source: str | None, *, exact: bool = True) -> None:
        self._ticks = ticks
        self._source = source
        self._exact = exact

    def read(self, symbols: Any, start: Any, end: Any) -> pa.Table:
        """The ticks of symbols with a time in [start, end)."""
        table = self._ticks.read(symbols, start, end, source=self._source, exact=self._exact)
        # In the order of their times none is late.
        return table.drop_columns([n for n in ("received",) if n in table.column_names])


def _as_floats(table: pa.Table) -> pa.Table:
    """One type of numbers for kept ticks and for those of any feed: the nearest floats."""
    for place, field in enumerate(table.schema):
        if field.name in NUMBERS and not pa.types.is_floating(field.type):
            column = table[field.name]
            if column.null_count == len(column):
                floats = pa.nulls(len(column), pa.float64())
            else:
                # Arrow's own cast of decimals gives neighbours of the nearest float.
                has = np.asarray(pc.is_valid(column).combine_chunks())
                numbers = exact_numbers(column, field.name, allow_negative=True, is_trade=has)
                floats = pa.array(numbers.values / 10.0 ** (numbers.digits or 0), mask=~has)
            table = table.set_column(place, field.name, floats)
    return table


def _builder(recipe: BarRecipe, **options: Any) -> BarBuilder:
    return BarBuilder(
        recipe.interval,
        calendar=recipe.calendar,
        close_grace=recipe.close_grace,
        keep=_REVISABLE_NS,
        allow_negative=True,
        **options,
    )


def _whole_bars(recipe: BarRecipe, low: int, high: int) -> tuple[int, int]:
    """The range, made wider so that no bar is cut."""
    slots = Grid(parse_interval(recipe.interval), recipe.calendar).slots(low, max(low, high - 1))
    if len(slots):
        low, high = min(low, int(slots.starts[0])), max(high, int(slots.ends[-1]))
    return low, high


def _pieces(
    ticks: TickStore,
    symbols: list[str] | None,
    recipe: BarRecipe,
    low: int,
    high: int,
    *,
    exact: bool = True,
) -> Iterator[pa.Table]:
    """The kept ticks of a range, prints after the close included, as if each had come in time."""
    of_source = _OfSource(ticks, recipe.source, exact=exact)
    high += parse_duration_ns(recipe.close_grace)
    days = [day_range(day, None) for day in ticks.days(symbols)]
    for begin, stop in days:
        for at in range(begin, stop, _PIECE_NS):
            start, end = max(at, low), min(at + _PIECE_NS, high)
            if start < end:
                table = of_source.read(symbols, start, end)
                if len(table):
                    yield table


def _keep_of_range(
    ticks: TickStore, recipe: BarRecipe, made: pa.Table, low: int, high: int, until: int
) -> tuple[int, int]:
    if not len(made):
        return 0, 0
    starts, ends = (np.asarray(made[name].cast(pa.int64())) for name in ("start", "end"))
    made = made.filter(pa.array((starts >= low) & (starts < high) & (ends <= until)))
    return len(made), ticks.bars.keep(made, recipe)
