"""One PostgreSQL with the store for the session, and a database of it for each test."""

from __future__ import annotations

import itertools
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg2
import pytest

from store.client import StoreClient
from store.schema import bootstrap_schema, provision_user
from store.server import ObjectStoreServer
from tests.store.desk import ADMIN_PASSWORD, USERS, Desk, password_of

TEMPLATE = "store_template"
_numbers = itertools.count(1)
# By server and module: the database that tests share.
_shared: dict[tuple[int, str], str] = {}


def be_quick(server: ObjectStoreServer) -> None:
    """Wait for no disk: what these servers hold needs not to survive a power cut.

    And for no ANALYZE that runs by itself: while one is open, the log is complete up to it alone.
    """
    outside = Desk(server, "postgres")
    with outside.admin().cursor() as cursor:
        for setting in ("fsync", "full_page_writes", "synchronous_commit", "autovacuum"):
            cursor.execute(f"ALTER SYSTEM SET {setting} = off")
        cursor.execute("SELECT pg_reload_conf()")
    outside.close()


@pytest.fixture(scope="session")
def store_server() -> Iterator[ObjectStoreServer]:
    """A server with the users and the template of the tests' databases."""
    # Not in pytest's own folder: see tests/postgres.py.
    folder = Path(tempfile.mkdtemp(prefix="store-of-tests-"))
    with ObjectStoreServer(folder / "data", ADMIN_PASSWORD) as server:
        be_quick(server)
        admin = server.admin_conn()
        with admin.cursor() as cursor:
            # A log-in then takes a fraction of the time, and the tests log in thousands of times.
            cursor.execute("SET scram_iterations = 1")
            cursor.execute(f"ALTER ROLE postgres PASSWORD '{ADMIN_PASSWORD}'")
            cursor.execute(f"CREATE DATABASE {TEMPLATE}")
        for user in USERS:
            provision_user(admin, user, password_of(user))
        admin.close()
        desk = Desk(server, TEMPLATE)
        bootstrap_schema(desk.admin())
        desk.close()
        yield server
    shutil.rmtree(folder)


@contextmanager
def database(server: ObjectStoreServer, name: str) -> Iterator[Desk]:
    """A database with the store's schema and nothing in it, for as long as it is needed."""
    _make(server, name)
    desk = Desk(server, name)
    try:
        yield desk
    finally:
        desk.close()
        _send(server, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def desk(request: pytest.FixtureRequest, store_server: ObjectStoreServer) -> Iterator[Desk]:
    """A database of the test's own, with the store's schema and nothing in it.

    Tests with the mark `shared_database` get the one of their module: what they try is refused, or
    stands in nobody's way.
    """
    is_shared = request.node.get_closest_marker("shared_database") is not None
    key = (id(store_server), request.node.module.__name__)
    name = _shared.get(key) if is_shared else None
    if name is None:
        name = f"desk_{next(_numbers)}"
        _make(store_server, name)
        if is_shared:
            _shared[key] = name
    desk = Desk(store_server, name)
    yield desk
    desk.close()
    if not is_shared:
        _send(store_server, f"DROP DATABASE {name} WITH (FORCE)")


def _make(server: ObjectStoreServer, name: str) -> None:
    _send(
        server,
        # Copied as files: to log every page takes several times as long.
        f"CREATE DATABASE {name} TEMPLATE {TEMPLATE} STRATEGY FILE_COPY",
        # The rights on the database itself are not copied.
        f"REVOKE ALL ON DATABASE {name} FROM PUBLIC",
        f"GRANT CONNECT ON DATABASE {name} TO object_store_user",
    )


def _send(server: ObjectStoreServer, *statements: str) -> None:
    outside = Desk(server, "postgres")
    with outside.admin().cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
    outside.close()


@pytest.fixture
def alice(desk: Desk) -> StoreClient:
    return desk.client("alice")


@pytest.fixture
def bob(desk: Desk) -> StoreClient:
    return desk.client("bob")


@pytest.fixture
def rogue(desk: Desk) -> psycopg2.extensions.connection:
    """Mallory, with psql and a password of her own."""
    return desk.login("mallory")
