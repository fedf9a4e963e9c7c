"""Engine, exchange, PostgreSQL and the link fail at random; after each round both sides agree."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.trading.engine.world import (
    OPTIONS,
    Traders,
    World,
    own_desk,
    seed_of_run,
)
from tests.trading.exchange.process import ExchangeProcess

ROUNDS = int(os.environ.get("ENGINE_ROUNDS", "1000"))
# A world is as old as this many rounds: to compare all of a long history takes longer each time.
_ROUNDS_A_WORLD = 50


@pytest.fixture(scope="module")
def traders() -> Iterator[Traders]:
    with tempfile.TemporaryDirectory() as folder:
        found = Traders(Path(folder))
        yield found
        found.close()


def play(traders: Traders, folder: Path, seed: int, rounds: int | None = None) -> None:
    """Rounds in a new world: one of each kind in a random order, or so many random ones."""
    folder.mkdir(exist_ok=True)
    with own_desk() as own, ExchangeProcess(folder, *OPTIONS) as exchange:
        world = World(own, exchange, seed, traders)
        names = sorted(world.disturbances)
        world.chance.shuffle(names)
        if rounds is not None:
            names = world.chance.choices(names, k=rounds)
        for name in names:
            world.round(name)
            world.agree(verify=name == names[-1])
        world.close()


@pytest.mark.timeout(600)
def test_nothing_is_lost_or_doubled_by_any_fault(traders: Traders, tmp_path: Path) -> None:
    play(traders, tmp_path / "world", seed_of_run())


@pytest.mark.long
@pytest.mark.timeout(0)
def test_nothing_is_lost_or_doubled_in_a_thousand_rounds(traders: Traders, tmp_path: Path) -> None:
    seed = seed_of_run()
    for number in range(0, ROUNDS, _ROUNDS_A_WORLD):
        rounds = min(_ROUNDS_A_WORLD, ROUNDS - number)
        play(traders, tmp_path / f"world-{number}", seed + number, rounds)
        print(f"{number + rounds} rounds")  # noqa: T201 - how far a long test has come
