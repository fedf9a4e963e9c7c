"""Many final bars through the kernel, moment by moment.

Bars that arrive at one time are one moment: all of them meet the resting orders and set the last
prices before any strategy hears of one. So an order that a strategy sends when it hears of the
first never trades in the past of the second, and never at a price of the moment before.
"""

from __future__ import annotations

from collections.abc import Callable

from trading.brokers.paper import PaperBroker
from trading.journal.inputs import Bar
from trading.journal.recorder import Recorder
from trading.kernel.bar_columns import BarColumns
from trading.kernel.desk import Desk
from trading.kernel.hosting import Listeners, StrategyHost
from trading.kernel.market_data import MarketData
from trading.kernel.timers import Timers
from trading.risk.account import Market

__all__ = ["BarBatches"]


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
        self._listeners: dict[str, Listeners] = {}

    def walk(self, columns: BarColumns) -> None:
        """Take in many bars; each row counts as one input."""
        recorder, host, desk, paper = self._recorder, self._host, self._desk, self._paper
        symbols, heap, last_bars = columns.symbols, self._timers.heap, self._data.last_bars
        host.bars_ahead(columns)
        self._listeners = {symbol: host.listeners(symbol) for symbol in symbols}
        for symbol in symbols:
            last_bars.setdefault(symbol, {})
        met = self._meeter()
        rows, due, count = _rows(columns), self._due(), len(columns)
        at, times = 0, columns.times.tolist()
        while at < count:
            time = times[at]
            if due <= time:
                self._advance(time)
                due = self._due()
            recorder.begin(time)
            if paper is not None:
                paper.state.now = recorder.now
            if not host.started:
                host.start()
            outputs, timers = len(recorder.outputs), len(heap)
            bar = next(rows)
            met(bar)
            at += 1
            if at < count and times[at] == time:
                moment = [bar]
                while at < count and times[at] == time:
                    bar = next(rows)
                    recorder.begin(time)
                    met(bar)
                    moment.append(bar)
                    at += 1
                self._tell(moment)
            else:
                last_bars[bar.symbol][bar.interval] = bar
                if host.waiting:
                    self._tell([bar])
                else:
                    host.tell_bar(bar, self._listeners[bar.symbol])
            if len(recorder.outputs) != outputs or len(heap) != timers:
                desk.settle()
                due = self._due()
            elif desk.writer.finished:
                desk.settle()

    def _tell(self, moment: list[Bar]) -> None:
        """Tell strategies of the bars of one moment, longer ones first, after its fills."""
        self._data.remember(moment)
        if not self._host.idle:
            for bar in longest_first(moment):
                self._host.bar(bar)
        self._desk.settle()

    def _meeter(self) -> Callable[[Bar], None]:
        """Return what lets orders meet a bar, without what nobody needs in this run."""
        data, paper, last = self._data, self._paper, self._market.last
        held = self._desk.emulator.held
        if paper is None or data.measures:
            return data.meet
        resting, seen, by_ticks = paper.state.resting, paper.state.bars, paper.model.by_ticks
        wanted = data.fills_interval

        def met(bar: Bar) -> None:
            symbol = bar.symbol
            if wanted and bar.interval != wanted:
                return
            if resting.get(symbol) or symbol in held:
                data.meet(bar)
                return
            if not by_ticks:
                seen[symbol] = seen.get(symbol, 0) + 1
            last[symbol] = bar.close

        return met


def longest_first(moment: list[Bar]) -> list[Bar]:
    """Return the bars of one moment in the order in which strategies hear of them.

    Who hears of a bar of the shortest interval sees the longer ones that end with it.
    """
    return sorted(moment, key=lambda bar: -bar.interval)


def _rows(columns: BarColumns) -> map[Bar]:
    symbols = columns.symbols
    return map(
        Bar,
        columns.times.tolist(),
        [symbols[code] for code in columns.codes.tolist()],
        columns.intervals.tolist(),
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
