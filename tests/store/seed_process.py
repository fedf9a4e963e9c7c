"""A process as the documents of the platform set it up: a client, and an engine on the class.

python -m tests.store.seed_process '{"host": …}' PASSWORD URL MODE

With the mode `die` it is killed between a transition's commit and the start of its workflow; with
`serve` it makes no transition at all, and says which workflows it has run.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time

from store.client import StoreClient
from tests.store import claims
from workflow.dbos_engine import DBOSEngine


class Dies(DBOSEngine):
    """Killed where it is asked for the workflow of a transition."""

    def start_once(self, *_args: object, **_kwargs: object) -> None:  # type: ignore[override]
        os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    info, password, url, mode = sys.argv[1:]
    engine = (Dies if mode == "die" else DBOSEngine)(url, "claims", takeover_seconds=0.3)
    with engine, StoreClient("alice", password, **json.loads(info)) as client:
        claims.Claim._workflow_engine = engine
        if mode == "die":
            claim = claims.Claim(symbol="EUR", quantity=1)
            client.write(claim)
            client.transition(claim, "CHECKED")
            client.transition(claim, "LOST")
        print("ready", flush=True)  # noqa: T201 - read by the test
        time.sleep(300)


if __name__ == "__main__":
    main()
