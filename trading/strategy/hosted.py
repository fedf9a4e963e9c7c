"""A strategy as the kernel hosts it: whole numbers on one side, people's numbers on the other."""

from __future__ import annotations

import io
import pickle
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from trading.bars.interval import IntervalKind, parse_interval
from trading.errors import SnapshotError, StrategyError
from trading.journal import inputs as journal
from trading.journal.inputs import Timeframe
from trading.journal.reports import OrderFilled
from trading.kernel.hosting import Context as KernelContext
from trading.kernel.prices.bar_columns import BarColumns
from trading.kernel.settings import timeframe_of as kernel_timeframe
from trading.orders.order import Order
from trading.specification import InstrumentSpec
from trading.strategy.context import Context
from trading.strategy.figures import Figure
from trading.strategy.parameters import parameters_of
from trading.strategy.strategy import Strategy
from trading.strategy.views import Bar, Fill, Tick
from trading.times import DAY, moment

__all__ = ["Hosted", "by_length", "interval_length", "timeframe_key", "timeframe_of"]

_LONG = {
    IntervalKind.DAY: DAY,
    IntervalKind.SESSION: DAY,
    IntervalKind.WEEK: 7 * DAY,
    IntervalKind.MONTH: 30 * DAY,
}
_UNITS = (("D", DAY), ("h", 3_600 * 10**9), ("m", 60 * 10**9), ("s", 10**9), ("ms", 10**6))


def interval_length(timeframe: str) -> int:
    """Return the nanoseconds of a timeframe; 0 for bars by amount.

    A session counts as a day, a week as seven and a month as thirty.
    """
    interval = parse_interval(timeframe)
    return _LONG.get(interval.kind, interval.length_ns)


def by_length(timeframes: Iterable[str]) -> list[str]:
    """Return timeframes once each, the shortest first; those by amount come before all others."""
    return sorted(dict.fromkeys(timeframes), key=interval_length)


def timeframe_key(timeframe: str) -> Timeframe:
    """Return what bars of a timeframe carry in the kernel: their length, or a text."""
    return kernel_timeframe(parse_interval(timeframe))


def timeframe_of(length: Timeframe) -> str:
    """Return the usual text of what bars carry, such as 5m for their nanoseconds."""
    if isinstance(length, str):
        return length
    if length == 7 * DAY:
        return "1W"
    if length == 30 * DAY:
        return "1MO"
    for unit, size in _UNITS:
        if length >= size and length % size == 0:
            return f"{length // size}{unit}"
    return f"{length}ns"


class _Series:
    """The bars of one symbol and timeframe, and the figures that follow them.

    `ahead` are the figures of the bars of the batch in hand, bar by bar; a figure that began to
    follow within the batch is not among them.
    """

    # Not of a snapshot: between batches nothing is computed ahead.
    ahead: Iterator[tuple[Any, ...]] | None = None

    def __init__(self, symbol: str, timeframe: str, *, told: bool) -> None:
        self.key = symbol, timeframe
        self.timeframe = timeframe
        self.told = told
        self.figures: list[Figure] = []
        self.spec: Any = None
        self.scale = self.size_scale = 1

    def describe(self, spec: InstrumentSpec) -> None:
        """Take the instrument's decimals."""
        self.spec = spec
        self.scale, self.size_scale = 10**spec.price_decimals, 10**spec.size_decimals

    def advance(self, view: Bar) -> None:
        """Let the figures come to the next bar."""
        figures = self.figures
        found: tuple[Any, ...] = ()
        if self.ahead is not None:
            found = next(self.ahead, ())
            if not found:
                self.ahead = None
        for figure, value in zip(figures, found):  # noqa: B905 - the rest follows
            figure.previous, figure.value = figure.value, value
        if len(found) < len(figures):
            for figure in figures[len(found) :]:
                figure.advance(view)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "ahead"}


class Hosted:
    """Lets the kernel run a `Strategy` on an account.

    `trades_from` is the time in nanoseconds before which it only warms up: it hears of everything
    and sends nothing.
    """

    def __init__(
        self, strategy: Strategy, account: str = "", *, name: str = "", trades_from: int = 0
    ) -> None:
        kind = type(strategy)
        self.strategy = strategy
        self.name = name or strategy.name
        self.account = account or strategy.account
        if not self.account:
            raise StrategyError(f"{self.name} has no account to trade on; give one")
        self.version = strategy.version
        self.parameters = strategy.parameters_hash
        self.symbols: Sequence[str] = tuple(strategy.symbols)
        self.wants_ticks = kind.on_tick is not Strategy.on_tick
        self._wants_fills = kind.on_fill is not Strategy.on_fill
        self.wants_revisions = kind.on_revision is not Strategy.on_revision
        self._trades_from = trades_from
        frames = by_length(strategy.timeframes)
        self._frames = {timeframe_key(each): each for each in frames}
        self._anchor: Timeframe = next(iter(self._frames), 0)
        self._bars: dict[tuple[str, str], Bar | None] = {}
        self._series: dict[str, dict[Timeframe, _Series]] = {}
        # Figures that follow the anchor before its length is known: by symbol.
        self._early: dict[str, list[Figure]] = {}
        self._kernel: KernelContext | None = None
        self._ctx: Any = None

    # --- what the kernel tells --------------------------------------------------------------------

    def on_start(self, ctx: KernelContext) -> None:
        """Begin."""
        self.strategy.on_start(self._context(ctx))

    def on_bar(self, ctx: KernelContext, bar: journal.Bar) -> None:
        """Keep a final bar, let figures follow it, and tell of it if it is the anchor's."""
        series = self._series.get(bar.symbol, _NONE).get(bar.interval)
        if series is None or series.spec is None:
            series = self._begin(bar.symbol, bar.interval)
            if series is None:
                return
            series.describe(ctx.spec(bar.symbol))
        view = Bar(bar, series.timeframe, series.scale, series.size_scale, series.spec)
        if bar.state == "revised":
            self._revise(ctx, series, view)
            return
        self._bars[series.key] = view
        if series.figures:
            series.advance(view)
        if series.told:
            if ctx is not self._kernel:
                self._context(ctx)
            self.strategy.on_bar(self._ctx, view)

    def on_tick(self, ctx: KernelContext, tick: journal.Tick) -> None:
        """Tell of a tick."""
        self.strategy.on_tick(self._context(ctx), Tick(tick, ctx.spec(tick.symbol)))

    def on_fill(self, ctx: KernelContext, order: Order, fill: OrderFilled) -> None:
        """Tell of a fill of one of its orders."""
        if not self._wants_fills:
            return
        spec = ctx.spec(order.symbol)
        told = Fill(
            order.order_id,
            fill.fill_id,
            order.symbol,
            order.side_name,
            spec.size(fill.quantity),
            spec.price(fill.price),
            ctx.money(fill.fees),
            moment(fill.executed),
            spec.size(order.leaves),
            order.tag,
        )
        self.strategy.on_fill(self._context(ctx), told)

    def on_timer(self, ctx: KernelContext, label: str) -> None:
        """Tell of a timer."""
        self.strategy.on_timer(self._context(ctx), label)

    def set_parameters(self, text: str) -> None:
        """Take other parameters, all of them as JSON; StrategyError where they do not fit."""
        strategy = self.strategy
        strategy.parameters = parameters_of(type(strategy), text)
        self.parameters = strategy.parameters_hash

    def on_parameters(self, ctx: KernelContext) -> None:
        """Begin to work with other parameters: figures that followed the bars are let go."""
        self._early.clear()
        for of_symbol in self._series.values():
            for series in of_symbol.values():
                series.figures.clear()
        self.strategy.on_parameters(self._context(ctx))

    def bars_ahead(self, columns: BarColumns) -> None:
        """Compute the figures of a whole batch of bars at once; they are told bar by bar."""
        places = {symbol: code for code, symbol in enumerate(columns.symbols)}
        ranks = {timeframe: rank for rank, timeframe in enumerate(columns.timeframes)}
        for symbol, of_symbol in self._series.items():
            code = places.get(symbol)
            for timeframe, series in of_symbol.items():
                rank = ranks.get(timeframe)
                if code is None or rank is None or series.spec is None or not series.figures:
                    continue
                rows: Any = slice(None)
                if len(places) > 1 or len(ranks) > 1:
                    rows = (columns.codes == code) & (columns.intervals == rank)
                _compute(series, columns, rows)

    # --- its own ----------------------------------------------------------------------------------

    def _context(self, ctx: KernelContext) -> Context:
        if ctx is not self._kernel:
            self._kernel = ctx
            self._ctx = Context(
                ctx,
                self.name,
                self.account,
                self._bars,
                list(self._frames.values()),
                self._follow,
                self._trades_from,
            )
        made: Context = self._ctx
        return made

    def _begin(self, symbol: str, length: Timeframe) -> _Series | None:
        """Return the series of bars that come for the first time; None for those nobody wants."""
        of_symbol = self._series.setdefault(symbol, {})
        if length in of_symbol:
            return of_symbol[length]
        if not self._frames:
            # Without timeframes the first bar says what there is.
            self._anchor = self._anchor or length
            if length != self._anchor:
                return None
        elif length not in self._frames:
            return None
        timeframe = self._frames.get(length) or timeframe_of(length)
        series = _Series(symbol, timeframe, told=length == self._anchor)
        of_symbol[length] = series
        if series.told:
            series.figures += self._early.pop(symbol, [])
        self._bars.setdefault(series.key, None)
        return series

    def _follow(self, symbol: str, timeframe: str, figure: Figure) -> None:
        if self.symbols and symbol not in self.symbols:
            raise StrategyError(
                f"{self.name} does not hear of {symbol!r}; its symbols are "
                f"{', '.join(self.symbols)}"
            )
        length = timeframe_key(timeframe) if timeframe else self._anchor
        if timeframe and length not in self._frames:
            known = ", ".join(self._frames.values()) or "none"
            raise StrategyError(
                f"{self.name} does not follow {timeframe!r}; its timeframes are {known}"
            )
        series = self._begin(symbol, length) if length else None
        if series is None:
            self._early.setdefault(symbol, []).append(figure)
        else:
            series.figures.append(figure)

    def _revise(self, ctx: KernelContext, series: _Series, view: Bar) -> None:
        before = self._bars.get(series.key)
        if before is not None and before.raw.start == view.raw.start:
            self._bars[series.key] = view
        self.strategy.on_revision(self._context(ctx), view)

    # --- snapshots --------------------------------------------------------------------------------

    def dump(self) -> bytes:
        """Return what a snapshot keeps; StrategyError where an attribute cannot be kept."""
        state = (self._anchor, self._bars, self._series, self._early, self.strategy.dump())
        try:
            return pickle.dumps(state, protocol=5)
        except Exception as error:  # noqa: BLE001 - objects of anybody may fail in any way
            raise StrategyError(
                f"{self.name} cannot be kept in a snapshot: {error}; keep numbers, texts, "
                "containers and indicators in a strategy, or give it its own dump and load"
            ) from None

    def load(self, data: bytes) -> None:
        """Go on from a snapshot."""
        # A strategy's own module, and those of the strategies that it is derived from.
        allowed = {
            each.__module__ for each in type(self.strategy).__mro__ if issubclass(each, Strategy)
        }
        anchor, bars, series, early, state = _Reader(data, allowed).load()
        self._anchor = anchor
        self._bars, self._series, self._early = bars, series, early
        self._kernel = self._ctx = None
        self.strategy.load(state)
        self.parameters = self.strategy.parameters_hash


_NONE: dict[Timeframe, _Series] = {}
_COLUMNS = {
    "open": "opens",
    "high": "highs",
    "low": "lows",
    "close": "closes",
    "volume": "volumes",
}


def _compute(series: _Series, columns: BarColumns, rows: Any) -> None:
    """Let the figures of a series look at the bars of a batch that are its own."""
    floats: dict[str, list[float]] = {}
    found: list[list[Any]] = []
    for figure in series.figures:
        for name in figure.inputs:
            if name not in floats:
                units = getattr(columns, _COLUMNS[name])[rows]
                scale = series.size_scale if name == "volume" else series.scale
                floats[name] = _floats(units, scale)
        found.append(figure.look_ahead([floats[name] for name in figure.inputs]))
    series.ahead = zip(*found, strict=True)


def _floats(units: Any, scale: int) -> list[float]:
    """Whole numbers as floats, each the nearest one: as `units / scale` in Python."""
    if len(units) and int(np.abs(units).max()) < 2**53 and scale <= 10**22:
        # Both are floats exactly, and one division rounds once.
        floats: list[float] = (units / float(scale)).tolist()
        return floats
    return [each / scale for each in units.tolist()]


class _Reader(pickle.Unpickler):
    """Reads the state of a strategy: only types that a strategy may keep, and its own module's."""

    _MODULES = frozenset({"collections", "datetime", "decimal", "fractions", "zoneinfo"})
    _BUILTINS = frozenset(
        {"set", "frozenset", "bytearray", "complex", "range", "slice", "object", "list", "dict"}
    )

    def __init__(self, data: bytes, modules: set[str]) -> None:
        super().__init__(io.BytesIO(data))
        self._modules = modules

    def find_class(self, module: str, name: str) -> Any:
        """Return a class by name; SnapshotError for one that no strategy keeps."""
        root = module.partition(".")[0]
        if (
            module in self._modules
            or module in self._MODULES
            or root in ("trading", "numpy")
            or (module == "builtins" and name in self._BUILTINS)
            or (module == "copyreg" and name == "_reconstructor")
        ):
            return super().find_class(module, name)
        raise SnapshotError(
            f"the snapshot of a strategy holds a {module}.{name}, which is not read; keep numbers, "
            "texts, containers and indicators in a strategy, or give it its own dump and load"
        )
