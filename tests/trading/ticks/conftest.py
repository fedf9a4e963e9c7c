"""One PostgreSQL with users for the tests of the tick store, and a database for each test."""

from __future__ import annotations

import itertools
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from store.schema import bootstrap_schema, provision_user
from store.server import ObjectStoreServer
from tests.store.conftest import be_quick
from tests.store.desk import ADMIN_PASSWORD, USERS, Desk, password_of

TEMPLATE = "ticks_template"
_numbers = itertools.count(1)


@pytest.fixture(scope="package")
def ticks_server() -> Iterator[ObjectStoreServer]:
    # Not in pytest's own folder: see tests/postgres.py.
    folder = Path(tempfile.mkdtemp(prefix="ticks-of-tests-"))
    with ObjectStoreServer(folder / "data", ADMIN_PASSWORD) as server:
        be_quick(server)
        admin = server.admin_conn()
        for user in USERS:
            provision_user(admin, user, password_of(user))
        with admin.cursor() as cursor:
            cursor.execute(f"CREATE DATABASE {TEMPLATE}")
        admin.close()
        desk = Desk(server, TEMPLATE)
        bootstrap_schema(desk.admin())
        desk.close()
        yield server
    shutil.rmtree(folder)


@pytest.fixture
def desk(ticks_server: ObjectStoreServer) -> Iterator[Desk]:
    """A database of the test's own, with the store's schema and nothing in it."""
    name = f"ticks_{next(_numbers)}"
    outside = Desk(ticks_server, "postgres")
    admin = outside.admin()
    with admin.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {name} TEMPLATE {TEMPLATE}")
        cursor.execute(f"GRANT CONNECT ON DATABASE {name} TO object_store_user")
    inside = Desk(ticks_server, name)
    yield inside
    inside.close()
    with admin.cursor() as cursor:
        cursor.execute(f"DROP DATABASE {name} WITH (FORCE)")
    outside.close()
