"""Values of a reactive graph as rows of a ticking table, with no database in between."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime, timezone
from functools import partial
from typing import Any, Protocol

from bridge.errors import BridgeClosed, RegistrationError
from bridge.targets import RowWriter, row_function
from publishing.conversion_errors import ConversionErrors
from publishing.engine import kind_of
from publishing.kinds import KINDS, NOT_ENCODABLE, kind_name
from publishing.table_writer import TableWriter

TIMESTAMP = "Timestamp"


class Graph(Protocol):
    """What a push needs of a graph; `reactive.graph.ReactiveGraph` is one."""

    def get(self, node_id: str, name: str, /) -> Any:
        """Return a computed value."""

    def get_field(self, node_id: str, field: str, /) -> Any:
        """Return a field."""

    def get_group(self, name: str, /) -> Any:
        """Return the value of a group, or a dict of its values by key."""

    def effect(self, node_id: str, name: str, callback: Callable[[str, Any], Any], /) -> Any:
        """Call back now and when a computed value has changed."""

    def group_effect(self, name: str, callback: Callable[[str, Any], Any], /) -> Any:
        """Call back now and when a group's value has changed."""

    def remove_effect(self, effect: Any, /) -> Any:
        """Take an effect off."""


class Push:
    """Computed values on their way into a table; `stop` ends it, the table stays."""

    def __init__(
        self, graph: Graph, fields: tuple[str, ...], computed: tuple[str, ...], rows: _Rows
    ) -> None:
        self._graph = graph
        self._fields = fields
        self._computed = computed
        self._rows = rows
        self._lock = threading.Lock()
        self._effects: dict[str, list[Any]] = {}
        self._last: dict[str, tuple[Any, ...]] = {}
        # By group and key: with them, a table that was made anew begins as the graph is.
        self._last_of_groups: dict[tuple[str, str | None], tuple[Any, ...]] = {}
        self._is_stopped = False
        rows.restore = self._newest

    @property
    def table(self) -> Any:
        """Every change as a row; None where the writer alone knows."""
        return self._rows.table

    @property
    def conversion_errors(self) -> Mapping[str, int]:
        """By column, how many values it could not hold and are null."""
        return self._rows.errors.counts

    @property
    def misfits(self) -> Mapping[str, int]:
        """Deprecated: `conversion_errors`."""
        warnings.warn("misfits is called conversion_errors now", DeprecationWarning, stacklevel=2)
        return self.conversion_errors

    def live(self, *keys: str) -> Any:
        """The newest row for each value of the key columns."""
        return self._rows.live(keys)

    def add(self, node_id: str) -> None:
        """Push the values of another node from now on."""
        with self._lock:
            self._require_running()
            if node_id in self._effects:
                return
            effects = self._effects[node_id] = []
        self._attach(
            node_id,
            effects,
            [
                partial(self._graph.effect, node_id, name, lambda *_: self._node(node_id))
                for name in self._computed
            ],
        )

    def remove(self, node_id: str) -> None:
        """Push the values of a node no longer."""
        with self._lock:
            effects = self._effects.pop(node_id, [])
            self._last.pop(node_id, None)
        self._detach(effects)

    def add_group(self, name: str) -> None:
        """Push the value of another group from now on."""
        with self._lock:
            self._require_running()
            if name in self._effects:
                return
            effects = self._effects[name] = []
        self._attach(name, effects, [partial(self._graph.group_effect, name, self._group)])

    def flush(self, timeout: float = 10.0) -> bool:
        """Wait until what was pushed is in the table; False if time ran out."""
        return self._rows.flush(timeout)

    def stop(self) -> None:
        """Take the effects off; a writer that was given goes on."""
        with self._lock:
            self._is_stopped = True
            effects = [each for some in self._effects.values() for each in some]
            self._effects.clear()
        self._detach(effects)
        self._rows.close()

    def _attach(self, name: str, effects: list[Any], calls: Iterable[Callable[[], Any]]) -> None:
        """Attach effects: all or none, and none where the name was taken off meanwhile."""
        made: list[Any] = []
        try:
            for call in calls:
                made.append(call())  # noqa: PERF401 - those before one that raises are taken off
        except BaseException:
            with self._lock:
                if self._effects.get(name) is effects:
                    del self._effects[name]
                    self._last.pop(name, None)
            self._detach(made)
            raise
        with self._lock:
            is_wanted = self._effects.get(name) is effects
            if is_wanted:
                effects += made
        if not is_wanted:
            self._detach(made)

    def _detach(self, effects: Iterable[Any]) -> None:
        for effect in effects:
            self._graph.remove_effect(effect)

    def _require_running(self) -> None:
        if self._is_stopped:
            raise BridgeClosed("this push was stopped; call push again")

    def _node(self, node_id: str) -> None:
        row = (
            *(self._graph.get_field(node_id, name) for name in self._fields),
            *(self._graph.get(node_id, name) for name in self._computed),
        )
        # One update that changes several values calls back for each: the first row has them all.
        if self._last.get(node_id) != row:
            self._last[node_id] = row
            self._rows.write(*row)

    def _group(self, name: str, value: Any) -> None:
        pairs = value.items() if isinstance(value, dict) else [(None, value)]
        for key, each in pairs:
            row = (name, None if key is None else str(key), each)
            self._last_of_groups[row[:2]] = row
            self._rows.write(*row)

    def _newest(self) -> list[tuple[Any, ...]]:
        """The newest row of each node, and of each key of each group."""
        return [*self._last.copy().values(), *self._last_of_groups.copy().values()]


def push(
    graph: Graph,
    node_ids: Iterable[str] | str,
    *,
    computed: Iterable[str] | str,
    fields: Iterable[str] | str = (),
    writer: RowWriter | None = None,
    schema: Mapping[str, Any] | None = None,
    rows: int | None = None,
    keys: Iterable[str] | str = (),
    name: str = "pushed",
) -> Push:
    """Write a row whenever a computed value of one of the nodes has changed.

    A row holds the `fields`, then the `computed` values, under their own names, then `Timestamp`.
    Without a `writer` it makes a table of all rows, or the newest `rows`, of which `live` needs the
    `keys` beforehand; column types come from
    the first values (numbers that are computed are doubles), or from `schema`. A writer with a
    table gets those columns that it has.
    """
    nodes, chosen, values = map(_listed, (node_ids, fields, computed))
    if not values:
        raise RegistrationError("push needs the name of at least one computed value")
    if len({*chosen, *values, TIMESTAMP}) < len(chosen) + len(values) + 1:
        raise RegistrationError(
            f"columns {[*chosen, *values, TIMESTAMP]}: each name can be there once"
        )
    kinds = {
        **{f: _kind_of([graph.get_field(node, f) for node in nodes], "string") for f in chosen},
        **{c: _kind_of([graph.get(node, c) for node in nodes], "double") for c in values},
    }
    kinds = {k: "double" if k in values and v == "long" else v for k, v in kinds.items()}
    made = Push(graph, chosen, values, _Rows(kinds, schema, writer, rows, keys, name))
    return _begun(made, made.add, nodes)


def push_group(
    graph: Graph,
    names: Iterable[str] | str,
    *,
    writer: RowWriter | None = None,
    schema: Mapping[str, Any] | None = None,
    rows: int | None = None,
    keys: Iterable[str] | str = (),
    name: str = "pushed groups",
) -> Push:
    """Write a row `Group, Key, Value, Timestamp` whenever the value of a group has changed.

    `Key` is null but for groups by key, of which each key that changed is a row; a value of null
    says that the key has no members any more. The other arguments are those of `push`.
    """
    groups = _listed(names)
    values = [
        each
        for group in groups
        for value in [graph.get_group(group)]
        for each in (value.values() if isinstance(value, dict) else [value])
    ]
    kind = _kind_of(values, "double")
    kinds = {"Group": "string", "Key": "string", "Value": "double" if kind == "long" else kind}
    made = Push(graph, (), (), _Rows(kinds, schema, writer, rows, keys, name))
    return _begun(made, made.add_group, groups)


def _begun(made: Push, add: Callable[[str], None], names: Iterable[str]) -> Push:
    """The push with all it is to begin with; nothing is left of one that cannot begin."""
    try:
        for name in names:
            add(name)
    except BaseException:
        made.stop()
        raise
    return made


class _Rows:
    """Writes rows with the moment of their writing, to a table of its own or to a writer."""

    def __init__(
        self,
        kinds: Mapping[str, str],
        schema: Mapping[str, Any] | None,
        writer: RowWriter | None,
        rows: int | None,
        keys: Iterable[str] | str,
        name: str,
    ) -> None:
        unknown = [column for column in schema or () if column not in {*kinds, TIMESTAMP}]
        if unknown:
            raise RegistrationError(f"schema names {unknown}; the columns are {list(kinds)}")
        if writer is not None and rows is not None:
            raise RegistrationError(f"rows={rows} bounds a table of its own; a writer brings one")
        given = {
            column: kind_name(column, kind, kind_of) for column, kind in (schema or {}).items()
        }
        kinds = {**kinds, TIMESTAMP: "Instant", **given}
        self.errors = ConversionErrors(name)
        self._names = list(kinds)
        self._encoders = [KINDS[kind].encode for kind in kinds.values()]
        self._own = TableWriter(kinds, name=name, rows=rows, keys=keys) if writer is None else None
        if self._own is not None:
            self._own.on_replaced = self._restore
        self._writer: RowWriter = writer or self._own  # type: ignore[assignment]
        self._write = row_function(self._writer, name, kinds)
        self.restore: Callable[[], list[tuple[Any, ...]]] = list

    @property
    def table(self) -> Any:
        """The table that the writer has now, if any."""
        return getattr(self._writer, "table", None)

    def write(self, *values: Any) -> None:
        """Write one row; a value that does not fit is null."""
        self._write(self._encoded(values))

    def _encoded(self, values: Iterable[Any]) -> list[Any]:
        row = [*values, datetime.now(timezone.utc)]
        return [self._encode(n, value) for n, value in enumerate(row)]

    def _restore(self) -> None:
        """Fill a table of its own that was made anew with what holds now."""
        assert self._own is not None
        self._own.write_again([self._encoded(row) for row in self.restore()])

    def _encode(self, number: int, value: Any) -> Any:
        try:
            return None if value is None else self._encoders[number](value)
        except NOT_ENCODABLE as error:
            self.errors.add(self._names[number], error)
            return None

    def live(self, keys: tuple[str, ...]) -> Any:
        """The newest row for each key."""
        if isinstance(self._writer, TableWriter):
            return self._writer.live(*keys)
        if self.table is None or not keys:
            raise RegistrationError("live(…) needs a writer with a table, and at least one key")
        return self.table.last_by(list(keys))

    def flush(self, timeout: float) -> bool:
        """Wait for the table."""
        return not isinstance(self._writer, TableWriter) or self._writer.flush(timeout)

    def close(self) -> None:
        """End the table of its own."""
        if self._own is not None:
            self._own.close()


def _listed(names: Iterable[str] | str) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else tuple(names)


def _kind_of(values: Iterable[Any], default: str) -> str:
    """The kind of the first value that is there."""
    for value in values:
        for python, kind in _KINDS:
            if isinstance(value, python):
                return kind
    return default


# The first that fits: a bool is an int, a datetime is a date.
_KINDS: list[tuple[Any, str]] = [
    (bool, "bool"),
    (int, "long"),
    (str, "string"),
    (datetime, "Instant"),
    (date, "LocalDate"),
]
