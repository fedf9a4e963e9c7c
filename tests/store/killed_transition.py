"""A process that dies by SIGKILL at a named step of a transition.

python -m tests.store.killed_transition '{"host": …}' USER PASSWORD ENTITY_ID ENGINE_FOLDER STEP
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import store.database.connection
from store import Trade
from store.client import StoreClient
from store.outbox import Outbox
from tests.store.lifecycle import FileEngine, Swap, machine_with, settle

STEPS = (
    "before the append",
    "before the action",
    "in the action",
    "before the promise",
    "before the commit",
    "in on_exit",
    "in on_enter",
    "before the claim",
    "before the start",
    "after the start",
    "after the record",
)


def main() -> None:
    info, user, password, entity_id, folder, step = sys.argv[1:]
    client = StoreClient(user, password, **json.loads(info))

    def die(at: str) -> None:
        if at == step:
            os.kill(os.getpid(), signal.SIGKILL)

    def act(obj: Swap, before: str, after: str) -> None:
        die("before the action")
        client.write(Trade(symbol="CASH"))
        die("in the action")

    class Engine(FileEngine):
        def start_once(self, workflow_id: str, fn: Any, *args: Any) -> None:
            die("before the start")
            super().start_once(workflow_id, fn, *args)
            die("after the start")

    # Every statement of the client, with the step that comes before it.
    before = {"append(": "before the append", "promise(": "before the promise"}
    before |= {"COMMIT": "before the commit", "claim_promise": "before the claim"}
    run = store.database.connection.execute

    def watched(connection: Any, statement: str, *rest: Any) -> Any:
        for word, at in before.items():
            if word in statement:
                die(at)
        found = run(connection, statement, *rest)
        if "settle_promise" in statement:
            die("after the record")
        return found

    store.database.connection.execute = watched
    obj = client.read(Swap, entity_id)
    assert obj is not None
    obj._workflow_engine = Engine(Path(folder))
    obj._state_machine = machine_with(
        action=act,
        on_exit=lambda *_: die("in on_exit"),
        on_enter=lambda *_: die("in on_enter"),
        start_workflow=settle,
    )
    client.transition(obj, "FILLED")
    assert Outbox(client).pending() == []


if __name__ == "__main__":
    main()
