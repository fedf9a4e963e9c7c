"""What stands in the environment for other databases changes none of the engine's connections."""

from __future__ import annotations

import math

import psycopg
import pytest

from tests.environment import VARIABLES
from workflow.dbos.connections import connect, driver
from workflow.dbos_engine import DBOSEngine

ASKED = ("client_encoding", "TimeZone", "DateStyle", "geqo", "statement_timeout")


def settings(connection: psycopg.Connection[object]) -> tuple[object, ...]:
    asked = ", ".join(f"current_setting('{name}')" for name in ASKED)
    row = connection.execute(f"SELECT {asked}").fetchone()  # type: ignore[call-overload]
    assert row is not None
    return tuple(row)


def test_no_variable_changes_a_connection(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with connect(database_url) as plain:
        usual = settings(plain)
    for name, value in VARIABLES.items():
        with monkeypatch.context() as patched:
            patched.setenv(name, value)
            with connect(database_url, autocommit=name == "PGTZ") as connection:
                seen = dict(zip(ASKED, settings(connection), strict=True))
                expected = dict(zip(ASKED, usual, strict=True))
                if name == "PGTZ":
                    expected["TimeZone"] = "UTC"
                assert seen == expected, name
                # What follows begins outside of a transaction.
                connection.rollback()
                assert connection.info.transaction_status == 0
    with connect(database_url, options="-c statement_timeout=7s") as connection:
        assert settings(connection)[-1] == "7s"


def test_an_engine_runs_whatever_stands_in_the_environment(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)
    with DBOSEngine(database_url, "driver") as engine:
        assert engine.workflow(math.sqrt, 9.0).get_result() == 3.0


def test_the_module_for_sqlalchemy_is_psycopg_but_for_connect() -> None:
    module = driver()
    assert module.connect is connect
    assert module.__version__ == psycopg.__version__
    assert psycopg.connect is not connect
