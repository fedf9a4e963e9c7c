"""What other roles of the database, and a database that was lost for a moment, cannot stop."""

from __future__ import annotations

import hashlib
import itertools
import signal
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from store.server import ObjectStoreServer
from tests.processes import Process, wait_until
from tests.workflow import flows
from tests.workflow.scripts import script
from workflow import WorkflowStatus
from workflow.dbos import sweeper
from workflow.dbos_engine import DBOSEngine

SECONDS = 30.0
_numbers = itertools.count(1)

WAITS = """
    import sys, time
    from tests.workflow import flows
    from workflow.dbos_engine import DBOSEngine

    if __name__ == "__main__":
        with DBOSEngine(sys.argv[1], "shared") as engine:
            engine.options(workflow_id="of the dead").workflow(flows.receives, 1)
            print("running", flush=True)
            time.sleep(300)
"""


class Stranger:
    """Logins of a role that has nothing but CONNECT, as where the store is in the same database."""

    def __init__(self, server: ObjectStoreServer, url: str) -> None:
        self.where = {**server.conn_info(), "dbname": url.rsplit("/", 1)[1]}
        self.user = f"stranger_{next(_numbers)}"
        self.admin = psycopg2.connect(user="postgres", password="only for tests", **self.where)
        self.admin.autocommit = True
        self.open: list[Any] = [self.admin]
        with self.admin.cursor() as cursor:
            cursor.execute(f"CREATE ROLE {self.user} LOGIN PASSWORD 'of a stranger'")
            cursor.execute(f"GRANT CONNECT ON DATABASE {self.where['dbname']} TO {self.user}")

    def login(self, **options: Any) -> Any:
        connection = psycopg2.connect(
            user=self.user, password="of a stranger", **self.where, **options
        )
        connection.autocommit = True
        self.open.append(connection)
        return connection

    def asked(self, statement: str) -> list[Any]:
        """What the administrator sees."""
        with self.admin.cursor() as cursor:
            cursor.execute(statement)
            return list(cursor.fetchall()) if cursor.description else []


@pytest.fixture
def stranger(workflow_server: ObjectStoreServer, database_url: str) -> Iterator[Stranger]:
    found = Stranger(workflow_server, database_url)
    yield found
    for connection in found.open[1:]:
        connection.close()
    with found.admin.cursor() as cursor:
        cursor.execute(f"DROP OWNED BY {found.user}")
        cursor.execute(f"DROP ROLE {found.user}")
    found.admin.close()


def test_another_role_cannot_pass_for_a_process_that_is_dead(
    stranger: Stranger, database_url: str, tmp_path: Path
) -> None:
    path = script(tmp_path, WAITS)
    process = Process(sys.executable, str(path), database_url, env={"PYTHONPATH": "."})
    process.wait_for_output("running")
    # The database is a copy of one in which other tests ran theirs.
    [(executor_id,)] = stranger.asked(
        "SELECT executor_id FROM dbos.workflow_status WHERE workflow_uuid = 'of the dead'"
    )
    sessions = "SELECT usename FROM pg_stat_activity WHERE application_name = "
    assert len(stranger.asked(f"{sessions} '{executor_id}'")) == 1
    stranger.login(application_name=executor_id)
    process.end(signal.SIGKILL)
    with DBOSEngine(database_url, "shared", takeover_seconds=0.5) as engine:
        engine.send("of the dead", "go", "on")
        assert engine.get_workflow_result("of the dead", timeout=SECONDS) == ["on"]
    assert stranger.asked(f"{sessions} '{executor_id}'") == [(stranger.user,)]


def test_no_lock_of_another_role_holds_an_engine_up(stranger: Stranger, database_url: str) -> None:
    """Any role of a database may take any advisory lock there, and keep it."""
    name = "dbos.background_job.dbos.locked.background_jobs"
    digest = hashlib.sha256(name.encode()).digest()[:8]
    chores = int.from_bytes(digest, "big", signed=True)
    with (
        DBOSEngine(database_url, "locked", takeover_seconds=0.5) as engine,
        stranger.login().cursor() as cursor,
    ):
        cursor.execute("SELECT pg_advisory_lock(%s)", [chores])
        waits = engine.workflow(flows.receives, 1)
        delayed = engine.options(delay=0.3).queue("q", flows.greet, "you")
        timed = engine.options(timeout=0.5).workflow(flows.receives, 1)
        assert delayed.get_result(SECONDS) == "hello you"
        wait_until(lambda: timed.get_status() is WorkflowStatus.CANCELLED, SECONDS, "the timeout")
        engine.cancel(waits.workflow_id)
        # Whatever locks the engine itself takes while it steers, are tried for, too.
        held = stranger.asked(
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid NOT IN "
            f"(SELECT pid FROM pg_stat_activity WHERE usename = '{stranger.user}')"
        )
        assert held == [(0,)]
        engine.resume(waits.workflow_id)
        engine.send(waits.workflow_id, "go", "on")
        assert waits.get_result(SECONDS) == ["on"]
        assert engine.delete_finished(timedelta(0)) >= 2


def test_what_was_claimed_and_never_run_is_run(
    stranger: Stranger, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database was lost between the claim and the start."""
    monkeypatch.setattr(sweeper, "_SWEEPS_UNTIL_LOST", 2)
    with DBOSEngine(database_url, "lost") as engine:
        handle = engine.options(delay=3_600).queue("q", flows.greet, "you")
        stranger.asked(
            "UPDATE dbos.workflow_status SET status = 'PENDING', owner_xid = 'lost', "
            f"executor_id = '{engine._backend.process.executor_id}'"
        )
        assert handle.get_result(SECONDS) == "hello you"


def test_one_that_was_interrupted_too_often_can_be_resumed(
    stranger: Stranger, database_url: str
) -> None:
    with DBOSEngine(database_url, "often") as engine:
        handle = engine.options(delay=3_600).queue("q", flows.greet, "you")
        stranger.asked("UPDATE dbos.workflow_status SET status = 'MAX_RECOVERY_ATTEMPTS_EXCEEDED'")
        [info] = engine.list_workflows()
        assert info.status is WorkflowStatus.ERROR
        assert "each process that ran it ended" in (info.blocked or "")
        engine.resume(handle.workflow_id)
        assert handle.get_result(SECONDS) == "hello you"
