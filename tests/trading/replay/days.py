"""Random days: orders, brackets, late ticks, limits, busts and corrections, quiet stretches."""

from __future__ import annotations

import random
from typing import Any

import msgspec
import numpy as np

from tests.trading.runs import AAPL, MONEY, MSFT, START, Flipper, TickBuyer, journal
from trading.brokers import PaperBroker, PerShare
from trading.journal.inputs import (
    Bar,
    CashDividend,
    DefineInstrument,
    OpenAccount,
    OrderTerms,
    SetLimits,
    Submit,
)
from trading.journal.reports import FillBusted, FillCorrected, OrderAccepted, OrderFilled
from trading.kernel import Kernel, Settings, TickColumns
from trading.replay.run_journal import Recipe
from trading.replay.tape import Piece, Tape
from trading.risk import Limits
from trading.times import MINUTE, SECOND

OPENING = (
    DefineInstrument(START, AAPL),
    DefineInstrument(START, MSFT),
    OpenAccount(START, "ACC", "USD", (("USD", 1_000_000 * MONEY),), "trader"),
)


def limits_at(time: int, number: int, rng: random.Random) -> SetLimits:
    limits = Limits(max_order_quantity=rng.randint(5, 80), max_daily_loss=rng.choice((None, 500)))
    text = msgspec.json.encode(limits).decode()
    return SetLimits(time, f"l{number}", "ann", "bob", "ACC", f"limits-{number}", text, time)


def paper_day(seed: int, count: int = 12) -> tuple[Tape, Recipe]:
    """A day with simulated fills: commands of all kinds, late ticks, changes of limits."""
    rng = random.Random(seed)
    pieces: list[Any] = []
    for number, event in enumerate(journal(seed, count, ticks=30)):
        if isinstance(event, TickColumns) and rng.random() < 0.4:
            late = rng.randint(0, 3) * MINUTE // 2
            event.event_times = np.where(
                np.arange(len(event)) % 5 == 0, event.times - late, event.times
            )
        pieces.append(event)
        if rng.random() < 0.15 and not isinstance(event, TickColumns):
            pieces.append(limits_at(event.time, number, rng))
            pieces.append(CashDividend(event.time, "AAPL", rng.randint(1, 9) * MONEY // 10))
    recipe = Recipe(
        "ACC",
        "paper:random",
        Settings(run="paper:random", bar_memory=5 * MINUTE, check_invariants=seed % 7 == 0),
        PaperBroker("tick", PerShare("0.005", "1.00")),
        [Flipper(), TickBuyer("ticks")],
    )
    return Tape(pieces, (AAPL, MSFT), opening=OPENING, account="ACC", name=f"day {seed}"), recipe


def venue_day(seed: int, count: int = 40) -> tuple[Tape, Recipe]:
    """A day at a venue, whose reports are inputs: fills late and twice, busts, corrections."""
    rng = random.Random(seed)
    pieces: list[Piece] = []
    now, number, last = START + SECOND, 3, 20_000
    fills: list[OrderFilled] = []
    for at in range(count):
        size = rng.randint(1, 12)
        times = now + np.cumsum(np.array([rng.randint(0, 4) * SECOND for _ in range(size)]))
        prices = np.maximum(last + np.cumsum([rng.randint(-9, 9) for _ in range(size)]), 10)
        late = np.where(np.arange(size) % 4 == 3, rng.randint(0, 90) * SECOND, 0)
        pieces.append(
            TickColumns(
                ["AAPL"], times, np.zeros(size, int), prices, np.full(size, 10), None, None,
                times - late,
            )
        )  # fmt: skip
        now, last = int(times[-1]), int(prices[-1])
        number += size + 1
        side = rng.choice((1, -1))
        terms = OrderTerms(
            "ACC", "hand", "AAPL", side, rng.randint(1, 30), "LIMIT", last, None, "GTC"
        )
        pieces.append(Submit(now, f"c{at}", "trader", "ORDER", (terms,)))
        order_id = f"{number}-1"
        now += rng.randint(0, 2) * SECOND
        told: list[Any] = [OrderAccepted(now, "ACC", order_id)]
        filled = OrderFilled(
            now, "ACC", order_id, f"f{at}", rng.randint(1, terms.quantity), last,
            rng.randint(0, 3) * MONEY // 100, now - rng.randint(0, 3) * SECOND,
        )  # fmt: skip
        told.append(filled)
        fills.append(filled)
        if rng.random() < 0.2:
            told.append(filled)
        if rng.random() < 0.25:
            old = rng.choice(fills)
            told.append(FillBusted(now, "ACC", old.fill_id, "a wrong price"))
        elif rng.random() < 0.2:
            old = rng.choice(fills)
            told.append(
                FillCorrected(now, "ACC", old.fill_id, f"k{at}", old.quantity, old.price + 5, 0)
            )
        if rng.random() < 0.2:
            told.append(limits_at(now, at, rng))
        pieces += told
        number += len(told)
    recipe = Recipe("ACC", "live", Settings(run="live", bust_memory=60 * MINUTE), None, [Flipper()])
    return Tape(pieces, (AAPL, MSFT), opening=OPENING, account="ACC", name=f"venue {seed}"), recipe


def day(seed: int) -> tuple[Tape, Recipe]:
    return paper_day(seed) if seed % 2 else venue_day(seed)


def folded(tape: Tape, recipe: Recipe) -> tuple[str, list[Any]]:
    """Digest and outputs of the whole tape, straight through one kernel."""
    kernel: Kernel = recipe.kernel()
    outputs: list[Any] = []
    for event in (*tape.opening, *tape.pieces):
        outputs += kernel.step(event)  # type: ignore[arg-type]
    return kernel.digest, outputs


def bar_of(time: int, price: int) -> Bar:
    return Bar(time, "AAPL", MINUTE, time - MINUTE, time, price, price + 3, price - 3, price + 1, 9)
