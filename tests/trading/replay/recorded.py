"""Runs in a store and recordings for tests of replays."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from store.client import StoreClient
from store.server import ObjectStoreServer
from tests.store.desk import Desk
from tests.store.fixtures import database
from trading.brokers import PaperBroker
from trading.engine import EngineOptions, TradingEngine
from trading.journal.inputs import Tick
from trading.kernel import TickColumns
from trading.orders import OrderRequest
from trading.picker import TradePicker
from trading.risk import Limits
from trading.specification import specify
from trading.strategy import Strategy

AAPL = specify("AAPL")
RUN = "paper:day"


class Crosser(Strategy):
    """Buys above the mean of its last bars, sells below it."""

    timeframes = ("4 ticks",)

    class Parameters:
        length: int = 3
        size: int = 5

    def __init__(self, **more: Any) -> None:
        super().__init__(**more)
        self.closes: list[float] = []

    def on_bar(self, ctx: Any, bar: Any) -> None:
        self.closes = [*self.closes, float(bar.close)][-self.parameters.length :]
        if len(self.closes) < self.parameters.length:
            return
        held = ctx.position(bar.symbol)
        if float(bar.close) > sum(self.closes) / len(self.closes) and held <= 0:
            ctx.buy(bar.symbol, self.parameters.size)
        elif float(bar.close) < sum(self.closes) / len(self.closes) and held > 0:
            ctx.sell(bar.symbol, held)


def engine_of(store: StoreClient, **more: Any) -> TradingEngine:
    arguments: dict[str, Any] = {
        "feed": None,
        "broker": PaperBroker("tick"),
        "account": "ACC",
        "run": RUN,
        "instruments": [AAPL],
        "cash": 100_000,
        "strategies": [Crosser()],
        "picker": TradePicker(3),
        "options": EngineOptions(lease_s=1.0),
        **more,
    }
    return TradingEngine(store=store, **arguments)


def walk(seed: int, count: int, *, start: int = 0, step: int = 10**8) -> TickColumns:
    """A random walk of AAPL, a tick every tenth of a second by default."""
    rng = np.random.default_rng(seed)
    return TickColumns(
        ["AAPL"],
        start + np.arange(count) * step,
        np.zeros(count, int),
        22_800 + np.cumsum(rng.integers(-3, 4, count)),
        rng.integers(1, 100, count),
    )


def trade_a_while(store: StoreClient, *, seed: int = 1, **more: Any) -> str:
    """A short run with commands, limits, fills of a strategy, and a restart; its digest."""
    prices = walk(seed, 40).prices.tolist()
    with engine_of(store, **more) as engine:
        for price in prices[:20]:
            engine.command(Tick(0, "AAPL", price, 100))
        resting = engine.submit(OrderRequest("ACC", "AAPL", "BUY", 10, "LIMIT", "220"))
        engine.submit(OrderRequest("ACC", "AAPL", "BUY", 7, "MARKET"))
        engine.replace(resting, quantity=4)
        engine.set_limits(Limits(max_order_quantity=1_000), requested_by="ann", approved_by="bob")
    with engine_of(store, **more) as engine:
        for price in prices[20:]:
            engine.command(Tick(0, "AAPL", price, 100))
        engine.cancel(resting)
        engine.submit(OrderRequest("ACC", "AAPL", "SELL", 3, "MARKET"))
        engine.submit(OrderRequest("ACC", "AAPL", "BUY", 5_000, "MARKET"))
        return engine.digest


@pytest.fixture(scope="session")
def recorded_run(store_server: ObjectStoreServer) -> Iterator[Desk]:
    """A database with one run of `trade_a_while`, for tests that only read; made once."""
    with database(store_server, "recorded_run") as desk:
        trade_a_while(desk.client())
        yield desk


@pytest.fixture
def reader(recorded_run: Desk) -> Iterator[StoreClient]:
    """The user whose run it is."""
    with recorded_run.client() as client:
        yield client
