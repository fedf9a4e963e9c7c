"""Workflows of the tests: at the top of a module, so that any process finds them."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from datetime import datetime
from typing import Any

import step_scope
from workflow import Retry, WorkflowHandle, current_engine, current_workflow_id

# What steps did, in order; appending is atomic.
log: list[Any] = []


def show_that_noted() -> None:
    """Let `wait_until_noted` go on: what was noted before is kept now, and not only in the log."""
    current_engine().set_event("noted", True)


def wait_until_noted(handle: WorkflowHandle, seconds: float = 20.0) -> None:
    assert handle._engine.get_event(handle.workflow_id, "noted", seconds), "it notes nothing"  # type: ignore[attr-defined]


def noted(what: Any) -> Any:
    log.append(what)
    return what


def note(what: Any) -> Any:
    return current_engine().step(noted, what)


def nothing() -> None:
    return None


def greet(name: str, *, greeting: str = "hello") -> str:
    return f"{greeting} {name}"


def keywords(**kwargs: Any) -> dict[str, Any]:
    return kwargs


def sums(first: int) -> int:
    engine = current_engine()
    second = engine.step(plus, first, 1)
    return engine.step(plus, second, 1)


def plus(left: int, right: int) -> int:
    log.append((left, right))
    return left + right


class Desk:
    """A class whose methods are steps and workflows."""

    def __init__(self, name: str) -> None:
        self.name = name

    def settle(self, trade: str) -> str:
        return current_engine().step(self.book, trade)

    def book(self, trade: str) -> str:
        return f"{self.name} booked {trade}"

    @staticmethod
    def close(day: str) -> str:
        return f"closed {day}"

    @classmethod
    def open(cls, day: str) -> str:
        return f"{cls.__name__} opened {day}"


class BrokenError(Exception):
    """Does not load after pickle: its `__init__` takes other arguments than it keeps."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"{code} {text}")


class LockedError(Exception):
    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.lock = threading.Lock()


def fails(text: str) -> None:
    raise ValueError(text)


def fails_broken() -> None:
    raise BrokenError(7, "broken")


def fails_locked() -> None:
    raise LockedError("locked")


def exits(where: str) -> None:
    engine = current_engine()
    engine.step(book, "a", undo=plain_unbook)
    if where == "step":
        engine.step(sys.exit, 3)
    sys.exit(3)


def catches_step(step: Any) -> str:
    try:
        current_engine().step(step)
    except Exception as error:  # noqa: BLE001 - whatever it is, is said
        return f"{type(error).__name__}: {error}"
    return "nothing was raised"


def step_result_unpicklable() -> Any:
    return threading.Lock()


def mutates_result() -> list[int]:
    shared = [1]
    engine = current_engine()
    mine = engine.step(lambda: shared)
    shared.append(2)
    return list(mine)


attempts: list[float] = []


def flaky_until(number: int) -> int:
    attempts.append(time.monotonic())
    if len(attempts) < number:
        raise ConnectionError(f"attempt {len(attempts)}")
    return len(attempts)


def retried(number: int, retry: Retry) -> int:
    return current_engine().step_options(retry=retry).step(flaky_until, number)


def too_slow() -> None:
    time.sleep(5)


def timed_step(seconds: float) -> str:
    try:
        current_engine().step_options(timeout=seconds, name="slow").step(too_slow)
    except TimeoutError as error:
        return str(error)
    return "in time"


def key_of_step() -> tuple[str, int] | None:
    key = step_scope.current()
    if key is None:
        return None
    key.count += 1
    return key.key, key.count


def keys() -> list[Any]:
    engine = current_engine()
    return [key_of_step(), engine.step(key_of_step), engine.step(key_of_step), key_of_step()]


def book(what: str, amount: int = 1) -> str:
    log.append(("book", what, amount))
    return f"booking of {what}"


def unbook(what: str, amount: int = 1, result: str = "") -> None:
    log.append(("unbook", what, amount, result))


def plain_unbook(what: str) -> None:
    log.append(("plain", what))


def bad_unbook(what: str) -> None:
    log.append(("bad", what))
    raise OSError("cannot be undone")


def compensated(fail: bool) -> str:
    engine = current_engine()
    engine.step(book, "a", amount=2, undo=unbook)
    engine.step(book, "b", undo=plain_unbook)
    engine.step(book, "c", undo=lambda: log.append("nothing asked"))
    engine.step_options(undo=None).step(keywords, undo="mine")
    if fail:
        engine.step(fails, "no money")
    return "done"


def half_compensated() -> None:
    engine = current_engine()
    engine.step(book, "a", undo=plain_unbook)
    engine.step(book, "b", undo=bad_unbook)
    raise ValueError("broke")


def bad_undo() -> None:
    current_engine().step(book, "a", undo=lambda one, two, three: None)


def nested_step() -> Any:
    return current_engine().step(lambda: current_engine().step(nothing))


def sleep_in_step() -> Any:
    return current_engine().step(lambda: current_engine().sleep(1))


def recv_in_step() -> Any:
    return current_engine().step(lambda: current_engine().recv("x"))


def step_in_thread() -> str:
    found: list[str] = []

    def work() -> None:
        try:
            engine.step(nothing)
        except Exception as error:  # noqa: BLE001 - whatever it is, is said
            found.append(type(error).__name__)

    engine = current_engine()
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    return found[0]


def sleeps(seconds: float) -> str:
    note("before")
    show_that_noted()
    current_engine().sleep(seconds)
    note("after")
    return "slept"


def receives(count: int, timeout: float | None = None) -> list[Any]:
    engine = current_engine()
    return [engine.recv("go", timeout) for _ in range(count)]


def receives_default() -> list[Any]:
    engine = current_engine()
    return [
        engine.recv("none", 5, default="missing"),  # type: ignore[call-arg]
        engine.recv("nobody", 0.05, default="missing"),  # type: ignore[call-arg]
    ]


def sends(to: str, values: list[Any]) -> str:
    for value in values:
        current_engine().send(to, "go", value)
    current_engine().step(lambda: current_engine().send(to, "go", "from a step"))
    return "sent"


def publishes() -> str:
    engine = current_engine()
    engine.set_event("progress", 1)
    engine.recv("go")
    engine.set_event("progress", 2)
    return "published"


def asks(workflow_id: str) -> Any:
    return current_engine().get_event(workflow_id, "progress", 5)


def parent(names: list[str]) -> list[str]:
    engine = current_engine()
    handles = [engine.workflow(greet, name) for name in names]
    return [handle.get_result() for handle in handles]


def grandparent() -> tuple[list[str], str]:
    engine = current_engine()
    found = engine.run(parent, ["a", "b"])
    started = engine.step(lambda: engine.workflow(greet, "from a step").workflow_id)
    return found, engine.get_workflow_result(started)


def parent_of_sleeper() -> None:
    engine = current_engine()
    engine.workflow(receives, 1).get_result()


def parent_of_failing() -> str:
    try:
        current_engine().run(fails, "inside")
    except ValueError as error:
        return f"caught {error}"
    return "not raised"


def own_id() -> str:
    return current_workflow_id()


def waits_then_notes(what: str) -> str:
    """Waits for a message before, and notes between."""
    note(f"{what} 1")
    show_that_noted()
    current_engine().recv("go")
    note(f"{what} 2")
    return what


class Crowd:
    """How many run at the same time, and the most that did."""

    def __init__(self) -> None:
        self.now = 0
        self.most = 0
        self.lock = threading.Lock()


crowd = Crowd()


def counted(what: Any, seconds: float = 0.02) -> Any:
    with crowd.lock:
        crowd.now += 1
        crowd.most = max(crowd.now, crowd.most)
    time.sleep(seconds)
    with crowd.lock:
        crowd.now -= 1
        log.append(what)
    return what


def started_at(what: Any) -> float:
    log.append(what)
    return time.time()


def scheduled(what: str, scheduled_at: datetime) -> str:
    log.append((what, scheduled_at))
    return what


def plain_scheduled(what: str) -> str:
    log.append(what)
    return what


# Changed by a test between two runs of one workflow.
plan: list[str] = ["first", "second"]


def follows_plan() -> list[str]:
    engine = current_engine()
    done = [engine.step_options(name=name).step(noted, name) for name in plan]
    show_that_noted()
    engine.recv("go")
    return done


# What the next steps and bodies raise, one after another; then they succeed.
errors: list[Exception] = []


def meets_error() -> str:
    if errors:
        raise errors.pop(0)
    return "done"


def meets_error_with_key() -> str:
    key = step_scope.current()
    log.append(None if key is None else (key.key, key.count))
    return meets_error()


def meets_errors(retry: Retry) -> str:
    return current_engine().step_options(retry=retry).step(meets_error_with_key)


def take_back() -> None:
    meets_error()
    log.append("undone")


def books_then_meets_errors(where: str) -> str:
    engine = current_engine()
    engine.step(noted, "booked", undo=take_back if where == "undo" else take_nothing_back)
    if where == "undo":
        raise ValueError("to be undone")
    return engine.step(meets_error) if where == "step" else meets_error()


def take_nothing_back() -> None:
    log.append("undone")


def catches_everything() -> str:
    note("before")
    with contextlib.suppress(BaseException):  # as careless code does
        current_engine().step(meets_error)
    note("after")
    return "done"


def uses_name(method: str, name: Any) -> None:
    engine = current_engine()
    if method == "recv":
        engine.recv(name, 0)
    else:
        engine.set_event(name, 1)


def uses_names(name: str) -> Any:
    engine = current_engine()
    engine.set_event(name, 2)
    engine.step_options(name=name).step(nothing)
    return engine.recv(name, 20)
