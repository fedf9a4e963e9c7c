"""The clients' connection: clear errors, deadlines, restarts of the server, a clean exit."""

from __future__ import annotations

import gc
import pickle
import signal
import socket
import sys
import threading
import time
import weakref
from collections.abc import Iterator
from typing import TYPE_CHECKING

import grpc
import pytest
from deephaven_core.proto import config_pb2

from client.base_client import DeephavenClient
from client.errors import (
    AccessDenied,
    ClientError,
    DeadlineExceeded,
    ServerError,
    ServerUnreachable,
    TableNotFound,
)
from client.live_table import LiveTable
from tests.processes import Process, free_port, held_by_another_thread, server_process, wait_until

if TYPE_CHECKING:
    from server.trading_server import TradingServer


@pytest.fixture
def client(trading_server: TradingServer) -> Iterator[DeephavenClient]:
    with DeephavenClient(port=trading_server.options.port) as connected:
        yield connected


def test_where_no_server_is_the_error_says_how_to_start_one() -> None:
    port = free_port()
    with pytest.raises(ServerUnreachable, match=rf"no server at localhost:{port}.*server/app\.py"):
        DeephavenClient(port=port)


def test_a_server_that_never_answers_meets_the_deadline() -> None:
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen()
        began = time.monotonic()
        with pytest.raises(DeadlineExceeded, match="no answer"):
            DeephavenClient(port=mute.getsockname()[1], psk="some-key", deadline_s=1.0)
        assert time.monotonic() - began < 10


def test_without_a_key_the_error_says_where_one_is_looked_for(
    trading_server: TradingServer, monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    with pytest.raises(AccessDenied, match=r"no key for the server.*there is no .*DEEPHAVEN_PSK"):
        DeephavenClient(port=trading_server.options.port)


def test_tables_are_listed_opened_and_published(client: DeephavenClient) -> None:
    assert "prices_live" in client.list_tables()
    prices = client.open_table("prices_live")
    assert prices.to_arrow().num_rows == 8
    client.bind_table("expensive", prices.where("Price > 500"))
    assert "expensive" in client.list_tables()
    assert client.open_table("expensive").to_arrow().num_rows == 2


def test_a_server_that_lists_nothing_yet_is_asked_again(
    client: DeephavenClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = client.session._fetch_fields()
    answers = [[], [], listed]
    monkeypatch.setattr(client.session, "_fetch_fields", lambda: answers.pop(0))
    assert "prices_live" in client.list_tables()
    assert answers == []


def test_a_missing_table_is_named_with_those_that_are_there(client: DeephavenClient) -> None:
    with pytest.raises(
        TableNotFound, match=r"no table 'prices' on the server; it has: .*prices_live"
    ):
        client.open_table("prices")


def test_a_script_runs_on_the_server_and_its_error_comes_back(client: DeephavenClient) -> None:
    client.run_script(
        "from deephaven import empty_table\nsquares = empty_table(4).update('X = ii * ii')"
    )
    assert client.open_table("squares").to_arrow()["X"].to_pylist() == [0, 1, 4, 9]
    with pytest.raises(ServerError, match="ZeroDivisionError"):
        client.run_script("1 / 0")


def test_a_call_that_takes_too_long_meets_the_deadline(trading_server: TradingServer) -> None:
    with DeephavenClient(port=trading_server.options.port, deadline_s=1.0) as impatient:
        began = time.monotonic()
        with pytest.raises(DeadlineExceeded, match="running a script"):
            impatient.run_script("import threading; threading.Event().wait(4)")
        assert time.monotonic() - began < 3.5


def test_a_closed_client_says_so(trading_server: TradingServer) -> None:
    client = DeephavenClient(port=trading_server.options.port)
    client.close()
    client.close()
    with pytest.raises(ClientError, match="the client is closed"):
        client.list_tables()


def test_a_followed_table_has_its_rows_and_their_changes(client: DeephavenClient) -> None:
    updates = 0

    def count(_table: LiveTable) -> None:
        nonlocal updates
        updates += 1

    live = client.follow("prices_live", count)
    first = live.wait_for(lambda rows: len(rows) == 8, 60)
    live.wait_for(lambda rows: all(a != b for a, b in zip(rows, first, strict=True)), 60)
    assert live.columns[:2] == ("Symbol", "Price")
    live.stop()
    seen = updates
    assert seen == live.updates >= 2
    other = client.follow("prices_live")
    other.wait_for(lambda _: other.updates >= 3, 60)
    assert updates == seen


def test_a_followed_table_may_be_empty_and_become_so(client: DeephavenClient) -> None:
    keys = client.session.input_table(
        init_table=client.session.empty_table(0).update(["K = `a`"]), key_cols=["K"]
    )
    live = client.follow(lambda _: keys)
    live.wait_for(lambda _: live.updates > 0, 60)
    assert live.rows() == []
    row = client.session.empty_table(1).update(["K = `a`"])
    keys.add(row)
    assert live.wait_for(bool, 60) == [{"K": "a"}]
    keys.delete(row)
    live.wait_for(lambda rows: not rows, 60)
    assert live.connected


def test_a_callback_that_raises_does_not_end_the_subscription(
    client: DeephavenClient, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(_table: LiveTable) -> None:
        raise RuntimeError("cannot draw")

    live = client.follow("prices_live", refuse)
    live.wait_for(lambda _: live.updates >= 3, 60)
    assert live.connected
    assert "cannot draw" in live.last_error
    assert "cannot draw" in caplog.text


def test_two_threads_share_a_client(client: DeephavenClient) -> None:
    failures: list[BaseException] = []

    def read() -> None:
        try:
            for _ in range(10):
                assert client.open_table("prices_live").to_arrow().num_rows == 8
        except BaseException as error:  # noqa: BLE001 - shown by the assertion below
            failures.append(error)

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []


@pytest.mark.usefixtures("state_home")
def test_a_client_comes_back_after_the_server_was_restarted() -> None:
    port = free_port()
    with server_process("--seed", "1", port=port) as (process, _):
        client = DeephavenClient(port=port)
        live = client.follow("prices_live")
        live.wait_for(lambda rows: len(rows) == 8, 60)
        process.end(signal.SIGKILL)
    wait_until(lambda: not live.connected, 20, "the loss of the connection")
    with pytest.raises(ServerUnreachable):
        client.list_tables()
    last_known = live.rows()
    assert len(last_known) == 8
    # Another process with another key on the same port.
    with server_process("--seed", "2", port=port):
        assert "prices_live" in client.list_tables()
        client.run_script("back = True")
        live.wait_for(lambda rows: live.connected and rows != last_known, 60)
        client.close()


@pytest.mark.parametrize("ending", ["", "raise SystemExit(3)", "1 / 0"])
def test_a_script_that_closes_nothing_ends_all_the_same(
    trading_server: TradingServer, ending: str
) -> None:
    script = (
        "from client.base_client import DeephavenClient\n"
        f"client = DeephavenClient(port={trading_server.options.port})\n"
        "table = client.open_table('prices_live')\n"
        "derived = table.where('Price > 1')\n"
        "live = client.follow('risk_live'); live.wait_for(bool, 60)\n"
        f"print('rows', derived.to_arrow().num_rows)\n{ending}\n"
    )
    process = Process(sys.executable, "-c", script)
    status = process.wait(30)
    assert "rows 8" in process.output
    assert status == {"": 0, "raise SystemExit(3)": 3, "1 / 0": 1}[ending]


def test_a_table_whose_client_is_gone_does_not_hold_up_the_exit(
    trading_server: TradingServer,
) -> None:
    script = (
        "from client.base_client import DeephavenClient\n"
        "def prices():\n"
        "    client = DeephavenClient(port=%d)\n"
        "    return client.open_table('prices_live')\n"
        "table = prices()\nimport gc; gc.collect()\n"
        "print('rows', table.to_arrow().num_rows)\n"
    )
    process = Process(sys.executable, "-c", script % trading_server.options.port)
    assert process.wait(30) == 0
    assert "rows 8" in process.output


def test_a_table_may_be_collected_on_any_thread(client: DeephavenClient) -> None:
    """A collection may begin on the thread that delivers gRPC's answers, which must not wait."""
    config = client.session.config_service._grpc_app_stub
    cycle: list[object] = [client.open_table("prices_live")]
    cycle.append(cycle)
    ticket = cycle[0].ticket  # type: ignore[attr-defined]
    gone = weakref.ref(cycle[0])
    began, collected = threading.Event(), threading.Event()

    def collect(_: object) -> None:
        began.set()
        # A collection that another thread is at makes this one do nothing.
        while gone() is not None:
            gc.collect()
        collected.set()

    gc.disable()
    try:
        del cycle
        answer = config.GetConfigurationConstants.future(
            config_pb2.ConfigurationConstantsRequest(), metadata=client.session.grpc_metadata
        )
        answer.add_done_callback(collect)
        assert began.wait(10)
        assert collected.wait(10)
    finally:
        gc.enable()

    def forgotten() -> bool:
        try:
            client.session.table_service.fetch_etcr(ticket.pb_ticket)
        except grpc.RpcError:
            return True
        return False

    wait_until(forgotten, 10, "the server to hear of it")


def test_a_table_is_collected_while_another_thread_talks_to_the_server(
    client: DeephavenClient,
) -> None:
    table = client.open_table("prices_live")
    lock = client.session._r_lock
    with held_by_another_thread(lock.acquire, lock.release):
        del table


def test_a_closed_session_leaves_no_thread(trading_server: TradingServer) -> None:
    def threads() -> set[threading.Thread]:
        return {t for t in threading.enumerate() if t.name == "release tables"}

    before = threads()
    with DeephavenClient(port=trading_server.options.port):
        assert len(threads() - before) == 1
    wait_until(lambda: not threads() - before, 10, "the session's thread to end")


class FlakyTable:
    """Stands for a table of a server that is coming up."""

    def __init__(self) -> None:
        self.attempts = 0

    def __call__(self) -> object:
        self.attempts += 1
        raise RuntimeError("flight: connection reset while the server comes up")


def test_following_again_survives_any_error_and_ends_when_stopped() -> None:
    flaky = FlakyTable()
    table = LiveTable(flaky, None, on_lost=lambda: None)  # type: ignore[arg-type]
    with pytest.raises(ServerError, match="connection reset"):
        table.start()
    returning = threading.Thread(target=table._come_back)
    returning.start()
    wait_until(lambda: flaky.attempts >= 3, 10, "another attempt")
    assert "connection reset" in table.last_error
    table.stop()
    returning.join(5)
    assert not returning.is_alive()
    with pytest.raises(ClientError, match="no longer followed"):
        table.wait_for(bool, 5)


def test_errors_survive_pickling() -> None:
    for kind in (ClientError, ServerUnreachable, AccessDenied, DeadlineExceeded, TableNotFound):
        error = pickle.loads(pickle.dumps(kind("what to do")))
        assert isinstance(error, kind)
        assert str(error) == "what to do"
