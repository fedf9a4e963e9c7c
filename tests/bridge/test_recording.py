"""Rows of Deephaven tables written to the store: each once, whatever happens meanwhile."""

from __future__ import annotations

from datetime import date, datetime, timezone
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest

from bridge import (
    Recording,
    RecordingError,
    RecordingState,
    RegistrationError,
    TableWriter,
    record,
)
from store.client import StoreClient
from store.models import Signal, Trade
from store.permissions import share_write
from tests.bridge.classes import Everything, Mood
from tests.processes import wait_until
from tests.store.desk import Desk

pytestmark = pytest.mark.usefixtures("engine")

SIGNAL = {"symbol": str, "direction": str, "strength": float, "model_name": str}


def strengths(client: StoreClient) -> dict[str, float]:
    return {signal.symbol: signal.strength for signal in client.query(Signal, limit=None)}


def test_upserts_by_key(alice: StoreClient, desk: Desk, recordings: list[Recording]) -> None:
    with TableWriter(SIGNAL) as writer:
        risk = writer.live("symbol")
        writer.write_row("A", "LONG", 0.1, "m")
        writer.write_row("B", "LONG", 0.2, "m")
        assert writer.flush()
        recording = record(risk, desk.client("alice"), Signal, key="symbol")
        recordings.append(recording)
        assert recording.flush()
        assert strengths(alice) == {"A": 0.1, "B": 0.2}
        writer.write_row("A", "LONG", 0.3, "m")
        writer.write_row("C", "SHORT", 0.4, "m")
        assert writer.flush()
        assert recording.flush()
        assert strengths(alice) == {"A": 0.3, "B": 0.2, "C": 0.4}
        status = recording.status()
        assert (status.created, status.updated, status.rejected) == (3, 1, 0)
        recording.stop()
        assert recording.status().state is RecordingState.STOPPED
        # Another one finds what is there already, and writes nothing.
        again = record(risk, desk.client("alice"), Signal, key=["symbol"])
        recordings.append(again)
        assert again.flush()
        assert (again.status().created, again.status().updated, again.status().unchanged) == (
            *(0, 0, 3),
        )
        versions = {
            signal.symbol: [v.strength for v in alice.history(Signal, signal._store_entity_id)]
            for signal in alice.query(Signal)
        }
        assert versions == {"A": [0.1, 0.3], "B": [0.2], "C": [0.4]}


def test_rows_that_disappear_delete(alice: StoreClient, recordings: list[Recording]) -> None:
    with TableWriter(SIGNAL) as writer:
        strong = writer.live("symbol").where("strength > 0.5")
        recording = record(strong, alice, Signal, key="symbol", deletes=True)
        recordings.append(recording)
        writer.write_row("A", "LONG", 0.9, "m")
        writer.write_row("B", "LONG", 0.8, "m")
        assert writer.flush()
        assert recording.flush()
        assert strengths(alice) == {"A": 0.9, "B": 0.8}
        writer.write_row("A", "LONG", 0.4, "m")
        assert writer.flush()
        assert recording.flush()
        assert strengths(alice) == {"B": 0.8}
        writer.write_row("A", "LONG", 0.7, "m")
        assert writer.flush()
        assert recording.flush()
        assert strengths(alice) == {"A": 0.7, "B": 0.8}
        assert recording.status().deleted == 1


def test_appends_each_row_once(alice: StoreClient, recordings: list[Recording]) -> None:
    schema = {**SIGNAL, "row_id": int}
    with TableWriter(schema) as writer:
        for n in range(2_500):
            writer.write_row(f"S{n}", "LONG", 0.5, "m", n)
        assert writer.flush()
        for _ in range(2):
            # The second one begins with the same rows: their ids are known.
            recording = record(writer.table, alice, Signal, event_id="row_id")
            recordings.append(recording)
            assert recording.flush(60)
            recording.stop()
        assert alice.count(Signal) == 2_500
        writer.write_row("LAST", "LONG", 0.5, "m", 2_500)
        plain = record(writer.table.tail(1), alice, Signal)
        recordings.append(plain)
        assert writer.flush()
        assert plain.flush()
        assert "LAST" in strengths(alice)


def test_a_conflict_builds_on_what_others_wrote(
    alice: StoreClient, desk: Desk, recordings: list[Recording]
) -> None:
    with TableWriter({"symbol": str, "strength": float}) as writer:
        recording = record(writer.live("symbol"), alice, Signal, key="symbol")
        recordings.append(recording)
        writer.write_row("A", 0.1)
        assert writer.flush()
        assert recording.flush()
        [signal] = alice.query(Signal)
        assert signal._store_entity_id is not None
        share_write(alice.conn, signal._store_entity_id, "bob")
        bob = desk.client("bob")
        theirs = bob.read(Signal, signal._store_entity_id)
        assert theirs is not None
        theirs.notes = "checked by hand"
        bob.update(theirs)
        writer.write_row("A", 0.2)
        assert writer.flush()
        assert recording.flush()
        [signal] = alice.query(Signal)
        assert (signal.strength, signal.notes) == (0.2, "checked by hand")
        alice.delete(signal)
        writer.write_row("A", 0.3)
        assert writer.flush()
        assert recording.flush()
        assert strengths(alice) == {"A": 0.3}


def test_rows_that_break_the_rules_are_counted_and_the_others_written(
    alice: StoreClient, recordings: list[Recording]
) -> None:
    with TableWriter(SIGNAL) as writer:
        writer.write_row("A", "LONG", 0.5, "m")
        writer.write_row("B", "LONG", -5.0, "m")
        writer.write_row(None, "LONG", 0.5, "m")
        writer.write_row("D", "LONG", 0.6, "m")
        assert writer.flush()
        recording = record(writer.table, alice, Signal)
        recordings.append(recording)
        assert recording.flush()
        assert strengths(alice) == {"A": 0.5, "D": 0.6}
        status = recording.status()
        assert (status.created, status.rejected) == (2, 2)
        assert "symbol" in status.error


def test_the_rejection_of_the_last_row_is_told(
    alice: StoreClient, recordings: list[Recording]
) -> None:
    """Also where an earlier row is rejected later, by the store."""
    with TableWriter({**SIGNAL, "timestamp": str}) as writer:
        writer.write_rows([("A", "LONG", -5.0, "m", None), ("B", "LONG", 0.5, "m", "noon")])
        assert writer.flush()
        recording = record(writer.table, alice, Signal)
        recordings.append(recording)
        assert recording.flush()
        status = recording.status()
        assert (status.created, status.rejected) == (0, 2)
        assert "an Instant is expected" in status.error


def test_every_type_comes_back_as_it_was(alice: StoreClient, recordings: list[Recording]) -> None:
    """Out of the store, through Deephaven, into the store."""
    from bridge import extract_row, infer_dh_schema

    names = ["name", "amount", "created", "ts_date", "active", "weight", "quantity", "mood"]
    names += ["tags", "row_id"]
    schema = {name: kind for name, kind in infer_dh_schema(Everything).items() if name in names}
    given = Everything(
        name="Ä\n",
        amount=Decimal("1.25"),
        created=datetime(2026, 1, 2, 3, 4, 5, 678_901, tzinfo=timezone.utc),
        ts_date=date(2026, 2, 3),
        active=True,
        weight=0.1,
        quantity=2**53 + 1,
        mood=Mood.GOOD,
        tags=["a", "ß"],
        row_id=uuid4(),
    )
    empty = Everything()
    from deephaven import DynamicTableWriter

    writer = DynamicTableWriter(schema)
    for each in (given, empty):
        writer.write_row(*extract_row(each, schema))
    recording = record(writer.table, alice, Everything)
    recordings.append(recording)
    wait_until(lambda: recording.status().created == 2, 20, "both rows")
    found = sorted(alice.query(Everything), key=lambda each: each.name)
    assert found == [empty, given]


def test_what_waits_too_long_ends_the_recording_and_says_so(
    alice: StoreClient, desk: Desk, recordings: list[Recording]
) -> None:
    with TableWriter(SIGNAL) as writer, desk.admin().cursor() as cursor:
        recording = record(writer.table, alice, Signal, max_pending_rows=10)
        recordings.append(recording)
        # The store takes no writes for a while: the recording waits for its turn.
        cursor.execute("BEGIN")
        cursor.execute("LOCK TABLE object_store.event IN EXCLUSIVE MODE")
        try:
            for n in range(30):
                writer.write_row(f"S{n}", "LONG", 0.5, "m")
                writer.flush()
            wait_until(lambda: recording.status().state is RecordingState.FAILED, 10, "the end")
        finally:
            cursor.execute("ROLLBACK")
        with pytest.raises(RecordingError, match="more than 10 rows wait"):
            recording.flush()


def test_what_cannot_be_recorded_is_refused(alice: StoreClient) -> None:
    with TableWriter({"symbol": str, "strength": float}) as writer:
        table: Any = writer.table
        with pytest.raises(RegistrationError, match="no fields"):
            record(table, alice, Signal, key="colour")
        with pytest.raises(RegistrationError, match="the table lacks"):
            record(table, alice, Signal, columns={"notes": "Notes"})
        with pytest.raises(RegistrationError, match="the table lacks"):
            record(table, alice, Signal, key="model_name")
        with pytest.raises(RegistrationError, match="goes without a key"):
            record(table, alice, Signal, key="symbol", event_id="symbol")
        with pytest.raises(RegistrationError, match="deletes with one"):
            record(table, alice, Signal, deletes=True)
        with pytest.raises(RegistrationError, match="lacks all fields"):
            record(table.view("X = 1"), alice, Trade)
        alice.write_many([Signal("A"), Signal("A")])
        with pytest.raises(RecordingError, match="two entities"):
            record(table, alice, Signal, key="symbol")
