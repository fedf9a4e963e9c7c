"""What the tests of the bridge write, and what they see of tables."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import fields
from datetime import datetime, timezone
from typing import Any

from bridge import StoreBridge
from store.base import Storable
from store.client import StoreClient
from store.models import Trade
from tests.store.desk import Desk, password_of


def bridge_of(desk: Desk, user: str = "alice", **options: Any) -> StoreBridge:
    return StoreBridge(user=user, password=password_of(user), **desk.info, **options)


def rows_of(table: Any, *columns: str) -> list[tuple[Any, ...]]:
    """The rows of a ticking table, at one moment; instants as nanoseconds, dates as text."""
    chosen = columns or tuple(table.column_names)
    kinds = {column.name: str(column.data_type) for column in table.columns}
    plain = table.view(
        [
            f"{name} = {_PLAIN.get(kinds[name], '{0}').format(name)}"
            if kinds[name] in _PLAIN
            else name
            for name in chosen
        ]
    ).snapshot()
    return [
        tuple(None if value in _NULLS else value for value in row) for row in plain.iter_tuple()
    ]


# How the engine gives nulls of long and double.
_NULLS = (-(2**63), -sys.float_info.max)
_PLAIN = {
    "java.time.Instant": "epochNanos({0})",
    "java.time.LocalDate": "isNull({0}) ? null : {0}.toString()",
    "java.math.BigDecimal": "isNull({0}) ? null : {0}.toPlainString()",
}


def nanos(moment: datetime | None) -> int | None:
    if moment is None:
        return None
    since = moment - datetime(1970, 1, 1, tzinfo=timezone.utc)
    return ((since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds) * 1_000


META = ("EntityId", "Version", "EventType", "State", "UpdatedBy", "TxTime")
PERIOD = ("ValidFrom", "ValidTo")


def row_of(obj: Storable) -> tuple[Any, ...]:
    """The row that a version must be, by what the store's client says of it."""
    values = [getattr(obj, field.name) for field in fields(obj)]  # type: ignore[arg-type]
    return (
        obj._store_entity_id,
        obj._store_version,
        obj._store_event_type,
        obj._store_state,
        obj._store_updated_by,
        nanos(obj._store_tx_time),
        *(nanos(value) if isinstance(value, datetime) else value for value in values),
        nanos(obj._store_valid_from),
        nanos(obj._store_valid_to),
    )


def histories(
    client: StoreClient, cls: type[Storable], ids: Iterable[str]
) -> list[tuple[Any, ...]]:
    """The rows of all versions of some entities."""
    return [row_of(version) for entity_id in ids for version in client.history(cls, entity_id)]


def assert_same_versions(shown: list[tuple[Any, ...]], stored: list[tuple[Any, ...]]) -> None:
    """Each version once with its data, and the versions of an entity in order."""
    seen = Counter(shown)
    wanted = Counter(stored)
    assert seen == wanted, f"missing {list(wanted - seen)[:5]}, too much {list(seen - wanted)[:5]}"
    newest: dict[str, int] = {}
    for row in shown:
        assert row[1] == newest.get(row[0], row[1] - 1) + 1, f"out of order: {row}"
        newest[row[0]] = row[1]


def present(client: StoreClient, cls: type[Storable], filters: Any = None) -> list[Any]:
    """The rows of what the store says holds now."""
    return sorted(row_of(obj) for obj in client.query(cls, filters, limit=None))


def trades(count: int, symbol: str = "AAPL") -> list[Trade]:
    now = datetime.now(timezone.utc)
    return [
        Trade(symbol=symbol, quantity=n, price=1.5 + n, side="BUY", timestamp=now)
        for n in range(count)
    ]
