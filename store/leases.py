"""Leases: one writer at a time, and no write of one who has lost it.

with client.lease("account 7", seconds=2.0) as lease:
    with client.batch(lease=lease) as batch:
        batch.write(order)

A lease that is not renewed is over after its seconds, and another may take it. Its epoch rises with
each holder. A batch under a lease is written only while its epoch is the newest, so that a holder
who was stopped for a while, and does not know that the lease is another's by now, writes nothing.
"""

from __future__ import annotations

import os
import socket
import time
import uuid
from datetime import datetime, timezone
from types import TracebackType
from typing import NamedTuple

from store.database.connection import Connection
from store.errors import LeaseHeld, StoreError

__all__ = ["Lease", "LeaseStatus"]

_TAKE = "SELECT * FROM object_store.take_lease(%s, %s, %s)"
_RENEW = "SELECT object_store.renew_lease(%s, %s, %s)"
_RELEASE = "SELECT object_store.release_lease(%s, %s)"
_ALL = "SELECT name, epoch, holder, expires, turn FROM object_store.leases()"


class LeaseStatus(NamedTuple):
    """A lease of this login, as it stands: who holds it, and until when."""

    name: str
    epoch: int
    holder: str
    expires: datetime
    turn: int


class Lease:
    """A lease that was taken; see `StoreClient.lease`.

    `turn` counts the batches that were ever written under the name. Batches keep the lease for its
    seconds more; `renew` does that where nothing is written. A context manager, which releases it.
    """

    def __init__(self, connection: Connection, name: str, seconds: float, holder: str) -> None:
        self._connection = connection
        self.name = name
        self.seconds = seconds
        self.holder = holder
        self.epoch = 0
        self.turn = 0

    def take(self, wait: float = 0.0) -> None:
        """Take it, waiting up to so many seconds; LeaseHeld where that was too short.

        What was written under it by another is settled then: nothing of it can still come.
        """
        end = time.monotonic() + wait
        while True:
            row = self._connection.write(_TAKE, (self.name, self.holder, self.seconds))[0]
            _owner, _name, epoch, holder, expires, turn, _request = row
            if holder == self.holder:
                self.epoch, self.turn = epoch, turn
                return
            left = (expires - datetime.now(timezone.utc)).total_seconds()
            if time.monotonic() >= end:
                raise LeaseHeld(self.name, holder, max(left, 0.0))
            time.sleep(min(max(left, 0.02), 0.1))

    def renew(self) -> bool:
        """Keep it for its seconds more; whether it is still held."""
        rows = self._connection.write(_RENEW, (self.name, self.epoch, self.seconds), repeats=True)
        return bool(rows[0][0])

    def release(self) -> None:
        """Give it back, so that another can take it at once; nothing where it was lost."""
        self._connection.write(_RELEASE, (self.name, self.epoch), repeats=True)

    def next_turn(self) -> tuple[str, int, int, str, float]:
        """What a batch says of the lease that it is written under; the same for its repeats."""
        return self.name, self.epoch, self.turn + 1, str(uuid.uuid4()), self.seconds

    def go_back(self, turn: int) -> None:
        """Forget a batch, and those after it: the transaction that they were part of is undone."""
        self.turn = min(self.turn, turn - 1)

    def __enter__(self) -> Lease:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()


def taken(
    connection: Connection, name: str, seconds: float, wait: float, holder: str | None
) -> Lease:
    """A lease that this program holds from now on."""
    if not 0.1 <= seconds <= 3600:
        raise StoreError(f"seconds={seconds!r} of a lease; 0.1 to 3600 are possible")
    who = holder or f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
    lease = Lease(connection, name, seconds, who)
    lease.take(wait)
    return lease


def all_leases(connection: Connection) -> list[LeaseStatus]:
    """The leases of this login, held or over."""
    return [LeaseStatus(*row) for row in connection.read(_ALL, ())]
