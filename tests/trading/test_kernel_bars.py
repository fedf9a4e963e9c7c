"""Bars that the kernel makes of ticks against a plain loop; instruments; very large numbers."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.columns import REGISTRY
from tests.trading.runs import AAPL, MONEY, MSFT, START, kernel, of, paper, send, terms, trade
from trading.errors import InstrumentError
from trading.instruments import Dividend, Instrument, Split
from trading.journal import decode_output, encode
from trading.journal.inputs import Bar, Clock, DefineInstrument
from trading.journal.outputs import BarClosed, PositionChanged
from trading.kernel import Kernel, Settings, TickColumns, TimeBars
from trading.kernel.timers import NEVER
from trading.specification import specify
from trading.times import MINUTE, SECOND

SYMBOLS = ("AAPL", "MSFT")
TICKS = st.lists(
    st.tuples(
        st.integers(0, 40),  # seconds since the one before
        st.integers(0, 1),
        st.integers(-500, 20_000),
        st.one_of(st.integers(0, 500), st.integers(0, 2**62)),
        st.integers(0, 200),  # how many seconds it took to arrive
    ),
    min_size=1,
    max_size=60,
)


def plain_loop(rows: list[tuple[int, int, int, int, int]], lateness: int) -> list[Bar]:
    """One bar after the other by comparing every tick with every bar; late ones left out."""
    bars: dict[tuple[int, str], list[tuple[int, int]]] = {}
    for arrived, code, price, size, event in rows:
        end = (event // MINUTE + 1) * MINUTE
        if arrived < end + lateness:
            bars.setdefault((end, SYMBOLS[code]), []).append((price, size))
    return [
        Bar(
            end + lateness,
            symbol,
            MINUTE,
            end - MINUTE,
            end,
            found[0][0],
            max(p for p, _ in found),
            min(p for p, _ in found),
            found[-1][0],
            sum(s for _, s in found),
            len(found),
            sum(p * s for p, s in found),
        )
        for (end, symbol), found in sorted(bars.items())
    ]


def rows_of(ticks: list[tuple[int, int, int, int, int]]) -> list[tuple[int, int, int, int, int]]:
    now, rows = START, []
    for seconds, code, price, size, delay in ticks:
        now += seconds * SECOND
        rows.append((now, code, price, size, now - delay * SECOND))
    return rows


def columns(rows: list[tuple[int, int, int, int, int]]) -> TickColumns:
    times, codes, prices, sizes, events = zip(*rows, strict=True)
    return TickColumns(SYMBOLS, times, codes, prices, sizes, event_times=events)


@given(TICKS, st.sampled_from([0, 5 * SECOND]), st.integers(1, 60))
def test_bars_of_any_chunks_are_those_of_a_plain_loop(
    ticks: list[tuple[int, int, int, int, int]], lateness: int, size: int
) -> None:
    rows = rows_of(ticks)
    wanted = plain_loop(rows, lateness)
    made = Kernel(Settings(bar_lateness=lateness))
    for spec in (AAPL, MSFT):
        made.step(DefineInstrument(START, spec))
    outputs = []
    for at in range(0, len(rows), size):
        outputs += made.step(columns(rows[at : at + size]))
        other = Kernel(made.settings)
        other.restore(made.snapshot())
        made = other
    outputs += made.step(Clock(rows[-1][0] + 10 * MINUTE))
    assert [each.bar for each in of(outputs, BarClosed)] == wanted


def test_a_fold_by_itself() -> None:
    fold = TimeBars(MINUTE)
    assert fold.due == NEVER
    fold.push("AAPL", START, 100, 5)
    fold.push_columns(TickColumns(SYMBOLS, [START + 1], [0], [90], [7]))
    assert fold.due == START - START % MINUTE + MINUTE
    assert fold.close(fold.due - 1) == []
    other = TimeBars(MINUTE)
    other.load(fold.dump())
    [bar] = other.close(other.due)
    assert (bar.open, bar.low, bar.volume, bar.notional) == (100, 90, 12, 1130)
    assert other.due == NEVER


def test_money_beyond_64_bits_travels_exactly() -> None:
    made = kernel(paper("tick"), cash=10**18, bust_memory=10**18)
    trade(made, "123456789.01")
    out = send(made, terms("BUY", 10**9))
    [position] = of(out, PositionChanged)
    assert position.cost == 12345678901 * 10**9 * 10**8 > 2**64
    assert [decode_output(encode(each)) for each in out] == out
    other = kernel(paper("tick"), cash=10**18, bust_memory=10**18)
    other.restore(made.snapshot())
    assert other.positions == made.positions
    assert other.accounts["ACC"].cash == made.accounts["ACC"].cash
    send(other, terms("SELL", 10**9))
    assert (
        other.accounts["ACC"].cash["USD"]
        == 10**18 * MONEY - other.positions["ACC", "", "AAPL"].fees
    )


# --- instruments ----------------------------------------------------------------------------------


def test_an_instrument_is_governed_and_has_a_frozen_description() -> None:
    option = Instrument(
        "SPY",
        kind="OPTION",
        multiplier=Decimal(100),
        calendar="XNYS",
        underlying_symbol="SPY",
        strike_price=Decimal("190.5"),
        expiry_date=date(2024, 1, 19),
        option_type="CALL",
    )
    assert REGISTRY.validate_instance(option) == []
    assert Instrument.from_json(option.to_json()) == option
    spec = option.spec()
    assert spec.factor(10) == 100 * 10**8
    assert spec.price(spec.price_units("1.25")) == Decimal("1.25")
    for entity in (Split("AAPL", 4, 1), Dividend("AAPL", Decimal("0.24"))):
        assert REGISTRY.validate_instance(entity) == []
        assert type(entity).from_json(entity.to_json()) == entity


@pytest.mark.parametrize(
    "bad",
    [
        {"price_increment": 0},
        {"size_increment": "-1"},
        {"multiplier": 0},
        {"kind": "BOND?"},
        {"min_size": 10, "max_size": 5},
    ],
)
def test_a_description_that_contradicts_itself(bad: dict[str, object]) -> None:
    with pytest.raises(InstrumentError):
        specify("X", **bad)  # type: ignore[arg-type]


def test_an_instrument_finer_than_the_money_says_what_to_do() -> None:
    coin = specify("SHIB", price_increment="1e-8", size_increment="1e-6")
    with pytest.raises(InstrumentError, match="money_decimals to 14"):
        coin.factor(10)
    assert coin.factor(14) == 1
