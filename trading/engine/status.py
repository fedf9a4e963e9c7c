"""What an engine is doing, for people and programs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from math import inf

from trading.engine.state import EngineState
from trading.numbers import from_units
from trading.risk.account import Market
from trading.specification import InstrumentSpec
from trading.times import SECOND

__all__ = ["EngineStatus", "OpenOrder", "Phase", "open_for_s", "status_of"]


class Phase(str, Enum):
    """How far an engine is; STANDBY waits for another engine's lease, FAILED needs a person."""

    NEW = "NEW"
    STANDBY = "STANDBY"
    RECOVERING = "RECOVERING"
    RUNNING = "RUNNING"
    STORE_UNAVAILABLE = "STORE_UNAVAILABLE"
    STOPPED = "STOPPED"
    FAILED = "FAILED"

    __hash__ = str.__hash__

    def __str__(self) -> str:
        return str.__str__(self)


@dataclass(frozen=True)
class OpenOrder:
    """An order that may still fill."""

    order_id: str
    symbol: str
    side: str
    quantity: Decimal
    filled_quantity: Decimal
    kind: str
    limit_price: Decimal | None
    status: str

    def __str__(self) -> str:
        price = "" if self.limit_price is None else f" at {self.limit_price}"
        filled = f", {self.filled_quantity} filled" if self.filled_quantity else ""
        return (
            f"{self.order_id}: {self.side} {self.quantity} {self.symbol} {self.kind}{price} "
            f"{self.status}{filled}"
        )


@dataclass(frozen=True)
class EngineStatus:
    """An engine at a moment; `positions` is signed quantity by symbol, `cash` by currency.

    `group` and `inputs` count what is in the journal, `waiting` what is not yet. `problem` is the
    last thing that went wrong, `digest` that of everything said so far.
    """

    account: str
    run: str
    phase: Phase
    epoch: int
    group: int
    inputs: int
    waiting: int
    trading_state: str
    state_reason: str
    open_orders: tuple[OpenOrder, ...]
    positions: dict[str, Decimal]
    cash: dict[str, Decimal]
    broker: str
    broker_state: str
    unanswered: int
    problem: str
    digest: str

    def line(self) -> str:
        """Return one line for a terminal."""
        held = ", ".join(f"{size:f} {symbol}" for symbol, size in self.positions.items()) or "flat"
        broker = f" {self.broker} {self.broker_state};" if self.broker else ""
        problem = f" PROBLEM: {self.problem}" if self.problem else ""
        return (
            f"{self.account} {self.run} {self.phase} {self.trading_state};{broker} group "
            f"{self.group}, {len(self.open_orders)} open orders, {held}{problem}"
        )

    def what_is_open(self) -> list[str]:
        """Return a line for each open order and position."""
        return [
            *(f"open order {each}" for each in self.open_orders),
            *(f"position {size:f} {symbol}" for symbol, size in self.positions.items()),
        ]


def status_of(state: EngineState | None, **more: object) -> EngineStatus:
    """Return the status of an engine whose state stands still meanwhile."""
    orders: list[OpenOrder] = []
    positions: dict[str, Decimal] = {}
    cash: dict[str, Decimal] = {}
    trading_state = reason = digest = ""
    if state is not None:
        kernel, name = state.kernel, state.recipe.account
        orders = [
            OpenOrder(
                each.order_id,
                each.symbol,
                each.side_name,
                each.quantity,
                each.filled_quantity,
                each.kind,
                each.limit_price,
                str(each.status),
            )
            for each in kernel.orders.values()
            if each.is_open and each.account == name
        ]
        for (account, _, symbol), position in kernel.positions.items():
            if account == name and position.net:
                size = from_units(position.net, kernel.market.specs[symbol].size_decimals)
                positions[symbol] = positions.get(symbol, Decimal(0)) + size
        found = kernel.accounts.get(name)
        if found is not None:
            trading_state, reason = found.trading_state, found.state_reason
            decimals = kernel.settings.money_decimals
            cash = {key: from_units(units, decimals) for key, units in found.cash.items()}
        digest = kernel.digest
    return EngineStatus(
        trading_state=trading_state,
        state_reason=reason,
        open_orders=tuple(orders),
        positions={symbol: size for symbol, size in positions.items() if size},
        cash=cash,
        inputs=0 if state is None else state.inputs,
        unanswered=0 if state is None else len(state.pending),
        digest=digest,
        **more,  # type: ignore[arg-type]
    )


def open_for_s(market: Market, specs: Iterable[InstrumentSpec], now: int) -> float | None:
    """Return for how many seconds the market of some instrument has been open; None if none is."""
    longest: float | None = None
    for spec in specs:
        if not spec.calendar or spec.calendar not in market.sessions:
            return inf
        session = market.session(spec.calendar, now)
        if session is not None and session[0] <= now:
            longest = max(longest or 0.0, (now - session[0]) / SECOND)
    return longest
