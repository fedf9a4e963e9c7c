"""The exchange's broker keeps the contract of all venues."""

from __future__ import annotations

import itertools
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.processes import wait_until
from tests.trading.exchange.orders import AAPL, order
from tests.trading.exchange.process import ExchangeProcess
from tests.trading.venues.contract import VenueContract
from trading.exchange import ExchangeBroker


class ExchangeVenue:
    account = "ACC"
    spec = AAPL
    middle = 10_000

    def __init__(self, process: ExchangeProcess) -> None:
        self.process = process
        self.brokers: list[ExchangeBroker] = []
        self.others = self._connected(process.broker("BOB"), 0)
        self.names = itertools.count(1)

    def _connected(self, broker: ExchangeBroker, after: int) -> ExchangeBroker:
        self.brokers.append(broker)
        broker.connect(after)
        broker.wait_connected(30)
        return broker

    def connected(self, after: int = 0) -> ExchangeBroker:
        return self._connected(self.process.broker(instruments=[AAPL]), after)

    def leave(self, broker: ExchangeBroker) -> None:
        broker.close()

    def _other(self, side: int, price: int, size: int, tif: str) -> None:
        name = f"other-{next(self.names)}"
        limit = self.middle + price
        self.others.submit(order(name, side, size, limit, account="BOB", tif=tif))
        wait_until(lambda: self.others.find_order(name), 30, "the order of others")

    def others_trade(self, side: int, price: int, size: int) -> None:
        self._other(side, price, size, "IOC")

    def others_quote(self, bid: int, ask: int, size: int) -> None:
        self._other(1, bid, size, "GTC")
        self._other(-1, ask, size, "GTC")

    def cut(self) -> None:
        self.process.kill()

    def mend(self) -> None:
        self.process.start()


@pytest.fixture
def venue(tmp_path: Path) -> Iterator[ExchangeVenue]:
    with ExchangeProcess(tmp_path, "--instrument", "AAPL=100", "--taker-fee", "2") as process:
        made = ExchangeVenue(process)
        yield made
        for broker in made.brokers:
            broker.close()
        process.send(signal.SIGTERM)
        assert process.wait() == 0


class TestExchange(VenueContract):
    pass
