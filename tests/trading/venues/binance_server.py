"""A local server that speaks one venue's documented protocol: Binance spot, REST and user data.

https://developers.binance.com/docs/binance-spot-api-docs: signed REST calls, and the user data
stream over the WebSocket API (`userDataStream.subscribe.signature`). Its book is our matching
engine. Like the venue, it takes a client order id again once its order is filled, gives money as
decimal texts, and has no reports of its own sequence.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import itertools
import json
import threading
import time
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl

from aiohttp import WSMsgType, web

from trading.exchange.matching import ExchangeSettings, MatchingEngine
from trading.exchange.matching.inputs import AddAccount, AddInstrument, Request
from trading.journal.outputs import SendCancel, SendOrder
from trading.journal.reports import OrderAccepted, OrderCanceled, OrderFilled, OrderTriggered
from trading.numbers import MONEY_DECIMALS, from_units
from trading.specification import specify

API_KEY, SECRET = "the-api-key", "the-secret"
SPEC = specify(
    "BTCUSDT", currency="USDT", kind="CRYPTO", price_increment="0.01", size_increment="0.00001"
)
_STATES = {
    "ACCEPTED": "NEW",
    "TRIGGERED": "NEW",
    "PARTIALLY_FILLED": "PARTIALLY_FILLED",
    "FILLED": "FILLED",
    "CANCELED": "CANCELED",
    "REJECTED": "REJECTED",
    "EXPIRED": "EXPIRED",
}


class VenueError(Exception):
    def __init__(self, code: int, text: str, status: int = 400) -> None:
        super().__init__(text)
        self.body = {"code": code, "msg": text}
        self.status = status


class BinanceServer:
    """Runs in a thread of its own; `engine` is what trades."""

    def __init__(self) -> None:
        settings = ExchangeSettings(time.time_ns(), name="B", maker_fee="1", taker_fee="2")
        self.engine = MatchingEngine(settings)
        self.engine.apply(AddInstrument(time.time_ns(), SPEC))
        money = (("USDT", 10**7 * 10**MONEY_DECIMALS),)
        self.engine.apply(AddAccount(time.time_ns(), "me", money))
        self.engine.apply(AddAccount(time.time_ns(), "others", money))
        self.lock = threading.RLock()
        self.client_ids: dict[str, str] = {}
        self.latest: dict[str, str] = {}
        self.made: dict[str, int] = {}
        self.trades: list[dict[str, Any]] = []
        self.posted: list[str] = []
        self.numbers = itertools.count(1)
        self.sockets: set[web.WebSocketResponse] = set()
        self.outbox: list[str] = []
        self.down = False
        self.clock_offset_ms = 0
        # What happens to the next calls: method, path's end, and how.
        self.troubles: list[tuple[str, str, str]] = []
        self.loop = asyncio.new_event_loop()
        self.port = 0
        self.ready = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()
        assert self.ready.wait(10)

    # --- life -------------------------------------------------------------------------------------

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        app = web.Application()
        app.router.add_route("*", "/api/v3/{call}", self._call)
        app.router.add_get("/ws-api/v3", self._socket)
        self.runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        self.loop.run_until_complete(self._start())
        self.loop.run_forever()
        self.loop.run_until_complete(self.runner.cleanup())
        self.loop.close()

    async def _start(self) -> None:
        await self.runner.setup()
        site = web.TCPSite(self.runner, "127.0.0.1", 0)
        await site.start()
        self.port = self.runner.addresses[0][1]
        self.ready.set()

    def close(self) -> None:
        self.down = True
        asyncio.run_coroutine_threadsafe(self._hang_up(), self.loop).result(30)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(30)

    def cut(self) -> None:
        self.down = True
        asyncio.run_coroutine_threadsafe(self._hang_up(), self.loop).result(30)

    def mend(self) -> None:
        self.down = False

    def drop_streams(self) -> None:
        asyncio.run_coroutine_threadsafe(self._hang_up(), self.loop).result(30)

    async def _hang_up(self) -> None:
        for socket in list(self.sockets):
            if socket._req is not None and socket._req.transport is not None:
                socket._req.transport.abort()
        self.sockets.clear()

    # --- others -----------------------------------------------------------------------------------

    def others(self, side: int, price: int, size: int, tif: str) -> None:
        with self.lock:
            number = f"o{next(self.numbers)}"
            order = SendOrder(
                *(time.time_ns(), number, "others", SPEC.symbol, side, size, "LIMIT", price, None),
                *(tif, None, False, False, None, None),
            )
            self._apply(order)

    # --- REST -------------------------------------------------------------------------------------

    async def _call(self, request: web.Request) -> web.StreamResponse:
        call, method = request.match_info["call"], request.method
        trouble = next((t for t in self.troubles if t[:2] == (method, call)), None)
        if trouble is not None:
            self.troubles.remove(trouble)
        if self.down or (trouble is not None and trouble[2] == "lost"):
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        if trouble is not None and trouble[2] == "429":
            return web.json_response(
                {"code": -1003, "msg": "Too many requests."},
                status=429,
                headers={"Retry-After": "1"},
            )
        if trouble is not None and trouble[2] == "503":
            return web.json_response({"code": -1000, "msg": "Unknown error."}, status=503)
        text = request.rel_url.raw_query_string or (await request.text())
        try:
            with self.lock:
                body = self._answer(method, call, text, request.headers.get("X-MBX-APIKEY", ""))
        except VenueError as error:
            return web.json_response(error.body, status=error.status)
        if trouble is not None and trouble[2] == "answer lost":
            assert request.transport is not None
            request.transport.abort()
        await self._flush()
        return web.json_response(body)

    def _answer(self, method: str, call: str, text: str, key: str) -> Any:
        if call == "exchangeInfo":
            return self._exchange_info()
        if call == "time":
            return {"serverTime": self._now()}
        fields = dict(parse_qsl(text, keep_blank_values=True))
        self._check(text, key, fields)
        if (method, call) == ("POST", "order"):
            return self._new_order(fields)
        if (method, call) == ("DELETE", "order"):
            return self._cancel(fields)
        if call == "order":
            return self._order(self._find(fields, -2013, "Order does not exist."))
        if call == "openOrders":
            return [self._order(number) for number in self.engine.state.accounts["me"].open]
        if call == "myTrades":
            return self._my_trades(fields)
        if call == "account":
            return self._account()
        raise VenueError(-1000, f"{method} {call} is not known here", 404)

    def _now(self) -> int:
        return time.time_ns() // 1_000_000 + self.clock_offset_ms

    def _check(self, text: str, key: str, fields: dict[str, str]) -> None:
        if key != API_KEY:
            raise VenueError(-2015, "Invalid API-key, IP, or permissions for action.", 401)
        signed, _, signature = text.rpartition("&signature=")
        expected = hmac.new(SECRET.encode(), signed.encode(), hashlib.sha256).hexdigest()
        if signature != expected:
            raise VenueError(-1022, "Signature for this request is not valid.")
        window = int(fields.get("recvWindow", "5000"))
        if not -window <= int(fields["timestamp"]) - self._now() <= 1_000:
            raise VenueError(-1021, "Timestamp for this request is outside of the recvWindow.")

    def _exchange_info(self) -> dict[str, Any]:
        filters = [
            {
                "filterType": "PRICE_FILTER",
                "minPrice": "0.01",
                "maxPrice": "1000000",
                "tickSize": "0.01",
            },
            {
                "filterType": "LOT_SIZE",
                "minQty": "0.00001",
                "maxQty": "9000",
                "stepSize": "0.00001",
            },
            {"filterType": "NOTIONAL", "minNotional": "0.00000100", "applyMinToMarket": True},
        ]
        symbol = {
            "symbol": "BTCUSDT",
            "status": "TRADING",
            "baseAsset": "BTC",
            "quoteAsset": "USDT",
            "baseAssetPrecision": 8,
            "quotePrecision": 8,
            "quoteAssetPrecision": 8,
            "orderTypes": ["LIMIT", "LIMIT_MAKER", "MARKET", "STOP_LOSS", "STOP_LOSS_LIMIT"],
            "isSpotTradingAllowed": True,
            "isMarginTradingAllowed": False,
            "filters": filters,
            "permissions": [],
            "permissionSets": [["SPOT"]],
        }
        return {"timezone": "UTC", "serverTime": self._now(), "rateLimits": [], "symbols": [symbol]}

    def _new_order(self, fields: dict[str, str]) -> dict[str, Any]:
        client_id = fields.get("newClientOrderId", "")
        self.posted.append(client_id)
        known = self.latest.get(client_id)
        if known is not None and known in self.engine.state.accounts["me"].open:
            raise VenueError(-2010, "Duplicate order sent.")
        kind = fields["type"]
        quantity = SPEC.size_units(Decimal(fields["quantity"]))
        if quantity < SPEC.min_size or quantity % SPEC.size_increment:
            raise VenueError(-1013, "Filter failure: LOT_SIZE")
        number = str(1_000 + next(self.numbers))
        order = SendOrder(
            time.time_ns(),
            number,
            "me",
            SPEC.symbol,
            1 if fields["side"] == "BUY" else -1,
            quantity,
            {"LIMIT_MAKER": "LIMIT", "STOP_LOSS": "STOP", "STOP_LOSS_LIMIT": "STOP_LIMIT"}.get(
                kind, kind
            ),
            SPEC.price_units(Decimal(fields["price"])) if "price" in fields else None,
            SPEC.price_units(Decimal(fields["stopPrice"])) if "stopPrice" in fields else None,
            fields.get("timeInForce", "GTC"),
            None,
            False,
            kind == "LIMIT_MAKER",
            None,
            None,
        )
        self.client_ids[number] = client_id or f"x-{number}"
        self.made[number] = self._now()
        self._apply(order)
        if self.engine.state.accounts["me"].orders[number].status == "REJECTED":
            raise VenueError(-2010, "Order would immediately match and take.")
        self.latest[self.client_ids[number]] = number
        return self._order(number)

    def _cancel(self, fields: dict[str, str]) -> dict[str, Any]:
        number = self._find(fields, -2011, "Unknown order sent.")
        if number not in self.engine.state.accounts["me"].open:
            raise VenueError(-2011, "Unknown order sent.")
        self._apply(SendCancel(time.time_ns(), number, "me"))
        found = self._order(number)
        return {**found, "origClientOrderId": found["clientOrderId"], "clientOrderId": "cancel"}

    def _find(self, fields: dict[str, str], code: int, text: str) -> str:
        number = fields.get("orderId") or self.latest.get(fields.get("origClientOrderId", ""), "")
        if number not in self.client_ids:
            raise VenueError(code, text)
        return number

    def _order(self, number: str) -> dict[str, Any]:
        order = self.engine.state.accounts["me"].orders[number]
        request = order.request
        names = {"STOP": "STOP_LOSS", "STOP_LIMIT": "STOP_LOSS_LIMIT"}
        kind = "LIMIT_MAKER" if request.post_only else names.get(request.kind, request.kind)
        status = _STATES[order.status]
        if status == "CANCELED" and request.tif in ("IOC", "FOK"):
            status = "EXPIRED"
        return {
            "symbol": "BTCUSDT",
            "orderId": int(number),
            "orderListId": -1,
            "clientOrderId": self.client_ids[number],
            "transactTime": self._now(),
            "price": str(SPEC.price(order.limit or 0)),
            "origQty": str(SPEC.size(order.quantity)),
            "executedQty": str(SPEC.size(order.filled)),
            "cummulativeQuoteQty": str(from_units(order.value, MONEY_DECIMALS)),
            "status": status,
            "timeInForce": request.tif,
            "type": kind,
            "side": "BUY" if order.side > 0 else "SELL",
            "stopPrice": str(SPEC.price(order.stop or 0)),
            "time": self.made[number],
            "updateTime": self._now(),
            "isWorking": True,
            "fills": [],
        }

    def _my_trades(self, fields: dict[str, str]) -> list[dict[str, Any]]:
        found = self.trades
        if "startTime" in fields:
            found = [each for each in found if each["time"] >= int(fields["startTime"])]
        if "orderId" in fields:
            found = [each for each in found if each["orderId"] == int(fields["orderId"])]
        return found[: int(fields.get("limit", "500"))]

    def _account(self) -> dict[str, Any]:
        account = self.engine.state.accounts["me"]
        cash = from_units(account.cash.get("USDT", 0), MONEY_DECIMALS)
        coins = SPEC.size(account.positions.get(SPEC.symbol, 0)) + 100
        return {
            "makerCommission": 1,
            "canTrade": True,
            "updateTime": self._now(),
            "accountType": "SPOT",
            "balances": [
                {"asset": "BTC", "free": str(coins), "locked": "0"},
                {"asset": "USDT", "free": str(cash), "locked": "0"},
            ],
        }

    # --- the user data stream ---------------------------------------------------------------------

    def _apply(self, request: SendOrder | SendCancel) -> None:
        outcome = self.engine.apply(Request(time.time_ns(), request))
        for account, _, report in outcome.reports:
            if account != "me":
                continue
            if isinstance(report, OrderFilled):
                self._trade(report)
            elif isinstance(report, OrderAccepted):
                self._say(report.order_id, "NEW")
            elif isinstance(report, OrderCanceled):
                self._say(report.order_id, self._order(report.order_id)["status"])
            elif isinstance(report, OrderTriggered):
                continue
        if self.outbox:
            self.loop.call_soon_threadsafe(lambda: self.loop.create_task(self._flush()))

    def _trade(self, report: OrderFilled) -> None:
        price, size = SPEC.price(report.price), SPEC.size(report.quantity)
        trade = {
            "symbol": "BTCUSDT",
            "id": int(report.fill_id.rpartition(".")[2][:-1]),
            "orderId": int(report.order_id),
            "price": str(price),
            "qty": str(size),
            "quoteQty": str(price * size),
            "commission": str(from_units(report.fees, MONEY_DECIMALS)),
            "commissionAsset": "USDT",
            "time": self._now(),
            "isBuyer": report.side > 0,
            "isMaker": report.maker,
            "isBestMatch": True,
        }
        self.trades.append(trade)
        self._say(report.order_id, "TRADE", trade)

    def _say(self, number: str, what: str, trade: dict[str, Any] | None = None) -> None:
        order, now = self._order(number), self._now()
        event: dict[str, Any] = {
            "e": "executionReport",
            "E": now,
            "T": now if trade is None else trade["time"],
            "s": "BTCUSDT",
            "c": self.client_ids[number],
            "C": "",
            "S": order["side"],
            "o": order["type"],
            "f": order["timeInForce"],
            "q": order["origQty"],
            "p": order["price"],
            "P": order["stopPrice"],
            "F": "0",
            "g": -1,
            "x": what,
            "X": order["status"],
            "r": "NONE",
            "i": int(number),
            "l": "0" if trade is None else trade["qty"],
            "z": order["executedQty"],
            "L": "0" if trade is None else trade["price"],
            "n": "0" if trade is None else trade["commission"],
            "N": None if trade is None else "USDT",
            "t": -1 if trade is None else trade["id"],
            "w": True,
            "m": bool(trade and trade["isMaker"]),
            "O": self.made[number],
            "Z": order["cummulativeQuoteQty"],
            "Y": "0" if trade is None else trade["quoteQty"],
            "Q": "0",
        }
        if what == "CANCELED":
            event["c"], event["C"] = "cancel", self.client_ids[number]
        self.outbox.append(json.dumps({"subscriptionId": 0, "event": event}))

    async def _flush(self) -> None:
        with self.lock:
            said, self.outbox = self.outbox, []
        for text in said:
            for socket in list(self.sockets):
                if not socket.closed:
                    await socket.send_str(text)

    async def _socket(self, request: web.Request) -> web.StreamResponse:
        if self.down:
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            if message.type is not WSMsgType.TEXT:
                continue
            asked = json.loads(message.data)
            fields = asked.get("params", {})
            if asked["method"] != "userDataStream.subscribe.signature":
                continue
            signed = "&".join(f"{k}={fields[k]}" for k in sorted(fields) if k != "signature")
            expected = hmac.new(SECRET.encode(), signed.encode(), hashlib.sha256).hexdigest()
            if fields.get("apiKey") != API_KEY or fields.get("signature") != expected:
                error = {"code": -1022, "msg": "Signature for this request is not valid."}
                await socket.send_json({"id": asked["id"], "status": 400, "error": error})
                continue
            self.sockets.add(socket)
            await socket.send_json(
                {"id": asked["id"], "status": 200, "result": {"subscriptionId": 0}}
            )
        self.sockets.discard(socket)
        return socket
