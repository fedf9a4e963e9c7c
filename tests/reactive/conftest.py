"""A connection to the session's PostgreSQL, so that expressions are compared with the real one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg2
import pytest

from reactive.expr.python import compiler


@pytest.fixture(scope="session")
def postgres(postgres_dsn: str) -> Iterator[Any]:
    """A connection of the superuser, in autocommit."""
    connection = psycopg2.connect(postgres_dsn)
    connection.autocommit = True
    yield connection
    connection.close()


@pytest.fixture(scope="module", params=[0, 16], ids=["compiled", "first calls"])
def both_ways(request: pytest.FixtureRequest) -> Iterator[None]:
    """Run the tests of a module on compiled code, and on what computes the first calls."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compiler, "_FIRST_CALLS", request.param)
        yield
