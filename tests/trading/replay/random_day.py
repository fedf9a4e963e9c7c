"""A random day of an engine: prices, late ticks, orders, changes of limits; also as a process.

python -m tests.trading.replay.random_day trade '{"user": "alice", …}' 7   # until it is killed
python -m tests.trading.replay.random_day fold '{"user": "alice", …}' 7    # prints a digest
"""

from __future__ import annotations

import contextlib
import json
import random
import sys
import time

from store.client import StoreClient
from tests.trading.replay.recorded import AAPL, RUN, Crosser, engine_of
from trading.brokers import PaperBroker
from trading.engine import EngineOptions, TradingEngine
from trading.errors import TradingError
from trading.journal.inputs import Tick
from trading.orders import OrderRequest
from trading.picker import TradePicker
from trading.replay import read_run, recipe_of, verify_run
from trading.replay.run_journal import Recipe, RecordedRun
from trading.risk import Limits

SECOND = 10**9


class BySecond(Crosser):
    """Trades on bars of time, which late ticks change."""

    timeframes = ("1s", "4 ticks")


def engine(store: StoreClient) -> TradingEngine:
    """The engine of the day: its snapshots are a few inputs apart."""
    options = EngineOptions(lease_s=1.0, snapshot_inputs=25)
    return engine_of(store, strategies=[BySecond()], options=options)


def recipe(recorded: RecordedRun) -> Recipe:
    """What the engine of the day is made of."""
    return recipe_of(
        recorded, strategies=[BySecond()], broker=PaperBroker("tick"), picker=TradePicker(3)
    )


def act(engine: TradingEngine, rng: random.Random, count: int) -> None:
    """Give an engine so many commands; what it refuses is part of the day."""
    price, resting = AAPL.price_units("228"), [""]
    for number in range(count):
        drawn = rng.random()
        with contextlib.suppress(TradingError):
            if drawn < 0.75:
                price = max(price + rng.randint(-30, 30), 100)
                late = rng.randint(1, 4 * SECOND) if rng.random() < 0.2 else 0
                moment = time.time_ns() - late
                engine.command(Tick(0, "AAPL", price, rng.randint(1, 99), event_time=moment))
            elif drawn < 0.83:
                side, size = rng.choice(("BUY", "SELL")), rng.randint(1, 9)
                engine.submit(OrderRequest("ACC", "AAPL", side, size, "MARKET"))
            elif drawn < 0.9:
                limit = str(AAPL.price(price - rng.randint(0, 200)))
                asked = OrderRequest("ACC", "AAPL", "BUY", rng.randint(1, 9), "LIMIT", limit)
                resting.append(engine.submit(asked))
            elif drawn < 0.94:
                engine.replace(rng.choice(resting), quantity=rng.randint(1, 9))
            elif drawn < 0.97:
                engine.cancel(rng.choice(resting))
            else:
                limits = Limits(max_order_quantity=rng.randint(3, 20))
                name = f"limits {rng.randint(0, 10**9)} {number}"
                engine.set_limits(limits, requested_by="ann", approved_by=name)


def main() -> int:
    what, login, seed = sys.argv[1:]
    with StoreClient(**json.loads(login)) as store:
        if what == "fold":
            recorded = read_run(store, "ACC", RUN)
            found = verify_run(recorded, recipe(recorded), store)
            print(found.digest if found else found.text())  # noqa: T201
            return 0
        with engine(store) as running:
            act(running, random.Random(seed), 10**9)
    return 0


if __name__ == "__main__":
    sys.exit(main())
