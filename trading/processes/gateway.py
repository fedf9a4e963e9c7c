"""Commands and questions of people, as the API hands them to the engine's process.

An answer is given once what it tells is durable. Who may do what is the account's list of members.
"""

from __future__ import annotations

import asyncio
import copy
import hashlib
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec

from store.client import StoreClient
from store.errors import StoreError
from trading.engine import OrderRecord, ParametersRecord
from trading.errors import (
    EngineError,
    EngineStopped,
    EngineTimeout,
    InvalidOrderRequest,
    LimitsError,
    NumberError,
    StrategyError,
    TradingError,
)
from trading.kernel import Kernel
from trading.numbers import from_units
from trading.orders import Bracket, OneCancelsOther, OneTriggersOther, OrderRequest
from trading.orders.build import group_terms
from trading.processes.accounts import Book
from trading.processes.config import twin_run
from trading.processes.denials import denial_of, explained
from trading.risk import Allowed, RiskState, check
from trading.risk.account import TRADING_STATES
from trading.strategy.parameters import parameters_of

__all__ = ["Gateway", "Refusal"]

_LOG = logging.getLogger(__name__)
_KNOWN_COMMANDS = 20_000
_THREADS = 32
WRONG_SIDES = "BRACKET_SIDES"
_RULE = "BUY: target > entry > stop > 0; SELL: stop > entry > target > 0"
_TRADES = frozenset({"trader"})
_HALTS = frozenset({"trader", "risk"})

Request = OrderRequest | Bracket | OneCancelsOther | OneTriggersOther


class Refusal(TradingError):
    """What a person asked for and does not get, as the API answers it."""

    def __init__(self, status: int, code: str, detail: str, **more: Any) -> None:
        super().__init__(detail)
        self.problem = {"status": status, "code": code, "detail": detail, **more}


class Gateway:
    """Answers messages `{"what": …, "by": user, …}` with `{"result": …}` or `{"problem": …}`."""

    def __init__(self, books: Mapping[str, Book], store: StoreClient) -> None:
        self._books = books
        self._store = store
        self._threads = ThreadPoolExecutor(_THREADS, "command")
        self._known: OrderedDict[str, str] = OrderedDict()
        self._calls: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
            "submit": self._submit,
            "preview": self._preview,
            "cancel": self._cancel,
            "replace": self._replace,
            "cancel_all": self._cancel_all,
            "flatten": self._flatten,
            "set_state": self._set_state,
            "accounts": self._accounts,
            "account_names": self._account_names,
            "phases": self._phases,
            "lots": self._lots,
            "strategies": self._strategies,
            "check_parameters": self._check_parameters,
            "picker": self._picker,
        }

    async def answer(self, message: dict[str, Any]) -> dict[str, Any]:
        """Return what becomes of a message; never raises."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, self._answered, message)

    def close(self) -> None:
        """Take no more."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _answered(self, message: dict[str, Any]) -> dict[str, Any]:
        call = self._calls.get(str(message.get("what")))
        if call is None:
            return _problem(422, "MALFORMED", f"unknown request {message.get('what')!r}")
        try:
            return {"result": call(message)}
        except Refusal as refusal:
            return {"problem": refusal.problem}
        except InvalidOrderRequest as error:
            return _problem(422, error.code, str(error))
        except EngineTimeout as error:
            return _problem(504, "ENGINE_TIMEOUT", str(error))
        except EngineStopped as error:
            return _problem(503, "ENGINE_AWAY", str(error))
        except (NumberError, LimitsError, EngineError) as error:
            return _problem(422, "MALFORMED", str(error))
        except StoreError as error:
            _LOG.warning("a request met the store: %s", error)
            return _problem(503, "STORE_AWAY", "the database does not answer now; try again")
        except TradingError as error:
            return _problem(422, "MALFORMED", str(error))
        except Exception:  # noqa: BLE001 - the process goes on; the caller is told
            _LOG.exception("a request failed: %s", message.get("what"))
            return _problem(500, "INTERNAL", "the engine's process failed at this; see its log")

    # --- who may ----------------------------------------------------------------------------------

    def _book(self, message: Mapping[str, Any], roles: frozenset[str] | None = None) -> Book:
        name, by = str(message.get("account", "")), str(message["by"])
        book = self._books.get(name)
        role = None if book is None else book.config.members.get(by)
        if book is None or role is None:
            own = sorted(n for n, each in self._books.items() if by in each.config.members)
            raise Refusal(
                404,
                "UNKNOWN_ACCOUNT",
                f"there is no account {name!r:.80} of {by}; there is {', '.join(own) or 'none'}",
                allowed=own,
            )
        if roles is not None and role not in roles:
            raise Refusal(
                403,
                "ROLE",
                f"{by} is {role} of account {name}; this takes {' or '.join(sorted(roles))}",
            )
        return book

    def _book_of_order(self, message: Mapping[str, Any]) -> Book:
        order_id = str(message.get("order_id", ""))
        account = order_id.partition(".")[0]
        try:
            return self._book({"account": account, "by": message["by"]}, _TRADES)
        except Refusal as refusal:
            if refusal.problem["status"] != 404:
                raise
            raise Refusal(
                404, "UNKNOWN_ORDER", f"there is no order {order_id!r:.120} of {message['by']}"
            ) from None

    def _command_id(self, message: Mapping[str, Any]) -> str:
        """The command's own id; Refusal where another command had the same one."""
        command_id = f"{message['by']}.{message['key']}"
        same = {n: v for n, v in message.items() if n not in ("number", "key")}
        content = hashlib.sha256(msgspec.json.encode(same, order="sorted")).hexdigest()
        known = self._known.setdefault(command_id, content)
        if known != content:
            raise Refusal(
                409,
                "KEY_REUSED",
                f"another command was given under the Idempotency-Key {message['key']!r}; each "
                "command needs a key of its own",
            )
        if len(self._known) > _KNOWN_COMMANDS:
            self._known.popitem(last=False)
        return command_id

    # --- orders -----------------------------------------------------------------------------------

    def _submit(self, message: dict[str, Any]) -> dict[str, Any]:
        book = self._book(message, _TRADES)
        command_id = self._command_id(message)
        request = _request(message["kind"], message["order"], book.config.account)
        if isinstance(request, Bracket):
            self._refuse_wrong_sides(book, request, command_id)
        made = book.engine.submit(request, command_id=command_id, by=message["by"])
        if isinstance(request, OrderRequest):
            self._raise_if_denied(book, made)
            return {"command_id": command_id, "code": "OK", "order_id": made, "detail": ""}
        orders = self._store.query(
            OrderRecord, {"account": book.config.account, "group_id": made}, limit=20
        )
        for each in orders:
            if each.status == "DENIED":
                self._raise_if_denied(book, each.order_id, group_id=made)
        return {
            "command_id": command_id,
            "code": "OK",
            "order_id": orders[0].order_id if orders else "",
            "bracket_id": made,
            "orders": [{"order_id": each.order_id, "role": each.group_role} for each in orders],
            "detail": "",
        }

    def _refuse_wrong_sides(self, book: Book, bracket: Bracket, command_id: str) -> None:
        """Refusal of a new bracket whose exits are not on both sides of its entry.

        One that was recorded already is answered as it was, wherever the price is by now.
        """
        problems = book.engine.look(lambda kernel: _sides(kernel, bracket))
        if not problems or self._store.query(OrderRecord, {"command_id": command_id}, limit=1):
            return
        raise Refusal(422, WRONG_SIDES, "; ".join(problems), limit="bracket", allowed=_RULE)

    def _raise_if_denied(self, book: Book, order_id: str, **more: str) -> None:
        """Refusal with the rule's own words where a limit has denied an order."""
        why = denial_of(book.engine, self._store, book.specs, order_id)
        if why is not None:
            told = {"limit": why.limit, "seen": why.seen, "allowed": why.allowed}
            raise Refusal(422, why.code, why.detail, **told, order_id=order_id, **more)

    def _preview(self, message: dict[str, Any]) -> dict[str, Any]:
        """What risk would say of an order, or of a group's first one, as the books are now."""
        book = self._book(message)
        name = book.config.account
        request = _request(message["kind"], message["order"], name)
        if isinstance(request, OrderRequest):
            first = request
        else:
            group_terms(request, book.spec, lambda each: each)
            first = _first(request)

        def judged(kernel: Kernel) -> Any:
            # A copy: a rule may forget old times of an account, which is the kernel's to do.
            account = copy.deepcopy(kernel.accounts[name])
            now = max(time.time_ns(), kernel.now)
            return check(first, RiskState(account, kernel.market, now))

        if isinstance(request, Bracket):
            problems = book.engine.look(lambda kernel: _sides(kernel, request))
            if problems:
                return {
                    "allowed": False,
                    "code": WRONG_SIDES,
                    "quantity": "0",
                    "scaled": False,
                    "seen": {"seen": "; ".join(problems)},
                    "limit": "bracket",
                    "allowed_text": _RULE,
                }
        verdict = book.engine.look(judged)
        if isinstance(verdict, Allowed):
            return {
                "allowed": True,
                "code": "OK",
                "quantity": str(verdict.quantity),
                "scaled": verdict.scaled,
                "seen": dict(verdict.seen),
                "limit": None,
                "allowed_text": None,
            }
        why = explained(
            *(verdict.code, verdict.limit, verdict.seen, verdict.allowed),
            *(first.symbol, book.specs),
        )
        return {
            "allowed": False,
            "code": verdict.code,
            "quantity": "0",
            "scaled": False,
            "seen": {"seen": why.seen},
            "limit": verdict.limit,
            "allowed_text": why.allowed,
        }

    def _cancel(self, message: dict[str, Any]) -> dict[str, Any]:
        book = self._book_of_order(message)
        command_id = self._command_id(message)
        order_id = str(message["order_id"])
        answer = book.engine.cancel(order_id, command_id=command_id, by=message["by"])
        return _told(answer, command_id, order_id)

    def _replace(self, message: dict[str, Any]) -> dict[str, Any]:
        book = self._book_of_order(message)
        command_id = self._command_id(message)
        order_id = str(message["order_id"])
        answer = book.engine.replace(
            order_id,
            quantity=message.get("quantity"),
            limit_price=message.get("limit_price"),
            stop_price=message.get("stop_price"),
            command_id=command_id,
            by=message["by"],
        )
        return _told(answer, command_id, order_id)

    # --- accounts ---------------------------------------------------------------------------------

    def _scope(self, message: Mapping[str, Any]) -> tuple[Book, str]:
        """The account and symbol that are meant; Refusal where nothing of the symbol is traded.

        "0 positions" would be taken for a position that is closed.
        """
        book, symbol = self._book(message, _HALTS), str(message.get("symbol", ""))
        if symbol and symbol not in book.specs:
            names = sorted(book.specs)[:_SYMBOLS_SHOWN]
            raise Refusal(
                422,
                "UNKNOWN_SYMBOL",
                f"there is no symbol {symbol!r:.80}; there are {', '.join(names)}",
                allowed=names,
            )
        return book, symbol

    def _cancel_all(self, message: dict[str, Any]) -> dict[str, Any]:
        book, symbol = self._scope(message)
        command_id = self._command_id(message)
        answer = book.engine.cancel_all(
            strategy=message.get("strategy", ""),
            symbol=symbol,
            command_id=command_id,
            by=message["by"],
        )
        return _told(answer, command_id)

    def _flatten(self, message: dict[str, Any]) -> dict[str, Any]:
        book, symbol = self._scope(message)
        command_id = self._command_id(message)
        answer = book.engine.flatten(
            strategy=message.get("strategy", ""),
            symbol=symbol,
            command_id=command_id,
            by=message["by"],
        )
        return _told(answer, command_id)

    def _set_state(self, message: dict[str, Any]) -> dict[str, Any]:
        book = self._book(message, _HALTS)
        state = str(message["state"])
        if state not in TRADING_STATES:
            raise Refusal(
                422, "MALFORMED", f"state {state!r:.40} is none of {', '.join(TRADING_STATES)}"
            )
        command_id = self._command_id(message)
        answer = book.engine.set_trading_state(
            state, str(message["reason"]), by=message["by"], command_id=command_id
        )
        return _told(answer, command_id)

    def _accounts(self, message: dict[str, Any]) -> dict[str, Any]:
        by = str(message["by"])
        return {
            "items": [
                self._shown(book, book.config.members[by])
                for book in self._books.values()
                if by in book.config.members
            ]
        }

    def _account_names(self, message: dict[str, Any]) -> dict[str, Any]:
        by = str(message["by"])
        return {
            "items": [
                {
                    "account": book.config.account,
                    "run": book.config.run,
                    "role": book.config.members[by],
                    "base": book.config.currency,
                }
                for book in self._books.values()
                if by in book.config.members
            ]
        }

    def _phases(self, _message: dict[str, Any]) -> dict[str, Any]:
        """How far each account's engine is; names of accounts are told to nobody."""
        return {"items": [str(book.engine.phase) for book in self._books.values()]}

    def _lots(self, _message: dict[str, Any]) -> dict[str, Any]:
        """Open lots of all accounts and runs, for the desk's own screens: the API asks for none."""
        items: list[dict[str, Any]] = []
        for book in self._books.values():
            for run, engine in book.engines.items():

                def open_lots(kernel: Kernel, run: str = run) -> list[dict[str, Any]]:
                    return _open_lots(kernel, run)

                items += engine.look(open_lots)
        return {"items": items}

    def _shown(self, book: Book, role: str) -> dict[str, Any]:
        status, config = book.engine.status(), book.config
        equity: Decimal | None = None
        try:
            equity = book.engine.look(lambda kernel: _equity(kernel, config.account))
        except EngineStopped:
            equity = None
        return {
            "account": status.account,
            "run": status.run,
            "role": role,
            "base": config.currency,
            "phase": str(status.phase),
            "trading_state": status.trading_state,
            "state_reason": status.state_reason,
            "cash": {currency: _text(amount) for currency, amount in status.cash.items()},
            "equity": None if equity is None else _text(equity),
            "open_orders": len(status.open_orders),
            "positions": {symbol: str(size) for symbol, size in status.positions.items()},
            "broker": status.broker or config.broker,
            "broker_state": status.broker_state,
            "unanswered": status.unanswered,
            "group": status.group,
            "inputs": status.inputs,
            "epoch": status.epoch,
            "problem": status.problem,
            "digest": status.digest,
        }

    def _strategies(self, message: dict[str, Any]) -> dict[str, Any]:
        items = []
        for book in self._visible(message):
            changed = self._changed_parameters(book)
            for each in book.strategies:
                record = changed.get(each.name)
                held = {
                    "parameters": msgspec.to_builtins(each.parameters),
                    "parameters_hash": each.parameters_hash,
                }
                if record is not None:
                    held["parameters"] = msgspec.json.decode(record.parameters_json)
                    held["parameters_hash"] = record.parameters_hash
                items.append(
                    {
                        "account": book.config.account,
                        "strategy": each.name,
                        "version": each.version,
                        **held,
                        "symbols": list(each.symbols),
                        "timeframes": list(each.timeframes),
                        "twin_run": None if book.twin is None else twin_run(book.config),
                    }
                )
        return {"items": items}

    def _check_parameters(self, message: dict[str, Any]) -> dict[str, Any]:
        """Refusal where a strategy cannot have the parameters that somebody is about to propose."""
        book, name = self._book(message), message["strategy"]
        strategies = {each.name: each for each in book.strategies}
        if name not in strategies:
            raise Refusal(
                422,
                "UNKNOWN_STRATEGY",
                f"account {book.config.account} has no strategy {name!r:.80}; it has "
                f"{', '.join(strategies) or 'none'}",
                allowed=list(strategies),
            )
        text = msgspec.json.encode(message["parameters"]).decode()
        try:
            parameters_of(type(strategies[name]), text)
        except StrategyError as error:
            raise Refusal(422, "STRATEGY", str(error)) from error
        return {}

    def _changed_parameters(self, book: Book) -> dict[str, ParametersRecord]:
        """The newest parameters of each strategy that people have changed."""
        where = {"account": book.config.account, "run": book.config.run}
        records = self._store.query(ParametersRecord, where, limit=None, order_by="timestamp")
        return {each.strategy: each for each in records}

    def _picker(self, message: dict[str, Any]) -> dict[str, Any]:
        items = []
        for book in self._visible(message):
            name = book.config.account

            def places(kernel: Kernel, name: str = name) -> dict[str, Any]:
                specs, held = kernel.market.specs, kernel.accounts[name].exposures
                return {
                    "open": sorted(symbol for symbol, each in held.items() if each.net),
                    "reserved": {
                        symbol: str(specs[symbol].size(each.reserved))
                        for symbol, each in held.items()
                        if each.reserved
                    },
                }

            try:
                now = book.engine.look(places)
            except EngineStopped:
                now = {"open": [], "reserved": {}}
            items.append({"account": name, "max_open_positions": book.config.max_open, **now})
        return {"items": items}

    def _visible(self, message: Mapping[str, Any]) -> list[Book]:
        by, wanted = str(message["by"]), message.get("account")
        if wanted is not None:
            return [self._book(message)]
        return [book for book in self._books.values() if by in book.config.members]


def _text(number: Decimal) -> str:
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _problem(status: int, code: str, detail: str) -> dict[str, Any]:
    return {"problem": {"status": status, "code": code, "detail": detail}}


_SYMBOLS_SHOWN = 50
_CONFLICTS = frozenset({"ORDER_FINISHED", "CANCEL_PENDING", "UPDATE_PENDING"})


def _told(answer: Any, command_id: str, order_id: str = "") -> dict[str, Any]:
    if answer.ok:
        told = {"command_id": command_id, "code": "OK", "detail": answer.detail}
        return {**told, "order_id": order_id} if order_id else told
    status = 404 if answer.code.startswith("UNKNOWN") else 422
    if answer.code in _CONFLICTS:
        status = 409
    detail = answer.detail or answer.code
    if answer.code == "UNKNOWN_ORDER":
        detail = f"there is no order {detail!r:.120}; GET /orders lists those of the account"
    raise Refusal(status, answer.code, detail, command_id=command_id)


def _order(fields: Mapping[str, Any], account: str) -> OrderRequest:
    given = {name: value for name, value in fields.items() if value is not None}
    for name in ("expire_at", "not_before", "flat_by"):
        if name in given:
            given[name] = datetime.fromisoformat(str(given[name]))
    return OrderRequest(**{**given, "account": account})


def _request(kind: str, fields: Mapping[str, Any], account: str) -> Request:
    """The request of the engine for what a person has sent."""
    if kind == "order":
        return _order(fields, account)
    if kind == "bracket":
        entry = {n: v for n, v in fields.items() if n not in ("target", "stop")}
        return Bracket(_order(entry, account), fields["target"], fields["stop"])
    if kind == "oco":
        return OneCancelsOther(tuple(_order(each, account) for each in fields["orders"]))
    if kind == "oto":
        parent, child = (_order(fields[name], account) for name in ("parent", "child"))
        return OneTriggersOther(parent, child, bool(fields.get("when_full")))
    raise Refusal(422, "MALFORMED", f"unknown kind of order {kind!r}")


def _first(request: Request) -> OrderRequest:
    if isinstance(request, Bracket):
        return request.entry
    if isinstance(request, OneCancelsOther):
        return request.orders[0]
    assert isinstance(request, OneTriggersOther)
    return request.parent


def _sides(kernel: Kernel, bracket: Bracket) -> list[str]:
    """What is wrong with a bracket's prices; an entry at once is compared with the last price."""
    entry, market = bracket.entry, kernel.market
    spec, last = market.specs.get(entry.symbol), market.last.get(entry.symbol)
    is_at_once = (
        entry.kind == "MARKET"
        and entry.not_before is None
        and entry.time_in_force not in ("AT_OPEN", "AT_CLOSE")
    )
    price = None if spec is None or last is None or not is_at_once else spec.price(last)
    return bracket.side_problems(price)


def _open_lots(kernel: Kernel, run: str) -> list[dict[str, Any]]:
    """Every open lot as a row of `open_positions_lots`."""
    specs, found = kernel.market.specs, []
    for (account, strategy, symbol), position in kernel.positions.items():
        spec = specs[symbol]
        for lot in position.lots:
            units = lot.value / (lot.original * position.factor)
            found.append(
                {
                    "AccountId": account,
                    "Run": run,
                    "StrategyId": strategy,
                    "Symbol": symbol,
                    "LotId": f"{lot.order_id}#{lot.fill_id}",
                    "Side": "LONG" if position.net > 0 else "SHORT",
                    "QtyOpen": float(spec.size(lot.original)),
                    "QtyRem": float(spec.size(lot.quantity)),
                    "AvgPrice": units / 10**spec.price_decimals,
                    "TsOpen": lot.opened,
                    "TsUpdated": position.updated,
                }
            )
    return found


def _equity(kernel: Kernel, account: str) -> Decimal | None:
    """Cash and the market value of positions in the account's currency; None without a price."""
    found, market = kernel.accounts[account], kernel.market
    total = 0
    for currency, units in found.cash.items():
        money = market.convert(units, currency, found.base)
        if money is None:
            return None
        total += money
    for symbol, exposure in found.exposures.items():
        if exposure.net:
            price = market.last.get(symbol)
            if price is None:
                return None
            value = exposure.net * price * market.factors[symbol]
            money = market.convert(value, market.specs[symbol].currency, found.base)
            if money is None:
                return None
            total += money
    return from_units(total, market.money_decimals)
