"""How commands reach a tick store: as the administrator, or as a user who logs in."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from store.cli.access import add_password_option, add_server_options, given_password, reached
from trading.ticks import TickStore


def add_store_options(parser: argparse.ArgumentParser) -> None:
    """The options that say which server is meant, and who logs in."""
    add_server_options(parser)
    parser.add_argument(
        "--user", help="who logs in; their rights count (default: the administrator)"
    )
    add_password_option(parser)


@contextmanager
def opened(options: argparse.Namespace) -> Iterator[TickStore]:
    """The tick store that is meant."""
    login: dict[str, Any] | None = None
    if options.user is not None:
        password = given_password(options, f"the password of {options.user}")
        login = {"user": options.user, "password": password}
    with reached(options) as server:
        where = server if login is None else {**server.conn_info(), **login}
        with TickStore(where) as store:
            yield store
