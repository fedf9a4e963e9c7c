"""What somebody with a login writes into the outbox, and what others start of it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

import store.outbox
from store.client import StoreClient
from store.errors import AccessError
from store.outbox import Outbox
from store.permissions import share_write
from store.schema import allow_dispatch
from tests.processes import wait_until
from tests.store.claims import Claim, Receipt
from tests.store.desk import Desk
from tests.store.lifecycle import FileEngine

CLAIM, RECEIPT = Claim.type_name(), Receipt.type_name()
PAY, WRITE_OFF = "tests.store.claims:pay_out", "tests.store.claims:write_off"


class Down(FileEngine):
    def start_once(self, workflow_id: str, fn: Any, *args: Any) -> None:
        raise ConnectionError("the engine is down")


@pytest.fixture
def engine(tmp_path: Path) -> FileEngine:
    return FileEngine(tmp_path)


@pytest.fixture
def service(desk: Desk) -> StoreClient:
    """A service that starts everybody's workflows, and may see none of their data."""
    allow_dispatch(desk.admin(), "bob")
    return desk.client("bob")


def claim(alice: StoreClient, *states: str, writer: str = "mallory") -> str:
    """A claim of alice's that went through states; she lets somebody write it."""
    obj = Claim(symbol="EUR", quantity=1)
    entity_id = alice.write(obj)
    for state in states:
        alice.transition(obj, state)
    share_write(alice.conn, entity_id, writer)
    return entity_id


def promise(
    hostile: StoreClient,
    entity_id: str,
    version: int,
    state: str,
    workflow: str,
    cls: type[Any] = Claim,
    valid_from: datetime | None = None,
) -> None:
    """What a hostile login can do by the store's own functions: move, and promise."""
    obj = cls(symbol="FORGED")
    obj._store_entity_id, obj._store_version = entity_id, version
    with hostile.transaction():
        receipt = hostile._appender.one("STATE_CHANGE", obj, (valid_from, None), state=state)
        store.outbox.promise(hostile._connection, entity_id, receipt.version, workflow, None)


def test_a_transition_that_the_machine_allows_is_dispatched_for_its_maker(
    desk: Desk, alice: StoreClient, service: StoreClient, engine: FileEngine, tmp_path: Path
) -> None:
    """By the owner as by a service, who find what another user's process could not start."""
    for drainer in (alice, service):
        entity_id = claim(alice, "CHECKED", writer="carol")
        carol = desk.client("carol")
        obj = carol.read(Claim, entity_id)
        assert obj is not None
        obj._workflow_engine = Down(tmp_path)
        version = carol.transition(obj, "PAID")
        assert Outbox(drainer).drain(engine) == 1
        assert f"{entity_id}:{version}" in engine.started()


Attack = Callable[[StoreClient, StoreClient], str]
HOSTILE: dict[str, Attack] = {}


def hostile(attack: Attack) -> Attack:
    HOSTILE[attack.__name__] = attack
    return attack


@hostile
def not_allowed(alice: StoreClient, mallory: StoreClient) -> str:
    entity_id = claim(alice, "CHECKED")
    promise(mallory, entity_id, 2, "PAID", PAY)
    return "they may not take the transition CHECKED → PAID"


@hostile
def no_such_transition(alice: StoreClient, mallory: StoreClient) -> str:
    entity_id = claim(alice)
    promise(mallory, entity_id, 1, "PAID", PAY)
    return "does not start it from NEW to PAID"


@hostile
def from_a_state_long_ago(alice: StoreClient, mallory: StoreClient) -> str:
    """Back-dated to when it was CHECKED: what held when it was recorded counts."""
    entity_id = claim(alice, "CHECKED", "CLOSED")
    [_, checked, _] = alice.audit(entity_id)
    promise(mallory, entity_id, 3, "LOST", WRITE_OFF, valid_from=checked["valid_from"])
    return "does not start it from CLOSED to LOST"


@hostile
def of_another_transition(alice: StoreClient, mallory: StoreClient) -> str:
    """One that mallory may take starts another workflow."""
    entity_id = claim(alice, "CHECKED")
    promise(mallory, entity_id, 2, "LOST", PAY)
    return "does not start it from CHECKED to LOST"


@hostile
def of_another_class(alice: StoreClient, mallory: StoreClient) -> str:
    """An entity that is no claim is written as if it were one, which only its owner can do."""
    entity_id = alice.write(Receipt(symbol="A"))
    share_write(alice.conn, entity_id, "mallory")
    with pytest.raises(AccessError, match="only its owner"):
        promise(mallory, entity_id, 1, "CHECKED", "os:getpid")
    claimed = Claim(symbol="A")
    claimed._store_entity_id, claimed._store_version = entity_id, 1
    alice._appender.one("STATE_CHANGE", claimed, (None, None), state="CHECKED")
    promise(mallory, entity_id, 2, "LOST", WRITE_OFF)
    return f"the entity is a {RECEIPT}, no {CLAIM}"


@pytest.mark.parametrize("name", HOSTILE)
def test_what_the_state_machine_does_not_start_is_not_started(
    desk: Desk,
    alice: StoreClient,
    service: StoreClient,
    engine: FileEngine,
    caplog: pytest.LogCaptureFixture,
    name: str,
) -> None:
    reason = HOSTILE[name](alice, desk.client("mallory"))
    caplog.set_level(logging.WARNING, "store.outbox")
    for drainer in (service, alice):
        assert Outbox(drainer).drain(engine) == 0
    assert engine.asked == []
    assert reason in caplog.text
    assert all(each.created_by == "mallory" for each in Outbox(alice).pending())


def test_what_the_machine_starts_for_everybody_is_started_for_them(
    desk: Desk, alice: StoreClient, service: StoreClient, engine: FileEngine
) -> None:
    entity_id = claim(alice, "CHECKED")
    promise(desk.client("mallory"), entity_id, 2, "LOST", WRITE_OFF)
    assert Outbox(service).drain(engine) == 1
    assert engine.started() == {f"{entity_id}:3": f"write_off {entity_id}"}


def test_a_corrected_past_does_not_keep_a_workflow_from_its_start(
    desk: Desk, alice: StoreClient, service: StoreClient, engine: FileEngine, tmp_path: Path
) -> None:
    """The newest version may be about another time; what counts is the value that held."""
    entity_id = claim(alice, "CHECKED", writer="carol")
    obj = alice.read(Claim, entity_id)
    assert obj is not None
    past = obj._store_valid_from.replace(year=2020)
    obj._store_state = "LOST"
    alice.update(obj, valid_from=past, valid_to=past.replace(year=2021))
    carol = desk.client("carol")
    mine = carol.read(Claim, entity_id)
    assert mine is not None
    mine._workflow_engine = Down(tmp_path)
    version = carol.transition(mine, "PAID")
    assert Outbox(service).drain(engine) == 1
    assert list(engine.started()) == [f"{entity_id}:{version}"]


def test_promises_that_nobody_may_start_cost_others_nothing(
    desk: Desk,
    alice: StoreClient,
    engine: FileEngine,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Those of workflows that no machine names are not looked at, the others ever more rarely."""
    caplog.set_level(logging.WARNING, "store.outbox")
    mallory = desk.client("mallory")
    entity_id = claim(alice, "CHECKED")
    for n in range(20):
        promise(mallory, entity_id, n + 2, "PAID", PAY if n % 2 else f"os:remove{n}")
    looked_at: list[Any] = []
    look = Outbox._start
    monkeypatch.setattr(
        Outbox, "_start", lambda box, *rest: looked_at.append(rest[1]) or look(box, *rest)
    )
    drained = [(Outbox(alice).drain(engine), len(looked_at)) for _ in range(2)]
    assert drained[0] == (0, 10)
    # Tried a second time at once, as the first may have met a process that is older than its code.
    assert drained[1] == (0, 20)
    assert Outbox(alice).drain(engine) == 0
    assert len(looked_at) == 20
    # What a transition starts is its own.
    obj = Claim(symbol="USD", quantity=1)
    obj._workflow_engine = engine
    alice.write(obj)
    alice.transition(obj, "CHECKED")
    alice.transition(obj, "LOST")
    assert list(engine.started()) == [f"{obj._store_entity_id}:3"]
    assert len(looked_at) == 21
    assert len(Outbox(alice).pending()) == 20


def test_what_could_not_be_started_is_tried_again_by_itself(
    alice: StoreClient, engine: FileEngine, tmp_path: Path
) -> None:
    obj = Claim(symbol="USD", quantity=1)
    alice.write(obj)
    alice.transition(obj, "CHECKED")
    obj._workflow_engine = Down(tmp_path)
    alice.transition(obj, "LOST")
    began, attempts = time.monotonic(), 1
    while attempts < 4:
        assert Outbox(alice).drain(Down(tmp_path)) == 0
        [intent] = Outbox(alice).pending()
        assert intent.attempts in (attempts, attempts + 1)
        attempts = intent.attempts
        assert time.monotonic() - began < 60
        time.sleep(0.02)
    # At once, after one second, and after three.
    assert time.monotonic() - began >= 1.0
    wait_until(lambda: Outbox(alice).drain(engine), 60, "the start")
    assert list(engine.started()) == [f"{obj._store_entity_id}:3"]


def test_why_it_could_not_be_started_is_for_administrators(
    desk: Desk, alice: StoreClient, engine: FileEngine
) -> None:
    """It may tell of a process that belongs to somebody else."""
    mallory = desk.client("mallory")
    promise(mallory, claim(alice, "CHECKED"), 2, "PAID", PAY)
    assert Outbox(alice).drain(engine) == 0
    [intent] = Outbox(mallory).pending()
    assert intent.attempts == 1
    with pytest.raises(Exception, match="permission denied"):
        store.outbox.start_errors(mallory.conn)
    assert "they may not take" in store.outbox.start_errors(desk.admin())[intent.workflow_id]
