"""`governance`: duties of people, changes that need two of them, and the reviews of break-glass."""

from __future__ import annotations

import argparse
import json
import signal
import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from store.cli.access import add_server_options, administrator, reached
from store.cli.output import say
from store.client import StoreClient
from trading.cli.login import add_login, as_user
from trading.errors import GovernanceError
from trading.governance import (
    DUTIES,
    EmergencyReview,
    Governance,
    LimitsChange,
    ParametersChange,
    bootstrap_governance,
    grant_duty,
    revoke_duty,
)
from trading.governance.governance import Change, limits_of
from trading.governance.lapsing import Lapsing

__all__ = ["add"]


def add(commands: Any) -> None:
    """Add the command with its own ones."""
    parser = commands.add_parser(
        "governance",
        help="limits and parameters that two people change; duties; reviews",
        description="Changes of limits and strategy parameters: asked for by one person, approved "
        "by another, followed by the engine. An administrator gives duties.",
    )
    own = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    setup = own.add_parser("setup", help="prepare the database; an administrator does")
    add_server_options(setup)
    setup.set_defaults(run=_setup)
    for name, what in (("grant", "give a person duties"), ("revoke", "take duties away")):
        each = own.add_parser(name, help=f"{what}; an administrator does")
        add_server_options(each)
        each.add_argument("person")
        each.add_argument("duties", nargs="*" if name == "revoke" else "+", metavar="DUTY")
        each.add_argument("--account", required=True, help="* for all of them")
        each.set_defaults(run=_duties, call=grant_duty if name == "grant" else revoke_duty)
        each.epilog = f"Duties: {' '.join(DUTIES)}"
    shown = own.add_parser("list", help="changes, requests and reviews of an account")
    add_login(shown)
    shown.add_argument("--account", required=True)
    shown.add_argument("--all", action="store_true", help="also those that are over")
    shown.set_defaults(run=_list)
    _add_propose(own)
    for name, what in _DECISIONS.items():
        each = own.add_parser(name, help=what)
        add_login(each)
        each.add_argument("entity_id", metavar="ID")
        needs = name in ("reject", "break-glass", "review")
        each.add_argument("--reason", required=needs, default="", help="why")
        if name == "review":
            found = each.add_mutually_exclusive_group(required=True)
            found.add_argument("--justified", action="store_true")
            found.add_argument("--not-justified", action="store_true")
        each.set_defaults(run=_decide, decision=name)
    serve = own.add_parser("serve", help="let approvals lapse that are not given in time")
    add_login(serve)
    serve.add_argument("--seconds", type=float, help="stop after so many")
    serve.set_defaults(run=_serve)


_DECISIONS = {
    "approve": "approve what another person has asked for",
    "reject": "refuse what another person has asked for",
    "withdraw": "take back what you have asked for",
    "break-glass": "put a change in force at once, alone; it must be reviewed",
    "review": "say whether another person was right to break the glass",
}


def _add_propose(own: Any) -> None:
    parser = own.add_parser("propose", help="ask for other limits or parameters")
    add_login(parser)
    parser.add_argument("--account", required=True)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--limits", metavar="FILE", type=Path, help="JSON of trading.risk.Limits")
    what.add_argument("--parameters", metavar="FILE", type=Path, help="JSON of all parameters")
    parser.add_argument("--strategy", help="whose parameters")
    parser.add_argument("--reason", default="", help="why")
    parser.add_argument("--effective-from", metavar="TIME", help="ISO 8601 with a time zone")
    parser.add_argument(
        "--approve-within", type=float, default=24.0, metavar="HOURS", help="default: 24"
    )
    parser.set_defaults(run=_propose)


def _setup(options: argparse.Namespace) -> int:
    with administrator(options, make_schema=True) as admin:
        bootstrap_governance(admin)
    say("governance is set up")
    return 0


def _duties(options: argparse.Namespace) -> int:
    call: Callable[..., None] = options.call
    with administrator(options) as admin:
        bootstrap_governance(admin)
        call(admin, options.person, options.account, *options.duties)
    return 0


def _list(options: argparse.Namespace) -> int:
    with as_user(options) as client:
        governance = Governance(client)
        account = options.account
        over = () if options.all else ("PROPOSED", "APPROVED", "EMERGENCY", "EFFECTIVE")
        for change in governance.changes(account, *over):
            say(_change_line(change))
        for request in governance.requests(account, *(() if options.all else ("REQUESTED",))):
            say(
                f"{request._store_entity_id} {request._store_state} {request.control_action} of "
                f"{account} {request.run} by {request.requested_by}: {request.change_reason} "
                f"{request.outcome_code} {request.outcome_text}".rstrip()
            )
        for review in governance.reviews(account, *(() if options.all else ("OPEN",))):
            say(
                f"{review._store_entity_id} {review._store_state} review of change "
                f"{review.change_id} by {review.requested_by}: {review.change_reason} "
                f"{review.review_outcome}".rstrip()
            )
    return 0


def _change_line(change: Change) -> str:
    if isinstance(change, LimitsChange):
        given = json.loads(change.limits_json)
        what = "limits " + json.dumps({k: v for k, v in given.items() if v is not None})
    else:
        what = f"parameters of {change.strategy} {change.parameters_json}"
    decided = f", decided by {change.approved_by}" if change.approved_by else ""
    return (
        f"{change._store_entity_id} {change._store_state} {what} of {change.account} by "
        f"{change.requested_by}{decided}: {change.change_reason}"
    )


def _propose(options: argparse.Namespace) -> int:
    since = None
    if options.effective_from:
        try:
            since = datetime.fromisoformat(options.effective_from)
        except ValueError as error:
            raise GovernanceError(f"--effective-from: {error}") from None
    more = {
        "reason": options.reason,
        "effective_from": since,
        "approve_within": timedelta(hours=options.approve_within),
    }
    with as_user(options) as client:
        governance = Governance(client)
        if options.limits is not None:
            limits = limits_of(options.limits.read_text(encoding="utf-8"))
            change: Change = governance.propose_limits(options.account, limits, **more)
        else:
            if not options.strategy:
                raise GovernanceError("--parameters needs --strategy, whose they are")
            try:
                values = json.loads(options.parameters.read_text(encoding="utf-8"))
            except ValueError as error:
                raise GovernanceError(f"{options.parameters}: {error}") from None
            change = governance.propose_parameters(
                options.account, options.strategy, values, **more
            )
        say(f"{change._store_entity_id} waits for an approval until {change.approve_by}")
    return 0


def _decide(options: argparse.Namespace) -> int:
    with as_user(options) as client:
        governance = Governance(client)
        if options.decision == "review":
            review = _found(client, options.entity_id, EmergencyReview)
            governance.review(review, justified=options.justified, note=options.reason)
            say(f"{review._store_state} {review.review_outcome}")
            return 0
        change = _found(client, options.entity_id, LimitsChange, ParametersChange)
        if options.decision == "withdraw":
            governance.withdraw(change)
        else:
            calls: dict[str, Callable[[Any, str], Change]] = {
                "approve": governance.approve,
                "reject": governance.reject,
                "break-glass": governance.break_glass,
            }
            calls[options.decision](change, options.reason)
        say(_change_line(change))
    return 0


def _found(client: StoreClient, entity_id: str, *classes: type[Any]) -> Any:
    for cls in classes:
        found = client.read(cls, entity_id)
        if found is not None:
            return found
    names = " or ".join(cls.__name__ for cls in classes)
    raise GovernanceError(f"no {names} {entity_id} that {client.user} may see")


def _serve(options: argparse.Namespace) -> int:
    # The workflow engine takes a while to import; nobody else pays for it.
    from workflow.dbos_engine import DBOSEngine  # noqa: PLC0415

    done = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: done.set())
    with (
        as_user(options) as client,
        reached(options) as server,
        DBOSEngine(server.dbos_url(), name="governance") as engine,
    ):
        engine.attach(Lapsing(client, engine))
        say("approvals lapse in their time")
        done.wait(options.seconds)
    return 0
