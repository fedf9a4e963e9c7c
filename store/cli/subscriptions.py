"""Who follows the log, what their handlers would not take, and which workflows wait."""

from __future__ import annotations

import argparse
from typing import Any

from store.cli.access import add_server_options, administrator
from store.cli.output import say
from store.outbox.outbox import pending_intents, start_errors
from store.subscriptions.checkpoints import parked_events, subscribers


def add(commands: Any) -> None:
    """Add the commands."""
    for name, what, run in (
        ("subscribers", "show durable subscriptions: how far they are, and who holds them", follow),
        ("parked", "show events that a subscriber's handler kept raising on, with the error", park),
        ("outbox", "show workflows that transitions promised and nobody has started yet", promised),
    ):
        parser = commands.add_parser(name, help=what)
        if name == "parked":
            parser.add_argument("subscriber_id", nargs="?", help="of this subscriber alone")
        add_server_options(parser)
        parser.set_defaults(run=run)


def follow(options: argparse.Namespace) -> int:
    """A line for each subscription."""
    with administrator(options) as connection:
        found = subscribers(connection)
    form = "{:<20}{:<28}{:>9}{:>8}  {:<12}{}"
    say(form.format("user", "subscriber", "unread", "parked", "session", "moved at"))
    for each in found:
        holder = "none" if each.holder_pid is None else str(each.holder_pid)
        moved = each.moved_at.isoformat(" ", "seconds")
        name = each.subscriber_id
        say(form.format(each.username, name, each.unread, each.parked, holder, moved))
    return 0


def park(options: argparse.Namespace) -> int:
    """Each event, and its error below it."""
    with administrator(options) as connection:
        found = parked_events(connection, options.subscriber_id)
    for each in found:
        at = each.parked_at.isoformat(" ", "seconds")
        say(
            f"{each.username} {each.subscriber_id}: version {each.version} of {each.entity_id}, "
            f"{each.attempts} attempts until {at}"
        )
        say("".join(f"    {line}\n" for line in each.error.splitlines()))
    say(f"{len(found)} parked")
    return 0


def promised(options: argparse.Namespace) -> int:
    """A line for each promise, the oldest first."""
    with administrator(options) as connection:
        found = pending_intents(connection)
        errors = start_errors(connection)
    for each in found:
        at = each.tx_time.isoformat(" ", "seconds")
        say(f"{at}  {each.workflow}  {each.workflow_id}  {each.type_name} by {each.created_by}")
        if each.workflow_id in errors:
            say(f"    attempts: {each.attempts}; the last: {errors[each.workflow_id]}")
    say(f"{len(found)} pending")
    return 0
