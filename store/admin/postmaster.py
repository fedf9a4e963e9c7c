"""The PostgreSQL server that runs on a cluster's directory: found, waited for and stopped.

A server is known by its data directory and by when it started, never by a number in a pid file: a
crash leaves that file behind, and the number may be another program's by now.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep

import psutil

from store.errors import ServerError

# Two clocks tell when a process began; they may differ by as much.
_SAME_START_SECONDS = 5.0
# How long orphans may take: to end by themselves, as PostgreSQL lets them, then after each signal.
_ORPHAN_SECONDS = 5.0
_LOOK_SECONDS = 0.05


@dataclass(frozen=True)
class Running:
    """A server that runs: its process, and what its pid file tells."""

    # psutil knows a process by its number and start time, so a number used again is not signalled.
    process: psutil.Process
    # None while the file tells nothing that can be used.
    port: int | None
    status: str


@dataclass(frozen=True)
class _PidFile:
    pid: int
    started: float
    port: int | None
    status: str


def running_on(data: Path) -> Running | None:
    """The server of a cluster's directory, None where none runs."""
    told = _pid_file(data)
    if told is not None:
        process = _process(told.pid)
        if process is not None and _serves(process, data, told.started):
            return Running(process, told.port, told.status)
    for process in _postgres_processes():
        if _serves(process, data, None):
            return Running(process, None, "unknown")
    return None


def clear_pid_file(data: Path) -> None:
    """Remove a pid file that would keep a server from starting; none runs, as was seen before.

    One whose process is gone stays: PostgreSQL itself looks into it for what a crash left behind.
    """
    file = data / "postmaster.pid"
    if not os.path.lexists(file):
        return
    _end_orphans(data)
    told = _pid_file(data)
    if told is None or psutil.pid_exists(told.pid):
        file.unlink(missing_ok=True)


def wait_until_ready(data: Path, pid: int, seconds: float) -> bool:
    """Wait for the server with this process id; False where it ended, or is not ready in time."""
    process = _process(pid)
    end = monotonic() + seconds
    while process is not None and not _is_gone(process) and monotonic() < end:
        told = _pid_file(data)
        if told is not None and told.pid == pid and told.status in ("ready", "standby"):
            return True
        sleep(_LOOK_SECONDS)
    return False


def shut_down(running: Running, fast_seconds: float, immediate_seconds: float) -> None:
    """Stop a server; where something hangs in it, as a crash would: the next start recovers."""
    for number, seconds in (
        (signal.SIGINT, fast_seconds),
        (signal.SIGQUIT, immediate_seconds),
    ):
        try:
            running.process.send_signal(number)
        except psutil.NoSuchProcess:
            return
        end = monotonic() + seconds
        while monotonic() < end:
            if _is_gone(running.process):
                return
            sleep(_LOOK_SECONDS)
    raise ServerError(f"PostgreSQL, process {running.process.pid}, does not stop")


def _pid_file(data: Path) -> _PidFile | None:
    """What the file says; None where it is missing, empty, half written or says something else."""
    try:
        lines = os.fsdecode((data / "postmaster.pid").read_bytes()[:65_536]).split("\n")
        pid, started = int(lines[0]), float(int(lines[2]))
    except (FileNotFoundError, IndexError, ValueError):
        return None
    if not 0 < pid < 1 << 31:
        return None
    port = lines[3].strip() if len(lines) > 3 else ""
    status = lines[7].strip() if len(lines) > 7 else ""
    is_port = port.isascii() and port.isdigit() and 0 < int(port) < 65_536
    return _PidFile(pid, started, int(port) if is_port else None, status or "starting")


def _process(pid: int) -> psutil.Process | None:
    try:
        process = psutil.Process(pid)
        return None if _is_gone(process) else process
    except psutil.NoSuchProcess:
        return None


def _postgres_processes() -> Iterator[psutil.Process]:
    for process in psutil.process_iter():
        try:
            if "postgres" in process.name():
                yield process
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue


def _serves(process: psutil.Process, data: Path, started: float | None) -> bool:
    """Whether it is the server of this directory, not one of the processes that it started.

    `started` counts where the system does not tell in which directory the process is.
    """
    try:
        arguments = process.cmdline()
        if "postgres" not in process.name() or _is_child(arguments):
            return False
        works_in = _works_in(process, data)
        if works_in is not None:
            return works_in
        named = arguments[arguments.index("-D") + 1] if "-D" in arguments[:-1] else ""
        is_near = started is not None and (
            abs(process.create_time() - started) < _SAME_START_SECONDS
        )
        return is_near and Path(named) == data
    except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
        return False


def _is_child(arguments: list[str]) -> bool:
    return not arguments or arguments[0].startswith("postgres: ")


def _works_in(process: psutil.Process, data: Path) -> bool | None:
    """Whether this is its working directory, as of each process of a server; None if unknown."""
    link = Path(f"/proc/{process.pid}/cwd")
    try:
        # Beyond the name: another container may have a directory of the same name.
        return link.samefile(data) if Path("/proc/self").exists() else data.samefile(process.cwd())
    except (PermissionError, psutil.AccessDenied):
        return None
    except OSError:
        return False


def _end_orphans(data: Path) -> None:
    """End what a killed server left running, since it may still write; ServerError if it stays.

    Most end by themselves as soon as they see that their server has gone. One that waits for a lock
    of a process that was killed too never does, so it gets the signals that its server would send
    after a crash.
    """
    left: list[psutil.Process] = []
    for number in (None, signal.SIGQUIT, signal.SIGKILL):
        for process in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(number)
        end = monotonic() + _ORPHAN_SECONDS
        while left := [each for each in _postgres_processes() if _works_in(each, data)]:
            if monotonic() > end:
                break
            sleep(_LOOK_SECONDS)
        else:
            return
    raise ServerError(
        f"processes of a server that was killed still run on {data}, after SIGKILL too: "
        f"{', '.join(str(each.pid) for each in left)}; end them first"
    )


def _is_gone(process: psutil.Process) -> bool:
    """Whether it has ended; a zombie has, its parent has only not asked yet how."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
