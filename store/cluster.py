"""A PostgreSQL cluster in a directory of its own: made, started, found again and stopped."""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import socket
import subprocess
import tempfile
import weakref
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep
from typing import IO

import psutil

from store.errors import DirectoryInUse, ServerError

ADMIN = "postgres"
HOST = "127.0.0.1"
START_SECONDS = 60
STOP_SECONDS = 60
# Connections of many desks; the default of 100 is soon used up by pools.
SETTINGS = {"listen_addresses": HOST, "unix_socket_directories": "", "max_connections": "200"}


@dataclass(frozen=True)
class Programs:
    """Where PostgreSQL's programs are, for each major version that there is."""

    folders: dict[int, Path]
    # The version of new clusters.
    newest: int
    # PostgreSQL refuses to run as root; then it runs as this user.
    system_user: str | None


class Cluster:
    """The cluster under `directory`; one process at a time may run it.

    It listens on the loopback interface alone and asks everybody for a password from the first
    moment on. Passwords that were made at random are in files that only their owner can read.
    """

    def __init__(self, directory: Path, password: str | None, programs: Programs) -> None:
        self.directory = directory
        self.password = password
        self.port: int | None = None
        self._programs = programs
        self._lock: IO[str] | None = None
        self._took_over = False
        _clusters.add(self)

    def start(self) -> None:
        """Take the directory, and make and start the cluster or take over one that runs there."""
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            _let_through(self.directory)
            self._lock = (self.directory / "lock").open("a+")
        except OSError as error:
            raise ServerError(
                f"{self.directory} cannot hold the store's data: {error.strerror}; "
                "name another directory, or change its owner or rights"
            ) from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._lock.close()
            self._lock = None
            raise DirectoryInUse(
                f"{self.directory} is in use by another process, which runs its server; connect "
                "to that one by dsn, or stop it first"
            ) from None
        try:
            self._bring_up()
        except OSError as error:
            self._release()
            raise ServerError(f"{self.directory} cannot hold the store's data: {error}") from error
        except BaseException:
            self._release()
            raise

    def stop(self) -> None:
        """Stop it and leave the directory to others; connections that are open are closed by it.

        In a forked child of the process that runs it nothing happens.
        """
        if self._lock is None:
            return
        try:
            self._shut_down()
        finally:
            self.port = None
            self._release()

    def leave(self) -> None:
        """As `stop`, but leave one alone that was found running."""
        if self._took_over:
            self._release()
        self.stop()

    def kept_password(self, role: str) -> str:
        """The password in the file of a role, made at random where there is none yet."""
        file = self.password_file(role)
        try:
            if not file.exists():
                self._write(file, secrets.token_urlsafe(24))
            return file.read_text().strip()
        except OSError as error:
            raise ServerError(f"{file} cannot keep a password: {error.strerror}") from error

    def password_file(self, role: str) -> Path:
        """Where the password of a role is kept."""
        return self.directory / ("admin_password" if role == ADMIN else f"{role}_password")

    @property
    def _data(self) -> Path:
        return self.directory / "pg"

    def _bring_up(self) -> None:
        new = self._version() is None
        if self.password is None:
            if not new and not self.password_file(ADMIN).exists():
                raise ServerError(
                    f"{self.directory} was made with an admin_password of its own; give it again"
                )
            self.password = self.kept_password(ADMIN)
        if new:
            self._initialise(self.password)
        kept = self.directory / "port"
        before = kept.read_text() if kept.exists() else ""
        port = self._take_over()
        self._took_over = port is not None
        if port is None:
            port = self._start(int(before) if before.isdecimal() else 0)
        try:
            if before != str(port):
                self._write(kept, str(port))
        except OSError:
            if not self._took_over:
                self._shut_down()
            raise
        self.port = port

    def _take_over(self) -> int | None:
        """The port of a server whose process was killed and could not stop it, once it is ready."""
        end = monotonic() + START_SECONDS
        while (running := self._running()) is not None:
            port, status = running
            if status in ("ready", "standby"):
                return port
            if status == "stopping" or monotonic() > end:
                self._shut_down()
            else:
                sleep(0.05)
        return None

    def _start(self, wanted: int) -> int:
        """Start it on the wanted port, or another one where that is taken; return which."""
        settings = " ".join(f"-c {name}={value or chr(39) * 2}" for name, value in SETTINGS.items())
        for tries_left in (2, 1, 0):
            port = _free_port(wanted)
            try:
                options = ("-o", f"-p {port} {settings}", "-l", str(self._data / "log"))
                self._control("start", *options)
                break
            except ServerError:
                # Somebody may have taken it in that moment.
                if not tries_left or _free_port(port) == port:
                    raise
            except BaseException:
                # Such as Ctrl-C: what was begun would go on without us.
                self._shut_down()
                raise
        return port

    def _shut_down(self) -> None:
        try:
            if self._running() is not None:
                self._control("stop", "-m", "fast", seconds=STOP_SECONDS)
        except ServerError:
            # It may have crashed just then, and is gone as well. Else something hangs, and it is
            # stopped as by a crash: the next start makes that good.
            if self._running() is not None:
                self._control("stop", "-m", "immediate")

    def _write(self, file: Path, text: str) -> None:
        """Beside its place, so that one half written is never taken for whole."""
        number, fresh = tempfile.mkstemp(prefix="new-", dir=self.directory)
        with os.fdopen(number, "w") as out:
            out.write(text)
        Path(fresh).replace(file)

    def _initialise(self, password: str) -> None:
        """Make the cluster beside its place, so that one half made is never taken for whole."""
        fresh = Path(tempfile.mkdtemp(prefix="new-", dir=self.directory))
        word = fresh / "password"
        cluster = fresh / "pg"
        cluster.mkdir(mode=0o700)
        word.touch(mode=0o600)
        word.write_text(password)
        user = self._programs.system_user
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
            if self._data.exists():
                shutil.rmtree(self._data)
            cluster.rename(self._data)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)

    def _running(self) -> tuple[int, str] | None:
        """Port and status of a server that runs on the directory already, else None.

        The file that a crash left behind goes: its process id may be a zombie's or another's.
        """
        pid_file = self._data / "postmaster.pid"
        try:
            lines = pid_file.read_text().splitlines()
            pid, port = int(lines[0]), int(lines[3])
        except FileNotFoundError:
            return None
        except (OSError, IndexError, ValueError) as error:
            raise ServerError(f"{pid_file} cannot be read: {error}") from error
        if not _is_postgres(pid):
            pid_file.unlink(missing_ok=True)
            return None
        return port, lines[7].strip() if len(lines) > 7 else "starting"

    def _control(self, action: str, *options: str, seconds: int = START_SECONDS) -> None:
        limit = f"--timeout={seconds}"
        try:
            self._run("pg_ctl", action, "-w", limit, "-D", str(self._data), *options)
        except ServerError as error:
            log = self._data / "log"
            tail = log.read_text(errors="replace").splitlines()[-8:] if log.exists() else []
            raise ServerError(
                "\n  ".join([f"{error}; the server's log ends with", *tail])
            ) from None

    def _run(self, program: str, *arguments: str) -> None:
        with tempfile.TemporaryFile("w+") as output:
            # A pipe would stay open as long as the server runs.
            done = subprocess.run(
                [str(self._folder() / program), *arguments],
                stdout=output,
                stderr=output,
                stdin=subprocess.DEVNULL,
                cwd=self.directory,
                user=self._programs.system_user,
                check=False,
            )
            output.seek(0)
            if done.returncode != 0:
                said = output.read().strip()[-1000:]
                raise ServerError(f"{program} on {self._data} failed: {said}")

    def _version(self) -> int | None:
        """The major version of PostgreSQL that made the cluster; None where there is none."""
        file = self._data / "PG_VERSION"
        return int(file.read_text()) if file.exists() else None

    def _folder(self) -> Path:
        version = self._version() or self._programs.newest
        if version not in self._programs.folders:
            known = " and ".join(str(each) for each in self._programs.folders)
            raise ServerError(
                f"{self._data} was made by PostgreSQL {version}, installed is {known}; install the "
                "package that brings the other one, or move the data with pg_dump"
            )
        return self._programs.folders[version]

    def _release(self) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None


# Those of this process. A forked child inherits the locks of its parent, but none of the servers.
_clusters: weakref.WeakSet[Cluster] = weakref.WeakSet()


def _disown() -> None:
    for cluster in _clusters:
        cluster._release()


os.register_at_fork(after_in_child=_disown)


def running_at(directory: Path) -> tuple[int, str | None]:
    """The port of a server that another process runs, and the password that is kept beside it."""
    try:
        port = int((directory / "port").read_text())
        kept = directory / "admin_password"
        return port, kept.read_text().strip() if kept.exists() else None
    except (OSError, ValueError) as error:
        raise ServerError(f"{directory} does not tell where its server is: {error}") from error


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
