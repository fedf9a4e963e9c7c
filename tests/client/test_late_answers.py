"""Answers that come after the client has given up on them, and threads that meet at the end."""

from __future__ import annotations

import sys
import threading
from typing import Any

import pytest

from client import live_table
from client.base_client import DeephavenClient
from client.deadline import _open_sessions
from client.errors import DeadlineExceeded
from client.live_table import LiveTable
from server.trading_server import TradingServer
from tests.processes import wait_until


@pytest.fixture
def port(trading_server: TradingServer) -> int:
    return trading_server.options.port


def test_a_subscription_that_comes_too_late_is_ended(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given up, it was followed by another one: both would feed the table."""
    monkeypatch.setattr(live_table, "START_SECONDS", 0.2)
    answers, started = threading.Event(), threading.Event()
    late: list[Any] = []

    class Late(live_table._Subscription):
        def start(self) -> None:
            late.append(self)
            assert answers.wait(20)
            super().start()
            started.set()

    with DeephavenClient(port=port) as client:
        updates: list[LiveTable] = []
        table = LiveTable(
            lambda: client.open_table("prices_live"), updates.append, on_lost=lambda: None
        )
        with monkeypatch.context() as patch:
            patch.setattr(live_table, "_Subscription", Late)
            with pytest.raises(DeadlineExceeded):
                table.start()
        monkeypatch.setattr(live_table, "START_SECONDS", 10.0)
        answers.set()
        assert started.wait(20)
        wait_until(lambda: not late[0]._thread.is_alive(), 10, "the end of the late subscription")
        assert updates == []
        assert not table.connected


def test_a_session_that_comes_too_late_is_closed(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pydeephaven import Session

    answers = threading.Event()
    connect = Session._connect
    late: list[Session] = []

    def slow(session: Session) -> None:
        late.append(session)
        assert answers.wait(20)
        connect(session)

    monkeypatch.setattr(Session, "_connect", slow)
    with pytest.raises(DeadlineExceeded):
        DeephavenClient(port=port, deadline_s=0.2)
    # By now the server has become faster.
    late[0].deadline_s = 10.0
    answers.set()
    wait_until(lambda: late[0] not in _open_sessions, 20, "the end of the session")
    wait_until(lambda: not late[0].is_connected, 20, "the end of the connection")


def test_a_client_may_be_closed_while_others_begin_to_follow(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = DeephavenClient(port=port)
    monkeypatch.setattr(LiveTable, "start", lambda table: table)
    monkeypatch.setattr(LiveTable, "stop", lambda _: None)
    done = threading.Event()
    kept: list[LiveTable] = []

    def follow() -> None:
        while not done.is_set() and len(kept) < 100_000:
            kept.append(client.follow("prices_live"))

    switch = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    thread = threading.Thread(target=follow)
    try:
        kept.extend(client.follow("prices_live") for _ in range(2_000))
        thread.start()
        for _ in range(100):
            client._closed = False
            client.close()
    finally:
        done.set()
        thread.join()
        sys.setswitchinterval(switch)
        client.close()
