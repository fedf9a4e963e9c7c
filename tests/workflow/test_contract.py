"""What every engine must do: each test runs over both, so that one can stand for the other."""

from __future__ import annotations

import functools
import threading
import time
import uuid
from collections.abc import Callable
from typing import Any

import pytest

from tests.processes import wait_until
from tests.workflow import flows
from workflow import (
    CompensationFailed,
    EngineNotRunning,
    FunctionNotFound,
    NotInWorkflow,
    OpaqueError,
    OptionError,
    ResultTimeout,
    Retry,
    SerializationError,
    WorkflowCancelled,
    WorkflowError,
    WorkflowFinished,
    WorkflowHandle,
    WorkflowIdInUse,
    WorkflowInfo,
    WorkflowNotFound,
    WorkflowStatus,
    references,
)
from workflow.durable import DurableEngine, steps

SECONDS = 20.0


def new_id() -> str:
    return f"test-{uuid.uuid4()}"


# --- running --------------------------------------------------------------------------------------


def test_run_gives_the_result(engine: DurableEngine) -> None:
    assert engine.run(flows.sums, 1) == 3
    assert flows.log == [(1, 1), (2, 1)]


def test_workflow_gives_a_handle(engine: DurableEngine) -> None:
    handle = engine.workflow(flows.greet, "you", greeting="good morning")
    assert isinstance(handle, WorkflowHandle)
    assert handle.get_result(timeout=SECONDS) == "good morning you"
    assert handle.get_status() is WorkflowStatus.SUCCESS
    assert engine.get_workflow_status(handle.workflow_id) == "SUCCESS"
    assert engine.get_workflow_result(handle.workflow_id) == "good morning you"


def test_none_is_a_result(engine: DurableEngine) -> None:
    assert engine.workflow(flows.nothing).get_result(SECONDS) is None
    assert engine.run(flows.nothing) is None


def test_all_keywords_belong_to_the_function(engine: DurableEngine) -> None:
    mine = {"workflow_id": 1, "timeout": 2, "queue_name": 3, "fn": 4, "self": 5}
    assert engine.run(flows.keywords, **mine) == mine
    assert engine.workflow(flows.keywords, **mine).get_result(SECONDS) == mine
    step = functools.partial(engine.step_options().step, flows.keywords)
    assert engine.run(lambda: step(undo="x", **mine)) == {"undo": "x", **mine}


def test_methods_and_partials(engine: DurableEngine) -> None:
    desk = flows.Desk("rates")
    assert engine.workflow(desk.settle, "T1").get_result(SECONDS) == "rates booked T1"
    assert engine.workflow(flows.Desk.close, "mon").get_result(SECONDS) == "closed mon"
    assert engine.workflow(flows.Desk.open, "mon").get_result(SECONDS) == "Desk opened mon"
    partial = functools.partial(flows.greet, greeting="hi")
    assert engine.workflow(partial, "you").get_result(SECONDS) == "hi you"


def test_steps_may_be_lambdas_methods_and_partials(engine: DurableEngine) -> None:
    def steps() -> list[Any]:
        return [
            engine.step(lambda: 1),
            engine.step(flows.Desk("fx").book, "T2"),
            engine.step(functools.partial(flows.plus, 1), 2),
            engine.step(len, "four"),
        ]

    assert engine.run(steps) == [1, "fx booked T2", 3, 4]


def test_run_takes_any_function_and_arguments(engine: DurableEngine) -> None:
    lock = threading.Lock()
    assert engine.run(lambda given: given is lock, lock) is True


def test_a_result_is_a_copy_already_the_first_time(engine: DurableEngine) -> None:
    assert engine.run(flows.mutates_result) == [1]


def test_results_wait_no_longer_than_they_are_told(engine: DurableEngine) -> None:
    handle = engine.workflow(flows.receives, 1)
    before = time.monotonic()
    with pytest.raises(ResultTimeout, match=r"did not end within 0.1 s; it is RUNNING"):
        handle.get_result(timeout=0.1)
    assert time.monotonic() - before < 5
    engine.cancel(handle.workflow_id)


def test_unknown_workflows(engine: DurableEngine) -> None:
    for ask in (
        engine.get_workflow_status,
        engine.get_workflow_result,
        engine.cancel,
        engine.resume,
        lambda unknown: engine.send(unknown, "go", 1),
        lambda unknown: engine.get_event(unknown, "progress", 0.1),
    ):
        with pytest.raises(WorkflowNotFound, match="no workflow has the id 'nobody'"):
            ask("nobody")


# --- errors ---------------------------------------------------------------------------------------


def test_an_error_comes_out_as_it_went_in(engine: DurableEngine) -> None:
    handle = engine.workflow(flows.fails, "no money")
    for _ in range(2):
        with pytest.raises(ValueError, match=r"^no money$"):
            handle.get_result(SECONDS)
    assert handle.get_status() is WorkflowStatus.ERROR


@pytest.mark.parametrize(
    ("flow", "name", "text"),
    [
        (flows.fails_broken, "BrokenError", "7 broken"),
        (flows.fails_locked, "LockedError", "locked"),
    ],
)
def test_an_error_that_cannot_be_kept_is_replaced(
    engine: DurableEngine, flow: Any, name: str, text: str
) -> None:
    with pytest.raises(OpaqueError) as caught:
        engine.workflow(flow).get_result(SECONDS)
    assert caught.value.type_name == f"tests.workflow.flows.{name}"
    assert caught.value.message == text
    assert flow.__name__ in caught.value.trace


@pytest.mark.parametrize("where", ["body", "step"])
def test_an_exit_ends_the_workflow_alone(engine: DurableEngine, where: str) -> None:
    handle = engine.workflow(flows.exits, where)
    with pytest.raises(OpaqueError, match=r"^builtins\.SystemExit: 3 "):
        handle.get_result(SECONDS)
    assert handle.get_status() is WorkflowStatus.ERROR
    assert flows.log == [("book", "a", 1), ("plain", "a")]


def test_a_step_raises_what_its_function_raises(engine: DurableEngine) -> None:
    assert engine.run(flows.catches_step, flows.nothing) == "nothing was raised"
    said = engine.run(flows.catches_step, functools.partial(flows.fails, "no"))
    assert said == "ValueError: no"
    assert "BrokenError: 7 broken" in engine.run(flows.catches_step, flows.fails_broken)
    said = engine.run(flows.catches_step, flows.step_result_unpicklable)
    assert "the result of step tests.workflow.flows.step_result_unpicklable cannot be" in said


def test_arguments_that_do_not_pickle_are_refused_at_once(engine: DurableEngine) -> None:
    with pytest.raises(SerializationError, match=r"an argument of tests.workflow.flows:greet"):
        engine.workflow(flows.greet, threading.Lock())


def test_results_that_do_not_pickle_end_the_workflow(engine: DurableEngine) -> None:
    handle = engine.workflow(flows.step_result_unpicklable)
    with pytest.raises(SerializationError, match=r"the result of .* cannot be pickled"):
        handle.get_result(SECONDS)


def test_functions_that_cannot_be_found_again_are_refused(engine: DurableEngine) -> None:
    def inner() -> None:
        return None

    with pytest.raises(FunctionNotFound, match="it is a lambda; define it at the top"):
        engine.workflow(lambda: 1)
    with pytest.raises(FunctionNotFound, match="it is defined inside another function"):
        engine.workflow(inner)
    with pytest.raises(FunctionNotFound, match="no_such_module"):
        engine.start_once(new_id(), "no_such_module:settle")


def test_a_registered_function_has_a_name(engine: DurableEngine) -> None:
    name = f"double {type(engine).__name__}"
    doubled = lambda value: 2 * value  # noqa: E731 - a function without a findable name
    engine.register(name, doubled)
    handle = engine.workflow(doubled, 4)
    assert handle.get_result(SECONDS) == 8
    assert engine.start_once(new_id(), name, 5).get_result(SECONDS) == 10
    with pytest.raises(OptionError, match="already"):
        engine.register(name, flows.greet)


def test_async_functions_are_refused(engine: DurableEngine) -> None:
    async def later() -> None:
        return None

    with pytest.raises(TypeError, match="is an async function; give a plain one"):
        engine.run(lambda: engine.step(later))
    with pytest.raises(TypeError, match="is an async function"):
        engine.workflow(later)


def test_steps_belong_into_workflows(engine: DurableEngine) -> None:
    for ask in (
        lambda: engine.step(flows.nothing),
        lambda: engine.sleep(0.01),
        lambda: engine.recv("go"),
        lambda: engine.set_event("progress", 1),
    ):
        with pytest.raises(NotInWorkflow, match="is possible in a workflow only"):
            ask()
    assert engine.run(flows.step_in_thread) == "NotInWorkflow"


@pytest.mark.parametrize("flow", [flows.nested_step, flows.sleep_in_step, flows.recv_in_step])
def test_steps_are_not_nested(engine: DurableEngine, flow: Any) -> None:
    with pytest.raises(WorkflowError, match="is not possible inside a step"):
        engine.run(flow)


def test_options_are_checked(engine: DurableEngine) -> None:
    for wrong in (
        {"workflow_id": " "},
        {"timeout": 0},
        {"timeout": "soon"},
        {"priority": 0},
        {"delay": -1},
    ):
        with pytest.raises(OptionError, match=next(iter(wrong))):
            engine.options(**wrong)
    with pytest.raises(OptionError, match="is for queues"):
        engine.options(priority=5).workflow(flows.nothing)
    with pytest.raises(OptionError, match="seconds=nan"):
        engine.run(flows.sleeps, float("nan"))


def test_a_stopped_engine_says_so(engine: DurableEngine) -> None:
    engine.destroy()
    with pytest.raises(EngineNotRunning, match=r"call launch\(\)"):
        engine.workflow(flows.nothing)
    engine.launch()
    assert engine.run(flows.greet, "again") == "hello again"


# --- ids ------------------------------------------------------------------------------------------


def test_the_same_id_again_gives_the_first(engine: DurableEngine) -> None:
    workflow_id = new_id()
    first = engine.options(workflow_id=workflow_id).workflow(flows.note, "once")
    second = engine.options(workflow_id=workflow_id).workflow(flows.note, "twice")
    assert first.workflow_id == second.workflow_id == workflow_id
    assert first.get_result(SECONDS) == second.get_result(SECONDS) == "once"
    assert engine.options(workflow_id=workflow_id).run(flows.note, "thrice") == "once"
    assert engine.start_once(workflow_id, flows.note, "more").get_result(SECONDS) == "once"
    text = "tests.workflow.flows:note"
    assert engine.start_once(workflow_id, text, "more").get_result(SECONDS) == "once"
    assert flows.log == ["once"]


def test_an_id_belongs_to_one_function(engine: DurableEngine) -> None:
    workflow_id = new_id()
    engine.start_once(workflow_id, flows.note, "mine")
    with pytest.raises(WorkflowIdInUse, match=r"runs tests.workflow.flows:note, not"):
        engine.start_once(workflow_id, flows.greet, "yours")


def test_a_refused_start_changes_nothing_of_the_first(
    engine: DurableEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither of the functions can be found by name; the second one comes before the first runs."""
    once = engine.options(workflow_id=new_id())
    called = engine._runner._call_of

    def after_another(*arguments: Any) -> Any:
        monkeypatch.undo()
        refused = threading.Thread(target=second)
        refused.start()
        refused.join(SECONDS)
        return called(*arguments)

    said: list[Exception] = []

    def second() -> None:
        try:
            once.run(functools.partial(flows.greet, threading.Lock()))
        except WorkflowIdInUse as error:
            said.append(error)

    monkeypatch.setattr(engine._runner, "_call_of", after_another)
    assert once.run(lambda: "the first") == "the first"
    assert len(said) == 1


def test_many_threads_start_one_workflow(engine: DurableEngine) -> None:
    workflow_id = new_id()
    found: list[Any] = []

    def start() -> None:
        found.append(engine.start_once(workflow_id, flows.note, "once").get_result(SECONDS))

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == ["once"] * 8
    assert flows.log == ["once"]


def test_a_workflow_knows_its_id(engine: DurableEngine) -> None:
    workflow_id = new_id()
    assert engine.options(workflow_id=workflow_id).run(flows.own_id) == workflow_id


# --- retries, timeouts, keys ----------------------------------------------------------------------


def test_steps_are_retried_as_told(engine: DurableEngine) -> None:
    flows.attempts.clear()
    assert engine.run(flows.retried, 3, Retry(attempts=3, delay=0.05, backoff=2)) == 3
    pauses = [b - a for a, b in zip(flows.attempts, flows.attempts[1:], strict=False)]
    assert pauses[0] >= 0.045
    assert pauses[1] >= 0.095

    flows.attempts.clear()
    with pytest.raises(ConnectionError, match="attempt 2"):
        engine.run(flows.retried, 3, Retry(attempts=2, delay=0))
    flows.attempts.clear()
    with pytest.raises(ConnectionError, match="attempt 1"):
        engine.run(flows.retried, 3, Retry(attempts=9, delay=0, on=(KeyError,)))


def test_a_step_has_a_timeout(engine: DurableEngine) -> None:
    said = engine.run(flows.timed_step, 0.05)
    assert said.startswith("step slow took longer than its timeout of 0.05 s")


def test_steps_carry_an_idempotency_key(engine: DurableEngine) -> None:
    workflow_id = new_id()
    outside, first, second, after = engine.options(workflow_id=workflow_id).run(flows.keys)
    assert outside is None
    assert after is None
    assert first == (f"{workflow_id}:1", 1)
    assert second == (f"{workflow_id}:2", 1)


# --- compensation ---------------------------------------------------------------------------------


def test_steps_are_undone_in_reverse_order(engine: DurableEngine) -> None:
    with pytest.raises(ValueError, match="no money"):
        engine.run(flows.compensated, True)
    assert flows.log == [
        ("book", "a", 2),
        ("book", "b", 1),
        ("book", "c", 1),
        "nothing asked",
        ("plain", "b"),
        ("unbook", "a", 2, "booking of a"),
    ]


def test_nothing_is_undone_where_nothing_failed(engine: DurableEngine) -> None:
    assert engine.run(flows.compensated, False) == "done"
    assert [each[0] for each in flows.log] == ["book"] * 3


def test_all_is_undone_that_can_be(engine: DurableEngine) -> None:
    with pytest.raises(CompensationFailed, match="ValueError: broke; and could not be") as caught:
        engine.workflow(flows.half_compensated).get_result(SECONDS)
    assert isinstance(caught.value.cause, ValueError)
    [(name, failure)] = caught.value.failures
    assert name == "tests.workflow.flows.book"
    assert str(failure) == "cannot be undone"
    assert flows.log[-2:] == [("bad", "b"), ("plain", "a")]


def test_an_undo_that_does_not_fit_is_refused_before_the_step(engine: DurableEngine) -> None:
    with pytest.raises(OptionError, match="cannot be called with the arguments of the step"):
        engine.run(flows.bad_undo)
    assert flows.log == []


# --- sleep, messages, events ----------------------------------------------------------------------


def test_sleep_takes_its_time(engine: DurableEngine) -> None:
    before = time.monotonic()
    assert engine.run(flows.sleeps, 0.3) == "slept"
    assert time.monotonic() - before >= 0.3


def test_messages_come_in_order(engine: DurableEngine) -> None:
    handle = engine.workflow(flows.receives, 4)
    for value in ({"status": "ok"}, None, 3):
        engine.send(handle.workflow_id, "go", value)
    engine.send(handle.workflow_id, "other", "not this one")
    engine.send(handle.workflow_id, "go", 4)
    assert handle.get_result(SECONDS) == [{"status": "ok"}, None, 3, 4]


def test_a_message_may_not_come(engine: DurableEngine) -> None:
    before = time.monotonic()
    assert engine.run(flows.receives, 1, 0.2) == [None]
    assert 0.2 <= time.monotonic() - before < 10


def test_a_sent_none_is_not_a_missing_message(engine: DurableEngine) -> None:
    handle = engine.workflow(flows.receives_default)
    engine.send(handle.workflow_id, "none", None)
    assert handle.get_result(SECONDS) == [None, "missing"]


def test_workflows_send_to_each_other(engine: DurableEngine) -> None:
    handle = engine.workflow(flows.receives, 3)
    assert engine.run(flows.sends, handle.workflow_id, [1, 2]) == "sent"
    assert handle.get_result(SECONDS) == [1, 2, "from a step"]
    with pytest.raises(WorkflowFinished, match="has ended with SUCCESS"):
        engine.send(handle.workflow_id, "go", "too late")
    # A workflow may have been killed after its message was taken: sent again, it is no error.
    assert engine.run(flows.sends, handle.workflow_id, [3]) == "sent"


def test_events_are_seen_from_outside(engine: DurableEngine) -> None:
    handle = engine.workflow(flows.publishes)
    assert engine.get_event(handle.workflow_id, "progress", SECONDS) == 1
    assert engine.get_event(handle.workflow_id, "other", 0.05, default="none") == "none"
    assert engine.run(flows.asks, handle.workflow_id) == 1
    engine.send(handle.workflow_id, "go", None)
    handle.get_result(SECONDS)
    assert engine.get_event(handle.workflow_id, "progress") == 2
    before = time.monotonic()
    assert engine.get_event(handle.workflow_id, "other") is None
    assert time.monotonic() - before < 5


# --- children -------------------------------------------------------------------------------------


def test_workflows_start_workflows(engine: DurableEngine) -> None:
    handle = engine.workflow(flows.grandparent)
    assert handle.get_result(SECONDS) == (["hello a", "hello b"], "hello from a step")
    [inner, _] = engine.list_workflows(parent=handle.workflow_id)[::-1]
    assert inner.function == "tests.workflow.flows:parent"
    children = engine.list_workflows(parent=inner.workflow_id)
    assert [each.function for each in children] == ["tests.workflow.flows:greet"] * 2


def test_a_child_s_error_reaches_its_parent(engine: DurableEngine) -> None:
    assert engine.run(flows.parent_of_failing) == "caught inside"


def test_children_are_cancelled_too(engine: DurableEngine) -> None:
    handle = engine.workflow(flows.parent_of_sleeper)
    wait_until(lambda: engine.list_workflows(parent=handle.workflow_id), SECONDS, "the child")
    [child] = engine.list_workflows(parent=handle.workflow_id)
    engine.cancel(handle.workflow_id, children=True)
    assert engine.get_workflow_status(child.workflow_id) is WorkflowStatus.CANCELLED
    assert handle.get_status() is WorkflowStatus.CANCELLED


# --- cancel, resume, replay -----------------------------------------------------------------------


def test_a_cancelled_workflow_does_no_further_step(engine: DurableEngine) -> None:
    handle = engine.workflow(flows.waits_then_notes, "x")
    flows.wait_until_noted(handle)
    engine.cancel(handle.workflow_id)
    assert handle.get_status() is WorkflowStatus.CANCELLED
    with pytest.raises(WorkflowCancelled, match="was cancelled"):
        handle.get_result(SECONDS)
    engine.send(handle.workflow_id, "go", None)
    assert flows.log == ["x 1"]

    assert engine.resume(handle.workflow_id).get_result(SECONDS) == "x"
    assert flows.log == ["x 1", "x 2"]
    assert handle.get_status() is WorkflowStatus.SUCCESS


def test_what_has_ended_is_not_cancelled_or_resumed(engine: DurableEngine) -> None:
    handle = engine.workflow(flows.nothing)
    handle.get_result(SECONDS)
    engine.cancel(handle.workflow_id)
    assert handle.get_status() is WorkflowStatus.SUCCESS
    with pytest.raises(WorkflowFinished, match="only a cancelled one can be resumed"):
        engine.resume(handle.workflow_id)


def test_resume_of_what_runs_changes_nothing(engine: DurableEngine) -> None:
    handle = engine.workflow(flows.waits_then_notes, "y")
    engine.resume(handle.workflow_id)
    engine.send(handle.workflow_id, "go", None)
    assert handle.get_result(SECONDS) == "y"
    assert flows.log == ["y 1", "y 2"]


def test_a_workflow_has_a_timeout(engine: DurableEngine) -> None:
    handle = engine.options(timeout=0.3).workflow(flows.receives, 1)
    with pytest.raises(WorkflowCancelled):
        handle.get_result(SECONDS)
    quick = engine.options(timeout=SECONDS).workflow(flows.greet, "you")
    assert quick.get_result(SECONDS) == "hello you"


def test_workflows_go_on_after_a_restart(engine: DurableEngine) -> None:
    # It sleeps still when the engine stops: a step that is cut off would be done again.
    sleeper = engine.workflow(flows.sleeps, 3.0)
    waiter = engine.workflow(flows.waits_then_notes, "z")
    for handle in (sleeper, waiter):
        flows.wait_until_noted(handle)
    engine.destroy()
    engine.launch()
    engine.send(waiter.workflow_id, "go", None)
    assert waiter.get_result(SECONDS) == "z"
    assert sleeper.get_result(SECONDS) == "slept"
    assert sorted(flows.log) == ["after", "before", "z 1", "z 2"]


def test_a_replay_that_does_other_steps_waits_for_the_code_that_began_it(
    engine: DurableEngine,
) -> None:
    handle = engine.workflow(flows.follows_plan)
    flows.wait_until_noted(handle)
    engine.destroy()
    flows.plan[1] = "other"
    try:
        engine.launch()
        why = blocked(engine, handle)
        assert "did 'second' as step 2 before, and now does 'other'" in why
        assert handle.get_status() is WorkflowStatus.PENDING
        with pytest.raises(ResultTimeout, match=r"it is PENDING, and waits: .* as step 2 before"):
            handle.get_result(0.1)
        # Tried again with the same code, it waits again, and nothing is undone.
        engine.resume(handle.workflow_id)
        wait_until(lambda: blocked(engine, handle), SECONDS, "the second refusal")
        assert flows.log == ["first", "second"]
    finally:
        flows.plan[1] = "second"
    engine.resume(handle.workflow_id)
    engine.send(handle.workflow_id, "go", None)
    assert handle.get_result(SECONDS) == ["first", "second"]
    assert flows.log == ["first", "second"]
    assert info_of(engine, handle).blocked is None


def info_of(engine: DurableEngine, handle: WorkflowHandle) -> WorkflowInfo:
    [info] = engine.list_workflows(id_prefix=handle.workflow_id)
    return info


def blocked(engine: DurableEngine, handle: WorkflowHandle) -> str:
    """Why a workflow waits, once it does."""
    wait_until(lambda: info_of(engine, handle).blocked, SECONDS, "a workflow that waits")
    return info_of(engine, handle).blocked or ""


class Away(Exception):
    """What a store raises whose database is away."""

    is_transient = True


def test_a_step_is_repeated_while_a_database_is_away(
    engine: DurableEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond the attempts of its own policy, and under the same key."""
    monkeypatch.setattr(steps, "_PAUSE_SECONDS", (0.01, 0.02))
    flows.errors[:] = [Away("1"), Away("2"), Away("3"), ValueError("its own"), Away("4")]
    handle = engine.workflow(flows.meets_errors, Retry(attempts=2, delay=0.01))
    assert handle.get_result(SECONDS) == "done"
    assert len(flows.log) == 6
    assert len(set(flows.log)) == 1, "each time with the same key"


@pytest.mark.parametrize("where", ["step", "body", "undo"])
def test_where_a_database_stays_away_nothing_is_undone(
    engine: DurableEngine, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    monkeypatch.setattr(steps, "OUTAGE_SECONDS", 0.0)
    flows.errors[:] = [Away("the server is down")]
    handle = engine.workflow(flows.books_then_meets_errors, where)
    assert "Away: the server is down" in blocked(engine, handle)
    assert flows.log == ["booked"]
    # It is tried again by the clock; nobody waits for that here.
    engine.resume(handle.workflow_id)
    if where == "undo":
        with pytest.raises(ValueError, match="to be undone"):
            handle.get_result(SECONDS)
        assert flows.log == ["booked", "undone"]
    else:
        assert handle.get_result(SECONDS) == "done"
        assert flows.log == ["booked"]


def test_what_is_postponed_cannot_be_caught(
    engine: DurableEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steps, "OUTAGE_SECONDS", 0.0)
    flows.errors[:] = [Away("the server is down")]
    handle = engine.workflow(flows.catches_everything)
    assert "Away: the server is down" in blocked(engine, handle)
    assert flows.log == ["before"]
    engine.cancel(handle.workflow_id)
    assert handle.get_status() is WorkflowStatus.CANCELLED
    assert info_of(engine, handle).blocked is None
    engine.resume(handle.workflow_id)
    assert handle.get_result(SECONDS) == "done"
    assert flows.log == ["before", "after"]


def test_a_function_that_is_gone_is_waited_for(
    engine: DurableEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"later {new_id()}"

    def local(who: str) -> str:
        return f"hello {who}"

    engine.register(name, local)
    queue = f"of {name}"
    engine.create_queue(queue, 1)
    holds = engine.queue(queue, flows.receives, 1)
    handle = engine.queue(queue, local, "you")
    monkeypatch.delitem(references._registered, name)
    engine.send(holds.workflow_id, "go", None)
    assert f"no function is registered as '{name}'" in blocked(engine, handle)
    # It does not hold up its queue.
    assert engine.queue(queue, flows.nothing).get_result(SECONDS) is None
    engine.register(name, local)
    assert handle.get_result(SECONDS) == "hello you"


def test_arguments_that_no_longer_fit_are_waited_for(
    engine: DurableEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(TypeError, match=r"flows.greet\(.* cannot be called with the arguments"):
        engine.workflow(flows.greet, "you", greeted="well")
    queue = f"changed {new_id()}"
    engine.create_queue(queue, 1)
    holds = engine.queue(queue, flows.receives, 1)
    handle = engine.queue(queue, flows.greet, "you")
    with monkeypatch.context() as changed:
        changed.setattr(flows, "greet", flows.keywords)
        engine.send(holds.workflow_id, "go", None)
        assert "cannot be called with the arguments given" in blocked(engine, handle)
    engine.resume(handle.workflow_id)
    assert handle.get_result(SECONDS) == "hello you"


# --- names ----------------------------------------------------------------------------------------

BAD_NAMES = ("", " ", "a\0b", "half \ud800", 5, None, b"bytes")
TOO_LONG = ("x" * 501, "\N{EURO SIGN}" * 167)
# With a name that was never used: what is asked for is not there.
NAMED: dict[str, Callable[[DurableEngine, Any], object]] = {
    "workflow_id": lambda e, n: e.options(workflow_id=n or "").workflow(flows.nothing),
    "start_once": lambda e, n: e.start_once(n or "", flows.nothing),
    "queue": lambda e, n: e.queue(n, flows.nothing),
    "create_queue": lambda e, n: e.create_queue(n),
    "deduplication_id": lambda e, n: e.options(deduplication_id=n or "").queue(
        "names", flows.nothing
    ),
    "schedule": lambda e, n: e.schedule(n, "0 0 1 1 *", flows.nothing),
    "topic": lambda e, n: e.send("no such workflow", n, 1),
    "event": lambda e, n: e.get_event("no such workflow", n, 0),
    "register": lambda e, n: e.register(n, flows.nothing),
    "step": lambda e, n: e.step_options(name=n or ""),
    "recv": lambda e, n: e.run(flows.uses_name, "recv", n),
    "set_event": lambda e, n: e.run(flows.uses_name, "set_event", n),
}
LOOKED_UP: dict[str, Callable[[DurableEngine, Any], object]] = {
    "status": lambda e, n: e.get_workflow_status(n),
    "result": lambda e, n: e.get_workflow_result(n, timeout=0),
    "cancel": lambda e, n: e.cancel(n),
    "resume": lambda e, n: e.resume(n),
    "send": lambda e, n: e.send(n, "topic", 1),
    "get_event": lambda e, n: e.get_event(n, "key", 0),
    "unschedule": lambda e, n: e.unschedule(n),
    "list": lambda e, n: e.list_workflows(id_prefix=n or " "),
}


@pytest.mark.parametrize("what", [*NAMED, *LOOKED_UP])
def test_what_cannot_be_a_name_is_refused_alike(engine: DurableEngine, what: str) -> None:
    act = {**NAMED, **LOOKED_UP}[what]
    # A filter may be empty.
    for name in BAD_NAMES[1:] if what == "list" else BAD_NAMES:
        with pytest.raises(OptionError, match="cannot be"):
            act(engine, name)
    for name in TOO_LONG:
        if what in NAMED:
            with pytest.raises(OptionError, match=r"it has 501 bytes in UTF-8; 500 are allowed"):
                act(engine, name)
        elif what not in ("unschedule", "list"):
            with pytest.raises(WorkflowNotFound):
                act(engine, name)


@pytest.mark.parametrize("name", ["x" * 500, "\N{EURO SIGN}" * 166, "a b/c:d\n'\"%s{}\x7f"])
def test_other_texts_are_names(engine: DurableEngine, name: str) -> None:
    workflow_id = f"{uuid.uuid4().hex[:8]}{name[8:]}"
    handle = engine.options(workflow_id=workflow_id).workflow(flows.uses_names, name)
    engine.send(workflow_id, name, 1)
    assert handle.get_result(SECONDS) == 1
    assert engine.get_event(workflow_id, name) == 2
    once = engine.options(deduplication_id=name)
    assert once.queue(name, flows.greet, "you").get_result(SECONDS) == "hello you"
    engine.schedule(name, "0 0 1 1 *", flows.nothing)
    assert engine.unschedule(name)


def test_who_waits_for_a_result_hears_of_the_engine_s_end(engine: DurableEngine) -> None:
    handle = engine.workflow(flows.receives, 1)
    said: list[Exception] = []

    def wait() -> None:
        try:
            handle.get_result()
        except EngineNotRunning as error:
            said.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    engine.destroy()
    thread.join(SECONDS)
    assert len(said) == 1
    engine.launch()
    engine.cancel(handle.workflow_id)
