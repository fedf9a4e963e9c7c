"""Decoders of typed messages, each made once and by one thread at a time.

msgspec reads the fields of a type when it meets the type for the first time. Two threads that do so
at once end the process with a segmentation fault: two engines that recovered at the same moment
did. So no thread decodes into a type by any other way than these functions, but for the decoders
that a module makes while it is imported.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, TypeVar, cast

import msgspec

__all__ = ["converted", "json_decoder", "msgpack_decoder"]

T = TypeVar("T")

# One of a thread's own may be made while another is: the fields of a type may import its module.
_LOCK = threading.RLock()
_MADE: dict[tuple[str, Any], Any] = {}


def msgpack_decoder(kind: type[T], *, strict: bool = True) -> msgspec.msgpack.Decoder[T]:
    """The decoder of MessagePack into a type; without `strict` numbers may stand as text."""
    return cast(
        "msgspec.msgpack.Decoder[T]",
        _made(f"msgpack {strict}", kind, lambda: msgspec.msgpack.Decoder(kind, strict=strict)),
    )


def json_decoder(kind: type[T]) -> msgspec.json.Decoder[T]:
    """The decoder of JSON into a type."""
    return cast("msgspec.json.Decoder[T]", _made("json", kind, lambda: msgspec.json.Decoder(kind)))


def converted(value: object, kind: type[T], *, strict: bool = True) -> T:
    """A value of plain lists, dicts and numbers as one of a type; msgspec.ValidationError."""
    json_decoder(kind)
    return msgspec.convert(value, kind, strict=strict)


def _made(form: str, kind: Any, make: Callable[[], object]) -> object:
    key = (form, kind)
    found = _MADE.get(key)
    if found is None:
        with _LOCK:
            found = _MADE.setdefault(key, make())
    return found
