"""Commands: orders, cancels, replaces, and what is done to a whole account."""

from __future__ import annotations

import uuid
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Path, Request

from trading.api.current import CurrentSession, parts_of
from trading.api.schemas import (
    AnyPreview,
    BracketBody,
    CommandAnswer,
    OcoBody,
    OrderBody,
    OtoBody,
    PreviewAnswer,
    ReplaceBody,
    ScopeBody,
    StateBody,
)

router = APIRouter(tags=["commands"])

_KEY = r"^[A-Za-z0-9._-]{1,80}$"


def _key(
    idempotency_key: Annotated[
        str | None,
        Header(pattern=_KEY, description="the same command under the same key is done once"),
    ] = None,
) -> str:
    return idempotency_key or uuid.uuid4().hex


CommandKey = Annotated[str, Depends(_key)]
AccountPath = Annotated[str, Path(pattern=r"^[A-Za-z0-9_-]{1,60}$")]
OrderPath = Annotated[str, Path(max_length=200)]
_ANSWER: dict[str, Any] = {
    "response_model": CommandAnswer,
    "response_model_exclude_none": True,
    "status_code": 202,
}


async def _ask(
    request: Request, session: CurrentSession, what: str, **arguments: Any
) -> dict[str, Any]:
    return await parts_of(request).engine.ask(what, by=session.user, **arguments)


@router.post("/orders", **_ANSWER)
async def send_order(
    request: Request, session: CurrentSession, key: CommandKey, body: OrderBody
) -> dict[str, Any]:
    """Send an order; a limit that denies it is told with 422, with what is allowed."""
    fields = body.terms()
    return await _ask(
        request, session, "submit", key=key, account=body.account, kind="order", order=fields
    )


@router.post("/orders/preview", response_model=PreviewAnswer)
async def preview(request: Request, session: CurrentSession, body: AnyPreview) -> dict[str, Any]:
    """Say what risk would say of an order or bracket now; nothing is recorded."""
    fields = body.terms()
    kind = "bracket" if body.target is not None and body.stop is not None else "order"
    if kind == "order":
        fields.pop("target", None)
        fields.pop("stop", None)
    return await _ask(request, session, "preview", account=body.account, kind=kind, order=fields)


@router.post("/orders/bracket", **_ANSWER)
@router.post("/order/bracket", **_ANSWER)
async def send_bracket(
    request: Request, session: CurrentSession, key: CommandKey, body: BracketBody
) -> dict[str, Any]:
    """Send an entry with its target and stop."""
    return await _ask(
        request,
        session,
        "submit",
        key=key,
        account=body.account,
        kind="bracket",
        order=body.terms(),
    )


@router.post("/orders/oco", **_ANSWER)
async def send_oco(
    request: Request, session: CurrentSession, key: CommandKey, body: OcoBody
) -> dict[str, Any]:
    """Send orders of which a fill of one cancels the others."""
    return await _ask(
        request, session, "submit", key=key, account=body.account, kind="oco", order=body.terms()
    )


@router.post("/orders/oto", **_ANSWER)
async def send_oto(
    request: Request, session: CurrentSession, key: CommandKey, body: OtoBody
) -> dict[str, Any]:
    """Send a parent whose fills send its child."""
    return await _ask(
        request, session, "submit", key=key, account=body.account, kind="oto", order=body.terms()
    )


@router.patch("/orders/{order_id}", **_ANSWER)
async def replace_order(
    request: Request,
    session: CurrentSession,
    key: CommandKey,
    order_id: OrderPath,
    body: ReplaceBody,
) -> dict[str, Any]:
    """Ask for other terms of a working order."""
    return await _ask(
        request,
        session,
        "replace",
        key=key,
        order_id=order_id,
        **body.model_dump(exclude_none=True),
    )


@router.delete("/orders/{order_id}", **_ANSWER)
async def cancel_order(
    request: Request, session: CurrentSession, key: CommandKey, order_id: OrderPath
) -> dict[str, Any]:
    """Ask for an order's end; of a bracket's entry, with its exits."""
    return await _ask(request, session, "cancel", key=key, order_id=order_id)


@router.post("/accounts/{account}/state", **_ANSWER)
async def set_state(
    request: Request,
    session: CurrentSession,
    key: CommandKey,
    account: AccountPath,
    body: StateBody,
) -> dict[str, Any]:
    """Make an account ACTIVE, REDUCING or HALTED; only another than its owner lifts a halt."""
    return await _ask(
        request,
        session,
        "set_state",
        key=key,
        account=account,
        state=body.state,
        reason=body.reason,
    )


@router.post("/accounts/{account}/cancel_all", **_ANSWER)
async def cancel_all(
    request: Request,
    session: CurrentSession,
    key: CommandKey,
    account: AccountPath,
    body: ScopeBody,
) -> dict[str, Any]:
    """Cancel every open order of an account, or of a symbol or strategy."""
    return await _ask(
        request,
        session,
        "cancel_all",
        key=key,
        account=account,
        symbol=body.symbol,
        strategy=body.strategy,
    )


@router.post("/accounts/{account}/flatten", **_ANSWER)
async def flatten(
    request: Request,
    session: CurrentSession,
    key: CommandKey,
    account: AccountPath,
    body: ScopeBody,
) -> dict[str, Any]:
    """Cancel orders and close positions at the market."""
    return await _ask(
        request,
        session,
        "flatten",
        key=key,
        account=account,
        symbol=body.symbol,
        strategy=body.strategy,
    )
