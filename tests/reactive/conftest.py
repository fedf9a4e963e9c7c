"""A connection to PostgreSQL, so that expressions are compared with the real one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest


@pytest.fixture(scope="session")
def postgres(postgres_dsn: str) -> Iterator[Any]:
    """A connection to the session's server, each statement a transaction of its own."""
    import psycopg2

    connection = psycopg2.connect(postgres_dsn)
    connection.autocommit = True
    yield connection
    connection.close()
