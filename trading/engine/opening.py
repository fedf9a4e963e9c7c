"""How a run begins: what its kernel is made of, and what it is told of the account."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence

import msgspec

from trading.bars.calendar import calendar_for
from trading.brokers.paper import PaperBroker
from trading.engine.state import Recipe
from trading.journal.inputs import DefineInstrument, DefineSessions, Input, OpenAccount
from trading.kernel import HostedStrategy, Kernel, Picker, Settings
from trading.numbers import Number, to_units
from trading.specification import InstrumentSpec
from trading.strategy import Hosted, Strategy, by_length
from trading.times import DAY, MINUTE

__all__ = ["Opening", "recipe_of"]

# For how long finished orders are kept for late fills, and fills for busts.
_MEMORY, _MEMORY_MAX = 15 * MINUTE, 5_000
_SESSIONS_BEFORE, _SESSIONS_AFTER, _SESSIONS_LEAST = 7 * DAY, 200 * DAY, 14 * DAY


class Opening:
    """What an account begins with, and what of it a kernel does not know yet.

    `cash` are amounts by currency, of which a run that is new gets `decimals` decimals exactly.
    """

    def __init__(
        self,
        account: str,
        owner: str,
        currency: str,
        cash: Mapping[str, Number],
        specs: Collection[InstrumentSpec],
        decimals: int,
    ) -> None:
        self._account = account
        self._owner = owner
        self._currency = currency
        self._specs = specs
        self._cash = tuple(
            (name, to_units(amount, decimals, f"cash in {name}")) for name, amount in cash.items()
        )

    def inputs(self, kernel: Kernel) -> list[Input]:
        """Return what is new of instruments, their sessions and the account."""
        now = time.time_ns()
        found: list[Input] = [
            DefineInstrument(0, spec)
            for spec in self._specs
            if kernel.market.specs.get(spec.symbol) != spec
        ]
        for name in sorted({spec.calendar for spec in self._specs} - {""}):
            known = kernel.market.sessions.get(name)
            if not known or known[-1][1] < now + _SESSIONS_LEAST:
                low, high = now - _SESSIONS_BEFORE, now + _SESSIONS_AFTER
                calendar = calendar_for(name, low, high)
                part = calendar.between(low, high)
                opens, closes = calendar.opens[part].tolist(), calendar.closes[part].tolist()
                found.append(DefineSessions(0, name, tuple(zip(opens, closes, strict=True))))
        if self._account not in kernel.accounts:
            found.append(OpenAccount(0, self._account, self._currency, self._cash, self._owner))
        return found


def recipe_of(
    account: str,
    run: str,
    settings: Settings | None,
    strategies: Sequence[Strategy | HostedStrategy],
    symbols: Sequence[str],
    paper: PaperBroker | None,
    picker: Picker,
) -> Recipe:
    """Return what the kernels of a run are made of; strategies without symbols get all of these."""
    hosted = [_hosted(each, account, symbols) for each in strategies]
    own = _settings(settings, account, run, strategies, paper is None)
    return Recipe(account, run, own, paper, hosted, picker)


def _hosted(
    strategy: Strategy | HostedStrategy, account: str, symbols: Sequence[str]
) -> HostedStrategy:
    if isinstance(strategy, Strategy):
        if not strategy.symbols:
            strategy.symbols = tuple(symbols)
        return Hosted(strategy, account)
    return strategy


def _settings(
    given: Settings | None,
    account: str,
    run: str,
    strategies: Sequence[object],
    has_venue: bool,
) -> Settings:
    """The kernel's settings with the run's own names, and memory for what a venue tells late."""
    if given is None:
        frames = by_length(
            frame for each in strategies if isinstance(each, Strategy) for frame in each.timeframes
        )
        given = Settings(
            bar_interval=0,
            timeframes=tuple(frames) or ("1m",),
            bust_memory=_MEMORY if has_venue else 0,
            order_memory=_MEMORY,
            memory_max=_MEMORY_MAX,
        )
    prefix = f"{account}.{run.replace(':', '.')}."
    return msgspec.structs.replace(given, run=run, prefix=prefix)
