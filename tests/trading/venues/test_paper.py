"""The paper broker as a venue keeps the contract of all venues."""

from __future__ import annotations

import time

import pytest

from tests.trading.exchange.orders import AAPL
from tests.trading.venues.contract import VenueContract
from trading.brokers import FillModel, MakerTaker, PaperBroker
from trading.venues import PaperVenue


class PaperMarket:
    account = "ACC"
    spec = AAPL
    middle = 10_000

    def __init__(self) -> None:
        model = FillModel("tick", touch="1", volume_share="1")
        self.venue = PaperVenue(
            PaperBroker(model, MakerTaker("1", "2")),
            account="ACC",
            instruments=[AAPL],
            cash={"USD": 10**16},
        )

    def connected(self, after: int = 0) -> PaperVenue:
        self.venue.connect(after)
        self.venue.wait_connected(1)
        return self.venue

    def leave(self, broker: PaperVenue) -> None:
        broker.poll()

    def others_trade(self, side: int, price: int, size: int) -> None:
        self.venue.trade("AAPL", self.middle + price, size, time.time_ns())

    def others_quote(self, bid: int, ask: int, size: int) -> None:
        self.venue.quote("AAPL", self.middle + bid, self.middle + ask, time.time_ns())

    def cut(self) -> None:
        """There is no link."""

    def mend(self) -> None:
        """There is no link."""


@pytest.fixture
def venue() -> PaperMarket:
    return PaperMarket()


class TestPaper(VenueContract):
    pass
