"""One desk for the tests of the API."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.trading.api.running import ACCOUNTS, RunningDesk
from trading.client import TradingClient


@pytest.fixture(scope="module")
def desk() -> Iterator[RunningDesk]:
    """Two accounts of different people on a simulated market; nobody trades but the tests.

    It ends with the file that uses it: its market and engine are never idle.
    """
    folder = Path(tempfile.mkdtemp(prefix="desk-of-tests-"))
    accounts = folder / "accounts.json"
    accounts.write_text(json.dumps(ACCOUNTS))
    options = ["--accounts", str(accounts), "--simulate", "AAPL=230", "MSFT=415"]
    running = RunningDesk(folder / "data", *options, "--rate", "20", "--seed", "7")
    try:
        running.wait_ready()
        yield running
        assert running.stop() == 0, running.process.output
    finally:
        running.end()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def alice(desk: RunningDesk) -> Iterator[TradingClient]:
    with desk.client("alice") as client:
        yield client


@pytest.fixture
def bob(desk: RunningDesk) -> Iterator[TradingClient]:
    with desk.client("bob") as client:
        yield client
