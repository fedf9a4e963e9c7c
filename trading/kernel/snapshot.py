"""The whole state of a kernel as bytes, with a version, and back."""

from __future__ import annotations

import zlib

import msgspec

from trading.brokers.resting import PaperState
from trading.errors import JournalError, SnapshotError
from trading.journal.codec import pack, unpack
from trading.journal.inputs import Bar, Timeframe
from trading.journal.recorder import RecorderState
from trading.kernel.settings import Settings
from trading.kernel.timers import Timer
from trading.orders.groups import Group
from trading.orders.id_digests import IdDigests
from trading.orders.order import Order
from trading.orders.writer import OrderWriter
from trading.positions.lots import Position
from trading.risk.account import Account, Market

__all__ = [
    "VERSION",
    "Snapshot",
    "read_executions",
    "read_snapshot",
    "write_executions",
    "write_snapshot",
]

VERSION = 2
"""Goes up when the state changes its form; a snapshot of a newer version is refused."""

_MAGIC = b"TKS"
# The mark, the version and the checksum.
_HEAD = 8


class Snapshot(msgspec.Struct, array_like=True, kw_only=True, gc=False):
    """All that a kernel remembers; dicts keep the order of their keys.

    In version 1 `seen` had the content of each execution by its id, and `commands` the ids of
    commands; now `seen` has the executions that were taken back alone, and `commands` is empty.
    """

    settings: Settings
    broker: list[object] | None
    recorder: RecorderState
    market: Market
    accounts: dict[str, Account]
    orders: list[Order]
    seen: dict[str, dict[str, bytes]]
    finished: list[tuple[int, str]]
    groups: list[Group]
    emulated: dict[str, list[str]]
    positions: list[Position]
    timers: list[Timer]
    timer_sequence: int
    mark_set: bool
    day_set: bool
    commands: dict[str, int]
    moved: list[tuple[str, str, int]]
    paper: PaperState | None
    fold: bytes
    last_bars: dict[str, dict[Timeframe, Bar]]
    measures: bool
    picker: bytes
    strategies: dict[str, bytes]
    stopped: dict[str, str]
    started: bool
    executions: dict[str, tuple[bytes, bytes]] = {}
    command_ids: tuple[bytes, bytes] = (b"", b"")


def write_snapshot(snapshot: Snapshot) -> bytes:
    """Return a snapshot as bytes: a mark, the version, a checksum, then the state."""
    body = pack(snapshot)
    return _MAGIC + bytes([VERSION]) + zlib.crc32(body).to_bytes(4, "big") + body


def read_snapshot(
    data: bytes, settings: Settings, broker: list[object] | None, strategies: list[str]
) -> Snapshot:
    """Return the snapshot that these bytes are; SnapshotError where they do not fit."""
    if data[:3] != _MAGIC or len(data) < _HEAD:
        raise SnapshotError(f"these {len(data)} bytes are no snapshot of a kernel")
    if not 1 <= data[3] <= VERSION:
        raise SnapshotError(
            f"the snapshot has version {data[3]}, this program reads versions up to {VERSION}; "
            "fold the journal from its beginning, or from a snapshot of this version"
        )
    body = data[_HEAD:]
    if zlib.crc32(body).to_bytes(4, "big") != data[4:_HEAD]:
        raise SnapshotError("the snapshot is damaged: its checksum differs; take an older one")
    try:
        found = unpack(body, Snapshot)
    except JournalError as error:
        raise SnapshotError(f"the snapshot cannot be read: {error}") from None
    for what, theirs, ours in (
        ("settings", found.settings, settings),
        ("broker", found.broker, broker),
        ("strategies", list(found.strategies), strategies),
    ):
        if pack(theirs) != pack(ours):
            raise SnapshotError(
                f"the snapshot was taken with other {what}: {theirs}, these are {ours}; "
                "restore it with the same, and change them by inputs of the journal"
            )
    return found


_BACK = "back|"


def write_executions(
    writer: OrderWriter,
) -> tuple[dict[str, dict[str, bytes]], dict[str, tuple[bytes, bytes]]]:
    """Return what a writer remembers of executions: `seen` and `executions` of a snapshot."""
    back = {
        account: {f"{_BACK}{fill_id}": b"" for fill_id in known}
        for account, known in writer.taken_back.items()
    }
    return back, {account: known.dump() for account, known in writer.seen.items()}


def read_executions(snapshot: Snapshot, writer: OrderWriter) -> None:
    """Let a writer go on with the executions of a snapshot, of version 1 too."""
    writer.seen.clear()
    writer.taken_back.clear()
    for account, dumped in snapshot.executions.items():
        writer.seen[account] = IdDigests()
        writer.seen[account].load(dumped)
    for account, known in snapshot.seen.items():
        for fill_id, content in known.items():
            if content:
                writer.remember(account, fill_id, int.from_bytes(content, "big", signed=True))
            else:
                back = writer.taken_back.setdefault(account, {})
                back[fill_id.removeprefix(_BACK)] = None
