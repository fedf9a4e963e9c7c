"""Orders: what is asked, the states and edges of an order's life, the one writer of an account.

request = OrderRequest("ACC", "AAPL", "BUY", 100, "LIMIT", limit_price="228.25")
next_status(OrderStatus.SUBMITTED, "ACCEPTED")     # OrderStatus.ACCEPTED
"""

from trading.errors import InvalidOrderEvent, InvalidOrderRequest
from trading.orders.order import Order
from trading.orders.request import Bracket, OneCancelsOther, OneTriggersOther, OrderRequest
from trading.orders.status import EDGES, EVENTS, OrderStatus, next_status, status_diagram
from trading.positions.fill import Fill

__all__ = [
    "EDGES",
    "EVENTS",
    "Bracket",
    "Fill",
    "InvalidOrderEvent",
    "InvalidOrderRequest",
    "OneCancelsOther",
    "OneTriggersOther",
    "Order",
    "OrderRequest",
    "OrderStatus",
    "next_status",
    "status_diagram",
]
