"""Errors of the database are told by SQLSTATE: who retries on Unavailable must come to an end."""

from __future__ import annotations

import random
import string
from typing import Any

import psycopg2
import pytest

from store import Signal, Trade
from store.client import StoreClient
from store.database.sqlstates import translated
from store.errors import (
    AccessError,
    AlreadyStored,
    EntityNotFound,
    EventIdReused,
    InvalidPeriod,
    ReplicaError,
    SchemaError,
    StoreError,
    TooLarge,
    TransactionConflict,
    Unavailable,
    ValueRefused,
)
from store.schema import index_field
from tests.store.desk import Desk

MEANINGS: dict[str, type[StoreError]] = {
    "OS002": EntityNotFound,
    "OS003": InvalidPeriod,
    "OS004": EventIdReused,
    "OS005": TransactionConflict,
    "OS006": SchemaError,
    "OS008": TooLarge,
    "08000": Unavailable,
    "08006": Unavailable,
    "08P01": TooLarge,
    "0A000": StoreError,
    "21000": StoreError,
    "22001": TooLarge,
    "22003": ValueRefused,
    "22021": ValueRefused,
    "22030": ValueRefused,
    "22P02": ValueRefused,
    "22P05": ValueRefused,
    "23502": ValueRefused,
    "23505": AlreadyStored,
    "23514": ValueRefused,
    "25006": ReplicaError,
    "25P02": TransactionConflict,
    "25P03": Unavailable,
    "25P04": Unavailable,
    "28000": AccessError,
    "28P01": AccessError,
    "3F000": SchemaError,
    "40001": TransactionConflict,
    "40003": Unavailable,
    "40P01": TransactionConflict,
    "42501": AccessError,
    "42601": StoreError,
    "42883": SchemaError,
    "42P01": SchemaError,
    "53100": Unavailable,
    "53200": TooLarge,
    "53300": Unavailable,
    "53400": TooLarge,
    "54000": TooLarge,
    "54001": TooLarge,
    "55P03": Unavailable,
    "57014": Unavailable,
    "57P01": Unavailable,
    "57P02": Unavailable,
    "57P03": Unavailable,
    "57P05": Unavailable,
    "58030": Unavailable,
    "XX000": StoreError,
    "XX001": StoreError,
}


@pytest.mark.shared_database
@pytest.mark.parametrize(("code", "kind"), MEANINGS.items(), ids=MEANINGS)
def test_a_sqlstate_has_one_meaning_whatever_the_message_says(
    alice: StoreClient, code: str, kind: type[StoreError]
) -> None:
    for message in ("the connection is lost", "password authentication failed", "zu groß"):
        with pytest.raises(StoreError) as caught:
            alice._connection.read(
                f"DO $$ BEGIN RAISE EXCEPTION '{message}' USING ERRCODE = '{code}'; END $$", ()
            )
        assert type(caught.value) is kind
        assert message in str(caught.value)
    # The connection was in good order all the time.
    assert alice.count(Trade) == 0


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        # Without a SQLSTATE the server has not spoken.
        (psycopg2.OperationalError("server closed the connection unexpectedly"), Unavailable),
        (psycopg2.InterfaceError("connection already closed"), Unavailable),
        (psycopg2.DatabaseError("error with status PGRES_TUPLES_OK and no message"), Unavailable),
        (psycopg2.ProgrammingError("can't adapt type 'object'"), StoreError),
    ],
)
def test_an_error_without_a_sqlstate(error: psycopg2.Error, kind: type[StoreError]) -> None:
    assert type(translated(error)) is kind


def test_a_value_too_large_for_an_index_is_no_lost_connection(desk: Desk) -> None:
    index_field(desk.admin(), "notes")
    chance = random.Random("notes")
    note = "".join(chance.choices(string.ascii_letters, k=20_000))
    alice = desk.client("alice")
    for _ in range(2):
        with pytest.raises(TooLarge, match="repeating it will not help"):
            alice.write(Signal(symbol="AAPL", notes=note), event_id="note 1")
    assert alice.count(Signal) == 0


@pytest.mark.parametrize(
    ("error", "builtin"),
    [
        (AccessError, PermissionError),
        (Unavailable, ConnectionError),
        (TooLarge, ValueError),
        (ValueRefused, ValueError),
        (EventIdReused, ValueError),
        (EntityNotFound, LookupError),
    ],
)
def test_errors_are_also_pythons_own(error: type[Any], builtin: type[Any]) -> None:
    assert issubclass(error, builtin)
    assert str(error("said")) == "said"
