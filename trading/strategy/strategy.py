"""The base of strategies: what they declare, and the handlers that they may have."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, ClassVar

from trading.errors import StrategyError
from trading.strategy.context import Context
from trading.strategy.parameters import NoParameters, make_parameters, parameters_hash
from trading.strategy.views import Bar, Fill, Tick

__all__ = ["Strategy"]


class Strategy:
    """Signals and orders from what has passed; the same class runs in a backtest and live.

    `symbols` are the instruments that it hears of, none meaning all: a run then sets them. Of its
    `timeframes` the shortest is the anchor, whose final bars it hears of; the others show their
    last final bar by `ctx.bar`. None means the bars that there are. `warmup` is how many anchor
    bars it needs before its signals count. Values of `Parameters`, a dataclass, are given by name:
    `SmaCross(fast=5)`.

    A handler that a class does not define costs nothing: ticks are walked one by one only for a
    strategy with `on_tick`, and revisions of bars are told to one with `on_revision`.
    """

    symbols: Sequence[str] = ()
    timeframes: Sequence[str] = ()
    warmup: int = 0
    version: str = "1"
    Parameters: ClassVar[type[Any]] = NoParameters
    parameters: Any

    def __init_subclass__(cls, **more: Any) -> None:
        super().__init_subclass__(**more)
        declared = cls.__dict__.get("Parameters")
        if declared is not None and not dataclasses.is_dataclass(declared):
            cls.Parameters = dataclasses.dataclass(declared)

    def __init__(
        self,
        *,
        name: str = "",
        symbols: Sequence[str] | None = None,
        timeframes: Sequence[str] | None = None,
        account: str = "",
        **parameters: Any,
    ) -> None:
        """Make a strategy; StrategyError for a parameter that it does not have or cannot take."""
        kind = type(self)
        self.name = name or kind.__name__
        if "|" in self.name:
            raise StrategyError(f"a strategy's name has no |, seen {self.name!r}")
        self.account = account
        for what, given in (("symbols", symbols), ("timeframes", timeframes)):
            if given is None:
                continue
            if isinstance(given, str):
                raise StrategyError(f"{what}: expected several texts, seen the one {given!r}")
            setattr(self, what, tuple(given))
        self.parameters = make_parameters(kind.Parameters, parameters, kind.__name__)

    @property
    def parameters_hash(self) -> str:
        """Sixteen hexadecimal digits that stand for the parameters on each signal."""
        return parameters_hash(self.parameters)

    @property
    def symbol(self) -> str:
        """The symbol of a strategy that has one; StrategyError otherwise."""
        if len(self.symbols) != 1:
            raise StrategyError(
                f"{self.name} has {len(self.symbols)} symbols; name the one that is meant"
            )
        return self.symbols[0]

    # --- handlers ---------------------------------------------------------------------------------

    def prepare(self, bars: Any) -> None:
        """Compute figures of all bars in advance; for research, since only backtests have them.

        `bars` is a pandas frame of the run's bars with `timestamp` (a bar's start), `symbol`, open,
        high, low, close and volume. Whoever uses it may see the future by mistake: `python -m
        trading check lookahead` says whether a strategy does.
        """

    def on_start(self, ctx: Context) -> None:
        """Begin: the time begins, no bar or tick has been told yet."""

    def on_bar(self, ctx: Context, bar: Bar) -> None:
        """Hear of a final bar of the shortest timeframe."""

    def on_revision(self, ctx: Context, bar: Bar) -> None:
        """Hear of a bar that late ticks have changed after it was final."""

    def on_tick(self, ctx: Context, tick: Tick) -> None:
        """Hear of a trade or quote."""

    def on_fill(self, ctx: Context, fill: Fill) -> None:
        """Hear of a fill of an order of its own, after the books have it."""

    def on_timer(self, ctx: Context, label: str) -> None:
        """Hear of a time that was set by `ctx.timer`."""

    def on_parameters(self, ctx: Context) -> None:
        """Begin to work with other parameters, which another person has approved.

        The indicators that followed the bars are let go. By default the strategy begins anew, as
        at its start, so that its indicators warm up again; one that keeps more than indicators
        says here what stays.
        """
        self.on_start(ctx)

    # --- snapshots --------------------------------------------------------------------------------

    def dump(self) -> dict[str, Any]:
        """Return what a snapshot keeps: all attributes, unless a strategy knows better."""
        return self.__dict__

    def load(self, state: dict[str, Any]) -> None:
        """Go on from what `dump` gave."""
        self.__dict__.update(state)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}, {self.parameters})"
