"""What a route needs of its request: the session, the user's connections, and the API's parts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, cast

from fastapi import Depends, Request
from starlette.requests import HTTPConnection

from trading.api.problems import Problem
from trading.api.sessions import Session, UserPool

if TYPE_CHECKING:
    from trading.api.parts import Parts

__all__ = [
    "COOKIE",
    "CommandSession",
    "CurrentPool",
    "CurrentSession",
    "accounts_of",
    "own_account",
    "parts_of",
    "session_of",
    "unknown_account",
]

COOKIE = "desk_session"
_SAFE = {"GET", "HEAD", "OPTIONS"}


def parts_of(request: HTTPConnection) -> Parts:
    """Return the parts of the API that this request reached."""
    return cast("Parts", request.app.state.parts)


def session_of(request: HTTPConnection) -> tuple[Session, bool]:
    """Return the session, and whether a cookie told it; Problem where there is none."""
    sessions = parts_of(request).sessions
    given = request.headers.get("authorization")
    if given is not None:
        kind, _, token = given.partition(" ")
        if kind.lower() != "bearer":
            raise Problem(401, "NOT_LOGGED_IN", "send Authorization: Bearer TOKEN")
        return sessions.of_token(token.strip()), False
    token = request.cookies.get(COOKIE, "")
    if not token:
        raise Problem(
            401,
            "NOT_LOGGED_IN",
            "log in with POST /user/login; then send its token, or the cookie",
            headers={"WWW-Authenticate": "Bearer"},
        )
    return sessions.of_token(token), True


def _session(request: Request) -> Session:
    session, by_cookie = session_of(request)
    # A foreign page can make a browser send the cookie, but knows no token of the session.
    if (
        by_cookie
        and request.method not in _SAFE
        and (request.headers.get("x-csrf-token") != session.csrf)
    ):
        raise Problem(
            403,
            "CSRF",
            "a page sends the header X-CSRF-Token with the csrf_token of GET /session",
        )
    return session


def accounts_of(request: HTTPConnection, user: str) -> list[str]:
    """Return the accounts of the desk that a user is a member of."""
    return sorted({each.account for each in parts_of(request).settings.runs_of(user)})


def unknown_account(user: str, account: str, names: list[str]) -> Problem:
    """Return the problem of somebody who names an account that is none of his."""
    return Problem(
        404,
        "UNKNOWN_ACCOUNT",
        f"there is no account {account!r:.80} of {user}; there is {', '.join(names) or 'none'}",
        allowed=names,
    )


def own_account(
    request: HTTPConnection, user: str, account: str | None, run: str | None
) -> tuple[str, str]:
    """Return the account and run that are meant: without a name, the user's only account.

    Problem where the user is no member of such an account.
    """
    settings = parts_of(request).settings
    names = accounts_of(request, user)
    if account is None:
        if len(names) != 1:
            raise Problem(
                422,
                "MALFORMED",
                f"name the account: {user} has {', '.join(names) or 'none'}",
                allowed=names,
            )
        [account] = names
    if account not in names:
        raise unknown_account(user, account, names)
    return account, run or settings.own_run(account) or ""


CurrentSession = Annotated[Session, Depends(_session)]
CommandSession = CurrentSession


def _pool(session: CurrentSession) -> Iterator[UserPool]:
    with session.pool as pool:
        yield pool


CurrentPool = Annotated[UserPool, Depends(_pool)]
