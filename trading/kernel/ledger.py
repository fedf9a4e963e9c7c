"""The books of a run: every account's positions and cash, kept with each fill."""

from __future__ import annotations

import msgspec

from trading.errors import InvariantError
from trading.journal.outputs import (
    CashMoved,
    FillTakenBack,
    MatchMade,
    MatchVoided,
    PositionChanged,
)
from trading.journal.recorder import Recorder
from trading.positions.lots import Execution, Match, Method, Position
from trading.risk.account import Account, Exposure, Market
from trading.risk.totals import Watch

__all__ = ["Ledger"]

Key = tuple[str, str, str]


class Holding(msgspec.Struct, gc=False):
    """What a fill of one account, strategy and symbol is booked into, found by one look-up."""

    account: Account
    position: Position
    exposure: Exposure
    of_strategy: Exposure


class Ledger:
    """Books fills into positions and cash, and says what changed.

    `memory` is for how many nanoseconds a fill can be busted or corrected by matching later ones
    anew; 0 keeps nothing. Of a position no more than about `memory_max` are kept (0: no bound).
    """

    def __init__(
        self,
        recorder: Recorder,
        market: Market,
        accounts: dict[str, Account],
        watch: Watch,
        *,
        method: Method = "FIFO",
        memory: int = 0,
        memory_max: int = 0,
    ) -> None:
        self._recorder = recorder
        self._market = market
        self._accounts = accounts
        self._watch = watch
        self._method = method
        self._memory = memory
        self._memory_max = memory_max
        self.positions: dict[Key, Position] = {}
        self._holdings: dict[Key, Holding] = {}
        self._emit = recorder.emit
        # What is booked under an execution id, for busts: account → id → strategy and symbol.
        self.owners: dict[str, dict[str, tuple[str, str]]] = {}

    def touch(self, symbol: str) -> None:
        """Mark a symbol whose exposure or price has changed, for who keeps running sums."""
        for dirty in self._watch:
            dirty.add(symbol)

    def position(self, account: str, strategy: str, symbol: str) -> Position:
        """Return a position, made where there was none."""
        key = (account, strategy, symbol)
        found = self.positions.get(key)
        if found is None:
            market = self._market
            found = self.positions[key] = Position(
                account,
                strategy,
                symbol,
                market.specs[symbol].currency,
                market.factors[symbol],
                self._method,
            )
        return found

    def _holding(self, key: Key) -> Holding:
        account, strategy, symbol = key
        held = self._accounts[account]
        found = self._holdings[key] = Holding(
            held,
            self.position(account, strategy, symbol),
            held.exposure(symbol),
            held.strategy_exposure(strategy, symbol),
        )
        return found

    def book(self, account: str, strategy: str, symbol: str, execution: Execution) -> None:
        """Book a fill: lots, cash, exposures; say its matches and the position."""
        key = account, strategy, symbol
        holding = self._holdings.get(key)
        if holding is None:
            holding = self._holding(key)
        position = holding.position
        keep = self._memory > 0
        if keep:
            owners = self.owners.setdefault(account, {})
            for fill_id in position.forget_before(execution.time - self._memory, self._memory_max):
                owners.pop(fill_id, None)
            owners[execution.fill_id] = (strategy, symbol)
        paid = position.paid
        matches = position.book(execution, keep)
        cash, currency = holding.account.cash, position.currency
        cash[currency] = cash.get(currency, 0) - (position.paid - paid) - execution.fees
        signed = execution.quantity if execution.side > 0 else -execution.quantity
        holding.exposure.net += signed
        holding.of_strategy.net += signed
        for dirty in self._watch:
            dirty.add(symbol)
        for match in matches:
            self._say_match(position, match)
        self._emit(
            PositionChanged(
                self._recorder.now,
                account,
                strategy,
                symbol,
                position.net,
                position.cost,
                position.realized,
                position.fees,
                position.income,
            )
        )

    def find_execution(self, account: str, fill_id: str) -> Execution | None:
        """Return an execution that can still be matched anew, or None."""
        owner = self.owners.get(account, {}).get(fill_id)
        if owner is None:
            return None
        position = self.positions[account, owner[0], owner[1]]
        at = position.find(fill_id)
        return None if at is None else position.bookings[at].execution

    def take_back(
        self, account: Account, fill_id: str, corrected: Execution | None, reason: str
    ) -> str:
        """Bust or correct an execution that `find_execution` finds; return its symbol."""
        owner = self.owners[account.name][fill_id]
        position = self.positions[account.name, owner[0], owner[1]]
        at = position.find(fill_id)
        if at is None:
            raise InvariantError(f"execution {fill_id} is not in the memory of its position")
        net, paid, fees = position.net, position.paid, position.fees
        old, new = position.rebook(at, corrected)
        recorder = self._recorder
        if corrected is not None:
            self.owners[account.name][corrected.fill_id] = owner
        currency = position.currency
        account.cash[currency] -= position.paid - paid + position.fees - fees
        account.exposure(position.symbol).net += position.net - net
        account.strategy_exposure(position.strategy, position.symbol).net += position.net - net
        self.touch(position.symbol)
        recorder.emit(
            FillTakenBack(
                recorder.now,
                account.name,
                fill_id,
                "" if corrected is None else corrected.fill_id,
                False,
                reason,
            )
        )
        for match in old:
            recorder.emit(
                MatchVoided(
                    recorder.now,
                    position.account,
                    position.strategy,
                    position.symbol,
                    match.close_fill_id,
                    match.open_fill_id,
                    match.realized,
                )
            )
        for match in new:
            self._say_match(position, match)
        self.say(position)
        return position.symbol

    def split(self, symbol: str, new: int, old: int, lieu_price: int) -> None:
        """Split every position of a symbol; cost unchanged, fractions paid in cash."""
        for position in self._held(symbol):
            account, before = self._accounts[position.account], position.net
            for booking in position.bookings:
                self.owners[account.name].pop(booking.execution.fill_id, None)
            lieu = position.split(new, old, lieu_price)
            change = position.net - before
            account.exposure(symbol).net += change
            account.strategy_exposure(position.strategy, symbol).net += change
            self.touch(symbol)
            if lieu:
                self._pay(account, position, lieu, "LIEU")
            self.say(position)

    def dividend(self, symbol: str, cash: int) -> None:
        """Pay a dividend on every position of a symbol."""
        whole = int(10 ** self._market.specs[symbol].size_decimals)
        for position in self._held(symbol):
            amount = position.dividend(cash, whole)
            self._pay(self._accounts[position.account], position, amount, "DIVIDEND")
            self.say(position)

    def move_cash(self, account: Account, currency: str, amount: int, reason: str) -> None:
        """Put money into an account, or take it out."""
        account.cash[currency] = account.cash.get(currency, 0) + amount
        recorder = self._recorder
        recorder.emit(CashMoved(recorder.now, account.name, currency, amount, reason))

    def say(self, position: Position) -> None:
        """Give out a position's totals."""
        recorder = self._recorder
        recorder.emit(
            PositionChanged(
                recorder.now,
                position.account,
                position.strategy,
                position.symbol,
                position.net,
                position.cost,
                position.realized,
                position.fees,
                position.income,
            )
        )

    def check(self, moved: dict[tuple[str, str], int]) -> None:
        """Raise InvariantError where lots, totals, exposures and cash contradict each other.

        `moved` is the money by account and currency that no fill moved: deposits and withdrawals.
        """
        for position in self.positions.values():
            position.check()
        for name, account in self._accounts.items():
            own = [p for p in self.positions.values() if p.account == name]
            nets: dict[str, int] = {}
            cash: dict[str, int] = {c: m for (a, c), m in moved.items() if a == name}
            for position in own:
                nets[position.symbol] = nets.get(position.symbol, 0) + position.net
                cash[position.currency] = (
                    cash.get(position.currency, 0) - position.paid - position.fees + position.income
                )
            for symbol in {*nets, *account.exposures}:
                if nets.get(symbol, 0) != account.position(symbol):
                    raise InvariantError(
                        f"{name}: positions of {symbol} are {nets.get(symbol, 0)}, "
                        f"the exposure is {account.position(symbol)}"
                    )
            if cash != {c: account.cash.get(c, 0) for c in {*cash, *account.cash}}:
                raise InvariantError(f"{name}: cash is {account.cash}, its movements are {cash}")

    def _held(self, symbol: str) -> list[Position]:
        return [p for (_, _, s), p in self.positions.items() if s == symbol and p.net]

    def _pay(self, account: Account, position: Position, amount: int, reason: str) -> None:
        currency = position.currency
        account.cash[currency] = account.cash.get(currency, 0) + amount
        recorder = self._recorder
        recorder.emit(
            CashMoved(recorder.now, account.name, currency, amount, reason, position.symbol)
        )

    def _say_match(self, position: Position, match: Match) -> None:
        recorder = self._recorder
        recorder.emit(
            MatchMade(
                recorder.now,
                position.account,
                position.strategy,
                position.symbol,
                match.open_fill_id,
                match.open_order_id,
                match.close_fill_id,
                match.close_order_id,
                match.side,
                match.quantity,
                match.open_value,
                match.close_value,
                match.open_fees,
                match.close_fees,
                match.realized,
                match.opened,
                match.closed,
            )
        )

    def restore(self, positions: list[Position]) -> None:
        """Take over the positions of a snapshot."""
        self.positions.clear()
        self._holdings.clear()
        self.positions.update({(p.account, p.strategy, p.symbol): p for p in positions})
        self.owners.clear()
        for position in positions:
            for booking in position.bookings:
                owners = self.owners.setdefault(position.account, {})
                owners[booking.execution.fill_id] = (position.strategy, position.symbol)
