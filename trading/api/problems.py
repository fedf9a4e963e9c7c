"""Errors as `application/problem+json`: what was asked, what was seen, what is allowed."""

from __future__ import annotations

import http
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import msgspec

from store.errors import (
    AccessError,
    FilterError,
    InvalidTransition,
    SchemaError,
    TransitionNotPermitted,
    Unavailable,
    VersionConflict,
)
from trading.errors import (
    BarError,
    CalendarError,
    EngineError,
    EngineStopped,
    EngineTimeout,
    GovernanceError,
    IntervalError,
    InvalidOrderRequest,
    TickStoreError,
)

__all__ = ["PROBLEM_TYPE", "Problem", "problem_of", "unknown_symbol", "unreadable_symbols"]

PROBLEM_TYPE = "application/problem+json"
_SYMBOLS_SHOWN = 50


class Problem(Exception):
    """An answer that is an error; `more` are fields beside the usual ones."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        headers: Mapping[str, str] | None = None,
        **more: Any,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.headers = dict(headers or {})
        self.more = more

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (self.status, self.code, self.detail, self.headers, self.more)

    def body(self) -> bytes:
        """Return the JSON of the answer."""
        return msgspec.json.encode(
            {
                "type": f"urn:trading:{self.code.lower().replace('_', '-')}",
                "title": http.HTTPStatus(self.status).phrase,
                "status": self.status,
                "code": self.code,
                "detail": self.detail,
                **self.more,
            }
        )


def _rebuild(
    status: int, code: str, detail: str, headers: Mapping[str, str], more: Mapping[str, Any]
) -> Problem:
    return Problem(status, code, detail, headers=headers, **more)


def unknown_symbol(symbol: str, known: Collection[str]) -> Problem:
    """Return the problem of a symbol that is not among those that there are for somebody."""
    names = sorted(known)[:_SYMBOLS_SHOWN]
    detail = f"there is no symbol {symbol!r:.80}; there are {', '.join(names) or 'none'}"
    return Problem(404, "UNKNOWN_SYMBOL", detail, allowed=names)


def unreadable_symbols(symbols: Sequence[str], readable: Collection[str]) -> Problem:
    """Return the problem of symbols of which somebody may read no ticks."""
    names = sorted(readable)[:_SYMBOLS_SHOWN]
    asked, may = ", ".join(symbols[:5]), ", ".join(names) or "none"
    detail = f"no ticks of {asked!r:.200} that you may read; you may read {may}"
    return Problem(404, "UNKNOWN_SYMBOL", detail, allowed=names)


_RETRY = {"Retry-After": "1"}


def problem_of(error: Exception) -> Problem:
    """What an error of the store or of the trading packages is to a client."""
    if isinstance(error, InvalidOrderRequest):
        return Problem(422, error.code, str(error))
    if isinstance(error, (FilterError, BarError, IntervalError, CalendarError)):
        return Problem(422, "MALFORMED", str(error))
    if isinstance(error, GovernanceError):
        return _of_governance(error)
    if isinstance(error, TickStoreError):
        if "the right is missing" in str(error):
            return Problem(403, "FORBIDDEN", "no ticks may be read; ask for the right to")
        return Problem(503, "STORE_AWAY", "the database does not answer now", headers=_RETRY)
    if isinstance(error, EngineTimeout):
        return Problem(504, "ENGINE_TIMEOUT", str(error), headers=_RETRY)
    if isinstance(error, EngineStopped):
        return Problem(503, "ENGINE_AWAY", str(error), headers=_RETRY)
    if isinstance(error, EngineError):
        return Problem(422, "MALFORMED", str(error))
    if isinstance(error, Unavailable):
        return Problem(503, "STORE_AWAY", "the database does not answer now", headers=_RETRY)
    if isinstance(error, AccessError):
        return Problem(403, "FORBIDDEN", str(error))
    return Problem(422, "MALFORMED", str(error))


def _of_governance(error: GovernanceError) -> Problem:
    """What the database refuses of governed changes, by the reason that it gave."""
    cause = error.__cause__
    if isinstance(cause, (VersionConflict, InvalidTransition)):
        return Problem(409, "STATE", str(error))
    if isinstance(cause, (TransitionNotPermitted, AccessError)):
        return Problem(403, "DUTY", str(error))
    if isinstance(cause, SchemaError):
        return Problem(503, "NOT_SET_UP", str(error))
    return Problem(422, "MALFORMED", str(error))
