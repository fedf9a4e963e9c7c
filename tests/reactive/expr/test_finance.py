"""Formulas that a desk writes, with numbers worked out by hand, in Python and in PostgreSQL."""

from __future__ import annotations

import math
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from reactive import Case, Coalesce, Const, Expr, Field, Func, If, NullIf
from tests.reactive.postgres import in_postgres

bid, ask, price, quantity = Field("bid"), Field("ask"), Field("price"), Field("quantity")
current, cost = Field("current_price"), Field("avg_cost")
spot, strike = Field("underlying_price"), Field("strike")
face, coupon, ytm, years = (
    Field("face_value"),
    Field("coupon_rate"),
    Field("yield_to_maturity"),
    Field("years_to_maturity"),
)
notional, daily_vol, z = Field("notional"), Field("daily_vol"), Field("z_score")
strength, side, symbol = Field("strength"), Field("side"), Field("symbol")
rate, vol, rf, expiry = (
    Field("rate"),
    Field("volatility"),
    Field("risk_free_rate"),
    Field("time_to_expiry"),
)

mid = (bid + ask) / 2
spread = ask - bid
pnl = (current - cost) * quantity
call = Func("max", [spot - strike, 0])
put = Func("max", [strike - spot, 0])
signed = If(side == "BUY", quantity, -quantity)
var = notional * daily_vol * z
value = price * quantity

# A coupon bond by the annuity formula: c·F·(1 − (1+y)^−n)/y + F·(1+y)^−n.
discount = (1 + ytm) ** -years
bond = coupon * face * (1 - discount) / ytm + face * discount
# At a yield of zero the formula has no value; then the cash flows just add up.
bond_at_any_yield = Coalesce([bond, face * (1 + coupon * years)])
modified_duration_zero = years / (1 + ytm)
d1 = (Func("log", [spot / strike]) + (rf + vol**2 / 2) * expiry) / (vol * Func("sqrt", [expiry]))

band = Case([(strength > 0.75, "HIGH"), (strength > 0.5, "MEDIUM")], "LOW")
alert = If(pnl < Const(-5000), Const("STOP_LOSS"), Const("OK"))

pytestmark = pytest.mark.usefixtures("both_ways")

CASES: list[tuple[str, Expr, dict[str, Any], Any]] = [
    # Quotes.
    ("mid price", mid, {"bid": 99.5, "ask": 100.5}, 100.0),
    ("mid of a one-sided quote", mid, {"bid": 99.5}, None),
    ("spread", spread, {"bid": 99.5, "ask": 100.25}, 0.75),
    ("spread in basis points of mid", spread / mid * 10_000, {"bid": 99.0, "ask": 101.0}, 200.0),
    ("spread of an empty book", spread / mid * 10_000, {"bid": 0, "ask": 0}, None),
    ("crossed market", bid > ask, {"bid": 101, "ask": 100}, True),
    ("locked market", bid == ask, {"bid": 100, "ask": 100.0}, True),
    (
        "within 1% of the last price",
        abs(price / Field("last") - 1) <= 0.01,
        {"price": 100.5, "last": 100},
        True,
    ),
    # 3·100 + 1·104 over 4 lots.
    (
        "volume-weighted price of two fills",
        (Field("p1") * Field("q1") + Field("p2") * Field("q2")) / (Field("q1") + Field("q2")),
        {"p1": 100, "q1": 3, "p2": 104, "q2": 1},
        101.0,
    ),
    # Size on the bid pulls the price to the ask: (99·1 + 101·3)/4.
    (
        "microprice",
        (bid * Field("ask_size") + ask * Field("bid_size"))
        / (Field("ask_size") + Field("bid_size")),
        {"bid": 99, "ask": 101, "bid_size": 3, "ask_size": 1},
        100.5,
    ),
    # Positions.
    ("profit of a long", pnl, {"current_price": 230, "avg_cost": 220, "quantity": 100}, 1000.0),
    ("loss of a long", pnl, {"current_price": 215.5, "avg_cost": 220, "quantity": 100}, -450.0),
    ("profit of a short", pnl, {"current_price": 215, "avg_cost": 220, "quantity": -100}, 500.0),
    ("profit without a price", pnl, {"avg_cost": 220, "quantity": 100}, None),
    ("market value", value, {"price": 228, "quantity": 50}, 11_400.0),
    ("return on cost", current / cost - 1, {"current_price": 275, "avg_cost": 220}, 0.25),
    ("return on no cost", current / cost - 1, {"current_price": 275, "avg_cost": 0}, None),
    ("signed quantity of a sell", signed, {"side": "SELL", "quantity": 30}, -30.0),
    ("signed quantity without a side", signed, {"quantity": 30}, -30.0),
    ("gross exposure", abs(value), {"price": 10, "quantity": -5}, 50.0),
    (
        "weight in the book",
        value / NullIf(Field("total"), 0),
        {"price": 10, "quantity": 5, "total": 200},
        0.25,
    ),
    (
        "weight in an empty book",
        value / NullIf(Field("total"), 0),
        {"price": 10, "quantity": 5, "total": 0},
        None,
    ),
    ("whole lots of 100", quantity - quantity % 100, {"quantity": 1234}, 1200.0),
    ("whole lots of a short", Func("floor", [quantity / 100]), {"quantity": -150}, -2.0),
    # Fees: 0.35 a contract, at least 1.00, at most 1% of the value: min(max(0.7, 1), 4).
    (
        "commission with floor and cap",
        Func("min", [Func("max", [quantity * 0.35, 1]), value * 0.01]),
        {"quantity": 2, "price": 200},
        1.0,
    ),
    # Options.
    ("call in the money", call, {"underlying_price": 110, "strike": 100}, 10.0),
    ("call out of the money", call, {"underlying_price": 90, "strike": 100}, 0.0),
    ("call without a price", call, {"strike": 100}, None),
    ("put in the money", put, {"underlying_price": 90, "strike": 100}, 10.0),
    (
        "intrinsic value by option type",
        If(Field("option_type") == "CALL", call, put),
        {"option_type": "PUT", "underlying_price": 97.5, "strike": 100},
        2.5,
    ),
    # 5 paid for a call struck at 100: +5 at 110, −5 at 95.
    (
        "profit of a bought call",
        call - Field("premium"),
        {"underlying_price": 110, "strike": 100, "premium": 5},
        5.0,
    ),
    (
        "profit of a worthless call",
        call - Field("premium"),
        {"underlying_price": 95, "strike": 100, "premium": 5},
        -5.0,
    ),
    ("straddle", call + put, {"underlying_price": 92, "strike": 100}, 8.0),
    # max(S − 100, 0) − max(S − 110, 0) caps at 10.
    (
        "bull call spread",
        Func("max", [spot - 100, 0]) - Func("max", [spot - 110, 0]),
        {"underlying_price": 125},
        10.0,
    ),
    ("moneyness", spot / strike, {"underlying_price": 105, "strike": 100}, 1.05),
    # ln 1 = 0; (0 + (0.05 + 0.02)·1)/(0.2·1) = 0.35.
    (
        "d1 of Black and Scholes at the money",
        d1,
        {
            "underlying_price": 100,
            "strike": 100,
            "risk_free_rate": 0.05,
            "volatility": 0.2,
            "time_to_expiry": 1,
        },
        0.35,
    ),
    (
        "d1 at expiry has no value",
        d1,
        {
            "underlying_price": 100,
            "strike": 100,
            "risk_free_rate": 0.05,
            "volatility": 0.2,
            "time_to_expiry": 0,
        },
        None,
    ),
    # 0.8·√(1/4)·0.25·100/… : the at-the-money rule of thumb 0.4·S·σ·√T = 0.4·100·0.25·0.5.
    (
        "at-the-money price by rule of thumb",
        0.4 * spot * vol * Func("sqrt", [expiry]),
        {"underlying_price": 100, "volatility": 0.25, "time_to_expiry": 0.25},
        5.0,
    ),
    # Currencies.
    ("EUR to USD", notional * rate, {"notional": 1_000_000, "rate": 1.25}, 1_250_000.0),
    ("USD to EUR", notional / rate, {"notional": 1_000_000, "rate": 1.25}, 800_000.0),
    (
        "cross rate EURJPY",
        Field("eurusd") * Field("usdjpy"),
        {"eurusd": 1.25, "usdjpy": 120},
        150.0,
    ),
    ("quote currency of a pair", Field("pair").substring(3, 3), {"pair": "EURUSD"}, "USD"),
    (
        "pip of a yen pair",
        If(Field("pair").ends_with("JPY"), 0.01, 0.0001),
        {"pair": "USDJPY"},
        0.01,
    ),
    # 1.10·(1 + 0.04·0.5)/(1 + 0.02·0.5) = 1.10·1.02/1.01.
    (
        "forward rate by interest parity",
        rate * (1 + Field("quote_rate") * expiry) / (1 + Field("base_rate") * expiry),
        {"rate": 1.1, "quote_rate": 0.04, "base_rate": 0.02, "time_to_expiry": 0.5},
        1.110891089108911,
    ),
    # Bonds.
    # At par yield the price is par.
    (
        "bond at par",
        bond,
        {
            "face_value": 1000,
            "coupon_rate": 0.05,
            "yield_to_maturity": 0.05,
            "years_to_maturity": 10,
        },
        1000.0,
    ),
    # 1000/1.1² = 826.446…, and 50·(1/1.1 + 1/1.21) = 86.777…
    (
        "bond below par",
        bond,
        {"face_value": 1000, "coupon_rate": 0.05, "yield_to_maturity": 0.1, "years_to_maturity": 2},
        913.2231404958678,
    ),
    (
        "bond at a yield of zero",
        bond_at_any_yield,
        {"face_value": 1000, "coupon_rate": 0.05, "yield_to_maturity": 0, "years_to_maturity": 2},
        1100.0,
    ),
    (
        "zero-coupon bond",
        face * discount,
        {"face_value": 1000, "yield_to_maturity": 0.25, "years_to_maturity": 2},
        640.0,
    ),
    (
        "modified duration of a zero",
        modified_duration_zero,
        {"years_to_maturity": 5, "yield_to_maturity": 0.25},
        4.0,
    ),
    # −4·0.01·640.
    (
        "price change by duration",
        -Field("duration") * Field("shift") * price,
        {"duration": 4, "shift": 0.01, "price": 640},
        -25.6,
    ),
    (
        "current yield",
        coupon * face / price,
        {"coupon_rate": 0.05, "face_value": 1000, "price": 800},
        0.0625,
    ),
    # 31 January to 1 March 2026 are 29 days.
    (
        "accrued interest, actual over 365",
        face
        * coupon
        * Func("days_between", [Field("last_coupon", date), Field("settle", date)])
        / 365,
        {
            "face_value": 1000,
            "coupon_rate": 0.0365,
            "last_coupon": date(2026, 1, 31),
            "settle": date(2026, 3, 1),
        },
        2.9,
    ),
    # e^(−0.05·2) = 0.904837…
    (
        "continuous discount factor",
        Func("exp", [-rf * expiry]),
        {"risk_free_rate": 0.05, "time_to_expiry": 2},
        0.9048374180359595,
    ),
    # Risk.
    ("value at risk", var, {"notional": 1_000_000, "daily_vol": 0.02, "z_score": 1.65}, 33_000.0),
    (
        "over ten days",
        var * Func("sqrt", [Const(10)]),
        {"notional": 100_000, "daily_vol": 0.01, "z_score": 2},
        6324.555320336759,
    ),
    (
        "limit breached",
        var > Field("limit"),
        {"notional": 1_000_000, "daily_vol": 0.02, "z_score": 1.65, "limit": 30_000},
        True,
    ),
    (
        "limit unknown",
        var > Field("limit"),
        {"notional": 1_000_000, "daily_vol": 0.02, "z_score": 1.65},
        None,
    ),
    (
        "breached or halted",
        (var > Field("limit")) | Field("halted"),
        {"halted": True},
        True,
    ),
    (
        "share of the limit used, in %",
        round(Field("used") / Field("limit") * 100, 1),
        {"used": 1, "limit": 3},
        33.3,
    ),
    # Signals and alerts.
    ("strong signal", band, {"strength": 0.8}, "HIGH"),
    ("on the border of two bands", band, {"strength": 0.75}, "MEDIUM"),
    ("no signal", band, {}, "LOW"),
    ("stop loss", alert, {"current_price": 100, "avg_cost": 160, "quantity": 100}, "STOP_LOSS"),
    ("just not stopped", alert, {"current_price": 110, "avg_cost": 160, "quantity": 100}, "OK"),
    ("no alert without a price", alert, {"avg_cost": 160, "quantity": 100}, "OK"),
    (
        "trailing stop",
        price <= Field("high_water") * (1 - Field("trail")),
        {"price": 90, "high_water": 100, "trail": 0.1},
        True,
    ),
    (
        "take profit or stop",
        ~price.between(Field("stop"), Field("target")),
        {"price": 121, "stop": 90, "target": 120},
        True,
    ),
    ("z-score", (price - Field("mean")) / Field("std"), {"price": 104, "mean": 100, "std": 2}, 2.0),
    (
        "z-score of what never moved",
        (price - Field("mean")) / Field("std"),
        {"price": 104, "mean": 100, "std": 0},
        None,
    ),
    ("log return", Func("log", [price / Field("last")]), {"price": math.e, "last": 1}, 1.0),
    # Orders.
    (
        "order may be sent",
        (quantity > 0) & side.is_in(["BUY", "SELL"]) & ~symbol.is_null(),
        {"quantity": 10, "side": "BUY", "symbol": "AAPL"},
        True,
    ),
    (
        "order of nothing",
        (quantity > 0) & side.is_in(["BUY", "SELL"]),
        {"quantity": 0, "side": "BUY"},
        False,
    ),
    ("share class", symbol.upper().starts_with("BRK."), {"symbol": "brk.b"}, True),
    (
        "display name",
        symbol.concat(" ").concat(side),
        {"symbol": "AAPL", "side": "BUY"},
        "AAPL BUY",
    ),
    (
        "age in full weeks",
        Func("floor", [Func("days_between", [Field("d", date), date(2026, 3, 1)]) / 7]),
        {"d": date(2026, 2, 1)},
        4.0,
    ),
    # Cents that no double holds: 0.10 + 0.20.
    (
        "cash to the cent",
        Field("a", Decimal) + Field("b", Decimal),
        {"a": Decimal("0.10"), "b": Decimal("0.20")},
        Decimal("0.30"),
    ),
    (
        "tax of a fill",
        round(Field("a", Decimal) * Decimal("0.19"), 2),
        {"a": Decimal("1.50")},
        Decimal("0.28"),
    ),
]


@pytest.mark.parametrize(
    ("expr", "row", "expected"), [c[1:] for c in CASES], ids=[c[0] for c in CASES]
)
def test_formula(postgres: Any, expr: Expr, row: dict[str, Any], expected: Any) -> None:
    result = expr.eval(row)
    assert result == (
        pytest.approx(expected, rel=1e-12) if isinstance(expected, float) else expected
    )
    assert isinstance(result, type(expected))
    stored = in_postgres(postgres, expr.to_sql(), None, [row])[0]
    assert stored == result
