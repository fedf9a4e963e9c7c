"""A whole desk: its store, its processes under a supervisor, and the links for its people."""

from __future__ import annotations

import contextlib
import logging
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

from server.errors import StartupError
from server.jdk import JdkNotFound, find_jdk
from server.jvm import checked_heap
from store.errors import StoreError
from store.server import ObjectStoreServer
from trading.errors import DeskError
from trading.one_time import offer
from trading.processes.config import SCREEN_ROWS, DeskConfig
from trading.processes.setting_up import DeskOptions, set_up
from trading.processes.supervisor import ProcessSpec, Supervisor, python_process

__all__ = ["Desk", "missing_for_deephaven"]

_LOG = logging.getLogger(__name__)
_STORE_LOOK_S = 2.0

Say = Callable[[str], None]


class Desk:
    """Starts a desk in a directory; `run` keeps it until told to stop.

    DeskError or StoreError where it cannot start. What it made is kept in the directory, and a desk
    that was killed goes on when it is started again there.
    """

    def __init__(self, options: DeskOptions, say: Say) -> None:
        self._say = say
        self._store = ObjectStoreServer(options.directory / "store")
        self._store.start()
        self._supervisor: Supervisor | None = None
        self._screens_told = False
        try:
            if options.deephaven and (reason := missing_for_deephaven(options.deephaven_heap_mb)):
                say(f"Deephaven is left out, everything else runs: {reason}")
                options = replace(options, deephaven=False)
            self.config, path, secrets = set_up(options, self._store)
            self._logins = secrets.logins
            self._supervisor = Supervisor(
                _specs(self.config, path),
                self.config.folder / "logs",
                self.config.state_file,
                say,
            )
            if self.config.deephaven_key:
                self._supervisor.more_state["deephaven"] = {
                    "url": self.config.deephaven_url,
                    "dashboards": self.config.dashboards(),
                }
            self._supervisor.start()
        except BaseException:
            self.stop()
            raise

    @property
    def url(self) -> str:
        """Where API and page answer."""
        return f"http://{_local_host(self.config)}:{self.config.ports['api']}"

    def run(self, wait: Callable[[float], bool], seconds: float | None = None) -> None:
        """Keep the processes running until `wait` says to stop, or the time is over."""
        supervisor = self._supervisor
        assert supervisor is not None
        if not supervisor.wait_running(120.0, wait) or not self._wait_ready(wait):
            return
        self._say(self.greeting())
        end = None if seconds is None else time.monotonic() + seconds
        looked = time.monotonic()
        while not wait(0.2):
            supervisor.tend()
            if not self._screens_told and supervisor.is_running("deephaven"):
                self._screens_told = True
                self._say("Deephaven is up: its links answer now.")
            now = time.monotonic()
            if end is not None and now >= end:
                return
            if now >= looked + _STORE_LOOK_S:
                looked = now
                self._tend_store()

    def _wait_ready(self, wait: Callable[[float], bool]) -> bool:
        assert self._supervisor is not None
        end = time.monotonic() + 120.0
        url = f"http://{_local_host(self.config)}:{self.config.ports['api']}/health/ready"
        while True:
            if _is_good(url):
                return True
            if wait(0.1):
                return False
            self._supervisor.tend()
            if time.monotonic() > end:
                raise DeskError(
                    f"the desk does not become ready; see {self.config.folder / 'logs'}"
                )

    def _tend_store(self) -> None:
        """Start PostgreSQL again where it has died; the processes connect again by themselves."""
        try:
            self._store.admin_conn().close()
            return
        except StoreError as error:
            self._say(f"the store does not answer and is started again: {error}")
        try:
            with contextlib.suppress(StoreError):
                self._store.stop()
            self._store.start()
            if self._store.conn_info()["port"] != self.config.store["port"]:
                raise DeskError("the store came back at another port; start the desk again")
        except StoreError as error:
            _LOG.warning("the store cannot be started: %s", error)

    def links(self) -> dict[str, str]:
        """Return a new one-time link for each person of the desk's accounts."""
        people = sorted({user for each in self.config.accounts for user in each.members})
        file = self.config.one_time_file
        return {
            user: f"{self.url}/login/{offer(file, user, self._logins[user])}" for user in people
        }

    def greeting(self) -> str:
        """Return what a person at the terminal needs to know."""
        links = "".join(f"  {user:<10} {link}\n" for user, link in self.links().items())
        accounts = ", ".join(f"{each.account} ({each.run})" for each in self.config.accounts)
        source = f"replay of {', '.join(self.config.replay)}" if self.config.replay else "simulated"
        return (
            f"Ready; market: {source}; accounts: {accounts}.\n"
            f"{links}"
            "  Each link logs in once; it is for this machine's browser.\n"
            f"{self._screen_links()}"
            f"  API        {self.url}/docs\n"
            f"  Metrics    {self.url}/metrics\n"
            f"  Data       {self.config.folder}\n"
            "  Ctrl-C stops it."
        )

    def _screen_links(self) -> str:
        if not self.config.deephaven_key:
            return ""
        links = self.config.dashboards(with_key=True).values()
        return "".join(f"  Deephaven  {link}\n" for link in links) + (
            "  Deephaven answers after some seconds, and shows all accounts to who has its key.\n"
        )

    def stop(self) -> None:
        """Stop the processes in order, then the store."""
        if self._supervisor is not None:
            self._supervisor.stop()
        self._store.stop()


def missing_for_deephaven(heap_mb: int) -> str:
    """Return why Deephaven cannot run on this machine; empty where it can."""
    if find_spec("deephaven_server") is None:
        return "its package is not installed (requirements-server.txt)"
    try:
        find_jdk()
        checked_heap(heap_mb, SCREEN_ROWS)
    except (JdkNotFound, StartupError) as error:
        return str(error)
    return ""


def _specs(config: DeskConfig, path: Path) -> list[ProcessSpec]:
    names = ["market"]
    if any(each.broker == "exchange" for each in config.accounts):
        names.append("exchange")
    names += ["engine", "api"]
    specs = [python_process(name, path, config.ports[name]) for name in names]
    if config.deephaven_key:
        # It answers at the port of its figures once its tables stand.
        port = config.ports["deephaven_metrics"]
        specs.append(python_process("deephaven", path, port, needed=False))
    return specs


def _is_good(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5):
            return True
    except (OSError, urllib.error.URLError):
        return False


def _local_host(config: DeskConfig) -> str:
    host = config.api_host
    if host in ("0.0.0.0", "::"):
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host
