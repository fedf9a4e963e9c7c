"""What a replay session shows at a moment, and how it goes back to what it showed before."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import msgspec

from trading.journal import outputs as said
from trading.journal.inputs import Bar, OrderTerms
from trading.journal.outputs import Output
from trading.kernel import Kernel
from trading.replay.figures import PnlFigures, PositionKey, pnl_of

__all__ = ["Screen", "Shown", "ShownOrder", "prices_of", "topic_of"]

_TOPICS: dict[type, str] = {
    said.BarClosed: "bars",
    said.TickLate: "late",
    said.OrderOpened: "orders",
    said.OrderEvent: "orders",
    said.OrderChanged: "orders",
    said.GroupChanged: "orders",
    said.RiskDecision: "decisions",
    said.PickerDecision: "decisions",
    said.FillBooked: "fills",
    said.FillTakenBack: "fills",
    said.MatchMade: "matches",
    said.MatchVoided: "matches",
    said.PositionChanged: "positions",
    said.CashMoved: "cash",
    said.SignalMade: "signals",
    said.TradingStateChanged: "alerts",
    said.Alert: "alerts",
    said.StrategyStopped: "alerts",
}


def topic_of(output: Output) -> str:
    """Return the topic that an output is told under: bars, orders, fills, …, else `others`."""
    return _TOPICS.get(type(output), "others")


class ShownOrder(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """An order as it stands; numbers are in the instrument's units."""

    order_id: str
    terms: OrderTerms
    status: str
    filled: int
    detail: str = ""
    updated: int = 0


@dataclass(frozen=True)
class Shown:
    """All that a session shows at a moment; two are equal where every figure is the same.

    `time` is the recorded time in nanoseconds, `position` how many rows have come. `prices` are
    last trade, bid and ask in the instrument's units, `working` the bars that are not final.
    `logs` has what was told by topic, in order.
    """

    time: int
    position: int
    prices: dict[str, tuple[int | None, int | None, int | None]]
    working: tuple[Bar, ...]
    orders: tuple[ShownOrder, ...]
    positions: dict[PositionKey, PnlFigures]
    logs: dict[str, tuple[Output, ...]]
    digest: str
    outputs: int

    @property
    def bars(self) -> tuple[Bar, ...]:
        """Final bars in order, each in its newest version."""
        newest: dict[tuple[Any, ...], Bar] = {}
        for each in self.logs.get("bars", ()):
            assert isinstance(each, said.BarClosed)
            newest[each.bar.symbol, each.bar.interval, each.bar.start] = each.bar
        return tuple(newest.values())


Kept = tuple[dict[str, ShownOrder], dict[str, int]]


class Screen:
    """Follows a kernel's outputs. What it kept with a snapshot, it goes to again."""

    def __init__(self) -> None:
        self._orders: dict[str, ShownOrder] = {}
        # What was ever told, and how much of it is shown: the same stretch tells the same again.
        self._logs: dict[str, list[Output]] = {}
        self._lengths: dict[str, int] = {}

    def take(self, outputs: Iterable[Output]) -> None:
        """Take in what a step said."""
        for output in outputs:
            topic = topic_of(output)
            log = self._logs.get(topic)
            if log is None:
                log = self._logs[topic] = []
            length = self._lengths.get(topic, 0)
            if length == len(log):
                log.append(output)
            self._lengths[topic] = length + 1
            if topic in ("orders", "fills"):
                self._order(output)

    def _order(self, output: Any) -> None:
        if isinstance(output, said.OrderOpened):
            self._orders[output.order_id] = ShownOrder(
                output.order_id, output.terms, "INITIALIZED", 0, "", output.time
            )
            return
        order = self._orders.get(getattr(output, "order_id", ""))
        if order is None:
            return
        change: dict[str, Any] = {"updated": output.time}
        if isinstance(output, said.OrderEvent):
            change.update(status=output.status, filled=output.filled, detail=output.detail)
        elif isinstance(output, said.FillBooked):
            if output.status:
                change.update(status=output.status, filled=output.filled)
        elif isinstance(output, said.OrderChanged):
            change["terms"] = msgspec.structs.replace(
                order.terms, quantity=output.quantity, limit=output.limit, stop=output.stop
            )
        self._orders[order.order_id] = msgspec.structs.replace(order, **change)

    def order(self, order_id: str) -> ShownOrder | None:
        """Return an order as it stands."""
        return self._orders.get(order_id)

    def keep(self) -> Kept:
        """Return what leads back to this moment."""
        return dict(self._orders), dict(self._lengths)

    def go_to(self, kept: Kept) -> None:
        """Show what was shown at a moment that was kept, an earlier or a later one."""
        orders, lengths = kept
        self._orders, self._lengths = dict(orders), dict(lengths)

    def shown(self, kernel: Kernel, time: int, position: int) -> Shown:
        """Return all that is shown now."""
        return Shown(
            time,
            position,
            prices_of(kernel),
            tuple(kernel.working_bars),
            tuple(self._orders.values()),
            pnl_of(kernel),
            {
                topic: tuple(self._logs[topic][:length])
                for topic, length in sorted(self._lengths.items())
            },
            kernel.digest,
            kernel.outputs,
        )


def prices_of(kernel: Kernel) -> dict[str, tuple[int | None, int | None, int | None]]:
    """Return last trade, bid and ask of each symbol, in the instrument's units."""
    market = kernel.market
    return {
        each: (market.last.get(each), market.bid.get(each), market.ask.get(each))
        for each in sorted({*market.last, *market.bid, *market.ask})
    }
