"""Pickling of arguments, results, messages and errors, with errors that say what was pickled."""

from __future__ import annotations

import pickle
import traceback
from typing import Any

from workflow.errors import OpaqueError, SerializationError


def pack(value: Any, what: str) -> bytes:
    """Pickle a value; SerializationError says `what` it is and which part cannot be kept."""
    try:
        return pickle.dumps(value, protocol=pickle.HIGHEST_PROTOCOL)
    except Exception as error:
        raise SerializationError(
            f"{what} cannot be pickled: {error}; give plain data, such as ids, and let a step "
            "fetch the object"
        ) from error


def unpack(packed: bytes, what: str) -> Any:
    """Load what `pack` made; SerializationError says `what` it is and why it cannot be loaded."""
    try:
        return pickle.loads(packed)
    except Exception as error:
        raise SerializationError(
            f"{what} was pickled but cannot be loaded: {error}; its class must be importable here "
            "under the same name"
        ) from error


def pack_outcome(value: Any, what: str) -> bytes:
    """Pack a result; one that cannot be kept becomes the failure that says so."""
    try:
        packed = pack((True, value), what)
        unpack(packed, what)
    except SerializationError as error:
        return pack_failure(error)
    return packed


def pack_failure(error: Exception) -> bytes:
    """Pack an exception in place of a result."""
    return pickle.dumps((False, portable(error)), protocol=pickle.HIGHEST_PROTOCOL)


def portable(error: Exception) -> Exception:
    """Return the exception itself if it survives pickle, else an OpaqueError about it."""
    try:
        twin = pickle.loads(pickle.dumps(error))
        if type(twin) is type(error) and str(twin) == str(error):
            return error
    except Exception:  # noqa: BLE001 - whatever its own methods raise, it is not portable
        return opaque(error)
    return opaque(error)


def opaque(error: BaseException) -> OpaqueError:
    """Return an OpaqueError with the type, text and traceback of an exception."""
    kind = type(error)
    try:
        message = str(error)
    except Exception:  # noqa: BLE001 - a __str__ of somebody's own
        message = "its text cannot be shown"
    trace = "".join(traceback.format_tb(error.__traceback__))
    return OpaqueError(f"{kind.__module__}.{kind.__qualname__}", message, trace)
