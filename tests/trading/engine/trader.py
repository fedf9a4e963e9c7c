"""Engines as processes of their own, on which people and a strategy trade until they are killed.

    python -m tests.trading.engine.trader

A line of JSON on standard input, with `config` and `output`, a file, starts an engine and is
answered by its process id. It is a fork of this process, which has imported everything, says its
phases in the file, and ends on SIGTERM.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import threading
import time
import uuid
from typing import Any

from store.client import StoreClient
from trading.engine import EngineOptions, TradingEngine
from trading.errors import EngineError, TradingError
from trading.exchange import ExchangeBroker
from trading.orders import Bracket, OrderRequest
from trading.specification import specify
from trading.strategy import Strategy

AAPL = specify("AAPL")
LEASE_S = 1.0


class Nibbler(Strategy):
    """Buys and sells a little, by what the ticks say alone."""

    def on_tick(self, ctx: Any, tick: Any) -> None:
        moment = tick.raw.time // 1_000_000
        if tick.bid is None or moment % 5:
            return
        size = 1 + moment % 3
        if ctx.position(tick.symbol) > 0:
            ctx.sell(tick.symbol, size, limit=f"{tick.bid:.2f}", time_in_force="IOC")
        else:
            ctx.buy(tick.symbol, size, limit=f"{tick.bid:.2f}")


def engine_of(config: dict[str, Any], group_size: int = 200, **more: Any) -> TradingEngine:
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

    options = {"feed": None, "broker": broker, "strategies": [Nibbler(symbols=["AAPL"])], **more}
    return TradingEngine(
        store=StoreClient(**config["store"]),
        account="ACC",
        run="live",
        instruments=[AAPL],
        cash=1_000_000,
        owner="trader",
        options=EngineOptions(
            group_size=group_size, lease_s=LEASE_S, snapshot_inputs=150, reconcile_s=5.0
        ),
        **options,
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

    def trade(self, done: threading.Event) -> None:
        has_traded = False
        while not done.wait(0.005):
            if str(self.engine.phase) == "RUNNING":
                try:
                    self.act()
                    if not has_traded:
                        has_traded = True
                        say("TRADING")
                except TradingError as error:
                    say(f"{type(error).__name__}: {error}")


def say(*words: object) -> None:
    print(*words, flush=True)  # noqa: T201 - the test reads it


def run(config: dict[str, Any]) -> int:
    done = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: done.set())
    engine = engine_of(config, feed=ExchangeBroker.market_data)
    engine.start()
    people = [
        threading.Thread(target=Trader(engine, config["seed"] + n).trade, args=(done,), daemon=True)
        for n in range(2)
    ]
    for each in people:
        each.start()
    phase = None
    while not done.wait(0.02):
        if engine.phase is not phase:
            phase = engine.phase
            say(phase, engine.status().problem)
            if str(phase) in ("FAILED", "STOPPED"):
                break
    try:
        status = engine.stop()
    except EngineError as error:
        say(error)
        return 1
    say(status.line())
    return 0


def serve() -> None:
    """Fork an engine for each line; what it says goes to its file."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    say("ready")
    for line in sys.stdin:
        order = json.loads(line)
        child = os.fork()
        if child:
            say(child)
            continue
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        output = os.open(order["output"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(output, 1)
        os.dup2(output, 2)
        random.seed(time.time_ns())
        os._exit(run(order["config"]))


if __name__ == "__main__":
    serve()
