"""The kernel: a pure function from journaled inputs to orders, fills, lots and P&L.

kernel = Kernel(Settings(), broker=PaperBroker("tick"))
outputs = kernel.step(Clock(1_700_000_000_000_000_000))
kernel.digest, kernel.snapshot()
"""

from trading.kernel.hosting import AcceptAll, Context, HostedStrategy, Picker
from trading.kernel.kernel import Kernel, step
from trading.kernel.prices.bar_columns import BarColumns
from trading.kernel.prices.bars import BarFold, TickBars
from trading.kernel.prices.columns import MISSING, TickColumns
from trading.kernel.settings import Settings

__all__ = [
    "MISSING",
    "AcceptAll",
    "BarColumns",
    "BarFold",
    "Context",
    "HostedStrategy",
    "Kernel",
    "Picker",
    "Settings",
    "TickBars",
    "TickColumns",
    "step",
]
