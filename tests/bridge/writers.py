"""Processes that write at random, and the ids of all that was written."""

from __future__ import annotations

import json
import sys

from store.client import StoreClient
from store.position import START
from store.subscriptions.event_log import EventLog
from tests.processes import ROOT, Process
from tests.store.desk import Desk, password_of


def writers(desk: Desk, seeds: range, writes: int, user: str = "alice") -> list[Process]:
    login = json.dumps({"user": user, "password": password_of(user), **desk.info})
    command = (sys.executable, "-m", "tests.bridge.random_writer")
    return [Process(*command, str(seed), str(writes), login, cwd=ROOT) for seed in seeds]


def all_ids(client: StoreClient) -> list[str]:
    found = {e.entity_id for page in EventLog(client.conn).pages(START) for e in page.events}
    return sorted(found)
