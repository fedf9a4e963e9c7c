"""A database with governance, and people with duties on the account ACC."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import Any

import psycopg2
import pytest

from store.base import Storable
from tests.store.desk import Desk
from trading.governance import Governance, bootstrap_governance, grant_duty

# alice is the account's engine, bob trades, carol is responsible for risk, mallory may look.
PEOPLE = {
    "alice": ("ENGINE",),
    "bob": ("PROPOSE", "BREAK_GLASS", "OPERATE"),
    "carol": ("APPROVE", "PROPOSE", "RESUME"),
    "mallory": ("READ",),
}
ACCOUNT = "ACC"
RUN = "paper:test"
_APPEND = """
SELECT version FROM object_store.append(
    %s, %s::uuid, %s, %s, %s::jsonb, %s, %s, %s, NULL::jsonb, NULL::uuid, false)
"""


class House:
    """People with their clients, and with psql."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.admin = desk.admin()
        bootstrap_governance(self.admin)
        for person, duties in PEOPLE.items():
            grant_duty(self.admin, person, ACCOUNT, *duties)
        self._clients: dict[str, Any] = {}
        self._logins: dict[str, Any] = {}

    def client(self, person: str) -> Any:
        if person not in self._clients:
            self._clients[person] = self.desk.client(person)
        return self._clients[person]

    def of(self, person: str) -> Governance:
        return Governance(self.client(person))

    def as_seen_by(self, person: str, entity: Storable) -> Any:
        found = self.client(person).read(type(entity), entity._store_entity_id or "")
        assert found is not None, f"{person} does not see {entity}"
        return found

    def append(
        self,
        person: str,
        entity: Storable,
        state: str | None,
        *,
        kind: str = "STATE_CHANGE",
        type_name: str | None = None,
        valid_from: datetime | None = None,
        valid_to: datetime | None = None,
        **changed: Any,
    ) -> int:
        """Append an event as somebody with psql does, past every check of the client."""
        login = self._logins.get(person)
        if login is None:
            login = self._logins[person] = self.desk.login(person)
        data = {**json.loads(entity.to_json()), **changed}
        with login.cursor() as cursor:
            cursor.execute(
                _APPEND,
                [
                    *(kind, entity._store_entity_id, entity._store_version),
                    *(type_name or type(entity).type_name(), json.dumps(data), state),
                    *(valid_from, valid_to),
                ],
            )
            version: int = cursor.fetchone()[0]
            return version

    def refused(self, person: str, entity: Storable, state: str | None, **more: Any) -> str:
        """Why the database refuses such an event; an AssertionError where it does not."""
        with pytest.raises(psycopg2.errors.InsufficientPrivilege) as error:
            self.append(person, entity, state, **more)
        return str(error.value.diag.message_primary)


@pytest.fixture
def house(desk: Desk) -> House:
    return House(desk)


def now() -> datetime:
    return datetime.now(timezone.utc)
