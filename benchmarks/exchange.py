"""How fast the simulated exchange is over its socket, with its rival in the same run.

    python benchmarks/exchange.py [--orders 20000] [--trips 1000]

The rival is the least that could do as much: a process that reads the same frames from a socket,
writes what has arrived to a file, waits for the disk (fdatasync) and sends each frame back. It has
no book, no accounts and no recovery. Both clients run in this process. Compare ratios.
"""

from __future__ import annotations

import argparse
import json
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

# Run as a script, it finds the packages beside its folder.
ROOT = Path(__file__).resolve().parent.parent
sys.path[0] = str(ROOT)

from trading.exchange import ExchangeBroker  # noqa: E402
from trading.exchange.wire import Command, frame  # noqa: E402
from trading.journal.outputs import SendOrder  # noqa: E402
from trading.journal.reports import OrderAccepted  # noqa: E402
from trading.venues.protocol import SequencedReport  # noqa: E402

WINDOW = 1_000

ECHO = """
import os, select, socket, sys
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
file = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT)
link, _ = listener.accept()
link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
waiting = b""
while data := link.recv(262144):
    waiting += data
    at = 0
    while len(waiting) - at >= 4:
        end = at + 4 + int.from_bytes(waiting[at:at + 4], "big")
        if end > len(waiting):
            break
        at = end
    if at:
        os.write(file, waiting[:at])
        os.fdatasync(file)
        link.sendall(waiting[:at])
        waiting = waiting[at:]
"""


def order(number: int) -> SendOrder:
    # Half of them trade with the other half.
    side = 1 if number % 2 else -1
    return SendOrder(
        *(time.time_ns(), f"run-1.{number}.0", "ACC", "AAPL", side, 10, "LIMIT", 10_000, None),
        *("GTC", None, False, False, None, None),
    )


class Echo:
    """A client of the rival, as bare as it."""

    def __init__(self, folder: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", ECHO, str(folder / "echo")], stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        self.link = socket.create_connection(("127.0.0.1", int(self.process.stdout.readline())))
        self.link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.answered = 0
        self.changed = threading.Condition()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        waiting = b""
        while data := self.link.recv(262_144):
            waiting += data
            at = count = 0
            while len(waiting) - at >= 4:
                end = at + 4 + struct.unpack_from(">I", waiting, at)[0]
                if end > len(waiting):
                    break
                at, count = end, count + 1
            waiting = waiting[at:]
            with self.changed:
                self.answered += count
                self.changed.notify_all()

    def send(self, number: int) -> None:
        self.link.sendall(frame(Command(number + 1, order(number))))

    def wait(self, count: int) -> None:
        with self.changed:
            self.changed.wait_for(lambda: self.answered >= count, 60)

    def close(self) -> None:
        self.link.shutdown(socket.SHUT_RDWR)
        self.link.close()
        self.process.wait(10)


class Exchange:
    """The exchange as a process, and its broker."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        accounts = folder / "accounts.json"
        accounts.write_text(json.dumps({"accounts": {"ACC": {"key": "secret-key"}}}))
        accounts.chmod(0o600)
        self.answered = 0
        self.first_start = self.start()
        self.broker = ExchangeBroker("127.0.0.1", self.port, account="ACC", key="secret-key")
        self.broker.connect()
        self.broker.wait_connected(30)

    def start(self) -> float:
        begun = time.perf_counter()
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "trading", "exchange", "serve", str(self.folder / "data")),
                *("--accounts", str(self.folder / "accounts.json")),
                *("--instrument", "AAPL=100", "--self-trade", "ALLOW"),
            ],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline().rpartition(":")[2])
        return time.perf_counter() - begun

    def send(self, number: int) -> None:
        self.broker.submit(order(number), fresh=True)

    def wait(self, count: int) -> None:
        while self.answered < count:
            for event in self.broker.poll(5.0):
                if isinstance(event, SequencedReport) and isinstance(event.report, OrderAccepted):
                    self.answered += 1

    def close(self) -> None:
        self.broker.close()
        self.process.terminate()
        self.process.wait(30)


def throughput(target: Echo | Exchange, first: int, count: int) -> float:
    """Orders a second with up to a thousand of them unanswered."""
    begun = time.perf_counter()
    for number in range(first, first + count):
        target.send(number)
        if number % 100 == 0:
            target.wait(max(number - WINDOW, 0))
    target.wait(first + count)
    return count / (time.perf_counter() - begun)


def trips(target: Echo | Exchange, first: int, count: int) -> list[float]:
    """Milliseconds from sending one order to hearing that it is durable, one at a time."""
    found = []
    for number in range(first, first + count):
        begun = time.perf_counter()
        target.send(number)
        target.wait(number + 1)
        found.append((time.perf_counter() - begun) * 1e3)
    return found


def measure(make: Callable[[Path], Echo | Exchange], orders: int, count: int) -> list[float]:
    with tempfile.TemporaryDirectory() as folder:
        target = make(Path(folder))
        try:
            alone = trips(target, 0, count)
            rate = throughput(target, count, orders)
            figures = [rate, statistics.median(alone), statistics.quantiles(alone, n=100)[98]]
        finally:
            target.close()
        if isinstance(target, Exchange):
            figures += [target.first_start, target.start()]
            target.process.terminate()
            target.process.wait(30)
            size = (Path(folder) / "data" / "exchange.log").stat().st_size
            figures.append(size / (orders + count))
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--orders", type=int, default=20_000)
    parser.add_argument("--trips", type=int, default=1_000)
    options = parser.parse_args()
    print(f"{'':28}{'orders/s':>10}{'p50 ms':>9}{'p99 ms':>9}")
    echo = measure(Echo, options.orders, options.trips)
    print(f"{'echo with the same fdatasync':28}{echo[0]:10,.0f}{echo[1]:9.2f}{echo[2]:9.2f}")
    mine = measure(Exchange, options.orders, options.trips)
    print(f"{'exchange, durable':28}{mine[0]:10,.0f}{mine[1]:9.2f}{mine[2]:9.2f}")
    print(f"{'exchange / echo':28}{mine[0] / echo[0]:10.2f}{mine[1] / echo[1]:9.2f}")
    count = options.orders + options.trips
    print(f"start: {mine[3]:.1f} s with nothing, {mine[4]:.1f} s after {count:,} orders")
    print(f"log: {mine[5]:.0f} bytes an order")


if __name__ == "__main__":
    main()
