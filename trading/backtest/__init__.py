"""Backtests: strategies over recorded prices, through the kernel that trades live.

result = Backtest(SmaCross(symbols=["AAPL"]), "AAPL.csv", cash=100_000, fill="next_open").run()
print(result.metrics["sharpe"], result.digest)
"""

from trading.backtest.backtest import Backtest
from trading.backtest.result import Result

__all__ = ["Backtest", "Result"]
