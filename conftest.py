"""Runs the Python examples of README.md and docs/ as tests."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from sybil import Sybil
from sybil.parsers.markdown import PythonCodeBlockParser
from sybil.sybil import SybilCollection

if TYPE_CHECKING:
    from server.trading_server import TradingServer

pytest_plugins = ["tests.fixtures"]


@pytest.fixture(scope="session")
def example_server(trading_server: TradingServer) -> Iterator[None]:
    """Let `DeephavenClient()` in an example find the tests' server, which has a port of its own."""
    from client.base_client import DeephavenClient

    before = DeephavenClient.__init__.__defaults__
    DeephavenClient.__init__.__defaults__ = ("localhost", trading_server.options.port)
    yield
    DeephavenClient.__init__.__defaults__ = before


_readme = Sybil(
    parsers=[PythonCodeBlockParser()], patterns=["README.md"], fixtures=["example_server"]
)
_pages = Sybil(
    parsers=[PythonCodeBlockParser()], patterns=["docs/*.md"], excludes=["docs/bridge.md"]
)
# Its examples make tables, in the tests' own server.
_bridge = Sybil(
    parsers=[PythonCodeBlockParser()], patterns=["docs/bridge.md"], fixtures=["trading_server"]
)
pytest_collect_file = SybilCollection([_readme, _pages, _bridge]).pytest()
