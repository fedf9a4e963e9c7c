"""`verify`: compute all hashes again, and compare what is read with what was written."""

from __future__ import annotations

import argparse
from typing import Any

from store.cli.access import add_server_options, administrator
from store.cli.output import say
from store.cli.progress import progress
from store.verification import verify

SHOWN = 20


def add(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "verify",
        help="prove that nothing was altered, removed or put in",
        description="Computes all hashes again, and compares what is read with what was written. "
        "The exit status is 1 where something does not fit.",
    )
    add_server_options(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Check everything; name what does not fit."""
    with administrator(options) as connection, progress("entities") as show:
        found = verify(connection, show)
    say(f"{found.events} events of {found.entities} entities were checked.")
    if found:
        say("Nothing was altered, removed or put in.")
        return 0
    for each in found.breaks[:SHOWN]:
        say(str(each))
    more = len(found.breaks) - SHOWN
    if more > 0:
        say(f"and {more} breaks more")
    return 1
