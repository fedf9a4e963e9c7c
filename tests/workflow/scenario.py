"""What tests with real processes share: workers, what they noted, and what the store holds."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from store.client import StoreClient
from store.models import Trade
from store.schema import provision_user
from store.server import ObjectStoreServer
from tests.processes import Process, wait_until
from workflow import WorkflowInfo, WorkflowStatus
from workflow.dbos_engine import DBOSEngine

SECONDS = 60.0
USER = "settler"
PASSWORD = "only for tests"


class Scenario:
    """One engine name on one server, and the processes that work for it."""

    def __init__(self, server: ObjectStoreServer, name: str, folder: Path) -> None:
        self.server = server
        self.name = name
        self.notes = folder / f"{name}.notes"
        self.notes.touch()
        provision_user(server.admin_conn(), USER, PASSWORD)
        self.store = {"user": USER, "password": PASSWORD, **server.conn_info()}
        self.url = server.dbos_url()
        self.workers: list[Process] = []

    def worker(
        self, *starts: str, hold: bool = False, wait: bool = True, takeover_seconds: float = 0.5
    ) -> Process:
        """A new process of the engine."""
        place = {"url": self.url, "store": self.store, "notes": str(self.notes)}
        worker = Process(
            sys.executable,
            "-m",
            "tests.workflow.worker",
            self.name,
            *starts,
            env={
                "SETTLEMENT": json.dumps(place),
                "HOLD": "1" if hold else "",
                "TAKEOVER_SECONDS": str(takeover_seconds),
            },
            stdin=subprocess.PIPE,
        )
        self.workers.append(worker)
        if wait:
            worker.wait_for_output("ready")
        return worker

    def kill(self, worker: Process) -> None:
        assert worker.end(signal.SIGKILL) == -signal.SIGKILL, worker.output

    def end(self) -> None:
        for worker in self.workers:
            if worker.child.poll() is None:
                worker.end(signal.SIGKILL)
            if worker.child.stdin is not None:
                worker.child.stdin.close()

    def lines(self, word: str) -> list[list[str]]:
        """What was noted under a word: process id, then the rest."""
        found = [line.split() for line in self.notes.read_text().splitlines()]
        return [[line[0], *line[2:]] for line in found if line[1] == word]

    def wait_for_points(self, points: set[str]) -> None:
        wait_until(
            lambda: points <= {line[1] for line in self.lines("at")}, SECONDS, f"points {points}"
        )

    @contextlib.contextmanager
    def look(self) -> Iterator[DBOSEngine]:
        """An engine of another name in this process: it sees all, and runs nothing of these."""
        with DBOSEngine(self.url, "onlooker") as engine:
            yield engine

    def wait_for_ends(self, ids: list[str]) -> dict[str, WorkflowStatus]:
        """Wait until workflows have ended, and say how."""
        with self.look() as engine:
            for workflow_id in ids:
                wait_until(
                    lambda each=workflow_id: engine.get_workflow_status(each).is_final,
                    SECONDS,
                    f"the end of {workflow_id}",
                )
            return {each: engine.get_workflow_status(each) for each in ids}

    def client(self) -> StoreClient:
        """A login to the store; the workers have the same."""
        return StoreClient(**self.store)

    def writes(self, prefix: str = "") -> Counter[tuple[str, int]]:
        """How often each pair of name and number is in the store."""
        with self.client() as client:
            trades: list[Any] = list(client.query(Trade, limit=None))
        found = Counter((trade.symbol.lower(), trade.quantity) for trade in trades)
        return Counter({pair: n for pair, n in found.items() if pair[0].startswith(prefix)})


def info_of(engine: DBOSEngine, workflow_id: str) -> WorkflowInfo:
    [info] = engine.list_workflows(id_prefix=workflow_id)
    return info
