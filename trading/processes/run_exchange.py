"""A simulated exchange as a process of a desk, as the supervisor starts it."""

from __future__ import annotations

from trading.exchange.matching.inputs import ExchangeSettings
from trading.exchange.serving import listed, read_accounts, serve
from trading.processes.config import DeskConfig

__all__ = ["run"]

_MAKER_LEVELS = 5


def run(config: DeskConfig) -> int:
    """Run a simulated exchange with makers, on which accounts with the broker `exchange` trade."""
    folder = config.folder / "exchange"
    serve(
        folder,
        ExchangeSettings(name="exchange", maker_levels=_MAKER_LEVELS),
        read_accounts(folder / "accounts.json"),
        listed([f"{symbol}={price}" for symbol, price in config.symbols.items()]),
        port=config.ports["exchange"],
    )
    return 0
