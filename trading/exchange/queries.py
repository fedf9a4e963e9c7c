"""What a client may ask, and what the administrator may order; answers are MessagePack.

An account asks for itself alone. `docs/exchange.md` lists names, arguments and answers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from trading.decoding import msgpack_decoder
from trading.errors import ExchangeError, shown
from trading.exchange.durable import DurableExchange
from trading.exchange.faults import Fault, LinkFaults
from trading.exchange.matching.inputs import (
    BustTrade,
    CorrectTrade,
    ExchangeInput,
    RejectNext,
    SetPhase,
)
from trading.exchange.matching.orders import view
from trading.exchange.wire import Report
from trading.journal.codec import pack
from trading.journal.reports import OrderFilled

__all__ = ["ExecutionsPage", "admin_input", "answer_account", "answer_admin"]

T = TypeVar("T")
_PAGE = 2_000


class ExecutionsPage(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Executions with their sequence numbers; ask again after `through` while there is more."""

    executions: tuple[tuple[int, OrderFilled], ...]
    through: int
    more: bool


def _argument(data: bytes, kind: type[T]) -> T:
    try:
        return msgpack_decoder(kind, strict=False).decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ExchangeError(f"the argument is none: {error}") from None


def answer_account(exchange: DurableExchange, name: str, what: str, argument: bytes) -> bytes:
    """Return the answer to a question of an account; ExchangeError where there is none."""
    account = exchange.state.account(name)
    if what == "open_orders":
        return pack([view(order) for order in account.open.values()])
    if what == "order":
        found = account.orders.get(_argument(argument, str))
        return pack(None if found is None else view(found))
    if what == "positions":
        return pack({symbol: size for symbol, size in account.positions.items() if size})
    if what == "cash":
        return pack(account.cash)
    if what == "executions":
        return pack(_executions(exchange, name, _argument(argument, int)))
    if what == "instruments":
        return pack(list(exchange.state.specs.values()))
    raise ExchangeError(
        f"there is no question {shown(what)}; there are: open_orders order positions cash "
        "executions instruments"
    )


def _executions(exchange: DurableExchange, name: str, after: int) -> ExecutionsPage:
    after = max(after, 0)
    found = []
    for data in exchange.reports(name, after, _PAGE):
        message = msgpack_decoder(Report, strict=False).decode(data)
        after = message.sequence
        if isinstance(message.report, OrderFilled):
            found.append((message.sequence, message.report))
    return ExecutionsPage(tuple(found), after, after < exchange.last_report(name))


# --- the administrator ------------------------------------------------------------------------

_INPUTS: dict[str, tuple[type, Callable[..., ExchangeInput]]] = {
    "bust": (tuple[int, str], BustTrade),
    "correct": (tuple[int, int, int], CorrectTrade),
    "phase": (tuple[str], SetPhase),
    "reject": (tuple[str, int, str], RejectNext),
}


def admin_input(what: str, argument: bytes, now: int) -> ExchangeInput | None:
    """Return the input that a command of the administrator is, None where it is none."""
    known = _INPUTS.get(what)
    if known is None:
        return None
    arguments: Any = _argument(argument, known[0])
    return known[1](now, *arguments)


def answer_admin(
    exchange: DurableExchange, faults: LinkFaults, what: str, argument: bytes
) -> bytes:
    """Return the answer to a question of the administrator; ExchangeError where there is none."""
    state = exchange.state
    if what == "fault":
        faults.add(_argument(argument, Fault))
        return pack(True)
    if what == "clear":
        faults.clear()
        return pack(True)
    if what == "status":
        return pack(
            {
                "name": state.settings.name,
                "phase": state.phase,
                "groups": exchange.log.groups,
                "torn_bytes": exchange.log.torn,
                "trades": state.trade_number,
                "last": state.last,
                "accounts": {
                    name: {"reports": account.sequence, "open": len(account.open)}
                    for name, account in state.accounts.items()
                    if not account.silent
                },
                "faults": [[fault, left] for fault, left in faults.listed()],
            }
        )
    if what == "trade":
        number = _argument(argument, int)
        return pack(state.trades.get(number))
    raise ExchangeError(
        f"there is no command {shown(what)}; there are: {' '.join(_INPUTS)} fault clear pause "
        "resume status trade"
    )
