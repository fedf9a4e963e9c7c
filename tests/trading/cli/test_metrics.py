"""`python -m trading metrics` and `report`, on files of each kind."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.processes import ROOT
from trading.cli import main
from trading.metrics import equity_metrics, equity_of_fills

DAYS = [f"2026-01-{day:02}" for day in range(5, 10)]
EQUITY = [100.0, 101.0, 99.0, 103.0, 102.0]
FILLS = (
    "timestamp,symbol,side,quantity,price,fees,order_id,fill_id\n"
    "2026-01-06T15:00:00Z,AAPL,BUY,10,100.10,1,o1,f1\n"
    "2026-01-08T15:00:00Z,AAPL,SELL,10,105.30,1,o2,f2\n"
    "2026-01-09T15:00:00Z,AAPL,BUY,5,105.30,1,o3,f3\n"
)
MATCHES = (
    "matchId,accountId,strategyId,symbol,matchedQty,buyPrice,sellPrice,realizedPnl,matchTimestamp\n"
    "m1,ACC,trend,AAPL,10,100,105,50,2026-01-08T23:30:00Z\n"
    "m2,ACC,trend,AAPL,10,100,98,-20,2026-01-09T15:00:00Z\n"
)


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TRADING_SETTINGS", raising=False)


def shown(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, dict[str, float]]:
    assert main(["metrics", *arguments, "--json"]) == 0
    found: dict[str, dict[str, float]] = json.loads(capsys.readouterr().out)
    return found


def test_equity_in_each_kind_of_file(capsys: pytest.CaptureFixture[str]) -> None:
    frame = pd.DataFrame({"timestamp": DAYS, "equity": EQUITY})
    frame.to_csv("equity.csv", index=False)
    pq.write_table(pa.Table.from_pandas(frame), "equity.parquet")
    Path("equity.json").write_text(frame.to_json(orient="records"))
    Path("columns.json").write_text(json.dumps({"timestamp": DAYS, "equity": EQUITY}))
    expected = equity_metrics(frame)
    for name in ("equity.csv", "equity.parquet", "equity.json", "columns.json"):
        found = shown(capsys, name)["equity"]
        assert found == pytest.approx(expected, nan_ok=True)
    assert shown(capsys, "equity.csv", "--periods", "365")["equity"] == pytest.approx(
        equity_metrics(frame, periods=365)
    )
    by_setting = shown(capsys, "equity.csv", "--set", "metrics.periods=365")["equity"]
    assert by_setting["sharpe"] == pytest.approx(equity_metrics(frame, periods=365)["sharpe"])
    assert "deflated_sharpe" in shown(capsys, "equity.csv", "--trials", "50")["equity"]


def test_text_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    Path("equity.csv").write_text("date,equity\n2026-01-05,100\n2026-01-06,100\n2026-01-07,102\n")
    assert main(["metrics", "equity.csv"]) == 0
    lines = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert lines["total_return"] == "2.000 %"
    assert lines["observations"] == "2"
    assert lines["average_loss"] == "-"


def test_fills_with_a_snapshot_of_what_is_open(capsys: pytest.CaptureFixture[str]) -> None:
    Path("fills.csv").write_text(FILLS)
    found = shown(capsys, "fills.csv", "--cash", "10000", "--final-prices", "AAPL=106.30")
    assert found["equity"]["total_return"] == pytest.approx((52 - 3 + 5) / 10_000)
    assert found["round_trips"]["net_pnl"] == 50.0
    without = shown(capsys, "fills.csv", "--cash", "10000")
    assert without["equity"]["total_return"] == pytest.approx((52 - 3) / 10_000)
    expected = equity_metrics(equity_of_fills(pd.read_csv("fills.csv"), cash=10_000))
    assert without["equity"]["sharpe"] == pytest.approx(expected["sharpe"])


def test_trade_matches_by_day_in_oslo(capsys: pytest.CaptureFixture[str]) -> None:
    Path("matches.csv").write_text(MATCHES)
    found = shown(capsys, "matches.csv", "--cash", "1000")["equity"]
    # Both are of the 9th in Oslo.
    assert found["observations"] == 1
    assert found["total_return"] == pytest.approx(0.03)
    utc = shown(capsys, "matches.csv", "--cash", "1000", "--time-zone", "UTC")["equity"]
    assert utc["observations"] == 2
    assert utc["max_drawdown"] == pytest.approx(-20 / 1050)
    more = shown(capsys, "matches.csv", "--cash", "1000", "--unrealized", "-10")["equity"]
    assert more["total_return"] == pytest.approx(0.02)


def test_the_command_as_a_process() -> None:
    Path("equity.csv").write_text("timestamp,equity\n2026-01-05,100\n2026-01-06,101\n")
    done = subprocess.run(
        [sys.executable, "-m", "trading", "metrics", str(Path("equity.csv").resolve())],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "total_return" in done.stdout


@pytest.mark.parametrize(
    ("content", "name", "options", "message"),
    [
        (None, "gone.csv", [], "there is no file gone.csv"),
        ("a,b\n1,2\n", "odd.csv", [], "a column equity or returns, seen a, b"),
        ("", "empty.csv", [], "empty.csv cannot be read"),
        ("{", "odd.json", [], "odd.json cannot be read"),
        ("3", "three.json", [], "a list of objects"),
        ("x", "odd.parquet", [], "odd.parquet cannot be read"),
        ("x", "odd.txt", [], "must end in .csv, .parquet or .json"),
        ("date,equity\n2026-01-05,100\n", "one.csv", [], "at least 2 rows"),
        ("date,equity\n2026-01-05,100\n2026-01-06,\n", "nan.csv", [], "row 1 is nan"),
        ("date,equity\n2026-01-05,100\n2026-01-06,x\n", "x.csv", [], "row 1 is 'x', no number"),
        (FILLS, "fills.csv", [], "give --cash"),
        (FILLS, "fills.csv", ["--cash", "1e4", "--unrealized", "3"], "--final-prices"),
        (FILLS, "fills.csv", ["--cash", "1e4", "--final-prices", "AAPL"], "SYMBOL=PRICE"),
        (FILLS, "fills.csv", ["--cash", "1e4", "--final-prices", "X=1"], "no price for AAPL"),
        (MATCHES, "m.csv", ["--cash", "1e4", "--final-prices", "AAPL=1"], "--unrealized"),
        ("date,equity\n2026-01-05,100\n2026-01-06,1\n", "e.csv", ["--cash", "1"], "are for fills"),
    ],
)
def test_what_is_wrong_is_told(
    content: str | None,
    name: str,
    options: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if content is not None:
        Path(name).write_text(content)
    assert main(["metrics", name, *options]) == 3
    assert message in capsys.readouterr().err


def test_a_report_of_files(capsys: pytest.CaptureFixture[str]) -> None:
    Path("fills.csv").write_text(FILLS)
    bars = pd.DataFrame(
        {"timestamp": DAYS, "symbol": "AAPL", "high": 106.0, "low": 99.0, "close": 105.0}
    )
    pq.write_table(pa.Table.from_pandas(bars), "bars.parquet")
    arguments = ["report", "fills.csv", "--cash", "10000", "--prices", "bars.parquet"]
    assert main([*arguments, "--output", "out", "--title", "Two trades"]) == 0
    assert "report.html was written." in capsys.readouterr().out
    found = json.loads(Path("out/report.json").read_text())
    assert (found["title"], found["round_trips"]["net_pnl"]) == ("Two trades", 50.0)
    assert found["round_trips"]["average_mfe"] == pytest.approx(59.0)
    assert main([*arguments, "--output", "out"]) == 3
    assert "holds" in capsys.readouterr().err
    assert main([*arguments, "--output", "out", "--overwrite"]) == 0
    pd.DataFrame({"timestamp": DAYS, "equity": EQUITY}).to_csv("equity.csv", index=False)
    assert main(["report", "equity.csv", "--output", "plain"]) == 0
    assert main(["report", "fills.csv", "--equity", "equity.csv", "--output", "both"]) == 0
    assert json.loads(Path("both/report.json").read_text())["figures"]["total_return"] == (
        pytest.approx(0.02)
    )
    assert main(["report", "equity.csv", "--equity", "equity.csv", "--output", "x"]) == 3
