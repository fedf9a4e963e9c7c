"""Calls of workflow functions in the form that a backend keeps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from workflow.packing import pack
from workflow.references import refer, refuse_arguments, resolve

Call = tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]


class Unpicklable:
    """In place of a call that only the process which made it can run; `reason` says why.

    That process finds the call by the token: a second start under the same id has another one.
    """

    token = ""  # of those that were kept before there were tokens

    def __init__(self, reason: str, token: str) -> None:
        self.reason = reason
        self.token = token


def packed_call(
    fn: Callable[..., Any] | str, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[str, bytes]:
    """Return what another process needs to run a call: the function's reference, the arguments.

    TypeError for arguments that the function does not take, FunctionNotFound and
    SerializationError for what no other process could use.
    """
    refuse_arguments(resolve(fn) if isinstance(fn, str) else fn, args, kwargs)
    reference, args, kwargs = refer(fn, args, kwargs)
    return reference, pack((args, kwargs), f"an argument of {reference}")
