"""Rounds of faults: in worlds of their own, one after the other or several at once.

    python -m tests.trading.engine.rounds --rounds 1000 --jobs 2 [--seed 7]

A world is as old as 50 rounds: to compare all of a long history takes longer each time. A line for
each world says its seed, which plays it again; the exit status is 1 where one failed.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.trading.engine.world import OPTIONS, Traders, World, own_desk
from tests.trading.exchange.process import ExchangeProcess

ROUNDS_A_WORLD = 50


def play(traders: Traders, folder: Path, seed: int, rounds: int, *, different: bool = False) -> str:
    """Play rounds in a new world, all `different` ones or any; what they were."""
    folder.mkdir(exist_ok=True)
    with own_desk() as own, ExchangeProcess(folder, *OPTIONS) as exchange:
        world = World(own, exchange, seed, traders)
        names = sorted(world.disturbances)
        chosen = world.chance.sample if different else world.chance.choices
        names = chosen(names, k=rounds)
        for number, name in enumerate(names, 1):
            world.round(name)
            world.agree(verify=number == len(names))
        world.close()
        return str(world)


def _play_alone(seed: int, rounds: int) -> int:
    with tempfile.TemporaryDirectory() as name:
        traders = Traders(Path(name))
        try:
            play(traders, Path(name) / "world", seed, rounds)
        finally:
            traders.close()
    return 0


def run_worlds(rounds: int, jobs: int, seed: int) -> list[str]:
    """Play so many rounds in processes, `jobs` at a time; what those that failed have said."""
    failed: list[str] = []

    def one(number: int) -> None:
        begun, own = time.monotonic(), seed + number
        count = min(ROUNDS_A_WORLD, rounds - number * ROUNDS_A_WORLD)
        arguments = ("--world", str(own), "--rounds", str(count))
        child = subprocess.run(
            [sys.executable, "-m", "tests.trading.engine.rounds", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        outcome = "agreed" if child.returncode == 0 else "FAILED"
        _say(f"seed {own}: {count} rounds {outcome} in {time.monotonic() - begun:.0f} s")
        if child.returncode:
            failed.append(f"seed {own}:\n{child.stdout}")
            _say(child.stdout)

    worlds = -(-rounds // ROUNDS_A_WORLD)
    with ThreadPoolExecutor(jobs) as pool:
        list(pool.map(one, range(worlds)))
    return failed


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - how far a long run has come


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=1_000)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--seed", type=int, default=random.randint(0, 10**6))
    parser.add_argument("--world", type=int, help="play one world of this seed, in this process")
    options = parser.parse_args(arguments)
    if options.world is not None:
        return _play_alone(options.world, options.rounds)
    return 1 if run_worlds(options.rounds, options.jobs, options.seed) else 0


if __name__ == "__main__":
    sys.exit(main())
