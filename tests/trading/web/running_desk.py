"""A whole desk for tests of the page: two accounts of different people, and no strategies."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.processes import Process, free_port, wait_until

_LIMITS = {"max_order_notional": "50000", "max_symbol_notional": "60000", "price_collar": "0.5"}
ACCOUNTS = [
    {
        "account": "ALPHA",
        "run": "paper:alpha",
        "owner": "alice",
        "members": {"alice": "trader", "rita": "risk"},
        "twins": False,
        "limits": _LIMITS,
    },
    {
        "account": "BETA",
        "run": "paper:beta",
        "owner": "bob",
        "members": {"bob": "trader"},
        "twins": False,
        "limits": _LIMITS,
    },
]


class RunningDesk:
    """A desk that runs as a process of its own, with its people's passwords."""

    def __init__(self, folder: Path, process: Process, port: int) -> None:
        self.folder = folder
        self.process = process
        self.url = f"http://127.0.0.1:{port}"
        secrets = json.loads((folder / "secrets.json").read_text())
        self.passwords: dict[str, str] = secrets["logins"]

    def link_of(self, user: str) -> str:
        """The one-time link that the desk printed."""
        line = next(each for each in self.process.output.splitlines() if f"  {user} " in each)
        return line.split()[-1]

    def state_of(self, name: str) -> dict[str, Any]:
        """What the supervisor says of a process."""
        found = json.loads((self.folder / "run" / "state.json").read_text())["processes"]
        state: dict[str, Any] = next(each for each in found if each["name"] == name)
        return state

    def signal(self, name: str, number: int) -> None:
        """Send a signal to one of the desk's processes."""
        os.kill(self.state_of(name)["pid"], number)

    def program_of(self, user: str) -> Program:
        """Log in as a program does."""
        return Program(self.url, user, self.passwords[user])

    def wait_ready(self) -> None:
        """Wait until the API serves again."""

        def is_ready() -> bool:
            with contextlib.suppress(OSError):
                with urllib.request.urlopen(f"{self.url}/health/ready", timeout=5):
                    return True
            return False

        wait_until(is_ready, 90, "the API's readiness")


class Program:
    """A program that uses the API beside the page."""

    def __init__(self, url: str, user: str, password: str) -> None:
        self._url = url
        self._token = ""
        self._token = self.call("POST", "/user/login", {"user": user, "password": password})[
            "token"
        ]

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """Return the answer; urllib's HTTPError where it is refused."""
        headers = {"Content-Type": "application/json"}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._url + path, data, headers, method=method)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.loads(answer.read() or b"null")


@contextlib.contextmanager
def running_desk(folder: Path, *options: str) -> Iterator[RunningDesk]:
    """Start a desk, wait until it is ready, and stop it in the end."""
    accounts = folder / "accounts.json"
    accounts.write_text(json.dumps(ACCOUNTS))
    port = free_port()
    data = folder / "desk"
    process = Process(
        *(sys.executable, "-m", "trading", "desk", "--data", str(data), "--port", str(port)),
        *("--simulate", "AAPL=230", "MSFT=415", "--seed", "3", "--timeframes", "1s,1m"),
        *("--accounts", str(accounts), *options),
    )
    try:
        process.wait_for_output("Ctrl-C stops it.", 180)
        yield RunningDesk(data, process, port)
    finally:
        if process.child.poll() is None:
            process.end(signal.SIGTERM, 60)
