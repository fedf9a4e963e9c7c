"""What the writer of orders books into: accounts, positions, exposures."""

from __future__ import annotations

from trading.brokers.paper import PaperBroker
from trading.journal.outputs import FillTakenBack
from trading.journal.recorder import Recorder
from trading.kernel.ledger import Ledger
from trading.orders.order import Order
from trading.positions.lots import Execution
from trading.risk.account import Account, Market

__all__ = ["KernelBooks"]


class KernelBooks:
    """Books fills by account name, and keeps a simulated broker's positions in step."""

    def __init__(
        self,
        recorder: Recorder,
        market: Market,
        accounts: dict[str, Account],
        ledger: Ledger,
        paper: PaperBroker | None,
    ) -> None:
        self._recorder = recorder
        self._market = market
        self._accounts = accounts
        self._ledger = ledger
        self.book_fill = ledger.book
        self._paper = paper

    def find_execution(self, account: str, fill_id: str) -> Execution | None:
        """Return a booked execution that can still be taken back, or None."""
        return self._ledger.find_execution(account, fill_id)

    def book_back(
        self, account: str, before: Execution, corrected: Execution | None, reason: str
    ) -> None:
        """Take an execution back, or put another in its place, and match later ones anew."""
        found = self._accounts[account]
        symbol = self._ledger.take_back(found, before.fill_id, corrected, reason)
        self._tell_paper(found, symbol)

    def book_reverse(
        self, account: str, strategy: str, symbol: str, before: Execution, reason: str
    ) -> None:
        """Book the opposite of an execution that is too long ago to be matched anew."""
        found, recorder = self._accounts[account], self._recorder
        recorder.emit(FillTakenBack(recorder.now, account, before.fill_id, "", True, reason))
        opposite = Execution(
            f"{before.fill_id}!back",
            before.order_id,
            -before.side,
            before.quantity,
            before.price,
            -before.fees,
            recorder.now,
        )
        self._ledger.book(account, strategy, symbol, opposite)
        self._tell_paper(found, symbol)

    def _tell_paper(self, account: Account, symbol: str) -> None:
        if self._paper is not None:
            self._paper.set_position(account.name, symbol, account.position(symbol))

    def knows(self, account: str, symbol: str) -> bool:
        """Whether there are such an account and instrument."""
        return account in self._accounts and symbol in self._market.specs

    def count(self, order: Order, change: int) -> None:
        """Add to the size that open orders of this side may still trade."""
        account = self._accounts[order.account]
        for exposure in (
            account.exposure(order.symbol),
            account.strategy_exposure(order.strategy, order.symbol),
        ):
            if order.side > 0:
                exposure.open_buy += change
            else:
                exposure.open_sell += change
        self._ledger.touch(order.symbol)
