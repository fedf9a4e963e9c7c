"""Checkpoints: how far a subscriber has come, and its dead letters.

Each user has their own; nobody else can read or move them.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from store.database.execute import PgConnection, execute
from store.deprecated import former_names
from store.errors import PositionError, SubscriptionError
from store.events import ChangeEvent
from store.position import Position
from store.subscriptions.event_log import LAG_EVENTS_MAX

_CLAIM = "SELECT * FROM object_store.claim_checkpoint(%s, %s, %s::xid8, %s)"
_MOVE = """
SELECT object_store.move_checkpoint(%s, %s, %s::xid8, %s, %s::uuid, %s, %s, %s)
"""
_RELEASE = "SELECT object_store.release_checkpoint(%s, %s)"
_FORGET = "SELECT object_store.forget_checkpoint(%s)"
_UNPARK = "SELECT object_store.unpark(%s, %s::uuid, %s)"
# Who holds it is looked up as the caller, who sees the sessions of their own role.
_ALL = f"""
SELECT c.subscriber_id, c.epoch, c.xid_text, c.seq, c.moved_at,
    (SELECT a.pid FROM pg_stat_activity a
     WHERE a.pid = c.holder_pid AND a.backend_start = c.holder_start),
    c.parked, c.username, c.unread
FROM object_store.checkpoints({LAG_EVENTS_MAX}) c
"""
_PARKED = """
SELECT subscriber_id, entity_id::text, version, error, attempts, parked_at, xid_text, seq, epoch,
    username
FROM object_store.parked_events(%s)
"""


class SubscriptionLost(SubscriptionError):
    """Another session took the subscription over, or somebody forgot it."""


class SubscriptionHeld(SubscriptionError):
    """Another session that is alive holds the subscription, by this lease."""

    def __init__(self, message: str, lease: int) -> None:
        super().__init__(message, lease)
        self.lease = lease

    def __str__(self) -> str:
        return str(self.args[0])


class Checkpoint:
    """A subscription that this session holds; from `position` on nothing was handled yet.

    `is_new`: it was made by this claim.
    """

    def __init__(
        self, conn: PgConnection, subscriber_id: str, lease: int, position: Position
    ) -> None:
        self._conn = conn
        self._id = subscriber_id
        self.lease = lease
        self.is_new = lease == 1
        self.position = position

    @classmethod
    def claim(
        cls, conn: PgConnection, subscriber_id: str, epoch: str, start: Position
    ) -> Checkpoint:
        """Hold a subscription; a new one begins at `start`.

        SubscriptionHeld while another session holds it; PositionError if it is of another cluster.
        """
        values = (subscriber_id, start.epoch or epoch, str(start.xid), start.seq)
        row: tuple[Any, ...] = ()
        while not row or (row[0] is False and row[5] == 0):
            # Somebody else came first, by a hair, or has just let go of it.
            row = next(iter(execute(conn, _CLAIM, values)), ())
        taken, lease, stored_epoch, xid, seq, holder = row
        if not taken:
            raise SubscriptionHeld(
                f"subscriber {subscriber_id!r} is held by session {holder} of this user; stop that "
                "one, give another subscriber_id, or wait for it with if_held='wait'",
                lease,
            )
        if stored_epoch != epoch:
            raise PositionError(
                f"the checkpoint of subscriber {subscriber_id!r} was made in another cluster "
                f"(epoch {stored_epoch}, here {epoch}), where events had other positions; "
                "forget_subscriber() and choose where to start"
            )
        return cls(conn, subscriber_id, lease, Position(epoch, int(xid), seq))

    def move(
        self,
        position: Position,
        *,
        parked: ChangeEvent | None = None,
        error: str | None = None,
        attempts: int = 0,
    ) -> None:
        """Everything up to a position is handled, or parked; SubscriptionLost if it is not held.

        Durable on return.
        """
        entity_id, version = (parked.entity_id, parked.version) if parked else (None, None)
        where = (self._id, self.lease, str(position.xid), position.seq)
        values = (*where, entity_id, version, error, attempts)
        if not execute(self._conn, _MOVE, values)[0][0]:
            raise SubscriptionLost(
                f"subscriber {self._id!r} was taken over by another session, or forgotten"
            )
        self.position = position

    def release(self) -> None:
        """Let others hold it at once."""
        execute(self._conn, _RELEASE, (self._id, self.lease))


@dataclass(frozen=True)
class Subscriber:
    """A durable subscription: how far it has come, and the session that holds it, if any.

    `unread` counts what was committed since, of all types, as far as the one who asks may see it,
    and 100,000 at most.
    """

    subscriber_id: str
    position: Position
    moved_at: datetime
    holder_pid: int | None
    parked: int
    username: str
    unread: int


@dataclass(frozen=True)
class ParkedEvent:
    """A dead letter: an event that a handler kept raising on, with the last error's traceback."""

    subscriber_id: str
    entity_id: str
    version: int
    error: str
    attempts: int
    parked_at: datetime
    position: Position
    username: str


def subscribers(conn: PgConnection) -> list[Subscriber]:
    """The durable subscriptions of the connection's user; an administrator sees all users'."""
    return [
        Subscriber(name, Position(epoch, int(xid), seq), *rest)
        for name, epoch, xid, seq, *rest in execute(conn, _ALL, ())
    ]


def parked_events(conn: PgConnection, subscriber_id: str | None = None) -> list[ParkedEvent]:
    """The dead letters of the connection's user's subscribers, in the order of the log.

    An administrator sees all users'.
    """
    found = []
    for name, entity_id, version, error, attempts, at, xid, seq, epoch, user in execute(
        conn, _PARKED, (subscriber_id,)
    ):
        position = Position(epoch, int(xid), seq)
        found.append(ParkedEvent(name, entity_id, version, error, attempts, at, position, user))
    return found


def unpark(conn: PgConnection, parked: ParkedEvent) -> bool:
    """Take an event off the list of dead letters; True if it was there.

    It is not delivered again: read the version with `history`, and deal with it.
    """
    values = (parked.subscriber_id, parked.entity_id, parked.version)
    return bool(execute(conn, _UNPARK, values)[0][0])


def forget_subscriber(conn: PgConnection, subscriber_id: str) -> bool:
    """Delete a subscription and its dead letters; True if there was one.

    One that is running notices, and begins anew where it stood.
    """
    return bool(execute(conn, _FORGET, (subscriber_id,))[0][0])


__getattr__ = former_names(__name__, {"Taken": "SubscriptionHeld"}, globals())
