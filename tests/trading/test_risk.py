"""Risk rules: each code, in their order; limits that hold for a time; sizes; NaN never passes."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.trading.runs import AAPL, MONEY, MSFT, START, kernel, of, paper, send, terms, trade
from trading import sizing
from trading.errors import LimitsError, SizingError
from trading.journal.inputs import (
    Clock,
    Flatten,
    SetLimits,
    SetRate,
    SetTradingState,
    Submit,
    Tick,
    Transfer,
)
from trading.journal.outputs import (
    CommandAnswered,
    FillBooked,
    OrderEvent,
    RiskDecision,
    TradingStateChanged,
)
from trading.kernel import Kernel
from trading.orders import OrderRequest
from trading.risk import (
    CODES,
    HALTED,
    REDUCING,
    RULES,
    Cluster,
    Correlations,
    HeldLimits,
    Limits,
    LimitsHistory,
    Refused,
    RiskState,
    check,
)
from trading.specification import specify
from trading.times import DAY, SECOND

FUTURE = specify("ESZ6", kind="FUTURE", price_increment="0.25", multiplier=50, max_size=100)
COIN = specify(
    "BTC-USD",
    kind="CRYPTO",
    size_increment="0.001",
    min_size="0.01",
    min_notional=10,
    max_notional=1_000_000,
)
FOREIGN = specify("EQNR", currency="NOK")
SHUT = specify("SHUT", calendar="XNYS")
PRICES = {"AAPL": 100, "MSFT": 200, "ESZ6": 5000, "BTC-USD": 60_000, "SHUT": 10}


def state(limits: Limits | None = None, **more: Any) -> RiskState:
    more = {"cash": 100_000, "prices": PRICES, **more}
    return RiskState.of(limits, instruments=[AAPL, MSFT, FUTURE, COIN, FOREIGN, SHUT], **more)


def ask(
    risk: RiskState,
    side: str,
    quantity: object,
    symbol: str = "AAPL",
    kind: str = "MARKET",
    **more: Any,
) -> Any:
    return check(OrderRequest("ACC", symbol, side, quantity, kind, **more), risk)


def code(verdict: Any) -> str:
    return verdict.code if isinstance(verdict, Refused) else "OK"


LIMIT = {"kind": "LIMIT"}
# Code, limits, state, and an order that is refused by one step and passes one step before.
STEPS: list[tuple[str, Limits, dict[str, Any], dict[str, Any], dict[str, Any]]] = [
    (
        "SIZE_MAX",
        Limits(max_order_quantity=100),
        {},
        {"quantity": 101},
        {"quantity": 100},
    ),
    ("NOTIONAL_MAX", Limits(max_order_notional=10_000), {}, {"quantity": 101}, {"quantity": 100}),
    (
        "ORDER_EQUITY_SHARE",
        Limits(max_order_equity_share="0.25"),
        {},
        {"quantity": 251},
        {"quantity": 250},
    ),
    (
        "PRICE_COLLAR",
        Limits(price_collar="0.05"),
        {},
        {"quantity": 1, "limit_price": "105.01", **LIMIT},
        {"quantity": 1, "limit_price": "105.00", **LIMIT},
    ),
    (
        "POSITION_LIMIT",
        Limits(max_position=500),
        {"positions": {"AAPL": 200}},
        {"quantity": 301},
        {"quantity": 300},
    ),
    (
        "SYMBOL_NOTIONAL",
        Limits(max_symbol_notional=50_000),
        {"positions": {"AAPL": 200}},
        {"quantity": 301},
        {"quantity": 300},
    ),
    (
        "GROSS_EXPOSURE",
        Limits(max_gross_exposure=60_000),
        {"positions": {"AAPL": 200, "MSFT": -100}},
        {"quantity": 201},
        {"quantity": 200},
    ),
    (
        "NET_EXPOSURE",
        Limits(max_net_exposure=20_000),
        {"positions": {"AAPL": 200, "MSFT": -100}},
        {"quantity": 201},
        {"quantity": 200},
    ),
    (
        "STRATEGY_NOTIONAL",
        Limits(max_strategy_notional=10_000),
        {},
        {"quantity": 101, "strategy": "s"},
        {"quantity": 100, "strategy": "s"},
    ),
    (
        "CORRELATION_CLUSTER",
        Limits(clusters=(Cluster("tech", ("AAPL", "MSFT"), "50000"),)),
        {"positions": {"MSFT": -100}},
        {"quantity": 301},
        {"quantity": 300},
    ),
    ("SYMBOL_NOT_ALLOWED", Limits(symbols=("AAPL",)), {}, {"symbol": "MSFT"}, {"symbol": "AAPL"}),
    (
        "SIZE_MAX",
        Limits(),
        {},
        {"symbol": "ESZ6", "quantity": 101},
        {"symbol": "ESZ6", "quantity": 100},
    ),
    (
        "SIZE_MIN",
        Limits(),
        {},
        {"symbol": "BTC-USD", "quantity": "0.009"},
        {"symbol": "BTC-USD", "quantity": "0.01"},
    ),
    (
        "NOTIONAL_MAX",
        Limits(),
        {},
        {"symbol": "BTC-USD", "quantity": "16.667"},
        {"symbol": "BTC-USD", "quantity": "16.666"},
    ),
    (
        "NOTIONAL_MIN",
        Limits(),
        {},
        {"symbol": "BTC-USD", "quantity": "0.01", "limit_price": "999.99", **LIMIT},
        {"symbol": "BTC-USD", "quantity": "0.01", "limit_price": "1000", **LIMIT},
    ),
]


@pytest.mark.parametrize(("wanted", "limits", "given_", "beyond", "within"), STEPS)
def test_one_step_beyond_a_limit_and_one_step_within(
    wanted: str, limits: Limits, given_: dict[str, Any], beyond: Any, within: Any
) -> None:
    risk = state(limits, **given_)
    fields = {"side": "BUY", "quantity": 1}
    refused = ask(risk, **{**fields, **beyond})
    assert code(refused) == wanted
    assert refused.limit
    assert refused.seen
    assert refused.allowed
    assert wanted in refused.message
    allowed = ask(risk, **{**fields, **within})
    assert code(allowed) == "OK"
    assert allowed


@pytest.mark.parametrize(
    ("wanted", "order"),
    [
        ("UNKNOWN_INSTRUMENT", {"symbol": "TSLA"}),
        ("NOT_A_NUMBER", {"quantity": float("nan")}),
        ("NOT_A_NUMBER", {"quantity": None}),
        ("NOT_A_NUMBER", {"limit_price": float("inf"), "kind": "LIMIT"}),
        ("NOT_A_NUMBER", {"limit_price": Decimal("NaN"), "kind": "LIMIT"}),
        ("MALFORMED", {"quantity": -5}),
        ("MALFORMED", {"quantity": 0}),
        ("MALFORMED", {"side": "HOLD"}),
        ("MALFORMED", {"kind": "LIMIT"}),
        ("MALFORMED", {"limit_price": 0, "kind": "LIMIT"}),
        ("MALFORMED", {"time_in_force": "GTD"}),
        ("SIZE_INCREMENT", {"quantity": "1.5"}),
        ("SIZE_INCREMENT", {"symbol": "BTC-USD", "quantity": "0.0105"}),
        ("PRICE_INCREMENT", {"limit_price": "100.001", "kind": "LIMIT"}),
        ("PRICE_INCREMENT", {"symbol": "ESZ6", "limit_price": "5000.10", "kind": "LIMIT"}),
        ("REDUCE_ONLY", {"reduce_only": True}),
    ],
)
def test_orders_that_are_none(wanted: str, order: dict[str, Any]) -> None:
    refused = ask(state(Limits()), **{"side": "BUY", "quantity": 1, **order})
    assert code(refused) == wanted


LIMITS_THAT_NEED_A_PRICE = [
    Limits(max_order_notional=1),
    Limits(price_collar=1),
    Limits(max_symbol_notional=1),
    Limits(max_gross_exposure=1),
    Limits(max_strategy_notional=1),
    Limits(clusters=(Cluster("c", ("AAPL",), "1"),)),
]


@pytest.mark.parametrize("limits", LIMITS_THAT_NEED_A_PRICE)
def test_without_a_price_nothing_passes(limits: Limits) -> None:
    assert code(ask(state(limits, prices={}), "BUY", 1)) == "MISSING_PRICE"


def test_other_missing_numbers() -> None:
    assert code(
        ask(state(Limits(max_order_notional=10**9), prices={"EQNR": 1}), "BUY", 1, "EQNR")
    ) == ("MISSING_RATE")
    risk = state(Limits(max_daily_loss=5, drawdown_steps=()), positions={"AAPL": 1})
    del risk.market.last["AAPL"]
    assert code(ask(risk, "BUY", 1, "MSFT")) == "MISSING_EQUITY"
    risk = state(Limits(max_daily_loss=5, drawdown_steps=()))
    risk.account.day_start_equity = None
    assert code(ask(risk, "BUY", 1)) == "MISSING_EQUITY"
    assert code(ask(state(Limits(max_portfolio_heat="0.1")), "BUY", 1)) == "MISSING_ATR"
    both = Limits(max_correlation="0.8", max_correlated_notional=10**6)
    assert code(ask(state(both, positions={"MSFT": 1}), "BUY", 1)) == "MISSING_CORRELATION"
    risk = state(Limits())
    risk.account.limits.held.clear()
    risk.account.limits.add(HeldLimits("l", Limits(), 10, None, "a", "b", 0))
    assert code(ask(risk, "BUY", 1)) == "MISSING_LIMITS"
    risk.market.sessions["XNYS"] = [(10, 20)]
    risk.now = 15
    assert code(ask(risk, "BUY", 1, "SHUT", time_in_force="IOC")) == "OK"
    risk.now = 20
    assert code(ask(risk, "BUY", 1, "SHUT", time_in_force="IOC")) == "OUT_OF_SESSION"


def test_what_reduces_is_allowed_where_what_opens_is_not() -> None:
    tight = Limits(max_position=100, max_gross_exposure=1, max_daily_loss=1, price_collar=1)
    risk = state(tight, positions={"AAPL": 500})
    risk.market.last["AAPL"] = AAPL.price_units(90)
    assert code(ask(risk, "BUY", 1)) == "POSITION_LIMIT"
    assert code(ask(risk, "SELL", 500)) == "OK"
    assert code(ask(risk, "SELL", 501)) == "GROSS_EXPOSURE"  # the last share opens a short
    risk.account.exposure("AAPL").open_sell = 100
    assert code(ask(risk, "SELL", 400)) == "OK"
    assert code(ask(risk, "SELL", 401)) != "OK"
    risk.account.trading_state = REDUCING
    assert code(ask(risk, "SELL", 400)) == "OK"
    assert code(ask(risk, "BUY", 1)) == "REDUCING_ONLY"
    risk.account.trading_state = HALTED
    assert code(ask(risk, "SELL", 400)) == "TRADING_HALTED"


def test_open_orders_and_reservations_count() -> None:
    risk = state(Limits(max_position=100))
    exposure = risk.account.exposure("AAPL")
    exposure.open_buy, exposure.reserved = 50, 20
    assert code(ask(risk, "BUY", 30)) == "OK"
    assert code(ask(risk, "BUY", 31)) == "POSITION_LIMIT"
    assert code(ask(risk, "SELL", 100)) == "OK"


@pytest.mark.parametrize(
    ("equity", "quantity"), [("100", 100), ("95.01", 100), ("95", 70), ("90", 40), ("85", None)]
)
def test_drawdown_scales_sizes(equity: str, quantity: int | None) -> None:
    risk = state(Limits(), cash=0, positions={"MSFT": 500})
    risk.market.last["MSFT"] = MSFT.price_units(Decimal(equity) * 2)
    verdict = ask(risk, "BUY", 100)
    if quantity is None:
        assert code(verdict) == "DRAWDOWN"
        return
    assert verdict.quantity == quantity
    assert verdict.scaled == (quantity != 100)


def test_daily_loss_is_refused_when_it_is_reached() -> None:
    for price, wanted in (("99.01", "OK"), ("99", "DAILY_LOSS")):
        risk = state(Limits(max_daily_loss=1000, drawdown_steps=()), positions={"AAPL": 1000})
        risk.market.last["AAPL"] = AAPL.price_units(price)
        assert code(ask(risk, "BUY", 1)) == wanted


@given(st.lists(st.tuples(st.integers(90, 110), st.integers(90, 110)), min_size=25, max_size=60))
def test_measured_correlation_is_numpys(prices: list[tuple[int, int]]) -> None:
    import numpy as np

    measured = Correlations(window=100)
    for at, (a, b) in enumerate(prices):
        measured.observe("A", at, a * 1000)
        measured.observe("B", at, b * 1000)
    returns = [[s[1] for s in measured.returns[k]] for k in ("A", "B")]
    if min(np.std(each) for each in returns) == 0:
        assert measured.reaches("A", "B", (1, 2)) is None
        return
    exact = float(np.corrcoef(returns)[0, 1])
    for percent in range(0, 101, 5):
        if abs(exact - percent / 100) > 1e-9:
            assert measured.reaches("A", "B", (percent, 100)) == (exact >= percent / 100)


def test_symbols_that_move_together_share_a_limit() -> None:
    risk = state(
        Limits(max_correlation="0.8", max_correlated_notional=30_000), positions={"MSFT": 100}
    )
    for at in range(30):
        move = (at * 7) % 5
        risk.market.correlations.observe("AAPL", at, 10_000 + move * 10)
        risk.market.correlations.observe("MSFT", at, 20_000 + move * 20)
        risk.market.correlations.observe("ESZ6", at, 500_000 + (at * 3) % 7)
    assert code(ask(risk, "BUY", 100)) == "OK"
    assert code(ask(risk, "BUY", 101)) == "CORRELATED_NOTIONAL"
    # What moves in another way has the limit to itself.
    few = Limits(max_correlation="0.8", max_correlated_notional=25_000)
    risk.account.limits.add(HeldLimits("few", few, 0, None, "ann", "bob", 0))
    assert code(ask(risk, "BUY", 51)) == "CORRELATED_NOTIONAL"
    risk.market.last["ESZ6"] = FUTURE.price_units(500)
    assert code(ask(risk, "BUY", 1, "ESZ6")) == "OK"
    heat = state(Limits(max_portfolio_heat="0.01"))
    heat.market.atr["AAPL"] = 200  # two dollars a share
    assert code(ask(heat, "BUY", 500)) == "OK"
    assert code(ask(heat, "BUY", 501)) == "PORTFOLIO_HEAT"


def test_limits_that_make_no_sense_are_refused() -> None:
    for bad in (
        {"max_position": float("nan")},
        {"max_position": -1},
        {"max_daily_loss": "many"},
        {"max_orders": -1},
        {"drawdown_steps": (("0.1", "0.5"), ("0.05", "0.2"))},
        {"max_correlation": "0.8"},
    ):
        with pytest.raises(LimitsError):
            Limits(**bad)  # type: ignore[arg-type]


def test_limits_hold_for_a_time_as_they_were_known() -> None:
    history = LimitsHistory()
    first, second, hour = Limits(max_position=1), Limits(max_position=2), Limits(max_position=3)
    history.add(HeldLimits("a", first, 0, None, "ann", "bob", 0))
    history.add(HeldLimits("b", second, 100, None, "ann", "bob", 50))
    history.add(HeldLimits("c", hour, 40, 60, "ann", "bob", 70))
    for time, known, wanted in (
        (10, None, "a"),
        (45, None, "c"),
        (60, None, "a"),
        (100, None, "b"),
        (45, 69, "a"),
        (100, 49, "a"),
    ):
        held = history.at(time, known)
        assert held is not None
        assert held.limits_id == wanted
    with pytest.raises(LimitsError, match="another person"):
        history.add(HeldLimits("d", first, 0, None, "ann", "ann", 0))
    with pytest.raises(LimitsError, match="not after"):
        history.add(HeldLimits("d", first, 5, 5, "ann", "bob", 0))


def test_every_rule_has_its_place() -> None:
    names = [rule.__name__ for rule, _ in RULES]
    assert names.index("trading_state") == 0
    assert names.index("size_bounds") < names.index("price_collar") < names.index("position_limit")
    assert names.index("account_exposure") < names.index("daily_loss") < names.index("drawdown")
    assert names[-2:] == ["order_rate", "duplicate_order"]
    assert len(set(CODES)) == len(CODES)


# --- in the kernel --------------------------------------------------------------------------------


def limited(limits: Limits, **more: Any) -> Kernel:
    made = kernel(paper("tick", commission=None), **more)
    trade(made, "100")
    set_limits(made, limits)
    return made


def set_limits(made: Kernel, limits: Limits, **more: Any) -> list[Any]:
    fields = {"command_id": "l1", "requested_by": "ann", "approved_by": "bob", "valid_from": 0}
    fields |= {"account": "ACC", "limits_id": "L1", **more}
    text = msgspec.json.encode(limits).decode()
    return made.step(SetLimits(time=made.now, limits=text, **fields))


def decision(outputs: list[Any]) -> RiskDecision:
    [found] = of(outputs, RiskDecision)
    return found


def test_a_decision_says_what_it_saw() -> None:
    made = limited(Limits(max_position=100, max_gross_exposure=10**6))
    passed = decision(send(made, terms("BUY", 100)))
    assert (passed.code, passed.limits_id, passed.price) == ("OK", "L1", 10_000)
    assert (passed.equity, passed.gross) == (10**6 * MONEY, 10**4 * MONEY)
    refused = decision(send(made, terms("BUY", 1)))
    assert (refused.code, refused.position) == ("POSITION_LIMIT", 100)
    assert refused.limit == "max_position 100"


def test_a_request_that_is_no_order_is_denied_with_its_code() -> None:
    from trading.orders.build import terms_or_fault

    made = kernel(paper())
    bad = terms_or_fault(OrderRequest("ACC", "AAPL", "BUY", float("nan")), AAPL)
    out = send(made, bad)
    assert decision(out).code == "NOT_A_NUMBER"
    assert of(out, OrderEvent)[-1].status == "DENIED"
    out = send(made, msgspec.structs.replace(terms("BUY", 5), quantity=-5))
    assert decision(out).code == "SIZE_INCREMENT"
    out = send(made, terms("BUY", 5, account="NOBODY"))
    assert decision(out).code == "UNKNOWN_ACCOUNT"


def test_a_daily_loss_halts_the_account_and_another_person_lifts_it() -> None:
    made = limited(Limits(max_daily_loss=1000, drawdown_steps=()))
    send(made, terms("BUY", 500))
    send(made, terms("BUY", 500, "LIMIT", limit_price="90"))
    assert of(trade(made, "98.01"), TradingStateChanged) == []
    trade(made, "98")
    # Nobody trades, and still the loss is seen: by the clock.
    out = made.step(Clock(made.now + 2 * SECOND))
    [halted] = of(out, TradingStateChanged)
    assert halted.state == HALTED
    assert "daily loss" in halted.reason
    assert of(out, OrderEvent)[-1].status == "CANCELED"
    assert decision(send(made, terms("SELL", 500))).code == "TRADING_HALTED"
    for by, wanted in (
        ("trader", "NEEDS_ANOTHER_PERSON"),
        ("", "NEEDS_ANOTHER_PERSON"),
        ("boss", "OK"),
    ):
        out = made.step(SetTradingState(made.now, f"by-{by}", by, "ACC", "ACTIVE"))
        assert of(out, CommandAnswered)[0].code == wanted
    assert decision(send(made, terms("SELL", 500))).code == "OK"


def test_an_order_that_would_lose_on_sees_the_loss_at_once() -> None:
    made = limited(Limits(max_daily_loss=1000, drawdown_steps=()))
    send(made, terms("BUY", 500))
    trade(made, "97")
    out = send(made, terms("BUY", 1), at=made.now)
    assert decision(out).code == "DAILY_LOSS"
    assert of(out, TradingStateChanged)[0].state == HALTED


def test_a_new_day_begins_with_what_is_left() -> None:
    made = limited(Limits(max_daily_loss=1000, drawdown_steps=()))
    send(made, terms("BUY", 500))
    trade(made, "98.50")
    made.step(Clock(made.now - made.now % DAY + DAY))
    trade(made, "97.50")
    assert decision(send(made, terms("BUY", 1))).code == "OK"


def test_money_that_comes_or_goes_is_no_profit() -> None:
    made = limited(Limits(max_daily_loss=1000, drawdown_steps=()))
    made.step(Transfer(made.now, "t1", "ann", "ACC", "USD", -500_000 * MONEY))
    assert decision(send(made, terms("BUY", 1))).code == "OK"
    made.step(Transfer(made.now, "t1", "ann", "ACC", "USD", -500_000 * MONEY))
    assert made.accounts["ACC"].cash["USD"] == 500_000 * MONEY - 100 * MONEY


def test_the_kill_switch_cancels_and_a_flatten_closes_once() -> None:
    made = limited(Limits())
    send(made, terms("BUY", 100, strategy="a"), at=made.now)
    send(made, terms("SELL", 30, strategy="b"), at=made.now)
    send(made, terms("BUY", 10, "LIMIT", limit_price="90"), at=made.now)
    out = made.step(SetTradingState(made.now, "kill", "boss", "ACC", "HALTED", "panic"))
    assert [e.status for e in of(out, OrderEvent)] == ["PENDING_CANCEL", "CANCELED"]
    out = made.step(Flatten(made.now, "flat", "boss", "ACC"))
    assert sorted((f.strategy, f.side * f.quantity) for f in of(out, FillBooked)) == [
        ("a", -100),
        ("b", 30),
    ]
    assert all(position.net == 0 for position in made.positions.values())
    out = made.step(Flatten(made.now, "flat", "boss", "ACC"))
    assert [a.code for a in of(out, CommandAnswered)] == ["REPEATED"]
    out = made.step(Flatten(made.now, "flat2", "boss", "ACC"))
    assert of(out, FillBooked) == []


def test_rates_and_duplicates() -> None:
    made = limited(Limits(max_orders=2, order_window=SECOND))
    codes = [decision(send(made, terms("BUY", n, tag=str(n)), at=made.now)).code for n in (1, 2, 3)]
    assert codes == ["OK", "OK", "ORDER_RATE"]
    assert decision(send(made, terms("BUY", 3), at=made.now + SECOND)).code == "OK"
    made = limited(Limits(duplicate_window=SECOND))
    first = made.now
    assert decision(send(made, terms("BUY", 1), at=first)).code == "OK"
    assert decision(send(made, terms("BUY", 1), at=first + SECOND - 1)).code == "DUPLICATE_ORDER"
    assert decision(send(made, terms("BUY", 1, tag="meant"), at=first + SECOND - 1)).code == "OK"
    assert decision(send(made, terms("BUY", 1), at=first + SECOND)).code == "OK"


def test_a_command_is_carried_out_once() -> None:
    made = kernel(paper())
    trade(made, "100")
    order = (terms("BUY", 10),)
    first = made.step(Submit(made.now, "c1", "ann", "ORDER", order))
    again = made.step(Submit(made.now, "c1", "ann", "ORDER", order))
    assert len(of(first, FillBooked)) == 1
    assert [type(each) for each in again] == [CommandAnswered]
    assert again[0].code == "REPEATED"  # type: ignore[union-attr]


def test_limits_of_one_person_are_refused_and_those_to_come_hold_in_time() -> None:
    made = limited(Limits())
    out = set_limits(made, Limits(max_position=1), command_id="l2", approved_by="ann")
    assert of(out, CommandAnswered)[0].code == "LIMITS_REFUSED"
    later = made.now + 10 * SECOND
    set_limits(made, Limits(max_position=1), command_id="l3", limits_id="L3", valid_from=later)
    assert decision(send(made, terms("BUY", 5))).code == "OK"
    assert decision(send(made, terms("BUY", 5), at=later)).code == "POSITION_LIMIT"


def test_other_currencies_count_at_their_rate() -> None:
    made = kernel(paper("tick"), specs=(AAPL, FOREIGN))
    made.step(Tick(START + 1, "EQNR", 25_000, 10))
    set_limits(made, Limits(max_order_notional=10_000, drawdown_steps=()))
    order = terms("BUY", 400, spec=FOREIGN)
    assert decision(send(made, order)).code == "MISSING_RATE"
    made.step(SetRate(made.now, "USD", 1, 1))
    made.step(SetRate(made.now, "NOK", 1, 10))
    assert decision(send(made, order)).code == "OK"  # 100,000 NOK are 10,000 USD
    assert decision(send(made, terms("BUY", 401, spec=FOREIGN))).code == "NOTIONAL_MAX"
    account = made.accounts["ACC"]
    assert account.cash["NOK"] < 0
    equity = account.equity(made.market)
    assert equity is not None
    assert 999_999 * MONEY < equity <= 1_000_000 * MONEY


# --- sizes ----------------------------------------------------------------------------------------


def test_sizes_are_rounded_down() -> None:
    assert sizing.fixed_quantity(COIN, "0.12345") == Decimal("0.123")
    assert sizing.fixed_notional(AAPL, 10_000, "228.25") == 43
    assert sizing.equity_at_risk(AAPL, 100_000, "0.01", entry=100, stop=96) == 250
    assert sizing.equity_at_risk_by_atr(AAPL, 100_000, "0.01", atr="1.5", multiple=2) == 333
    assert sizing.equity_at_risk(FUTURE, 100_000, "0.01", entry=5000, stop="4990.25") == 2
    assert sizing.volatility_target(AAPL, 100_000, "0.10", price=100, volatility="0.25") == 400
    assert sizing.fixed_quantity(FUTURE, 500) == 100  # the market's largest order


@pytest.mark.parametrize(
    "bad",
    [
        lambda: sizing.equity_at_risk(AAPL, 1, 1, entry=5, stop=5),
        lambda: sizing.equity_at_risk_by_atr(AAPL, 1, 1, atr=float("nan")),
        lambda: sizing.equity_at_risk_by_atr(AAPL, 1, 1, atr=0),
        lambda: sizing.fixed_notional(AAPL, 1, 0),
        lambda: sizing.fixed_quantity(AAPL, None),  # type: ignore[arg-type]
    ],
)
def test_a_size_without_its_inputs_is_an_error(bad: Any) -> None:
    with pytest.raises(SizingError):
        bad()
