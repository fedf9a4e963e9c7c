"""A Deephaven session whose calls end: with an answer, or with DeadlineExceeded.

pydeephaven calls the server when a table is garbage collected, and waits. A collection may begin on
any thread and at any line: also on the thread that delivers gRPC's answers, or while a lock of gRPC
is held. The wait then has no end, deadline or not, and the process collects no garbage ever after.
So a table that is collected is only noted down, and a thread of the session tells the server.
"""

from __future__ import annotations

import atexit
import logging
import queue
import threading
import weakref
from collections.abc import Callable
from typing import Any, TypeVar

import grpc
import pyarrow as pa
from pydeephaven import Session
from pydeephaven._arrow_flight_service import ArrowFlightService
from pydeephaven.table import Table
from pydeephaven.ticket import Ticket

from client.errors import DeadlineExceeded

logger = logging.getLogger(__name__)

T = TypeVar("T")

# How long ending a session may take: it is a courtesy to the server, and must not hold up the exit.
END_SECONDS = 2.0

_open_sessions: weakref.WeakSet[DeadlineSession] = weakref.WeakSet()
_opening = threading.Lock()


def within(
    seconds: float,
    what: str,
    call: Callable[[], T],
    too_late: Callable[[T], object] = lambda _: None,
) -> T:
    """Return what a call returns or raise what it raises, or give up on it after some seconds.

    The call goes on by itself on a daemon thread, which does not hold up the end of the process;
    `too_late` gets what it returns then.

    Raises:
        DeadlineExceeded: time ran out.
    """
    outcome: list[T] = []
    failure: list[BaseException] = []

    answering = threading.Lock()
    is_given_up = False

    def run() -> None:
        try:
            result = call()
        except BaseException as error:  # noqa: BLE001 - it is raised again on the caller's thread
            failure.append(error)
            return
        with answering:
            if not is_given_up:
                outcome.append(result)
                return
        too_late(result)

    thread = threading.Thread(target=run, name=f"call: {what}", daemon=True)
    thread.start()
    thread.join(seconds)
    with answering:
        is_given_up = not outcome
    if failure:
        raise failure[0]
    if outcome:
        return outcome[0]
    raise DeadlineExceeded(
        f"{what}: no answer within {seconds:g} s; is the server busy or stopped? "
        "A longer deadline can be given to DeephavenClient(deadline_s=…)"
    )


class DeadlineSession(Session):  # type: ignore[misc]
    """A pydeephaven session with a deadline on every call, also on those of its tables.

    pydeephaven itself sets none: a call to a server that hangs would hang with it.
    """

    def __init__(self, *, deadline_s: float, **options: Any) -> None:
        self.deadline_s = deadline_s
        self._flight: _DeadlineFlight | None = None
        # Its `put` is the one that may be called from within a garbage collection.
        self._given_up: queue.SimpleQueue[tuple[DeadlineSession, Ticket] | None] = (
            queue.SimpleQueue()
        )
        with _opening:
            _open_sessions.add(self)
        super().__init__(**options)
        threading.Thread(
            target=_release, args=(self._given_up,), name="release tables", daemon=True
        ).start()

    def close(self) -> None:
        """End the session on the server, which forgets the session's tables with it."""
        try:
            super().close()
        finally:
            self._given_up.put(None)

    @property
    def is_alive(self) -> bool:
        """Whether the session was not closed; the server is not asked, nor is a lock taken."""
        return bool(self.is_connected)

    def release(self, ticket: Ticket) -> None:
        """Let the server forget what a ticket stands for: soon, and without waiting for it."""
        # With its session, the server forgets all of its tables.
        if self.is_connected:
            self._given_up.put((self, ticket))

    def wrap_rpc(self, stub_call: Any, *args: Any, **kwargs: Any) -> Any:
        """Call the server with the session's deadline."""
        kwargs.setdefault("timeout", self.deadline_s)
        return super().wrap_rpc(stub_call, *args, **kwargs)

    def wrap_bidi_rpc(self, stub_call: Any, *args: Any, **kwargs: Any) -> Any:
        """Open a stream with the session's deadline, unless it is one of messages to a plugin."""
        # That one lives as long as the plugin's object is in use; the others end by themselves.
        if not isinstance(stub_call, grpc.StreamStreamMultiCallable):
            kwargs.setdefault("timeout", self.deadline_s)
        return super().wrap_bidi_rpc(stub_call, *args, **kwargs)

    @property
    def flight_service(self) -> ArrowFlightService:
        """The transfer of whole tables, with the session's deadline."""
        with self._services_lock:
            if self._flight is None:
                self._flight = _DeadlineFlight(self, self._flight_client)
            return self._flight


def _release(given_up: queue.SimpleQueue[tuple[DeadlineSession, Ticket] | None]) -> None:
    """Tell the server which tables were given up, until the session ends."""
    while (item := given_up.get()) is not None:
        session, ticket = item
        if session.is_connected:
            try:
                session.session_service.release(ticket)
            except Exception as error:  # noqa: BLE001 - the server may be gone, and the table with it
                logger.info("a table could not be released: %s", error)
        # While this waits for the next one, nothing here keeps the session.
        del item, session


class _DeadlineFlight(ArrowFlightService):  # type: ignore[misc]
    def import_table(self, data: pa.Table) -> Table:
        return within(
            self.session.deadline_s,
            "sending a table",
            lambda: super(_DeadlineFlight, self).import_table(data),
        )

    def do_get_table(self, table: Table) -> pa.Table:
        return within(
            self.session.deadline_s,
            "reading a table",
            lambda: super(_DeadlineFlight, self).do_get_table(table),
        )


def end_session(session: DeadlineSession) -> None:
    """Tell the server that a session ends, if it can be told; never raises, never hangs."""
    with _opening:
        _open_sessions.discard(session)
    if session._keep_alive_timer is not None:
        session._keep_alive_timer.cancel()
    try:
        within(END_SECONDS, "closing the session", session.close)
    except Exception as error:  # noqa: BLE001 - the server may be gone; so are we
        logger.info("the session could not be closed: %s", error)
    finally:
        # Tables that are still referred to have nothing to tell the server any more.
        session.is_connected = False


@atexit.register
def _end_all() -> None:
    # Sessions, and not clients: a table keeps its session alive, also when its client is gone.
    with _opening:
        sessions = list(_open_sessions)
    for session in sessions:
        end_session(session)
