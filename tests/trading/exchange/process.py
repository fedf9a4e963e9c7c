"""The exchange as a process of its own for tests: started, killed, stopped and started again."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.processes import ROOT, free_port, wait_until
from trading.exchange import ExchangeAdmin, ExchangeBroker

KEYS = {"ACC": "secret-of-acc", "BOB": "secret-of-bob"}
ADMIN_KEY = "secret-of-admin"
START_SECONDS = 240.0


class ExchangeProcess:
    """One data directory and one port; `start` may be called again after `kill`."""

    def __init__(self, folder: Path, *options: str, cash: str = "1000000") -> None:
        self.folder = folder
        self.directory = folder / "exchange"
        self.port = free_port()
        self.accounts = folder / "accounts.json"
        self.accounts.write_text(
            json.dumps(
                {
                    "accounts": {
                        name: {"key": key, "cash": {"USD": cash}} for name, key in KEYS.items()
                    },
                    "admin_key": ADMIN_KEY,
                }
            )
        )
        self.accounts.chmod(0o600)
        self.options = options or ("--instrument", "AAPL=100.00")
        self.output = folder / "exchange.out"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> ExchangeProcess:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self) -> None:
        self.spawn()
        wait_until(self._ready, START_SECONDS, "the exchange")

    def spawn(self) -> None:
        """Start it without waiting."""
        with self.output.open("ab") as output:
            output.write(b"--- start\n")
            output.flush()
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "trading", "exchange", "serve"),
                    *(str(self.directory), "--accounts", str(self.accounts)),
                    *("--port", str(self.port), *self.options),
                ],
                cwd=ROOT,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def _ready(self) -> bool:
        assert self._process is not None
        code = self._process.poll()
        assert code is None, f"the exchange ended with {code}:\n{self.said()}"
        return "is ready on" in self.said().rpartition("--- start")[2]

    def said(self) -> str:
        return self.output.read_text(errors="replace")

    def send(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def wait(self, seconds: float = 60.0) -> int:
        assert self._process is not None
        return self._process.wait(seconds)

    def kill(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait(60)

    def admin(self) -> ExchangeAdmin:
        return ExchangeAdmin("127.0.0.1", self.port, ADMIN_KEY, timeout_s=60)

    def broker(self, account: str = "ACC", **more: Any) -> ExchangeBroker:
        options = {"heartbeat_s": 0.3, "backoff_s": (0.02, 0.3), **more}
        return ExchangeBroker("127.0.0.1", self.port, account=account, key=KEYS[account], **options)
