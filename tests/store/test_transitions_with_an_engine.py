"""Transitions start workflows of a real engine, which keeps its own account of them."""

from __future__ import annotations

from typing import Any

import pytest

from store.client import StoreClient
from store.errors import WorkflowReferenceError
from store.outbox import Outbox
from tests.processes import wait_until
from tests.store.lifecycle import swap
from workflow.memory_engine import MemoryEngine

settled: list[str] = []


def settle_it(entity_id: str) -> str:
    settled.append(entity_id)
    return f"settled {entity_id}"


def test_a_workflow_is_started_once_under_the_id_of_the_version(alice: StoreClient) -> None:
    with MemoryEngine() as engine:
        obj = swap(alice, engine, start_workflow=settle_it)
        alice.transition(obj, "FILLED")
        entity_id = obj._store_entity_id
        assert engine.get_workflow_result(f"{entity_id}:2", timeout=20) == f"settled {entity_id}"
        assert settled == [entity_id]
        assert Outbox(alice).pending() == []


def test_what_an_engine_that_was_down_missed_is_started_when_it_is_attached(
    alice: StoreClient,
) -> None:
    class Down(MemoryEngine):
        def start_once(self, workflow_id: str, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
            raise ConnectionError("down")

    obj = swap(alice, Down(), start_workflow=settle_it)
    alice.transition(obj, "FILLED")
    assert len(Outbox(alice).pending()) == 1
    with MemoryEngine() as engine:
        engine.attach(Outbox(alice))
        wait_until(lambda: not Outbox(alice).pending(), 20, "the start")
        result = engine.get_workflow_result(f"{obj._store_entity_id}:2", timeout=20)
        assert result == f"settled {obj._store_entity_id}"


def test_functions_without_a_name_need_one(alice: StoreClient) -> None:
    local = lambda entity_id: f"local {entity_id}"  # noqa: E731
    with MemoryEngine() as engine:
        obj = swap(alice, engine, start_workflow=local)
        with pytest.raises(WorkflowReferenceError, match="register it with the engine"):
            alice.transition(obj, "FILLED")
        engine.register("a local one", local)
        alice.transition(obj, "FILLED")
        entity_id = obj._store_entity_id
        assert engine.get_workflow_result(f"{entity_id}:2", timeout=20) == f"local {entity_id}"
