"""A backtest against a plain loop over the same prices: the same fills, fees and equity."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Any

import pandas as pd
import pytest

from tests.trading.backtest.market import daily, minutes, ticks
from trading.backtest import Backtest
from trading.brokers import BasisPoints, PerShare
from trading.indicators import SMA
from trading.strategy import Bar, Context, Strategy


class Crossing(Strategy):
    """Long while the fast average is above the slow one, else short."""

    class Parameters:
        fast: int = 5
        slow: int = 12

    def on_start(self, ctx: Context) -> None:
        self.fast = ctx.indicator(SMA(self.parameters.fast), self.symbol)
        self.slow = ctx.indicator(SMA(self.parameters.slow), self.symbol)

    def on_bar(self, ctx: Context, bar: Bar) -> None:
        if self.fast.crossed_above(self.slow):
            ctx.buy(bar.symbol, int(100 - ctx.position(bar.symbol)))
        elif self.fast.crossed_below(self.slow):
            ctx.sell(bar.symbol, int(100 + ctx.position(bar.symbol)))


def exact(number: Any) -> Fraction:
    return Fraction(repr(float(number)))


def wanted_positions(closes: list[Fraction], fast: int, slow: int) -> list[int | None]:
    """What the strategy wants to hold after each bar; None where it changes nothing."""

    def mean(at: int, length: int) -> Fraction | None:
        return None if at + 1 < length else sum(closes[at + 1 - length : at + 1]) / length

    wanted: list[int | None] = []
    for at in range(len(closes)):
        now, then = (mean(at, fast), mean(at, slow)), (mean(at - 1, fast), mean(at - 1, slow))
        if at == 0 or then[0] is None or then[1] is None or now[0] is None or now[1] is None:
            wanted.append(None)
        elif then[0] <= then[1] and now[0] > now[1]:
            wanted.append(100)
        elif then[0] >= then[1] and now[0] < now[1]:
            wanted.append(-100)
        else:
            wanted.append(None)
    return wanted


def fee(model: str, size: int, price: Fraction) -> Fraction:
    if model == "per share":
        return max(Fraction(size) * Fraction("0.005"), Fraction(1))
    return Fraction(size) * price * 10 / 10_000


def plain_loop(
    frame: pd.DataFrame, model: str, fees: str, slip: Fraction, fast: int = 5, slow: int = 12
) -> tuple[list[tuple[int, int, Fraction, Fraction]], list[Fraction]]:
    """Fills as (bar, signed size, price, fee), and equity after each bar, all exact."""
    opens, closes = ([exact(x) for x in frame[name]] for name in ("open", "close"))
    wanted = wanted_positions(closes, fast, slow)
    cash, held, waiting = Fraction(100_000), 0, 0
    fills, equity = [], []

    def trade(at: int, size: int, price: Fraction) -> None:
        nonlocal cash, held
        paid = price + slip * (1 if size > 0 else -1)
        cost = fee(fees, abs(size), paid)
        cash -= size * paid + cost
        held += size
        fills.append((at, size, paid, cost))

    for at, (opened, closed) in enumerate(zip(opens, closes, strict=True)):
        if waiting:
            trade(at, waiting, opened if model in ("next_open", "intrabar") else closed)
            waiting = 0
        want = wanted[at]
        if want is not None and want != held:
            if model == "this_close":
                trade(at, want - held, closed)
            else:
                waiting = want - held
        equity.append(cash + held * closed)
    return fills, equity


MODELS = ("next_open", "this_close", "next_close", "intrabar")


@pytest.mark.parametrize("fees", ["per share", "basis points"])
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("prices", ["daily AAPL", "daily IBM", "minutes"])
def test_fills_fees_and_equity_are_those_of_a_plain_loop(
    prices: str, model: str, fees: str
) -> None:
    frame = minutes() if prices == "minutes" else daily(prices.split()[1])
    symbol = frame["symbol"].iloc[0]
    commission = PerShare("0.005", "1.00") if fees == "per share" else BasisPoints(10)
    result = Backtest(
        Crossing(symbols=[symbol]),
        frame,
        cash=100_000,
        fill=model,
        commission=commission,
        slippage="2 ticks",
    ).run()
    spec = result.market.specs[symbol]
    fills, equity = plain_loop(frame, model, fees, 2 * Fraction(spec.price(spec.price_increment)))
    assert len(fills) > 60
    assert not result.stopped
    got = result.fills.to_pandas()
    assert [
        (int(q) if s == "BUY" else -int(q), Fraction(p), Fraction(f))
        for s, q, p, f in zip(got.side, got.quantity, got.price, got.fees, strict=True)
    ] == [(size, price, Fraction(round(paid * 10**10), 10**10)) for _, size, price, paid in fills]
    starts = frame["timestamp"].to_list()
    at_open = model in ("next_open", "intrabar")
    if at_open:
        assert got["timestamp"].to_list() == [starts[at] for at, *_ in fills]
    curve = result.equity.to_pandas()["equity"].to_list()
    assert len(curve) == len(equity)
    assert max(abs(a - float(b)) for a, b in zip(curve, equity, strict=True)) < 0.005
    assert abs(Fraction(result.final_equity) - equity[-1]) < Fraction(1, 10**6)


@pytest.mark.parametrize("quotes", [False, True])
def test_ticks_fill_at_once_at_the_last_trade_or_the_opposite_quote(quotes: bool) -> None:
    frame = ticks(rows=20_000, quotes=quotes)
    result = Backtest(
        Crossing(symbols=["SIM"]),
        frame,
        cash=100_000,
        fill="tick",
        commission=PerShare("0.005", "1"),
    ).run()
    stamps = frame["timestamp"].dt.as_unit("ns").astype("int64").to_list()
    minute = 60 * 10**9
    bars: dict[int, list[int]] = {}
    for row, stamp in enumerate(stamps):
        bars.setdefault(stamp // minute, []).append(row)
    closes = [exact(frame["price"].iloc[rows[-1]]) for rows in bars.values()]
    ends = [(key + 1) * minute for key in bars]
    cash, held, fills, equity = Fraction(100_000), 0, [], []
    for at, want in enumerate(wanted_positions(closes, 5, 12)):
        if want is not None and want != held:
            size, row = want - held, list(bars.values())[at][-1]
            name = ("ask" if size > 0 else "bid") if quotes else "price"
            price = exact(frame[name].iloc[row])
            cost = fee("per share", abs(size), price)
            cash -= size * price + cost
            held = want
            fills.append((ends[at], size, price, cost))
        equity.append(cash + held * closes[at])
    got = result.fills.to_pandas()
    assert len(fills) > 20
    assert [
        (t.value, int(q) if s == "BUY" else -int(q), Fraction(p), Fraction(f))
        for t, s, q, p, f in zip(
            got.timestamp.dt.as_unit("ns"), got.side, got.quantity, got.price, got.fees, strict=True
        )
    ] == fills
    curve = result.equity.to_pandas()["equity"].to_list()
    assert len(curve) == len(equity)
    assert max(abs(a - float(b)) for a, b in zip(curve, equity, strict=True)) < 0.005


def test_the_same_run_has_the_same_digest_and_another_one_another() -> None:
    frame = daily()
    runs = [
        Backtest(Crossing(symbols=["AAPL"], fast=fast), frame, cash=100_000).run()
        for fast in (5, 5, 6)
    ]
    assert runs[0].digest == runs[1].digest != runs[2].digest
    assert runs[0].final_equity == runs[1].final_equity
    assert isinstance(runs[0].final_equity, Decimal)
