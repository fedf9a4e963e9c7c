"""DBOSEngine: workflows that survive on PostgreSQL.

engine = DBOSEngine(server.dbos_url(), name="settlement").launch()
"""

from __future__ import annotations

from datetime import timedelta

from workflow.dbos import DBOSBackend
from workflow.durable import DurableEngine
from workflow.errors import OptionError
from workflow.names import checked_name
from workflow.options import checked_seconds


class DBOSEngine(DurableEngine):
    """An engine that keeps everything in PostgreSQL; a process runs one at a time.

    Processes with engines of one name on one database share the work. A living one's workflows
    are never run by another; those of one that died are, `takeover_seconds` after its connection
    ended. With `retention`, workflows that ended longer ago are deleted. `database_url` is
    `postgresql://user:password@host:port/database`, whose role may create schemas there.
    """

    def __init__(
        self,
        database_url: str,
        name: str = "workflow",
        *,
        takeover_seconds: float = 2.0,
        retention: timedelta | None = None,
    ) -> None:
        if not isinstance(name, str) or not name.strip():
            raise OptionError(f"name={name!r}; an engine needs a name, a text that is not blank")
        checked_name(name, "an engine's name")
        if not database_url.startswith(("postgresql://", "postgres://", "postgresql+psycopg://")):
            raise OptionError(
                "the database's address must begin with postgresql://, as "
                "ObjectStoreServer.dbos_url() returns it"
            )
        pause = checked_seconds(takeover_seconds, "takeover_seconds")
        super().__init__(DBOSBackend(database_url, name, pause, retention))
        self.name = name
