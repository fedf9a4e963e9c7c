"""Times of schedules: where clocks are put forward or back, and where nobody ran."""

from __future__ import annotations

import os
import signal
import sys
import time
from datetime import datetime, timezone
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from tests.processes import Process, wait_until
from tests.workflow import flows
from tests.workflow.scripts import script
from workflow import Cron, MemoryEngine
from workflow.backend import Scheduled
from workflow.cron import is_repeat, next_time
from workflow.dbos_engine import DBOSEngine
from workflow.packing import pack

SECONDS = 30.0
ZONE = "America/New_York"
# In New York clocks go back on 1 November 2026 at 02:00, and forward on 8 March 2026 at 02:00.
BACK = "2026-10-31T06:00:00+00:00"
FORWARD = "2026-03-07T08:00:00+00:00"


@pytest.mark.parametrize(
    ("expression", "after", "times"),
    [
        # Named hours: once, the first time.
        ("30 1 * * *", BACK, ["11-01T01:30-0400", "11-02T01:30-0500", "11-03T01:30-0500"]),
        ("0 30 1 * * *", BACK, ["11-01T01:30-0400", "11-02T01:30-0500"]),
        (
            "*/30 1-2 1 11 *",
            BACK,
            ["11-01T01:00-0400", "11-01T01:30-0400", "11-01T02:00-0500", "11-01T02:30-0500"],
        ),
        # Every hour: by the time that passes.
        (
            "30 * 1 11 *",
            "2026-11-01T04:00:00+00:00",
            ["11-01T00:30-0400", "11-01T01:30-0400", "11-01T01:30-0500", "11-01T02:30-0500"],
        ),
        # A time of day that is left out: at the end of the gap.
        ("30 2 * * *", FORWARD, ["03-08T03:00-0400", "03-09T02:30-0400"]),
        ("30 3 * * *", FORWARD, ["03-07T03:30-0500", "03-08T03:30-0400", "03-09T03:30-0400"]),
        ("0 */6 8 3 *", FORWARD, ["03-08T00:00-0500", "03-08T06:00-0400", "03-08T12:00-0400"]),
    ],
)
def test_times_where_clocks_change(expression: str, after: str, times: list[str]) -> None:
    moment, found = datetime.fromisoformat(after).timestamp(), []
    for _ in times:
        each = next_time(Cron(expression, ZONE), moment)
        moment = each.timestamp()
        found.append(each.strftime("%m-%dT%H:%M%z"))
    assert found == times


def test_a_repeat_is_told_from_the_first_time() -> None:
    cron = Cron("30 1 * * *", ZONE)
    first = datetime(2026, 11, 1, 1, 30, tzinfo=ZoneInfo(ZONE))
    assert [is_repeat(cron, first.replace(fold=fold)) for fold in (0, 1)] == [False, True]
    # Told by the moment, in whatever zone it comes.
    assert is_repeat(cron, first.replace(fold=1).astimezone(timezone.utc))
    assert not is_repeat(Cron("30 1 * * *", "UTC"), first.replace(fold=1))
    assert not is_repeat(cron, datetime(2026, 7, 1, 1, 30, fold=1, tzinfo=ZoneInfo(ZONE)))


def test_memory_starts_once_in_the_hour_that_comes_twice() -> None:
    with MemoryEngine() as engine:
        flows.log.clear()
        engine._memory._ahead = datetime.fromisoformat(BACK).timestamp() - time.time()
        engine.schedule("close", Cron("30 1 * * *", ZONE), flows.scheduled, "close")
        engine.advance(3 * 86_400 + 7_200)
        wait_until(lambda: len(flows.log) >= 3, SECONDS, "three days")
        assert sorted(str(at) for _, at in flows.log) == [
            "2026-11-01 01:30:00-04:00",
            "2026-11-02 01:30:00-05:00",
            "2026-11-03 01:30:00-05:00",
        ]


def test_dbos_starts_once_in_the_hour_that_comes_twice(database_url: str) -> None:
    with DBOSEngine(database_url, "repeated") as engine:
        engine.schedule("close", Cron("30 1 * * *", ZONE), flows.scheduled, "close")
        packed = pack((("close",), {}), "the arguments")
        what = Scheduled("close", "tests.workflow.flows:scheduled", packed, True)
        first = datetime(2026, 11, 1, 1, 30, tzinfo=ZoneInfo(ZONE))
        engine._backend._fire(first.replace(fold=1), what)
        assert engine.list_workflows(id_prefix="close@") == []
        engine._backend._fire(first, what)
        [info] = engine.list_workflows(id_prefix="close@")
        assert info.workflow_id == "close@2026-11-01T05:30:00+00:00"


PAUSED = """
    import sys, time
    import workflow.dbos.backend, workflow.memory.backend
    from workflow import MemoryEngine
    from workflow.dbos_engine import DBOSEngine

    for backend in (workflow.dbos.backend, workflow.memory.backend):
        assert backend.LATE_SECONDS == 60.0
        backend.LATE_SECONDS = 2.0

    def told(scheduled_at):
        # One write: two threads may tell at once, and their lines must not mix.
        sys.stdout.write(f"at {scheduled_at.timestamp()}\\n")
        sys.stdout.flush()

    if __name__ == "__main__":
        url = sys.argv[1]
        engine = MemoryEngine() if url == "memory" else DBOSEngine(url, "paused")
        with engine:
            engine.schedule("tick", "* * * * * *", told)
            time.sleep(120)
"""


@pytest.mark.parametrize("kind", ["memory", "dbos"])
def test_times_of_a_pause_are_left_out(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    url = "memory" if kind == "memory" else request.getfixturevalue("database_url")
    path = script(tmp_path, PAUSED)
    process = Process(sys.executable, str(path), url, env={"PYTHONPATH": "."})

    def times() -> list[float]:
        lines = [line.split() for line in process.output.splitlines()]
        return sorted(float(words[1]) for words in lines if words[:1] == ["at"])

    try:
        wait_until(lambda: len(times()) >= 2, 60, "the schedule")
        os.kill(process.child.pid, signal.SIGSTOP)
        paused_at = time.time()
        time.sleep(6)  # not a wait: the pause itself
        os.kill(process.child.pid, signal.SIGCONT)
        resumed_at = time.time()
        wait_until(lambda: len([t for t in times() if t > resumed_at]) >= 3, 60, "it goes on")
    finally:
        process.end(signal.SIGKILL)
    found = times()
    assert len(found) == len(set(found)), "once each"
    missed = [t for t in found if paused_at + 1 < t < resumed_at - 3]
    assert missed == [], "nobody was there for those"
