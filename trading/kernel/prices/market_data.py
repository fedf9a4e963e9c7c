"""Ticks and bars through the kernel: one by one where somebody listens, else in batches.

Both ways say the same. A batch is cut at the next timer, and within that only the ticks that reach
a resting order's price are walked; the others change nothing but the last price and the bars, which
are computed for the whole batch at once.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from trading.brokers.levels import EVERY_TICK, Levels
from trading.brokers.levels import NEVER as NO_LEVELS
from trading.brokers.paper import PaperBroker
from trading.journal.inputs import Bar, Tick, Timeframe
from trading.journal.outputs import BarClosed, TickLate
from trading.journal.recorder import Recorder
from trading.kernel.desk import Desk
from trading.kernel.hosting import StrategyHost
from trading.kernel.prices.bars import BarFold
from trading.kernel.prices.columns import Ints, TickColumns
from trading.kernel.prices.sight import WINDOW_MAX, WINDOW_MIN, Sight
from trading.kernel.prices.trails import Trails
from trading.kernel.timers import NEVER
from trading.risk.account import Market
from trading.risk.totals import Watch

__all__ = ["MarketData"]


class MarketData:
    """Takes prices to the market, the simulated broker, emulated orders, bars and strategies."""

    def __init__(
        self,
        recorder: Recorder,
        market: Market,
        desk: Desk,
        host: StrategyHost,
        fold: BarFold | None,
        paper: PaperBroker | None,
        fills_interval: Timeframe,
        advance: Callable[[int], None],
        due: Callable[[], int],
        watch: Watch,
    ) -> None:
        self._recorder = recorder
        self._market = market
        self._desk = desk
        self._host = host
        self._fold = fold
        self._paper = paper
        self.fills_interval = fills_interval
        self._advance = advance
        self._due = due
        self.watch = watch
        self.last_bars: dict[str, dict[Timeframe, Bar]] = {}
        self.measures = False

    # --- bars -------------------------------------------------------------------------------------

    @property
    def due(self) -> int:
        """When the next bar of ticks becomes final, or NEVER."""
        return NEVER if self._fold is None else self._fold.due

    def close_bars(self, now: int) -> None:
        """Give out the bars that are final by now."""
        if self._fold is not None:
            self._give_out(self._fold.close(now))

    def _give_out(self, bars: list[Bar]) -> None:
        """Let orders meet all bars of one moment, then tell strategies of them.

        So an order that a strategy sends when it hears of the first never trades in the past of the
        second. Longer bars come first: who hears of a bar of the shortest timeframe sees the longer
        ones that end with it.
        """
        if not bars:
            return
        for bar in bars:
            self._recorder.bar(BarClosed(bar))
            self.meet(bar, from_ticks=True)
        self.remember(bars)
        if not self._host.idle:
            for bar in bars:
                self._host.bar(bar)
        self._desk.settle()

    def bar(self, bar: Bar) -> None:
        """Let orders meet a final bar, then tell strategies of it."""
        self.meet(bar)
        self.remember([bar])
        if not self._host.idle:
            self._host.bar(bar)
        self._desk.settle()

    def remember(self, bars: list[Bar]) -> None:
        """Keep bars as the last ones of their symbols and intervals."""
        for bar in bars:
            if bar.state == "revised":
                continue
            of_symbol = self.last_bars.get(bar.symbol)
            if of_symbol is None:
                of_symbol = self.last_bars[bar.symbol] = {}
            of_symbol[bar.interval] = bar

    def meet(self, bar: Bar, *, from_ticks: bool = False) -> None:
        """Let orders meet a final bar.

        A bar of ticks meets no emulated orders: its ticks have met them. A bar without a trade
        meets none at all, and a revised one has met them before.
        """
        if bar.state in ("revised", "empty", "missing"):
            return
        if not self.fills_interval or bar.interval == self.fills_interval:
            self._meet(bar, from_ticks=from_ticks)

    def _meet(self, bar: Bar, *, from_ticks: bool) -> None:
        symbol, prices = bar.symbol, (bar.open, bar.high, bar.low, bar.close)
        if self._paper is not None:
            self._paper.on_bar(symbol, prices, bar.volume, bar.start, bar.end, self._recorder.now)
        if not from_ticks:
            if symbol in self._desk.emulator.held:
                for price in prices:
                    self._desk.emulator.on_price(symbol, price)
            self._market.last[symbol] = bar.close
            self._desk.ledger.touch(symbol)
        if self.measures:
            self._market.correlations.observe(symbol, bar.end, bar.close)

    # --- one tick ---------------------------------------------------------------------------------

    def tick(self, tick: Tick) -> None:
        """Take in one tick."""
        fold, price = self._fold, tick.price
        if fold is None or price is None:
            self._walk(tick, late=False)
            return
        event_time = tick.time if tick.event_time is None else tick.event_time
        end, bars = fold.push(tick.symbol, event_time, price, tick.size, self._recorder.now)
        if end is not None:
            self._late(tick.symbol, event_time, price, tick.size, end)
        self._walk(tick, end is not None)
        if bars:
            self._give_out(bars)

    def _late(self, symbol: str, event_time: int, price: int, size: int, end: int) -> None:
        recorder = self._recorder
        recorder.emit(TickLate(recorder.now, symbol, event_time, price, size, end))

    def _walk(self, tick: Tick, late: bool) -> None:
        symbol, market, paper = tick.symbol, self._market, self._paper
        now = self._recorder.now
        if tick.bid is not None and tick.ask is not None:
            market.bid[symbol], market.ask[symbol] = tick.bid, tick.ask
            if paper is not None:
                paper.on_quote(symbol, tick.bid, tick.ask, now)
        if tick.price is not None and not late:
            market.last[symbol] = tick.price
            for dirty in self.watch:
                dirty.add(symbol)
            if paper is not None:
                paper.on_trade(symbol, tick.price, tick.size, now)
            if symbol in self._desk.emulator.held:
                self._desk.emulator.on_price(symbol, tick.price)
        if not self._host.idle:
            self._host.tick(tick)
        self._desk.settle()

    # --- many ticks -------------------------------------------------------------------------------

    def ticks(self, ticks: TickColumns) -> None:
        """Take in many ticks; says what the same ticks one by one would have said."""
        count = len(ticks)
        if not count:
            return
        times = np.maximum(ticks.times, self._recorder.now)
        # Rows at which the fold has something to say: late ticks, bars by amount.
        told: list[int] = []
        if self._fold is not None:
            told = self._fold.push_columns(ticks, times)
            told.reverse()
        sight = Sight(self, ticks)
        at = 0
        while at < count:
            first = int(times[at])
            if self._due() <= first:
                self._advance(first)
                sight.look()
            due = self._due()
            stop = count if due == NEVER else int(np.searchsorted(times, due, "left"))
            at = self._stretch(sight, times, at, max(stop, at + 1), told)

    def _stretch(self, sight: Sight, times: Ints, start: int, stop: int, told: list[int]) -> int:
        """Take in ticks that no timer lies between; returns where to go on."""
        at, due = start, self._due()
        while at < stop:
            upto = stop if sight.blind else min(stop, at + sight.window)
            cut = told[-1] if told and told[-1] < upto else upto
            hit = sight.first_hit(at, cut)
            if hit is None and cut == upto:
                sight.window = min(2 * sight.window, WINDOW_MAX)
                self._skip(sight, times, at, upto)
                at = upto
                continue
            row = cut if hit is None else hit
            if row - at < sight.window // 4:
                sight.window = max(sight.window // 2, WINDOW_MIN)
            if row > at:
                self._skip(sight, times, at, row)
            is_told = bool(told) and told[-1] == row
            if is_told:
                told.pop()
            self._row(sight, times, row, is_told)
            at = row + 1
            sight.look()
            if self._due() != due:
                # Something may be due before the end of the stretch now.
                return at
        return at

    def _skip(self, sight: Sight, times: Ints, start: int, stop: int) -> None:
        """Take in ticks that nobody listens to: the last prices are all that is left of them."""
        self._recorder.begin(int(times[stop - 1]), stop - start)
        sight.keep_last(start, stop)

    def _row(self, sight: Sight, times: Ints, row: int, told: bool) -> None:
        """Take in one tick of a batch as if it had come alone; its bar has it already."""
        time = times.item(row)
        self._recorder.begin(time)
        tick = sight.ticks.tick(row, time)
        if not told or self._fold is None:
            self._walk(tick, late=False)
            return
        end, bars = self._fold.told(row)
        if end is not None:
            came = sight.ticks.times.item(row)
            event_time = came if tick.event_time is None else tick.event_time
            self._late(tick.symbol, event_time, tick.price or 0, tick.size, end)
        self._walk(tick, end is not None)
        self._give_out(bars)

    def levels(self, symbol: str) -> Levels:
        """Return the prices from which on a tick of a symbol matters to anybody."""
        if not self._host.idle and self._host.wants_tick(symbol):
            return EVERY_TICK
        emulated = self._desk.emulator.levels.levels(symbol)
        if self._paper is None:
            return emulated
        resting = self._paper.levels.levels(symbol)
        if emulated == NO_LEVELS:
            return resting
        return (
            max(resting[0], emulated[0]),
            min(resting[1], emulated[1]),
            max(resting[2], emulated[2]),
            min(resting[3], emulated[3]),
        )

    def trails(self, symbol: str) -> Trails | None:
        """Return the trailing stops of a symbol at the simulated broker; None without any."""
        found = [] if self._paper is None else self._paper.trailing(symbol)
        return Trails(found, self._market.specs[symbol].price_increment) if found else None

    def take_moved(self) -> set[str]:
        """Return the symbols whose levels may have changed since the last call."""
        books = [self._desk.emulator.levels]
        if self._paper is not None:
            books.append(self._paper.levels)
        moved: set[str] = set()
        for book in books:
            if book.moved:
                moved |= book.moved
                book.moved.clear()
        return moved

    @property
    def version(self) -> int:
        """Changes when strategies stop listening."""
        return self._host.version

    @property
    def prices(self) -> Market:
        """Where last prices are kept."""
        return self._market
