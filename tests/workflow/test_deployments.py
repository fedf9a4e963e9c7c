"""Processes with other code: they leave to others what they do not know, and end nothing."""

from __future__ import annotations

import signal
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.processes import Process, wait_until
from workflow import WorkflowStatus
from workflow.dbos_engine import DBOSEngine

SECONDS = 60.0
CODE = """
    import pathlib
    from workflow import current_engine

    LEDGER = pathlib.Path({ledger!r})

    def note(text):
        with LEDGER.open("a") as file:
            file.write(text + "\\n")

    def book(n):
        note(f"booked {{n}}")

    def take_back(n):
        note(f"taken back {{n}}")

    def check_limits(n):
        note(f"checked {{n}}")

    def confirm(n):
        note(f"confirmed {{n}}")

    def pay(n):
        engine = current_engine()
        engine.step(book, n, undo=take_back)
        {added}
        engine.step(confirm, n)
        engine.recv("go")
        engine.step(note, f"paid {{n}}")
        return "paid"
    {more}
"""
NEW_FUNCTION = """
    def brand_new(n):
        return n
"""
WORKER = """
    import sys, time
    sys.path.insert(0, sys.argv[1])
    import payments
    from workflow.dbos_engine import DBOSEngine

    with DBOSEngine(sys.argv[2], "desk", takeover_seconds=0.3) as engine:
        if sys.argv[3] == "begin":
            engine.options(workflow_id="pay-1").workflow(payments.pay, 100)
        if sys.argv[3] == "queue":
            for n in range(20):
                engine.options(workflow_id=f"new-{n}").queue("payments", payments.brand_new, n)
        print("ready", flush=True)
        time.sleep(300)
"""


class Deployment:
    """Two versions of one module, and the processes that run them."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder, self.url = folder, url
        self.ledger = folder / "ledger"
        self.ledger.touch()
        versions = {"old": ("pass", ""), "new": ("engine.step(check_limits, n)", NEW_FUNCTION)}
        for name, (added, more) in versions.items():
            (folder / name).mkdir()
            text = textwrap.dedent(CODE).format(
                ledger=str(self.ledger), added=added, more=textwrap.dedent(more)
            )
            (folder / name / "payments.py").write_text(text)
        (folder / "worker.py").write_text(textwrap.dedent(WORKER))
        self.processes: list[Process] = []

    def process(self, version: str, what: str = "serve", *, wait: bool = True) -> Process:
        process = Process(
            sys.executable,
            str(self.folder / "worker.py"),
            str(self.folder / version),
            self.url,
            what,
            env={"PYTHONPATH": "."},
        )
        self.processes.append(process)
        if wait:
            process.wait_for_output("ready")
        return process

    def lines(self) -> list[str]:
        return self.ledger.read_text().splitlines()


@pytest.fixture
def deployment(tmp_path: Path, database_url: str) -> Iterator[Deployment]:
    found = Deployment(tmp_path, database_url)
    yield found
    for process in found.processes:
        if process.child.poll() is None:
            process.end(signal.SIGKILL)


def test_other_code_undoes_nothing_and_the_right_code_goes_on(
    deployment: Deployment, database_url: str
) -> None:
    """A process with one step more takes over; then one with the code that began it comes."""
    first = deployment.process("old", "begin")
    begun = ["booked 100", "confirmed 100"]
    wait_until(lambda: deployment.lines() == begun, SECONDS, "the first steps")
    with DBOSEngine(database_url, "onlooker") as onlooker:
        # Whoever runs it takes this once the step before is kept.
        first.end(signal.SIGKILL)
        onlooker.send("pay-1", "go", None)
        deployment.process("new", wait=False)

        def blocked() -> str | None:
            return onlooker._backend.info("pay-1").blocked

        wait_until(blocked, SECONDS, "a workflow that waits")
        assert "as step 2 before, and now does 'payments.check_limits'" in (blocked() or "")
        assert onlooker.get_workflow_status("pay-1") is WorkflowStatus.PENDING
        assert deployment.lines() == begun
        # Both run now: the new one has refused it, and is not asked again.
        deployment.process("old", wait=False)
        assert onlooker.get_workflow_result("pay-1", timeout=SECONDS) == "paid"
    assert deployment.lines() == [*begun, "paid 100"]


def test_in_a_rolling_deployment_the_new_process_runs_the_new_functions(
    deployment: Deployment, database_url: str
) -> None:
    deployment.process("old")
    deployment.process("new", "queue")
    with DBOSEngine(database_url, "onlooker") as onlooker:
        found = [onlooker.get_workflow_result(f"new-{n}", timeout=SECONDS) for n in range(20)]
    assert found == list(range(20))


def test_functions_that_nobody_knows_wait_for_a_process_that_does(
    deployment: Deployment, database_url: str
) -> None:
    new = deployment.process("new", "queue")
    new.end(signal.SIGKILL)
    with DBOSEngine(database_url, "onlooker") as onlooker:
        left = [n for n in range(20) if not onlooker.get_workflow_status(f"new-{n}").is_final]
        old = deployment.process("old")
        for n in left:
            wait_until(lambda n=n: onlooker._backend.info(f"new-{n}").blocked, SECONDS, "a refusal")
        old.end(signal.SIGKILL)
        deployment.process("new")
        found = [onlooker.get_workflow_result(f"new-{n}", timeout=SECONDS) for n in range(20)]
    assert found == list(range(20))
