"""How fast the desk is: ticks to a page and to many sockets, orders until they are durable.

    python benchmarks/desk.py [--sockets 20 200] [--seconds 10] [--orders 300]

The desk runs in processes of its own, on 50 symbols at 1,000 ticks a second. A tick's way counts
from its own time, which lies up to 20 ms before the simulated market tells it, and ends when
Chromium has drawn the frame after it. Rivals: a socket of this process for the page (what the
browser adds), the same order at the engine alone for the API (what HTTP adds), a POST to
`/orders/preview`, which writes nothing, and the chart library for the size of the page's scripts.
Each figure is printed with the bound that it must keep. A tick's way to the sockets is printed
hop by hop: when the market has told it, when the API has made its message, and when it is read.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import re
import shutil
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil
from websockets.asyncio.client import connect

# Run as a script, it finds the packages beside its folder.
sys.path[0] = str(Path(__file__).resolve().parent.parent)

from benchmarks import page  # noqa: E402
from store.client import StoreClient  # noqa: E402
from store.schema import provision_user  # noqa: E402
from store.server import ObjectStoreServer  # noqa: E402
from tests.trading.api.running import RunningDesk, far_below, order  # noqa: E402
from trading.brokers import PaperBroker  # noqa: E402
from trading.client import TradingClient  # noqa: E402
from trading.engine import TradingEngine  # noqa: E402
from trading.local_link import AsyncLink, pack_frame  # noqa: E402
from trading.orders import OrderRequest  # noqa: E402
from trading.specification import specify  # noqa: E402

SYMBOLS = 50
TICKS_A_SECOND = 1_000
SETTLE_S = 5


def figures(
    name: str, seconds: list[float], p50_bound: float = math.inf, p99_bound: float = math.inf
) -> None:
    if not seconds:
        print(f"{name:<52} nothing was measured")
        return
    ordered = sorted(seconds)
    p50, p99 = statistics.median(ordered), ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)]
    bounds = [
        f"{word} {'kept' if value < bound else 'BROKEN'} (< {bound * 1e3:.0f})"
        for word, value, bound in (("p50", p50, p50_bound), ("p99", p99, p99_bound))
        if bound < math.inf
    ]
    print(
        f"{name:<52} p50 {p50 * 1e3:7.1f} ms   p99 {p99 * 1e3:7.1f} ms   ({len(ordered)})  "
        + ", ".join(bounds),
        flush=True,
    )


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
    figures("POST /orders until durable, 1,000 ticks/s beside", sent, p50_bound=0.015)
    figures("POST /orders/preview", timed(lambda: client.preview(wanted), count))
    client.cancel_all("ALPHA")


class Shares:
    """What processes take of a core, between its making and `tell`."""

    def __init__(self, desk: RunningDesk, *names: str) -> None:
        states = desk.states()
        self._processes = {name: psutil.Process(states[name]["pid"]) for name in names}
        self._before = self._used()
        self._begun = time.monotonic()

    def _used(self) -> dict[str, float]:
        return {name: sum(each.cpu_times()[:2]) for name, each in self._processes.items()}

    def tell(self, what: str, bound: float = math.inf) -> None:
        took, used = time.monotonic() - self._begun, self._used()
        shares = {name: (used[name] - self._before[name]) / took for name in used}
        told = ", ".join(f"{name} {share:.0%}" for name, share in shares.items())
        whole = sum(shares.values())
        kept = f"  {'kept' if whole < bound else 'BROKEN'} (< {bound:.0%})" if bound < 9 else ""
        print(f"{what:<52} {told}: {whole:.0%} of a core{kept}", flush=True)


class Late:
    """How late ticks were: when the market told them, in the API's message, and at a socket."""

    def __init__(self) -> None:
        self.told: list[float] = []
        self.made: list[float] = []
        self.read: list[float] = []

    def take(self, message: dict[str, Any]) -> None:
        now, made = time.time(), datetime.fromisoformat(message["time"]).timestamp()
        times = [datetime.fromisoformat(item["time"]).timestamp() for item in message["items"]]
        self.made.extend(made - each for each in times)
        self.read.extend(now - each for each in times)


async def hear_market(desk: RunningDesk, end: float, since: float, late: Late) -> None:
    """Read what the market's process tells until `end`, as the API does."""
    config = desk.config
    link = await AsyncLink.connect(config.ports["market"], config.link_key)
    link.write(pack_frame({"subscribe": ["values"]}))
    while time.monotonic() < end:
        message = await link.receive()
        if message["kind"] == "prices" and time.monotonic() > since:
            now = time.time()
            late.told.extend(now - item["time"] / 1e9 for item in message["items"])
    link.close()


async def follow(
    url: str, token: str, symbols: list[str], end: float, late: Late | None, since: float
) -> int:
    """Read prices until `end`; latencies of those after `since` go into `late`."""
    messages = 0
    headers = {"Authorization": f"Bearer {token}"}
    async with connect(url, additional_headers=headers, compression=None) as ws:
        await ws.send(
            json.dumps({"op": "subscribe", "id": 1, "topic": "prices", "symbols": symbols})
        )
        while time.monotonic() < end:
            text = await ws.recv()
            messages += 1
            if late is not None and time.monotonic() > since and '"batch"' in text[:20]:
                late.take(json.loads(text))
    return messages


async def listen(
    desk: RunningDesk, clients: list[TradingClient], count: int, seconds: float
) -> None:
    """Let many sockets follow all symbols; latencies of ticks, and the processes' shares."""
    url = desk.url.replace("http", "ws") + "/ws"
    symbols = list(clients[0].prices())
    late = Late()
    since = time.monotonic() + SETTLE_S
    end = since + seconds
    # A user has 20 sockets at most. Few of them read what they get: the others only take it.
    tasks = [
        asyncio.create_task(
            follow(
                url,
                clients[number % len(clients)]._token,
                symbols,
                end,
                late if number < 3 else None,
                since,
            )
        )
        for number in range(count)
    ]
    hearing = asyncio.create_task(hear_market(desk, end, since, late))
    await asyncio.sleep(SETTLE_S)
    shares = Shares(desk, "api")
    whole = Shares(desk, "market", "api", "engine")
    await asyncio.sleep(seconds)
    shares.tell(f"API with {count} sockets", 1.0)
    whole.tell("market, API and engine")
    messages = sum(await asyncio.gather(*tasks))
    await hearing
    figures("tick until the market has told it", late.told)
    figures("tick until the API has made the message", late.made)
    figures(f"tick to socket, {count} sockets", late.read)
    rate = TICKS_A_SECOND * count
    sent = messages / (seconds + SETTLE_S)
    print(f"{'':<52} {rate:,} ticks/s asked for became {sent:,.0f} messages/s", flush=True)


# Times each price from its tick's own time until the frame after it is drawn.
WATCH = """
window.late = [];
const Plain = window.WebSocket;
window.WebSocket = class extends Plain {
  constructor(...given) {
    super(...given);
    this.addEventListener("message", (event) => {
      if (!event.data.startsWith('{"type":"batch"')) return;
      const times = JSON.parse(event.data).items
        .filter((item) => item.type === "price").map((item) => Date.parse(item.time));
      requestAnimationFrame(() => setTimeout(() => {
        const now = Date.now();
        for (const time of times) window.late.push(now - time);
      }));
    });
  }
};
"""


def open_page(desk: RunningDesk, user: str, seconds: float) -> None:
    """What a person sees: a page in Chromium beside 20 sockets of programs."""
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium")
    link = re.search(rf"^  {user} +(http\S+)$", desk.process.output, re.MULTILINE)
    if chromium is None or link is None:
        print("no Chromium, or no link: the page is not measured")
        return
    options = ["--no-sandbox", "--disable-gpu", "--no-first-run"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=options)
        opened = browser.new_page(viewport={"width": 1366, "height": 768})
        opened.add_init_script(WATCH)
        opened.goto(link[1])
        # Asked from here: the page's own rules allow no text to be run as code in it.
        end = time.monotonic() + 120
        while opened.evaluate("window.late.length") < 500 and time.monotonic() < end:
            opened.wait_for_timeout(200)
        opened.wait_for_timeout(SETTLE_S * 1000)
        opened.evaluate("window.late.length = 0")
        opened.wait_for_timeout(seconds * 1000)
        late = [each / 1e3 for each in opened.evaluate("window.late")]
        figures("tick to page, drawn, beside 20 sockets", late, 0.050, 0.150)
        browser.close()


def page_beside_sockets(desk: RunningDesk, clients: list[TradingClient], seconds: float) -> None:
    """The page's latency while 20 sockets of programs follow all symbols."""
    url = desk.url.replace("http", "ws") + "/ws"
    symbols = list(clients[0].prices())
    # They outlast the page, which takes its time to open.
    end = time.monotonic() + seconds + 60

    async def programs() -> None:
        tasks = [
            asyncio.create_task(
                follow(url, clients[n % len(clients)]._token, symbols, end, None, end)
            )
            for n in range(20)
        ]
        while not done.is_set():
            await asyncio.sleep(0.2)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    done = threading.Event()
    thread = threading.Thread(target=lambda: asyncio.run(programs()), daemon=True)
    thread.start()
    try:
        shares = Shares(desk, "market", "api")
        open_page(desk, "user11", seconds)
        shares.tell("market and API beside the page", 1.0)
    finally:
        done.set()
        thread.join(10)


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
        page_beside_sockets(desk, clients[:10], options.seconds)
        for count in options.sockets:
            asyncio.run(listen(desk, clients, count, options.seconds))
        for client in clients:
            client.close()
        desk.stop()
        page.main()
    finally:
        desk.end()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
