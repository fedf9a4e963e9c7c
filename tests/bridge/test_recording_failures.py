"""Recordings whose store, table or key fails them: nothing is left out in silence."""

from __future__ import annotations

import threading
from functools import partialmethod
from typing import Any

import pytest

from bridge import Recording, RecordingError, RecordingState, TableWriter, record
from store.client import StoreClient
from store.errors import TransactionConflict, Unavailable
from store.models import Signal
from tests.processes import wait_until

pytestmark = pytest.mark.usefixtures("engine")

STRENGTHS = {"symbol": str, "strength": float}


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


class Disturbed(Away):
    """A client whose first writes each meet somebody else's."""

    def __init__(self, client: StoreClient) -> None:
        super().__init__(client)
        self.disturbed: list[str] = []

    def _first(self, name: str, *given: Any, **options: Any) -> Any:
        if name not in self.disturbed:
            self.disturbed.append(name)
            raise TransactionConflict("a deadlock")
        return getattr(self._client, name)(*given, **options)

    write_many = partialmethod(_first, "write_many")  # type: ignore[assignment]
    update_many = partialmethod(_first, "update_many")  # type: ignore[assignment]
    delete = partialmethod(_first, "delete")  # type: ignore[assignment]


def test_what_met_another_transaction_is_written_again(
    alice: StoreClient, recordings: list[Recording]
) -> None:
    client = Disturbed(alice)
    kept = alice.write(Signal("A", "LONG", 0.1))
    with TableWriter({**STRENGTHS, "is_there": bool}) as writer:
        there = writer.live("symbol").where("is_there").view(["symbol", "strength"])
        recording = record(there, client, Signal, key="symbol", deletes=True)
        recordings.append(recording)
        for rows in ([("A", 0.5, True)], [("B", 0.5, True)], [("A", 0.5, False)]):
            for row in rows:
                writer.write_row(*row)
            assert writer.flush()
            assert recording.flush()
    assert sorted(client.disturbed) == ["delete", "update_many", "write_many"]
    assert recording.status().rejected == 0
    assert alice.read(Signal, kept) is None
    assert [each.symbol for each in alice.query(Signal)] == ["B"]


def test_a_table_that_cannot_be_listened_to_leaves_no_thread(alice: StoreClient) -> None:
    from deephaven import DHError, empty_table

    def threads() -> list[threading.Thread]:
        return [each for each in threading.enumerate() if each.name == "recording Signal"]

    before = threads()
    static = empty_table(1).view(["symbol = `A`", "strength = 0.5"])
    with pytest.raises(DHError, match="refreshing"):
        record(static, alice, Signal, key="symbol")
    assert threads() == before


def test_a_row_that_only_moves_is_not_deleted_in_between(
    alice: StoreClient, recordings: list[Recording], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where it leaves one place and comes to another, its deletion must not be written."""
    with TableWriter(STRENGTHS) as writer:
        ranked = writer.live("symbol").sort("strength")
        recording = record(ranked, alice, Signal, key="symbol", deletes=True)
        recordings.append(recording)
        for symbol, strength in (("A", 0.1), ("B", 0.2), ("C", 0.3)):
            writer.write_row(symbol, strength)
        assert writer.flush()
        assert recording.flush()
        rows = recording._reader.rows

        def slow(columns: Any) -> Any:
            # The writing thread gets all the time it could want.
            wait_until(lambda: recording.status().pending == 0, 10, "nothing to write")
            return rows(columns)

        monkeypatch.setattr(recording._reader, "rows", slow)
        writer.write_row("A", 0.9)
        assert writer.flush()
        assert recording.flush()
    status = recording.status()
    assert (status.created, status.updated, status.deleted) == (3, 1, 0)


def test_a_row_whose_key_changes_deletes_the_entity_of_the_old_one(
    alice: StoreClient, recordings: list[Recording]
) -> None:
    with TableWriter(STRENGTHS) as writer:
        newest = writer.table.last_by()
        recording = record(newest, alice, Signal, key="symbol", deletes=True)
        recordings.append(recording)
        for symbol in "AB":
            writer.write_row(symbol, 0.5)
            assert writer.flush()
            assert recording.flush()
    assert [signal.symbol for signal in alice.query(Signal)] == ["B"]
