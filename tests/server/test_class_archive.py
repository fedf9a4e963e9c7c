"""The archive of Java classes: made at set-up, used by each server, and never in the way."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from server.class_archive import archive_arguments, make_archive
from server.errors import StartupError
from server.jdk import find_jdk
from tests.processes import server_process
from tests.server.jdk_homes import make_home


def test_a_server_takes_its_classes_from_the_archive() -> None:
    archive = make_archive()
    assert archive_arguments(find_jdk())[0] == f"-XX:SharedArchiveFile={archive}"
    made = archive.stat().st_mtime_ns
    assert make_archive() == archive
    assert archive.stat().st_mtime_ns == made
    with server_process() as (process, _):
        assert str(archive) in Path(f"/proc/{process.child.pid}/maps").read_text()


def test_another_jdk_and_another_environment_have_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert archive_arguments(make_home(tmp_path / "jdk", "17.0.99")) == []
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    assert archive_arguments(find_jdk()) == []


def test_why_none_can_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "file"))
    with pytest.raises(StartupError, match=r"no class archive in .*file.*: Not a directory"):
        make_archive()
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    monkeypatch.setenv("JAVA_HOME", str(make_home(tmp_path / "jdk", "17.0.99")))
    with pytest.raises(StartupError, match="since no server starts: error: "):
        make_archive()
    assert list((tmp_path / "var").iterdir()) == []
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    with pytest.raises(StartupError, match="the server needs a JDK of version 17"):
        make_archive()
