"""Fixtures that all tests share."""

from __future__ import annotations

import gc
import os
import shutil
import sys
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from tests.postgres import postgres_dsn
from tests.processes import ended_on_failure, free_port
from tests.store.fixtures import store_server

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from server.trading_server import TradingServer

__all__ = ["postgres_dsn", "store_server"]

# The machine's load must not decide whether a property holds.
_COMMON = {
    "deadline": None,
    "print_blob": True,
    "suppress_health_check": [HealthCheck.too_slow],
}
settings.register_profile("default", max_examples=100, **_COMMON)
settings.register_profile("nightly", max_examples=2_000, **_COMMON)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


_jvm_started = False


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    """Leave without the interpreter's own way out where a JVM runs.

    It waits, now and then for ever, for threads of the JVM.
    """
    if _jvm_started:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(_exit_status)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the files that use the tests' own Deephaven server last.

    Once it is started, its JVM takes processor time from all that follows.
    """
    last = {each.path for each in items if "trading_server" in getattr(each, "fixturenames", ())}
    items.sort(key=lambda each: each.path in last)


def pytest_collection_finish() -> None:
    """Thousands of collected tests stay to the end: no collection of garbage looks at them."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Generator[None, object, object]:
    """End the processes that a test has started and, as it failed, has not ended."""
    with ended_on_failure():
        return (yield)


_exit_status = 0


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Keep the status for the way out."""
    global _exit_status  # noqa: PLW0603 - pytest hands it to this hook alone
    _exit_status = int(exitstatus)


@pytest.fixture(scope="session")
def state_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A state directory of the tests' own: keys and logs stay out of the user's."""
    path = tmp_path_factory.mktemp("state")
    before = os.environ.get("XDG_STATE_HOME")
    os.environ["XDG_STATE_HOME"] = str(path)
    # A developer's own key is not that of the tests' servers.
    os.environ.pop("DEEPHAVEN_PSK", None)
    yield path
    if before is None:
        del os.environ["XDG_STATE_HOME"]
    else:
        os.environ["XDG_STATE_HOME"] = before


@pytest.fixture(scope="session")
def trading_server(state_home: Path) -> Iterator[TradingServer]:
    """The one server that runs inside the tests' process; a JVM can be started once."""
    global _jvm_started  # noqa: PLW0603 - the process has one JVM or none
    from server.options import Options
    from server.trading_server import TradingServer

    _jvm_started = True
    streams = sys.stdout, sys.stderr
    server = TradingServer(Options(port=free_port(), seed=7, rate=5.0, raw_rows=2_000))
    # Deephaven copies both streams into its log; pytest changes them with each test.
    sys.stdout, sys.stderr = streams
    # As server/app.py does with its own variables: clients see those of the main module.
    vars(sys.modules["__main__"]).update(server.published)
    yield server
    server.stop()


# Told not to look beyond this machine: there is nothing to look for in a test.
_QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser | None]:
    """Debian's Chromium without a window, None where it is not installed.

    Not for the whole session: Playwright keeps an event loop running meanwhile, and other tests
    want one of their own.
    """
    executable = shutil.which("chromium")
    if executable is None:
        yield None
        return
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=executable, args=_QUIET)
        yield started
        started.close()


@pytest.fixture
def screenshots(tmp_path: Path) -> Path:
    """Where pictures go: $SCREENSHOTS when those of the README are to be made again."""
    return Path(os.environ.get("SCREENSHOTS") or tmp_path)
