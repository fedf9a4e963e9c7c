"""The engine on a real store, with the simulated broker inside the kernel."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from decimal import Decimal
from typing import Any

import pytest

from store.client import StoreClient
from store.database.wakeup import after_commit
from tests.processes import wait_until
from tests.store.desk import Desk
from tests.store.fixtures import alice, desk
from trading.brokers import PaperBroker
from trading.engine import (
    CashRecord,
    DecisionRecord,
    EngineOptions,
    EngineSnapshot,
    FillRecord,
    JournalSegment,
    LimitsRecord,
    MatchRecord,
    OrderRecord,
    Phase,
    PositionRecord,
    TradingEngine,
    TradingStateRecord,
)
from trading.errors import EngineError, EngineStopped, EngineTimeout, InvalidOrderRequest
from trading.journal.inputs import Tick
from trading.orders import Bracket, OrderRequest
from trading.risk import Limits
from trading.specification import specify

__all__ = ["alice", "desk"]

AAPL = specify("AAPL")


def engine_of(store: StoreClient, **more: Any) -> TradingEngine:
    arguments: dict[str, Any] = {
        "feed": None,
        "broker": PaperBroker("tick"),
        "account": "ACC",
        "run": "paper:test",
        "instruments": [AAPL],
        "cash": 100_000,
        "options": EngineOptions(lease_s=1.0),
        **more,
    }
    return TradingEngine(store=store, **arguments)


@pytest.fixture
def engine(alice: StoreClient) -> Iterator[TradingEngine]:
    with engine_of(alice) as made:
        yield made


def tick(engine: TradingEngine, price: str, size: int = 1_000) -> None:
    engine.command(Tick(0, "AAPL", AAPL.price_units(price), size))


def order(side: str, quantity: int, limit: str, **more: Any) -> OrderRequest:
    return OrderRequest("ACC", "AAPL", side, quantity, "LIMIT", limit, **more)


def test_an_order_is_durable_with_its_states(alice: StoreClient, engine: TradingEngine) -> None:
    tick(engine, "100.00")
    order_id = engine.submit(order("BUY", 10, "99.00", tag="first"))
    assert order_id.startswith("ACC.paper.test.")
    [resting] = alice.query(OrderRecord, {"order_id": order_id})
    assert (resting.status, resting.order_tag, resting.run) == ("ACCEPTED", "first", "paper:test")
    tick(engine, "98.50")
    [filled] = alice.query(OrderRecord, {"order_id": order_id})
    history = alice.history(OrderRecord, filled._store_entity_id or "")
    assert [(each.status, each.order_steps) for each in history] == [
        ("ACCEPTED", "INITIALIZED SUBMITTED ACCEPTED"),
        ("FILLED", "FILL"),
    ]
    [fill] = alice.query(FillRecord)
    assert (fill.order_id, fill.fill_quantity, fill.fill_price, fill.status) == (
        order_id,
        10,
        Decimal("99.00"),
        "BOOKED",
    )
    engine.submit(order("SELL", 4, "90.00"))
    tick(engine, "98.00")
    [match] = alice.query(MatchRecord)
    assert (match.open_order_id, match.match_quantity, match.status) == (order_id, 4, "MADE")
    [position] = alice.query(PositionRecord)
    assert position.net_quantity == 6
    [cash] = alice.query(CashRecord)
    assert (cash.amount, cash.cash_reason) == (100_000, "START")
    # An order that passed says so itself.
    assert alice.count(DecisionRecord) == 0
    assert engine.status().positions == {"AAPL": 6}
    assert alice.verify()


def test_what_is_not_committed_yet_waits(desk: Desk, engine: TradingEngine) -> None:
    """Where nothing waits, all that the status tells can be read in the store."""
    tick(engine, "100.00")
    wait_until(lambda: engine.status().waiting == 0, 60, "the tick in the journal")
    blocker = desk.admin()
    blocker.autocommit = False
    with ThreadPoolExecutor(1) as pool, closing(blocker):
        blocker.cursor().execute("LOCK TABLE object_store.event IN SHARE MODE")
        submitted = pool.submit(engine.submit, order("BUY", 10, "99.00"), timeout=120.0)
        wait_until(lambda: engine.status().open_orders, 60, "the order in the engine")
        assert engine.status().waiting == 1
        assert not submitted.done()
        blocker.rollback()
        order_id = submitted.result(60)
        wait_until(lambda: engine.status().waiting == 0, 60, "the order in the journal")
    assert engine.order(order_id) is not None


def test_a_restart_goes_on_from_snapshot_and_journal(alice: StoreClient) -> None:
    with engine_of(alice) as first:
        tick(first, "100.00")
        order_id = first.submit(order("BUY", 10, "99.00"))
        digest = first.digest
        status = first.stop()
    assert status.phase is Phase.STOPPED
    [line] = status.what_is_open()
    assert order_id in line
    with engine_of(alice) as second:
        assert second.digest == digest
        assert second.status().group == status.group
        tick(second, "98.00")
        assert second.order(order_id).status == "FILLED"  # type: ignore[union-attr]
    [record] = alice.query(OrderRecord, {"order_id": order_id})
    assert record.status == "FILLED"
    # Without its snapshots the journal alone leads to the same.
    with engine_of(alice, options=EngineOptions(lease_s=1.0)) as third:
        from_snapshot = third.digest
    for snapshot in alice.query(EngineSnapshot):
        alice.delete(snapshot)
    with engine_of(alice) as fourth:
        assert fourth.digest == from_snapshot
        tick(fourth, "97.00")


def test_a_repeated_command_is_one_order(alice: StoreClient, engine: TradingEngine) -> None:
    tick(engine, "100.00")
    first = engine.submit(order("BUY", 1, "90.00"), command_id="c-1")
    again = engine.submit(order("BUY", 1, "90.00"), command_id="c-1")
    assert first == again
    assert alice.count(OrderRecord) == 1
    engine.stop()
    with engine_of(alice) as later:
        assert later.submit(order("BUY", 1, "90.00"), command_id="c-1") == first


def test_commands(alice: StoreClient, engine: TradingEngine) -> None:
    tick(engine, "100.00")
    order_id = engine.submit(order("BUY", 10, "90.00"))
    assert engine.replace(order_id, quantity=7, limit_price="91.00").ok
    found = engine.order(order_id)
    assert found is not None
    assert (found.quantity, found.limit_price) == (7, Decimal("91.00"))
    assert engine.cancel(order_id).ok
    assert engine.order(order_id) is None or engine.order(order_id).status == "CANCELED"  # type: ignore[union-attr]
    assert engine.cancel("ACC.nothing").code == "UNKNOWN_ORDER"
    engine.submit(Bracket(order("BUY", 5, "101.00"), target="120", stop="80"))
    tick(engine, "100.00")
    assert engine.status().positions == {"AAPL": 5}
    assert engine.flatten().ok
    tick(engine, "100.00")
    assert engine.status().positions == {}
    assert engine.set_trading_state("HALTED", "lunch", by="boss").ok
    assert engine.status().trading_state == "HALTED"
    denied = engine.submit(order("BUY", 1, "90.00"))
    [record] = alice.query(OrderRecord, {"order_id": denied})
    assert (record.status, record.order_detail) == ("DENIED", "TRADING_HALTED")
    assert engine.set_trading_state("ACTIVE", "", by="alice").code == "NEEDS_ANOTHER_PERSON"
    assert engine.set_trading_state("ACTIVE", "back", by="boss").ok
    [state] = alice.query(TradingStateRecord)
    assert (state.trading_state, state.state_changed_by) == ("ACTIVE", "boss")
    assert engine.transfer("12.50").ok
    assert engine.status().cash["USD"] > 0
    with pytest.raises(InvalidOrderRequest, match="account BOB"):
        engine.submit(OrderRequest("BOB", "AAPL", "BUY", 1))
    with pytest.raises(EngineError, match="NUL"):
        engine.submit(order("BUY", 1, "90", tag="a\0b"))


def test_limits_are_records_with_their_time(alice: StoreClient, engine: TradingEngine) -> None:
    tick(engine, "100.00")
    limits = Limits(max_order_quantity=5)
    answer = engine.set_limits(limits, requested_by="ann", approved_by="ann")
    assert answer.code == "LIMITS_REFUSED"
    assert engine.set_limits(limits, requested_by="ann", approved_by="eve", limits_id="L1").ok
    denied = engine.submit(order("BUY", 6, "90.00"))
    [why] = alice.query(DecisionRecord, {"order_id": denied})
    assert why.decision_code != "OK"
    assert (why.limits_id, "5" in why.limit_text) == ("L1", True)
    passed = engine.submit(order("BUY", 5, "90.00"))
    assert not list(alice.query(DecisionRecord, {"order_id": passed}))
    assert alice.query(OrderRecord, {"order_id": passed})[0].limits_id == "L1"
    [record] = alice.query(LimitsRecord)
    assert '"max_order_quantity":"5"' in record.limits_json


def test_many_commands_at_once_are_groups(alice: StoreClient, engine: TradingEngine) -> None:
    tick(engine, "100.00")
    before = engine.status().group

    def send() -> None:
        for _ in range(25):
            engine.submit(order("BUY", 1, "50.00"))

    threads = [threading.Thread(target=send) for _ in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len(engine.status().open_orders) == 200
    assert engine.status().group - before < 200
    segments = alice.query(JournalSegment)
    assert [each.group_number for each in segments] == [engine.status().group]
    journal = alice.history(JournalSegment, segments[0]._store_entity_id or "")
    assert [each.group_number for each in journal] == list(range(1, len(journal) + 1))


def test_ticks_without_records_wake_no_subscriber(
    alice: StoreClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    woken: list[Any] = []

    def counted(connection: Any, server: Any) -> None:
        woken.append(server)
        after_commit(connection, server)

    monkeypatch.setattr("store.database.connection.after_commit", counted)
    # The lease is not renewed meanwhile, which would be a write as well.
    with engine_of(alice, options=EngineOptions(lease_s=120.0)) as engine:
        # A group wakes before the next one is taken, so that the first one's count is known now.
        tick(engine, "100.00")
        tick(engine, "100.01")
        before, group = len(woken), engine.status().group
        for price in ("100.02", "100.03", "100.04", "100.05"):
            tick(engine, price)
        assert engine.status().group >= group + 4
        assert len(woken) == before
        engine.submit(order("BUY", 1, "50.00"))
        wait_until(lambda: len(woken) > before, 30, "the waking after an order")


def test_two_engines_fight_and_one_writes(desk: Desk, alice: StoreClient) -> None:
    first = engine_of(alice)
    first.start(30)
    second = engine_of(desk.client("alice"))
    second.start()
    wait_until(lambda: second.phase is Phase.STANDBY, 30, "the standby")
    with pytest.raises(EngineTimeout, match="STANDBY"):
        second.wait_running(0.1)
    tick(first, "100.00")
    first.submit(order("BUY", 1, "50.00"))
    first.stop()
    second.wait_running(30)
    assert len(second.status().open_orders) == 1
    assert second.status().epoch == first.status().epoch + 1
    with pytest.raises(EngineStopped):
        first.submit(order("BUY", 1, "50.00"))
    second.stop()


def test_what_the_kernel_cannot_process_is_journaled_and_halts(
    alice: StoreClient, engine: TradingEngine
) -> None:
    tick(engine, "100.00")
    order_id = engine.submit(order("BUY", 1, "50.00"))
    answer = engine.command(Tick(0, "NOBODY", 100, 1))
    assert answer.code == "ENGINE_ERROR"
    assert "NOBODY" in answer.detail
    status = engine.status()
    assert status.trading_state == "HALTED"
    assert "NOBODY" in status.state_reason
    assert status.open_orders == ()
    [record] = alice.query(OrderRecord, {"order_id": order_id})
    assert record.status == "CANCELED"
    digest = engine.digest
    engine.stop()
    with engine_of(alice) as later:
        assert later.digest == digest
        assert later.status().trading_state == "HALTED"


def test_other_strategies_cannot_continue_a_journal(alice: StoreClient) -> None:
    with engine_of(alice) as first:
        tick(first, "100.00")
        first.submit(order("BUY", 1, "101.00"))
        assert first.verify() == first.digest
    # Nothing fills at once there, so that the journal would lead to something else.
    other = engine_of(alice, broker=PaperBroker("next_open"))
    with pytest.raises(EngineError, match="the program or its settings"):
        other.start(30)
    assert other.phase is Phase.FAILED
    with pytest.raises(EngineError, match="had failed"):
        other.stop()


def test_timers_fire_through_the_journal(alice: StoreClient, engine: TradingEngine) -> None:
    tick(engine, "100.00")
    order_id = engine.submit(
        order("BUY", 1, "50.00", time_in_force="GTD", expire_at=time.time_ns() + 300_000_000)
    )

    def expired() -> bool:
        [record] = alice.query(OrderRecord, {"order_id": order_id})
        return record.status == "EXPIRED"

    wait_until(expired, 30, "the expiry")
    digest = engine.digest
    engine.stop()
    with engine_of(alice) as later:
        assert later.digest == digest


@pytest.mark.shared_database
@pytest.mark.parametrize(("account", "run"), [("a.b", "live"), ("ACC", "a:b:c"), ("", "live")])
def test_names_that_order_ids_are_made_of(alice: StoreClient, account: str, run: str) -> None:
    with pytest.raises(EngineError, match="letters, digits"):
        engine_of(alice, account=account, run=run)


def test_a_journal_of_several_segments(alice: StoreClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trading.engine.journal.SEGMENT_GROUPS", 3)
    # A snapshot in the middle of a segment, and one at its end; inputs as they are, and compressed.
    for orders, large in ((3, 4_096), (1, 0), (2, 4_096), (5, 0)):
        monkeypatch.setattr("trading.engine.journal._LARGE", large)
        with engine_of(alice) as engine:
            tick(engine, "100.00")
            for _ in range(orders):
                engine.submit(order("BUY", 1, "50.00"))
            digest, group = engine.digest, engine.status().group
    segments = sorted(alice.query(JournalSegment, limit=None), key=lambda each: each.segment)
    assert [each.segment for each in segments] == list(range(1, len(segments) + 1))
    assert [each.group_number for each in segments[:-1]] == [
        3 * each for each in range(1, len(segments))
    ]
    groups = [alice.history(JournalSegment, each._store_entity_id or "") for each in segments]
    assert {each.form for versions in groups for each in versions} == {2, 3}
    for snapshot in (*alice.query(EngineSnapshot), None):
        with engine_of(alice) as engine:
            assert engine.digest == digest
            assert engine.status().group == group
            assert engine.verify() == digest
        if snapshot is not None:
            alice.delete(snapshot)


def test_a_journal_of_another_form_is_refused(alice: StoreClient) -> None:
    with engine_of(alice) as first:
        tick(first, "100.00")
    for snapshot in alice.query(EngineSnapshot):
        alice.delete(snapshot)
    [segment] = alice.query(JournalSegment)
    segment.form, segment.group_number = 1, segment.group_number + 1
    alice.update(segment)
    with pytest.raises(EngineError, match="has form 1, this program reads forms 2 and 3; go on"):
        engine_of(alice).start(30)


def test_a_snapshot_of_another_journal_is_not_used(alice: StoreClient) -> None:
    with engine_of(alice) as first:
        tick(first, "100.00")
        first.submit(order("BUY", 1, "50.00"))
        digest = first.digest
    [snapshot] = alice.query(EngineSnapshot)
    for change in ({"digest": "0" * 64}, {"group_number": 10_000}, {"state_text": "AAAA"}):
        for name, value in change.items():
            setattr(snapshot, name, value)
        alice.update(snapshot)
        with engine_of(alice) as later:
            assert later.digest == digest
            assert len(later.status().open_orders) == 1


def test_others_may_read_the_records(desk: Desk, alice: StoreClient) -> None:
    bob = desk.client("bob")
    with engine_of(alice, options=EngineOptions(lease_s=1.0, readers=("bob",))) as engine:
        order_id = engine.submit(order("BUY", 1, "50.00"))
    [record] = bob.query(OrderRecord, {"order_id": order_id})
    assert record.status == "ACCEPTED"


def test_who_listens_cannot_stop_the_writer(alice: StoreClient) -> None:
    heard: list[Any] = []

    def listen(outputs: Any) -> None:
        heard.extend(outputs)
        raise InterruptedError("a fault of the listener")

    with engine_of(alice, publish=listen) as engine:
        tick(engine, "100.00")
        order_id = engine.submit(order("BUY", 1, "50.00"))
        engine.submit(order("BUY", 1, "50.00"))
    assert order_id in [getattr(each, "order_id", "") for each in heard]


@pytest.mark.parametrize("change", [{"group_size": 0}, {"lease_s": float("nan")}])
def test_options_are_checked(change: dict[str, Any]) -> None:
    with pytest.raises(EngineError, match="expected"):
        EngineOptions(**change)


def test_an_order_for_what_is_no_instrument_is_denied(
    alice: StoreClient, engine: TradingEngine
) -> None:
    order_id = engine.submit(OrderRequest("", "no such thing", "BUY", 1))
    [record] = alice.query(OrderRecord, {"order_id": order_id})
    assert (record.status, record.symbol) == ("DENIED", "UNKNOWN")
    assert "no such thing" in record.order_detail or "no such thing" in str(
        [each.seen_text + each.limit_text for each in alice.query(DecisionRecord)]
    )
    assert engine.status().trading_state == "ACTIVE"
