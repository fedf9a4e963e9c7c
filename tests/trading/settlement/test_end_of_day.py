"""The end of a day on a real store: once, also when it is killed; and again when more is known."""

from __future__ import annotations

import json
import os
import random
import signal
import sys
from collections.abc import Iterator
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from store.client import StoreClient
from store.server import ObjectStoreServer
from tests.processes import Process, at_once, wait_until
from tests.store.desk import ADMIN_PASSWORD, Desk, password_of
from tests.store.fixtures import alice, desk
from tests.trading.engine.test_engine import AAPL, engine_of, tick
from tests.trading.settlement.closing import KILLS
from tests.trading.verified import await_verified
from trading.engine import FillRecord, TradingEngine
from trading.errors import SettlementError
from trading.journal.inputs import Bar, SplitShares
from trading.journal.reports import FillBusted, FillCorrected, OrderFilled
from trading.kernel import Settings
from trading.settlement import (
    DayMark,
    DayPnl,
    DayReport,
    EndOfDay,
    SettlementObligation,
)
from trading.times import MINUTE, nanoseconds
from workflow import MemoryEngine

__all__ = ["alice", "desk"]

RUN = "paper:test"
# A place where it is about noon: no midnight falls into a test, whenever it is run.
ZONE = f"Etc/GMT{datetime.now(timezone.utc).hour - 12:+d}"
PLACE = ZoneInfo(ZONE)
TODAY = datetime.now(PLACE).date()
YESTERDAY = TODAY - timedelta(days=1)
BEFORE = TODAY - timedelta(days=2)
# Random fills by default; the nightly profile has many more.
FILLS = 30 if os.environ.get("HYPOTHESIS_PROFILE") != "nightly" else 500
# Executions of the day before yesterday can still be busted, also once their lots are closed.
SETTINGS = Settings(bar_interval=0, bust_memory=5 * 1_440 * MINUTE, order_memory=15 * MINUTE)


def noon(day: date) -> int:
    return nanoseconds(datetime(day.year, day.month, day.day, 12, tzinfo=PLACE))


def fill(
    engine: TradingEngine,
    fill_id: str,
    side: int,
    quantity: int,
    price: str,
    day: date,
    strategy: str = "trend",
    fees: str = "0",
) -> None:
    """An execution that the market made on a day, whenever we hear of it."""
    engine.command(
        OrderFilled(
            0,
            "ACC",
            f"order of {fill_id}",
            fill_id,
            quantity,
            AAPL.price_units(price),
            int(Decimal(fees) * 10**10),
            noon(day),
            side=side,
            symbol="AAPL",
            strategy=strategy,
        )
    )


@pytest.fixture
def engine(alice: StoreClient) -> Iterator[TradingEngine]:
    with engine_of(alice, settings=SETTINGS) as made:
        yield made


@pytest.fixture
def workflows() -> Iterator[MemoryEngine]:
    with MemoryEngine() as made:
        yield made


@pytest.fixture
def closing(alice: StoreClient, workflows: MemoryEngine, tmp_path: Path) -> EndOfDay:
    return EndOfDay(alice, workflows, tmp_path, zone=ZONE)


def pnl(store: StoreClient, day: date) -> dict[str, tuple[Decimal, Decimal, Decimal | None]]:
    return {
        each.strategy: (each.realized_amount, each.fee_amount, each.day_amount)
        for each in store.query(DayPnl, {"business_day": day})
    }


def test_a_day_is_closed_once(
    alice: StoreClient, engine: TradingEngine, closing: EndOfDay, tmp_path: Path
) -> None:
    fill(engine, "f1", 1, 10, "100", BEFORE, fees="1.50")
    fill(engine, "f2", -1, 4, "103", YESTERDAY, fees="0.50")
    fill(engine, "f3", 1, 5, "101", YESTERDAY, "carry")
    first = closing.close("ACC", RUN, BEFORE, {"AAPL": "101"})
    assert (first._store_state, first.report_revision, first.fills_count) == ("REPORTED", 1, 1)
    assert (first.cash_amount, first.market_amount) == (Decimal("98998.5"), 1010)
    assert (first.equity_amount, first.day_amount) == (Decimal("100008.5"), Decimal("8.5"))
    second = closing.close("ACC", RUN, YESTERDAY, {"AAPL": "104"})
    assert (second.realized_amount, second.fee_amount) == (12, 2)
    assert second.equity_amount == 100_000 + 12 + 6 * 4 + 5 * 3 - 2
    assert second.day_amount == (second.equity_amount or 0) - (first.equity_amount or 0)
    assert second.difference_text == ""
    assert pnl(alice, YESTERDAY) == {
        "trend": (12, 2, Decimal("25.5")),
        "carry": (0, 0, 15),
    }
    # Again, with nothing new: nothing is written.
    again = closing.close("ACC", RUN, YESTERDAY, {"AAPL": "104"})
    assert (again._store_version, again.report_revision) == (second._store_version, 1)
    assert alice.count(DayReport) == 2
    text = (tmp_path / second.report_file.replace("html", "txt")).read_text()
    assert text == second.report_text
    page = (tmp_path / second.report_file).read_text()
    for expected in ("revision 1", "carry", "25.50", "104", "trend"):
        assert expected in page
    assert sorted(each.name for each in tmp_path.iterdir()) == sorted(
        name
        for each in (first, second)
        for name in (each.report_file, each.report_file.replace("html", "txt"))
    )


def test_late_fills_busts_and_corrections_give_new_versions(
    alice: StoreClient, engine: TradingEngine, closing: EndOfDay
) -> None:
    marks = {"AAPL": "100"}
    fill(engine, "f1", 1, 10, "100", YESTERDAY)
    fill(engine, "f2", -1, 10, "101", YESTERDAY)
    fill(engine, "f3", 1, 3, "100", YESTERDAY)
    first = closing.close("ACC", RUN, YESTERDAY, marks)
    assert (first.realized_amount, first.fills_count) == (10, 3)
    today = closing.close("ACC", RUN, TODAY, marks)
    assert (today.day_amount, today.report_revision) == (0, 1)
    # A fill that nobody had told of yet.
    fill(engine, "f4", -1, 3, "102", YESTERDAY)
    late = closing.close("ACC", RUN, YESTERDAY, marks)
    assert (late.realized_amount, late.fills_count, late.report_revision) == (16, 4, 2)
    assert late._store_entity_id == first._store_entity_id
    engine.command(FillBusted(0, "ACC", "f2", "erroneous"))
    # 10 bought at 100 and 3 at 100 are left, less 3 sold at 102.
    busted = closing.close("ACC", RUN, YESTERDAY, marks)
    assert (busted.realized_amount, busted.fills_count, busted.report_revision) == (6, 3, 3)
    engine.command(FillCorrected(0, "ACC", "f4", "f4c", 3, AAPL.price_units("103"), 0))
    corrected = closing.close("ACC", RUN, YESTERDAY, marks)
    assert (corrected.realized_amount, corrected.report_revision) == (9, 4)
    assert corrected.difference_text == ""
    assert engine.status().positions == {"AAPL": 10}
    # One record each, with a version for what was said each time.
    [record] = alice.query(DayPnl, {"business_day": YESTERDAY})
    history = alice.history(DayPnl, record._store_entity_id or "")
    assert [each.realized_amount for each in history] == [10, 16, 6, 9]
    assert [each.report_revision for each in history] == [1, 2, 3, 4]
    assert alice.count(DayMark, {"business_day": YESTERDAY}) == 1
    assert alice.count(SettlementObligation, {"business_day": YESTERDAY}) == 1
    # The day after follows: its report stood on another one.
    after = closing.close("ACC", RUN, TODAY, marks)
    assert (after.report_revision, after.day_amount) == (2, 0)
    await_verified(engine)
    then = alice.as_of(DayReport, first._store_entity_id or "", tx_time=first._store_tx_time)
    assert then is not None
    assert (then.realized_amount, then.report_revision) == (10, 1)


def test_settlement_days(alice: StoreClient, engine: TradingEngine, closing: EndOfDay) -> None:
    long_ago = TODAY - timedelta(days=20)
    fill(engine, "f1", 1, 10, "100", long_ago, fees="2")
    fill(engine, "f2", -1, 4, "101", long_ago)
    first = closing.close("ACC", RUN, long_ago, {"AAPL": "100"})
    [owed] = alice.query(SettlementObligation)
    assert (owed.net_quantity, owed.due_amount, owed._store_state) == (6, -598, "PENDING")
    assert owed.settlement_day is not None
    assert owed.settlement_day > long_ago
    assert owed.settlement_day.weekday() < 5
    assert first.due_amount == -598
    last = closing.close("ACC", RUN, owed.settlement_day, {"AAPL": "100"})
    assert last.due_amount == 0
    assert "SETTLED" in last.report_text
    history = alice.history(SettlementObligation, owed._store_entity_id or "")
    assert [each._store_state for each in history] == ["PENDING", "SETTLED"]


def test_a_missing_price_is_no_price(
    alice: StoreClient, engine: TradingEngine, closing: EndOfDay
) -> None:
    fill(engine, "f1", 1, 10, "100", YESTERDAY)
    tick(engine, "107")  # today: it is not of yesterday
    with pytest.raises(SettlementError, match=r"no price of AAPL .* give the mark"):
        closing.close("ACC", RUN, YESTERDAY)
    [report] = alice.query(DayReport)
    assert (report._store_state, report.equity_amount) == ("OPEN", None)
    assert closing.close("ACC", RUN, TODAY).market_amount == 1_070
    assert closing.close("ACC", RUN, YESTERDAY, {"AAPL": "101"}).market_amount == 1_010
    with pytest.raises(SettlementError, match="sees no journal"):
        closing.close("ACC", "paper:other", YESTERDAY)


def test_a_split_changes_lots_not_cost(
    alice: StoreClient, engine: TradingEngine, closing: EndOfDay
) -> None:
    fill(engine, "f1", 1, 10, "100", YESTERDAY)
    engine.command(SplitShares(0, "AAPL", 2, 1))
    report = closing.close("ACC", RUN, TODAY, {"AAPL": "55"})
    assert (report.market_amount, report.unrealized_amount) == (1_100, 100)
    assert report.difference_text == ""
    assert closing.close("ACC", RUN, YESTERDAY, {"AAPL": "100"}).market_amount == 1_000


def test_positions_that_fills_do_not_explain_are_named(
    alice: StoreClient, engine: TradingEngine, closing: EndOfDay
) -> None:
    fill(engine, "f1", 1, 10, "100", YESTERDAY)
    [record] = alice.query(FillRecord)
    record.fill_quantity = Decimal(9)
    alice.update(record, valid_from=record.executed_at)
    report = closing.close("ACC", RUN, TODAY, {"AAPL": "100"})
    assert report.difference_text == "AAPL of trend: fills give 9, the engine has 10"
    assert "DIFFERENCES: AAPL" in report.report_text


def test_two_that_close_a_day_at_once_make_one_report(
    desk: Desk, alice: StoreClient, engine: TradingEngine, workflows: MemoryEngine, tmp_path: Path
) -> None:
    fill(engine, "f1", 1, 10, "100", YESTERDAY)
    one = EndOfDay(alice, workflows, tmp_path, zone=ZONE)
    reports = at_once([lambda: one.close("ACC", RUN, YESTERDAY, {"AAPL": "100"})] * 4)
    assert {each.report_revision for each in reports} == {1}
    assert alice.count(DayReport) == alice.count(DayPnl) == alice.count(DayMark) == 1
    assert alice.count(SettlementObligation) == 1


def test_days_are_closed_by_the_clock(
    alice: StoreClient, engine: TradingEngine, closing: EndOfDay, workflows: MemoryEngine
) -> None:
    fill(engine, "f1", 1, 10, "100", YESTERDAY)
    tick(engine, "100")
    closing.schedule("ACC", RUN, "50 23 * * *")
    workflows.advance(2 * 86_400)

    def is_closed() -> bool:
        reports = alice.query(DayReport)
        return len(reports) >= 2 and {each._store_state for each in reports} == {"REPORTED"}

    wait_until(is_closed, 120, "two reports")
    days = [each.business_day for each in alice.query(DayReport)]
    assert len(days) == len(set(days))
    assert YESTERDAY not in days


def closed_by(
    server: ObjectStoreServer, desk: Desk, directory: Path, kill: str = ""
) -> tuple[int, str]:
    """Close yesterday in a process of its own; its exit status and what it said."""
    host, port, dbname = (desk.info[each] for each in ("host", "port", "dbname"))
    config = {
        "store": {"user": "alice", "password": password_of("alice"), **desk.info},
        "url": f"postgresql://postgres:{ADMIN_PASSWORD.replace(' ', '%20')}@{host}:{port}/{dbname}",
        "directory": str(directory),
        "run": RUN,
        "day": YESTERDAY.isoformat(),
        "zone": ZONE,
        "kill": kill,
    }
    process = Process(sys.executable, "-m", "tests.trading.settlement.closing", json.dumps(config))
    status = process.wait(300)
    return status, process.output


def check_once(store: StoreClient, directory: Path) -> None:
    """Everything is there once, whatever happened on the way."""
    [report] = store.query(DayReport)
    history = store.history(DayReport, report._store_entity_id or "")
    states = [each._store_state for each in history]
    assert states == ["NEW", "OPEN", "MARKED", "BOOKED", "REPORTED"]
    assert (report.report_revision, report.equity_amount, report.day_amount) == (1, 100_004, 4)
    for cls in (DayPnl, DayMark, SettlementObligation):
        [record] = store.query(cls)
        assert record._store_version == 1
    names = sorted(each.name for each in directory.iterdir() if not each.name.startswith("."))
    assert names == sorted([report.report_file, report.report_file.replace("html", "txt")])
    assert (directory / report.report_file.replace("html", "txt")).read_text() == report.report_text


def killed_and_closed(
    kills: list[str], server: ObjectStoreServer, desk: Desk, store: StoreClient, folder: Path
) -> None:
    with engine_of(store, settings=SETTINGS) as engine:
        fill(engine, "f1", 1, 10, "100", YESTERDAY)
        fill(engine, "f2", -1, 4, "101", YESTERDAY)
        tick(engine, "100")
    for kill in kills:
        status, said = closed_by(server, desk, folder, kill)
        assert status == -signal.SIGKILL, said
    status, said = closed_by(server, desk, folder)
    assert status == 0, said
    assert "REPORTED 1 100004." in said
    check_once(store, folder)


def _with_bar(store: StoreClient) -> None:
    """Let the journal have a price of yesterday."""
    with engine_of(store, settings=SETTINGS) as engine:
        end = noon(YESTERDAY)
        price = AAPL.price_units("100")
        engine.command(Bar(0, "AAPL", MINUTE, end - MINUTE, end, price, price, price, price, 100))


def test_killed_between_steps_each_is_done_once(
    store_server: ObjectStoreServer, desk: Desk, alice: StoreClient, tmp_path: Path
) -> None:
    """A process dies with a step committed and its end not kept; the next one finishes the day."""
    _with_bar(alice)
    killed_and_closed(["after _book"], store_server, desk, alice, tmp_path)


@pytest.mark.long
@pytest.mark.parametrize("kill", [*KILLS, "one after the other"])
def test_killed_at_each_step(
    kill: str, store_server: ObjectStoreServer, desk: Desk, alice: StoreClient, tmp_path: Path
) -> None:
    _with_bar(alice)
    kills = KILLS if kill not in KILLS else [kill]
    killed_and_closed(kills, store_server, desk, alice, tmp_path)


def test_random_fills_give_what_the_engine_has(
    alice: StoreClient, engine: TradingEngine, closing: EndOfDay
) -> None:
    seed = random.randrange(2**32)
    print("seed", seed)  # noqa: T201 - to run it again
    chance = random.Random(seed)
    for number in range(FILLS):
        day = chance.choice((BEFORE, YESTERDAY))
        fill(
            engine,
            f"f{number}",
            chance.choice((-1, 1)),
            chance.randint(1, 20),
            f"{chance.randint(9_000, 11_000) / 100:.2f}",
            day,
            chance.choice(("trend", "carry")),
            f"{chance.randint(-10, 99) / 100:.2f}",
        )
    tick(engine, "100")
    for number in chance.sample(range(FILLS), 5):
        engine.command(FillBusted(0, "ACC", f"f{number}", "x"))
    report = closing.close("ACC", RUN, TODAY)
    assert report.difference_text == ""
    assert report.cash_amount == engine.status().cash["USD"]
    assert report.fills_count == FILLS - 5
    days: list[Any] = [
        closing.close("ACC", RUN, day, {"AAPL": "99"}) for day in (BEFORE, YESTERDAY)
    ]
    whole = closing.close("ACC", RUN, TODAY)
    assert sum(each.day_amount for each in (*days, whole)) == (whole.equity_amount or 0) - 100_000
