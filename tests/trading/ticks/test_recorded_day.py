"""A recorded day of the simulator: from ticks to bars to kept bars, and back."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from psycopg2.extensions import make_dsn

from tests.store.desk import ADMIN_PASSWORD, Desk
from trading.bars import bars, compose
from trading.cli import main
from trading.ticks import BarRecipe, TickStore
from trading.ticks.feeds import RecordedTicks, SimulatedMarket, Ticks

# A half day of New York, which ends at 13:00, and what is traded outside of it.
OPEN = int(np.datetime64("2024-11-29T14:30", "ns").astype(np.int64))
HOURS = 4.0
DAY = date(2024, 11, 29)
SYMBOLS = {"AAPL": 230.0, "BRK.B": 495.0, "^GSPC": 6_000.0, "BTC/USDT:USDT": 95_000.0}
FIGURES = ("start", "end", "open", "high", "low", "close", "volume", "count", "vwap", "state")


@pytest.fixture
def store(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> Iterator[TickStore]:
    monkeypatch.setenv(
        "OBJECT_STORE_DSN", make_dsn(user="postgres", password=ADMIN_PASSWORD, **desk.info)
    )
    with TickStore({**desk.info, "user": "postgres", "password": ADMIN_PASSWORD}) as store:
        yield store


def record(path: Path) -> pa.Table:
    market = SimulatedMarket(
        SYMBOLS,
        seed=11,
        start=OPEN - 1800 * 10**9,
        seconds=HOURS * 3600,
        step_s=10.0,
        rate=0.2,
        depth_every_s=None,
    )
    table = pa.concat_tables([e.table for e in market.events() if isinstance(e, Ticks)])
    pq.write_table(table, path)
    return table


def rows_of(table: pa.Table) -> list[tuple[Any, ...]]:
    """Ticks as exact numbers; the decimal places are those that the store chose."""
    names = ("symbol", "sequence", "timestamp")
    rest = [
        [None if value is None else float(value) for value in table[name].to_pylist()]
        for name in ("price", "size", "bid", "ask", "bid_size", "ask_size")
    ]
    return sorted(zip(*(table[name].to_pylist() for name in names), *rest, strict=True))


def test_a_recorded_day_goes_round(
    store: TickStore, desk: Desk, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recorded = record(tmp_path / "day.parquet")
    kind = ["--interval", "1m", "--calendar", "XNYS"]
    ingest = ["ingest", str(tmp_path / "day.parquet"), "--source", "sim"]
    assert main([*ingest, "--bars", "1m", "--calendar", "XNYS"]) == 0
    assert f"{len(recorded)} new ticks were kept" in capsys.readouterr().out
    # Every tick came into the store as it was recorded.
    kept_ticks = store.read(source="sim")
    assert rows_of(kept_ticks) == rows_of(recorded)

    # The kept bars are those of the recording, and those of the kept ticks.
    recipe = BarRecipe("1m", "XNYS", "sim")
    kept = store.bars.read(None, recipe)
    of_recording = bars(recorded, "1m", calendar="XNYS")
    of_ticks = bars(kept_ticks, "1m", calendar="XNYS")
    assert len(kept) == len(of_recording) == len(of_ticks) > 800
    for name in FIGURES:
        assert kept[name].cast(of_ticks[name].type).equals(of_ticks[name])
    exact = store.bars.read(None, recipe, exact=False)
    for name in FIGURES:
        assert exact[name].cast(of_recording[name].type).equals(of_recording[name])
    verify = ["bars", "verify", *kind, "--day", str(DAY), "--source", "sim"]
    assert main(verify) == 0
    assert "bars equal their ticks" in capsys.readouterr().out

    # Longer bars of the kept ones are those of the ticks.
    longer = compose(kept, "5m", calendar="XNYS")
    from_ticks = bars(kept_ticks, "5m", calendar="XNYS")
    for name in FIGURES:
        assert longer[name].cast(from_ticks[name].type).equals(from_ticks[name])

    # Out of the store, and into another source: the same ticks and the same bars.
    for suffix in ("parquet", "csv"):
        out = tmp_path / f"out.{suffix}"
        assert main(["export", str(out), "--source", "sim"]) == 0
        assert main(["ingest", str(out), "--source", suffix]) == 0
        assert rows_of(store.read(source=suffix)) == rows_of(recorded)
        assert main(["bars", *kind, "--source", suffix]) == 0
        again = store.bars.read(None, BarRecipe("1m", "XNYS", suffix))
        assert again.drop_columns("recorded").equals(kept.drop_columns("recorded"))
        assert main([*verify[:-1], suffix]) == 0

    # Played again from the store, it is the recording.
    feed = RecordedTicks(store.read(source="sim"), batch_rows=500)
    played = pa.concat_tables([e.table for e in feed.events() if isinstance(e, Ticks)])
    assert rows_of(played) == rows_of(recorded)
    assert bars(played, "1m", calendar="XNYS").equals(of_ticks)
