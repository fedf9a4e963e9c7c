"""A run's journal against its replay, and against a replay with something changed, as data.

Both fold the journal in memory and write nothing; what the changed run sends goes nowhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from itertools import zip_longest
from typing import Any, NamedTuple

import msgspec

from store.client import StoreClient
from trading.api.problems import Problem
from trading.api.record_views import number_text, time_text
from trading.api.settings import RunSettings, RunStrategy
from trading.backtest import load_strategy
from trading.brokers import Commission, PaperBroker
from trading.brokers.commissions import commission_of
from trading.governance.governance import limits_of
from trading.picker import TradePicker
from trading.replay.figures import PnlFigures
from trading.replay.run_journal import Recipe, RecordedRun, following, recipe_of
from trading.replay.verifying import Difference, verify_run
from trading.replay.what_if import Comparison, OrderDifference, OrderOutcome, what_if
from trading.risk import Limits
from trading.strategy import Strategy
from trading.times import moment

__all__ = [
    "Changes",
    "changes_of",
    "compared",
    "made",
    "made_as_asked",
    "name_of",
    "run_recipe",
    "strategy_named",
    "verified",
]

_LINES_MAX = 200
_LINE_MAX = 2_000
_ORDERS_MAX = 2_000


# --- what a kernel of a run is made of ------------------------------------------------------------


def made(given: RunStrategy, symbols: Sequence[str]) -> Strategy:
    """Return a strategy with its parameters; `symbols` are its own where it names none."""
    more: dict[str, Any] = {"symbols": list(given.symbols or symbols)}
    if given.timeframes:
        more["timeframes"] = list(given.timeframes)
    return load_strategy(given.where, dict(given.parameters), **more)


def made_as_asked(given: RunStrategy, symbols: Sequence[str]) -> Strategy:
    """As `made`, of what a request has asked for; Problem where that is not possible."""
    try:
        return made(given, symbols)
    except (TypeError, ValueError, LookupError, ArithmeticError) as error:
        # Its own code, with values that it was not written for.
        what = f"strategy {name_of(given)} cannot be made with these parameters: {error}"
        raise Problem(422, "STRATEGY", what) from error


def strategy_named(known: Mapping[str, RunStrategy], name: str) -> RunStrategy:
    """Return a strategy by its name; Problem where there is none of it."""
    if name not in known:
        names = sorted(known)
        raise Problem(
            422,
            "UNKNOWN_STRATEGY",
            f"there is no strategy {name!r:.80}; there are {', '.join(names)}",
            allowed=names,
        )
    return known[name]


def name_of(given: RunStrategy) -> str:
    """Return the name by which people call a strategy: its class."""
    return given.where.rpartition(":")[2]


def run_recipe(run: RunSettings, recorded: RecordedRun) -> Recipe:
    """Return what the kernel of a run of this desk is made of."""
    symbols = list(recorded.specs)
    strategies = [made(each, symbols) for each in run.strategies]
    broker = PaperBroker("tick") if run.is_paper else None
    return recipe_of(
        recorded, strategies=strategies, broker=broker, picker=TradePicker(run.max_open)
    )


class Changes(NamedTuple):
    """What is changed of a run, as a request has asked for it."""

    strategies: list[RunStrategy]
    is_other: bool
    limits: Limits | None
    fill_model: str | None
    commission: Commission | None
    max_open: int


def changes_of(
    run: RunSettings,
    known: Mapping[str, RunStrategy],
    asked: Mapping[str, Any],
    symbols: Sequence[str],
) -> Changes:
    """Return what is changed of a run; Problem for what cannot be, before the journal is read.

    `known` are the strategies that may take another's place, by name.
    """
    strategies = _strategies(run, known, asked)
    for each in strategies:
        made_as_asked(each, symbols)
    limits = None
    if asked["limits"] is not None:
        limits = limits_of(msgspec.json.encode(asked["limits"]).decode())
    return Changes(
        strategies,
        bool(asked["other_strategy"]),
        limits,
        asked["fill_model"],
        commission_of(asked["commission"]),
        run.max_open if asked["max_open"] is None else asked["max_open"],
    )


def _changed_recipe(recorded: RecordedRun, changes: Changes) -> Recipe:
    """The recipe of the changed run; its orders go to a simulated broker."""
    strategies = [made(each, list(recorded.specs)) for each in changes.strategies]
    settings = recorded.settings
    if changes.is_other:
        settings = following(settings, strategies)
    fill = changes.fill_model or (recorded.broker[0] if recorded.broker else "tick")
    return recipe_of(
        recorded,
        strategies=strategies,
        broker=PaperBroker(fill, changes.commission),
        picker=TradePicker(changes.max_open),
        settings=settings,
    )


def _strategies(
    run: RunSettings, known: Mapping[str, RunStrategy], change: Mapping[str, Any]
) -> list[RunStrategy]:
    """The strategies of the changed run: one of them with other parameters, or another one."""
    parameters, other = change["parameters"], change["other_strategy"]
    if not parameters and not other:
        return list(run.strategies)
    at = _place_of(run, change["strategy"])
    then = run.strategies[at]
    base = strategy_named(known, other) if other else then
    now = RunStrategy(
        base.where,
        {**base.parameters, **parameters},
        base.symbols or then.symbols,
        base.timeframes or then.timeframes,
    )
    return [*run.strategies[:at], now, *run.strategies[at + 1 :]]


def _place_of(run: RunSettings, name: str) -> int:
    names = [name_of(each) for each in run.strategies]
    if not name and len(names) == 1:
        return 0
    if name in names:
        return names.index(name)
    asked = f"no strategy {name!r:.80}" if name else "more than one strategy" if names else "none"
    raise Problem(
        422,
        "UNKNOWN_STRATEGY",
        f"run {run.run} of account {run.account} has {asked}; `strategy` names the one to change: "
        f"{', '.join(names) or 'this run trades by hand alone'}",
        allowed=names,
    )


# --- verify ---------------------------------------------------------------------------------------


def verified(recorded: RecordedRun, recipe: Recipe, store: StoreClient) -> dict[str, Any]:
    """Return what folding a run's journal gives, and the first event that is another one here."""
    found = verify_run(recorded, recipe, store)
    return {
        "account": found.account,
        "run": found.run,
        "is_equal": bool(found),
        "groups": found.groups,
        "inputs": found.inputs,
        "outputs": found.outputs,
        "digest": found.digest,
        "difference": None if found.difference is None else _difference(found.difference),
        "text": found.text(),
    }


def _difference(found: Difference) -> dict[str, Any]:
    pairs = list(zip_longest(found.recorded_lines, found.folded_lines, fillvalue=""))
    return {
        "group": found.group,
        "input": found.input_number,
        "cause": found.cause[:_LINE_MAX],
        "reason": found.reason[:_LINE_MAX],
        "recorded": found.recorded[:_LINE_MAX],
        "here": found.folded[:_LINE_MAX],
        "recorded_digest": found.recorded_digest,
        "digest_here": found.folded_digest,
        "lines": [
            {"recorded": then[:_LINE_MAX], "here": now[:_LINE_MAX], "is_same": then == now}
            for then, now in pairs[:_LINES_MAX]
        ],
    }


# --- what if --------------------------------------------------------------------------------------


def compared(run: RunSettings, recorded: RecordedRun, changes: Changes) -> dict[str, Any]:
    """Return what would have been different: order by order, P&L against P&L."""
    changed = _changed_recipe(recorded, changes)
    found = what_if(recorded, run_recipe(run, recorded), changed, limits=changes.limits)
    return {
        "account": recorded.account,
        "run": recorded.run,
        "groups": len(recorded.groups),
        "same_orders": found.same_orders,
        "orders": [_order_difference(each) for each in found.orders[:_ORDERS_MAX]],
        "orders_left_out": max(0, len(found.orders) - _ORDERS_MAX),
        "pnl": [
            {
                "account": each.account,
                "strategy": each.strategy,
                "symbol": each.symbol,
                "recorded": _figures(each.recorded),
                "changed": _figures(each.changed),
            }
            for each in found.pnl
        ],
        "totals": _totals(found),
        "notes": found.notes,
        "recorded_digest": found.recorded_digest,
        "changed_digest": found.changed_digest,
    }


def _totals(found: Comparison) -> dict[str, str | None]:
    return {side: _number(found.total(side)) for side in ("recorded", "changed")}


def _order_difference(each: OrderDifference) -> dict[str, Any]:
    return {
        "what": each.what,
        "time": time_text(moment(each.key[0])),
        "fields": list(each.fields),
        "recorded": _order(each.recorded),
        "changed": _order(each.changed),
    }


_NUMBERS = ("quantity", "limit", "stop", "filled", "average_price", "fees")
_TEXTS = ("order_id", "account", "strategy", "symbol", "side", "kind", "status", "refusal")


def _order(order: OrderOutcome | None) -> dict[str, Any] | None:
    if order is None:
        return None
    return {
        **{name: getattr(order, name) for name in _TEXTS},
        **{name: _number(getattr(order, name)) for name in _NUMBERS},
    }


def _figures(figures: PnlFigures) -> dict[str, str | None]:
    return {name: _number(value) for name, value in figures._asdict().items()}


def _number(value: Decimal | None) -> str | None:
    return None if value is None else number_text(value)
