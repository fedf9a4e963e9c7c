"""Governance over processes: commands, an engine that is killed, approvals that lapse."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from psycopg2.extensions import make_dsn

from tests.processes import ROOT, Process, wait_until
from tests.store.desk import ADMIN_PASSWORD, Desk, password_of
from tests.store.fixtures import desk
from tests.trading.governance.house import ACCOUNT, RUN, House, house
from trading.cli import main
from trading.engine import OrderRecord, PositionRecord, TradingStateRecord
from trading.governance import LimitsChange
from trading.risk import Limits

__all__ = ["desk", "house"]

# The machine may be busy with other tests.
PATIENCE_S = 240.0


def environment(desk: Desk) -> dict[str, str]:
    info = {name: desk.info[name] for name in ("host", "port", "dbname")}
    dsn = make_dsn(user="postgres", password=ADMIN_PASSWORD, **info)
    return {**os.environ, "OBJECT_STORE_DSN": dsn, "PYTHONUNBUFFERED": "1"}


def command(desk: Desk, person: str, *words: str) -> tuple[int, str]:
    """Run a command of `python -m trading` as a person; its exit status and what it said.

    In this process: to import everything takes longer than what a command does.
    """
    said = io.StringIO()
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("OBJECT_STORE_DSN", environment(desk)["OBJECT_STORE_DSN"])
        patched.setattr(sys, "stdin", io.StringIO(f"{password_of(person)}\n"))
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            status = main([*words, "--user", person, "--password-stdin"])
    return status, said.getvalue()


def command_apart(desk: Desk, person: str, *words: str) -> tuple[int, str]:
    """The same as a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "trading", *words, "--user", person, "--password-stdin"],
        cwd=ROOT,
        env=environment(desk),
        input=f"{password_of(person)}\n",
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


class Program(Process):
    """A command that goes on, with the password of a person on its standard input."""

    def __init__(self, desk: Desk, person: str, *words: str) -> None:
        reader, writer = os.pipe()
        os.write(writer, f"{password_of(person)}\n".encode())
        os.close(writer)
        super().__init__(
            sys.executable,
            *("-m", "trading", *words, "--user", person, "--password-stdin"),
            env=environment(desk),
            stdin=reader,
        )
        os.close(reader)


PAPER = (
    *("paper", "--simulate", "AAPL=230", "--account", ACCOUNT, "--run-name", RUN),
    *("--status-every", "0.1"),
)


@pytest.fixture
def programs() -> Iterator[list[Program]]:
    """Programs that end with the test, whatever happens."""
    found: list[Program] = []
    yield found
    for each in found:
        if each.child.poll() is None:
            each.end(signal.SIGKILL)


def test_the_kill_switch_works_from_another_process(
    house: House, desk: Desk, programs: list[Program]
) -> None:
    where = ("--account", ACCOUNT, "--run-name", RUN)
    first = Program(desk, "alice", *PAPER)
    programs.append(first)
    first.wait_for_output("RUNNING ACTIVE", PATIENCE_S)
    status, said = command_apart(
        desk, "bob", "halt", *where, "--reason", "fat finger", "--wait", str(PATIENCE_S)
    )
    assert status == 0, said
    assert "DONE OK" in said
    first.wait_for_output("RUNNING HALTED", PATIENCE_S)
    # Killed; what is asked for meanwhile is obeyed at the next start, once.
    first.end(signal.SIGKILL)
    status, said = command(desk, "carol", "resume", *where, "--reason", "looked at", "--wait", "0")
    assert status == 0, said
    status, said = command(desk, "bob", "reduce", *where, "--reason", "slowly", "--wait", "0")
    assert status == 0, said
    status, said = command(desk, "mallory", "halt", *where, "--reason", "for fun")
    assert (status, "has not the duty OPERATE" in said) == (3, True)
    second = Program(desk, "alice", *PAPER)
    programs.append(second)
    second.wait_for_output("RUNNING REDUCING", PATIENCE_S)
    # It never ran in another state.
    assert "RUNNING ACTIVE" not in second.output
    assert "RUNNING HALTED" not in second.output
    store = house.client("alice")
    [state] = store.query(TradingStateRecord)
    wait_until(
        lambda: not house.of("bob").requests(ACCOUNT, "REQUESTED"), PATIENCE_S, "the outcome"
    )
    history = store.history(TradingStateRecord, state._store_entity_id or "")
    assert [(each.trading_state, each.state_changed_by) for each in history] == [
        ("HALTED", "bob"),
        ("ACTIVE", "carol"),
        ("REDUCING", "bob"),
    ]
    assert second.end() == 0
    assert store.count(OrderRecord) == store.count(PositionRecord) == 0


def test_changes_by_commands(house: House, desk: Desk, tmp_path: Path) -> None:
    limits = tmp_path / "limits.json"
    limits.write_text('{"max_position": "NaN"}')
    propose = ("governance", "propose", "--account", ACCOUNT, "--limits", str(limits))
    status, said = command(desk, "bob", *propose)
    assert (status, "NaN" in said) == (3, True), said
    limits.write_text('{"max_position": "500"}')
    status, said = command(desk, "bob", *propose, "--reason", "new desk")
    assert status == 0, said
    change_id = said.split()[0]
    status, said = command(desk, "bob", "governance", "approve", change_id)
    assert (status, "bob may not move" in said) == (3, True), said
    status, said = command(desk, "carol", "governance", "approve", change_id, "--reason", "fine")
    assert (status, "APPROVED" in said) == (0, True), said
    status, said = command(desk, "mallory", "governance", "list", "--account", ACCOUNT)
    assert '"max_position": "500"' in said
    assert "by bob, decided by carol: new desk" in said


def test_an_approval_lapses_once_whoever_is_killed(
    house: House, desk: Desk, programs: list[Program]
) -> None:
    first = Program(desk, "alice", "governance", "serve")
    programs.append(first)
    first.wait_for_output("approvals lapse", PATIENCE_S)
    change = house.of("bob").propose_limits(
        ACCOUNT, Limits(max_position=5), approve_within=timedelta(seconds=8)
    )
    kept = house.of("bob").propose_limits(
        ACCOUNT, Limits(max_position=6), approve_within=timedelta(hours=8)
    )

    def is_started() -> bool:
        with house.admin.cursor() as cursor:
            cursor.execute(
                "SELECT count(*) FROM dbos.workflow_status WHERE workflow_uuid = %s",
                [f"lapse:{change._store_entity_id}"],
            )
            return bool(cursor.fetchone()[0])

    wait_until(is_started, PATIENCE_S, "the workflow")
    first.end(signal.SIGKILL)
    programs += [Program(desk, "alice", "governance", "serve") for _ in range(2)]
    house.of("bob").wait(change, ["LAPSED"], PATIENCE_S)
    history = house.client("bob").history(LimitsChange, change._store_entity_id or "")
    assert [each._store_state for each in history] == ["PROPOSED", "LAPSED"]
    assert house.as_seen_by("bob", kept)._store_state == "PROPOSED"
    assert house.of("carol").approve(house.as_seen_by("carol", kept))._store_state == "APPROVED"
