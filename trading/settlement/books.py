"""The books of a day: lots, P&L and cash from facts alone, exact and without a database."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from zoneinfo import ZoneInfo

from trading.errors import SettlementError
from trading.journal.inputs import CashDividend, SplitShares
from trading.numbers import MONEY_DECIMALS, from_units, to_units
from trading.positions import Execution, Position
from trading.positions.lots import Method
from trading.settlement.dates import day_of, settlement_day
from trading.settlement.facts import Facts, RunFill
from trading.times import moment

__all__ = ["Books", "Line", "Obligation", "books_of", "open_symbols"]

_ZERO = Decimal(0)
Key = tuple[str, str]


@dataclass(frozen=True)
class Line:
    """One strategy's P&L in one currency, from its first fill to the day's end."""

    strategy: str
    currency: str
    realized: Decimal
    unrealized: Decimal
    fees: Decimal
    income: Decimal
    market: Decimal

    @property
    def total(self) -> Decimal:
        """Profit or loss after fees, with what is open."""
        return self.realized + self.unrealized - self.fees + self.income


@dataclass(frozen=True)
class Obligation:
    """What a day's trades in a symbol make due on another day."""

    trade_day: date
    settlement_day: date
    symbol: str
    currency: str
    quantity: Decimal
    due: Decimal


@dataclass(frozen=True)
class Books:
    """A day's figures: `lines` by strategy and currency, the rest in the account's currency."""

    lines: tuple[Line, ...]
    cash: Decimal
    market: Decimal
    equity: Decimal
    total: Line
    obligations: tuple[Obligation, ...]
    differences: tuple[str, ...]


def open_symbols(facts: Facts, method: Method = "FIFO") -> dict[str, Decimal]:
    """Return the account's net size of each symbol that a strategy holds at the day's end."""
    held: dict[str, int] = {}
    for (_, symbol), position in _folded(facts, facts.fills, facts.actions, method).items():
        if position.net:
            held[symbol] = held.get(symbol, 0) + position.net
    return {symbol: facts.specs[symbol].size(net) for symbol, net in sorted(held.items())}


def books_of(facts: Facts, zone: ZoneInfo, method: Method = "FIFO") -> Books:
    """Compute a day; SettlementError names a price or a rate that is missing."""
    positions = _folded(facts, facts.fills, facts.actions, method)
    lines = _lines(facts, positions)
    cash = dict(facts.cash)
    for position in positions.values():
        moved = position.income - position.paid - position.fees
        cash[position.currency] = cash.get(position.currency, _ZERO) + _money(moved)
    in_base = sum((_in_base(facts, amount, name) for name, amount in cash.items()), _ZERO)
    market = sum((_in_base(facts, line.market, line.currency) for line in lines), _ZERO)
    total = _total(facts, lines)
    given = sum((_in_base(facts, amount, name) for name, amount in facts.cash.items()), _ZERO)
    if not {line.currency for line in lines} - {facts.base} and in_base + market != (
        given + total.total
    ):
        raise SettlementError(
            f"the books of {facts.account} contradict themselves: cash {in_base} and market value "
            f"{market} are not what was given, {given}, and the P&L {total.total}"
        )
    return Books(
        tuple(lines),
        in_base,
        market,
        in_base + market,
        total,
        tuple(_obligations(facts, zone)),
        tuple(_differences(facts, method)),
    )


def _folded(
    facts: Facts,
    fills: Iterable[RunFill],
    actions: Iterable[SplitShares | CashDividend],
    method: Method,
) -> dict[Key, Position]:
    """Book fills, splits and dividends in the order of their times."""
    found: dict[Key, Position] = {}
    events: list[tuple[int, int, RunFill | SplitShares | CashDividend]] = [
        (each.time, 1, each) for each in fills
    ]
    events += [(each.time, 0, each) for each in actions]
    for _, _, event in sorted(events, key=lambda each: each[:2]):
        if isinstance(event, RunFill):
            _book(facts, found, event, method)
            continue
        for (_, symbol), position in found.items():
            if symbol != event.symbol:
                continue
            if isinstance(event, SplitShares):
                position.split(event.new, event.old, event.lieu_price)
            else:
                position.dividend(event.cash, int(10 ** facts.specs[symbol].size_decimals))
    return found


def _book(facts: Facts, found: dict[Key, Position], fill: RunFill, method: Method) -> None:
    spec = facts.specs.get(fill.symbol)
    if spec is None:
        raise SettlementError(
            f"fill {fill.fill_id} is of {fill.symbol!r}, which the run's journal does not define"
        )
    key = fill.strategy, fill.symbol
    position = found.get(key)
    if position is None:
        factor = spec.factor(MONEY_DECIMALS)
        position = found[key] = Position(facts.account, *key, spec.currency, factor, method)
    position.book(
        Execution(
            fill.fill_id,
            fill.order_id,
            fill.side,
            spec.size_units(fill.quantity),
            spec.price_units(fill.price),
            to_units(fill.fees, MONEY_DECIMALS, "fees"),
            fill.time,
        )
    )


def _lines(facts: Facts, positions: dict[Key, Position]) -> list[Line]:
    sums: dict[Key, list[int]] = {}
    for (strategy, symbol), position in positions.items():
        unrealized = market = 0
        if position.net:
            mark = facts.marks.get(symbol)
            if mark is None:
                raise SettlementError(
                    f"no price of {symbol} is known at the end of {facts.day}, and "
                    f"{facts.specs[symbol].size(position.net)} is held; give its mark"
                )
            price = facts.specs[symbol].price_units(mark[0], f"the mark of {symbol}")
            unrealized = position.unrealized(price)
            market = position.net * price * position.factor
        line = sums.setdefault((strategy, position.currency), [0] * 5)
        for at, amount in enumerate(
            (position.realized, unrealized, position.fees, position.income, market)
        ):
            line[at] += amount
    return [Line(*key, *map(_money, sums[key])) for key in sorted(sums)]


def _total(facts: Facts, lines: list[Line]) -> Line:
    def whole(name: str) -> Decimal:
        return sum((_in_base(facts, getattr(each, name), each.currency) for each in lines), _ZERO)

    amounts = (whole(name) for name in ("realized", "unrealized", "fees", "income", "market"))
    return Line("", facts.base, *amounts)


def _in_base(facts: Facts, amount: Decimal, currency: str) -> Decimal:
    """Money in the account's currency, at the last rate before the day's end."""
    if currency == facts.base or not amount:
        return amount
    one, other = facts.rates.get(currency), facts.rates.get(facts.base)
    if one is None or other is None:
        raise SettlementError(
            f"no rate of {currency} to {facts.base} is known at the end of {facts.day}; set the "
            "rates of both in the run"
        )
    units = to_units(amount, MONEY_DECIMALS) * one[0] * other[1] // (one[1] * other[0])
    return _money(units)


def _obligations(facts: Facts, zone: ZoneInfo) -> list[Obligation]:
    """What the trades of the day make due, by symbol."""
    sums: dict[str, list[int]] = {}
    for fill in facts.fills:
        if day_of(moment(fill.time), zone) != facts.day:
            continue
        spec = facts.specs[fill.symbol]
        size = fill.side * spec.size_units(fill.quantity)
        value = size * spec.price_units(fill.price) * spec.factor(MONEY_DECIMALS)
        of_symbol = sums.setdefault(fill.symbol, [0, 0])
        of_symbol[0] += size
        of_symbol[1] -= value + to_units(fill.fees, MONEY_DECIMALS)
    found = []
    for symbol, (size, due) in sorted(sums.items()):
        spec = facts.specs[symbol]
        when = settlement_day(spec, facts.day)
        if when is not None:
            found.append(
                Obligation(facts.day, when, symbol, spec.currency, spec.size(size), _money(due))
            )
    return found


def _differences(facts: Facts, method: Method) -> list[str]:
    """Where all fills together do not give the positions that the engine has."""
    actions = [*facts.actions, *facts.late_actions]
    ours = _folded(facts, [*facts.fills, *facts.later], actions, method)
    found = []
    for key in sorted({*ours, *facts.held}):
        strategy, symbol = key
        spec = facts.specs.get(symbol)
        net = spec.size(ours[key].net) if spec is not None and key in ours else _ZERO
        theirs = facts.held.get(key, _ZERO)
        if net != theirs:
            found.append(
                f"{symbol} of {strategy or 'no strategy'}: fills give {net:f}, the engine has "
                f"{theirs:f}"
            )
    return found


def _money(units: int) -> Decimal:
    return from_units(units, MONEY_DECIMALS)
