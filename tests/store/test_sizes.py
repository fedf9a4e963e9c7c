"""What a user's login may write is bounded in size and depth, and so is what is read at once."""

from __future__ import annotations

import json
from typing import Any

import psycopg2
import pytest

from store.client import StoreClient
from store.errors import TooLarge
from store.models import Signal, Trade
from store.position import START
from store.subscriptions.event_log import EventLog
from tests.store.desk import Desk
from tests.store.sql import run

APPEND = (
    "SELECT version FROM object_store.append("
    "'CREATED', gen_random_uuid(), NULL, %s, %s, %s, NULL, NULL, %s, NULL)"
)
MANY = (
    "SELECT version FROM object_store.append_new(ARRAY[gen_random_uuid()], ARRAY[%s], "
    "ARRAY[%s]::jsonb[], ARRAY[%s], NULL, NULL)"
)


def nested(levels: int, kind: str = "[]") -> str:
    opening = kind[0] if kind == "[]" else '{"a":'
    return opening * levels + "1" + kind[1] * levels


@pytest.mark.shared_database
@pytest.mark.parametrize(
    ("values", "said"),
    [
        (("T", nested(101), None, None), "data is nested more than 100 levels"),
        (("T", nested(500, "{}"), None, None), "data is nested more than 100 levels"),
        (("T", '{"x": ' + nested(100) + "}", None, None), "100 levels"),
        (("T", json.dumps({"x": "é" * 8_400_000}), None, None), "at most 16777216 are allowed"),
        (("T" * 1_001, "{}", None, None), "a type name of 1001 characters"),
        (("T", "{}", "s" * 1_001, None), "a state of 1001 characters"),
        (("T", "{}", None, json.dumps({"x": "y" * 1_100_000})), "event_meta of"),
        (("T", "{}", None, nested(101)), "event_meta is nested"),
    ],
)
def test_too_much_is_refused_by_the_database(
    desk: Desk, values: tuple[Any, ...], said: str
) -> None:
    login = desk.login("mallory")
    with pytest.raises(psycopg2.Error, match=said) as caught:
        run(login, APPEND, values)
    assert caught.value.pgcode == "OS008"
    if values[3] is None:
        with pytest.raises(psycopg2.Error, match=said):
            run(login, MANY, values[:3])
    assert run(desk.admin(), "SELECT FROM object_store.event") == []


def test_what_is_allowed_is_taken(desk: Desk) -> None:
    login = desk.login("mallory")
    for values in (
        ("T" * 1_000, nested(100), "s" * 1_000, nested(100, "{}")),
        ("T", json.dumps({"x": "y" * 16_000_000}), None, json.dumps({"x": "y" * 1_000_000})),
    ):
        assert run(login, APPEND, values) == [(1,)]
        assert run(login, MANY, values[:3]) == [(1,)]


def test_the_client_says_too_large(alice: StoreClient) -> None:
    with pytest.raises(TooLarge, match="keep large content elsewhere"):
        alice.write(Signal(symbol="AAPL", direction="LONG", notes="x" * 17_000_000))
    signal = Signal(symbol="AAPL", direction="LONG", notes="x")
    alice.write(signal)
    signal.notes = "x" * 17_000_000
    with pytest.raises(TooLarge):
        alice.update_many([signal])
    assert signal._store_version == 1


def test_a_page_of_the_log_is_bounded_by_bytes(desk: Desk, alice: StoreClient) -> None:
    alice.write_many([Trade("AAPL", n, 1.0, "BUY") for n in range(10)])
    for n in range(6):
        alice.write(Signal(symbol=f"S{n}", direction="LONG", notes=f"{n}" * 300_000))
    alice.write_many([Trade("AAPL", n, 1.0, "BUY") for n in range(10)])
    log = EventLog(alice.conn)
    sizes, seen, after = [], [], START
    while True:
        page = log.page(after, max_bytes=700_000)
        sizes.append(sum(len(event.data or "") for event in page.events))
        seen += page.events
        after = page.end
        if page.is_last:
            break
    # With the event that reaches the bound it ends, and one comes in any case.
    assert len(sizes) > 2
    assert max(sizes) < 700_000 + 300_100
    assert len(seen) == len({(e.entity_id, e.version) for e in seen}) == 26
    positions = [event.position for event in seen]
    assert positions == sorted(positions)
    assert [len(p.events) for p in log.pages(limit=1_000)] == [26]
    assert len(log.page(START, max_bytes=1).events) == 1
