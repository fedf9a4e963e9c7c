"""View-only mode: tables as fields of an application, which clients can read but not replace.

Variables of the Python process can be overwritten by any client (`bind_table`), with or
without a console. Fields of a Deephaven application cannot.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, MutableMapping
from typing import Any

logger = logging.getLogger(__name__)

_fields: Any = None


def receive(application_state: Any) -> None:
    """Keep the fields of the application that is being set up."""
    global _fields  # noqa: PLW0603 - Deephaven runs one script once and passes nothing to it
    _fields = application_state


def publish(objects: Mapping[str, Any]) -> None:
    """Publish tables and dashboards as read-only fields.

    Raises:
        RuntimeError: the server was not started in view-only mode.
    """
    if _fields is None:
        raise RuntimeError("fields can be published only where the server runs view-only")
    for name, value in objects.items():
        _fields[name] = value


def restore(variables: MutableMapping[str, Any], objects: Mapping[str, Any]) -> list[str]:
    """Put back variables that a client has overwritten, and return their names.

    For clients that open a table as a variable, by its bare name, and not as a field.
    """
    replaced = [name for name, value in objects.items() if variables.get(name) is not value]
    for name in replaced:
        variables[name] = objects[name]
        logger.warning("a client replaced %s; the server's own is back in its place", name)
    return replaced
