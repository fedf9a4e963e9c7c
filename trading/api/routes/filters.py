"""What lists are filtered by: parameters that several routes take, and names that are wrong."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated

from fastapi import Query, Request
from pydantic import AfterValidator

from trading.api.current import parts_of, unknown_account
from trading.api.problems import Problem, unknown_symbol
from trading.api.reading import LIMIT_MAX
from trading.api.schemas import clean_text, past, utc

__all__ = [
    "AccountFilter",
    "Limit",
    "PastTime",
    "StateFilter",
    "Text",
    "Time",
    "refuse_unknown_names",
    "state_of",
]


Text = Annotated[str | None, Query(max_length=200), AfterValidator(lambda v: v and clean_text(v))]
AccountFilter = Annotated[
    str | None, Query(max_length=60), AfterValidator(lambda v: v and clean_text(v))
]
StateFilter = Annotated[str | None, Query(max_length=40), AfterValidator(clean_text)]
Time = Annotated[datetime | None, AfterValidator(lambda v: v and utc(v))]
PastTime = Annotated[datetime | None, AfterValidator(lambda v: v and past(v))]
Limit = Annotated[int, Query(ge=1, le=LIMIT_MAX)]


def state_of(given: str | None, name: str, states: Iterable[str]) -> str | None:
    """Return a state that a list is filtered by; Problem where there is none of the name."""
    if not given:
        return None
    allowed = sorted(states)
    if given not in allowed:
        raise Problem(
            422,
            "MALFORMED",
            f"{name} {given!r:.60} is no state; there are {', '.join(allowed)}",
            allowed=allowed,
        )
    return given


def refuse_unknown_names(
    request: Request,
    user: str,
    account: str | None = None,
    symbol: str | None = None,
    run: str | None = None,
) -> None:
    """Problem where a list is empty since nobody knows the account, run or symbol it is of."""
    parts = parts_of(request)
    seen = parts.settings.seen_by(user)
    names = sorted({each.account for each in seen})
    if account and names and account not in names:
        raise unknown_account(user, account, names)
    runs = [each.run for each in seen]
    if run and runs and run not in (*runs, "*"):
        raise Problem(
            404,
            "UNKNOWN_RUN",
            f"{user} has no run {run!r:.80}; there are {', '.join(runs)}, and * for all",
            allowed=[*runs, "*"],
        )
    symbols = parts.instruments.specs
    if symbol and symbols and symbol not in symbols:
        raise unknown_symbol(symbol, symbols)
