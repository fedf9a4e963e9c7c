"""The store's errors for those of PostgreSQL, by SQLSTATE: never by a message, which a server may
write in another language, nor by a class of the driver, which puts unlike errors together."""

from __future__ import annotations

import json
from typing import NamedTuple

import psycopg2

from store.errors import (
    AccessError,
    AlreadyStored,
    BatchConflict,
    Conflict,
    EntityNotFound,
    EventIdReused,
    FutureTimeError,
    InvalidPeriod,
    LeaseLost,
    ReplicaError,
    SchemaError,
    StoreError,
    TooLarge,
    TransactionConflict,
    Unavailable,
    ValueRefused,
    VersionConflict,
)


class _Meaning(NamedTuple):
    error: type[StoreError]
    hint: str = ""


_LOST = _Meaning(
    Unavailable,
    "a write that was under way may have happened: repeat it with the same event_id",
)
_REPEAT_BLOCK = _Meaning(TransactionConflict, "run the transaction again")
_TOO_LARGE = _Meaning(TooLarge, "nothing was written; repeating it will not help")
_REFUSED = _Meaning(ValueRefused, "nothing was written; repeating it will not help")
_NO_SCHEMA = _Meaning(
    SchemaError,
    "the store's schema is missing in this database or of another version; an administrator runs "
    "bootstrap_schema",
)

# A whole SQLSTATE, or the two characters of its class. Those of the store's own begin with OS;
# OS001 is a VersionConflict, OS011 a BatchConflict.
_MEANINGS: dict[str, _Meaning] = {
    "OS002": _Meaning(EntityNotFound),
    "OS003": _Meaning(InvalidPeriod),
    "OS004": _Meaning(EventIdReused),
    "OS005": _REPEAT_BLOCK,
    "OS006": _Meaning(SchemaError),
    "OS007": _Meaning(FutureTimeError),
    "OS008": _Meaning(TooLarge),
    "OS009": _Meaning(AccessError),
    "OS010": _Meaning(LeaseLost, "stop writing, and take the lease anew"),
    # The connection, or the session, is gone.
    "08": _LOST,
    "57P01": _LOST,
    "57P02": _LOST,
    "57P03": _LOST,
    "57P04": _LOST,
    "57P05": _LOST,
    "25P03": _LOST,
    "25P04": _LOST,
    "40003": _LOST,
    # The server is there and cannot do it now.
    "53100": _Meaning(Unavailable, "the server's disk is full; nothing was written"),
    "53300": _Meaning(Unavailable, "all the server's connections are taken; try again"),
    "55P03": _Meaning(Unavailable, "another transaction holds it; try again"),
    "57014": _Meaning(Unavailable, "ask for less at once"),
    "58030": _Meaning(Unavailable, "the server cannot use its disk; nothing was written"),
    # It is too much for the server, now and later.
    "22001": _TOO_LARGE,
    "53200": _TOO_LARGE,
    "53400": _TOO_LARGE,
    "54": _TOO_LARGE,
    # What the server answers to a message of more than one gigabyte, before it hangs up.
    "08P01": _TOO_LARGE,
    "22": _REFUSED,
    "23": _REFUSED,
    "23505": _Meaning(AlreadyStored),
    "25006": _Meaning(
        ReplicaError,
        "this server is a replica, ask the primary: it takes the writes, and can tell that "
        "nothing of the past is still to come",
    ),
    "25P02": _Meaning(
        TransactionConflict,
        "a statement failed earlier in this block; leave the block, or nest one around it",
    ),
    "28": _Meaning(AccessError),
    "40": _REPEAT_BLOCK,
    "42501": _Meaning(AccessError),
    "3F000": _NO_SCHEMA,
    "42P01": _NO_SCHEMA,
    "42883": _NO_SCHEMA,
    "42703": _NO_SCHEMA,
}
# What the driver refuses by itself, with the connection in good order.
_OF_THE_DRIVER = (
    psycopg2.DataError,
    psycopg2.IntegrityError,
    psycopg2.NotSupportedError,
    psycopg2.ProgrammingError,
)


def translated(error: psycopg2.Error) -> StoreError:
    """The store's error for one of the database's."""
    code = error.pgcode or ""
    said = (error.diag.message_primary or str(error)).strip()
    if code == "OS001":
        entity_id, expected, actual = (error.diag.message_detail or "").split()
        return VersionConflict(entity_id, int(expected), int(actual))
    if code == "OS011":
        return BatchConflict(
            [Conflict(*each) for each in json.loads(error.diag.message_detail or "[]")]
        )
    meaning = _MEANINGS.get(code) or _MEANINGS.get(code[:2])
    if not code and not isinstance(error, _OF_THE_DRIVER):
        # The server said nothing: it is gone, or the way to it is.
        meaning = _LOST
    if meaning is None:
        return StoreError(f"database error: {said}")
    if meaning is _LOST:
        said = f"the connection is lost: {said}"
    elif meaning in (_TOO_LARGE, _REFUSED):
        said = f"database error: {said}"
    return meaning.error(f"{said}; {meaning.hint}" if meaning.hint else said)


def login_refused(error: psycopg2.Error, user: str, where: str) -> StoreError:
    """The store's error for a login that failed.

    libpq hands on no SQLSTATE of a login, so that a wrong password is told by the text alone; a
    server that speaks another language than English gives Unavailable.
    """
    kind = AccessError if is_wrong_password(error) else Unavailable
    return kind(f"{user} cannot log in at {where}: {str(error).strip()}")


def is_wrong_password(error: BaseException | None) -> bool:
    """Whether it is the database's error of a log-in with a wrong password."""
    return isinstance(error, psycopg2.Error) and "authentication failed" in str(error)
