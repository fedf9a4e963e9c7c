"""Queries over a type: filters and order pushed down to SQL, and pages that do not shift."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import Enum
from functools import reduce
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload
from uuid import UUID

from reactive.errors import ExpressionError
from reactive.expr import Const, Expr, Field, IsNull
from store.appending import aware
from store.base import Storable
from store.class_schema import governed
from store.column_types import EnumOf, Scalar
from store.connection import Connection
from store.errors import FilterError
from store.index_conditions import field_text, implied
from store.rows import PRESENT, columns, from_row

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

S = TypeVar("S", bound=Storable)
Filters = Mapping[str, Any] | Expr | None

# What held at a valid time by what was recorded up to a time; versions rise with tx_time.
_AS_OF = """
SELECT * FROM (
    SELECT DISTINCT ON (e.entity_id) e.* FROM object_store.event e
    WHERE e.tx_time <= coalesce(%s, 'infinity'::timestamptz)
        AND e.valid_from <= coalesce(%s, statement_timestamp())
        AND e.valid_to > coalesce(%s, statement_timestamp())
        AND e.type_name = ANY(%s)
    ORDER BY e.entity_id, e.version DESC) newest
WHERE newest.event_type <> 'DELETED'
"""


@dataclass(frozen=True)
class QueryResult(Sequence[S], Generic[S]):
    """A page of a query; `next_cursor` leads to the next one and is None on the last."""

    items: list[S]
    next_cursor: str | None = None
    cls: type[S] | None = None

    @overload
    def __getitem__(self, index: int) -> S: ...
    @overload
    def __getitem__(self, index: slice) -> list[S]: ...
    def __getitem__(self, index: int | slice) -> S | list[S]:
        return self.items[index]

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[S]:
        return iter(self.items)

    def to_pandas(self, clearance: str = "internal") -> pd.DataFrame:
        """The objects as a DataFrame, a row each, typed by the catalog; entity ids are its index.

        Values that the clearance does not cover are null: see `store.exports`.
        """
        from store.exports import frames  # noqa: PLC0415 - pandas loads slowly

        frame = frames.to_frame(self._class(), self.items, clearance)
        ids = frames.entity_ids(self.items).to_pandas().astype("string")
        return frame.set_index(ids.rename(frames.ENTITY_ID))

    def to_arrow(self, clearance: str = "internal") -> pa.Table:
        """The objects as an Arrow table; the first column, `_entity_id`, has their ids."""
        from store.exports import frames  # noqa: PLC0415 - pyarrow loads slowly

        table = frames.to_arrow(self._class(), self.items, clearance)
        return table.add_column(0, frames.ENTITY_ID, frames.entity_ids(self.items))

    def _class(self) -> type[S]:
        if self.cls is None:
            raise FilterError("a page that no query gave has no class, and so no columns")
        return self.cls


@dataclass(frozen=True)
class Query(Generic[S]):
    """What to look for: a class, a filter, an order, and the two times."""

    cls: type[S]
    filters: Filters = None
    order_by: tuple[str, ...] = ()
    tx_time: datetime | None = None
    valid_time: datetime | None = None

    def __post_init__(self) -> None:
        aware("tx_time", self.tx_time)
        aware("valid_time", self.valid_time)

    def page(self, connection: Connection, limit: int | None, cursor: str | None) -> QueryResult[S]:
        """One page, in order; entities that are alike in it follow each other by their id."""
        if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int)):
            raise FilterError(f"limit={limit!r} is no whole number")
        if limit is not None and limit < 1:
            raise FilterError(f"limit={limit} gives no page; at least 1, or None for all")
        statement, values = self.statement(limit, cursor)
        rows = self._fetch(connection, statement, values)
        found = rows if limit is None else rows[:limit]
        size = len(self._keys())
        items = [from_row(self.cls, row[:-size]) for row in found]
        following = self._cursor(found[-1][-size:]) if len(found) < len(rows) else None
        return QueryResult(items, following, self.cls)

    def statement(self, limit: int | None, cursor: str | None) -> tuple[str, list[Any]]:
        """What PostgreSQL is asked for a page, and its values; at the end of a row its place."""
        keys = self._keys()
        condition, values = self._condition()
        if cursor is not None:
            after, seen = _after(keys, self._open(cursor, len(keys)))
            condition, values = f"{condition} AND {after}", values + seen
        # One more tells whether another page follows.
        some = "" if limit is None else f" LIMIT {limit + 1}"
        computed = ", ".join(f"{key.text} AS k{n}" for n, key in enumerate(keys))
        in_arm = ", ".join(f"{key.text} {key.direction}" for key in keys)
        order = ", ".join(f"d.k{n} {key.direction}" for n, key in enumerate(keys))
        shown = ", ".join(f"d.k{n}::text" for n in range(len(keys)))
        arms, all_values = [], []
        for source, more in self._sources():
            arm = f"SELECT d.*, {computed} FROM ({source}) d WHERE {condition}"
            arms.append(f"({arm} ORDER BY {in_arm}{some})")
            all_values += more + values
        found_by = " UNION ALL ".join(arms)
        statement = f"SELECT {columns('d')}, {shown} FROM ({found_by}) d ORDER BY {order}{some}"
        return statement, all_values

    def count(self, connection: Connection) -> int:
        """How many entities the query finds."""
        condition, values = self._condition()
        counts, all_values = [], []
        for source, more in self._sources():
            counts.append(f"(SELECT count(*) FROM ({source}) d WHERE {condition})")
            all_values += more + values
        return int(self._fetch(connection, f"SELECT {' + '.join(counts)}", all_values)[0][0])

    def _fetch(self, connection: Connection, statement: str, values: list[Any]) -> list[Any]:
        if self.tx_time is not None:
            connection.wait_for_earlier()
        return connection.read(statement, values)

    def _sources(self) -> list[tuple[str, list[Any]]]:
        """Disjoint parts of what the user may see, shaped like `event`."""
        names = list(self.cls.type_names())
        if self.tx_time is None and self.valid_time is None:
            # An index keeps its order for one name alone.
            one = len(names) == 1
            of_type = "s.type_name = %s" if one else "s.type_name = ANY(%s)"
            return [(f"{part} AND {of_type}", [names[0] if one else names]) for part in PRESENT]
        return [(_AS_OF, [self.tx_time, self.valid_time, self.valid_time, names])]

    def _condition(self) -> tuple[str, list[Any]]:
        expr = self._filter()
        if expr is None:
            return "TRUE", []
        try:
            typed = expr.typed(self._types())
            text, values = typed.to_sql_params("d.data", as_type=bool, field_text=field_text)
        except ExpressionError as error:
            raise FilterError(f"the filter on {self.cls.__name__}: {error}") from error
        parts = [f"({text})"]
        for condition, more in implied(expr, self._types()):
            parts.append(condition)
            values = values + more
        return " AND ".join(parts), values

    def _filter(self) -> Expr | None:
        if self.filters is None or isinstance(self.filters, Expr):
            expr = self.filters
            for name in expr.fields() if expr is not None else ():
                self._require(name)
            return expr
        if not isinstance(self.filters, Mapping):
            raise FilterError(
                f"filters is a {type(self.filters).__name__}; a dict of equal values or an "
                "expression such as Field('price') > 100 is expected"
            )
        parts = [self._equal(name, value) for name, value in self.filters.items()]
        return reduce(lambda left, right: left & right, parts) if parts else None

    def _equal(self, name: str, value: Any) -> Expr:
        self._require(name)
        if value is None:
            return IsNull(Field(name))
        if isinstance(value, Enum):
            value = value.value
        if isinstance(value, UUID):
            value = str(value)
        if not isinstance(value, (bool, int, float, str, date)) and not hasattr(value, "as_tuple"):
            raise FilterError(
                f"{self.cls.__name__}.{name} cannot be compared with a {type(value).__name__}"
            )
        try:
            return Field(name) == Const(value)
        except ExpressionError as error:
            raise FilterError(f"{self.cls.__name__}.{name}: {error}") from error

    def _types(self) -> dict[str, Any]:
        """The Python types of the fields, as expressions know them."""
        found: dict[str, Any] = {}
        for name, field in governed(self.cls).fields.items():
            match field.type:
                case Scalar(python=python):
                    found[name] = str if python is UUID else python
                case EnumOf() as kind:
                    found[name] = kind.value_type
        return found

    def _require(self, name: str) -> None:
        fields = governed(self.cls).fields
        if name not in fields:
            raise FilterError(
                f"{self.cls.__name__} has no field {name!r}; it has {', '.join(fields)}"
            )

    def _keys(self) -> list[_Key]:
        types = self._types()
        keys = []
        for given in self.order_by:
            name, direction = (given[1:], "DESC") if given.startswith("-") else (given, "ASC")
            self._require(name)
            if name not in types:
                raise FilterError(f"{self.cls.__name__}.{name} has no order")
            text = Field(name).typed(types).to_sql("d.data", field_text=field_text)
            sql_type = _SQL_TYPES.get(types[name], "text")
            # As a pair, so that what is missing comes last either way.
            keys.append(_Key(f"({text}) IS NULL", "ASC", "boolean"))
            collation = ' COLLATE "C"' if sql_type == "text" else ""
            keys.append(_Key(f"({text}){collation}", direction, sql_type))
        return [*keys, _Key("d.entity_id", "ASC", "uuid")]

    def _digest(self) -> str:
        filters: Any = None
        if isinstance(self.filters, Expr):
            filters = self.filters.to_json()
        elif self.filters is not None:
            filters = sorted((name, repr(value)) for name, value in self.filters.items())
        told = [self.cls.type_name(), filters, self.order_by, self.tx_time, self.valid_time]
        return hashlib.sha256(json.dumps(told, default=str).encode()).hexdigest()[:16]

    def _cursor(self, values: Sequence[Any]) -> str:
        text = json.dumps([self._digest(), *values])
        return base64.urlsafe_b64encode(text.encode()).decode()

    def _open(self, cursor: str, size: int) -> list[Any]:
        try:
            digest, *values = list(json.loads(base64.urlsafe_b64decode(cursor)))
            good = all(value is None or isinstance(value, str) for value in values)
        except (ValueError, TypeError):
            raise FilterError(f"{cursor!r:.60} is no cursor; give next_cursor as it is") from None
        if digest != self._digest() or len(values) != size or not good:
            raise FilterError(
                "the cursor belongs to another query; give the class, filters, order and times "
                "that it came from, or begin again without one"
            )
        return list(values)


@dataclass(frozen=True)
class _Key:
    """A part of the order, as SQL."""

    text: str
    direction: str
    sql_type: str


_SQL_TYPES = {bool: "boolean", int: "numeric", float: "float8", datetime: "timestamptz"} | {
    date: "date",
}


def _after(keys: list[_Key], seen: list[Any]) -> tuple[str, list[Any]]:
    """The condition that a row comes after the one with these keys."""
    ways, values = [], []
    for number, key in enumerate(keys):
        equal = [f"{k.text} IS NOT DISTINCT FROM %s::{k.sql_type}" for k in keys[:number]]
        sign = ">" if key.direction == "ASC" else "<"
        ways.append(" AND ".join([*equal, f"{key.text} {sign} %s::{key.sql_type}"]))
        values += seen[: number + 1]
    return "(" + " OR ".join(f"({way})" for way in ways) + ")", values
