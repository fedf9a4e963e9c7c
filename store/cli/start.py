"""`start`: run the embedded server until it is told to end, or make the schema elsewhere."""

from __future__ import annotations

import argparse
import signal
import time
from typing import Any

from store.cli.access import add_server_options, reached
from store.cli.output import say
from store.database.login import address


def add(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "start",
        help="run the embedded server until Ctrl-C or SIGTERM",
        description="Runs the embedded server until Ctrl-C or SIGTERM. With --dsn it makes or "
        "migrates the schema there, and ends.",
    )
    add_server_options(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Start, say where, and wait."""
    # Taken up before the start, so that no signal is lost.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with reached(options, make_schema=True, attach=False) as server:
        info = server.conn_info()
        place = address(info["host"], info["port"])
        say(f"The store is at {place}, database {info['dbname']}.")
        if not server.is_embedded:
            return 0
        try:
            say(f"Its data is in {server.data_dir}. Ctrl-C stops it.")
            while True:
                # In short turns: a signal that comes just before a wait does not end it.
                time.sleep(0.5)
        except KeyboardInterrupt:
            say("Stopping.")
    return 0
