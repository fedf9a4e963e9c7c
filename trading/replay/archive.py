"""A day of a run as one signed file, which is verified anywhere without the database.

    archive_day(store, "ACC", "live", date(2026, 2, 20), key, Path("live.tar"), recipe=recipe)
    found = verify_archive(Path("live.tar"), public_key)
    assert found, found.text()

The archive is a tar of canonical files: the journal's groups as MessagePack, chained by SHA-256
from the first group of the run on, the records that the store has of the day with their hashes, and
a manifest with the digest of every file. The manifest is signed with Ed25519.
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, timezone
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from store.client import StoreClient
from store.subscriptions import EventLog
from trading.engine.records import RECORDS
from trading.errors import ArchiveError, JournalError
from trading.journal import decode_input
from trading.journal.codec import pack, unpack
from trading.kernel import Settings
from trading.replay.run_journal import Group, Recipe, RecordedRun, read_run

__all__ = [
    "ArchiveCheck",
    "archive_day",
    "chain_of",
    "new_key",
    "read_archive",
    "read_private_key",
    "read_public_key",
    "verify_archive",
    "verify_journal",
]

_FORM = 1
_MANIFEST, _SIGNATURE, _KEY = "manifest.json", "manifest.sig", "public_key.pem"
_JOURNAL, _CHAIN, _RECORDS = "journal.msgpack", "chain.txt", "records.jsonl"
_MOST_BYTES = 4 * 2**30
_GENESIS = bytes(32)


# --- the chain of a journal -----------------------------------------------------------------------


def chain_of(groups: Sequence[Group], before: bytes = _GENESIS) -> list[str]:
    """Return the links of a journal: each is SHA-256 over the one before and the group's bytes."""
    links = []
    for group in groups:
        before = sha256(before + pack(group)).digest()
        links.append(before.hex())
    return links


@dataclass(frozen=True)
class ArchiveCheck:
    """What was looked at and what is wrong with it; true where nothing is."""

    groups: int
    records: int
    digest: str
    problems: tuple[str, ...] = ()
    day: str = ""
    signed_by: str = ""

    def __bool__(self) -> bool:
        return not self.problems

    def text(self) -> str:
        """Return it as text."""
        if self.problems:
            return "\n".join(["the record is not what it was:", *self.problems])
        signed = f", signed by {self.signed_by}" if self.signed_by else ""
        return (
            f"{self.groups} groups of the journal and {self.records} records are what they were"
            f"{signed}; digest {self.digest}"
        )


def verify_journal(
    store: StoreClient, account: str | None, run: str, recipe: Recipe | None = None
) -> ArchiveCheck:
    """Check the hash chains of a run's journal and records in the store, and the run's digests.

    The store chains the versions of every entity: what was altered, removed or inserted is named.
    With a recipe the journal is folded again as well, which finds what was written with good hashes
    by who could compute them.
    """
    problems = [str(each) for each in store.verify().breaks]
    groups: tuple[Group, ...] = ()
    digest = ""
    try:
        recorded = read_run(store, account, run)
        groups, digest = recorded.groups, recorded.digest
        problems += _folded(recorded, recipe)
    except (JournalError, ArchiveError) as error:
        problems.append(str(error))
    except Exception as error:  # noqa: BLE001 - data that was tampered with may break anything
        problems.append(f"the journal cannot be read: {type(error).__name__}: {error}")
    return ArchiveCheck(len(groups), 0, digest, tuple(problems))


def _folded(recorded: RecordedRun, recipe: Recipe | None) -> Iterator[str]:
    """What does not fit within the groups of a journal."""
    for at, group in enumerate(recorded.groups):
        if group.number != at + 1:
            yield f"group {group.number} of the journal stands where {at + 1} is expected"
            return
    if recipe is None:
        return
    kernel = recipe.kernel()
    for group in recorded.groups:
        try:
            for entry in group.entries:
                if not entry.error:
                    kernel.step(decode_input(entry.data))
        except Exception as error:  # noqa: BLE001 - inputs that were tampered with
            yield f"group {group.number} cannot be folded: {type(error).__name__}: {error}"
            return
        if kernel.digest != group.digest:
            yield (
                f"group {group.number} of the journal has the digest {group.digest[:16]}…, its "
                f"inputs lead to {kernel.digest[:16]}…"
            )
            return


# --- keys -----------------------------------------------------------------------------------------


def new_key(path: Path) -> Path:
    """Write a new private key (PEM, mode 600) and its public one beside it; returns the latter."""
    key = Ed25519PrivateKey.generate()
    if path.exists():
        raise ArchiveError(f"{path} is there already; keys are not overwritten")
    path.touch(mode=0o600)
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    public = path.with_name(path.name + ".pub")
    public.write_bytes(_pem(key.public_key()))
    return public


def read_private_key(path: Path) -> Ed25519PrivateKey:
    """Return the key of a PEM file; ArchiveError where it is none."""
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), None)
    except (ValueError, TypeError) as error:
        raise ArchiveError(f"{path} is no private key as PEM: {error}") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise ArchiveError(f"{path} is no Ed25519 key; make one with `archive --new-key`")
    return key


def read_public_key(path: Path) -> Ed25519PublicKey:
    """Return the public key of a PEM file; ArchiveError where it is none."""
    return _public(path.read_bytes(), str(path))


def _public(data: bytes, what: str) -> Ed25519PublicKey:
    try:
        key = serialization.load_pem_public_key(data)
    except ValueError as error:
        raise ArchiveError(f"{what} is no public key as PEM: {error}") from None
    if not isinstance(key, Ed25519PublicKey):
        raise ArchiveError(f"{what} is no Ed25519 key")
    return key


def _pem(key: Ed25519PublicKey) -> bytes:
    return key.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def _fingerprint(key: Ed25519PublicKey) -> str:
    return sha256(
        key.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    ).hexdigest()[:16]


# --- writing --------------------------------------------------------------------------------------


def archive_day(
    store: StoreClient,
    account: str | None,
    run: str,
    day: date | None,
    key: Ed25519PrivateKey,
    path: Path,
) -> ArchiveCheck:
    """Write the journal and records of a run's day (UTC; None: all of it) as one signed file.

    The chains of the store are checked before: ArchiveError where they are broken, where the day
    has nothing, and where the file is there already.
    """
    breaks = store.verify().breaks
    if breaks:
        raise ArchiveError(f"the store's own chains are broken, nothing is archived: {breaks[0]}")
    recorded = read_run(store, account, run)
    links = chain_of(recorded.groups)
    places = [at for at, each in enumerate(recorded.times) if _is_of(day, each)]
    if not places:
        raise ArchiveError(f"run {run} has nothing of {day or 'any day'}")
    first, last = places[0], places[-1]
    groups = list(recorded.groups[first : last + 1])
    records = _records(store, recorded, day)
    files: dict[str, bytes] = {
        _JOURNAL: pack(groups),
        _CHAIN: "\n".join(
            [links[first - 1] if first else _GENESIS.hex(), *links[first : last + 1], ""]
        ).encode(),
        _RECORDS: b"".join(_canonical(each) + b"\n" for each in records),
    }
    manifest = {
        "form": _FORM,
        "account": recorded.account,
        "run": recorded.run,
        "day": "" if day is None else day.isoformat(),
        "first_group": groups[0].number,
        "last_group": groups[-1].number,
        "digest": groups[-1].digest,
        "chain": links[last],
        "records": len(records),
        "strategies": list(recorded.strategies or ()),
        "settings": None if recorded.settings is None else pack(recorded.settings).hex(),
        "broker": recorded.broker,
        "made_at": datetime.now(timezone.utc).isoformat(),
        "files": {
            name: {"sha256": sha256(data).hexdigest(), "bytes": len(data)}
            for name, data in sorted(files.items())
        },
    }
    text = _canonical(manifest)
    files[_MANIFEST], files[_SIGNATURE] = text, key.sign(text)
    files[_KEY] = _pem(key.public_key())
    _write(path, files)
    return ArchiveCheck(
        len(groups),
        len(records),
        groups[-1].digest,
        (),
        manifest["day"] if isinstance(manifest["day"], str) else "",
        _fingerprint(key.public_key()),
    )


def _is_of(day: date | None, moment: datetime | None) -> bool:
    if day is None:
        return True
    return moment is not None and moment.astimezone(timezone.utc).date() == day


def _records(store: StoreClient, recorded: RecordedRun, day: date | None) -> list[dict[str, Any]]:
    """The versions of the run's records that were recorded on a day, in the order of the log."""
    log = EventLog(store.conn, types=[*RECORDS])
    if day is None:
        pages = log.pages()
    else:
        start = datetime.combine(day, time(), timezone.utc)
        log = EventLog(
            store.conn, types=[*RECORDS], until=start + timedelta(days=1, microseconds=-1)
        )
        pages = log.pages(log.position_at(start))
    found = []
    for page in pages:
        for event in page.events:
            fields = json.loads(event.data or "{}", parse_float=str)
            if (fields.get("account"), fields.get("run")) != (recorded.account, recorded.run):
                continue
            found.append(
                {
                    "type": event.type_name,
                    "entity": event.entity_id,
                    "version": event.version,
                    "event": event.event_type,
                    "by": event.updated_by,
                    "recorded": event.tx_time.astimezone(timezone.utc).isoformat(),
                    "valid_from": event.valid_from and event.valid_from.isoformat(),
                    "valid_to": event.valid_to and event.valid_to.isoformat(),
                    "data": fields,
                }
            )
    return found


def _canonical(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def _write(path: Path, files: Mapping[str, bytes]) -> None:
    """Write a tar that depends on its content alone."""
    try:
        with path.open("xb") as raw, tarfile.open(fileobj=raw, mode="w") as tar:
            for name, data in sorted(files.items()):
                info = tarfile.TarInfo(name)
                info.size, info.mode = len(data), 0o444
                tar.addfile(info, io.BytesIO(data))
    except FileExistsError:
        raise ArchiveError(f"{path} is there already; archives are not overwritten") from None


# --- reading and verifying ------------------------------------------------------------------------


def _read(path: Path) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    try:
        with tarfile.open(path, "r:") as tar:
            for member in tar:
                if not member.isfile() or member.name in files:
                    raise ArchiveError(f"{path}: {member.name} does not belong into an archive")
                if member.size > _MOST_BYTES:
                    raise ArchiveError(f"{path}: {member.name} has {member.size} bytes")
                content = tar.extractfile(member)
                files[member.name] = b"" if content is None else content.read()
    except (tarfile.TarError, EOFError) as error:
        raise ArchiveError(f"{path} is no archive: {error}") from None
    missing = {_MANIFEST, _SIGNATURE, _KEY, _JOURNAL, _CHAIN, _RECORDS} - set(files)
    if missing:
        raise ArchiveError(f"{path} lacks {', '.join(sorted(missing))}")
    return files


def read_archive(path: Path) -> RecordedRun:
    """Return the run that an archive has; ArchiveError for a file that is none.

    Verify it first: this takes what is there. An archive of a later day has no first groups, and
    cannot be folded without those before it.
    """
    files = _read(path)
    try:
        manifest = json.loads(files[_MANIFEST])
        groups = unpack(files[_JOURNAL], list[Group])
        text = manifest["settings"]
        return RecordedRun(
            manifest["account"],
            manifest["run"],
            tuple(groups),
            None if text is None else unpack(bytes.fromhex(text), Settings),
            manifest["broker"],
            tuple(manifest["strategies"]) or None,
            (None,) * len(groups),
        )
    except (ValueError, KeyError, TypeError, msgspec.MsgspecError, JournalError) as error:
        raise ArchiveError(f"{path} cannot be read: {error}") from error


def verify_archive(
    path: Path, public_key: Ed25519PublicKey | None = None, recipe: Recipe | None = None
) -> ArchiveCheck:
    """Check an archive by itself: signature, every file, the chain, and with a recipe the digests.

    Without a key, the archive's own is taken, which proves no more than that it is whole: know the
    key from elsewhere. All that is wrong is named.
    """
    try:
        files = _read(path)
    except ArchiveError as error:
        return ArchiveCheck(0, 0, "", (str(error),))
    problems: list[str] = []
    own = None
    try:
        own = _public(files[_KEY], "the archive's key")
        if _pem(own) != files[_KEY]:
            problems.append("the archive's key is not as it was written")
    except ArchiveError as error:
        problems.append(str(error))
    if public_key is not None and own is not None and _pem(public_key) != _pem(own):
        problems.append(
            f"it was signed with the key {_fingerprint(own)}, not with {_fingerprint(public_key)}"
        )
    key = public_key or own
    try:
        if key is not None:
            key.verify(files[_SIGNATURE], files[_MANIFEST])
    except InvalidSignature:
        problems.append("the signature is not one of the manifest")
    manifest = _manifest(files[_MANIFEST], problems)
    _check_files(files, manifest, problems)
    groups = _check_chain(files, manifest, problems)
    if recipe is not None and groups and not problems:
        recorded = RecordedRun(str(manifest.get("account")), str(manifest.get("run")), groups)
        problems += _folded(recorded, recipe)
    return ArchiveCheck(
        len(groups),
        files[_RECORDS].count(b"\n"),
        str(manifest.get("digest", "")),
        tuple(problems),
        str(manifest.get("day", "")),
        "" if key is None else _fingerprint(key),
    )


def _manifest(data: bytes, problems: list[str]) -> dict[str, Any]:
    try:
        manifest = json.loads(data)
    except ValueError as error:
        problems.append(f"the manifest cannot be read: {error}")
        return {}
    if not isinstance(manifest, dict) or manifest.get("form") != _FORM:
        problems.append(f"the manifest is not of form {_FORM}")
        return {}
    return manifest


def _check_files(
    files: Mapping[str, bytes], manifest: Mapping[str, Any], problems: list[str]
) -> None:
    named = manifest.get("files", {})
    for name, data in files.items():
        if name in (_MANIFEST, _SIGNATURE, _KEY):
            continue
        known = named.get(name)
        if known is None:
            problems.append(f"{name} is not in the manifest")
        elif known.get("sha256") != sha256(data).hexdigest():
            problems.append(f"{name} is not what was signed")
    problems += [f"{name} is missing" for name in named if name not in files]


def _check_chain(
    files: Mapping[str, bytes], manifest: Mapping[str, Any], problems: list[str]
) -> tuple[Group, ...]:
    """The groups; what is wrong with the chain over them is added to the problems."""
    try:
        groups = tuple(unpack(files[_JOURNAL], list[Group]))
        before, *links = files[_CHAIN].decode().split()
        due = chain_of(groups, bytes.fromhex(before))
    except (ValueError, JournalError) as error:
        problems.append(f"the journal cannot be read: {error}")
        return ()
    for at, group in enumerate(groups):
        if group.number != int(manifest.get("first_group", 0)) + at:
            problems.append(f"group {group.number} of the journal is out of its place")
            break
        if at >= len(links) or links[at] != due[at]:
            problems.append(f"the chain is broken at group {group.number}")
            break
    if not groups or links[-1:] != [manifest.get("chain")] or len(links) != len(groups):
        problems.append("the chain does not end as the manifest says")
    if groups and groups[-1].digest != manifest.get("digest"):
        problems.append("the digest of the last group is not the manifest's")
    return groups
