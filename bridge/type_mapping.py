"""Classes of the store as Deephaven tables: their columns, and objects as rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any

from bridge.columns import OWN_COLUMNS, field_columns, schema_of
from bridge.errors import RegistrationError
from publishing.conversion_errors import ConversionErrors
from publishing.engine import dtype_of, require_engine, to_engine
from publishing.kinds import KINDS, NOT_ENCODABLE
from store.base import Storable
from store.governance.class_schema import governed


def infer_dh_schema(cls: type[Storable], columns: Iterable[str] | None = None) -> dict[str, Any]:
    """The columns of a class's tables in order, each with its Deephaven type.

    First `EntityId, Version, EventType, State, UpdatedBy, TxTime`, then the fields (those named
    by `columns`), then `ValidFrom` and `ValidTo`. `DynamicTableWriter` takes it as it is.
    EngineNotRunning before Deephaven was started.
    """
    require_engine()
    kinds = schema_of(field_columns(cls, columns))
    return {name: dtype_of(kind) for name, kind in kinds.items()}


def extract_row(obj: Storable, column_names: Iterable[str]) -> tuple[Any, ...]:
    """An object as a row of these columns, ready for `DynamicTableWriter.write_row`.

    Times and dates become the engine's own objects, exact to the microsecond. A value that its
    column cannot hold is None, with a warning in the log. RegistrationError for a column that the
    class lacks.
    """
    cls: Any = type(obj)
    return tuple(_getter(cls, name)(obj) for name in column_names)


@lru_cache(maxsize=4096)
def _getter(cls: Any, name: str) -> Callable[[Storable], Any]:
    fields = governed(cls).fields
    if name in OWN_COLUMNS:
        kind_name, attribute = OWN_COLUMNS[name]
        kind, encode, secret = KINDS[kind_name], KINDS[kind_name].encode, False
        attribute = f"_store_{attribute}"
    elif name in fields:
        [column] = field_columns(cls, [name])
        kind, encode, secret, attribute = column.kind, column.encode_object, column.secret, name
    else:
        raise RegistrationError(
            f"{cls.__name__} has no column {name!r}; it has {', '.join([*OWN_COLUMNS, *fields])}"
        )
    errors = ConversionErrors(cls.__name__)
    is_plain = kind.formula is None and kind.name != "Instant"
    make = kind.decode or (lambda value: value) if is_plain else None

    def get(obj: Storable) -> Any:
        value = getattr(obj, attribute)
        if value is None:
            return None
        try:
            encoded = encode(value)
        except NOT_ENCODABLE as error:
            errors.add(name, error, secret=secret)
            return None
        # Looked up only now: an object without times needs no engine.
        return (make or to_engine(kind))(encoded)

    return get
