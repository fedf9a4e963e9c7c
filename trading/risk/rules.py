"""The rules that an order passes before it leaves, in their order; the first that refuses speaks.

A rule is a function of a `Question` that returns None or a `Refused`. It never lets an order pass
on a number that is missing: that is a refusal with a code of its own, MISSING_….
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import msgspec

from trading.numbers import from_units, to_decimal
from trading.orders.order import Order
from trading.risk.account import HALTED, REDUCING, Account, Exposure, Market
from trading.risk.limits import HeldLimits, Limits
from trading.specification import InstrumentSpec

__all__ = [
    "CODES",
    "RULES",
    "Bounds",
    "Question",
    "Refused",
    "Rule",
    "compile_limits",
    "forget_before",
    "record_sent",
    "scale_of",
]

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


def _ratio(text: str) -> Ratio:
    return to_decimal(text).as_integer_ratio()


def floor_units(text: str, decimals: int) -> int:
    """Return a limit in units, rounded down: what is finer than a unit allows nothing more."""
    above, below = _ratio(text)
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
    # Limits of size in the units of instruments with so many decimals.
    sizes: dict[tuple[str, int], int] = {}

    def size(self, name: str, decimals: int) -> int:
        """Return a limit of size in units, rounded down."""
        found = self.sizes.get((name, decimals))
        if found is None:
            found = floor_units(getattr(self.limits, name), decimals)
            self.sizes[name, decimals] = found
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
    # Filled in by the rules that need them, for those after and for the decision's record.
    price: int | None = None
    notional: int | None = None
    equity: int | None = None
    gross: int | None = None

    def missing(self, code: str, what: str) -> Refused:
        """Return the refusal for a number that is not there."""
        return Refused(code, f"{what} must be known", "nothing", f"send it again when {what} is")

    def in_base(self, money: int) -> int | None:
        """Return money of the order's currency in the account's."""
        return self.market.convert(money, self.spec.currency, self.account.base)

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
        value = self.in_base(abs(price) * order.qty * market.factors[order.symbol])
        if value is None:
            return self.missing("MISSING_RATE", f"a rate of {self.spec.currency}")
        self.notional = value
        return None

    def find_equity(self) -> Refused | None:
        """Work out the account's equity and raise its high-water mark."""
        if self.equity is None:
            self.equity = self.account.mark(self.market)
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


# --- the account and the instrument ---------------------------------------------------------------


def trading_state(q: Question) -> Refused | None:
    state = q.account.trading_state
    if state == HALTED:
        return Refused(
            "TRADING_HALTED",
            f"trading of {q.account.name} is halted",
            q.account.state_reason or "halted",
            "cancels, and a flatten by a person; somebody other than the trader lifts the halt",
        )
    if state == REDUCING and not q.reduces:
        return Refused(
            "REDUCING_ONLY",
            f"{q.account.name} may only reduce positions",
            f"{q.order.side_name} {q.order.quantity} with a position of "
            f"{q.spec.size(q.exposure.net)}",
            "orders against the position, up to its size",
        )
    return None


def symbol_allowed(q: Question) -> Refused | None:
    symbols = q.bounds.limits.symbols
    if symbols is not None and q.order.symbol not in symbols and not q.reduces:
        return Refused("SYMBOL_NOT_ALLOWED", "symbols", q.order.symbol, " ".join(symbols) or "none")
    return None


def in_session(q: Question) -> Refused | None:
    if q.order.tif in ("IOC", "FOK", "DAY") and not q.market.is_open(q.spec, q.now):
        session = q.market.session(q.spec.calendar, q.now)
        return Refused(
            "OUT_OF_SESSION",
            f"sessions of {q.spec.calendar}",
            f"{q.order.tif} order at {q.now}",
            f"from {session[0]} on" if session else "none is known; give the calendar's sessions",
        )
    return None


# --- the order by itself --------------------------------------------------------------------------


def size_bounds(q: Question) -> Refused | None:
    spec, order = q.spec, q.order
    qty = order.qty
    if qty < spec.min_size and not q.reduces:
        least = str(spec.size(spec.min_size))
        return Refused("SIZE_MIN", f"min_size {least}", str(order.quantity), f"at least {least}")
    largest = spec.max_size
    bound = q.bounds.limits.max_order_quantity
    if bound is not None:
        own = q.bounds.size("max_order_quantity", spec.size_decimals)
        largest = own if largest is None else min(own, largest)
    if largest is not None and not qty <= largest:
        most = str(spec.size(largest))
        return Refused("SIZE_MAX", f"max size {most}", str(order.quantity), f"at most {most}")
    return None


def notional_bounds(q: Question) -> Refused | None:
    spec, order = q.spec, q.order
    if spec.min_notional is None and spec.max_notional is None:
        return None
    refused = q.find_notional()
    if refused or q.price is None:
        return refused
    value = abs(q.price) * order.qty * spec.multiplier
    if spec.min_notional is not None and value < spec.min_notional and not q.reduces:
        least = from_units(spec.min_notional, spec.notional_decimals)
        seen = from_units(value, spec.notional_decimals)
        return Refused("NOTIONAL_MIN", f"min_notional {least}", str(seen), f"at least {least}")
    if spec.max_notional is not None and not value <= spec.max_notional:
        most = from_units(spec.max_notional, spec.notional_decimals)
        seen = from_units(value, spec.notional_decimals)
        return Refused("NOTIONAL_MAX", f"max_notional {most}", str(seen), f"at most {most}")
    return None


def order_notional(q: Question) -> Refused | None:
    refused = q.find_notional()
    if refused or q.notional is None:
        return refused
    if not q.notional <= q.bounds.amounts["max_order_notional"]:
        return q.refuse_amount("NOTIONAL_MAX", "max_order_notional", q.notional)
    return None


def order_equity_share(q: Question) -> Refused | None:
    if q.reduces:
        return None
    refused = q.find_notional() or q.find_equity()
    if refused or q.notional is None or q.equity is None:
        return refused
    above, below = q.bounds.shares["max_order_equity_share"]
    most = max(q.equity, 0) * above // below
    if not q.notional <= most:
        return Refused(
            "ORDER_EQUITY_SHARE",
            f"max_order_equity_share {q.bounds.limits.max_order_equity_share}",
            f"{q.money(q.notional)} of {q.money(q.equity)} equity",
            f"at most {q.money(most)}",
        )
    return None


def price_collar(q: Question) -> Refused | None:
    price = q.order.limit if q.order.limit is not None else q.order.stop
    if price is None and q.order.kind != "MARKET":
        return None  # a trailing stop follows the market
    last = q.market.last.get(q.order.symbol)
    if last is None:
        return q.missing("MISSING_PRICE", f"a price of {q.order.symbol}")
    if price is None:
        return None
    above, below = q.bounds.shares["price_collar"]
    if not abs(price - last) * below <= abs(last) * above:
        spec, width = q.spec, abs(last) * above // below
        return Refused(
            "PRICE_COLLAR",
            f"price_collar {q.bounds.limits.price_collar} around {spec.price(last)}",
            str(spec.price(price)),
            f"{spec.price(last - width)} to {spec.price(last + width)}",
        )
    return None


# --- exposures ------------------------------------------------------------------------------------


def reduce_only(q: Question) -> Refused | None:
    if q.order.reduce_only and q.exposure.net * q.order.side >= 0:
        return Refused(
            "REDUCE_ONLY",
            "a reduce-only order is against a position",
            f"{q.order.side_name} with a position of {q.spec.size(q.exposure.net)}",
            "the other side, or no order while the position is flat",
        )
    return None


def position_limit(q: Question) -> Refused | None:
    if q.reduces:
        return None
    exposure, order = q.exposure, q.order
    after = exposure.longest + order.qty if order.side > 0 else exposure.shortest - order.qty
    bound = q.bounds.limits.max_position
    most = q.bounds.size("max_position", q.spec.size_decimals)
    if not abs(after) <= most:
        spare = most - (exposure.longest if order.side > 0 else -exposure.shortest)
        return Refused(
            "POSITION_LIMIT",
            f"max_position {bound}",
            f"{q.spec.size(after)} with open orders",
            f"at most {q.spec.size(max(spare, 0))} more",
        )
    return None


def _worst(q: Question, exposure: Exposure, symbol: str, extra: int) -> tuple[int, int] | Refused:
    """Return the largest long and short value of a symbol, in the account's money."""
    price = q.market.last.get(symbol)
    if price is None:
        price = q.price if symbol == q.order.symbol else None
    if price is None:
        return q.missing("MISSING_PRICE", f"a price of {symbol}")
    each = abs(price) * q.market.factors[symbol]
    longest = exposure.longest + (extra if extra > 0 else 0)
    shortest = exposure.shortest + (extra if extra < 0 else 0)
    currency = q.market.specs[symbol].currency
    up = q.market.convert(longest * each, currency, q.account.base)
    down = q.market.convert(shortest * each, currency, q.account.base)
    if up is None or down is None:
        return q.missing("MISSING_RATE", f"a rate of {currency}")
    return up, down


def symbol_notional(q: Question) -> Refused | None:
    if q.reduces:
        return None
    refused = q.find_notional()
    if refused:
        return refused
    worst = _worst(q, q.exposure, q.order.symbol, q.order.side * q.order.qty)
    if isinstance(worst, Refused):
        return worst
    seen = worst[0] if q.order.side > 0 else -worst[1]
    if not abs(seen) <= q.bounds.amounts["max_symbol_notional"]:
        return q.refuse_amount("SYMBOL_NOTIONAL", "max_symbol_notional", seen)
    return None


def _totals(
    q: Question, exposures: dict[str, Exposure], symbols: frozenset[str] | None = None
) -> tuple[int, int, int] | Refused:
    """Return gross, longest net and shortest net value, with this order and all open ones."""
    gross = longest = shortest = 0
    own, market, base = q.order.symbol, q.market, q.account.base
    last = market.last
    for symbol, exposure in exposures.items():
        if symbols is not None and symbol not in symbols:
            continue
        net, buys, sells = exposure.net, exposure.open_buy + exposure.reserved, exposure.open_sell
        if symbol != own:
            if not (net or buys or sells):
                continue
            price = last.get(symbol)
            worth = None
            if price == exposure.price:
                worth = exposure.each
            elif price is not None:
                worth = exposure.worth(symbol, price, market, base)
            if worth is not None:
                # By far the most; the general way is below.
                each = worth if worth >= 0 else -worth
                up, down = (net + buys) * each, (net - sells) * each
                longest += up
                shortest += down
                # Up is never below down.
                gross += up if up > -down else -down
                continue
        extra = q.order.side * q.order.qty if symbol == own else 0
        worst = _worst(q, exposure, symbol, extra)
        if isinstance(worst, Refused):
            return worst
        up, down = worst
        gross += max(abs(up), abs(down))
        longest += up
        shortest += down
    if own not in exposures:
        worst = _worst(q, Exposure(), own, q.order.side * q.order.qty)
        if isinstance(worst, Refused):
            return worst
        gross += max(abs(worst[0]), abs(worst[1]))
        longest += worst[0]
        shortest += worst[1]
    return gross, longest, shortest


def account_exposure(q: Question) -> Refused | None:
    if q.reduces:
        return None
    refused = q.find_notional()
    if refused:
        return refused
    totals = _totals(q, q.account.exposures)
    if isinstance(totals, Refused):
        return totals
    gross, longest, shortest = totals
    q.gross = gross
    amounts = q.bounds.amounts
    bound = amounts.get("max_gross_exposure")
    if bound is not None and not gross <= bound:
        return q.refuse_amount("GROSS_EXPOSURE", "max_gross_exposure", gross)
    bound = amounts.get("max_net_exposure")
    net = longest if q.order.side > 0 else shortest
    if bound is not None and not abs(net) <= bound:
        return q.refuse_amount("NET_EXPOSURE", "max_net_exposure", net)
    return None


def strategy_notional(q: Question) -> Refused | None:
    if q.reduces:
        return None
    refused = q.find_notional()
    if refused:
        return refused
    totals = _totals(q, q.account.by_strategy.get(q.order.strategy, {}))
    if isinstance(totals, Refused):
        return totals
    if not totals[0] <= q.bounds.amounts["max_strategy_notional"]:
        return q.refuse_amount("STRATEGY_NOTIONAL", "max_strategy_notional", totals[0])
    return None


# --- money lost -----------------------------------------------------------------------------------


def daily_loss(q: Question) -> Refused | None:
    if q.reduces:
        return None
    refused = q.find_equity()
    start = q.account.day_start_equity
    if refused or q.equity is None:
        return refused
    if start is None:
        return q.missing("MISSING_EQUITY", "the equity at the start of the session")
    # Reached is refused: what is left to lose is nothing.
    if not start - q.equity < q.bounds.amounts["max_daily_loss"]:
        return q.refuse_amount("DAILY_LOSS", "max_daily_loss", start - q.equity)
    return None


def scale_of(bounds: Bounds, equity: int, high_water: int) -> Ratio:
    """Return the part of a size that is traded at this drawdown."""
    scale = (1, 1)
    lost = high_water - equity
    if lost > 0:
        for (above, below), part in bounds.steps:
            if lost * below >= high_water * above:
                scale = part
    return scale


def drawdown(q: Question) -> Refused | None:
    if q.reduces:
        return None
    refused = q.find_equity()
    high = q.account.high_water
    if refused or q.equity is None:
        return refused
    if high is None or high <= 0:
        return q.missing("MISSING_EQUITY", "an equity above 0")
    if q.equity >= high:
        return None
    above, below = scale_of(q.bounds, q.equity, high)
    step = q.spec.size_increment
    qty = q.order.qty * above // below // step * step if above != below else q.order.qty
    if qty < max(q.spec.min_size, 1):
        return Refused(
            "DRAWDOWN",
            f"drawdown_steps {q.bounds.limits.drawdown_steps}",
            f"equity {q.money(q.equity)}, {q.money(high - q.equity)} below its high",
            "orders that reduce positions",
        )
    q.order.qty = qty
    return None


# --- symbols that move together -------------------------------------------------------------------


def correlation_clusters(q: Question) -> Refused | None:
    if q.reduces:
        return None
    refused = q.find_notional()
    if refused:
        return refused
    for name, symbols, bound in q.bounds.clusters:
        if q.order.symbol in symbols:
            totals = _totals(q, q.account.exposures, symbols)
            if isinstance(totals, Refused):
                return totals
            if not totals[0] <= bound:
                return Refused(
                    "CORRELATION_CLUSTER",
                    f"cluster {name} ({' '.join(sorted(symbols))}) {q.money(bound)}",
                    q.money(totals[0]),
                    f"at most {q.money(bound)} in the cluster",
                )
    return None


def correlated_notional(q: Question) -> Refused | None:
    if q.reduces:
        return None
    refused = q.find_notional()
    if refused:
        return refused
    own, bound = q.order.symbol, q.bounds.shares["max_correlation"]
    together = {own}
    for symbol, exposure in q.account.exposures.items():
        if symbol == own or exposure.nothing:
            continue
        reaches = q.market.correlations.reaches(own, symbol, bound)
        if reaches is None:
            return q.missing("MISSING_CORRELATION", f"the correlation of {own} and {symbol}")
        if reaches:
            together.add(symbol)
    totals = _totals(q, q.account.exposures, frozenset(together))
    if isinstance(totals, Refused):
        return totals
    if not totals[0] <= q.bounds.amounts["max_correlated_notional"]:
        return Refused(
            "CORRELATED_NOTIONAL",
            f"max_correlated_notional {q.bounds.limits.max_correlated_notional} for symbols with "
            f"a correlation of {q.bounds.limits.max_correlation} or more",
            f"{q.money(totals[0])} in {' '.join(sorted(together))}",
            f"at most {q.money(q.bounds.amounts['max_correlated_notional'])}",
        )
    return None


def portfolio_heat(q: Question) -> Refused | None:
    """Sum of size times average true range, in money, against a share of equity."""
    if q.reduces:
        return None
    refused = q.find_equity()
    if refused or q.equity is None:
        return refused
    heat = 0
    sizes = {s: max(abs(e.longest), abs(e.shortest)) for s, e in q.account.exposures.items()}
    sizes[q.order.symbol] = sizes.get(q.order.symbol, 0) + q.order.qty
    for symbol, size in sizes.items():
        if not size:
            continue
        atr = q.market.atr.get(symbol)
        if atr is None:
            return q.missing("MISSING_ATR", f"the average true range of {symbol}")
        money = q.market.convert(
            size * atr * q.market.factors[symbol],
            q.market.specs[symbol].currency,
            q.account.base,
        )
        if money is None:
            return q.missing("MISSING_RATE", f"a rate of {q.market.specs[symbol].currency}")
        heat += money
    above, below = q.bounds.shares["max_portfolio_heat"]
    if not heat * below <= max(q.equity, 0) * above:
        return Refused(
            "PORTFOLIO_HEAT",
            f"max_portfolio_heat {q.bounds.limits.max_portfolio_heat} of equity",
            f"{q.money(heat)} of {q.money(q.equity)}",
            f"at most {q.money(max(q.equity, 0) * above // below)}",
        )
    return None


# --- activity -------------------------------------------------------------------------------------


def order_rate(q: Question) -> Refused | None:
    limits, times = q.bounds.limits, q.account.order_times
    forget_before(times, q.now - limits.order_window)
    if limits.max_orders is not None and not len(times) < limits.max_orders:
        return Refused(
            "ORDER_RATE",
            f"{limits.max_orders} orders in {limits.order_window} ns",
            f"{len(times)} before this one",
            f"the next one from {times[0] + limits.order_window} on" if times else "none",
        )
    return None


def forget_before(times: list[int], since: int) -> None:
    """Drop times that have left a window."""
    while times and times[0] <= since:
        del times[0]


def duplicate_order(q: Question) -> Refused | None:
    window = q.bounds.limits.duplicate_window or 0
    last = q.account.recent.get(_signature(q.order))
    if last is not None and q.now - last < window:
        return Refused(
            "DUPLICATE_ORDER",
            f"the same order not twice within {window} ns",
            f"one sent at {last}",
            f"from {last + window} on, or another tag to say that it is meant",
        )
    return None


def _signature(order: Order) -> str:
    return (
        f"{order.strategy}|{order.symbol}|{order.side}|{order.qty}|{order.kind}|{order.limit}|"
        f"{order.stop}|{order.tag}"
    )


def record_sent(q: Question) -> None:
    """Remember an order that passed, for the rules that count and compare."""
    limits, account = q.bounds.limits, q.account
    if limits.max_orders is not None:
        account.order_times.append(q.now)
    window = limits.duplicate_window
    if window is not None:
        recent, key = account.recent, _signature(q.order)
        recent.pop(key, None)
        recent[key] = q.now
        while q.now - recent[next(iter(recent))] >= window > 0:
            del recent[next(iter(recent))]


# A rule, and the limits of which one must be set for it to be needed.
RULES: tuple[tuple[Rule, tuple[str, ...]], ...] = (
    (trading_state, ()),
    (symbol_allowed, ("symbols",)),
    (in_session, ()),
    (size_bounds, ()),
    (notional_bounds, ()),
    (order_notional, ("max_order_notional",)),
    (order_equity_share, ("max_order_equity_share",)),
    (price_collar, ("price_collar",)),
    (reduce_only, ()),
    (position_limit, ("max_position",)),
    (symbol_notional, ("max_symbol_notional",)),
    (account_exposure, ("max_gross_exposure", "max_net_exposure")),
    (strategy_notional, ("max_strategy_notional",)),
    (daily_loss, ("max_daily_loss",)),
    (drawdown, ("drawdown_steps",)),
    (correlation_clusters, ("clusters",)),
    (correlated_notional, ("max_correlated_notional",)),
    (portfolio_heat, ("max_portfolio_heat",)),
    (order_rate, ("max_orders",)),
    (duplicate_order, ("duplicate_window",)),
)
"""The order in which rules are asked."""

_AMOUNTS = (
    *("max_order_notional", "max_symbol_notional", "max_gross_exposure", "max_net_exposure"),
    *("max_strategy_notional", "max_daily_loss", "max_correlated_notional"),
)
_SHARES = ("max_order_equity_share", "price_collar", "max_correlation", "max_portfolio_heat")


NO_LIMITS = Limits(drawdown_steps=())
"""An account without limits of its own: the market's rules alone."""


def compile_limits(held: HeldLimits | None, money_decimals: int) -> Bounds:
    """Return limits in whole numbers, with only the rules that they need."""
    limits = NO_LIMITS if held is None else held.limits

    def money(text: str) -> int:
        return floor_units(text, money_decimals)

    def is_set(name: str) -> bool:
        return getattr(limits, name) not in (None, ())

    return Bounds(
        limits_id="" if held is None else held.limits_id,
        limits=limits,
        rules=tuple(rule for rule, names in RULES if not names or any(map(is_set, names))),
        amounts={n: money(getattr(limits, n)) for n in _AMOUNTS if is_set(n)},
        shares={n: _ratio(getattr(limits, n)) for n in _SHARES if is_set(n)},
        steps=tuple((_ratio(at), _ratio(scale)) for at, scale in limits.drawdown_steps),
        clusters=tuple(
            (c.name, frozenset(c.symbols), money(c.max_notional)) for c in limits.clusters
        ),
        needs_equity=is_set("max_daily_loss") or is_set("drawdown_steps"),
    )
