"""How fast the desk is: an order until it is durable, and prices to many sockets.

    python benchmarks/desk.py [--sockets 200] [--seconds 10]

Rivals: the same order at the engine alone, in this process (what the API adds), and a bare POST to
`/orders/preview`, which writes nothing. The desk runs in processes of its own, on 50 symbols at
1,000 ticks a second. A tick's way counts from its own time, which lies up to 20 ms before the
simulated market tells it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import psutil
from websockets.asyncio.client import connect

# Run as a script, it finds the packages beside its folder.
sys.path[0] = str(Path(__file__).resolve().parent.parent)

from store.client import StoreClient  # noqa: E402
from store.schema import provision_user  # noqa: E402
from store.server import ObjectStoreServer  # noqa: E402
from tests.trading.api.running import RunningDesk, far_below, order  # noqa: E402
from trading.brokers import PaperBroker  # noqa: E402
from trading.client import TradingClient  # noqa: E402
from trading.engine import TradingEngine  # noqa: E402
from trading.orders import OrderRequest  # noqa: E402
from trading.specification import specify  # noqa: E402

SYMBOLS = 50
TICKS_A_SECOND = 1_000


def figures(name: str, seconds: list[float]) -> None:
    ordered = sorted(seconds)
    p50, p99 = statistics.median(ordered), ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)]
    print(f"{name:<52} p50 {p50 * 1e3:7.1f} ms   p99 {p99 * 1e3:7.1f} ms   ({len(ordered)})")


def timed(call: Callable[[], object], count: int) -> list[float]:
    found = []
    for _ in range(count):
        begun = time.perf_counter()
        call()
        found.append(time.perf_counter() - begun)
    return found


def engine_alone(count: int) -> None:
    folder = tempfile.mkdtemp()
    with ObjectStoreServer(Path(folder) / "store") as server:
        admin = server.admin_conn()
        provision_user(admin, "desk", "a password")
        admin.close()
        with (
            StoreClient("desk", "a password", **server.conn_info()) as store,
            TradingEngine(
                store=store,
                feed=None,
                broker=PaperBroker("tick"),
                account="ACC",
                run="paper:bench",
                instruments=[specify("AAPL")],
                cash=1_000_000,
            ) as engine,
        ):
            wanted = OrderRequest("ACC", "AAPL", "BUY", 1, "LIMIT", "200")
            figures("order at the engine alone, quiet", timed(lambda: engine.submit(wanted), count))
    shutil.rmtree(folder, ignore_errors=True)


def orders(client: TradingClient, count: int) -> None:
    price = far_below(client)
    wanted = order("ALPHA", quantity="1", limit_price=price)
    client.submit(wanted)
    sent = timed(lambda: client.submit(wanted), count)
    figures("POST /orders until durable, 1,000 ticks/s beside", sent)
    figures("POST /orders/preview", timed(lambda: client.preview(wanted), count))
    client.cancel_all("ALPHA")


async def listen(
    desk: RunningDesk, clients: list[TradingClient], count: int, seconds: float
) -> None:
    """Let many sockets follow all symbols; latencies of ticks, and the API's share of a core."""
    url = desk.url.replace("http", "ws") + "/ws"
    symbols = list(clients[0].prices())
    late: list[float] = []
    messages = 0

    async def follow(number: int) -> None:
        nonlocal messages
        # A user has 20 sockets at most.
        token = clients[number % len(clients)]._token
        headers = {"Authorization": f"Bearer {token}"}
        async with connect(url, additional_headers=headers, compression=None) as ws:
            ask = {"op": "subscribe", "id": 1, "topic": "prices", "symbols": symbols}
            await ws.send(json.dumps(ask))
            end = time.monotonic() + seconds + 5
            while time.monotonic() < end:
                text = await ws.recv()
                messages += 1
                # A few of them read what they get: the others only take it.
                if number < 3 and time.monotonic() > end - seconds and '"batch"' in text[:20]:
                    now = time.time()
                    late.extend(
                        now - datetime.fromisoformat(item["time"]).timestamp()
                        for item in json.loads(text)["items"]
                    )

    api = psutil.Process(desk.states()["api"]["pid"])
    tasks = [asyncio.create_task(follow(number)) for number in range(count)]
    await asyncio.sleep(5)
    before, begun = sum(api.cpu_times()[:2]), time.monotonic()
    await asyncio.sleep(seconds)
    used, took = sum(api.cpu_times()[:2]) - before, time.monotonic() - begun
    await asyncio.gather(*tasks)
    figures(f"tick to socket, {count} sockets", late)
    share, rate = used / took * 100, messages / (seconds + 5)
    print(f"{'API process':<52} {share:5.0f} % of a core, {rate:.0f} messages/s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sockets", type=int, nargs="+", default=[20, 200])
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--orders", type=int, default=300)
    options = parser.parse_args()
    engine_alone(options.orders)
    folder = Path(tempfile.mkdtemp(prefix="desk-bench-"))
    accounts = folder / "accounts.json"
    members = {f"user{number}": "trader" for number in range(12)}
    accounts.write_text(
        json.dumps([{"account": "ALPHA", "run": "paper:a", "members": members, "twins": False}])
    )
    names = ["AAPL=230", *(f"SYM{number}=100" for number in range(1, SYMBOLS))]
    rate = str(TICKS_A_SECOND / SYMBOLS)
    desk = RunningDesk(
        folder / "data", "--accounts", str(accounts), "--simulate", *names, "--rate", rate
    )
    try:
        desk.wait_ready()
        clients = [desk.client(user) for user in members]
        orders(clients[0], options.orders)
        for count in options.sockets:
            asyncio.run(listen(desk, clients, count, options.seconds))
        for client in clients:
            client.close()
        desk.stop()
    finally:
        desk.end()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
