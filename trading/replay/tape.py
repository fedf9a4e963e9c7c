"""Tape: what a session plays, as the kernel's inputs in order, addressed by row and by time.

    tape = Tape.of_data("ticks.parquet", symbols=["AAPL"])
    tape = Tape.of_data(tick_store, symbols=["AAPL"], start="2026-02-20", end="2026-02-21")
    tape = Tape.of_run(read_run(store, "ACC", "live"))

A tape is in memory and holds on to nothing: no store, no file, no connection.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from trading.errors import ReplayError
from trading.history.columns import Market, as_bars, as_ticks
from trading.history.reading import PRICES, instant, read_table
from trading.instruments import Instrument
from trading.journal.inputs import BarBatch, DefineInstrument, Input, OpenAccount, TickBatch
from trading.kernel import BarColumns, TickColumns
from trading.numbers import MONEY_DECIMALS, Number, to_units
from trading.replay.run_journal import RecordedRun
from trading.specification import InstrumentSpec

__all__ = ["ACCOUNT", "Piece", "Tape"]

ACCOUNT = "REPLAY"
"""The account of strategies that play over prices alone."""

Piece = TickColumns | BarColumns | Input
_MANY = (TickColumns, BarColumns)


class Tape:
    """Inputs in order of arrival; every tick and bar is a row, every other input one as well.

    `opening` comes before the first row: instruments and accounts. `interval` is the length of the
    bars of a tape of bars, in nanoseconds, None for ticks. ReplayError for a tape without rows, and
    for times that go back.
    """

    def __init__(
        self,
        pieces: Iterable[Piece],
        specs: Iterable[InstrumentSpec],
        *,
        opening: Sequence[Input] = (),
        account: str = ACCOUNT,
        money_decimals: int = MONEY_DECIMALS,
        interval: int | None = None,
        name: str = "",
    ) -> None:
        self.pieces = [each for each in pieces if not isinstance(each, _MANY) or len(each)]
        if not self.pieces:
            raise ReplayError(f"{name or 'the tape'} has nothing to play")
        self.specs = tuple(specs)
        self.opening = tuple(opening)
        self.account = account
        self.money_decimals = money_decimals
        self.interval = interval
        self.name = name
        lengths = [len(each) if isinstance(each, _MANY) else 1 for each in self.pieces]
        self._ends = np.cumsum(lengths)
        self.times = np.concatenate([_times(each) for each in self.pieces])
        back = np.flatnonzero(np.diff(self.times) < 0)
        if len(back):
            raise ReplayError(
                f"row {int(back[0]) + 1} of {name or 'the tape'} is earlier than the one before; "
                "sort what is played by arrival"
            )

    def __len__(self) -> int:
        return len(self.times)

    @property
    def start(self) -> int:
        """The time of the first row, in nanoseconds since 1970 UTC."""
        return int(self.times[0])

    @property
    def end(self) -> int:
        """The time of the last row."""
        return int(self.times[-1])

    def row_at(self, time: int) -> int:
        """Return how many rows have come by a time."""
        return int(np.searchsorted(self.times, time, "right"))

    def moment_after(self, row: int) -> int:
        """Return the first row from `row` on at which the tape can stop.

        Bars of one time are one moment, which is not torn.
        """
        row = min(max(row, 0), len(self))
        if row in (0, len(self)):
            return row
        piece, begin, _ = self._piece(row - 1)
        if isinstance(piece, BarColumns):
            return begin + piece.moment_after(row - begin)
        return row

    def _piece(self, row: int) -> tuple[Piece, int, int]:
        at = int(np.searchsorted(self._ends, row, "right"))
        begin = int(self._ends[at - 1]) if at else 0
        return self.pieces[at], begin, int(self._ends[at])

    def between(self, start: int, stop: int) -> Iterator[Piece]:
        """Yield the rows from `start` up to `stop`, many at a time where they are columns."""
        while start < stop:
            piece, begin, end = self._piece(start)
            upto = min(stop, end)
            if isinstance(piece, _MANY):
                yield piece.slice(start - begin, upto - begin)
            else:
                yield piece
            start = upto

    # --- where tapes come from --------------------------------------------------------------------

    @classmethod
    def of_data(
        cls,
        data: Any,
        *,
        symbols: Sequence[str] = (),
        start: Any = None,
        end: Any = None,
        instruments: Iterable[Instrument | InstrumentSpec] = (),
        timeframe: str | None = None,
        cash: Number = 100_000,
        currency: str = "USD",
    ) -> Tape:
        """Return a tape of ticks or bars: a TickStore, files, frames, whatever a backtest takes.

        `start` counts, `end` does not; times are texts, datetimes or nanoseconds. Strategies trade
        on an account with `cash`. BacktestError for data that cannot be read.
        """
        low, high = instant(start, "start"), instant(end, "end")
        table = _within(read_table(data, tuple(symbols), low, high), tuple(symbols), low, high)
        if not len(table):
            raise ReplayError(
                f"there is nothing of {', '.join(symbols) or 'any symbol'} between "
                f"{start or 'the beginning'} and {end or 'the end'}"
            )
        known = {}
        for each in instruments:
            spec = each.spec() if isinstance(each, Instrument) else each
            known[spec.symbol] = spec
        market = Market(known, currency)
        interval = None
        columns: TickColumns | BarColumns
        if set(PRICES) <= set(table.column_names):
            columns, interval = as_bars(table, market, timeframe=timeframe)
            begin = int(columns.starts.min())
        else:
            columns = as_ticks(table, market)
            begin = int(columns.times[0])
        decimals = market.money_decimals
        units = to_units(cash, decimals, "cash")
        opening: list[Input] = [DefineInstrument(begin, spec) for spec in market.specs.values()]
        opening.append(OpenAccount(begin, ACCOUNT, currency, ((currency, units),), "replay"))
        return cls(
            [columns],
            market.specs.values(),
            opening=opening,
            money_decimals=decimals,
            interval=interval,
            name=", ".join(columns.symbols),
        )

    @classmethod
    def of_run(cls, recorded: RecordedRun) -> Tape:
        """Return a tape of everything that a run was told: prices, commands, reports, the clock."""
        pieces: list[Piece] = []
        for each in recorded.inputs():
            if each.error:
                continue
            event = each.event
            if isinstance(event, TickBatch):
                pieces.append(TickColumns.from_batch(event))
            elif isinstance(event, BarBatch):
                pieces.append(BarColumns.from_batch(event))
            else:
                pieces.append(event)
        decimals = MONEY_DECIMALS
        if recorded.settings is not None:
            decimals = recorded.settings.money_decimals
        return cls(
            pieces,
            recorded.specs.values(),
            account=recorded.account,
            money_decimals=decimals,
            name=f"{recorded.run} of {recorded.account}",
        )


def _times(piece: Piece) -> Any:
    if isinstance(piece, _MANY):
        return piece.times
    return np.array([piece.time], np.int64)  # type: ignore[union-attr]  # batches are columns by now


def _within(
    table: pa.Table, symbols: tuple[str, ...], low: int | None, high: int | None
) -> pa.Table:
    stamps = table.column("timestamp").cast(pa.int64())
    if low is not None:
        table = table.filter(pc.greater_equal(stamps, low))
        stamps = table.column("timestamp").cast(pa.int64())
    if high is not None:
        table = table.filter(pc.less(stamps, high))
    if symbols:
        table = table.filter(pc.is_in(table.column("symbol"), pa.array(list(symbols))))
    return table
