"""The engine that trades: durable, one writer an account, and back after a crash.

engine = TradingEngine(store=client, feed=feed, broker=broker, account="ACC", run="live", …)
engine.start(timeout=30)
order_id = engine.submit(OrderRequest("ACC", "AAPL", "BUY", 100))
"""

from trading.engine.engine import TradingEngine
from trading.engine.journal import EngineSnapshot, JournalSegment
from trading.engine.options import EngineOptions
from trading.engine.records import (
    AlertRecord,
    CashRecord,
    DecisionRecord,
    FillRecord,
    LimitsRecord,
    MatchRecord,
    OrderRecord,
    ParametersRecord,
    PositionRecord,
    SignalRecord,
    TradingStateRecord,
)
from trading.engine.state import Answer
from trading.engine.status import EngineStatus, OpenOrder, Phase

__all__ = [
    "AlertRecord",
    "Answer",
    "CashRecord",
    "DecisionRecord",
    "EngineOptions",
    "EngineSnapshot",
    "EngineStatus",
    "FillRecord",
    "JournalSegment",
    "LimitsRecord",
    "MatchRecord",
    "OpenOrder",
    "OrderRecord",
    "ParametersRecord",
    "Phase",
    "PositionRecord",
    "SignalRecord",
    "TradingEngine",
    "TradingStateRecord",
]
