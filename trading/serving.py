"""Workflow functions that need something of their process, such as a client with a login.

A workflow is found again by the name of its function, in whatever process goes on with it. Here a
name stands for who serves it in this process: the newest that was made for it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from store.client import StoreClient
from workflow import WorkflowEngine

__all__ = ["serve", "served"]

_servers: dict[str, Callable[..., Any]] = {}
_functions: dict[str, Callable[..., Any]] = {}


def serve(engine: WorkflowEngine, what: str, client: StoreClient, call: Callable[..., Any]) -> str:
    """Let a call serve a workflow for a login of the store; returns the name of its function.

    Every process that is to go on with such workflows calls this with the same login.
    """
    name = _name(what, client)
    _servers[name] = call

    def function(*args: Any, **kwargs: Any) -> Any:
        return _servers[name](*args, **kwargs)

    # A schedule looks at the parameters, as for `scheduled_at`.
    function.__signature__ = inspect.signature(call)  # type: ignore[attr-defined]
    engine.register(name, _functions.setdefault(name, function))
    return name


def served(what: str, client: StoreClient) -> Callable[..., Any]:
    """Return the function that a login serves."""
    return _functions[_name(what, client)]


def _name(what: str, client: StoreClient) -> str:
    return f"{what} {client.user} {client.conn.info.dbname}".replace(":", "_")
