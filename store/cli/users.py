"""`provision`, `passwd` and `disable`: the people who may log in."""

from __future__ import annotations

import argparse
from typing import Any

from store.cli.access import (
    add_password_option,
    add_server_options,
    administrator,
    given_password,
)
from store.cli.output import say
from store.schema import change_password, disable_user, provision_user


def add(commands: Any) -> None:
    """Add the commands."""
    for name, run, what in (
        ("provision", provision, "make a login for a person, or let a disabled one in again"),
        ("passwd", passwd, "change the password of a user"),
        ("disable", disable, "let a user log in no more; the events stay"),
    ):
        parser = commands.add_parser(name, help=what)
        parser.add_argument("name", help="the user's name: lower-case letters, digits and _")
        add_server_options(parser)
        if run is not disable:
            add_password_option(parser)
        parser.set_defaults(run=run)


def provision(options: argparse.Namespace) -> int:
    """Make a login."""
    password = given_password(options, f"a password for {options.name}", is_new=True)
    with administrator(options, make_schema=True) as connection:
        provision_user(connection, options.name, password)
    say(f"{options.name} may log in.")
    return 0


def passwd(options: argparse.Namespace) -> int:
    """Change a password."""
    password = given_password(options, f"a new password for {options.name}", is_new=True)
    with administrator(options) as connection:
        change_password(connection, options.name, password)
    say(f"The password of {options.name} is changed.")
    return 0


def disable(options: argparse.Namespace) -> int:
    """End a login."""
    with administrator(options) as connection:
        disable_user(connection, options.name)
    say(f"{options.name} may log in no more.")
    return 0
