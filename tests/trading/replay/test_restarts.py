"""A day whose engine was killed and closed on the way: every replay of it is the same."""

from __future__ import annotations

import json
import random
import signal
import sys

import pytest

from store.client import StoreClient
from tests.processes import Process, wait_until
from tests.store.desk import Desk, password_of
from tests.store.fixtures import alice, desk
from tests.trading.replay import random_day
from tests.trading.replay.recorded import RUN
from tests.trading.verified import await_verified
from trading.engine import EngineSnapshot, LimitsRecord
from trading.journal import outputs as said
from trading.replay import read_run, run_names, verify_run
from trading.replay.player import Player
from trading.replay.run_journal import Recipe, RecordedRun
from trading.replay.session import SessionState
from trading.replay.sessions import ReplaySessions
from trading.replay.tape import Tape

__all__ = ["alice", "desk"]

LONG = 120
SPEEDS = (None, 1_000.0, 20.0)


def process(desk: Desk, what: str, seed: int) -> Process:
    login = json.dumps({"user": "alice", "password": password_of("alice"), **desk.info})
    module = "tests.trading.replay.random_day"
    return Process(sys.executable, "-m", module, what, login, str(seed))


def traded(desk: Desk, store: StoreClient, seed: int) -> str:
    """Let an engine be killed, another one go on and be closed, and a third one; its digest."""
    rng = random.Random(seed)
    killed = process(desk, "trade", seed)
    wanted = rng.randint(30, 60)
    wait_until(
        lambda: (
            killed.child.poll() is not None
            or any(each.groups >= wanted for each in run_names(store))
        ),
        300,
        f"{wanted} groups of a run; {killed.output}",
    )
    assert killed.end(signal.SIGKILL) == -signal.SIGKILL, killed.output
    with random_day.engine(store) as engine:
        random_day.act(engine, rng, 50)
    with random_day.engine(store) as engine:
        random_day.act(engine, rng, 30)
    # Closing says no more than what was said: the digest is that of the last group.
    return read_run(store, "ACC", RUN).digest


def check_sessions(recorded: RecordedRun, recipe: Recipe) -> None:
    """At each speed the same is said and shown."""
    with ReplaySessions() as sessions:
        shown = []
        for speed in SPEEDS:
            session = sessions.create(Tape.of_run(recorded), recipe=recipe, speed=speed)
            session.play()
            assert session.wait(SessionState.FINISHED, LONG)
            assert session.digest == recorded.digest, speed
            shown.append(session.shown())
        assert shown == [shown[0]] * len(SPEEDS)


def check_player(recorded: RecordedRun, recipe: Recipe, rng: random.Random) -> None:
    """From the beginning, from each snapshot, and to each moment."""
    tape = Tape.of_run(recorded)
    player = Player(tape, recipe.kernel)
    player._every = 17
    moments = []
    while not player.at_end:
        player.play_until(player.time + rng.randint(1, (tape.end - tape.start) // 12 + 1))
        moments.append(player.shown())
    assert player.kernel.digest == recorded.digest
    assert len(player._saved) > 3
    for saved in player._saved:
        kernel = player._restored(saved.kernel)
        for event in tape.between(saved.position, len(tape)):
            kernel.step(event)  # type: ignore[arg-type]
        kernel.advance(player.time)
        assert kernel.digest == recorded.digest
    for shown in rng.sample(moments, min(6, len(moments))):
        player.seek_time(shown.time)
        assert player.shown() == shown
        fresh = Player(tape, recipe.kernel)
        fresh.play_until(shown.time)
        assert fresh.shown() == shown


def check_day(desk: Desk, store: StoreClient, seed: int) -> None:
    digest = traded(desk, store, seed)
    elsewhere = process(desk, "fold", seed)
    recorded = read_run(store, "ACC", RUN)
    recipe = random_day.recipe(recorded)
    assert recorded.digest == digest
    found = verify_run(recorded, recipe, store)
    assert found, found.text()
    kernel = recipe.kernel()
    outputs = [out for each in recorded.inputs() for out in kernel.step(each.event)]
    kinds = {type(each) for each in outputs}
    assert {said.FillBooked, said.BarClosed, said.OrderEvent} <= kinds
    assert store.count(LimitsRecord) > 0
    assert store.query(EngineSnapshot)[0]._store_version > 1  # type: ignore[operator]
    check_player(recorded, recipe, random.Random(seed))
    check_sessions(recorded, recipe)
    assert elsewhere.wait(300) == 0, elsewhere.output
    assert elsewhere.output.strip() == digest
    with random_day.engine(store) as engine:
        await_verified(engine)


def test_a_day_with_a_kill_is_replayed_as_it_was(desk: Desk, alice: StoreClient) -> None:
    check_day(desk, alice, 5)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(100, 120))
def test_many_days_with_a_kill(desk: Desk, alice: StoreClient, seed: int) -> None:
    check_day(desk, alice, seed)
