"""Brokers: the protocol that the kernel talks to, and the simulated one that lives inside it.

PaperBroker("tick", MakerTaker("1", "5"), slippage="1 tick", latency=2_000_000, seed=7)

What is named here is loaded when it is asked for: an exchange
needs the commissions alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trading.on_demand import on_demand

if TYPE_CHECKING:
    from trading.brokers.commissions import (
        BasisPoints,
        Commission,
        MakerTaker,
        NoCommission,
        PerContract,
        PerShare,
    )
    from trading.brokers.fill_models import FILL_MODELS, FillModel, Slippage
    from trading.brokers.paper import PaperBroker
    from trading.brokers.protocol import Broker
    from trading.journal.reports import (
        BrokerReport,
        FillBusted,
        FillCorrected,
        OrderAccepted,
        OrderCanceled,
        OrderCancelRejected,
        OrderExpired,
        OrderFilled,
        OrderRejected,
        OrderReplaced,
        OrderReplaceRejected,
        OrderTriggered,
    )

__all__ = [
    "FILL_MODELS",
    "BasisPoints",
    "Broker",
    "BrokerReport",
    "Commission",
    "FillBusted",
    "FillCorrected",
    "FillModel",
    "MakerTaker",
    "NoCommission",
    "OrderAccepted",
    "OrderCancelRejected",
    "OrderCanceled",
    "OrderExpired",
    "OrderFilled",
    "OrderRejected",
    "OrderReplaceRejected",
    "OrderReplaced",
    "OrderTriggered",
    "PaperBroker",
    "PerContract",
    "PerShare",
    "Slippage",
]

_HOMES = {
    "trading.brokers.commissions": (
        "BasisPoints",
        "Commission",
        "MakerTaker",
        "NoCommission",
        "PerContract",
        "PerShare",
    ),
    "trading.brokers.fill_models": (
        "FILL_MODELS",
        "FillModel",
        "Slippage",
    ),
    "trading.brokers.paper": ("PaperBroker",),
    "trading.brokers.protocol": ("Broker",),
    "trading.journal.reports": (
        "BrokerReport",
        "FillBusted",
        "FillCorrected",
        "OrderAccepted",
        "OrderCanceled",
        "OrderCancelRejected",
        "OrderExpired",
        "OrderFilled",
        "OrderRejected",
        "OrderReplaced",
        "OrderReplaceRejected",
        "OrderTriggered",
    ),
}

__getattr__ = on_demand(__name__, _HOMES, globals())
