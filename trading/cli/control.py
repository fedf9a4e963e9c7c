"""`halt`, `reduce`, `flatten` and `resume`: the kill switch, from any process."""

from __future__ import annotations

import argparse
from typing import Any

from store.cli.output import say
from trading.cli.login import add_login, as_user
from trading.governance import Governance
from trading.governance.governance import LIVE, command_of

_HELP = {
    "halt": "stop an account: its orders are cancelled, new ones refused",
    "reduce": "let an account only reduce its positions",
    "flatten": "cancel an account's orders and close its positions at the market",
    "resume": "let a halted account trade again; another person than its trader does",
}


def add(commands: Any) -> None:
    """Add the four commands."""
    for name, text in _HELP.items():
        parser = commands.add_parser(
            name,
            help=text,
            description=f"{name}: {text}. The request is kept in the store, and the account's "
            "engine carries it out once and journals it; an engine that is down obeys when it "
            "starts, before it takes any order.",
        )
        add_login(parser)
        parser.add_argument("--account", required=True)
        parser.add_argument(
            "--run-name", default=LIVE, metavar="RUN", help=f"the engine's run (default: {LIVE})"
        )
        parser.add_argument("--reason", required=True, help="why; it is journaled")
        if name == "flatten":
            parser.add_argument("--strategy", default="", help="of this strategy alone")
            parser.add_argument("--symbol", default="", help="of this symbol alone")
        parser.add_argument(
            "--wait",
            type=float,
            default=10.0,
            metavar="SECONDS",
            help="for the engine to carry it out; 0 only asks (default: 10)",
        )
        parser.set_defaults(run=_ask, action=name.upper())


def _ask(options: argparse.Namespace) -> int:
    with as_user(options) as client:
        governance = Governance(client)
        more = {}
        if options.action == "FLATTEN":
            more = {"strategy": options.strategy, "symbol": options.symbol}
        ask = command_of(governance, options.action)
        request = ask(options.account, options.reason, run=options.run_name, **more)
        say(f"{options.action} of {options.account} is asked for: {request._store_entity_id}")
        if not options.wait:
            return 0
        done = governance.wait(request, ("DONE", "REFUSED"), options.wait)
    text = f": {done.outcome_text}" if done.outcome_text else ""
    say(f"{done._store_state} {done.outcome_code}{text}")
    return 0 if done._store_state == "DONE" else 1
