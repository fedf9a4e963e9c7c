"""`archive` and `verify-archive`: a day of a run as a signed file, and the check of one."""

from __future__ import annotations

import argparse
from datetime import date
from pathlib import Path
from typing import Any

from store.cli.output import say
from trading.cli.replay import add_run_options, read_store
from trading.errors import ArchiveError
from trading.replay.archive import (
    archive_day,
    new_key,
    read_private_key,
    read_public_key,
    verify_archive,
)


def add(commands: Any) -> None:
    """Add both commands."""
    archive = commands.add_parser(
        "archive",
        help="write a day of a run as one signed file",
        description="Writes the journal and the records of a run's day into a file that proves "
        "elsewhere, without the database, that it is what was recorded.",
    )
    archive.add_argument("run_name", metavar="RUN", help="such as live or paper:demo")
    archive.add_argument("output", type=Path, metavar="FILE")
    archive.add_argument("--day", metavar="YYYY-MM-DD", help="a day in UTC (default: all)")
    archive.add_argument("--key", type=Path, required=True, help="a private key as PEM")
    archive.add_argument("--new-key", action="store_true", help="make the key first")
    add_run_options(archive)
    archive.set_defaults(run=_archive)
    verify = commands.add_parser(
        "verify-archive",
        help="check a signed archive",
        description="Checks signature, files and chain of an archive, without a database.",
    )
    verify.add_argument("archive", type=Path, metavar="FILE")
    verify.add_argument("--key", type=Path, help="the public key of who is to have signed it")
    verify.set_defaults(run=_verify)


def _archive(options: argparse.Namespace) -> int:
    if options.new_key:
        say(f"the public key is {new_key(options.key)}")
    key = read_private_key(options.key)
    try:
        day = None if options.day is None else date.fromisoformat(options.day)
    except ValueError:
        raise ArchiveError(f"--day {options.day!r}: write YYYY-MM-DD") from None
    with read_store(options) as store:
        found = archive_day(store, options.account, options.run_name, day, key, options.output)
    say(found.text())
    return 0


def _verify(options: argparse.Namespace) -> int:
    key = None if options.key is None else read_public_key(options.key)
    found = verify_archive(options.archive, key)
    say(found.text())
    if found and key is None:
        say("no key was given: this proves that it is whole, not who signed it")
    return 0 if found else 1
