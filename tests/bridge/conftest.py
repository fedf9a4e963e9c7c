"""A PostgreSQL of its own, since these tests restart it, and the session's one Deephaven."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from tests.bridge.books import bridge_of
from tests.store.desk import Desk
from tests.store.fixtures import alice, bob, desk

if TYPE_CHECKING:
    from bridge import Push, Recording, StoreBridge
    from server.trading_server import TradingServer

__all__ = ["alice", "bob", "desk"]

MakeBridge = Callable[..., "StoreBridge"]


@pytest.fixture
def engine(trading_server: TradingServer) -> TradingServer:
    """Deephaven runs, and this thread may make tables."""
    return trading_server


@pytest.fixture
def make_bridge(desk: Desk, engine: TradingServer) -> Iterator[MakeBridge]:
    """Make bridges as a user of the desk; they are stopped at the end."""
    made: list[StoreBridge] = []

    def make(user: str = "alice", **options: Any) -> StoreBridge:
        made.append(bridge_of(desk, user, **options))
        return made[-1]

    yield make
    for bridge in made:
        bridge.stop()


@pytest.fixture
def pushes() -> Iterator[list[Push]]:
    """Put those here that are to be stopped at the end."""
    yield from _stopped_at_the_end()


@pytest.fixture
def recordings() -> Iterator[list[Recording]]:
    """Put those here that are to be stopped at the end."""
    yield from _stopped_at_the_end()


def _stopped_at_the_end() -> Iterator[list[Any]]:
    made: list[Any] = []
    yield made
    for each in made:
        each.stop()
