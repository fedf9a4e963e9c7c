"""Commissions as brokers publish them, fills at gaps and touches, times in force, latency."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.trading.runs import (
    AAPL,
    MONEY,
    START,
    bar,
    kernel,
    of,
    paper,
    send,
    terms,
    trade,
)
from trading.brokers import (
    BasisPoints,
    Broker,
    FillModel,
    MakerTaker,
    PaperBroker,
    PerContract,
    PerShare,
    Slippage,
)
from trading.errors import SettingsError
from trading.journal.inputs import Clock, DefineSessions, Replace, Tick
from trading.journal.outputs import FillBooked, OrderEvent
from trading.kernel import Kernel, TickColumns
from trading.numbers import from_units
from trading.specification import specify
from trading.times import SECOND

MINUTE = 60 * SECOND


def charged(
    model: Any, *fills: tuple[int, object], spec: Any = AAPL, maker: bool = False
) -> Decimal:
    """What an order costs that fills in these pieces of (size, price)."""
    size = value = fees = 0
    for quantity, price in fills:
        money = quantity * spec.price_units(price) * spec.factor(10)
        fees += model.charge((size, value, fees), quantity, money, maker, spec, 10)
        size, value = size + quantity, value + money
    return from_units(fees, 10)


# The examples of Interactive Brokers' fixed pricing for US stocks: 0.005 a share, at least 1.00,
# at most 1 % of the trade's value.
FIXED = PerShare("0.005", "1.00", "0.01")


@pytest.mark.parametrize(
    ("shares", "price", "commission"),
    [(100, 25, "1.00"), (1000, 25, "5.00"), (1000, "0.25", "2.50"), (1, 2, "0.02")],
)
def test_published_commissions_per_share(shares: int, price: object, commission: str) -> None:
    assert charged(FIXED, (shares, price)) == Decimal(commission)


@given(st.lists(st.tuples(st.integers(1, 500), st.integers(1, 5000)), min_size=1, max_size=8))
def test_pieces_of_an_order_cost_what_the_order_costs(pieces: list[tuple[int, int]]) -> None:
    whole = sum(size for size, _ in pieces)
    same_price = [(size, "12.34") for size, _ in pieces]
    for model in (FIXED, PerContract("0.85", "1"), BasisPoints("7", "0.5")):
        assert charged(model, *same_price) == charged(model, (whole, "12.34"))


def test_other_commissions() -> None:
    future = specify("ES", kind="FUTURE", price_increment="0.25", multiplier=50)
    assert charged(PerContract("2.25"), (3, 5000), spec=future) == Decimal("6.75")
    assert charged(BasisPoints("10"), (100, 50)) == 5
    coin = specify("BTC", kind="CRYPTO", size_increment="0.00000001")
    both = MakerTaker("-0.25", "5")
    one = coin.size_units("0.1")
    assert charged(both, (one, 60_000), spec=coin) == 3
    assert charged(both, (one, 60_000), spec=coin, maker=True) == Decimal("-0.15")
    with pytest.raises(SettingsError, match="rate"):
        PerShare("-1")


def test_a_paper_broker_is_a_broker() -> None:
    broker: Broker = PaperBroker("tick")
    assert broker.open_orders() == []
    assert broker.positions() == {}


# --- bars -----------------------------------------------------------------------------------------


def fills(made: Kernel, *bars: tuple[object, ...]) -> list[tuple[int, Decimal]]:
    """Sizes and prices of what these bars fill."""
    return [
        (f.quantity, AAPL.price(f.price)) for each in bars for f in of(bar(made, each), FillBooked)
    ]


QUIET = ("100", "101", "99", "100")


@pytest.mark.parametrize(
    ("model", "price"),
    [("next_open", "102"), ("intrabar", "102"), ("next_close", "103"), ("this_close", "100")],
)
def test_at_which_price_of_a_bar_a_market_order_fills(model: str, price: str) -> None:
    made = kernel(paper(model))
    bar(made, QUIET)
    out = send(made, terms("BUY", 10))
    got = [(f.quantity, AAPL.price(f.price)) for f in of(out, FillBooked)]
    got += fills(made, ("102", "104", "101", "103"))
    assert got == [(10, Decimal(price))]


@pytest.mark.parametrize(
    ("slippage", "side", "price"),
    [
        ("2 ticks", "BUY", "102.02"),
        (3, "SELL", "101.97"),
        ("5 bps", "BUY", "102.06"),  # 5.1 cents, rounded against the order
        ("5 bps", "SELL", "101.94"),
    ],
)
def test_slippage_is_against_the_order(slippage: object, side: str, price: str) -> None:
    made = kernel(paper("next_open", slippage=slippage))
    bar(made, QUIET)
    send(made, terms(side, 10))
    assert fills(made, ("102", "104", "101", "103")) == [(10, Decimal(price))]


GAPS = [
    # A stop that the market gapped through fills at the open, worse than its price.
    ("SELL", "STOP", {"stop_price": "98"}, ("95", "96", "94", "95"), "95"),
    ("BUY", "STOP", {"stop_price": "102"}, ("105", "106", "104", "105"), "105"),
    # Without a gap at its price.
    ("SELL", "STOP", {"stop_price": "98"}, ("100", "100.5", "97", "99"), "98"),
    ("BUY", "STOP", {"stop_price": "102"}, ("100", "103", "99", "101"), "102"),
    # A limit that the market gapped through fills at the open, better than its price.
    ("BUY", "LIMIT", {"limit_price": "98"}, ("95", "97", "94", "96"), "95"),
    ("SELL", "LIMIT", {"limit_price": "102"}, ("106", "107", "105", "106"), "106"),
    ("BUY", "LIMIT", {"limit_price": "98"}, ("100", "101", "97", "99"), "98"),
    # Only touched, it does not fill.
    ("BUY", "LIMIT", {"limit_price": "98"}, ("100", "101", "98", "99"), None),
    ("SELL", "LIMIT", {"limit_price": "102"}, ("100", "102", "99", "101"), None),
    # A stop-limit fills at a gap within its limit, and rests beyond it.
    (
        "SELL",
        "STOP_LIMIT",
        {"stop_price": "98", "limit_price": "94"},
        ("95", "96", "94", "95"),
        "95",
    ),
    (
        "SELL",
        "STOP_LIMIT",
        {"stop_price": "98", "limit_price": "97"},
        ("95", "96", "94", "95"),
        None,
    ),
    # A trailing stop of 2 follows the high of 103 and sells at 101 on the way down.
    ("SELL", "TRAILING_STOP", {"trail": "2"}, ("100", "103", "99", "100"), "101"),
    ("BUY", "TRAILING_STOP", {"trail": "2"}, ("100", "101", "97", "100"), "99"),
]


@pytest.mark.parametrize(("side", "kind", "prices", "day", "price"), GAPS)
@pytest.mark.parametrize("model", ["next_open", "next_close", "intrabar"])
def test_gaps_and_levels_within_a_bar(
    model: str,
    side: str,
    kind: str,
    prices: dict[str, str],
    day: tuple[str, ...],
    price: str | None,
) -> None:
    made = kernel(paper(model))
    bar(made, QUIET)
    send(made, terms(side, 10, kind, **prices))
    assert fills(made, day) == ([] if price is None else [(10, Decimal(price))])


def test_the_path_decides_which_of_two_exits_comes_first() -> None:
    # Open 100, high 104, low 96: by the high first, or by the extreme that is nearer to the open.
    for path, day, first in (
        ("ohlc", ("100", "104", "96", "100"), "103"),
        ("nearest", ("100", "104.50", "96", "100"), "97"),
        ("nearest", ("100", "103.50", "96", "100"), "103"),
    ):
        made = kernel(paper(FillModel("intrabar", path=path)))
        bar(made, QUIET)
        exits = {"reduce_only": True}
        send(
            made,
            terms("BUY", 10),
            terms("SELL", 10, "LIMIT", limit_price="103", **exits),
            terms("SELL", 10, "STOP", stop_price="97", **exits),
            kind="BRACKET",
        )
        assert fills(made, day) == [(10, Decimal(100)), (10, Decimal(first))]
        assert made.accounts["ACC"].position("AAPL") == 0


def test_exits_of_a_bar_wait_for_the_next_one_unless_intrabar() -> None:
    made = kernel(paper("next_open"))
    bar(made, QUIET)
    exits = {"reduce_only": True}
    send(
        made,
        terms("BUY", 10),
        terms("SELL", 10, "LIMIT", limit_price="103", **exits),
        terms("SELL", 10, "STOP", stop_price="97", **exits),
        kind="BRACKET",
    )
    assert fills(made, ("100", "104", "96", "100")) == [(10, Decimal(100))]
    assert fills(made, ("100", "104", "99", "100")) == [(10, Decimal(103))]


def test_a_stop_limit_of_which_a_bar_fills_a_part_waits_for_the_next_bar() -> None:
    made = kernel(paper(FillModel("next_open", volume_share="0.1")))
    bar(made, QUIET)
    send(made, terms("BUY", 100, "STOP_LIMIT", stop_price="105", limit_price="103"))
    # Up through the stop, down through the limit, and the volume gives 30.
    over = ("100", "108", "99", "101")
    got = [
        (f.quantity, AAPL.price(f.price))
        for volume in (300, 500, 900)
        for f in of(bar(made, over, volume), FillBooked)
    ]
    # The later bars open below the limit, which is in favour of the order.
    assert got == [(30, 103), (50, 100), (20, 100)]


def test_a_share_of_the_volume_fills_over_several_bars() -> None:
    made = kernel(paper(FillModel("next_open", volume_share="0.1")))
    bar(made, QUIET)
    send(made, terms("BUY", 250))
    got = [
        (f.quantity, AAPL.price(f.price))
        for volume in (1000, 500, 3000, 100)
        for f in of(bar(made, QUIET, volume), FillBooked)
    ]
    assert got == [(100, 100), (50, 100), (100, 100)]
    fok = send(made, terms("BUY", 250, time_in_force="FOK"))
    out = bar(made, QUIET, 1000)
    assert of(out, FillBooked) == []
    assert made.accounts["ACC"].position("AAPL") == 250
    assert [e.status for e in of(fok + out, OrderEvent)][-1] == "CANCELED"


# --- ticks ----------------------------------------------------------------------------------------


def quote(made: Kernel, bid: str, ask: str) -> list[Any]:
    return made.step(
        Tick(made.now + 1, "AAPL", None, 0, AAPL.price_units(bid), AAPL.price_units(ask))
    )


def test_a_market_order_meets_the_opposite_quote() -> None:
    made = kernel(paper("tick"))
    quote(made, "99.98", "100.02")
    [bought] = of(send(made, terms("BUY", 10)), FillBooked)
    [sold] = of(send(made, terms("SELL", 10)), FillBooked)
    assert (bought.price, sold.price, bought.maker) == (10_002, 9_998, False)


def test_a_limit_fills_when_it_is_traded_through_and_not_at_a_touch() -> None:
    made = kernel(paper("tick"))
    trade(made, "100")
    send(made, terms("BUY", 10, "LIMIT", limit_price="99"))
    assert of(trade(made, "99"), FillBooked) == []
    [filled] = of(trade(made, "98.99"), FillBooked)
    assert (filled.price, filled.maker) == (9_900, True)


def test_a_touch_fills_by_the_seed_and_after_the_queue() -> None:
    rates = []
    for seed in range(200):
        made = kernel(paper(FillModel("tick", touch="0.5"), seed=seed), check_invariants=False)
        trade(made, "100")
        send(made, terms("BUY", 10, "LIMIT", limit_price="99"))
        rates.append(len(of(trade(made, "99"), FillBooked)))
    assert 60 < sum(rates) < 140
    made = kernel(paper(FillModel("tick", touch=1, queue=250)))
    trade(made, "100")
    send(made, terms("BUY", 10, "LIMIT", limit_price="99"))
    assert of(trade(made, "99", 100), FillBooked) == []
    assert of(trade(made, "99", 100), FillBooked) == []
    assert len(of(trade(made, "99", 100), FillBooked)) == 1


def test_stops_and_trailing_stops_on_ticks() -> None:
    made = kernel(paper("tick"))
    trade(made, "100")
    send(made, terms("SELL", 10, "STOP", stop_price="98"))
    send(made, terms("SELL", 10, "TRAILING_STOP", trail_bps=100))
    for price in ("101", "103", "102"):
        assert of(trade(made, price), FillBooked) == []
    [trailed] = of(trade(made, "101.90"), FillBooked)  # 1 % below 103 is 101.97
    assert trailed.price == 10_190
    [stopped] = of(trade(made, "95"), FillBooked)  # a gap through the stop
    assert stopped.price == 9_500


def test_latency_and_a_quote_that_moves_meanwhile() -> None:
    made = kernel(paper("tick", latency=5_000_000))
    trade(made, "100")
    sent = made.now
    assert of(send(made, terms("BUY", 10), at=sent), FillBooked) == []
    trade(made, "101", at=sent + 4_000_000)
    [filled] = of(made.step(Clock(sent + 6_000_000)), FillBooked)
    assert (filled.price, filled.executed) == (10_100, sent + 5_000_000)


# --- times in force -------------------------------------------------------------------------------


def statuses(outputs: list[Any]) -> list[str]:
    return [each.status for each in of(outputs, OrderEvent)]


def test_ioc_fills_what_is_there_and_fok_all_or_nothing() -> None:
    made = kernel(paper("tick"))
    trade(made, "100")
    out = send(made, terms("BUY", 10, "LIMIT", limit_price="99", time_in_force="IOC"))
    assert statuses(out)[-1] == "CANCELED"
    out = send(made, terms("BUY", 10, "LIMIT", limit_price="101", time_in_force="IOC"))
    assert of(out, FillBooked)[0].status == "FILLED"
    out = send(made, terms("BUY", 10, "LIMIT", limit_price="99", time_in_force="FOK"))
    assert statuses(out)[-1] == "CANCELED"


def test_post_only_is_rejected_where_it_would_trade() -> None:
    made = kernel(paper("tick"))
    trade(made, "100")
    out = send(made, terms("BUY", 10, "LIMIT", limit_price="100", post_only=True))
    assert statuses(out)[-1] == "REJECTED"
    out = send(made, terms("BUY", 10, "LIMIT", limit_price="99.99", post_only=True))
    assert statuses(out)[-1] == "ACCEPTED"


def test_gtd_ends_at_its_time_and_day_at_the_session_s_end() -> None:
    exchange = specify("AAPL", calendar="XNYS")
    made = kernel(paper("tick"), specs=(exchange,))
    close = START + 1000 * SECOND
    made.step(
        DefineSessions(START, "XNYS", ((START - 100, close), (close + 10**12, close + 10**13)))
    )
    trade(made, "100")
    gtd = made.now + 30 * SECOND
    send(made, terms("BUY", 1, "LIMIT", limit_price="90", time_in_force="GTD", expire_at=gtd))
    send(made, terms("BUY", 1, "LIMIT", limit_price="90", time_in_force="DAY"))
    send(made, terms("BUY", 1, "LIMIT", limit_price="90"))
    assert statuses(made.step(Clock(gtd - 1))) == []
    assert statuses(made.step(Clock(gtd))) == ["EXPIRED"]
    assert statuses(made.step(Clock(close - 1))) == []
    [event] = of(made.step(Clock(close)), OrderEvent)
    assert (event.status, event.time) == ("EXPIRED", close)
    assert [order.tif for order in made.orders.values()] == ["GTC"]


def test_orders_at_the_open_and_at_the_close() -> None:
    exchange = specify("AAPL", calendar="XNYS")
    made = kernel(paper("tick"), specs=(exchange,))
    opens, closes = START + 100 * SECOND, START + 500 * SECOND
    made.step(DefineSessions(START, "XNYS", ((opens, closes), (closes + 10**12, closes + 10**13))))
    send(made, terms("BUY", 10, time_in_force="AT_OPEN"))
    send(made, terms("SELL", 4, time_in_force="AT_CLOSE"))
    assert of(trade(made, "99"), FillBooked) == []
    [filled] = of(trade(made, "101", at=opens + 5), FillBooked)
    assert (filled.quantity, filled.price) == (10, 10_100)
    trade(made, "103", at=closes - 5)
    [filled] = of(made.step(Clock(closes + 7)), FillBooked)
    assert (filled.quantity, filled.price, filled.executed) == (4, 10_300, closes)


def test_an_order_off_hours_that_cannot_wait_is_refused() -> None:
    exchange = specify("AAPL", calendar="XNYS")
    made = kernel(paper("tick"), specs=(exchange,))
    made.step(DefineSessions(START, "XNYS", ((START + 10**12, START + 10**13),)))
    trade(made, "100")
    assert statuses(send(made, terms("BUY", 1, time_in_force="IOC")))[-1] == "DENIED"


def test_a_replace_in_the_simulated_market() -> None:
    made = kernel(paper("tick"))
    trade(made, "100")
    send(made, terms("BUY", 10, "LIMIT", limit_price="99"))
    [order] = made.orders.values()
    out = made.step(Replace(made.now + 1, "r", "t", order.order_id, 20, 9_950))
    assert statuses(out) == ["PENDING_UPDATE", "ACCEPTED"]
    [filled] = of(trade(made, "99.49"), FillBooked)
    assert (filled.quantity, filled.price) == (20, 9_950)


@pytest.mark.parametrize(
    "bad",
    [
        lambda: FillModel("magic"),
        lambda: FillModel("tick", path="zigzag"),
        lambda: FillModel("tick", touch=2),
        lambda: FillModel("tick", volume_share="-1"),
        lambda: Slippage("-1 ticks"),
        lambda: Slippage(1.5),
        lambda: PaperBroker("tick", latency=-1),
    ],
)
def test_settings_that_make_no_sense(bad: Any) -> None:
    with pytest.raises(ValueError, match=r"expected|unknown|slippage"):
        bad()


def test_fees_and_prices_are_in_equity() -> None:
    made = kernel(paper("tick", commission=PerShare("0.005", "1")))
    trade(made, "100")
    [filled] = of(send(made, terms("BUY", 1000)), FillBooked)
    assert filled.fees == 5 * MONEY
    columns = TickColumns(["AAPL"], [made.now + 1], [0], [10_050], [5])
    made.step(columns)
    assert made.accounts["ACC"].equity(made.market) == (1_000_000 - 5 + 500) * MONEY
