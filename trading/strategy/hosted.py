"""A strategy as the kernel hosts it: whole numbers on one side, people's numbers on the other."""

from __future__ import annotations

import io
import pickle
from collections.abc import Sequence
from typing import Any

import numpy as np

from trading.bars.interval import IntervalKind, parse_interval
from trading.errors import SnapshotError, StrategyError
from trading.journal import inputs as journal
from trading.journal.reports import OrderFilled
from trading.kernel.bar_columns import BarColumns
from trading.kernel.hosting import Context as KernelContext
from trading.orders.order import Order
from trading.strategy.context import Context
from trading.strategy.figures import Figure
from trading.strategy.strategy import Strategy
from trading.strategy.views import Bar, Fill, Tick
from trading.times import DAY, moment

__all__ = ["Hosted", "interval_length", "timeframe_of"]

_LONG = {
    IntervalKind.DAY: DAY,
    IntervalKind.SESSION: DAY,
    IntervalKind.WEEK: 7 * DAY,
    IntervalKind.MONTH: 30 * DAY,
}
_UNITS = (("D", DAY), ("h", 3_600 * 10**9), ("m", 60 * 10**9), ("s", 10**9), ("ms", 10**6))


def interval_length(timeframe: str) -> int:
    """Return the nanoseconds by which bars of a timeframe are known in the kernel.

    A session counts as a day, a week as seven and a month as thirty. StrategyError for bars by
    amount, which have no length.
    """
    interval = parse_interval(timeframe)
    if interval.is_by_amount:
        raise StrategyError(
            f"{timeframe!r}: bars by amount are no timeframe of a strategy; give none in "
            "`timeframes` to hear of whatever bars there are"
        )
    return _LONG.get(interval.kind, interval.length_ns)


def timeframe_of(length: int) -> str:
    """Return the usual text of a length in nanoseconds, such as 5m."""
    if length == 7 * DAY:
        return "1W"
    if length == 30 * DAY:
        return "1MO"
    for unit, size in _UNITS:
        if length >= size and length % size == 0:
            return f"{length // size}{unit}"
    return f"{length}ns"


class _Series:
    """The bars of one symbol and timeframe, and the figures that follow them."""

    def __init__(self, timeframe: str) -> None:
        self.timeframe = timeframe
        self.figures: list[Figure] = []


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
        self._wants_revisions = kind.on_revision is not Strategy.on_revision
        self._trades_from = trades_from
        self._lengths = {interval_length(each): each for each in strategy.timeframes}
        self._anchor = min(self._lengths, default=0)
        self._bars: dict[tuple[str, str], Bar | None] = {}
        self._series: dict[tuple[str, int], _Series] = {}
        # Figures that follow the anchor before its length is known: by symbol.
        self._early: dict[str, list[Figure]] = {}
        self._kernel: KernelContext | None = None
        self._ctx: Context | None = None

    # --- what the kernel tells --------------------------------------------------------------------

    def on_start(self, ctx: KernelContext) -> None:
        """Begin."""
        self.strategy.on_start(self._context(ctx))

    def on_bar(self, ctx: KernelContext, bar: journal.Bar) -> None:
        """Keep a final bar, let figures follow it, and tell of it if it is the anchor's."""
        symbol, length = bar.symbol, bar.interval
        series = self._series.get((symbol, length))
        if series is None:
            series = self._begin(symbol, length)
            if series is None:
                return
        spec = ctx.spec(symbol)
        view = Bar(
            bar,
            series.timeframe,
            _TENS[spec.price_decimals],
            _TENS[spec.size_decimals],
            spec,
        )
        if bar.state == "revised":
            if self._wants_revisions:
                self._revise(ctx, symbol, series, view)
            return
        self._bars[symbol, series.timeframe] = view
        for figure in series.figures:
            figure.advance(view)
        if length == self._anchor:
            self.strategy.on_bar(self._ctx if ctx is self._kernel else self._context(ctx), view)  # type: ignore[arg-type]  # set with _kernel

    def on_tick(self, ctx: KernelContext, tick: journal.Tick) -> None:
        """Tell of a tick."""
        self.strategy.on_tick(self._context(ctx), Tick(tick, ctx.spec(tick.symbol)))

    def on_fill(self, ctx: KernelContext, order: Order, fill: OrderFilled) -> None:
        """Tell of a fill of one of its orders."""
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

    def bars_ahead(self, columns: BarColumns) -> None:
        """Compute the figures of a whole batch of bars at once; they are told bar by bar."""
        if not any(series.figures for series in self._series.values()):
            return
        places = {symbol: code for code, symbol in enumerate(columns.symbols)}
        plain = len(places) == 1 and len(np.unique(columns.intervals)) == 1
        for (symbol, length), series in self._series.items():
            code = places.get(symbol)
            last = self._bars.get((symbol, series.timeframe))
            if code is None or last is None or not series.figures:
                continue
            rows: Any = slice(None)
            if not plain:
                rows = (columns.codes == code) & (columns.intervals == length)
            elif int(columns.intervals[0]) != length:
                continue
            floats: dict[str, list[float]] = {}
            for figure in series.figures:
                for name in figure.inputs:
                    if name not in floats:
                        units = getattr(columns, _COLUMNS[name])[rows]
                        scale = last.size_scale if name == "volume" else last.scale
                        floats[name] = _floats(units, scale)
                figure.look_ahead([floats[name] for name in figure.inputs])

    # --- its own ----------------------------------------------------------------------------------

    def _context(self, ctx: KernelContext) -> Context:
        if ctx is not self._kernel or self._ctx is None:
            self._kernel = ctx
            self._ctx = Context(
                ctx, self.name, self.account, self._bars, self._follow, self._trades_from
            )
        return self._ctx

    def _begin(self, symbol: str, length: int) -> _Series | None:
        """Begin to follow bars that come for the first time; None for those nobody wants."""
        if not self._lengths:
            # Without timeframes the first bar says what there is.
            self._anchor = self._anchor or length
            if length != self._anchor:
                return None
        elif length not in self._lengths:
            return None
        series = self._series[symbol, length] = _Series(
            self._lengths.get(length) or timeframe_of(length)
        )
        if length == self._anchor:
            series.figures += self._early.pop(symbol, [])
        self._bars.setdefault((symbol, series.timeframe), None)
        return series

    def _follow(self, symbol: str, timeframe: str, figure: Figure) -> None:
        if self.symbols and symbol not in self.symbols:
            raise StrategyError(
                f"{self.name} does not hear of {symbol!r}; its symbols are "
                f"{', '.join(self.symbols)}"
            )
        length = interval_length(timeframe) if timeframe else self._anchor
        if timeframe and length not in self._lengths:
            known = ", ".join(self._lengths.values()) or "none"
            raise StrategyError(
                f"{self.name} does not follow {timeframe!r}; its timeframes are {known}"
            )
        series = self._series.get((symbol, length)) if length else None
        if series is None and length and self._lengths:
            series = self._begin(symbol, length)
        if series is None:
            self._early.setdefault(symbol, []).append(figure)
        else:
            series.figures.append(figure)

    def _revise(self, ctx: KernelContext, symbol: str, series: _Series, view: Bar) -> None:
        before = self._bars.get((symbol, series.timeframe))
        if before is not None and before.raw.start == view.raw.start:
            self._bars[symbol, series.timeframe] = view
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
        allowed = {type(self.strategy).__module__}
        anchor, bars, series, early, state = _Reader(data, allowed).load()
        self._anchor = anchor
        self._bars, self._series, self._early = bars, series, early
        self._kernel = self._ctx = None
        self.strategy.load(state)


_TENS = [10**n for n in range(64)]
_COLUMNS = {
    "open": "opens",
    "high": "highs",
    "low": "lows",
    "close": "closes",
    "volume": "volumes",
}


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
