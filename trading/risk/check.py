"""Ask the rules about one order: `judge` inside the kernel, `check` for people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal

import msgspec

from trading.errors import InvalidOrderRequest
from trading.numbers import MONEY_DECIMALS, Number, from_units, to_decimal, to_units
from trading.orders.build import build_order
from trading.orders.order import Order
from trading.orders.request import OrderRequest
from trading.risk.account import ACTIVE, Account, Market
from trading.risk.limits import HeldLimits, Limits
from trading.risk.rules import (
    Bounds,
    Question,
    Refused,
    compile_limits,
    forget_before,
    rules_of,
)
from trading.risk.totals import AccountTotals
from trading.specification import InstrumentSpec

__all__ = ["Allowed", "RiskState", "cancel_rate", "check", "judge"]


class Allowed(msgspec.Struct, frozen=True, gc=False):
    """An order may leave with this quantity; `seen` holds what the decision rested on."""

    quantity: Decimal
    scaled: bool
    seen: dict[str, str]

    def __bool__(self) -> bool:
        return True


class RiskState(msgspec.Struct, gc=False):
    """What `check` judges an order by: an account, the market and the time."""

    account: Account
    market: Market
    now: int = 0

    @classmethod
    def of(
        cls,
        limits: Limits | None = None,
        *,
        instruments: Iterable[InstrumentSpec],
        prices: Mapping[str, Number] | None = None,
        positions: Mapping[str, Number] | None = None,
        cash: Number = 0,
        account: str = "ACC",
        currency: str = "USD",
        now: int = 0,
    ) -> RiskState:
        """Build a state from plain values; `cash` is what is left after the positions were paid."""
        market = Market(MONEY_DECIMALS)
        for spec in instruments:
            market.define(spec)
        for symbol, price in (prices or {}).items():
            market.last[symbol] = market.specs[symbol].price_units(price)
        held = Account(account, currency, cash={currency: to_units(cash, MONEY_DECIMALS, "cash")})
        for symbol, size in (positions or {}).items():
            held.exposure(symbol).net = market.specs[symbol].size_units(size)
        if limits is not None:
            held.limits.add(HeldLimits("given", limits, 0, None, "caller", "approver", 0))
        held.begin_day(market)
        return cls(held, market, now)


def judge(
    order: Order,
    account: Account,
    market: Market,
    bounds: Bounds,
    now: int,
    totals: AccountTotals | None = None,
) -> Question | Refused:
    """Ask every rule in order; return the first refusal, or the question with what was seen.

    `totals` are running sums of the account, where somebody keeps them.
    The order's quantity is reduced where the drawdown of its account says so.
    """
    symbol = order.symbol
    spec = market.specs[symbol]
    exposure = account.exposures.get(symbol)
    if exposure is None:
        exposure = account.exposure(symbol)
    net, side = exposure.net, order.side
    against = exposure.open_buy if side > 0 else exposure.open_sell
    reduces = net * side < 0 and (order.reduce_only or order.qty + against <= abs(net))
    question = Question(order, spec, account, market, bounds, now, exposure, reduces, totals)
    if account.trading_state == ACTIVE and not order.reduce_only:
        found = bounds.chosen.get(symbol)
        if found is None:
            found = rules_of(bounds, spec)
        rules = found[1] if reduces else found[0]
    else:
        rules = bounds.reducing if reduces else bounds.rules
    for rule in rules:
        refused = rule(question)
        if refused is not None:
            return refused
    return question


def check(request: OrderRequest, state: RiskState) -> Allowed | Refused:
    """Return whether an order may leave, as the limits are at the state's time.

    Nothing is recorded: asking twice gives the same answer. A request that is no order at all is
    refused with its own code (MALFORMED, NOT_A_NUMBER, PRICE_INCREMENT, SIZE_INCREMENT).
    """
    spec = state.market.specs.get(request.symbol)
    if spec is None:
        known = " ".join(sorted(state.market.specs)[:20]) or "none"
        return Refused("UNKNOWN_INSTRUMENT", "instruments", request.symbol, known)
    try:
        order = build_order(request, spec, "", state.now)
    except InvalidOrderRequest as error:
        return Refused(error.code, "a well-formed order", str(error), "a corrected request")
    held = state.account.limits.at(state.now)
    if held is None and state.account.limits.held:
        return Refused("MISSING_LIMITS", "limits that hold now", "none", "set limits for this time")
    bounds = compile_limits(held, state.market.money_decimals)
    asked = order.qty
    verdict = judge(order, state.account, state.market, bounds, state.now)
    if isinstance(verdict, Refused):
        return verdict
    return Allowed(order.quantity, order.qty != asked, _seen(verdict))


def _seen(question: Question) -> dict[str, str]:
    decimals = question.market.money_decimals
    seen = {"position": str(question.spec.size(question.exposure.net))}
    if question.price is not None:
        seen["price"] = str(question.spec.price(question.price))
    for name in ("notional", "equity", "gross"):
        value = getattr(question, name)
        if value is not None:
            seen[name] = str(to_decimal(from_units(value, decimals)))
    return seen


def cancel_rate(account: Account, bounds: Bounds, now: int) -> Refused | None:
    """Return the refusal of one more cancel or replace, or None; one that passes is counted."""
    limits, times = bounds.limits, account.cancel_times
    if limits.max_cancels is None:
        return None
    left = forget_before(times, now - limits.cancel_window)
    count = len(times) - left
    if not count < limits.max_cancels:
        return Refused(
            "CANCEL_RATE",
            f"{limits.max_cancels} cancels in {limits.cancel_window} ns",
            f"{count} before this one",
            f"the next one from {times[left] + limits.cancel_window} on" if count else "none",
        )
    times.append(now)
    return None
