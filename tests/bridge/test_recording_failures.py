"""Recordings whose store, table or key fails them: nothing is left out in silence."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from bridge import Recording, RecordingError, RecordingState, TableWriter, record
from store.client import StoreClient
from store.errors import Unavailable
from store.models import Signal
from tests.processes import wait_until

pytestmark = pytest.mark.usefixtures("engine")

STRENGTHS = {"symbol": str, "strength": float}


@pytest.fixture
def recordings() -> Iterator[list[Recording]]:
    made: list[Recording] = []
    yield made
    for each in made:
        each.stop()


class Away:
    """A client whose store takes no writes."""

    def __init__(self, client: StoreClient) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def write_many(self, *_: Any, **__: Any) -> None:
        raise Unavailable("nobody is there")

    update_many = delete = write_many


@pytest.mark.parametrize("key", [None, "symbol"])
def test_rows_that_still_wait_at_the_end_are_not_called_rejected(
    alice: StoreClient, recordings: list[Recording], key: str | None
) -> None:
    if key:
        alice.write(Signal("A", "LONG", 0.1))
    with TableWriter(STRENGTHS) as writer:
        recording = record(writer.live("symbol"), Away(alice), Signal, key=key)
        recordings.append(recording)
        for symbol in "AB":
            writer.write_row(symbol, 0.5)
        assert writer.flush()
        wait_until(lambda: recording.status().state is RecordingState.WAITING, 10, "the waiting")
    recording.stop()
    status = recording.status()
    assert (status.state, status.rejected) == (RecordingState.FAILED, 0)
    assert "nobody is there" in status.error
    with pytest.raises(RecordingError, match="nobody is there"):
        recording.flush()


def test_a_table_that_cannot_be_listened_to_leaves_no_thread(alice: StoreClient) -> None:
    from deephaven import DHError, empty_table

    def threads() -> list[threading.Thread]:
        return [each for each in threading.enumerate() if each.name == "recording Signal"]

    before = threads()
    static = empty_table(1).view(["symbol = `A`", "strength = 0.5"])
    with pytest.raises(DHError, match="refreshing"):
        record(static, alice, Signal, key="symbol")
    assert threads() == before
