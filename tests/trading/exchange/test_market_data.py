"""The exchange's market data as a feed of ticks, over losses of the link."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.processes import wait_until
from tests.trading.exchange.process import ExchangeProcess
from trading.errors import BrokerError, FeedError
from trading.exchange import ExchangeBroker
from trading.exchange.market_data import ExchangeFeed
from trading.exchange.wire import Quote, TradePrint
from trading.journal.outputs import SendOrder
from trading.specification import specify
from trading.ticks.feeds import Gap, Ticks

AAPL = specify("AAPL")
SECONDS = 120.0


@pytest.fixture
def exchange(tmp_path: Path) -> Iterator[ExchangeProcess]:
    with ExchangeProcess(tmp_path) as process:
        yield process


def order(order_id: str, account: str, side: int, quantity: int, price: int) -> SendOrder:
    return SendOrder(
        *(1, order_id, account, "AAPL", side, quantity, "LIMIT", price, None, "GTC", None),
        *(False, False, None, None),
    )


class Reader:
    """Collects what a feed says, in a thread."""

    def __init__(self, feed: ExchangeFeed) -> None:
        self.rows: list[dict[str, Any]] = []
        self.gaps: list[Gap] = []
        self._feed = feed
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self) -> None:
        for event in self._feed.events():
            if isinstance(event, Ticks):
                self.rows += event.table.to_pylist()
            elif isinstance(event, Gap):
                self.gaps.append(event)

    def has(self, **values: object) -> bool:
        return any(all(row[name] == v for name, v in values.items()) for row in self.rows)


def test_trades_and_quotes_come_again_after_the_link_was_down(exchange: ExchangeProcess) -> None:
    with exchange.broker(instruments=[AAPL]) as broker, exchange.broker("BOB") as other:
        reader = Reader(broker.market_data())
        broker.connect()
        other.connect()
        for each in (broker, other):
            each.wait_connected(SECONDS)
        other.submit(order("ask", "BOB", -1, 10, 10_001))
        wait_until(
            lambda: reader.has(ask=Decimal("100.01"), ask_size=10, bid=None, price=None),
            SECONDS,
            "the quote",
        )
        broker.submit(order("buy", "ACC", 1, 4, 10_001))
        wait_until(lambda: reader.has(price=Decimal("100.01"), size=4), SECONDS, "the trade")
        wait_until(lambda: reader.has(ask_size=6), SECONDS, "what is left")
        trades = [row for row in reader.rows if row["price"] is not None]
        assert [(row["symbol"], row["bid"], row["ask"]) for row in trades] == [("AAPL", None, None)]
        assert trades[0]["received"] is not None
        assert reader.gaps == []
        exchange.kill()
        exchange.start()
        other.submit(order("bid", "BOB", 1, 7, 9_999))
        wait_until(
            lambda: reader.has(bid=Decimal("99.99"), bid_size=7), SECONDS, "the quote after that"
        )
        [gap] = reader.gaps
        assert gap.start < gap.end
    reader.thread.join(SECONDS)
    assert not reader.thread.is_alive()


def test_a_reader_who_is_too_slow_is_told_of_a_gap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trading.exchange.market_data._WAITING", 3)
    feed = ExchangeFeed({"AAPL": AAPL})
    for number in range(5):
        feed.put(TradePrint(number, "AAPL", number, 10_000 + number, 1, 1))
    events = feed.events()
    first = next(events)
    assert isinstance(first, Ticks)
    assert first.table.column("price").to_pylist() == [
        Decimal("100.00"),
        Decimal("100.01"),
        Decimal("100.02"),
    ]
    feed.put(Quote(9, "AAPL", None, 0, 10_005, 2))
    gap, quote = next(events), next(events)
    assert isinstance(gap, Gap)
    assert "slow" in gap.reason
    assert isinstance(quote, Ticks)
    assert quote.table.column("bid_size").to_pylist() == [None]
    feed.stop()
    assert list(events) == []


def test_market_data_needs_the_instruments_and_comes_before_the_connection() -> None:
    with (
        ExchangeBroker("127.0.0.1", 1, account="ACC", key="k") as broker,
        pytest.raises(BrokerError, match="give the broker its instruments"),
    ):
        broker.market_data()
    with ExchangeBroker("127.0.0.1", 1, account="ACC", key="k", instruments=[AAPL]) as broker:
        with pytest.raises(BrokerError, match="MSFT"):
            broker.market_data(["MSFT"])
        assert broker.market_data(["AAPL"]).symbols == ("AAPL",)
        with pytest.raises(BrokerError, match="once, before connect"):
            broker.market_data()
    fine = specify("XYZ", price_increment="0.0000000001")
    with pytest.raises(FeedError, match="10 decimals"):
        ExchangeFeed({"XYZ": fine})
