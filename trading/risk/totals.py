"""Running sums over what an account holds, so that an order is judged without a walk.

What changed is marked by symbol (`dirty`): a price, a position, an open order, a reservation. The
sums are brought up to date when they are asked for, by the marked symbols alone.
"""

from __future__ import annotations

from trading.errors import InvariantError
from trading.risk.account import Account, Exposure, Market

__all__ = ["AccountTotals", "Totals", "Watch"]

Watch = list[set[str]]
"""The marks of all running sums of a run: who changes a price or a size adds the symbol to each."""

_NONE = (0, 0, 0, 0)


class Totals:
    """Gross, longest, shortest and market value of exposures by symbol, in the account's money.

    Open orders and reservations count in the first three. Sums are exact: each symbol's part is
    rounded as in a walk, and taken out again before a new one is put in.
    """

    __slots__ = (
        "_base",
        "_exposures",
        "_market",
        "_parts",
        "dirty",
        "gross",
        "longest",
        "shortest",
        "unpriced",
        "unvalued",
        "value",
    )

    def __init__(self, exposures: dict[str, Exposure], market: Market, base: str) -> None:
        self._exposures = exposures
        self._market = market
        self._base = base
        self._parts: dict[str, tuple[int, int, int, int]] = {}
        self.dirty = set(exposures)
        self.gross = self.longest = self.shortest = self.value = 0
        # Symbols with a position or open orders, or with a position, without a price or rate.
        self.unpriced: set[str] = set()
        self.unvalued: set[str] = set()

    def refresh(self) -> None:
        """Bring the sums up to date."""
        exposures, parts = self._exposures, self._parts
        for symbol in self.dirty:
            exposure = exposures.get(symbol)
            if exposure is None:
                continue
            new, old = self._part(symbol, exposure), parts.get(symbol, _NONE)
            if new != old:
                self.gross += new[0] - old[0]
                self.longest += new[1] - old[1]
                self.shortest += new[2] - old[2]
                self.value += new[3] - old[3]
                parts[symbol] = new
        self.dirty.clear()

    def _part(self, symbol: str, exposure: Exposure) -> tuple[int, int, int, int]:
        net, market = exposure.net, self._market
        up, down = exposure.longest, exposure.shortest
        if self.unpriced or self.unvalued:
            self.unpriced.discard(symbol)
            self.unvalued.discard(symbol)
        if not (net or up or down):
            return _NONE
        price, currency = market.last.get(symbol), market.specs[symbol].currency
        if price is not None:
            each = price * market.factors[symbol]
            size = each if each >= 0 else -each
            if currency == self._base:
                up, down = up * size, down * size
                # Up is never below down.
                return (up if up > -down else -down), up, down, net * each
            most = market.convert(up * size, currency, self._base)
            least = market.convert(down * size, currency, self._base)
            value = market.convert(net * each, currency, self._base)
            if most is not None and least is not None and value is not None:
                return max(abs(most), abs(least)), most, least, value
        self.unpriced.add(symbol)
        if net:
            self.unvalued.add(symbol)
        return _NONE

    def is_known(self, own: str) -> bool:
        """Whether every symbol but the order's own has its price and rate."""
        if self.dirty:
            self.refresh()
        unpriced = self.unpriced
        return not unpriced or (len(unpriced) == 1 and own in unpriced)

    def with_worst(self, own: str, worst: tuple[int, int]) -> tuple[int, int, int]:
        """Return gross, longest and shortest where one symbol has these instead of its own."""
        gross, longest, shortest, _ = self._parts.get(own, _NONE)
        up, down = worst
        # Up is never below down.
        most = up if up > -down else -down
        return (
            self.gross - gross + most,
            self.longest - longest + up,
            self.shortest - shortest + down,
        )

    def check(self) -> None:
        """Raise InvariantError where the sums differ from those of a walk over everything."""
        self.refresh()
        walked = Totals(self._exposures, self._market, self._base)
        walked.refresh()
        for name in ("gross", "longest", "shortest", "value", "unpriced", "unvalued"):
            ours, theirs = getattr(self, name), getattr(walked, name)
            if ours != theirs:
                raise InvariantError(f"the running {name} is {ours}, a walk finds {theirs}")


class AccountTotals:
    """The running sums of one account, and of each of its strategies that was asked for."""

    def __init__(self, account: Account, market: Market, watch: Watch) -> None:
        self._account = account
        self._market = market
        self._watch = watch
        self._strategies: dict[str, Totals] = {}
        self.whole = self._made(account.exposures)

    def _made(self, exposures: dict[str, Exposure]) -> Totals:
        made = Totals(exposures, self._market, self._account.base)
        self._watch.append(made.dirty)
        return made

    def of_strategy(self, strategy: str) -> Totals:
        """Return the sums of one strategy's exposures."""
        found = self._strategies.get(strategy)
        if found is None:
            exposures = self._account.by_strategy.setdefault(strategy, {})
            found = self._strategies[strategy] = self._made(exposures)
        return found

    def equity(self) -> int | None:
        """Return cash and market value in the account's money; None where a price is missing."""
        whole = self.whole
        if whole.dirty:
            whole.refresh()
        if whole.unvalued:
            return None
        cash = self._account.cash_value(self._market)
        return None if cash is None else cash + whole.value

    def check(self) -> None:
        """Raise InvariantError where running sums differ from those of a walk."""
        for each in (self.whole, *self._strategies.values()):
            each.check()
        walked, ours = self._account.equity(self._market), self.equity()
        if walked != ours:
            raise InvariantError(
                f"{self._account.name}: the running equity is {ours}, a walk finds {walked}"
            )
