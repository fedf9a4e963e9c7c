"""Runs the Python examples of README.md and docs/ as tests."""

from __future__ import annotations

import os
import signal
import sys
import types
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Any

import pytest
from sybil import Sybil
from sybil.parsers.markdown import PythonCodeBlockParser
from sybil.sybil import SybilCollection

if TYPE_CHECKING:
    from server.trading_server import TradingServer

pytest_plugins = ["tests.fixtures"]

# A shell starts a job in the background with SIGINT ignored, and so does nohup. Programs that the
# tests start would inherit that, and the tests that send them a Ctrl-C would wait for ever.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


# Most servers of the tests live for seconds. Java's second compiler would spend more on one of them
# than it saves: without it a start takes half the processor time.
os.environ["JAVA_TOOL_OPTIONS"] = " ".join(
    filter(None, ["-XX:TieredStopAtLevel=1", os.environ.get("JAVA_TOOL_OPTIONS")])
)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Write half characters that a test has logged as escapes: they cannot be sent on."""
    report = yield
    report.sections = [
        (name, text.encode("utf-8", "backslashreplace").decode()) for name, text in report.sections
    ]
    return report


@pytest.fixture(scope="session")
def example_server(trading_server: TradingServer) -> Iterator[None]:
    """Let `DeephavenClient()` in an example find the tests' server, which has a port of its own."""
    from client.base_client import DeephavenClient

    before = DeephavenClient.__init__.__defaults__
    DeephavenClient.__init__.__defaults__ = ("localhost", trading_server.options.port)
    yield
    DeephavenClient.__init__.__defaults__ = before


class _Page(types.ModuleType):
    """A page as a module, so that what its examples define is found by module and name."""

    def __init__(self, namespace: dict[str, Any]) -> None:
        super().__init__("example_page")
        self._namespace = namespace

    def __getattr__(self, name: str) -> Any:
        try:
            return self._namespace[name]
        except KeyError:
            raise AttributeError(name) from None


def _begin(namespace: dict[str, Any]) -> None:
    namespace["__name__"] = "example_page"
    sys.modules["example_page"] = _Page(namespace)


def _end(_namespace: dict[str, Any]) -> None:
    del sys.modules["example_page"]


def _examples(pattern: str, *fixtures: str, excludes: tuple[str, ...] = ()) -> Sybil:
    return Sybil(
        parsers=[PythonCodeBlockParser()],
        patterns=[pattern],
        excludes=excludes,
        fixtures=fixtures,
        setup=_begin,
        teardown=_end,
    )


_readme = _examples("README.md", "example_server")
_clients = _examples("docs/clients.md", "example_server")
_pages = _examples("docs/*.md", excludes=("docs/bars.md", "docs/bridge.md", "docs/clients.md"))
# Their examples make tables, in the tests' own server.
_bars = _examples("docs/bars.md", "trading_server")
_bridge = _examples("docs/bridge.md", "trading_server")
pytest_collect_file = SybilCollection([_readme, _clients, _pages, _bars, _bridge]).pytest()
