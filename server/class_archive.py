"""Keeps the engine's Java classes in a file, loaded and checked: a server starts in half the time.

    python -m server.class_archive

A JVM reads and verifies the twelve thousand classes of the engine one by one at every start. This
starts a server once, notes the classes, and lets the JDK write them to an archive (class data
sharing) of a hundred megabytes in this Python environment. Later servers map it into memory; where
it is missing, or does not fit the JDK or the jars, they load classes as before.
"""

from __future__ import annotations

import hashlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

from server.access.guard import engine_jars
from server.errors import StartupError
from server.jdk import JdkNotFound, find_jdk

_HERE = Path(__file__).resolve().parent
# Many times what each step takes where nothing else runs.
_START_SECONDS = _DUMP_SECONDS = 600.0
_LEAST_BYTES = 10_000_000


def archive_arguments(jdk: Path) -> list[str]:
    """Return the JVM's arguments for the archive of this environment; none where there is none."""
    archive = _archive(jdk)
    return [f"-XX:SharedArchiveFile={archive}", "-Xshare:auto"] if archive.is_file() else []


def make_archive() -> Path:
    """Return the archive, which is made where it is not there yet.

    Raises:
        StartupError: no JDK, no engine, or it cannot be made; the message says why.
    """
    try:
        jdk = find_jdk()
    except JdkNotFound as error:
        raise StartupError(str(error)) from None
    archive = _archive(jdk)
    if archive.is_file():
        return archive
    try:
        archive.parent.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="classes-", dir=archive.parent) as aside:
            names, made = Path(aside) / "names", Path(aside) / "classes.jsa"
            _note_classes(jdk, names, Path(aside))
            _write_archive(jdk, names, made)
            for older in archive.parent.glob("classes-*.jsa"):
                older.unlink(missing_ok=True)
            made.replace(archive)
    except OSError as error:
        raise StartupError(f"no class archive in {archive.parent}: {error.strerror}") from error
    return archive


def _archive(jdk: Path) -> Path:
    """Where the archive of this JDK and these jars is; a JVM refuses those of others."""
    digest = hashlib.sha256(f"{jdk}\n".encode() + (jdk / "release").read_bytes())
    for jar in engine_jars().glob("*.jar"):
        about = jar.stat()
        digest.update(f"{jar}\n{about.st_size} {about.st_mtime_ns}\n".encode())
    return Path(sys.prefix) / "var" / f"classes-{digest.hexdigest()[:32]}.jsa"


def _note_classes(jdk: Path, names: Path, folder: Path) -> None:
    """Start a server, and let its JVM write the names of the classes that it loads."""
    options = f'{os.environ.get("JAVA_TOOL_OPTIONS", "")} "-XX:DumpLoadedClassList={names}"'
    command = [sys.executable, str(_HERE / "app.py"), "--host", "127.0.0.1", "--port", _free_port()]
    environment = {
        **os.environ,
        "JAVA_HOME": str(jdk),
        "JAVA_TOOL_OPTIONS": options.strip(),
        # Its key and its log are of no use to anybody.
        "XDG_STATE_HOME": str(folder),
    }
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
    ) as process:
        late = threading.Timer(_START_SECONDS, process.kill)
        late.start()
        try:
            assert process.stdout is not None
            # It greets once it stands; one that cannot start says why and ends by itself.
            said = process.stdout.readline()
            is_ready = said.startswith("Ready")
            if is_ready:
                process.send_signal(signal.SIGTERM)
            said += process.stdout.read()
        finally:
            late.cancel()
    if not is_ready or process.returncode != 0:
        told = _reason(said) or f"there was none in {_START_SECONDS:g} s"
        raise StartupError(f"no class archive, since no server starts: {told}")


def _write_archive(jdk: Path, names: Path, archive: Path) -> None:
    command = [
        str(jdk / "bin" / "java"),
        "-Xshare:dump",
        # As in the engine's own options: objects are kept for this garbage collector alone.
        "-XX:+UseG1GC",
        f"-XX:SharedClassListFile={names}",
        f"-XX:SharedArchiveFile={archive}",
        # In the order in which the engine names them.
        *("-classpath", ":".join(str(jar) for jar in engine_jars().glob("*.jar"))),
    ]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_DUMP_SECONDS, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise StartupError(f"no class archive was made within {_DUMP_SECONDS:g} s") from error
    if done.returncode != 0 or archive.stat().st_size < _LEAST_BYTES:
        told = _reason(done.stderr + done.stdout) or "no reason was given"
        raise StartupError(f"java made no class archive: {told}")


def _free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def _reason(output: str) -> str:
    """The first line that names an error, else the last one."""
    lines = output.strip().splitlines() or [""]
    return next((line for line in lines if "error" in line.lower()), lines[-1])


if __name__ == "__main__":
    try:
        make_archive()
    except StartupError as problem:
        sys.exit(f"error: {problem}")
