"""A bridge's place in the log, its clock and its rights, when things happen in between."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from types import SimpleNamespace
from typing import Any

import pytest

from bridge import BridgeError, State, StoreBridge, grants, snapshot
from store.client import StoreClient
from store.errors import Unavailable
from store.models import Trade
from store.permissions import share_read, unshare
from store.subscriptions.checkpoints import Checkpoint, forget_subscriber
from tests.bridge.books import present, rows_of, trades
from tests.bridge.conftest import MakeBridge
from tests.processes import wait_until
from tests.relay import Relay, end
from tests.store.desk import Desk, password_of

pytestmark = pytest.mark.usefixtures("engine")


def test_what_is_shared_for_a_moment_while_somebody_looks_does_not_stay(
    make_bridge: MakeBridge,
    alice: StoreClient,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    name, other = alice.write_many(trades(2))
    bridge = make_bridge("bob")
    bridge.register(Trade)
    bridge.start()
    assert bridge.flush()
    run, calls = grants.execute, 0

    def between(conn: Any, statement: str, *values: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 1:
            share_read(alice.conn, other, "bob")
        elif calls == 2:
            share_read(alice.conn, name, "bob")
        elif calls == 3:
            unshare(alice.conn, name, "bob")
        return run(conn, statement, *values)

    monkeypatch.setattr(grants, "execute", between)
    wait_until(lambda: calls > 3, 20, "some looks")
    assert bridge.flush()
    assert rows_of(bridge.live(Trade), "EntityId") == [(other,)]


def test_live_changes_in_time_whatever_the_clock_of_this_machine_does(
    make_bridge: MakeBridge, alice: StoreClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    bridge = make_bridge()
    bridge.register(Trade)
    trade = trades(1)[0]
    alice.write(trade)
    bridge.start()
    trade.price = 100.0
    alice.update(trade, valid_to=datetime.now(timezone.utc) + timedelta(seconds=2))
    assert bridge.flush()
    set_back = SimpleNamespace(
        time=lambda: time.time() - 3_600, monotonic=lambda: time.monotonic() - 3_600
    )
    monkeypatch.setattr("bridge.live.time", set_back)
    wait_until(
        lambda: [row[8] for row in rows_of(bridge.live(Trade))] == [1.5], 10, "the older price"
    )


@pytest.fixture
def relay(desk: Desk) -> Iterator[Relay]:
    made = Relay("127.0.0.1", desk.info["port"])
    yield made
    made.close()


@pytest.fixture
def distant(desk: Desk, relay: Relay) -> Iterator[StoreBridge]:
    """A bridge with a place of its own, behind a network."""
    login = {**desk.info, "host": "127.0.0.1", "port": relay.port}
    with StoreBridge(
        user="alice", password=password_of("alice"), subscriber_id="desk", **login
    ) as bridge:
        bridge.register(Trade)
        bridge.start()
        yield bridge


def count_claims(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The subscriptions that are claimed from now on."""
    claim: Any = Checkpoint.claim
    claims: list[str] = []

    def counted(conn: Any, subscriber_id: str, *arguments: Any) -> Any:
        claims.append(subscriber_id)
        return claim(conn, subscriber_id, *arguments)

    monkeypatch.setattr(Checkpoint, "claim", counted)
    return claims


def test_a_bridge_waits_for_its_own_former_session(
    distant: StoreBridge, relay: Relay, alice: StoreClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    claims = count_claims(monkeypatch)
    alice.write_many(trades(1))
    assert distant.flush()
    far = relay.cut_clients()
    alice.write_many(trades(1))
    # The server notices some half a minute later that nobody is there any more.
    wait_until(
        lambda: len(claims) > 2 or distant.status().state is State.FAILED,
        20,
        "some attempts",
    )
    for each in far:
        end(each)
    wait_until(lambda: distant.status().state in (State.LIVE, State.FAILED), 20, "the way back")
    assert distant.flush(), distant.status()
    assert distant.table(Trade).size == 2
    assert distant.status().checkpoint


def test_a_place_that_is_forgotten_is_kept_anew(
    distant: StoreBridge, alice: StoreClient, make_bridge: MakeBridge
) -> None:
    alice.write_many(trades(1))
    assert distant.flush()
    assert forget_subscriber(alice.conn, "desk")
    alice.write_many(trades(2))
    wait_until(lambda: distant.status().reconnects, 20, "the loss of the place")
    wait_until(lambda: distant.status().state in (State.LIVE, State.FAILED), 20, "the way back")
    assert distant.flush(), distant.status()
    assert distant.table(Trade).size == 3
    assert distant.status().checkpoint
    distant.stop()
    alice.write_many(trades(4))
    again = make_bridge("alice", subscriber_id="desk")
    again.register(Trade)
    again.start()
    assert again.flush()
    assert again.table(Trade).size == 4


def test_a_bridge_that_waits_for_its_place_can_be_stopped(
    distant: StoreBridge, relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    claims = count_claims(monkeypatch)
    far = relay.cut_clients()
    wait_until(lambda: len(claims) > 1, 20, "a second attempt")
    began = time.monotonic()
    distant.stop()
    assert time.monotonic() - began < 5
    assert distant.status().state is State.STOPPED
    for each in far:
        end(each)


def test_a_load_that_breaks_off_is_not_tried_again_on_the_same_tables(
    make_bridge: MakeBridge, alice: StoreClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it has shown already would be shown twice, or would never leave."""
    alice.write_many(trades(5))
    bridge = make_bridge()
    bridge.register(Trade)
    run = snapshot.execute
    fetched = 0

    def cut(conn: Any, statement: str, values: Any = ()) -> Any:
        nonlocal fetched
        fetched += statement.startswith("FETCH")
        if fetched == 2 and statement.startswith("FETCH"):
            raise Unavailable("cut")
        return run(conn, statement.replace("FETCH 5000", "FETCH 2"), values)

    monkeypatch.setattr(snapshot, "execute", cut)
    with pytest.raises(Unavailable, match="cut"):
        bridge.start("present")
    monkeypatch.undo()
    assert bridge.status().state is State.FAILED
    with pytest.raises(BridgeError, match="make a new one"):
        bridge.start("present")
    with pytest.raises(BridgeError, match="make a new one"):
        bridge.start()
    again = make_bridge()
    again.register(Trade)
    again.start("present")
    assert sorted(rows_of(again.table(Trade))) == present(alice, Trade)
