"""The books of a day without a database: against a brute-force book; days of settlement."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from fractions import Fraction
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.trading.naive_book import NaiveBook, NaiveFill
from trading.errors import SettlementError
from trading.journal.inputs import CashDividend
from trading.settlement.books import books_of, open_symbols
from trading.settlement.dates import day_end, settlement_day, zone_of
from trading.settlement.facts import Facts, RunFill
from trading.specification import specify

UTC = ZoneInfo("UTC")
DAY = date(2026, 2, 20)
END = day_end(DAY, UTC)
AAPL = specify("AAPL")
SAP = specify("SAP", currency="EUR")


def facts(fills: list[RunFill], **more: object) -> Facts:
    found = Facts("ACC", "live", DAY, END, base="USD", cash={"USD": Decimal(100_000)}, fills=fills)
    found.specs = {"AAPL": AAPL, "SAP": SAP}
    found.marks = {"AAPL": (Decimal("101.25"), "GIVEN"), "SAP": (Decimal("80"), "GIVEN")}
    for name, value in more.items():
        setattr(found, name, value)
    return found


def run_fill(number: int, strategy: str, symbol: str, side: int, size: int, price: str) -> RunFill:
    return RunFill(
        *(f"f{number}", f"o{number}", strategy, symbol, side, Decimal(size), Decimal(price)),
        *(Decimal(number % 7) / 4, END - 1_000_000 + number),
    )


FILLS = st.lists(
    st.tuples(
        st.sampled_from(("trend", "carry")),
        st.sampled_from((-1, 1)),
        st.integers(1, 12),
        st.integers(9_000, 11_000),
    ),
    max_size=25,
)


@given(FILLS)
def test_the_books_are_those_of_a_brute_force_book(
    trades: list[tuple[str, int, int, int]],
) -> None:
    naive = {"trend": NaiveBook(), "carry": NaiveBook()}
    fills = []
    for number, (strategy, side, size, cents) in enumerate(trades):
        price = f"{cents / 100:.2f}"
        fills.append(run_fill(number, strategy, "AAPL", side, size, price))
        fees = Fraction(number % 7, 4)
        naive[strategy].apply(NaiveFill(f"f{number}", side, size, Fraction(price), fees))
    given_facts = facts(fills)
    books = books_of(given_facts, UTC)
    mark = Fraction("101.25")
    for line in books.lines:
        book = naive[line.strategy]
        assert Fraction(line.realized) == book.realized
        assert Fraction(line.fees) == book.fees
        assert Fraction(line.market) == book.net * mark
        assert Fraction(line.total) == book.cash + book.net * mark - book.fees
    cash = 100_000 + sum(each.cash - each.fees for each in naive.values())
    assert Fraction(books.cash) == cash
    assert books.equity == books.cash + books.market == 100_000 + books.total.total
    held = {each.net for each in naive.values()} - {0}
    assert open_symbols(given_facts) == (
        {"AAPL": sum(each.net for each in naive.values())} if held else {}
    )


def test_other_currencies_need_a_rate() -> None:
    fills = [run_fill(0, "", "SAP", 1, 10, "75")]
    with pytest.raises(SettlementError, match="no rate of EUR to USD"):
        books_of(facts(fills), UTC)
    books = books_of(facts(fills, rates={"EUR": (11, 10), "USD": (1, 1)}), UTC)
    assert (books.cash, books.market, books.equity) == (100_000 - 825, 880, 100_055)
    [line] = books.lines
    assert (line.currency, line.unrealized) == ("EUR", 50)


def test_dividends_are_income_of_who_holds_then() -> None:
    fills = [run_fill(0, "", "AAPL", 1, 10, "100")]
    dividend = CashDividend(END - 1, "AAPL", int(Decimal("0.25") * 10**10))
    books = books_of(facts(fills, actions=[dividend]), UTC)
    assert books.total.income == Decimal("2.5")
    assert books.differences == ("AAPL of no strategy: fills give 10, the engine has 0",)


def test_a_fill_of_what_is_no_instrument_is_named() -> None:
    with pytest.raises(SettlementError, match="'MSFT', which the run's journal does not define"):
        books_of(facts([run_fill(0, "", "MSFT", 1, 10, "100")]), UTC)


@pytest.mark.parametrize(
    ("kind", "calendar", "traded", "settles"),
    [
        # Thanksgiving is no business day, a Saturday neither.
        ("EQUITY", "XNYS", date(2026, 11, 25), date(2026, 11, 27)),
        ("EQUITY", "XNYS", date(2026, 11, 27), date(2026, 11, 30)),
        ("EQUITY", "", date(2026, 11, 25), date(2026, 11, 26)),
        ("FX", "", date(2026, 11, 26), date(2026, 11, 30)),
        ("CRYPTO", "", date(2026, 11, 28), date(2026, 11, 28)),
        ("FUTURE", "", date(2026, 11, 25), None),
    ],
)
def test_the_day_on_which_a_trade_settles(
    kind: str, calendar: str, traded: date, settles: date | None
) -> None:
    spec = specify("X", kind=kind, calendar=calendar)
    assert settlement_day(spec, traded) == settles


def test_days_end_at_midnight_in_their_zone() -> None:
    oslo = zone_of("Europe/Oslo")
    # The day on which clocks are set forward has 23 hours.
    assert day_end(date(2026, 3, 29), oslo) - day_end(date(2026, 3, 28), oslo) == 23 * 3_600 * 10**9
    with pytest.raises(SettlementError, match="no time zone"):
        zone_of("Mars/Olympus")
