"""The key: who may read it, and that both sides look in the same place."""

from __future__ import annotations

import socket
import stat
from pathlib import Path

import pytest

import client.access
import server.access
from server.errors import StartupError


@pytest.fixture(autouse=True)
def own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.delenv("DEEPHAVEN_PSK", raising=False)
    return tmp_path


def test_server_and_client_agree_where_the_key_is(monkeypatch: pytest.MonkeyPatch) -> None:
    assert server.access.KEY_VARIABLE == client.access.KEY_VARIABLE
    assert server.access.key_file(10_123) == client.access.key_file(10_123)
    monkeypatch.delenv("XDG_STATE_HOME")
    assert server.access.key_file(10_123) == client.access.key_file(10_123)


def test_the_key_is_random_long_and_readable_by_its_owner_alone(own_state: Path) -> None:
    keys = {server.access.choose_key(None) for _ in range(100)}
    assert len(keys) == 100
    assert all(len(key) >= 32 for key in keys)
    path = server.access.keep_key(1234, keys.pop())
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert list(path.parent.iterdir()) == [path]


def test_a_clients_key_is_the_newest_of_that_port_or_of_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert client.access.find_key("localhost", 1234) is None
    server.access.keep_key(1234, "first-key")
    server.access.keep_key(1234, "second-key")
    server.access.keep_key(4321, "other-key")
    for host in ("localhost", "127.0.0.1", socket.gethostname()):
        found = client.access.find_key(host, 1234)
        assert found == ("second-key", str(server.access.key_file(1234)))
    # The key of a server of ours is not for others.
    assert client.access.find_key("example.org", 1234) is None
    monkeypatch.setenv("DEEPHAVEN_PSK", "named-key")
    assert client.access.find_key("example.org", 1234) == ("named-key", "$DEEPHAVEN_PSK")
    assert server.access.choose_key(None) == "named-key"
    assert server.access.choose_key("given-key") == "given-key"


def test_only_the_own_key_is_forgotten() -> None:
    path = server.access.keep_key(1234, "of-another")
    server.access.forget_key(1234, "mine-here")
    assert path.exists()
    server.access.forget_key(1234, "of-another")
    assert not path.exists()
    server.access.forget_key(1234, "of-another")


@pytest.mark.parametrize("key", ["short", "with space in", "späße-und-so", "a/b/c/d/e"])
def test_a_key_that_a_link_cannot_carry_is_refused(key: str) -> None:
    with pytest.raises(StartupError, match="must have 8 or more letters"):
        server.access.choose_key(key)


def test_a_state_directory_that_cannot_be_written_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    monkeypatch.setenv("XDG_STATE_HOME", str(blocked))
    with pytest.raises(StartupError, match="set XDG_STATE_HOME to a directory that you can write"):
        server.access.keep_key(1234, "some-key-1")


def test_keys_and_logs_go_where_nobody_else_can_look(tmp_path: Path) -> None:
    folder = server.access.state_directory()
    folder.mkdir(mode=0o777)
    folder.chmod(0o777)
    server.access.keep_key(1234, "the-right-key")
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    folder.rename(tmp_path / "elsewhere")
    folder.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StartupError, match="a symbolic link or belongs to another user"):
        server.access.keep_key(1234, "another-key")
    assert (tmp_path / "elsewhere" / "psk-1234").read_text() == "the-right-key"
