"""Many final bars through the kernel, moment by moment.

Bars that arrive at one time are one moment: all of them meet the resting orders and set the last
prices before any strategy hears of one. So an order that a strategy sends when it hears of the
first never trades in the past of the second, and never at a price of the moment before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, islice, repeat
from typing import TypeVar

import numpy as np

from trading.brokers.paper import PaperBroker
from trading.brokers.resting import PaperState
from trading.journal.inputs import Bar
from trading.journal.recorder import Recorder
from trading.kernel.desk import Desk
from trading.kernel.hosting import StrategyHost
from trading.kernel.prices.bar_columns import BarColumns
from trading.kernel.prices.columns import Ints
from trading.kernel.prices.market_data import MarketData
from trading.kernel.timers import Timers
from trading.risk.account import Market

__all__ = ["BarBatches"]

T = TypeVar("T")

# Rows whose numbers are Python's at one time: few enough to be in the processor's cache still.
_TOGETHER = 1_024


class BarBatches:
    """Walks through columns of bars; says what the same moments one by one would have said."""

    def __init__(
        self,
        recorder: Recorder,
        market: Market,
        desk: Desk,
        host: StrategyHost,
        data: MarketData,
        paper: PaperBroker | None,
        timers: Timers,
        advance: Callable[[int], None],
        due: Callable[[], int],
        begin: Callable[[], None],
    ) -> None:
        self._recorder = recorder
        self._market = market
        self._desk = desk
        self._host = host
        self._data = data
        self._paper = paper
        self._timers = timers
        self._advance = advance
        self._due = due
        self._begin = begin

    def walk(self, columns: BarColumns) -> None:
        """Take in many bars; each row counts as one input."""
        recorder, host, desk = self._recorder, self._host, self._desk
        outputs, queue, writer, heap = recorder.outputs, host.queue, desk.writer, self._timers.heap
        last_bars, tell, broker = self._data.last_bars, host.tell_bar, self._broker_state()
        host.bars_ahead(columns)
        listeners = {symbol: host.listeners(symbol) for symbol in columns.symbols}
        for symbol in columns.symbols:
            last_bars.setdefault(symbol, {})
        ranks = {timeframe: rank for rank, timeframe in enumerate(columns.timeframes)}
        met, rows, due = self._meeter(), _rows(columns), self._due()
        for bar, size, time in zip(rows, *_moments(columns, recorder.now)):  # noqa: B905 - see below
            if due <= time:
                self._advance(time)
                due = self._due()
            # As Recorder.begin does, which would be called for every row.
            recorder.now = broker.now = time
            recorder.number += 1
            recorder.ordinal = 0
            if not host.started:
                self._begin()
            said, timers = len(outputs), len(heap)
            met(bar)
            if size > 1:
                # These rows are taken from under the loop: it goes on with the next moment.
                moment = [bar, *islice(rows, size - 1)]
                for each in moment[1:]:
                    recorder.begin(time)
                    met(each)
                if len(ranks) > 1:
                    # Who hears of a bar of the shortest timeframe sees the longer ones.
                    moment.sort(key=lambda each: -ranks[each.interval])
                self._tell(moment)
            elif queue:
                self._tell([bar])
            else:
                symbol = bar.symbol
                last_bars[symbol][bar.interval] = bar
                tell(bar, listeners[symbol])
            if len(outputs) != said or len(heap) != timers or writer.finished:
                desk.settle()
                due = self._due()

    def _broker_state(self) -> PaperState:
        """Where the simulated broker keeps the time; a spare one where there is none."""
        return PaperState() if self._paper is None else self._paper.state

    def _tell(self, moment: list[Bar]) -> None:
        """Tell strategies of the bars of one moment after its fills."""
        self._data.remember(moment)
        if not self._host.idle:
            for bar in moment:
                self._host.bar(bar)
        self._desk.settle()

    def _meeter(self) -> Callable[[Bar], None]:
        """Return what lets orders meet a bar, without what nobody needs in this run."""
        data, paper, last = self._data, self._paper, self._market.last
        held = self._desk.emulator.held
        if paper is None or data.measures:
            return data.meet
        resting, seen, by_ticks = paper.state.resting, paper.state.bars, paper.model.by_ticks
        wanted, watch = data.fills_interval, data.watch

        def met(bar: Bar) -> None:
            if wanted and bar.interval != wanted:
                return
            symbol = bar.symbol
            if resting.get(symbol) or symbol in held:
                data.meet(bar)
                return
            if not by_ticks:
                seen[symbol] = seen.get(symbol, 0) + 1
            last[symbol] = bar.close
            if watch:
                for dirty in watch:
                    dirty.add(symbol)

        return met


def _moments(columns: BarColumns, now: int) -> tuple[list[int], list[int]]:
    """How many rows share each time, and these times, none of them before now."""
    if not len(columns):
        return [], []
    firsts = np.flatnonzero(np.concatenate(([True], columns.times[1:] != columns.times[:-1])))
    sizes = np.diff(np.append(firsts, len(columns)))
    return sizes.tolist(), np.maximum(columns.times[firsts], now).tolist()


def _named(names: Sequence[T], codes: Ints) -> Iterable[T]:
    """The name of each row."""
    if len(names) == 1:
        return repeat(names[0], len(codes))
    return [names[code] for code in codes.tolist()]


def _rows(columns: BarColumns) -> Iterator[Bar]:
    """Yield the bars one by one, made as they are asked for."""
    starts = range(0, len(columns), _TOGETHER)
    return chain.from_iterable(_bars(columns.slice(at, at + _TOGETHER)) for at in starts)


def _bars(columns: BarColumns) -> Iterator[Bar]:
    return map(
        Bar,
        columns.times.tolist(),
        _named(columns.symbols, columns.codes),
        _named(columns.timeframes, columns.intervals),
        columns.starts.tolist(),
        columns.ends.tolist(),
        columns.opens.tolist(),
        columns.highs.tolist(),
        columns.lows.tolist(),
        columns.closes.tolist(),
        columns.volumes.tolist(),
        columns.counts.tolist(),
        columns.notionals.tolist(),
    )
