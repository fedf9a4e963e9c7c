"""The engine follows what people decided: at its time, once, and what came while it was down."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from math import inf
from typing import Any

import msgspec
import pytest

from tests.processes import at_once, wait_until
from tests.store.desk import Desk
from tests.store.fixtures import desk
from tests.trading.engine.test_engine import engine_of, order, tick
from tests.trading.governance.house import ACCOUNT, RUN, House, house, now
from tests.trading.verified import await_verified
from trading.engine import (
    AlertRecord,
    DecisionRecord,
    LimitsRecord,
    OrderRecord,
    ParametersRecord,
    SignalRecord,
    TradingEngine,
    TradingStateRecord,
)
from trading.engine.journal import Journal
from trading.engine.status import open_for_s
from trading.errors import EngineError, GovernanceError
from trading.governance import Governance, LimitsChange, grant_duty, revoke_duty
from trading.governance.governor import Governor
from trading.journal import decode_input
from trading.journal.inputs import Flatten, SetLimits, SetTradingState
from trading.risk import Limits, Market
from trading.specification import specify
from trading.strategy import Bar, Context, Strategy
from trading.ticks.feeds.events import Ticks
from trading.times import SECOND

__all__ = ["desk", "house"]

LONG_S = 60.0


def governed(house: House, **more: Any) -> TradingEngine:
    """The engine of the account, which follows; its trader is `trader`."""
    store = house.client("alice")
    governor = Governor(store, ACCOUNT, more.get("run", RUN), period_s=0.05)
    return engine_of(store, **{"governor": governor, "owner": "trader", **more})


@pytest.fixture
def engine(house: House) -> Iterator[TradingEngine]:
    with governed(house) as made:
        yield made


def approved(house: House, limits: Limits, **more: Any) -> LimitsChange:
    change = house.of("bob").propose_limits(ACCOUNT, limits, reason="a test", **more)
    approve: LimitsChange = house.of("carol").approve(house.as_seen_by("carol", change))
    return approve


def journaled(house: House, kind: type[Any], run: str = RUN) -> list[Any]:
    """The inputs of a kind in the journal."""
    journal = Journal(house.client("alice"), ACCOUNT, run)
    inputs = [
        decode_input(entry.data)
        for group in journal.groups(journal.segments())
        for entry in group.entries
        if not entry.error
    ]
    return [each for each in inputs if isinstance(each, kind)]


def test_an_approved_change_is_journaled_and_the_next_decision_sees_it(
    house: House, engine: TradingEngine
) -> None:
    tick(engine, "100")
    change = approved(house, Limits(max_order_quantity=5))
    done = house.of("bob").wait(change, ["EFFECTIVE"], LONG_S)
    denied = engine.submit(order("BUY", 6, "90"))
    [decision] = house.client("alice").query(DecisionRecord, {"order_id": denied})
    # Which limits, and which version of them.
    entity_id, _, version = decision.limits_id.partition(":")
    assert entity_id == change._store_entity_id
    [seen] = [
        each
        for each in house.client("bob").history(LimitsChange, entity_id)
        if each._store_version == int(version)
    ]
    assert (seen._store_state, seen._store_updated_by) == ("APPROVED", "carol")
    assert msgspec.json.decode(seen.limits_json, type=Limits) == Limits(max_order_quantity=5)
    [record] = house.client("alice").query(LimitsRecord)
    assert (record.limits_id, record.requested_by, record.approved_by) == (
        decision.limits_id,
        "bob",
        "carol",
    )
    assert done.outcome_code == "OK"
    second = approved(house, Limits(max_order_quantity=7))
    house.of("bob").wait(second, ["EFFECTIVE"], LONG_S)
    house.of("bob").wait(change, ["SUPERSEDED"], LONG_S)
    engine.submit(order("BUY", 6, "90"))
    assert len(engine.status().open_orders) == 1
    # Each of them once, and folding the journal again gives the same.
    assert len(journaled(house, SetLimits)) == 2
    await_verified(engine)


def test_a_change_is_in_force_from_its_time_on(house: House, engine: TradingEngine) -> None:
    tick(engine, "100")
    later = approved(house, Limits(max_order_quantity=5), effective_from=now() + timedelta(hours=1))
    soon = approved(
        house, Limits(max_order_quantity=6), effective_from=now() + timedelta(seconds=1.5)
    )
    # By the database's clock, which says what is due, it cannot be early.
    done = house.of("bob").wait(soon, ["EFFECTIVE"], LONG_S)
    assert soon.effective_from is not None
    assert done._store_tx_time >= soon.effective_from
    assert house.as_seen_by("bob", later)._store_state == "APPROVED"
    assert house.of("bob").withdraw(house.as_seen_by("bob", later))._store_state == "WITHDRAWN"
    with pytest.raises(GovernanceError):
        house.of("bob").withdraw(house.as_seen_by("bob", soon))


def test_what_was_decided_while_the_engine_was_down(house: House) -> None:
    with governed(house) as first:
        tick(first, "100")
        first.submit(order("BUY", 10, "101"))
        tick(first, "100")
        resting = first.submit(order("BUY", 1, "50"))
        digest = first.digest
    assert digest
    early = approved(house, Limits(max_order_quantity=50))
    late = approved(house, Limits(max_order_quantity=40))
    asked = [
        house.of("bob").flatten(ACCOUNT, "the desk is down", run=RUN),
        house.of("bob").halt(ACCOUNT, "and stays so", run=RUN),
    ]
    with governed(house) as second:
        # Before any order is taken: no waiting here.
        status = second.status()
        assert (status.trading_state, status.state_reason) == ("HALTED", "and stays so")
        found = second.order(resting)
        assert found is None or found.status == "CANCELED"
        tick(second, "100")
        assert second.status().positions == {}
        assert second.limits_now() == Limits(max_order_quantity=40)
        for request in asked:
            assert house.of("bob").wait(request, ["DONE"], LONG_S).outcome_code == "OK"
        house.of("bob").wait(early, ["SUPERSEDED"], LONG_S)
        house.of("bob").wait(late, ["EFFECTIVE"], LONG_S)
        commands = {each.command_id for each in journaled(house, Flatten)}
        assert len(commands) == 1
        flattening = [
            each
            for each in house.client("alice").query(OrderRecord, limit=None)
            if each.order_tag == "FLATTEN"
        ]
        assert [each.order_quantity for each in flattening] == [10]
        digest = second.digest
        assert second.verify() == digest
    with governed(house) as third:
        assert third.digest == digest


def test_limits_in_force_hold_for_a_new_run(house: House) -> None:
    with governed(house):
        house.of("bob").wait(approved(house, Limits(max_order_quantity=5)), ["EFFECTIVE"], LONG_S)
    with governed(house, run="paper:another") as other:
        assert other.limits_now() == Limits(max_order_quantity=5)
        asked = house.of("bob").halt(ACCOUNT, "that one alone", run="paper:another")
        house.of("bob").wait(asked, ["DONE"], LONG_S)
        assert other.status().trading_state == "HALTED"
    with governed(house) as engine:
        assert engine.status().trading_state == "ACTIVE"


def test_only_another_than_the_trader_lifts_a_halt(house: House) -> None:
    grant_duty(house.admin, "mallory", ACCOUNT, "RESUME", "OPERATE")
    with governed(house, owner="mallory") as engine:
        house.of("mallory").wait(house.of("mallory").halt(ACCOUNT, "x", run=RUN), ["DONE"], LONG_S)
        asked = house.of("mallory").resume(ACCOUNT, "never mind", run=RUN)
        refused = house.of("mallory").wait(asked, ["REFUSED"], LONG_S)
        assert refused.outcome_code == "NEEDS_ANOTHER_PERSON"
        assert engine.status().trading_state == "HALTED"
        lifted = house.of("carol").resume(ACCOUNT, "looked at", run=RUN)
        house.of("carol").wait(lifted, ["DONE"], LONG_S)
        assert engine.status().trading_state == "ACTIVE"
        states = house.client("alice").history(
            TradingStateRecord,
            house.client("alice").query(TradingStateRecord)[0]._store_entity_id or "",
        )
        assert [(each.trading_state, each.state_changed_by) for each in states] == [
            ("HALTED", "mallory"),
            ("ACTIVE", "carol"),
        ]


def test_break_glass_raises_an_alarm(house: House, engine: TradingEngine) -> None:
    tick(engine, "100")
    change = house.of("bob").propose_limits(
        ACCOUNT, Limits(max_order_quantity=1), effective_from=now() + timedelta(days=9)
    )
    house.of("bob").break_glass(change, "the feed is wrong")
    house.of("bob").wait(change, ["EFFECTIVE"], LONG_S)
    [alert] = house.client("alice").query(AlertRecord, {"alert_code": "BREAK_GLASS"})
    assert alert.subject_id.startswith(change._store_entity_id or "")
    assert "bob" in alert.alert_message
    [record] = house.client("alice").query(LimitsRecord)
    assert (record.requested_by, record.approved_by) == ("bob", "break-glass")
    denied = engine.submit(order("BUY", 2, "90"))
    assert engine.order(denied) is None or engine.order(denied).status == "DENIED"  # type: ignore[union-attr]
    assert len(house.of("carol").reviews(ACCOUNT, "OPEN")) == 1


def test_limits_that_are_none_are_refused_by_the_engine(
    house: House, engine: TradingEngine
) -> None:
    """Two people agree on NaN, by programs of their own."""
    tick(engine, "100")
    change = LimitsChange(
        ACCOUNT,
        '{"max_order_quantity":"NaN"}',
        "",
        None,
        now() + timedelta(hours=1),
        requested_by="bob",
    )
    house.client("bob").write(change)
    house.append("carol", change, "APPROVED", approved_by="carol")
    refused = house.of("bob").wait(change, ["REFUSED"], LONG_S)
    assert refused.outcome_code == "LIMITS_REFUSED"
    assert engine.limits_now() is None


class Steps(Strategy):
    """Gives a signal of its size at each bar."""

    class Parameters:
        size: int = 1

    timeframes = ("1s",)

    def on_start(self, ctx: Context) -> None:
        self.started_with = self.parameters.size

    def on_bar(self, ctx: Context, bar: Bar) -> None:
        ctx.signal("BUY", bar.symbol, self.parameters.size, reason=str(self.started_with))


def test_parameters_change_and_signals_carry_their_hash(house: House) -> None:
    store = house.client("alice")
    strategies = [Steps(symbols=["AAPL"])]
    with governed(house, strategies=strategies) as engine:

        def signal_of(size: int) -> SignalRecord | None:
            tick(engine, "100")
            found = store.query(SignalRecord, {"hint_quantity": Decimal(size)}, limit=1)
            return found[0] if len(found) else None

        wait_until(lambda: signal_of(1), LONG_S, "the first signal")
        change = house.of("bob").propose_parameters(ACCOUNT, "Steps", {"size": "7"}, kind=Steps)
        assert change.parameters_json == '{"size":7}'
        house.of("carol").approve(house.as_seen_by("carol", change))
        house.of("bob").wait(change, ["EFFECTIVE"], LONG_S)
        wait_until(lambda: signal_of(7), LONG_S, "a signal of the new parameters")
        before, after = signal_of(1), signal_of(7)
        assert before is not None
        assert after is not None
        expected = Steps(symbols=["AAPL"], size=7).parameters_hash
        assert (before.parameters_hash, after.parameters_hash) == (
            Steps(symbols=["AAPL"]).parameters_hash,
            expected,
        )
        assert (before.signal_reason, after.signal_reason) == ("1", "7")
        [record] = store.query(ParametersRecord)
        assert (record.parameters_hash, record.change_id.partition(":")[0]) == (
            expected,
            change._store_entity_id,
        )
        wrong = house.of("bob").propose_parameters(ACCOUNT, "Steps", {"sise": 1})
        house.of("carol").approve(house.as_seen_by("carol", wrong))
        refused = house.of("bob").wait(wrong, ["REFUSED"], LONG_S)
        assert refused.outcome_code == "PARAMETERS_REFUSED"
        assert "did you mean size" in refused.outcome_text
        nobody = house.of("bob").propose_parameters(ACCOUNT, "Nobody", {})
        house.of("carol").approve(house.as_seen_by("carol", nobody))
        assert "Steps" in house.of("bob").wait(nobody, ["REFUSED"], LONG_S).outcome_text
        digest = engine.digest
        assert engine.verify() == digest
    # From the snapshot, and from the journal alone, with the parameters of the change.
    with governed(house, strategies=[Steps(symbols=["AAPL"])]) as again:
        assert again.digest == digest
        tick(again, "100")
    assert len(store.query(ParametersRecord)) == 1


def test_an_account_that_lost_too_much_is_halted_and_flattened(
    house: House, engine: TradingEngine
) -> None:
    tick(engine, "100")
    limits = Limits(halt_drawdown="0.02", flatten_on_halt=True, drawdown_steps=())
    house.of("bob").wait(approved(house, limits), ["EFFECTIVE"], LONG_S)
    engine.submit(order("BUY", 500, "101"))
    tick(engine, "100")
    tick(engine, "95")

    def is_halted() -> bool:
        return engine.status().trading_state == "HALTED"

    # At the next second that the kernel values the account.
    wait_until(is_halted, LONG_S, "the halt")
    assert "halt_drawdown 0.02" in engine.status().state_reason
    tick(engine, "95")
    assert engine.status().positions == {}
    await_verified(engine)
    # Once it was looked at, the drawdown counts from where the account is.
    lifted = house.of("carol").resume(ACCOUNT, "looked at", run=RUN)
    house.of("carol").wait(lifted, ["DONE"], LONG_S)
    engine.submit(order("BUY", 1, "101"))
    tick(engine, "95")
    assert engine.status().trading_state == "ACTIVE"


class Silent:
    """A feed that gives one tick and then nothing, for as long as it is asked."""

    name = "silent"

    def __init__(self) -> None:
        self.ended = threading.Event()

    def events(self) -> Iterator[Ticks]:
        self.ended.wait()
        yield from ()


def test_an_account_whose_feed_is_silent_is_halted(house: House) -> None:
    feed = Silent()
    with governed(house, feed=feed) as engine:
        limits = Limits(max_feed_silence=300_000_000)
        house.of("bob").wait(approved(house, limits), ["EFFECTIVE"], LONG_S)
        wait_until(
            lambda: engine.status().trading_state == "HALTED", LONG_S, "the halt by the rule"
        )
        assert "no prices for" in engine.status().state_reason
        [halt] = journaled(house, SetTradingState)
        assert halt.by == "rule feed_silence"
        feed.ended.set()


def test_a_feed_may_be_silent_while_no_market_is_open() -> None:
    market = Market(10)
    shares, coins = specify("AAPL", calendar="XNYS"), specify("BTC", kind="CRYPTO")
    market.sessions["XNYS"] = [(100 * SECOND, 200 * SECOND), (300 * SECOND, 400 * SECOND)]
    assert open_for_s(market, [shares], 50 * SECOND) is None
    assert open_for_s(market, [shares], 250 * SECOND) is None
    assert open_for_s(market, [shares], 302 * SECOND) == 2.0
    assert open_for_s(market, [], 302 * SECOND) is None
    assert open_for_s(market, [shares, coins], 250 * SECOND) == inf


def test_an_old_request_that_was_carried_out_is_not_repeated(house: House) -> None:
    """The engine died between journaling it and noting it, and came back days later."""
    with governed(house) as engine:
        tick(engine, "100")
        engine.submit(order("BUY", 10, "101"))
        tick(engine, "100")
    asked = house.of("bob").flatten(ACCOUNT, "once", run=RUN)
    store = house.client("alice")
    command = f"governed:{asked._store_entity_id}:1"
    with engine_of(store, owner="trader") as alone:
        alone.command(Flatten(0, command, "bob", ACCOUNT))
        tick(alone, "100")
        assert alone.status().positions == {}
        alone.submit(order("BUY", 3, "101"))
        tick(alone, "100")
    governor = Governor(store, ACCOUNT, RUN, period_s=0.05)
    governor.known_for = timedelta(0)
    with engine_of(store, governor=governor, owner="trader") as engine:
        done = house.of("bob").wait(asked, ["DONE"], LONG_S)
        assert done.outcome_text == "it was carried out before"
        tick(engine, "100")
        assert engine.status().positions == {"AAPL": 3}
    assert len(journaled(house, Flatten)) == 1


def test_an_engine_that_may_not_follow_does_not_start(desk: Desk) -> None:
    def new() -> TradingEngine:
        store = desk.client("alice")
        return engine_of(store, governor=Governor(store, ACCOUNT, RUN))

    without_schema = new()
    with pytest.raises(EngineError, match="bootstrap_governance"):
        without_schema.start(30)
    house = House(desk)
    revoke_duty(house.admin, "alice", ACCOUNT)
    without_duty = new()
    with pytest.raises(EngineError, match="the duty ENGINE on account ACC"):
        without_duty.start(30)


def test_many_requests_at_once_are_carried_out_once_each(
    house: House, engine: TradingEngine
) -> None:
    tick(engine, "100")
    clients = [Governance(house.desk.client("bob")) for _ in range(4)]
    asked = at_once(
        [lambda each=each: each.halt(ACCOUNT, "all of us", run=RUN) for each in clients]
    )
    for request in asked:
        house.of("bob").wait(request, ["DONE"], LONG_S)
    commands = [each.command_id for each in journaled(house, SetTradingState)]
    assert len(commands) == len(set(commands)) == 4
