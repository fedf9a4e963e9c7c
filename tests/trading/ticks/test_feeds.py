"""Feeds: simulated, recorded, the server's, and a WebSocket on this machine that breaks off."""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from websockets.sync.server import ServerConnection, serve

from server.market.simulator import Simulator
from server.market_data import BASE_PRICES
from trading.bars import BarBuilder
from trading.errors import FeedError, TickError
from trading.ticks.feeds import (
    Depth,
    Feed,
    FieldMapping,
    FromMarketFeed,
    Gap,
    Heartbeat,
    MarketFeed,
    RecordedTicks,
    SequenceGaps,
    SimulatedMarket,
    Ticks,
    VolumeTotals,
    WebSocketFeed,
)

START = 1_767_623_400_000_000_000


def tables(feed: Feed) -> pa.Table:
    return pa.concat_tables([e.table for e in feed.events() if isinstance(e, Ticks)])


def test_a_simulated_market_is_the_same_for_the_same_seed() -> None:
    def market(seed: int) -> SimulatedMarket:
        return SimulatedMarket({"AAPL": 230.0, "EUR/USD": 1.1}, seed=seed, seconds=20)

    events = list(market(1).events())
    assert events == list(market(1).events())
    table = tables(market(1))
    assert not table.equals(tables(market(2)))
    frame = table.to_pandas()
    assert frame["timestamp"].is_monotonic_increasing
    assert 200 < len(frame) < 600
    assert (frame["bid"] < frame["ask"]).all()
    trades = frame[frame["price"].notna()]
    assert ((trades["price"] == trades["bid"]) | (trades["price"] == trades["ask"])).all()
    assert 0.2 < len(trades) / len(frame) < 0.6
    assert (np.round(frame["bid"], 2) == frame["bid"]).all()
    for _symbol, part in frame.groupby("symbol"):
        assert part["sequence"].tolist() == list(range(1, len(part) + 1))
    books = [event.table.to_pandas() for event in events if isinstance(event, Depth)]
    assert len(books) == 20
    for book in books:
        best = book[book["level"] == 1].set_index(["symbol", "side"])["price"]
        assert best["AAPL", "bid"] < best["AAPL", "ask"]
        asks = book[(book["symbol"] == "AAPL") & (book["side"] == "ask")]["price"]
        assert asks.is_monotonic_increasing
        assert len(asks) == 5


def test_a_simulated_market_feeds_bars() -> None:
    builder = BarBuilder("10s")
    bars = [
        builder.push(event.table)
        for event in SimulatedMarket({"AAPL": 230.0}, seed=3, seconds=35).events()
        if isinstance(event, Ticks)
    ]
    assert sum(len(table) for table in bars) == 3


@pytest.mark.parametrize("bad", [{"rate": 0}, {"trade_share": 2}, {"levels": 0}])
def test_a_market_that_cannot_be_is_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(FeedError):
        SimulatedMarket({"A": 1.0}, **bad)
    with pytest.raises(FeedError):
        SimulatedMarket({})


def test_the_servers_feed_gives_sizes() -> None:
    simulator: MarketFeed = Simulator(BASE_PRICES, seed=7)
    feed: Feed = FromMarketFeed(simulator)
    events = list(itertools.islice(feed.events(), 50))
    batches = list(itertools.islice(Simulator(BASE_PRICES, seed=7).batches(), 50))
    table = pa.concat_tables([event.table for event in events if isinstance(event, Ticks)])
    frame = table.to_pandas()
    totals = frame.groupby("symbol")["size"].sum()
    for symbol, volume in zip(batches[-1].symbol, batches[-1].volume, strict=True):
        assert totals[symbol] == volume
    assert (frame["price"].notna() == (frame["size"].fillna(0) > 0)).all()
    assert [event.due_s for event in events] == [batch.due_s for batch in batches]


def test_totals_become_sizes_and_one_that_goes_back_begins_a_session() -> None:
    totals = VolumeTotals()
    symbols = np.array(["A", "A", "B", "A", "A", "A"], dtype=object)
    sizes = totals.sizes(symbols, np.array([100, 130, 7, 130, 20, 25]))
    assert sizes.tolist() == [0, 30, 0, 0, 20, 5]
    assert totals.sizes(np.array(["B"], dtype=object), np.array([9])).tolist() == [2]
    with pytest.raises(TickError, match="no volume"):
        totals.sizes(symbols[:1], np.array([-1]))
    with pytest.raises(TickError, match="no volume"):
        totals.sizes(symbols[:1], np.array([float("nan")]))


def test_a_jump_of_the_sequence_is_a_gap_of_its_symbol() -> None:
    gaps = SequenceGaps()

    def table(*rows: tuple[int, str, int]) -> pa.Table:
        stamp, symbol, sequence = zip(*rows, strict=True)
        return pa.table(
            {
                "timestamp": pa.array(stamp, pa.timestamp("ns", "UTC")),
                "symbol": list(symbol),
                "price": [1.0] * len(rows),
                "size": [1] * len(rows),
                "sequence": list(sequence),
            }
        )

    assert gaps.push(table((10, "A", 1), (11, "B", 5), (12, "A", 2))) == []
    [gap] = gaps.push(table((20, "A", 5), (21, "B", 6)))
    assert (gap.start, gap.end, gap.symbol) == (12, 20, "A")
    # A late tick fills a hole and makes none.
    assert gaps.push(table((30, "A", 3), (31, "A", 6))) == []


def test_recorded_ticks_play_in_order_at_their_pace(tmp_path: Path) -> None:
    recorded = tables(SimulatedMarket({"A": 10.0, "B": 20.0}, seed=2, seconds=10))
    file = tmp_path / "day.parquet"
    pq.write_table(recorded, file)
    assert tables(RecordedTicks(file)).equals(recorded)
    shuffled = recorded.take(pa.array(np.random.default_rng(1).permutation(len(recorded))))
    feed = RecordedTicks(shuffled, speed=2.0, batch_s=0.5)
    assert tables(feed)["timestamp"].equals(recorded["timestamp"])
    due = [event.due_s for event in feed.events() if event.due_s is not None]
    assert due == sorted(due)
    assert 4.0 < due[-1] < 5.0
    assert feed.symbols == ("A", "B")
    with pytest.raises(FeedError, match="choose from a TickStore"):
        RecordedTicks(recorded, symbols=["A"])
    with pytest.raises(TickError, match="no such file"):
        RecordedTicks(tmp_path / "none.csv")


class Venue:
    """A WebSocket server that sends what each connection is due, then breaks it off."""

    def __init__(self, *sessions: list[Any]) -> None:
        self._sessions = iter(sessions)
        self.heard: list[str] = []

    def __call__(self, connection: ServerConnection) -> None:
        self.heard.append(str(connection.recv()))
        for message in next(self._sessions, []):
            connection.send(message if isinstance(message, str) else json.dumps(message))
        connection.socket.close()


@contextmanager
def running(venue: Venue) -> Iterator[str]:
    with serve(venue, "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"ws://127.0.0.1:{server.socket.getsockname()[1]}"
        finally:
            server.shutdown()
            thread.join(10)


MAPPING = FieldMapping(
    symbol="s",
    price="p",
    timestamp="t",
    size=None,
    total_volume="v",
    sequence="q",
    items="data",
    only={"e": "trade"},
)


def message(sequence: int, price: Any, volume: Any) -> dict[str, Any]:
    stamp = START // 10**6 + sequence
    tick = {"e": "trade", "s": "BTC-USD", "p": price, "v": volume, "t": stamp, "q": sequence}
    return {"data": [tick, {"e": "other", "s": "X", "p": 1}]}


def test_a_websocket_that_breaks_off_is_connected_again_and_its_gap_told() -> None:
    venue = Venue(
        [message(1, "60000.1", "10.5"), {"heartbeat": 1}, message(2, 60000.2, 10.75), "no JSON"],
        [message(5, "60000.3", "0.25"), message(6, "sixty", "0.5"), message(7, 60001, 0.75)],
    )
    with running(venue) as url:
        feed = WebSocketFeed(
            url, MAPPING, subscribe=[{"op": "subscribe"}], contiguous=True, batch_s=0.01
        )
        found: list[Any] = []
        rows = 0
        for event in feed.events():
            found.append(event)
            rows += len(event.table) if isinstance(event, Ticks) else 0
            if rows == 4:
                feed.stop()
    table = pa.concat_tables([e.table for e in found if isinstance(e, Ticks)])
    prices = [Decimal("60000.1"), Decimal("60000.2"), Decimal("60000.3"), Decimal(60001)]
    assert table["price"].to_pylist() == prices
    assert table["size"].to_pylist() == [0, Decimal("0.25"), Decimal("0.25"), Decimal("0.5")]
    assert table["sequence"].to_pylist() == [1, 2, 5, 7]
    assert table["timestamp"].cast(pa.int64()).to_pylist() == [
        START + n * 10**6 for n in (1, 2, 5, 7)
    ]
    lost, *jumps = [event for event in found if isinstance(event, Gap)]
    assert lost.symbol is None
    assert lost.start < lost.end
    assert [(gap.symbol, gap.start, gap.end) for gap in jumps] == [
        ("BTC-USD", START + 2 * 10**6, START + 5 * 10**6),
        ("BTC-USD", START + 5 * 10**6, START + 7 * 10**6),
    ]
    assert feed.rejected == 2
    assert feed.connections == 2
    assert venue.heard[:2] == ['{"op": "subscribe"}'] * 2
    builder = BarBuilder("1m")
    builder.push(table)
    builder.gap(lost.start, lost.end, lost.symbol)


class QuietVenue(Venue):
    """Sends its messages, and then nothing until the client goes."""

    def __call__(self, connection: ServerConnection) -> None:
        for message in next(self._sessions, []):
            connection.send(json.dumps(message))
        for _more in connection:
            pass


def test_a_quiet_websocket_beats_and_bars_become_final_by_that() -> None:
    bad = message(1, "1", "1")
    bad["data"][0]["s"] = "btc-usd"
    with running(QuietVenue([bad, message(2, "60000.5", "0.25")])) as url:
        feed = WebSocketFeed(url, MAPPING, batch_s=0.01)
        builder = BarBuilder("1s", since=START)
        finished: list[Any] = []
        for event in feed.events():
            if isinstance(event, Ticks):
                # The clock of the recorded message is long past.
                builder.push(event.table.drop_columns(["received"]))
            elif isinstance(event, Heartbeat):
                assert abs(event.time - time.time_ns()) < 60 * 10**9
                finished += builder.advance(event.time).to_pylist()
                feed.stop()
    assert [(bar["symbol"], bar["state"], bar["count"]) for bar in finished] == [
        ("BTC-USD", "final", 1)
    ]
    assert feed.rejected == 1
    assert "'btc-usd' is no symbol" in str(feed.last_error)


def test_a_websocket_that_is_not_there_ends_after_its_tries() -> None:
    feed = WebSocketFeed("ws://127.0.0.1:9", MAPPING, retry_s=0.01, max_retries=2)
    with pytest.raises(FeedError, match="failed 3 times in a row"):
        next(iter(feed.events()))
    with pytest.raises(FeedError, match="unit"):
        FieldMapping(unit="minutes")
