"""A typed client of the desk's API, for programs.

with TradingClient("http://127.0.0.1:8000", "trader", "the password") as desk:
    answer = desk.submit(NewOrder("DEMO", "AAPL", "BUY", "10", "LIMIT", limit_price="228.25"))
    print(desk.order(answer.order_id).status)
    with desk.stream(events=["orders", "fills"]) as stream:
        for message in stream:
            print(message.topic, message.item)
"""

from __future__ import annotations

import http.client
import ssl
import threading
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, TypeVar
from urllib.parse import quote, urlencode, urlsplit

import msgspec
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from trading.errors import ApiAway, ApiRefused

__all__ = [
    "Account",
    "Answer",
    "Fill",
    "Message",
    "NewOrder",
    "Order",
    "Page",
    "Position",
    "Preview",
    "Session",
    "Stream",
    "TradingClient",
]

T = TypeVar("T")
_TIMEOUT_S = 40.0
_TRIES = 3
_RETRIED = (502, 503, 504)


class NewOrder(msgspec.Struct, frozen=True, omit_defaults=True):
    """An order as it is asked for; numbers are texts, so that no digit is lost."""

    account: str
    symbol: str
    side: str
    quantity: str
    kind: str = "MARKET"
    limit_price: str | None = None
    stop_price: str | None = None
    time_in_force: str = "GTC"
    strategy: str = ""
    trail: str | None = None
    trail_bps: int | None = None
    expire_at: str | None = None
    reduce_only: bool = False
    post_only: bool = False
    not_before: str | None = None
    flat_by: str | None = None
    tag: str = ""


class Answer(msgspec.Struct, frozen=True):
    """What became of a command, once it was durable."""

    command_id: str
    code: str
    order_id: str = ""
    bracket_id: str = ""
    orders: list[dict[str, str]] = []
    detail: str = ""


class Preview(msgspec.Struct, frozen=True):
    """What risk would say of an order now."""

    allowed: bool
    code: str
    quantity: str
    scaled: bool
    seen: dict[str, str]
    limit: str | None = None
    allowed_text: str | None = None


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """An order as it stands; `history` has its states where one order was asked for."""

    id: str
    version: int
    order_id: str
    account: str
    run: str
    symbol: str
    side: str
    status: str
    order_quantity: str
    filled_quantity: str
    order_kind: str
    strategy: str = ""
    limit_price: str | None = None
    stop_price: str | None = None
    time_in_force: str = ""
    order_event: str = ""
    order_detail: str = ""
    group_id: str = ""
    group_role: str = ""
    parent_id: str = ""
    command_id: str = ""
    order_tag: str = ""
    timestamp: str | None = None
    history: list[Order] = []


class Fill(msgspec.Struct, frozen=True, kw_only=True):
    """An execution."""

    id: str
    fill_id: str
    order_id: str
    account: str
    run: str
    symbol: str
    side: str
    fill_quantity: str
    fill_price: str
    fee_amount: str
    status: str
    strategy: str = ""
    executed_at: str | None = None


class Position(msgspec.Struct, frozen=True, kw_only=True):
    """A position with its totals; the last two are there while its price is known."""

    account: str
    run: str
    strategy: str
    symbol: str
    net_quantity: str
    cost_amount: str
    realized_amount: str
    fee_amount: str
    last_price: str | None = None
    unrealized_amount: str | None = None


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """An account, as the engine has it now."""

    account: str
    run: str
    role: str
    base: str
    phase: str
    trading_state: str
    state_reason: str
    cash: dict[str, str]
    equity: str | None
    open_orders: int
    positions: dict[str, str]
    digest: str


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """Who is logged in, until when, and the user's accounts with the role in each."""

    user: str
    expires_at: str
    csrf_token: str
    accounts: list[dict[str, str]]
    token: str | None = None


class Page(msgspec.Struct, frozen=True):
    """A part of a list; `next_cursor` leads on and is None at the end."""

    items: list[dict[str, Any]]
    next_cursor: str | None = None


class TradingClient:
    """Talks to a desk's API as one of its users; several threads may share it.

    ApiRefused says what the API refused and what is allowed, ApiAway that it did not answer.
    Reads, and commands under their key, are tried again while the desk is away.
    """

    def __init__(self, url: str, user: str, password: str, *, timeout: float = _TIMEOUT_S) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or parts.hostname is None:
            raise ApiAway(f"{url!r:.100} is no http or https URL")
        self._url = url.rstrip("/")
        self._is_https = parts.scheme == "https"
        self._host = parts.hostname
        self._port = parts.port or (443 if self._is_https else 80)
        self._timeout = timeout
        self._lock = threading.Lock()
        # Connections that nobody uses at the moment.
        self._idle: list[http.client.HTTPConnection] = []
        self._token = ""
        body = {"user": user, "password": password}
        try:
            given = self._call("POST", "/user/login", body, Session, log_in=True)
        except BaseException:
            self._hang_up()
            raise
        self.session: Session = given
        self._token = given.token or ""

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
            self._call("POST", "/user/logout", None, None)
        except (ApiRefused, ApiAway):
            return
        finally:
            self._hang_up()

    # --- commands ---------------------------------------------------------------------------------

    def submit(self, order: NewOrder, *, key: str | None = None) -> Answer:
        """Send an order; ApiRefused with the limit's own words where one denies it."""
        return self._command("POST", "/orders", msgspec.to_builtins(order), key)

    def bracket(self, entry: NewOrder, *, target: str, stop: str, key: str | None = None) -> Answer:
        """Send an entry with its target and stop."""
        body = {**msgspec.to_builtins(entry), "target": target, "stop": stop}
        return self._command("POST", "/orders/bracket", body, key)

    def preview(
        self, order: NewOrder, *, target: str | None = None, stop: str | None = None
    ) -> Preview:
        """Return what risk would say now; nothing is recorded."""
        body = {**msgspec.to_builtins(order), "target": target, "stop": stop}
        return self._call("POST", "/orders/preview", body, Preview)

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
        return self._items("/accounts", Account)

    def orders(self, **filters: Any) -> list[Order]:
        """Return orders, the newest first: `account`, `symbol`, `status`, `open=True`, …"""
        return self._items("/orders", Order, filters)

    def order(self, order_id: str) -> Order:
        """Return an order with its history."""
        return self._call("GET", f"/orders/{quote(order_id, safe='')}", None, Order)

    def fills(self, **filters: Any) -> list[Fill]:
        """Return executions, the newest first."""
        return self._items("/fills", Fill, filters)

    def positions(self, **filters: Any) -> list[Position]:
        """Return open positions; `flat=True` gives closed ones too."""
        return self._items("/positions", Position, filters)

    def page(self, path: str, **filters: Any) -> Page:
        """Return a page of any list, such as `/decisions`; give its `next_cursor` as `cursor`."""
        return self._call("GET", _with_query(path, filters), None, Page)

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
        return self._call("GET", _with_query(path, parameters), None, None)

    def bars(self, symbol: str, timeframe: str = "1m", **range_: Any) -> list[dict[str, Any]]:
        """Return bars, the oldest first: `start`, `end`, `known_at`, `limit`."""
        found = self.get("/bars", symbol=symbol, timeframe=timeframe, **range_)
        items: list[dict[str, Any]] = found["items"]
        return items

    def prices(self) -> dict[str, dict[str, Any]]:
        """Return the last price and quote of each symbol."""
        return {each["symbol"]: each for each in self.page("/prices").items}

    # --- streams ----------------------------------------------------------------------------------

    def stream(
        self,
        events: Sequence[str] = (),
        *,
        account: str | None = None,
        values: Mapping[str, Sequence[str]] | None = None,
        timeframe: str = "1m",
        after: Mapping[str, str] | None = None,
    ) -> Stream:
        """Follow topics: `events` by name, `values` with the symbols of each.

        The stream connects again by itself and goes on where it was cut, without gap or repeat.
        """
        return Stream(self, events, account, values or {}, timeframe, after or {})

    def _socket(self) -> ClientConnection:
        scheme = "wss" if self._is_https else "ws"
        host = f"[{self._host}]" if ":" in self._host else self._host
        try:
            return connect(
                f"{scheme}://{host}:{self._port}/ws",
                additional_headers={"Authorization": f"Bearer {self._token}"},
                compression=None,
                max_size=16 * 1024 * 1024,
                open_timeout=self._timeout,
            )
        except (OSError, TimeoutError) as error:
            raise ApiAway(f"no socket to {self._url}: {error}") from error
        except Exception as error:  # websockets raises its own for an answer of HTTP
            response = getattr(error, "response", None)
            if response is None:
                raise
            raise _refusal(response.status_code, response.body or b"") from error

    # --- HTTP -------------------------------------------------------------------------------------

    def _command(self, method: str, path: str, body: Any, key: str | None) -> Answer:
        return self._call(method, path, body, Answer, key=key or uuid.uuid4().hex)

    def _items(self, path: str, kind: type[T], filters: Mapping[str, Any] | None = None) -> list[T]:
        page = self._call("GET", _with_query(path, filters or {}), None, Page)
        return [msgspec.convert(each, kind) for each in page.items]

    def _call(
        self,
        method: str,
        path: str,
        body: Any,
        kind: type[T] | None,
        *,
        key: str = "",
        log_in: bool = False,
    ) -> T:
        """Ask, and again while nobody answers: a read, or a command under its key."""
        headers = {"Accept": "application/json"}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        if key:
            headers["Idempotency-Key"] = key
        data = b"" if body is None else msgspec.json.encode(body)
        if data:
            headers["Content-Type"] = "application/json"
        may_repeat = method == "GET" or bool(key) or log_in
        for left in range(_TRIES if may_repeat else 1, 0, -1):
            try:
                status, told = self._asked(method, path, data, headers)
            except (OSError, http.client.HTTPException) as error:
                self._hang_up()
                if left == 1:
                    raise ApiAway(
                        f"{method} {path}: {self._url} does not answer: {error}"
                    ) from error
                time.sleep(0.2)
                continue
            if status in _RETRIED and left > 1:
                time.sleep(0.3)
                continue
            if status >= 400:
                raise _refusal(status, told)
            if kind is None:
                return msgspec.json.decode(told) if told else None  # type: ignore[return-value]
            return msgspec.json.decode(told, type=kind)
        raise AssertionError

    def _asked(
        self, method: str, path: str, data: bytes, headers: Mapping[str, str]
    ) -> tuple[int, bytes]:
        with self._lock:
            link = self._idle.pop() if self._idle else self._new_link()
        try:
            link.request(method, path, data or None, dict(headers))
            response = link.getresponse()
            told = response.status, response.read()
        except BaseException:
            link.close()
            raise
        with self._lock:
            self._idle.append(link)
        return told

    def _new_link(self) -> http.client.HTTPConnection:
        if not self._is_https:
            return http.client.HTTPConnection(self._host, self._port, timeout=self._timeout)
        context = ssl.create_default_context()
        return http.client.HTTPSConnection(
            self._host, self._port, timeout=self._timeout, context=context
        )

    def _hang_up(self) -> None:
        with self._lock:
            idle, self._idle = self._idle, []
        for link in idle:
            link.close()


def _with_query(path: str, parameters: Mapping[str, Any]) -> str:
    given = {
        name: str(value).lower() if isinstance(value, bool) else str(value)
        for name, value in parameters.items()
        if value is not None
    }
    return f"{path}?{urlencode(given)}" if given else path


def _refusal(status: int, body: bytes) -> ApiRefused:
    try:
        told = msgspec.json.decode(body)
    except msgspec.DecodeError:
        told = {}
    if not isinstance(told, dict):
        told = {}
    code, detail = str(told.get("code", status)), str(told.get("detail", "no problem was told"))
    return ApiRefused(status, code, detail, told)


class Message(msgspec.Struct, frozen=True):
    """A message of a stream.

    `kind` is `snapshot`, the `type` of an event, or the `type` of a value; `item` is the record or
    value, and `items` are those of a snapshot.
    """

    kind: str
    topic: str
    item: dict[str, Any] = {}
    items: list[dict[str, Any]] = []
    seq: int = 0
    position: str = ""


_VALUE_TOPICS = {"price": "prices", "depth": "depth", "bar": "bars", "indicator": "indicators"}
_TOO_MANY = 4013
_SESSION_ENDED = 4001


class Stream:
    """Messages of topics, one after another; iterate over it.

    `positions` are where each topic of events stands; give them as `after` to go on in another
    program. After a cut it connects again and resumes there; where the desk cannot tell
    everything since, snapshots come again.
    """

    def __init__(
        self,
        client: TradingClient,
        events: Sequence[str],
        account: str | None,
        values: Mapping[str, Sequence[str]],
        timeframe: str,
        after: Mapping[str, str],
    ) -> None:
        self._client = client
        self._events = list(events)
        self._account = account
        self._values = {topic: list(symbols) for topic, symbols in values.items()}
        self._timeframe = timeframe
        self._socket: ClientConnection | None = None
        self._waiting: list[Message] = []
        # Topics that this connection has answered: heartbeats speak of them.
        self._answered: set[str] = set()
        self._is_closed = False
        self.positions: dict[str, str] = dict(after)
        self.cuts = 0

    def __enter__(self) -> Stream:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the stream."""
        self._is_closed = True
        if self._socket is not None:
            self._socket.close()

    def __iter__(self) -> Iterator[Message]:
        while not self._is_closed:
            message = self.receive()
            if message is not None:
                yield message

    def receive(self, timeout: float | None = None) -> Message | None:
        """Return the next message; None when none came in time or the stream was closed.

        ApiRefused where the session has ended or a topic is refused.
        """
        end = None if timeout is None else time.monotonic() + timeout
        pause = 0.1
        while not self._is_closed:
            if self._waiting:
                return self._waiting.pop(0)
            left = None if end is None else end - time.monotonic()
            if left is not None and left <= 0:
                return None
            try:
                socket = self._socket or self._connected()
                self._take(msgspec.json.decode(socket.recv(left)))
            except TimeoutError:
                return None
            except ConnectionClosed as closed:
                self._cut(closed)
            except ApiAway:
                time.sleep(pause)
                pause = min(2 * pause, 2.0)
        return None

    def _connected(self) -> ClientConnection:
        socket = self._socket = self._client._socket()
        self._answered.clear()
        number = 0
        for topic in self._events:
            number += 1
            asked = {"op": "subscribe", "id": number, "topic": topic, "account": self._account}
            if topic in self.positions:
                asked["after"] = self.positions[topic]
            socket.send(msgspec.json.encode(asked).decode())
        for topic, symbols in self._values.items():
            number += 1
            asked = {"op": "subscribe", "id": number, "topic": topic, "symbols": symbols}
            if topic in ("bars", "indicators"):
                asked["timeframe"] = self._timeframe
            socket.send(msgspec.json.encode(asked).decode())
        return socket

    def _cut(self, closed: ConnectionClosed) -> None:
        self._socket = None
        self.cuts += 1
        code = closed.rcvd.code if closed.rcvd is not None else 1006
        reason = closed.rcvd.reason if closed.rcvd is not None else ""
        if code in (_SESSION_ENDED, _TOO_MANY):
            raise ApiRefused(401 if code == _SESSION_ENDED else 429, str(code), reason, {})
        time.sleep(0.05)

    def _take(self, told: dict[str, Any]) -> None:
        kind = told["type"]
        if kind == "error":
            raise ApiRefused(422, told["code"], told["detail"], told)
        if kind == "batch":
            for item in told["items"]:
                topic = _VALUE_TOPICS.get(item["type"], item["type"])
                self._waiting.append(Message(item["type"], topic, item))
        elif kind == "snapshot":
            self._waiting.append(Message(kind, told["topic"], items=told["items"]))
        elif kind == "subscribed" and "position" in told:
            self._answered.add(told["topic"])
            self.positions[told["topic"]] = told["position"]
        elif kind == "heartbeat":
            # Everything before it has come, of the topics that were answered.
            self.positions.update(dict.fromkeys(self._answered, told["position"]))
        elif "seq" in told:
            topic, position = told["topic"], told["position"]
            self.positions[topic] = position
            message = Message(kind, topic, told["item"], seq=told["seq"], position=position)
            self._waiting.append(message)
