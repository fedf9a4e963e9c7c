"""Kernels for tests, journals of random inputs, and what a run has said."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from typing import Any

from trading.brokers import FillModel, PaperBroker, PerShare
from trading.journal import encode
from trading.journal.inputs import (
    Bar,
    Cancel,
    CancelAll,
    Clock,
    DefineInstrument,
    Flatten,
    Input,
    OpenAccount,
    OrderTerms,
    Replace,
    SetTradingState,
    Submit,
    Tick,
)
from trading.journal.outputs import Output
from trading.kernel import Context, Kernel, Settings, TickColumns
from trading.orders import OrderRequest
from trading.orders.build import terms_of
from trading.specification import InstrumentSpec, specify
from trading.times import SECOND

START = 1_700_000_040 * SECOND
MONEY = 10**10
AAPL = specify("AAPL")
MSFT = specify("MSFT", price_increment="0.05")


def kernel(
    broker: PaperBroker | None = None,
    *,
    specs: Iterable[InstrumentSpec] = (AAPL, MSFT),
    cash: int = 1_000_000,
    strategies: Sequence[Any] = (),
    **settings: Any,
) -> Kernel:
    """A kernel with two instruments and an account of one million dollars; it checks its books."""
    made = Kernel(
        Settings(**{"check_invariants": True, **settings}), broker=broker, strategies=strategies
    )
    for spec in specs:
        made.step(DefineInstrument(START, spec))
    made.step(OpenAccount(START, "ACC", "USD", (("USD", cash * MONEY),), "trader"))
    return made


def paper(model: str | FillModel = "tick", **more: Any) -> PaperBroker:
    return PaperBroker(model, more.pop("commission", PerShare("0.005", "1.00")), **more)


def terms(side: str, quantity: object, kind: str = "MARKET", **more: Any) -> OrderTerms:
    spec = more.pop("spec", AAPL)
    account = more.pop("account", "ACC")
    return terms_of(OrderRequest(account, spec.symbol, side, quantity, kind, **more), spec)


def send(
    made: Kernel, *orders: OrderTerms, kind: str = "ORDER", at: int | None = None
) -> list[Output]:
    time = made.now + 1 if at is None else at
    return made.step(Submit(time, "", "trader", kind, orders))


def trade(made: Kernel, price: object, size: int = 100, *, at: int | None = None) -> list[Output]:
    """A trade of AAPL at a price in dollars."""
    time = made.now + 1 if at is None else at
    return made.step(Tick(time, "AAPL", AAPL.price_units(price), size))  # type: ignore[arg-type]


def bar(made: Kernel, prices: Sequence[object], volume: int = 1000) -> list[Output]:
    """A minute's bar of AAPL, open, high, low and close in dollars, after the one before."""
    start = max(made.now, START) // (60 * SECOND) * 60 * SECOND
    end = start + 60 * SECOND
    o, h, low, c = (AAPL.price_units(p) for p in prices)  # type: ignore[arg-type]
    return made.step(Bar(end, "AAPL", 60 * SECOND, start, end, o, h, low, c, volume))


def of(outputs: Iterable[Output], kind: type) -> list[Any]:
    return [each for each in outputs if isinstance(each, kind)]


def said(outputs: Iterable[Output]) -> bytes:
    return b"".join(encode(each) for each in outputs)


class Flipper:
    """A strategy that turns its position around with the last bar, and counts in its snapshot."""

    symbols: Sequence[str] = ()
    version = "1"
    parameters = "none"
    wants_ticks = False

    def __init__(self, name: str = "flipper", account: str = "ACC") -> None:
        self.name = name
        self.account = account
        self.bars = 0

    def on_start(self, ctx: Context) -> None:
        ctx.set_timer(ctx.now + 90 * SECOND, "later")

    def on_bar(self, ctx: Context, bar: Bar) -> None:
        self.bars += 1
        wanted = 30 if bar.close >= bar.open else -20
        change = wanted - ctx.position(bar.symbol)
        if change:
            ctx.signal("BUY" if change > 0 else "SELL", bar.symbol, abs(change), reason="flip")

    def on_tick(self, ctx: Context, tick: Tick) -> None:
        raise AssertionError("it listens to no ticks")

    def on_fill(self, ctx: Context, order: Any, fill: Any) -> None:
        if self.bars % 7 == 0:
            limit = fill.price - 30 * order.side
            ctx.submit_terms(
                OrderTerms(
                    *(self.account, self.name, order.symbol, order.side, 5, "LIMIT"),
                    *(limit - limit % 5, None, "DAY"),
                )
            )

    def on_timer(self, ctx: Context, label: str) -> None:
        ctx.set_timer(ctx.now + 300 * SECOND, label)
        ctx.buy("AAPL", 3)

    def dump(self) -> bytes:
        return self.bars.to_bytes(8, "big")

    def load(self, data: bytes) -> None:
        self.bars = int.from_bytes(data, "big")


class TickBuyer(Flipper):
    """Listens to every tick of one symbol, and buys on each fiftieth."""

    symbols = ("MSFT",)
    wants_ticks = True

    def on_bar(self, ctx: Context, bar: Bar) -> None:
        pass

    def on_tick(self, ctx: Context, tick: Tick) -> None:
        self.bars += 1
        if self.bars % 50 == 0:
            ctx.buy(tick.symbol, 2) if self.bars % 100 else ctx.sell(tick.symbol, 2)

    def on_fill(self, ctx: Context, order: Any, fill: Any) -> None:
        pass

    def on_timer(self, ctx: Context, label: str) -> None:
        pass


def random_terms(rng: random.Random, last: int, spec: InstrumentSpec, now: int) -> OrderTerms:
    """Any kind of order near the last price."""
    side, step = rng.choice((1, -1)), spec.price_increment
    kind = rng.choice(("MARKET", "LIMIT", "LIMIT", "STOP", "STOP_LIMIT", "TRAILING_STOP"))
    tif = rng.choice(("GTC", "GTC", "DAY", "IOC", "FOK", "GTD"))
    near = (last + rng.randint(-40, 40) * step) // step * step
    away = (last + side * rng.randint(-5, 40) * step) // step * step
    return OrderTerms(
        *("ACC", rng.choice(("a", "b")), spec.symbol, side, rng.randint(1, 60), kind),
        near if kind in ("LIMIT", "STOP_LIMIT") else None,
        away if kind in ("STOP", "STOP_LIMIT") else None,
        tif if kind in ("MARKET", "LIMIT") else "GTC" if tif in ("IOC", "FOK") else tif,
        trail=rng.randint(1, 30) * step if kind == "TRAILING_STOP" else None,
        expire_at=now + rng.randint(1, 200) * SECOND if tif == "GTD" else None,
        reduce_only=rng.random() < 0.1,
        post_only=kind == "LIMIT" and tif in ("GTC", "DAY") and rng.random() < 0.2,
        emulate=rng.random() < 0.3,
    )


def bracket(rng: random.Random, last: int, spec: InstrumentSpec) -> tuple[OrderTerms, ...]:
    side, step = rng.choice((1, -1)), spec.price_increment
    entry = (last - side * rng.randint(0, 6) * step) // step * step
    size = rng.randint(1, 50)
    common = ("ACC", "a", spec.symbol)
    return (
        OrderTerms(*common, side, size, "LIMIT", entry, None, "GTC"),
        OrderTerms(
            *(*common, -side, size, "LIMIT", entry + side * 15 * step, None, "GTC"),
            reduce_only=True,
        ),
        OrderTerms(
            *(*common, -side, size, "STOP", None, entry - side * 15 * step, "GTC"),
            reduce_only=True,
        ),
    )


Event = Input | TickColumns


def journal(seed: int, count: int, *, ticks: int = 40) -> list[Event]:
    """Random commands between batches of random ticks; prices have gaps, ids are the run's own."""
    rng = random.Random(seed)
    specs = (AAPL, MSFT)
    last = {"AAPL": 20_000, "MSFT": 40_000}
    now, number, events = START, 3, list[Event]()
    ids: list[str] = []
    for _ in range(count):
        size = rng.randint(1, ticks)
        times, codes, prices, sizes = [], [], [], []
        for _ in range(size):
            now += rng.randint(0, 4) * SECOND // 2
            spec = rng.choice(specs)
            jump = rng.choice((0, 1, 1, 2, 3)) if rng.random() < 0.98 else 40
            moved = last[spec.symbol] + rng.choice((-1, 1)) * jump * spec.price_increment
            last[spec.symbol] = max(moved, spec.price_increment)
            times.append(now)
            codes.append(specs.index(spec))
            prices.append(last[spec.symbol])
            sizes.append(rng.randint(0, 300))
        events.append(TickColumns(("AAPL", "MSFT"), times, codes, prices, sizes))
        number += size
        spec = rng.choice(specs)
        near = last[spec.symbol]
        number += 1
        drawn = rng.random()
        key = f"k{number}"
        if drawn < 0.5 or not ids:
            events.append(Submit(now, key, "t", "ORDER", (random_terms(rng, near, spec, now),)))
            ids.append(f"{number}-1")
        elif drawn < 0.62:
            events.append(Submit(now, key, "t", "BRACKET", bracket(rng, near, spec)))
            ids += [f"{number}-{n}" for n in (2, 3, 4)]
        elif drawn < 0.68:
            kind = rng.choice(("OCO", "OTO", "OTO_FULL"))
            pair = (random_terms(rng, near, spec, now), random_terms(rng, near, spec, now))
            events.append(Submit(now, key, "t", kind, pair))
            ids += [f"{number}-{n}" for n in (2, 3)]
        elif drawn < 0.8:
            events.append(Cancel(now, key, "t", rng.choice(ids[-30:])))
        elif drawn < 0.92:
            events.append(
                Replace(now, key, "t", rng.choice(ids[-30:]), rng.choice((None, 1, 20, 70)))
            )
        elif drawn < 0.94:
            events.append(CancelAll(now, key, "t", "ACC", symbol=spec.symbol))
        elif drawn < 0.96:
            events.append(Flatten(now, key, "t", "ACC"))
        elif drawn < 0.97:
            events.append(SetTradingState(now, key, "t", "ACC", "REDUCING"))
        else:
            events.append(SetTradingState(now, key, "boss", "ACC", "ACTIVE"))
    events.append(Clock(now + 3600 * SECOND))
    return events


def fold(made: Kernel, events: Iterable[Event]) -> list[Output]:
    outputs: list[Output] = []
    for event in events:
        outputs += made.step(event)
    return outputs


def rechunked(events: Iterable[Event], rng: random.Random) -> list[Event]:
    """The same inputs, with the columns of ticks cut anew, some of them into single ticks."""
    cut: list[Event] = []
    for event in events:
        if not isinstance(event, TickColumns):
            cut.append(event)
            continue
        at = 0
        while at < len(event):
            size = rng.randint(1, len(event) - at)
            part = event.slice(at, at + size)
            if rng.random() < 0.3:
                cut += [
                    Tick(
                        int(part.times[row]),
                        part.symbols[int(part.codes[row])],
                        int(part.prices[row]),
                        int(part.sizes[row]),
                    )
                    for row in range(size)
                ]
            elif rng.random() < 0.5:
                cut.append(part.to_batch())
            else:
                cut.append(part)
            at += size
    return cut
