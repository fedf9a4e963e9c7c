"""The heartbeat's last word, whenever it is asked to stop."""

from __future__ import annotations

import threading
from typing import Any

from server.health import Heartbeat
from server.market_data import FeedStatus


def test_the_last_beat_tells_how_it_ended() -> None:
    status = FeedStatus(source="test", state="LIVE")
    told: list[str] = []
    beating, go_on = threading.Event(), threading.Event()

    class Writer:
        def write_row(self, *values: Any) -> None:
            told.append(values[1])
            beating.set()
            assert go_on.wait(10)

    heartbeat = Heartbeat(Writer(), lambda: status, ())
    heartbeat.start()
    heartbeat.changed()
    assert beating.wait(10)
    # In the middle of a beat.
    status = FeedStatus(source="test", state="STOPPED")
    heartbeat.changed()
    stopping = threading.Thread(target=heartbeat.stop)
    stopping.start()
    while not heartbeat._stopped:
        stopping.join(0.01)
    go_on.set()
    stopping.join(10)
    assert told == ["LIVE", "STOPPED"]
