"""The pre-shared key: made at each start, kept where clients of the same user find it."""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path

from server.errors import StartupError

# Read by server and clients alike; client/access.py holds the same rule for machines without
# the server, and a test compares the two.
KEY_VARIABLE = "DEEPHAVEN_PSK"


def state_directory() -> Path:
    """Return where this user's servers keep keys and logs (the XDG state directory)."""
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(base) / "deephaven-trading-platform"


def own_directory() -> Path:
    """Return the state directory, made if need be, which only this user can read and write.

    Raises:
        StartupError: it belongs to another user or is a symbolic link, so others could choose
            where keys and logs go.
        OSError: it cannot be made.
    """
    folder = state_directory()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        raise StartupError(
            f"{folder} is a symbolic link or belongs to another user, who could read the key "
            "there; set XDG_STATE_HOME to a directory of your own"
        )
    if found.st_mode & 0o077:
        folder.chmod(0o700)
    return folder


def key_file(port: int) -> Path:
    """Return the file that holds the key of the server on a port."""
    return state_directory() / f"psk-{port}"


def choose_key(given: str | None) -> str:
    """Return the key that was given by option or environment, or a new random one.

    Raises:
        StartupError: the key is too short or has characters that a link cannot carry.
    """
    key = given or os.environ.get(KEY_VARIABLE)
    if not key:
        return secrets.token_urlsafe(24)
    if len(key) < 8 or not all(c.isascii() and (c.isalnum() or c in "-_.~") for c in key):
        raise StartupError(
            "the pre-shared key must have 8 or more letters, digits, '-', '_', '.' or '~'; "
            "leave it out to have one made"
        )
    return key


def keep_key(port: int, key: str) -> Path:
    """Write the key to its file, readable by its owner alone, and return the file.

    Raises:
        StartupError: the directory cannot be written.
    """
    path = key_file(port)
    try:
        own_directory()
        # Written aside and renamed: a client never reads half a key, and the file never
        # exists with wider rights, not even for a moment.
        aside = path.with_name(f"{path.name}.{os.getpid()}")
        aside.unlink(missing_ok=True)
        handle = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(key)
        aside.replace(path)
    except OSError as error:
        raise StartupError(
            f"the key cannot be kept in {path}: {error.strerror}; "
            "set XDG_STATE_HOME to a directory that you can write"
        ) from error
    return path


def forget_key(port: int, key: str) -> None:
    """Remove the key's file if it still holds this key."""
    path = key_file(port)
    try:
        if path.read_text(encoding="ascii") == key:
            path.unlink()
    except OSError:
        # It is gone or unreadable: another server's, or removed by hand.
        return
