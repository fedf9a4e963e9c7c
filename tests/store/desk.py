"""A database of the store for one test, and logins to it."""

from __future__ import annotations

from typing import Any

from store.client import StoreClient
from store.database.login import connect
from store.server import ObjectStoreServer

ADMIN_PASSWORD = "only for tests"
USERS = ("alice", "bob", "carol", "mallory")


def password_of(user: str) -> str:
    return f"the password of {user}"


class Desk:
    """Opens connections to one database and closes all of them."""

    def __init__(self, server: ObjectStoreServer, dbname: str) -> None:
        self.server = server
        self.info = {**server.conn_info(), "dbname": dbname}
        self._open: list[Any] = []

    def client(self, user: str = "alice", **options: Any) -> StoreClient:
        client = StoreClient(user, password_of(user), **self.info, **options)
        self._open.append(client)
        return client

    def login(self, user: str, password: str | None = None, **options: Any) -> Any:
        """As somebody with psql and a password would."""
        password = password or password_of(user)
        # Not plain psycopg2: ids must be texts, also when a library of another test has registered
        # objects for them.
        connection = connect({"user": user, "password": password, **self.info, **options})
        self._open.append(connection)
        return connection

    def admin(self) -> Any:
        return self.login("postgres", ADMIN_PASSWORD)

    def close(self) -> None:
        for each in self._open:
            each.close()
