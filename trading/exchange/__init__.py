"""A simulated exchange as a process of its own, and the broker that trades on it.

python -m trading exchange serve DIRECTORY --accounts accounts.json --instrument AAPL=228.25

broker = ExchangeBroker("127.0.0.1", 7001, account="ACC", key=key)
broker.connect(after=0)
broker.submit(effect)

What is named here is loaded when it is asked for: the process
of the exchange needs neither the broker nor its tables.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trading.on_demand import on_demand

if TYPE_CHECKING:
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

_HOMES = {
    "trading.exchange.admin": ("ExchangeAdmin",),
    "trading.exchange.broker": ("ExchangeBroker",),
    "trading.exchange.durable": ("DurableExchange",),
    "trading.exchange.faults": ("Fault",),
    "trading.exchange.matching.engine": ("MatchingEngine",),
    "trading.exchange.matching.inputs": ("ExchangeSettings",),
    "trading.exchange.server": ("ExchangeServer",),
}

__getattr__ = on_demand(__name__, _HOMES, globals())
