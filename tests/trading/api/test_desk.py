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

import pytest

from tests.processes import alive, free_port, wait_until
from tests.trading.api.running import RunningDesk
from trading.cli import main
from trading.client import NewOrder
from trading.errors import ApiAway, ApiRefused, DeskError
from trading.processes.config import read_config
from trading.processes.setting_up import read_accounts_file
from trading.processes.supervisor import ProcessSpec, Supervisor


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


# --- the command line -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--simulate", "AAPL"], "SYMBOL=PRICE"),
        (["--simulate", "AAPL=nan"], "SYMBOL=PRICE"),
        (["--simulate", "AAPL=1", "--replay", "x.parquet"], "either"),
        (["--replay", "missing.parquet"], "missing.parquet"),
        (["--accounts", "missing.json"], "missing.json"),
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
    ],
)
def test_wrong_files_of_accounts_are_told(folder: Path, text: str) -> None:
    file = folder / "accounts.json"
    file.write_text(text)
    with pytest.raises(DeskError, match=r"accounts\.json"):
        read_accounts_file(file)
    with pytest.raises(DeskError):
        read_config(folder / "missing.json")
