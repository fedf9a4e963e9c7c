"""A start deletes nothing: what is damaged, half made or another program's is refused as it is."""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg2
import pytest

from store.admin.data_directory import holds_cluster
from store.client import StoreClient
from store.errors import ServerError
from store.models import Trade
from store.schema import provision_user
from store.server import ObjectStoreServer
from tests.processes import Process

PASSWORD = "only for this"


@pytest.fixture(scope="module")
def stopped() -> Iterator[tuple[Path, str]]:
    """A directory with a cluster that was stopped, and the entity that it holds."""
    folder = Path(tempfile.mkdtemp(prefix="store-of-tests-"))
    with ObjectStoreServer(folder / "data") as server:
        admin = server.admin_conn()
        provision_user(admin, "alice", PASSWORD)
        admin.close()
        with StoreClient("alice", PASSWORD, **server.conn_info()) as alice:
            entity_id = alice.write(Trade(symbol="KEPT"))
    yield folder / "data", entity_id
    shutil.rmtree(folder)


@pytest.fixture
def place() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="store-of-tests-"))
    yield path
    shutil.rmtree(path)


@pytest.fixture
def data(stopped: tuple[Path, str], place: Path) -> Path:
    """A copy of that directory, to be damaged."""
    subprocess.run(["cp", "-a", str(stopped[0]), str(place / "data")], check=True)
    return place / "data"


def seen(folder: Path) -> dict[str, tuple[int, int, int, bytes | str]]:
    """Every entry below a folder, with mode, owner and content."""
    found: dict[str, tuple[int, int, int, bytes | str]] = {}
    for path in sorted(folder.rglob("*")):
        if path.name == "lock":
            continue
        known = path.lstat()
        content: bytes | str = b""
        if path.is_symlink():
            content = str(path.readlink())
        elif stat.S_ISREG(known.st_mode):
            content = path.read_bytes()
        found[str(path.relative_to(folder))] = (
            *(known.st_mode, known.st_uid, known.st_mtime_ns),
            content,
        )
    return found


def names(folder: Path) -> list[tuple[str, int]]:
    return sorted((str(path), path.lstat().st_mtime_ns) for path in (folder / "pg").rglob("*"))


def refused(data: Path, match: str, pg: str = "whole") -> None:
    """The start is refused in one line, and leaves everything as it was.

    With `pg="names"` contents are not compared, for the sake of time.
    """
    look = seen if pg == "whole" else names
    before = look(data)
    with pytest.raises(ServerError, match=match) as refusal:
        ObjectStoreServer(data).start()
    assert "\n" not in str(refusal.value)
    assert look(data) == before


def holds(data: Path, entity_id: str) -> bool:
    with (
        ObjectStoreServer(data) as server,
        StoreClient("alice", PASSWORD, **server.conn_info()) as alice,
    ):
        return alice.read(Trade, entity_id) == Trade(symbol="KEPT")


def test_what_is_missing_is_named(data: Path, place: Path) -> None:
    for lost in (
        *("PG_VERSION", "global/pg_control", "base/1/PG_VERSION", "postgresql.conf"),
        *("pg_hba.conf", "pg_ident.conf", "base", "global", "pg_wal", "pg_xact"),
        *("pg_multixact/members", "pg_multixact/offsets"),
    ):
        (data / "pg" / lost).rename(place / "lost")
        refused(
            data, rf"damaged or half made: .*{lost}.* missing or empty; .*from a backup", pg="names"
        )
        (place / "lost").rename(data / "pg" / lost)
    assert holds_cluster(data, (data / "pg").stat().st_uid)


def test_a_version_that_was_lost_can_be_written_again(
    data: Path, stopped: tuple[Path, str]
) -> None:
    version = data / "pg" / "PG_VERSION"
    text = version.read_text()
    version.unlink()
    refused(data, rf"PG_VERSION is missing or empty; write PG_VERSION again .one line, {int(text)}")
    version.write_text(text)
    version.chmod(0o644)
    assert holds(data, stopped[1])


def test_empty_folders_that_a_copy_left_out_are_named(
    data: Path, stopped: tuple[Path, str]
) -> None:
    owner = (data / "pg").stat().st_uid
    left_out = [p for p in (data / "pg").iterdir() if p.is_dir() and not any(p.iterdir())]
    assert "pg_notify" in {path.name for path in left_out}
    for path in left_out:
        path.rmdir()
    refused(data, r"pg_notify.* are missing or empty; make the missing folders, empty and of mode")
    for path in left_out:
        path.mkdir(mode=0o700)
        os.chown(path, owner, -1)
    assert holds(data, stopped[1])


def test_a_version_that_cannot_be_read(data: Path) -> None:
    for text in ("", "\n", "sixteen\n", "16.2\n", "\0\0\0", "-16"):
        (data / "pg" / "PG_VERSION").write_text(text)
        match = "PG_VERSION holds .* instead of the major version .*base/1/PG_VERSION is what"
        refused(data, match, pg="names")


@pytest.mark.parametrize("size", [0, 100])
def test_a_control_file_that_was_cut_off(data: Path, size: int) -> None:
    os.truncate(data / "pg" / "global" / "pg_control", size)
    before = seen(data)
    with pytest.raises(ServerError, match=r"pg_control|control file|could not read"):
        ObjectStoreServer(data).start()
    # PostgreSQL itself looked into the second one, and wrote that to its log.
    after = seen(data)
    for name in set(before) - {"pg/log"}:
        if not stat.S_ISDIR(before[name][0]):
            assert after[name] == before[name], name


def test_a_cluster_that_is_gone(data: Path, place: Path, stopped: tuple[Path, str]) -> None:
    (data / "pg").rename(place / "away")
    refused(data, r"pg is missing, beside port and admin_password of a cluster that was there")
    for name in ("port", "admin_password"):
        (data / name).rename(place / name)
        if any((data / other).exists() for other in ("port", "admin_password")):
            refused(data, "pg is missing, beside")
    # Now nothing says that there was one.
    with ObjectStoreServer(data) as server:
        server.admin_conn().close()
    shutil.rmtree(data)
    data.mkdir()
    for name in ("port", "admin_password"):
        (place / name).rename(data / name)
    (place / "away").rename(data / "pg")
    assert holds(data, stopped[1])


def test_a_disk_that_is_not_mounted(data: Path, place: Path, stopped: tuple[Path, str]) -> None:
    (data / "pg").rename(place / "disk")
    (data / "pg").symlink_to(place / "disk")
    assert holds(data, stopped[1])
    (place / "disk").rename(place / "unplugged")
    refused(data, "symbolic link to .*disk, which is not there; mount the disk")
    (data / "pg").unlink()
    (data / "pg").mkdir()
    refused(data, "an empty directory; mount the disk that belongs there")


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda d: (d / "pg").mkdir(), "an empty directory"),
        (lambda d: (d / "pg").write_text("a text"), "is no directory"),
        (lambda d: (d / "pg").symlink_to(d / "nowhere"), "a symbolic link to"),
        (lambda d: (d / "PG_VERSION").write_text("16"), "is itself a PostgreSQL cluster"),
        (lambda d: (d / "port").write_text("5432"), "pg is missing, beside port"),
        (lambda d: (d / "admin_password").write_text("x"), "pg is missing, beside admin_password"),
    ],
)
def test_what_is_no_data_directory(place: Path, make: Callable[[Path], object], match: str) -> None:
    make(place)
    refused(place, match)


def test_a_folder_of_ones_own(place: Path) -> None:
    thesis = place / "pg" / "thesis" / "chapter 1.txt"
    thesis.parent.mkdir(parents=True)
    thesis.write_text("years of work")
    (place / "notes").write_text("mine")
    refused(place, "holds thesis and no PostgreSQL cluster, so it is not the store's")
    (place / "pg").rename(place / "mine")
    with ObjectStoreServer(place):
        pass
    assert (place / "mine" / "thesis" / "chapter 1.txt").read_text() == "years of work"
    assert (place / "notes").read_text() == "mine"


def test_a_cluster_of_another_program(data: Path, stopped: tuple[Path, str]) -> None:
    for name in ("port", "admin_password", "lock", "pg/log", "pg/object_store"):
        (data / name).unlink()
    refused(data, "a PostgreSQL cluster that the store did not make")
    # What the cluster holds inside, which a backup brings back, is enough.
    (data / "pg" / "object_store").touch()
    with pytest.raises(ServerError, match="admin_password of its own"):
        ObjectStoreServer(data).start()
    # One directory too deep.
    refused(data / "pg", "is itself a PostgreSQL cluster, .* name the directory above it")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory to another user")
def test_a_directory_of_another_user(data: Path) -> None:
    subprocess.run(["chown", "-R", "nobody", str(data / "pg")], check=True)
    refused(data, r"belongs to nobody \(uid \d+\), and PostgreSQL would run as pgserver")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can run a program as another user")
@pytest.mark.parametrize(
    ("user", "mode", "match"),
    [
        (65534, 0o755, "Permission denied.*belongs to root.*this program runs as nobody"),
        (54321, 0o777, "the user id 54321 has no name on this machine"),
    ],
)
def test_a_user_who_may_not_or_has_no_name(place: Path, user: int, mode: int, match: str) -> None:
    place.chmod(mode)
    code = (
        "import os, sys\n"
        "from store.errors import ServerError\n"
        "from store.server import ObjectStoreServer, _default_directory, _programs\n"
        "_programs()\n"
        f"os.setgroups([]); os.setgid({user}); os.setuid({user}); os.environ.pop('HOME', None)\n"
        "for folder in (sys.argv[1], None):\n"
        "    try:\n"
        "        ObjectStoreServer(folder).start()\n"
        "    except ServerError as error:\n"
        "        print(error)\n"
    )
    program = Process(sys.executable, "-W", "ignore", "-c", code, str(place))
    assert program.wait(60) == 0, program.output
    first, second = program.output.splitlines()
    assert re.search(match, first), first
    assert "data_dir" in second or "cannot hold the store's data" in second


# --- a first start that is broken off -------------------------------------------------------------


def test_a_first_start_that_failed_can_be_repeated(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = place / "data"

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("store.admin.cluster.Cluster._run_initdb", full)
        with pytest.raises(ServerError, match="No space left"):
            ObjectStoreServer(data).start()
    assert {path.name for path in data.iterdir()} == {"lock"}
    with ObjectStoreServer(data) as server:
        server.admin_conn().close()
    assert {path.name for path in data.iterdir()} == {"lock", "pg", "port", "admin_password"}


@pytest.mark.parametrize("moment", ["rename", "touch"])
def test_a_first_start_that_was_killed_can_be_repeated(place: Path, moment: str) -> None:
    """Just before the cluster is at its place, and just after."""
    code = (
        "import os, pathlib, sys, store.admin.cluster\n"
        "from store.server import ObjectStoreServer\n"
        "place = pathlib.Path(sys.argv[1])\n"
        "finish = store.admin.cluster._finish_making\n"
        "def end(directory):\n"
        "    if any(place.glob('new-*')): os._exit(9)\n"
        "    finish(directory)\n"
        "def before(self, target): os._exit(9)\n"
        "store.admin.cluster._finish_making = end\n"
        f"if {moment!r} == 'touch': pathlib.Path.touch = lambda self, mode=0, exist_ok=True: ("
        "os._exit(9) if self.name == 'object_store' else open(self, 'a').close())\n"
        "ObjectStoreServer(place).start()\n"
    )
    program = Process(sys.executable, "-W", "ignore", "-c", code, str(place))
    assert program.wait(60) == 9, program.output
    assert not (place / "admin_password").exists()
    assert (place / "pg").exists() == (moment == "rename")
    with ObjectStoreServer(place) as server:
        server.admin_conn().close()
    assert stat.S_IMODE((place / "admin_password").stat().st_mode) == 0o600


# --- names, secrets and limits --------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        """it's a "quoted" $HOME `id` $(id) back\\slash; & 100% *?[x] #hash\ttab""",
        "-Größe 日本 " + "n" * 200,
    ],
)
def test_a_directory_may_have_any_name(place: Path, name: str) -> None:
    with ObjectStoreServer(place / name) as server:
        admin = server.admin_conn()
        with admin.cursor() as cursor:
            cursor.execute("SHOW data_directory")
            assert cursor.fetchone() == (str(place / name / "pg"),)
        admin.close()
        psycopg2.connect(server.dbos_url()).close()
    assert [path.name for path in place.iterdir()] == [name]
    assert not (place / name / "pg" / "postmaster.pid").exists()


def test_a_name_that_postgresql_cannot_write_down(place: Path) -> None:
    with pytest.raises(ServerError, match="line break"):
        ObjectStoreServer(place / "two\nlines").start()
    assert not any(place.iterdir())


def test_secrets_are_read_from_files_of_ones_own_alone(place: Path) -> None:
    with ObjectStoreServer(place / "data"):
        pass
    secret = place / "data" / "admin_password"
    assert stat.S_IMODE((place / "data" / "lock").stat().st_mode) == 0o600
    secret.chmod(0o644)
    with ObjectStoreServer(place / "data"):
        assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    secret.rename(place / "elsewhere")
    secret.symlink_to(place / "elsewhere")
    with pytest.raises(ServerError, match="admin_password is a symbolic link"):
        ObjectStoreServer(place / "data").start()
    secret.unlink()
    (place / "elsewhere").rename(secret)
    for name in ("lock", "pg/log"):
        path = place / "data" / name
        path.unlink()
        path.symlink_to(place / "target")
        with pytest.raises(ServerError, match=r"symbolic link"):
            ObjectStoreServer(place / "data").start()
        assert not (place / "target").exists()
        path.unlink()


def test_files_that_are_used_up_are_named(place: Path) -> None:
    code = (
        "import os, resource, sys\n"
        "from store.errors import ServerError\n"
        "from store.server import ObjectStoreServer, _programs\n"
        "_programs()\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))\n"
        "held = []\n"
        "try:\n"
        "    while True: held.append(os.open('/dev/null', os.O_RDONLY))\n"
        "except OSError: pass\n"
        "for free in range(6):\n"
        "    try:\n"
        "        ObjectStoreServer(sys.argv[1]).start().stop()\n"
        "    except ServerError as error:\n"
        "        print(error, flush=True)\n"
        "    os.close(held.pop())\n"
    )
    program = Process(sys.executable, "-W", "ignore", "-c", code, str(place / "data"))
    assert program.wait(120) == 0, program.output
    lines = program.output.splitlines()
    assert lines
    for line in lines:
        assert "all of its 64 files and connections open" in line, program.output
    with ObjectStoreServer(place / "data") as server:
        server.admin_conn().close()
