"""The canonical encoding: MessagePack over arrays of whole numbers, texts and truth values.

It is the journal's format and what a digest is computed of: equal values have equal bytes, in every
process. A whole number beyond 64 bits is carried as its decimal text.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import msgspec

from trading.decoding import msgpack_decoder
from trading.errors import JournalError
from trading.journal.inputs import Input
from trading.journal.outputs import Output

__all__ = [
    "UNREADABLE",
    "decode_input",
    "decode_output",
    "encode",
    "encode_all",
    "pack",
    "unpack",
]

T = TypeVar("T")

UNREADABLE = (msgspec.MsgspecError, UnicodeError, RecursionError)
"""What decoding raises for broken bytes or texts: of the wrong shape, no UTF-8, nested too deep."""

_ENCODER = msgspec.msgpack.Encoder()
# Not strict: a text is taken for a whole number where one is expected.
_INPUTS: msgspec.msgpack.Decoder[Input] = msgspec.msgpack.Decoder(Input, strict=False)
_OUTPUTS: msgspec.msgpack.Decoder[Output] = msgspec.msgpack.Decoder(Output, strict=False)
_FROM, _TO = -(2**63), 2**64
# MessagePack counts lists of these lengths in two bytes.
_LIST_OF, _LIST_TO = 16, 2**16


def encode(value: Input | Output) -> bytes:
    """Return the canonical bytes of an input or output; JournalError for what has none."""
    return pack(value)


def encode_all(values: Sequence[object], buffer: bytearray) -> None:
    """Append the canonical bytes of each value to a buffer."""
    if _LIST_OF <= len(values) < _LIST_TO:
        # Those of a list of so many are theirs one after the other, behind a header of 3 bytes.
        try:
            buffer += memoryview(_ENCODER.encode(values))[3:]
            return
        except OverflowError:
            pass  # one of them holds a number that is carried as text
    encode_into = _ENCODER.encode_into
    for value in values:
        try:
            encode_into(value, buffer, -1)
        except OverflowError:
            buffer += _ENCODER.encode(_wide(value))


def decode_input(data: bytes) -> Input:
    """Return the input that these bytes are; JournalError where they are none."""
    try:
        return _INPUTS.decode(data)
    except UNREADABLE as error:
        raise JournalError(f"these {len(data)} bytes are no input of the kernel: {error}") from None


def decode_output(data: bytes) -> Output:
    """Return the output that these bytes are; JournalError where they are none."""
    try:
        return _OUTPUTS.decode(data)
    except UNREADABLE as error:
        raise JournalError(
            f"these {len(data)} bytes are no output of the kernel: {error}"
        ) from None


def pack(value: object) -> bytes:
    """Return the canonical bytes of any value made of these types."""
    try:
        return _ENCODER.encode(value)
    except OverflowError:
        return _ENCODER.encode(_wide(value))
    except TypeError as error:
        raise JournalError(f"{type(value).__name__} has no canonical bytes: {error}") from None


def unpack(data: bytes, kind: type[T]) -> T:
    """Return the value of a type that `pack` gave these bytes for."""
    try:
        return msgpack_decoder(kind, strict=False).decode(data)
    except UNREADABLE as error:
        raise JournalError(f"these {len(data)} bytes are no {kind.__name__}: {error}") from None


def _wide(value: object) -> object:
    """The same value as plain lists, with numbers beyond 64 bits as text."""
    if isinstance(value, int):
        return value if _FROM <= value < _TO else str(value)
    if isinstance(value, msgspec.Struct):
        config = value.__struct_config__
        fields = [_wide(getattr(value, name)) for name in value.__struct_fields__]
        if config.array_like:
            return fields if config.tag is None else [config.tag, *fields]
        named: dict[object, object] = {} if config.tag is None else {config.tag_field: config.tag}
        named.update(zip(value.__struct_fields__, fields, strict=True))
        return named
    if isinstance(value, dict):
        wide: dict[object, object] = {}
        for key, each in value.items():
            wide[_wide(key)] = _wide(each)
        return wide
    if isinstance(value, (list, tuple)):
        return [_wide(each) for each in value]
    return value
