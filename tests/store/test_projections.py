"""States folded from the log are the same however they came about, byte for byte."""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import threading
import time
from datetime import datetime
from typing import Any

import psycopg2
import pytest

from store import Order, Trade
from store.client import StoreClient
from store.errors import FenceTimeout, PositionError, ProjectionError
from store.position import Position
from store.projections import (
    Folded,
    Projection,
    Projector,
    keep_state,
    newest_state,
    rebuild,
    state_of,
)
from store.subscriptions import START, ChangeEvent, SubscriptionListener, SubscriptionState
from store.subscriptions.event_log import EventLog
from tests.processes import Process, at_once, wait_until
from tests.store.books import BOOK, Book, add
from tests.store.desk import Desk, password_of
from tests.store.sql import clock
from tests.store.values import early_and_late

ROUNDS = 50 if os.environ.get("HYPOTHESIS_PROFILE") == "nightly" else 3
LOGIN: Any = {"user": "alice", "password": password_of("alice")}


def trade_at_random(client: StoreClient, seed: int, count: int) -> None:
    chance = random.Random(seed)
    known: list[Trade] = []
    for _ in range(count):
        if not known or chance.random() < 0.4:
            new = [Trade(symbol=f"S{chance.randrange(5)}") for _ in range(chance.randint(1, 5))]
            client.write_many(new)
            known += new
        obj = chance.choice(known)
        obj.quantity, obj.price = chance.randint(1, 99), chance.random() * 100
        if chance.random() < 0.05:
            client.delete(obj)
            known.remove(obj)
        else:
            client.update(obj)


def replayed(client: StoreClient, until: Any = None) -> Book:
    """The whole log, folded by hand."""
    book: Book = {}
    for page in EventLog(client.conn).pages():
        for event in page.events:
            assert event.position is not None
            if isinstance(until, Position) and event.position > until:
                continue
            if isinstance(until, datetime) and event.tx_time > until:
                continue
            if event.type_name == Trade.type_name():
                book = add(book, event)
    return book


def state_is_kept(client: StoreClient) -> bool:
    log = EventLog(client.conn)
    return newest_state(client.conn, BOOK, log.epoch, None, None).events > 0


def test_now_then_and_before(alice: StoreClient) -> None:
    assert state_of(alice, BOOK) == Folded({}, EventLog(alice.conn).end(), 0, None)
    trade_at_random(alice, 1, 40)
    alice.write(Order(symbol="OTHER"))
    moment = clock(alice)
    middle = EventLog(alice.conn).page(START, 17).end
    trade_at_random(alice, 2, 40)
    for _ in range(2):
        # Again, with states that were kept meanwhile.
        for at in (None, START, middle, moment):
            found = state_of(alice, BOOK, at=at)
            expected = replayed(alice, at)
            assert BOOK.encode(found.value) == BOOK.encode(expected)
        keep_state(alice.conn, BOOK, state_of(alice, BOOK, at=middle))
        keep_state(alice.conn, BOOK, state_of(alice, BOOK))
    assert state_of(alice, BOOK, at=START).value == {}
    with pytest.raises(ProjectionError, match="as of a time"):
        keep_state(alice.conn, BOOK, state_of(alice, BOOK, at=moment))
    with pytest.raises(PositionError, match="another cluster"):
        state_of(alice, BOOK, at=Position("7", 1, 1))


def test_kept_states_are_taken_up(desk: Desk, alice: StoreClient) -> None:
    folded: list[ChangeEvent] = []

    def noted(book: Book, event: ChangeEvent) -> Book:
        folded.append(event)
        return add(book, event)

    counting = Projection("counting", {}, noted, types=["Trade"])
    trade_at_random(alice, 3, 30)
    with Projector(counting, **desk.info, **LOGIN, snapshot_events=1) as projector:
        assert projector.wait_for(EventLog(alice.conn).end())
        first = projector.state
    seen = len(folded)
    assert seen == first.events
    alice.write(Order(symbol="OTHER"))
    alice.write(Trade(symbol="S0", quantity=1))
    assert state_of(alice, counting).events == seen + 1
    assert len(folded) == seen + 1
    again = rebuild(alice, counting)
    assert len(folded) == 2 * (seen + 1)
    with Projector(counting, **desk.info, **LOGIN) as projector:
        assert projector.state.value == again.value
        assert projector.wait_for(EventLog(alice.conn).end())
    assert len(folded) == 2 * (seen + 1)
    # Another revision begins anew.
    assert state_of(alice, Projection("counting", {}, noted, revision=2)).events == seen + 2


def test_old_states_go(desk: Desk, alice: StoreClient) -> None:
    with Projector(BOOK, **desk.info, **LOGIN, snapshot_events=1, keep=3) as projector:
        for _ in range(6):
            alice.write(Trade(symbol="A", quantity=1))
            assert projector.wait_for(EventLog(alice.conn).end())
    with desk.admin().cursor() as cursor:
        cursor.execute("SELECT count(*), max(events) FROM object_store.snapshot")
        assert cursor.fetchone() == (3, 6)


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_killed_at_random_it_comes_to_the_same_state(
    desk: Desk, alice: StoreClient, seed: int
) -> None:
    chance = random.Random(seed)
    login = [json.dumps(desk.info), "alice", password_of("alice")]
    command = [sys.executable, "-m", "tests.store.books", *login]
    process = Process(*command)
    failed: list[Any] = []
    calls: list[Any] = [
        lambda n=n: trade_at_random(desk.client("alice"), seed * 10 + n, 60) for n in range(4)
    ]
    calls.append(lambda: early_and_late(desk.client("alice"), 0.7))
    writing = threading.Thread(target=lambda: failed.extend(at_once(calls)))
    try:
        process.wait_for_output("following")
        writing.start()
        for _ in range(chance.randint(1, 3)):
            process.wait_for_output("following")
            time.sleep(chance.random() / 2)
            process.end(signal.SIGKILL)
            process = Process(*command)
        writing.join(120)
        wait_until(lambda: state_is_kept(alice), 30, "a kept state")
    finally:
        process.end(signal.SIGKILL)
    assert failed == [None] * 5
    moment, whole = clock(alice), replayed(alice)
    with Projector(BOOK, **desk.info, **LOGIN) as projector:
        assert projector.state.events > 0  # A kept state was taken up.
        assert projector.wait_for(EventLog(alice.conn).end())
        followed = projector.state
    kept = state_of(alice, BOOK)
    at_moment = state_of(alice, BOOK, at=moment)
    again = rebuild(alice, BOOK)
    texts = {BOOK.encode(each) for each in (whole, followed.value, kept.value, again.value)}
    assert texts == {BOOK.encode(at_moment.value)}
    assert followed.events == kept.events == again.events == at_moment.events


def test_an_event_that_cannot_be_folded_ends_it(desk: Desk, alice: StoreClient) -> None:
    def picky(count: int, event: ChangeEvent) -> int:
        if "BAD" in (event.data or ""):
            raise ZeroDivisionError("a bad trade")
        return count + 1

    alice.write_many([Trade(symbol=name) for name in ("A", "B", "BAD", "C")])
    counting = Projection("picky", 0, picky)
    projector = Projector(counting, **desk.info, **LOGIN).start()
    wait_until(lambda: projector.status().state is SubscriptionState.FAILED, 20, "its end")  # type: ignore[union-attr]
    assert not projector.wait_for(EventLog(alice.conn).end(), 0.1)
    projector.stop()
    assert projector.state.value == 2
    assert "a bad trade" in (projector.status().error or "")  # type: ignore[union-attr]
    with pytest.raises(ZeroDivisionError):
        state_of(alice, counting)


def test_one_thread_at_a_time_folds(
    desk: Desk, alice: StoreClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two would fold beside each other, and one of them overwrite what the other had folded."""
    begun, go = threading.Event(), threading.Event()

    def slow(count: int, event: ChangeEvent) -> int:
        begun.set()
        assert go.wait(30)
        return count + 1

    projector = Projector(Projection("slow", 0, slow), **desk.info, **LOGIN).start()
    with pytest.raises(ProjectionError, match="runs already"):
        projector.start()
    alice.write_many([Trade(symbol=name) for name in ("A", "B")])
    assert begun.wait(30)
    monkeypatch.setattr(SubscriptionListener.stop, "__defaults__", (0.05,))
    projector.stop()
    with pytest.raises(ProjectionError, match="runs already"):
        projector.start()
    go.set()
    wait_until(lambda: projector.status().state is SubscriptionState.STOPPED, 30, "its end")  # type: ignore[union-attr]
    monkeypatch.setattr(SubscriptionListener.stop, "__defaults__", (30,))
    with projector:
        assert projector.wait_for(EventLog(alice.conn).end())
        assert (projector.state.value, projector.state.events) == (2, 2)


@pytest.mark.parametrize("initial", [{1: "one"}, {"pair": (1, 2)}])
def test_a_state_that_its_text_does_not_give_back(alice: StoreClient, initial: Any) -> None:
    wrong = Projection("wrong", {}, lambda state, event: initial)
    alice.write(Trade(symbol="A"))
    with pytest.raises(ProjectionError, match="comes back from its text as another one"):
        keep_state(alice.conn, wrong, state_of(alice, wrong))


def test_a_time_that_is_not_settled_is_waited_for(
    desk: Desk, alice: StoreClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("store.database.connection.FENCE_SECONDS", 0.2)
    early = desk.client("alice")
    with early.transaction():
        early.write(Trade(symbol="A"))
        with pytest.raises(FenceTimeout):
            state_of(alice, BOOK, at=clock(alice))


def test_nobody_reads_or_writes_the_states_of_another(
    alice: StoreClient, desk: Desk, rogue: Any
) -> None:
    alice.write(Trade(symbol="A", quantity=7))
    rebuild(alice, BOOK)
    kept = state_of(alice, BOOK)
    with rogue.cursor() as cursor:
        assert newest_state(rogue, BOOK, kept.position.epoch, None, None).events == 0
        cursor.execute("SELECT object_store.drop_snapshots('book')")
        assert cursor.fetchone() == (False,)
        cursor.execute(
            "SELECT object_store.save_snapshot('book', 1, %s, %s::xid8, 1, 9, now(), '{}', 20)",
            [kept.position.epoch, str(kept.position.xid)],
        )
        for statement in ("SELECT * FROM {}", "UPDATE {} SET state = ''", "DELETE FROM {}"):
            with pytest.raises(psycopg2.errors.InsufficientPrivilege):
                cursor.execute(statement.format("object_store.snapshot"))
    assert state_of(alice, BOOK).value == kept.value


@pytest.mark.parametrize("options", [{"snapshot_events": 0}, {"keep": 0}])
def test_options_that_cannot_be(options: dict[str, int]) -> None:
    with pytest.raises(ProjectionError):
        Projector(BOOK, **options)  # type: ignore[arg-type]
