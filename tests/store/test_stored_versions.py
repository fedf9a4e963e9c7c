"""Filters, orders, counts and subscriptions mean what objects read as: upcasters and defaults."""

from __future__ import annotations

import itertools
import random
import uuid
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum
from typing import Any

import pytest

from reactive import Field
from reactive.expr import Expr
from store import Storable, upcaster
from store.cli import main
from store.client import StoreClient
from store.entities.unreadable import UnreadableWarning
from store.errors import FilterError, SerializationError
from store.rewriting import rewrite
from store.subscriptions import EventBus, SubscriptionListener
from tests.processes import wait_until
from tests.store.desk import Desk, password_of
from tests.store.registries import registry_of

SEVEN = uuid.UUID(int=7)
START_OF_YEAR = datetime(2026, 1, 1, tzinfo=timezone.utc)


class Venue(Enum):
    NEW_YORK = "XNYS"
    OSLO = "XOSL"


REG = registry_of(
    symbol=str,
    px=float,
    price=float,
    fee=Decimal,
    venue=Venue,
    lots={"python_type": int, "nullable": True},
    at={"python_type": datetime, "nullable": True},
    day=date,
    key=uuid.UUID,
    tags=list[str],
    share={"python_type": float, "nullable": True},
)


@dataclass
class QuoteV1(Storable):
    _registry = REG
    symbol: str = ""
    px: float = 0.0
    at: datetime | None = None
    lots: int | None = None


@dataclass
class QuoteV2(Storable):
    """`px` became `price`; seven fields were added, each with a default."""

    _registry = REG
    symbol: str = ""
    price: float = 0.0
    at: datetime | None = None
    lots: int | None = None
    fee: Decimal = Decimal("1.5")
    venue: Venue = Venue.NEW_YORK
    day: date = date(2026, 1, 1)
    key: uuid.UUID = SEVEN
    # A null of these may have been written, or be a missing one.
    share: float | None = 0.5
    tags: list[str] = field(default_factory=lambda: ["new"])

    @upcaster(from_version=1)
    @staticmethod
    def longer_name(data: dict[str, Any]) -> dict[str, Any]:
        data["price"] = data.pop("px")
        return data

    @classmethod
    def type_name(cls) -> str:
        return QuoteV1.type_name()


@dataclass
class Widened(Storable):
    """The fields of QuoteV1 and more, without a version: defaults make the difference."""

    _registry = REG
    symbol: str = ""
    px: float = 0.0
    at: datetime | None = None
    lots: int | None = None
    fee: Decimal = Decimal("1.5")
    venue: Venue = Venue.NEW_YORK
    day: date = date(2026, 1, 1)
    key: uuid.UUID = SEVEN
    share: float | None = 0.5
    tags: list[str] = field(default_factory=lambda: ["new"])

    @classmethod
    def type_name(cls) -> str:
        return QuoteV1.type_name()


def old_and_new(client: StoreClient, cls: type[Any], chance: random.Random) -> list[Any]:
    """Entities of both versions, mixed, in the order of their ids; each as it reads."""
    price = "price" if cls is QuoteV2 else "px"
    for _ in range(40):
        common = {
            "symbol": chance.choice(["A", "B", "C'%s", "Å"]),
            "at": chance.choice(
                [None, START_OF_YEAR + timedelta(microseconds=chance.randrange(10**9))]
            ),
            "lots": chance.choice([None, 1, 2, 3]),
        }
        paid = chance.choice([0.0, 1.5, 10.0, 99.25])
        if chance.random() < 0.5:
            client.write(QuoteV1(px=paid, **common))
            continue
        client.write(
            cls(
                **{price: paid},
                **common,
                fee=chance.choice([Decimal("1.5"), Decimal("10.10"), Decimal("9.9")]),
                venue=chance.choice(list(Venue)),
                day=chance.choice([date(2026, 1, 1), date(2027, 1, 1)]),
                key=uuid.UUID(int=chance.choice([7, 8])),
                share=chance.choice([None, 0.5, 0.75]),
                tags=chance.choice([[], ["new"]]),
            )
        )
    everything = list(client.query(cls, limit=None))
    assert len(everything) == 40
    return everything


def filters(price: str) -> dict[str, Any]:
    paid, fee, lots, share = Field(price), Field("fee"), Field("lots"), Field("share")
    return {
        "price above": paid > 5,
        "price below, as its default": paid < 5,
        "price": {price: 1.5},
        "default of an Enum": {"venue": Venue.NEW_YORK},
        "other Enum": {"venue": "XOSL"},
        "default of a Decimal": fee == Decimal("1.5"),
        "another Decimal": fee > Decimal("9.95"),
        "not": ~(fee > Decimal("9.95")),
        "or": (fee == Decimal("1.5")) | (paid > 50),
        "arithmetic": paid * 2 + fee > 20,
        "a date": Field("day") >= date(2026, 6, 1),
        "a key": {"key": uuid.UUID(int=7)},
        "null": lots.is_null(),
        "null that may be missing": share.is_null(),
        "what may be missing": share == 0.5,
        "not what may be missing": share > 0.6,
        "a list that may be missing": Field("tags").is_null(),
        "moment": Field("at") < START_OF_YEAR + timedelta(microseconds=5 * 10**8),
        "mirrored": paid > 5,
        "text": Field("symbol") == "C'%s",
        "no": (paid > 1) & (paid < 1),
    }


def passing(objects: list[Any], wanted: Any) -> list[Any]:
    """What passes, judged by the values that the objects have."""
    found = []
    for obj in objects:
        if isinstance(wanted, Expr):
            row = {
                name: str(value) if isinstance(value, uuid.UUID) else value
                for name, value in vars(obj).items()
                if not name.startswith("_")
            }
            if wanted.typed({"fee": Decimal, "at": datetime}).eval(row) is True:
                found.append(obj)
        elif all(
            getattr(obj, name) in (value, Venue._value2member_map_.get(value))
            for name, value in wanted.items()
        ):
            found.append(obj)
    return found


@pytest.mark.parametrize("cls", [QuoteV2, Widened])
def test_filters_and_counts_see_what_objects_read_as(desk: Desk, cls: type[Any]) -> None:
    alice = desk.client("alice")
    objects = old_and_new(alice, cls, random.Random(f"filters of {cls.__name__}"))
    for name, wanted in filters("price" if cls is QuoteV2 else "px").items():
        expected = passing(objects, wanted)
        assert list(alice.query(cls, wanted, limit=None)) == expected, name
        assert alice.count(cls, wanted) == len(expected), name
        paged, cursor = [], None
        while cursor is not None or not paged:
            page = alice.query(cls, wanted, limit=3, cursor=cursor)
            paged += page
            cursor = page.next_cursor
            if cursor is None:
                break
        assert paged == expected, name


@pytest.mark.parametrize("cls", [QuoteV2, Widened])
def test_orders_see_what_objects_read_as(desk: Desk, cls: type[Any]) -> None:
    alice = desk.client("alice")
    objects = old_and_new(alice, cls, random.Random(f"orders of {cls.__name__}"))
    price = "price" if cls is QuoteV2 else "px"
    names = [price, "symbol", "at", "lots", "fee", "venue", "day", "key", "share"]
    orders = [(name,) for name in names] + [("-" + name,) for name in names]
    orders += [("venue", "-fee"), ("-share", "symbol", price), ("lots", "-at")]
    for order in orders:
        expected = list(objects)
        # From the last key to the first: each sort keeps the order of the one before.
        for key in reversed(order):
            name = key.removeprefix("-")
            present = [obj for obj in expected if getattr(obj, name) is not None]
            absent = [obj for obj in expected if getattr(obj, name) is None]
            # Also in reverse, those that are alike stay as they were.
            present.sort(key=lambda obj: plain(getattr(obj, name)), reverse=key.startswith("-"))
            expected = present + absent
        for limit in (None, 7):
            paged: list[Any] = []
            cursor = None
            for _ in itertools.count():
                page = alice.query(cls, order_by=order, limit=limit, cursor=cursor)
                paged += page
                cursor = page.next_cursor
                if cursor is None:
                    break
            assert paged == expected, (order, limit)


def plain(value: Any) -> Any:
    return (
        value.value
        if isinstance(value, Enum)
        else str(value)
        if isinstance(value, uuid.UUID)
        else value
    )


def test_a_subscription_hears_what_a_query_finds(desk: Desk) -> None:
    alice = desk.client("alice")
    objects = old_and_new(alice, QuoteV2, random.Random("subscriptions"))
    for name, wanted in filters("price").items():
        if not isinstance(wanted, Expr):
            continue
        heard: list[str] = []
        bus = EventBus()
        bus.on_all(lambda event, heard=heard: heard.append(event.entity_id))
        listener = SubscriptionListener(
            bus,
            **desk.info,
            user="alice",
            password=password_of("alice"),
            types=[QuoteV2],
            filter=wanted,
            start="beginning",
        )
        with listener:
            expected = sorted(obj._store_entity_id for obj in passing(objects, wanted))
            wait_until(
                lambda listener=listener: (
                    listener.status().delivered + listener.status().filtered == 40
                ),
                20,
                "all events are looked at",
            )
            assert sorted(heard) == expected, name
            assert listener.status().parked == 0


def test_a_filter_that_fits_no_class_is_refused_before_anything_is_read(desk: Desk) -> None:
    with pytest.raises(FilterError, match="QuoteV2"):
        SubscriptionListener(
            EventBus(), **desk.info, user="alice", types=[QuoteV2], filter=Field("symbol") > 5
        )


def test_as_of_a_time_filters_mean_the_same(alice: StoreClient) -> None:
    alice.write(QuoteV1("A", px=150.0))
    then = datetime.now(timezone.utc)
    alice.write(QuoteV2("B", price=160.0))
    assert alice.query(QuoteV2, Field("price") > 100, tx_time=then).items[0].price == 150.0
    assert len(alice.query(QuoteV2, {"venue": Venue.NEW_YORK}, tx_time=then)) == 1


def test_rewriting_brings_entities_to_the_present_version(desk: Desk) -> None:
    alice = desk.client("alice")
    objects = old_and_new(alice, QuoteV2, random.Random("rewriting"))
    until = datetime.now(timezone.utc) + timedelta(days=1)
    bounded = QuoteV1("Z", px=3.0)
    alice.write(bounded, valid_to=until)
    before = [obj.to_json() for obj in objects]
    old = sum(b'"px"' in row for row in raw(desk))
    assert 0 < old < 41
    told: list[int] = []
    found = rewrite(alice, QuoteV2, told.append)
    assert (found.rewritten, found.overtaken, found.not_writable) == (old, 0, 0)
    assert told == [old]
    assert not any(b'"px"' in row for row in raw(desk))
    after = list(alice.query(QuoteV2, limit=None))
    assert [obj.to_json() for obj in after[:-1]] == before
    assert after[-1]._store_valid_to == until
    assert alice.history(QuoteV2, bounded._store_entity_id)[0].price == 3.0
    assert rewrite(alice, QuoteV2).rewritten == 0
    assert bool(alice.verify())


def raw(desk: Desk) -> list[bytes]:
    with desk.admin().cursor() as cursor:
        cursor.execute(
            "SELECT data::text FROM object_store.event e WHERE version = "
            "(SELECT max(version) FROM object_store.event n WHERE n.entity_id = e.entity_id)"
        )
        return [row[0].encode() for row in cursor.fetchall()]


def test_what_is_shared_for_reading_is_left_as_it_is(desk: Desk) -> None:
    from store.permissions import share_read

    alice, bob = desk.client("alice"), desk.client("bob")
    entity_id = alice.write(QuoteV1("A", px=150.0))
    share_read(alice.conn, entity_id, "bob")
    bob.write(QuoteV1("B", px=150.0))
    found = rewrite(bob, QuoteV2)
    assert (found.rewritten, found.not_writable) == (1, 1)
    # The reader of an old entity depends on nobody's rewriting it.
    assert bob.count(QuoteV2, Field("price") > 100) == 2


def test_the_command_rewrites(
    desk: Desk, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from psycopg2.extensions import make_dsn

    import store.cli.rewrite as command
    from tests.store.desk import ADMIN_PASSWORD

    desk.client("alice").write(QuoteV1("A", px=150.0))
    dsn = make_dsn(**desk.info, user="postgres", password=ADMIN_PASSWORD)
    monkeypatch.setenv("OBJECT_STORE_DSN", dsn)
    monkeypatch.setattr(command, "given_password", lambda *_: password_of("alice"))
    name = f"{__name__}.QuoteV2"
    assert main(["rewrite", name, "--user", "alice"]) == 0
    assert "1 entities were rewritten" in capsys.readouterr().out
    assert main(["rewrite", name, "--user", "alice"]) == 0
    assert "0 entities were rewritten" in capsys.readouterr().out


def test_a_version_of_the_future_is_named_and_stops_nobody(alice: StoreClient) -> None:
    @dataclass
    class QuoteV3(QuoteV2):
        @upcaster(from_version=2)
        @staticmethod
        def same(data: dict[str, Any]) -> dict[str, Any]:
            return data

        @classmethod
        def type_name(cls) -> str:
            return f"{QuoteV1.type_name()} of the future"

    @dataclass
    class Present(QuoteV2):
        @classmethod
        def type_name(cls) -> str:
            return QuoteV3.type_name()

    newer = alice.write(QuoteV3("N", price=200.0))
    alice.write(Present("P", price=200.0))
    with pytest.warns(UnreadableWarning, match="update the program"):
        page = alice.query(Present, Field("price") > 100)
    assert [quote.symbol for quote in page] == ["P"]
    assert [each.entity_id for each in page.unreadable] == [newer]
    with pytest.raises(SerializationError, match=newer):
        alice.query(Present, Field("price") > 100, on_unreadable="raise")


def test_a_base_class_does_not_stand_for_its_subclasses(desk: Desk) -> None:
    """Each class is a type of its own, in every way of asking."""

    @dataclass
    class Special(QuoteV1):
        @classmethod
        def type_name(cls) -> str:
            return "tests.Special"

    alice = desk.client("alice")
    base_id, special_id = alice.write(QuoteV1("base")), alice.write(Special("special"))
    assert [quote.symbol for quote in alice.query(QuoteV1)] == ["base"]
    assert [quote.symbol for quote in alice.query(Special)] == ["special"]
    assert (alice.count(QuoteV1), alice.count(Special), alice.count()) == (1, 1, 2)
    assert alice.read(QuoteV1, special_id) is None
    assert alice.history(QuoteV1, special_id) == []
    heard: list[str] = []
    bus = EventBus()
    bus.on(QuoteV1, lambda event: heard.append(event.entity_id))
    listener = SubscriptionListener(
        bus, **desk.info, user="alice", password=password_of("alice"), start="beginning"
    )
    with listener:
        wait_until(lambda: listener.status().delivered == 2, 20, "both events are heard")
    assert heard == [base_id]
