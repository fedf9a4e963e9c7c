"""Records: orders, fills, positions and all that the engine has written, as the user may see it."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime
from decimal import Decimal
from functools import reduce
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.concurrency import run_in_threadpool
from pydantic import AfterValidator

from reactive.expr import Const, Expr, Field
from trading.api.current import CurrentPool, CurrentSession, parts_of
from trading.api.problems import Problem
from trading.api.reading import LIMIT_MAX, TWIN_RUN, page_of
from trading.api.record_views import number_text, view_of
from trading.api.routes.filters import Limit, PastTime, Text, Time, refuse_unknown_names, state_of
from trading.api.schemas import Page, clean_text
from trading.api.sessions import UserPool
from trading.engine import OrderRecord
from trading.orders.status import TERMINAL, OrderStatus

router = APIRouter(tags=["records"])


class _Asked:
    """What every list of records takes."""

    def __init__(
        self,
        request: Request,
        account: Text = None,
        run: Annotated[
            str | None,
            Query(max_length=200, description="the accounts' own runs; * for all, twins too"),
            AfterValidator(lambda v: v and clean_text(v)),
        ] = None,
        limit: Limit = 100,
        cursor: Annotated[str | None, Query(max_length=4_000)] = None,
    ) -> None:
        self.request = request
        self.account = account
        self.run = run
        self.limit = limit
        self.cursor = cursor

    def filters(self, **more: str | None) -> list[Expr]:
        """Return the conditions of what was given."""
        given = {"account": self.account, **more}
        if self.run != "*":
            given["run"] = self.run
        return [Field(name) == Const(value) for name, value in given.items() if value]


Asked = Annotated[_Asked, Depends()]


def _all_of(parts: list[Expr]) -> Expr | None:
    return reduce(lambda left, right: left & right, parts) if parts else None


def _own_runs(asked: _Asked, parts: list[Expr]) -> list[Expr]:
    """Without a run that is named, twins are left out: their records are no trades."""
    if asked.run is None:
        return [*parts, ~Field("run").starts_with(TWIN_RUN)]
    return parts


def _list(
    pool: UserPool,
    topic: str,
    asked: _Asked,
    parts: list[Expr],
    at: datetime | None = None,
    known_at: datetime | None = None,
) -> dict[str, Any]:
    page = page_of(
        pool,
        topic,
        _all_of(_own_runs(asked, parts)),
        limit=asked.limit,
        cursor=asked.cursor,
        at=at,
        known_at=known_at,
    )
    if not page["items"] and asked.cursor is None:
        symbol = asked.request.query_params.get("symbol")
        refuse_unknown_names(asked.request, pool.user, asked.account, symbol, asked.run)
    return page


# --- orders ---------------------------------------------------------------------------------------


@router.get("/orders", response_model=Page)
def list_orders(
    pool: CurrentPool,
    asked: Asked,
    symbol: Text = None,
    strategy: Text = None,
    status: Text = None,
    group_id: Text = None,
    open: bool = False,
    at: Time = None,
    known_at: PastTime = None,
) -> dict[str, Any]:
    """Orders, the newest first; `open` leaves out the finished ones."""
    status = state_of(status, "status", map(str, OrderStatus))
    parts = asked.filters(symbol=symbol, strategy=strategy, status=status, group_id=group_id)
    if open:
        parts += [Field("status") != Const(str(each)) for each in sorted(TERMINAL, key=str)]
    return _list(pool, "orders", asked, parts, at, known_at)


@router.get("/order/list", response_model=Page)
def list_orders_by_old_name(pool: CurrentPool, limit: Limit = 100) -> dict[str, Any]:
    """The newest orders."""
    parts = [~Field("run").starts_with(TWIN_RUN)]
    return page_of(pool, "orders", _all_of(parts), limit=limit)


def _order(pool: UserPool, order_id: str) -> OrderRecord:
    found = pool.store.query(OrderRecord, {"order_id": order_id}, limit=5)
    for each in found:
        if each._store_owner == pool.records_owner:
            return each
    raise Problem(404, "UNKNOWN_ORDER", f"there is no order {order_id!r:.120} that you may see")


OrderPath = Annotated[str, Path(max_length=200), AfterValidator(clean_text)]


@router.get("/orders/{order_id}")
def show_order(pool: CurrentPool, order_id: OrderPath) -> dict[str, Any]:
    """An order with every state that it had."""
    record = _order(pool, order_id)
    history = pool.store.history(OrderRecord, record._store_entity_id or "")
    return {**view_of(record), "history": [view_of(each) for each in history]}


@router.get("/order/bracket/{bracket_id}")
def show_bracket(pool: CurrentPool, bracket_id: OrderPath) -> dict[str, Any]:
    """The orders of a bracket and its state."""
    found = page_of(pool, "orders", {"group_id": bracket_id}, limit=20)["items"]
    if not found:
        raise Problem(
            404, "UNKNOWN_BRACKET", f"there is no bracket {bracket_id!r:.120} that you may see"
        )
    return {"bracket_id": bracket_id, "state": _bracket_state(found), "orders": found}


@router.delete("/order/bracket/{bracket_id}", status_code=202)
async def cancel_bracket(
    request: Request, session: CurrentSession, pool: CurrentPool, bracket_id: OrderPath
) -> dict[str, Any]:
    """Cancel what works of a bracket: its entry, and with it the exits, or the exits alone."""
    shown = await run_in_threadpool(show_bracket, pool, bracket_id)
    working = [each for each in shown["orders"] if each["status"] not in _TERMINAL]
    if not working:
        raise Problem(409, "ORDER_FINISHED", "nothing of this bracket works any more")
    first = min(working, key=lambda each: (each["group_role"] != "ENTRY", each["order_id"]))
    key = f"bracket-{first['id']}-{first['version']}"
    return await parts_of(request).engine.ask(
        "cancel", by=session.user, key=key, order_id=first["order_id"]
    )


_TERMINAL = {str(each) for each in TERMINAL}


def _bracket_state(orders: list[dict[str, Any]]) -> str:
    """The state of a bracket by the names of an older system."""
    by_role = {each["group_role"]: each for each in orders}
    entry = by_role.get("ENTRY")
    exits = [each for role, each in by_role.items() if role != "ENTRY"]
    if entry is None:
        return "CREATED"
    if entry["status"] in ("DENIED", "REJECTED"):
        return "REJECTED"
    filled = [each["group_role"] for each in exits if each["status"] == "FILLED"]
    if filled:
        return "TARGET_FILLED" if "TARGET" in filled else "STOPLOSS_FILLED"
    if entry["filled_quantity"] == "0":
        return "CANCELLED" if entry["status"] in _TERMINAL else "ENTRY_PLACED"
    if exits and all(each["status"] in _TERMINAL for each in exits):
        return "COMPLETED"
    return "EXIT_ORDERS_PLACED" if any(e["status"] == "ACCEPTED" for e in exits) else "ENTRY_FILLED"


# --- the other records ----------------------------------------------------------------------------


@router.get("/fills", response_model=Page)
def list_fills(
    pool: CurrentPool,
    asked: Asked,
    symbol: Text = None,
    strategy: Text = None,
    order_id: Text = None,
) -> dict[str, Any]:
    """Executions, the newest first."""
    parts = asked.filters(symbol=symbol, strategy=strategy, order_id=order_id)
    return _list(pool, "fills", asked, parts)


@router.get("/matches", response_model=Page)
def list_matches(
    pool: CurrentPool, asked: Asked, symbol: Text = None, strategy: Text = None
) -> dict[str, Any]:
    """Pieces of fills that closed pieces of lots, with what each earned."""
    return _list(pool, "matches", asked, asked.filters(symbol=symbol, strategy=strategy))


@router.get("/cash", response_model=Page)
def list_cash(pool: CurrentPool, asked: Asked) -> dict[str, Any]:
    """Cash that no fill moved: the start, transfers, dividends."""
    return _list(pool, "cash", asked, asked.filters())


@router.get("/signals", response_model=Page)
def list_signals(
    pool: CurrentPool, asked: Asked, symbol: Text = None, strategy: Text = None
) -> dict[str, Any]:
    """Opinions of strategies, with their reasons."""
    return _list(pool, "signals", asked, asked.filters(symbol=symbol, strategy=strategy))


_DECISION_KINDS = ("PICKER", "RISK", "WEIGHT")


@router.get("/decisions", response_model=Page)
def list_decisions(
    pool: CurrentPool,
    asked: Asked,
    order_id: Text = None,
    kind: Text = None,
    code: Text = None,
) -> dict[str, Any]:
    """What the picker and the risk rules decided, and why."""
    kind = state_of(kind, "kind", _DECISION_KINDS)
    parts = asked.filters(order_id=order_id, decision_kind=kind, decision_code=code)
    return _list(pool, "decisions", asked, parts)


@router.get("/alerts", response_model=Page)
def list_alerts(pool: CurrentPool, asked: Asked, code: Text = None) -> dict[str, Any]:
    """What a person must see, the newest first."""
    return _list(pool, "alerts", asked, asked.filters(alert_code=code))


@router.get("/limits", response_model=Page)
def list_limits(
    pool: CurrentPool, asked: Asked, at: Time = None, known_at: PastTime = None
) -> dict[str, Any]:
    """The limits that hold at a time, as it was known at another; now by default."""
    return _list(pool, "limits", asked, asked.filters(), at, known_at)


@router.get("/parameters", response_model=Page)
def list_parameters(
    pool: CurrentPool,
    asked: Asked,
    strategy: Text = None,
    at: Time = None,
    known_at: PastTime = None,
) -> dict[str, Any]:
    """Parameters that people have set for strategies, at a time, as it was known at another."""
    return _list(pool, "parameters", asked, asked.filters(strategy=strategy), at, known_at)


# --- positions and what they are worth ------------------------------------------------------------


@router.get("/positions", response_model=Page)
def list_positions(
    request: Request,
    pool: CurrentPool,
    asked: Asked,
    symbol: Text = None,
    strategy: Text = None,
    flat: bool = False,
    at: Time = None,
    known_at: PastTime = None,
) -> dict[str, Any]:
    """Positions with their value at the last price; `flat` gives closed ones too."""
    parts = asked.filters(symbol=symbol, strategy=strategy)
    if not flat:
        parts.append(Field("net_quantity") != Const(Decimal(0)))
    page = _list(pool, "positions", asked, parts, at, known_at)
    if at is None and known_at is None:
        _value(request, pool, page["items"])
    return page


def _value(request: Request, pool: UserPool, items: list[dict[str, Any]]) -> None:
    """Add last price and unrealized P&L to positions, where the user may read the price."""
    parts = parts_of(request)
    readable = pool.readable_symbols() if items else frozenset()
    for item in items:
        symbol, price = item["symbol"], None
        if symbol in readable:
            price = (parts.market.get("prices", symbol) or {}).get("price")
        item["last_price"] = price
        item["unrealized_amount"] = None
        if price is not None:
            worth = parts.instruments.worth(symbol, Decimal(item["net_quantity"]), Decimal(price))
            item["unrealized_amount"] = number_text(worth - Decimal(item["cost_amount"]))
            item["value_amount"] = number_text(worth)


_SUMS = {"realized": "realized_amount", "fees": "fee_amount", "income": "income_amount"}


@router.get("/pnl", response_model=Page)
def profit_and_loss(
    request: Request,
    pool: CurrentPool,
    asked: Asked,
    symbol: Text = None,
    strategy: Text = None,
    at: Time = None,
    known_at: PastTime = None,
) -> dict[str, Any]:
    """What each account has earned in each run: realized, unrealized, fees, income and equity.

    `unrealized` and `equity` are null where a price is not known, and for times in the past.
    """
    parts = _own_runs(asked, asked.filters(symbol=symbol, strategy=strategy))
    positions = _everything(pool, "positions", parts, at, known_at)
    if at is None and known_at is None:
        _value(request, pool, positions)
    cash = _everything(pool, "cash", _own_runs(asked, asked.filters()), at, known_at)
    totals: dict[tuple[str, str], dict[str, Decimal]] = defaultdict(lambda: defaultdict(Decimal))
    unknown = set()
    for each in cash:
        if symbol is None and strategy is None:
            totals[each["account"], each["run"]]["cash_in"] += Decimal(each["amount"])
    for each in positions:
        key = each["account"], each["run"]
        for name, field in _SUMS.items():
            totals[key][name] += Decimal(each[field])
        if Decimal(each["net_quantity"]):
            totals[key]["open"] += 1
            if each.get("unrealized_amount") is None:
                unknown.add(key)
            else:
                totals[key]["unrealized"] += Decimal(each["unrealized_amount"])
    if not totals:
        refuse_unknown_names(request, pool.user, asked.account, symbol, asked.run)
    items = [_earned(key, sums, key not in unknown) for key, sums in sorted(totals.items())]
    return {"items": items, "next_cursor": None}


def _earned(key: tuple[str, str], sums: dict[str, Decimal], is_known: bool) -> dict[str, Any]:
    net = sums["realized"] - sums["fees"] + sums["income"] + sums["unrealized"]
    start = sums["cash_in"]
    return {
        "account": key[0],
        "run": key[1],
        **{f"{name}_amount": number_text(sums[name]) for name in _SUMS},
        "open_positions": int(sums["open"]),
        "unrealized_amount": number_text(sums["unrealized"]) if is_known else None,
        "net_amount": number_text(net) if is_known else None,
        "start_amount": number_text(start),
        "equity": number_text(start + net) if is_known else None,
    }


_PAGES_MAX = 20


def _everything(
    pool: UserPool,
    topic: str,
    parts: list[Expr],
    at: datetime | None,
    known_at: datetime | None,
) -> list[dict[str, Any]]:
    """All records of a filter, of which there are few: positions, and cash that no fill moved."""
    found: list[dict[str, Any]] = []
    cursor = None
    for _ in range(_PAGES_MAX):
        page = page_of(
            pool,
            topic,
            _all_of(parts),
            limit=LIMIT_MAX,
            cursor=cursor,
            at=at,
            known_at=known_at,
        )
        found += page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            return found
    raise Problem(422, "TOO_MANY", "too many positions to add up; name an account or a symbol")
