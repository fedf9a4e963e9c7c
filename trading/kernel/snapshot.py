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
from trading.orders.order import Order
from trading.positions.lots import Position
from trading.risk.account import Account, Market

__all__ = ["VERSION", "Snapshot", "read_snapshot", "write_snapshot"]

VERSION = 1
"""Goes up when the state changes its form; a snapshot of another version is refused."""

_MAGIC = b"TKS"
# The mark, the version and the checksum.
_HEAD = 8


class Snapshot(msgspec.Struct, array_like=True, kw_only=True, gc=False):
    """All that a kernel remembers; dicts keep the order of their keys."""

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
    if data[3] != VERSION:
        raise SnapshotError(
            f"the snapshot has version {data[3]}, this program reads version {VERSION}; "
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
