"""What recorded journals said when they were recorded is what the kernel says of them today.

A change of these digests is a change of what runs mean: say so in the change log, and record them
anew with `python -m tests.trading.test_recorded_digests`.
"""

from __future__ import annotations

import json
import random
from pathlib import Path

import msgspec
import pytest

from tests.trading.fill_models import MODELS, run
from tests.trading.runs import AAPL, MONEY, MSFT, START, Event, fold, journal, kernel, paper
from trading.brokers import PerShare
from trading.journal.inputs import (
    DefineInstrument,
    OpenAccount,
    OrderTerms,
    SetAtr,
    SetLimits,
    SetRate,
    Submit,
    Tick,
)
from trading.kernel import Kernel
from trading.risk import Cluster, Limits
from trading.specification import specify
from trading.times import SECOND

RECORDED = Path(__file__).with_name("recorded_digests.json")
SYMBOLS = ("AAPL", "MSFT", "SAP", "SONY")


def limits(number: int) -> Limits:
    """Tighter and tighter limits of every kind, so that every rule refuses some orders."""
    return Limits(
        symbols=None if number % 4 else SYMBOLS[:3],
        max_order_quantity=90,
        max_order_notional=22_000,
        max_order_equity_share="0.3",
        price_collar="0.05",
        max_position=250 - 20 * number,
        max_symbol_notional=60_000,
        max_gross_exposure=130_000 - 9_000 * number,
        max_net_exposure=90_000 - 6_000 * number,
        max_strategy_notional=110_000,
        max_daily_loss=4_000,
        drawdown_steps=(("0.01", "0.7"), ("0.03", "0.4")),
        clusters=(Cluster("phones", ("AAPL", "SONY"), "40000"),),
        max_portfolio_heat="0.04",
        max_orders=6,
        order_window=3 * SECOND,
        duplicate_window=SECOND,
    )


def limited(seed: int, broker: str = "tick") -> tuple[Kernel, list[Event]]:
    """Four symbols in three currencies, two accounts, limits that change, rates that go."""
    rng = random.Random(seed)
    specs = (AAPL, MSFT, specify("SAP", currency="EUR"), specify("SONY", currency="JPY"))
    made = kernel(paper(broker, commission=PerShare("0.005", "1.00")), specs=specs, cash=100_000)
    events: list[Event] = [
        OpenAccount(START, "EUR", "EUR", (("EUR", 50_000 * MONEY), ("USD", 10_000 * MONEY)), "eva"),
        SetRate(START, "USD", 1, 1),
        SetRate(START, "EUR", 11, 10),
        SetRate(START, "JPY", 67, 10_000),
        DefineInstrument(START, specs[0]),
    ]
    last = {"AAPL": 20_000, "MSFT": 40_000, "SAP": 12_000, "SONY": 1_300_000}
    events += [SetAtr(START, symbol, price // 40) for symbol, price in last.items()]
    now = START
    for number in range(600):
        now += rng.randint(1, 400) * SECOND // 1_000
        spec = rng.choice(specs)
        symbol, step = spec.symbol, spec.price_increment
        last[symbol] += rng.randint(-60, 60) * step * (100 if symbol == "SONY" else 1)
        events.append(Tick(now, symbol, last[symbol], rng.randint(1, 300)))
        account = rng.choice(("ACC", "ACC", "EUR"))
        side, kind = rng.choice((1, -1)), rng.choice(("MARKET", "MARKET", "LIMIT"))
        near = last[symbol] - side * rng.randint(0, 30) * step
        terms = OrderTerms(
            *(
                account,
                rng.choice(("a", "b")),
                symbol,
                side,
                rng.choice((10, 10, 20, rng.randint(1, 99))),
                kind,
            ),
            *(near // step * step if kind == "LIMIT" else None, None, "GTC"),
        )
        events.append(Submit(now, f"k{number}", "t", "ORDER", (terms,)))
        if number % 60 == 30:
            text = msgspec.json.encode(limits(number // 60)).decode()
            for each in ("ACC", "EUR"):
                events.append(
                    SetLimits(now, "", "ann", "bob", each, f"L{number}", text, 0, now + 60 * SECOND)
                )
        if number % 97 in (90, 96):
            events.append(SetRate(now, "JPY", 67 * (number % 97 == 96), 10_000))
    return made, events


def digests() -> dict[str, str]:
    found = {}
    for model, broker in MODELS.items():
        made = run(broker(), bar_interval=0)
        fold(made, journal(11, 120))
        found[f"orders {model}"] = made.digest
        made = run(broker())
        fold(made, journal(12, 120))
        found[f"bars {model}"] = made.digest
    for seed in (1, 2, 3):
        made, events = limited(seed)
        fold(made, events)
        found[f"limits {seed}"] = made.digest
    return found


def test_recorded_digests() -> None:
    assert digests() == json.loads(RECORDED.read_text("utf-8"))


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_recorded_journal_of_limits_passes_and_refuses(seed: int) -> None:
    made, events = limited(seed)
    codes = [
        output.code for output in fold(made, events) if type(output).__name__ == "RiskDecision"
    ]
    assert len(set(codes)) >= 8, sorted(set(codes))
    assert codes.count("OK") >= 50


if __name__ == "__main__":
    RECORDED.write_text(json.dumps(digests(), indent=1) + "\n", "utf-8")
