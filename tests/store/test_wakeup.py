"""Waiting for notifications."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from store.database.wakeup import CHANNEL, Waiter
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
