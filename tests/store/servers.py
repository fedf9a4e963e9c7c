"""Servers of a test's own: in a folder, or one that others run."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from psycopg2.extensions import make_dsn

from store.admin.cluster import Cluster
from store.server import ObjectStoreServer, _programs
from tests.store.desk import ADMIN_PASSWORD, Desk


@pytest.fixture(scope="session")
def made_cluster() -> Iterator[Path]:
    """A data directory that a server was made in and stopped."""
    path = Path(tempfile.mkdtemp(prefix="store-of-tests-"))
    with ObjectStoreServer(path):
        pass
    yield path
    shutil.rmtree(path)


@pytest.fixture
def folder(request: pytest.FixtureRequest) -> Iterator[Path]:
    """An empty directory; with the mark `made_cluster` a copy of one where a server was made."""
    path = Path(tempfile.mkdtemp(prefix="store-of-tests-"))
    if request.node.get_closest_marker("made_cluster"):
        made = request.getfixturevalue("made_cluster")
        # With owners and rights: a server of root runs as another user.
        subprocess.run(["cp", "-a", f"{made}/.", path], check=True)
    yield path
    shutil.rmtree(path)


def postmaster(folder: Path) -> int:
    return int((folder / "pg" / "postmaster.pid").read_text().splitlines()[0])


@pytest.fixture
def elsewhere() -> Iterator[dict[str, Any]]:
    """A server without the store, which others run; `dba` may make roles and owns `desk`."""
    folder = Path(tempfile.mkdtemp(prefix="store-of-tests-"))
    cluster = Cluster(folder, ADMIN_PASSWORD, _programs())
    cluster.start()
    where = {"host": "127.0.0.1", "port": cluster.port, "dbname": "postgres"}
    connection = psycopg2.connect(user="postgres", password=ADMIN_PASSWORD, **where)
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute("CREATE ROLE dba LOGIN CREATEROLE PASSWORD 'dba'")
        cursor.execute("CREATE ROLE guest LOGIN PASSWORD 'guest'")
        cursor.execute("CREATE DATABASE desk OWNER dba")
    connection.close()
    yield {**where, "dbname": "desk"}
    cluster.stop()
    shutil.rmtree(folder)


@pytest.fixture
def where(desk: Desk) -> dict[str, str]:
    """The variable that names the desk's database to the commands."""
    dsn = make_dsn(**desk.info, user="postgres", password=ADMIN_PASSWORD)
    return {"OBJECT_STORE_DSN": dsn}
