"""One-time log-in codes: a file that holds the hash of each with the user's name and password."""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
from pathlib import Path

import msgspec

__all__ = ["claim", "offer"]


def _digest(code: str) -> str:
    return hashlib.sha256(code.encode("utf-8", "surrogatepass")).hexdigest()


def _changed(path: Path, add: dict[str, tuple[str, str]], take: str) -> tuple[str, str] | None:
    """Add codes and take one out, while no other process does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    number = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    with os.fdopen(number, "r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        try:
            known = msgspec.json.decode(file.read() or b"{}", type=dict[str, tuple[str, str]])
        except msgspec.DecodeError:
            known = {}
        found = known.pop(take, None) if take else None
        known.update(add)
        file.seek(0)
        file.truncate()
        file.write(msgspec.json.encode(known))
        file.flush()
        os.fsync(file.fileno())
    return found


def offer(path: Path, user: str, password: str) -> str:
    """Return a new code by which a user can log in once."""
    code = secrets.token_urlsafe(24)
    _changed(path, {_digest(code): (user, password)}, "")
    return code


def claim(path: Path | None, code: str) -> tuple[str, str] | None:
    """Return user and password of a code, which is no code from now on; None for one that is."""
    if path is None or not path.exists():
        return None
    return _changed(path, {}, _digest(code))
