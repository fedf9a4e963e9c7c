"""The nightly profile: a million random events through kernels that check their books."""

from __future__ import annotations

import os
import random
import sys

import pytest

from tests.trading.runs import Flipper, TickBuyer, fold, journal, kernel, paper, rechunked, said
from trading.brokers import FillModel
from trading.kernel import Kernel, TickColumns

EVENTS = int(os.environ.get("RANDOM_EVENTS", "1_000_000"))
BROKERS = (
    lambda: paper("tick", slippage="1 tick"),
    lambda: paper(FillModel("tick", touch="0.4", queue=30, volume_share="0.5"), seed=3),
    lambda: paper("tick", latency=300_000_000),
    lambda: paper(FillModel("intrabar", path="nearest", volume_share="0.3")),
    lambda: paper("next_close", slippage="5 bps"),
)


def run(number: int) -> Kernel:
    return kernel(
        BROKERS[number % len(BROKERS)](),
        strategies=[Flipper(), TickBuyer("ticks")],
        check_invariants=True,
        bust_memory=3_600 * 10**9,
    )


def count(events: list[object]) -> int:
    return sum(len(each) if isinstance(each, TickColumns) else 1 for each in events)


@pytest.mark.long
def test_a_million_random_events() -> None:
    done, seed = 0, random.SystemRandom().randrange(10**6)
    while done < EVENTS:
        sys.stdout.write(f"seed {seed}, {done:,} events done\n")
        events = journal(seed, 400)
        one, other = run(seed), run(seed)
        whole = fold(one, events)
        half = rechunked(events, random.Random(seed))
        place = random.Random(seed).randrange(len(half))
        outputs = fold(other, half[:place])
        third = run(seed)
        third.restore(other.snapshot())
        outputs += fold(third, half[place:])
        # Digests: a picture of the difference of two long texts takes minutes.
        assert third.digest == one.digest, seed
        assert len(said(outputs)) == len(said(whole)), seed
        assert not one._host.stopped, seed
        done += 2 * count(list(events))
        seed += 1
