"""Queries over a type: filters and order pushed down to SQL, and pages that do not shift."""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import re
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
from store.index_conditions import Bound, field_text, implied
from store.rows import COLUMNS, from_row

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

S = TypeVar("S", bound=Storable)
Filters = Mapping[str, Any] | Expr | None

_PAGE = f"""
SELECT {COLUMNS}, keys FROM object_store.present(
    %s::text[], %s, %s, %s::jsonb, %s, %s::text[], %s::text[], %s::uuid, %s)
"""
_COUNT = "SELECT object_store.count_present(%s::text[], %s, %s, %s::jsonb, %s, %s::text[])"


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
        rows = self._fetch(connection, _PAGE, self._asked(limit, cursor))
        found = rows if limit is None else rows[:limit]
        items = [from_row(self.cls, row[:-1]) for row in found]
        following = None
        if len(found) < len(rows):
            following = self._cursor([*found[-1][-1], found[-1][0]])
        return QueryResult(items, following, self.cls)

    def count(self, connection: Connection) -> int:
        """How many entities the query finds."""
        what = _Condition()
        bounds = self._restrict(what)
        return int(self._fetch(connection, _COUNT, [*self._source(bounds), *what.asked()])[0][0])

    def _asked(self, limit: int | None, cursor: str | None) -> list[Any]:
        """What `object_store.present` takes for a page."""
        what, keys = _Condition(), self._keys()
        bounds = self._restrict(what)
        after = None
        if cursor is not None:
            *seen, last = self._open(cursor, len(keys) + 1)
            if keys:
                what.add(*_after([*keys, _ID], [*seen, last]))
            else:
                after = last
        order = [text for key in keys for text in (key.text.replace("%%", "%"), key.direction)]
        # One more tells whether another page follows.
        one_more = None if limit is None else limit + 1
        return [*self._source(bounds), *what.asked(), order, after, one_more]

    def _fetch(self, connection: Connection, statement: str, values: list[Any]) -> list[Any]:
        if self.tx_time is not None:
            connection.settle(self.tx_time)
        return connection.read(statement, values)

    def _source(self, bounds: list[Bound]) -> list[Any]:
        names = list(self.cls.type_names())
        return [names, self.tx_time, self.valid_time, json.dumps(bounds)]

    def _restrict(self, what: _Condition) -> list[Bound]:
        """Add the filter to a condition; return what of it an index can answer."""
        expr = self._filter()
        if expr is None:
            return []
        try:
            typed = expr.typed(self._types())
            what.add(*typed.to_sql_params("d.data", as_type=bool, field_text=field_text))
        except ExpressionError as error:
            raise FilterError(f"the filter on {self.cls.__name__}: {error}") from error
        return implied(expr, self._types())

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
        """The order but for the id, which comes last."""
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
        return keys

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


_ID = _Key("d.entity_id", "ASC", "uuid")


class _Condition:
    """A condition as SQL, and the values in it: `$1` and so on, as texts."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._values: list[str | None] = []

    def add(self, text: str, values: Sequence[Any]) -> None:
        """Add what must hold too, with `%s` for its values."""
        place = itertools.count(len(self._values) + 1)
        numbered = re.sub(r"%%|%s", lambda m: "%" if m[0] == "%%" else f"${next(place)}", text)
        self._parts.append(f"({numbered})")
        self._values += [_value_text(value) for value in values]

    def asked(self) -> list[Any]:
        """The text, None for no condition, and the values."""
        return [" AND ".join(self._parts) or None, self._values]


def _value_text(value: Any) -> str | None:
    """A constant as PostgreSQL reads it back."""
    if value is None or isinstance(value, str):
        return value
    return value.isoformat() if isinstance(value, date) else str(value)


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
