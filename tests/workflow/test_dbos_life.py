"""The engine's life on PostgreSQL: its launch, its end, and who takes over from whom."""

from __future__ import annotations

import os
import signal
import sys
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from dbos import DBOS

from tests.processes import Process, wait_until
from tests.workflow import flows
from tests.workflow.holding import SECONDS
from tests.workflow.scripts import script
from workflow import WorkflowInfo
from workflow.backend import Filter, Scheduled
from workflow.dbos import DBOSBackend
from workflow.dbos.liveness import Liveness
from workflow.dbos.views import find_one
from workflow.dbos_engine import DBOSEngine


def test_what_waits_may_run_before_the_launch_is_over(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with DBOSEngine(database_url, "slow") as engine:
        engine.create_queue("q", 1)
        waits = engine.options(delay=1).queue("q", flows.greet, "you").workflow_id
    launch = DBOS.launch

    def slow() -> None:
        launch()
        wait_until(lambda: (found := find_one(waits)) and found.status.is_final, SECONDS, "its end")

    monkeypatch.setattr(DBOS, "launch", slow)
    with DBOSEngine(database_url, "slow") as engine:
        assert engine.get_workflow_result(waits, timeout=SECONDS) == "hello you"


def test_an_interrupted_launch_leaves_nothing_behind(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    launch = DBOS.launch

    def interrupted() -> None:
        launch()
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(DBOS, "launch", interrupted)
        with pytest.raises(KeyboardInterrupt):
            DBOSEngine(database_url, "interrupted").launch()
    with DBOSEngine(database_url, "again") as engine:
        assert engine.run(flows.greet, "you") == "hello you"


def test_who_begins_to_wait_while_the_engine_stops_is_interrupted(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_it, go_on = threading.Event(), threading.Event()
    receive = DBOSBackend.receive

    def late(self: DBOSBackend, topic: str, timeout: float | None) -> bytes | None:
        receiving.append(threading.current_thread())
        return receive(self, topic, timeout)

    def slow(*arguments: object) -> object:
        at_it.set()
        assert go_on.wait(60)
        return setup(*arguments)

    receiving: list[threading.Thread] = []
    monkeypatch.setattr(DBOSBackend, "receive", late)
    with DBOSEngine(database_url, "late") as engine:
        database = engine._backend.process._instance._sys_db
        setup = database.recv_setup
        monkeypatch.setattr(database, "recv_setup", slow)
        engine.workflow(flows.receives, 1)
        assert at_it.wait(SECONDS)
        snapshot = database.notifications_map.snapshot

        def released() -> object:
            found = snapshot()
            go_on.set()
            wait_until(lambda: not receiving[0].is_alive() or snapshot(), SECONDS, "the receiver")
            return found

        monkeypatch.setattr(database.notifications_map, "snapshot", released)
    receiving[0].join(SECONDS)
    assert not receiving[0].is_alive()


def test_who_takes_over_is_seen_to_live_meanwhile(database_url: str) -> None:
    """Taking over waits for the server where that is away, but others must not wait so long."""
    with DBOSEngine(database_url, "dead") as engine:
        engine.workflow(flows.receives, 1)
    asked, go_on = threading.Event(), threading.Event()

    def take_over(_: str) -> None:
        asked.set()
        assert go_on.wait(60)

    liveness = Liveness(database_url, "dead", "alive", take_over, 0)
    with psycopg.connect(database_url, autocommit=True) as onlooker:

        def sessions() -> set[int]:
            """Those that say that it lives."""
            rows = onlooker.execute(
                "SELECT pid FROM pg_stat_activity WHERE application_name = 'alive'"
            ).fetchall()
            return {row[0] for row in rows}

        liveness.hold()
        liveness.watch()
        try:
            assert asked.wait(SECONDS)
            [before] = sessions()
            onlooker.execute("SELECT pg_terminate_backend(%s)", [before])
            wait_until(lambda: sessions() - {before}, SECONDS, "its session, opened again")
        finally:
            go_on.set()
            liveness.stop()


def test_a_child_of_a_dead_process_does_not_pass_for_it(database_url: str, tmp_path: Path) -> None:
    path = script(
        tmp_path,
        """
        import os, sys, time
        from tests.workflow import flows
        from workflow.dbos_engine import DBOSEngine

        engine = DBOSEngine(sys.argv[1], "parent", takeover_seconds=0).launch()
        engine.options(workflow_id="of the parent").workflow(flows.receives, 1)
        child = os.fork()
        if child:
            print("child", child, "!", flush=True)
        else:
            nothing = os.open(os.devnull, os.O_RDWR)
            os.dup2(nothing, 1)
            os.dup2(nothing, 2)
        time.sleep(300)
        """,
    )
    process = Process(sys.executable, str(path), database_url, env={"PYTHONPATH": "."})
    process.wait_for_output("!")
    child = int(process.output.split("child ")[1].split()[0])
    try:
        process.end(signal.SIGKILL)
        with DBOSEngine(database_url, "parent", takeover_seconds=0) as engine:
            engine.send("of the parent", "go", "on")
            assert engine.get_workflow_result("of the parent", timeout=SECONDS) == ["on"]
    finally:
        os.kill(child, signal.SIGKILL)


def test_two_resume_a_workflow_once(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    executed: list[str] = []
    with DBOSEngine(database_url, "two") as engine:
        backend, process = engine._backend, engine._backend.process
        execute = process.execute

        def noted(workflow_id: str, *rest: Any) -> bytes:
            executed.append(workflow_id)
            return execute(workflow_id, *rest)

        handle = engine.workflow(flows.receives, 1)
        engine.cancel(handle.workflow_id)
        look = backend.info

        def resumed_by_another(workflow_id: str) -> WorkflowInfo:
            found = look(workflow_id)
            monkeypatch.setattr(backend, "info", look)
            engine.resume(workflow_id)
            return found

        monkeypatch.setattr(process, "execute", noted)
        monkeypatch.setattr(backend, "info", resumed_by_another)
        engine.resume(handle.workflow_id)
        engine.send(handle.workflow_id, "go", "on")
        assert handle.get_result(SECONDS) == ["on"]
        assert executed == [handle.workflow_id]


def test_what_was_resumed_is_not_forgotten(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with DBOSEngine(database_url, "two") as engine:
        done, cancelled = engine.workflow(flows.nothing), engine.workflow(flows.receives, 1)
        done.get_result(SECONDS)
        engine.cancel(cancelled.workflow_id)
        backend = engine._backend
        look = backend.find

        def resumed_meanwhile(wanted: Filter) -> list[WorkflowInfo]:
            found = look(wanted)
            monkeypatch.setattr(backend, "find", look)
            engine.resume(cancelled.workflow_id)
            return found

        monkeypatch.setattr(backend, "find", resumed_meanwhile)
        engine.delete_finished(timedelta(0))
        assert not cancelled.get_status().is_final
        assert [info.workflow_id for info in engine.list_workflows()] == [cancelled.workflow_id]


@pytest.mark.parametrize("by", ["unschedule", "schedule"])
def test_a_schedule_that_was_removed_or_replaced_starts_nothing(
    database_url: str, by: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor does what the backend had begun to start, which hears of it late."""
    fired: list[tuple[Any, Scheduled]] = []
    fire = DBOSBackend._fire
    monkeypatch.setattr(DBOSBackend, "_fire", lambda _, *arguments: fired.append(arguments))
    flows.log.clear()
    with DBOSEngine(database_url, "schedules") as engine:
        engine.schedule("tick", "* * * * * *", flows.scheduled, "first")
        wait_until(lambda: fired, SECONDS, "the schedule")
        arguments = fired[0]
        if by == "unschedule":
            engine.unschedule("tick")
        else:
            engine.schedule("tick", "0 0 1 1 *", flows.scheduled, "second")
        fire(engine._backend, *arguments)
        assert engine.list_workflows(id_prefix="tick@") == []
        engine.schedule("tick", "* * * * * *", flows.scheduled, "first")
        fire(engine._backend, *arguments)
        wait_until(lambda: flows.log, SECONDS, "what is scheduled")
