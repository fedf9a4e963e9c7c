"""An engine as a process of its own, on which a person trades at random until it is killed.

    python -m tests.trading.engine.trader '{"store": {...}, "port": 7001, "key": "…", "seed": 1}'

It says its phases, and ends on SIGTERM.
"""

from __future__ import annotations

import json
import random
import signal
import sys
import threading
import uuid
from typing import Any

from store.client import StoreClient
from trading.engine import EngineOptions, TradingEngine
from trading.errors import EngineError, TradingError
from trading.exchange import ExchangeBroker
from trading.orders import Bracket, OrderRequest
from trading.specification import specify

AAPL = specify("AAPL")
LEASE_S = 1.0


def engine_of(config: dict[str, Any], **more: Any) -> TradingEngine:
    """The engine that every process of a test makes: the same each time."""

    def broker() -> ExchangeBroker:
        return ExchangeBroker(
            "127.0.0.1",
            config["port"],
            account="ACC",
            key=config["key"],
            instruments=[AAPL],
            heartbeat_s=0.3,
            backoff_s=(0.02, 0.3),
        )

    return TradingEngine(
        store=StoreClient(**config["store"]),
        feed=None,
        broker=broker,
        account="ACC",
        run="live",
        instruments=[AAPL],
        cash=1_000_000,
        owner="trader",
        options=EngineOptions(lease_s=LEASE_S, snapshot_inputs=150, reconcile_s=5.0),
        **more,
    )


class Trader:
    """Somebody who trades at random; errors of commands are looked at and not minded."""

    def __init__(self, engine: TradingEngine, seed: int) -> None:
        self.engine = engine
        self.chance = random.Random(seed)

    def act(self) -> None:
        chance, engine = self.chance, self.engine
        what = chance.random()
        opened = engine.status().open_orders
        if opened and what < 0.25:
            engine.cancel(chance.choice(opened).order_id)
        elif opened and what < 0.45:
            chosen = chance.choice(opened)
            if chosen.limit_price is not None:
                engine.replace(chosen.order_id, quantity=chance.randint(1, 60))
        elif what < 0.55:
            price = 100 + chance.randint(-3, 3) / 100
            entry = self.order(f"{price:.2f}", "BUY")
            engine.submit(Bracket(entry, target="100.20", stop="99.80"))
        elif what < 0.57:
            engine.flatten()
        else:
            price = f"{100 + chance.randint(-6, 6) / 100:.2f}"
            command_id = uuid.uuid4().hex
            first = engine.submit(self.order(price), command_id=command_id)
            if chance.random() < 0.1:
                again = engine.submit(self.order(price), command_id=command_id)
                assert first == again

    def order(self, price: str, side: str = "") -> OrderRequest:
        side = side or self.chance.choice(("BUY", "SELL"))
        return OrderRequest("ACC", "AAPL", side, self.chance.randint(1, 50), "LIMIT", price)


def say(*words: object) -> None:
    print(*words, flush=True)  # noqa: T201 - the test reads it


def main() -> int:
    config = json.loads(sys.argv[1])
    done = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: done.set())
    engine = engine_of(config)
    engine.start()
    phase = None
    trader = Trader(engine, config["seed"])
    while not done.wait(0.002):
        if engine.phase is not phase:
            phase = engine.phase
            say(phase, engine.status().problem)
            if str(phase) in ("FAILED", "STOPPED"):
                break
        if str(phase) == "RUNNING":
            try:
                trader.act()
            except TradingError as error:
                say(f"{type(error).__name__}: {error}")
    try:
        status = engine.stop()
    except EngineError as error:
        say(error)
        return 1
    say(status.line())
    return 0


if __name__ == "__main__":
    sys.exit(main())
