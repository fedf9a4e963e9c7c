"""View-only mode: what clients may open, as fields of an application and by its bare name.

Fields of a Deephaven application are what its web pages list. The names are those that tickets
and formulas of clients can mean; the variables of the server's process are not among them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_fields: Any = None
_names: Any = None


def receive(application_state: Any) -> None:
    """Keep the fields of the application that is being set up."""
    global _fields  # noqa: PLW0603 - Deephaven runs one script once and passes nothing to it
    _fields = application_state


def receive_names(published: Any) -> None:
    """Keep what clients may open by name, as `server.access.guard.restrict` gives it."""
    global _names  # noqa: PLW0603 - there is one server in a process
    _names = published


def publish(objects: Mapping[str, Any]) -> None:
    """Let clients open tables and dashboards; another one under a name replaces the first.

    Raises:
        RuntimeError: the server was not started in view-only mode.
    """
    if _fields is None or _names is None:
        raise RuntimeError("this is for servers that run view-only; start one with --view-only")
    for name, value in objects.items():
        _fields[name] = value
        # The Java object that the field holds, also where the value is one of Python's.
        _names.put(name, _fields.j_app_state.getField(name).value())
