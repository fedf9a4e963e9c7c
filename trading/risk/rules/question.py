"""What a rule is asked, and what it answers."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import msgspec

from trading.numbers import from_units, to_decimal
from trading.orders.order import Order
from trading.risk.account import Account, Exposure, Market
from trading.risk.limits import Limits
from trading.risk.totals import AccountTotals
from trading.specification import InstrumentSpec

__all__ = ["CODES", "Bounds", "Question", "Ratio", "Refused", "Rule", "floor_units", "ratio_of"]

CODES = (
    *("TRADING_HALTED", "REDUCING_ONLY", "MISSING_LIMITS"),
    *("UNKNOWN_ACCOUNT", "UNKNOWN_INSTRUMENT", "SYMBOL_NOT_ALLOWED", "OUT_OF_SESSION"),
    *("MALFORMED", "NOT_A_NUMBER", "PRICE_INCREMENT", "SIZE_INCREMENT"),
    *("SIZE_MIN", "SIZE_MAX", "NOTIONAL_MIN", "NOTIONAL_MAX", "ORDER_EQUITY_SHARE"),
    *("PRICE_COLLAR", "REDUCE_ONLY", "POSITION_LIMIT", "SYMBOL_NOTIONAL", "GROSS_EXPOSURE"),
    *("NET_EXPOSURE", "STRATEGY_NOTIONAL", "DAILY_LOSS", "DRAWDOWN"),
    *("CORRELATION_CLUSTER", "CORRELATED_NOTIONAL", "PORTFOLIO_HEAT"),
    *("ORDER_RATE", "CANCEL_RATE", "DUPLICATE_ORDER"),
    *("MISSING_PRICE", "MISSING_RATE", "MISSING_EQUITY", "MISSING_CORRELATION", "MISSING_ATR"),
)
"""Every code that a refusal may carry; those of orders that are none come from `build_order`."""


class Refused(msgspec.Struct, frozen=True, gc=False):
    """An order may not leave: which rule, its limit, what was seen, and what would be allowed."""

    code: str
    limit: str
    seen: str
    allowed: str

    def __bool__(self) -> bool:
        return False

    @property
    def message(self) -> str:
        """The refusal as a sentence."""
        return f"{self.code}: seen {self.seen}, the limit is {self.limit}; allowed: {self.allowed}"


Ratio = tuple[int, int]


def ratio_of(text: str) -> Ratio:
    """Return a limit as a fraction of whole numbers."""
    return to_decimal(text).as_integer_ratio()


def floor_units(text: str, decimals: int) -> int:
    """Return a limit in units, rounded down: what is finer than a unit allows nothing more."""
    above, below = ratio_of(text)
    return above * int(10**decimals) // below


class Bounds(msgspec.Struct, gc=False):
    """Limits in whole numbers, with the rules that they need; amounts are in units of money."""

    limits_id: str
    limits: Limits
    rules: tuple[Rule, ...]
    amounts: dict[str, int]
    shares: dict[str, Ratio]
    steps: tuple[tuple[Ratio, Ratio], ...]
    clusters: tuple[tuple[str, frozenset[str], int], ...]
    needs_equity: bool
    # Whether a rule asks for sums over all that an account holds.
    needs_totals: bool = False
    # Whether orders that pass are counted or remembered.
    needs_record: bool = False
    # The rules of orders that reduce a position; and by symbol those of both kinds that can refuse
    # an order which is not reduce-only, on an account that is not halted or reducing.
    reducing: tuple[Rule, ...] = ()
    chosen: dict[str, tuple[tuple[Rule, ...], tuple[Rule, ...]]] = {}
    # Limits of size in the units of instruments with so many decimals.
    sizes: dict[str, dict[int, int]] = {}

    def size(self, name: str, decimals: int) -> int:
        """Return a limit of size in units, rounded down."""
        of_name = self.sizes.get(name)
        if of_name is None:
            of_name = self.sizes[name] = {}
        found = of_name.get(decimals)
        if found is None:
            found = of_name[decimals] = floor_units(getattr(self.limits, name), decimals)
        return found


class Question(msgspec.Struct, gc=False):
    """One order, and what it is judged by."""

    order: Order
    spec: InstrumentSpec
    account: Account
    market: Market
    bounds: Bounds
    now: int
    exposure: Exposure
    reduces: bool
    # Running sums of the account; None to walk its exposures.
    totals: AccountTotals | None = None
    # Filled in by the rules that need them, for those after and for the decision's record.
    price: int | None = None
    notional: int | None = None
    equity: int | None = None
    gross: int | None = None
    # The largest long and short value of the symbol with this order.
    worst: tuple[int, int] | None = None

    def missing(self, code: str, what: str) -> Refused:
        """Return the refusal for a number that is not there."""
        return Refused(code, f"{what} must be known", "nothing", f"send it again when {what} is")

    def find_notional(self) -> Refused | None:
        """Work out the price that the order is valued at, and its value."""
        if self.notional is not None:
            return None
        order, market = self.order, self.market
        price = order.limit if order.limit is not None else order.stop
        if price is None:
            price = market.last.get(order.symbol)
        if price is None:
            return self.missing("MISSING_PRICE", f"a price of {order.symbol}")
        self.price = price
        value: int | None = abs(price) * order.qty * market.factors[order.symbol]
        if value is not None and self.spec.currency != self.account.base:
            value = market.convert(value, self.spec.currency, self.account.base)
        if value is None:
            return self.missing("MISSING_RATE", f"a rate of {self.spec.currency}")
        self.notional = value
        return None

    def find_equity(self) -> Refused | None:
        """Work out the account's equity and raise its high-water mark."""
        if self.equity is None:
            account, totals = self.account, self.totals
            equity = account.equity(self.market) if totals is None else totals.equity()
            self.equity = account.note_equity(equity)
            if self.equity is None:
                return self.missing("MISSING_EQUITY", "every price and rate of the account")
        return None

    def money(self, units: int) -> str:
        """Show money as people write it."""
        number = from_units(units, self.market.money_decimals)
        return f"{number.quantize(Decimal('0.01')) if abs(number) < 10**20 else number:f}"

    def refuse_amount(self, code: str, name: str, seen: int) -> Refused:
        """Return the refusal for an amount of money above its limit."""
        bound = self.bounds.amounts[name]
        return Refused(
            code,
            f"{name} {self.money(bound)} {self.account.base}",
            self.money(seen),
            f"at most {self.money(bound)}",
        )


Rule = Callable[[Question], Refused | None]
"""Returns None where an order may go on."""
