"""The whole platform in one process: orders, trades and risk of a desk, ticking in a browser.

    make demo
    python3 demo_bridge.py --orders-per-second 20 --seed 7

An embedded PostgreSQL keeps orders and trades; a bridge streams every version into Deephaven; a
state machine and a durable workflow carry orders from PENDING to SETTLED; a reactive graph pushes
risk straight into a table. Ctrl-C or SIGTERM stops all of it, with status 0.
"""

from __future__ import annotations

import argparse
import faulthandler
import logging
import math
import secrets
import shutil
import signal
import sys
import tempfile
import threading
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

from bridge import BridgeError, StoreBridge, TableWriter
from demos.orders import Desk, Trader, open_desk
from demos.risk import RISK_SCHEMA, RiskBook
from server.errors import ServerError
from server.market_data import book_for
from server.options import Options, zone
from server.shutdown import StopRequest, exit_with, wait_for_stop
from server.trading_server import TradingServer
from store.client import StoreClient
from store.errors import StoreError
from store.models import Order, Trade
from store.outbox import Outbox
from store.schema import provision_user
from store.server import ObjectStoreServer
from store.subscriptions import EventBus
from workflow.dbos_engine import DBOSEngine
from workflow.errors import WorkflowError

TRADER = "trader"
# Rows of risk that are kept; every tick of every symbol is one.
RISK_ROWS = 100_000
SLOW_STOP_SECONDS = 30


class Demo:
    """Everything that runs, started in the order in which it depends on each other."""

    def __init__(self, options: argparse.Namespace) -> None:
        # What has started is stopped in the opposite order, also if the next does not start.
        self._running = ExitStack()
        try:
            self._start(options)
        except BaseException:
            self._running.close()
            raise

    def _start(self, options: argparse.Namespace) -> None:
        self.trading = TradingServer(
            Options(
                port=options.port,
                seed=options.seed,
                replay=tuple(options.replay),
                speed=options.speed,
                time_zone=options.time_zone,
            )
        )
        self._running.callback(self.trading.stop)
        self.is_temporary = options.data is None
        folder = options.data or Path(tempfile.mkdtemp(prefix="demo-store-"))
        if self.is_temporary:
            self._running.callback(shutil.rmtree, folder, ignore_errors=True)
        self.store = self._running.enter_context(ObjectStoreServer(data_dir=folder))
        password = secrets.token_urlsafe(16)
        with closing(self.store.admin_conn()) as admin:
            provision_user(admin, TRADER, password)
        login = {"user": TRADER, "password": password, **self.store.conn_info()}
        bus = EventBus()
        self.client = self._running.enter_context(StoreClient(**login, event_bus=bus))
        self._running.callback(lambda: print(self.summary(), flush=True))

        self.bridge = StoreBridge(**login)
        self._running.callback(self.bridge.stop)
        self.bridge.register(Order)
        self.bridge.register(Trade)
        self.bridge.start("beginning")
        self.risk_writer = TableWriter(RISK_SCHEMA, name="risk_calcs", rows=RISK_ROWS)
        self._running.callback(self.risk_writer.close)
        self._making = threading.Lock()
        self._make_tables()
        # What was made of a table that failed in the engine has failed with it.
        self.bridge.on_replaced = lambda _cls: self._make_tables()
        self.risk_writer.on_replaced = self.trading.on_replaced = self._make_tables

        engine = DBOSEngine(self.store.dbos_url(), name="demo")
        desk = open_desk(self.client, engine)
        engine.launch()
        self._running.callback(engine.destroy)
        # Settlements whose start a crash prevented.
        engine.attach(Outbox(self.client))

        risk = self._start_risk(desk, bus)
        trader = Trader(desk, risk.prices, options.orders_per_second, options.seed)
        self._running.callback(trader.stop)
        trader.start()

    def _make_tables(self) -> None:
        with self._making, self.trading.context:
            self.tables = self._tables()

    def _tables(self) -> dict[str, Any]:
        from demos.dashboard import make_dashboard, make_portfolio, make_risk_totals

        prices = self.trading.tables.prices_live
        tables = {
            "orders_raw": self.bridge.table(Order),
            "orders_live": self.bridge.live(Order),
            "trades_raw": self.bridge.table(Trade),
            "trades_live": self.bridge.live(Trade),
            "risk_calcs": self.risk_writer.table,
            "risk_live": self.risk_writer.live("Symbol"),
        }
        tables["portfolio"] = make_portfolio(tables["trades_live"], prices)
        tables["risk_totals"] = make_risk_totals(tables["risk_live"])
        tables["dashboard"] = make_dashboard(tables)
        # Users see the variables of the main module.
        vars(sys.modules["__main__"]).update(
            prices_raw=self.trading.tables.prices_raw, prices_live=prices, **tables
        )
        return tables

    def _start_risk(self, desk: Desk, bus: EventBus) -> RiskBook:
        """Fill the risk book with the trades of the store, and let fills and ticks drive it."""
        risk = RiskBook(self.trading.feed.symbols, self.risk_writer)
        if not desk.client.count(Trade):
            desk.client.write_many(
                [
                    Trade(
                        symbol=symbol,
                        quantity=abs(position.quantity),
                        price=position.entry_price,
                        side="BUY" if position.quantity > 0 else "SELL",
                    )
                    for symbol, position in book_for(self.trading.feed).positions.items()
                ]
            )
        for trade in desk.client.query(Trade, limit=None):
            risk.add(trade)
        bus.on("Trade", risk.take_fill)
        self.trading.player.on_batch = risk.take_prices
        self._running.callback(setattr, self.trading.player, "on_batch", None)
        return risk

    def greeting(self) -> str:
        """What a person at the terminal needs to know."""
        names = "orders_raw orders_live trades_raw trades_live portfolio"
        return (
            f"Ready; market: {self.trading.player.status.source}.\n"
            f"  Dashboard  {self.trading.dashboard_url}\n"
            f"  Web IDE    {self.trading.ide_url}\n"
            f"  Tables     {names} risk_calcs risk_live risk_totals prices_raw prices_live\n"
            f"  Store      {self.store.data_dir}"
            f"{', removed at the end (--data DIR keeps it)' if self.is_temporary else ''}\n"
            "  Ctrl-C stops it."
        )

    def summary(self) -> str:
        """What happened, from the store itself."""
        orders = self.client.query(Order, limit=None)
        states: dict[str, int] = {}
        for order in orders:
            state = str(order._store_state)
            states[state] = states.get(state, 0) + 1
        told = ", ".join(f"{count} {state}" for state, count in sorted(states.items()))
        return f"{len(orders)} orders ({told or 'none'}), {self.client.count(Trade)} trades."

    def stop(self) -> None:
        """Stop everything, the last started first; what is durable stays so."""
        self._running.close()


def parse(arguments: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="demo_bridge.py", description=__doc__.split("\n")[0])
    parser.add_argument("--port", type=int, default=10_000, help="default: %(default)s")
    parser.add_argument("--seed", type=int, help="same seed, same market (default: random)")
    parser.add_argument("--orders-per-second", type=float, default=3.0, help="default: %(default)s")
    parser.add_argument(
        "--seconds", type=float, default=math.inf, help="stop after so long (default: at Ctrl-C)"
    )
    parser.add_argument("--data", type=Path, metavar="DIR", help="keep the store there")
    parser.add_argument(
        "--replay", type=Path, nargs="+", default=(), metavar="FILE", help="play real prices"
    )
    parser.add_argument("--speed", type=float, default=1.0, help="of the replay, times real time")
    parser.add_argument("--time-zone", type=zone, metavar="ZONE", help="in which tables show times")
    options = parser.parse_args(arguments)
    if options.orders_per_second <= 0:
        parser.error(f"--orders-per-second must be above 0, not {options.orders_per_second:g}")
    return options


def main(arguments: list[str]) -> int:
    """Run the demo until it is asked to stop; returns the exit status."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s")
    options = parse(arguments)
    stop_request = StopRequest()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop_request.set())
    try:
        demo = Demo(options)
    except (ServerError, StoreError, BridgeError, WorkflowError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(demo.greeting(), flush=True)
    wait_for_stop(stop_request, options.seconds)
    # A stop that takes long says where it is.
    faulthandler.dump_traceback_later(SLOW_STOP_SECONDS)
    demo.stop()
    return 0


if __name__ == "__main__":
    exit_with(lambda: main(sys.argv[1:]))
