"""Finds the pre-shared key of a server that this user started on this machine.

The rule is the server's (server/access.py), written again because a client machine has none of
the server's code; a test compares the two.
"""

from __future__ import annotations

import os
from pathlib import Path

KEY_VARIABLE = "DEEPHAVEN_PSK"


def key_file(port: int) -> Path:
    """Return the file in which the server on a port keeps its key."""
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(base) / "deephaven-trading-platform" / f"psk-{port}"


def find_key(port: int) -> str | None:
    """Return the key from the environment or from the server's file, None if there is neither."""
    named = os.environ.get(KEY_VARIABLE)
    if named:
        return named
    try:
        return key_file(port).read_text(encoding="ascii").strip()
    except OSError:
        return None
