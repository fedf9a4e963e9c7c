"""`rewrite`: bring stored entities to the present version of their class."""

from __future__ import annotations

import argparse
from typing import Any

from store.cli.access import add_password_option, add_server_options, given_password, reached
from store.cli.classes import class_named
from store.cli.output import complain, say
from store.cli.progress import progress
from store.client import StoreClient
from store.rewriting import rewrite

SHOWN = 20


def add(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "rewrite",
        help="write entities of an earlier version of their class once more",
        description="Writes the present value of each entity of an earlier version of its class, "
        "or without a field that was added since, as the class writes it today: an ordinary "
        "update. Queries find such entities faster. It may be stopped and run again.",
    )
    parser.add_argument("type", help="the class: module and name, such as store.models.Trade")
    parser.add_argument("--user", required=True, help="who logs in; their entities are rewritten")
    add_server_options(parser)
    add_password_option(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Rewrite what this user may write; 1 where something could not be read."""
    cls = class_named(options.type)
    password = given_password(options, f"the password of {options.user}")
    with (
        reached(options) as server,
        StoreClient(options.user, password, **server.conn_info()) as client,
        progress(cls.__name__) as show,
    ):
        found = rewrite(client, cls, lambda done: show(done, done))
    say(f"{found.rewritten} entities were rewritten.")
    if found.overtaken:
        say(f"{found.overtaken} were written by somebody else meanwhile.")
    if found.not_writable:
        say(f"{found.not_writable} are shared with {options.user} for reading only.")
    for each in found.unreadable[:SHOWN]:
        complain(f"not rewritten: {each}")
    if len(found.unreadable) > SHOWN:
        complain(f"and {len(found.unreadable) - SHOWN} more")
    return 1 if found.unreadable else 0
