"""Writers: nothing lost or torn, back-pressure instead of memory, and all that may be shared."""

from __future__ import annotations

import threading
from datetime import date, datetime, timezone
from decimal import Decimal
from typing import Any

import pytest

from bridge import (
    BridgeClosed,
    RegistrationError,
    RowError,
    TableWriter,
    extract_row,
    infer_dh_schema,
)
from publishing import Stream
from publishing.engine import await_cycle, await_new_cycle, keep_rows, request_refresh
from store.client import StoreClient
from store.models import Order, Trade
from tests.bridge.books import META, PERIOD, histories, rows_of, trades
from tests.bridge.conftest import MakeBridge

pytestmark = pytest.mark.usefixtures("engine")


def test_rows_of_many_threads_are_whole_and_in_order() -> None:
    with TableWriter({"name": str, "number": int, "value": "double"}, max_pending_rows=50) as out:

        def write(name: str) -> None:
            for number in range(500):
                out.write_row(name, number, number / 2)

        threads = [threading.Thread(target=write, args=(f"t{n}",)) for n in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert out.flush()
        rows = rows_of(out.table)
    assert len(rows) == 3_000
    assert all(number / 2 == value for _, number, value in rows)
    for n in range(6):
        assert [number for name, number, _ in rows if name == f"t{n}"] == list(range(500))
    with pytest.raises(BridgeClosed):
        out.write_row("late", 1, 1.0)


def test_bounded_tables_and_keys() -> None:
    with TableWriter({"key": str, "value": int}, rows=3) as out:
        live = out.live("key")
        for n in range(10):
            out.write_row(f"k{n % 2}", n)
        assert out.flush()
        assert rows_of(out.table) == [("k1", 7), ("k0", 8), ("k1", 9)]
        assert sorted(rows_of(live)) == [("k0", 8), ("k1", 9)]
        with pytest.raises(RegistrationError, match="keys are columns"):
            out.live("colour")
        assert out.live("key") is live
        with pytest.raises(RegistrationError, match="comes too late"):
            out.live("value")
    with TableWriter({"key": str, "value": int}, rows=1, keys="key") as prepared:
        for n in range(10):
            prepared.write_row(f"k{n % 2}", n)
        assert prepared.flush()
        assert sorted(rows_of(prepared.live())) == [("k0", 8), ("k1", 9)]
    with TableWriter({"key": str, "value": int}) as whole:
        for n in range(10):
            whole.write_row(f"k{n % 2}", n)
        assert whole.flush()
        assert sorted(rows_of(whole.live("key"))) == [("k0", 8), ("k1", 9)]


def test_values_that_do_not_fit_are_nulls_and_wrong_rows_are_refused() -> None:
    with TableWriter({"text": str, "number": int, "at": datetime}) as out:
        out.write_row(1.5, 2**70, datetime(2026, 1, 1))
        out.write_row("ok", Decimal(3), datetime(2026, 1, 1, tzinfo=timezone.utc))
        out.write_row("ok", 3.5, datetime(2500, 1, 1, tzinfo=timezone.utc))
        with pytest.raises(RowError, match="3 values"):
            out.write_row("too", "few")
        assert out.flush()
        assert rows_of(out.table) == [
            ("1.5", None, None),
            ("ok", 3, 1767225600000000000),
            ("ok", None, None),
        ]
        assert out.conversion_errors.counts == {"number": 2, "at": 2}


def test_a_slow_engine_holds_up_writers_instead_of_filling_memory() -> None:
    from publishing.engine import _update_graph

    out = TableWriter({"n": int}, max_pending_rows=100)
    written = 0

    def write() -> None:
        nonlocal written
        for n in range(1_000):
            out.write_row(n)
            written = n + 1

    lock = _update_graph().sharedLock()
    lock.lock()  # No cycle can begin.
    try:
        thread = threading.Thread(target=write)
        thread.start()
        thread.join(1.0)
        assert thread.is_alive()
        # Those with the engine, those on the way there, and those that wait.
        assert written <= 300
    finally:
        lock.unlock()
    thread.join(20)
    assert out.flush()
    assert [row[0] for row in rows_of(out.table)] == list(range(1_000))
    out.close()


def test_a_batch_larger_than_the_bound_goes_through() -> None:
    stream = Stream("large", {"n": "long"}, 10)
    for _ in range(3):
        stream.add([list(range(1_000))])
    assert stream.await_taken(10)


def test_rows_that_miss_a_cycle_are_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Stream("late", {"n": "long"}, 10)
    kept = keep_rows(stream.table, None)
    lock = kept.update_graph.j_update_graph.sharedLock()
    publisher = stream._target.publisher
    add = publisher.add

    def late(table: Any) -> None:
        assert await_new_cycle(10)
        # From here on the engine cannot begin another cycle.
        lock.lock()
        add(table)

    monkeypatch.setattr(publisher, "add", late)
    stream.add([[7]])
    try:
        assert not stream.await_taken(0.1)
    finally:
        lock.unlock()
    request_refresh()
    assert stream.await_taken(10)
    await_cycle()
    assert rows_of(kept) == [(7,)]


def test_a_dynamic_table_writer_shared_with_other_threads(
    make_bridge: MakeBridge, alice: StoreClient
) -> None:
    """It tears rows by itself; behind the bridge's lock it does not, whoever calls it."""
    from deephaven import DynamicTableWriter

    writer = DynamicTableWriter(infer_dh_schema(Trade))
    bridge = make_bridge()
    bridge.register(Trade, writer=writer)
    bridge.start()
    count = 2_000

    def effects(price: float) -> None:
        row = extract_row(Trade(f"S{price}", int(price), price, "BUY"), infer_dh_schema(Trade))
        for _ in range(count):
            writer.write_row(*row)

    threads = [threading.Thread(target=effects, args=(float(n),)) for n in range(2, 4)]
    for thread in threads:
        thread.start()
    alice.write_many([Trade("S1", 1, 1.0, "BUY") for _ in range(count)])
    for thread in threads:
        thread.join()
    assert bridge.flush(30)
    assert await_new_cycle(10)
    rows = rows_of(bridge.table(Trade), "symbol", "quantity", "price")
    assert len(rows) == 3 * count
    assert {symbol: rows.count((symbol, q, p)) for symbol, q, p in set(rows)} == {
        "S1": count,
        "S2.0": count,
        "S3.0": count,
    }


def test_all_kinds_of_writers_get_the_same_rows(
    make_bridge: MakeBridge, alice: StoreClient
) -> None:
    from deephaven import DynamicTableWriter
    from deephaven.stream import blink_to_append_only
    from deephaven.stream.table_publisher import table_publisher

    seen: list[tuple[Any, ...]] = []

    class Plain:
        def write_row(self, *values: Any) -> None:
            seen.append(values)

    blink, publisher = table_publisher("trades", infer_dh_schema(Trade))
    kept = blink_to_append_only(blink)
    writers: list[Any] = [
        None,
        TableWriter(infer_dh_schema(Trade)),
        DynamicTableWriter(infer_dh_schema(Trade)),
        (blink, publisher),
        Plain(),
    ]
    bridges = []
    for number, writer in enumerate(writers):
        bridge = make_bridge(subscriber_id=f"writer {number}")
        bridge.register(Trade, writer=writer)
        bridge.start()
        bridges.append(bridge)
    trade = trades(1)[0]
    entity_id = alice.write(trade)
    trade.timestamp = None
    alice.update(trade)
    alice.delete(trade)
    wanted = histories(alice, Trade, [entity_id])
    for bridge in bridges:
        assert bridge.flush()
    assert await_new_cycle(10)
    for bridge in bridges[:3]:
        assert rows_of(bridge.table(Trade)) == wanted
    assert rows_of(kept) == wanted
    assert bridges[3].table(Trade) is blink
    assert [row[:5] for row in seen] == [row[:5] for row in wanted]
    first = alice.history(Trade, entity_id)[0]
    assert seen[0][5] == first._store_tx_time
    assert seen[0][-3:] == (first.timestamp, first._store_valid_from, None)
    with pytest.raises(LookupError, match="no table of its own"):
        bridges[4].table(Trade)


def test_a_writer_gets_the_columns_that_it_has(make_bridge: MakeBridge, alice: StoreClient) -> None:
    from deephaven import DynamicTableWriter, dtypes

    writer = DynamicTableWriter(
        {"price": dtypes.double, "note": dtypes.string, "EntityId": dtypes.string}
    )
    bridge = make_bridge()
    bridge.register(Trade, writer=writer)
    bridge.start()
    entity_id = alice.write(Trade("A", 1, 2.5, "BUY"))
    assert bridge.flush()
    assert await_new_cycle(10)
    assert rows_of(bridge.table(Trade)) == [(2.5, None, entity_id)]
    wrong = DynamicTableWriter({"price": dtypes.string})
    strange = DynamicTableWriter({"colour": dtypes.string})
    with pytest.raises(RegistrationError, match="price is string, not double"):
        make_bridge().register(Trade, writer=wrong)
    with pytest.raises(RegistrationError, match="no column has a name"):
        make_bridge().register(Trade, writer=strange)
    with pytest.raises(RegistrationError, match="a writer brings its table"):
        make_bridge().register(Trade, writer=writer, rows=10)


def test_the_schema_and_the_rows_of_objects(alice: StoreClient) -> None:
    schema = infer_dh_schema(Order)
    fields = ["symbol", "quantity", "price", "side", "order_type", "status", "timestamp"]
    assert list(schema) == [*META, *fields, *PERIOD]
    assert list(infer_dh_schema(Order, columns=["price"])) == [*META, "price", *PERIOD]
    with pytest.raises(RegistrationError, match="colour"):
        infer_dh_schema(Order, columns=["colour"])
    order = Order("A", 3, 2.5, "BUY", "LIMIT", "NEW", None)
    assert extract_row(order, ["price", "symbol"]) == (2.5, "A")
    assert extract_row(order, META) == (None,) * 6
    entity_id = alice.write(order)
    row = extract_row(order, ["EntityId", "Version", "EventType", "UpdatedBy"])
    assert row == (entity_id, 1, "CREATED", "alice")
    with pytest.raises(RegistrationError, match="colour"):
        extract_row(order, ["colour"])


def test_python_types_of_columns() -> None:
    columns = {"a": str, "b": int, "c": float, "d": bool, "e": Decimal, "f": datetime, "g": date}
    with TableWriter(columns) as out:
        assert list(out.columns.values()) == [
            *("string", "long", "double", "bool", "double", "Instant", "LocalDate")
        ]
    with pytest.raises(RegistrationError, match="possible are"):
        TableWriter({"a": list})
    with pytest.raises(RegistrationError, match="at least one column"):
        TableWriter({})
    with pytest.raises(RegistrationError, match="Deephaven refuses"):
        TableWriter({"not a name": str})
