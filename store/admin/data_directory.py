"""What lies in a data directory before a server is started on it.

A directory holds our cluster whole, or nothing of ours, and then a new one may be made in it.
Everything else is refused with what is missing and how to restore it. Nothing is deleted here.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from store.errors import ServerError

CLUSTER = "pg"
# Says, inside of a cluster, that the store made it.
MARK = "object_store"
# What lies beside a cluster that was started once.
BESIDE = ("port", "admin_password", "workflow_engine_password")
# Without these nothing can be read, and only a backup brings them back.
_FILES = (
    "PG_VERSION",
    "global/pg_control",
    "base/1/PG_VERSION",
    "postgresql.conf",
    "pg_hba.conf",
    "pg_ident.conf",
)
_FOLDERS = (
    "base",
    "global",
    "pg_multixact/members",
    "pg_multixact/offsets",
    "pg_wal",
    "pg_xact",
)
# Copies leave them out where they are empty; PostgreSQL does not start without them.
_OFTEN_EMPTY = (
    "pg_commit_ts",
    "pg_dynshmem",
    "pg_logical",
    "pg_notify",
    "pg_replslot",
    "pg_serial",
    "pg_snapshots",
    "pg_stat",
    "pg_stat_tmp",
    "pg_subtrans",
    "pg_tblspc",
    "pg_twophase",
)
_UNTOUCHED = "nothing was changed"


def holds_cluster(directory: Path, owner: int) -> bool:
    """Whether the store's cluster is there and whole; False where a new one may be made.

    `owner` is the user id that PostgreSQL will run with. ServerError for a directory that is
    damaged, half made or another program's.
    """
    if os.path.lexists(directory / "PG_VERSION"):
        raise ServerError(
            f"{directory} is itself a PostgreSQL cluster, and the store keeps its own in a folder "
            f"{CLUSTER!r} of the data directory; name the directory above it if the store made it, "
            f"else another one; {_UNTOUCHED}"
        )
    cluster = directory / CLUSTER
    if not os.path.lexists(cluster):
        _refuse_if_lost(directory)
        return False
    if not cluster.exists():
        raise ServerError(
            f"{cluster} is a symbolic link to {cluster.readlink()}, which is not there; mount the "
            f"disk that holds it, or correct the link; {_UNTOUCHED}"
        )
    if not cluster.is_dir():
        raise ServerError(
            f"{cluster} is no directory, and the store keeps its cluster there; name another data "
            f"directory, or move that file away; {_UNTOUCHED}"
        )
    try:
        _check_whole(cluster)
    except PermissionError:
        _check_owner(cluster, owner)
        raise
    if not _is_ours(directory):
        raise ServerError(
            f"{cluster} is a PostgreSQL cluster that the store did not make; name another data "
            f"directory, or reach that cluster's server by dsn; {_UNTOUCHED}"
        )
    _check_owner(cluster, owner)
    return True


def version_of(cluster: Path) -> int:
    """The major version of PostgreSQL that made a cluster."""
    file = cluster / "PG_VERSION"
    said = file.read_bytes()[:40].strip()
    if not said.isdigit():
        other = _sibling_version(cluster)
        hint = f"; {other} in base/1/PG_VERSION is what it held" if other else ""
        raise ServerError(
            f"{cluster} is damaged: PG_VERSION holds {said!r} instead of the major version of "
            f"PostgreSQL{hint}; write it again or restore the directory from a backup; {_UNTOUCHED}"
        )
    return int(said)


def _refuse_if_lost(directory: Path) -> None:
    found = [name for name in BESIDE if os.path.lexists(directory / name)]
    if found:
        raise ServerError(
            f"{directory / CLUSTER} is missing, beside {_listed(found)} of a cluster that was "
            "there; restore it from a backup or mount its disk. To begin anew without its data, "
            f"move {_listed(found)} away; {_UNTOUCHED}"
        )


def _check_owner(cluster: Path, owner: int) -> None:
    actual = cluster.stat().st_uid
    if actual != owner:
        raise ServerError(
            f"{cluster} belongs to {named(actual)}, and PostgreSQL would run as {named(owner)}; "
            "run this program as that user, give the directory to the other with chown -R, or "
            f"name another data directory; {_UNTOUCHED}"
        )


def _check_whole(cluster: Path) -> None:
    files = [name for name in _FILES if not _has_file(cluster / name)]
    folders = [name for name in _FOLDERS if not (cluster / name).is_dir()]
    empty = [name for name in _OFTEN_EMPTY if not (cluster / name).is_dir()]
    if not files and not folders and not empty:
        return
    missing = [*files, *folders, *empty]
    if len(missing) == len(_FILES) + len(_FOLDERS) + len(_OFTEN_EMPTY):
        raise ServerError(_no_cluster(cluster))
    how = "restore the whole directory from a backup"
    if files == ["PG_VERSION"] and not folders:
        version = _sibling_version(cluster) or "16"
        how = f"write PG_VERSION again (one line, {version}), or {how}"
    elif not files and not folders:
        how = f"make the missing folders, empty and of mode 0700, or {how}"
    raise ServerError(
        f"{cluster} is damaged or half made: {_listed(missing)} "
        f"{'is' if len(missing) == 1 else 'are'} missing or empty; {how}; {_UNTOUCHED}"
    )


def _no_cluster(cluster: Path) -> str:
    others = sorted(each.name for each in cluster.iterdir())
    if not others:
        return (
            f"{cluster} is an empty directory; mount the disk that belongs there, restore the "
            f"cluster from a backup, or remove the directory to begin anew; {_UNTOUCHED}"
        )
    return (
        f"{cluster} holds {_listed(others)} and no PostgreSQL cluster, so it is not the store's; "
        f"name another data directory, or move that folder away; {_UNTOUCHED}"
    )


def _is_ours(directory: Path) -> bool:
    # Clusters of earlier releases have no mark, but a log, and these files beside them.
    inside = any(os.path.lexists(directory / CLUSTER / name) for name in (MARK, "log"))
    return inside or any(os.path.lexists(directory / name) for name in BESIDE)


def _has_file(path: Path) -> bool:
    """A file with something in it; pg_ident.conf may say nothing."""
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    may_be_empty = path.suffix == ".conf" or path.name == "PG_VERSION"
    return stat.S_ISREG(found.st_mode) and (may_be_empty or found.st_size > 0)


def _sibling_version(cluster: Path) -> str | None:
    try:
        said = (cluster / "base" / "1" / "PG_VERSION").read_bytes()[:40].strip()
    except OSError:
        return None
    return said.decode() if said.isdigit() else None


def named(user: int) -> str:
    """A user for messages: its name, where it has one, and its number."""
    import pwd  # noqa: PLC0415 - not on Windows, where no server is started

    try:
        return f"{pwd.getpwuid(user).pw_name} (uid {user})"
    except KeyError:
        return f"uid {user}, which has no name here"


def _listed(names: list[str]) -> str:
    shown = [repr(name)[1:-1] for name in names[:6]]
    if len(names) > len(shown):
        shown.append(f"{len(names) - len(shown)} more")
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"
