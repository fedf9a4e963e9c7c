"""A typed client of the desk's API, for programs."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any
from urllib.parse import quote

import msgspec

from trading.client.connection import Connection, with_query
from trading.client.governance import GovernanceClient
from trading.client.replay import ReplayClient
from trading.client.shapes import (
    Account,
    Answer,
    AsOf,
    ChangedFigure,
    Explanation,
    Fill,
    NewOrder,
    OptionLadder,
    OptionUnderlying,
    Order,
    Page,
    Position,
    Preview,
    Session,
)
from trading.client.stream import Stream
from trading.decoding import converted
from trading.errors import ApiAway, ApiRefused

__all__ = ["TradingClient"]

_TIMEOUT_S = 40.0
_LONG_READ_S = 300.0


class TradingClient:
    """Talks to a desk's API as one of its users; several threads may share it.

    ApiRefused says what the API refused and what is allowed, ApiAway that it did not answer.
    Reads, and commands under their key, are tried again while the desk is away.
    """

    def __init__(self, url: str, user: str, password: str, *, timeout: float = _TIMEOUT_S) -> None:
        self._connection = Connection(url, user, password, timeout)
        self.session: Session = self._connection.session
        self.governance = GovernanceClient(self._connection)
        self.replays = ReplayClient(self._connection)

    @property
    def _url(self) -> str:
        return self._connection.url

    @property
    def _token(self) -> str:
        return self._connection.token

    def __enter__(self) -> TradingClient:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Log out."""
        try:
            self._connection.call("POST", "/user/logout", None, None)
        except (ApiRefused, ApiAway):
            return
        finally:
            self._connection.hang_up()

    # --- commands ---------------------------------------------------------------------------------

    def submit(self, order: NewOrder, *, key: str | None = None) -> Answer:
        """Send an order; ApiRefused with the limit's own words where one denies it."""
        return self._command("POST", "/orders", msgspec.to_builtins(order), key)

    def bracket(self, entry: NewOrder, *, target: str, stop: str, key: str | None = None) -> Answer:
        """Send an entry with its target and stop."""
        body = {**msgspec.to_builtins(entry), "target": target, "stop": stop}
        return self._command("POST", "/orders/bracket", body, key)

    def oco(self, account: str, orders: Sequence[NewOrder], *, key: str | None = None) -> Answer:
        """Send orders of one account of which a fill of one cancels the others."""
        body = {"account": account, "orders": [_leg(account, each) for each in orders]}
        return self._command("POST", "/orders/oco", body, key)

    def oto(
        self,
        parent: NewOrder,
        child: NewOrder,
        *,
        when_full: bool = False,
        key: str | None = None,
    ) -> Answer:
        """Send a parent whose fills send the child; with `when_full` its last fill alone."""
        body: dict[str, Any] = {"account": parent.account, "when_full": when_full}
        body |= {"parent": _leg(parent.account, parent), "child": _leg(parent.account, child)}
        return self._command("POST", "/orders/oto", body, key)

    def preview(
        self, order: NewOrder, *, target: str | None = None, stop: str | None = None
    ) -> Preview:
        """Return what risk would say now; nothing is recorded."""
        body = {**msgspec.to_builtins(order), "target": target, "stop": stop}
        return self._connection.call("POST", "/orders/preview", body, Preview)

    def cancel(self, order_id: str, *, key: str | None = None) -> Answer:
        """Ask for an order's end; of a bracket's entry, with its exits."""
        return self._command("DELETE", f"/orders/{quote(order_id, safe='')}", None, key)

    def replace(
        self,
        order_id: str,
        *,
        quantity: str | None = None,
        limit_price: str | None = None,
        stop_price: str | None = None,
        key: str | None = None,
    ) -> Answer:
        """Ask for other terms; None keeps what the order has."""
        body = {"quantity": quantity, "limit_price": limit_price, "stop_price": stop_price}
        path = f"/orders/{quote(order_id, safe='')}"
        return self._command("PATCH", path, body, key)

    def cancel_all(
        self, account: str, *, symbol: str = "", strategy: str = "", key: str | None = None
    ) -> Answer:
        """Cancel every open order of an account, or of a symbol or strategy."""
        body = {"symbol": symbol, "strategy": strategy}
        return self._command("POST", f"/accounts/{quote(account, safe='')}/cancel_all", body, key)

    def flatten(
        self, account: str, *, symbol: str = "", strategy: str = "", key: str | None = None
    ) -> Answer:
        """Cancel orders and close positions at the market."""
        body = {"symbol": symbol, "strategy": strategy}
        return self._command("POST", f"/accounts/{quote(account, safe='')}/flatten", body, key)

    def set_state(self, account: str, state: str, reason: str, *, key: str | None = None) -> Answer:
        """Make an account ACTIVE, REDUCING or HALTED."""
        body = {"state": state, "reason": reason}
        return self._command("POST", f"/accounts/{quote(account, safe='')}/state", body, key)

    # --- records ----------------------------------------------------------------------------------

    def accounts(self) -> list[Account]:
        """Return the user's accounts."""
        return self._connection.items("/accounts", Account)

    def orders(self, **filters: Any) -> list[Order]:
        """Return orders, the newest first: `account`, `symbol`, `status`, `open=True`, …"""
        return self._connection.items("/orders", Order, filters)

    def order(self, order_id: str) -> Order:
        """Return an order with its history."""
        return self._connection.call("GET", f"/orders/{quote(order_id, safe='')}", None, Order)

    def fills(self, **filters: Any) -> list[Fill]:
        """Return executions, the newest first."""
        return self._connection.items("/fills", Fill, filters)

    def positions(self, **filters: Any) -> list[Position]:
        """Return open positions; `flat=True` gives closed ones too."""
        return self._connection.items("/positions", Position, filters)

    def page(self, path: str, **filters: Any) -> Page:
        """Return a page of any list, such as `/decisions`; give its `next_cursor` as `cursor`."""
        return self._connection.call("GET", with_query(path, filters), None, Page)

    def all(self, path: str, **filters: Any) -> Iterator[dict[str, Any]]:
        """Yield every item of a list, page by page."""
        cursor: str | None = None
        while True:
            page = self.page(path, **filters, cursor=cursor)
            yield from page.items
            cursor = page.next_cursor
            if cursor is None:
                return

    def get(self, path: str, **parameters: Any) -> Any:
        """Return the JSON of any route that is read."""
        return self._connection.call("GET", with_query(path, parameters), None, None)

    def bars(self, symbol: str, timeframe: str = "1m", **range_: Any) -> list[dict[str, Any]]:
        """Return bars, the oldest first: `start`, `end`, `known_at`, `limit`."""
        found = self.get("/bars", symbol=symbol, timeframe=timeframe, **range_)
        items: list[dict[str, Any]] = found["items"]
        return items

    def prices(self) -> dict[str, dict[str, Any]]:
        """Return the last price and quote of each symbol."""
        return {each["symbol"]: each for each in self.page("/prices").items}

    def options(self, underlying: str) -> OptionLadder:
        """Return the options of an underlying, by expiry and strike, with their Greeks."""
        path = f"/options/{quote(underlying, safe='')}"
        return self._connection.call("GET", path, None, OptionLadder)

    def option_underlyings(self) -> list[OptionUnderlying]:
        """Return what has options, with the expiries."""
        return self._connection.items("/options", OptionUnderlying)

    # --- two times --------------------------------------------------------------------------------

    def as_of(
        self,
        account: str | None = None,
        *,
        at: str | None = None,
        known_at: str | None = None,
        **more: Any,
    ) -> AsOf:
        """Return what was so at a time as it was known at another: `symbol`, `bars_from`, …"""
        asked = {"account": account, "at": at, "known_at": known_at, **more}
        path = with_query("/as-of", asked)
        return self._connection.call("GET", path, None, AsOf, timeout=_LONG_READ_S)

    def changes(
        self, since: str, account: str | None = None, *, at: str | None = None, **more: Any
    ) -> list[ChangedFigure]:
        """Return every figure that is another one now than was known then, with the events."""
        path = with_query("/as-of/changes", {"since": since, "account": account, "at": at, **more})
        found: Any = self._connection.call("GET", path, None, None, timeout=_LONG_READ_S)
        return [converted(each, ChangedFigure) for each in found["items"]]

    def explain(
        self, subject: str, account: str | None = None, run: str | None = None
    ) -> Explanation:
        """Return why: of an order, fill, signal, match or P&L figure back to its causes."""
        path = with_query(f"/explain/{quote(subject, safe='')}", {"account": account, "run": run})
        return self._connection.call("GET", path, None, Explanation, timeout=_LONG_READ_S)

    # --- streams ----------------------------------------------------------------------------------

    def stream(
        self,
        events: Sequence[str] = (),
        *,
        account: str | None = None,
        values: Mapping[str, Sequence[str]] | None = None,
        timeframe: str = "1m",
        after: Mapping[str, str] | None = None,
        replays: Sequence[str] = (),
    ) -> Stream:
        """Follow topics: `events` by name, `values` with the symbols of each, `replays` by id.

        The stream connects again by itself and goes on where it was cut, without gap or repeat.
        """
        return Stream(
            self._connection, events, account, values or {}, timeframe, after or {}, replays
        )

    def _command(self, method: str, path: str, body: Any, key: str | None) -> Answer:
        return self._connection.call(method, path, body, Answer, key=key or uuid.uuid4().hex)


def _leg(account: str, order: NewOrder) -> dict[str, Any]:
    """An order of a group: its account is that of the group."""
    if order.account != account:
        raise ApiRefused(
            422,
            "MALFORMED",
            f"an order of a group is of account {order.account!r}, the group of {account!r}; "
            "give all of them the same account",
            {},
        )
    found: dict[str, Any] = msgspec.to_builtins(order)
    del found["account"]
    return found
