"""The journal in the store: groups of inputs as versions of governed entities, and snapshots.

A journal is cut into segments, each an entity of its own with a version for every group, so that
reading on from a snapshot reads no more than the segments after it.
"""

from __future__ import annotations

import zlib
from base64 import b64decode, b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import msgspec

from store.base import Storable
from store.client import StoreClient
from store.entities.batch import Batch
from trading.engine.versions import mark
from trading.errors import EngineError, JournalError, SnapshotError
from trading.journal.codec import pack, unpack
from trading.times import moment

__all__ = [
    "EngineSnapshot",
    "Entry",
    "Group",
    "Journal",
    "JournalSegment",
]

SEGMENT_GROUPS = 1_000
# 1 had a version of an order for each of its states. The inputs of 3 are compressed: those of a
# large group, which the database would otherwise parse, and compress twice.
_PLAIN, _COMPRESSED = 2, 3
_LARGE = 4_096


class Entry(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """An input of the journal in its canonical bytes.

    `sequence` is the broker's number of a report. `error` says why the kernel could not process the
    input: such an entry is passed over when the journal is folded. `note` is `reconciled` for what
    was booked after a comparison with the broker.
    """

    data: bytes
    sequence: int = 0
    error: str = ""
    note: str = ""


class Group(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What one transaction appended, and the digest of the run after it."""

    number: int
    entries: list[Entry]
    created: list[bytes]
    sequence: int
    digest: str
    epoch: int

    def record_ids(self) -> list[str]:
        """Return the ids of the records that the group created, in order."""
        return [str(UUID(bytes=each)) for each in self.created]


@dataclass
class JournalSegment(Storable):
    """A part of a run's journal; each version is a group of inputs with what it led to.

    `inputs_text` is base64 of the packed entries, compressed where `form` is 3; `created_text` is
    base64 of the record ids. `report_sequence` is the broker's last report that is in the journal,
    `digest` the run's after the group.
    """

    account: str = ""
    run: str = ""
    segment: int = 0
    group_number: int = 0
    inputs_count: int = 0
    inputs_text: str = ""
    created_text: str = ""
    report_sequence: int = 0
    digest: str = ""
    epoch: int = 0
    form: int = _PLAIN
    timestamp: datetime | None = None

    def group(self) -> Group:
        """Return the group of this version; JournalError where it cannot be read."""
        if self.form not in (_PLAIN, _COMPRESSED):
            raise JournalError(
                f"group {self.group_number} has form {self.form}, this program reads forms "
                f"{_PLAIN} and {_COMPRESSED}; go on with the program that wrote it, or begin "
                "another run"
            )
        ids = b64decode(self.created_text)
        return Group(
            self.group_number,
            unpack(self._entries(), list[Entry]),
            [ids[at : at + 16] for at in range(0, len(ids), 16)],
            self.report_sequence,
            self.digest,
            self.epoch,
        )

    def _entries(self) -> bytes:
        packed = b64decode(self.inputs_text)
        if self.form == _PLAIN:
            return packed
        try:
            return zlib.decompress(packed)
        except zlib.error as error:
            raise JournalError(f"the inputs of group {self.group_number}: {error}") from None


@dataclass
class EngineSnapshot(Storable):
    """The whole state of an engine after a group, compressed, as base64."""

    account: str = ""
    run: str = ""
    group_number: int = 0
    digest: str = ""
    state_text: str = ""
    timestamp: datetime | None = None

    def state(self) -> bytes:
        """Return the bytes of the state; SnapshotError where they are damaged."""
        try:
            return zlib.decompress(b64decode(self.state_text))
        except (zlib.error, ValueError) as error:
            raise SnapshotError(f"the snapshot of group {self.group_number}: {error}") from None


class Journal:
    """The journal of one account's run; the holder of the account's lease alone appends to it.

    `group` is the last one that is committed, `appended` the last one that is in a batch.
    """

    def __init__(self, store: StoreClient, account: str, run: str) -> None:
        self._store = store
        self._account = account
        self._run = run
        # Number of the segment at hand (0: there is none), its entity and that one's version.
        self._segment = 0
        self._entity_id = ""
        self._version = 0
        self.appended = 0
        self.group = 0
        self.sequence = 0
        self.digest = ""
        self.epoch = 0

    def _where(self) -> dict[str, str]:
        return {"account": self._account, "run": self._run}

    def segments(self) -> list[JournalSegment]:
        """Return the newest version of every segment, and take up the end of the journal."""
        found = sorted(
            self._store.query(JournalSegment, self._where(), limit=None, on_unreadable="raise"),
            key=lambda each: each.segment,
        )
        if [each.segment for each in found] != list(range(1, len(found) + 1)):
            raise EngineError(
                f"the journal of {self._account}, run {self._run}, has the segments "
                f"{[each.segment for each in found]}; expected them from 1 without gaps. Do two "
                "logins share it? An account's engines use one login"
            )
        newest = found[-1] if found else JournalSegment()
        self._segment, self._version = newest.segment, newest._store_newest_version or 0
        self._entity_id = newest._store_entity_id or ""
        self.group, self.sequence = newest.group_number, newest.report_sequence
        self.appended = self.group
        self.digest, self.epoch = newest.digest, newest.epoch
        return found

    def groups(self, segments: list[JournalSegment], after: int = 0) -> Iterator[Group]:
        """Yield the groups after a number, in order; EngineError where one is missing."""
        expected = after + 1
        for segment in segments:
            if segment.group_number < expected:
                continue
            for version in self._store.history(
                JournalSegment, segment._store_entity_id or "", on_unreadable="raise"
            ):
                if version.group_number < expected:
                    continue
                if version.group_number != expected:
                    raise EngineError(
                        f"the journal of {self._account}, run {self._run}, has group "
                        f"{version.group_number} where {expected} is expected"
                    )
                expected += 1
                yield version.group()

    def append(self, batch: Batch, group: Group, time: int) -> None:
        """Add a group to a batch, the last of its changes; `taken` follows its commit.

        The next group may be appended to its batch before that.
        """
        is_new = not self._segment or group.number > self._segment * SEGMENT_GROUPS
        if is_new:
            self._segment += 1
        entries = pack(group.entries)
        is_large = len(entries) >= _LARGE
        made = JournalSegment(
            account=self._account,
            run=self._run,
            segment=self._segment,
            group_number=group.number,
            inputs_count=len(group.entries),
            inputs_text=b64encode(zlib.compress(entries, 1) if is_large else entries).decode(),
            created_text=b64encode(b"".join(group.created)).decode(),
            report_sequence=group.sequence,
            digest=group.digest,
            epoch=group.epoch,
            form=_COMPRESSED if is_large else _PLAIN,
            timestamp=moment(time),
        )
        if is_new:
            self._entity_id, self._version = batch.write(made), 1
        else:
            mark(made, self._entity_id, self._version)
            self._version = batch.update(made)
        self.appended = group.number

    def taken(self, group: Group) -> None:
        """Go on after a group that is committed."""
        self.group, self.sequence = group.number, group.sequence
        self.digest, self.epoch = group.digest, group.epoch
