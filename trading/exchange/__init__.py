"""A simulated exchange as a process of its own, and the broker that trades on it.

python -m trading exchange serve DIRECTORY --accounts accounts.json --instrument AAPL=228.25

broker = ExchangeBroker("127.0.0.1", 7001, account="ACC", key=key)
broker.connect(after=0)
broker.submit(effect)
"""

from trading.exchange.admin import ExchangeAdmin
from trading.exchange.broker import ExchangeBroker
from trading.exchange.durable import DurableExchange
from trading.exchange.faults import Fault
from trading.exchange.matching.engine import MatchingEngine
from trading.exchange.matching.inputs import ExchangeSettings
from trading.exchange.server import ExchangeServer

__all__ = [
    "DurableExchange",
    "ExchangeAdmin",
    "ExchangeBroker",
    "ExchangeServer",
    "ExchangeSettings",
    "Fault",
    "MatchingEngine",
]
