"""ReplayTables: a replay session as ticking tables of Deephaven, in step with it either way.

    with ReplayTables(session) as tables:
        session.play()
        tables.published["bars"]

After a seek the same tables show what the session shows then, rows that came later are gone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any

from publishing import Publisher
from trading.journal import outputs as said
from trading.journal.inputs import Bar, Tick
from trading.kernel import BarColumns, TickColumns
from trading.numbers import from_units
from trading.replay.figures import PnlFigures, PositionKey
from trading.replay.screen import Shown
from trading.replay.session import ReplaySession
from trading.replay.topics import Message
from trading.specification import InstrumentSpec
from trading.strategy import timeframe_of

__all__ = ["ReplayTables"]

_TOPICS = ("ticks", "bars", "orders", "fills", "positions", "reset", "status")
_COLUMNS: dict[str, dict[str, Any]] = {
    "prices": {"Symbol": str, "Timestamp": "Instant", "Price": float, "Size": float},
    "bars": {
        "Symbol": str,
        "Interval": str,
        "Start": "Instant",
        "End": "Instant",
        **dict.fromkeys(("Open", "High", "Low", "Close", "Volume"), float),
        "Count": int,
        "State": str,
    },
    "orders": {
        "OrderId": str,
        "Symbol": str,
        "Strategy": str,
        "Side": str,
        "Quantity": float,
        "Kind": str,
        "Limit": float,
        "Stop": float,
        "Status": str,
        "Filled": float,
        "Updated": "Instant",
    },
    "fills": {
        "FillId": str,
        "OrderId": str,
        "Symbol": str,
        "Strategy": str,
        "Side": str,
        "Quantity": float,
        "Price": float,
        "Executed": "Instant",
    },
    "positions": {
        "Account": str,
        "Strategy": str,
        "Symbol": str,
        "Net": float,
        "Realized": float,
        "Unrealized": float,
        "Fees": float,
        "Total": float,
    },
    "session": {
        "Session": str,
        "State": str,
        "Moment": "Instant",
        "Position": int,
        "Rows": int,
        "Speed": float,
    },
}
_KEYS = {
    "prices": ("Symbol",),
    "bars": ("Symbol", "Interval", "Start"),
    "orders": ("OrderId",),
    "fills": ("FillId",),
    "positions": ("Account", "Strategy", "Symbol"),
    "session": ("Session",),
}


class ReplayTables:
    """Tables of one session: prices, bars, orders, fills, positions and session.

    `published` has them by name; their names in messages and logs begin with the session's. Each
    has the newest row of its key, of the moment that is shown. `close` ends them with the session's
    going on.
    """

    def __init__(self, session: ReplaySession) -> None:
        self._session = session
        self._specs: dict[str, InstrumentSpec] = {s.symbol: s for s in session.tape.specs}
        self._publisher = Publisher()
        # Rows of the present stretch have the present number: a seek begins the next one.
        self._stretch = 0
        self._current = self._publisher.table(
            f"{session.id} stretch", {"Key": int, "Stretch": int}, keys="Key"
        )
        self._writers = {
            name: self._publisher.table(
                f"{session.id} {name}", {"Stretch": int, **columns}, keys=("Stretch", *_KEYS[name])
            )
            for name, columns in _COLUMNS.items()
        }
        current = self._current.live()
        self.published: dict[str, Any] = {
            name: writer.live().where_in(current, ["Stretch"]).view([*_COLUMNS[name]])
            for name, writer in self._writers.items()
        }
        self._takes: dict[str, Callable[[Any], None]] = {
            "ticks": self._tick,
            "bars": self._bar,
            "orders": self._order,
            "fills": self._fill,
            "reset": self._reset,
            "status": self._status,
        }
        self._end = session.subscribe(self._take, _TOPICS)

    def flush(self, timeout: float = 10.0) -> bool:
        """Wait until all that the session told is in the tables; False if time ran out."""
        return self._publisher.flush(timeout)

    def close(self) -> None:
        """Listen no more; the tables stay as they are."""
        self._end()
        self._publisher.close()

    def __enter__(self) -> ReplayTables:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # --- what the session tells -------------------------------------------------------------------

    def _take(self, message: Message) -> None:
        take = self._takes.get(message.topic)
        if take is not None:
            for row in message.rows:
                take(row)
        if message.topic in ("ticks", "bars", "fills", "positions", "status"):
            self._positions(self._session.positions())

    def _write(self, name: str, *values: Any) -> None:
        self._writers[name].write_row(self._stretch, *values)

    def _reset(self, shown: Shown) -> None:
        """Show another moment: all rows of it first, then that they are the ones."""
        self._stretch += 1
        for symbol, (last, _, _) in shown.prices.items():
            if last is not None:
                self._write("prices", symbol, shown.time, float(self._price(symbol, last)), None)
        for bar in shown.bars:
            self._bar(bar)
        for order in shown.orders:
            self._order_row(order)
        for fill in shown.logs.get("fills", ()):
            self._fill(fill)
        self._positions(shown.positions)
        self._status(self._session.status())
        self._current.write_row(0, self._stretch)

    def _price(self, symbol: str, units: int) -> Any:
        return from_units(units, self._specs[symbol].price_decimals)

    def _size(self, symbol: str, units: int) -> float:
        return float(from_units(units, self._specs[symbol].size_decimals))

    def _tick(self, piece: TickColumns | Tick) -> None:
        """The newest trade of each symbol of a piece."""
        newest: dict[str, Tick] = {}
        ticks: Iterable[Tick] = (piece,) if isinstance(piece, Tick) else _newest(piece)
        for each in ticks:
            newest[each.symbol] = each
        for symbol, each in newest.items():
            if each.price is not None:
                price = float(self._price(symbol, each.price))
                self._write("prices", symbol, each.time, price, self._size(symbol, each.size))

    def _bar(self, bar: Bar | BarColumns) -> None:
        if isinstance(bar, BarColumns):
            for each in bar.bars():
                self._bar(each)
            return
        prices = (bar.open, bar.high, bar.low, bar.close)
        self._write(
            "bars",
            bar.symbol,
            timeframe_of(bar.interval),
            bar.start,
            bar.end,
            *(float(self._price(bar.symbol, each)) for each in prices),
            self._size(bar.symbol, bar.volume),
            bar.count,
            bar.state,
        )

    def _order(self, output: Any) -> None:
        order = self._session.order(getattr(output, "order_id", ""))
        if order is not None:
            self._order_row(order)

    def _order_row(self, order: Any) -> None:
        terms = order.terms
        symbol = terms.symbol
        if symbol not in self._specs:
            return
        limits = (
            None if each is None else float(self._price(symbol, each))
            for each in (terms.limit, terms.stop)
        )
        self._write(
            "orders",
            order.order_id,
            symbol,
            terms.strategy,
            "BUY" if terms.side > 0 else "SELL",
            self._size(symbol, terms.quantity),
            terms.kind,
            *limits,
            order.status,
            self._size(symbol, order.filled),
            order.updated,
        )

    def _fill(self, fill: Any) -> None:
        if not isinstance(fill, said.FillBooked):
            return
        self._write(
            "fills",
            fill.fill_id,
            fill.order_id,
            fill.symbol,
            fill.strategy,
            "BUY" if fill.side > 0 else "SELL",
            self._size(fill.symbol, fill.quantity),
            float(self._price(fill.symbol, fill.price)),
            fill.executed,
        )

    def _positions(self, positions: dict[PositionKey, PnlFigures]) -> None:
        for key, pnl in positions.items():
            figures = (pnl.net, pnl.realized, pnl.unrealized, pnl.fees, pnl.total)
            self._write(
                "positions", *key, *(None if each is None else float(each) for each in figures)
            )

    def _status(self, status: Any) -> None:
        self._write(
            "session",
            status.session,
            status.state.value,
            status.time,
            status.position,
            status.rows,
            status.speed,
        )


def _newest(columns: TickColumns) -> Iterable[Tick]:
    """The last trade of each symbol."""
    found: dict[int, int] = {}
    codes = columns.codes
    for row in range(len(columns) - 1, -1, -1):
        code = codes.item(row)
        if code not in found:
            found[code] = row
            if len(found) == len(columns.symbols):
                break
    return [columns.tick(row) for row in found.values()]
