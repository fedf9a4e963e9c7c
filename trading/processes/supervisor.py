"""The supervisor: starts the processes of a desk, again where one dies, and stops all in order."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import msgspec

from trading.errors import DeskError
from trading.processes.config import write_private

__all__ = ["ProcessSpec", "Supervisor"]

_LOG = logging.getLogger(__name__)
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.2, 10.0
# A process that ran for so long is not one that dies at each start.
_GOOD_RUN_S = 20.0
_STOP_S = 15.0
_LOG_BYTES_MAX = 20_000_000

Say = Callable[[str], None]


@dataclass(frozen=True)
class ProcessSpec:
    """A process: its command, and the port at which it answers once it runs.

    Nothing waits for one that is not `needed`.
    """

    name: str
    command: Sequence[str]
    port: int | None = None
    needed: bool = True


@dataclass
class _Child:
    spec: ProcessSpec
    process: subprocess.Popen[bytes] | None = None
    log: IO[bytes] | None = None
    state: str = "STOPPED"
    since: float = field(default_factory=time.time)
    restarts: int = 0
    last_exit: int | None = None
    pause: float = _FIRST_PAUSE_S
    due: float = 0.0

    def become(self, state: str) -> None:
        if state != self.state:
            self.state, self.since = state, time.time()


class Supervisor:
    """Keeps processes running; `tend` is to be called again and again.

    Each has a group of its own, so that the terminal's Ctrl-C reaches the supervisor alone, and a
    file in `logs`. A process that ends is started again, after a pause that grows while it dies
    at once. `state_file` says how they are.
    """

    def __init__(
        self, specs: Sequence[ProcessSpec], logs: Path, state_file: Path, say: Say
    ) -> None:
        self._children = [_Child(spec) for spec in specs]
        self._logs = logs
        self._state_file = state_file
        self._say = say
        self._written: bytes = b""
        self.more_state: dict[str, Any] = {}

    # --- running ----------------------------------------------------------------------------------

    def start(self) -> None:
        """Start all, in their order."""
        self._logs.mkdir(parents=True, exist_ok=True)
        for child in self._children:
            self._start(child)
        self._write_state()

    def tend(self) -> None:
        """Start again what has ended, and notice what answers."""
        for child in self._children:
            self._tend(child)
        self._write_state()

    def _tend(self, child: _Child) -> None:
        now = time.monotonic()
        if child.process is None:
            if child.state == "RESTARTING" and now >= child.due:
                child.restarts += 1
                self._start(child)
            return
        status = child.process.poll()
        if status is not None:
            self._ended(child, status)
            return
        if child.state == "STARTING" and (child.spec.port is None or _answers(child.spec.port)):
            child.become("RUNNING")
        if child.state == "RUNNING" and time.time() > child.since + _GOOD_RUN_S:
            child.pause = _FIRST_PAUSE_S

    def _start(self, child: _Child) -> None:
        path = self._logs / f"{child.spec.name}.log"
        with contextlib.suppress(OSError):
            if path.stat().st_size > _LOG_BYTES_MAX:
                path.replace(path.with_suffix(".log.1"))
        child.log = path.open("ab")
        child.process = subprocess.Popen(
            child.spec.command,
            stdin=subprocess.DEVNULL,
            stdout=child.log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            # A fault in a compiled part is told with its stack, in the log of the process.
            env={**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONFAULTHANDLER": "1"},
        )
        child.become("STARTING")

    def _ended(self, child: _Child, status: int) -> None:
        child.last_exit = status
        self._end_group(child, signal.SIGKILL)
        child.process = None
        if child.log is not None:
            child.log.close()
        child.due = time.monotonic() + child.pause
        self._say(
            f"{child.spec.name} ended with status {status}, it is started again in "
            f"{child.pause:.1f} s; {self._logs / child.spec.name}.log says why"
        )
        child.pause = min(child.pause * 2, _LONGEST_PAUSE_S)
        child.become("RESTARTING")

    def _end_group(self, child: _Child, number: int) -> None:
        if child.process is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(child.process.pid, number)

    # --- waiting and stopping ---------------------------------------------------------------------

    def wait_running(self, seconds: float, is_over: Callable[[float], bool]) -> bool:
        """Wait until all that are needed answer; DeskError when they are late.

        False where `is_over` says to stop.
        """
        end = time.monotonic() + seconds
        needed = [child for child in self._children if child.spec.needed]
        while not all(child.state == "RUNNING" for child in needed):
            if time.monotonic() > end:
                late = [child.spec.name for child in needed if child.state != "RUNNING"]
                raise DeskError(
                    f"{', '.join(late)} did not start within {seconds:g} s; see {self._logs}"
                )
            if is_over(0.05):
                return False
            self.tend()
        return True

    def stop(self) -> None:
        """Stop all in the opposite order, each once the one after it has ended."""
        for child in reversed(self._children):
            child.become("STOPPING")
            self._write_state()
            self._stop(child)
            child.become("STOPPED")
        self._write_state()

    def _stop(self, child: _Child) -> None:
        process = child.process
        if process is None:
            return
        self._end_group(child, signal.SIGTERM)
        try:
            child.last_exit = process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self._say(f"{child.spec.name} does not end by itself; it is killed")
            self._end_group(child, signal.SIGKILL)
            child.last_exit = process.wait(_STOP_S)
        child.process = None
        if child.log is not None:
            child.log.close()

    # --- state ------------------------------------------------------------------------------------

    def is_running(self, name: str) -> bool:
        """Whether a process answers."""
        return any(child.spec.name == name and child.state == "RUNNING" for child in self._children)

    def state(self) -> list[dict[str, Any]]:
        """Return how the processes are."""
        return [
            {
                "name": child.spec.name,
                "state": child.state,
                "pid": None if child.process is None else child.process.pid,
                "since": child.since,
                "restarts": child.restarts,
                "last_exit": child.last_exit,
            }
            for child in self._children
        ]

    def _write_state(self) -> None:
        data = msgspec.json.encode({"processes": self.state(), **self.more_state})
        if data != self._written:
            write_private(self._state_file, data)
            self._written = data


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), 1.0):
            return True
    except OSError:
        return False


def python_process(
    name: str, config: Path, port: int | None, *, needed: bool = True
) -> ProcessSpec:
    """Return one of the desk's own processes."""
    command = [sys.executable, "-m", "trading.processes", name, str(config)]
    return ProcessSpec(name, command, port, needed)
