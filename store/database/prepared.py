"""Statements that are run often: a session parses and plans them once."""

from __future__ import annotations

import hashlib
import itertools
import re
from collections.abc import Sequence
from typing import Any

import psycopg2
from psycopg2.extensions import TRANSACTION_STATUS_IDLE, connection

from store.database.execute import PgConnection, Row, execute
from store.database.sqlstates import translated

# So often a session runs a statement before it prepares it, which is a round trip of its own.
USES_BEFORE = 3
# What a session answers that does not know the statement, as behind a pooler, that has another one
# of its name, or whose schema was changed meanwhile.
_NOT_USABLE = ("26000", "42P05", "0A000")


class PreparingConnection(connection):
    """A connection of psycopg2 that knows how often its session ran which prepared statements.

    `uses` is None once it turned out that they cannot be used there.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.uses: dict[str, int] | None = {}


class PreparedStatement:
    """A statement with `%s` for its values, each with its type as in `%s::uuid`."""

    def __init__(self, text: str) -> None:
        self.text = text
        # By its text: what a pooler hands to another program is the same statement then.
        self._name = f"store_{hashlib.sha256(text.encode()).hexdigest()[:16]}"
        place = itertools.count(1)
        numbered = re.sub("%s", lambda _: f"${next(place)}", text)
        self._prepare = f"PREPARE {self._name} AS {numbered}"
        self._execute = f"EXECUTE {self._name}({', '.join(['%s'] * text.count('%s'))})"

    def run(self, conn: PgConnection, values: Sequence[Any]) -> list[Row]:
        """Its rows, as `execute` gives them.

        In a transaction it is run as it is: an error of the preparation would end that.
        """
        if not isinstance(conn, PreparingConnection) or conn.uses is None:
            return execute(conn, self.text, values)
        if conn.get_transaction_status() != TRANSACTION_STATUS_IDLE:
            return execute(conn, self.text, values)
        uses = conn.uses
        count = uses[self._name] = uses.get(self._name, 0) + 1
        if count <= USES_BEFORE:
            return execute(conn, self.text, values)
        try:
            with conn.cursor() as cur:
                if count == USES_BEFORE + 1:
                    cur.execute(self._prepare)
                cur.execute(self._execute, values)
                return cur.fetchall()
        except psycopg2.Error as error:
            if error.pgcode not in _NOT_USABLE:
                raise translated(error) from error
        conn.uses = None
        return execute(conn, self.text, values)
