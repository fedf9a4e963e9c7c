"""Strategies: parameters, what they see and when, orders of every kind, errors, snapshots."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Annotated, Any, Literal

import pandas as pd
import pytest
from msgspec import Meta

from tests.trading.backtest.market import minutes, ticks
from trading.backtest import Backtest
from trading.errors import SnapshotError, StrategyError
from trading.indicators import EMA, SMA
from trading.journal.inputs import Bar as RawBar
from trading.journal.inputs import DefineInstrument, OpenAccount
from trading.kernel import Kernel, Settings
from trading.orders import Bracket, OneCancelsOther, OrderRequest
from trading.specification import specify
from trading.strategy import (
    Bar,
    Context,
    Fill,
    Hosted,
    Signal,
    Strategy,
    Tick,
    parameters_json,
)
from trading.times import MINUTE


class Several(Strategy):
    """Parameters of every usual type."""

    class Parameters:
        count: Annotated[int, Meta(ge=1, le=10)] = 3
        share: float = 0.5
        side: Literal["long", "short"] = "long"
        money: Decimal = Decimal("10.50")
        wait: bool = False

        def __post_init__(self) -> None:
            if self.side == "short" and self.wait:
                raise ValueError("short does not wait")


def test_parameters_are_set_by_name_and_kept_as_declared() -> None:
    made = Several(count=5, share=1, money="7.25").parameters
    assert (made.count, made.share, made.money, made.side) == (5, 1.0, Decimal("7.25"), "long")
    assert isinstance(made.share, float)
    from_texts = Several(count="5", share="1", money="7.25", wait="false").parameters
    assert from_texts == made


def test_equal_parameters_have_equal_hashes_and_others_have_not() -> None:
    assert Several(share=1).parameters_hash == Several(share="1.0").parameters_hash
    assert Several().parameters_hash == Several(count=3).parameters_hash
    assert Several().parameters_hash != Several(count=4).parameters_hash
    assert '"count":3' in parameters_json(Several().parameters)
    assert Strategy().parameters_hash == Strategy().parameters_hash


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"cuont": 1}, "has no parameter 'cuont'.*did you mean count"),
        ({"count": 0}, "count: Expected `int` >= 1"),
        ({"count": "many"}, "count: Expected `int`"),
        ({"count": True}, "count: Expected `int`, got `bool`"),
        ({"side": "up"}, "side: Invalid enum value 'up'"),
        ({"side": "short", "wait": True}, "short does not wait"),
    ],
)
def test_a_wrong_parameter_is_told_with_what_is_allowed(
    wrong: dict[str, Any], message: str
) -> None:
    with pytest.raises(StrategyError, match=message):
        Several(**wrong)


def test_a_parameter_without_a_default_is_needed() -> None:
    class Needs(Strategy):
        class Parameters:
            level: float

    with pytest.raises(StrategyError, match="needs a value for level"):
        Needs()


class Watching(Strategy):
    """Writes down what it sees."""

    def on_start(self, ctx: Context) -> None:
        self.seen: list[Any] = [("start", ctx.now)]

    def on_bar(self, ctx: Context, bar: Bar) -> None:
        others = [ctx.bar(bar.symbol, frame) for frame in self.timeframes]
        self.seen.append((bar.symbol, bar.timeframe, bar.start, bar.end, ctx.now, others))


def run_watching(strategy: Strategy, frame: pd.DataFrame, **more: Any) -> list[Any]:
    """Run a strategy itself, not a copy, to look at what it has seen."""
    kept: list[Strategy] = []

    class Kept(type(strategy)):  # type: ignore[misc]
        def __deepcopy__(self, memo: dict[int, Any]) -> Strategy:
            kept.append(self)
            return self

    strategy.__class__ = Kept
    result = Backtest([strategy], frame, cash=100_000, **more).run()
    assert not result.stopped, result.stopped
    return kept[0].seen  # type: ignore[attr-defined,no-any-return]


def test_the_shortest_timeframe_is_the_anchor_and_longer_ones_show_their_last_final_bar() -> None:
    frame = minutes(rows=900)
    seen = run_watching(Watching(timeframes=["1h", "1m", "5m"]), frame)[1:]
    assert len(seen) == len(frame)
    starts = frame["timestamp"]
    for at in (5, 100, 899):
        symbol, timeframe, start, end, now, others = seen[at]
        assert (symbol, timeframe, start) == ("SIM", "1m", starts[at])
        assert now == end == start + timedelta(minutes=1)
        hour, minute, five = others
        assert minute.start == start
        for longer, length in ((five, "5min"), (hour, "1h")):
            groups = frame.groupby(starts.dt.floor(length))
            ended = [key for key in groups.groups if key + pd.Timedelta(length) <= end]
            if not ended:
                assert longer is None
                continue
            part = groups.get_group(max(ended))
            assert longer.start == max(ended)
            assert longer.end == max(ended) + pd.Timedelta(length)
            assert (longer.open, longer.high, longer.low, longer.close, longer.volume) == (
                part["open"].iloc[0],
                part["high"].max(),
                part["low"].min(),
                part["close"].iloc[-1],
                part["volume"].sum(),
            )


def test_a_longer_anchor_hears_of_its_own_bars_alone() -> None:
    frame = minutes(rows=900)
    seen = run_watching(Watching(timeframes=["15m"]), frame)[1:]
    assert {each[1] for each in seen} == {"15m"}
    assert 50 < len(seen) < 200


def test_ticks_make_several_timeframes_too() -> None:
    frame = ticks(rows=3_000)
    seen = run_watching(Watching(timeframes=["1m", "5m"]), frame)[1:]
    assert len(seen) > 100
    fives = {other.start for *_, (_, other) in seen if other is not None}
    assert len(fives) > 20
    for _, timeframe, _, end, _, (minute, five) in seen:
        assert timeframe == "1m"
        assert minute.end == end
        if five is not None:
            assert five.end <= end < five.end + timedelta(minutes=5)


def test_bars_by_amount_are_a_timeframe_of_ticks() -> None:
    seen = run_watching(Watching(timeframes=["100 ticks"]), ticks(rows=3_000))[1:]
    assert len(seen) == 30


class Acting(Strategy):
    """Does what a test gives it, one thing a bar."""

    def __init__(self, *todo: Any, **more: Any) -> None:
        super().__init__(**more)
        self.todo = list(todo)
        self.answers: list[Any] = []
        self.fills: list[Fill] = []
        self.labels: list[str] = []

    def on_bar(self, ctx: Context, bar: Bar) -> None:
        if self.todo:
            self.answers.append(self.todo.pop(0)(ctx, bar))

    def on_fill(self, ctx: Context, fill: Fill) -> None:
        self.fills.append(fill)

    def on_timer(self, ctx: Context, label: str) -> None:
        self.labels.append(f"{label} at {ctx.now:%H:%M}")

    def __deepcopy__(self, memo: dict[int, Any]) -> Strategy:
        return self


def act(
    *todo: Any, rows: int = 60, answers: list[Any] | None = None, **more: Any
) -> tuple[Acting, Any]:
    strategy = Acting(*todo)
    strategy.answers = [] if answers is None else answers
    return strategy, Backtest(strategy, minutes(rows=rows), cash=100_000, **more).run()


def test_orders_of_every_kind_and_fills_in_exact_numbers() -> None:
    answers: list[Any] = []
    strategy, result = act(
        lambda ctx, bar: ctx.buy("SIM", 10),
        lambda ctx, bar: ctx.position("SIM"),
        lambda ctx, bar: ctx.sell("SIM", "10", limit=round(bar.close * 1.5, 2)),
        lambda ctx, bar: ctx.cancel(answers[2]),
        lambda ctx, bar: ctx.sell("SIM", 4, stop=round(bar.close * 0.5, 2), tag="guard"),
        lambda ctx, bar: ctx.sell("SIM", 4, trail="50"),
        lambda ctx, bar: ctx.replace(answers[4], quantity=2),
        lambda ctx, bar: ctx.timer(timedelta(minutes=3), "later"),
        lambda ctx, bar: ctx.close("SIM", tag="done"),
        lambda ctx, bar: ctx.order(answers[4]).quantity,
        answers=answers,
    )
    assert not result.stopped
    orders = result.orders.to_pandas().set_index("order_id")
    assert strategy.answers[1] == Decimal(10)
    assert orders.loc[strategy.answers[2]].status == "CANCELED"
    assert orders.loc[strategy.answers[4]].kind == "STOP"
    assert orders.loc[strategy.answers[4]].tag == "guard"
    assert orders.loc[strategy.answers[5]].kind == "TRAILING_STOP"
    assert strategy.answers[6] == "OK"
    assert strategy.answers[9] == Decimal(2)
    assert [fill.side for fill in strategy.fills][:2] == ["BUY", "SELL"]
    assert all(isinstance(fill.price, Decimal) for fill in strategy.fills)
    assert strategy.fills[1].tag == "done"
    assert len(strategy.labels) == 1
    assert strategy.labels[0].startswith("later")


def test_brackets_and_other_groups() -> None:
    def bracket(ctx: Context, bar: Bar) -> str:
        return ctx.bracket(
            "SIM",
            "BUY",
            10,
            target=round(bar.close + 0.40, 2),
            stop=ctx.round_price("SIM", bar.close - 0.4),
        )

    def oco(ctx: Context, bar: Bar) -> str:
        low, high = round(bar.close * 0.5, 2), round(bar.close * 1.5, 2)
        legs = (
            OrderRequest("", "SIM", "BUY", 1, "LIMIT", low),
            OrderRequest("", "SIM", "SELL", 1, "LIMIT", high),
        )
        return ctx.submit(OneCancelsOther(legs))

    strategy, result = act(
        lambda ctx, bar: ctx.submit(
            Bracket(OrderRequest("", "SIM", "BUY", 5), round(bar.close + 1, 2), 50)
        ),
        bracket,
        oco,
        rows=200,
        fill="intrabar",
    )
    assert not result.stopped, result.stopped
    orders = result.orders.to_pandas()
    assert list(orders.role[:6]) == ["ENTRY", "TARGET", "STOP"] * 2
    assert set(orders.group[:3]) == {strategy.answers[0]}
    assert orders.status[0] == "FILLED"
    second = orders[orders.group == strategy.answers[1]]
    assert sorted(second.status) in (
        ["CANCELED", "FILLED", "FILLED"],
        ["FILLED", "FILLED", "FILLED"],
    )


def test_what_is_wrong_with_an_order_is_told_and_stops_nobody() -> None:
    strategy, result = act(
        lambda ctx, bar: ctx.buy("SIM", 10, limit="100.001"),
        lambda ctx, bar: ctx.buy("SIM", "1.5"),
        lambda ctx, bar: ctx.buy("SIM", 5, limit=float("nan")),
        lambda ctx, bar: ctx.bracket("SIM", "BUY", 5, target="200.001", stop=50),
        lambda ctx, bar: ctx.bracket("SIM", "BUY", 5, target=50, stop=200),
    )
    assert not result.stopped
    assert set(result.orders.to_pandas().status) == {"DENIED"}
    reasons = result.orders.to_pandas().reason.to_list()
    assert "PRICE_INCREMENT" in reasons[0]
    assert "SIZE_INCREMENT" in reasons[1]
    assert "200.001" in reasons[3]
    assert "wrong way round" in reasons[4]
    assert len(strategy.answers) == len(reasons) == 5


@pytest.mark.parametrize(
    ("todo", "message"),
    [
        (lambda ctx, bar: ctx.signal("HOLD", "SIM", 1), "action is BUY or SELL"),
        (lambda ctx, bar: ctx.signal("BUY", "SIM", float("nan")), "finite number"),
        (lambda ctx, bar: ctx.signal("BUY", "SIM", 1, 2.0), "confidence: expected 0 to 1"),
        (lambda ctx, bar: ctx.buy("OTHER", 1), "no instrument 'OTHER'"),
        (lambda ctx, bar: ctx.bar("SIM", "7m"), "does not follow '7m'"),
        (lambda ctx, bar: ctx.buy("SIM", 1, colour="red"), "colour"),
        (lambda ctx, bar: ctx.submit(OrderRequest("X", "SIM", "BUY", 1)), "account MAIN, not"),
        (lambda ctx, bar: ctx.indicator(SMA(3), "OTHER"), "does not hear of 'OTHER'"),
        (lambda ctx, bar: ctx.indicator(SMA(3), "SIM", inputs="vwap"), "no column 'vwap'"),
        (lambda ctx, bar: ctx.indicator(SMA(3), "SIM", timeframe="2m"), "does not follow '2m'"),
        (lambda ctx, bar: bar.exact("vwap"), "no exact 'vwap'"),
        (lambda ctx, bar: 1 / 0, "ZeroDivisionError"),
    ],
)
def test_a_strategy_that_raises_is_stopped_and_shown_and_the_others_go_on(
    todo: Any, message: str
) -> None:
    broken, fine = Acting(todo, name="broken"), Acting(*[_buy] * 20, name="fine")
    result = Backtest([broken, fine], minutes(rows=40), cash=100_000).run()
    assert list(result.stopped) == ["broken"]
    assert message in result.stopped["broken"]
    assert result.stopped["broken"].startswith("on_bar: ")
    assert len(fine.fills) == 20


def _buy(ctx: Context, bar: Bar) -> str:
    return ctx.buy(bar.symbol, 1)


def test_signals_carry_version_parameters_and_run() -> None:
    class Signalling(Strategy):
        version = "2.1"

        class Parameters:
            size: int = 7

        def on_bar(self, ctx: Context, bar: Bar) -> None:
            if not ctx.position(bar.symbol):
                ctx.signal(Signal("BUY", bar.symbol, self.parameters.size, 0.25, "because"))

    made = Signalling()
    result = Backtest(made, minutes(rows=10), cash=100_000).run()
    row = result.signals.to_pandas().iloc[0]
    assert (row.strategy, row.version, row.parameters) == (
        "Signalling",
        "2.1",
        made.parameters_hash,
    )
    assert (row.action, int(row.size_hint), row.confidence, row.reason) == (
        "BUY",
        7,
        0.25,
        "because",
    )
    assert row.run == result.run
    assert result.run.startswith("backtest:")
    assert (row.decision, int(row.accepted)) == ("OK", 7)


def test_while_it_warms_up_a_strategy_hears_of_everything_and_sends_nothing() -> None:
    strategy = Acting(*[_buy] * 60)
    result = Backtest(strategy, minutes(rows=60), cash=100_000, warmup=25).run()
    assert strategy.answers[:25] == [""] * 25
    assert all(strategy.answers[25:])
    assert len(result.orders) == 35


class Ticking(Strategy):
    """Counts ticks, and buys at the tenth."""

    def on_start(self, ctx: Context) -> None:
        self.count = 0

    def on_tick(self, ctx: Context, tick: Tick) -> None:
        self.count += 1
        assert (tick.bid or 0) < (tick.price or 0) < (tick.ask or 0)
        if self.count == 10:
            ctx.buy(tick.symbol, 5)


def test_ticks_are_told_one_by_one_to_who_wants_them() -> None:
    frame = ticks(rows=200, quotes=True)
    result = Backtest(Ticking(), frame, cash=100_000, fill="tick").run()
    assert not result.stopped
    fill = result.fills.to_pandas().iloc[0]
    assert float(fill.price) == frame["ask"].iloc[9]
    assert fill.timestamp == frame["timestamp"].iloc[9]


# --- snapshots ------------------------------------------------------------------------------------


class Remembering(Strategy):
    """Keeps figures, containers and numbers."""

    def on_start(self, ctx: Context) -> None:
        self.fast = ctx.indicator(EMA(3), self.symbol)
        self.slow = ctx.indicator(SMA(8), self.symbol)
        self.last: dict[str, list[float]] = {"closes": []}

    def on_bar(self, ctx: Context, bar: Bar) -> None:
        self.last["closes"].append(bar.close)
        held = ctx.position(bar.symbol)
        if self.fast.crossed_above(self.slow) and not held:
            ctx.buy(bar.symbol, len(self.last["closes"]))
        elif self.fast.crossed_below(self.slow) and held:
            ctx.close(bar.symbol)


def hosting_kernel(strategy: Strategy) -> Kernel:
    from tests.trading.runs import paper

    return Kernel(
        Settings(bar_interval=0), broker=paper("next_open"), strategies=[Hosted(strategy, "ACC")]
    )


def raw_bars(count: int) -> list[RawBar]:
    frame = minutes("SIM", rows=count)
    made = []
    for row in frame.itertuples():
        start = row.timestamp.as_unit("ns").value
        prices = [round(x * 100) for x in (row.open, row.high, row.low, row.close)]
        made.append(
            RawBar(start + MINUTE, "SIM", MINUTE, start, start + MINUTE, *prices, row.volume)
        )
    return made


@pytest.mark.parametrize("at", [0, 1, 7, 150])
def test_a_strategy_goes_on_from_a_snapshot(at: int) -> None:
    bars = raw_bars(300)
    kernel = hosting_kernel(Remembering(symbols=["SIM"]))
    opening = [
        DefineInstrument(bars[0].start, specify("SIM")),
        OpenAccount(bars[0].start, "ACC", "USD", (("USD", 10**16),)),
    ]
    for event in (*opening, *bars[:at]):
        kernel.step(event)
    later = hosting_kernel(Remembering(symbols=["SIM"]))
    later.restore(kernel.snapshot())
    fills = 0
    for bar in bars[at:]:
        assert later.step(bar) == kernel.step(bar)
    assert later.digest == kernel.digest
    fills = len([p for p in kernel.positions.values() if p.fees])
    assert fills


def test_what_cannot_be_kept_is_told() -> None:
    class Holding(Strategy):
        def on_bar(self, ctx: Context, bar: Bar) -> None:
            self.ctx = ctx

    bars = raw_bars(3)
    kernel = hosting_kernel(Holding(symbols=["SIM"]))
    kernel.step(DefineInstrument(bars[0].start, specify("SIM")))
    kernel.step(OpenAccount(bars[0].start, "ACC", "USD", (("USD", 10**16),)))
    kernel.step(bars[0])
    with pytest.raises(StrategyError, match="Holding cannot be kept in a snapshot"):
        kernel.snapshot()


def test_a_snapshot_that_would_run_code_is_refused() -> None:
    import os
    import pickle

    class Evil:
        def __reduce__(self) -> Any:
            return os.system, ("true",)

    with pytest.raises(SnapshotError, match="which is not read"):
        Hosted(Strategy(), "ACC").load(pickle.dumps((0, {}, {}, {}, {"x": Evil()})))
