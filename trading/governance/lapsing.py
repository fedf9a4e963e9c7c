"""Approvals that are not given in their time lapse: by a durable workflow for each change, or by
who looks again and again, as the engine's process of a desk does.

    engine = DBOSEngine(server.dbos_url(), name="governance").launch()
    engine.attach(Lapsing(client, engine))

    lapse_overdue(client)
"""

from __future__ import annotations

import logging
from datetime import datetime, timezone
from typing import Any

from store.base import Storable
from store.client import StoreClient
from store.database.execute import execute
from trading.errors import GovernanceError
from trading.governance.entities import LimitsChange, ParametersChange
from trading.governance.governance import Governance
from trading.serving import serve
from workflow import WorkflowEngine, current_engine

__all__ = ["Lapsing", "lapse_overdue"]

_LOG = logging.getLogger(__name__)
_WAITING = "SELECT entity_id, type_name FROM trading_governance.waiting()"
_OVERDUE = f"{_WAITING} WHERE approve_by <= now()"
_CLASSES: dict[str, type[Any]] = {cls.type_name(): cls for cls in (LimitsChange, ParametersChange)}
_EARLY_S = 1.0


def lapse_overdue(client: StoreClient) -> int:
    """End the changes that were not approved in their time; returns how many.

    The client's user has a duty on their accounts. Several processes may do it: the first one does,
    and who comes too late says so in its log.
    """
    governance, lapsed = Governance(client), 0
    for entity_id, type_name in execute(client.conn, _OVERDUE):
        change = client.read(_CLASSES[type_name], entity_id)
        if change is not None and change._store_state == "PROPOSED":
            lapsed += _end(governance, change)
    return lapsed


def _end(governance: Governance, change: Any) -> bool:
    """End a change; False where somebody has decided meanwhile, or it is not over yet."""
    try:
        governance.lapse(change)
    except GovernanceError as error:
        _LOG.info("%s", error)
        return False
    _LOG.info("%s %s has lapsed", type(change).__name__, change._store_entity_id)
    return True


class Lapsing:
    """A source of workflows: one for each change that waits, started once, whoever drains it.

    The client's user has a duty on the accounts whose changes lapse: that of their engine, say.
    The database refuses a late approval whether or not this runs; this notes it in the change.
    """

    def __init__(self, client: StoreClient, engine: WorkflowEngine) -> None:
        self._client = client
        self._governance = Governance(client)
        self._started: set[str] = set()
        self._name = serve(engine, "trading.governance.lapse", client, self._lapse)

    def drain(self, engine: WorkflowEngine, /) -> int:
        """Start the workflow of each change that waits; returns how many were new here."""
        waiting = execute(self._client.conn, _WAITING)
        new = [row for row in waiting if row[0] not in self._started]
        for entity_id, type_name in new:
            engine.start_once(f"lapse:{entity_id}", self._name, entity_id, type_name)
        self._started = {row[0] for row in waiting}
        return len(new)

    def _lapse(self, entity_id: str, type_name: str) -> str:
        """Wait until the time of a change is over, then end it; returns the state it is in."""
        engine = current_engine()
        while True:
            seconds = engine.step(self._seconds_left, entity_id, type_name)
            if seconds > 0:
                engine.sleep(seconds)
            state: str = engine.step(self._end, entity_id, type_name)
            if state != "PROPOSED":
                return state
            # By the database's clock it is not over yet.
            engine.sleep(_EARLY_S)

    def _seconds_left(self, entity_id: str, type_name: str) -> float:
        change = self._read(entity_id, type_name)
        if change is None or change._store_state != "PROPOSED":
            return 0.0
        left: float = (change.approve_by - datetime.now(timezone.utc)).total_seconds()
        return max(left, 0.0)

    def _end(self, entity_id: str, type_name: str) -> str:
        change = self._read(entity_id, type_name)
        if change is None:
            return "GONE"
        if change._store_state == "PROPOSED" and not _end(self._governance, change):
            change = self._read(entity_id, type_name)
        return "GONE" if change is None else str(change._store_state)

    def _read(self, entity_id: str, type_name: str) -> Any:
        found: Storable | None = self._client.read(_CLASSES[type_name], entity_id)
        return found
