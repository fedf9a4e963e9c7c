"""Engine, exchange, PostgreSQL and the link fail at random; after each round both sides agree."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.processes import wait_until
from tests.store.desk import Desk
from tests.store.fixtures import desk, store_server
from tests.trading.engine.trader import LEASE_S
from tests.trading.engine.world import (
    OPTIONS,
    Traders,
    World,
    own_desk,
    seed_of_run,
    wait,
)
from tests.trading.exchange.process import ExchangeProcess

__all__ = ["desk", "store_server"]

ROUNDS = int(os.environ.get("ENGINE_ROUNDS", "1000"))
# A world is as old as this many rounds: to compare all of a long history takes longer each time.
_ROUNDS_A_WORLD = 50


@pytest.fixture(scope="module")
def traders() -> Iterator[Traders]:
    with tempfile.TemporaryDirectory() as folder:
        found = Traders(Path(folder))
        yield found
        found.close()


@pytest.fixture
def exchange(tmp_path: Path) -> Iterator[ExchangeProcess]:
    with ExchangeProcess(tmp_path, *OPTIONS) as process:
        yield process


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


def test_a_stopped_engine_is_replaced_and_can_never_write_again(
    desk: Desk, exchange: ExchangeProcess, traders: Traders
) -> None:
    world = World(desk, exchange, 1, traders)
    first = traders.start(world.config())
    second = None
    try:
        first.wait_for_output("RUNNING")
        second = traders.start(world.config())
        second.wait_for_output("STANDBY")
        first.send(signal.SIGSTOP)
        second.wait_for_output("RUNNING", 60 + LEASE_S)
        first.send(signal.SIGCONT)
        # It learns that it has lost the account, and waits for its turn.
        wait_until(lambda: "STANDBY" in first.output, 60, "the first engine's standby")
        wait(0.3)
    finally:
        for trader in (first, second):
            if trader is not None:
                trader.end(signal.SIGKILL)
    assert "FAILED" not in first.output + second.output
    world.agree()
    world.close()


def test_a_clean_stop_says_what_is_open(desk: Desk, exchange: ExchangeProcess) -> None:
    world = World(desk, exchange, 2)
    process = world.process()
    process.wait_for_output("RUNNING")
    wait(0.5)
    assert process.end(signal.SIGTERM, 60) == 0, process.output
    assert "ACC live STOPPED ACTIVE" in process.output
    world.agree()
    world.close()
