"""What a journal says of an engine that runs."""

from __future__ import annotations

from tests.processes import wait_until
from trading.engine import TradingEngine


def await_verified(engine: TradingEngine) -> None:
    """Its journal, folded again, has its digest.

    Bars may end while it is folded, and the digest is another one then; `verify` itself raises for
    a group that does not fold to what the journal says.
    """
    wait_until(lambda: engine.verify() == engine.digest, 60, "a fold with the engine's digest")
