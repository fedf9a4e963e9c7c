"""`python -m trading`: ingest and export, and an ingest that is killed."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from psycopg2.extensions import make_dsn

from tests.processes import Process
from tests.store.desk import ADMIN_PASSWORD, Desk
from trading.cli import main
from trading.ticks import TickStore, files

START = 1_767_623_400_000_000_000


@pytest.fixture
def server(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> Desk:
    dsn = make_dsn(user="postgres", password=ADMIN_PASSWORD, **desk.info)
    monkeypatch.setenv("OBJECT_STORE_DSN", dsn)
    return desk


def opened(desk: Desk) -> TickStore:
    return TickStore({**desk.info, "user": "postgres", "password": ADMIN_PASSWORD})


def many(count: int) -> pa.Table:
    return pa.table(
        {
            "timestamp": pa.array(START + np.arange(count) * 1000, pa.timestamp("ns", "UTC")),
            "symbol": np.array(["AAPL", "MSFT"], dtype=object)[np.arange(count) % 2],
            "price": np.round(100 + np.arange(count) % 977 * 0.01, 2),
            "size": np.arange(count) % 100 + 1,
            "sequence": np.arange(count),
        }
    )


def test_files_are_taken_in_and_given_out(
    server: Desk, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pq.write_table(many(1_000), tmp_path / "in.parquet")
    assert main(["ingest", str(tmp_path / "in.parquet")]) == 0
    assert "1000 new ticks were kept" in capsys.readouterr().out
    assert main(["ingest", str(tmp_path / "in.parquet"), "--keep-days", "100000"]) == 0
    assert "0 new ticks were kept" in capsys.readouterr().out
    out = tmp_path / "out.csv"
    assert main(["export", str(out), "--symbols", "AAPL", "--end", "2026-01-06T00:00:00Z"]) == 0
    assert f"500 ticks were written to {out}" in capsys.readouterr().out
    assert len(out.read_text().splitlines()) == 501
    assert main(["export", str(out)]) == 3
    assert "exists already" in capsys.readouterr().err


def test_a_simulated_market_is_taken_in(server: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ingest", "--simulate", "AAPL=230", "EUR/USD=1.1", "--seconds", "5"]) == 0
    with opened(server) as store:
        status = store.status()
    assert status.symbols == 2
    assert f"{len_of(status)} new ticks" in capsys.readouterr().out


def len_of(status: Any) -> int:
    # Each simulated tick carries a quote.
    return int(status.quotes)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["ingest"], "give either files"),
        (["ingest", "--simulate", "AAPL"], "SYMBOL=PRICE is expected"),
        (["ingest", "--websocket", "ws://127.0.0.1:9"], "needs --mapping"),
        (["ingest", "none.parquet"], "no such file"),
        (["export", "ticks.txt"], ".parquet and .csv"),
    ],
)
def test_what_cannot_be_done_is_told(
    server: Desk, capsys: pytest.CaptureFixture[str], arguments: list[str], told: str
) -> None:
    assert main(arguments) == 3
    assert told in capsys.readouterr().err


def test_every_acknowledged_tick_of_a_killed_ingest_is_there_once(
    server: Desk, tmp_path: Path
) -> None:
    with server.admin().cursor() as cursor:
        cursor.execute("ALTER DATABASE " + server.info["dbname"] + " SET synchronous_commit = on")
    count = 6 * files.ROWS
    file = tmp_path / "day.parquet"
    table = many(count)
    pq.write_table(table, file)
    process = Process(sys.executable, "-m", "trading", "ingest", str(file))
    process.wait_for_output("rows are kept")
    assert process.end(signal.SIGKILL) == -signal.SIGKILL
    said = [line for line in process.lines if line.endswith("rows are kept\n")]
    acknowledged = int(said[-1].split()[-4])
    assert 0 < acknowledged < count
    with opened(server) as store:
        kept = store.read(exact=False)
        assert len(kept) >= acknowledged
        assert kept["sequence"].to_pylist() == list(range(len(kept)))
        # The rest comes with the next run, and nothing twice.
        assert store.load(file) == count - len(kept)
        again = store.read(exact=False)
    assert again["sequence"].equals(table["sequence"])
    assert again["price"].equals(table["price"])


def test_the_password_is_not_taken_from_the_command_line(server: Desk) -> None:
    assert main(["export", "x.csv", "--dsn", "host=h password=p"]) == 3
