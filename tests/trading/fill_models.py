"""Kernels with each fill model and the strategies of the determinism tests."""

from __future__ import annotations

from tests.trading.runs import Flipper, TickBuyer, kernel, paper
from trading.brokers import FillModel, PaperBroker
from trading.kernel import Kernel

MODELS = {
    "tick": lambda: paper("tick", slippage="1 tick", seed=5),
    "queue": lambda: paper(FillModel("tick", touch="0.3", queue=50, volume_share="0.5"), seed=9),
    "latency": lambda: paper("tick", latency=750_000_000),
    "next_open": lambda: paper("next_open", slippage="5 bps"),
    "intrabar": lambda: paper(FillModel("intrabar", path="nearest", volume_share="0.2")),
    "this_close": lambda: paper("this_close"),
    "next_close": lambda: paper("next_close", slippage="2 ticks"),
    "effects": lambda: None,
}


def run(broker: PaperBroker | None, **settings: object) -> Kernel:
    strategies = [Flipper(), TickBuyer("ticks")]
    return kernel(broker, strategies=strategies, bust_memory=10**18, **settings)
