"""The same journal says the same: other process, other hash seed, other batches, any snapshot."""

from __future__ import annotations

import os
import random
import subprocess
import sys

import pytest

from tests.processes import ROOT
from tests.trading.fill_models import MODELS, run
from tests.trading.runs import fold, journal, kernel, paper, rechunked, said
from trading.errors import SnapshotError
from trading.journal import decode_input, decode_output, encode
from trading.journal.digest import BLOCK
from trading.journal.inputs import Clock
from trading.journal.outputs import FillBooked, MatchMade
from trading.kernel import TickColumns


@pytest.mark.parametrize("model", MODELS)
def test_other_batches(model: str) -> None:
    events = journal(11, 120)
    one = run(MODELS[model]())
    whole = fold(one, events)
    for seed in range(4):
        other = run(MODELS[model]())
        assert said(fold(other, rechunked(events, random.Random(seed)))) == said(whole)
        assert other.digest == one.digest
    if model != "effects":
        assert any(isinstance(each, FillBooked) for each in whole)
        assert any(isinstance(each, MatchMade) for each in whole)


def test_from_each_of_fifty_snapshots() -> None:
    events = rechunked(journal(3, 150), random.Random(1))
    one = run(MODELS["queue"]())
    snapshots, places = [], sorted(random.Random(2).sample(range(1, len(events)), 50))
    for at, event in enumerate(events):
        if at in places:
            snapshots.append((at, one.snapshot()))
        one.step(event)
    assert len(snapshots) == 50
    for at, data in snapshots:
        other = run(MODELS["queue"]())
        other.restore(data)
        assert other.snapshot() == data
        fold(other, events[at:])
        assert other.digest == one.digest, at
        assert other.positions == one.positions


PROGRAM = """
import sys
sys.path.insert(0, {root!r})
from tests.trading.fill_models import MODELS, run
from tests.trading.runs import fold, journal
made = run(MODELS[{model!r}]())
fold(made, journal(21, 60))
print(made.digest, made.outputs)
"""


@pytest.mark.parametrize("model", ["tick", "intrabar"])
def test_other_processes_and_hash_seeds(model: str) -> None:
    made = run(MODELS[model]())
    fold(made, journal(21, 60))
    for hash_seed in ("0", "1", "4242"):
        answer = subprocess.run(
            [sys.executable, "-c", PROGRAM.format(root=str(ROOT), model=model)],
            env=os.environ | {"PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
            timeout=300,
        )
        assert answer.stdout.split() == [made.digest, str(made.outputs)]


def test_inputs_and_outputs_survive_their_bytes() -> None:
    events = journal(31, 60)
    made = run(MODELS["tick"]())
    for event in events:
        given = event.to_batch() if isinstance(event, TickColumns) else event
        assert decode_input(encode(given)) == given
        for output in made.step(event):
            assert decode_output(encode(output)) == output


def test_a_digest_that_is_asked_for_after_each_input_is_the_same() -> None:
    events = journal(3, 150)
    asked, quiet = (run(MODELS["queue"]()) for _ in range(2))
    digests = []
    for event in events:
        asked.step(event)
        digests.append(asked.digest)
    fold(quiet, events)
    assert asked.outputs > 2 * BLOCK
    assert digests[-1] == quiet.digest
    # Goes on from a snapshot in the middle of a block, asked or not.
    half = len(events) // 2
    other = run(MODELS["queue"]())
    fold(other, events[:half])
    assert other.digest == digests[half - 1]
    data = other.snapshot()
    fold(other, events[half:])
    other.restore(data)
    assert other.digest == digests[half - 1]


def test_one_different_fill_is_another_digest() -> None:
    events = journal(41, 40)
    digests = set()
    for slippage in (None, "1 tick"):
        made = run(paper("tick", slippage=slippage))
        fold(made, events)
        digests.add(made.digest)
    assert len(digests) == 2


def test_a_snapshot_that_does_not_fit_is_refused() -> None:
    made = run(MODELS["tick"]())
    fold(made, journal(5, 10))
    data, before = made.snapshot(), made.digest
    with pytest.raises(SnapshotError, match="other broker"):
        run(MODELS["queue"]()).restore(data)
    with pytest.raises(SnapshotError, match="other settings"):
        run(MODELS["tick"](), prefix="x").restore(data)
    with pytest.raises(SnapshotError, match="other strategies"):
        kernel(MODELS["tick"](), bust_memory=10**18).restore(data)
    with pytest.raises(SnapshotError, match="damaged"):
        made.restore(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(SnapshotError, match="version 9"):
        made.restore(data[:3] + b"\x09" + data[4:])
    with pytest.raises(SnapshotError, match="no snapshot"):
        made.restore(b"")
    assert made.digest == before
    made.step(Clock(made.now + 1))


def test_strategies_begin_at_the_first_tick_however_it_comes() -> None:
    events = journal(751530, 30)
    one, other = run(MODELS["tick"]()), run(MODELS["tick"]())
    fold(one, events)
    for event in rechunked(events, random.Random(751530)):
        other.step(event)
    assert other.digest == one.digest
