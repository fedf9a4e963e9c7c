"""A book of lots for people: fills in, matches out, all numbers as Decimal.

book = LotBook()
book.apply(Fill("ACC", "trend", "AAPL", "o1", "f1", "BUY", 10, "100", "1.00"))    # []
[match] = book.apply(Fill("ACC", "trend", "AAPL", "o2", "f2", "SELL", 4, "105"))
match.realized_pnl, match.buy_fees         # Decimal('20'), Decimal('0.4')
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Context, Decimal

from trading.errors import FillConflict, PositionError, UnknownFill
from trading.numbers import MONEY_DECIMALS, Number, div_half_even, from_units, to_decimal, to_units
from trading.positions.fill import Fill, OpenLot, Rollup, TradeMatch
from trading.positions.lots import METHODS, Execution, Lot, Match, Method, Position
from trading.specification import InstrumentSpec, specify
from trading.times import nanoseconds

__all__ = ["LotBook", "plain", "ratio_decimal"]

Key = tuple[str, str, str]

# Where no instrument is given: nine decimals of price and of size, so eighteen of money.
_ANY_DECIMALS = 9
_WIDE = Context(prec=400)
_ONE = Decimal(1)


def ratio_decimal(numerator: int, denominator: int, unit: int, decimals: int) -> Decimal:
    """Return a quotient that counts `10 ** -unit` as a Decimal of at most `decimals` decimals."""
    scaled = div_half_even(numerator * 10 ** (decimals - unit), denominator)
    return plain(from_units(scaled, decimals))


def plain(number: Decimal) -> Decimal:
    """Return a number without trailing zeros and without an exponent."""
    number = number.normalize(_WIDE)
    return number.quantize(_ONE, context=_WIDE) if number == number.to_integral_value() else number


class LotBook:
    """Lots, positions and realized P&L per account, strategy and symbol.

    `method` is FIFO, LIFO or AVERAGE. `instruments` gives multipliers, currencies and decimals;
    without them a multiplier is 1 and numbers have up to nine decimals. A repeated fill is
    recognised for ever and changes nothing; the same id with other content is a FillConflict.
    """

    def __init__(
        self,
        method: Method = "FIFO",
        *,
        instruments: Mapping[str, InstrumentSpec] | None = None,
        money_decimals: int | None = None,
        currency: str = "USD",
    ) -> None:
        if method not in METHODS:
            raise PositionError(f"unknown method {method!r}; there are: {' '.join(METHODS)}")
        self.method = method
        self._specs = dict(instruments or {})
        self._free = instruments is None
        self._currency = currency
        fallback = 2 * _ANY_DECIMALS if instruments is None else MONEY_DECIMALS
        self.money_decimals = fallback if money_decimals is None else money_decimals
        self._positions: dict[Key, Position] = {}
        self._seen: dict[tuple[str, str], Fill] = {}

    # --- what happens -----------------------------------------------------------------------------

    def apply(self, fill: Fill) -> list[TradeMatch]:
        """Book a fill and return what it closed, oldest lot first; a repeat returns nothing."""
        known = self._seen.get((fill.account, fill.fill_id))
        if known is not None:
            if known == fill:
                return []
            raise FillConflict(fill.fill_id, _said(known), _said(fill))
        position = self._position(fill)
        matches = position.book(self._execution(fill), keep=True)
        self._seen[fill.account, fill.fill_id] = fill
        return [self._match(position, match) for match in matches]

    def bust(self, account: str, fill_id: str) -> tuple[list[TradeMatch], list[TradeMatch]]:
        """Take a fill back, and match later ones anew: as if it had never been.

        Returns the matches that no longer hold and those that hold instead.
        """
        return self._rebook(account, fill_id, None)

    def correct(
        self, account: str, fill_id: str, corrected: Fill
    ) -> tuple[list[TradeMatch], list[TradeMatch]]:
        """Put another fill in a fill's place, and match later ones anew.

        Returns the matches that no longer hold and those that hold instead.
        """
        return self._rebook(account, fill_id, corrected)

    def split(self, symbol: str, new: int, old: int, *, lieu_price: Number = 0) -> Decimal:
        """Turn every `old` units into `new`; cost unchanged. Returns the money for fractions."""
        spec = self._spec(symbol)
        lieu = spec.price_units(lieu_price, f"{symbol}: lieu_price")
        held = [p for key, p in self._positions.items() if key[2] == symbol]
        return self._money(sum(position.split(new, old, lieu) for position in held))

    def dividend(self, symbol: str, cash_per_share: Number) -> Decimal:
        """Pay cash for every share held long, and charge it for every share short."""
        spec = self._spec(symbol)
        cash = to_units(cash_per_share, self.money_decimals, f"{symbol}: cash_per_share")
        held = [p for key, p in self._positions.items() if key[2] == symbol]
        return self._money(sum(p.dividend(cash, 10**spec.size_decimals) for p in held))

    # --- what there is ----------------------------------------------------------------------------

    def lots(
        self, account: str | None = None, strategy: str | None = None, symbol: str | None = None
    ) -> list[OpenLot]:
        """Return open lots, oldest first within a position."""
        return [
            self._lot(position, lot)
            for position in self._matching(account, strategy, symbol)
            for lot in position.lots
        ]

    def rollup(
        self, account: str | None = None, strategy: str | None = None, symbol: str | None = None
    ) -> list[Rollup]:
        """Return the positions that are not flat."""
        return [
            self._rollup(position)
            for position in self._matching(account, strategy, symbol)
            if position.net
        ]

    def realized(
        self,
        account: str | None = None,
        strategy: str | None = None,
        symbol: str | None = None,
        *,
        currency: str | None = None,
    ) -> Decimal:
        """Return realized P&L before fees; PositionError where currencies would be added up."""
        found = [
            position
            for position in self._matching(account, strategy, symbol)
            if currency is None or position.currency == currency
        ]
        self._one_currency(found)
        return self._money(sum(position.realized for position in found))

    def unrealized(self, prices: Mapping[str, Number], *, currency: str | None = None) -> Decimal:
        """Return the P&L of what is open at these prices; a symbol without a price is an error."""
        found = [
            position
            for position in self._positions.values()
            if position.net and (currency is None or position.currency == currency)
        ]
        self._one_currency(found)
        total = 0
        for position in found:
            if position.symbol not in prices:
                raise PositionError(
                    f"no price for {position.symbol}, of which {position.net} is held"
                )
            price = prices[position.symbol]
            total += position.unrealized(self._spec(position.symbol).price_units(price))
        return self._money(total)

    def check(self) -> None:
        """Raise InvariantError where lots, totals and cash contradict each other."""
        for position in self._positions.values():
            position.check()

    # --- inside -----------------------------------------------------------------------------------

    def _one_currency(self, positions: list[Position]) -> None:
        currencies = {position.currency for position in positions}
        if len(currencies) > 1:
            raise PositionError(
                f"these positions are in {', '.join(sorted(currencies))}, which cannot be added; "
                "ask for one of them: currency=…"
            )

    def _matching(
        self, account: str | None, strategy: str | None, symbol: str | None
    ) -> Iterator[Position]:
        for (a, s, y), position in self._positions.items():
            if account in (None, a) and strategy in (None, s) and symbol in (None, y):
                yield position

    def _spec(self, symbol: str) -> InstrumentSpec:
        spec = self._specs.get(symbol)
        if spec is None:
            if not self._free:
                raise PositionError(
                    f"no instrument {symbol!r} is given to this book; it knows "
                    f"{', '.join(sorted(self._specs)) or 'none'}"
                )
            smallest = Decimal(1).scaleb(-_ANY_DECIMALS)
            spec = self._specs[symbol] = specify(
                symbol,
                currency=self._currency,
                price_increment=smallest,
                size_increment=smallest,
                negative_prices=True,
            )
        return spec

    def _position(self, fill: Fill) -> Position:
        key = (fill.account, fill.strategy, fill.symbol)
        position = self._positions.get(key)
        if position is None:
            spec = self._spec(fill.symbol)
            position = self._positions[key] = Position(
                *key, spec.currency, spec.factor(self.money_decimals), self.method
            )
        return position

    def _execution(self, fill: Fill) -> Execution:
        spec, what = self._spec(fill.symbol), f"fill {fill.fill_id}"
        return Execution(
            fill.fill_id,
            fill.order_id,
            1 if fill.side == "BUY" else -1,
            spec.size_units(fill.quantity, f"{what}: quantity"),
            spec.price_units(fill.price, f"{what}: price"),
            to_units(to_decimal(fill.fees), self.money_decimals, f"{what}: fees"),
            nanoseconds(fill.timestamp),
        )

    def _rebook(
        self, account: str, fill_id: str, corrected: Fill | None
    ) -> tuple[list[TradeMatch], list[TradeMatch]]:
        known = self._seen.get((account, fill_id))
        position = None if known is None else self._positions[account, known.strategy, known.symbol]
        at = None if position is None else position.find(fill_id)
        if position is None or at is None:
            raise UnknownFill(fill_id)
        execution = None if corrected is None else self._execution(corrected)
        old, new = position.rebook(at, execution)
        if corrected is not None:
            self._seen[account, corrected.fill_id] = corrected
        return [self._match(position, m) for m in old], [self._match(position, m) for m in new]

    def _money(self, units: int) -> Decimal:
        return plain(from_units(units, self.money_decimals))

    def _price(self, position: Position, value: int, quantity: int) -> Decimal:
        """Money per unit of size and multiplier: the price that a value stands for."""
        spec = self._spec(position.symbol)
        # Averages and prices after a split may have no end: eight digits beyond the price's own.
        return ratio_decimal(
            value, quantity * position.factor, spec.price_decimals, spec.price_decimals + 8
        )

    def _lot(self, position: Position, lot: Lot) -> OpenLot:
        spec = self._spec(position.symbol)
        return OpenLot(
            lot_id=f"{lot.order_id}#{lot.fill_id}",
            account=position.account,
            strategy=position.strategy,
            symbol=position.symbol,
            side="LONG" if position.net > 0 else "SHORT",
            quantity_open=plain(spec.size(lot.original)),
            quantity=plain(spec.size(lot.quantity)),
            price=self._price(position, lot.value, lot.original),
            fees=self._money(lot.open_fees()),
            opened_at=lot.opened,
        )

    def _rollup(self, position: Position) -> Rollup:
        return Rollup(
            account=position.account,
            strategy=position.strategy,
            symbol=position.symbol,
            side="LONG" if position.net > 0 else "SHORT",
            net_quantity=plain(self._spec(position.symbol).size(position.net)),
            average_price=self._price(position, position.cost, position.net),
            cost=self._money(position.cost),
            realized_pnl=self._money(position.realized),
            fees=self._money(position.fees),
            currency=position.currency,
            updated_at=position.updated,
        )

    def _match(self, position: Position, match: Match) -> TradeMatch:
        long = match.side > 0
        opened = (match.open_order_id, match.open_fill_id, match.open_value, match.open_fees)
        closed = (match.close_order_id, match.close_fill_id, match.close_value, match.close_fees)
        (b_order, b_fill, b_value, b_fees), (s_order, s_fill, s_value, s_fees) = (
            (opened, closed) if long else (closed, opened)
        )
        return TradeMatch(
            match_id=match.match_id,
            account=position.account,
            strategy=position.strategy,
            symbol=position.symbol,
            side="LONG" if long else "SHORT",
            quantity=plain(self._spec(position.symbol).size(match.quantity)),
            buy_order_id=b_order,
            sell_order_id=s_order,
            buy_fill_id=b_fill,
            sell_fill_id=s_fill,
            buy_price=self._price(position, b_value, match.quantity),
            sell_price=self._price(position, s_value, match.quantity),
            buy_fees=self._money(b_fees),
            sell_fees=self._money(s_fees),
            realized_pnl=self._money(match.realized),
            currency=position.currency,
            opened_at=match.opened,
            timestamp=match.closed,
        )


def _said(fill: Fill) -> str:
    return f"{fill.side} {fill.quantity} {fill.symbol} at {fill.price}, order {fill.order_id}"
