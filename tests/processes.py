"""Real processes for tests: started, waited for by condition, and ended by their id."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar

ROOT = Path(__file__).resolve().parent.parent
START_SECONDS = 240.0
# Bounds are given for a quiet machine; one that does much else takes a few times as long.
PATIENCE = 3.0


def free_port() -> int:
    """Return a port of the loopback interface that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(condition: Callable[[], object], seconds: float, what: str) -> None:
    """Wait for a condition; an AssertionError names what did not come."""
    end = time.monotonic() + PATIENCE * seconds
    while not condition():
        assert time.monotonic() < end, f"{what} did not come within {PATIENCE:g} x {seconds} s"
        time.sleep(0.02)


def collect_until(gone: Callable[[], object], what: str) -> None:
    """Collect garbage until something is gone; where another thread does, one call is in vain."""

    def collected() -> object:
        gc.collect()
        return gone()

    wait_until(collected, 10, what)


@contextlib.contextmanager
def held_by_another_thread(
    acquire: Callable[[], object], release: Callable[[], object]
) -> Iterator[None]:
    """A thread of its own holds a lock for as long as the block lasts."""
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        acquire()
        try:
            held.set()
            done.wait()
        finally:
            release()

    holder = threading.Thread(target=hold, daemon=True)
    holder.start()
    assert held.wait(30)
    try:
        yield
    finally:
        done.set()
        holder.join()


class Process:
    """A child process whose output is read as it comes."""

    _started: ClassVar[weakref.WeakSet[Process]] = weakref.WeakSet()

    def __init__(
        self,
        *command: str,
        cwd: Path = ROOT,
        env: dict[str, str] | None = None,
        stdin: int | None = None,
    ) -> None:
        self.child = subprocess.Popen(
            command,
            cwd=cwd,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **(env or {})},
            stdin=subprocess.DEVNULL if stdin is None else stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        Process._started.add(self)

    @staticmethod
    def running() -> list[Process]:
        """Those of this program that have not ended."""
        return [each for each in Process._started if each.child.poll() is None]

    def _read(self) -> None:
        assert self.child.stdout is not None
        self.lines.extend(iter(self.child.stdout.readline, ""))

    @property
    def output(self) -> str:
        return "".join(self.lines)

    def wait_for_output(self, text: str, seconds: float = START_SECONDS) -> None:
        wait_until(
            lambda: text in self.output or self.child.poll() is not None, seconds, repr(text)
        )
        if text not in self.output:
            self._reader.join(5)
        assert text in self.output, self.output

    def end(self, number: int = signal.SIGTERM, seconds: float = 15.0) -> int:
        """Send a signal and return the exit status."""
        self.child.send_signal(number)
        return self.wait(seconds)

    def wait(self, seconds: float) -> int:
        try:
            status = self.child.wait(PATIENCE * seconds)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()
            raise AssertionError(
                f"did not end within {PATIENCE:g} x {seconds} s:\n{self.output}"
            ) from None
        self._reader.join(5)
        assert self.child.stdout is not None
        self.child.stdout.close()
        return status


@contextlib.contextmanager
def ended_on_failure() -> Iterator[None]:
    """Where the block fails, what it started ends: else it would go on beside what follows."""
    before = Process.running()
    try:
        yield
    except BaseException:
        left = [each for each in Process.running() if each not in before]
        for each in left:
            each.child.terminate()
        for each in left:
            # One that does not end in time is killed, and that it did not is not what failed.
            with contextlib.suppress(AssertionError):
                each.wait(30)
        raise


@contextlib.contextmanager
def server_process(
    *options: str, port: int | None = None, env: dict[str, str] | None = None
) -> Iterator[tuple[Process, int]]:
    """A server of its own process, ready to be used; yields it with its port."""
    actual_port = port or free_port()
    process = Process(
        sys.executable,
        "server/app.py",
        "--port",
        str(actual_port),
        "--heap-mb",
        "512",
        *options,
        env=env,
    )
    try:
        process.wait_for_output("Ready after")
        process.wait_for_output("Key ")
        yield process, actual_port
    finally:
        if process.child.poll() is None:
            process.end(signal.SIGKILL)


def client_script(name: str, *options: str, cwd: Path = ROOT) -> Process:
    """Start one of the role clients."""
    return Process(sys.executable, str(ROOT / "client" / name), *options, cwd=cwd)


def alive(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False


def at_once(calls: list[Callable[[], Any]]) -> list[Any]:
    """What each call gives, or the error that it raises; all begin together."""
    gate = threading.Barrier(len(calls))

    def run(call: Callable[[], Any]) -> Any:
        gate.wait(30)
        try:
            return call()
        except Exception as error:  # noqa: BLE001 - the test looks at it
            return error

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(run, calls))
