"""A run's journal against its replay, and against a replay with something changed, as data.

Both fold the journal in memory and write nothing; what the changed run sends goes nowhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from itertools import zip_longest
from typing import Any

import msgspec

from store.client import StoreClient
from trading.api.problems import Problem
from trading.api.record_views import number_text, time_text
from trading.api.settings import RunSettings, RunStrategy
from trading.backtest import load_strategy
from trading.brokers import PaperBroker
from trading.brokers.commissions import commission_of
from trading.errors import TradingError
from trading.governance.governance import limits_of
from trading.picker import TradePicker
from trading.replay.figures import PnlFigures
from trading.replay.run_journal import Recipe, RecordedRun, following, recipe_of
from trading.replay.verifying import Difference, verify_run
from trading.replay.what_if import Comparison, OrderDifference, OrderOutcome, what_if
from trading.strategy import Strategy
from trading.times import moment

__all__ = ["compared", "made", "name_of", "run_recipe", "verified"]

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


def _changed_recipe(
    run: RunSettings,
    recorded: RecordedRun,
    known: Mapping[str, RunStrategy],
    change: Mapping[str, Any],
) -> Recipe:
    """The recipe of a run with what a request changes; its orders go to a simulated broker."""
    symbols = list(recorded.specs)
    try:
        strategies = [made(each, symbols) for each in _strategies(run, known, change)]
    except (TypeError, ValueError, LookupError, ArithmeticError) as error:
        # Its own code, with values that it was not written for.
        what = f"the strategy cannot be made with these parameters: {error}"
        raise Problem(422, "STRATEGY", what) from error
    fill = change["fill_model"] or (recorded.broker[0] if recorded.broker else "tick")
    settings = recorded.settings
    if change["other_strategy"]:
        settings = following(settings, strategies)
    places = run.max_open if change["max_open"] is None else change["max_open"]
    return recipe_of(
        recorded,
        strategies=strategies,
        broker=PaperBroker(fill, commission_of(change["commission"])),
        picker=TradePicker(places),
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
    if other and other not in known:
        raise Problem(
            422,
            "UNKNOWN_STRATEGY",
            f"there is no strategy {other!r:.80}; there are {', '.join(sorted(known))}",
            allowed=sorted(known),
        )
    base = known[other] if other else then
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


def compared(
    run: RunSettings,
    recorded: RecordedRun,
    known: Mapping[str, RunStrategy],
    change: Mapping[str, Any],
) -> dict[str, Any]:
    """Return what would have been different: order by order, P&L against P&L.

    `known` are the strategies that may take another's place, by name.
    """
    limits = None
    if change["limits"] is not None:
        limits = limits_of(msgspec.json.encode(change["limits"]).decode())
    try:
        changed = _changed_recipe(run, recorded, known, change)
    except TradingError as error:
        raise Problem(422, "MALFORMED", str(error)) from error
    found = what_if(recorded, run_recipe(run, recorded), changed, limits=limits)
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
