"""Lots: published examples, a brute-force model with fractions, busts, splits, currencies."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.trading.naive_book import NaiveBook, NaiveFill
from trading.errors import FillConflict, NumberError, PositionError, UnknownFill
from trading.positions import Fill, LotBook, TradeMatch
from trading.specification import specify

D = Decimal
CENT = Fraction(1, 100)


def fill(number: object, side: str, quantity: object, price: object, **more: Any) -> Fill:
    fields = {"fees": 0, "timestamp": 0, "account": "ACC", "strategy": "trend", "symbol": "AAPL"}
    fields |= more
    return Fill(
        order_id=f"o{number}",
        fill_id=f"f{number}",
        side=side,
        quantity=quantity,
        price=price,
        **fields,
    )


def test_fills_close_the_oldest_lots_and_flip() -> None:
    book = LotBook()
    assert book.apply(fill(1, "BUY", 5, 100)) == []
    [a] = book.apply(fill(2, "SELL", 6, 110))  # closes 5, opens a short of 1
    assert (a.quantity, a.realized_pnl) == (5, 50)
    [b] = book.apply(fill(3, "BUY", 3, 105))  # closes the short, opens a long of 2
    assert (b.quantity, b.realized_pnl, b.side) == (1, 5, "SHORT")
    book.apply(fill(4, "BUY", 3, 100))
    c, d = book.apply(fill(5, "SELL", 5, 105))
    assert (c.quantity, c.realized_pnl) == (2, 0)
    assert (d.quantity, d.realized_pnl) == (3, 15)
    assert book.rollup() == []
    assert book.lots() == []
    assert book.realized() == 70
    book.check()


def test_the_example_of_the_seed_platform() -> None:
    """Matches of 5, 1, 2, 3 with +50, +5, −20, +15, flat at +50."""
    book = LotBook()
    found: list[TradeMatch] = []
    for each in (
        fill(1, "BUY", 5, 100),
        fill(2, "BUY", 3, 105),
        fill(3, "SELL", 6, 110),  # 5 at +10 each, 1 at +5
        fill(4, "SELL", 2, 95),  # 2 at −10 each
        fill(5, "SELL", 3, 120),
        fill(6, "BUY", 3, 115),  # 3 short at +5 each
    ):
        found += book.apply(each)
    assert [(m.quantity, m.realized_pnl) for m in found] == [(5, 50), (1, 5), (2, -20), (3, 15)]
    assert book.realized() == 50
    assert book.rollup() == []


def test_an_accounting_textbook_on_fifo_lifo_and_average() -> None:
    """Bought 100 at 10, 200 at 12, 150 at 14; sold 280: cost of sales by each method."""
    purchases = [(100, 10), (200, 12), (150, 14)]
    costs = {"FIFO": 3160, "LIFO": 150 * 14 + 130 * 12, "AVERAGE": Fraction(5500 * 280, 450)}
    for method, cost in costs.items():
        book = LotBook(method)  # type: ignore[arg-type]
        for number, (quantity, price) in enumerate(purchases):
            book.apply(fill(number, "BUY", quantity, price))
        matches = book.apply(fill("s", "SELL", 280, 15))
        realized = sum(match.realized_pnl for match in matches)
        assert abs(Fraction(realized) - (280 * 15 - cost)) < Fraction(1, 10**17)
        [position] = book.rollup()
        assert position.net_quantity == 170
        assert abs(Fraction(position.cost) - (5500 - cost)) < Fraction(1, 10**17)
        book.check()


def test_a_flip_starts_with_its_own_price_and_shares_its_fee() -> None:
    book = LotBook()
    book.apply(fill(1, "BUY", 10, 100, fees="1"))
    [match] = book.apply(fill(2, "SELL", 15, 110, fees="0.9"))
    assert (match.realized_pnl, match.buy_fees, match.sell_fees) == (100, 1, D("0.6"))
    assert match.net_pnl == D("98.4")
    [position] = book.rollup()
    assert (position.side, position.net_quantity, position.average_price) == ("SHORT", -5, 110)
    [lot] = book.lots()
    assert (lot.quantity_open, lot.quantity, lot.fees) == (15, 5, D("0.3"))
    assert book.unrealized({"AAPL": 100}) == 50


SIDES = st.sampled_from([1, -1])
FILLS = st.lists(
    st.tuples(SIDES, st.integers(1, 12), st.integers(-500, 12_000), st.integers(-50, 400)),
    min_size=1,
    max_size=25,
)


def naive(fills: list[tuple[int, int, int, int]], last_first: bool) -> NaiveBook:
    book = NaiveBook(last_first)
    for number, (side, quantity, cents, fees) in enumerate(fills):
        book.apply(NaiveFill(f"f{number}", side, quantity, cents * CENT, fees * CENT))
    return book


def given_fills(fills: list[tuple[int, int, int, int]]) -> list[Fill]:
    return [
        fill(n, "BUY" if side > 0 else "SELL", quantity, D(cents) / 100, fees=D(fees) / 100)
        for n, (side, quantity, cents, fees) in enumerate(fills)
    ]


@given(FILLS, st.sampled_from(["FIFO", "LIFO"]))
@example([(1, 5, 1000, 100), (-1, 8, 1100, 100), (1, 4, 900, 7)], "FIFO")
def test_any_fills_against_single_units(fills: list[tuple[int, int, int, int]], way: Any) -> None:
    model = naive(fills, way == "LIFO")
    book = LotBook(way)
    matches: list[TradeMatch] = []
    for each in given_fills(fills):
        matches += book.apply(each)
        book.check()
    pieces = [(p.opening, p.closing, p.quantity, p.realized) for p in model.pieces]
    assert [
        (*(m.match_id.split(":")[::-1]), int(m.quantity), Fraction(m.realized_pnl)) for m in matches
    ] == pieces
    for match, piece in zip(matches, model.pieces, strict=True):
        assert abs(Fraction(match.fees) - piece.fees) < Fraction(2, 10**18)
    assert sum(int(r.net_quantity) for r in book.rollup()) == model.net
    assert Fraction(book.realized()) == model.realized
    assert Fraction(book.unrealized({"AAPL": "77.77"})) == model.unrealized(Fraction("77.77"))
    # Cash and market value are realized and unrealized, exactly.
    assert model.cash + model.net * Fraction("77.77") == Fraction(
        book.realized() + book.unrealized({"AAPL": "77.77"})
    )
    open_fees = sum((lot.fees for lot in book.lots()), D(0))
    matched_fees = sum((m.fees for m in matches), D(0))
    assert Fraction(open_fees + matched_fees) == model.fees


@given(FILLS, st.data())
def test_a_bust_is_as_if_the_fill_had_never_been(
    fills: list[tuple[int, int, int, int]], data: st.DataObject
) -> None:
    for method in ("FIFO", "LIFO", "AVERAGE"):
        book, found = LotBook(method), {}  # type: ignore[arg-type]
        orders = given_fills(fills)
        for each in orders:
            for match in book.apply(each):
                found[match.match_id] = match
        at = data.draw(st.integers(0, len(orders) - 1))
        corrected = data.draw(st.booleans())
        instead = fill("x", "SELL", 3, "9.99", fees="0.13")
        if corrected:
            void, new = book.correct("ACC", f"f{at}", instead)
        else:
            void, new = book.bust("ACC", f"f{at}")
        for match in void:
            assert found.pop(match.match_id) == match
        for match in new:
            assert match.match_id not in found
            found[match.match_id] = match
        fresh, expected = LotBook(method), {}  # type: ignore[arg-type]
        rest = [*orders[:at], *([instead] if corrected else []), *orders[at + 1 :]]
        for each in rest:
            for match in fresh.apply(each):
                expected[match.match_id] = match
        assert found == expected
        assert book.lots() == fresh.lots()
        assert book.realized() == fresh.realized()
        book.check()


def test_a_repeat_is_one_fill_and_another_content_is_refused() -> None:
    book = LotBook()
    book.apply(fill(1, "BUY", 10, 100))
    assert book.apply(fill(1, "BUY", "10.0", "100.00")) == []
    with pytest.raises(FillConflict, match=r"booked as BUY 10.*came again as BUY 11"):
        book.apply(fill(1, "BUY", 11, 100))
    assert book.rollup()[0].net_quantity == 10
    # Another account may use the same execution id.
    book.apply(fill(1, "BUY", 11, 100, account="OTHER"))
    assert len(book.rollup()) == 2
    with pytest.raises(UnknownFill, match="f9"):
        book.bust("ACC", "f9")


def test_a_split_keeps_the_cost() -> None:
    book = LotBook()
    book.apply(fill(1, "BUY", 10, 400, fees="1"))
    book.apply(fill(2, "SELL", 4, 410))
    book.split("AAPL", 4, 1)
    [lot] = book.lots()
    assert (lot.quantity, lot.price) == (24, 100)
    assert book.rollup()[0].cost == 2400
    [match] = book.apply(fill(3, "SELL", 24, "102.5"))
    assert match.realized_pnl == 60
    assert book.realized() == 100
    book.check()


def test_a_split_that_leaves_fractions_pays_for_them() -> None:
    shares = {"AAPL": specify("AAPL")}
    book = LotBook(instruments=shares)
    for number in range(3):
        book.apply(fill(number, "BUY", 5, 10))  # 15 shares, 2 for 3 … makes 10; 1 for 4 leaves 3/4
    book.split("AAPL", 2, 3)
    assert book.rollup()[0].net_quantity == 10
    paid = book.split("AAPL", 1, 4, lieu_price="60")
    assert book.rollup()[0].net_quantity == 2
    assert book.rollup()[0].cost == 150
    assert paid == 30  # half a share at 60
    book.check()
    book.split("AAPL", 1, 4)
    assert book.rollup() == []
    assert book.realized() == -150
    book.check()


def test_dividends_are_paid_to_the_long_and_by_the_short() -> None:
    book = LotBook()
    book.apply(fill(1, "BUY", 100, 10))
    assert book.dividend("AAPL", "0.24") == 24
    book.apply(fill(2, "SELL", 150, 10))
    assert book.dividend("AAPL", "0.24") == -12


def test_multipliers_and_currencies() -> None:
    book = LotBook(
        instruments={
            "ESZ6": specify("ESZ6", kind="FUTURE", price_increment="0.25", multiplier=50),
            "EQNR": specify("EQNR", currency="NOK", price_increment="0.05"),
        }
    )
    book.apply(fill(1, "BUY", 2, "5000.25", symbol="ESZ6"))
    book.apply(fill(2, "SELL", 2, "5001.75", symbol="ESZ6"))
    book.apply(fill(3, "BUY", 10, "250.05", symbol="EQNR"))
    book.apply(fill(4, "SELL", 4, "251.05", symbol="EQNR"))
    assert book.realized(symbol="ESZ6") == 150
    assert book.realized(currency="NOK") == 4
    with pytest.raises(PositionError, match="NOK, USD"):
        book.realized()
    with pytest.raises(PositionError, match="no instrument 'TSLA'"):
        book.apply(fill(5, "BUY", 1, 1, symbol="TSLA"))
    with pytest.raises(NumberError, match="more than 2 decimals"):
        book.apply(fill(6, "BUY", 1, "250.001", symbol="EQNR"))


@pytest.mark.parametrize(
    ("bad", "error"),
    [
        ({"quantity": 0}, PositionError),
        ({"quantity": float("nan")}, NumberError),
        ({"price": None}, NumberError),
        ({"side": "LONG"}, PositionError),
    ],
)
def test_a_fill_that_is_none(bad: dict[str, Any], error: type[Exception]) -> None:
    fields: dict[str, Any] = {"number": 1, "side": "BUY", "quantity": 1, "price": 1} | bad
    with pytest.raises(error):
        fill(**fields)


def test_money_beyond_64_bits_stays_exact() -> None:
    book = LotBook()
    book.apply(fill(1, "BUY", 10**12, "123456789.123456789"))
    book.apply(fill(2, "SELL", 10**12, "123456789.123456790"))
    assert book.realized() == 1000
