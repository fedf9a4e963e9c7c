"""The store of two checkouts against each other: operations that take turns, one version after the
other.

    git worktree add ../before 4ea4778
    python benchmarks/versions.py ../before          # against the checkout of this file

Each version runs in a process of its own with a server of its own. Shown is the processor's time
of client and session together, which other programs disturb less than the time on the wall: the
median of each version, and the median of the ratios of neighbouring turns.
"""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent.parent
OBJECTS = 2_000
# How often an operation is done in a turn.
TIMES = {
    "read": 150,
    "history of 11": 40,
    "query for 1 of 2,000": 15,
    "as_of": 60,
    "write": 60,
    "update": 60,
    "write_many of 300": 1,
    "update_many of 300": 1,
    "update_many of 1,000": 1,
}


def operations(client: Any, trade: type[Any]) -> dict[str, Callable[[int], object]]:
    """What is measured: called with how often it is to be done."""
    objects = [trade("AAPL", number, 228.0, "BUY") for number in range(OBJECTS)]
    client.write_many(objects)
    ids = [each._store_entity_id for each in objects]
    for each in objects[:20]:
        for _ in range(10):
            each.price += 1
            client.update(each)
    then = objects[0]._store_tx_time
    new = [trade("IBM", number, 1.0, "BUY") for number in range(300)]

    def write_many(_: int) -> None:
        client.write_many([trade(n.symbol, n.quantity, n.price, n.side) for n in new])

    return {
        "read": lambda n: [client.read(trade, ids[i]) for i in range(n)],
        "history of 11": lambda n: [client.history(trade, ids[i % 20]) for i in range(n)],
        "query for 1 of 2,000": lambda n: [
            client.query(trade, {"quantity": i}, limit=50) for i in range(n)
        ],
        "as_of": lambda n: [client.as_of(trade, ids[i % 20], valid_time=then) for i in range(n)],
        "write": lambda n: [client.write(trade("IBM", i, 1.0, "BUY")) for i in range(n)],
        "update": lambda n: [client.update(objects[1_000 + i]) for i in range(n)],
        "write_many of 300": write_many,
        "update_many of 300": lambda _: client.update_many(objects[:300]),
        "update_many of 1,000": lambda _: client.update_many(objects[:1_000]),
    }


def child(root: str) -> None:
    """Do what is asked for on the standard input, with the store of one checkout."""
    sys.path[0] = root
    from store.client import StoreClient
    from store.models import Trade
    from store.schema import bootstrap_schema, provision_user
    from store.server import ObjectStoreServer

    with tempfile.TemporaryDirectory() as folder, ObjectStoreServer(f"{folder}/data") as server:
        admin = server.admin_conn()
        bootstrap_schema(admin)
        provision_user(admin, "bench", "only for benchmarks")
        with StoreClient("bench", "only for benchmarks", **server.conn_info()) as client:
            known = operations(client, Trade)
            session = Path(f"/proc/{client.conn.info.backend_pid}/schedstat")
            print("ready", flush=True)
            gc.disable()
            for line in sys.stdin:
                if line.strip() == "vacuum":
                    with admin.cursor() as cursor:
                        cursor.execute("VACUUM ANALYZE")
                    print("done", flush=True)
                    continue
                name, times = json.loads(line)
                gc.collect()
                before = time.process_time(), int(session.read_text().split()[0])
                known[name](times)
                here = time.process_time() - before[0]
                there = (int(session.read_text().split()[0]) - before[1]) / 1e9
                print((here + there) / times * 1e6, flush=True)
        admin.close()


class Version:
    """A process that measures one checkout."""

    def __init__(self, root: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__, "--child", str(root)],
            cwd=root,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        self._answer()

    def _answer(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            sys.exit(f"the process of {self._process.args} has ended")
        return line

    def ask(self, line: str) -> str:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n")
        return self._answer()

    def end(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(60)


def compare(before: Path, rounds: int) -> None:
    """Show the figures of both versions."""
    versions = {"before": Version(before), "now": Version(HERE)}
    found: dict[str, dict[str, list[float]]] = {
        name: {which: [] for which in versions} for name in TIMES
    }
    for number in range(-1, rounds):
        if number % 5 == 0:
            for version in versions.values():
                version.ask("vacuum")
        for name, times in TIMES.items():
            for which in sorted(versions, reverse=bool(number % 2)):
                taken = float(versions[which].ask(json.dumps([name, times])))
                # The first turn of all only warms up.
                if number >= 0:
                    found[name][which].append(taken)
    for version in versions.values():
        version.end()
    print(f"{'microseconds of processor time':<32}{'before':>12}{'now':>12}{'ratio':>8}")
    for name, times_of in found.items():
        old, new = times_of["before"], times_of["now"]
        ratio = statistics.median(b / a for a, b in zip(old, new, strict=True))
        print(
            f"{name:<32}{statistics.median(old):>12,.0f}{statistics.median(new):>12,.0f}{ratio:>8.2f}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("before", type=Path, nargs="?", help="a checkout of an earlier version")
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.child)
    elif options.before is None:
        print("Nothing to compare with: give the path of a checkout of an earlier version.")
    else:
        compare(options.before.resolve(), options.rounds)


if __name__ == "__main__":
    main()
