"""`python -m trading bars`, and kept bars against their ticks."""

from __future__ import annotations

import datetime as dt
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest

from trading.bars import BarBuilder, bars, verify
from trading.bars.verifying import TableTicks
from trading.cli import main
from trading.errors import BarError, IntervalError

OPEN = int(np.datetime64("2024-11-29T14:30", "ns").astype(np.int64))
SECOND = 10**9


def day(seed: int = 1, count: int = 3_000) -> pa.Table:
    """A half day of two symbols in New York."""
    rng = np.random.default_rng(seed)
    times = OPEN + np.sort(rng.integers(0, int(3.5 * 3600), count)) * SECOND
    return pa.table(
        {
            "timestamp": pa.array(times, pa.timestamp("ns", "UTC")),
            "symbol": rng.choice(["AAPL", "BRK.B"], count),
            "price": np.round(100 + np.cumsum(rng.normal(0, 0.02, count)), 2),
            "size": rng.integers(1, 100, count),
        }
    )


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    ticks = tmp_path / "ticks.parquet"
    pq.write_table(day(), ticks, row_group_size=1_000)
    return ticks, tmp_path / "bars.parquet"


ONE_MINUTE = ["--interval", "1m", "--calendar", "XNYS"]


def test_bars_are_made_kept_and_verified(
    files: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    ticks, kept = files
    assert main(["bars", str(ticks), *ONE_MINUTE, "--output", str(kept)]) == 0
    assert "420 bars of 3000 ticks were written" in capsys.readouterr().out
    assert pq.read_table(kept).equals(bars(day(), "1m", calendar="XNYS"))
    assert main(["bars", "verify", str(ticks), *ONE_MINUTE, "--bars", str(kept)]) == 0
    assert "bars equal their ticks" in capsys.readouterr().out
    more = ["--day", "2024-11-29"]
    assert main(["bars", "verify", str(ticks), *ONE_MINUTE, "--bars", str(kept), *more]) == 0


def test_a_bar_that_is_not_what_its_ticks_say(
    files: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    ticks, kept = files
    table = bars(day(), "1m", calendar="XNYS")
    highs = table["high"].to_pylist()
    highs[3] += 0.01
    pq.write_table(table.set_column(4, "high", pa.array(highs)).slice(0, 419), kept)
    assert main(["bars", "verify", str(ticks), *ONE_MINUTE, "--bars", str(kept)]) == 1
    shown = capsys.readouterr()
    assert f"AAPL 2024-11-29T14:33:00.000000000Z high: kept {highs[3]}" in shown.out
    assert "BRK.B 2024-11-29T17:59:00.000000000Z count: kept None, from ticks" in shown.out
    assert "2 differences" in shown.err


def test_as_a_program_with_csv(tmp_path: Path) -> None:
    ticks = tmp_path / "ticks.csv"
    pa_csv.write_csv(day(), ticks)
    out = tmp_path / "bars.csv"
    command = [sys.executable, "-m", "trading", "bars", ticks, *ONE_MINUTE, "--output", out]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    read = pa_csv.read_csv(out)
    assert len(read) == 420
    again = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert again.returncode == 3
    assert "exists already; choose another name" in again.stderr
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["bars", "nowhere.parquet", *ONE_MINUTE, "--output", "x.parquet"], 3, "is not there"),
        (["bars", "TICKS", "--interval", "7x", "--output", "OUT"], 3, "is no interval of bars"),
        (["bars", "TICKS", *ONE_MINUTE], 2, "bars verify FILE"),
        (["bars", "verify", *ONE_MINUTE, "--bars", "x"], 2, "bars verify FILE"),
        (["bars", "TICKS", *ONE_MINUTE, "--output", "x.txt"], 2, "must end in .parquet or .csv"),
        (["bars"], 2, "required"),
    ],
)
def test_wrong_command_lines(
    arguments: list[str],
    status: int,
    message: str,
    files: tuple[Path, Path],
    capsys: pytest.CaptureFixture[str],
) -> None:
    places = {"TICKS": str(files[0]), "OUT": str(files[1])}
    try:
        seen: Any = main([places.get(each, each) for each in arguments])
    except SystemExit as stop:
        seen = stop.code
    assert seen == status
    assert message in capsys.readouterr().err


def test_late_ticks_that_were_kept_must_be_in_a_revision() -> None:
    ticks = day(count=200)
    builder = BarBuilder("1m", calendar="XNYS", since=OPEN)
    late = ticks.slice(5, 1)
    first = pa.concat_tables([ticks.slice(0, 5), ticks.slice(6)])
    tables = [builder.push(first)]
    unrevised = pa.concat_tables([*tables, builder.advance(OPEN + 4 * 3600 * SECOND)])
    assert len(verify(unrevised, TableTicks(ticks), "1m", calendar="XNYS").differences) > 0
    revised = pa.concat_tables([unrevised, builder.push(late)])
    result = verify(revised, TableTicks(ticks), "1m", calendar="XNYS")
    assert result.differences == []
    assert result.compared > 50


def test_days_are_apart() -> None:
    second = day(2)
    moved = pa.array(np.asarray(second["timestamp"].cast(pa.int64())) + 3 * 86_400 * SECOND)
    both = pa.concat_tables(
        [day(), second.set_column(0, "timestamp", moved.cast(pa.timestamp("ns", "UTC")))]
    )
    kept = bars(both, "1m", calendar="XNYS")
    wrong = kept.filter(pa.compute.less(kept["start"].cast(pa.int64()), OPEN + 86_400 * SECOND))
    source = TableTicks(both)
    friday, monday = dt.date(2024, 11, 29), dt.date(2024, 12, 2)
    assert verify(wrong, source, "1m", calendar="XNYS", day=friday).differences == []
    assert len(verify(wrong, source, "1m", calendar="XNYS", day=monday).differences) > 100
    assert verify(kept.slice(0, 0), source, "1m").compared == 0


def test_what_cannot_be_verified() -> None:
    with pytest.raises(IntervalError, match="only bars of time"):
        verify(bars(day(), "100 ticks"), TableTicks(day()), "100 ticks")
    with pytest.raises(BarError, match="no column end"):
        verify(day().append_column("start", day()["timestamp"]), TableTicks(day()), "1m")
