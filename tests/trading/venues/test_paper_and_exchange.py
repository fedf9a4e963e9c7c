"""The paper broker against the simulated exchange: the same orders and prices, the same fills.

Two kernels get the same commands: one trades on paper by ticks, the other on a matching engine in
this process, where makers quote two cents around each price and then trade at it. Market prices are
whole tens of cents and the limits of orders lie halfway between them, so that on both sides a price
either reaches a limit or stays away from it; fills at a quote are compared as fills at its middle.
"""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.trading.exchange.orders import cancel as venue_cancel
from tests.trading.exchange.orders import order as venue_order
from tests.trading.runs import AAPL, START, kernel, of, paper
from trading.exchange.matching.engine import MatchingEngine
from trading.exchange.matching.inputs import (
    AddAccount,
    AddInstrument,
    ExchangeSettings,
    Request,
)
from trading.exchange.matching.inputs import Clock as VenueClock
from trading.journal.inputs import Cancel, Clock, Flatten, Input, OrderTerms, Replace, Submit, Tick
from trading.journal.outputs import (
    FillBooked,
    OrderOpened,
    SendCancel,
    SendOrder,
    SendReplace,
)
from trading.kernel import Kernel
from trading.orders.request import KINDS
from trading.times import DAY, SECOND

MANY = 10**6
SENT = (SendOrder, SendCancel, SendReplace)
Fills = list[tuple[int, int, int, int]]


class Side:
    """One of the two: a kernel, the ids of its orders as they were opened, and its fills."""

    def __init__(self, made: Kernel) -> None:
        self.kernel = made
        self.ids: list[str] = []
        self.fills: Fills = []

    def step(self, event: Input) -> list[Any]:
        out = self.kernel.step(event)
        self.ids += [each.order_id for each in of(out, OrderOpened)]
        for each in of(out, FillBooked):
            price = (each.price + 2) // 5 * 5
            self.fills.append((self.ids.index(each.order_id), each.side, each.quantity, price))
        return out

    def orders(self) -> list[tuple[str, int, int]]:
        """State, filled and asked size of each order, by when it was opened."""
        known = self.kernel.orders
        found = [known[each] for each in self.ids]
        return [(each.status.value, each.filled, each.qty) for each in found]

    def pass_time(self, until: int) -> None:
        """Let everything happen that is due by a time, each at its own."""
        while self.kernel.due <= until:
            self.step(Clock(self.kernel.due))


class OnPaper(Side):
    def __init__(self) -> None:
        super().__init__(kernel(paper("tick"), order_memory=10**18))

    def move(self, time: int, price: int) -> None:
        self.step(Tick(time, "AAPL", price, 1))


class OnExchange(Side):
    def __init__(self) -> None:
        super().__init__(kernel(None, order_memory=10**18))
        self.engine = MatchingEngine(ExchangeSettings(START, self_trade="ALLOW"))
        self.engine.apply(AddInstrument(START, AAPL))
        for account in ("ACC", "M"):
            self.engine.apply(AddAccount(START, account, (("USD", 10**15),)))
        self.quotes: list[str] = []
        self.number = 0

    def request(self, request: Any, time: int) -> list[Any]:
        outcome = self.engine.apply(Request(time, request))
        return [report for account, _, report in outcome.reports if account == "ACC"]

    def make(self, side: int, size: int, price: int, time: int) -> list[Any]:
        self.number += 1
        self.quotes.append(f"m{self.number}")
        return self.request(venue_order(self.quotes[-1], side, size, price, account="M"), time)

    def step(self, event: Input) -> list[Any]:
        """Carry out an input, and what it sends, and what the exchange answers to that."""
        waiting: list[Any] = [event]
        out: list[Any] = []
        while waiting:
            made = super().step(waiting.pop(0))
            out += made
            for effect in made:
                if isinstance(effect, SENT):
                    waiting += self.request(effect, event.time)
        return out

    def pass_time(self, until: int) -> None:
        while True:
            ours, theirs = self.kernel.due, self.engine.next_timer
            if theirs is not None and theirs <= min(until, ours):
                for _, _, report in self.engine.apply(VenueClock(theirs)).reports:
                    self.step(report)
            elif ours <= until:
                self.step(Clock(ours))
            else:
                return

    def move(self, time: int, price: int) -> None:
        for each in self.quotes:
            self.request(venue_cancel(each, "M", time), time)
        self.quotes.clear()
        before = self.engine.state.last.get("AAPL", price)
        # The quote that trades with nobody comes first: all trade with the new ones.
        first = 1 if price < before else -1
        reports = self.make(first, MANY, price - 2 * first, time)
        reports += self.make(-first, MANY, price + 2 * first, time)
        for report in reports:
            self.step(report)
        reports = self.make(-1, 1, price, time) + self.make(1, 1, price, time)
        for report in reports:
            self.step(report)
        self.step(Tick(time, "AAPL", price, 1))


# --- what people do -------------------------------------------------------------------------------

CENTS = st.integers(-6, 6)
SIZES = st.integers(1, 9)


@st.composite
def single(draw: Any) -> dict[str, Any]:
    """An order of any kind; prices are tens of cents from the market's, whenever it is sent."""
    kind = draw(st.sampled_from(["LIMIT", *KINDS]))
    stops = kind in ("STOP", "STOP_LIMIT", "TRAILING_STOP")
    tif = draw(st.sampled_from(["GTC", "GTC", "DAY", "GTD"] + ([] if stops else ["IOC", "FOK"])))
    return {
        "quantity": draw(SIZES),
        "kind": kind,
        "tif": tif,
        "limit": draw(CENTS) if kind in ("LIMIT", "STOP_LIMIT") else None,
        "stop": draw(CENTS) if kind in ("STOP", "STOP_LIMIT") else None,
        "trail": draw(st.integers(1, 4)) if kind == "TRAILING_STOP" else None,
        "life": draw(st.integers(1, 6)) if tif == "GTD" else None,
        "post_only": kind == "LIMIT" and tif in ("GTC", "DAY", "GTD") and draw(st.booleans()),
        "emulate": stops and draw(st.booleans()),
        "wait": draw(st.sampled_from([None, None, None, 2])),
    }


def terms_at(made: dict[str, Any], side: int, price: int, now: int) -> OrderTerms:
    limit, stop, wait, life = (made[name] for name in ("limit", "stop", "wait", "life"))
    return OrderTerms(
        *("ACC", "", "AAPL", side, made["quantity"], made["kind"]),
        None if limit is None else price + 10 * side * limit + 5,
        None if stop is None else price + 10 * side * stop + 5,
        made["tif"],
        trail=None if made["trail"] is None else 10 * made["trail"],
        expire_at=None if life is None else now + life * 10 * SECOND + 5,
        not_before=None if wait is None or (life or 9) <= wait else now + wait * 10 * SECOND + 5,
        post_only=made["post_only"],
        emulate=made["emulate"],
    )


def bracket_at(side: int, size: int, kind: str, trails: bool, price: int) -> tuple[OrderTerms, ...]:
    """An entry near the market with exits further away; a trailing one too."""
    entry = {"LIMIT": price - 15 * side, "STOP": price + 15 * side}.get(kind)
    common = ("ACC", "", "AAPL")
    middle = entry or price + 5
    return (
        OrderTerms(
            *(*common, side, size, kind),
            *(entry if kind == "LIMIT" else None, entry if kind == "STOP" else None, "GTC"),
        ),
        OrderTerms(
            *(*common, -side, size, "LIMIT", middle + 30 * side, None, "GTC"), reduce_only=True
        ),
        OrderTerms(
            *(*common, -side, size, "TRAILING_STOP" if trails else "STOP"),
            *(None, middle - 30 * side, "GTC"),
            trail=30 if trails else None,
            reduce_only=True,
        ),
    )


def step_of(kind: str) -> st.SearchStrategy[tuple[Any, ...]]:
    return {
        "order": st.tuples(st.just("order"), single()),
        "pair": st.tuples(st.just("pair"), SIZES, st.integers(1, 4), st.integers(1, 4)),
        "bracket": st.tuples(
            st.just("bracket"), SIZES, st.sampled_from(["MARKET", "LIMIT", "STOP"]), st.booleans()
        ),
        "cancel": st.tuples(st.just("cancel"), st.integers(0, 9)),
        "replace": st.tuples(
            st.just("replace"),
            *(st.integers(0, 9), st.none() | SIZES, st.none() | CENTS, st.none() | CENTS),
        ),
        "move": st.tuples(st.just("move")),
        "day": st.tuples(st.just("day")),
        "flatten": st.tuples(st.just("flatten")),
    }[kind]


MOVES = st.integers(-5, 5)
ONE_SIDED = ["order"] * 4 + ["pair", "cancel", "replace", "replace", "replace", "move", "day"]
GROUPED = ["bracket", "cancel", "flatten", "move", "move", "move"]


def scripts(kinds: list[str]) -> st.SearchStrategy[list[tuple[Any, int]]]:
    step = st.sampled_from(kinds).flatmap(step_of)
    return st.lists(st.tuples(step, MOVES), min_size=5, max_size=14)


def command(action: tuple[Any, ...], on: Side, side: int, price: int, now: int) -> Any:
    name, more = action[0], action[1:]
    key, ids = f"{now}", on.ids
    if name == "order":
        return Submit(now, key, "t", "ORDER", (terms_at(more[0], side, price, now),))
    if name == "pair":
        # Both legs are away from the market: where both trade as they arrive, both may fill.
        size, below, above = more
        leg = ("ACC", "", "AAPL", side, size)
        limited = OrderTerms(*leg, "LIMIT", price - side * (10 * below + 5), None, "GTC")
        stopped = OrderTerms(*leg, "STOP", None, price + side * (10 * above + 5), "GTC")
        return Submit(now, key, "t", "OCO", (limited, stopped))
    if name == "bracket":
        return Submit(now, key, "t", "BRACKET", bracket_at(side, *more, price))
    if name in ("cancel", "replace") and ids:
        order_id = ids[-1 - more[0] % min(3, len(ids))]
        if name == "cancel":
            return Cancel(now, key, "t", order_id)
        kind = on.kernel.orders[order_id].kind
        limit, stop = (
            None if each is None or name not in kind else price + 10 * side * each + 5
            for name, each in zip(("LIMIT", "STOP"), more[2:], strict=True)
        )
        return Replace(now, key, "t", order_id, more[1], limit, stop)
    return Flatten(now, key, "t", "ACC") if name == "flatten" else None


def play(script: list[tuple[Any, int]], side: int) -> None:
    both: tuple[Side, ...] = OnPaper(), OnExchange()
    now, price = START, 20_000
    for each in both:
        each.move(now, price)
    for action, steps in script:
        now += DAY if action[0] == "day" else 10 * SECOND
        for each in both:
            each.pass_time(now)
            asked = command(action, each, side, price, now)
            if asked is not None:
                each.step(asked)
        now += 1
        # Once more at the same price: fills of our own have moved the last one of the exchange.
        for at in (price, price + 10 * steps):
            now += 1
            for each in both:
                each.pass_time(now)
                each.move(now, at)
            on_paper, on_exchange = both
            assert sorted(on_paper.fills) == sorted(on_exchange.fills)
            assert on_paper.orders() == on_exchange.orders()
        price += 10 * steps
    for each in both:
        each.step(Clock(now + 1))
        each.kernel.check()
    positions = [each.kernel.accounts["ACC"].position("AAPL") for each in both]
    assert positions[0] == positions[1]
    assert positions[1] == both[1].engine.state.accounts["ACC"].positions.get("AAPL", 0)  # type: ignore[attr-defined]


@given(script=scripts(ONE_SIDED), side=st.sampled_from([1, -1]))
@settings(max_examples=60)
def test_orders_of_one_side_fill_alike(script: list[tuple[Any, int]], side: int) -> None:
    play(script, side)


@given(script=scripts(GROUPED), side=st.sampled_from([1, -1]))
@settings(max_examples=40)
def test_brackets_fill_alike(script: list[tuple[Any, int]], side: int) -> None:
    play(script, side)
