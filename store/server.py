"""The PostgreSQL server that holds the store: an embedded one, or one that runs elsewhere.

with ObjectStoreServer(data_dir="data/store") as server:
    provision_user(server.admin_conn(), "alice", "a-good-password")
    client = StoreClient(user="alice", password="a-good-password", **server.conn_info())
"""

from __future__ import annotations

import atexit
import fcntl
import os
import secrets
import shutil
import socket
import subprocess
import tempfile
import warnings
from pathlib import Path
from types import TracebackType
from typing import IO, Any
from urllib.parse import quote

import psutil
import psycopg2
from psycopg2 import sql
from psycopg2.extensions import parse_dsn

from store.errors import ServerError
from store.schema import bootstrap_schema

ADMIN = "postgres"
DATABASE = "postgres"
WORKFLOW = "workflow_engine"
HOST = "127.0.0.1"
START_SECONDS = 60
# Connections of many desks; the default of 100 is soon used up by pools.
SETTINGS = {"listen_addresses": HOST, "unix_socket_directories": "", "max_connections": "200"}


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
        self.data_dir = Path(data_dir or _default_directory()).expanduser().absolute()
        self._password = admin_password
        self._port: int | None = None
        self._lock: IO[str] | None = None

    def start(self) -> ObjectStoreServer:
        """Start the server, make or migrate the schema, and return self.

        ServerError says why it cannot: a directory in use, without rights, or a full disk.
        """
        if self._dsn is None and self._port is None:
            self._start_embedded()
        connection = self.admin_conn()
        try:
            bootstrap_schema(connection)
        finally:
            connection.close()
        return self

    def stop(self) -> None:
        """Stop the embedded server; connections that are open are closed by it."""
        if self._port is None:
            return
        atexit.unregister(self.stop)
        try:
            if self._running_port() is not None:
                self._control("stop", "-m", "fast")
        except ServerError:
            # It may have crashed just then, and is gone as well.
            if self._running_port() is not None:
                raise
        finally:
            self._port = None
            self._release()

    def __enter__(self) -> ObjectStoreServer:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def conn_info(self) -> dict[str, Any]:
        """`host`, `port` and `dbname`, as StoreClient takes them."""
        if self._dsn is not None:
            parts = parse_dsn(self._dsn)
            return {
                "host": parts.get("host", "localhost"),
                "port": int(parts.get("port", 5432)),
                "dbname": parts.get("dbname", parts.get("user", DATABASE)),
            }
        if self._port is None:
            raise ServerError("the server is not running; call start() first")
        return {"host": HOST, "port": self._port, "dbname": DATABASE}

    def admin_conn(self) -> Any:
        """A new connection of the administrator, in autocommit mode; close it after use."""
        try:
            if self._dsn is not None:
                connection = psycopg2.connect(self._dsn)
            else:
                connection = psycopg2.connect(
                    user=ADMIN, password=self._password, **self.conn_info()
                )
        except psycopg2.OperationalError as error:
            hint = "" if self._dsn is not None else f"; its password is kept in {self._file(ADMIN)}"
            raise ServerError(f"the administrator cannot log in: {error}{hint}") from error
        connection.autocommit = True
        return connection

    def dbos_url(self) -> str:
        """The URL of a database for the workflow engine, whose role owns that and nothing else.

        On a server given by `dsn` it is that dsn's own database and role.
        """
        if self._dsn is not None:
            parts = {"user": "", "password": "", **parse_dsn(self._dsn)}
            user, password, where = parts["user"], parts["password"], self.conn_info()
        else:
            user, password = WORKFLOW, self._kept_password(WORKFLOW)
            where = {**self.conn_info(), "dbname": WORKFLOW}
            self._make_workflow_database(password)
        login = quote(user, safe="") + (f":{quote(password, safe='')}" if password else "")
        return f"postgresql://{login}@{where['host']}:{where['port']}/{where['dbname']}"

    def _make_workflow_database(self, password: str) -> None:
        role = sql.Identifier(WORKFLOW)
        connection = self.admin_conn()
        with connection.cursor() as cursor:
            cursor.execute("SELECT FROM pg_roles WHERE rolname = %s", [WORKFLOW])
            if cursor.rowcount == 0:
                make = sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}")
                cursor.execute(make.format(role, sql.Literal(password)))
            cursor.execute("SELECT FROM pg_database WHERE datname = %s", [WORKFLOW])
            if cursor.rowcount == 0:
                cursor.execute(sql.SQL("CREATE DATABASE {0} OWNER {0}").format(role))
                close = sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC")
                cursor.execute(close.format(role))
        connection.close()

    # --- the embedded server ----------------------------------------------------------------------

    @property
    def _pgdata(self) -> Path:
        return self.data_dir / "pg"

    def _file(self, role: str) -> Path:
        return self.data_dir / ("admin_password" if role == ADMIN else f"{role}_password")

    def _start_embedded(self) -> None:
        try:
            self.data_dir.mkdir(parents=True, exist_ok=True)
            _let_through(self.data_dir)
            self._lock = (self.data_dir / "lock").open("a+")
        except OSError as error:
            raise ServerError(
                f"{self.data_dir} cannot hold the store's data: {error.strerror}; "
                "name another directory, or change its owner or rights"
            ) from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._lock.close()
            self._lock = None
            raise ServerError(
                f"{self.data_dir} is in use by another process, which runs its server; connect "
                "to that one by dsn, or stop it first"
            ) from None
        try:
            self._bring_up()
        except BaseException:
            self._release()
            raise
        atexit.register(self.stop)

    def _bring_up(self) -> None:
        new = not (self._pgdata / "PG_VERSION").exists()
        if self._password is None:
            if not new and not self._file(ADMIN).exists():
                raise ServerError(
                    f"{self.data_dir} was made with an admin_password of its own; give it again"
                )
            self._password = self._kept_password(ADMIN)
        if new:
            self._initialise(self._password)
        running = self._running_port()
        if running is not None:
            # Its process was killed and could not stop it.
            self._port = running
            return
        kept = self.data_dir / "port"
        wanted = int(kept.read_text()) if kept.exists() else 0
        port = _free_port(wanted)
        options = " ".join(f"-c {name}={value or chr(39) * 2}" for name, value in SETTINGS.items())
        self._control("start", "-o", f"-p {port} {options}", "-l", str(self._pgdata / "log"))
        kept.write_text(str(port))
        self._port = port

    def _initialise(self, password: str) -> None:
        """Make the cluster beside its place, so that one half made is never taken for whole."""
        fresh = Path(tempfile.mkdtemp(prefix="new-", dir=self.data_dir))
        word = fresh / "password"
        cluster = fresh / "pg"
        cluster.mkdir(mode=0o700)
        word.touch(mode=0o600)
        word.write_text(password)
        user = _system_user()
        if user is not None:
            for path in (fresh, word, cluster):
                shutil.chown(path, user)
        try:
            self._run(
                "initdb",
                f"--pgdata={cluster}",
                f"--username={ADMIN}",
                f"--pwfile={word}",
                "--auth=scram-sha-256",
                "--encoding=UTF8",
                "--locale=C",
            )
            if self._pgdata.exists():
                shutil.rmtree(self._pgdata)
            cluster.rename(self._pgdata)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)

    def _running_port(self) -> int | None:
        """The port of a server that runs on the directory already, else None.

        The file that a crash left behind goes: its process id may be a zombie's or another's.
        """
        pid_file = self._pgdata / "postmaster.pid"
        try:
            lines = pid_file.read_text().splitlines()
            pid = int(lines[0])
        except FileNotFoundError:
            return None
        except (OSError, IndexError, ValueError) as error:
            raise ServerError(f"{pid_file} cannot be read: {error}") from error
        if not _is_postgres(pid):
            pid_file.unlink()
            return None
        return int(lines[3])

    def _control(self, action: str, *options: str) -> None:
        limit = f"--timeout={START_SECONDS}"
        try:
            self._run("pg_ctl", action, "-w", limit, "-D", str(self._pgdata), *options)
        except ServerError as error:
            log = self._pgdata / "log"
            tail = log.read_text(errors="replace").splitlines()[-8:] if log.exists() else []
            raise ServerError(
                "\n  ".join([f"{error}; the server's log ends with", *tail])
            ) from None

    def _run(self, program: str, *arguments: str) -> None:
        with tempfile.TemporaryFile("w+") as output:
            # A pipe would stay open as long as the server runs.
            done = subprocess.run(
                [str(_binaries() / program), *arguments],
                stdout=output,
                stderr=output,
                stdin=subprocess.DEVNULL,
                cwd=self.data_dir,
                user=_system_user(),
                check=False,
            )
            output.seek(0)
            if done.returncode != 0:
                said = output.read().strip()[-1000:]
                raise ServerError(f"{program} on {self._pgdata} failed: {said}")

    def _kept_password(self, role: str) -> str:
        file = self._file(role)
        if not file.exists():
            with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
                out.write(secrets.token_urlsafe(24))
        return file.read_text().strip()

    def _release(self) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None


def _binaries() -> Path:
    with warnings.catch_warnings():
        # Where XDG_RUNTIME_DIR is not set, it says where else it keeps its lock.
        warnings.simplefilter("ignore")
        import pgserver  # noqa: PLC0415 - a server given by dsn needs none
    return Path(pgserver.__file__).parent / "pginstall" / "bin"


def _system_user() -> str | None:
    """PostgreSQL refuses to run as root; then it runs as this user, made where it is missing."""
    if os.geteuid() != 0:
        return None
    _binaries()
    from pgserver.utils import ensure_user_exists  # noqa: PLC0415 - see above

    ensure_user_exists("pgserver")
    return "pgserver"


def _is_postgres(pid: int) -> bool:
    try:
        process = psutil.Process(pid)
        return bool(process.status() != psutil.STATUS_ZOMBIE and "postgres" in process.name())
    except psutil.NoSuchProcess:
        return False


def _let_through(directory: Path) -> None:
    """Run by root, let the system user reach the directory; it can list none of those above."""
    if os.geteuid() != 0:
        return
    for folder in (directory, *directory.parents):
        mode = folder.stat().st_mode
        if not mode & 0o001:
            folder.chmod(mode | 0o011)


def _free_port(wanted: int) -> int:
    """The wanted port of the loopback interface if nobody listens there, else any free one."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, wanted))
        except OSError:
            probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _default_directory() -> Path:
    if os.geteuid() == 0:
        return Path("/var/lib/object-store")
    home = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(home) / "object-store"
