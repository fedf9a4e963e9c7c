"""Places, reservations and their ends, sizes by weight, through a kernel with a paper broker."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.trading.runs import MONEY, START, of, paper
from trading.brokers import FillModel
from trading.errors import SettingsError
from trading.journal.inputs import (
    Bar,
    Cancel,
    Clock,
    DefineInstrument,
    OpenAccount,
    SetLimits,
    SetWeights,
)
from trading.journal.outputs import (
    FillBooked,
    OrderEvent,
    PickerDecision,
    ReservationChanged,
    SignalMade,
    WeightsChanged,
)
from trading.kernel import Context, Kernel, Settings
from trading.picker import TradePicker
from trading.risk import Limits
from trading.specification import specify
from trading.times import MINUTE, SECOND

SYMBOLS = ("A", "B", "C", "D", "E")


class Told:
    """A strategy that gives the signals that a test wants, when its timer fires."""

    symbols: tuple[str, ...] = ()
    version, parameters, wants_ticks = "1", "p", False

    def __init__(self, name: str = "told", account: str = "ACC") -> None:
        self.name, self.account = name, account
        self.wanted: list[tuple[str, str, int]] = []
        self.ids: list[str | None] = []

    def on_start(self, ctx: Context) -> None:
        pass

    def on_bar(self, ctx: Context, bar: Bar) -> None:
        for action, symbol, size in self.wanted:
            self.ids.append(ctx.signal(action, symbol, size, reason="told"))
        self.wanted = []

    def on_tick(self, ctx: Context, tick: object) -> None:
        pass

    def on_fill(self, ctx: Context, order: object, fill: object) -> None:
        pass

    def on_timer(self, ctx: Context, label: str) -> None:
        pass

    def dump(self) -> bytes:
        return repr(self.wanted).encode()

    def load(self, data: bytes) -> None:
        self.wanted = []


class Desk:
    """A kernel with five symbols, whose market orders fill with a symbol's next bar."""

    def __init__(
        self, picker: TradePicker, *strategies: Told, model: str = "next_open", **more: Any
    ) -> None:
        self.strategies = strategies or (Told(),)
        self.kernel = Kernel(
            Settings(bar_interval=0, check_invariants=True),
            broker=paper(model, **more),
            strategies=self.strategies,
            picker=picker,
        )
        self.picker = picker
        for symbol in SYMBOLS:
            self.kernel.step(DefineInstrument(START, specify(symbol)))
        for name in dict.fromkeys(each.account for each in self.strategies):
            self.kernel.step(OpenAccount(START, name, "USD", (("USD", 10**9 * MONEY),), "owner"))
        self.out: list[Any] = []

    def bar(self, symbol: str, price: int = 10_000, at: int | None = None) -> list[Any]:
        end = self.kernel.now + MINUTE if at is None else at
        out = self.kernel.step(
            Bar(end, symbol, MINUTE, end - MINUTE, end, price, price, price, price, 1_000)
        )
        self.out += out
        return out

    def say(self, *signals: tuple[str, str, int], by: int = 0, on: str = "E") -> list[Any]:
        """Let a strategy give signals with a bar of a symbol that nobody else trades."""
        self.strategies[by].wanted = list(signals)
        return self.bar(on)

    def held(self, account: str = "ACC") -> dict[str, int]:
        found: dict[str, int] = {}
        for (owner, _, symbol), position in self.kernel.positions.items():
            if owner == account and position.net:
                found[symbol] = found.get(symbol, 0) + position.net
        return found


def codes(out: list[Any]) -> list[str]:
    return [each.code for each in of(out, PickerDecision)]


def ends(out: list[Any]) -> list[tuple[str, str]]:
    return [(each.symbol, each.state) for each in of(out, ReservationChanged)]


def test_two_signals_at_the_same_moment_never_pass_one_free_place() -> None:
    desk = Desk(TradePicker(1))
    out = desk.say(("BUY", "A", 10), ("BUY", "B", 10))
    assert codes(out) == ["OK", "OPEN_LIMIT_EXCEEDED"]
    assert "1 reserved of 1 places: A" in of(out, PickerDecision)[1].detail
    assert ends(out) == [("A", "MADE")]


def test_a_reservation_ends_when_its_position_arrives() -> None:
    desk = Desk(TradePicker(1))
    desk.say(("BUY", "A", 10))
    assert list(desk.picker.reserved("ACC")) == ["A"]
    out = desk.bar("A")
    assert ends(out) == [("A", "POSITION_ARRIVED")]
    assert not desk.picker.reserved("ACC")
    # The position holds the place now; buying more of it needs none.
    assert codes(desk.say(("BUY", "B", 10), ("BUY", "A", 5))) == ["OPEN_LIMIT_EXCEEDED", "OK"]


def test_a_reservation_ends_when_its_order_ends_without_a_fill() -> None:
    desk = Desk(TradePicker(1))
    desk.say(("BUY", "A", 10))
    order_id = desk.strategies[0].ids[0]
    out = desk.kernel.step(_cancel(desk.kernel.now + 1, str(order_id)))
    assert ends(out) == [("A", "ORDER_ENDED")]
    assert codes(desk.say(("BUY", "B", 10))) == ["OK"]


def test_a_reservation_ends_when_its_order_is_denied() -> None:
    desk = Desk(TradePicker(1))
    text = msgspec.json.encode(Limits(symbols=("B",))).decode()
    desk.kernel.step(SetLimits(START, "", "ann", "bob", "ACC", "L", text, 0))
    desk.bar("B")
    out = desk.say(("BUY", "A", 10), ("BUY", "B", 10))
    assert codes(out) == ["OK", "OK"]
    assert ends(out) == [("A", "MADE"), ("A", "ORDER_ENDED"), ("B", "MADE")]


def test_a_reservation_ends_with_its_time_and_so_does_its_order() -> None:
    desk = Desk(TradePicker(1, reservation_ttl_ms=300_000))
    desk.say(("BUY", "A", 10))
    made = desk.kernel.now
    assert not ends(desk.kernel.step(Clock(made + 299 * SECOND)))
    out = desk.kernel.step(Clock(made + 300 * SECOND))
    assert ends(out) == [("A", "EXPIRED")]
    # What is left of the order must not fill when another has the place.
    assert [e.event for e in of(out, OrderEvent)][-1] == "CANCELED"
    assert codes(desk.say(("BUY", "B", 10))) == ["OK"]
    assert not of(desk.bar("A"), FillBooked)
    desk.bar("B")
    assert desk.held() == {"B": 10}


def test_without_a_time_a_reservation_lasts_as_long_as_its_order() -> None:
    desk = Desk(TradePicker(1, reservation_ttl_ms=0))
    desk.say(("BUY", "A", 10))
    assert not ends(desk.kernel.step(Clock(desk.kernel.now + 10**6 * SECOND)))
    assert codes(desk.say(("BUY", "B", 10))) == ["OPEN_LIMIT_EXCEEDED"]


def test_a_sell_needs_a_long_position_unless_told_otherwise() -> None:
    desk = Desk(TradePicker(1))
    out = desk.say(("SELL", "A", 10))
    assert codes(out) == ["NO_OPEN_POSITION"]
    short = Desk(TradePicker(1, sell_requires_long=False))
    assert codes(short.say(("SELL", "A", 10), ("SELL", "B", 10))) == ["OK", "OPEN_LIMIT_EXCEEDED"]
    short.bar("A")
    assert short.held() == {"A": -10}


def test_without_reservations_only_what_is_open_counts() -> None:
    desk = Desk(TradePicker(1, reserve_on_open=False))
    assert codes(desk.say(("BUY", "A", 10), ("BUY", "B", 10))) == ["OK", "OK"]


def test_accounts_have_places_of_their_own_and_paper_twins_need_none() -> None:
    desk = Desk(TradePicker(1), Told("one", "ACC"), Told("two", "OTHER"), Told("t", "paper:ACC"))
    assert codes(desk.say(("BUY", "A", 10), by=0)) == ["OK"]
    assert codes(desk.say(("BUY", "B", 10), by=1)) == ["OK"]
    assert codes(desk.say(*[("BUY", s, 10) for s in "ABCD"], by=2)) == ["OK"] * 4


def test_sizes_are_hints_times_weights_and_exits_are_scaled_as_their_entries() -> None:
    desk = Desk(TradePicker(3))
    weigh(desk, 500_000)
    assert [e.quantity for e in of(desk.say(("BUY", "A", 101)), PickerDecision)] == [50]
    desk.bar("A")
    weigh(desk, 250_000)
    out = desk.say(("SELL", "A", 101))
    assert [e.quantity for e in of(out, PickerDecision)] == [50]
    desk.bar("A")
    assert desk.held() == {}
    out = weigh(desk, 0)
    assert [(e.strategy, e.weight) for e in of(out, WeightsChanged)] == [("told", 0)]
    refused = desk.say(("BUY", "A", 100))
    assert codes(refused) == ["NO_SIZE"]
    assert "weight 0 millionths" in of(refused, PickerDecision)[0].detail


def weigh(desk: Desk, weight: int) -> list[Any]:
    return desk.kernel.step(
        SetWeights(desk.kernel.now + 1, "", "ann", "ACC", (("told", weight),), "a test")
    )


def test_sizes_are_bounded_by_the_limits() -> None:
    desk = Desk(TradePicker(5))
    desk.bar("A")
    desk.bar("B", 20_000)
    limits = Limits(max_position=40, max_order_notional=4_000, drawdown_steps=())
    text = msgspec.json.encode(limits).decode()
    desk.kernel.step(SetLimits(desk.kernel.now, "", "ann", "bob", "ACC", "L", text, 0))
    out = desk.say(("BUY", "A", 100), ("BUY", "B", 100))
    assert [e.quantity for e in of(out, PickerDecision)] == [40, 20]
    desk.bar("A")
    desk.bar("B", 20_000)
    assert desk.held() == {"A": 40, "B": 20}


def test_wrong_settings_and_weights_are_refused() -> None:
    with pytest.raises(SettingsError, match="max_open_positions"):
        TradePicker(-1)
    with pytest.raises(SettingsError, match="reservation_ttl_ms"):
        TradePicker(reservation_ttl_ms=-1)
    desk = Desk(TradePicker())
    answer = desk.kernel.step(SetWeights(START + 1, "c", "ann", "ACC", (("told", 2_000_000),), ""))
    assert [e.code for e in answer] == ["MALFORMED"]


def test_every_signal_carries_version_parameters_and_run() -> None:
    out = Desk(TradePicker()).say(("BUY", "A", 10))
    [signal] = of(out, SignalMade)
    assert (signal.strategy, signal.version, signal.parameters) == ("told", "1", "p")


def _cancel(time: int, order_id: str) -> Cancel:
    return Cancel(time, "", "ann", order_id)


STEPS = st.lists(
    st.one_of(
        st.tuples(
            st.just("signals"),
            st.lists(
                st.tuples(
                    st.integers(0, 1),
                    st.sampled_from(["BUY", "BUY", "SELL"]),
                    st.sampled_from(SYMBOLS[:4]),
                    st.integers(1, 50),
                ),
                min_size=1,
                max_size=4,
            ),
        ),
        st.tuples(st.just("bar"), st.sampled_from(SYMBOLS[:4])),
        st.tuples(st.just("time"), st.integers(1, 400)),
        st.tuples(st.just("cancel"), st.integers(0, 20)),
        st.tuples(st.just("snapshot"), st.none()),
    ),
    max_size=40,
)


@example(
    [("signals", [(0, "BUY", "B", 1)]), ("signals", [(0, "BUY", "B", 1)]), ("time", 180)],
    1,
    False,
    "next_open",
    300_000,
    None,
)
@settings(max_examples=120, deadline=None)
@given(
    STEPS,
    st.integers(0, 3),
    st.booleans(),
    st.sampled_from(["next_open", "this_close", "next_close"]),
    st.sampled_from([0, 30_000, 300_000]),
    st.sampled_from([None, "0.02"]),
)
def test_never_more_than_the_places_under_random_signals(
    steps: list[Any], places: int, longs: bool, model: str, ttl: int, share: str | None
) -> None:
    def desk() -> Desk:
        picker = TradePicker(places, sell_requires_long=longs, reservation_ttl_ms=ttl)
        fills = FillModel(model, volume_share=share)
        return Desk(picker, Told("one"), Told("two"), model=fills)  # type: ignore[arg-type]

    run = desk()
    for kind, what in steps:
        if kind == "signals":
            for by, action, symbol, size in what:
                run.strategies[by].wanted.append((action, symbol, size))
            run.bar("E")
        elif kind == "bar":
            run.bar(what)
        elif kind == "time":
            run.kernel.step(Clock(run.kernel.now + what * SECOND))
        elif kind == "cancel":
            ids = [i for each in run.strategies for i in each.ids if i is not None]
            if ids:
                run.kernel.step(_cancel(run.kernel.now + 1, ids[what % len(ids)]))
        else:
            # A restart in the middle goes on as if there had been none.
            again = desk()
            again.kernel.restore(run.kernel.snapshot())
            for old, new in zip(run.strategies, again.strategies, strict=True):
                new.ids = old.ids
            assert again.picker.reserved("ACC") == run.picker.reserved("ACC")
            assert again.picker.due == run.picker.due
            assert again.kernel.digest == run.kernel.digest
            run = again
        held = run.held()
        assert len(held) <= places, (held, run.picker.reserved("ACC"))
        if longs:
            assert all(size > 0 for size in held.values())
    # Every reservation that was made has ended in one way, or holds its place still.
    states = of(run.out, ReservationChanged)
    assert {each.state for each in states} <= {
        "MADE",
        "POSITION_ARRIVED",
        "ORDER_ENDED",
        "EXPIRED",
    }
