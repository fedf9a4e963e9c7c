"""Checks of names: of workflows, queues, topics, keys, schedules and steps.

name = checked_name(name, "a queue's name")
"""

from __future__ import annotations

from typing import TypeGuard

from workflow.errors import OptionError

# What every backend can keep in its indexes, together with what it puts around a name.
NAME_BYTES_MAX = 500


def checked_name(value: object, what: str) -> str:
    """Return a text that can be a new name; OptionError says `what` it names and what is wrong."""
    name = checked_key(value, what)
    size = len(name.encode())
    if size > NAME_BYTES_MAX:
        raise OptionError(
            f"{name[:40]!r}… cannot be {what}: it has {size} bytes in UTF-8; {NAME_BYTES_MAX} are "
            "allowed"
        )
    return name


def checked_key(value: object, what: str) -> str:
    """Return a text to look something up by, of any length; OptionError as for a new name."""
    if not isinstance(value, str):
        wrong = f"it is a {type(value).__name__}; give a text"
    elif not value.strip():
        wrong = "it is blank; give a text"
    elif not _is_storable(value):
        wrong = "it holds a NUL or half of a surrogate pair, which PostgreSQL does not keep"
    else:
        return value
    raise OptionError(f"{value!r:.80} cannot be {what}: {wrong}")


def _is_storable(value: str) -> TypeGuard[str]:
    return "\0" not in value and not any("\ud800" <= each <= "\udfff" for each in value)
