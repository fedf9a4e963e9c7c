"""The one way in which this package logs in to PostgreSQL.

Its library, libpq, takes what a call leaves out from variables such as PGHOST, PGSSLMODE or
PGOPTIONS. They are meant for other databases, so here nothing is left out.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

import psycopg2
from psycopg2.extensions import (
    UNICODE,
    libpq_version,
    new_array_type,
    new_type,
    register_type,
)

from store.database.execute import PgConnection
from store.database.prepared import PreparingConnection
from store.database.sqlstates import login_refused
from store.errors import AccessError

CONNECT_SECONDS = 10
# What libpq means where neither a call nor the environment says anything, by the version since
# which it knows the name. An empty text is "not given" for it.
_USUAL: dict[int, dict[str, str]] = {
    0: {
        **dict.fromkeys(("user", "dbname", "host", "hostaddr", "port", "options"), ""),
        **dict.fromkeys(("sslcert", "sslkey", "sslrootcert", "sslcrl", "requirepeer"), ""),
        **dict.fromkeys(("ssl_max_protocol_version", "gsslib"), ""),
        "sslmode": "prefer",
        "sslcompression": "0",
        "ssl_min_protocol_version": "TLSv1.2",
        "channel_binding": "prefer",
        "gssencmode": "disable",
        "krbsrvname": "postgres",
        "target_session_attrs": "any",
    },
    140_000: {"sslcrldir": "", "sslsni": "1"},
    160_000: {
        # An empty text would be none of them.
        "require_auth": "none,password,md5,gss,sspi,scram-sha-256",
        "sslcertmode": "allow",
        "gssdelegation": "0",
        "load_balance_hosts": "disable",
    },
    170_000: {"sslnegotiation": "postgres"},
    180_000: {"min_protocol_version": "3.0", "max_protocol_version": "3.0"},
}
# Variables that become settings of the session, beside the options of a call.
_SESSION = {
    "PGTZ": "SET TimeZone = 'UTC'",
    "PGDATESTYLE": "SET DateStyle = 'ISO, MDY'",
    "PGGEQO": "SET geqo = on",
}
# Ids are texts here. Libraries such as peewee make them objects for the whole program.
_UUID = new_type((2950,), "UUID", UNICODE)
_OWN_TYPES = (_UUID, new_array_type((2951,), "UUIDARRAY", _UUID))
_environment = threading.RLock()
# Both ends notice within half a minute that the other one is gone without a word.
_KEEPALIVE = {"idle": 10, "interval": 5, "count": 3}


@dataclass(frozen=True)
class Login:
    """Where to log in, and as whom."""

    user: str
    password: str = field(repr=False)
    host: str
    port: int
    dbname: str
    sslmode: str = "prefer"
    sslrootcert: str | None = None

    def connect(self, application_name: str = "object_store subscriber") -> PgConnection:
        """A connection in autocommit mode, with times in UTC; Unavailable or AccessError."""
        options = "".join(f" -c tcp_keepalives_{key}={n}" for key, n in _KEEPALIVE.items())
        try:
            return connect(
                {
                    **asdict(self),
                    "application_name": application_name,
                    "options": "-c TimeZone=UTC" + options,
                    **{f"keepalives_{key}": n for key, n in _KEEPALIVE.items()},
                }
            )
        except psycopg2.OperationalError as error:
            where = address(self.host, self.port)
            raise login_refused(error, self.user, where) from error


def connect(given: Mapping[str, Any], *, finds_password: bool = False) -> PgConnection:
    """A connection of psycopg2, in autocommit mode, that `given` alone decides.

    With `finds_password` one that is left out comes from $PGPASSWORD or a password file, as for
    psql. A `service` that is given decides what is left out, and then so do the variables.
    psycopg2.OperationalError says why it cannot be made.
    """
    said = {name: value for name, value in given.items() if value is not None}
    pinned: dict[str, Any] = {"client_encoding": "UTF8"}
    if "service" not in said:
        pinned["connect_timeout"] = CONNECT_SECONDS
        for since, usual in _USUAL.items():
            if libpq_version() >= since:
                pinned |= usual
    if "host" in said:
        said["host"] = bare_host(str(said["host"]))
    if not finds_password:
        # Of a name that no file can have.
        pinned |= {"password": "", "passfile": f"{os.devnull}/none"}
    with _no_service("service" not in said):
        connection: PgConnection = psycopg2.connect(
            connection_factory=PreparingConnection, **{**pinned, **said}
        )
    for kind in _OWN_TYPES:
        register_type(kind, connection)
    connection.autocommit = True
    if "service" not in said and not _SESSION.keys().isdisjoint(os.environ):
        _usual_session(connection)
    return connection


IS_ADMINISTRATOR = """
SELECT rolsuper OR rolbypassrls OR EXISTS (
    SELECT FROM pg_catalog.pg_roles o
    WHERE o.rolname = 'object_store_owner' AND pg_has_role(r.oid, o.oid, 'USAGE'))
FROM pg_catalog.pg_roles r WHERE r.rolname = session_user
"""


def refuse_administrator(user: str, is_administrator: bool) -> None:
    """AccessError for a role to which the database shows everything, whoever owns it.

    What belongs to a user is asked by name, so such a role would see one half of an answer as
    a user and the other as an administrator.
    """
    if is_administrator:
        raise AccessError(
            f"{user} administers the database and is no user of the store: it sees everything "
            "and owns nothing; give programs logins of their own with provision_user"
        )


def bare_host(host: str) -> str:
    """A host as libpq takes it: an IPv6 address may be given in the brackets of a URL."""
    return host[1:-1] if host.startswith("[") and host.endswith("]") else host


def address(host: str, port: object) -> str:
    """Host and port in one text, as URLs and messages have them; IPv6 in brackets."""
    return f"[{host}]:{port}" if ":" in host and not host.startswith("[") else f"{host}:{port}"


def _usual_session(connection: PgConnection) -> None:
    with connection.cursor() as cursor:
        for variable, usual in _SESSION.items():
            if variable in os.environ:
                cursor.execute(usual)


@contextmanager
def _no_service(hidden: bool) -> Iterator[None]:
    """Hide $PGSERVICE, which nothing that a call says can outdo."""
    if not hidden or "PGSERVICE" not in os.environ:
        yield
        return
    with _environment:
        service = os.environ.pop("PGSERVICE", None)
        try:
            yield
        finally:
            if service is not None:
                os.environ["PGSERVICE"] = service
