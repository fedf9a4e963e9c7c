"""`verify`, `replay`, `explain` and `archive` as commands, over a run of a strategy file."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from store.client import StoreClient
from tests.store.desk import ADMIN_PASSWORD, Desk, password_of
from tests.store.fixtures import alice, desk
from tests.trading.replay.recorded import RUN, engine_of, trade_a_while
from trading.backtest import load_strategy
from trading.cli import main
from trading.engine import FillRecord
from trading.replay import run_names
from trading.replay.description import Description, describe_run, described_run

__all__ = ["alice", "desk"]

STRATEGY = '''
from trading.strategy import Strategy


class Steady(Strategy):
    """Buys so many at every bar."""

    timeframes = ("4 ticks",)

    class Parameters:
        size: int = 2

    def on_bar(self, ctx, bar):
        ctx.buy(bar.symbol, self.parameters.size)
'''

Command = Callable[..., tuple[int, str]]


@pytest.fixture
def command(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Command:
    dsn = " ".join(f"{name}={desk.info[name]}" for name in ("host", "port", "dbname"))
    monkeypatch.setenv("OBJECT_STORE_DSN", f"{dsn} user=postgres password={ADMIN_PASSWORD!r}")

    def run(*arguments: object) -> tuple[int, str]:
        monkeypatch.setattr("sys.stdin", io.StringIO(password_of("alice") + "\n"))
        status = main([*map(str, arguments), "--user", "alice", "--password-stdin"])
        told = capsys.readouterr()
        return status, told.out + told.err

    return run


@pytest.fixture
def strategy(alice: StoreClient, tmp_path: Path) -> Path:
    """A run that says what it is made of, as `paper` does; the module's tests share it."""
    if run_names(alice):
        return Path(described_run(alice, "ACC", RUN).strategy)
    path = tmp_path / "steady.py"
    path.write_text(STRATEGY)
    made = Description(strategy=str(path), parameters={"size": "3"}, fill="tick")
    describe_run(alice, "ACC", RUN, made)
    describe_run(alice, "ACC", RUN, made)
    assert described_run(alice, "ACC", RUN).strategy == str(path.resolve())
    trade_a_while(alice, strategies=[load_strategy(str(path), {"size": "3"})])
    return path


@pytest.mark.shared_database
def test_verify_and_replay(
    alice: StoreClient, strategy: Path, command: Command, tmp_path: Path
) -> None:
    status, text = command("verify", RUN)
    assert (status, "give the digest of the journal" in text) == (0, True), text
    status, text = command("verify")
    assert (status, f"{RUN} of account ACC" in text) == (0, True)
    status, text = command("replay", RUN)
    assert (status, "give the digest of the journal" in text) == (0, True)
    status, text = command("verify", RUN, "--recorded-set", "size=4")
    assert status == 1
    assert "! recorded |" in text
    assert "FillRecord: fill_quantity was 3 and is 4 here" in text
    assert "! here     | OrderRecord" in text

    status, text = command("replay", RUN, "--set", "size=4")
    assert status == 0, text
    assert "BUY 3 AAPL" in text
    assert "BUY 4 AAPL" in text
    assert "P&L after fees" in text
    limits = tmp_path / "limits.json"
    limits.write_text('{"max_order_quantity": "2"}')
    status, text = command("replay", RUN, "--limits", limits)
    assert "DENIED (SIZE_MAX)" in text
    status, text = command("replay", RUN, "--fill-model", "next_open")
    assert (status, "differ" in text) == (0, True)
    other = tmp_path / "other.py"
    other.write_text(STRATEGY.replace("ctx.buy", "ctx.sell"))
    status, text = command("replay", RUN, "--other-strategy", other)
    assert "SELL 2 AAPL" in text
    typo = tmp_path / "typo.json"
    typo.write_text('{"max_order_quantiti": "2"}')
    for arguments, message in (
        (("verify", "other"), "there is no journal of run other"),
        (("verify", RUN, "--recorded-fill", "next_open"), "the run had a simulated broker"),
        (("verify", RUN, "--account", "OTHER"), "of account OTHER"),
        (("replay", RUN, "--limits", typo), "max_order_quantity"),
    ):
        status, text = command(*arguments)
        assert (status, message in text) == (3, True), text


@pytest.mark.shared_database
def test_explain_and_archive(
    alice: StoreClient, strategy: Path, command: Command, tmp_path: Path
) -> None:
    fill = next(each for each in alice.query(FillRecord, limit=None) if each.strategy)
    picture = tmp_path / "why.svg"
    status, text = command("explain", fill.fill_id, "--run-name", RUN, "--svg", picture)
    assert status == 0, text
    assert text.startswith(f"fill {fill.fill_id}")
    assert "<- bar AAPL 4 ticks" in text
    assert picture.read_text().startswith("<svg")
    status, text = command("explain", fill.fill_id, "--run-name", RUN, "--json")
    assert json.loads(text)[0]["kind"] == "fill"
    archive, key = tmp_path / "run.tar", tmp_path / "key.pem"
    status, text = command("archive", RUN, archive, "--key", key, "--new-key")
    assert (status, "are what they were" in text) == (0, True), text
    assert main(["verify-archive", str(archive)]) == 0


def test_a_run_without_a_description_is_named_by_options(
    alice: StoreClient, command: Command
) -> None:
    with engine_of(alice, strategies=[], run="paper:plain"):
        pass
    status, text = command("verify", "paper:plain", "--recorded-fill", "tick")
    assert status == 0, text
