"""psycopg, with connections that their own address alone decides.

Its library, libpq, takes what an address leaves out from variables such as PGHOST, PGSSLMODE or
PGOPTIONS. They are meant for other databases, so here nothing but a password is left out.
"""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Callable
from types import ModuleType
from typing import Any, TypeVar

import psycopg
from psycopg import pq
from psycopg.conninfo import conninfo_to_dict

R = TypeVar("R")
# What libpq means where nobody says anything; an empty text is "not given" for it, but not here.
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
    said = {**conninfo_to_dict(address), **given}
    if "service" in said:
        # What it leaves out, the service says.
        return psycopg.connect(address, **given)
    options: dict[str, Any] = {**_left_out(said), **given}
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


def _left_out(said: dict[str, Any]) -> dict[str, str]:
    known = {each.keyword.decode() for each in pq.Conninfo.get_defaults() if each.envvar}
    return {name: _USUAL.get(name, "") for name in known - said.keys() - _FREE}


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
