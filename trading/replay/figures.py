"""P&L of a kernel's positions, as people read it."""

from __future__ import annotations

from decimal import Decimal
from typing import NamedTuple

from trading.kernel import Kernel
from trading.numbers import from_units

__all__ = ["NO_PNL", "PnlFigures", "PositionKey", "pnl_of"]

PositionKey = tuple[str, str, str]
"""Account, strategy and symbol."""


class PnlFigures(NamedTuple):
    """P&L in the instrument's currency; `total` is after fees and with income.

    Realized and unrealized are before fees. Both of the latter are None while a position is open
    and no price is known.
    """

    net: Decimal
    realized: Decimal
    unrealized: Decimal | None
    fees: Decimal
    income: Decimal
    total: Decimal | None


NO_PNL = PnlFigures(*[Decimal(0)] * 6)


def pnl_of(kernel: Kernel) -> dict[PositionKey, PnlFigures]:
    """Return the P&L of every position that a kernel has had, at its last prices."""
    market, found = kernel.market, {}
    decimals = market.money_decimals
    for key, position in kernel.positions.items():
        last = market.last.get(position.symbol)
        unrealized = 0 if not position.net else None if last is None else position.unrealized(last)
        total = None
        if unrealized is not None:
            total = position.realized + unrealized - position.fees + position.income
        found[key] = PnlFigures(
            market.specs[position.symbol].size(position.net),
            from_units(position.realized, decimals),
            None if unrealized is None else from_units(unrealized, decimals),
            from_units(position.fees, decimals),
            from_units(position.income, decimals),
            None if total is None else from_units(total, decimals),
        )
    return found
