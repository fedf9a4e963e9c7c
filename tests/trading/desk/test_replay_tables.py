"""A replay session in Deephaven's tables: what they show is what the session shows, either way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.trading.desk.test_market_tables import rows_of
from tests.trading.replay.recorded import Crosser, walk
from tests.trading.replay.test_player import _table
from trading.replay.screen import Shown
from trading.replay.session import ReplaySession
from trading.replay.sessions import ReplaySessions
from trading.replay.tape import Tape

if TYPE_CHECKING:
    from server.trading_server import TradingServer
    from trading.desk import ReplayTables

START = 1_700_000_040 * 10**9


@pytest.fixture
def engine(trading_server: TradingServer) -> TradingServer:
    return trading_server


def assert_same(tables: ReplayTables, session: ReplaySession) -> Shown:
    assert tables.flush(30)
    shown = session.shown()

    def table(name: str, *order: str) -> list[dict[str, Any]]:
        return rows_of(tables.published[name], *order)

    bars = table("bars", "End")
    assert [row["Count"] for row in bars] == [bar.count for bar in shown.bars]
    assert [row["Close"] for row in bars] == [bar.close / 100 for bar in shown.bars]
    orders = {row["OrderId"]: (row["Status"], row["Filled"]) for row in table("orders", "OrderId")}
    assert orders == {each.order_id: (each.status, float(each.filled)) for each in shown.orders}
    assert len(table("fills", "FillId")) == len(shown.logs.get("fills", ()))
    positions = table("positions", "Strategy")
    assert [row["Total"] for row in positions] == [
        pytest.approx(float(each.total or 0)) for each in shown.positions.values()
    ]
    [price] = table("prices", "Symbol") or [{"Price": None}]
    last = shown.prices.get("AAPL", (None, None, None))[0]
    assert price["Price"] == (None if last is None else last / 100)
    [status] = table("session", "Session")
    assert (status["Session"], status["Position"]) == (session.id, shown.position)
    return shown


def test_tables_follow_a_session_both_ways(engine: TradingServer) -> None:
    from trading.desk import ReplayTables

    tape = Tape.of_data(_table(walk(1, 1_000, start=START)))
    with ReplaySessions() as sessions:
        session = sessions.create(tape, strategies=[Crosser()], timeframes=["10s"], speed=None)
        other = sessions.create(tape, timeframes=["10s"], speed=None)
        with ReplayTables(session) as tables, ReplayTables(other) as others:
            session.seek(position=300)
            first = assert_same(tables, session)
            assert first.orders
            session.step("order", 2)
            assert_same(tables, session)
            session.seek(position=900)
            later = assert_same(tables, session)
            assert len(later.orders) > len(first.orders)
            session.seek(time=first.time)
            assert assert_same(tables, session) == first
            session.restart()
            assert_same(tables, session)
            assert assert_same(others, other).position == 0
