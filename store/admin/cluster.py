"""A PostgreSQL cluster in a directory of its own: made, started, found again and stopped."""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import resource
import secrets
import shutil
import socket
import stat
import subprocess
import tempfile
import weakref
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep
from typing import Any

from store.admin.data_directory import CLUSTER, MARK, holds_cluster, named, version_of
from store.admin.postmaster import clear_pid_file, running_on, shut_down, wait_until_ready
from store.errors import DirectoryInUse, ServerError

_LOG = logging.getLogger(__name__)

ADMIN = "postgres"
HOST = "127.0.0.1"
# A crash of a large database takes some time to recover from.
START_SECONDS = 300
STOP_SECONDS = 60
# How long a pid file may say nothing of a server that runs: it is just being written.
_SILENT_SECONDS = 5
SETTINGS = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    # Connections of many desks; the default of 100 is soon used up by pools.
    "max_connections": "200",
    # Of those, some are kept for administrators, and some for the workflow engine.
    "superuser_reserved_connections": "10",
    "reserved_connections": "10",
    # Who opens connections and says no password holds each of them for this long.
    "authentication_timeout": "10s",
    # A statement that fails may hold a password or a desk's data: neither is for the log.
    "log_min_error_statement": "panic",
}

# A backend keeps so many bytes that it has freed. By itself glibc gives them back to the system,
# and takes them again page by page for the next large statement.
_MEMORY = {
    "MALLOC_MMAP_THRESHOLD_": str(8 * 2**20),
    "MALLOC_TRIM_THRESHOLD_": str(16 * 2**20),
}


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
        self._lock: int | None = None
        self._took_over = False
        _clusters.add(self)

    def start(self) -> None:
        """Take the directory, and make and start the cluster or take over one that runs there.

        ServerError for a directory that is damaged, another program's or another user's; nothing
        in it is changed then.
        """
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            _let_through(self.directory)
            self._lock = _open_lock(self.directory / "lock")
        except OSError as error:
            raise ServerError(_cannot_hold(self.directory, error)) from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._release()
            if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                raise ServerError(_cannot_hold(self.directory, error)) from error
            raise DirectoryInUse(
                f"{self.directory} is in use by another process, which runs its server; connect "
                "to that one by dsn, or stop it first"
            ) from None
        try:
            self._bring_up()
        except OSError as error:
            self._release()
            raise ServerError(_cannot_hold(self.directory, error)) from error
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
            if not os.path.lexists(file):
                self._write(file, secrets.token_urlsafe(24))
            return read_secret(file)
        except OSError as error:
            raise ServerError(f"{file} cannot keep a password: {said(error)}") from error

    def password_file(self, role: str) -> Path:
        """Where the password of a role is kept."""
        return self.directory / ("admin_password" if role == ADMIN else f"{role}_password")

    @property
    def _data(self) -> Path:
        return self.directory / CLUSTER

    def _bring_up(self) -> None:
        if self.password is not None:
            _check_password(self.password)
        _finish_making(self.directory)
        if holds_cluster(self.directory, _owner(self._programs)):
            # Before anything is done to it: is there a program that can run it?
            self._folder()
            self._know_password()
        else:
            self._initialise()
        kept = self.directory / "port"
        before = kept.read_text(errors="replace").strip() if kept.exists() else ""
        port = self._take_over()
        self._took_over = port is not None
        if port is None:
            port = self._start(int(before) if before.isdecimal() and len(before) < 6 else 0)
        try:
            if before != str(port):
                self._write(kept, str(port))
        except OSError:
            if not self._took_over:
                self._shut_down()
            raise
        self.port = port

    def _know_password(self) -> None:
        if self.password is None:
            if not os.path.lexists(self.password_file(ADMIN)):
                raise ServerError(
                    f"{self.directory} was made with an admin_password of its own; give it again"
                )
            self.password = self.kept_password(ADMIN)

    def _take_over(self) -> int | None:
        """The port of a server whose process was killed and could not stop it, once it is ready."""
        begin = monotonic()
        while (running := running_on(self._data)) is not None:
            if running.port is not None and running.status in ("ready", "standby"):
                return running.port
            waited = monotonic() - begin
            is_silent = running.port is None and waited > _SILENT_SECONDS
            if running.status == "stopping" or is_silent or waited > START_SECONDS:
                self._shut_down()
            else:
                sleep(0.05)
        return None

    def _start(self, wanted: int) -> int:
        """Start it on the wanted port, or another one where that is taken; return which."""
        clear_pid_file(self._data)
        for tries_left in (2, 1, 0):
            port = _free_port(wanted)
            try:
                self._launch(port)
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

    def _launch(self, port: int) -> None:
        """Start PostgreSQL and wait until it is ready.

        Not by pg_ctl: that hands the names of files to a shell, which reads more than a name in
        some. Here the shell is given them as arguments, and only lets the server go.
        """
        log = self._data / "log"
        if log.is_symlink():
            raise ServerError(f"{log} is a symbolic link; the server's log must be a file there")
        seen = log.stat().st_size if log.exists() else 0
        settings = [f"--{name}={value}" for name, value in SETTINGS.items()]
        postgres = [str(self._folder() / "postgres"), "-D", str(self._data), "-p", str(port)]
        let_go = 'log=$1; shift; "$@" </dev/null >>"$log" 2>&1 & echo $!'
        done = self._as_system_user(
            ["/bin/sh", "-c", let_go, "sh", str(log), *postgres, *settings],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        if not done.stdout.strip().isdigit():
            raise ServerError(
                f"no process can be started for PostgreSQL: {done.stderr.strip() or 'no reason'}"
            )
        if not wait_until_ready(self._data, int(done.stdout), START_SECONDS):
            self._shut_down()
            with log.open("rb") as file:
                file.seek(seen)
                tail = file.read().decode(errors="replace").splitlines()[-8:]
            raise ServerError(
                "\n  ".join(
                    [f"PostgreSQL cannot start on {self._data}; the server's log ends with", *tail]
                )
            )

    def _shut_down(self) -> None:
        running = running_on(self._data)
        if running is not None:
            shut_down(running, STOP_SECONDS, START_SECONDS)

    def _write(self, file: Path, text: str) -> None:
        """Beside its place, so that one half written is never taken for whole."""
        number, fresh = tempfile.mkstemp(prefix="new-", dir=self.directory)
        try:
            with os.fdopen(number, "w") as out:
                out.write(text)
                out.flush()
                os.fsync(out.fileno())
            Path(fresh).replace(file)
        except BaseException:
            Path(fresh).unlink(missing_ok=True)
            raise

    def _initialise(self) -> None:
        """Make the cluster beside its place, so that one half made is never taken for whole."""
        user = self._programs.system_user
        _check_user(user)
        fresh = Path(tempfile.mkdtemp(prefix="new-", dir=self.directory))
        word, cluster = fresh / "password", fresh / CLUSTER
        try:
            cluster.mkdir(mode=0o700)
            word.touch(mode=0o600)
            if self.password is None:
                self.password = secrets.token_urlsafe(24)
                self._write(fresh / "admin_password", self.password)
            word.write_text(self.password)
            if user is not None:
                for path in (fresh, word, cluster):
                    shutil.chown(path, user)
            self._run_initdb(cluster, word)
            (cluster / MARK).touch(mode=0o600)
            if user is not None:
                shutil.chown(cluster / MARK, user)
            # Both, or what is left of this is finished by the next start.
            cluster.rename(self._data)
            _finish_making(self.directory)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)

    def _run_initdb(self, cluster: Path, word: Path) -> None:
        folder = self._folder_of(self._programs.newest)
        done = self._as_system_user(
            [
                str(folder / "initdb"),
                f"--pgdata={cluster}",
                f"--username={ADMIN}",
                f"--pwfile={word}",
                "--auth=scram-sha-256",
                "--encoding=UTF8",
                "--locale=C",
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        if done.returncode != 0:
            said = str(done.stdout).strip()[-1000:]
            raise ServerError(f"no PostgreSQL cluster can be made in {self.directory}: {said}")

    def _as_system_user(
        self, command: list[str], **options: Any
    ) -> subprocess.CompletedProcess[str]:
        user = self._programs.system_user
        if user is not None:
            uid, gid = _ids(user)
            options |= {"user": uid, "group": gid, "extra_groups": ()}
        # What is set for other databases, such as PGPORT or PGCLIENTENCODING, is not for this one.
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
        return subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            text=True,
            errors="replace",
            cwd=self.directory,
            env={**_MEMORY, **kept, "LC_ALL": "C"},
            umask=0o077,
            check=False,
            **options,
        )

    def _folder(self) -> Path:
        """Where the programs are that can run the cluster."""
        return self._folder_of(version_of(self._data))

    def _folder_of(self, version: int) -> Path:
        if version not in self._programs.folders:
            known = " and ".join(str(each) for each in self._programs.folders)
            raise ServerError(
                f"{self._data} was made by PostgreSQL {version}, installed is {known}; install the "
                "package that brings the other one, or move the data with pg_dump"
            )
        return self._programs.folders[version]

    def _release(self) -> None:
        lock, self._lock = self._lock, None
        if lock is not None:
            os.close(lock)


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
        return port, read_secret(kept) if os.path.lexists(kept) else None
    except (OSError, ValueError) as error:
        raise ServerError(f"{directory} does not tell where its server is: {error}") from error


def read_secret(file: Path) -> str:
    """What a file keeps that only its owner may read; its mode is made so.

    ServerError for a symbolic link, or a file that belongs to somebody else.
    """
    try:
        number = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise ServerError(
                f"{file} is a symbolic link, and whoever can change where it leads chooses what is "
                "read; put the file itself there"
            ) from error
        raise
    with os.fdopen(number) as opened:
        found = os.fstat(number)
        if not stat.S_ISREG(found.st_mode) or found.st_uid not in (os.geteuid(), 0):
            raise ServerError(
                f"{file} is no file of {named(os.geteuid())}; it belongs to {named(found.st_uid)}"
            )
        if found.st_mode & 0o077:
            _LOG.warning("%s could be read by others; it is its owner's alone from now on", file)
            os.fchmod(number, 0o600)
        return opened.read().strip()


def _finish_making(directory: Path) -> None:
    """Move a password to its place whose cluster is at its place already.

    A start that was killed just between the two leaves it in a folder without the cluster.
    """
    place = directory / "admin_password"
    if os.path.lexists(place) or not (directory / CLUSTER / MARK).exists():
        return
    for file in directory.glob("new-*/admin_password"):
        if not (file.parent / CLUSTER).exists():
            file.rename(place)
            return


def _open_lock(file: Path) -> int:
    """Open the file that is locked; nobody else may read it, and so lock it."""
    lock = os.open(file, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    if os.fstat(lock).st_uid == os.geteuid():
        os.fchmod(lock, 0o600)
    return lock


def _owner(programs: Programs) -> int:
    """The user id that PostgreSQL runs with."""
    return os.geteuid() if programs.system_user is None else _ids(programs.system_user)[0]


def _ids(user: str) -> tuple[int, int]:
    """The numbers of a user and of its group."""
    import pwd  # noqa: PLC0415 - not on Windows, where no server is started

    try:
        entry = pwd.getpwnam(user)
    except KeyError:
        # Where no file can be opened any more, that is all that it says.
        with Path("/etc/passwd").open("rb"):
            raise ServerError(f"the system user {user} is not known on this machine") from None
    return entry.pw_uid, entry.pw_gid


def _check_user(system_user: str | None) -> None:
    import pwd  # noqa: PLC0415 - not on Windows, where no server is started

    if system_user is not None:
        return
    try:
        pwd.getpwuid(os.geteuid())
    except KeyError:
        raise ServerError(
            f"the user id {os.geteuid()} has no name on this machine, and PostgreSQL makes no "
            "cluster for such a user; run as one that /etc/passwd names, or add a line for it"
        ) from None


def _check_password(password: str) -> None:
    if not password or any(sign in password for sign in "\0\r\n"):
        raise ServerError("admin_password must be one line of at least one character")


def _cannot_hold(directory: Path, error: OSError) -> str:
    where = "" if error.filename in (None, str(directory)) else f" ({os.fsdecode(error.filename)})"
    hint = ""
    if error.errno in (errno.EACCES, errno.EPERM):
        hint = f"; it belongs to {_owner_of(directory)}, this program runs as "
        hint += f"{named(os.geteuid())}; name another directory, or change its owner or rights"
    elif error.errno not in (errno.EMFILE, errno.ENFILE):
        hint = "; name another directory, or change its owner or rights"
    return f"{directory} cannot hold the store's data: {said(error)}{where}{hint}"


def _owner_of(directory: Path) -> str:
    for folder in (directory, *directory.parents):
        try:
            return named(folder.stat().st_uid)
        except OSError:
            continue
    return "nobody"


def said(error: OSError) -> str:
    """What went wrong, for messages; where files are used up, how many there were."""
    if error.errno == errno.ELOOP:
        return f"{error.filename} is a symbolic link, or leads in a circle"
    if error.errno == errno.EMFILE:
        most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        return (
            f"this process has all of its {most} files and connections open; close some, or raise "
            "the limit (ulimit -n)"
        )
    return str(error.strerror or error)


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
