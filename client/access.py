"""Finds the pre-shared key of a server that this user started on this machine.

The rule is the server's (server/access/keys.py), written again because a client machine has none of
the server's code; a test compares the two.
"""

from __future__ import annotations

import os
from pathlib import Path

from client.address import is_this_machine

KEY_VARIABLE = "DEEPHAVEN_PSK"


def key_file(port: int) -> Path:
    """Return the file in which the server on a port keeps its key."""
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(base) / "deephaven-trading-platform" / f"psk-{port}"


def find_key(host: str, port: int) -> tuple[str, str] | None:
    """Return the key and where it is from: the environment, or a file of this machine's server.

    The file is not used for other hosts: it would hand them the key of a server of this user.
    """
    named = os.environ.get(KEY_VARIABLE)
    if named:
        return named, f"${KEY_VARIABLE}"
    if not is_this_machine(host):
        return None
    path = key_file(port)
    try:
        return path.read_text(encoding="ascii").strip(), str(path)
    except OSError:
        return None
