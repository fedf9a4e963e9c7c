"""How fast figures are computed; every figure with its rival in the same run.

    python benchmarks/metrics.py [--years 10] [--fills 10000]

The work: all figures of `equity_metrics` for ten years of daily equity as a pandas series, against
the eleven of them that empyrical-reloaded has too; round trips of fills with MAE and MFE on
one-minute bars, against a plain loop over the bars; a report. Rivals take turns, and the best of
several rounds counts: compare ratios. Times are the process's own.
"""

from __future__ import annotations

import argparse
import gc
import sys
import time
from collections.abc import Callable
from pathlib import Path

import empyrical
import numpy as np
import pandas as pd

# Run as a script, it finds the packages beside its folder.
sys.path[0] = str(Path(__file__).resolve().parent.parent)

from trading.metrics import Prices, equity_metrics, round_trips  # noqa: E402
from trading.metrics.round_trips import RoundTrip  # noqa: E402
from trading.positions import Fill  # noqa: E402
from trading.reports import Report  # noqa: E402

ROUNDS = 5
MINUTE = 60 * 10**9


def best(runs: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Seconds of each, the best of the rounds; they take turns."""
    seconds = dict.fromkeys(runs, float("inf"))
    for _round in range(ROUNDS):
        for name, run in runs.items():
            gc.collect()
            begin = time.process_time()
            run()
            seconds[name] = min(seconds[name], time.process_time() - begin)
    return seconds


def of_equity(years: int) -> None:
    days = pd.bdate_range("2016-01-04", periods=252 * years)
    steps = np.random.default_rng(3).normal(0.0004, 0.01, len(days))
    equity = pd.Series(100_000 * np.cumprod(1 + steps), days, name="equity")

    def rival() -> list[float]:
        returns = equity.pct_change().dropna()
        return [
            empyrical.cum_returns_final(returns),
            empyrical.annual_return(returns),
            empyrical.annual_volatility(returns),
            empyrical.downside_risk(returns),
            empyrical.sharpe_ratio(returns),
            empyrical.sortino_ratio(returns),
            empyrical.max_drawdown(returns),
            empyrical.calmar_ratio(returns),
            empyrical.value_at_risk(returns),
            empyrical.omega_ratio(returns),
            empyrical.tail_ratio(returns),
        ]

    found = best({"ours": lambda: equity_metrics(equity), "empyrical": rival})
    print(
        f"figures of {len(days):,} days: ours {len(equity_metrics(equity))} in "
        f"{found['ours'] * 1e3:.2f} ms, empyrical 11 in {found['empyrical'] * 1e3:.2f} ms "
        f"({found['empyrical'] / found['ours']:.1f} x)"
    )


def of_trades(count: int) -> None:
    rng = np.random.default_rng(5)
    bars = count * 10
    times = 1_700_000_000 * 10**9 + np.arange(bars) * MINUTE
    close = np.round(100 * np.exp(np.cumsum(rng.normal(0, 0.0005, bars))), 2)
    frame = pd.DataFrame(
        {"timestamp": times, "high": close * 1.001, "low": close * 0.999, "close": close}
    )
    fills = []
    for n in range(count):
        side, price, at = "SELL" if n % 2 else "BUY", str(close[n * 10]), int(times[n * 10])
        fills.append(Fill("A", "s", "X", f"o{n}", f"f{n}", side, 10, price, "1", at))
    prices = Prices.of(frame)
    trips = round_trips(fills, prices=prices)
    starts, lows, highs = times.tolist(), frame["low"].tolist(), frame["high"].tolist()

    def rival() -> None:
        """One pass over the bars, which knows the trades already."""
        at = 0
        for trip in trips:
            low, high = float("inf"), 0.0
            while at < len(starts) and starts[at] < trip.entry_time:
                at += 1
            while at < len(starts) and starts[at] < trip.exit_time:
                low, high = min(low, lows[at]), max(high, highs[at])
                at += 1

    def ours() -> list[RoundTrip]:
        return round_trips(fills, prices=prices)

    without = best({"trips": ours, "matching": lambda: round_trips(fills), "loop": rival})
    print(
        f"round trips of {count:,} fills over {bars:,} bars: {without['trips'] * 1e3:.0f} ms, of "
        f"these lots and matches {without['matching'] * 1e3:.0f} ms; a bare loop over the bars "
        f"that knows the trades {without['loop'] * 1e3:.0f} ms"
    )


def of_report() -> None:
    days = pd.bdate_range("2016-01-04", periods=2520)
    steps = np.random.default_rng(3).normal(0.0004, 0.01, len(days))
    equity = pd.Series(100_000 * np.cumprod(1 + steps), days, name="equity")
    report = Report.of(equity)
    begin = time.process_time()
    page = report.html()
    print(f"page of ten years: {len(page) / 1e3:.0f} kB in {time.process_time() - begin:.2f} s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--years", type=int, default=10)
    parser.add_argument("--fills", type=int, default=10_000)
    options = parser.parse_args()
    of_equity(options.years)
    of_trades(options.fills)
    of_report()


if __name__ == "__main__":
    main()
