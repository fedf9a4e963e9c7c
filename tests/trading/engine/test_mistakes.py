"""What operators get wrong, and what fails around an engine: each is said, and nothing is lost."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.processes import wait_until
from tests.relay import Relay
from tests.store.desk import Desk
from tests.store.fixtures import desk
from tests.trading.engine.trader import engine_of
from tests.trading.engine.world import OPTIONS, QUIET_SECONDS, World
from tests.trading.exchange.process import ExchangeProcess
from trading.engine import FillRecord, OrderRecord, Phase, TradingEngine
from trading.errors import EngineError, EngineTimeout
from trading.journal.inputs import Clock, OrderTerms, SetLimits, Submit
from trading.orders import OrderRequest

__all__ = ["desk"]

BUY = OrderRequest("ACC", "AAPL", "BUY", 2, "LIMIT", "105.00")


@pytest.fixture
def exchange(tmp_path: Path) -> Iterator[ExchangeProcess]:
    with ExchangeProcess(tmp_path, *OPTIONS) as process:
        yield process


@pytest.fixture
def world(desk: Desk, exchange: ExchangeProcess) -> Iterator[World]:
    found = World(desk, exchange, 6)
    yield found
    found.close()


def test_a_wrong_key_is_said(world: World) -> None:
    config = {**world.config(), "key": "wrong"}
    engine = engine_of(config)
    with pytest.raises(EngineError, match="WRONG_KEY"):
        engine.start(QUIET_SECONDS)
    with pytest.raises(EngineError, match="had failed"):
        engine.stop()


def test_no_order_is_taken_while_the_venue_is_down(world: World, exchange: ExchangeProcess) -> None:
    exchange.kill()
    engine = engine_of(world.config())
    with pytest.raises(EngineTimeout, match="RECOVERING"):
        engine.start(3)
    with pytest.raises(EngineTimeout, match="RECOVERING"):
        engine.command(Clock(0), timeout=0.5)
    exchange.start()
    engine.wait_running(QUIET_SECONDS)
    assert engine.stop().phase == "STOPPED"


def behind_relay(world: World) -> tuple[dict[str, Any], Relay]:
    """What an engine is made of that reaches the store through a link which can be cut."""
    config = world.config()
    relay = Relay(config["store"]["host"], config["store"]["port"])
    config["store"] = {**config["store"], "port": relay.port}
    return config, relay


def test_the_store_is_away_for_longer_than_a_write_waits(
    desk: Desk, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("store.database.connection.RETRY_SECONDS", 0.2)
    config, relay = behind_relay(world)
    engine = engine_of(config)
    engine.start(QUIET_SECONDS)
    try:
        for number in range(3):
            request = OrderRequest("ACC", "AAPL", "BUY", 2, "LIMIT", "105.00")
            first = engine.submit(request)
            relay.cut()
            with ThreadPoolExecutor(1) as pool:
                waiting = pool.submit(engine.submit, request, command_id=f"during-{number}")
                wait_until(
                    lambda: engine.phase is Phase.STORE_UNAVAILABLE,
                    QUIET_SECONDS,
                    "the engine's notice",
                )
                assert not waiting.done()
                relay.mend()
                engine.wait_running(QUIET_SECONDS)
                order_id = waiting.result(QUIET_SECONDS)
            assert order_id != first
            assert engine.submit(request, command_id=f"during-{number}") == order_id
    finally:
        engine.stop()
        relay.close()
    assert desk.client("alice").count(OrderRecord) == 6
    world.agree()


def test_the_store_goes_away_under_many_commands(
    desk: Desk, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("store.database.connection.RETRY_SECONDS", 0.2)
    config, relay = behind_relay(world)
    # Small groups, so that one is stepped while another is committed.
    engine = engine_of(config, group_size=20)
    engine.start(QUIET_SECONDS)
    terms = OrderTerms("ACC", "", "AAPL", 1, 1, "LIMIT", 9_000, None, "GTC")
    try:
        answers = []
        for number in range(400):
            answers.append(engine.send(Submit(0, f"m-{number}", "trader", "ORDER", (terms,))))
            if number in (150, 300):
                answers[-40].result(QUIET_SECONDS)
                relay.cut()
                wait_until(
                    lambda: engine.phase is Phase.STORE_UNAVAILABLE, QUIET_SECONDS, "the notice"
                )
                relay.mend()
        ids = [each.result(QUIET_SECONDS).detail for each in answers]
        assert len(set(ids)) == 400
        again = engine.command(Submit(0, "m-150", "trader", "ORDER", (terms,)))
        assert again.detail == ids[150]
    finally:
        engine.stop()
        relay.close()
    assert desk.client("alice").count(OrderRecord) == 400
    world.agree()


# Raised where PostgreSQL extends a table, or where it commits.
_FULL = """
CREATE FUNCTION public.disk_is_full() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100';
END $$;
CREATE CONSTRAINT TRIGGER full_disk AFTER INSERT ON object_store.event
    DEFERRABLE INITIALLY {when} FOR EACH ROW EXECUTE FUNCTION public.disk_is_full()
"""


def test_a_full_disk_stops_trading_until_there_is_room(desk: Desk, world: World) -> None:
    engine = engine_of(world.config())
    engine.start(QUIET_SECONDS)
    try:
        engine.submit(BUY)
        for number, when in enumerate(("IMMEDIATE", "DEFERRED"), 1):
            order_id = _submit_while_full(desk, engine, when, number)
            assert engine.submit(BUY, command_id=when) == order_id
    finally:
        engine.stop()
    assert desk.client("alice").count(OrderRecord) == 3
    world.agree()


def _submit_while_full(desk: Desk, engine: TradingEngine, when: str, orders: int) -> str:
    """Give a command that waits for room on the disk; what the engine answers in the end."""
    with desk.admin().cursor() as cursor:
        cursor.execute(_FULL.format(when=when))
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(engine.submit, BUY, command_id=when, timeout=300)
            wait_until(
                lambda: (
                    engine.phase is Phase.STORE_UNAVAILABLE
                    and "disk is full" in engine.status().problem
                ),
                QUIET_SECONDS,
                "the notice",
            )
            assert not waiting.done()
            assert desk.client("alice").count(OrderRecord) == orders
            cursor.execute(
                "DROP TRIGGER full_disk ON object_store.event; DROP FUNCTION public.disk_is_full()"
            )
            order_id = waiting.result(QUIET_SECONDS)
    engine.wait_running(QUIET_SECONDS)
    return order_id


@pytest.mark.parametrize("seconds", [3_600, -3_600])
def test_a_venue_whose_clock_is_off_by_an_hour(desk: Desk, tmp_path: Path, seconds: int) -> None:
    options = (*OPTIONS, "--clock-offset", str(seconds))
    with ExchangeProcess(tmp_path, *options) as exchange:
        world = World(desk, exchange, 7)
        engine = engine_of(world.config())
        engine.start(QUIET_SECONDS)
        try:
            begun = time.time_ns()
            filled = engine.submit(BUY)
            brief = OrderRequest(
                *("ACC", "AAPL", "BUY", 1, "LIMIT", "90.00"),
                time_in_force="GTD",
                expire_at=begun + 3_000_000_000_000,
            )
            resting = engine.submit(brief)
            wait_until(lambda: engine.status().positions == {"AAPL": 2}, QUIET_SECONDS, "the fill")
            assert engine.order(filled).status == "FILLED"  # type: ignore[union-attr]
            # Our clock says that it works for a while; a venue that is ahead says that it is over.
            expected = ("ACCEPTED",) if seconds < 0 else ("REJECTED", "EXPIRED")
            wait_until(
                lambda: str(engine.order(resting).status) in expected,  # type: ignore[union-attr]
                QUIET_SECONDS,
                f"one of {expected}",
            )
        finally:
            engine.stop()
        fills = desk.client("alice").query(FillRecord)
        assert fills
        for fill in fills:
            # What is ahead of us counts as now: no record holds from a time that has not come.
            assert fill.executed_at is not None
            assert fill.timestamp is not None
            assert fill.executed_at <= fill.timestamp
        world.agree()
        world.close()


def test_a_limit_that_is_no_number_is_refused(world: World) -> None:
    engine = engine_of(world.config())
    engine.start(QUIET_SECONDS)
    try:
        for limit in ("NaN", "Infinity", "-1", "", "ten"):
            text = json.dumps({"max_order_quantity": limit})
            answer = engine.command(
                SetLimits(0, f"c-{limit}", "ann", "eve", "ACC", "L1", text, time.time_ns(), None)
            )
            assert answer.code == "LIMITS_REFUSED", limit
        assert engine.status().trading_state == "ACTIVE"
        assert engine.order(engine.submit(BUY)).status != "DENIED"  # type: ignore[union-attr]
    finally:
        digest = engine.stop().digest
    assert engine.verify() == digest
