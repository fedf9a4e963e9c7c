"""A typed client of the desk's API, for programs.

with TradingClient("http://127.0.0.1:8000", "trader", "the password") as desk:
    answer = desk.submit(NewOrder("DEMO", "AAPL", "BUY", "10", "LIMIT", limit_price="228.25"))
    print(desk.order(answer.order_id).status)
    with desk.stream(events=["orders", "fills"]) as stream:
        for message in stream:
            print(message.topic, message.item)
"""

from trading.client.governance import GovernanceClient
from trading.client.replay import ReplayClient
from trading.client.shapes import (
    Account,
    Answer,
    AsOf,
    Change,
    ChangedFigure,
    Expiry,
    Explanation,
    Fill,
    GovernedAccount,
    Message,
    NewOrder,
    OptionLadder,
    OptionQuote,
    OptionUnderlying,
    Order,
    OrderDifference,
    Page,
    Position,
    Preview,
    Replay,
    Request,
    Review,
    Session,
    Strike,
    Verification,
    WhatIf,
)
from trading.client.stream import Stream
from trading.client.trading_client import TradingClient

__all__ = [
    "Account",
    "Answer",
    "AsOf",
    "Change",
    "ChangedFigure",
    "Expiry",
    "Explanation",
    "Fill",
    "GovernanceClient",
    "GovernedAccount",
    "Message",
    "NewOrder",
    "OptionLadder",
    "OptionQuote",
    "OptionUnderlying",
    "Order",
    "OrderDifference",
    "Page",
    "Position",
    "Preview",
    "Replay",
    "ReplayClient",
    "Request",
    "Review",
    "Session",
    "Stream",
    "Strike",
    "TradingClient",
    "Verification",
    "WhatIf",
]
