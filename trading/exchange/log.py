"""The exchange's durable log: groups of records with checksums, one fsync for each group.

    with ExchangeLog(directory) as log:
        for group in log.read(): ...           # once, before the first append
        log.append([(INPUT, data), (REPORT, data)])

A group is `magic, length, CRC-32, number` and its records; a record is a kind, an account number,
a length and bytes. A group is on disk before the next one is written, so that after a crash only
the last one can be incomplete: it is cut off, and `torn` says how many bytes that were. A fault
anywhere else is damage, and ExchangeLogError says where.
"""

from __future__ import annotations

import fcntl
import os
import struct
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from trading.errors import ExchangeLogError

__all__ = ["INPUT", "REPORT", "ExchangeLog", "LogRecord", "Position"]

INPUT, REPORT = 1, 2

_MAGIC = b"XLG1"
_GROUP = struct.Struct("<4sIIQ")
_RECORD = struct.Struct("<BII")
_LARGEST_GROUP = 256 * 1024 * 1024
_PART = 1 << 20


class LogRecord(NamedTuple):
    """A record as it is written: INPUT or REPORT, the account's number, and its bytes."""

    kind: int
    account: int
    data: bytes


class Position(NamedTuple):
    """Where the bytes of a record stand in the file."""

    offset: int
    length: int


class ExchangeLog:
    """One file, `exchange.log`, in a directory that one process at a time may use."""

    def __init__(self, directory: str | Path) -> None:
        self.directory = Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.path = self.directory / "exchange.log"
        self._lock = os.open(self.directory / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._lock)
            raise ExchangeLogError(
                f"{self.directory} is used by another exchange; stop it, or give another directory"
            ) from None
        new = not self.path.exists()
        self._file = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
        if new:
            self._sync_directory()
        self._end = 0
        self.groups = 0
        self.torn = 0

    def __enter__(self) -> ExchangeLog:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file, and let another process use the directory."""
        if self._file >= 0:
            os.close(self._file)
            os.close(self._lock)
            self._file = -1

    def read(self) -> Iterator[list[tuple[LogRecord, Position]]]:
        """Yield the groups from the beginning, with where each record's bytes stand.

        An incomplete group at the end is cut off from the file; ExchangeLogError where the file is
        damaged elsewhere.
        """
        self.groups = 0
        size = os.fstat(self._file).st_size
        at = 0
        while at < size:
            payload = self._group_at(at, size, self.groups + 1)
            if payload is None:
                self._cut(at, size)
                break
            yield list(_records(payload, at + _GROUP.size))
            at += _GROUP.size + len(payload)
            self.groups += 1
        self._end = min(at, size)

    def append(self, records: Sequence[LogRecord]) -> list[Position]:
        """Write a group and wait until it is on disk; return where each record's bytes stand.

        ExchangeLogError when the disk does not take it: what is in memory is then ahead of the
        file, and the process must end.
        """
        payload = bytearray()
        positions = []
        base = self._end + _GROUP.size
        for kind, account, data in records:
            payload += _RECORD.pack(kind, account, len(data))
            positions.append(Position(base + len(payload), len(data)))
            payload += data
        number = self.groups + 1
        head = _GROUP.pack(_MAGIC, len(payload), _checksum(payload, number), number)
        whole = head + payload
        try:
            written = 0
            while written < len(whole):
                written += os.pwrite(self._file, whole[written:], self._end + written)
            os.fdatasync(self._file)
        except OSError as error:
            raise ExchangeLogError(
                f"{self.path}: group {number} could not be written: {error}; make room or mend the "
                "disk, then start the exchange again"
            ) from error
        self._end += len(whole)
        self.groups = number
        return positions

    def data_at(self, position: Position) -> bytes:
        """Return the bytes of a record."""
        data = os.pread(self._file, position.length, position.offset)
        if len(data) != position.length:
            raise ExchangeLogError(
                f"{self.path}: {position.length} bytes were expected at {position.offset}, seen "
                f"{len(data)}; the file was shortened while it was used"
            )
        return data

    def _group_at(self, at: int, size: int, number: int) -> bytes | None:
        """Return the records of a group as bytes; None where there is no whole group."""
        if size - at < _GROUP.size:
            return None
        magic, length, checksum, seen = _GROUP.unpack(os.pread(self._file, _GROUP.size, at))
        if magic != _MAGIC or seen != number or length > min(_LARGEST_GROUP, size - at):
            return None
        payload = os.pread(self._file, length, at + _GROUP.size)
        if len(payload) != length or _checksum(payload, number) != checksum:
            return None
        return payload

    def _cut(self, at: int, size: int) -> None:
        """Cut off an incomplete group; damage before a whole group is an error."""
        whole = self._next_group(at + 1, size)
        if whole is not None:
            raise ExchangeLogError(
                f"{self.path}: the group at byte {at} is damaged and whole ones follow from byte "
                f"{whole}; that is no crash. Restore the file from a copy"
            )
        self.torn = size - at
        os.ftruncate(self._file, at)
        os.fsync(self._file)

    def _next_group(self, at: int, size: int) -> int | None:
        """Return where the next whole group begins, None where there is none."""
        while at < size:
            part = os.pread(self._file, _PART + len(_MAGIC) - 1, at)
            found = part.find(_MAGIC)
            while found >= 0:
                head = os.pread(self._file, _GROUP.size, at + found)
                if len(head) == _GROUP.size:
                    number = _GROUP.unpack(head)[3]
                    if number > self.groups and self._group_at(at + found, size, number):
                        return at + found
                found = part.find(_MAGIC, found + 1)
            at += _PART
        return None

    def _sync_directory(self) -> None:
        folder = os.open(self.directory, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _checksum(payload: bytes | bytearray, number: int) -> int:
    return zlib.crc32(payload, number & 0xFFFFFFFF)


def _records(payload: bytes, base: int) -> Iterator[tuple[LogRecord, Position]]:
    at = 0
    while at < len(payload):
        kind, account, length = _RECORD.unpack_from(payload, at)
        at += _RECORD.size
        yield LogRecord(kind, account, payload[at : at + length]), Position(base + at, length)
        at += length
