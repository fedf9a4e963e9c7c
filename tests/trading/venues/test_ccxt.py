"""The ccxt broker keeps the contract of all venues, on a server that speaks as Binance does."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.processes import wait_until
from tests.trading.venues.binance_server import API_KEY, SECRET, SPEC, BinanceServer
from tests.trading.venues.contract import Desk, VenueContract
from trading.errors import BrokerError, BrokerRefused
from trading.journal.outputs import SendCancel, SendReplace
from trading.journal.reports import (
    OrderAccepted,
    OrderCanceled,
    OrderFilled,
    OrderRejected,
    OrderReplaced,
)
from trading.specification import InstrumentSpec, specify
from trading.venues.ccxt_broker import CcxtBroker
from trading.venues.protocol import ConnectionState


class BinanceVenue:
    account = "ACC"
    spec = SPEC
    middle = 5_000_000

    def __init__(self, keys: Path) -> None:
        self.server = BinanceServer()
        self.keys = keys
        self.brokers: list[CcxtBroker] = []

    def configure(self, exchange: Any) -> None:
        base = f"http://127.0.0.1:{self.server.port}/api/v3"
        for name in ("public", "private", "v1"):
            exchange.urls["api"][name] = base
        exchange.urls["api"]["ws"]["ws-api"]["spot"] = (
            f"ws://127.0.0.1:{self.server.port}/ws-api/v3"
        )
        exchange.options["fetchMarkets"] = {"types": ["spot"]}
        exchange.options["fetchCurrencies"] = False
        exchange.options["fetchMargins"] = False
        exchange.has["fetchCurrencies"] = False
        exchange.rateLimit = 1

    def broker(self, **more: Any) -> CcxtBroker:
        options = {
            "account": self.account,
            "instruments": {"BTC/USDT": SPEC},
            "keys_file": self.keys,
            "configure": self.configure,
            "backoff_s": (0.05, 0.5),
            **more,
        }
        made = CcxtBroker("binance", **options)
        self.brokers.append(made)
        return made

    def connected(self, after: int = 0) -> CcxtBroker:
        broker = self.broker()
        broker.connect(after)
        broker.wait_connected(30)
        return broker

    def leave(self, broker: CcxtBroker) -> None:
        broker.close()

    def others_trade(self, side: int, price: int, size: int) -> None:
        self.server.others(side, self.middle + price, size, "IOC")
        time.sleep(0.002)  # the venue's trades carry milliseconds

    def others_quote(self, bid: int, ask: int, size: int) -> None:
        self.server.others(1, self.middle + bid, size, "GTC")
        self.server.others(-1, self.middle + ask, size, "GTC")

    def cut(self) -> None:
        self.server.cut()

    def mend(self) -> None:
        self.server.mend()


@pytest.fixture
def venue(tmp_path: Path) -> Iterator[BinanceVenue]:
    keys = tmp_path / "binance.keys"
    keys.write_text(f"# for tests\nBINANCE_API_KEY={API_KEY}\nBINANCE_SECRET='{SECRET}'\n")
    keys.chmod(0o600)
    made = BinanceVenue(keys)
    yield made
    for broker in made.brokers:
        broker.close()
    made.server.close()


class TestCcxt(VenueContract):
    def test_a_lost_answer_sends_no_order_twice(self, venue: BinanceVenue) -> None:
        """The venue took the order and the answer was lost; it was asked before sending again."""
        desk = Desk(venue, venue.connected())
        for trouble in ("answer lost", "lost", "429", "503"):
            venue.server.troubles.append(("POST", "order", trouble))
            order = self.order(venue, 1, -5, 10)
            desk.broker.submit(order, fresh=True)
            desk.expect(OrderAccepted, order.order_id)
            there = [each for each in desk.broker.open_orders() if each.order_id == order.order_id]
            assert len(there) == 1
            taken = venue.server.posted.count(order.order_id)
            assert taken == 1, f"{trouble}: sent {taken} times to the book"

    def test_a_dropped_stream_loses_no_fill(self, venue: BinanceVenue) -> None:
        desk = Desk(venue, venue.connected())
        order = self.order(venue, 1, -2, 50)
        desk.broker.submit(order, fresh=True)
        desk.expect(OrderAccepted, order.order_id)
        for _ in range(5):
            venue.server.drop_streams()
            venue.others_trade(-1, -2, 10)
        desk.until(lambda: desk.filled(order.order_id) == order.quantity, "five fills")
        assert len(desk.reports(OrderFilled, order.order_id)) == 5

    def test_a_replace_whose_answer_is_lost_is_carried_out_once(self, venue: BinanceVenue) -> None:
        desk = Desk(venue, venue.connected())
        order = self.order(venue, 1, -4, 50)
        desk.broker.submit(order, fresh=True)
        desk.expect(OrderAccepted, order.order_id)
        venue.server.troubles.append(("POST", "order", "answer lost"))
        limit = (venue.middle - 3) * SPEC.price_increment
        unit = SPEC.size_increment
        desk.broker.replace(
            SendReplace(time.time_ns(), order.order_id, venue.account, 40 * unit, limit, None)
        )
        desk.expect(OrderReplaced, order.order_id)
        venue.others_trade(-1, -3, 100)
        desk.until(lambda: desk.filled(order.order_id) == 40 * unit, "the fill")
        assert venue.server.posted == [order.order_id, f"{order.order_id}:2"]
        assert not desk.broker.open_orders()

    def test_a_later_process_knows_an_order_that_was_replaced(self, venue: BinanceVenue) -> None:
        desk = Desk(venue, venue.connected())
        unit = SPEC.size_increment
        order = self.order(venue, 1, -4, 50)
        desk.broker.submit(order, fresh=True)
        desk.expect(OrderAccepted, order.order_id)
        venue.others_trade(-1, -4, 20)
        desk.until(lambda: desk.filled(order.order_id) == 20 * unit, "the first part")
        limit = (venue.middle - 3) * SPEC.price_increment
        desk.broker.replace(
            SendReplace(time.time_ns(), order.order_id, venue.account, 60 * unit, limit, None)
        )
        desk.expect(OrderReplaced, order.order_id)
        venue.leave(desk.broker)
        later = Desk(venue, venue.connected(after=desk.told[-1].sequence))
        [resting] = later.broker.open_orders()
        assert (resting.order_id, resting.quantity) == (order.order_id, 60 * unit)
        assert (resting.filled, resting.limit) == (20 * unit, limit)
        later.broker.cancel(SendCancel(time.time_ns(), order.order_id, venue.account))
        later.expect(OrderCanceled, order.order_id)
        found = later.broker.find_order(order.order_id)
        assert found is not None
        assert (found.status, found.filled) == ("CANCELED", 20 * unit)

    def test_a_wrong_key_is_refused(self, venue: BinanceVenue) -> None:
        venue.keys.write_text("BINANCE_API_KEY=wrong\nBINANCE_SECRET=wrong\n")
        broker = venue.broker()
        broker.connect()
        with pytest.raises(BrokerRefused, match="Invalid API-key"):
            broker.wait_connected(30)
        assert broker.state is ConnectionState.REFUSED

    def test_keys_that_others_may_read_are_refused(self, venue: BinanceVenue) -> None:
        venue.keys.chmod(0o640)
        with pytest.raises(BrokerRefused, match="chmod 600"):
            venue.broker().connect()

    def test_missing_keys_are_told(
        self, venue: BinanceVenue, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("BINANCE_API_KEY", raising=False)
        with pytest.raises(BrokerRefused, match="no BINANCE_API_KEY"):
            venue.broker(keys_file=None).connect()
        monkeypatch.setenv("BINANCE_API_KEY", API_KEY)
        monkeypatch.setenv("BINANCE_SECRET", SECRET)
        broker = venue.broker(keys_file=None)
        broker.connect()
        broker.wait_connected(30)

    def test_a_clock_that_is_off_by_an_hour_does_not_matter(self, venue: BinanceVenue) -> None:
        venue.server.clock_offset_ms = 3_600_000
        desk = Desk(venue, venue.connected())
        order = self.order(venue, 1, -2, 10)
        desk.broker.submit(order, fresh=True)
        desk.expect(OrderAccepted, order.order_id)
        venue.others_trade(-1, -2, 10)
        desk.until(lambda: desk.filled(order.order_id) == order.quantity, "the fill")

    @pytest.mark.parametrize(
        "finer",
        [
            specify("BTCUSDT", currency="USDT", price_increment="0.001", size_increment="0.00001"),
            specify("BTCUSDT", currency="USDT", price_increment="0.01", size_increment="0.0000001"),
        ],
        ids=["price", "size"],
    )
    def test_increments_that_would_be_rounded_are_refused(
        self, venue: BinanceVenue, finer: InstrumentSpec
    ) -> None:
        broker = venue.broker(instruments={"BTC/USDT": finer})
        broker.connect()
        with pytest.raises(BrokerRefused, match="orders would be rounded") as refused:
            broker.wait_connected(30)
        assert refused.value.code == "INSTRUMENTS"

    def test_what_venues_do_not_have_is_rejected_with_a_reason(self, venue: BinanceVenue) -> None:
        desk = Desk(venue, venue.connected())
        order = self.order(venue, 1, -2, 10, tif="DAY")
        desk.broker.submit(order, fresh=True)
        [report] = desk.expect(OrderRejected, order.order_id)
        assert "DAY is not sent to venues" in report.reason
        long = self.order(venue, 1, -2, 10, order_id="x" * 33)
        desk.broker.submit(long, fresh=True)
        [report] = desk.expect(OrderRejected, long.order_id)
        assert "1 to 32 letters" in report.reason
        assert venue.server.posted == []

    def test_an_unknown_venue_is_told(self, venue: BinanceVenue) -> None:
        with pytest.raises(BrokerError, match="'nowhere' is no venue"):
            CcxtBroker("nowhere", account="ACC", instruments={})

    def test_the_sandbox_is_another_address(self, venue: BinanceVenue) -> None:
        seen: list[str] = []
        broker = CcxtBroker(
            "binance",
            account="ACC",
            instruments={"BTC/USDT": SPEC},
            keys_file=venue.keys,
            sandbox=True,
            configure=lambda exchange: (
                seen.append(exchange.urls["api"]["private"]),
                venue.configure(exchange),
            )[0],
        )
        venue.brokers.append(broker)
        broker.connect()
        wait_until(lambda: seen, 30, "the exchange")
        assert "testnet" in seen[0]
        assert broker.name == "binance sandbox"
