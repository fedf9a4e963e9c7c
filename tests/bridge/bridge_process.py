"""A bridge in a process of its own: `python -m tests.bridge.bridge_process FILE JSON-LOGIN`.

Its rows go to a writer that keeps them in a file and in a table. On "show" it prints both tables.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from server.jvm import start_jvm_server
from tests.processes import free_port


def main(path: Path, login: dict[str, Any]) -> None:
    start_jvm_server("127.0.0.1", free_port(), "only for tests", 384)
    from bridge import StoreBridge, TableWriter, infer_dh_schema
    from store.models import Trade
    from tests.bridge.books import rows_of

    table = TableWriter(infer_dh_schema(Trade))

    class FileAndTable:
        def __init__(self) -> None:
            self.file = path.open("a")

        def write_row(self, *values: Any) -> None:
            self.file.write(f"{values[0]} {values[1]}\n")
            self.file.flush()
            table.write_row(*values)

    bridge = StoreBridge(**login, subscriber_id="child")
    bridge.register(Trade, writer=FileAndTable())
    bridge.start("resume")

    def leave(*_: object) -> None:
        bridge.stop()
        os._exit(0)

    signal.signal(signal.SIGTERM, leave)
    sys.stdout.write("FOLLOWING\n")
    sys.stdout.flush()
    for _ in sys.stdin:
        bridge.flush(30)
        table.flush(30)
        columns = ("EntityId", "Version")
        shown = {
            "raw": rows_of(table.table, *columns),
            "live": rows_of(bridge.live(Trade), *columns),
        }
        sys.stdout.write(f"SHOWN {json.dumps(shown)}\n")
        sys.stdout.flush()
    signal.pause()


if __name__ == "__main__":
    main(Path(sys.argv[1]), json.loads(sys.argv[2]))
