"""Statements as somebody with psql would send them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from store.client import StoreClient

TABLES = [
    "event",
    "head",
    "seg",
    "past",
    "acl",
    "refusal",
    "schema_version",
    "checkpoint",
    "parked_event",
    "intent",
    "snapshot",
]


def run(connection: Any, statement: str, values: Any = None) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return cursor.fetchall() if cursor.description else []


def clock(client: StoreClient) -> datetime:
    with client.conn.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        found: datetime = cursor.fetchone()[0]
        return found
