"""What was so at one time as known at another, against a brute force over all that was written."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from functools import partial
from importlib.resources import files
from typing import Any

import pytest
from msgspec.structs import replace

from store.admin.roles import OWNER
from store.client import StoreClient
from tests.processes import at_once
from tests.store.desk import Desk
from tests.store.fixtures import alice, bob, desk
from tests.trading.replay.days import venue_day
from trading.engine import CashRecord, FillRecord, LimitsRecord, OrderRecord
from trading.errors import ReplayError
from trading.journal import encode
from trading.journal.reports import FillBusted, FillCorrected
from trading.kernel import TickColumns
from trading.positions import Fill, LotBook
from trading.replay.run_journal import Entry, Group, RecordedRun, fold_with_records
from trading.replay.two_times import PnlAt, TwoTimes, bootstrap_books
from trading.specification import specify

__all__ = ["alice", "bob", "desk"]

NOON = datetime(2026, 2, 20, 12, tzinfo=timezone.utc)
PRICES = {"AAPL": "101.5", "ES": "5000"}
SPECS = {"AAPL": specify("AAPL"), "ES": specify("ES", multiplier=50)}
MULTIPLIER = {"AAPL": 1, "ES": 50}


@dataclass(frozen=True)
class Known:
    """A fill as somebody knew it from a time on; status as in the record."""

    known: datetime
    entity: str
    sequence: int
    fill: Fill
    executed: datetime
    status: str
    corrected: str = ""


@pytest.fixture
def books(desk: Desk) -> None:
    bootstrap_books(desk.admin())


def record_of(fill: Fill, executed: datetime) -> FillRecord:
    return FillRecord(
        account=fill.account,
        run="live",
        fill_id=fill.fill_id,
        order_id=fill.order_id,
        strategy=fill.strategy,
        symbol=fill.symbol,
        side=fill.side,
        fill_quantity=Decimal(fill.quantity),
        fill_price=Decimal(fill.price),
        fee_amount=Decimal(fill.fees),
        executed_at=executed,
        timestamp=NOON,
    )


def random_fill(rng: random.Random, number: int) -> tuple[Fill, datetime]:
    executed = NOON - timedelta(minutes=rng.randint(0, 600), microseconds=number)
    fill = Fill(
        *("ACC", rng.choice(("a", "b")), rng.choice(("AAPL", "ES")), f"o{number}", f"f{number}"),
        *(rng.choice(("BUY", "SELL")), rng.randint(1, 9), f"{rng.randint(9000, 9400) / 100}"),
        f"{rng.randint(0, 99) / 100}",
    )
    return fill, executed


def write_day(store: StoreClient, rng: random.Random, count: int) -> tuple[list[Known], Any]:
    """Fills in any order of their executions, with busts, corrections, and dividends."""
    log: list[Known] = []
    dividends: list[tuple[datetime, datetime, Decimal]] = []
    records: dict[str, FillRecord] = {}
    for number in range(count):
        drawn = rng.random()
        if drawn < 0.7 or not records:
            fill, executed = random_fill(rng, number)
            record = record_of(fill, executed)
            store.write(record, valid_from=executed)
            records[fill.fill_id] = record
            log.append(_known(record, number, fill, executed, "BOOKED"))
        elif drawn < 0.95:
            fill_id = rng.choice(sorted(records))
            record = records.pop(fill_id)
            before = next(e for e in log if e.entity == record._store_entity_id)
            record.status = "BUSTED"
            fill = before.fill
            if rng.random() < 0.5:
                record.status, record.corrected_id = "CORRECTED", f"k{number}"
                record.corrected_quantity = Decimal(rng.randint(1, 9))
                record.corrected_price, record.corrected_fee_amount = Decimal("92.25"), Decimal(1)
                fill = replace(fill, quantity=record.corrected_quantity, price="92.25", fees=1)
            store.update(record)
            log.append(
                _known(record, number, fill, before.executed, record.status, record.corrected_id)
            )
            if record.corrected_id and rng.random() < 0.4:
                # The correction is taken back as well: it has a record of its own.
                gone = record_of(replace(fill, fill_id=record.corrected_id), before.executed)
                gone.status = "BUSTED"
                store.write(gone)
                log.append(_known(gone, number, fill, before.executed, "BUSTED"))
        else:
            cash = CashRecord("ACC", "live", "USD", Decimal(rng.randint(1, 50)), "DIVIDEND", "AAPL")
            since = NOON - timedelta(minutes=rng.randint(0, 600))
            store.write(cash, valid_from=since)
            dividends.append((cash._store_tx_time, since, cash.amount))  # type: ignore[arg-type]
    return log, dividends


def _known(
    record: FillRecord,
    number: int,
    fill: Fill,
    executed: datetime,
    status: str,
    corrected: str = "",
) -> Known:
    assert record._store_tx_time is not None
    return Known(
        record._store_tx_time, record._store_entity_id or "", number, fill, executed, status,
        corrected,
    )  # fmt: skip


def brute_force(log: Iterable[Known], tx: datetime, valid: datetime) -> dict[Any, dict[str, Any]]:
    """Book all that was known of executions until a time into a book of lots, one by one."""
    newest: dict[str, Known] = {}
    for each in log:
        if each.known <= tx:
            newest[each.entity] = each
    own = {each.corrected for each in log if each.known <= tx and each.corrected}
    taken_back = own & _ids_with_records(log, tx)
    counted = [
        each
        for each in newest.values()
        if each.executed <= valid
        and (
            each.status == "BOOKED"
            or (each.status == "CORRECTED" and each.corrected not in taken_back)
        )
    ]
    book = LotBook(instruments=SPECS, money_decimals=10)
    first = {each.entity: each.sequence for each in reversed(list(log))}
    for each in sorted(counted, key=lambda e: (e.executed, first[e.entity])):
        book.apply(each.fill)
    found = {}
    for position in book._positions.values():
        key = position.account, "live", position.strategy, position.symbol
        price = SPECS[position.symbol].price_units(PRICES[position.symbol])
        found[key] = {
            "net": Decimal(position.net),
            "realized": book._money(position.realized),
            "unrealized": book._money(position.unrealized(price)) if position.net else Decimal(0),
            "fees": book._money(position.fees),
        }
    return found


def _ids_with_records(log: Iterable[Known], tx: datetime) -> set[str]:
    """Ids of corrections that have a record of their own, which only what is taken back has."""
    first: dict[str, Known] = {}
    for each in log:
        first.setdefault(each.entity, each)
    busted = [e for e in first.values() if e.status == "BUSTED" and e.known <= tx]
    by_number = {e.sequence: e.corrected for e in log if e.corrected}
    return {by_number[e.sequence] for e in busted if e.sequence in by_number}


def as_dict(rows: list[PnlAt]) -> dict[Any, dict[str, Any]]:
    return {
        each.key: {
            "net": each.net,
            "realized": each.realized,
            "unrealized": each.unrealized,
            "fees": each.fees,
        }
        for each in rows
        if each.fills
    }


@pytest.mark.parametrize("seed", [1, 2])
def test_two_times_against_a_brute_force(alice: StoreClient, books: None, seed: int) -> None:
    rng = random.Random(seed)
    log, dividends = write_day(alice, rng, 120)
    two = TwoTimes(alice, SPECS)
    assert {each.status for each in log} == {"BOOKED", "BUSTED", "CORRECTED"}
    moments = [rng.choice(log).known for _ in range(7)]
    for tx in (*moments, moments[0] - timedelta(microseconds=1), None):
        for valid in (NOON - timedelta(minutes=rng.randint(0, 620)), NOON, None):
            rows = two.pnl(tx, valid, prices=PRICES)
            at = tx or datetime.max.replace(tzinfo=timezone.utc)
            until = valid or datetime.max.replace(tzinfo=timezone.utc)
            assert as_dict(rows) == brute_force(log, at, until), (seed, tx, valid)
            income = sum((each.income for each in rows), Decimal(0))
            assert income == sum(
                (amount for known, since, amount in dividends if known <= at and since <= until),
                Decimal(0),
            )
            for each in rows:
                total = each.realized + each.unrealized - each.fees + each.income  # type: ignore[operator]
                assert each.total == total


def test_what_changed_since_names_the_events(alice: StoreClient, books: None) -> None:
    two = TwoTimes(alice, SPECS)
    fill, executed = Fill("ACC", "a", "AAPL", "o1", "f1", "BUY", 10, "100", "1"), NOON
    record = record_of(fill, executed)
    alice.write(record, valid_from=executed)
    order = OrderRecord("ACC", "live", "o2", status="ACCEPTED", symbol="AAPL", side="BUY")
    alice.write(order, valid_from=NOON)
    then = order._store_tx_time
    assert then is not None
    [before] = two.pnl(then, NOON, prices={"AAPL": 110})
    assert (before.net, before.unrealized, before.total) == (10, 100, 99)
    late = record_of(Fill("ACC", "a", "AAPL", "o2", "f2", "SELL", 4, "105", 0), NOON)
    alice.write(late, valid_from=NOON)
    record.status = "BUSTED"
    alice.update(record)
    alice.write(
        LimitsRecord("ACC", "live", "L1", '{"max_position":"5"}', "ann", "bob", NOON),
        valid_from=NOON,
    )
    order.status = "FILLED"
    alice.update(order, valid_from=NOON)
    found = two.changes(then, valid_time=NOON, prices={"AAPL": 110})
    by_figure = {(each.table, each.figure): each for each in found}
    net = by_figure["pnl", "net"]
    assert (net.before, net.after) == (10, -4)
    assert [(each.what, each.subject) for each in net.events] == [("FILL", "f2"), ("BUST", "f1")]
    assert net.events[1].entity_id == record._store_entity_id
    assert net.events[1].version == 2
    assert "alice" in net.line()
    assert (by_figure["pnl", "fees"].before, by_figure["pnl", "fees"].after) == (1, 0)
    status = by_figure["orders", "status"]
    assert (status.before, status.after, status.events[0].version) == ("ACCEPTED", "FILLED", 2)
    assert by_figure["limits", "limits_json"].before is None
    # What was known then stays what it was.
    assert two.pnl(then, NOON, prices={"AAPL": 110}) == [before]
    assert not two.changes(then, then, NOON, prices={"AAPL": 110})
    every = two.as_of(then, NOON, prices={"AAPL": 110})
    assert [each.status for each in every.orders] == ["ACCEPTED"]
    assert (every.positions, every.limits) == ([before], [])


def test_nobody_sees_what_the_store_does_not_show(
    desk: Desk, alice: StoreClient, bob: StoreClient, books: None
) -> None:
    record = record_of(Fill("ACC", "a", "AAPL", "o1", "f1", "BUY", 10, "100", "1"), NOON)
    with alice.batch(readers=["bob"]) as batch:
        batch.write(record, valid_from=NOON)
    hidden = record_of(Fill("ACC", "a", "AAPL", "o2", "f2", "BUY", 5, "100", "1"), NOON)
    alice.write(hidden, valid_from=NOON)
    assert [each.net for each in TwoTimes(alice).pnl()] == [15]
    assert [each.net for each in TwoTimes(bob).pnl()] == [10]
    assert TwoTimes(desk.client("carol")).pnl() == []
    assert TwoTimes(alice).pnl(account="OTHER") == []
    assert TwoTimes(alice).pnl(run="live")[0].unrealized is None
    rogue = desk.login("mallory")
    with rogue.cursor() as cursor:
        for statement in ("SELECT * FROM trading_books.fill", "SELECT trading_books.rebuild()"):
            with pytest.raises(Exception, match="permission denied"):
                cursor.execute(statement)
            rogue.rollback()


def test_what_others_share_under_the_same_names_is_none_of_an_owners(
    alice: StoreClient, bob: StoreClient, books: None
) -> None:
    alice.write(LimitsRecord("ACC", "live", "l1", "{}"), valid_from=NOON)
    real = record_of(Fill("ACC", "a", "AAPL", "o1", "f1", "BUY", 10, "100", "1"), NOON)
    alice.write(real, valid_from=NOON)
    with bob.batch(readers=["alice"]) as batch:
        for strategy in ("a", "forged"):
            fill = Fill("ACC", strategy, "AAPL", "o2", f"f-{strategy}", "SELL", 90, "1", "50")
            batch.write(record_of(fill, NOON), valid_from=NOON)
        batch.write(
            CashRecord("ACC", "live", "USD", Decimal(7), "DIVIDEND", "AAPL", NOON),
            valid_from=NOON,
        )
        batch.write(LimitsRecord("ACC", "live", "l2", "{}"), valid_from=NOON)
    everything, owned = TwoTimes(alice), TwoTimes(alice, owner="alice")
    assert len(everything.pnl()) > 1
    assert [(each.strategy, each.net) for each in owned.pnl()] == [("a", 10)]
    assert len(everything.as_of().limits) == 2
    assert [each.limits_id for each in owned.as_of().limits] == ["l1"]
    keys = {each.key for each in owned.changes(NOON) if each.table == "pnl"}
    assert keys == {("ACC", "live", "a", "AAPL")}
    assert TwoTimes(alice, owner="bob").pnl(account="ACC")


def test_books_are_made_of_what_there_was_and_a_bad_record_stops_nobody(
    desk: Desk, alice: StoreClient
) -> None:
    with pytest.raises(ReplayError, match="bootstrap_books"):
        TwoTimes(alice).pnl()
    record = record_of(Fill("ACC", "a", "AAPL", "o1", "f1", "BUY", 10, "100", "1"), NOON)
    alice.write(record, valid_from=NOON)
    bootstrap_books(desk.admin())
    bootstrap_books(desk.admin())
    assert [each.net for each in TwoTimes(alice).pnl()] == [10]
    alice.delete(record)
    assert TwoTimes(alice).pnl() == []
    with pytest.raises(ReplayError, match="no time zone"):
        TwoTimes(alice).pnl(datetime(2026, 1, 1))


def test_a_correction_is_recorded_with_its_numbers() -> None:
    """The engine's record of a corrected fill says what the correction was."""
    tape, recipe = venue_day(6, 60)
    entries = [
        Entry(encode(each.to_batch() if isinstance(each, TickColumns) else each))  # type: ignore[arg-type]
        for each in (*tape.opening, *tape.pieces)
    ]
    recorded = RecordedRun("ACC", "live", (Group(1, entries, [], 0, "", 1),))
    changes = fold_with_records(recorded, recipe, 1).changes
    corrected = [
        each.fields for each in changes if each.kind == "FillRecord" and each.fields["corrected_id"]
    ]
    told = {each.corrected_id: each for each in tape.pieces if isinstance(each, FillCorrected)}
    busted = [each for each in tape.pieces if isinstance(each, FillBusted)]
    assert corrected
    assert busted
    for fields in corrected:
        report = told[fields["corrected_id"]]
        assert Decimal(str(fields["corrected_quantity"])) == report.quantity
        assert Decimal(str(fields["corrected_price"])) == Decimal(report.price) / 100


def test_books_of_an_earlier_version_are_updated(desk: Desk, alice: StoreClient) -> None:
    admin = desk.admin()
    step = (files("trading.replay") / "sql" / "0001_books.sql").read_text(encoding="utf-8")
    with admin.cursor() as cursor:
        cursor.execute(f"BEGIN; CREATE SCHEMA trading_books AUTHORIZATION {OWNER}")
        cursor.execute(f"SET LOCAL ROLE {OWNER}; {step}; SELECT trading_books.rebuild()")
        cursor.execute("COMMENT ON SCHEMA trading_books IS '1'; COMMIT")
    record = record_of(Fill("ACC", "a", "AAPL", "o1", "f1", "BUY", 10, "100", "1"), NOON)
    alice.write(record, valid_from=NOON)
    [before] = alice.query(FillRecord)
    record.status = "BUSTED"
    alice.update(record)
    alice.write(record_of(Fill("ACC", "a", "AAPL", "o2", "f2", "SELL", 4, "101", 0), NOON))
    bootstrap_books(admin)
    bootstrap_books(admin)
    two = TwoTimes(alice)
    assert [(each.net, each.fills) for each in two.pnl()] == [(-4, 1)]
    assert [(each.net, each.fees) for each in two.pnl(before._store_tx_time)] == [(10, 1)]
    with admin.cursor() as cursor:
        cursor.execute("COMMENT ON SCHEMA trading_books IS '99'")
    with pytest.raises(ReplayError, match="of version 99, this program knows 2"):
        bootstrap_books(admin)


def test_blocks_are_made_while_several_write(desk: Desk, alice: StoreClient, books: None) -> None:
    """Transactions that end in another order than they began are in one block or the next."""
    with desk.admin().cursor() as cursor:
        cursor.execute(
            "CREATE OR REPLACE FUNCTION trading_books.block_versions() RETURNS integer "
            "LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT 4 $$"
        )

    def write(name: str) -> None:
        client, rng = desk.client("alice"), random.Random(name)
        for number in range(8):
            with client.batch() as batch:
                for of_batch in range(rng.randint(1, 4)):
                    fill, executed = random_fill(rng, number * 10 + of_batch)
                    fill = replace(fill, fill_id=f"{name} {number} {of_batch}")
                    batch.write(record_of(fill, executed), valid_from=executed)
                time.sleep(rng.random() / 200)
            [drawn, *_] = client.query(FillRecord, {"fill_id": f"{name} {number} 0"})
            if rng.random() < 0.4:
                drawn.status = "BUSTED"
                client.update(drawn)

    at_once([partial(write, name) for name in ("one", "two", "three")])
    with desk.admin().cursor() as cursor:
        cursor.execute("SELECT count(*), sum(fills) FROM trading_books.cell")
        assert cursor.fetchone()[0] > 0
    versions = [
        each
        for entity in alice.query(FillRecord, limit=None)
        for each in alice.history(FillRecord, entity._store_entity_id or "")
    ]
    moments = random.Random(1).choices([each._store_tx_time for each in versions], k=4)
    for tx in (*moments, None):
        net: dict[Any, Decimal] = {}
        for entity in alice.query(FillRecord, limit=None, tx_time=tx):
            if entity.status == "BOOKED":
                key = ("ACC", "live", entity.strategy, entity.symbol)
                sign = 1 if entity.side == "BUY" else -1
                net[key] = net.get(key, Decimal(0)) + sign * entity.fill_quantity
        assert {each.key: each.net for each in TwoTimes(alice).pnl(tx)} == net


def test_what_is_no_number_is_set_aside(desk: Desk, alice: StoreClient, books: None) -> None:
    """A login's own records in the log: no sum is spoiled, and no write is refused."""
    login = desk.login("alice")
    good = {
        "account": "ACC", "run": "live", "strategy": "a", "symbol": "AAPL", "side": "BUY",
        "fill_quantity": "10", "fill_price": "1", "fee_amount": "0", "status": "BOOKED",
        "executed_at": NOON.isoformat(), "fill_id": "f1", "order_id": "o1",
    }  # fmt: skip
    odd: list[dict[str, str]] = [
        {"fill_quantity": "NaN"}, {"fill_price": "Infinity"}, {"fee_amount": "-Infinity"},
        {"executed_at": "infinity"}, {"executed_at": "200000-01-01"}, {"fill_quantity": "ten"},
    ]  # fmt: skip
    with login.cursor() as cursor:
        for changed in ({}, *odd):
            cursor.execute(
                "SELECT object_store.append('CREATED', gen_random_uuid(), NULL, %s, %s, NULL, "
                "NULL, NULL, NULL, NULL)",
                ("trading.engine.records.FillRecord", json.dumps({**good, **changed})),
            )
        login.commit()
    assert [(each.net, each.fills) for each in TwoTimes(alice).pnl()] == [(10, 1)]
    with desk.admin().cursor() as cursor:
        cursor.execute("SELECT count(*) FROM trading_books.unreadable")
        assert cursor.fetchone() == (len(odd),)
