"""Random writes of several processes: the tables equal the store, whenever a bridge begins."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reactive import Field
from store.client import StoreClient
from store.models import Trade
from tests.bridge.books import assert_same_versions, histories, present, rows_of
from tests.bridge.conftest import MakeBridge
from tests.bridge.random_writer import RandomWriter
from tests.bridge.writers import all_ids, writers
from tests.processes import wait_until
from tests.store.desk import Desk


@settings(
    max_examples=settings().max_examples // 8,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(seed=st.integers(0, 2**32), before=st.integers(0, 30), after=st.integers(1, 60))
def test_live_and_raw_equal_the_store_after_random_writes(
    make_bridge: MakeBridge, alice: StoreClient, seed: int, before: int, after: int
) -> None:
    writer = RandomWriter(alice, seed)
    writer.write(before)
    cheap = Field("price") < 250
    with make_bridge(subscriber_id=None) as bridge, make_bridge(subscriber_id=None) as filtered:
        bridge.register(Trade)
        bridge.start("beginning")
        filtered.register(Trade, filter=cheap)
        filtered.start("present")
        writer.write(after)
        assert bridge.flush()
        assert filtered.flush()
        shown = rows_of(bridge.table(Trade))
        assert_same_versions(shown, histories(alice, Trade, all_ids(alice)))
        assert sorted(rows_of(bridge.live(Trade))) == present(alice, Trade)
        assert sorted(rows_of(filtered.live(Trade))) == present(alice, Trade, cheap)


def test_several_processes_write_while_the_bridge_runs(
    make_bridge: MakeBridge, alice: StoreClient, desk: Desk
) -> None:
    bridge = make_bridge()
    bridge.register(Trade)
    bridge.start()
    processes = writers(desk, range(3), 400)
    assert [process.wait(120) for process in processes] == [0, 0, 0], processes[0].output
    assert bridge.flush(30)
    stored = histories(alice, Trade, all_ids(alice))
    assert len(stored) >= 1_200
    assert_same_versions(rows_of(bridge.table(Trade)), stored)
    assert sorted(rows_of(bridge.live(Trade))) == present(alice, Trade)


@pytest.mark.parametrize("from_", ["beginning", "present", "now"])
def test_the_seam_under_write_load(
    make_bridge: MakeBridge, alice: StoreClient, desk: Desk, from_: Any
) -> None:
    """Bridges start again and again while others write: nothing is missing, nothing twice."""
    processes = writers(desk, range(10, 12), 500)
    # Somebody holds a transaction open meanwhile: what commits behind it is read ahead of the log.
    slow = desk.login("bob")
    started = []
    while len(started) < 4 and any(process.child.poll() is None for process in processes):
        wait_until(lambda: versions_of(alice), 60, "a first event")
        with slow.cursor() as cursor:
            cursor.execute("BEGIN; SELECT pg_current_xact_id()")
        before = versions_of(alice)
        bridge = make_bridge(subscriber_id=None)
        bridge.register(Trade)
        bridge.start(from_)
        started.append((bridge, before, versions_of(alice)))
        with slow.cursor() as cursor:
            cursor.execute("ROLLBACK")
    assert [process.wait(120) for process in processes] == [0, 0], processes[0].output
    stored = histories(alice, Trade, all_ids(alice))
    every = {row[:2]: row for row in stored}
    wanted_live = present(alice, Trade)
    assert started
    for bridge, before, after in started:
        assert bridge.flush(30)
        assert sorted(rows_of(bridge.live(Trade))) == wanted_live
        shown = rows_of(bridge.table(Trade))
        assert all(every[row[:2]] == row for row in shown)
        assert len(set(shown)) == len(shown), "a version came twice"
        keys = [row[:2] for row in shown]
        assert set(keys) >= every.keys() - after, "a version that came later is missing"
        if from_ == "beginning":
            assert_same_versions(shown, stored)
        elif from_ == "now":
            assert not before & set(keys), "a version that was there before is shown"
        for entity_id in {key[0] for key in keys}:
            mine = [version for other, version in keys if other == entity_id]
            if from_ == "present" and len(mine) > 1 and mine[0] + 1 < mine[1]:
                # The first row is what held at the start, also where newer versions did not.
                mine = mine[1:]
            assert mine == list(range(mine[0], mine[-1] + 1)), "a gap"
            last = max(version for other, version in every if other == entity_id)
            assert mine[-1] == last or (from_ == "present" and len(mine) == 1)


def versions_of(client: StoreClient) -> set[tuple[str, int]]:
    with client.conn.cursor() as cursor:
        # Also what the log shows later, behind a transaction that is open.
        cursor.execute(
            "SELECT entity_id::text, version FROM object_store.log_page('0', 0, "
            "'18446744073709551615', NULL, NULL, NULL, 1000000, 1000000000)"
        )
        return set(cursor.fetchall())
