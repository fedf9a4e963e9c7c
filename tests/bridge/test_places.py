"""A bridge's place in the log, its clock and its rights, when things happen in between."""

from __future__ import annotations

import time
from datetime import datetime, timedelta, timezone
from types import SimpleNamespace
from typing import Any

import pytest

from store.client import StoreClient
from store.models import Trade
from store.permissions import share_read, unshare
from tests.bridge.books import rows_of, trades
from tests.bridge.conftest import MakeBridge
from tests.processes import wait_until

pytestmark = pytest.mark.usefixtures("engine")


def test_what_is_shared_for_a_moment_while_somebody_looks_does_not_stay(
    make_bridge: MakeBridge,
    alice: StoreClient,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from bridge import grants

    name, other = alice.write_many(trades(2))
    bridge = make_bridge("bob")
    bridge.register(Trade)
    bridge.start()
    assert bridge.flush()
    run, calls = grants.run, 0

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

    monkeypatch.setattr(grants, "run", between)
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
