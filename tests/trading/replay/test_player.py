"""Whatever way leads to a moment, the same is shown there, and the same was said."""

from __future__ import annotations

import os
import random
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.trading.replay.days import day, folded, paper_day, venue_day
from tests.trading.replay.recorded import walk
from trading.errors import ReplayError
from trading.journal import outputs as said
from trading.replay import player as player_module
from trading.replay.player import Player
from trading.replay.sessions import session_recipe
from trading.replay.tape import Tape

# Three by default, 60 in the nightly profile.
EXAMPLES = 3 * settings.default.max_examples // 100  # type: ignore[attr-defined]


def player_of(seed: int, every: int = 0) -> tuple[Player, str]:
    tape, recipe = day(seed)
    made = Player(tape, recipe.kernel)
    if every:
        made._every = every
    return made, folded(tape, recipe)[0]


def test_the_days_have_what_they_are_for() -> None:
    kinds = set()
    for seed in range(8):
        kinds |= {type(each).__name__ for each in folded(*day(seed))[1]}
    assert kinds >= {
        *("FillTakenBack", "MatchVoided", "TickLate", "LimitsChanged", "MatchMade", "BarClosed"),
        *("SignalMade", "OrderChanged", "RiskDecision", "FillBooked", "CashMoved"),
    }


@settings(max_examples=EXAMPLES)
@given(seed=st.integers(0, 10_000), chunk=st.integers(1, 200), every=st.sampled_from((7, 40, 500)))
def test_any_batches_and_any_snapshots_say_the_same(seed: int, chunk: int, every: int) -> None:
    player, digest = player_of(seed, every)
    rng = random.Random(seed)
    while not player.at_end:
        if rng.random() < 0.5:
            player.play_rows(player.position + rng.randint(1, chunk))
        else:
            # The clock goes on between ticks, as it does when it is played at a speed.
            player.play_until(player.time + rng.randint(1, 40 * 10**9))
    assert player.kernel.digest == digest
    whole = player.shown()
    for saved in rng.sample(player._saved, min(4, len(player._saved))):
        kernel = player._restored(saved.kernel)
        for event in player.tape.between(saved.position, len(player.tape)):
            kernel.step(event)  # type: ignore[arg-type]
        kernel.advance(player.time)
        assert kernel.digest == digest
    player.seek_row(0)
    player.seek_time(player.until)
    assert player.shown() == whole


@settings(max_examples=EXAMPLES)
@given(seed=st.integers(0, 10_000), every=st.sampled_from((5, 31, 10_000)))
def test_seeking_shows_what_was_shown(seed: int, every: int) -> None:
    rng = random.Random(seed)
    player, _ = player_of(seed, every)
    then = []
    while not player.at_end:
        player.play_until(player.time + rng.randint(1, 120 * 10**9))
        then.append(player.shown())
    for shown in rng.choices(then, k=6):
        player.seek_time(shown.time)
        assert player.shown() == shown
    tape = player.tape
    fresh, _ = player_of(seed)
    for position in [0, len(tape), *(rng.randint(0, len(tape)) for _ in range(3))]:
        player.seek_row(position)
        fresh.seek_row(0)
        fresh.play_rows(position)
        assert player.shown() == fresh.shown()


@pytest.mark.parametrize("what", ["tick", "bar", "order"])
def test_steps_end_at_what_they_are_for(what: str) -> None:
    tape, recipe = paper_day(5)
    player = Player(tape, recipe.kernel)
    digest, outputs = folded(tape, recipe)
    bars = orders = 0
    moments = []
    while not player.at_end:
        before, position = player.shown(), player.position
        outputs_now = player.step(what).outputs
        moments.append(player.shown())
        if what == "tick":
            assert player.position == position + 1 or player.at_end
            continue
        wanted = said.BarClosed if what == "bar" else player_module._ORDERS
        found = [each for each in outputs_now if isinstance(each, wanted)]
        assert found or player.at_end
        bars, orders = bars + (what == "bar" and bool(found)), orders + len(found)
        assert player.shown().outputs == before.outputs + len(outputs_now)
    assert player.kernel.digest == digest
    for shown in random.Random(1).choices(moments, k=12):
        player.seek_moment(shown.position, shown.time)
        assert player.shown() == shown
    if what == "order":
        assert orders == sum(isinstance(each, player_module._ORDERS) for each in outputs)
    if what == "bar":
        assert 3 < bars <= sum(isinstance(each, said.BarClosed) for each in outputs)
    with pytest.raises(ReplayError, match="tick, bar, order"):
        player.step("day")


def test_a_bar_is_there_at_its_end_and_not_at_the_next_tick() -> None:
    start = 1_700_000_040 * 10**9
    early, late = walk(1, 30, start=start), walk(2, 5, start=start + 300 * 10**9)
    tape = Tape.of_data(_table(early, late))
    player = Player(tape, session_recipe(tape, "replay:t").kernel)
    player.play_until(start + 59 * 10**9)
    assert not player.shown().bars
    assert len(player.shown().working) == 1
    assert player.due == start + 60 * 10**9
    player.play_until(start + 60 * 10**9)
    [bar] = player.shown().bars
    assert (bar.end, bar.count) == (start + 60 * 10**9, 30)


def _table(*parts: object) -> object:
    import pyarrow as pa

    times = np.concatenate([each.times for each in parts])  # type: ignore[attr-defined]
    prices = np.concatenate([each.prices for each in parts]) / 100  # type: ignore[attr-defined]
    return pa.table(
        {
            "timestamp": pa.array(times).cast(pa.timestamp("ns", "UTC")),
            "symbol": ["AAPL"] * len(times),
            "price": prices,
            "size": np.ones(len(times), int),
        }
    )


OTHER_PROCESS = """
from tests.trading.replay.days import day
from trading.replay.player import Player

for seed in (3, 4):
    tape, recipe = day(seed)
    player = Player(tape, recipe.kernel)
    player.seek_row(len(tape) // 2)
    player.seek_row(len(tape) // 3)
    player.play_until(player.until)
    print(player.kernel.digest)
"""


def test_another_process_says_the_same() -> None:
    digests = [folded(*day(seed))[0] for seed in (3, 4)]
    found = subprocess.run(
        [sys.executable, "-c", OTHER_PROCESS],
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
        env={**os.environ, "PYTHONHASHSEED": "77", "PYTHONPATH": "."},
    )
    assert found.stdout.split() == digests


def test_tapes_that_are_none() -> None:
    tape, _ = venue_day(2)
    with pytest.raises(ReplayError, match="earlier than the one before"):
        Tape(reversed(tape.pieces), tape.specs)
    with pytest.raises(ReplayError, match="nothing to play"):
        Tape([], tape.specs)
