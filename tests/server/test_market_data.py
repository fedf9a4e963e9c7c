"""Playing a feed: what the writers get, and what happens when something fails."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import pytest

from server.market.feed import TickBatch
from server.market.replay import Replay
from server.market.simulator import Simulator
from server.market_data import (
    BASE_PRICES,
    ENTRY_PRICES,
    POSITIONS,
    SYMBOLS,
    FeedPlayer,
    FeedStatus,
    book_for,
    start_market_data,
)
from server.risk_engine import calculate_greeks
from tests.processes import wait_until
from tests.server.recordings import REAL_PRICES


@dataclass
class Rows:
    """A writer of the plainest kind."""

    rows: list[tuple[Any, ...]] = field(default_factory=list)
    fail: int = 0

    def write_row(self, *values: Any) -> None:
        if self.fail:
            self.fail -= 1
            raise OSError("disk on fire")
        self.rows.append(values)


class Scripted:
    """A feed of a few simulated batches that then ends, or raises."""

    name = "scripted"
    symbols = tuple(SYMBOLS)

    def __init__(self, count: int, then: Exception | None = None) -> None:
        self.opening_prices = dict(BASE_PRICES)
        self.count = count
        self.then = then

    def batches(self) -> Iterator[TickBatch]:
        yield from islice(Simulator(BASE_PRICES, seed=1, tick_interval=0.001).batches(), self.count)
        if self.then is not None:
            raise self.then


def play(feed: Scripted, prices: Rows, risk: Rows) -> tuple[FeedPlayer, list[FeedStatus]]:
    told: list[FeedStatus] = []
    player = FeedPlayer(feed, book_for(feed), prices, risk, on_status=told.append).start()
    player.thread.join(10)
    assert not player.thread.is_alive()
    return player, told


def test_the_symbols_and_base_prices_of_the_desk() -> None:
    assert BASE_PRICES == {
        "AAPL": 228,
        "GOOGL": 192,
        "MSFT": 415,
        "AMZN": 225,
        "TSLA": 355,
        "NVDA": 138,
        "META": 700,
        "NFLX": 1020,
    }
    assert list(BASE_PRICES) == SYMBOLS == list(POSITIONS) == list(ENTRY_PRICES)


def test_a_writer_gets_a_price_and_a_risk_row_a_symbol_until_it_is_stopped() -> None:
    prices, risk = Rows(), Rows()
    thread, stop = start_market_data(prices, risk, tick_interval=0.01)
    wait_until(lambda: len(risk.rows) >= 3 * len(SYMBOLS), 10, "three ticks")
    stop.set()
    thread.join(5)
    assert not thread.is_alive()
    for price_row, risk_row in zip(prices.rows, risk.rows, strict=True):
        symbol, price, bid, ask, volume, change, change_pct, stamp = price_row
        assert bid < price < ask
        assert isinstance(volume, int)
        assert change == price - BASE_PRICES[symbol]
        assert change_pct == pytest.approx(100 * change / BASE_PRICES[symbol])
        assert isinstance(stamp, int)
        position = POSITIONS[symbol]
        delta, gamma, theta, vega = calculate_greeks(price, strike=1.05 * BASE_PRICES[symbol])
        assert risk_row == (
            symbol,
            position,
            pytest.approx(position * price),
            pytest.approx(position * (price - ENTRY_PRICES[symbol])),
            pytest.approx(position * delta),
            pytest.approx(position * gamma),
            pytest.approx(position * theta),
            pytest.approx(position * vega),
            stamp,
        )


def test_a_recorded_market_is_held_as_if_bought_at_its_opening_price() -> None:
    feed = Replay([REAL_PRICES], speed=math.inf)
    held = book_for(feed).positions
    assert held["AAPL"].quantity == POSITIONS["AAPL"]
    assert held["IBM"].quantity == 100
    assert {s: p.entry_price for s, p in held.items()} == feed.opening_prices


def test_a_feed_that_ends_says_so() -> None:
    player, told = play(Scripted(3), Rows(), Rows())
    assert [s.state for s in told] == ["LIVE", "ENDED"]
    assert player.status.ticks == 3 * len(SYMBOLS)


def test_a_feed_that_fails_is_logged_counted_and_told(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        player, told = play(Scripted(2, then=KeyError("no such venue")), Rows(), Rows())
    assert [s.state for s in told] == ["LIVE", "FAILED"]
    assert player.status.errors == 1
    assert player.status.last_error == "KeyError: 'no such venue'"
    assert "KeyError" in caplog.text
    assert "in batches" in caplog.text  # its traceback


def test_a_batch_that_fails_is_told_and_the_next_goes_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    prices = Rows(fail=1)
    with caplog.at_level(logging.ERROR):
        player, told = play(Scripted(3), prices, Rows())
    assert [s.state for s in told] == ["FAILING", "LIVE", "ENDED"]
    assert len(prices.rows) == 2 * len(SYMBOLS)
    assert player.status.errors == 1
    assert player.status.last_error == "OSError: disk on fire"


def test_even_a_feed_that_wants_to_end_the_process_is_told() -> None:
    player, _ = play(Scripted(1, then=SystemExit(3)), Rows(), Rows())  # type: ignore[arg-type]
    assert (player.health().state, player.status.last_error) == ("FAILED", "SystemExit: 3")


def test_a_feed_that_does_not_answer_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = threading.Event()

    class Blocked(Scripted):
        def batches(self) -> Iterator[TickBatch]:
            yield from super().batches()
            answer.wait(30)

    feed = Blocked(1)
    monkeypatch.setattr("server.market_data.SILENT_SECONDS", 0.05)
    player = FeedPlayer(feed, book_for(feed), Rows(), Rows()).start()
    wait_until(lambda: player.health().state == "SILENT", 10, "silence")
    answer.set()
    player.thread.join(10)
    assert player.health().state == "ENDED"


def test_a_tick_is_published_when_its_timestamp_says() -> None:
    ages: list[float] = []

    class Clock(Rows):
        def write_row(self, *values: Any) -> None:
            ages.append(time.time_ns() - values[-1])

    thread, stop = start_market_data(Clock(), Rows(), tick_interval=0.25)
    wait_until(lambda: len(ages) >= 4 * len(SYMBOLS), 10, "four ticks")
    stop.set()
    thread.join(5)
    assert sorted(ages)[len(ages) // 2] < 0.1e9


def test_whoever_listens_hears_of_every_batch_after_it_was_published() -> None:
    feed, prices, heard = Scripted(3), Rows(), []
    player = FeedPlayer(
        feed,
        book_for(feed),
        prices,
        Rows(),
        on_batch=lambda batch: heard.append((len(prices.rows), batch.price[0])),
    ).start()
    player.thread.join(10)
    symbols = len(SYMBOLS)
    assert heard == [(n * symbols, prices.rows[(n - 1) * symbols][1]) for n in (1, 2, 3)]


def test_a_listener_that_fails_does_not_stop_the_market(caplog: pytest.LogCaptureFixture) -> None:
    def refuse(news: FeedStatus | TickBatch) -> None:
        raise RuntimeError("not listening")

    feed, prices = Scripted(3), Rows()
    with caplog.at_level(logging.ERROR):
        player = FeedPlayer(
            feed, book_for(feed), prices, Rows(), on_status=refuse, on_batch=refuse
        ).start()
        player.thread.join(10)
    assert player.status.state == "ENDED"
    assert len(prices.rows) == 3 * len(SYMBOLS)
    assert "not listening" in caplog.text
