"""Connections that a forked child closes.

A child that outlives its parent would keep them open, and with them the parent's lock and whatever
it had locked in the middle of a transaction: nobody could take its work over.
"""

from __future__ import annotations

import os
import weakref
from typing import Any

import psycopg

_not_for_children: weakref.WeakSet[psycopg.Connection[Any]] = weakref.WeakSet()


def close_in_children(connection: psycopg.Connection[Any], *_: object) -> None:
    """Have forked children close a connection; also as a listener of a pool's `connect`."""
    _not_for_children.add(connection)


def _let_go_in_child() -> None:
    """Put nothing in the place of the sockets: to close a connection politely would end it."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for connection in _not_for_children:
        if not connection.closed:
            os.dup2(nothing, connection.fileno(), inheritable=False)
    os.close(nothing)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go_in_child)
