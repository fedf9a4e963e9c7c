"""What `python -m store` tells of subscribers, parked events and promised workflows."""

from __future__ import annotations

from pathlib import Path

from store import Trade
from store.client import StoreClient
from tests.processes import wait_until
from tests.store.commands import command
from tests.store.desk import Desk
from tests.store.hearing import Picky, listener
from tests.store.lifecycle import Broken, swap


def test_subscribers_and_what_they_parked(
    desk: Desk, alice: StoreClient, where: dict[str, str]
) -> None:
    picky = Picky()
    entity_id = alice.write(Trade(symbol="A"))
    picky.refused.add(entity_id)
    with listener(desk, picky.bus, subscriber_id="risk", start="beginning", retries=0) as following:
        wait_until(lambda: following.status().parked, 20, "the parked event")
        shown = command("subscribers", **where)
        assert shown.returncode == 0, shown.stderr
        [line] = shown.stdout.splitlines()[1:]
        user, name, _, parked, session, *_ = line.split()
        assert (user, name, parked) == ("alice", "risk", "1")
        assert session.isdigit()
    alice.write(Trade(symbol="B"))
    assert command("subscribers", **where).stdout.splitlines()[1].split()[2:5] == ["1", "1", "none"]
    for name, count in (((), 1), (("risk",), 1), (("other",), 0)):
        shown = command("parked", *name, **where)
        assert shown.stdout.endswith(f"{count} parked\n")
        assert ("ZeroDivisionError: not that one" in shown.stdout) == bool(count)
        assert (f"version 1 of {entity_id}, 1 attempts" in shown.stdout) == bool(count)


def test_promises_that_wait(alice: StoreClient, where: dict[str, str], tmp_path: Path) -> None:
    assert command("outbox", **where).stdout == "0 pending\n"
    obj = swap(alice, Broken(tmp_path))
    alice.transition(obj, "FILLED")
    shown = command("outbox", **where).stdout
    assert f"tests.store.lifecycle:settle  {obj._store_entity_id}:2" in shown
    assert "by alice\n" in shown
    assert shown.endswith(
        "\n    attempts: 1; the last: ConnectionError: the engine is down\n1 pending\n"
    )
