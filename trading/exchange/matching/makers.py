"""Liquidity that the exchange brings itself: quotes around a price that walks, from a seed.

At each step the makers withdraw their quotes, let the price move by chance, and quote anew; now and
then one of them takes liquidity. Chance comes from the seed and the number of the step alone.
"""

from __future__ import annotations

import random

from trading.exchange.matching.accounts import ExchangeAccount
from trading.exchange.matching.continuous import Matching
from trading.exchange.matching.inputs import ExchangeSettings
from trading.exchange.matching.state import ExchangeState
from trading.journal.outputs import SendOrder

__all__ = ["MAKER_ACCOUNT", "Makers"]

MAKER_ACCOUNT = "*makers"


class Makers:
    """Quotes and takes in the name of one account of the exchange's own."""

    def __init__(self, settings: ExchangeSettings) -> None:
        self._settings = settings
        self._steps = 0
        self.middle: dict[str, int] = {}

    @property
    def active(self) -> bool:
        """Whether there are any."""
        return self._settings.maker_levels > 0

    def step(self, state: ExchangeState, matching: Matching) -> None:
        """Quote anew in every symbol that has a price."""
        if not self.active or state.phase != "OPEN":
            return
        self._steps += 1
        account = state.account(MAKER_ACCOUNT)
        for order in list(account.open.values()):
            state.cancel(order, "")
        for symbol, spec in state.specs.items():
            middle = self.middle.get(symbol, state.last.get(symbol))
            if middle is None:
                continue
            chance = random.Random(f"{self._settings.maker_seed}|{symbol}|{self._steps}")
            step = spec.price_increment
            middle += chance.choice((-1, 0, 0, 1)) * step
            if not spec.negative_prices:
                middle = max(middle, (self._settings.maker_levels + 1) * step)
            self.middle[symbol] = middle - middle % step
            self._quote(state, matching, account, symbol, chance)

    def _quote(
        self,
        state: ExchangeState,
        matching: Matching,
        account: ExchangeAccount,
        symbol: str,
        chance: random.Random,
    ) -> None:
        settings, spec = self._settings, state.specs[symbol]
        middle, step = self.middle[symbol], spec.price_increment
        unit = max(spec.min_size, spec.size_increment)
        take = settings.maker_take
        if take and self._steps % take == 0:
            # Takes what rests within the quotes, as somebody who wants to trade would.
            side = chance.choice((1, -1))
            size = unit * chance.randint(1, max(settings.maker_size, 1))
            limit = middle + side * settings.maker_levels * step
            self._send(state, matching, account, symbol, side, size, limit, "IOC")
        for level in range(1, settings.maker_levels + 1):
            for side in (1, -1):
                size = unit * chance.randint(1, max(settings.maker_size, 1))
                limit = middle - side * level * step
                self._send(state, matching, account, symbol, side, size, limit, "GTC")

    @staticmethod
    def _send(
        state: ExchangeState,
        matching: Matching,
        account: ExchangeAccount,
        symbol: str,
        side: int,
        size: int,
        limit: int,
        tif: str,
    ) -> None:
        order_id = f"M{state.order_number + 1}"
        request = SendOrder(
            state.now,
            order_id,
            account.name,
            symbol,
            side,
            size,
            "LIMIT",
            limit,
            None,
            tif,
            None,
            False,
            False,
            None,
            None,
        )
        order = state.enter(account, request)
        account.open[order_id] = order
        matching.begin(order)
