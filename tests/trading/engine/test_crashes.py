"""Engine, exchange, PostgreSQL and the link fail at random; after each round both sides agree."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.trading.engine.rounds import play, run_worlds
from tests.trading.engine.world import Traders, seed_of_run

ROUNDS = int(os.environ.get("ENGINE_ROUNDS", "1000"))
JOBS = int(os.environ.get("ENGINE_JOBS", "1"))


@pytest.fixture(scope="module")
def traders() -> Iterator[Traders]:
    with tempfile.TemporaryDirectory() as folder:
        found = Traders(Path(folder))
        yield found
        found.close()


@pytest.mark.timeout(600)
def test_nothing_is_lost_or_doubled_by_any_fault(traders: Traders, tmp_path: Path) -> None:
    """Ten of the kinds of faults, each once; the seed says which, and in which order."""
    play(traders, tmp_path / "world", seed_of_run(), 10, different=True)


@pytest.mark.long
@pytest.mark.timeout(0)
def test_nothing_is_lost_or_doubled_in_a_thousand_rounds() -> None:
    failed = run_worlds(ROUNDS, JOBS, seed_of_run())
    assert not failed, "\n".join(failed)
