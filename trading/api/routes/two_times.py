"""What was so at one time as it was known at another, what changed since, and why something is."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from pydantic import AfterValidator

from trading.api.current import CurrentPool, own_account, parts_of
from trading.api.routes.filters import PastTime, Text, Time, refuse_unknown_names
from trading.api.schemas import clean_text, past

router = APIRouter(tags=["two times"])


class _Asked:
    """Whose figures, and which bars."""

    def __init__(
        self,
        account: Text = None,
        run: Text = None,
        symbol: Text = None,
        timeframe: Annotated[
            str, Query(max_length=20, examples=["1m"]), AfterValidator(clean_text)
        ] = "1m",
        bars_from: Time = None,
        at: Time = None,
    ) -> None:
        self.account = account
        self.run = run
        self.fields: dict[str, Any] = {
            "symbol": symbol,
            "timeframe": timeframe,
            "bars_from": _iso(bars_from),
            "at": _iso(at),
        }


Asked = Annotated[_Asked, Depends()]


def _iso(value: datetime | None) -> str | None:
    return None if value is None else value.isoformat()


@router.get("/as-of")
async def show_as_of(
    request: Request, pool: CurrentPool, asked: Asked, known_at: PastTime = None
) -> dict[str, Any]:
    """P&L, positions, orders, limits and bars at one time as it was known at another."""
    return await _ask(request, pool, asked, "as_of", known_at=_iso(known_at))


@router.get("/as-of/changes")
async def list_changes(
    request: Request,
    pool: CurrentPool,
    asked: Asked,
    since: Annotated[datetime, AfterValidator(past)],
    until: PastTime = None,
) -> dict[str, Any]:
    """Every figure that is another one by `until` than was known at `since`, with the events."""
    times = {"since": _iso(since), "until": _iso(until)}
    return await _ask(request, pool, asked, "changes", **times)


async def _ask(
    request: Request, pool: CurrentPool, asked: _Asked, what: str, **times: str | None
) -> dict[str, Any]:
    account, run = own_account(request, pool.user, asked.account, asked.run)
    fields = {"account": account, "run": run, **asked.fields, **times}
    found: dict[str, Any] = await parts_of(request).replays.ask(
        what, by=pool.user, login=pool.login, asked=fields
    )
    if not any(found.get(name) for name in ("pnl", "orders", "bars", "items")):
        refuse_unknown_names(request, pool.user, symbol=asked.fields["symbol"])
    return found


@router.get(
    "/explain/{subject}",
    responses={200: {"content": {"text/plain": {}, "image/svg+xml": {}}}},
)
async def explain(
    request: Request,
    pool: CurrentPool,
    subject: Annotated[str, Path(max_length=300), AfterValidator(clean_text)],
    account: Text = None,
    run: Text = None,
    format: Literal["json", "text", "svg"] = "json",
) -> Any:
    """Why: from an order, fill, signal, match or P&L figure of a run back to its causes."""
    if account is None:
        # Ids of orders, fills and signals begin with their account.
        named = subject.partition(".")[0]
        known = {each.account for each in parts_of(request).settings.runs_of(pool.user)}
        account = named if named in known else None
    account, run = own_account(request, pool.user, account, run)
    found: dict[str, Any] = await parts_of(request).replays.ask(
        "explain", by=pool.user, login=pool.login, account=account, run=run, subject=subject
    )
    if format == "json":
        return found
    kind = "text/plain" if format == "text" else "image/svg+xml"
    return Response(found[format], media_type=kind)
