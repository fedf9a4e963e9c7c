"""Waiting for notifications."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from store.database.wakeup import CHANNEL, IDLE_SECONDS_MAX, LOOK_SECONDS, Pace, Waiter
from store.models import Trade
from tests.store.desk import Desk

SECONDS = 30


@pytest.fixture
def waiter() -> Iterator[Waiter]:
    waiter = Waiter()
    yield waiter
    waiter.close()


def test_a_notification_that_came_with_an_answer_is_not_waited_for(
    desk: Desk, waiter: Waiter
) -> None:
    listening, other = desk.login("alice"), desk.login("bob")
    begun = time.monotonic()
    with listening.cursor() as cursor:
        cursor.execute(f"LISTEN {CHANNEL}")
        with other.cursor() as sender:
            sender.execute(f"NOTIFY {CHANNEL}")
        while not listening.notifies:
            # Heard of beside the answer: the socket has nothing more to say.
            assert time.monotonic() < begun + SECONDS
            cursor.execute("SELECT 1")
    begun = time.monotonic()
    assert waiter.wait(listening, SECONDS)
    assert time.monotonic() < begun + SECONDS / 2
    assert not waiter.wait(listening, 0.01)


def test_a_wait_ends_when_it_is_woken(desk: Desk, waiter: Waiter) -> None:
    begun = time.monotonic()
    waking = threading.Timer(0.05, waiter.wake)
    waking.start()
    assert not waiter.wait(desk.login("alice"), SECONDS)
    waiter.sleep(SECONDS)
    assert time.monotonic() < begun + SECONDS / 2
    waking.join()


def test_commits_wake_at_the_end_of_a_block(
    desk: Desk, waiter: Waiter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("store.database.wakeup.NOTIFY_SECONDS", 0.0)
    listening, alice = desk.login("bob"), desk.client("alice")
    with listening.cursor() as cursor:
        cursor.execute(f"LISTEN {CHANNEL}")
    with alice.waking_later():
        alice.write(Trade(symbol="AAPL", quantity=1, price=228.0, side="BUY"))
        with alice.transaction():
            alice.write(Trade(symbol="AAPL", quantity=2, price=228.0, side="BUY"))
        assert not waiter.wait(listening, 0.05)
    assert waiter.wait(listening, SECONDS)
    alice.write(Trade(symbol="AAPL", quantity=3, price=228.0, side="BUY"))
    assert waiter.wait(listening, SECONDS)
    with alice.waking_later():
        pass
    assert not waiter.wait(listening, 0.05)
    with alice.waking_later(wakes=False):
        alice.write(Trade(symbol="AAPL", quantity=4, price=228.0, side="BUY"))
    assert not waiter.wait(listening, 0.05)
    alice.write(Trade(symbol="AAPL", quantity=5, price=228.0, side="BUY"))
    assert waiter.wait(listening, SECONDS)


def test_the_pause_grows_with_the_time_in_which_nothing_was_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    pace = Pace()
    pauses, looks = [], 0
    while now < 160.0:
        pauses.append(pace.pause())
        now += pauses[-1]
        looks += now >= 150.0
    assert pauses[0] == LOOK_SECONDS, "close looking at first"
    assert pauses == sorted(pauses)
    assert pauses[-1] == IDLE_SECONDS_MAX
    assert looks <= 11, "ten seconds of an idle listener"
    pace.found()
    assert pace.pause() == LOOK_SECONDS


def test_an_event_without_a_notification_comes_within_a_part_of_the_quiet_time() -> None:
    for quiet_seconds in (0.05, 0.5, 2.0, 10.0, 100.0):
        pace = Pace()
        pace._found_at -= quiet_seconds
        waited = pace.pause()
        assert waited <= max(LOOK_SECONDS, 0.051 * quiet_seconds + 0.01)
        assert waited <= IDLE_SECONDS_MAX
