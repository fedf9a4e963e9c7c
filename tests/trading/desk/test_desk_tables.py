"""What engines wrote to the store, and what the market tells, in Deephaven's tables of a desk."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import TYPE_CHECKING, Any, TypeVar

import pyarrow as pa
import pytest

from bridge import StoreBridge
from publishing import Publisher
from store.client import StoreClient
from store.permissions import share_read
from store.schema import provision_user
from tests.processes import free_port, wait_until
from tests.store.desk import ADMIN_PASSWORD, Desk, password_of
from tests.trading.desk.test_market_tables import rows_of
from trading.desk.live_market import Topic
from trading.desk.option_board import SimulatedOptions
from trading.engine.records import (
    AlertRecord,
    DecisionRecord,
    FillRecord,
    LimitsRecord,
    MatchRecord,
    OrderRecord,
    PositionRecord,
    SignalRecord,
    TradingStateRecord,
)
from trading.processes.config import AccountConfig, DeskConfig
from trading.processes.market import CHAIN
from trading.processes.publishing import LinkServer
from trading.ticks import TickStore
from trading.ticks.bar_store import BarRecipe

if TYPE_CHECKING:
    from server.trading_server import TradingServer

T = TypeVar("T")
NOW = datetime.now(timezone.utc)
OF = {"account": "ALPHA", "run": "paper:a"}
BY = {**OF, "strategy": "s1", "symbol": "AAPL"}
KEY, PASSWORD = "k" * 32, "a password of the market"


@pytest.fixture
def engine(trading_server: TradingServer) -> TradingServer:
    """Deephaven runs, and this thread may make tables."""
    return trading_server


@pytest.fixture
def publisher(engine: TradingServer) -> Iterator[Publisher]:
    with Publisher() as publishing:
        yield publishing


def desk_config(desk: Desk, **ports: int) -> DeskConfig:
    return DeskConfig(
        directory="/nowhere",
        store=desk.info,
        logins={"desk_market": PASSWORD},
        link_key=KEY,
        metrics_token="",
        ports=ports,
        symbols={"AAPL": "230"},
        accounts=(AccountConfig("ALPHA"),),
        timeframes=("5s",),
    )


def records() -> list[Any]:
    """A desk that has bought, sold half, and was denied an order; and a twin that trades too."""
    second = timedelta(seconds=1)
    twin = {**BY, "run": "twin:ALPHA"}
    limits: dict[str, Any] = {
        "max_gross_exposure": "4000",
        "max_daily_loss": None,
        "symbols": ["AAPL", "MSFT"],
    }
    limits |= {"order_window": 10**9, "max_orders": None, "flatten_on_halt": False}
    return [
        OrderRecord(**BY, order_id="o1", side="BUY", status="FILLED", timestamp=NOW),
        # Still open, and older than what the screens look back on.
        OrderRecord(**BY, order_id="o0", status="ACCEPTED", timestamp=NOW - timedelta(days=9)),
        OrderRecord(**BY, order_id="old", status="FILLED", timestamp=NOW - timedelta(days=9)),
        FillRecord(**BY, fill_id="f1", order_id="o1", side="BUY", timestamp=NOW, executed_at=NOW),
        PositionRecord(
            **BY,
            net_quantity=Decimal(10),
            cost_amount=Decimal(2000),
            realized_amount=Decimal(50),
            fee_amount=Decimal(3),
            timestamp=NOW,
        ),
        PositionRecord(**twin, net_quantity=Decimal(5), cost_amount=Decimal(900), timestamp=NOW),
        # Two contracts of 50 units each, bought at 4000.
        PositionRecord(
            **{**BY, "run": "paper:f", "symbol": "ES=F"},
            net_quantity=Decimal(2),
            cost_amount=Decimal(400_000),
            timestamp=NOW,
        ),
        MatchRecord(
            **{**BY, "run": "paper:f", "symbol": "ES=F"},
            direction="SHORT",
            match_quantity=Decimal(3),
            open_order_id="o1",
            close_order_id="o2",
            open_fill_id="f1",
            close_fill_id="f2",
            open_amount=Decimal(615_000),
            close_amount=Decimal(600_000),
            timestamp=NOW,
        ),
        MatchRecord(
            **BY,
            direction="LONG",
            match_quantity=Decimal(10),
            open_order_id="o1",
            close_order_id="o2",
            open_fill_id="f1",
            close_fill_id="f2",
            open_amount=Decimal(2000),
            close_amount=Decimal(2050),
            open_fee_amount=Decimal(1),
            close_fee_amount=Decimal(2),
            realized_amount=Decimal(50),
            timestamp=NOW,
        ),
        SignalRecord(**BY, signal_id="g1", signal_action="BUY", timestamp=NOW),
        SignalRecord(**BY, signal_id="g2", signal_action="SELL", timestamp=NOW + second),
        DecisionRecord(
            **OF, decision_kind="PICKER", subject_id="g1", decision_code="OK", timestamp=NOW
        ),
        DecisionRecord(
            **OF,
            decision_kind="WEIGHT",
            subject_id="s1",
            decision_code="OK",
            decided_quantity=Decimal("0.4"),
            timestamp=NOW + second,
        ),
        DecisionRecord(
            **OF,
            decision_kind="WEIGHT",
            subject_id="s1",
            decision_code="OK",
            decided_quantity=Decimal("0.6"),
            timestamp=NOW,
        ),
        LimitsRecord(**OF, limits_id="l1", limits_json=json.dumps(limits), timestamp=NOW),
        TradingStateRecord(**OF, trading_state="REDUCING", state_reason="quiet", timestamp=NOW),
        AlertRecord(**OF, alert_code="LATE", alert_message="a fill came late", timestamp=NOW),
    ]


def made(engine: TradingServer, make: Callable[[], T]) -> T:
    """Make tables in a thread of its own: each operation on a table looks through the stack."""

    def in_context() -> T:
        with engine.context:
            return make()

    with ThreadPoolExecutor(1) as maker:
        return maker.submit(in_context).result()


@pytest.mark.timeout(900)
def test_records_of_engines_are_the_tables_of_a_desk(
    desk: Desk, engine: TradingServer, publisher: Publisher
) -> None:
    from trading.desk.desk_tables import make_desk_tables, register
    from trading.processes.deephaven import LotRows

    alice, bob = desk.client("alice"), desk.client("bob")
    assert len(alice.write_many(records())) == 17
    # Anybody can write a record of these classes and share it.
    forged = bob.write(PositionRecord(**BY, net_quantity=Decimal(99), timestamp=NOW))
    share_read(bob.conn, forged, "alice")
    login = {"user": "alice", "password": password_of("alice"), **desk.info}
    bridge = StoreBridge(**login, subscriber_id=None)

    def make() -> tuple[LotRows, dict[str, Any]]:
        register(bridge, NOW - timedelta(days=1))
        bridge.start("present")
        prices = publisher.table("p", {"Symbol": str, "Price": float}, keys="Symbol")
        prices.write_row("AAPL", 210.0)
        prices.write_row("ES=F", 4_010.0)
        lots = LotRows(publisher, desk_config(desk))
        multipliers = {"AAPL": 1.0, "ES=F": 50.0}
        return lots, make_desk_tables(
            bridge, prices.live(), lots.table, owner="alice", multipliers=multipliers
        )

    try:
        lots, tables = made(engine, make)
        assert bridge.flush()
        assert publisher.flush()
        made(engine, lambda: _look_at(tables))
        made(engine, lambda: _goes_flat(alice, bridge, tables))
        made(engine, lambda: _lots_close(lots, publisher, tables))
    finally:
        bridge.stop()


def _look_at(tables: dict[str, Any]) -> None:
    assert [row["OrderId"] for row in rows_of(tables["orders"], "OrderId")] == ["o0", "o1"]
    assert [row["FillId"] for row in rows_of(tables["exec_report_history"], "FillId")] == ["f1"]
    rollup = rows_of(tables["open_positions_rollup"], "Run")
    assert [(r["Run"], r["Side"], r["NetQty"], r["AvgPrice"]) for r in rollup] == [
        ("paper:a", "LONG", 10.0, 200.0),
        ("paper:f", "LONG", 2.0, 4_000.0),
        ("twin:ALPHA", "LONG", 5.0, 180.0),
    ]
    unrealized = rows_of(tables["unrealized_pnl_latest"], "Run")
    assert [row["UnrealizedPnl"] for row in unrealized] == [100.0, 1_000.0, 150.0]
    assert [row["MarketValue"] for row in unrealized] == [2_100.0, 401_000.0, 1_050.0]
    match, future = rows_of(tables["trade_match_history"], "Run")
    assert (future["BuyPrice"], future["SellPrice"]) == (4_000.0, 4_100.0)
    assert (match["MatchId"], match["BuyOrderId"], match["SellOrderId"]) == ("f2:f1", "o1", "o2")
    assert (match["BuyPrice"], match["SellPrice"], match["Fees"]) == (200.0, 205.0, 3.0)
    (signal,) = rows_of(tables["strategy_signal_latest"], "Symbol")
    assert (signal["Action"], signal["SignalId"]) == ("SELL", "g2")
    (accepted,) = rows_of(tables["accepted_trade_signal_history"], "Ts")
    assert (accepted["StrategyId"], accepted["Action"]) == ("s1", "BUY")
    # Of two weights the later one, in whatever order they were written.
    (weight,) = rows_of(tables["strategy_weights_latest"], "StrategyId")
    assert weight["Weight"] == 0.4
    performance = {row["Run"]: row for row in rows_of(tables["strategy_perf_latest"], "Run")}
    assert (performance["paper:a"]["Trades"], performance["paper:a"]["NetPnl"]) == (1, 47.0)
    account = rows_of(tables["account_summary"], "Run")[0]
    assert (account["State"], account["GrossExposure"], account["NetPnl"]) == (
        "REDUCING",
        2100.0,
        147.0,
    )
    limits = {row["Limit"]: row for row in rows_of(tables["limits"], "Limit")}
    assert set(limits) == {"max_gross_exposure", "symbols"}
    assert (limits["max_gross_exposure"]["Value"], limits["max_gross_exposure"]["UsedPct"]) == (
        4000.0,
        52.5,
    )
    assert limits["symbols"]["Value"] is None
    assert [row["Code"] for row in rows_of(tables["alerts"], "Ts")] == ["LATE"]


def _goes_flat(alice: StoreClient, bridge: StoreBridge, tables: dict[str, Any]) -> None:
    """A position that is flat is gone from the rollup, and what it earned is not."""
    (position,) = [
        p for p in alice.query(PositionRecord, {"run": "paper:a"}) if p.net_quantity == 10
    ]
    position.net_quantity, position.cost_amount = Decimal(0), Decimal(0)
    alice.update(position)
    assert bridge.flush()
    wait_until(lambda: tables["open_positions_rollup"].size == 2, 60, "a rollup without it")
    earned = rows_of(tables["realized_pnl_latest"], "Run")
    assert [row["RealizedPnl"] for row in earned] == [50.0, 0.0, 0.0]


def _lots_close(lots: Any, publisher: Publisher, tables: dict[str, Any]) -> None:
    lot = {
        **{"AccountId": "ALPHA", "Run": "paper:a", "StrategyId": "s1", "Symbol": "AAPL"},
        **{"LotId": "o1#f1", "Side": "LONG", "QtyOpen": 10.0, "QtyRem": 10.0, "AvgPrice": 200.0},
        **{"TsOpen": time.time_ns(), "TsUpdated": time.time_ns()},
    }
    shown = tables["open_positions_lots"]
    lots.take([lot, {**lot, "LotId": "o2#f2"}])
    assert publisher["lots"].flush()
    wait_until(lambda: shown.size == 2, 60, "two lots")
    lots.take([{**lot, "LotId": "o2#f2", "QtyRem": 4.0}])
    assert publisher["lots"].flush()
    wait_until(lambda: shown.size == 1, 60, "one lot")
    assert [(row["LotId"], row["QtyRem"]) for row in rows_of(shown, "LotId")] == [("o2#f2", 4.0)]


def _packed(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    packed: bytes = sink.getvalue().to_pybytes()
    return packed


def _bar(start: int, close: float, state: str) -> pa.Table:
    stamps = pa.timestamp("ns", "UTC")
    return pa.table(
        {
            "symbol": ["AAPL"],
            "start": pa.array([start], stamps),
            "end": pa.array([start + 5 * 10**9], stamps),
            **{name: [close] for name in ("open", "high", "low", "close", "volume", "vwap")},
            **{"count": [1], "state": [state], "version": [1]},
        }
    )


@pytest.mark.timeout(900)
def test_the_market_is_followed_and_what_was_missed_is_loaded(
    desk: Desk, engine: TradingServer, publisher: Publisher
) -> None:
    from trading.processes.market_screens import MarketScreens

    config = desk_config(desk, market=free_port())
    provision_user(desk.admin(), "desk_market", PASSWORD)
    admin = {"user": "postgres", "password": ADMIN_PASSWORD, **desk.info}
    with TickStore(admin) as ticks:
        ticks.grant("desk_market", write=True)
        start = time.time_ns() // 10**10 * 10**10
        kept = _bar(start, 229.0, "final")
        ticks.append(
            pa.table(
                {
                    "timestamp": pa.array([start], pa.timestamp("ns", "UTC")),
                    **{"symbol": ["AAPL"], "price": [229.0], "size": [1.0]},
                }
            ),
            source="simulated",
        )
        ticks.bars.keep(kept, BarRecipe("5s", None, "simulated"))
    server = LinkServer(config.ports["market"], KEY).start()

    def make() -> tuple[MarketScreens, dict[str, Any]]:
        screens = MarketScreens(config, publisher, rows=1_000)
        return screens, screens.published()

    screens, shown = made(engine, make)
    screens.start()
    try:
        wait_until(lambda: server.is_asked("tables"), 60, "a link")
        quotes = pa.table(
            {
                "timestamp": pa.array([start, start + 1], pa.timestamp("ns", "UTC")),
                "symbol": ["AAPL", "AAPL"],
                **{"price": [230.0, None], "size": [100.0, None], "bid": [229.9, 230.0]},
                **{"ask": [230.1, 230.2], "sequence": [1, 2]},
            }
        )
        server.publish("ticks", {"kind": "ticks", "table": _packed(quotes)})
        live = {"kind": "table", "topic": Topic.BARS_LIVE.value, "of": "5s"}
        working = _packed(_bar(start + 5 * 10**9, 230.0, "working"))
        server.publish("tables", {**live, "table": working})
        chain = SimulatedOptions("AAPL").chain(time.time_ns(), 230.0)
        told = {"kind": "table", "topic": CHAIN, "of": "AAPL", "table": _packed(chain)}
        server.publish("tables", told)
        wait_until(lambda: shown["option_ladder"].size == 33, 60, "a ladder")
        wait_until(lambda: shown["bars_final"].size == 1, 60, "the kept bar")
        made(engine, lambda: _look_at_market(shown))
        wait_until(lambda: _is_live(engine, shown), 60, "a live market")
    finally:
        screens.stop()
        server.stop()


def _is_live(engine: TradingServer, shown: dict[str, Any]) -> bool:
    rows = made(engine, lambda: rows_of(shown["feed_status"], "State"))
    return bool(rows) and rows[0]["State"] == "LIVE"


def _look_at_market(shown: dict[str, Any]) -> None:
    (price,) = rows_of(shown["prices_live"], "Symbol")
    # A quote leaves the last price and what was traded as they were.
    assert (price["Price"], price["Bid"], price["Volume"]) == (230.0, 230.0, 100.0)
    assert shown["ticks"].size == 2
    (bar,) = rows_of(shown["bars_live"], "Symbol")
    assert (bar["State"], bar["Close"]) == ("working", 230.0)
    rung = rows_of(shown["option_ladder"], "Expiry", "Strike")[5]
    assert 0.2 < rung["CallImpliedVol"] < 0.4
    assert rung["CallDelta"] > 0 > rung["PutDelta"]
    assert rung["CallBid"] < rung["CallAsk"]
