"""The filter of a subscription: it means what it means in a query."""

from __future__ import annotations

from collections.abc import Iterable

from reactive.errors import ExpressionError
from reactive.expr import Expr
from store.base import Storable
from store.entities.as_read import as_read
from store.errors import FilterError
from store.events import ChangeEvent
from store.governance.class_schema import governed
from store.governance.column_types import Record
from store.serialization.codec import has_decimal
from store.serialization.upcasting import VERSION_KEY, upcasters_of
from store.subscriptions.event_classes import EventClasses


class EventFilter:
    """Tells whether an event's data pass an expression, once they are read as their class.

    Of a type that this program has no class for, the stored JSON is asked. FilterError if the
    expression does not fit one of `types`.
    """

    def __init__(self, expr: Expr, types: Iterable[str | type[Storable]] = ()) -> None:
        self._expr = expr
        self._names = set(expr.fields())
        types = list(types)
        self._classes = EventClasses(types)
        self._of_class: dict[type[Storable], _OfClass] = {}
        for each in types:
            if isinstance(each, type) and issubclass(each, Storable):
                self._typed(each)

    def passes(self, event: ChangeEvent) -> bool:
        """Whether an event passes; SerializationError or ExpressionError if it cannot be read."""
        cls = self._classes.get(event.type_name)
        if cls is None or not self._names <= governed(cls).fields.keys():
            return self._expr.eval(event.fields()) is True
        return self._typed(cls).passes(event, self._names)

    def _typed(self, cls: type[Storable]) -> _OfClass:
        if cls not in self._of_class:
            try:
                self._of_class[cls] = _OfClass(cls, self._expr)
            except ExpressionError as error:
                raise FilterError(f"the filter on {cls.__name__}: {error}") from error
        return self._of_class[cls]


class _OfClass:
    """The filter for the events of one class."""

    def __init__(self, cls: type[Storable], expr: Expr) -> None:
        self._cls = cls
        self._meaning = as_read(cls)
        self._expr = expr.typed(self._meaning.types)
        self._version = len(upcasters_of(cls)) + 1
        self._exact = has_decimal(Record(cls))

    def passes(self, event: ChangeEvent, names: set[str]) -> bool:
        data = event.fields(exact=self._exact)
        if data.get(VERSION_KEY, 1) == self._version and names <= data.keys():
            return self._expr.eval(data) is True
        obj = self._cls.from_json(event.data or "{}")
        return self._expr.eval(self._meaning.row(obj)) is True
