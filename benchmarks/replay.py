"""How fast recordings are played, sought and asked about.

    python benchmarks/replay.py                # about a minute, with a scratch server
    python benchmarks/replay.py --pace 3600    # speed error over an hour of recorded time at 10 x

Rivals in the same run: the kernel by itself, playing to the target from the beginning, and the
store's general query for a past time.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

sys.path[0] = str(Path(__file__).resolve().parent.parent)

import numpy as np  # noqa: E402
import pyarrow as pa  # noqa: E402

from store.client import StoreClient  # noqa: E402
from store.schema import provision_user  # noqa: E402
from store.server import ObjectStoreServer  # noqa: E402
from trading.engine import FillRecord  # noqa: E402
from trading.replay.player import Player  # noqa: E402
from trading.replay.session import SessionState  # noqa: E402
from trading.replay.sessions import ReplaySessions, session_recipe  # noqa: E402
from trading.replay.tape import Tape  # noqa: E402
from trading.replay.two_times import TwoTimes, bootstrap_books  # noqa: E402
from trading.strategy import Strategy  # noqa: E402

START = 1_767_623_400_000_000_000
SECOND = 10**9
PASSWORD = "only for this benchmark"


class SmaCross(Strategy):
    timeframes = ("1m",)

    def __init__(self, **more: Any) -> None:
        super().__init__(**more)
        self.closes: dict[str, list[float]] = {}

    def on_bar(self, ctx: Any, bar: Any) -> None:
        closes = self.closes.setdefault(bar.symbol, [])
        closes.append(float(bar.close))
        del closes[:-30]
        if len(closes) < 30:
            return
        fast, slow = sum(closes[-10:]) / 10, sum(closes) / 30
        held = ctx.position(bar.symbol)
        if fast > slow and held <= 0:
            ctx.buy(bar.symbol, 10)
        elif fast < slow and held > 0:
            ctx.sell(bar.symbol, held)


def day(count: int, seconds: float = 23_400.0) -> Tape:
    rng = np.random.default_rng(1)
    table = pa.table(
        {
            "timestamp": pa.array(
                START + (np.arange(count) * (seconds / count * SECOND)).astype(np.int64)
            ).cast(pa.timestamp("ns", "UTC")),
            "symbol": ["AAPL"] * count,
            "price": np.round(230 + np.cumsum(rng.normal(0, 0.01, count)), 2),
            "size": rng.integers(1, 100, count),
        }
    )
    return Tape.of_data(table)


def plays(tape: Tape) -> None:
    best = 0.0
    for _ in range(3):
        with ReplaySessions() as sessions:
            session = sessions.create(tape, strategies=[SmaCross()], speed=None)
            began = time.perf_counter()
            session.play()
            assert session.wait(SessionState.FINISHED, 600)
            best = max(best, len(tape) / (time.perf_counter() - began))
            orders = len(session.shown().orders)
    kernel = session_recipe(tape, "replay:bare", strategies=[SmaCross()]).kernel()
    began = time.perf_counter()
    for event in (*tape.opening, *tape.pieces):
        kernel.step(event)  # type: ignore[arg-type]
    bare = len(tape) / (time.perf_counter() - began)
    print(f"as fast as possible, one bar strategy, {orders} orders: {best / 1e6:.1f} M ticks/s")
    print(f"  the kernel by itself: {bare / 1e6:.1f} M ticks/s")


def seeks(tape: Tape) -> None:
    player = Player(tape, session_recipe(tape, "replay:seek", strategies=[SmaCross()]).kernel)
    began = time.perf_counter()
    player.play_until(player.until)
    whole = time.perf_counter() - began
    rng = np.random.default_rng(2)
    took = []
    for target in rng.integers(tape.start, tape.end, 60).tolist():
        began = time.perf_counter()
        player.seek_time(target)
        player.shown()
        took.append(time.perf_counter() - began)
    print(
        f"seek within {len(tape):,} ticks: median {statistics.median(took) * 1e3:.0f} ms, "
        f"worst of {len(took)} {max(took) * 1e3:.0f} ms"
    )
    print(f"  playing all of it with the snapshots: {whole * 1e3:.0f} ms")


def pace(recorded_s: float, speed: float) -> None:
    """Ten ticks a second of recorded time; the error is how late each is told."""
    tape = day(int(recorded_s * 10), recorded_s)
    late: list[float] = []
    with ReplaySessions() as sessions:
        session = sessions.create(tape, speed=speed)
        clock = time.monotonic
        began = clock()

        def take(message: Any) -> None:
            due = (message.time - START) / SECOND / speed
            late.append(clock() - began - due)

        session.subscribe(take, ["ticks"])
        began = clock()
        session.play()
        assert session.wait(SessionState.FINISHED, 2 * recorded_s / speed + 60)
    tenth = max(len(late) // 10, 1)
    drift = statistics.median(late[-tenth:]) - statistics.median(late[:tenth])
    late.sort()
    print(
        f"speed error at {speed:g} x over {recorded_s:g} s of recorded time: median "
        f"{statistics.median(late) * 1e3:.1f} ms, 99 % {late[int(len(late) * 0.99)] * 1e3:.1f} ms, "
        f"worst {late[-1] * 1e3:.1f} ms"
    )
    print(f"  drift from the first tenth to the last: {drift * 1e3:+.1f} ms")


def timed(owner: Any, ask: Any) -> tuple[Any, str]:
    """Ask some times; the answer, and the time on the wall and in the database's own process."""
    connection = owner.conn if isinstance(owner, StoreClient) else owner
    walls, works = [], []
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        stat = Path(f"/proc/{cursor.fetchone()[0]}/stat")
    answer = None
    for _ in range(8):
        work, began = processor_ms(stat), time.perf_counter()
        answer = ask()
        walls.append((time.perf_counter() - began) * 1e3)
        works.append(processor_ms(stat) - work)
    return answer, (
        f"best {min(walls):.0f} ms, median {statistics.median(walls):.0f} ms; "
        f"{statistics.mean(works):.0f} ms of it work of the database"
    )


def processor_ms(stat: Path) -> float:
    """Processor time of a process, where the system tells it."""
    if not stat.exists():
        return 0.0
    fields = stat.read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) * 1e3 / os.sysconf("SC_CLK_TCK")


def bare_sum(connection: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT sum(quantity * price), sum(fees) FROM trading_books.fill")
        cursor.fetchall()


def two_times(count: int) -> None:
    with tempfile.TemporaryDirectory() as folder, ObjectStoreServer(folder) as server:
        admin = server.admin_conn()
        provision_user(admin, "bench", PASSWORD)
        bootstrap_books(admin)
        store = StoreClient("bench", PASSWORD, **server.conn_info())
        rng = np.random.default_rng(3)
        now = datetime.now(timezone.utc)
        noon = (now - timedelta(hours=6)).replace(minute=0)
        began_at = now
        began = time.perf_counter()
        for base in range(0, count, 5_000):
            with store.batch() as batch:
                for number in range(base, min(base + 5_000, count)):
                    executed = noon + timedelta(milliseconds=int(rng.integers(0, 10_000_000)))
                    batch.write(
                        FillRecord(
                            account="ACC",
                            run="live",
                            fill_id=f"f{number}",
                            order_id=f"o{number}",
                            strategy=f"s{number % 5}",
                            symbol=f"SYM{number % 20}",
                            side="BUY" if rng.random() < 0.5 else "SELL",
                            fill_quantity=Decimal(int(rng.integers(1, 100))),
                            fill_price=Decimal(int(rng.integers(9_000, 11_000))) / 100,
                            fee_amount=Decimal("0.35"),
                            executed_at=executed,
                            timestamp=now,
                        ),
                        valid_from=executed,
                    )
        print(f"  {count:,} fills written in {time.perf_counter() - began:.0f} s")
        for table in ("fill", "book", "block", "cell"):
            with admin.cursor() as cursor:
                cursor.execute(f"ANALYZE trading_books.{table}")
        books = TwoTimes(store)
        prices = {f"SYM{n}": 100 for n in range(20)}
        known = datetime.now(timezone.utc) - timedelta(milliseconds=1)
        half_known = began_at + (known - began_at) / 2
        for name, tx, valid in (
            ("now", None, None),
            ("within the day", known, noon + timedelta(hours=2, minutes=7)),
            ("as known half way", half_known, noon + timedelta(hours=2, minutes=7)),
        ):
            rows, clock = timed(store, lambda t=tx, v=valid: books.pnl(t, v, prices=prices))
            print(f"two-time P&L over {sum(r.fills for r in rows):,} fills, {name}: {clock}")
        _, clock = timed(admin, lambda: bare_sum(admin))
        print(f"  a bare sum over the same rows: {clock}")
        began = time.perf_counter()
        found = store.query(FillRecord, limit=None, tx_time=known)
        print(
            f"  reading the same {len(found):,} fills as objects by the store's query: "
            f"{(time.perf_counter() - began) * 1e3:.0f} ms"
        )
        store.close()
        admin.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ticks", type=int, default=1_000_000)
    parser.add_argument("--fills", type=int, default=100_000)
    parser.add_argument("--pace", type=float, default=60.0, help="seconds of recorded time")
    parser.add_argument("--only", choices=("play", "seek", "two", "pace"))
    options = parser.parse_args()
    wanted = options.only
    tape = day(options.ticks)
    if wanted in (None, "play"):
        plays(tape)
    if wanted in (None, "seek"):
        seeks(tape)
    if wanted in (None, "two"):
        two_times(options.fills)
    if wanted in (None, "pace"):
        pace(options.pace, 10.0)
        pace(min(options.pace, 20.0) if wanted is None else options.pace, 1.0)


if __name__ == "__main__":
    main()
