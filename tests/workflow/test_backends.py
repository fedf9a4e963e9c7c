"""Backends: one of a user's own, what is used of DBOS, and what earlier versions have pickled."""

from __future__ import annotations

import pickle
import re
from pathlib import Path
from typing import Any

import pytest

import workflow
from tests.workflow import flows
from workflow import NotRecoverable, NotSupported, WorkflowStatus
from workflow.backend import Scheduled
from workflow.dbos import private
from workflow.dbos.private import PARTS, Part
from workflow.dbos_engine import DBOSEngine
from workflow.durable import DurableEngine
from workflow.memory import MemoryBackend

SECONDS = 20.0


class Counting:
    """A backend that is a class of its own: it passes all on, and counts the checkpoints."""

    def __init__(self) -> None:
        self.inner = MemoryBackend()
        self.names: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def checkpoint(self, name: str, work: Any, /) -> bytes:
        self.names.append(name)
        return self.inner.checkpoint(name, work)


def test_an_engine_over_a_backend_of_ones_own() -> None:
    backend = Counting()
    with DurableEngine(backend) as engine:

        def flow() -> Any:
            engine.sleep(0)
            return engine.step(flows.noted, "a step")

        assert engine.run(flow) == "a step"
    assert backend.names == ["sleep", "tests.workflow.flows.noted"]


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.path)
def test_dbos_has(part: Part) -> None:
    part.find()


def test_dbos_is_used_beyond_its_interface_in_one_module_only() -> None:
    for path in sorted(Path(workflow.__file__).parent.rglob("*.py")):
        if path.name != "private.py":
            text = path.read_text()
            assert not re.search(r"dbos\._\w|_sys_db|from dbos\b.*import.*\b_", text), path


@pytest.mark.parametrize(
    ("path", "parameters", "message"),
    [
        ("dbos._utils:GONE", (), r"dbos \S+ differs .* dbos\._utils:GONE is not there, .* to test"),
        ("dbos._gone:DBOS", (), "dbos._gone:DBOS is not there"),
        ("dbos._dbos:DBOS._gone", (), "dbos._dbos:DBOS._gone is not there"),
        ("dbos._dbos:DBOS@_gone", (), "dbos._dbos:DBOS@_gone is not set"),
        ("dbos._context:current_owner_xid", ("id",), "current_owner_xid takes workflow_id, which"),
    ],
)
def test_what_a_version_of_dbos_lacks_is_named_at_the_launch(
    path: str, parameters: tuple[str, ...], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(private, "PARTS", (*PARTS, Part(path, "to test", parameters)))
    # Nobody listens there: it is not even asked.
    with pytest.raises(NotSupported, match=message):
        DBOSEngine("postgresql://nobody@127.0.0.1:1/nothing").launch()


# --- pickled by earlier versions ------------------------------------------------------------------

UNKEPT = (
    b"\x80\x05\x95T\x00\x00\x00\x00\x00\x00\x00\x8c\x11workflow.starting\x94\x8c\x06Unkept\x94\x93"
    b"\x94)\x81\x94}\x94(\x8c\x06reason\x94\x8c\x0eit is a lambda\x94\x8c\x05token\x94\x8c\x07"
    b"token 1\x94ub."
)
SCHEDULED = (
    b"\x80\x05\x95p\x00\x00\x00\x00\x00\x00\x00\x8c\x10workflow.backend\x94\x8c\tScheduled\x94\x93"
    b"\x94)\x81\x94}\x94(\x8c\x04name\x94\x8c\x05close\x94\x8c\treference\x94\x8c\ndesk:close\x94"
    b"\x8c\targuments\x94C\x01x\x94\x8c\nwants_time\x94\x88ub."
)
STATUS = (
    b"\x80\x05\x954\x00\x00\x00\x00\x00\x00\x00\x8c\x0fworkflow.handle\x94\x8c\x0eWorkflowStatus"
    b"\x94\x93\x94\x8c\x07RUNNING\x94\x85\x94R\x94."
)


def test_pickles_of_earlier_versions_are_loaded() -> None:
    assert pickle.loads(SCHEDULED) == Scheduled("close", "desk:close", b"x", True)
    assert pickle.loads(STATUS) is WorkflowStatus.RUNNING
    # Schedules are shared with processes of the version before: the class keeps its path.
    assert pickle.dumps(Scheduled("close", "desk:close", b"x", True), 5) == SCHEDULED


def test_a_call_that_did_not_pickle_in_an_earlier_version_says_why() -> None:
    engine = DurableEngine(MemoryBackend())
    with pytest.raises(NotRecoverable, match="it is a lambda"):
        engine._runner.execute("old", "desk.<lambda>", UNKEPT)
