"""A user of the store on the command line: whose login a command uses."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from store.cli.access import add_password_option, add_server_options, given_password, reached
from store.client import StoreClient

__all__ = ["add_login", "as_user"]


def add_login(parser: Any) -> None:
    """Add the options that say which server, and whose login."""
    add_server_options(parser)
    parser.add_argument("--user", required=True, help="your login of the store")
    add_password_option(parser)


@contextmanager
def as_user(options: argparse.Namespace) -> Iterator[StoreClient]:
    """Yield the store as the user who is meant."""
    password = given_password(options, f"the password of {options.user}")
    with (
        reached(options) as server,
        StoreClient(options.user, password, **server.conn_info()) as client,
    ):
        yield client
