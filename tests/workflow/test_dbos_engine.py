"""What holds for the engine on PostgreSQL alone: its life, its processes and its silence."""

from __future__ import annotations

import asyncio
import pickle
import signal
import sys
import threading
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from dbos._dbos import _get_dbos_instance

from tests.processes import Process, wait_until
from tests.workflow import flows
from tests.workflow.scripts import run, script
from workflow import (
    EngineNotRunning,
    EngineUnavailable,
    NotRecoverable,
    OptionError,
    RateLimit,
    ResultTimeout,
    WorkflowStatus,
    errors,
)
from workflow.dbos import backend
from workflow.dbos.process import application_name
from workflow.dbos_engine import DBOSEngine

SECONDS = 20.0


# --- life -----------------------------------------------------------------------------------------


def test_one_engine_a_process(database_url: str) -> None:
    refused = pytest.raises(EngineNotRunning, match="engine 'one' runs in this process already")
    with DBOSEngine(database_url, "one"), refused:
        DBOSEngine(database_url, "two").launch()
    with DBOSEngine(database_url, "two") as engine:
        assert engine.launch() is engine
        assert engine.run(flows.greet, "two") == "hello two"
    engine.destroy()


def test_wrong_addresses(database_url: str) -> None:
    with pytest.raises(OptionError, match="must begin with postgresql://"):
        DBOSEngine("sqlite:///here.db")
    with pytest.raises(OptionError, match="an engine needs a name"):
        DBOSEngine(database_url, " ")
    wrong = database_url.rsplit("/", 1)[0] + "/nothing_there"
    with pytest.raises(EngineUnavailable, match="cannot be used") as caught:
        DBOSEngine(wrong, "lost").launch()
    password = database_url.split(":")[2].split("@", maxsplit=1)[0]
    assert password not in str(caught.value)
    # Nothing is left of it.
    with DBOSEngine(database_url, "found") as engine:
        assert engine.run(flows.greet, "you") == "hello you"


def test_names_of_engines() -> None:
    assert application_name("settlement_2") == "settlement_2"
    names = ["Desk A", "desk a", "d", "D", "é" * 300, "x" * 300]
    found = {application_name(name) for name in names}
    assert len(found) == len(names)
    assert all(3 <= len(name) <= 100 for name in found)


def test_engines_of_other_names_keep_to_themselves(database_url: str) -> None:
    with DBOSEngine(database_url, "Desk A") as engine:
        engine.create_queue("q", 1)
        waits = engine.workflow(flows.receives, 1)
    with DBOSEngine(database_url, "Desk B", takeover_seconds=0) as engine:
        engine.create_queue("q", 5)
        assert engine.queue("q", flows.greet, "B").get_result(SECONDS) == "hello B"
        assert [info.function for info in engine.list_workflows()] == ["tests.workflow.flows:greet"]
        assert waits.workflow_id not in {info.workflow_id for info in engine.list_workflows()}
    with DBOSEngine(database_url, "Desk A", takeover_seconds=0) as engine:
        engine.send(waits.workflow_id, "go", 1)
        assert engine.get_workflow_result(waits.workflow_id, timeout=SECONDS) == [1]


def test_a_unix_socket_will_do(postgres_dsn: str) -> None:
    with DBOSEngine(postgres_dsn, "socket") as engine:
        assert engine.run(flows.greet, "you") == "hello you"


@pytest.mark.parametrize(
    "limits",
    [
        {"concurrency": 1},
        {"concurrency": None, "worker_concurrency": 1},
        {"concurrency": None, "rate_limit": RateLimit(1, 60.0)},
    ],
    ids=str,
)
def test_changed_limits_hold_for_what_is_queued_after_them(
    database_url: str, monkeypatch: pytest.MonkeyPatch, limits: dict[str, Any]
) -> None:
    """A queue's thread that has read the limits before they change claims nothing by them."""
    has_read, may_claim = threading.Event(), threading.Event()
    with DBOSEngine(database_url, "limits") as engine:
        engine.queue("changed", flows.nothing).get_result(SECONDS)
        database = _get_dbos_instance()._sys_db
        read = database.get_queue

        def read_then_wait(name: str) -> Any:
            found = read(name)
            if threading.current_thread().name.startswith("queue-worker-"):
                has_read.set()
                assert may_claim.wait(SECONDS)
            return found

        monkeypatch.setattr(database, "get_queue", read_then_wait)
        assert has_read.wait(SECONDS)
        engine.create_queue("changed", **limits)
        waiting = [engine.queue("changed", flows.receives, 1) for _ in range(3)]
        may_claim.set()

        def running() -> int:
            return len(engine.list_workflows(queue="changed", status=WorkflowStatus.RUNNING))

        # A claim takes all that it takes in one transaction.
        wait_until(running, SECONDS, "the first workflow")
        assert running() == 1
        for handle in waiting:
            engine.cancel(handle.workflow_id)


def test_old_workflows_are_forgotten_by_themselves(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backend, "_RETENTION_PERIOD_SECONDS", 0.1)
    with DBOSEngine(database_url, "short", retention=timedelta(0)) as engine:
        engine.workflow(flows.greet, "you")
        wait_until(lambda: not engine.list_workflows(), SECONDS, "an empty list")


def test_it_works_where_an_event_loop_runs(database_url: str) -> None:
    with DBOSEngine(database_url, "loop") as engine:

        async def notebook() -> tuple[str, int]:
            handle = engine.workflow(flows.receives, 1)
            engine.send(handle.workflow_id, "go", "message")
            assert handle.get_result(SECONDS) == ["message"]
            return engine.run(flows.greet, "you"), len(engine.list_workflows())

        assert asyncio.run(notebook()) == ("hello you", 2)


# --- what cannot go on ----------------------------------------------------------------------------

INTERRUPTED = """
    import sys, threading, time
    from workflow.dbos_engine import DBOSEngine

    class Local:
        pass

    def waits(first, lock=None):
        print("running", flush=True)
        engine.recv("go")

    engine = DBOSEngine(sys.argv[1], "interrupted", takeover_seconds=0).launch()
    if __name__ == "__main__":
        kind = sys.argv[2]
        start = engine.options(workflow_id=kind)
        if kind == "lambda":
            start.run(lambda: waits(1))
        elif kind == "lock":
            start.run(waits, 1, threading.Lock())
        elif kind == "gone":
            start.workflow(waits, 1)
            time.sleep(60)
        elif kind == "class":
            start.workflow(waits, Local())
            time.sleep(60)
"""


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("lambda", "cannot go on: .*it is a lambda"),
        ("lock", "cannot go on: an argument of .* cannot be pickled"),
        ("gone", "cannot be found: .*script.py"),
        ("class", "was pickled but cannot be loaded"),
    ],
)
def test_what_cannot_go_on_says_why(
    database_url: str, tmp_path: Path, kind: str, text: str
) -> None:
    """What no process could ever go on with ends; what one might know that comes later waits."""
    path = script(tmp_path, INTERRUPTED)
    process = Process(sys.executable, str(path), database_url, kind, env={"PYTHONPATH": "."})
    process.wait_for_output("running")
    process.end(signal.SIGKILL)
    path.unlink()
    with DBOSEngine(database_url, "interrupted", takeover_seconds=0) as engine:
        if kind in ("lambda", "lock"):
            with pytest.raises(NotRecoverable, match=text):
                engine.get_workflow_result(kind, timeout=SECONDS)
        else:
            wait_until(lambda: engine._backend.info(kind).blocked, SECONDS, "a reason")
            with pytest.raises(ResultTimeout, match=f"it is PENDING, and waits: .*{text}"):
                engine.get_workflow_result(kind, timeout=0.1)


def test_functions_of_a_script_are_found_again(database_url: str, tmp_path: Path) -> None:
    """Also by a process that runs something else, through the path of the script."""
    path = script(
        tmp_path,
        """
        import sys, time
        from workflow import current_engine
        from workflow.dbos_engine import DBOSEngine

        def waits(name):
            print("running", flush=True)
            return f"{name} got {current_engine().recv('go')}"

        if __name__ == "__main__":
            engine = DBOSEngine(sys.argv[1], "script", takeover_seconds=0).launch()
            engine.options(workflow_id="of a script").workflow(waits, "script")
            time.sleep(60)
        """,
    )
    process = Process(sys.executable, str(path), database_url, env={"PYTHONPATH": "."})
    process.wait_for_output("running")
    process.end(signal.SIGKILL)
    with DBOSEngine(database_url, "script", takeover_seconds=0) as engine:
        engine.send("of a script", "go", "on")
        assert engine.get_workflow_result("of a script", timeout=SECONDS) == "script got on"


# --- silence --------------------------------------------------------------------------------------

QUIET = """
    import sys, threading, time
    import psutil
    from workflow import current_engine
    from workflow.dbos_engine import DBOSEngine

    def fails():
        raise ValueError("no")

    def sleeps():
        current_engine().sleep(3_600)

    def waits():
        current_engine().recv("go")

    if __name__ == "__main__":
        with DBOSEngine(sys.argv[1], "quiet") as engine:
            engine.create_queue("q", 1)
            for start in (engine.workflow, lambda fn: engine.queue("q", fn)):
                try:
                    start(fails).get_result(20)
                except ValueError:
                    pass
            cancelled = engine.workflow(waits)
            engine.cancel(cancelled.workflow_id)
            engine.send(cancelled.workflow_id, "go", 1)
            engine.workflow(waits)
            engine.workflow(sleeps)
            engine.queue("q", sleeps)
            time.sleep(1.5)
            for each in psutil.Process().net_connections("inet"):
                if each.raddr:
                    print(each.raddr.ip, each.raddr.port)
"""


def test_nothing_is_said_and_nothing_leaves_the_machine(database_url: str, tmp_path: Path) -> None:
    before = time.monotonic()
    done = run(script(tmp_path, QUIET), database_url)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    # The sleeper and the receivers do not hold up the end of the process.
    assert time.monotonic() - before < 30
    port = database_url.split("@")[1].split(":")[1].split("/", maxsplit=1)[0]
    assert set(done.stdout.splitlines()) == {f"127.0.0.1 {port}"}


# --- errors ---------------------------------------------------------------------------------------


def test_errors_survive_pickle() -> None:
    plain = [
        kind
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, errors.WorkflowError)
    ]
    made = [
        errors.OpaqueError("a.B", "text", "trace")
        if kind is errors.OpaqueError
        else errors.CompensationFailed(ValueError("no"), [("step", OSError("x"))])
        if kind is errors.CompensationFailed
        else kind("what was asked, and what to do")
        for kind in plain
    ]
    assert len(made) > 15
    for error in made:
        twin = pickle.loads(pickle.dumps(error))
        assert type(twin) is type(error)
        assert str(twin) == str(error)
    assert issubclass(errors.StepTimeout, TimeoutError)


def test_a_status_is_its_text() -> None:
    assert WorkflowStatus("RUNNING") is WorkflowStatus.RUNNING
    assert [status.value for status in WorkflowStatus if status.is_final] == [
        "SUCCESS",
        "ERROR",
        "CANCELLED",
    ]
