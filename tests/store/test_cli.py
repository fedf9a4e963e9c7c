"""`python -m store`, each time as a process of its own."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from contextlib import nullcontext
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import SimpleNamespace

import psycopg2
import pyarrow.parquet as pq
import pytest

from store.cli import main
from store.client import StoreClient
from store.models import Trade
from store.server import ObjectStoreServer
from tests.processes import ROOT, Process, alive, wait_until
from tests.store.commands import command
from tests.store.desk import Desk


def test_an_embedded_server_is_started_used_and_stopped(folder: Path) -> None:
    data = ("--data-dir", folder)
    # Nobody runs it: it is started for as long as the command takes.
    made = command("provision", "alice", *data, "--password-stdin", stdin="pw\n")
    assert (made.returncode, made.stdout, made.stderr) == (0, "alice may log in.\n", "")
    server = Process(sys.executable, "-m", "store", "start", *map(str, data))
    server.wait_for_output("Ctrl-C stops it.")
    port = int((folder / "port").read_text())
    assert f"127.0.0.1:{port}" in server.output
    with StoreClient("alice", "pw", "127.0.0.1", port) as client:
        client.write(Trade(symbol="AAPL"))
    # Somebody runs it: it is asked, and goes on running.
    status = command("status", *data)
    assert status.returncode == 0, status.stderr
    shown = {line[:28].strip(): line[28:] for line in status.stdout.splitlines()}
    assert (shown["users"], shown["entities"], shown["events"]) == ("alice", "1", "1")
    again = command("start", *data)
    assert (again.returncode, "in use by another process" in again.stderr) == (3, True)
    assert command("verify", *data).returncode == 0
    assert server.end(signal.SIGTERM) == 0
    assert "Stopping." in server.output
    with pytest.raises(psycopg2.OperationalError):
        psycopg2.connect(host="127.0.0.1", port=port, user="alice", password="pw")


def test_a_command_waits_for_a_server_that_is_being_started(folder: Path) -> None:
    """As in a script that starts it in the background and goes on at once."""
    data = ("--data-dir", folder)
    server = Process(sys.executable, "-m", "store", "start", *map(str, data))
    # From here on its directory is in use; the cluster itself is yet to be made.
    try:
        wait_until((folder / "admin_password").exists, 60, "the beginning")
        made = command("provision", "alice", *data, "--password-stdin", stdin="pw\n")
        assert (made.returncode, made.stdout, made.stderr) == (0, "alice may log in.\n", "")
        server.wait_for_output("Ctrl-C stops it.")
        wrong = command("status", *data, OBJECT_STORE_ADMIN_PASSWORD="guessed")
        assert (wrong.returncode, "authentication failed" in wrong.stderr) == (3, True)
    finally:
        assert server.end(signal.SIGTERM, 60) == 0


@pytest.mark.made_cluster
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_start_that_is_interrupted_leaves_no_server(folder: Path, number: int) -> None:
    with ObjectStoreServer(folder):
        pass
    server = Process(sys.executable, "-m", "store", "start", "--data-dir", str(folder))
    pid_file = folder / "pg" / "postmaster.pid"
    wait_until(lambda: pid_file.exists() and pid_file.read_text(), 60, "the server")
    pid = int(pid_file.read_text().split()[0])
    assert server.end(number, 60) in (0, 130)
    assert not pid_file.exists()
    assert not alive(pid)


def test_a_signal_ends_it_well_at_every_moment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As soon as it has said that it runs; and where the signal comes just before it waits."""
    said: list[str] = []

    def interrupted(text: str) -> None:
        said.append(text)
        if "Ctrl-C" in text:
            signal.raise_signal(signal.SIGTERM)

    server = SimpleNamespace(
        conn_info=lambda: {"host": "h", "port": 1, "dbname": "d"}, is_embedded=True, data_dir="x"
    )
    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr("store.cli.start.reached", lambda *_, **__: nullcontext(server))
    monkeypatch.setattr("store.cli.start.say", interrupted)
    try:
        assert main(["start"]) == 0
    finally:
        signal.signal(signal.SIGTERM, before)
    assert said[-1] == "Stopping."


def test_users_are_looked_after(desk: Desk, where: dict[str, str]) -> None:
    def logs_in(password: str) -> bool:
        try:
            StoreClient("erin", password, **desk.info).close()
        except Exception:  # noqa: BLE001 - whichever way it is refused
            return False
        return True

    for name, password in (("provision", "one"), ("passwd", "two")):
        done = command(name, "erin", "--password-stdin", stdin=f"{password}\n", **where)
        assert done.returncode == 0, done.stderr
        assert logs_in(password)
    assert not logs_in("one")
    assert command("disable", "erin", **where).returncode == 0
    assert not logs_in("two")
    assert "erin (disabled)" in command("status", **where).stdout


def test_a_password_is_asked_for_on_the_terminal(desk: Desk, where: dict[str, str]) -> None:
    main, terminal = pty.openpty()
    child = subprocess.Popen(
        [sys.executable, "-m", "store", "provision", "fred"],
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        env={**os.environ, **where},
        cwd=ROOT,
        start_new_session=True,
    )
    os.close(terminal)
    seen = ""
    for prompt in ("a password for fred: ", "again: "):
        while prompt not in seen:
            seen += os.read(main, 1024).decode()
        os.write(main, b"typed in\n")
    assert child.wait(60) == 0
    os.close(main)
    assert "typed in" not in seen
    StoreClient("fred", "typed in", **desk.info).close()


def test_verify_says_by_its_exit_status_whether_all_is_well(
    desk: Desk, alice: StoreClient, where: dict[str, str]
) -> None:
    alice.write_many([Trade(symbol="AAPL", quantity=n) for n in range(30)])
    good = command("verify", **where)
    assert (good.returncode, good.stderr) == (0, "")
    assert good.stdout.startswith("30 events of 30 entities were checked.\nNothing was altered")
    with desk.admin().cursor() as cursor:
        cursor.execute("UPDATE object_store.event SET updated_by = 'bob'")
    bad = command("verify", **where)
    assert bad.returncode == 1
    assert "version 1: it does not fit its hash" in bad.stdout
    # Each event does not fit, and is not what is read.
    assert bad.stdout.endswith("and 40 breaks more\n")


def test_a_class_is_exported_as_its_user_sees_it(
    alice: StoreClient, bob: StoreClient, where: dict[str, str], tmp_path: Path
) -> None:
    stamp = datetime(2026, 2, 22, 10, tzinfo=timezone.utc)
    alice.write_many([Trade("AAPL", n, n / 4, "BUY", stamp) for n in range(1_200)])
    bob.write(Trade(symbol="BOBS"))

    def export(name: str, *more: str) -> subprocess.CompletedProcess[str]:
        arguments = ("--user", "alice", "--password-stdin", *more)
        password = "the password of alice\n"
        target = tmp_path / name
        return command("export", "store.models.Trade", target, *arguments, stdin=password, **where)

    lines, parquet = export("trades.jsonl"), export("trades.parquet")
    assert (lines.returncode, parquet.returncode) == (0, 0), (lines.stderr, parquet.stderr)
    assert lines.stdout.startswith("1200 entities were written")
    written = list(map(json.loads, (tmp_path / "trades.jsonl").read_text().splitlines()))
    assert [each["data"]["quantity"] for each in written] == list(range(1_200))
    assert {each["owner"] for each in written} == {"alice"}
    table = pq.read_table(tmp_path / "trades.parquet")
    assert table["_entity_id"].to_pylist() == [each["entity_id"] for each in written]
    assert table["timestamp"].to_pylist() == [stamp] * 1_200
    assert "exists already" in export("trades.jsonl").stderr
    early = (stamp - timedelta(days=1)).isoformat()
    assert export("none.parquet", "--valid-time", early).stdout.startswith("0 entities")
    assert export("trades.xlsx").returncode == 3
    assert sorted(each.name for each in tmp_path.iterdir()) == [
        "none.parquet",
        "trades.jsonl",
        "trades.parquet",
    ]


@pytest.mark.shared_database
@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        ([], 2, "required: COMMAND"),
        (["explode"], 2, "invalid choice"),
        (["provision"], 2, "required: name"),
        (["provision", "Eve", "--password-stdin"], 3, "cannot be a user's name"),
        (["provision", "eve"], 3, "--password-stdin"),
        (["disable", "nobody"], 3, "no user of the store"),
        (["status", "--dsn", "host=127.0.0.1 port=1"], 3, "cannot log in"),
        (["status", "--dsn", "host=x password=secret"], 3, "everybody on this machine can read"),
        (["status", "--dsn", "host"], 3, "the dsn cannot be read"),
        (["export", "store.models.Nothing", "x.jsonl", "--user", "alice"], 3, "no class"),
        (
            ["export", "json.JSONDecoder", "x.jsonl", "--user", "alice"],
            3,
            "expected a Storable class",
        ),
        (["export", "a.B", "x.jsonl", "--user", "a", "--tx-time", "noon"], 2, "no ISO 8601"),
    ],
)
def test_what_is_wrong_is_said_on_one_line(
    where: dict[str, str], arguments: list[str], status: int, said: str
) -> None:
    done = command(*arguments, **where)
    assert done.returncode == status
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert "secret" not in done.stderr
    assert done.stdout == ""


def test_a_database_without_a_store_says_so(where: dict[str, str]) -> None:
    elsewhere = where["OBJECT_STORE_DSN"].replace("dbname=desk", "dbname=nothing-desk")
    assert command("status", OBJECT_STORE_DSN=elsewhere).returncode == 3
    template = where["OBJECT_STORE_DSN"] + " dbname=template1"
    done = command("status", OBJECT_STORE_DSN=template)
    assert (done.returncode, "holds no store" in done.stderr) == (3, True)
