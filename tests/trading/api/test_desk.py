"""The whole desk as its program: first fill, deaths of its processes, kills, and the stop."""

from __future__ import annotations

import os
import re
import shutil
import signal
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.processes import alive, free_port, wait_until
from tests.trading.api.running import RunningDesk
from trading.bars import bars
from trading.cli import main
from trading.client import NewOrder
from trading.errors import ApiAway, ApiRefused, DeskError
from trading.processes.config import read_config
from trading.processes.desk import missing_for_deephaven
from trading.processes.setting_up import read_accounts_file
from trading.processes.supervisor import ProcessSpec, Supervisor
from trading.ticks.feeds import SimulatedMarket, Ticks


@pytest.fixture
def folder() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="desk-of-tests-"))
    yield made
    shutil.rmtree(made, ignore_errors=True)


def good_health(desk: RunningDesk) -> bool:
    try:
        with urllib.request.urlopen(f"{desk.url}/health/ready", timeout=10):
            return True
    except OSError:
        return False


def test_a_newcomer_sees_a_fill_and_a_desk_that_nothing_kills(folder: Path) -> None:
    desk = RunningDesk(folder / "data", "--rate", "20")
    try:
        desk.wait_ready()
        ready = time.monotonic()
        _the_link_logs_in(desk)
        with desk.client("trader") as trader:
            wait_until(trader.fills, 60, "a filled order")
            assert time.monotonic() - ready < 60
            known = {each.fill_id for each in trader.fills(limit=500)}
        before = desk.states()
        for each in before.values():
            os.kill(each["pid"], signal.SIGKILL)

        def are_back() -> bool:
            now = desk.states()
            return all(
                each["state"] == "RUNNING" and each["pid"] != before[name]["pid"]
                for name, each in now.items()
            )

        wait_until(are_back, 180, "all processes started again")
        for each in desk.states().values():
            assert each["restarts"] >= 1
            assert each["last_exit"] is not None
        wait_until(lambda: good_health(desk), 120, "a ready desk")
        known |= _fills_go_on(desk, known)

        # Then the supervisor itself: its processes end with it, and all of it goes on.
        pids = [each["pid"] for each in desk.states().values()]
        desk.process.end(signal.SIGKILL)
        wait_until(lambda: not any(map(alive, pids)), 60, "the end of its processes")
        desk.start_again()
        known |= _fills_go_on(desk, known)
        with desk.client("trader") as trader:
            fills = list(trader.all("/fills", limit=500))
            assert len(fills) == len({each["fill_id"] for each in fills})
            assert trader.accounts()[0].trading_state == "ACTIVE"
            assert trader.bars("AAPL", "5s")
        pids = [each["pid"] for each in desk.states().values()]
        assert desk.stop() == 0, desk.process.output
        assert not any(map(alive, pids))
        assert "the desk has stopped" in desk.process.output
    finally:
        desk.end()


def _the_link_logs_in(desk: RunningDesk) -> None:
    found = re.search(r"trader +http://[^/]+(/login/\S+)", desk.process.output)
    assert found is not None, desk.process.output
    link = HTTPConnection("127.0.0.1", desk.port, timeout=60)
    link.request("GET", found[1])
    assert link.getresponse().status == 303
    link.close()


def _fills_go_on(desk: RunningDesk, known: set[str]) -> set[str]:
    """What was known is there, and more comes."""
    found: set[str] = set()

    def more() -> bool:
        try:
            with desk.client("trader") as trader:
                found.update(each["fill_id"] for each in trader.all("/fills", limit=500))
        except (ApiAway, ApiRefused):
            return False
        return len(found) > len(known)

    wait_until(more, 120, "another fill")
    assert known <= found
    return found


@pytest.mark.long
def test_a_desk_outlives_its_database(folder: Path) -> None:
    desk = RunningDesk(folder / "data", "--rate", "20")
    try:
        desk.wait_ready()
        with desk.client("trader") as trader:
            wait_until(trader.fills, 120, "a filled order")
            known = {each["fill_id"] for each in trader.all("/fills", limit=500)}
        before = desk.states()
        [file] = (folder / "data" / "store").rglob("postmaster.pid")
        pid = int(file.read_text().split()[0])
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not alive(pid), 60, "the end of PostgreSQL")

        def another() -> bool:
            return file.exists() and int(file.read_text().split()[0]) != pid

        wait_until(another, 120, "another PostgreSQL")
        assert "is started again" in desk.process.output
        wait_until(lambda: good_health(desk), 240, "a ready desk")
        sent: list[str] = []

        def is_answered() -> bool:
            # Whether it was recorded is unknown while the store is away: it is given again.
            try:
                with desk.client("trader") as trader:
                    wanted = NewOrder("DEMO", "AAPL", "BUY", "3", tag="after the database")
                    sent.append(trader.submit(wanted, key="after-the-database").order_id)
            except (ApiAway, ApiRefused):
                return False
            return True

        wait_until(is_answered, 240, "an answer to the order")
        with desk.client("trader") as trader:
            wait_until(lambda: trader.order(sent[-1]).status == "FILLED", 120, "its fill")
            tags = [each["order_tag"] for each in trader.all("/orders", limit=500)]
            assert tags.count("after the database") == 1
            fills = [each["fill_id"] for each in trader.all("/fills", limit=500)]
            assert len(fills) == len(set(fills))
            assert known <= set(fills)
            assert [each["fill_id"] for each in trader.all("/fills", order_id=sent[-1])]
            assert trader.accounts()[0].trading_state == "ACTIVE"
        for name, each in desk.states().items():
            assert each["state"] == "RUNNING", (name, each, before[name])
        assert desk.stop() == 0, desk.process.output
    finally:
        desk.end()


@pytest.mark.long
def test_deephaven_dies_alone_and_comes_back(folder: Path) -> None:
    """Its tables follow the desk, its key keeps others out, and the market does not notice it."""
    from client import desk as screen
    from client import pm_client, quant_client, risk_client
    from client.base_client import DeephavenClient
    from client.errors import AccessDenied

    running = RunningDesk(folder / "data", "--rate", "20", deephaven=True)
    try:
        running.wait_ready()
        port, key = running.config.ports["deephaven"], running.config.deephaven_key
        assert running.process.output.count(f"psk={key}") == 3
        running.process.wait_for_output("Deephaven is up", 300)
        with running.client("trader") as trader:
            wait_until(trader.fills, 60, "a filled order")
            state = trader.get("/state")["deephaven"]
            assert str(port) in state["dashboards"]["risk"]
            assert key not in str(state)
        with pytest.raises(AccessDenied):
            DeephavenClient("localhost", port, psk="another key")
        _screens_tick(port, key)
        before = running.states()
        os.kill(before["deephaven"]["pid"], signal.SIGKILL)

        def is_back() -> bool:
            now = running.states()["deephaven"]
            return bool(now["state"] == "RUNNING" and now["pid"] != before["deephaven"]["pid"])

        wait_until(is_back, 300, "another Deephaven")
        assert running.states()["market"]["pid"] == before["market"]["pid"]
        _screens_tick(port, key)
        views = [
            *quant_client.views(["AAPL"]),
            *risk_client.views(340_000, 5_000),
            *pm_client.views(5.0),
        ]
        with DeephavenClient("localhost", port, psk=key, deadline_s=60) as client:
            shown = screen.Desk(client, screen.offered(client, views))
            shown.wait_for_rows(120)
            names = {view.name for view in shown.views}
            assert {"quant_options", "risk_limits", "pm_accounts", "quant_watchlist"} <= names
            assert "risk_scores" not in names
        assert running.stop() == 0, running.process.output
    finally:
        running.end()


def _screens_tick(port: int, key: str) -> None:
    """Every table is there, and those of a desk that trades have rows."""
    from client.base_client import DeephavenClient

    filled = [
        *("ticks", "prices_live", "bars_live", "bars_final", "indicator_latest", "book_features"),
        *("option_chain", "option_ladder", "orders", "exec_report_history", "decisions"),
        *("strategy_signal_latest", "strategy_signal_history", "realized_pnl_latest"),
        *("account_summary", "strategy_perf_latest", "limits", "feed_status"),
    ]
    there = [
        *("open_positions_lots", "open_positions_rollup", "unrealized_pnl_latest", "alerts"),
        *("trade_match_history", "paper_trade_match_history", "strategy_weights_latest"),
        *("accepted_trade_signal_history", "trading_states", "indicator_history"),
    ]
    with DeephavenClient("localhost", port, psk=key, deadline_s=60) as client:
        assert set(filled + there) <= set(client.list_tables())
        for name in filled:
            wait_until(lambda name=name: client.open_table(name).to_arrow(), 120, f"rows of {name}")


@pytest.mark.long
def test_a_recording_is_played_by_a_desk(folder: Path) -> None:
    """Recorded ticks become prices and kept bars, once also over a kill, and the desk trades."""
    events = SimulatedMarket({"AAPL": 230.0}, seed=5, seconds=60, depth_every_s=None).events()
    ticks = pa.concat_tables([each.table for each in events if isinstance(each, Ticks)])
    folder.mkdir(exist_ok=True)
    file = folder / "day.parquet"
    pq.write_table(ticks, file)
    # Of whole candles the last one is made by no tick after it.
    expected = bars(ticks, "5s").slice(0, 11)
    desk = RunningDesk(folder / "data", "--replay", str(file), "--speed", "4", "--timeframes", "5s")
    try:
        desk.wait_ready()
        assert "replay of" in desk.process.output
        with desk.client("trader") as trader:
            wait_until(lambda: trader.prices().get("AAPL"), 60, "a price of the recording")
            wait_until(lambda: trader.get("/state")["market"]["is_replay"], 60, "the state")
            assert trader.page("/options").items == []
        desk.process.end(signal.SIGKILL)
        desk.start_again()
        last = str(expected["start"][-1].as_py().isoformat())[:19]

        def all_bars() -> list[dict[str, object]]:
            with desk.client("trader") as trader:
                kept = trader.get(
                    "/bars",
                    symbol="AAPL",
                    timeframe="5s",
                    start="2026-01-05T14:30:00Z",
                    end="2026-01-05T14:31:00Z",
                )["items"]
            return kept if kept and str(kept[-1]["start"])[:19] >= last else []

        wait_until(all_bars, 120, "all bars of the recording")
        kept = all_bars()[:11]
        assert [float(str(each["close"])) for each in kept] == expected["close"].to_pylist()
        assert [float(str(each["volume"])) for each in kept] == expected["volume"].to_pylist()
        assert desk.stop() == 0, desk.process.output
    finally:
        desk.end()


# --- the supervisor alone -------------------------------------------------------------------------


def script(name: str, code: str, port: int | None = None) -> ProcessSpec:
    return ProcessSpec(name, [sys.executable, "-c", code], port)


SLEEPS = "import time; print('here', flush=True); time.sleep(1000)"
STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(1000)"


def test_what_ends_is_started_again_after_growing_pauses(folder: Path) -> None:
    said: list[str] = []
    specs = [script("good", SLEEPS), script("bad", "raise SystemExit(3)")]
    supervisor = Supervisor(specs, folder / "logs", folder / "state.json", said.append)
    supervisor.start()
    try:

        def restarts() -> int:
            supervisor.tend()
            return int(supervisor.state()[1]["restarts"])

        wait_until(lambda: restarts() >= 3, 60, "three starts")
        assert "bad ended with status 3" in said[0]
        pauses = [float(re.findall(r"in ([\d.]+) s", each)[0]) for each in said]
        assert pauses == sorted(pauses)
        assert pauses[-1] > pauses[0]
        good = supervisor.state()[0]
        assert (good["state"], good["restarts"]) == ("RUNNING", 0)
        wait_until(lambda: "here" in (folder / "logs" / "good.log").read_text(), 30, "its output")
    finally:
        supervisor.stop()
    assert [each["state"] for each in supervisor.state()] == ["STOPPED", "STOPPED"]
    assert (folder / "state.json").stat().st_mode & 0o077 == 0


def test_a_process_that_does_not_end_by_itself_is_killed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trading.processes.supervisor._STOP_S", 1.0)
    said: list[str] = []
    supervisor = Supervisor(
        [script("stubborn", STUBBORN)], folder / "logs", folder / "state.json", said.append
    )
    supervisor.start()
    pid = supervisor.state()[0]["pid"]
    supervisor.stop()
    assert not alive(pid)
    assert len(said) <= 1


def test_a_process_that_does_not_answer_is_told(folder: Path) -> None:
    silent = script("silent", SLEEPS, free_port())
    supervisor = Supervisor([silent], folder / "logs", folder / "state.json", print)
    supervisor.start()
    try:
        with pytest.raises(DeskError, match="silent did not start"):
            supervisor.wait_running(0.5, lambda seconds: bool(time.sleep(seconds)))
    finally:
        supervisor.stop()


def test_nothing_waits_for_what_is_not_needed(folder: Path) -> None:
    port = free_port()
    listens = f"s = socket.create_server(('127.0.0.1', {port}))"
    code = f"import socket, time; {listens}; time.sleep(1000)"
    never = ProcessSpec("never", [sys.executable, "-c", SLEEPS], free_port(), needed=False)
    supervisor = Supervisor(
        [script("answers", code, port), never], folder / "logs", folder / "state.json", print
    )
    supervisor.start()
    try:
        assert supervisor.wait_running(120, lambda seconds: bool(time.sleep(seconds)))
        assert supervisor.is_running("answers")
        assert not supervisor.is_running("never")
    finally:
        supervisor.stop()


def test_without_a_jdk_or_memory_a_line_says_why(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "too small" in missing_for_deephaven(10)
    assert "does not fit" in missing_for_deephaven(10**9)
    monkeypatch.setenv("JAVA_HOME", str(folder))
    reason = missing_for_deephaven(1024)
    assert "JAVA_HOME" in reason
    assert "\n" not in reason


# --- the command line -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--simulate", "AAPL"], "SYMBOL=PRICE"),
        (["--simulate", "AAPL=nan"], "SYMBOL=PRICE"),
        (["--simulate", "AAPL=1", "--replay", "x.parquet"], "either"),
        (["--replay", "missing.parquet"], "missing.parquet"),
        (["--accounts", "missing.json"], "missing.json"),
        (["--options", "TSLA"], "the market has AAPL, MSFT, NVDA"),
    ],
)
def test_wrong_options_are_told(
    folder: Path, capsys: pytest.CaptureFixture[str], options: list[str], told: str
) -> None:
    assert main(["desk", "--data", str(folder / "data"), *options]) == 3
    assert told in capsys.readouterr().err
    assert not (folder / "data").exists()


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        "{}",
        '[{"account": "A"}, {"account": "A"}]',
        '[{"account": "A", "members": {"x": "king"}}]',
        '[{"account": "A", "broker": "bank"}]',
        '[{"account": "A", "unknown": 1}]',
        '[{"account": "A", "limits": {"max_order_notionall": "1"}}]',
        '[{"account": "A", "limits": {"max_order_notional": "-1"}}]',
        '[{"account": "A", "cash": "plenty"}]',
        '[{"account": "A", "strategies": [{"where": "trading.strategy.examples:SmaCros"}]}]',
        '[{"account": "A", "strategies": [{"where": "trading.strategy.examples:SmaCross",'
        ' "parameters": {"quick": 5}}]}]',
    ],
)
def test_wrong_files_of_accounts_are_told(folder: Path, text: str) -> None:
    file = folder / "accounts.json"
    file.write_text(text)
    with pytest.raises(DeskError, match=r"accounts\.json"):
        read_accounts_file(file)
    with pytest.raises(DeskError):
        read_config(folder / "missing.json")
