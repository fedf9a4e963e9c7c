"""A login to the tick store's database: one connection, made again when it is lost."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol, runtime_checkable

import psycopg2

from store.administration import is_superuser
from store.client import StoreClient
from trading.errors import TickStoreError
from trading.ticks.schema import MIGRATIONS, bootstrap_ticks, schema_version

_OPTIONS = "-c TimeZone=UTC -c jit=off"


@runtime_checkable
class Server(Protocol):
    """A server that gives connections of its administrator, such as `ObjectStoreServer`."""

    def admin_conn(self) -> Any:
        """A new connection of the administrator."""


class Login:
    """A connection that threads share, one transaction at a time.

    `where` is a dsn, a mapping of psycopg2's parameters, a StoreClient, whose user and server are
    taken, or a server, whose administrator is.
    """

    def __init__(self, where: str | Mapping[str, Any] | StoreClient | Server) -> None:
        self._where = where
        self._raw: Any = None
        self._lock = threading.RLock()

    @contextmanager
    def transaction(self) -> Iterator[Any]:
        """A cursor in a transaction of its own; errors of the database are TickStoreErrors."""
        with self._lock, _told():
            connection = self._connected()
            try:
                with connection, connection.cursor() as cursor:
                    yield cursor
            except psycopg2.OperationalError:
                self._drop()
                raise

    @contextmanager
    def connection(self) -> Iterator[Any]:
        """The connection itself, for what administrators do."""
        with self._lock, _told():
            yield self._connected()

    def close(self) -> None:
        """Log out."""
        with self._lock:
            self._drop()

    def _drop(self) -> None:
        connection, self._raw = self._raw, None
        if connection is not None:
            connection.close()

    def _connected(self) -> Any:
        if self._raw is None or self._raw.closed:
            connection = _connect(self._where)
            try:
                _prepare(connection)
            except BaseException:
                connection.close()
                raise
            self._raw = connection
        return self._raw


def _connect(where: Any) -> Any:
    options: dict[str, Any] = {
        "options": _OPTIONS,
        "application_name": "tick_store",
        "connect_timeout": 10,
    }
    if isinstance(where, str):
        return psycopg2.connect(where, **options)
    if isinstance(where, Mapping):
        return psycopg2.connect(**{**where, **options})
    if isinstance(where, StoreClient):
        told = where._connection.raw.info
        given = {n: v for n, v in told.dsn_parameters.items() if n not in options}
        return psycopg2.connect(password=told.password, **{**given, **options})
    if isinstance(where, Server):
        told = where.admin_conn()
        given = {n: v for n, v in told.info.dsn_parameters.items() if n not in options}
        password = told.info.password
        told.close()
        return psycopg2.connect(password=password, **{**given, **options})
    raise TickStoreError(
        f"a tick store needs a dsn, connection parameters, a StoreClient or a server, not "
        f"{type(where).__name__}"
    )


def _prepare(connection: Any) -> None:
    """Make or migrate the schema where the user may; say what to do where not."""
    with connection, connection.cursor() as cursor:
        version = schema_version(cursor)
        if version == len(MIGRATIONS):
            return
        cursor.execute(
            "SELECT current_user, rolcreaterole FROM pg_roles WHERE rolname = current_user"
        )
        user, may_create = cursor.fetchone()
        may = may_create or is_superuser(cursor)
    if not may:
        raise TickStoreError(
            f"the tick store of this database is of version {version}, this program's is "
            f"{len(MIGRATIONS)}, and {user!r} may not change that; an administrator makes it with "
            "trading.ticks.bootstrap_ticks(admin_conn)"
        )
    bootstrap_ticks(connection)


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except psycopg2.errors.InsufficientPrivilege as error:
        raise TickStoreError(
            f"the right is missing: {_first_line(error)}; an administrator gives it with "
            "TickStore.grant(user, symbols, write=…)"
        ) from error
    except psycopg2.OperationalError as error:
        raise TickStoreError(
            f"the connection to the tick store failed: {_first_line(error)}; whether the last "
            "batch was kept is unknown: append it again, known sequences are recognised"
        ) from error
    except psycopg2.Error as error:
        raise TickStoreError(f"the tick store refused: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [repr(error)])[0]
