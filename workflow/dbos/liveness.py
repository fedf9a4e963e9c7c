"""Liveness: which processes of an engine are alive; takes over the work of those that are not.

Each process keeps a session open that bears its identity as `application_name`. PostgreSQL itself
says which sessions there are, and of which role: another role can neither hold such a session
open nor end it, and there is no lock that anybody could wait for. A process whose session is
missing for a while is dead, and its workflows are taken over by those that live.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

import psycopg

from workflow.dbos.connections import close_in_children, connect

_log = logging.getLogger("workflow")
PERIOD_SECONDS = 0.25
# Where a machine vanishes, the server gives up on its connections after some ten seconds.
_SESSION = (
    "SET tcp_keepalives_idle = 5",
    "SET tcp_keepalives_interval = 2",
    "SET tcp_keepalives_count = 3",
    "SET idle_session_timeout = 0",
    "SET statement_timeout = '10s'",
)
# Who has workflows that run, in the engine's own table, and no session that says it lives.
_DEAD = """
SELECT executor_id FROM (
    SELECT DISTINCT executor_id FROM dbos.workflow_status
    WHERE status = 'PENDING' AND application_name = %s AND executor_id <> %s) others
WHERE NOT EXISTS (
    SELECT FROM pg_stat_activity a
    WHERE a.application_name = executor_id AND a.usename = current_user
        AND a.datname = current_database())
"""


class Liveness:
    """Keeps this process's session open and watches those of the others.

    `takeover_seconds` is how long a session must have been missing: after a restart of the server
    each living process needs a moment to log in again.
    """

    def __init__(
        self,
        url: str,
        engine_name: str,
        executor_id: str,
        take_over: Callable[[str], None],
        takeover_seconds: float,
    ) -> None:
        self._url = url
        self._engine_name = engine_name
        self._executor_id = executor_id
        self._take_over = take_over
        self._takeover_seconds = takeover_seconds
        self._connection: psycopg.Connection[Any] | None = None
        self._taking = threading.Thread()
        self._dead_since: dict[str, float] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="workflow liveness", daemon=True)

    def hold(self) -> None:
        """Log in; to be done before any work is."""
        self._connection = self._connect()

    def watch(self) -> None:
        """Stay logged in, and watch the others."""
        self._thread.start()

    def stop(self) -> None:
        """Log out; the others take over what is left."""
        self._stop.set()
        if self._thread.ident is not None and self._thread is not threading.current_thread():
            self._thread.join(10)
        if self._connection is not None:
            self._connection.close()

    def _run(self) -> None:
        while not self._stop.wait(PERIOD_SECONDS):
            try:
                if self._connection is None:
                    self._connection = self._connect()
                self._look(self._connection)
            except psycopg.OperationalError:
                # The server restarts, or cannot be reached; what was seen before says nothing now.
                self._dead_since.clear()
                if self._connection is not None:
                    self._connection.close()
                self._connection = None
            except Exception:  # noqa: BLE001 - it must go on, and says what it met
                _log.warning("looking for interrupted workflows failed; tried again", exc_info=True)

    def _connect(self) -> psycopg.Connection[Any]:
        connection = connect(
            self._url, autocommit=True, connect_timeout=5, application_name=self._executor_id
        )
        close_in_children(connection)
        try:
            for setting in _SESSION:
                connection.execute(setting)
        except BaseException:
            connection.close()
            raise
        return connection

    def _look(self, connection: psycopg.Connection[Any]) -> None:
        rows = connection.execute(_DEAD, [self._engine_name, self._executor_id]).fetchall()
        dead = {str(row[0]) for row in rows}
        now = time.monotonic()
        for executor_id in self._dead_since.keys() - dead:
            del self._dead_since[executor_id]
        for executor_id in dead:
            since = self._dead_since.setdefault(executor_id, now)
            if now - since >= self._takeover_seconds and not self._taking.is_alive():
                _log.info("taking over the workflows of %s, which has ended", executor_id)
                self._taking = threading.Thread(
                    target=self._take, args=(executor_id,), name="workflow takeover", daemon=True
                )
                self._taking.start()

    def _take(self, executor_id: str) -> None:
        # In a thread of its own: where the server is away it waits longer than the others do
        # before they take this process for dead, which has to log in again meanwhile.
        try:
            self._take_over(executor_id)
        except Exception:  # noqa: BLE001 - tried again at the next look
            if not self._stop.is_set():
                _log.warning("taking over interrupted workflows failed", exc_info=True)
