"""A connection to the session's PostgreSQL, so that expressions are compared with the real one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg2
import pytest


@pytest.fixture(scope="session")
def postgres(postgres_dsn: str) -> Iterator[Any]:
    """A connection of the superuser, in autocommit."""
    connection = psycopg2.connect(postgres_dsn)
    connection.autocommit = True
    yield connection
    connection.close()
