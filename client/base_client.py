"""The connection that all clients use: finds the key, has deadlines, survives a server restart."""

from __future__ import annotations

import socket
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import grpc
from deephaven_core.proto import ticket_pb2
from pydeephaven import DHError
from pydeephaven.table import Table

from client.access import KEY_VARIABLE, find_key, key_file
from client.address import bare_host, is_this_machine, link_host
from client.deadline import DeadlineSession, end_session, within
from client.errors import (
    AccessDenied,
    ClientError,
    ServerError,
    ServerUnreachable,
    TableNotFound,
    ViewOnly,
)
from client.live_table import LiveTable
from client.translation import status_of, translated

T = TypeVar("T")

# How long a server that lists nothing is asked again.
LISTING_SECONDS = 2.0
_PSK = "io.deephaven.authentication.psk.PskAuthenticationHandler"


class DeephavenClient:
    """A connection to the server.

    Reading calls reconnect by themselves when the server has been restarted. Tables opened
    before are gone then: open them again, or use `follow`, which does so. Safe to use from
    several threads.

    Args:
        host: where the server runs: a name or an address, IPv6 with brackets or without.
        port: the server's port.
        psk: the pre-shared key; by default $DEEPHAVEN_PSK, or the file that a server of this
            user on this machine left.
        use_tls: encrypt the connection, as a server that was started with --tls-cert wants it.
        root_certs: PEM file of the certificates that the server's must stem from, or of its own
            where nobody signed it (default: those of the system); implies `use_tls`.
        deadline_s: seconds within which the server must answer; a call that has to reconnect
            first may take three times as long.

    Raises:
        ServerUnreachable: nothing answers there, or not with the encryption that was asked for.
        OSError: `root_certs` cannot be read.
        AccessDenied: no key was found, or the server refuses it.
    """

    def __init__(
        self,
        host: str = "localhost",
        port: int = 10_000,
        *,
        psk: str | None = None,
        use_tls: bool = False,
        root_certs: str | Path | None = None,
        deadline_s: float = 10.0,
    ) -> None:
        self.host = host.strip("[]")
        self.port = port
        self.deadline_s = deadline_s
        self._psk = psk
        self._root_certs = None if root_certs is None else Path(root_certs).read_bytes()
        self._use_tls = use_tls or root_certs is not None
        self._lock = threading.RLock()
        self._closed = False
        self._live_tables: weakref.WeakSet[LiveTable] = weakref.WeakSet()
        self._session: DeadlineSession | None = self._connect()

    def __enter__(self) -> DeephavenClient:
        return self

    def __exit__(self, *_: object) -> None:
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
        fields = self._read("listing the tables", _table_fields)
        return sorted({name for name, _, _ in fields})

    def open_table(self, name: str) -> Table:
        """Return a table by its published name.

        Raises:
            TableNotFound: the server has none of that name; the message lists those it has.
        """

        def open_it(session: DeadlineSession) -> Table:
            fields = _table_fields(session)
            # A field of an application cannot be replaced by a client, a variable can: prefer it.
            for field, application, ticket in fields:
                if field == name and application != "scope":
                    return session.table_service.fetch_etcr(ticket)
            try:
                return session.open_table(name)
            except DHError as error:
                # pydeephaven tells one of the two ways of not being there from other errors.
                status = status_of(error)
                missing = status is not None and status.code() == grpc.StatusCode.NOT_FOUND
                if not missing and "no table by the name" not in str(error):
                    raise
                names = ", ".join(sorted({field for field, _, _ in fields})) or "none"
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
            # Each of its calls has a deadline of its own.
            return opener(self)

        table = LiveTable(make, on_update, on_lost=self.reconnect)
        with self._lock:
            self._live_tables.add(table)
        return table.start()

    def reconnect(self) -> None:
        """Make sure of a session that the server knows, with the key that it has now.

        Raises:
            ServerUnreachable: nothing answers.
            AccessDenied: no key was found, or the server refuses it.
            DeadlineExceeded: the server is busy; the session is kept.
        """
        with self._lock:
            session = self.session
            try:
                self._ask(session)
            except (ServerUnreachable, AccessDenied):
                self._drop()
                _ = self.session

    def close(self) -> None:
        """End all subscriptions and the session; never hangs, and a second call does nothing."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            followed = list(self._live_tables)
        # Not under the lock: a subscription's callback may be waiting for it.
        for table in followed:
            table.stop()
        with self._lock:
            self._drop()

    # How calls reach the server.

    def _call(self, what: str, call: Callable[[DeadlineSession], T]) -> T:
        session = self.session
        return self._within(what, lambda: call(session))

    def _read(self, what: str, call: Callable[[DeadlineSession], T]) -> T:
        """Call, and once more with a new session where the old one is gone."""
        try:
            return self._call(what, call)
        except (ServerUnreachable, AccessDenied):
            self.reconnect()
            return self._call(what, call)

    def _within(
        self, what: str, call: Callable[[], T], too_late: Callable[[T], object] = lambda _: None
    ) -> T:
        try:
            return within(self.deadline_s, what, call, too_late)
        except ClientError:
            raise
        except Exception as error:
            raise translated(what, error) from error

    def _ask(self, session: DeadlineSession) -> None:
        self._within(
            "asking whether the session is alive",
            session.config_service.get_configuration_constants,
        )

    def _console(self) -> None:
        """Make sure of a live session with a console, before a call that must not run twice."""
        self.reconnect()
        try:
            self._call("opening a console", lambda s: s.console_service.start_console())
        except ServerError as error:
            status = status_of(error)
            if status is None or status.code() != grpc.StatusCode.FAILED_PRECONDITION:
                raise
            raise ViewOnly(
                "the server is view-only: clients can read its tables and follow them, "
                "but neither run code nor publish"
            ) from error

    def _connect(self) -> DeadlineSession:
        where = f"{link_host(self.host)}:{self.port}"
        try:
            # pydeephaven would retry for long where nothing listens.
            socket.create_connection(
                (bare_host(self.host), self.port), timeout=self.deadline_s
            ).close()
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or error
            raise ServerUnreachable(
                f"no server at {where} ({reason}); start one with "
                "`python3 -i server/app.py`, or name another with host and port"
            ) from None
        key, source = self._key(where)
        try:
            return self._within(
                f"connecting to {where}",
                lambda: DeadlineSession(
                    deadline_s=self.deadline_s,
                    # It joins host and port with a colon.
                    host=link_host(self.host),
                    port=self.port,
                    auth_type=_PSK,
                    auth_token=key,
                    use_tls=self._use_tls,
                    tls_root_certs=self._root_certs,
                ),
                end_session,
            )
        except ServerUnreachable as error:
            spoken = "over TLS" if self._use_tls else "without TLS"
            hint = (
                "its certificate is not trusted here, or it has none"
                if self._use_tls
                else "it was started with --tls-cert and wants use_tls=True, or root_certs=…"
            )
            raise ServerUnreachable(
                f"the server at {where} does not answer {spoken}; perhaps: {hint}"
            ) from error
        except AccessDenied as error:
            raise AccessDenied(
                f"the server at {where} refuses the key ({source}); a server makes a new key at "
                "each start, and prints it in its link"
            ) from error

    def _key(self, where: str) -> tuple[str, str]:
        if self._psk:
            return self._psk, "given as psk"
        found = find_key(self.host, self.port)
        if found is None:
            looked = (
                f"there is no {key_file(self.port)}"
                if is_this_machine(self.host)
                else ("it is not on this machine")
            )
            raise AccessDenied(
                f"no key for the server at {where}: {looked}; give psk=…, or set "
                f"{KEY_VARIABLE} to the key that the server printed at its start"
            )
        return found

    def _drop(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            end_session(session)


def _table_fields(session: DeadlineSession) -> list[tuple[str, str, ticket_pb2.Ticket]]:
    """Return name, application ("scope" for variables) and ticket of each table."""
    # A server that has just come up looks at its variables only now and then.
    end = time.monotonic() + LISTING_SECONDS
    while not (fields := session._fetch_fields()) and time.monotonic() < end:
        time.sleep(0.05)
    return [
        (field.field_name, field.application_id, field.typed_ticket.ticket)
        for field in fields
        if field.typed_ticket.type == "Table"
    ]
