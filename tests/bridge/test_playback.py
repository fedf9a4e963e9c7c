"""The store's events between two times, in ticking tables again."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

import pytest

from bridge import BridgeError, NotRegistered, RegistrationError, StorePlayback
from bridge.playback import PlaybackState
from server.trading_server import TradingServer
from store.client import StoreClient
from store.models import Order, Trade
from tests.bridge.books import rows_of, trades
from tests.processes import wait_until
from tests.store.desk import Desk, password_of


def playback(desk: Desk, **more: Any) -> StorePlayback:
    made = StorePlayback(
        **{name: desk.info[name] for name in ("host", "port", "dbname")},
        user="alice",
        password=password_of("alice"),
        **more,
    )
    made.register(Trade)
    return made


def test_a_past_stretch_is_shown_as_if_live(
    desk: Desk, alice: StoreClient, engine: TradingServer
) -> None:
    early, changed, gone, late, after = trades(5)
    alice.write_many([early, changed, gone])
    start = gone._store_tx_time + timedelta(microseconds=10)  # type: ignore[operator]
    time.sleep(0.3)
    changed.price = 99.0
    alice.update(changed)
    time.sleep(0.3)
    alice.write(late)
    alice.delete(gone)
    end = late._store_tx_time + timedelta(seconds=0.2)  # type: ignore[operator]
    time.sleep(0.3)
    alice.write(after)
    # Slowed down, so that the first moment can be looked at.
    with playback(desk, start=start, end=end, speed=0.25) as slow:
        slow.start()
        slow.pause()
        wait_until(lambda: len(rows_of(slow.live(Trade))) == 3, 30, "the state at the start")
        assert rows_of(slow.table(Trade)) == []
        assert sorted(row[8] for row in rows_of(slow.live(Trade))) == [1.5, 2.5, 3.5]
        assert slow.status().state is PlaybackState.PAUSED
        slow.resume(speed=2.0)
        assert slow.wait(60)
        assert slow.status().moment == end
        assert [row[2] for row in rows_of(slow.table(Trade))] == ["UPDATED", "CREATED", "DELETED"]
        assert sorted(row[8] for row in rows_of(slow.live(Trade))) == [1.5, 4.5, 99.0]
    began = time.monotonic()
    with playback(desk, start=start, end=end, speed=None) as fast:
        fast.start()
        assert fast.wait(60)
        assert fast.status().events == 3
        assert sorted(row[8] for row in rows_of(fast.live(Trade))) == [1.5, 4.5, 99.0]
    assert time.monotonic() - began < 30
    for more in ({"start": end, "end": start}, {"start": start, "end": end, "speed": 0.0}):
        with pytest.raises(BridgeError):
            playback(desk, **more)


def test_a_playback_takes_the_classes_that_a_bridge_takes(desk: Desk, alice: StoreClient) -> None:
    [trade] = trades(1)
    alice.write(trade)
    at = trade._store_tx_time
    assert at is not None
    play = playback(desk, start=at, end=at, speed=None)
    for cls, more, message in (
        (Trade, {}, "Trade is, and takes the events of"),
        (Order, {"rows": 0}, "rows=0 of Order: at least 1"),
        (dict, {}, "is not a class of the store"),
    ):
        with pytest.raises(RegistrationError, match=message):
            play.register(cls, **more)  # type: ignore[arg-type]
    with pytest.raises(NotRegistered, match="Order is not registered with this playback; Trade is"):
        play.table(Order)
    with pytest.raises(BridgeError, match="max_pending_rows=0"):
        playback(desk, start=at, end=at, max_pending_rows=0)
    with play:
        play.start()
        with pytest.raises(RegistrationError, match="Order comes too late"):
            play.register(Order)
