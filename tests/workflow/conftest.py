"""Engines for tests: one on the session's PostgreSQL for most tests, and one in memory."""

from __future__ import annotations

import itertools
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from store.server import ObjectStoreServer
from tests.store.desk import ADMIN_PASSWORD
from tests.store.fixtures import be_quick
from tests.workflow import flows
from workflow import MemoryEngine
from workflow.dbos_engine import DBOSEngine
from workflow.durable import DurableEngine

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def workflow_server() -> Iterator[ObjectStoreServer]:
    """A PostgreSQL whose engine database has its tables already."""
    # Not in pytest's own folder: see tests/postgres.py.
    folder = Path(tempfile.mkdtemp(prefix="workflows-of-tests-"))
    with ObjectStoreServer(folder / "data", ADMIN_PASSWORD) as server:
        be_quick(server)
        DBOSEngine(server.dbos_url(), "template").launch().destroy()
        yield server
    shutil.rmtree(folder)


@pytest.fixture
def database_url(workflow_server: ObjectStoreServer) -> Iterator[str]:
    """An engine database of the test's own."""
    url = workflow_server.dbos_url()
    name = f"workflow_{next(_numbers)}"
    admin = workflow_server.admin_conn()
    with admin.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {name} TEMPLATE workflow_engine OWNER workflow_engine")
    yield url.rsplit("/", 1)[0] + f"/{name}"
    with admin.cursor() as cursor:
        cursor.execute(f"DROP DATABASE {name} WITH (FORCE)")
    admin.close()


@pytest.fixture(scope="module", params=["memory", "dbos"])
def shared_engine(request: pytest.FixtureRequest) -> Iterator[DurableEngine]:
    if request.param == "memory":
        with MemoryEngine() as engine:
            yield engine
        return
    server: ObjectStoreServer = request.getfixturevalue("workflow_server")
    name = f"contract-{next(_numbers)}"
    with DBOSEngine(server.dbos_url(), name, takeover_seconds=0.5) as engine:
        yield engine


@pytest.fixture
def engine(shared_engine: DurableEngine) -> DurableEngine:
    """Each engine in turn, launched; the flows log for this test alone."""
    flows.log.clear()
    shared_engine.launch()
    return shared_engine
