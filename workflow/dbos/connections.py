"""Connections of the engine: decided by their address alone, and closed in forked children.

libpq takes what an address leaves out from variables such as PGHOST, PGSSLMODE or PGOPTIONS. They
are meant for other databases, so here nothing but a password is left out.

A forked child that outlives its parent would keep the parent's connections open, and with them
whatever was locked in the middle of a transaction: nobody could take the parent's work over.
"""

from __future__ import annotations

import functools
import os
import threading
import weakref
from collections.abc import Callable
from types import ModuleType
from typing import Any, TypeVar

import psycopg
from psycopg import pq
from psycopg.conninfo import conninfo_to_dict

R = TypeVar("R")
# The defaults of libpq. An empty text means "not given" to it, but keeps it from the environment.
_USUAL = {
    "port": "5432",
    "client_encoding": "UTF8",
    "connect_timeout": "10",
    "sslmode": "prefer",
    "sslnegotiation": "postgres",
    "sslcompression": "0",
    "sslcertmode": "allow",
    "sslsni": "1",
    "ssl_min_protocol_version": "TLSv1.2",
    "min_protocol_version": "3.0",
    "max_protocol_version": "3.0",
    "channel_binding": "prefer",
    "gssencmode": "disable",
    "gssdelegation": "0",
    "krbsrvname": "postgres",
    "require_auth": "none,password,md5,gss,sspi,scram-sha-256",
    "target_session_attrs": "any",
    "load_balance_hosts": "disable",
}
_FREE = {"service", "password", "passfile", "application_name"}
# Variables that become settings of the session, beside the options of an address.
_SESSION = {
    "PGTZ": "SET TimeZone = 'UTC'",
    "PGDATESTYLE": "SET DateStyle = 'ISO, MDY'",
    "PGGEQO": "SET geqo = on",
}
_environment = threading.RLock()


def connect(address: str = "", **given: Any) -> psycopg.Connection[Any]:
    """As psycopg.connect; the variables of the environment change nothing."""
    options: dict[str, Any] = {**conninfo_to_dict(address), **given}
    if "service" in options:
        # What it leaves out, the service says.
        return psycopg.connect(address, **given)
    options = {**_left_out(options), **given}
    connection = _without_service(lambda: psycopg.connect(address, **options))
    usual = [statement for name, statement in _SESSION.items() if name in os.environ]
    for statement in usual:
        connection.execute(statement)
    if usual and not connection.autocommit:
        connection.commit()
    return connection


@functools.cache
def driver() -> ModuleType:
    """The module psycopg for SQLAlchemy, which takes its `connect` from it."""
    module = ModuleType("psycopg")
    vars(module).update(vars(psycopg))
    module.connect = connect  # type: ignore[attr-defined]
    return module


def _left_out(options: dict[str, Any]) -> dict[str, str]:
    known = {each.keyword.decode() for each in pq.Conninfo.get_defaults() if each.envvar}
    return {name: _USUAL.get(name, "") for name in known - options.keys() - _FREE}


def _without_service(make: Callable[[], R]) -> R:
    """Hide $PGSERVICE meanwhile, which nothing that an address says can outdo."""
    if "PGSERVICE" not in os.environ:
        return make()
    with _environment:
        service = os.environ.pop("PGSERVICE", None)
        try:
            return make()
        finally:
            if service is not None:
                os.environ["PGSERVICE"] = service


# --- forked children ----------------------------------------------------------------------------

_not_for_children: weakref.WeakSet[psycopg.Connection[Any]] = weakref.WeakSet()


def close_in_children(connection: psycopg.Connection[Any], *_: object) -> None:
    """Have forked children close a connection; also as a listener of a pool's `connect`."""
    _not_for_children.add(connection)


def _replace_sockets_in_child() -> None:
    """Put /dev/null in the place of the sockets: closing them would end the parent's."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for connection in _not_for_children:
        if not connection.closed:
            os.dup2(nothing, connection.fileno(), inheritable=False)
    os.close(nothing)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_replace_sockets_in_child)
