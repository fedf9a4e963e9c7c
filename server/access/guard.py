"""The checks in front of the engine: Java classes, compiled once and put in before it listens.

The engine hands a session to anybody who asks for one (`SessionService/NewSession`), on every
transport, and answers every web page. `java/guard` closes that, and in view-only mode all that goes
beyond looking. Where it cannot be put in, the server does not start.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from server.errors import StartupError

_SOURCES = Path(__file__).parent / "java" / "guard"
# Many times what it takes where nothing else runs.
_COMPILE_SECONDS = 300.0
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


def cache_directory() -> Path:
    """Return where this user's compiled classes are kept (the XDG cache directory)."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "deephaven-trading-platform"


def compile_guard(jdk: Path) -> Path:
    """Return the folder of the compiled classes, which is made where it is not there yet.

    Args:
        jdk: home of the JDK that will run them.

    Raises:
        StartupError: they cannot be compiled or kept; the message says what to do.
    """
    sources = sorted(_SOURCES.glob("*.java"))
    if not sources:
        raise StartupError(
            f"the sources of the server's checks are not in {_SOURCES}; install the package again"
        )
    jars = engine_jars()
    target = cache_directory() / f"guard-{_fingerprint(sources, jars, jdk)}"
    if target.is_dir():
        return _owned(target)
    try:
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(prefix="guard-", dir=target.parent))
    except OSError as error:
        raise StartupError(
            f"the server's checks cannot be compiled into {target.parent}: {error.strerror}; "
            "set XDG_CACHE_HOME to a directory that you can write"
        ) from error
    try:
        _run_compiler(jdk, jars, sources, aside)
        # Renamed when whole; where another server was faster, its classes are the same.
        if not target.is_dir():
            aside.replace(target)
    except OSError as error:
        if not target.is_dir():
            raise StartupError(
                f"the server's checks cannot be kept in {target}: {error.strerror}; "
                "set XDG_CACHE_HOME to a directory that you can write"
            ) from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return _owned(target)


def install(server: Any, host: str, allowed_hosts: Iterable[str] = ()) -> None:
    """Put the checks into a server that is not started yet.

    Args:
        server: deephaven_server.Server.
        host: the address that it will listen on.
        allowed_hosts: names of a proxy in front, under which clients ask for this server.

    Raises:
        StartupError: the engine is not built as expected; it must not be started.
    """
    others = [_plain(name) for name in allowed_hosts]
    _guard("put in", lambda guard: guard.install(server.j_server, own_hosts(host), others))


def restrict(server: Any) -> Any:
    """Let clients look and nothing else; returns what they may open by name, empty at first.

    Raises:
        StartupError: as `install`.
    """
    return _guard("made view-only", lambda guard: guard.restrict(server.j_server))


def own_hosts(host: str) -> list[str]:
    """Return the names under which clients may ask for a server that listens on an address."""
    names = {*_LOOPBACK, _plain(host)}
    if host not in _LOOPBACK:
        names |= {socket.gethostname().lower(), socket.getfqdn().lower()}
    return sorted(names)


def _plain(host: str) -> str:
    return host.strip("[]").rstrip(".").lower()


def _guard(what: str, call: Any) -> Any:
    import jpy

    try:
        return call(jpy.get_type("guard.Guard"))
    except Exception as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
        raise StartupError(
            f"the server is not started, since its checks cannot be {what}: {reason}; install the "
            "versions of deephaven-server that requirements-server.txt names"
        ) from error


def engine_jars() -> Path:
    """Return the folder of the engine's jars, without loading the engine."""
    found = find_spec("deephaven_server")
    if found is None or found.origin is None:
        raise StartupError(
            "deephaven-server is not installed; run `pip install -r requirements-server.txt`"
        )
    return Path(found.origin).parent / "jars"


def _fingerprint(sources: list[Path], jars: Path, jdk: Path) -> str:
    """Return what differs where the classes would differ."""
    digest = hashlib.sha256()
    for source in sources:
        digest.update(source.name.encode() + b"\0" + source.read_bytes() + b"\0")
    digest.update("\n".join(sorted(jar.name for jar in jars.glob("*.jar"))).encode())
    digest.update((jdk / "release").read_bytes())
    return digest.hexdigest()[:32]


def _run_compiler(jdk: Path, jars: Path, sources: list[Path], target: Path) -> None:
    command = [
        str(jdk / "bin" / "javac"),
        # Compiled for itself, the compiler takes twice as long.
        "-J-XX:TieredStopAtLevel=1",
        *("-encoding", "UTF-8", "-proc:none", "-nowarn"),
        *("-classpath", str(jars / "*")),
        *("-d", str(target)),
        *map(str, sources),
    ]
    advice = (
        "the server is not started without them; install the JDK and the versions of "
        "deephaven-server that requirements-server.txt names"
    )
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_COMPILE_SECONDS, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise StartupError(
            f"the server's checks were not compiled within {_COMPILE_SECONDS:g} s; {advice}"
        ) from error
    if done.returncode != 0:
        first = next((line for line in done.stderr.splitlines() if "error:" in line), "no reason")
        raise StartupError(f"the server's checks cannot be compiled ({first.strip()}); {advice}")


def _owned(folder: Path) -> Path:
    """Return the folder if nobody else can have put classes into it."""
    about = folder.stat()
    if folder.is_symlink() or about.st_uid != os.getuid() or about.st_mode & 0o022:
        raise StartupError(
            f"the compiled checks in {folder} may be another user's; remove that folder"
        )
    return folder
