"""A process that closes a day, and dies by SIGKILL before or after a named step.

    python -m tests.trading.settlement.closing '{"store": {…}, "url": "…", "day": "2026-02-20", …}'

`kill` is such as "before _mark" or "after _book"; after means that the step's transaction is
committed, and its end not yet known to the workflow. Empty: it says what it did, and ends.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from datetime import date
from typing import Any

from store.client import StoreClient
from trading.settlement import EndOfDay
from workflow.dbos_engine import DBOSEngine

STEPS = ("_open", "_mark", "_book", "_tell")
KILLS = [f"{moment} {step}" for step in STEPS for moment in ("before", "after")]


def deadly(step: Callable[..., Any], moment: str) -> Callable[..., Any]:
    def dying(*args: Any) -> Any:
        if moment == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        result = step(*args)
        os.kill(os.getpid(), signal.SIGKILL)
        return result

    return dying


def main() -> int:
    config = json.loads(sys.argv[1])
    with (
        StoreClient(**config["store"]) as client,
        DBOSEngine(config["url"], "settlement", takeover_seconds=0.3) as engine,
    ):
        closing = EndOfDay(client, engine, config["directory"], zone=config["zone"])
        moment, _, name = config["kill"].partition(" ")
        if moment:
            setattr(closing, name, deadly(getattr(closing, name), moment))
        report = closing.close("ACC", config["run"], date.fromisoformat(config["day"]))
        print(report._store_state, report.report_revision, report.equity_amount)  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
