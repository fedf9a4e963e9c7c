"""`verify` and `replay`: a recorded run through the kernel again, as it was or changed."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from store.cli.access import add_password_option, add_server_options, given_password, reached
from store.cli.output import say
from store.client import StoreClient
from trading.backtest import load_strategy
from trading.brokers import FILL_MODELS, PaperBroker
from trading.brokers.commissions import commission_of
from trading.cli.strategies import values_of
from trading.errors import LimitsError, ReplayError
from trading.governance.governance import limits_of
from trading.picker import TradePicker
from trading.replay.description import Description, described_run
from trading.replay.run_journal import (
    Recipe,
    RecordedRun,
    following,
    read_run,
    recipe_of,
    run_names,
)
from trading.replay.verifying import verify_run
from trading.replay.what_if import what_if
from trading.risk import Limits
from trading.strategy import Strategy

__all__ = ["add", "add_run_options", "described_recipe", "read_store"]


def add(commands: Any) -> None:
    """Add both commands."""
    verify = commands.add_parser(
        "verify",
        help="fold a run's journal again and compare its digest",
        description="Gives the journal of a paper or live run to the kernel again. With the "
        "strategies that the run had, the digest is that of the journal; otherwise the first event "
        "that differs is shown beside the recorded one, with the input that caused it.",
    )
    verify.add_argument("run_name", metavar="RUN", nargs="?", help="such as live or paper:demo")
    add_run_options(verify)
    verify.set_defaults(run=_verify)
    replay = commands.add_parser(
        "replay",
        help="play a run's journal again, as it was or with something changed",
        description="Without a change this is `verify`. With other parameters, limits, fills or "
        "code it says what would have been different: order by order, and P&L against P&L.",
    )
    replay.add_argument("run_name", metavar="RUN", help="such as live or paper:demo")
    add_run_options(replay)
    changes = replay.add_argument_group("what is changed")
    changes.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="a parameter"
    )
    changes.add_argument("--limits", type=Path, metavar="FILE", help="limits as JSON, from start")
    changes.add_argument("--fill-model", choices=FILL_MODELS, help="how a simulated broker fills")
    changes.add_argument(
        "--other-strategy", metavar="WHERE", help="package.module:Class or file.py:Class"
    )
    changes.add_argument("--other-commission", metavar="MODEL", help='such as "bps 10"')
    replay.set_defaults(run=_replay)


def add_run_options(parser: argparse.ArgumentParser) -> None:
    """Add what says where a run is, and with what it was made."""
    add_server_options(parser)
    parser.add_argument("--user", required=True, help="a user of the store who may read the run")
    add_password_option(parser)
    parser.add_argument("--account", help="where several accounts have a run of the name")
    made = parser.add_argument_group(
        "with what the run was made", "Known of runs that `paper` and `live` have started."
    )
    made.add_argument("--strategy", metavar="WHERE", help="package.module:Class or file.py:Class")
    made.add_argument("--recorded-set", action="append", default=[], metavar="NAME=VALUE")
    made.add_argument("--recorded-fill", choices=FILL_MODELS, help="the fills of a paper run")
    made.add_argument(
        "--recorded-commission", metavar="MODEL", help='"per-share 0.005 1.00", "bps 10", …'
    )
    made.add_argument("--max-open", type=int, help="places for signals")


@contextmanager
def read_store(options: argparse.Namespace) -> Iterator[StoreClient]:
    """The store as the user who reads."""
    with reached(options) as server:
        password = given_password(options, f"the password of {options.user}")
        with StoreClient(options.user, password, **server.conn_info()) as store:
            yield store


def _verify(options: argparse.Namespace) -> int:
    with read_store(options) as store:
        if options.run_name is None:
            for each in run_names(store):
                say(f"{each.run} of account {each.account}: {each.groups} groups")
            return 0
        recorded = read_run(store, options.account, options.run_name)
        made = _described(options, store, recorded)
        found = verify_run(recorded, _recipe(recorded, made), store)
    say(found.text())
    return 0 if found else 1


def _replay(options: argparse.Namespace) -> int:
    with read_store(options) as store:
        recorded = read_run(store, options.account, options.run_name)
        made = _described(options, store, recorded)
        original = _recipe(recorded, made)
        changed = _changed(options, made)
        limits = _limits(options.limits)
        if changed == made and limits is None:
            found = verify_run(recorded, original, store)
            say(found.text())
            return 0 if found else 1
    say(what_if(recorded, original, _recipe(recorded, changed, made), limits=limits).text())
    return 0


def _described(
    options: argparse.Namespace, store: StoreClient, recorded: RecordedRun
) -> Description:
    """What the run was made of: as it was described when it started, or as the options say."""
    known = described_run(store, recorded.account, recorded.run)
    given: dict[str, Any] = {
        "strategy": options.strategy,
        "parameters": _parameters(options.recorded_set, "--recorded-set"),
        "fill": options.recorded_fill,
        "commission": options.recorded_commission,
        "max_open": options.max_open,
    }
    given = {name: value for name, value in given.items() if value}
    if not known.fill and recorded.broker is not None:
        given.setdefault("fill", recorded.broker[0])
    return msgspec.structs.replace(known, **given)


def described_recipe(
    options: argparse.Namespace, store: StoreClient, recorded: RecordedRun
) -> Recipe:
    """What a kernel of the run is made of, as it was described or as the options say."""
    return _recipe(recorded, _described(options, store, recorded))


def _changed(options: argparse.Namespace, made: Description) -> Description:
    """What the changed run is made of; a run at a venue gets a simulated broker."""
    parameters = _parameters(options.set, "--set")
    if options.other_strategy:
        made = msgspec.structs.replace(made, strategy=options.other_strategy, parameters={})
    if parameters and not made.strategy:
        raise ReplayError("--set changes a parameter of a strategy, and the run has none")
    return msgspec.structs.replace(
        made,
        parameters={**made.parameters, **parameters},
        fill=options.fill_model or made.fill,
        commission=options.other_commission or made.commission,
    )


def _recipe(
    recorded: RecordedRun, made: Description, original: Description | None = None
) -> Recipe:
    """What a kernel of the description is made of; as a change of `original`, where it is one."""
    named = recorded.strategies
    if not made.strategy and named:
        raise ReplayError(
            f"run {recorded.run} has the strategies {', '.join(named)}: say where their code is, "
            "with --strategy and --recorded-set"
        )
    strategies: tuple[Strategy, ...] = ()
    if made.strategy:
        symbols = list(recorded.specs)
        strategies = (load_strategy(made.strategy, made.parameters, symbols=symbols),)
    broker = None
    if made.fill or original is not None:
        broker = PaperBroker(made.fill or "tick", commission_of(made.commission))
    if original is None and broker is not None and recorded.broker not in (None, broker.settings()):
        raise ReplayError(
            f"the run had a simulated broker with {recorded.broker}, these options make one with "
            f"{broker.settings()}: give --recorded-fill and --recorded-commission as they were"
        )
    settings = recorded.settings
    if original is not None and made.strategy != original.strategy:
        settings = following(settings, strategies)
    return recipe_of(
        recorded,
        strategies=strategies,
        broker=broker,
        picker=TradePicker(made.max_open),
        settings=settings,
    )


def _parameters(texts: list[str], option: str) -> dict[str, str]:
    return dict(values_of(each, option) for each in texts)


def _limits(path: Path | None) -> Limits | None:
    if path is None:
        return None
    try:
        return limits_of(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise LimitsError(f"{path}: {error}") from None
