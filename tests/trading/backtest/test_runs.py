"""Data of every form, bounds, accounts, outputs, sweeps that go on, walk-forward, commands."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.processes import ROOT
from tests.trading.backtest.market import daily, minutes, ticks
from trading.backtest import Backtest, load_strategy, sweep, walk_forward
from trading.cli import main
from trading.errors import BacktestError
from trading.instruments import Instrument
from trading.risk import Limits
from trading.strategy import Bar, Context, Strategy
from trading.strategy.examples import SmaCross

WHERE = "trading.strategy.examples:SmaCross"


def backtest(data: Any, **more: Any) -> Backtest:
    return Backtest(SmaCross(symbols=["AAPL"], fast=5, slow=15), data, cash=100_000, **more)


def test_the_same_prices_in_any_form_give_the_same_run(tmp_path: Path) -> None:
    frame = daily(rows=400)
    csv, parquet = tmp_path / "AAPL.csv", tmp_path / "AAPL.parquet"
    frame.to_csv(csv, index=False)
    frame.to_parquet(parquet)
    plain = frame.drop(columns="symbol")
    capital = plain.rename(columns=str.capitalize).rename(columns={"Timestamp": "Date"})
    forms: list[Any] = [
        frame,
        pl.from_pandas(frame),
        pa.Table.from_pandas(frame, preserve_index=False),
        csv,
        str(parquet),
        [csv],
        {"AAPL": plain},
        plain,
        capital.set_index("Date"),
        frame.iloc[::-1],
    ]
    digests = {backtest(form).run().digest for form in forms}
    assert len(digests) == 1


class Store:
    """Anything with the read of a tick store."""

    def __init__(self, table: pa.Table) -> None:
        self.table = table
        self.asked: list[Any] = []

    def read(self, symbols: Any, start: Any, end: Any) -> pa.Table:
        self.asked.append((symbols, start, end))
        return self.table


def test_a_tick_store_is_asked_for_its_symbols_and_bounds() -> None:
    frame = ticks(rows=2_000)
    store = Store(pa.Table.from_pandas(frame, preserve_index=False))
    strategy = SmaCross(symbols=["SIM"], fast=3, slow=8, timeframes=["1m"])
    strategy.warmup = 0
    more: dict[str, Any] = {"cash": 10**5, "fill": "tick", "end": "2024-01-02T15:30:00Z"}
    found = Backtest(strategy, store, **more).run()
    assert store.asked[0][0] == ["SIM"]
    assert store.asked[0][2] == 1_704_209_400 * 10**9
    assert found.digest == Backtest(strategy, frame, **more).run().digest
    assert len(found.fills) > 5


def test_only_what_lies_within_the_bounds_counts_and_the_warm_up_comes_before() -> None:
    frame = daily(rows=600)
    result = backtest(frame, start="2001-01-01", end="2002-01-01").run()
    stamps = result.equity.to_pandas()["timestamp"]
    assert stamps.min() > frame["timestamp"][frame["timestamp"] >= "2001-01-01"].min()
    assert stamps.max() <= frame["timestamp"][frame["timestamp"] >= "2002-01-01"].min()
    orders = result.orders.to_pandas()["timestamp"]
    assert orders.min().year == 2001
    # The averages were warm at the start: another run, from the beginning, trades the same.
    whole = backtest(frame, end="2002-01-01").run().signals.to_pandas()
    late = result.signals.to_pandas()
    assert set(late[late.action == "BUY"].timestamp) <= set(whole.timestamp)


@pytest.mark.parametrize(
    ("data", "more", "message"),
    [
        (daily(rows=5).drop(columns="close"), {}, "needs timestamp and either open"),
        (daily(rows=5), {"start": "2020-01-01"}, "no prices"),
        (daily(rows=5), {"start": "2002-01-01", "end": "2001-01-01"}, "is not before end"),
        (daily(rows=5), {"start": "soon"}, "is no time"),
        (daily("IBM", rows=5), {}, "no prices of AAPL"),
        (daily(rows=5).iloc[[0, 1, 1]], {}, "share symbol and timestamp"),
        (42, {}, "expected a pandas or polars frame"),
        (daily(rows=5), {"outputs": "some"}, "none of full, matches-only"),
        (daily(rows=5), {"warmup": 500}, "the data has 5"),
        (daily(rows=50), {"cash": {"A": 1, "B": 2}}, "which has no cash"),
    ],
)
def test_what_cannot_be_run_is_told(data: Any, more: dict[str, Any], message: str) -> None:
    given = {"cash": 100_000, **more}
    with pytest.raises(BacktestError, match=message):
        Backtest(SmaCross(symbols=["AAPL"]), data, **given).run()


def test_known_instruments_keep_their_increments_and_others_get_fine_ones() -> None:
    frame = minutes(rows=50)
    frame["symbol"] = "AAPL"
    known = Instrument("AAPL")
    result = Backtest(SmaCross(symbols=["AAPL"]), frame, cash=1, instruments=[known]).run()
    assert result.notes == []
    frame["close"] = frame["high"] = (frame["high"] + 0.001234567).round(9)
    with pytest.raises(BacktestError, match="more decimals than the instrument's 2"):
        Backtest(SmaCross(symbols=["AAPL"]), frame, cash=1, instruments=[known]).run()
    research = Backtest(SmaCross(symbols=["AAPL"]), frame, cash=1).run()
    assert "price increment of 1e-9" in research.notes[0]
    assert research.bars.to_pandas()["close"].to_list() == frame["close"].to_list()


def test_matches_only_keeps_matches_and_equity_of_the_same_run() -> None:
    frame = daily(rows=600)
    full, short = backtest(frame).run(), backtest(frame, outputs="matches-only").run()
    assert short.digest == full.digest
    assert short.matches.equals(full.matches)
    assert short.equity.equals(full.equity)
    assert (len(short.orders), len(short.fills)) == (0, 0)
    assert len(full.fills) > 10


def test_strategies_have_accounts_and_capital_of_their_own() -> None:
    both = [SmaCross(name="a", account="A", fast=5, slow=15), SmaCross(name="b", account="B")]
    result = Backtest(both, daily(rows=600), cash={"A": 50_000, "B": 70_000}).run()
    parts = [result.equity_of(name).column("equity").to_pylist() for name in "AB"]
    total = result.equity.column("equity").to_pylist()
    assert (parts[0][0], parts[1][0]) == (50_000.0, 70_000.0)
    assert total == pytest.approx([a + b for a, b in zip(*parts, strict=True)])
    alone = Backtest(both[0], daily(rows=600), cash={"A": 50_000}).run()
    assert alone.equity.column("equity").to_pylist() == parts[0]


def test_limits_refuse_and_the_order_says_why() -> None:
    class Big(Strategy):
        def on_bar(self, ctx: Context, bar: Bar) -> None:
            ctx.buy(bar.symbol, 10_000)

    limits = Limits(max_order_notional=1_000, drawdown_steps=())
    result = Backtest(Big(), daily(rows=10), cash=10**9, limits=limits).run()
    # The first order comes with the first price; all of them are too large.
    assert len(result.fills) == 0
    assert {r.split(":")[0] for r in result.orders.to_pandas().reason} == {"NOTIONAL_MAX"}


# --- many runs ------------------------------------------------------------------------------------


def test_a_sweep_in_processes_equals_one_by_one_and_goes_on_where_it_was(tmp_path: Path) -> None:
    made, grid = backtest(daily(rows=500)), {"fast": [3, 5], "slow": [12, 20]}
    keep = tmp_path / "sweep.jsonl"
    told: list[tuple[int, int]] = []
    first = sweep(made, grid, processes=2, keep=keep, progress=lambda *done: told.append(done))
    assert told[0] == (0, 4)
    assert told[-1] == (4, 4)
    alone = sweep(made, grid, processes=1)
    assert first.rows == alone.rows
    assert first.best in [{"fast": f, "slow": s} for f in (3, 5) for s in (12, 20)]
    assert 0 <= first.deflated_sharpe <= 1
    # A kill in the middle of a line leaves half of it: that run is made again, the others not.
    lines = keep.read_bytes().splitlines(keepends=True)
    keep.write_bytes(b"".join(lines[:2]) + lines[2][:30])
    again = sweep(made, {**grid, "fast": [3, 5, 7]}, processes=1, keep=keep)
    assert again.resumed == 2
    assert len(keep.read_bytes().splitlines()) == 6
    assert [r for r in again.rows if r["fast"] != 7] == first.rows
    # Another strategy or other prices do not take these results for theirs.
    assert sweep(backtest(daily(rows=499)), grid, processes=1, keep=keep).resumed == 0


@pytest.mark.timeout(300)
def test_a_sweep_that_is_killed_goes_on(tmp_path: Path) -> None:
    prices, keep = tmp_path / "AAPL.csv", tmp_path / "keep.jsonl"
    daily(rows=2_500).to_csv(prices, index=False)
    command = [sys.executable, "-m", "trading", "backtest", str(prices), "--strategy", WHERE]
    command += ["--sweep", "fast=3,4,5,6,7,8", "--sweep", "slow=20,30,40", "--keep", str(keep)]
    process = subprocess.Popen(
        [*command, "--processes", "1"], cwd=ROOT, stdout=subprocess.DEVNULL, start_new_session=True
    )
    until = time.monotonic() + 200
    while not (keep.exists() and keep.read_bytes().count(b"\n") >= 3):
        assert process.poll() is None
        assert time.monotonic() < until
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    kept = keep.read_bytes().count(b"\n")
    assert 3 <= kept < 18
    # What is kept is found again by another process, whatever its addresses and hash seed.
    done = subprocess.run(
        [*command, "--processes", "2", "--json"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert len(json.loads(done.stdout)["runs"]) == 18
    assert len(keep.read_bytes().splitlines()) == 18


def test_a_strategy_that_no_other_process_finds_is_told() -> None:
    class Local(Strategy):
        class Parameters:
            x: int = 1

    made = Backtest(Local(), daily(rows=50), cash=1)
    with pytest.raises(BacktestError, match="cannot be found by other processes"):
        sweep(made, {"x": [1, 2]}, processes=2)
    with pytest.raises(BacktestError, match="expected a list of values"):
        sweep(made, {"x": 5}, processes=1)  # type: ignore[dict-item]


def test_walk_forward_tests_on_what_it_did_not_choose_by() -> None:
    made = backtest(daily(rows=1_200))
    found = walk_forward(
        made, {"fast": [3, 6], "slow": [15]}, train="500D", test="300D", processes=1
    )
    table = found.table.to_pandas()
    assert len(table) >= 3
    assert (table.test_start - table.train_start).dt.days.eq(500).all()
    times = found.equity.to_pandas()["timestamp"]
    assert times.is_monotonic_increasing
    assert times.is_unique
    assert found.metrics["observations"] > 500
    with pytest.raises(BacktestError, match="no longer than"):
        walk_forward(made, {"fast": [3]}, train="9000D", test="1D", processes=1)


# --- commands -------------------------------------------------------------------------------------


def test_the_command_writes_tables_and_tells_the_digest(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prices = tmp_path / "AAPL.csv"
    daily(rows=500).to_csv(prices, index=False)
    out = tmp_path / "out"
    command = ["backtest", str(prices), "--strategy", WHERE, "--set", "fast=5", "--json"]
    assert main([*command, "--output", str(out), "--commission", "bps 10"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["digest"] == json.loads((out / "summary.json").read_text())["digest"]
    assert len(pq.read_table(out / "fills.parquet")) == told["fills"] > 5
    assert main([*command, "--set", "fsat=5"]) == 3
    assert "did you mean fast?" in capsys.readouterr().err
    assert main([*command, "--commission", "free"]) == 3
    assert "unknown model 'free'" in capsys.readouterr().err


def test_a_strategy_of_a_file_that_raises_ends_with_status_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prices, file = tmp_path / "AAPL.csv", tmp_path / "mine.py"
    daily(rows=50).to_csv(prices, index=False)
    file.write_text(
        "from trading.strategy import Strategy\n\n\nclass Mine(Strategy):\n"
        "    def on_bar(self, ctx, bar):\n        raise ValueError('no idea')\n"
    )
    assert main(["backtest", str(prices), "--strategy", str(file)]) == 1
    assert "Mine was stopped by its error in on_bar: ValueError: no idea" in capsys.readouterr().err
    assert type(load_strategy(f"{file}:Mine")).__name__ == "Mine"
    for wrong, message in ((f"{file}:Other", "it has Mine"), ("no.such:X", "no module")):
        with pytest.raises(BacktestError, match=message):
            load_strategy(wrong)


def test_check_is_a_command_with_a_verdict(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prices = tmp_path / "AAPL.csv"
    daily(rows=800).to_csv(prices, index=False)
    assert main(["check", "lookahead", str(prices), "--strategy", WHERE, "--cuts", "4"]) == 0
    assert "lookahead: clean" in capsys.readouterr().out
    short = ["check", "warmup", str(prices), "--strategy", WHERE, "--warmup", "3"]
    assert main(short) == 1
    assert "it needs a longer warm-up" in capsys.readouterr().out
