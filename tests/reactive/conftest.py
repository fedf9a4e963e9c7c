"""One PostgreSQL for the session, so that expressions are compared with the real one."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A connection to a server of our own, which goes when the session ends.

    pgserver starts it under a user of its own when we are root; that user must be able to reach
    the data.
    """
    with warnings.catch_warnings():
        # It says so where XDG_RUNTIME_DIR is not set, and uses another folder.
        warnings.simplefilter("ignore")
        import pgserver
    import psycopg2

    data = tmp_path_factory.mktemp("postgres")
    if os.geteuid() == 0:
        for folder in (data, *data.parents):
            if folder == Path(folder.anchor):
                break
            folder.chmod(folder.stat().st_mode | 0o011)
    server = pgserver.get_server(data, cleanup_mode="delete")
    connection = psycopg2.connect(server.get_uri())
    connection.autocommit = True
    yield connection
    connection.close()
    server.cleanup()
