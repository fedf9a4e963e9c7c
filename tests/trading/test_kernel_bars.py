"""Bars that the kernel makes of ticks against a plain loop; instruments; very large numbers."""

from __future__ import annotations

import random
from datetime import date
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.columns import REGISTRY
from tests.trading.runs import (
    AAPL,
    MONEY,
    MSFT,
    START,
    Flipper,
    TickBuyer,
    fold,
    journal,
    kernel,
    of,
    paper,
    send,
    terms,
    trade,
)
from trading.bars import BarBuilder, TradingCalendar
from trading.errors import InstrumentError, IntervalError, SettingsError
from trading.instruments import Dividend, Instrument, Split
from trading.journal import decode_output, encode
from trading.journal.inputs import (
    Bar,
    Clock,
    DefineInstrument,
    DefineSessions,
    FeedGap,
    Tick,
    Timeframe,
)
from trading.journal.outputs import BarClosed, Output, PositionChanged
from trading.kernel import Context, Kernel, Settings, TickBars, TickColumns
from trading.kernel.timers import NEVER
from trading.specification import InstrumentSpec, specify
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
    """One bar after the other by comparing every tick with every bar; a late one makes a revision.

    Bars in the order in which they become known: by the clock, or with the late tick.
    """
    bars: dict[tuple[int, str], list[tuple[int, int, int]]] = {}
    said: list[tuple[int, int, int, str, Bar]] = []

    def say(time: int, order: int, end: int, symbol: str, state: str) -> None:
        found = sorted(bars[end, symbol], key=lambda tick: tick[2])
        prices = [price for price, _, _ in found]
        bar = Bar(
            *(time, symbol, MINUTE, end - MINUTE, end),
            *(prices[0], max(prices), min(prices), prices[-1]),
            *(sum(s for _, s, _ in found), len(found), sum(p * s for p, s, _ in found)),
            state,
        )
        said.append((time, order, end, symbol, bar))

    for number, (arrived, code, price, size, event) in enumerate(rows, 2):
        end = (event // MINUTE + 1) * MINUTE
        late = arrived >= end + lateness
        bars.setdefault((end, SYMBOLS[code]), []).append((price, size, event))
        if late:
            say(arrived, number, end, SYMBOLS[code], "revised")
            continue
        later = [r for r in rows[number - 1 :] if (r[4] // MINUTE + 1) * MINUTE == end]
        if not any(r[1] == code and r[0] < end + lateness for r in later):
            partial = end - MINUTE < rows[0][0] < end
            say(end + lateness, 1, end, SYMBOLS[code], "partial" if partial else "final")
    said.sort(key=lambda each: each[:4])
    return [bar for *_, bar in said]


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
    bars = TickBars(MINUTE)
    assert bars.due == NEVER
    assert bars.push("AAPL", START, 100, 5, START) == (None, [])
    assert (
        bars.push_columns(TickColumns(SYMBOLS, [START + 1], [0], [90], [7]), np.array([START + 1]))
        == []
    )
    assert bars.due == START - START % MINUTE + MINUTE
    assert bars.close(bars.due - 1) == []
    other = TickBars(MINUTE)
    other.load(bars.dump())
    [bar] = other.close(other.due)
    assert (bar.open, bar.low, bar.volume, bar.notional) == (100, 90, 12, 1130)
    assert other.due == NEVER


def shut(calendar: str = "XNYS") -> InstrumentSpec:
    return specify("AAPL", calendar=calendar)


OPEN = START - START % (60 * MINUTE) + 60 * MINUTE
SESSIONS = DefineSessions(
    START - 1, "XNYS", ((OPEN, OPEN + 90 * MINUTE), (OPEN + 24 * 60 * MINUTE, OPEN + 1500 * MINUTE))
)


def states(outputs: list[Output]) -> list[tuple[int, str]]:
    """The number of each bar's minute, and its state."""
    return [
        ((each.bar.start - OPEN) // MINUTE, each.bar.state)
        for each in outputs
        if isinstance(each, BarClosed)
    ]


def test_bars_of_sessions_say_where_nothing_was_traded_and_where_nothing_came() -> None:
    made = Kernel(Settings())
    for event in (DefineInstrument(START - 1, shut()), SESSIONS, Clock(OPEN)):
        made.step(event)
    made.step(Tick(OPEN + 5 * SECOND, "AAPL", 100, 1))
    out = made.step(FeedGap(OPEN + 150 * SECOND, OPEN + 130 * SECOND, OPEN + 140 * SECOND))
    out += made.step(Tick(OPEN + 4 * MINUTE, "AAPL", 105, 1))
    assert states(out) == [(0, "final"), (1, "empty"), (2, "missing"), (3, "empty")]
    assert [b.bar.close for b in of(out, BarClosed)] == [100] * 4
    # The session's end, and a tick after it that makes no bar.
    made.step(Tick(OPEN + 91 * MINUTE, "AAPL", 110, 1))
    out = made.step(Tick(OPEN + 24 * 60 * MINUTE, "AAPL", 111, 1))
    assert states(out) == []
    assert made._fold.outside == {"AAPL": 1}
    out = made.step(Clock(OPEN + 24 * 60 * MINUTE + 2 * MINUTE))
    assert states(out) == [(1440, "final"), (1441, "empty")]


def test_several_timeframes_longer_ones_first() -> None:
    seen: list[tuple[Timeframe, int | None]] = []

    class Watcher(Flipper):
        def on_bar(self, ctx: Context, bar: Bar) -> None:
            five = ctx.bar("AAPL", 5 * MINUTE)
            seen.append((bar.interval, None if five is None else five.close))

    made = kernel(strategies=[Watcher()], timeframes=("5m", "3 ticks"), specs=(AAPL,))
    begin = OPEN
    for minute in range(10):
        made.step(Tick(begin + minute * MINUTE, "AAPL", 100 + minute, 10))
    made.step(Clock(begin + 10 * MINUTE))
    assert [i for i, _ in seen if i == "3 ticks"] == ["3 ticks"] * 3
    # With the last minute of five, those five are known already.
    assert [five for i, five in seen if i == MINUTE] == [None] * 4 + [104] * 5 + [109]


def test_a_revision_is_heard_of_by_who_asks() -> None:
    heard: list[str] = []

    class Watcher(Flipper):
        def on_bar(self, ctx: Context, bar: Bar) -> None:
            heard.append(f"{self.name} {bar.state}")

    one, other = Watcher("one"), Watcher("other")
    other.wants_revisions = True
    made = kernel(strategies=[one, other], specs=(AAPL,))
    begin = OPEN
    made.step(Clock(begin))
    made.step(Tick(begin + SECOND, "AAPL", 100, 10))
    made.step(Clock(begin + MINUTE))
    late = made.step(Tick(begin + 61 * SECOND, "AAPL", 90, 5, event_time=begin + 2 * SECOND))
    [revised] = of(late, BarClosed)
    assert (revised.bar.low, revised.bar.close, revised.bar.volume) == (90, 90, 15)
    assert heard == ["one final", "other final", "other revised"]


TIMEFRAMES = ("5m", "session", "7 ticks", "900 volume", "30000000 notional", "1D")


@given(TICKS, st.randoms(use_true_random=False))
def test_any_chunks_make_the_bars_of_ticks_that_come_alone(
    ticks: list[tuple[int, int, int, int, int]], rng: random.Random
) -> None:
    rows = [(a, c, abs(p), s % 500, e) for a, c, p, s, e in rows_of(ticks)]
    settings = Settings(timeframes=TIMEFRAMES, bar_lateness=rng.choice([0, 30 * SECOND]))
    runs = []
    for alone in (True, False):
        made = Kernel(settings)
        for event in (DefineInstrument(START - 1, shut()), SESSIONS):
            made.step(event)
        made.step(DefineInstrument(START - 1, specify("MSFT", size_increment="0.1")))
        outputs, at = [], 0
        while at < len(rows):
            size = 1 if alone else rng.randint(1, len(rows) - at)
            part = rows[at : at + size]
            at += size
            if alone:
                arrived, code, price, volume, event = part[0]
                tick = Tick(arrived, SYMBOLS[code], price, volume, event_time=event)
                outputs += made.step(tick)
            else:
                outputs += made.step(columns(part))
            if rng.random() < 0.2:
                other = Kernel(settings)
                other.restore(made.snapshot())
                made = other
        outputs += made.step(Clock(rows[-1][0] + 3 * 24 * 60 * MINUTE))
        runs.append([each.bar for each in of(outputs, BarClosed)])
    assert runs[0] == runs[1]


def test_bars_of_ticks_in_the_kernel_are_those_of_a_table() -> None:
    rng = np.random.default_rng(3)
    count = 3_000
    times = OPEN + np.cumsum(rng.integers(0, 4 * SECOND, count))
    prices = 10_000 + np.cumsum(rng.integers(-3, 4, count))
    sizes = rng.integers(1, 200, count)
    for interval in ("1m", "7m", "1h", "session", "50 ticks", "5000 volume", "1D"):
        made = Kernel(Settings(bar_interval=0, timeframes=(interval,)))
        for event in (DefineInstrument(START - 1, shut()), SESSIONS, Clock(OPEN)):
            made.step(event)
        outputs = made.step(TickColumns(("AAPL",), times, np.zeros(count, int), prices, sizes))
        outputs += made.step(Clock(OPEN + 1400 * MINUTE))
        calendar = TradingCalendar.of_sessions("XNYS", "UTC", SESSIONS.sessions)
        table = BarBuilder(interval, calendar=calendar, since=OPEN)
        wanted = table.push(
            pa.table(
                {
                    "timestamp": pa.array(times, pa.timestamp("ns", "UTC")),
                    "symbol": ["AAPL"] * count,
                    "price": prices,
                    "size": sizes,
                }
            )
        )
        wanted = pa.concat_tables([wanted, table.advance(OPEN + 1400 * MINUTE)]).to_pylist()
        got = [each.bar for each in of(outputs, BarClosed)]
        fields = ("open", "high", "low", "close", "volume", "count", "state")
        assert [[getattr(bar, f) for f in fields] for bar in got] == [
            [row[f] for f in fields] for row in wanted
        ], interval
        assert [bar.notional for bar in got] == [int(row["notional"]) for row in wanted]
        assert len(got) > 0


def test_a_snapshot_of_an_older_version_goes_on() -> None:
    made = kernel(
        paper("tick", slippage="1 tick", seed=5),
        strategies=[Flipper(), TickBuyer("ticks")],
        bust_memory=10**18,
    )
    made.restore(Path(__file__).with_name("kernel_snapshot_v1.bin").read_bytes())
    fold(made, journal(77, 40)[41:])
    assert made.digest == "8a741be69dc50b3bb52bae05857ae3fca19c4254b6524e3905ea4e4446b5d4b5"


@pytest.mark.parametrize("bad", [(7,), ("7 fortnights",), ("1m", "60s")])
def test_timeframes_that_are_none(bad: tuple[Timeframe, ...]) -> None:
    with pytest.raises((SettingsError, IntervalError)):
        Kernel(Settings(bar_interval=0, timeframes=bad))


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
