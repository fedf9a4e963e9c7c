"""A run of strategies over recorded prices, through the same kernel that trades live.

result = Backtest(SmaCross(fast=10, slow=30, symbols=["AAPL"]), bars, cash=100_000).run()
result.fills.to_pandas(), result.equity.to_pandas(), result.metrics, result.digest
"""

from __future__ import annotations

import copy
import gc
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from trading.backtest.equity import EquityBook, Prices
from trading.backtest.result import FULL, MATCHES_ONLY, Records, Result
from trading.bars.interval import parse_duration_ns
from trading.brokers import Commission, FillModel, PaperBroker, Slippage
from trading.errors import BacktestError
from trading.history.columns import Market, as_bars, as_ticks
from trading.history.reading import NS, PRICES, instant, read_table
from trading.instruments import Instrument
from trading.journal.inputs import (
    Clock,
    DefineInstrument,
    Input,
    OpenAccount,
    SetLimits,
    Timeframe,
)
from trading.journal.outputs import BarClosed, Output
from trading.kernel import BarColumns, Kernel, Settings, TickColumns
from trading.kernel.hosting import Picker
from trading.numbers import Number, to_units
from trading.picker import Portfolio, TradePicker
from trading.risk import Limits
from trading.specification import InstrumentSpec
from trading.strategy import (
    Hosted,
    Strategy,
    by_length,
    interval_length,
    parameters_json,
    timeframe_key,
)
from trading.times import MINUTE, SECOND, moment

__all__ = ["OUTPUTS", "Backtest", "Loaded"]

OUTPUTS = ("full", "matches-only")
BATCH_BARS, BATCH_TICKS = 8_192, 65_536


@dataclass
class Loaded:
    """Prices as the kernel takes them, with their instruments: read once, run many times."""

    market: Market
    columns: BarColumns | TickColumns
    interval: int
    table: pa.Table
    """The rows between the bounds, for strategies that prepare figures in advance."""
    timeframes: tuple[str, ...] = ()
    """Of bars that are made of ticks, the shortest first."""
    trades_from: int = 0
    counts_from: int = 0
    """Equity is told of bars that end after this."""

    @property
    def anchor(self) -> Timeframe:
        """What the shortest bars carry in the kernel."""
        if isinstance(self.columns, BarColumns):
            return self.columns.timeframes[0]
        return timeframe_key(self.timeframes[0])


@dataclass(frozen=True)
class Backtest:
    """Strategies, prices and a simulated broker; `run` may be called again and again.

    `data` is a frame of bars or ticks, a path, several, or a tick store; only what lies in
    [start, end) counts, by a bar's start. `cash` is an amount for the one account `MAIN`, or
    amounts by account. `warmup` is how many bars, or how long ("5D"), strategies hear of prices
    before they trade: before `start` where there is one, else from the beginning on. `instruments`
    describes symbols; others get instruments for research. `limits` are the risk rules of every
    account, or by account. `outputs="matches-only"` keeps matches and equity alone.

    `picker` decides on signals; unless it is given, a `TradePicker` does whose reservations last
    until their order ends, since a simulated broker loses no order. With a `portfolio`, twins of
    the strategies trade on paper without a cap, and what they earn sets the weights.
    """

    strategies: Any
    data: Any
    cash: Any = field(kw_only=True)
    fill: str | FillModel = field(default="next_open", kw_only=True)
    commission: Commission | None = field(default=None, kw_only=True)
    slippage: Number | Slippage | None = field(default=None, kw_only=True)
    limits: Limits | Mapping[str, Limits] | None = field(default=None, kw_only=True)
    start: Any = field(default=None, kw_only=True)
    end: Any = field(default=None, kw_only=True)
    seed: int = field(default=0, kw_only=True)
    warmup: int | str | None = field(default=None, kw_only=True)
    latency: int = field(default=0, kw_only=True)
    currency: str = field(default="USD", kw_only=True)
    instruments: Iterable[Instrument | InstrumentSpec] = field(default=(), kw_only=True)
    timeframe: str | None = field(default=None, kw_only=True)
    lateness: str = field(default="0s", kw_only=True)
    calendar: Any = field(default=None, kw_only=True)
    picker: Picker | None = field(default=None, kw_only=True)
    portfolio: Portfolio | None = field(default=None, kw_only=True)
    events: Sequence[Input] = field(default=(), kw_only=True)
    method: str = field(default="FIFO", kw_only=True)
    outputs: str = field(default="full", kw_only=True)
    digest: bool = field(default=True, kw_only=True)
    run_id: str = field(default="", kw_only=True)

    def __post_init__(self) -> None:
        if self.outputs not in OUTPUTS:
            raise BacktestError(f"outputs: {self.outputs!r} is none of {', '.join(OUTPUTS)}")

    # --- what is run ------------------------------------------------------------------------------

    def load(self) -> Loaded:
        """Read the data once, for several runs."""
        strategies = _instances(self.strategies)
        start, end = instant(self.start, "start"), instant(self.end, "end")
        if start is not None and end is not None and start >= end:
            raise BacktestError(f"start {self.start} is not before end {self.end}")
        wanted = _symbols(strategies)
        known = {}
        for each in self.instruments:
            spec = each.spec() if isinstance(each, Instrument) else each
            known[spec.symbol] = spec
        early, trades_from = self._warmup(start)
        table = read_table(self.data, wanted, early, end)
        table = _within(table, early, end)
        if wanted:
            missing = sorted(set(wanted) - set(pc.unique(table.column("symbol")).to_pylist()))
            if missing:
                raise BacktestError(
                    f"there are no prices of {', '.join(missing)} between "
                    f"{self.start or 'the beginning'} and {self.end or 'the end'}"
                )
            table = table.filter(pc.is_in(table.column("symbol"), pa.array(list(wanted))))
        if not len(table):
            raise BacktestError(
                f"there are no prices between {self.start or 'the beginning'} and "
                f"{self.end or 'the end'}"
            )
        before = self.bars_before()
        if start is not None and isinstance(before, int):
            table, trades_from = _cut(table, start, before)
        return self._numbers(table, known, strategies, start, trades_from)

    def bars_before(self) -> int | str:
        """Return for how many bars, or how long, strategies warm up."""
        if self.warmup is not None:
            return self.warmup
        return max((each.warmup for each in _instances(self.strategies)), default=0)

    def _warmup(self, start: int | None) -> tuple[int | None, int]:
        """From when on to read, and from when on to trade where that is known already."""
        bars = self.bars_before()
        if start is None:
            return None, 0
        if isinstance(bars, str):
            return start - parse_duration_ns(bars, name="warmup"), start
        return (None if bars else start), start

    def _numbers(
        self,
        table: pa.Table,
        known: Mapping[str, InstrumentSpec],
        strategies: Sequence[Strategy],
        start: int | None,
        trades_from: int,
    ) -> Loaded:
        market = Market(known, self.currency)
        frames = by_length(t for each in strategies for t in each.timeframes)
        columns: BarColumns | TickColumns
        if set(PRICES) <= set(table.column_names):
            columns, interval = as_bars(
                table, market, timeframe=self.timeframe, longer=frames, calendar=self.calendar
            )
        else:
            columns = as_ticks(table, market)
            frames = by_length([*frames, *([self.timeframe] if self.timeframe else [])]) or ["1m"]
            interval = interval_length(frames[0])
        loaded = Loaded(market, columns, interval, table, tuple(frames), trades_from, start or 0)
        bars = self.bars_before()
        if start is None and bars:
            loaded.trades_from = _after_warmup(loaded, bars)
        return loaded

    # --- the run ----------------------------------------------------------------------------------

    def run(self, loaded: Loaded | None = None) -> Result:
        """Run from the beginning to the end; the same every time. BacktestError says what is wrong.

        `loaded` is what `load` of a backtest with the same data and bounds has read.
        """
        loaded = self.load() if loaded is None else loaded
        strategies = copy.deepcopy(_instances(self.strategies))
        for each in strategies:
            # Who names no symbols hears of all that there are.
            each.symbols = tuple(each.symbols) or loaded.columns.symbols
        accounts = self._accounts(strategies)
        _prepare(strategies, loaded)
        hosted = self._hosted(strategies, accounts, loaded.trades_from)
        kernel = self._kernel(hosted, loaded)
        book = EquityBook(kernel.market)
        records = Records(FULL if self.outputs == "full" else MATCHES_ONLY)
        closed: list[Any] = []
        sinks = _Sinks([book.sinks(), records.sinks(), {BarClosed: closed.append}])
        for event in self._opening(accounts, loaded):
            sinks.take(kernel.step(event))
        steps = None
        if self.portfolio is not None:
            steps = self.portfolio.begin(kernel, [each for each in hosted if not _is_twin(each)])
        with _uncollected():
            self._feed(kernel, loaded, sinks, steps)
        prices = _prices(loaded, closed)
        prices.times = prices.times[prices.times > loaded.counts_from]
        equity = {
            name: book.equity(name, account.base, prices)
            for name, account in kernel.accounts.items()
        }
        return Result(
            run=kernel.settings.run,
            digest=kernel.digest if self.digest else "",
            records=records,
            market=kernel.market,
            base=self.currency,
            times=prices.times,
            equity_units=equity,
            notes=list(loaded.market.notes),
            strategies=[_described(each) for each in hosted],
            bars=_bars_table(loaded, closed),
            weights=None if steps is None else steps.weights_table(),
            perf=None if steps is None else steps.perf_table(),
            outputs=self.outputs,
        )

    def _accounts(self, strategies: Sequence[Strategy]) -> dict[str, Any]:
        """Cash by account."""
        if isinstance(self.cash, Mapping):
            accounts = dict(self.cash)
            for each in strategies:
                if not each.account and len(accounts) == 1:
                    each.account = next(iter(accounts))
                if each.account not in accounts:
                    raise BacktestError(
                        f"{each.name} trades on account {each.account or '(none)'}, which has no "
                        f"cash; the accounts are {', '.join(accounts)}"
                    )
            return accounts
        named = {each.account for each in strategies if each.account}
        if len(named) > 1:
            raise BacktestError(
                f"the strategies name the accounts {', '.join(sorted(named))}; give cash as a "
                "dict with an amount for each"
            )
        account = next(iter(named), "MAIN")
        for each in strategies:
            each.account = account
        return {account: self.cash}

    def _hosted(
        self, strategies: Sequence[Strategy], accounts: dict[str, Any], trades_from: int
    ) -> list[Hosted]:
        names = [each.name for each in strategies]
        if len(set(names)) != len(names):
            raise BacktestError(
                f"two strategies have one name: {', '.join(names)}; give them names: "
                f"{type(strategies[0]).__name__}(name='a')"
            )
        hosted = [Hosted(each, trades_from=trades_from) for each in strategies]
        if self.portfolio is not None:
            for each in strategies:
                account = f"paper:{each.account}"
                accounts[account] = accounts[each.account]
                twin = copy.deepcopy(each)
                hosted.append(
                    Hosted(twin, account, name=f"paper:{each.name}", trades_from=trades_from)
                )
        return hosted

    def _kernel(self, hosted: Sequence[Hosted], loaded: Loaded) -> Kernel:
        by_bars = isinstance(loaded.columns, BarColumns)
        broker = PaperBroker(
            self.fill, self.commission, self.slippage, latency=self.latency, seed=self.seed
        )
        settings = Settings(
            run=f"backtest:{self.run_id or self._run_id(hosted, loaded)}",
            money_decimals=loaded.market.money_decimals,
            method=self.method,  # type: ignore[arg-type]  # Settings checks it
            bar_interval=0,
            timeframes=() if by_bars else loaded.timeframes,
            fills_interval=loaded.anchor,
            bar_lateness=parse_duration_ns(self.lateness, name="lateness"),
            # Accounts with limits are valued as often as there are prices.
            mark_interval=loaded.interval if by_bars else SECOND,
            digest=self.digest,
        )
        picker = copy.deepcopy(self.picker)
        if picker is None:
            picker = TradePicker(reservation_ttl_ms=0)
        return Kernel(settings, broker=broker, strategies=hosted, picker=picker)

    def _run_id(self, hosted: Sequence[Hosted], loaded: Loaded) -> str:
        """An id that the same run has every time."""
        columns = loaded.columns
        told = [
            *(f"{each.name}|{each.version}|{each.parameters}" for each in hosted),
            f"{columns.symbols}|{len(columns)}|{columns.times[0]}|{columns.times[-1]}",
            f"{self.cash}|{self.fill}|{self.slippage}|{self.seed}|{loaded.trades_from}",
        ]
        return sha256("\n".join(told).encode()).hexdigest()[:12]

    def _opening(self, accounts: Mapping[str, Any], loaded: Loaded) -> Iterable[Input]:
        """What a run begins with: instruments, accounts, limits."""
        columns = loaded.columns
        begin = int(columns.starts.min() if isinstance(columns, BarColumns) else columns.times[0])
        decimals = loaded.market.money_decimals
        for spec in loaded.market.specs.values():
            yield DefineInstrument(begin, spec)
        for name, amount in accounts.items():
            cash = to_units(amount, decimals, f"cash of {name}")
            yield OpenAccount(begin, name, self.currency, ((self.currency, cash),), "backtest")
        for name in accounts:
            limits = self.limits.get(name) if isinstance(self.limits, Mapping) else self.limits
            if limits is not None and not name.startswith("paper:"):
                text = msgspec.json.encode(limits).decode()
                yield SetLimits(
                    begin, f"limits {name}", "backtest", "backtest 2", name, "backtest", text, 0
                )

    def _feed(self, kernel: Kernel, loaded: Loaded, sinks: _Sinks, steps: Any) -> None:
        """Give the kernel the prices in batches, cut where something else comes between."""
        columns, at, rows = loaded.columns, 0, len(loaded.columns)
        by_bars = isinstance(columns, BarColumns)
        size = BATCH_BARS if by_bars else BATCH_TICKS
        waiting = sorted(self.events, key=lambda event: getattr(event, "time", 0))
        times = columns.times
        while at < rows:
            stop = min(at + size, rows)
            if steps is not None:
                stop = min(stop, int(np.searchsorted(times, steps.due(int(times[at])), "right")))
            if waiting:
                before = int(np.searchsorted(times, waiting[0].time, "left"))  # type: ignore[union-attr]
                if before <= at:
                    sinks.take(kernel.step(waiting.pop(0)))
                    continue
                stop = min(stop, before)
            if isinstance(columns, BarColumns):
                stop = columns.moment_after(stop)
            stop = max(stop, at + 1)
            sinks.take(kernel.step(columns.slice(at, stop)))
            at = stop
            if steps is not None:
                for event in steps.step():
                    sinks.take(kernel.step(event))
        for event in waiting:
            sinks.take(kernel.step(event))
        last = int(times[-1])
        if not by_bars:
            lengths = [interval_length(each) for each in loaded.timeframes]
            last += max(min(lengths), SECOND) + kernel.settings.bar_lateness
            end = instant(self.end, "end")
            last = last if end is None else min(last, max(end, int(times[-1])))
        sinks.take(kernel.step(Clock(last)))

    def with_strategies(self, strategies: Any) -> Backtest:
        """Return the same backtest of other strategies."""
        return replace(self, strategies=strategies)


@contextmanager
def _uncollected() -> Iterator[None]:
    """Let the collector of cycles rest: a run makes none, and keeps very many objects."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


class _Sinks:
    """Takes the kernel's outputs to who keeps them, by type."""

    def __init__(self, groups: Sequence[Mapping[type, Callable[[Any], None]]]) -> None:
        self._by_type: dict[type, tuple[Callable[[Any], None], ...]] = {}
        for group in groups:
            for kind, keep in group.items():
                self._by_type[kind] = (*self._by_type.get(kind, ()), keep)

    def take(self, outputs: Sequence[Output]) -> None:
        """Take the outputs of a step."""
        by_type = self._by_type
        for output in outputs:
            for keep in by_type.get(type(output), ()):
                keep(output)


def _instances(strategies: Any) -> list[Strategy]:
    """Strategies as a list of instances; a class stands for one with its defaults."""
    listed = list(strategies) if isinstance(strategies, (list, tuple)) else [strategies]
    made = [each() if isinstance(each, type) else each for each in listed]
    for each in made:
        if not isinstance(each, Strategy):
            raise BacktestError(
                f"strategies: expected a Strategy, its class or a list of them, seen "
                f"{type(each).__name__}"
            )
    if not made:
        raise BacktestError("strategies: there are none; give at least one")
    return made


def _symbols(strategies: Sequence[Strategy]) -> tuple[str, ...]:
    """The symbols that the strategies name; none where one of them wants all."""
    if any(not each.symbols for each in strategies):
        return ()
    return tuple(dict.fromkeys(symbol for each in strategies for symbol in each.symbols))


def _within(table: pa.Table, start: int | None, end: int | None) -> pa.Table:
    stamps = table.column("timestamp").cast(pa.int64())
    keep = None
    if start is not None:
        keep = pc.greater_equal(stamps, start)
    if end is not None:
        before = pc.less(stamps, end)
        keep = before if keep is None else pc.and_(keep, before)
    return table if keep is None else table.filter(keep)


def _cut(table: pa.Table, start: int, bars: int) -> tuple[pa.Table, int]:
    """Keep so many rows of each time before the start, to warm up with."""
    stamps = np.unique(table.column("timestamp").cast(pa.int64()).to_numpy())
    first = int(np.searchsorted(stamps, start))
    if first == len(stamps):
        raise BacktestError(f"there are no prices from {moment(start)} on")
    at = max(first - bars, 0)
    return _within(table, int(stamps[at]), None), start


def _after_warmup(loaded: Loaded, bars: int | str) -> int:
    """When trading begins where the first bars are there to warm up with."""
    columns = loaded.columns
    if isinstance(columns, BarColumns):
        ends = np.unique(columns.times[columns.intervals == 0])
        first = int(columns.starts.min())
    else:
        first = int(columns.times[0])
        length = loaded.interval or MINUTE
        ends = np.unique(columns.times // length + 1) * length
    if isinstance(bars, str):
        return first + parse_duration_ns(bars, name="warmup")
    if bars >= len(ends):
        raise BacktestError(f"warmup: {bars} bars are asked for, the data has {len(ends)}")
    return int(ends[bars])


def _prepare(strategies: Sequence[Strategy], loaded: Loaded) -> None:
    frame = None
    for each in strategies:
        if type(each).prepare is not Strategy.prepare:
            if frame is None:
                frame = loaded.table.to_pandas()
            each.prepare(frame)


def _is_twin(hosted: Hosted) -> bool:
    return hosted.account.startswith("paper:")


def _described(hosted: Hosted) -> dict[str, str]:
    return {
        "name": hosted.name,
        "account": hosted.account,
        "version": hosted.version,
        "parameters": parameters_json(hosted.strategy.parameters),
        "parameters_hash": hosted.parameters,
    }


def _prices(loaded: Loaded, closed: Sequence[BarClosed]) -> Prices:
    """The closes of the run's bars: those that were given, or those that ticks made."""
    columns = loaded.columns
    found: dict[str, tuple[Any, Any]] = {}
    if isinstance(columns, BarColumns):
        anchor = columns.intervals == 0
        times = columns.times[anchor]
        codes, closes = columns.codes[anchor], columns.closes[anchor]
        for code, symbol in enumerate(columns.symbols):
            rows: Any = slice(None) if len(columns.symbols) == 1 else codes == code
            found[symbol] = times[rows], closes[rows]
        # They are sorted: each time once, without sorting them again.
        return Prices(times[np.append(True, times[1:] != times[:-1])], found)
    bars = [each.bar for each in closed if each.bar.interval == loaded.anchor]
    for symbol in columns.symbols:
        own = [bar for bar in bars if bar.symbol == symbol and bar.state != "missing"]
        found[symbol] = (
            np.array([bar.time for bar in own], np.int64),
            np.array([bar.close for bar in own], np.int64),
        )
    return Prices(np.unique(np.array([bar.time for bar in bars], np.int64)), found)


def _bars_table(loaded: Loaded, closed: Sequence[BarClosed]) -> Any:
    """The anchor's bars as a table of floats, for reports and excursions."""
    columns, specs = loaded.columns, loaded.market.specs
    if isinstance(columns, BarColumns):
        rows = np.flatnonzero(columns.intervals == 0)
        codes = columns.codes[rows]
        names = pa.DictionaryArray.from_arrays(pa.array(codes), pa.array(columns.symbols))
        tens = [10.0 ** specs[symbol].price_decimals for symbol in columns.symbols]
        sizes = [10.0 ** specs[symbol].size_decimals for symbol in columns.symbols]
        scale, size = np.array(tens)[codes], np.array(sizes)[codes]
        prices = {name: getattr(columns, f"{name}s")[rows] / scale for name in PRICES[:-1]}
        return pa.table(
            {
                "timestamp": pa.array(columns.starts[rows]).cast(NS),
                "end": pa.array(columns.ends[rows]).cast(NS),
                "symbol": names.cast(pa.string()),
                **prices,
                "close": columns.closes[rows] / scale,
                "volume": columns.volumes[rows] / size,
            }
        )
    bars = [each.bar for each in closed if each.bar.interval == loaded.anchor]
    named = [(bar, 10.0 ** specs[bar.symbol].price_decimals) for bar in bars]
    return pa.table(
        {
            "timestamp": pa.array(np.array([bar.start for bar in bars], np.int64)).cast(NS),
            "end": pa.array(np.array([bar.end for bar in bars], np.int64)).cast(NS),
            "symbol": pa.array([bar.symbol for bar in bars], pa.string()),
            **{
                name: pa.array([getattr(bar, name) / ten for bar, ten in named], pa.float64())
                for name in PRICES
            },
            "volume": pa.array(
                [bar.volume / 10.0 ** specs[bar.symbol].size_decimals for bar in bars],
                pa.float64(),
            ),
        }
    )
