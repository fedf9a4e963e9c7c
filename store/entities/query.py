"""Queries over a type: filters and order pushed down to SQL, and pages that do not shift."""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import logging
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import Enum
from functools import cached_property, reduce
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar, overload
from uuid import UUID

from reactive.errors import ExpressionError
from reactive.expr import Const, Expr, Field, IsNull
from store.base import Storable
from store.database.connection import Connection
from store.entities.appender import aware
from store.entities.as_read import AsRead, as_read
from store.entities.index_conditions import Bound, careful_text, field_text, implied
from store.entities.keyset import ID, FieldText, Key, Place, after, in_order, place_of
from store.entities.rows import COLUMNS, readable, unreadable_row
from store.entities.unreadable import OnUnreadable, Unreadable, report
from store.errors import FilterError, ValueRefused
from store.governance.class_schema import governed
from store.serialization.upcasting import VERSION_KEY

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

S = TypeVar("S", bound=Storable)
# How many rows are read at once where the client judges them, and from how many on that is told.
ROWS_AT_ONCE = 1_000
LOOKED_AT_TOLD = 10_000
_LOG = logging.getLogger(__name__)
Filters = Mapping[str, Any] | Expr | None

_PAGE = f"""
SELECT {COLUMNS}, keys FROM object_store.present(
    %s::text[], %s, %s, %s::jsonb, %s, %s::text[], %s::text[], %s::uuid, %s)
"""
_COUNT = "SELECT object_store.count_present(%s::text[], %s, %s, %s::jsonb, %s, %s::text[])"


@dataclass(frozen=True)
class QueryResult(Sequence[S], Generic[S]):
    """A page of a query; `next_cursor` leads to the next one and is None on the last.

    `unreadable` names the entities that belong here and whose data cannot be read.
    """

    items: list[S]
    next_cursor: str | None = None
    cls: type[S] | None = None
    unreadable: tuple[Unreadable, ...] = ()

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

    def page(
        self,
        connection: Connection,
        limit: int | None,
        cursor: str | None,
        on_unreadable: OnUnreadable = "warn",
    ) -> QueryResult[S]:
        """One page, in order; entities that are alike in it follow each other by their id."""
        if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int)):
            raise FilterError(f"limit={limit!r} is no whole number")
        if limit is not None and limit < 1:
            raise FilterError(f"limit={limit} gives no page; at least 1, or None for all")
        if on_unreadable not in ("warn", "raise"):
            raise FilterError(f"on_unreadable={on_unreadable!r}; 'warn' and 'raise' are possible")
        keys = self._keys()
        seen = None if cursor is None else self._open(cursor, len(keys))
        # Those that only the client can judge come first: what is rewritten meanwhile is in both.
        unsure = self._unsure
        looked_at = _Found[S]()
        if unsure is not None:
            looked_at = self._look_at(connection, unsure, limit, seen)
        try:
            rows = self._rows(connection, self._sure, keys, limit, seen)
        except ValueRefused:
            # Not even with care: a result of arithmetic is too large, for instance.
            rows = []
            looked_at = self._look_at(connection, None, limit, seen)
        found = self._merged(rows, looked_at.placed)
        page = found if limit is None else found[:limit]
        following = self._cursor(page[-1].place) if len(page) < len(found) else None
        lost = [*looked_at.unreadable] if cursor is None else []
        lost += [each.value for each in page if isinstance(each.value, Unreadable)]
        report(lost, on_unreadable, stacklevel=3)
        items = [each.value for each in page if not isinstance(each.value, Unreadable)]
        return QueryResult(items, following, self.cls, tuple(lost))

    def _rows(
        self,
        connection: Connection,
        expr: Expr | None,
        keys: list[Key],
        limit: int | None,
        seen: Place | None,
    ) -> list[tuple[tuple[Any, ...], list[str | None]]]:
        """Rows that a condition over stored JSON holds for, each with its place, in order."""

        def asked(text: FieldText) -> list[Any]:
            return self._page_values(expr, keys, limit, seen, text)

        found = self._careful(connection, _PAGE, asked)
        return [(row[:-1], [*row[-1], row[0]]) for row in found]

    def _asked(self, limit: int | None, cursor: str | None) -> list[Any]:
        """What `object_store.present` takes for a page of what PostgreSQL can judge."""
        keys = self._keys()
        seen = None if cursor is None else self._open(cursor, len(keys))
        return self._page_values(self._sure, keys, limit, seen, field_text)

    def _page_values(
        self,
        expr: Expr | None,
        keys: list[Key],
        limit: int | None,
        seen: Place | None,
        text: FieldText,
    ) -> list[Any]:
        """What `object_store.present` takes for a page; the last of the keys is the id."""
        what = _Condition()
        bounds = self._restrict(what, expr, text)
        if text is not field_text:
            keys = [key.read(text) for key in keys]
        last = None
        if seen is not None:
            if len(keys) > 1:
                what.add(*after(keys, seen))
            else:
                last = seen[-1]
        order = [part for key in keys[:-1] for part in (key.text.replace("%%", "%"), key.direction)]
        # One more tells whether another page follows.
        one_more = None if limit is None else limit + 1
        return [*self._source(bounds), *what.asked(), order, last, one_more]

    def count(self, connection: Connection) -> int:
        """How many entities the query finds."""
        unsure = self._unsure
        try:
            if unsure is None:
                return self._count(connection)
            found = len(self._look_at(connection, unsure, None, None).placed)
            return found + self._count(connection)
        except ValueRefused:
            return len(self._look_at(connection, None, None, None).placed)

    def _count(self, connection: Connection) -> int:
        def asked(text: FieldText) -> list[Any]:
            what = _Condition()
            bounds = self._restrict(what, self._sure, text)
            return [*self._source(bounds), *what.asked()]

        return int(self._careful(connection, _COUNT, asked)[0][0])

    def stored(self, connection: Connection, expr: Expr | None) -> Iterator[tuple[Any, ...]]:
        """The rows that a condition over stored JSON holds for, page by page, by their ids."""
        keys = self._keys()[-1:]
        seen: Place | None = None
        while True:
            rows = self._rows(connection, expr, keys, ROWS_AT_ONCE - 1, seen)
            yield from (row for row, _ in rows)
            if len(rows) < ROWS_AT_ONCE:
                return
            seen = rows[-1][1]

    def _look_at(
        self, connection: Connection, unsure: Expr | None, limit: int | None, seen: Place | None
    ) -> _Found[S]:
        """Judge rows here, one by one, and keep the first ones of those that pass."""
        keys, found = self._keys(), _Found[S]()
        order = in_order(keys)
        wanted = None if self._given is None else self._given.typed(self._meaning.types)
        looked_at = 0
        for row in self.stored(connection, unsure):
            looked_at += 1
            value = readable(self.cls, row)
            if isinstance(value, Unreadable):
                found.unreadable.append(value)
                continue
            try:
                fields = self._meaning.row(value)
                if wanted is not None and wanted.eval(fields) is not True:
                    continue
                placed = Placed(place_of(keys, fields, row[0]), value)
            except (ExpressionError, ArithmeticError) as error:
                found.unreadable.append(unreadable_row(row, f"the filter or order: {error}"))
                continue
            if seen is None or order(placed.place) > order(seen):
                found.placed.append(placed)
            if limit is not None and len(found.placed) > 2 * limit + ROWS_AT_ONCE:
                found.first(limit + 1, order)
        found.first(None if limit is None else limit + 1, order)
        if looked_at > LOOKED_AT_TOLD:
            _LOG.warning(
                "a query of %s looked at %d entities that an older program wrote, one by one; "
                "store.rewriting.rewrite() brings them to the present version",
                self.cls.__name__,
                looked_at,
            )
        return found

    def _merged(
        self,
        rows: list[tuple[tuple[Any, ...], list[str | None]]],
        looked_at: list[Placed[S]],
    ) -> list[Placed[S]]:
        """What PostgreSQL found and what was found here, in order, each entity once."""
        found = [Placed(place, readable(self.cls, row)) for row, place in rows]
        if not looked_at:
            return found
        ids = {each.place[-1] for each in found}
        found += [each for each in looked_at if each.place[-1] not in ids]
        order = in_order(self._keys())
        return sorted(found, key=lambda each: order(each.place))

    def _careful(
        self, connection: Connection, statement: str, asked: Callable[[FieldText], list[Any]]
    ) -> list[Any]:
        """The rows of a statement; read with care where somebody's data stop the plain one."""
        try:
            if self._given is None and not self.order_by:
                return self._fetch(connection, statement, asked(field_text))
            with connection.savepoint():
                return self._fetch(connection, statement, asked(field_text))
        except ValueRefused:
            text = careful_text(self._meaning.types)
            with connection.savepoint():
                return self._fetch(connection, statement, asked(text))

    def _fetch(self, connection: Connection, statement: str, values: list[Any]) -> list[Any]:
        if self.tx_time is not None:
            connection.settle(self.tx_time)
        return connection.read(statement, values)

    def _source(self, bounds: list[Bound]) -> list[Any]:
        names = list(self.cls.type_names())
        return [names, self.tx_time, self.valid_time, json.dumps(bounds)]

    @property
    def _meaning(self) -> AsRead:
        return as_read(self.cls)

    @cached_property
    def _given(self) -> Expr | None:
        return self._filter()

    @cached_property
    def _sure(self) -> Expr | None:
        """The filter over stored JSON, without the rows that PostgreSQL cannot judge."""
        unsure = self._unsure
        if self._given is None:
            return None if unsure is None else ~unsure
        try:
            meant = self._meaning.condition(self._given)
        except ExpressionError as error:
            raise self._unfit(error) from error
        return meant if unsure is None else meant & ~unsure

    @cached_property
    def _unsure(self) -> Expr | None:
        """Which rows only the client can judge or place."""
        names = {name.removeprefix("-") for name in self.order_by}
        names |= set() if self._given is None else set(self._given.fields())
        return self._meaning.unsure(names) if names else None

    def _restrict(self, what: _Condition, expr: Expr | None, text: FieldText) -> list[Bound]:
        """Add the filter to a condition; return what of it an index can answer."""
        if expr is None:
            return []
        types = {**self._meaning.types, VERSION_KEY: int}
        try:
            typed = expr.typed(types)
            what.add(*typed.to_sql_params("d.data", as_type=bool, field_text=text))
        except ExpressionError as error:
            raise self._unfit(error) from error
        return implied(expr, types)

    def _unfit(self, error: ExpressionError) -> FilterError:
        return FilterError(f"the filter on {self.cls.__name__}: {error}")

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

    def _require(self, name: str) -> None:
        fields = governed(self.cls).fields
        if name not in fields:
            raise FilterError(
                f"{self.cls.__name__} has no field {name!r}; it has {', '.join(fields)}"
            )

    def _keys(self) -> list[Key]:
        keys = []
        for given in self.order_by:
            name, direction = (given[1:], "DESC") if given.startswith("-") else (given, "ASC")
            self._require(name)
            python = self._meaning.types.get(name)
            if python is None:
                raise FilterError(f"{self.cls.__name__}.{name} has no order")
            value = self._meaning.value(Field(name)).typed(self._meaning.types)
            # As a pair, so that what is missing comes last either way.
            keys.append(Key(IsNull(value), bool, "ASC"))
            keys.append(Key(value, python, direction))
        return [key.read(field_text) for key in keys] + [ID]

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


class Placed(NamedTuple, Generic[S]):
    """An object, or what cannot be read, and its place in the order."""

    place: list[str | None]
    value: S | Unreadable


class _Found(Generic[S]):
    """What was found by looking at rows one by one."""

    def __init__(self) -> None:
        self.placed: list[Placed[S]] = []
        self.unreadable: list[Unreadable] = []

    def first(self, size: int | None, order: Any) -> None:
        """Keep the first ones, in order."""
        self.placed = sorted(self.placed, key=lambda each: order(each.place))[:size]


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
