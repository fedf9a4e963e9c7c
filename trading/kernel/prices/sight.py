"""Which ticks of a batch matter to anybody: levels of price by symbol, as columns."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from trading.brokers.levels import EVERY_TICK, Levels
from trading.brokers.levels import NEVER as NO_LEVELS
from trading.kernel.prices.columns import MISSING, Ints, TickColumns
from trading.kernel.prices.trails import Trails
from trading.risk.account import Market
from trading.risk.totals import Watch

__all__ = ["WINDOW_MAX", "WINDOW_MIN", "Listeners", "Sight"]

# Ticks that are tested against prices at once. A tick that matters tests the rest again, so that
# the window shrinks where many do, and grows where none does.
WINDOW_MIN, WINDOW_MAX = 32, 32_768


class Listeners(Protocol):
    """Says from which prices on a tick matters to an order or a strategy."""

    watch: Watch

    def levels(self, symbol: str) -> Levels:
        """Return the prices from which on a tick of a symbol matters to anybody."""
        ...

    def trails(self, symbol: str) -> Trails | None:
        """Return the trailing stops of a symbol; None without any."""
        ...

    def take_moved(self) -> set[str]:
        """Return the symbols whose levels may have changed since the last call."""
        ...

    @property
    def version(self) -> int:
        """Changes when strategies stop listening."""
        ...

    @property
    def prices(self) -> Market:
        """Where last prices are kept."""
        ...


class Sight:
    """Which ticks of a batch matter: the levels of every symbol as columns."""

    def __init__(self, data: Listeners, ticks: TickColumns) -> None:
        self._data = data
        self.ticks = ticks
        self._places = {symbol: at for at, symbol in enumerate(ticks.symbols)}
        width = len(ticks.symbols)
        self._low = np.empty(width, np.int64)
        self._high = np.empty(width, np.int64)
        self._low_ask = np.empty(width, np.int64)
        self._high_bid = np.empty(width, np.int64)
        self._seen: list[Levels] = [NO_LEVELS] * width
        self._version = data.version
        self._listening = 0
        self._every = 0
        # Trailing stops by the code of their symbol.
        self._trails: dict[int, Trails] = {}
        self.window = 8 * WINDOW_MIN
        data.take_moved()
        for at in range(width):
            self._set(at, NO_LEVELS)
        for symbol, at in self._places.items():
            self._learn(symbol, at)
        # What keeps last prices by place: filled in one go, then given on by symbol.
        self._last = np.empty(width, np.int64)

    @property
    def blind(self) -> bool:
        """Whether no tick matters to anybody."""
        return not (self._listening or self._trails)

    def _set(self, at: int, levels: Levels) -> None:
        self._low[at], self._high[at], self._low_ask[at], self._high_bid[at] = levels

    def _learn(self, symbol: str, at: int) -> bool:
        trails = self._data.trails(symbol)
        had = self._trails.pop(at, None) is not None
        if trails is not None:
            self._trails[at] = trails
        levels, before = self._data.levels(symbol), self._seen[at]
        if levels == before:
            return had or trails is not None
        self._listening += (levels != NO_LEVELS) - (before != NO_LEVELS)
        self._every += (levels == EVERY_TICK) - (before == EVERY_TICK)
        self._seen[at] = levels
        self._set(at, levels)
        return True

    def look(self) -> bool:
        """Take in levels that have changed; True where some have."""
        moved = self._data.take_moved()
        if self._version != self._data.version:
            self._version = self._data.version
            moved = set(self._places)
        changed = False
        for symbol in moved:
            at = self._places.get(symbol)
            if at is not None and self._learn(symbol, at):
                changed = True
        return changed

    def first_hit(self, start: int, stop: int) -> int | None:
        """Return the first row that matters, or None."""
        if stop <= start:
            return None
        hit = self._first_level(start, stop) if self._listening else None
        for code, trails in self._trails.items():
            until = stop if hit is None else hit
            rows = self._rows(code, start, until)
            place = (
                trails.first_reached(self.ticks.prices[rows], (start, until)) if len(rows) else None
            )
            if place is not None:
                hit = int(rows[place])
        return hit

    def _rows(self, code: int, start: int, stop: int) -> Ints:
        """The rows of one symbol that have a price."""
        ticks = self.ticks
        chosen = ticks.codes[start:stop] == code
        if ticks.bids is not None:
            chosen &= ticks.prices[start:stop] != MISSING
        return np.flatnonzero(chosen) + start

    def _first_level(self, start: int, stop: int) -> int | None:
        if self._every == len(self._seen):
            return start
        ticks = self.ticks
        codes, prices = ticks.codes[start:stop], ticks.prices[start:stop]
        hits = (prices <= self._low[codes]) | (prices >= self._high[codes])
        if ticks.bids is not None and ticks.asks is not None:
            bids, asks = ticks.bids[start:stop], ticks.asks[start:stop]
            every = self._low[codes] == EVERY_TICK[0]
            hits &= (prices != MISSING) | every
            hits |= (asks <= self._low_ask[codes]) & (asks != MISSING)
            hits |= (bids >= self._high_bid[codes]) & (bids != MISSING)
        place = int(hits.argmax())
        return start + place if hits[place] else None

    def keep_last(self, start: int, stop: int) -> None:
        """Write the last price, bid and ask of every symbol in these rows to the market."""
        ticks, market = self.ticks, self._data.prices
        for code, trails in self._trails.items():
            if trails.skip_seen((start, stop)):
                continue
            rows = self._rows(code, start, stop)
            if len(rows):
                trails.skip(ticks.prices[rows])
        codes = ticks.codes[start:stop]
        moved = self._keep(codes, ticks.prices[start:stop], market.last, ticks.bids is not None)
        for dirty in self._data.watch:
            dirty.update(moved)
        if ticks.bids is not None and ticks.asks is not None:
            quoted = (ticks.bids[start:stop] != MISSING) & (ticks.asks[start:stop] != MISSING)
            self._keep(codes[quoted], ticks.bids[start:stop][quoted], market.bid, False)
            self._keep(codes[quoted], ticks.asks[start:stop][quoted], market.ask, False)

    def _keep(self, codes: Ints, values: Ints, target: dict[str, int], sift: bool) -> list[str]:
        last = self._last
        last.fill(MISSING)
        if sift:
            present = values != MISSING
            codes, values = codes[present], values[present]
        # Of several rows of one symbol the last one stays.
        last[codes] = values
        moved = np.flatnonzero(last != MISSING).tolist()
        symbols = [self.ticks.symbols[place] for place in moved]
        target.update(zip(symbols, last[moved].tolist(), strict=True))
        return symbols
