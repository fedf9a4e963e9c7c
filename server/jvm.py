"""Starts the JVM with Deephaven in it, and says in one line why it cannot."""

from __future__ import annotations

import contextlib
import errno
import glob
import os
import socket
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from server.access import guard, own_directory, state_directory, view_only
from server.access.tls import Identity
from server.address import host_and_port
from server.class_archive import archive_arguments
from server.errors import StartupError
from server.jdk import JdkNotFound, find_jdk
from server.time_zone import machine_zone, zone_arguments

_HERE = Path(__file__).parent
PSK_HANDLER = "io.deephaven.authentication.psk.PskAuthenticationHandler"
SMALLEST_HEAP_MB = 256
# What the process needs beside the heap: classes, threads, compiled code, Arrow buffers, Python.
BESIDE_HEAP_MB = 512

# A row of prices_raw or risk_raw: nine columns of eight bytes.
RAW_ROW_BYTES = 72

# How often the engine refreshes without being asked, and how often it may send to a client.
# Publishing asks for a refresh, so the first can be slow, which saves the idle machine's time.
CYCLE_MS = 1_000
SEND_INTERVAL_MS = 10


# The engine reads and writes its own formats with the language of the JVM: in Turkish, "Iıİi" are
# other letters, and it does not start.
_ENGLISH = [
    f"-Duser.{what}{use}={value}"
    for what, value in (("language", "en"), ("country", "US"), ("variant", ""), ("script", ""))
    for use in ("", ".format", ".display")
]


def start_jvm_server(
    host: str,
    port: int,
    key: str,
    heap_mb: int,
    *,
    only_views: bool = False,
    allowed_hosts: Sequence[str] = (),
    tls: Identity | None = None,
    time_zone: str | None = None,
) -> Any:
    """Start the embedded Deephaven server, which answers nobody without the key, and return it.

    There can be one in a process.

    Args:
        host: address to bind.
        port: port to bind.
        key: the pre-shared key.
        heap_mb: size of the heap, as `checked_heap` gives it.
        only_views: clients can look at what `server.access.view_only` publishes, and nothing else.
        allowed_hosts: names of a proxy in front, under which clients ask for this server.
        tls: certificate and key to encrypt with; without them connections are plain.
        time_zone: in which screens show times, by default that of this machine.

    Raises:
        StartupError: port busy, no or wrong JDK, or the checks in front cannot be put in.
    """
    _check_port(host, port)
    try:
        jdk = find_jdk()
    except JdkNotFound as error:
        raise StartupError(str(error)) from None
    os.environ["JAVA_HOME"] = str(jdk)
    classes = guard.compile_guard(jdk)
    log = state_directory() / f"server-{port}.log"
    arguments = _jvm_arguments(key, heap_mb, log, time_zone) + archive_arguments(jdk)
    if only_views:
        arguments.append("-Ddeephaven.console.disable=true")
        arguments.append(f"-Ddeephaven.application.dir={_HERE / 'application'}")
    if tls is not None:
        arguments.extend(tls.jvm_arguments())
    # The JVM and its libraries announce themselves on the terminal; that belongs in the log.
    with _terminal_output_to(log):
        from deephaven_server import Server

        try:
            server = Server(
                host=host,
                port=port,
                jvm_args=arguments,
                extra_classpath=[glob.escape(str(classes))],
            )
            guard.install(server, host, allowed_hosts)
            if only_views:
                view_only.receive_names(guard.restrict(server))
            server.start()
        except StartupError:
            raise
        except Exception as error:
            # Java's errors go on for pages.
            reason = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
            raise StartupError(f"Deephaven did not start: {reason}; its log is {log}") from error
    return server


def _jvm_arguments(key: str, heap_mb: int, log: Path, time_zone: str | None) -> list[str]:
    return [
        f"-Xmx{heap_mb}m",
        # Later JDKs drop options that Deephaven's own list still names.
        "-XX:+IgnoreUnrecognizedVMOptions",
        # Whatever a configuration file of the user says.
        f"-DAuthHandlers={PSK_HANDLER}",
        f"-Dauthentication.psk={key}",
        f"-DPeriodicUpdateGraph.targetCycleDurationMillis={CYCLE_MS}",
        f"-Dbarrage.minUpdateInterval={SEND_INTERVAL_MS}",
        f"-Dlogback.configurationFile={_HERE / _log_settings(log)}",
        f"-Dserver.log={log}",
        *_ENGLISH,
        *zone_arguments(time_zone or machine_zone()),
    ]


def _log_settings(log: Path) -> str:
    # The names of older logs are a pattern, in which a percent sign cannot be escaped.
    return "logback_unrolled.xml" if "%" in str(log) else "logback.xml"


def memory_mb() -> int:
    """Return the memory of the machine, or of the container where that has less."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        limit = Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii").strip()
    except OSError:
        limit = "max"
    return (total if limit == "max" else min(total, int(limit))) // 2**20


def checked_heap(asked_mb: int | None, raw_rows: int) -> int:
    """Return the size of the heap in MB: the one asked for, or a quarter of the memory.

    Raises:
        StartupError: too small for the server or for its raw tables, or too large for the machine.
    """
    total = memory_mb()
    most = total - BESIDE_HEAP_MB
    heap = asked_mb if asked_mb is not None else max(1_024, min(4_096, total // 4))
    if heap < SMALLEST_HEAP_MB:
        raise StartupError(
            f"a heap of {heap} MB is too small for the server; give --heap-mb "
            f"{SMALLEST_HEAP_MB} or more"
        )
    if heap > most:
        raise StartupError(
            f"a heap of {heap} MB does not fit this machine, which has {total} MB in all and "
            f"needs {BESIDE_HEAP_MB} MB beside the heap; give --heap-mb {max(most, 0)} or less"
        )
    raw_mb = 2 * raw_rows * RAW_ROW_BYTES // 2**20
    if raw_mb > heap // 2:
        raise StartupError(
            f"two raw tables of {raw_rows:,} rows take {raw_mb:,} MB, more than half of the heap "
            f"of {heap:,} MB; give --raw-rows {heap * 2**20 // 4 // RAW_ROW_BYTES:,} or less, "
            "or a larger --heap-mb"
        )
    return heap


def _check_port(host: str, port: int) -> None:
    """Try the address before the JVM's seconds of start-up are spent."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            # As the server does: an earlier run's connection in TIME_WAIT is no hindrance.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        advice = {
            errno.EADDRINUSE: "stop what uses it, or choose another with --port",
            errno.EACCES: "choose a port above 1023 with --port",
        }.get(error.errno or 0, "give an address of this machine with --host")
        raise StartupError(
            f"cannot listen on {host_and_port(host, port)}: {error.strerror or error}; {advice}"
        ) from None


@contextlib.contextmanager
def _terminal_output_to(log: Path) -> Iterator[None]:
    """Send what is written to file descriptors 1 and 2 to a log meanwhile.

    Replacing `sys.stdout` would not do: the JVM writes to the descriptors themselves.
    """
    try:
        own_directory()
        how = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW
        target = os.open(log, how, 0o600)
        os.fchmod(target, 0o600)
    except OSError as error:
        raise StartupError(
            f"the log cannot be kept in {log}: {error.strerror}; "
            "set XDG_STATE_HOME to a directory that you can write"
        ) from error
    sys.stdout.flush()
    sys.stderr.flush()
    saved = [os.dup(1), os.dup(2)]
    try:
        os.dup2(target, 1)
        os.dup2(target, 2)
        yield
    finally:
        for descriptor, copy in zip((1, 2), saved, strict=True):
            os.dup2(copy, descriptor)
            os.close(copy)
        os.close(target)
