"""What goes wrong around a bridge, and that it goes on without a gap or a repeat."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from bridge import State, StoreBridge
from store.client import StoreClient
from store.models import Trade
from store.schema import provision_user
from store.server import ObjectStoreServer
from tests.bridge.books import assert_same_versions, histories, present, rows_of, trades
from tests.bridge.conftest import MakeBridge
from tests.bridge.random_writer import RandomWriter
from tests.bridge.writers import all_ids, writers
from tests.processes import ROOT, Process, wait_until
from tests.store.desk import ADMIN_PASSWORD, Desk, password_of

_CUT = """
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
WHERE datname = current_database() AND application_name LIKE '%subscriber%'
"""


def test_connections_that_are_cut(make_bridge: MakeBridge, desk: Desk, alice: StoreClient) -> None:
    bridge = make_bridge()
    bridge.register(Trade)
    bridge.start()
    process = writers(desk, range(1), 600)[0]
    admin = desk.admin()
    cuts = 0
    while process.child.poll() is None:
        reconnects = bridge.status().reconnects
        with admin.cursor() as cursor:
            cursor.execute(_CUT)
            cuts += cursor.fetchall()[0][0]
        wait_until(
            lambda before=reconnects: (
                bridge.status().reconnects > before and bridge.status().state is State.LIVE
            ),
            20,
            "a new connection",
        )
    assert process.wait(60) == 0, process.output
    assert cuts
    assert bridge.flush(30)
    assert_same_versions(rows_of(bridge.table(Trade)), histories(alice, Trade, all_ids(alice)))
    assert sorted(rows_of(bridge.live(Trade))) == present(alice, Trade)
    assert "connection" in bridge.status().error
    assert bridge.status().checkpoint


def test_postgres_restarts(engine: object) -> None:
    # A server of its own: the others' connections shall live on.
    folder = Path(tempfile.mkdtemp(prefix="store-of-tests-"))
    server = ObjectStoreServer(folder / "data", ADMIN_PASSWORD).start()
    try:
        admin = server.admin_conn()
        provision_user(admin, "alice", password_of("alice"))
        admin.close()
        login = {"user": "alice", "password": password_of("alice"), **server.conn_info()}
        with StoreClient(**login) as alice, StoreBridge(**login) as bridge:
            bridge.register(Trade)
            bridge.start()
            writer = RandomWriter(alice, 5)
            writer.write(50)
            assert bridge.flush()
            server.stop()
            wait_until(lambda: bridge.status().state is State.RECONNECTING, 20, "the loss")
            server.start()
            # Reading first: it connects again, which a write alone would not risk.
            alice.count(Trade)
            writer.write(50)
            wait_until(lambda: bridge.status().state is State.LIVE, 30, "the way back")
            assert bridge.flush(30)
            stored = histories(alice, Trade, all_ids(alice))
            assert_same_versions(rows_of(bridge.table(Trade)), stored)
            assert sorted(rows_of(bridge.live(Trade))) == present(alice, Trade)
            assert bridge.status().reconnects >= 1
            assert bridge.status().checkpoint
    finally:
        server.stop()
        shutil.rmtree(folder)


def test_a_burst(make_bridge: MakeBridge, alice: StoreClient) -> None:
    count, each = 100_000, 10_000
    bridge = make_bridge(max_pending_rows=5_000)
    bridge.register(Trade, rows=1_000)
    bridge.start()
    for first in range(0, count, each):
        alice.write_many([Trade("A", first + n, 1.0, "BUY") for n in range(each)])
    assert bridge.flush(120)
    assert bridge.status().tables["Trade"].rows == count
    assert [row[0] for row in rows_of(bridge.table(Trade), "quantity")] == list(
        range(count - 1_000, count)
    )
    assert bridge.live(Trade).size == count


def test_a_bridge_that_is_killed_and_started_again(
    desk: Desk, alice: StoreClient, tmp_path: Path
) -> None:
    """A child with an engine of its own shows rows and passes them on to a file as well."""
    writer = RandomWriter(alice, 11)
    told: list[tuple[str, int]] = []
    live = ""
    for life in range(2):
        log = tmp_path / f"rows-{life}.txt"
        process = start_child(desk, log)
        writer.write(150)
        if life == 0:
            wait_until(lambda log=log: lines_of(log) >= 100, 60, "rows in the file")
            end_child(process, signal.SIGKILL)
            told += versions_in(log)
            writer.write(100)  # nobody looks
        else:
            assert process.child.stdin is not None
            process.child.stdin.write("show\n")
            process.child.stdin.flush()
            process.wait_for_output("SHOWN ", 60)
            live = process.output.split("SHOWN ")[1].splitlines()[0]
            assert end_child(process, signal.SIGTERM) == 0, process.output
            second = versions_in(log)
    every = sorted((row[0], row[1]) for row in histories(alice, Trade, all_ids(alice)))
    # Each life shows a version once; the checkpoint may be behind what was passed on.
    assert len(set(told)) == len(told)
    assert len(set(second)) == len(second)
    assert sorted({*told, *second}) == every
    shown = json.loads(live)
    assert [tuple(pair) for pair in shown["raw"]] == second
    assert sorted(map(tuple, shown["live"])) == [row[:2] for row in present(alice, Trade)]


def start_child(desk: Desk, log: Path) -> Process:
    login = json.dumps({"user": "alice", "password": password_of("alice"), **desk.info})
    process = Process(
        *(sys.executable, "-m", "tests.bridge.bridge_process", str(log), login),
        cwd=ROOT,
        stdin=subprocess.PIPE,
    )
    process.wait_for_output("FOLLOWING", 90)
    return process


def end_child(process: Process, number: int) -> int:
    status = process.end(number)
    assert process.child.stdin is not None
    process.child.stdin.close()
    return status


def lines_of(path: Path) -> int:
    return path.read_text().count("\n") if path.exists() else 0


def versions_in(path: Path) -> list[tuple[str, int]]:
    # A line that was being written when the process was killed is not whole.
    whole = path.read_text().split("\n")[:-1]
    return [(entity_id, int(version)) for entity_id, version in map(str.split, whole)]


@pytest.mark.parametrize("kind", ["raises", "dies"])
def test_a_writer_that_fails_loses_its_own_rows_alone(
    make_bridge: MakeBridge, alice: StoreClient, kind: str
) -> None:
    from store.models import Order

    seen = []

    class Writer:
        def write_row(self, *values: object) -> None:
            if kind == "raises" and values[1] == 2:
                raise RuntimeError("no")
            if kind == "dies" and seen:
                raise RuntimeError("never again")
            seen.append(values[1])

    bridge = make_bridge()
    bridge.register(Trade, writer=Writer())
    bridge.register(Order)
    bridge.start()
    trade = trades(1)[0]
    alice.write(trade)
    alice.update(trade)
    alice.update(trade)
    alice.write(Order(symbol="A", quantity=1, side="BUY"))
    assert bridge.flush()
    assert seen == ([1, 3] if kind == "raises" else [1])
    status = bridge.status()
    assert status.state is State.LIVE
    assert status.tables["Trade"].lost_rows == 3 - len(seen)
    assert "RuntimeError: " in status.tables["Trade"].last_error
    assert bridge.table(Order).size == bridge.live(Trade).size == 1
