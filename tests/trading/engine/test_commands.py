"""`python -m trading paper` and `live` as processes."""

from __future__ import annotations

import os
import re
import signal
import sys
from pathlib import Path

from tests.processes import Process, wait_until
from tests.store.desk import ADMIN_PASSWORD, Desk, password_of
from tests.store.fixtures import alice, desk
from tests.trading.exchange.process import KEYS, ExchangeProcess
from trading.engine import FillRecord, OrderRecord

__all__ = ["alice", "desk"]

BUYER = """
from trading.strategy import Strategy


class Buyer(Strategy):
    timeframes = ["1s"]

    def on_bar(self, ctx, bar):
        ctx.buy(bar.symbol, 1)
"""

TAKER = """
from trading.strategy import Strategy


class Taker(Strategy):
    def on_tick(self, ctx, tick):
        if tick.ask is not None and ctx.position(tick.symbol) < 3:
            ctx.buy(tick.symbol, 1)
"""


def process(desk: Desk, *arguments: object, password: str = "", **env: str) -> Process:
    dsn = " ".join(f"{name}={desk.info[name]}" for name in ("host", "port", "dbname"))
    command = [sys.executable, "-m", "trading", *map(str, arguments)]
    variables = {"OBJECT_STORE_DSN": f"{dsn} user=postgres password={ADMIN_PASSWORD!r}", **env}
    if not password:
        return Process(*command, env=variables)
    read, write = os.pipe()
    os.write(write, f"{password}\n".encode())
    os.close(write)
    try:
        return Process(*command, "--password-stdin", env=variables, stdin=read)
    finally:
        os.close(read)


def test_paper_trades_and_goes_on(desk: Desk, tmp_path: Path) -> None:
    strategy = tmp_path / "buyer.py"
    strategy.write_text(BUYER)
    arguments = ("paper", "--simulate", "AAPL=230", "--strategy", strategy, "--status-every", 0.2)
    first = process(desk, *arguments)
    first.wait_for_output(" AAPL\n")
    assert first.end(signal.SIGINT, 60) == 0, first.output
    assert "position " in first.output
    assert "digest " in first.output
    held = first.output.rpartition("position ")[2].split()[0]
    second = process(desk, *arguments)
    # It may have bought more by its first line, never begun anew.
    shown = re.compile(r"(\d+) AAPL\n")
    wait_until(lambda: shown.search(second.output), 120, "the position")
    assert int(shown.findall(second.output)[0]) >= int(held) > 0
    assert second.end(signal.SIGTERM, 60) == 0, second.output


def test_live_trades_at_the_exchange(desk: Desk, tmp_path: Path) -> None:
    store = desk.client("alice")
    strategy = tmp_path / "taker.py"
    strategy.write_text(TAKER)
    options = ("--instrument", "AAPL=100", "--makers", "3", "--maker-interval", "0.05")
    with ExchangeProcess(tmp_path, *options) as exchange:
        live = process(
            desk,
            *("live", "--account", "ACC", "--user", "alice", "--instrument", "AAPL"),
            # The strategy sees the exchange's own prices.
            *("--exchange", f"127.0.0.1:{exchange.port}"),
            *("--strategy", strategy, "--status-every", 0.2, "--seconds", 600),
            password=password_of("alice"),
            EXCHANGE_KEY=KEYS["ACC"],
        )
        # Three of them are enough for the strategy: nothing is on its way then.
        enough = re.compile(r" 0 open orders, ([3-9]|[0-9]{2,}) AAPL\n")
        wait_until(lambda: enough.search(live.output), 240, "three shares and no open order")
        assert live.end(signal.SIGTERM, 60) == 0, live.output
        assert store.count(FillRecord)
        with exchange.broker() as broker:
            # The exchange lets nobody in who is older than the engine was.
            broker.connect(epoch=99)
            broker.wait_connected(30)
            for each in store.query(OrderRecord, limit=None):
                theirs = broker.find_order(each.order_id)
                assert theirs is not None
                assert theirs.filled == each.filled_quantity
