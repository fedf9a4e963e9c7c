"""Listeners in this process: starts, checkpoints, errors, and who may see what."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg2
import pytest

from reactive import Field
from store import Order, Signal, Trade
from store.client import StoreClient
from store.errors import AccessError, PositionError, Unavailable
from store.permissions import share_read, unshare
from store.subscriptions import (
    ChangeEvent,
    EventBus,
    EventLog,
    Position,
    SubscriptionError,
    SubscriptionListener,
    SubscriptionState,
    forget_subscriber,
    parked_events,
    stream,
    subscribers,
    unpark,
)
from store.subscriptions.log_follower import LogFollower
from tests.processes import wait_until
from tests.store.desk import ADMIN_PASSWORD, Desk, password_of
from tests.store.hearing import Heard, Picky, listener
from tests.store.sql import clock
from tests.store.tls_front import CERTIFICATE, tls_front

SECONDS = 20


@pytest.fixture
def heard() -> Heard:
    return Heard()


def test_what_is_committed_after_the_start_is_heard(
    desk: Desk, alice: StoreClient, heard: Heard
) -> None:
    alice.write(Trade(symbol="BEFORE"))
    with listener(desk, heard.bus) as following:
        obj = Trade(symbol="AAPL")
        alice.write(obj)
        alice.update(obj)
        with alice.transaction():
            alice.delete(obj)
        entity_id = obj._store_entity_id
        assert heard.wait(3) == [(entity_id, 1), (entity_id, 2), (entity_id, 3)]
        wait_until(
            lambda: following.status().state is SubscriptionState.LIVE, SECONDS, "being up to date"
        )
        assert following.status().delivered == 3
        assert following.status().last_tx_time == heard[-1].tx_time
        assert following.lag().events == 0
        with pytest.raises(SubscriptionError, match="runs already"):
            following.start()
    assert following.status().state is SubscriptionState.STOPPED
    alice.write(Trade(symbol="AFTER"))
    with listener(desk, heard.bus):
        again = alice.write(Trade(symbol="AGAIN"))
        assert heard.wait(4)[3:] == [(again, 1)]


def test_starts(desk: Desk, alice: StoreClient) -> None:
    ids = [alice.write(Trade(symbol="A"))]
    moment = clock(alice)
    ids += [alice.write(Trade(symbol="B")), alice.write(Trade(symbol="C"))]
    place = next(EventLog(alice.conn).pages()).events[1].position
    for start, expected in (("beginning", ids), (moment, ids[1:]), (place, ids[2:])):
        heard = Heard()
        with listener(desk, heard.bus, start=start):
            heard.wait(len(expected))
        assert [e.entity_id for e in heard] == expected
    for wrong, error in (("soon", SubscriptionError), (Position("7", 1, 1), PositionError)):
        with pytest.raises(error):
            listener(desk, EventBus(), start=wrong).start()


def test_types_and_filters(desk: Desk, alice: StoreClient, heard: Heard) -> None:
    options: Any = {"types": [Trade], "filter": Field("quantity") > 5, "start": "beginning"}
    alice.write_many([Trade(quantity=n) for n in range(10)])
    alice.write(Order(quantity=100))
    with listener(desk, heard.bus, **options) as following:
        assert heard.wait(4) == heard.keys()
        wait_until(lambda: following.lag().events == 0, SECONDS, "the end")
        assert (following.status().delivered, following.status().filtered) == (4, 6)
    assert [Trade.from_json(e.data or "").quantity for e in heard] == [6, 7, 8, 9]


def test_a_durable_subscription_goes_on_where_it_stood(
    desk: Desk, alice: StoreClient, heard: Heard
) -> None:
    durable: Any = {"subscriber_id": "risk"}
    with listener(desk, heard.bus, **durable):
        pass
    ids = [alice.write(Trade(symbol="WHILE")) for _ in range(3)]
    with listener(desk, heard.bus, **durable, start="beginning"):
        heard.wait(3)
        ids.append(alice.write(Trade(symbol="LIVE")))
        heard.wait(4)
        [known] = subscribers(alice.conn)
        assert (known.subscriber_id, known.parked) == ("risk", 0)
        assert known.holder_pid is not None
    with listener(desk, heard.bus, **durable):
        ids.append(alice.write(Trade(symbol="AGAIN")))
        heard.wait(5)
    assert [e.entity_id for e in heard] == ids
    assert subscribers(alice.conn)[0].holder_pid is None
    assert forget_subscriber(alice.conn, "risk") is True
    assert forget_subscriber(alice.conn, "risk") is False
    with listener(desk, heard.bus, **durable, start="beginning"):
        heard.wait(10)
    assert [e.entity_id for e in heard] == ids + ids


def test_a_batch_handler_gets_lists(desk: Desk, alice: StoreClient) -> None:
    batches: list[int] = []
    alice.write_many([Trade(quantity=n) for n in range(25)])
    with listener(
        desk, on_batch=lambda e: batches.append(len(e)), batch_size=10, start="beginning"
    ):
        wait_until(lambda: sum(batches) == 25, SECONDS, "all events")
    assert batches == [10, 10, 5]


def test_a_slow_handler_holds_up_the_reading_not_the_memory(
    desk: Desk, alice: StoreClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    page = EventLog.page

    def watched(self: EventLog, *args: Any) -> Any:
        found = page(self, *args)
        sizes.append(len(found.events))
        return found

    monkeypatch.setattr(EventLog, "page", watched)
    monkeypatch.setattr("store.subscriptions.log_follower.PAGE_BYTES", 20_000)
    heard = Heard()
    alice.write_many([Signal(notes="n" * 2_000) for _ in range(30)])
    alice.write_many([Trade(quantity=n) for n in range(300)])
    begun, go = threading.Event(), threading.Event()
    heard.bus.on_all(lambda event: (begun.set(), go.wait(SECONDS)))
    with listener(desk, heard.bus, start="beginning"):
        assert begun.wait(SECONDS)
        # Nothing is read ahead of it.
        assert (len(sizes), len(heard)) == (1, 1)
        go.set()
        heard.wait(330)
    assert max(sizes[:2]) <= 10
    assert max(sizes) > 50


def test_of_two_with_one_id_the_second_waits_or_is_refused(desk: Desk, alice: StoreClient) -> None:
    first, second = Heard(), Heard()
    holding = listener(desk, first.bus, subscriber_id="one").start()
    with pytest.raises(SubscriptionError, match="is held by session"):
        listener(desk, EventBus(), subscriber_id="one", if_held="raise").start()
    waiting = listener(desk, second.bus, subscriber_id="one").start()
    assert waiting.status().state is SubscriptionState.WAITING
    # Another user's subscription of this name is another one.
    with listener(desk, EventBus(), subscriber_id="one", user="bob", if_held="raise"):
        pass
    alice.write(Trade(symbol="A"))
    first.wait(1)
    holding.stop()
    alice.write(Trade(symbol="B"))
    second.wait(1)
    waiting.stop()
    assert (len(first), len(second)) == (1, 1)


def test_a_session_that_is_gone_holds_nothing(desk: Desk, alice: StoreClient) -> None:
    heard = Heard()
    with listener(desk, heard.bus, subscriber_id="one"):
        [held] = subscribers(alice.conn)
        with desk.admin().cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(%s)", [held.holder_pid])
        alice.write(Trade(symbol="A"))
        heard.wait(1)
        [again] = subscribers(alice.conn)
        assert again.holder_pid not in (None, held.holder_pid)
    assert len(heard) == 1


@pytest.mark.parametrize("if_held", ["wait", "raise"])
def test_a_session_that_the_server_has_not_missed_yet_is_its_own(
    desk: Desk, alice: StoreClient, heard: Heard, if_held: str
) -> None:
    """The connection is lost, and the server finds out half a minute later."""
    options: Any = {"subscriber_id": "one", "if_held": if_held}
    with listener(desk, heard.bus, **options) as following:
        [held] = subscribers(alice.conn)
        assert held.holder_pid is not None
        os.kill(held.holder_pid, signal.SIGSTOP)
        try:
            session = following._follower.session
            assert session is not None
            with socket.fromfd(session.conn.fileno(), socket.AF_INET, 1) as lost:
                lost.shutdown(socket.SHUT_RDWR)
            wait_until(
                lambda: following.status().state is SubscriptionState.WAITING, SECONDS, "its turn"
            )
            entity_id = alice.write(Trade(symbol="A"))
        finally:
            os.kill(held.holder_pid, signal.SIGCONT)
        assert heard.wait(1) == [(entity_id, 1)]


def test_one_that_refuses_fails_where_another_took_its_subscription(
    desk: Desk, alice: StoreClient, heard: Heard
) -> None:
    options: Any = {"subscriber_id": "one", "if_held": "raise"}
    following = listener(desk, heard.bus, **options).start()
    with alice.conn.cursor() as cursor:
        cursor.execute("SELECT object_store.take_checkpoint('one', 1, now(), '', '0', 0)")
        assert cursor.fetchone() == (True,)
    alice.write(Trade(symbol="A"))
    wait_until(lambda: following.status().state is SubscriptionState.FAILED, SECONDS, "its end")
    assert "taken over" in (following.status().error or "")
    assert following.stop() is True


def test_an_administrator_is_refused_as_by_a_client(desk: Desk) -> None:
    login = {**desk.info, "user": "postgres", "password": ADMIN_PASSWORD}
    for bus, options in ((EventBus(), {}), (EventBus(), {"subscriber_id": "admin"})):
        with pytest.raises(AccessError, match="administers the database"):
            SubscriptionListener(bus, **login, **options).start()


def test_what_a_handler_will_not_take_is_parked(desk: Desk, alice: StoreClient) -> None:
    picky = Picky()
    ids = [alice.write(Trade(symbol="A")) for _ in range(3)]
    picky.refused.add(ids[1])
    with listener(desk, picky.bus, subscriber_id="p", start="beginning", retries=2) as following:
        picky.wait(3)
        wait_until(lambda: following.lag().events == 0, SECONDS, "the end")
        assert (following.status().parked, following.status().retries) == (1, 2)
        [(event, error)] = following.status().recently_parked
        assert event.entity_id == ids[1]
        assert "not that one" in error
    # The callback that took it was not told again.
    assert [e.entity_id for e in picky] == ids
    assert picky.tries == 3
    [parked] = parked_events(alice.conn, "p")
    assert (parked.entity_id, parked.version, parked.attempts) == (ids[1], 1, 3)
    assert "ZeroDivisionError: not that one" in parked.error
    assert parked.position == event.position
    assert subscribers(alice.conn)[0].parked == 1
    assert parked_events(alice.conn, "q") == []
    assert unpark(alice.conn, parked) is True
    assert unpark(alice.conn, parked) is False
    assert parked_events(alice.conn) == []


def test_an_event_is_parked_whatever_its_error_says(
    desk: Desk, alice: StoreClient, heard: Heard
) -> None:
    """Such as a piece of the data that it could not read; PostgreSQL keeps no NUL in a text."""

    def refuse(event: ChangeEvent) -> None:
        if event.entity_id == refused:
            raise ValueError("cannot read 'a\0b' nor '\ud800'")

    refused, taken = alice.write_many([Trade(symbol="A"), Trade(symbol="B")])
    heard.bus.on_all(refuse)
    with listener(desk, heard.bus, subscriber_id="odd", start="beginning", retries=0) as following:
        wait_until(lambda: following.status().delivered, SECONDS, "the next event")
    [parked] = parked_events(alice.conn, "odd")
    assert r"cannot read 'a\x00b' nor '\ud800'" in parked.error
    assert heard.keys() == [(refused, 1), (taken, 1)]


def test_a_handler_that_recovers_gets_its_event(desk: Desk, alice: StoreClient) -> None:
    picky = Picky()
    entity_id = alice.write(Trade(symbol="A"))
    picky.refused.add(entity_id)
    with listener(desk, picky.bus, start="beginning", retries=1_000, retry_seconds=0) as following:
        wait_until(lambda: picky.tries >= 3, SECONDS, "the third attempt")
        picky.refused.clear()
        wait_until(lambda: following.lag().events == 0, SECONDS, "the end")
    assert following.status().parked == 0
    assert following.status().delivered == 1


def test_an_event_is_not_parked_for_a_database_that_is_away(
    desk: Desk, alice: StoreClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the handler itself writes to, say; after a while it counts as any other error."""
    errors: list[Exception] = [Unavailable("the server restarts") for _ in range(5)]
    taken: list[str] = []

    def take(events: list[ChangeEvent]) -> None:
        if errors:
            raise errors.pop()
        taken.extend(event.entity_id for event in events)

    ids = [alice.write(Trade(symbol="A"))]
    options: dict[str, Any] = {"on_batch": take, "subscriber_id": "away", "retries": 0}
    with listener(desk, start="beginning", retry_seconds=0.01, **options) as following:
        wait_until(lambda: taken == ids, SECONDS, "the event")
        assert (following.status().parked, following.status().retries) == (0, 5)
        monkeypatch.setattr("store.subscriptions.delivery.OUTAGE_SECONDS", 0.0)
        errors.append(Unavailable("the server is gone"))
        ids.append(alice.write(Trade(symbol="B")))
        wait_until(lambda: following.status().parked, SECONDS, "a parked event")
    assert taken == ids[:1]


def test_of_a_list_only_the_cause_is_parked(desk: Desk, alice: StoreClient) -> None:
    taken: list[int] = []

    def take(events: list[ChangeEvent]) -> None:
        numbers = [Trade.from_json(e.data or "").quantity for e in events]
        if 3 in numbers:
            raise ZeroDivisionError
        taken.extend(numbers)

    alice.write_many([Trade(quantity=n) for n in range(6)])
    with listener(desk, on_batch=take, subscriber_id="b", start="beginning", retries=0) as l_:
        wait_until(lambda: l_.status().delivered == 5, SECONDS, "the others")
    assert taken == [0, 1, 2, 4, 5]
    assert len(parked_events(alice.conn)) == 1


def test_or_the_listener_stops_and_begins_there_again(desk: Desk, alice: StoreClient) -> None:
    picky = Picky()
    ids = [alice.write(Trade(symbol="A")) for _ in range(3)]
    picky.refused.add(ids[1])
    options: Any = {"subscriber_id": "s", "start": "beginning", "retries": 0, "on_error": "stop"}
    following = listener(desk, picky.bus, **options).start()
    wait_until(lambda: following.status().state is SubscriptionState.FAILED, SECONDS, "its end")
    assert "that is to be the end" in (following.status().error or "")
    following.stop()
    assert [e.entity_id for e in picky] == ids[:2]
    picky.refused.clear()
    with listener(desk, picky.bus, **options):
        picky.wait(4)
    assert [e.entity_id for e in picky] == [ids[0], ids[1], ids[1], ids[2]]
    assert parked_events(alice.conn) == []


def test_a_filter_that_cannot_be_asked_parks_too(desk: Desk, alice: StoreClient) -> None:
    """Somebody with psql wrote what the class would not."""
    heard = Heard()
    with alice.conn.cursor() as cursor:
        cursor.execute(
            "SELECT object_store.append('CREATED', gen_random_uuid(), NULL, 'store.models.Trade', "
            """'{"quantity": "many"}', NULL, NULL, NULL, NULL, NULL)"""
        )
    good = alice.write(Trade(quantity=9))
    options: Any = {"filter": Field("quantity") > 5, "start": "beginning"}
    with listener(desk, heard.bus, subscriber_id="f", **options):
        heard.wait(1)
    assert heard.keys() == [(good, 1)]
    assert "quantity" in parked_events(alice.conn)[0].error


def test_stop_waits_for_the_handler_and_not_for_its_retries(desk: Desk, alice: StoreClient) -> None:
    begun, go, ended = threading.Event(), threading.Event(), threading.Event()

    def slow(event: ChangeEvent) -> None:
        begun.set()
        go.wait(SECONDS)
        ended.set()
        raise ZeroDivisionError

    bus = EventBus()
    bus.on_all(slow)
    following = listener(desk, bus, subscriber_id="slow", retry_seconds=600).start()
    alice.write(Trade(symbol="A"))
    assert begun.wait(SECONDS)
    assert following.stop(timeout=0.05) is False
    go.set()
    assert following.stop() is True
    assert ended.is_set()
    # It was not handled, so it comes again.
    heard = Heard()
    with listener(desk, heard.bus, subscriber_id="slow"):
        heard.wait(1)


def test_a_handler_may_stop_its_listener(desk: Desk, alice: StoreClient) -> None:
    bus = EventBus()
    following = listener(desk, bus).start()
    bus.on_all(lambda event: following.stop())
    alice.write(Trade(symbol="A"))
    wait_until(lambda: following.status().state is SubscriptionState.STOPPED, SECONDS, "its end")
    assert following.status().delivered == 1


def test_a_handler_that_ends_its_thread_is_told(desk: Desk, alice: StoreClient) -> None:
    """Such as by sys.exit: nothing more is delivered, and that must not pass unnoticed."""
    bus = EventBus()
    bus.on_all(lambda event: sys.exit("no more"))
    following = listener(desk, bus, subscriber_id="exit").start()
    entity_id = alice.write(Trade(symbol="A"))
    wait_until(lambda: following.status().state is SubscriptionState.FAILED, SECONDS, "its end")
    assert following.status().error == "no more"
    assert following.stop() is True
    # It was not handled, so it comes again.
    heard = Heard()
    with listener(desk, heard.bus, subscriber_id="exit", if_held="raise"):
        assert heard.wait(1) == [(entity_id, 1)]


def test_a_listener_that_has_ended_is_started_again(
    desk: Desk, alice: StoreClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At once, and what it told of its end is not told of its new life."""
    go, leave, follow = threading.Event(), threading.Event(), LogFollower._follow

    def late(self: LogFollower, *args: Any) -> None:
        assert go.wait(SECONDS)
        follow(self, *args)

    monkeypatch.setattr(LogFollower, "_follow", late)
    picky = Picky()
    picky.refused.add(alice.write(Trade(symbol="A")))
    options: Any = {"start": "beginning", "retries": 0, "on_error": "stop"}
    options["on_ended"] = lambda: leave.wait(SECONDS)
    following = listener(desk, picky.bus, **options).start()
    assert following.status().state is SubscriptionState.READING
    go.set()
    wait_until(lambda: following.status().state is SubscriptionState.FAILED, SECONDS, "its end")
    go.clear()
    with ThreadPoolExecutor(1) as other:
        starting = other.submit(following.start)
        leave.set()
        starting.result(SECONDS)
    assert (following.status().state, following.status().error) == (SubscriptionState.READING, None)
    picky.refused.clear()
    go.set()
    picky.wait(2)
    assert following.stop() is True


def test_what_may_not_be_seen_is_not_delivered(
    desk: Desk, alice: StoreClient, bob: StoreClient, heard: Heard
) -> None:
    objects = [Trade(symbol=name) for name in ("SHARED", "SECRET")]
    shared, _ = alice.write_many(objects)
    end = bob.write(Trade(symbol="START"))
    with listener(desk, heard.bus, user="bob", start="beginning"):
        heard.wait(1)
        share_read(alice.conn, shared, "bob")
        alice.update_many(objects)
        heard.wait(2)
        unshare(alice.conn, shared, "bob")
        alice.update_many(objects)
        last = bob.write(Trade(symbol="LAST"))
        assert heard.wait(3) == [(end, 1), (shared, 2), (last, 1)]
        share_read(alice.conn, shared, "bob")
        alice.update_many(objects)
        # Versions that were written meanwhile are history, which `history` gives.
        assert heard.wait(4)[3:] == [(shared, 4)]


def test_writers_without_this_client_are_found_too(desk: Desk, heard: Heard, rogue: Any) -> None:
    with listener(desk, heard.bus, user="mallory"):
        time.sleep(0.5)  # Long enough to look rarely.
        with rogue.cursor() as cursor:
            cursor.execute(
                "SELECT object_store.append('CREATED', gen_random_uuid(), NULL, 'T', '{}', NULL, "
                "NULL, NULL, NULL, NULL)"
            )
        heard.wait(1)


def test_a_forged_notification_is_but_a_look(
    desk: Desk, heard: Heard, rogue: Any, alice: StoreClient
) -> None:
    with listener(desk, heard.bus) as following:
        with rogue.cursor() as cursor:
            cursor.execute('NOTIFY object_store_event, \'{"entity_id": "forged"}\'')
        wait_until(lambda: following.status().wakeups > 0, SECONDS, "the notification")
        entity_id = alice.write(Trade(symbol="A"))
        assert heard.wait(1) == [(entity_id, 1)]


def test_nobody_reads_or_moves_the_checkpoint_of_another(
    desk: Desk, alice: StoreClient, rogue: Any
) -> None:
    picky = Picky()
    entity_id = alice.write(Trade(symbol="A"))
    picky.refused.add(entity_id)
    with listener(desk, picky.bus, subscriber_id="mine", start="beginning", retries=0):
        wait_until(lambda: parked_events(alice.conn), SECONDS, "the parked event")
        before, parked = subscribers(alice.conn), parked_events(alice.conn)
        with rogue.cursor() as cursor:
            for table in ("checkpoint", "parked_event"):
                for statement in (
                    "SELECT * FROM object_store.{}",
                    "UPDATE object_store.{} SET seq = 0",
                    "DELETE FROM object_store.{}",
                ):
                    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
                        cursor.execute(statement.format(table))
            for call in (
                "take_checkpoint('mine', 1, now(), 'e', '1', 0)",
                "move_checkpoint('mine', 1, '9999999', 0, NULL, NULL, NULL, NULL)",
                "release_checkpoint('mine', 1)",
                "forget_checkpoint('mine')",
                f"unpark('mine', '{entity_id}', 1)",
            ):
                cursor.execute(f"SELECT object_store.{call}")
                assert cursor.fetchone() == (False,)
            assert subscribers(rogue) == parked_events(rogue) == []
            # Their own one of that name takes nothing away.
            cursor.execute("SELECT taken FROM object_store.claim_checkpoint('mine', 'e', '1', 0)")
            assert cursor.fetchone() == (True,)
        assert (subscribers(alice.conn), parked_events(alice.conn)) == (before, parked)


def test_a_checkpoint_does_not_go_back(desk: Desk, alice: StoreClient, heard: Heard) -> None:
    alice.write(Trade(symbol="A"))
    with listener(desk, heard.bus, subscriber_id="mine", start="beginning"):
        heard.wait(1)
        wait_until(lambda: subscribers(alice.conn)[0].position.xid > 0, SECONDS, "the checkpoint")
        with alice.conn.cursor() as cursor:
            cursor.execute(
                "SELECT object_store.move_checkpoint('mine', 1, '0', 0, NULL, NULL, NULL, NULL)"
            )
            assert cursor.fetchone() == (False,)


def test_a_checkpoint_of_another_cluster_is_refused(desk: Desk, alice: StoreClient) -> None:
    with listener(desk, EventBus(), subscriber_id="moved"):
        pass
    with desk.admin().cursor() as cursor:
        cursor.execute("UPDATE object_store.checkpoint SET epoch = 'another'")
    with pytest.raises(PositionError, match="made in another cluster"):
        listener(desk, EventBus(), subscriber_id="moved").start()
    forget_subscriber(alice.conn, "moved")
    with listener(desk, EventBus(), subscriber_id="moved"):
        pass


@pytest.mark.shared_database
@pytest.mark.parametrize(
    "options",
    [
        {"event_bus": None},
        {"on_batch": print},
        {"on_error": "ignore"},
        {"if_held": "fight"},
        {"batch_size": 0},
        {"checkpoint_every": 0},
        {"retries": -1},
        {"subscriber_id": ""},
        {"types": [7]},
    ],
)
def test_options_that_cannot_be(desk: Desk, options: dict[str, Any]) -> None:
    usual: dict[str, Any] = {"event_bus": EventBus(), "user": "alice", **desk.info}
    with pytest.raises(SubscriptionError):
        SubscriptionListener(**usual | {"password": password_of("alice")} | options).start()


def test_a_login_that_fails(desk: Desk) -> None:
    with pytest.raises(AccessError):
        SubscriptionListener(EventBus(), **desk.info, user="alice", password="wrong").start()
    with pytest.raises(Unavailable):
        SubscriptionListener(
            EventBus(), **{**desk.info, "port": 1}, user="alice", password="x"
        ).start()
    with pytest.raises(SubscriptionError, match="no place"):
        listener(desk, EventBus()).lag()
    assert listener(desk, EventBus()).stop() is True


# --- asyncio --------------------------------------------------------------------------------------


def streamed(desk: Desk, count: int, write: Callable[[], object], **options: Any) -> list[Any]:
    """The first events of a stream; it is left while the last one is handled."""

    async def follow() -> list[Any]:
        found: list[Any] = []
        login = {**desk.info, "user": "alice", "password": password_of("alice")}
        events = stream(**login, **options)
        try:
            async for event in events:
                found.append(event.entity_id)
                if len(found) == 1:
                    await asyncio.to_thread(write)
                if len(found) == count:
                    break
        finally:
            await events.aclose()  # type: ignore[attr-defined]
        return found

    return asyncio.run(asyncio.wait_for(follow(), SECONDS))


def test_events_in_an_async_loop(desk: Desk, alice: StoreClient) -> None:
    ids = alice.write_many([Trade(quantity=n) for n in range(3)])
    more: list[str] = []
    found = streamed(
        desk, 4, lambda: more.append(alice.write(Trade(symbol="LIVE"))), start="beginning"
    )
    assert found == ids + more


def test_a_durable_stream_gives_the_unfinished_event_again(desk: Desk, alice: StoreClient) -> None:
    ids = alice.write_many([Trade(quantity=n) for n in range(4)])
    durable: Any = {"subscriber_id": "loop", "start": "beginning"}
    assert streamed(desk, 2, lambda: None, **durable) == ids[:2]
    assert streamed(desk, 3, lambda: None, **durable) == ids[1:]


def test_a_stream_that_fails_says_so(desk: Desk, alice: StoreClient) -> None:
    alice.write(Trade(symbol="A"))

    def disable() -> None:
        with desk.admin().cursor() as cursor:
            cursor.execute("DELETE FROM object_store.checkpoint")
            cursor.execute("DROP FUNCTION object_store.claim_checkpoint")

    with pytest.raises(SubscriptionError, match="the subscription ended"):
        streamed(desk, 9, disable, subscriber_id="loop", start="beginning")


def test_a_stream_that_is_cancelled_while_it_starts_holds_nothing(
    desk: Desk, alice: StoreClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go, start = threading.Event(), threading.Event(), SubscriptionListener.start

    def slow(self: SubscriptionListener) -> SubscriptionListener:
        begun.set()
        assert go.wait(SECONDS)
        return start(self)

    async def leave_early() -> None:
        login = {**desk.info, "user": "alice", "password": password_of("alice")}
        events = stream(**login, subscriber_id="loop")
        first = asyncio.ensure_future(events.__anext__())
        await asyncio.to_thread(begun.wait, SECONDS)
        first.cancel()
        await asyncio.sleep(0)
        go.set()
        with pytest.raises(asyncio.CancelledError):
            await first
        await events.aclose()  # type: ignore[attr-defined]

    monkeypatch.setattr(SubscriptionListener, "start", slow)
    asyncio.run(asyncio.wait_for(leave_early(), SECONDS))
    assert [each.holder_pid for each in subscribers(alice.conn)] == [None]


def test_listeners_use_tls_as_clients_do(desk: Desk, alice: StoreClient, heard: Heard) -> None:
    with tls_front(desk.info) as (port, sessions):
        where = {**desk.info, "host": "localhost", "port": port}
        login: Any = {"user": "alice", "password": password_of("alice"), "start": "beginning"}
        full: Any = {"sslmode": "verify-full", "sslrootcert": str(CERTIFICATE)}
        entity_id = alice.write(Trade(symbol="A"))
        with SubscriptionListener(heard.bus, **where, **login, **full):
            assert heard.wait(1) == [(entity_id, 1)]
        assert sessions
    with pytest.raises(Unavailable):
        SubscriptionListener(heard.bus, **desk.info, **login, **full).start()
