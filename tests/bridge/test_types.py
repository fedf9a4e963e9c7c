"""Values of every type on their way into tables: exact where they fit, null and counted if not."""

from __future__ import annotations

import json
from dataclasses import fields
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.columns import EventReader, field_columns
from publishing import ConversionErrors
from publishing.kinds import KINDS
from reactive import Field
from store.client import StoreClient
from store.events import ChangeEvent
from store.subscriptions.checkpoints import parked_events
from store.times import instant_text
from tests.bridge.books import nanos, rows_of
from tests.bridge.classes import Everything, Leg, Level, Mood, OldPrice, Overridden, Price
from tests.bridge.conftest import MakeBridge
from tests.processes import wait_until
from tests.store.desk import Desk

ZONES = st.integers(-14 * 60, 14 * 60).map(lambda m: timezone(timedelta(minutes=m)))
MOMENTS = st.datetimes(datetime(1678, 1, 2), datetime(2262, 1, 1), timezones=ZONES)
UTC = timezone.utc


@given(MOMENTS)
def test_instants_are_exact_to_the_microsecond(moment: datetime) -> None:
    encode = KINDS["Instant"].encode
    assert encode(moment) == encode(instant_text(moment)) == nanos(moment)
    decode = KINDS["Instant"].decode
    assert decode
    assert decode(encode(moment)) == moment


@given(st.dates())
def test_dates(day: date) -> None:
    kind = KINDS["LocalDate"]
    assert kind.decode
    assert kind.decode(kind.encode(day)) == kind.decode(kind.encode(day.isoformat())) == day


@given(st.times())
def test_times_of_day(moment: time) -> None:
    kind = KINDS["LocalTime"]
    assert kind.decode
    assert kind.decode(kind.encode(moment)) == moment


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        ("byte", [-127, 127], [-128, 128, 1.5, True, "1", None]),
        ("short", [-32_767, 32_767], [-32_768, 32_768]),
        ("int", [-(2**31) + 1, 2**31 - 1, 3.0], [-(2**31), 2**31]),
        ("long", [-(2**63) + 1, 2**63 - 1, Decimal(4)], [-(2**63), 2**63, "4", [4]]),
        ("double", [1, 1.5, Decimal("0.1"), -0.0], [10**400, float("inf"), "1.5", True]),
        ("float", [1.5, 3e38], [1e39, "1"]),
        ("bool", [True, False], [0, 1, "true"]),
        ("string", ["", "a\n", 5, Mood.GOOD], ["\ud800", [1], {}]),
        ("char", ["a", "ß"], ["", "ab", "😀", 5]),
        ("Instant", ["2026-01-02T03:04:05.000000Z"], [datetime(2026, 1, 1), "noon", 1.5, True]),
        ("Instant", [0], ["2300-01-01T00:00:00.000000Z", "1600-01-01T00:00:00.000000Z"]),
        ("LocalDate", ["2026-01-02"], ["2026-13-01", datetime(2026, 1, 1), 5]),
        ("LocalTime", ["09:30", "23:59:59.999999"], ["25:00", 5]),
        ("BigDecimal", ["1.10", Decimal("1E+3"), 5], ["NaN", "x", True]),
        ("BigInteger", [2**100, "5"], [1.5, "x"]),
    ],
)
def test_what_fits_and_what_does_not(kind: str, good: list[Any], bad: list[Any]) -> None:
    for value in good:
        assert KINDS[kind].encode(value) is not None
    for value in bad:
        with pytest.raises((TypeError, ValueError, ArithmeticError)):
            KINDS[kind].encode(value)


VALUES = {
    "name": "Ä\n'",
    "amount": Decimal("12345678901234567.125"),
    "created": datetime(2026, 1, 2, 3, 4, 5, 678_901, tzinfo=timezone(timedelta(hours=5))),
    "ts_date": date(1900, 2, 3),
    "active": False,
    "weight": 0.1,
    "quantity": 2**62,
    "mood": Mood.BAD,
    "level": Level.HIGH,
    "tags": ["a", "ß"],
    "row_id": UUID(int=7),
    "legs": [Leg(Decimal("1.50"), date(2026, 1, 1))],
    "extra": {"b": [1.5, None], "a": {"x": True}},
}
SHOWN = {
    **VALUES,
    "amount": 12345678901234567.125,
    "created": nanos(VALUES["created"]),  # type: ignore[arg-type]
    "ts_date": "1900-02-03",
    "mood": "bad",
    "level": 2,
    "tags": '["a","ß"]',
    "row_id": str(UUID(int=7)),
    "legs": '[{"ratio":1.50,"due":"2026-01-01"}]',
    "extra": '{"a":{"x":true},"b":[1.5,null]}',
}


def test_every_type_through_store_and_bridge(make_bridge: MakeBridge, alice: StoreClient) -> None:
    bridge = make_bridge()
    bridge.register(Everything)
    bridge.start()
    names = [field.name for field in fields(Everything)]
    alice.write(Everything(**VALUES))  # type: ignore[arg-type]
    alice.write(Everything())
    assert bridge.flush()
    wanted = [tuple(SHOWN[name] for name in names), ("", *[None] * (len(names) - 1))]
    assert rows_of(bridge.table(Everything), *names) == wanted
    assert sorted(rows_of(bridge.live(Everything), *names)) == sorted(wanted)
    assert bridge.status().tables["Everything"].conversion_errors == {}


def test_the_catalog_may_ask_for_another_type(make_bridge: MakeBridge, alice: StoreClient) -> None:
    bridge = make_bridge()
    bridge.register(Overridden)
    bridge.start()
    names = [field.name for field in fields(Overridden)]
    alice.write(Overridden(1, 2, 3, 2**80, 1.5, Decimal("1.10"), "x", "09:30"))
    alice.write(Overridden(1_000, 2**20, 2**40, 5, 1e300, Decimal(2), "xyz", "noon"))
    alice.write(Overridden())
    assert bridge.flush()
    types = {column.name: str(column.data_type) for column in bridge.table(Overridden).columns}
    assert [types[name] for name in names] == [
        *("byte", "short", "int", "java.math.BigInteger", "float", "java.math.BigDecimal"),
        *("char", "java.time.LocalTime"),
    ]
    text = bridge.table(Overridden).view([f"{name} = `` + {name}" for name in names])
    shown = rows_of(text)
    assert shown[0] == ("1", "2", "3", str(2**80), "1.5", "1.10", "x", "09:30")
    nulls = bridge.table(Overridden).view([f"{name} = isNull({name})" for name in names])
    assert rows_of(nulls)[1:] == [
        (True, True, True, False, True, False, True, True),
        (True,) * 8,
    ]
    errors = bridge.status().tables["Overridden"].conversion_errors
    assert errors == dict.fromkeys(["tiny", "small", "whole", "single", "letter", "opens"], 1)


def test_old_events_are_lifted(make_bridge: MakeBridge, alice: StoreClient) -> None:
    from reactive import Field

    alice.write(OldPrice(Decimal("1.25")))
    bridge = make_bridge()
    bridge.register(Price, filter=Field("cents") > 100)
    bridge.start("beginning")
    alice.write(OldPrice(Decimal("2.50")))
    alice.write(OldPrice(Decimal("0.50")))
    alice.write(Price(300, "EUR"))
    assert bridge.flush()
    wanted = [(125, "USD"), (250, "USD"), (300, "EUR")]
    assert rows_of(bridge.table(Price), "cents", "currency") == wanted
    assert sorted(rows_of(bridge.live(Price), "cents", "currency")) == wanted


UNREADABLE = [
    '{"cents": "many", "currency": 5, "$version": 2}',
    "[1, 2]",
    '"text"',
    '{"$version": 99}',
    '{"$version": "x"}',
    '{"px": null}',
    '{"cents": ' + "9" * 5_000 + ', "$version": 2}',
]


def append(client: StoreClient, *texts: str) -> list[str]:
    """Write around the class, as a user with psql can into entities of their own."""
    ids = []
    with client.conn.cursor() as cursor:
        for text in texts:
            cursor.execute(
                "SELECT new.id::text FROM (SELECT gen_random_uuid() AS id OFFSET 0) new, "
                "object_store.append_new(ARRAY[new.id], %s, ARRAY[%s::jsonb], "
                "ARRAY[NULL::text], NULL, NULL)",
                ([Price.type_name()], text),
            )
            ids.append(cursor.fetchall()[0][0])
    return ids


def test_data_that_its_class_cannot_read_become_dead_letters(
    make_bridge: MakeBridge, alice: StoreClient, desk: Desk
) -> None:
    bridge = make_bridge(subscriber_id="prices")
    bridge.register(Price)
    bridge.start()
    with alice.transaction():
        # Together, so that the bridge meets them in one batch.
        ids = append(alice, *UNREADABLE)
        # A whole number as the class has them, and beyond what the column holds.
        append(alice, '{"cents": 7, "$version": 2}', '{"cents": 1e400, "$version": 2}')
        alice.write(Price(1))
    assert bridge.flush()
    wanted = [(7, "USD"), (None, "USD"), (1, "USD")]
    assert rows_of(bridge.table(Price), "cents", "currency") == wanted
    assert sorted(rows_of(bridge.live(Price), "cents", "currency"), key=str) == sorted(
        wanted, key=str
    )
    status = bridge.status().tables["Price"]
    assert status.dead_letters == len(UNREADABLE)
    assert ids[-1] in status.last_dead_letter
    assert status.conversion_errors == {"cents": 1}
    wait_until(lambda: bridge.status().lag_events == 0, 10, "no lag")
    bridge.stop()
    parked = parked_events(alice.conn, "prices")
    assert [each.entity_id for each in parked] == ids
    assert "many" in parked[0].error
    # They are not met again; one that is written meanwhile is loaded before the log comes to it.
    ids += append(alice, '{"cents": "few", "$version": 2}')
    again = make_bridge(subscriber_id="prices")
    again.register(Price)
    again.start()
    alice.write(Price(2))
    assert again.flush()
    assert rows_of(again.table(Price), "cents") == [(2,)]
    assert [each.entity_id for each in parked_events(alice.conn, "prices")] == ids
    assert again.status().tables["Price"].dead_letters == len(ids)


def test_an_entity_that_cannot_be_read_any_more_leaves_live(
    make_bridge: MakeBridge, alice: StoreClient
) -> None:
    price = Price(5)
    entity_id = alice.write(price)
    bridge = make_bridge()
    bridge.register(Price, filter=Field("cents") > 1)
    bridge.start("beginning")
    assert bridge.flush()
    assert bridge.live(Price).size == 1
    with alice.conn.cursor() as cursor:
        cursor.execute(
            "SELECT object_store.append('UPDATED', %s::uuid, 1, %s, "
            '\'{"cents": "many", "$version": 2}\'::jsonb, '
            "NULL, NULL, NULL, NULL, NULL, false)",
            (entity_id, Price.type_name()),
        )
    assert bridge.flush()
    assert bridge.live(Price).size == 0
    assert bridge.table(Price).size == 1
    assert bridge.status().tables["Price"].dead_letters == 1


def read(
    cls: Any, *texts: str, valid_from: datetime | None = None
) -> tuple[list[tuple[Any, ...] | None], ConversionErrors]:
    """The rows of events with these data, None for one that cannot be read."""
    errors = ConversionErrors(cls.__name__)
    fields = field_columns(cls)
    reader = EventReader(cls, fields, errors, None)
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    events = [
        ChangeEvent(
            *("e", 1, "CREATED", "t", "u", None, moment),
            valid_from=valid_from or moment,
            data=text,
        )
        for text in texts
    ]
    found = reader.read(events)
    assert [n not in found.unread for n in range(len(events))] == list(found.shown)
    rows = zip(*(found.columns[field.name] for field in fields), strict=True)
    return [next(rows) if is_shown else None for is_shown in found.shown], errors


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=3,
)


ROWS = st.fixed_dictionaries({}, optional={field.name: JSON for field in fields(Everything)})


@given(st.lists(ROWS, max_size=4))
def test_any_json_becomes_rows(rows: list[dict[str, Any]]) -> None:
    """Row by row it is what a row alone would be; nothing raises."""
    texts = [json.dumps(row) for row in rows]
    together, _ = read(Everything, *texts)
    alone = [read(Everything, text)[0][0] for text in texts]
    assert repr(together) == repr(alone)


@given(st.data())
def test_one_value_of_another_type_makes_its_event_alone_unreadable(
    data: st.DataObject,
) -> None:
    name = data.draw(st.sampled_from(["quantity", "active", "created", "tags", "level"]))
    good = Everything(**VALUES).to_json()  # type: ignore[arg-type]
    broken = json.dumps({**json.loads(good), name: {"no": "such"}})
    [row, whole], errors = read(Everything, broken, good)
    assert row is None
    assert whole == read(Everything, good)[0][0]
    assert not errors.total


def test_an_event_without_a_row_counts_as_no_value_that_does_not_fit() -> None:
    old = datetime(1600, 1, 1, tzinfo=UTC)
    broken = '{"cents": {}, "currency": "USD", "$version": 2}'
    [row, other], errors = read(Price, broken, Price(5).to_json(), valid_from=old)
    assert (row, other) == (None, (5, "USD"))
    assert errors.counts == {"ValidFrom": 1}


def texts_of(moments: list[datetime]) -> list[str]:
    return [instant_text(moment) for moment in moments]


@given(st.lists(MOMENTS, min_size=1, max_size=3).map(texts_of), st.data())
def test_times_of_a_whole_column_are_those_of_each(texts: list[str], data: st.DataObject) -> None:
    """Also where one is no time, or written otherwise than the store does."""
    spoiled = data.draw(st.sampled_from(texts))
    at = data.draw(st.integers(0, len(spoiled) - 1))
    other = data.draw(st.sampled_from(" +-0123456789T:.Z٣e"))
    texts.append(spoiled[:at] + other + spoiled[at + 1 :])

    def row(text: str) -> str:
        return json.dumps({**json.loads(Everything().to_json()), "created": text})

    together, _ = read(Everything, *map(row, texts))
    assert together == [read(Everything, row(text))[0][0] for text in texts]


@given(st.sampled_from([2**63, -(2**63), 10**30]))
def test_a_value_beyond_its_column_leaves_the_other_fields_alone(number: int) -> None:
    good = Everything(**VALUES).to_json()  # type: ignore[arg-type]
    [row], errors = read(Everything, json.dumps({**json.loads(good), "quantity": number}))
    [whole], none = read(Everything, good)
    assert errors.counts == {"quantity": 1}
    assert not none.total
    assert row
    assert whole
    place = [field.name for field in fields(Everything)].index("quantity")
    assert row[place] is None
    exact = [n for n in range(len(row)) if n != place and fields(Everything)[n].name != "legs"]
    assert [row[n] for n in exact] == [whole[n] for n in exact]
