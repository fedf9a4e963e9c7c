"""What commands say: answers on the standard output, errors beside it."""

from __future__ import annotations

import sys


def say(text: str) -> None:
    """A line of the answer, at once."""
    coding = sys.stdout.encoding or "ascii"
    # A directory may have a name that the terminal has no letters for.
    sys.stdout.write(text.encode(coding, "backslashreplace").decode(coding) + "\n")
    sys.stdout.flush()


def complain(text: str) -> None:
    """What went wrong."""
    sys.stderr.write(f"error: {text}\n")
