"""Keys of venues: from the environment, or from a file that only its owner may read."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from trading.errors import BrokerRefused

__all__ = ["private_text", "secret"]


def private_text(path: str | Path) -> str:
    """Return a file's text; BrokerRefused where anybody but its owner could read or change it."""
    path = Path(path)
    try:
        # Looked at through the open file: the name may lead elsewhere a moment later.
        with path.open(encoding="utf-8") as file:
            found = os.fstat(file.fileno())
            if found.st_uid not in (os.geteuid(), 0):
                raise BrokerRefused(
                    f"{path} holds keys and belongs to user {found.st_uid}; it must belong to you",
                    "KEY_FILE",
                )
            mode = stat.S_IMODE(found.st_mode)
            if mode & 0o077:
                raise BrokerRefused(
                    f"{path} holds keys and has mode {mode:04o}, so that others may use it; run "
                    f"chmod 600 {path}",
                    "KEY_FILE",
                )
            return file.read()
    except (OSError, UnicodeDecodeError) as error:
        raise BrokerRefused(f"the keys in {path} cannot be read: {error}", "KEY_FILE") from error


def secret(name: str, file: str | Path | None = None) -> str:
    """Return a key from the environment, or from a file of `NAME=value` lines.

    The file wins where it is given. BrokerRefused where the key is in neither.
    """
    if file is None:
        found = os.environ.get(name, "").strip()
        where = f"the environment has no {name}; set it, or give a file that has it"
    else:
        found, where = "", f"{file} has no line {name}=…"
        for line in private_text(file).splitlines():
            key, equals, value = line.partition("=")
            if equals and key.strip() == name and not line.lstrip().startswith("#"):
                found = value.strip().strip("'\"")
    if not found:
        raise BrokerRefused(where, "NO_KEY")
    return found
