"""What was tampered with is found: in the store, and in an archive by itself."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import tarfile
from collections.abc import Callable
from datetime import date, timezone
from hashlib import sha256
from pathlib import Path

import pytest

from store.client import StoreClient
from tests.store.desk import Desk
from tests.store.fixtures import alice, desk
from tests.trading.replay.recorded import RUN, Crosser, trade_a_while
from trading.brokers import PaperBroker
from trading.cli import main
from trading.errors import ArchiveError
from trading.journal.codec import pack, unpack
from trading.picker import TradePicker
from trading.replay import read_run, recipe_of, verify_run
from trading.replay.archive import (
    archive_day,
    chain_of,
    new_key,
    read_archive,
    read_private_key,
    read_public_key,
    verify_archive,
    verify_journal,
)
from trading.replay.run_journal import Group, Recipe, RecordedRun

__all__ = ["alice", "desk"]


def recipe(recorded: RecordedRun) -> Recipe:
    return recipe_of(
        recorded, strategies=[Crosser()], broker=PaperBroker("tick"), picker=TradePicker(3)
    )


def files_of(path: Path) -> dict[str, bytes]:
    with tarfile.open(path) as tar:
        return {each.name: tar.extractfile(each).read() for each in tar}  # type: ignore[union-attr]


def write(path: Path, files: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def groups(files: dict[str, bytes], change: Callable[[list[Group]], list[Group]]) -> None:
    files["journal.msgpack"] = pack(change(unpack(files["journal.msgpack"], list[Group])))


def with_manifest(files: dict[str, bytes]) -> None:
    """Make the manifest fit the files again, as somebody without the key can."""
    manifest = json.loads(files["manifest.json"])
    found = unpack(files["journal.msgpack"], list[Group])
    links = chain_of(found)
    files["chain.txt"] = "\n".join([bytes(32).hex(), *links, ""]).encode()
    manifest["chain"], manifest["digest"] = links[-1], found[-1].digest
    for name in manifest["files"]:
        manifest["files"][name]["sha256"] = sha256(files[name]).hexdigest()
    files["manifest.json"] = json.dumps(
        manifest, sort_keys=True, separators=(",", ":"), ensure_ascii=False
    ).encode()


def flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def test_an_archive_proves_itself_elsewhere(
    reader: StoreClient, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = read_run(reader, "ACC", RUN)
    digest = run.digest
    public = read_public_key(new_key(tmp_path / "key.pem"))
    key = read_private_key(tmp_path / "key.pem")
    assert (tmp_path / "key.pem").stat().st_mode & 0o777 == 0o600
    path = tmp_path / "all.tar"
    made = archive_day(reader, None, RUN, None, key, path)
    assert made.digest == digest
    recorded = read_archive(path)
    found = verify_archive(path, public, recipe(recorded))
    assert found, found.text()
    assert (found.groups, found.records) == (len(recorded.groups), made.records)
    assert made.records > 10
    assert verify_run(recorded, recipe(recorded)).digest == digest
    last = run.times[-1]
    assert last is not None
    last_day = last.astimezone(timezone.utc).date()
    of_day = archive_day(reader, "ACC", RUN, last_day, key, tmp_path / "day.tar")
    assert of_day.groups >= 1
    with pytest.raises(ArchiveError, match="nothing of 2020-01-01"):
        archive_day(reader, "ACC", RUN, date(2020, 1, 1), key, tmp_path / "none.tar")
    with pytest.raises(ArchiveError, match="is there already"):
        archive_day(reader, "ACC", RUN, None, key, path)
    # In another process, without a database.
    command = [sys.executable, "-m", "trading", "verify-archive", str(path), "--key"]
    done = subprocess.run(
        [*command, str(tmp_path / "key.pem.pub")],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert digest in done.stdout
    write(path, {**files_of(path), "records.jsonl": b"{}\n"})
    assert main(["verify-archive", str(path), "--key", str(tmp_path / "key.pem.pub")]) == 1
    assert "records.jsonl is not what was signed" in capsys.readouterr().out


def test_every_part_that_is_tampered_with_is_found(reader: StoreClient, tmp_path: Path) -> None:
    public = read_public_key(new_key(tmp_path / "key.pem"))
    key = read_private_key(tmp_path / "key.pem")
    new_key(tmp_path / "other.pem")
    path = tmp_path / "day.tar"
    archive_day(reader, None, RUN, None, key, path)
    good = files_of(path)
    for name, data in good.items():
        for at in (0, len(data) // 2, len(data) - 1):
            bad = write(tmp_path / "bad.tar", {**good, name: flipped(data, at)})
            assert not verify_archive(bad, public), (name, at)
        bad = write(tmp_path / "bad.tar", {k: v for k, v in good.items() if k != name})
        assert not verify_archive(bad, public), name
    bad = write(tmp_path / "bad.tar", {**good, "more.txt": b"more"})
    assert "more.txt is not in the manifest" in verify_archive(bad, public).text()
    # Somebody who makes everything fit again does not have the key.
    for change in (
        lambda found: found[:-1],
        lambda found: [*found[:5], *found[6:]],
        lambda found: [*found[:3], found[4], found[3], *found[5:]],
    ):
        files = dict(good)
        groups(files, change)
        with_manifest(files)
        told = verify_archive(write(tmp_path / "bad.tar", files), public)
        assert "the signature is not one of the manifest" in told.text()
        # Signed anew with a key of his own: it is not the key that is known.
        other = read_private_key(tmp_path / "other.pem")
        files["manifest.sig"] = other.sign(files["manifest.json"])
        files["public_key.pem"] = (tmp_path / "other.pem.pub").read_bytes()
        told = verify_archive(write(tmp_path / "bad.tar", files), public)
        assert "it was signed with the key" in told.text()
    (tmp_path / "bad.tar").write_bytes(b"nothing")
    assert "is no archive" in verify_archive(tmp_path / "bad.tar", public).text()


TAMPERING = (
    "UPDATE object_store.event SET data = jsonb_set(data, '{inputs_text}', '\"kA==\"') "
    "WHERE type_name LIKE '%JournalSegment' AND version = 7",
    "DELETE FROM object_store.event WHERE type_name LIKE '%JournalSegment' AND version = 9",
    "UPDATE object_store.event SET data = jsonb_set(data, '{fill_price}', '1') "
    "WHERE type_name LIKE '%FillRecord' AND version = 1",
    "UPDATE object_store.event SET tx_time = tx_time - interval '1 second' "
    "WHERE type_name LIKE '%JournalSegment' AND version = 5",
)


def test_a_tampered_journal_is_found(desk: Desk, alice: StoreClient) -> None:
    trade_a_while(alice)
    made = recipe(read_run(alice, "ACC", RUN))
    assert verify_journal(alice, "ACC", RUN, made)
    with desk.admin().cursor() as cursor:
        # An administrator who goes past the store.
        cursor.execute("SET session_replication_role = replica")
        cursor.execute("CREATE TABLE public.kept AS SELECT * FROM object_store.event")
        for statement in TAMPERING:
            cursor.execute(statement)
            assert cursor.rowcount > 0
            found = verify_journal(alice, "ACC", RUN, made)
            assert not found, statement
            assert "not what it was" in found.text()
            cursor.execute("DELETE FROM object_store.event")
            cursor.execute("INSERT INTO object_store.event SELECT * FROM public.kept")
    assert verify_journal(alice, "ACC", RUN, made)


def test_a_journal_whose_hashes_fit_is_folded(reader: StoreClient, tmp_path: Path) -> None:
    """Whoever holds the key and computes the chain anew is found by the run's digests."""
    new_key(tmp_path / "key.pem")
    key = read_private_key(tmp_path / "key.pem")
    path = tmp_path / "day.tar"
    archive_day(reader, None, RUN, None, key, path)
    made = recipe(read_archive(path))
    files = files_of(path)
    groups(files, lambda found: [*found[:12], found[11].__class__(13, *_parts(found, 12))])
    with_manifest(files)
    files["manifest.sig"] = key.sign(files["manifest.json"])
    bad = write(tmp_path / "bad.tar", files)
    assert verify_archive(bad, key.public_key())
    told = verify_archive(bad, key.public_key(), made)
    assert "group 13 of the journal has the digest" in told.text()


def _parts(found: list[Group], at: int) -> tuple[object, ...]:
    group = found[at]
    return group.entries[:0], group.created, group.sequence, "0" * 64, group.epoch
