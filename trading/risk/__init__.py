"""Pre-trade risk: rules in a fixed order, each with a code, over limits that hold for a time.

state = RiskState.of(Limits(max_position=500), instruments=[specify("AAPL")], cash=100_000)
check(OrderRequest("ACC", "AAPL", "BUY", 600), state)     # Refused("POSITION_LIMIT", …)
"""

from trading.risk.account import ACTIVE, HALTED, REDUCING, Account, Exposure, Market
from trading.risk.check import Allowed, RiskState, check
from trading.risk.correlation import Correlations
from trading.risk.limits import Cluster, HeldLimits, Limits, LimitsHistory
from trading.risk.rules import CODES, RULES, Refused

__all__ = [
    "ACTIVE",
    "CODES",
    "HALTED",
    "REDUCING",
    "RULES",
    "Account",
    "Allowed",
    "Cluster",
    "Correlations",
    "Exposure",
    "HeldLimits",
    "Limits",
    "LimitsHistory",
    "Market",
    "Refused",
    "RiskState",
    "check",
]
