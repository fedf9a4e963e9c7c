"""A process with an engine, to be killed: `python -m tests.workflow.worker NAME [START …]`.

Each START is the text "id=function:arguments as JSON" of a workflow of `settlement`,
"id@function:…" for the queue, or "fill:SYMBOL" for an order to be filled. The process says
"ready", and ends when its input does.
"""

from __future__ import annotations

import json
import os
import sys

from tests.workflow import settlement
from workflow.dbos_engine import DBOSEngine


def main() -> None:
    takeover_seconds = float(os.environ["TAKEOVER_SECONDS"])
    engine = DBOSEngine(settlement.PLACE["url"], sys.argv[1], takeover_seconds=takeover_seconds)
    with engine:
        engine.create_queue(settlement.QUEUE, 1)
        settlement.prepare(engine)
        for start in sys.argv[2:]:
            if start.startswith("fill:"):
                settlement.fill(start.removeprefix("fill:"))
                continue
            queued = "@" in start.split(":", 1)[0]
            workflow_id, call = start.split("@" if queued else "=", 1)
            name, arguments = call.split(":", 1)
            function = getattr(settlement, name)
            starter = engine.options(workflow_id=workflow_id)
            if queued:
                starter.queue(settlement.QUEUE, function, *json.loads(arguments))
            else:
                starter.workflow(function, *json.loads(arguments))
        print("ready", flush=True)  # noqa: T201 - read by the test
        sys.stdin.read()


main()
