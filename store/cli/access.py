"""How commands reach a server, and where they take passwords from: never the command line."""

from __future__ import annotations

import argparse
import getpass
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from psycopg2.extensions import make_dsn

from store.admin.cluster import ADMIN, HOST, running_at
from store.database.execute import PgConnection
from store.database.sqlstates import is_wrong_password
from store.errors import AccessError, DirectoryInUse, ServerError
from store.server import DATABASE, ObjectStoreServer, parsed

DSN = "OBJECT_STORE_DSN"
ADMIN_PASSWORD = "OBJECT_STORE_ADMIN_PASSWORD"
# How long a server that another process is just starting is waited for.
JOIN_SECONDS = 60.0


def add_server_options(parser: argparse.ArgumentParser) -> None:
    """The options that say which server is meant."""
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--data-dir",
        metavar="DIR",
        help="the embedded server of this directory (its usual one, if nothing is said). An "
        f"administrator's password of one's own is taken from ${ADMIN_PASSWORD}",
    )
    which.add_argument(
        "--dsn",
        help="a server that runs elsewhere, as an administrator, without the password: that comes "
        f"from $PGPASSWORD or ~/.pgpass. ${DSN} may hold a whole dsn instead",
    )


def add_password_option(parser: argparse.ArgumentParser) -> None:
    """The option to take a password from the standard input."""
    parser.add_argument(
        "--password-stdin",
        action="store_true",
        help="read the password from the first line of the standard input instead of asking",
    )


@contextmanager
def reached(
    options: argparse.Namespace, *, make_schema: bool = False, attach: bool = True
) -> Iterator[ObjectStoreServer]:
    """The server that is meant: an embedded one that nobody runs is started meanwhile.

    Without `attach`, one that another process runs is an error.
    """
    dsn = _dsn(options)
    if dsn is None:
        server = ObjectStoreServer(options.data_dir, os.environ.get(ADMIN_PASSWORD))
        try:
            server.start()
        except DirectoryInUse:
            if not attach:
                raise
            server = _joined(server)
    else:
        server = ObjectStoreServer(dsn=dsn)
    if make_schema and not server.is_embedded:
        server.start()
    try:
        yield server
    finally:
        server.stop()


@contextmanager
def administrator(
    options: argparse.Namespace, *, make_schema: bool = False
) -> Iterator[PgConnection]:
    """A connection of the administrator."""
    with reached(options, make_schema=make_schema) as server:
        connection = server.admin_conn()
        try:
            yield connection
        finally:
            connection.close()


def given_password(options: argparse.Namespace, whose: str, *, is_new: bool = False) -> str:
    """A password from the standard input or the terminal; a new one is asked for twice."""
    if options.password_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    if not sys.stdin.isatty():
        raise AccessError(f"no terminal to ask for {whose}; give it with --password-stdin")
    password = getpass.getpass(f"{whose}: ")
    if is_new and getpass.getpass("again: ") != password:
        raise AccessError("the two differ; nothing was changed")
    return password


def _joined(server: ObjectStoreServer) -> ObjectStoreServer:
    """The server that another process runs, once it has started it; ours if that one has ended."""
    end = time.monotonic() + JOIN_SECONDS
    while True:
        try:
            port, kept = running_at(server.data_dir)
            password = os.environ.get(ADMIN_PASSWORD) or kept
            dsn = make_dsn(host=HOST, port=port, dbname=DATABASE, user=ADMIN, password=password)
            running = ObjectStoreServer(dsn=dsn)
            running.admin_conn().close()
            return running
        except ServerError as error:
            if is_wrong_password(error.__cause__) or time.monotonic() > end:
                raise
        time.sleep(0.1)
        try:
            return server.start()
        except DirectoryInUse:
            continue


def _dsn(options: argparse.Namespace) -> str | None:
    given: str | None = options.dsn
    if given is None:
        return os.environ.get(DSN) if options.data_dir is None else None
    if "password" in parsed(given):
        raise AccessError(
            "everybody on this machine can read a password on the command line; leave it out of "
            f"--dsn and put it into $PGPASSWORD or ~/.pgpass, or the whole dsn into ${DSN}"
        )
    return given
