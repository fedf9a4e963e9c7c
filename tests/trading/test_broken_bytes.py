"""Broken bytes and texts are one clear error, whatever is wrong with them."""

from __future__ import annotations

import random

import msgspec
import pytest

from tests.trading.runs import kernel, paper
from trading.errors import JournalError, SnapshotError
from trading.journal import decode_input, decode_output, encode
from trading.journal.codec import unpack
from trading.journal.inputs import OpenAccount, SetLimits, Tick
from trading.journal.outputs import Alert, CommandAnswered

DEEP = 100_000
BROKEN = {
    "empty": b"",
    "no UTF-8": b"\x95\x01\x05\xa2\xff\xfe\x01\x02",
    "nested too deep": b"\x91" * DEEP,
    "nested too deep behind good fields": encode(Tick(1, "A", 2, 3))[:-1] + b"\x91" * DEEP,
    "cut off": encode(Tick(1, "AAPL", 22825, 100))[:-3],
    "a list longer than its bytes": b"\xdd\xff\xff\xff\xff",
    "an unknown tag": msgspec.msgpack.encode([9_999, 1]),
    "a number of 5,000 digits": msgspec.msgpack.encode([1, "9" * 5_000, "A", 1, 1]),
}


@pytest.mark.parametrize("data", BROKEN.values(), ids=BROKEN.keys())
def test_broken_records_of_a_journal(data: bytes) -> None:
    for read in (decode_input, decode_output, lambda data: unpack(data, Tick)):
        with pytest.raises(JournalError, match=f"these {len(data)} bytes are no "):
            read(data)


def test_records_with_changed_bytes_are_read_or_refused() -> None:
    seed = random.SystemRandom().randrange(10**6)
    rng = random.Random(seed)
    good = [
        encode(Tick(10**18, "AAPL", 22825, 100)),
        encode(Alert(10**18, "CODE", "ACC", "1-1", "überfüllt")),
    ]
    for _ in range(20_000):
        data = bytearray(rng.choice(good))
        for _ in range(rng.randrange(1, 5)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        for read in (decode_input, decode_output):
            try:
                read(bytes(data))
            except JournalError:
                continue
            except Exception as error:
                raise AssertionError(f"seed {seed}: {bytes(data)!r}") from error


@pytest.mark.parametrize("size", range(9))
def test_a_snapshot_that_was_cut_off(size: int) -> None:
    made = kernel(paper("tick"))
    with pytest.raises(SnapshotError):
        made.restore(made.snapshot()[:size])


@pytest.mark.parametrize("text", ["", "{", "[" * DEEP, '{"max_position": "\ud800"}'])
def test_limits_that_cannot_be_read_are_refused(text: str) -> None:
    made = kernel(paper("tick"))
    made.step(OpenAccount(0, "ACC", "USD", (("USD", 10**15),), "ann"))
    [answer] = [
        output
        for output in made.step(SetLimits(1, "c", "ann", "bob", "ACC", "L", text, 0))
        if isinstance(output, CommandAnswered)
    ]
    assert answer.code == "LIMITS_REFUSED"
