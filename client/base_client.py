"""The connection that all clients use: finds the key, has deadlines, survives a server restart."""

from __future__ import annotations

import atexit
import logging
import socket
import threading
import weakref
from collections.abc import Callable
from types import TracebackType
from typing import Any, TypeVar

import grpc
from deephaven_core.proto import ticket_pb2
from pydeephaven import DHError
from pydeephaven.table import Table

from client.access import KEY_VARIABLE, find_key, key_file
from client.deadline import DeadlineSession, within
from client.errors import (
    AccessDenied,
    ClientError,
    DeadlineExceeded,
    ServerError,
    ServerUnreachable,
    TableNotFound,
    ViewOnly,
)
from client.live_table import LiveTable

logger = logging.getLogger(__name__)

T = TypeVar("T")

_PSK = "io.deephaven.authentication.psk.PskAuthenticationHandler"
# How long closing may take: it is a courtesy to the server, and must not hold up the exit.
CLOSE_SECONDS = 2.0

_open_clients: weakref.WeakSet[DeephavenClient] = weakref.WeakSet()


class DeephavenClient:
    """A connection to the server.

    Reading calls reconnect by themselves when the server has been restarted. Tables opened
    before are gone then: open them again, or use `follow`, which does so. Safe to use from
    several threads.

    Args:
        host: where the server runs.
        port: the server's port.
        psk: the pre-shared key; by default $DEEPHAVEN_PSK or the file that a server of this
            user on this machine left.
        deadline_s: seconds within which each call must be answered.

    Raises:
        ServerUnreachable: nothing answers there.
        AccessDenied: no key was found, or the server refuses it.
    """

    def __init__(
        self,
        host: str = "localhost",
        port: int = 10_000,
        *,
        psk: str | None = None,
        deadline_s: float = 10.0,
    ) -> None:
        self.host = host
        self.port = port
        self.deadline_s = deadline_s
        self._psk = psk
        self._lock = threading.RLock()
        self._closed = False
        self._live_tables: weakref.WeakSet[LiveTable] = weakref.WeakSet()
        self._session: DeadlineSession | None = self._connect()
        _open_clients.add(self)

    def __enter__(self) -> DeephavenClient:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def session(self) -> DeadlineSession:
        """The pydeephaven session, for everything that this class does not wrap.

        Raises:
            ClientError: the client is closed, or the server cannot be reached again.
        """
        with self._lock:
            if self._closed:
                raise ClientError("the client is closed; make a new DeephavenClient")
            if self._session is None:
                self._session = self._connect()
            return self._session

    def list_tables(self) -> list[str]:
        """Return the names of all tables that the server offers, sorted."""
        return sorted({name for name, _ in self._read("listing the tables", self._table_fields)})

    def open_table(self, name: str) -> Table:
        """Return a table by its published name.

        Raises:
            TableNotFound: the server has none of that name; the message lists those it has.
        """

        def open_it(session: DeadlineSession) -> Table:
            # A field of an application cannot be replaced by a client, a variable can: prefer it.
            for field, ticket in self._application_fields(session):
                if field == name:
                    return session.table_service.fetch_etcr(ticket)
            try:
                return session.open_table(name)
            except DHError as error:
                # pydeephaven tells one of the two ways of not being there from other errors.
                status = _status(error)
                missing = status is not None and status.code() == grpc.StatusCode.NOT_FOUND
                if not missing and "no table by the name" not in str(error):
                    raise
                names = ", ".join(sorted({n for n, _ in self._table_fields(session)})) or "none"
                raise TableNotFound(f"no table {name!r} on the server; it has: {names}") from None

        return self._read(f"opening {name}", open_it)

    def run_script(self, script: str) -> None:
        """Run Python code on the server.

        It is run once at most: after a restart of the server it is sent to the new one, but a
        call that was cut off in the middle raises, since the code may have run.

        Raises:
            ViewOnly: the server has no console.
            ServerError: the code raised; the message has its traceback.
        """
        self._console()
        self._call("running a script", lambda session: session.run_script(script))

    def bind_table(self, name: str, table: Table) -> None:
        """Publish a table under a name that all other clients see.

        Raises:
            ViewOnly: the server lets its clients publish nothing.
        """
        self._console()
        self._call(f"publishing {name}", lambda session: session.bind_table(name, table))

    def follow(
        self,
        opener: str | Callable[[DeephavenClient], Table],
        on_update: Callable[[LiveTable], None] | None = None,
    ) -> LiveTable:
        """Follow a table tick by tick, across restarts of the server.

        Args:
            opener: a published name, or a function that makes the table from this client.
            on_update: called after each change, on the subscription's thread.
        """

        def make() -> Table:
            if isinstance(opener, str):
                return self.open_table(opener)
            return self._call("making a table to follow", lambda _: opener(self))

        table = LiveTable(make, on_update, on_lost=self.reconnect)
        self._live_tables.add(table)
        return table.start()

    def reconnect(self) -> None:
        """Drop the session and make a new one, with the key that the server has now.

        Raises:
            ServerUnreachable: nothing answers.
            AccessDenied: no key was found, or the server refuses it.
        """
        with self._lock:
            if self._session is not None and self._answers(self._session):
                return
            self._drop()
            _ = self.session

    def close(self) -> None:
        """End all subscriptions and the session; never hangs, and a second call does nothing."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
        # Not under the lock: a subscription's callback may be waiting for it.
        for table in list(self._live_tables):
            table.stop()
        with self._lock:
            self._drop()
        _open_clients.discard(self)

    # How calls reach the server.

    def _call(self, what: str, call: Callable[[DeadlineSession], T]) -> T:
        session = self.session
        try:
            return within(self.deadline_s, what, lambda: call(session))
        except ClientError:
            raise
        except Exception as error:
            raise _translated(what, error) from error

    def _read(self, what: str, call: Callable[[DeadlineSession], T]) -> T:
        """Call, and once more with a new session where the old one is gone."""
        try:
            return self._call(what, call)
        except (ServerUnreachable, AccessDenied):
            self.reconnect()
            return self._call(what, call)

    def _console(self) -> None:
        """Make sure of a live session with a console, before a call that must not run twice."""
        self.reconnect()
        try:
            self._call("opening a console", lambda s: s.console_service.start_console())
        except ServerError as error:
            raise ViewOnly(
                "the server is view-only: clients can read its tables and follow them, "
                "but neither run code nor publish"
            ) from error

    def _connect(self) -> DeadlineSession:
        where = f"{self.host}:{self.port}"
        try:
            # pydeephaven would retry for long where nothing listens.
            socket.create_connection((self.host, self.port), timeout=self.deadline_s).close()
        except OSError as error:
            raise ServerUnreachable(
                f"no server at {where} ({error.strerror or error}); start one with "
                "`python3 -i server/app.py`, or name another with host and port"
            ) from None
        key = self._psk or find_key(self.port)
        if not key:
            raise AccessDenied(
                f"no key for the server at {where}: there is no {key_file(self.port)}; give "
                f"psk=…, or set {KEY_VARIABLE} to the key that the server printed at its start"
            )
        try:
            return within(
                self.deadline_s,
                f"connecting to {where}",
                lambda: DeadlineSession(
                    deadline_s=self.deadline_s,
                    host=self.host,
                    port=self.port,
                    auth_type=_PSK,
                    auth_token=key,
                ),
            )
        except ClientError:
            raise
        except Exception as error:
            raise _translated(f"connecting to {where}", error) from error

    def _answers(self, session: DeadlineSession) -> bool:
        try:
            within(
                self.deadline_s,
                "asking whether the session is alive",
                session.config_service.get_configuration_constants,
            )
        except Exception as error:  # noqa: BLE001 - whatever it is, a new session must be made
            logger.info("the session is gone: %s", error)
            return False
        return True

    def _drop(self) -> None:
        session, self._session = self._session, None
        if session is None:
            return
        if session._keep_alive_timer is not None:
            session._keep_alive_timer.cancel()
        try:
            within(CLOSE_SECONDS, "closing the session", session.close)
        except (DHError, DeadlineExceeded) as error:
            logger.info("the session could not be closed: %s", error)
        # Tables that are still referred to would else call the server when they are collected,
        # at the exit of the process, where such a call never returns.
        session.is_connected = False

    @staticmethod
    def _application_fields(session: DeadlineSession) -> list[tuple[str, ticket_pb2.Ticket]]:
        return [
            (field.field_name, field.typed_ticket.ticket)
            for field in session._fetch_fields()
            if field.application_id != "scope" and field.typed_ticket.type == "Table"
        ]

    @staticmethod
    def _table_fields(session: DeadlineSession) -> list[tuple[str, Any]]:
        return [
            (field.field_name, field.typed_ticket.ticket)
            for field in session._fetch_fields()
            if field.typed_ticket.type == "Table"
        ]


def _translated(what: str, error: Exception) -> ClientError:
    """Return the error in our terms, with what to do next."""
    status = _status(error)
    code = status.code() if status is not None else None
    if code == grpc.StatusCode.UNAVAILABLE:
        return ServerUnreachable(f"{what}: the server is not there; is it running?")
    if code == grpc.StatusCode.UNAUTHENTICATED:
        return AccessDenied(
            f"{what}: the server refuses the key; it makes a new one at each start: leave psk "
            f"out to use the one it left on this machine, or copy the one it printed"
        )
    if code == grpc.StatusCode.DEADLINE_EXCEEDED:
        return DeadlineExceeded(f"{what}: no answer in time; is the server busy or stopped?")
    detail = f" ({status.details()})" if status is not None else ""
    return ServerError(f"{what}: {error}{detail}")


def _status(error: BaseException) -> grpc.Call | None:
    """Return the answer of the call that an error stems from."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, grpc.Call):
        cause = cause.__cause__ or cause.__context__
    return cause


@atexit.register
def _close_all() -> None:
    for client in list(_open_clients):
        client.close()
