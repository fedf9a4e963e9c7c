"""The three desks as processes: what they publish, show, export, and how they leave."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import pytest

from client.base_client import DeephavenClient
from client.desk import View
from client.pm_client import HISTORY
from client.risk_client import AlertLog
from server.market_data import POSITIONS
from tests.pictures import picture_of
from tests.processes import ROOT, client_script, free_port, server_process, wait_until
from tests.server.recordings import REAL_PRICES

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from server.trading_server import TradingServer

MAKING_PICTURES = "SCREENSHOTS" in os.environ
CLIENTS = ("quant_client.py", "risk_client.py", "pm_client.py")


@pytest.fixture
def port(trading_server: TradingServer) -> int:
    return trading_server.options.port


@pytest.fixture
def observer(port: int) -> Iterator[DeephavenClient]:
    with DeephavenClient(port=port) as client:
        yield client


def once(name: str, port: int, *options: str, cwd: Path = ROOT) -> str:
    process = client_script(name, "--port", str(port), "--once", *options, cwd=cwd)
    status = process.wait(60)
    assert status == 0, process.output
    return process.output


def test_the_quants_views_are_published(port: int, observer: DeephavenClient) -> None:
    shown = once("quant_client.py", port, "--symbols", "aapl, nvda")
    assert "Watchlist" in shown
    watched = observer.open_table("quant_watchlist").to_arrow()["Symbol"].to_pylist()
    assert sorted(watched) == ["AAPL", "NVDA"]
    spreads = observer.open_table("quant_spreads").to_arrow().to_pylist()
    assert len(spreads) == 8
    for row in spreads:
        assert row["Spread"] == pytest.approx(row["Ask"] - row["Bid"])
        assert row["SpreadBps"] == pytest.approx(
            1e4 * (row["Ask"] - row["Bid"]) / ((row["Ask"] + row["Bid"]) / 2)
        )
    widths = [row["SpreadBps"] for row in spreads]
    assert widths == sorted(widths, reverse=True)
    moves = observer.open_table("quant_top_movers").to_arrow()["ChangePct"].to_pylist()
    assert [abs(m) for m in moves] == sorted((abs(m) for m in moves), reverse=True)
    volumes = observer.open_table("quant_volume_leaders").to_arrow()["Volume"].to_pylist()
    assert volumes == sorted(volumes, reverse=True)


def test_the_risk_managers_views_are_published(port: int, observer: DeephavenClient) -> None:
    # A loss limit of a cent and an exposure limit that some positions exceed and others do not.
    shown = once("risk_client.py", port, "--exposure-limit", "300000", "--loss-limit", "0.01")
    assert "ALERT" in shown
    large = observer.open_table("risk_large_exposures").to_arrow().to_pylist()
    assert all(abs(row["MarketValue"]) > 150_000 for row in large)
    sides = {r["Side"]: r for r in observer.open_table("risk_long_short").to_arrow().to_pylist()}
    assert sides["LONG"]["Positions"] == sum(q > 0 for q in POSITIONS.values())
    assert sides["SHORT"]["Positions"] == sum(q < 0 for q in POSITIONS.values())
    assert sides["LONG"]["MarketValue"] > 0 > sides["SHORT"]["MarketValue"]
    for row in observer.open_table("risk_scores").to_arrow().to_pylist():
        exposure = min(1.0, abs(row["MarketValue"]) / 300_000)
        loss = min(1.0, max(0.0, -row["UnrealizedPnL"]) / 0.01)
        assert row["RiskScore"] == pytest.approx(50 * exposure + 50 * loss)
    alerts = observer.open_table("risk_alerts").to_arrow().to_pylist()
    assert alerts
    for row in alerts:
        over = abs(row["MarketValue"]) > 300_000, row["UnrealizedPnL"] < -0.01
        assert (
            row["Reason"]
            == {
                (True, True): "exposure and loss over limit",
                (True, False): "exposure over limit",
                (False, True): "loss over limit",
            }[over]
        )


def test_the_portfolio_managers_views_are_published(
    port: int, observer: DeephavenClient, tmp_path: Path
) -> None:
    target = tmp_path / "pnl.csv"
    once("pm_client.py", port, "--snapshot-seconds", "0.5", "--export", str(target))
    sizes = observer.open_table("pm_position_sizing").to_arrow().to_pylist()
    assert sum(row["WeightPct"] for row in sizes) == pytest.approx(100)
    assert len(pd.read_csv(target)) >= 1
    # A second manager goes on with the history that is there, and exports all of it.
    history = observer.follow(HISTORY)
    history.wait_for(lambda rows: len(rows) >= 3, 60)
    target = tmp_path / "pnl.parquet"
    once("pm_client.py", port, "--export", str(target))
    exported = pd.read_parquet(target)
    assert len(exported) >= 3
    stamps = exported["SnapshotTime"].tolist()
    assert stamps == sorted(stamps)
    assert exported["TotalPnL"].notna().all()
    assert list(tmp_path.glob(".*")) == []


def test_clients_run_from_inside_their_folder(port: int) -> None:
    process = subprocess.run(
        [sys.executable, "quant_client.py", "--once", "--port", str(port)],
        cwd=ROOT / "client",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    assert "Volume leaders" in process.stdout


def screen_of(name: str, port: int, *options: str) -> tuple[int, int]:
    """Start a client on a terminal of 80 × 24; return its process id and the terminal."""
    child, terminal = pty.fork()
    if child == 0:
        os.environ.update(TERM="xterm-256color", COLUMNS="80", LINES="24")
        script = str(ROOT / "client" / name)
        os.execv(sys.executable, [sys.executable, script, "--port", str(port), *options])
    return child, terminal


def read_until(terminal: int, wanted: re.Pattern[str], seconds: float) -> str:
    os.set_blocking(terminal, False)
    shown = ""
    end = time.monotonic() + seconds
    while not wanted.search(shown):
        assert time.monotonic() < end, f"{wanted.pattern!r} did not come:\n{shown[-3000:]}"
        try:
            shown += os.read(terminal, 65_536).decode(errors="replace")
        except BlockingIOError:
            time.sleep(0.02)
        except OSError:
            break  # the other end is closed
    return shown


@pytest.mark.parametrize("name", CLIENTS)
def test_a_client_shows_ticks_in_a_terminal_and_leaves_on_ctrl_c(port: int, name: str) -> None:
    child, terminal = screen_of(name, port)
    try:
        shown = read_until(terminal, re.compile(r"Ctrl-C leaves"), 90)
        # The screen is drawn again with other numbers: somewhere an amount changed.
        shown += read_until(terminal, re.compile(r"(Ctrl-C leaves.*){3}", re.DOTALL), 90)
        os.write(terminal, b"\x03")
        status = None

        def ended() -> bool:
            nonlocal status, shown
            # Nothing to read yet, or the other end is closed.
            with contextlib.suppress(OSError):
                shown += os.read(terminal, 65_536).decode(errors="replace")
            done, raw = os.waitpid(child, os.WNOHANG)
            if done:
                status = os.waitstatus_to_exitcode(raw)
            return bool(done)

        wait_until(ended, 10, "the end of the client")
        assert status == 0
        assert "Traceback" not in shown
    finally:
        os.close(terminal)


def test_alerts_are_seen_on_a_small_terminal(port: int) -> None:
    # No limit of losses: a position that crosses it to and fro would push the others' lines away.
    limits = "--exposure-limit", "1000", "--loss-limit", "1000000000"
    child, terminal = screen_of("risk_client.py", port, *limits)
    try:
        shown = read_until(terminal, re.compile(r"ALERT NFLX: exposure over limit"), 90)
        assert "Positions over a limit" in shown
        os.kill(child, signal.SIGHUP)
        _, raw = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(raw) == 0
    finally:
        os.close(terminal)


def test_three_clients_run_side_by_side_on_replayed_real_prices(
    state_home: Path, browser: Browser | None, screenshots: Path
) -> None:
    # A trading day a tenth of a second.
    replay = ("--replay", str(REAL_PRICES), "--speed", "864000")
    with server_process(*replay) as (server, port), ExitStack() as started:
        clients = [client_script(name, "--port", str(port)) for name in CLIENTS]
        for process in clients:
            # Those that a failure leaves running: they wait for a server for ever.
            started.callback(process.child.kill)
        with DeephavenClient(port=port) as observer:
            wait_until(
                lambda: {"quant_spreads", "risk_scores", HISTORY} <= set(observer.list_tables()),
                60,
                "the views of all three",
            )
            live = observer.follow("quant_spreads")
            first = live.wait_for(bool, 60)
            live.wait_for(lambda rows: rows != first, 60)
        if browser is not None and MAKING_PICTURES:
            [link] = re.findall(r"http://\S+name=dashboard\S+", server.output)
            # Tables and dashboards in a browser have tests of their own.
            for name, height in (("dashboard", 1000), ("risk_scores", 130)):
                page = browser.new_page(viewport={"width": 1600, "height": height})
                page.goto(link.replace("dashboard", name))
                table = page.locator(".iris-grid").first
                table.wait_for(timeout=60_000)
                before = picture_of(table)
                wait_until(lambda: picture_of(table) != before, 30, "another picture")  # noqa: B023
                page.screenshot(path=str(screenshots / f"replay-{name.replace('_', '-')}.png"))
                page.close()
        for process in clients:
            assert process.child.poll() is None
            assert process.end(signal.SIGINT, 15) == 0
            assert "Traceback" not in process.output


def test_a_client_without_a_server_ends_with_one_line() -> None:
    for name in CLIENTS:
        process = client_script(name, "--port", str(free_port()), "--once")
        assert process.wait(30) == 1
        assert len(process.lines) == 1
        assert process.output.startswith("error: no server at localhost:")


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("quant_client.py", ["--symbols", "AAPL`,X"]),
        ("quant_client.py", ["--symbols", ","]),
        ("risk_client.py", ["--exposure-limit", "-5"]),
        ("risk_client.py", ["--loss-limit", "inf"]),
        ("pm_client.py", ["--snapshot-seconds", "0"]),
        ("pm_client.py", ["--export", "pnl.xlsx"]),
        ("pm_client.py", ["--export", "no/such/folder/pnl.csv"]),
    ],
)
def test_a_wrong_option_is_refused(name: str, options: list[str]) -> None:
    process = client_script(name, *options)
    assert process.wait(30) == 2
    assert options[0] in process.output


def test_alerts_tell_when_a_limit_is_broken_and_kept_again() -> None:
    log = AlertLog()
    view = View("risk_alerts", "", lambda client: None)
    log.on_update(view, [{"Symbol": "A", "Reason": "loss over limit"}])
    log.on_update(view, [{"Symbol": "A", "Reason": "loss over limit"}])
    log.on_update(View("risk_scores", "", lambda client: None), [])
    log.on_update(view, [])
    text = log.text()
    assert text is not None
    # Behind the time of day and its zone.
    lines = [line.split(" ", 2)[2] for line in text.plain.splitlines()]
    assert lines == ["ALERT A: loss over limit", "A is within its limits again"]
    datetime.strptime(text.plain[:8], "%H:%M:%S")
