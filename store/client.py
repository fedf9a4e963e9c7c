"""StoreClient: what a program does with the store, as one user.

with StoreClient(user="alice", password="…", **server.conn_info()) as client:
    entity_id = client.write(Trade(symbol="AAPL", quantity=100, price=228.0, side="BUY"))
    trade = client.read(Trade, entity_id)
    trade.price = 229.5
    client.update(trade)
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any, Literal, TypeVar
from uuid import UUID

from store.base import Storable
from store.database import Connection, Login, PgConnection, Transaction
from store.entities.appender import Appender, initial_state
from store.entities.batch import Batch
from store.entities.query import Filters, Query, QueryResult
from store.entities.reader import History, Reader
from store.entities.rows import Receipt
from store.entities.transitions import TransitionCounts, Transitions
from store.entities.unreadable import OnUnreadable
from store.errors import StoreError, VersionConflict
from store.events import Bus
from store.leases import Lease, LeaseStatus, all_leases, taken
from store.outbox import leave, serve
from store.verification import Verification, verify

__all__ = ["QueryResult", "StoreClient", "Transaction", "VersionConflict"]

S = TypeVar("S", bound=Storable)
EventId = str | UUID | None


class StoreClient:
    """A user's login to the store; threads may share one.

    Writes take `valid_from` and `valid_to`, the half-open period for which they hold: from now on
    and for ever where they are missing. They take an `event_id` too: written again under the same
    one, the first answer is given again and nothing is written; EventIdReused if it asks for
    something else. In a step of a workflow they get ids by themselves
    (`store.entities.idempotency`). A write that fails leaves its objects as they were.
    `on_violation="warn"` lets objects through that break the catalog's rules, with a warning.
    `event_bus` is told of every event written here once it is committed. TLS is used where the
    server offers it; `sslmode="verify-full"` with a `sslrootcert` demands it, as psql does. Up to
    `pool_size` connections are made as threads need them; reads, and writes under an `event_id`,
    outlast a restart of the server of up to 20 s. Where a class has a `_workflow_engine`, what
    transitions promised and nobody has started is started in the background. AccessError for a
    wrong password, and for an administrator of the database: it is no user of the store.
    """

    def __init__(
        self,
        user: str,
        password: str,
        host: str = "localhost",
        port: int = 5432,
        dbname: str = "postgres",
        event_bus: Bus | None = None,
        *,
        on_violation: Literal["raise", "warn"] = "raise",
        sslmode: str = "prefer",
        sslrootcert: str | None = None,
        pool_size: int = 8,
    ) -> None:
        if on_violation not in ("raise", "warn"):
            raise StoreError(f"on_violation={on_violation!r}; 'raise' and 'warn' are possible")
        self.user = user
        login = Login(user, password, host, port, dbname, sslmode, sslrootcert)
        self._connection = Connection(login, pool_size)
        try:
            self._connection.refuse_administrators(user)
        except BaseException:
            self._connection.close()
            raise
        self._appender = Appender(self._connection, event_bus, warn_only=on_violation == "warn")
        self._reader = Reader(self._connection)
        self._transitions = Transitions(self._connection, self._appender)
        serve(self._connection)

    @property
    def conn(self) -> PgConnection:
        """A connection of psycopg2, in autocommit mode, as `store.permissions` takes it.

        Within a transaction block it is the block's own.
        """
        return self._connection.raw

    def close(self) -> None:
        """Log out."""
        leave(self._connection)
        self._connection.close()

    def __enter__(self) -> StoreClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def transaction(self) -> AbstractContextManager[Transaction]:
        """A block whose writes are kept together, or not at all if it raises.

        Objects then are as they were before the block. A block inside a block can fail alone.
        `on_commit` of what it gives calls back after the commit. TransactionConflict asks for the
        block to be run again.
        """
        return self._connection.transaction()

    # --- writing ----------------------------------------------------------------------------------

    def write(
        self,
        obj: Storable,
        *,
        valid_from: datetime | None = None,
        valid_to: datetime | None = None,
        event_id: EventId = None,
    ) -> str:
        """Write a new entity and return its id; the object knows it from now on."""
        state = initial_state(obj) if isinstance(obj, Storable) else None
        period = (valid_from, valid_to)
        receipt = self._appender.one("CREATED", obj, period, state=state, event_id=event_id)
        return receipt.entity_id

    def update(
        self,
        obj: Storable,
        *,
        valid_from: datetime | None = None,
        valid_to: datetime | None = None,
        event_id: EventId = None,
    ) -> int:
        """Write the next version of an entity and return its number.

        VersionConflict if somebody else wrote the entity since this object was read or written.
        """
        return self._append("UPDATED", obj, valid_from, valid_to, event_id)

    def delete(
        self,
        obj: Storable,
        *,
        valid_from: datetime | None = None,
        valid_to: datetime | None = None,
        event_id: EventId = None,
    ) -> int:
        """Write a tombstone, which ends the entity's value for the period; return its version."""
        return self._append("DELETED", obj, valid_from, valid_to, event_id)

    def transition(
        self,
        obj: Storable,
        new_state: str,
        *,
        valid_from: datetime | None = None,
        valid_to: datetime | None = None,
        event_id: EventId = None,
    ) -> int:
        """Move an entity to another state, if its machine allows it; return the version.

        InvalidTransition, TransitionNotPermitted or GuardFailure if it does not, EngineNotSet if
        a workflow is to start and no engine is set. The change and the machine's `action` happen
        together or not at all; hooks and workflow follow the commit.
        """
        return self._transitions.move(obj, new_state, (valid_from, valid_to), event_id)

    @property
    def transition_counts(self) -> TransitionCounts:
        """How many hooks and workflows this client's transitions set off, and what failed."""
        return self._transitions.counts

    def write_many(
        self,
        objects: Sequence[Storable],
        *,
        valid_from: datetime | None = None,
        valid_to: datetime | None = None,
        event_ids: Sequence[str | UUID] | None = None,
    ) -> list[str]:
        """Write new entities, all or none, and return their ids in the order of the objects."""
        period = (valid_from, valid_to)
        receipts = self._appender.many("CREATED", list(objects), period, event_ids)
        return [receipt.entity_id for receipt in receipts]

    def update_many(
        self,
        objects: Sequence[Storable],
        *,
        valid_from: datetime | None = None,
        valid_to: datetime | None = None,
        event_ids: Sequence[str | UUID] | None = None,
    ) -> list[int]:
        """Write the next version of each entity, all or none, and return the versions."""
        period = (valid_from, valid_to)
        receipts = self._appender.many("UPDATED", list(objects), period, event_ids)
        return [receipt.version for receipt in receipts]

    def batch(
        self, *, readers: Sequence[str] = (), lease: Lease | None = None, marks: bool = True
    ) -> Batch:
        """Collect changes of many entities, to be written in one round trip, all or none.

        It has `write`, `update`, `delete` and `transition` with the arguments of this class, and
        writes at the end of its block, or when it is told to `commit()`. An entity may be changed
        several times. `readers` are users who may read what the batch creates. Under a `lease` the
        batch is written only while this program holds it, and once, however often it is sent.
        BatchConflict names every entity that somebody else wrote meanwhile.

        With `marks=False` the store writes nothing on the objects and `receipts` stays empty, which
        is faster for a program that keeps ids and versions itself, as a single writer can.
        Transitions with actions, hooks or workflows mark their objects all the same.
        """
        return Batch(
            self._connection, self._appender, self._transitions, readers, lease, marks=marks
        )

    def waking_later(self, *, wakes: bool = True) -> AbstractContextManager[None]:
        """A block in which this thread's writes wake subscribers at its end, not one by one.

        For a program that has something more urgent to do after a commit than to wait for a
        notification to be sent. With `wakes=False` none is sent, for writes that nobody waits for:
        subscribers find them when they look by themselves, within a second.
        """
        return self._connection.waking_later(wakes=wakes)

    def lease(
        self, name: str, *, seconds: float = 2.0, wait: float = 0.0, holder: str | None = None
    ) -> Lease:
        """Take a lease, so that this program alone writes batches under it.

        Its name belongs to this login. It is held for `seconds` after it was taken, renewed or
        written under. LeaseHeld where another program holds it, and still does after `wait`
        seconds. `holder` is how this program is named to others: host and process by default.
        """
        return taken(self._connection, name, seconds, wait, holder)

    def leases(self) -> list[LeaseStatus]:
        """The leases of this login, held or over, by name."""
        return all_leases(self._connection)

    def find_event(self, event_id: str | UUID) -> Receipt | None:
        """What this user's write under an `event_id` answered; None where there was none."""
        return self._appender.find(event_id)

    # --- reading ----------------------------------------------------------------------------------

    def read(self, cls: type[S], entity_id: str) -> S | None:
        """The value that holds now; None where there is none, or none that this user may see."""
        return self._reader.read(cls, entity_id)

    def as_of(
        self,
        cls: type[S],
        entity_id: str,
        tx_time: datetime | None = None,
        valid_time: datetime | None = None,
    ) -> S | None:
        """What was known at `tx_time` about `valid_time`; now, where one is not given.

        Asked again for the same times, it gives the same answer: it waits for transactions that
        began earlier. FenceTimeout if one of them does not end.
        """
        return self._reader.as_of(cls, entity_id, tx_time, valid_time)

    def history(
        self, cls: type[S], entity_id: str, *, on_unreadable: OnUnreadable = "warn"
    ) -> History[S]:
        """Every version in order; a tombstone shows what was deleted.

        Versions that cannot be read are in the `unreadable` of the list, with their JSON as text,
        and told by an UnreadableWarning; with "raise" by SerializationError.
        """
        return self._reader.history(cls, entity_id, on_unreadable)

    def audit(self, entity_id: str) -> list[dict[str, Any]]:
        """Who changed what and when: a dict for each version, in order.

        An `event_meta` that no Python can parse is given as its text.
        """
        return self._reader.audit(entity_id)

    def query(
        self,
        cls: type[S],
        filters: Filters = None,
        limit: int | None = 100,
        cursor: str | None = None,
        *,
        order_by: str | Sequence[str] = (),
        tx_time: datetime | None = None,
        valid_time: datetime | None = None,
        on_unreadable: OnUnreadable = "warn",
    ) -> QueryResult[S]:
        """The entities of a class whose present value passes the filter, page by page.

        `filters` is a dict of equal values or an expression. `order_by` names fields, `-price`
        for the largest first; nulls come last, and without it the order is that of ids, which is
        about that of creation. `next_cursor` of a page leads to the next. With `tx_time` or
        `valid_time` it is the whole type as it was known then, and about then. FilterError says
        what does not fit.

        Filters and orders see the values that objects have once they are read: defaults of fields
        that were added later, and what upcasters make of older versions. Entities of subclasses are
        types of their own, and not found by their base. Those whose data cannot be read are in
        the result's `unreadable` and told by an UnreadableWarning; with `on_unreadable="raise"` by
        SerializationError.
        """
        found = self._query(cls, filters, order_by, tx_time, valid_time)
        return found.page(self._connection, limit, cursor, on_unreadable)

    def count(self, cls: type[Storable] | None = None, filters: Filters = None) -> int:
        """How many entities of a class, or of all, have a value now.

        Filters mean what they mean in `query`. Without one, entities that cannot be read count too.
        """
        if cls is not None:
            return Query(cls, filters).count(self._connection)
        if filters is not None:
            raise StoreError("a filter needs the class that it is about")
        return int(self._connection.read(_COUNT_ALL, ())[0][0])

    def list_types(self) -> list[str]:
        """The type names of the entities that this user may see, deleted ones too."""
        return [row[0] for row in self._connection.read(_TYPES, ())]

    def verify(self) -> Verification:
        """Check the hash chains of all events that this user may see."""
        return verify(self.conn)

    def _append(
        self,
        kind: str,
        obj: Storable,
        valid_from: datetime | None,
        valid_to: datetime | None,
        event_id: EventId,
    ) -> int:
        state = obj._store_state if isinstance(obj, Storable) else None
        period = (valid_from, valid_to)
        return self._appender.one(kind, obj, period, state=state, event_id=event_id).version

    def _query(
        self,
        cls: type[S],
        filters: Filters,
        order_by: str | Sequence[str],
        tx_time: datetime | None,
        valid_time: datetime | None,
    ) -> Query[S]:
        order = (order_by,) if isinstance(order_by, str) else tuple(order_by)
        return Query(cls, filters, order, tx_time, valid_time)


_COUNT_ALL = "SELECT object_store.count_present(NULL, NULL, NULL, '[]', NULL, NULL)"
_TYPES = "SELECT * FROM object_store.type_names()"
