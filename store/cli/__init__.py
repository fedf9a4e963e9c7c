"""The commands of `python -m store`, each in a file of its own.

python -m store start --data-dir data/store
python -m store provision alice
python -m store status
python -m store verify
python -m store export --user alice store.models.Trade trades.parquet

The exit status is 0 when all is well, 1 when `verify` found a break or something could not be
read, 2 for a command line that is wrong, 3 for an error, which is told on the standard error
output, and 130 after Ctrl-C.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from importlib import import_module

from store.cli.output import complain
from store.errors import StoreError

# A command more is a module more, with `add(commands)`. They are imported by `main`: other programs
# use `store.cli.output` alone.
COMMANDS = ("start", "users", "status", "subscriptions", "verify", "export", "rewrite")

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m store", description="Looks after an object store and its users."
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name in COMMANDS:
        import_module(f"store.cli.{name}").add(commands)
    options = parser.parse_args(arguments)
    try:
        status: int = options.run(options)
        return status
    except (StoreError, OSError) as error:
        complain(str(error))
        return 3
    except KeyboardInterrupt:
        return 130
