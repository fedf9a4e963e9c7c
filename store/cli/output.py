"""What commands say: answers on the standard output, errors and progress beside it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


def say(text: str) -> None:
    """A line of the answer, at once."""
    coding = sys.stdout.encoding or "ascii"
    # A directory may have a name that the terminal has no letters for.
    sys.stdout.write(text.encode(coding, "backslashreplace").decode(coding) + "\n")
    sys.stdout.flush()


def complain(text: str) -> None:
    """What went wrong."""
    sys.stderr.write(f"error: {text}\n")


@contextmanager
def progress(what: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on the terminal; what it gives is called with how much is done, and of how much.

    Where the standard error output is no terminal, nothing is shown.
    """
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=not console.is_terminal) as bars:
        task = bars.add_task(what, total=None)
        yield lambda done, whole: bars.update(task, completed=done, total=whole)
