"""How the process ends: the request to stop, the wait for it, and the exit past the JVM."""

from __future__ import annotations

import contextlib
import math
import os
import sys
import time
import traceback
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import NoReturn


class StopRequest:
    """A request to stop, which a signal's handler sets.

    The handler runs between any two lines of the main thread. With `threading.Event` these may be
    lines of the very wait, which hold the event's lock: the handler would wait for itself.
    """

    def __init__(self) -> None:
        # Its `put` may come in the middle of its `get`.
        self._requests: SimpleQueue[None] = SimpleQueue()

    def set(self) -> None:
        """Request to stop; may be called from a signal's handler."""
        self._requests.put(None)

    def wait(self, timeout: float) -> bool:
        """Wait for the request; whether it was made, now or before."""
        try:
            self._requests.get(timeout=timeout)
        except Empty:
            return False
        self._requests.put(None)
        return True


def wait_for_stop(request: StopRequest, seconds: float = math.inf) -> None:
    """Wait until a signal's handler has made the request, or for so long.

    In short turns: a signal that reaches the process in a thread of the JVM does not wake this one,
    and its handler runs only when this one goes on.
    """
    end = time.monotonic() + seconds
    while not request.wait(min(0.5, max(0.0, end - time.monotonic()))):
        if time.monotonic() >= end:
            return


def exit_with(run: Callable[[], int]) -> NoReturn:
    """End the process with the status that a call returns; status 1 and a traceback for an error.

    The interpreter's own exit waits, now and then for ever, for threads of the JVM.
    """
    status = 1
    try:
        status = run()
    except BaseException as error:  # noqa: BLE001 - whatever it is, the process must end
        if isinstance(error, SystemExit) and isinstance(error.code, int):
            status = error.code
        else:
            traceback.print_exc()
    exit_now(status)


def exit_now(status: int) -> NoReturn:
    """End the process at once, also where `python -i` would go on to a prompt."""
    for stream in (sys.stdout, sys.stderr):
        # Nobody may read it any more, or a signal's handler came in the middle of writing to it.
        with contextlib.suppress(OSError, RuntimeError, ValueError):
            stream.flush()
    os._exit(status)
