"""The matching engine against a plain model: the same reports, books and positions."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.trading.exchange.naive import NaiveExchange
from tests.trading.exchange.orders import AAPL, START, cancel, order, replace, short
from trading.exchange.matching.engine import MatchingEngine
from trading.exchange.matching.inputs import (
    SELF_TRADE,
    AddAccount,
    AddInstrument,
    ExchangeSettings,
    Request,
    SetPhase,
)
from trading.journal.outputs import SendOrder

ACCOUNTS = ("A", "B", "C")
prices = st.integers(97, 103)
sizes = st.integers(1, 12)


@st.composite
def orders(draw: Any) -> dict[str, Any]:
    kind = draw(st.sampled_from(["LIMIT"] * 5 + ["MARKET", "STOP", "STOP_LIMIT", "TRAILING_STOP"]))
    ordinary = ["GTC", "GTC", "DAY", "IOC", "FOK"]
    auctions = ["AT_OPEN", "AT_CLOSE"] if kind in ("LIMIT", "MARKET") else []
    tif = draw(st.sampled_from(ordinary + auctions))
    resting_limit = kind == "LIMIT" and tif in ("GTC", "DAY")
    return {
        "account": draw(st.sampled_from(ACCOUNTS)),
        "side": draw(st.sampled_from((1, -1))),
        "quantity": draw(sizes),
        "kind": kind,
        "tif": tif,
        "limit": draw(prices) if kind in ("LIMIT", "STOP_LIMIT") else None,
        "stop": draw(prices) if kind in ("STOP", "STOP_LIMIT") else None,
        "trail": draw(st.integers(1, 4)) if kind == "TRAILING_STOP" else None,
        "reduce_only": draw(st.sampled_from((False, False, False, True))),
        "post_only": resting_limit and draw(st.sampled_from((False, False, True))),
    }


def _step(kind: int) -> st.SearchStrategy[tuple[Any, ...]]:
    if kind < 9:
        return orders().map(lambda fields: ("order", fields))
    if kind < 11:
        return st.tuples(st.just("cancel"), st.integers(0, 40))
    if kind < 14:
        return st.tuples(st.just("replace"), st.integers(0, 40), st.integers(0, 12), prices, prices)
    return st.tuples(st.just("phase"), st.booleans())


# Short lists trade nothing: hypothesis prefers them unless it is told.
steps = st.lists(st.integers(0, 14).flatmap(_step), min_size=15, max_size=60)


def engine(self_trade: str = "CANCEL_NEWEST", **more: Any) -> MatchingEngine:
    made = MatchingEngine(ExchangeSettings(START, self_trade=self_trade, **more))
    made.apply(AddInstrument(START, AAPL))
    for account in ACCOUNTS:
        made.apply(AddAccount(START, account, (("USD", 10**15),)))
    return made


def same(real: MatchingEngine, model: NaiveExchange) -> None:
    book = real.state.books["AAPL"]
    for side in (1, -1):
        assert book.depth(side, 0) == model.depth(side)
    for account in ACCOUNTS:
        held = real.state.accounts[account].positions.get("AAPL", 0)
        assert held == model.held.get(account, 0)
    statuses = {
        each.order_id: (each.status, each.filled)
        for account in real.state.accounts.values()
        for each in account.orders.values()
    }
    assert statuses == {entry.id: (entry.status, entry.filled) for entry in model.entries}


@pytest.mark.parametrize("self_trade", SELF_TRADE)
@given(script=steps)
@settings(max_examples=50)
def test_the_engine_does_what_the_plain_model_does(self_trade: str, script: list[Any]) -> None:
    real, model = engine(self_trade), NaiveExchange(self_trade)
    sent: list[SendOrder] = []
    cash = sum(account.cash["USD"] for account in real.state.accounts.values())
    for number, step in enumerate(script):
        heard: list[tuple[Any, ...]] = []
        before = len(model.said)
        if step[0] == "order":
            fields = dict(step[1])
            request = order(f"o{number}", fields.pop("side"), fields.pop("quantity"), **fields)
            sent.append(request)
            outcome = real.apply(Request(START, request))
            model.order(request)
        elif step[0] == "phase":
            outcome = real.apply(SetPhase(START, "OPEN" if step[1] else "CLOSED"))
            model.phase(step[1])
        elif not sent:
            continue
        else:
            target = sent[step[1] % len(sent)]
            if step[0] == "cancel":
                ask = cancel(target.order_id, target.account, START + number)
                outcome = real.apply(Request(START, ask))
                model.cancel(ask)
            else:
                limit = step[3] if target.limit is not None else None
                stop = step[4] if target.stop is not None else None
                change = replace(
                    target.order_id, step[2], limit, stop, target.account, START + number
                )
                outcome = real.apply(Request(START, change))
                model.replace(change)
        heard += [short(report) for _, _, report in outcome.reports]
        assert heard == model.said[before:]
        same(real, model)
    # Without fees money only changes hands, and every share that is held is owed.
    assert sum(account.cash["USD"] for account in real.state.accounts.values()) == cash
    assert sum(model.held.values()) == 0


@given(script=steps)
@settings(max_examples=20)
def test_repeats_change_nothing(script: list[Any]) -> None:
    """Every request is given twice; the second time names the report that answered the first."""
    once, twice = engine(), engine()
    for number, step in enumerate(script):
        if step[0] != "order":
            continue
        fields = dict(step[1])
        request = order(f"o{number}", fields.pop("side"), fields.pop("quantity"), **fields)
        for asked in (request, cancel(request.order_id, request.account, number)):
            once.apply(Request(START, asked))
            first = twice.apply(Request(START, asked))
            account = twice.state.accounts[asked.account]
            again = twice.apply(Request(START, asked))
            assert not again.changed
            assert not again.reports
            answer = next(s for name, s, _ in first.reports if name == account.name)
            assert again.repeats == answer
    assert once.state.digest_bytes() == twice.state.digest_bytes()
