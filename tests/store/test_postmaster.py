"""A server is known by its data directory and start time, whatever a pid file says."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

import store.admin.postmaster
from store.admin.postmaster import running_on
from store.server import ObjectStoreServer
from tests.processes import Process, wait_until


@pytest.fixture
def folder() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="store-of-tests-"))
    yield path
    shutil.rmtree(path)


def answers(server: ObjectStoreServer) -> bool:
    connection = server.admin_conn()
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
            return bool(cursor.fetchone() == (1,))
    finally:
        connection.close()


def test_a_pid_file_of_anything_stops_nobody_elses_server(folder: Path) -> None:
    """Left behind by a crash, cut off, or its number used again by another cluster."""
    data = folder / "one" / "pg"
    mine = ObjectStoreServer(folder / "one")
    with mine:
        port = mine.conn_info()["port"]
    file, owner = data / "postmaster.pid", data.stat()
    with ObjectStoreServer(folder / "two") as other:
        theirs = running_on(folder / "two" / "pg")
        assert theirs is not None
        assert theirs.status == "ready"
        backend = theirs.process.children()[0]
        sleeper = Process("sleep", "600")
        now = int(time.time())
        rest = f"{data}\n{now}\n{port}\n\n127.0.0.1\n  1 2\n"
        for text in (
            *(b"", b"\n", b"123", b"-5\n\n1\n", b"\0\xff\0garbage\n", b"9" * 100 + b"\n\n1\n"),
            f"123\n{data}\n1700".encode(),
            f"999999\n{rest}ready   \n".encode(),
            # Of the other cluster: its server, as it is in each of its states, and a child of it.
            f"{theirs.process.pid}\n{rest}ready   \n".encode(),
            f"{theirs.process.pid}\n{rest}stopping\n".encode(),
            f"{backend.pid}\n{rest}starting\n".encode(),
            # No server at all, this program itself, and one that is named like it.
            f"{sleeper.child.pid}\n{rest}ready   \n".encode(),
            f"{os.getpid()}\n{rest}stopping\n".encode(),
            f"1\n{rest}ready   \n".encode(),
        ):
            file.write_bytes(text)
            os.chown(file, owner.st_uid, owner.st_gid)
            assert running_on(data) is None, text
            with mine:
                assert answers(mine), text
                assert mine.conn_info()["port"] == port, text
            assert not file.exists()
            assert answers(other), text
            assert psutil.pid_exists(backend.pid), text
            assert sleeper.child.poll() is None, text
        sleeper.end(signal.SIGKILL)


def test_a_server_is_found_without_its_pid_file(folder: Path) -> None:
    """Deleted, or overwritten, while the server runs and its program was killed."""
    server = ObjectStoreServer(folder)
    server.start()
    running = running_on(folder / "pg")
    assert running is not None
    file = folder / "pg" / "postmaster.pid"
    text = file.read_text()
    for damaged in (None, "", "garbage\n", text.replace(str(running.process.pid), "1", 1)):
        file.unlink()
        if damaged is not None:
            file.write_text(damaged)
        found = running_on(folder / "pg")
        assert found is not None
        assert found.process == running.process
        assert found.port is None
        file.unlink(missing_ok=True)
        file.write_text(text)
    file.write_text("")
    # It is not left to run beside a new one.
    server.stop()
    assert not psutil.pid_exists(running.process.pid) or (
        running.process.status() == psutil.STATUS_ZOMBIE
    )
    with ObjectStoreServer(folder) as again:
        assert answers(again)


def test_a_directory_under_another_name_is_the_same(folder: Path) -> None:
    (folder / "link").symlink_to(folder / "real")
    (folder / "real").mkdir()
    with ObjectStoreServer(folder / "link"):
        assert running_on(folder / "real" / "pg") == running_on(folder / "link" / "pg") is not None
    with ObjectStoreServer(folder / "real") as server:
        assert answers(server)


def test_where_directories_cannot_be_seen_the_start_time_decides(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a container, where even root may not look into another user's process."""
    with ObjectStoreServer(folder):
        monkeypatch.setattr(store.admin.postmaster, "_works_in", lambda *_: None)
        file = folder / "pg" / "postmaster.pid"
        found = running_on(folder / "pg")
        assert found is not None
        lines = file.read_text().splitlines()
        lines[2] = str(int(lines[2]) - 3600)
        file.write_text("\n".join(lines) + "\n")
        assert running_on(folder / "pg") is None
        monkeypatch.undo()
        assert running_on(folder / "pg") == found


@pytest.mark.parametrize("number", [signal.SIGSTOP, signal.SIGCONT])
def test_what_a_killed_server_left_running_is_ended(
    folder: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    """One that runs on ends by itself; one that hangs, as on a lock of a dead one, is ended."""
    monkeypatch.setattr(store.admin.postmaster, "_ORPHAN_SECONDS", 1.0)
    server = ObjectStoreServer(folder).start()
    hanging = server.admin_conn()
    backend = psutil.Process(hanging.info.backend_pid)
    running = running_on(folder / "pg")
    assert running is not None
    backend.send_signal(number)
    running.process.kill()
    wait_until(lambda: running_on(folder / "pg") is None, 30, "the end of the server")
    server.stop()
    with ObjectStoreServer(folder) as again:
        assert not backend.is_running() or backend.status() == psutil.STATUS_ZOMBIE
        assert answers(again)
    hanging.close()
