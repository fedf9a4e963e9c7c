"""Sessions: controls, speeds, many at a time, and that nothing live is touched."""

from __future__ import annotations

import gc
import os
import socket
import sys
import threading
import time
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import numpy as np
import pytest

from store.client import StoreClient
from store.database.execute import PgConnection
from tests.processes import wait_until
from tests.store.desk import ADMIN_PASSWORD, Desk
from tests.store.fixtures import alice, desk
from tests.trading.replay.days import folded, paper_day, venue_day
from tests.trading.replay.recorded import RUN, Crosser, engine_of, walk
from tests.trading.replay.test_player import _table
from trading.backtest import Backtest
from trading.brokers import PaperBroker
from trading.engine import OrderRecord, TradingEngine
from trading.errors import ReplayError
from trading.exchange import ExchangeBroker
from trading.journal.inputs import Tick
from trading.journal.outputs import SendOrder
from trading.picker import TradePicker
from trading.replay import read_run, recipe_of
from trading.replay.run_journal import Recipe, RecordedRun
from trading.replay.session import SessionState
from trading.replay.sessions import ReplaySessions
from trading.replay.tape import Tape
from trading.ticks import TickStore

__all__ = ["alice", "desk"]

START = 1_700_000_040 * 10**9
LONG = 120


@pytest.fixture
def sessions() -> Any:
    with ReplaySessions(idle_s=300) as made:
        yield made


def tape_of(seed: int = 1, count: int = 2_000) -> Tape:
    return Tape.of_data(_table(walk(seed, count, start=START)))


@pytest.mark.parametrize("speed", [None, 200.0, 20.0])
def test_every_speed_says_the_same(sessions: ReplaySessions, speed: float | None) -> None:
    tape = tape_of(count=600)
    session = sessions.create(tape, strategies=[Crosser()], speed=speed)
    told: list[Any] = []
    session.subscribe(told.append, ["bars", "orders", "status"])
    session.play()
    assert session.wait(SessionState.FINISHED, LONG)
    plain = sessions.create(tape, strategies=[Crosser()], speed=None)
    plain.seek(time=plain.status().end)
    assert plain.status().state is SessionState.FINISHED
    assert session.digest == plain.digest
    assert session.shown() == plain.shown()
    bars = [bar for message in told if message.topic == "bars" for bar in message.rows]
    assert bars == [each.bar for each in plain.shown().logs["bars"]]  # type: ignore[attr-defined]
    assert {message.session for message in told} == {session.id}
    assert told[-1].rows[0].state is SessionState.FINISHED


def test_a_session_says_what_a_backtest_says(sessions: ReplaySessions) -> None:
    table = _table(walk(4, 3_000, start=START))
    tape = Tape.of_data(table)
    session = sessions.create(tape, strategies=[Crosser()], speed=None)
    session.play()
    assert session.wait(SessionState.FINISHED, LONG)
    result = Backtest(Crosser(), table, cash=100_000, fill="tick").run()
    assert len(session.shown().orders) > 10
    assert len(session.shown().logs["fills"]) == len(result.fills)


def test_play_pause_step_seek_and_speed(sessions: ReplaySessions) -> None:
    tape = tape_of()
    session = sessions.create(tape, strategies=[Crosser()], speed=0.1)
    assert session.status().state is SessionState.PAUSED
    session.step("tick", 3)
    assert session.status().position == 3
    session.step("order")
    [first, *_] = session.shown().orders
    session.step("bar")
    shown = session.shown()
    session.play()
    session.speed(50)
    wait_until(lambda: session.status().position > 1_000, LONG, "row 1,000")
    session.pause()
    assert session.status().state is SessionState.PAUSED
    paused_at = session.status().position
    session.seek(time=shown.time)
    assert session.shown().orders == shown.orders
    assert session.shown().orders[0].order_id == first.order_id
    session.seek(position=paused_at)
    assert session.status().position == paused_at
    session.restart()
    assert (session.status().position, session.shown().orders) == (0, ())
    session.seek(time=session.status().end)
    session.restart()
    assert session.status().state is SessionState.PAUSED
    for call, message in (
        (lambda: session.speed(0.01), "0.1 to"),
        (session.seek, "a time, a position, or both"),
        (lambda: session.seek(position=5, time=START + 10**12), "it is between"),
        (lambda: session.seek(position=10**9), "is not within"),
        (lambda: session.step("tick", 0), "1 or more"),
    ):
        with pytest.raises(ReplayError, match=message):
            call()
    session.end()
    with pytest.raises(ReplayError, match="has ended"):
        session.play()


def test_who_comes_later_begins_with_all_that_is_shown(sessions: ReplaySessions) -> None:
    session = sessions.create(tape_of(), timeframes=["10s"], speed=None)
    session.step("bar", 2)
    told: list[Any] = []
    stop = session.subscribe(told.append)
    [reset] = told
    assert reset.topic == "reset"
    assert reset.rows[0] == session.shown()
    assert len(reset.rows[0].bars) == 2
    session.step("tick")
    assert [each.topic for each in told[1:]] == ["ticks", "status"]
    session.seek(position=0)
    assert told[-2].topic == "reset"
    assert told[-2].rows[0].bars == ()
    count = len(told)
    stop()
    session.step("tick")
    assert len(told) == count


def test_a_listener_that_raises_stops_nothing(sessions: ReplaySessions) -> None:
    session = sessions.create(tape_of(), speed=None)

    def broken(message: Any) -> None:
        if message.topic == "bars":
            raise RuntimeError("mine")

    session.subscribe(broken, ["bars"])
    session.play()
    assert session.wait(SessionState.FINISHED, LONG)


def test_many_sessions_do_not_mix_and_end_when_left_alone() -> None:
    with ReplaySessions(idle_s=2.0, most=6) as sessions:
        made = [sessions.create(tape_of(seed), owner="ann", speed=None) for seed in range(5)]
        # Listened to, they stay for as long as the machine takes.
        leave = [each.subscribe(lambda _: None, ["alerts"]) for each in made]
        listened: list[Any] = []
        made[0].subscribe(listened.append, ["status"])
        other = sessions.create(tape_of(9), owner="bob", speed=None)
        leave.append(other.subscribe(lambda _: None, ["alerts"]))
        with pytest.raises(ReplayError, match="as many as there may be"):
            sessions.create(tape_of(1))
        assert {each.session for each in sessions.list("bob")} == {other.id}
        for each in made:
            each.play()
        assert len({each.id for each in (*made, other)}) == 6
        assert all(each.wait(SessionState.FINISHED, LONG) for each in made)
        assert len({each.digest for each in made}) == 5
        for end in leave:
            end()
        wait_until(lambda: len(sessions.list()) == 1, LONG, "the end of those left alone")
        assert sessions[made[0].id] is made[0]
        with pytest.raises(ReplayError, match="may have ended by itself"):
            sessions[other.id]
        assert "nobody used it" in other.status().problem
        sessions.end(made[0].id)
        assert listened[-1].rows[0].state is SessionState.ENDED
    assert not [each for each in threading.enumerate() if each.name.startswith("replay")]


def test_speed_is_kept(sessions: ReplaySessions) -> None:
    """Ticks come when they should: within what a loaded machine allows, and without drift."""
    session = sessions.create(tape_of(count=100), timeframes=["1s"], speed=10.0)
    came: list[tuple[float, int]] = []
    session.subscribe(lambda m: came.append((time.monotonic(), m.time)), ["ticks"])
    began = time.monotonic()
    session.play()
    assert session.wait(SessionState.FINISHED, LONG)
    early = [(at - began) - (recorded - START) / 10**10 for at, recorded in came]
    assert min(early) > -0.01
    assert np.median(early) < 0.5


def test_a_day_of_commands_is_played_as_it_was(sessions: ReplaySessions) -> None:
    tape, recipe = paper_day(11)
    session = sessions.create(tape, recipe=recipe, speed=None)
    session.play()
    assert session.wait(SessionState.FINISHED, LONG)
    assert session.digest == folded(tape, recipe)[0]


class Intruder(Crosser):
    """Tries to reach what is live: orders by their ids, and the account of the run."""

    live_order = ""

    def on_bar(self, ctx: Any, bar: Any) -> None:
        super().on_bar(ctx, bar)
        ctx.cancel(type(self).live_order)
        ctx.buy(bar.symbol, 1)


def reachable(start: object) -> list[object]:
    """All objects that an object leads to, but for what belongs to modules and classes."""
    found: dict[int, object] = {}
    waiting = [start]
    while waiting:
        each = waiting.pop()
        if id(each) in found or isinstance(each, (type, ModuleType)):
            continue
        found[id(each)] = each
        if isinstance(each, FunctionType):
            # Its globals are the module's.
            waiting += [each.__closure__, each.__defaults__, each.__kwdefaults__, each.__dict__]
        else:
            waiting += gc.get_referents(each)
    return list(found.values())


class Watch:
    """Notes what a session's thread, or the one that controls it, opens while it is watched."""

    def __init__(self) -> None:
        self.opened: list[str] = []
        self.is_on = False
        # A hook stays until the process ends.
        sys.addaudithook(self._hear)

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.is_on or event not in ("open", "socket.connect", "subprocess.Popen"):
            return
        thread = threading.current_thread()
        if not thread.name.startswith("replay") and thread is not threading.main_thread():
            return
        writes = event != "open" or bool(arguments[2] & (os.O_WRONLY | os.O_RDWR))
        if writes and not str(arguments[0]).endswith(".pyc"):
            self.opened.append(f"{event} {arguments!r:.200}")


def test_a_replay_never_touches_live_state(
    desk: Desk, alice: StoreClient, sessions: ReplaySessions, tmp_path: Path
) -> None:
    login = {**desk.info, "user": "postgres", "password": ADMIN_PASSWORD}
    watch = Watch()
    with TickStore(login) as ticks, engine_of(alice) as engine:
        ticks.append(_table(walk(3, 50, start=START)))
        for price in walk(1, 30).prices.tolist():
            engine.command(Tick(0, "AAPL", price, 100))
        order_id = engine.submit(_resting())
        digest, inputs = engine.digest, engine.status().inputs
        before = alice.count(), alice.verify().events, ticks.read()
        recorded = read_run(alice, "ACC", RUN)
        Intruder.live_order = order_id
        run = Tape.of_run(recorded)
        made = {
            name: sessions.create(tape, recipe=recipe, speed=None)
            for name, tape, recipe in (
                ("same", run, _recipe(recorded, Crosser())),
                ("intruder", run, _recipe(recorded, Intruder())),
                ("venue", *venue_day(6, 60)),
            )
        }
        made["ticks"] = sessions.create(Tape.of_data(ticks), strategies=[Intruder()], speed=None)
        live = (StoreClient, TickStore, TradingEngine, ExchangeBroker, socket.socket, PgConnection)
        assert [each for each in reachable(engine) if isinstance(each, live)]
        watch.is_on = True
        (tmp_path / "seen").write_text("what is watched is heard")
        assert len(watch.opened) == 1
        for session in made.values():
            session.play()
            assert session.wait(SessionState.FINISHED, LONG)
            session.seek(position=len(session.tape) // 2)
            session.step("order")
            assert not [each for each in reachable(session) if isinstance(each, live)]
            session.seek(time=session.status().end)
        watch.is_on = False
        assert len(watch.opened) == 1, watch.opened
        assert made["same"].digest == digest
        assert made["intruder"].digest != digest
        # What would go to a venue is said, and sent nowhere.
        assert any(isinstance(each, SendOrder) for each in made["venue"].shown().logs["others"])
        # The order works on, nothing was written, and the engine is where it was.
        assert (alice.count(), alice.verify().events, ticks.read()) == before
        assert (engine.digest, engine.status().inputs) == (digest, inputs)
        assert engine.order(order_id).status == "ACCEPTED"  # type: ignore[union-attr]
        assert alice.query(OrderRecord, {"order_id": order_id})[0].status == "ACCEPTED"
        assert engine.verify() == digest


def _recipe(recorded: RecordedRun, strategy: Crosser) -> Recipe:
    return recipe_of(
        recorded, strategies=[strategy], broker=PaperBroker("tick"), picker=TradePicker(3)
    )


def _resting() -> Any:
    from trading.orders import OrderRequest

    return OrderRequest("ACC", "AAPL", "BUY", 1, "LIMIT", "100")
