"""A desk in processes of its own for tests, and clients of its API."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg2

from tests.processes import Process, free_port
from trading.api import ApiServer
from trading.client import NewOrder, TradingClient
from trading.processes.config import DeskConfig, read_config
from trading.processes.run_api import api_settings

START_SECONDS = 240.0
LIMITS = {"max_order_notional": "50000", "max_symbol_notional": "60000", "price_collar": "0.1"}
ACCOUNTS = [
    {
        "account": "ALPHA",
        "run": "paper:alpha",
        "owner": "alice",
        "members": {"alice": "trader", "rita": "risk", "vera": "viewer"},
        "limits": LIMITS,
        "twins": False,
    },
    {
        "account": "BETA",
        "run": "paper:beta",
        "owner": "bob",
        "members": {"bob": "trader", "ruth": "risk"},
        # Its bars are so long that it never trades while a test runs.
        "strategies": [{"where": "trading.strategy.examples:SmaCross", "timeframes": ["5m"]}],
        "twins": False,
    },
]


class RunningDesk:
    """`python -m trading desk` in a directory; Deephaven takes seconds and runs where asked for."""

    def __init__(self, folder: Path, *options: str, deephaven: bool = False) -> None:
        self.folder = folder
        self.port = free_port()
        screens = ("--deephaven-port", str(free_port())) if deephaven else ("--no-deephaven",)
        self.options = (*options, *screens)
        self.url = f"http://127.0.0.1:{self.port}"
        self.process = self._start()

    def _start(self) -> Process:
        command = [sys.executable, "-m", "trading", "desk", "--data", str(self.folder)]
        return Process(*command, "--port", str(self.port), *self.options)

    def wait_ready(self) -> None:
        self.process.wait_for_output("Ready", START_SECONDS)

    def start_again(self) -> None:
        """After a kill, in the same directory."""
        self.process = self._start()
        self.wait_ready()

    @property
    def config(self) -> DeskConfig:
        return read_config(self.folder / "run" / "config.json")

    def password(self, user: str) -> str:
        logins: dict[str, str] = json.loads((self.folder / "secrets.json").read_text())["logins"]
        return logins[user]

    def client(self, user: str, url: str = "") -> TradingClient:
        return TradingClient(url or self.url, user, self.password(user))

    def admin(self) -> Any:
        """The store's administrator."""
        password = (self.folder / "store" / "admin_password").read_text().strip()
        connection = psycopg2.connect(user="postgres", password=password, **self.config.store)
        connection.autocommit = True
        return connection

    def states(self) -> dict[str, dict[str, Any]]:
        told = json.loads(self.config.state_file.read_text())
        return {each["name"]: each for each in told["processes"]}

    @contextmanager
    def other_server(self, **changes: Any) -> Iterator[ApiServer]:
        """A second API on the same desk, in this process, with limits of its own."""
        with ApiServer(replace(api_settings(self.config), **changes)) as server:
            yield server

    def end(self) -> None:
        """Kill it if it still runs; its processes end with it."""
        if self.process.child.poll() is None:
            self.process.end(signal.SIGKILL)

    def stop(self) -> int:
        return self.process.end(seconds=90)


def order(
    account: str = "ALPHA",
    side: str = "BUY",
    quantity: str = "5",
    limit_price: str | None = None,
    **more: Any,
) -> NewOrder:
    kind = "MARKET" if limit_price is None else "LIMIT"
    return NewOrder(account, "AAPL", side, quantity, kind, limit_price=limit_price, **more)


def far_below(client: TradingClient) -> str:
    """A price at which a BUY rests, within the collar."""
    return f"{float(client.prices()['AAPL']['bid']) * 0.95:.2f}"
