"""How fast the engine is on a real store and a real exchange process, with its rivals in one run.

    python benchmarks/engine.py [--orders 20000] [--seconds 10] [--day 100000] [--quick]
                                [--group 400]

Every order goes the whole way: command, risk, durable, sent, acknowledged, filled, booked. The
rivals are as many records written by bare inserts into a plain table, in groups of the same size,
and the same inputs through the kernel without a journal. What a disk and a processor are worth at
that moment is measured beside it: compare ratios. The day of `--day` orders, which is folded from
nothing and from its snapshot, is written as a journal alone.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

# Run as a script, it finds the packages beside its folder.
ROOT = Path(__file__).resolve().parent.parent
sys.path[0] = str(ROOT)

import msgspec  # noqa: E402
from psycopg2.extras import execute_values  # noqa: E402

from store.base import Storable  # noqa: E402
from store.client import StoreClient  # noqa: E402
from store.entities.appender import new_entity_id  # noqa: E402
from store.leases import Lease  # noqa: E402
from store.schema import provision_user  # noqa: E402
from store.server import ObjectStoreServer  # noqa: E402
from trading.engine import EngineOptions, TradingEngine  # noqa: E402
from trading.engine.heap import freeze_heap  # noqa: E402
from trading.engine.inbox import Inbox  # noqa: E402
from trading.engine.journal import Entry, Group, Journal  # noqa: E402
from trading.engine.snapshots import SnapshotKeeper  # noqa: E402
from trading.engine.state import EngineState, Recipe, canonical  # noqa: E402
from trading.engine.writer import Writer  # noqa: E402
from trading.exchange import ExchangeBroker  # noqa: E402
from trading.journal import decode_input  # noqa: E402
from trading.journal.inputs import (  # noqa: E402
    DefineInstrument,
    Input,
    OpenAccount,
    OrderTerms,
    Submit,
)
from trading.journal.outputs import FillBooked, OrderOpened, Output, SendOrder  # noqa: E402
from trading.journal.outputs import SendOrder as Sale  # noqa: E402
from trading.journal.reports import OrderAccepted, OrderFilled  # noqa: E402
from trading.specification import specify  # noqa: E402

AAPL = specify("AAPL")
WINDOW = 2_000
GROUP = EngineOptions.group_size
KEYS = {"ACC": "key of acc", "BOB": "key of bob"}


class Watch:
    """Follows what the engine publishes: when orders were sent, and how many are filled."""

    def __init__(self) -> None:
        self.fills = 0
        self.begun: dict[str, float] = {}
        self.commands: dict[str, str] = {}
        self.sent: list[float] = []
        self.filled: list[float] = []
        self.changed = threading.Condition()

    def __call__(self, outputs: Sequence[Output]) -> None:
        now = time.perf_counter()
        for output in outputs:
            if isinstance(output, OrderOpened):
                self.commands[output.order_id] = output.command_id
            elif isinstance(output, SendOrder):
                begun = self.begun.get(self.commands.get(output.order_id, ""))
                if begun is not None:
                    self.sent.append(now - begun)
            elif isinstance(output, FillBooked):
                self.fills += 1
                begun = self.begun.get(self.commands.pop(output.order_id, ""))
                if begun is not None:
                    self.filled.append(now - begun)
        with self.changed:
            self.changed.notify_all()

    def wait(self, fills: int) -> None:
        with self.changed:
            if not self.changed.wait_for(lambda: self.fills >= fills, 600):
                raise SystemExit(f"only {self.fills} of {fills} orders were filled")


def submit(number: int) -> Submit:
    side = 1 if number % 2 else -1
    price = 10_001 if side > 0 else 9_999
    terms = OrderTerms("ACC", "", "AAPL", side, 1, "LIMIT", price, None, "GTC")
    return Submit(0, f"c{number}", "trader", "ORDER", (terms,))


def exchange_process(folder: Path) -> tuple[subprocess.Popen[str], int]:
    accounts = folder / "accounts.json"
    accounts.write_text(json.dumps({"accounts": {n: {"key": k} for n, k in KEYS.items()}}))
    accounts.chmod(0o600)
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "trading", "exchange", "serve", str(folder / "exchange")),
            *("--accounts", str(accounts), "--instrument", "AAPL=100"),
        ],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    return process, int(process.stdout.readline().rpartition(":")[2])


def quote(port: int) -> ExchangeBroker:
    """Somebody who buys and sells as much as anybody wants."""
    other = ExchangeBroker("127.0.0.1", port, account="BOB", key=KEYS["BOB"])
    other.connect()
    other.wait_connected(30)
    for name, side, price in (("bid", 1, 9_999), ("ask", -1, 10_001)):
        other.submit(
            Sale(
                *(1, name, "BOB", "AAPL", side, 10**9, "LIMIT", price, None, "GTC", None),
                *(False, False, None, None),
            )
        )
    while len(other.open_orders()) < 2:
        time.sleep(0.01)
    return other


def engine_of(
    store: StoreClient, port: int, watch: Watch, group_size: int = GROUP
) -> TradingEngine:
    def broker() -> ExchangeBroker:
        return ExchangeBroker("127.0.0.1", port, account="ACC", key=KEYS["ACC"], instruments=[AAPL])

    return TradingEngine(
        store=store,
        feed=None,
        broker=broker,
        account="ACC",
        run="live",
        instruments=[AAPL],
        cash=10**9,
        options=EngineOptions(lease_s=5.0, group_size=group_size),
        publish=watch,
    )


def throughput(engine: TradingEngine, watch: Watch, orders: int) -> float:
    begun, before = time.perf_counter(), watch.fills
    for number in range(orders):
        if number >= WINDOW:
            watch.wait(before + number - WINDOW)
        engine.send(submit(before + number))
    watch.wait(before + orders)
    return orders / (time.perf_counter() - begun)


def latency(engine: TradingEngine, watch: Watch, seconds: float, rate: int = 100) -> None:
    watch.sent.clear()
    watch.filled.clear()
    before, count = watch.fills, int(seconds * rate)
    begun = time.perf_counter()
    for number in range(count):
        time.sleep(max(begun + number / rate - time.perf_counter(), 0))
        command = submit(10**9 + number)
        watch.begun[command.command_id] = time.perf_counter()
        engine.send(command)
    watch.wait(before + count)


def rivals(store: StoreClient, admin: Any) -> tuple[float, float]:
    """Orders a second of bare inserts of as many records, and of the kernel alone."""
    journal = Journal(store, "ACC", "live")
    groups = list(journal.groups(journal.segments()))
    inputs = [decode_input(entry.data) for each in groups for entry in each.entries]
    orders = sum(isinstance(each, Submit) for each in inputs)
    with admin.cursor() as cursor:
        cursor.execute("SELECT count(*), avg(length(data::text))::int FROM object_store.event")
        records, length = cursor.fetchone()
        print(f"  records an order             {records / orders:10.1f}, of {length} bytes")
        cursor.execute("CREATE TABLE rival (id bigserial PRIMARY KEY, record jsonb NOT NULL)")
        body = json.dumps({"record": "x" * max(length - 14, 0)})
        begun = time.perf_counter()
        for each in groups:
            rows = [(body,)] * max(round(len(each.entries) * records / len(inputs)), 1)
            execute_values(cursor, "INSERT INTO rival (record) VALUES %s", rows, page_size=1_000)
        inserts = orders / (time.perf_counter() - begun)
    engine = engine_of(store, 0, Watch())
    kernel = engine._recipe.kernel()
    begun = time.perf_counter()
    for event in inputs:
        kernel.step(event)
    return inserts, orders / (time.perf_counter() - begun)


def disk(folder: Path, times: int = 200) -> str:
    """What it takes to get a page to the disk."""
    found = []
    with (folder / "page").open("wb", buffering=0) as file:
        for _ in range(times):
            file.write(b"x" * 8_192)
            begun = time.perf_counter()
            os.fdatasync(file.fileno())
            found.append(time.perf_counter() - begun)
            time.sleep(0.002)
    return quantiles(found)


class Ids:
    """Gives records ids and versions as a store would, and writes nothing."""

    def write(self, _obj: Storable, **_period: Any) -> str:
        return new_entity_id()

    def update(self, obj: Storable) -> int:
        return (obj._store_version or 0) + 1


def day_of(state: EngineState, orders: int) -> Iterator[list[Input]]:
    """The inputs of a day, group by group: each order is sent, acknowledged and filled."""
    now = time.time_ns()
    yield [
        DefineInstrument(now, AAPL),
        OpenAccount(now, "ACC", "USD", (("USD", 10**19),), "desk"),
    ]
    for at in range(0, orders, 100):
        now += 10**9
        yield [msgspec.structs.replace(submit(at + n), time=now + n) for n in range(100)]
        reports: list[Input] = []
        for number, sent in enumerate(state.pending.all()):
            assert isinstance(sent, SendOrder)
            time_ns, fill_id = now + 1_000 + number, f"X-{at + number}"
            reports.append(OrderAccepted(time_ns, "ACC", sent.order_id, f"V{at + number}"))
            reports.append(
                OrderFilled(
                    *(time_ns, "ACC", sent.order_id, fill_id, 1, sent.limit or 0, 0, time_ns),
                    **{"side": sent.side, "symbol": "AAPL"},
                )
            )
        yield reports


def measure_day(store: StoreClient, orders: int) -> None:
    """What a day takes to be folded, and what it leaves in memory."""
    recipe = replace(engine_of(store, 0, Watch()).recipe, run="day")
    state, journal = EngineState(recipe), Journal(store, "ACC", "day")
    lease = store.lease("a day", seconds=600)
    sequence, sizes = 0, []
    for events in day_of(state, orders):
        state.book.begin(Ids())
        entries = []
        for event in events:
            sequence += 1
            entries.append(Entry(canonical(event), sequence))
            state.step(event, sequence)
        state.end_group()
        ids = [bytes.fromhex(each.replace("-", "")) for each in state.book.created()]
        number = journal.appended + 1
        group = Group(number, entries, ids, sequence, state.kernel.digest, 1)
        with store.batch(lease=lease, marks=False) as batch:
            journal.append(batch, group, state.kernel.now)
        journal.taken(group)
        if number % (orders // 50 // 4) == 0:
            sizes.append(memory())
    grown = (sizes[-1] - sizes[len(sizes) // 2 - 1]) / (orders / 2)
    print(f"memory of a day's second half  {grown:10.0f} bytes an order, {orders} orders")
    print(f"a day from nothing             {folded(store, recipe, lease):10.2f} s")
    keeper = SnapshotKeeper(store, "ACC", "day", EngineOptions())
    begun = time.perf_counter()
    data = state.dump()
    encoded = time.perf_counter() - begun
    keeper.save(journal.group, journal.digest, data, state.kernel.now, state.inputs)
    keeper.wait()
    print(f"a day from its snapshot        {folded(store, recipe, lease):10.2f} s")
    print(f"  the snapshot                 {1e3 * encoded:10.0f} ms, {len(data) / 2**20:.1f} MiB")


def folded(store: StoreClient, recipe: Recipe, lease: Lease) -> float:
    options, stop = EngineOptions(), threading.Event()
    writer = Writer(recipe, store, lease, None, Inbox(), options, stop, lambda _: None)
    begun = time.perf_counter()
    writer.fold()
    return time.perf_counter() - begun


def idle(seconds: float = 5.0) -> float:
    before = time.process_time()
    time.sleep(seconds)
    return (time.process_time() - before) / seconds


def memory() -> int:
    """Bytes of this process in memory now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def quantiles(values: list[float]) -> str:
    cuts = statistics.quantiles(values, n=100)
    return f"p50 {1e3 * cuts[49]:.2f} ms, p99 {1e3 * cuts[98]:.2f} ms"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--orders", type=int, default=20_000)
    parser.add_argument("--seconds", type=float, default=10.0, help="of the measure of latency")
    parser.add_argument("--day", type=int, default=100_000, help="orders of the day to be folded")
    parser.add_argument("--group", type=int, default=GROUP, help="inputs a group at most")
    parser.add_argument("--quick", action="store_true", help="small numbers, in 3 minutes")
    options = parser.parse_args()
    if options.quick:
        options.orders, options.seconds, options.day = 4_000, 4.0, 10_000
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        process, port = exchange_process(folder)
        with ObjectStoreServer(folder / "data") as server:
            admin = server.admin_conn()
            provision_user(admin, "desk", "the desk's password")
            store = StoreClient("desk", "the desk's password", **server.conn_info())
            other, watch = quote(port), Watch()
            engine = engine_of(store, port, watch, options.group)
            engine.start(60)
            try:
                print(f"a page to the disk             {disk(folder)}")
                measure(engine, watch, options, Processes(admin, process.pid))
                engine.stop()
                inserts, alone = rivals(store, admin)
                print(f"  rival: bare inserts          {inserts:10,.0f} orders/s")
                print(f"  rival: kernel, no journal    {alone:10,.0f} orders/s")
                measure_day(store, options.day)
            finally:
                other.close()
                store.close()
                admin.close()
                process.terminate()
                process.wait(30)


class Processes:
    """Processor time of the processes that an order passes."""

    def __init__(self, admin: Any, exchange: int) -> None:
        self._admin = admin
        self._exchange = exchange

    def seconds(self) -> dict[str, float]:
        with self._admin.cursor() as cursor:
            cursor.execute("SELECT pid FROM pg_stat_activity WHERE usename = 'desk'")
            backends = [pid for (pid,) in cursor.fetchall()]
        return {
            "engine": time.process_time(),
            "PostgreSQL": sum(map(_seconds_of, backends)),
            "exchange": _seconds_of(self._exchange),
        }


def _seconds_of(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(
    engine: TradingEngine, watch: Watch, options: argparse.Namespace, processes: Processes
) -> None:
    # As `python -m trading live` does once it runs.
    freeze_heap()
    print(f"{os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}")
    print(f"idle engine                    {100 * idle():10.1f} % of a processor")
    latency(engine, watch, options.seconds)
    print(f"command to sent, 100 orders/s  {quantiles(watch.sent)}")
    print(f"command to booked fill         {quantiles(watch.filled)}")
    before = processes.seconds()
    rates = [throughput(engine, watch, options.orders // 4) for _ in range(4)]
    print(f"orders, the whole way          {statistics.harmonic_mean(rates):10,.0f} orders/s")
    for name, seconds in processes.seconds().items():
        spent = 1e3 * (seconds - before[name]) / options.orders
        print(f"  processor time               {spent:10.2f} ms an order, {name}")
    print(f"  inputs a group               {engine.status().inputs / engine.status().group:10.1f}")


if __name__ == "__main__":
    main()
