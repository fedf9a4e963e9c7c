"""The file system of PostgreSQL is really full: trading stops, says so, and goes on."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.processes import wait_until
from tests.trading.engine.trader import engine_of
from tests.trading.engine.world import OPTIONS, QUIET_SECONDS, World, broker_of, own_desk
from tests.trading.exchange.process import ExchangeProcess
from trading.engine import OrderRecord, Phase, TradingEngine
from trading.orders import OrderRequest

pytestmark = pytest.mark.long

SIZE = "256m"
# Rests: nobody sells at that price.
REST = OrderRequest("ACC", "AAPL", "BUY", 2, "LIMIT", "90.00", tag="t" * 200)


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A file system of its own, of so many bytes; mounted as root, or by sudo."""
    folder = Path(tempfile.mkdtemp(prefix="small-disk-"))
    sudo = [] if os.geteuid() == 0 else ["sudo", "-n"]
    options = f"size={SIZE},mode=1777"
    command = [*sudo, "mount", "-t", "tmpfs", "-o", options, "none", str(folder)]
    try:
        made = subprocess.run(command, capture_output=True, text=True, check=False)
        said = made.stderr if made.returncode else ""
    except FileNotFoundError as error:
        said = str(error)
    if said:
        folder.rmdir()
        pytest.skip(f"nothing can be mounted here, as root or by sudo -n: {said.strip()}")
    yield folder
    subprocess.run([*sudo, "umount", str(folder)], check=True)
    folder.rmdir()


@contextlib.contextmanager
def filled(disk: Path) -> Iterator[None]:
    """Take all that is left of a disk, and give it back."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (1 << 20, 4_096):
            with contextlib.suppress(OSError):
                while True:
                    file.write(b"x" * size)
    assert shutil.disk_usage(disk).free < 8_192
    try:
        yield
    finally:
        filler.unlink()


def submit_until_full(engine: TradingEngine, pool: ThreadPoolExecutor) -> int:
    """Give orders until one waits, since there is no room to record it; how many were taken."""
    taken = 0
    while True:
        waiting = pool.submit(engine.submit, REST, timeout=QUIET_SECONDS)
        wait_until(
            lambda: waiting.done() or engine.phase is Phase.STORE_UNAVAILABLE,  # noqa: B023
            QUIET_SECONDS,
            "an answer, or the notice of a full disk",
        )
        if engine.phase is Phase.STORE_UNAVAILABLE and not waiting.done():
            return taken
        waiting.result()
        taken += 1


def test_trading_stops_and_goes_on(small_disk: Path, tmp_path: Path) -> None:
    with own_desk(small_disk) as desk, ExchangeProcess(tmp_path, *OPTIONS) as exchange:
        world = World(desk, exchange, 8)
        with contextlib.closing(desk.server.admin_conn()) as admin, admin.cursor() as cursor:
            # The log of transactions has room to the end of its file: tables are full first.
            cursor.execute("SELECT pg_switch_wal()")
            cursor.execute("CHECKPOINT")
        engine = engine_of(world.config())
        engine.start(QUIET_SECONDS)
        with ThreadPoolExecutor(1) as pool:
            with filled(small_disk):
                taken = submit_until_full(engine, pool)
                assert "disk is full" in engine.status().problem
                with exchange.admin() as admin:
                    # What is not durable is not sent.
                    assert admin.status()["accounts"]["ACC"]["open"] == taken
            engine.wait_running(QUIET_SECONDS)
        wait_until(
            lambda: len(broker_of(engine).open_orders()) == taken + 1, QUIET_SECONDS, "the order"
        )
        engine.stop()
        assert desk.client("alice").count(OrderRecord) == taken + 1
        world.agree()
        world.close()
