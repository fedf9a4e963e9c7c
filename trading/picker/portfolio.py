"""A portfolio of strategies: paper twins are scored by the day, and scores set the weights."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from trading.journal.inputs import SetWeights
from trading.picker.picker import TWIN, WHOLE
from trading.picker.weights import Score, WeightRules, next_weights, score
from trading.positions.lots import Position
from trading.risk.account import Account, Market
from trading.times import DAY

__all__ = ["Portfolio", "Scoreboard"]


class _Named(Protocol):
    name: str
    account: str


class _Books(Protocol):
    """Where a portfolio sees what twins have earned: a kernel."""

    @property
    def market(self) -> Market: ...

    @property
    def accounts(self) -> dict[str, Account]: ...

    @property
    def positions(self) -> dict[tuple[str, str, str], Position]: ...

    @property
    def now(self) -> int: ...


class Scoreboard:
    """Returns of paper twins by account and strategy, and the weights that follow from them."""

    def __init__(self, rules: WeightRules | None = None) -> None:
        self.rules = WeightRules() if rules is None else rules
        self.returns: dict[tuple[str, str], list[float]] = {}
        self.weights: dict[str, dict[str, int]] = {}
        self.updated = 0

    def add(self, account: str, strategy: str, value: float) -> None:
        """Take the return of one period; only those of the window are kept."""
        kept = self.returns.setdefault((account, strategy), [])
        kept.append(value)
        del kept[: -self.rules.window]

    def score(self, account: str, strategy: str) -> Score:
        """Return the score of a strategy as of now."""
        return score(self.returns.get((account, strategy), []), self.rules)

    def step(self, account: str, now: int) -> dict[str, int]:
        """Compute the next weights of an account's strategies, in millionths."""
        scores = {s: self.score(a, s) for a, s in self.returns if a == account}
        self.weights[account] = next_weights(scores, self.weights.get(account), self.rules)
        self.updated = now
        return self.weights[account]

    def perf_latest(self) -> list[dict[str, Any]]:
        """Return the rows of `strategy_perf_latest`: one an account and strategy."""
        rows = []
        for account, strategy in self.returns:
            found = self.score(account, strategy)
            rows.append(
                {
                    "accountId": account,
                    "strategyId": strategy,
                    "ts": self.updated,
                    "count": found.count,
                    "mean": found.mean,
                    "deviation": found.deviation,
                    "sharpe": found.sharpe,
                    "standardError": found.standard_error,
                    "tStat": found.t_statistic,
                    "shrunkSharpe": found.shrunk,
                }
            )
        return rows

    def weights_latest(self) -> list[dict[str, Any]]:
        """Return the rows of `strategy_weights_latest`, with every input that led to a weight."""
        rules = self.rules
        rows = []
        for account, weights in self.weights.items():
            for strategy, weight in weights.items():
                found = self.score(account, strategy)
                rows.append(
                    {
                        "accountId": account,
                        "strategyId": strategy,
                        "ts": self.updated,
                        "weight": weight / WHOLE,
                        "sharpe": found.sharpe,
                        "standardError": found.standard_error,
                        "shrunkSharpe": found.shrunk,
                        "count": found.count,
                        "equalShare": rules.equal_share,
                        "floor": rules.floor,
                        "cap": rules.cap,
                        "maxStep": rules.max_step,
                    }
                )
        return rows


@dataclass(frozen=True)
class Portfolio:
    """Several strategies above one another: weights by rules, set anew after each period.

    `every` is the length of a period in nanoseconds; periods begin at multiples of it in UTC.
    """

    rules: WeightRules = field(default_factory=WeightRules)
    every: int = DAY

    def begin(self, books: _Books, strategies: Sequence[_Named]) -> Steps:
        """Begin to score the twins of strategies, `paper:NAME` on `paper:ACCOUNT`."""
        return Steps(self, books, strategies)


class Steps:
    """The steps of one run: `due` says when the next is, `step` gives the inputs that it makes."""

    def __init__(self, portfolio: Portfolio, books: _Books, strategies: Sequence[_Named]) -> None:
        self.board = Scoreboard(portfolio.rules)
        self.history: list[dict[str, Any]] = []
        self._every = portfolio.every
        self._books = books
        self._strategies = [(each.account, each.name) for each in strategies]
        self._earned: dict[tuple[str, str], int] = dict.fromkeys(self._strategies, 0)
        self._capital: dict[str, int] = {}
        self._next = 0

    def due(self, now: int) -> int:
        """Return the last moment of the period that a time lies in."""
        if not self._next:
            self._next = now - now % self._every + self._every
        return max(self._next, now)

    def step(self) -> Iterable[SetWeights]:
        """Score the period that is over, if one is, and return the weights as inputs."""
        now = self._books.now
        if now < self._next:
            return []
        self._next = now - now % self._every + self._every
        for account, strategy in self._strategies:
            earned = self._pnl(account, strategy)
            capital = self._capital.get(account)
            if capital is None:
                twin = self._books.accounts[TWIN + account]
                capital = self._capital[account] = twin.day_start_equity or 1
            key = account, strategy
            self.board.add(account, strategy, (earned - self._earned[key]) / capital)
            self._earned[key] = earned
        inputs = []
        for account in dict.fromkeys(account for account, _ in self._strategies):
            weights = self.board.step(account, now)
            inputs.append(
                SetWeights(
                    now, "", "portfolio", account, tuple(weights.items()), "scores of paper twins"
                )
            )
        self.history += self.board.weights_latest()
        return inputs

    def _pnl(self, account: str, strategy: str) -> int:
        """What a twin has earned since the beginning, net of fees, in units of money."""
        market, total = self._books.market, 0
        for (owner, name, symbol), position in self._books.positions.items():
            if owner == TWIN + account and name == TWIN + strategy:
                total += position.realized - position.fees + position.income
                price = market.last.get(symbol)
                if position.net and price is not None:
                    total += position.net * price * market.factors[symbol] - position.cost
        return total

    def weights_table(self) -> list[dict[str, Any]]:
        """Return the rows of `strategy_weights_latest` after each step."""
        return self.history

    def perf_table(self) -> list[dict[str, Any]]:
        """Return the rows of `strategy_perf_latest` as they are now."""
        return self.board.perf_latest()
