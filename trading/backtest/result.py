"""What a backtest gives back: tables of what happened, equity, figures, and the digest."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa

from trading.journal.outputs import (
    Alert,
    FillBooked,
    MatchMade,
    OrderChanged,
    OrderEvent,
    OrderOpened,
    PickerDecision,
    RiskDecision,
    SignalMade,
    StrategyStopped,
)
from trading.metrics import equity_metrics
from trading.numbers import from_units, optional_decimal
from trading.risk.account import Market
from trading.times import MINUTE

__all__ = ["Records", "Result"]

NS = pa.timestamp("ns", "UTC")
FULL = (
    OrderOpened,
    OrderEvent,
    OrderChanged,
    RiskDecision,
    FillBooked,
    MatchMade,
    SignalMade,
    PickerDecision,
    StrategyStopped,
    Alert,
)
_QUARTER = 15 * MINUTE
MATCHES_ONLY = (MatchMade, StrategyStopped, Alert)


@dataclass
class Records:
    """Outputs of the kernel that a result is made of, by type."""

    kinds: tuple[type, ...] = FULL
    kept: dict[type, list[Any]] = field(default_factory=dict)

    def sinks(self) -> dict[type, Callable[[Any], None]]:
        """Return what keeps which outputs."""
        self.kept = {kind: [] for kind in self.kinds}
        return {kind: listed.append for kind, listed in self.kept.items()}

    def of(self, kind: type) -> list[Any]:
        """Return the outputs of a type, in order."""
        return self.kept.get(kind, [])


@dataclass
class Result:
    """Everything that a run gave; the tables are Arrow's, with `to_pandas()`.

    Prices, quantities, fees and P&L in tables are decimals; `equity` is made of floats, and
    `final_equity` is exact. With `outputs="matches-only"` there are matches and equity alone.
    """

    run: str
    digest: str
    records: Records
    market: Market
    base: str
    times: Any
    equity_units: dict[str, Any]
    """Equity at each of `times` by account, in units of money."""
    notes: list[str] = field(default_factory=list)
    strategies: list[dict[str, str]] = field(default_factory=list)
    """Name, account, version, parameters and their hash of each strategy."""
    bars: Any = None
    """The bars of the anchor timeframe, as a table."""
    weights: Any = None
    """Rows of `strategy_weights_latest` at each step, where there was a portfolio."""
    perf: Any = None
    """Rows of `strategy_perf_latest` at the end, where there was a portfolio."""
    outputs: str = "full"

    # --- equity -----------------------------------------------------------------------------------

    @cached_property
    def equity(self) -> pa.Table:
        """Equity of all accounts together: `timestamp` and `equity`."""
        return self._curve(self._total())

    def equity_of(self, account: str) -> pa.Table:
        """Equity of one account, also of a twin such as `paper:MAIN`."""
        if account not in self.equity_units:
            known = ", ".join(self.equity_units)
            raise KeyError(f"no account {account!r} in this run; there are: {known}")
        return self._curve(self.equity_units[account])

    @property
    def final_equity(self) -> Decimal:
        """Equity of all accounts at the end, exact."""
        total = self._total()
        return from_units(int(total[-1]) if len(total) else 0, self.market.money_decimals)

    def _total(self) -> Any:
        own = [u for name, u in self.equity_units.items() if not name.startswith("paper:")]
        total = own[0]
        for each in own[1:]:
            total = total.astype(object) + each
        return total

    def _curve(self, units: Any, times: Any = None) -> pa.Table:
        unit = int(10**self.market.money_decimals)
        return pa.table(
            {
                "timestamp": pa.array(self.times if times is None else times).cast(NS),
                "equity": pa.array([each / unit for each in units.tolist()], pa.float64()),
            }
        )

    @cached_property
    def metrics(self) -> dict[str, Any]:
        """The figures of `trading.metrics.equity_metrics` on the equity by days."""
        # The last of each quarter of an hour: days of all time zones begin with one.
        quarters = np.append(self.times[1:] // _QUARTER != self.times[:-1] // _QUARTER, True)
        return equity_metrics(self._curve(self._total()[quarters], self.times[quarters]))

    # --- tables -----------------------------------------------------------------------------------

    @cached_property
    def orders(self) -> pa.Table:
        """Every order with what became of it."""
        last: dict[str, OrderEvent] = {}
        for event in self.records.of(OrderEvent):
            last[event.order_id] = event
        changed = {each.order_id: each for each in self.records.of(OrderChanged)}
        refused = {e.order_id: e for e in self.records.of(RiskDecision) if e.code != "OK"}
        filled: dict[str, list[int]] = {}
        for fill in self.records.of(FillBooked):
            sums = filled.setdefault(fill.order_id, [0, 0, 0])
            sums[0] += fill.quantity
            sums[1] += fill.quantity * fill.price
            sums[2] += fill.fees
        rows = [
            self._order(order, last, changed, refused, filled)
            for order in self.records.of(OrderOpened)
        ]
        return _table(rows, _ORDERS, self._digits)

    def _order(
        self,
        order: OrderOpened,
        last: dict[str, OrderEvent],
        changed: dict[str, OrderChanged],
        refused: dict[str, RiskDecision],
        filled: dict[str, list[int]],
    ) -> tuple[Any, ...]:
        terms, event = order.terms, last.get(order.order_id)
        spec = self.market.specs.get(terms.symbol)
        p = 0 if spec is None else spec.price_decimals
        s = 0 if spec is None else spec.size_decimals
        given = changed.get(order.order_id, terms)
        size, value, fees = filled.get(order.order_id, (0, 0, 0))
        denied = refused.get(order.order_id)
        reason = terms.fault or ("" if event is None else event.detail)
        return (
            order.time,
            order.order_id,
            terms.account,
            terms.strategy,
            terms.symbol,
            "BUY" if terms.side > 0 else "SELL",
            terms.kind,
            from_units(given.quantity, s),
            optional_decimal(given.limit, p),
            optional_decimal(given.stop, p),
            terms.tif,
            _status(event, size, given.quantity),
            from_units(size, s),
            value / size / 10**p if size else None,
            self._money(fees),
            order.time if event is None else event.time,
            order.group,
            order.role,
            terms.tag,
            reason if denied is None else f"{denied.code}: {denied.seen} against {denied.limit}",
        )

    @cached_property
    def fills(self) -> pa.Table:
        """Every fill; `timestamp` is the market's, `booked` when the books had it."""
        rows = []
        for each in self.records.of(FillBooked):
            spec = self.market.specs[each.symbol]
            rows.append(
                (
                    each.executed,
                    each.symbol,
                    "BUY" if each.side > 0 else "SELL",
                    spec.size(each.quantity),
                    spec.price(each.price),
                    self._money(each.fees),
                    each.account,
                    each.strategy,
                    each.order_id,
                    each.fill_id,
                    each.time,
                    each.maker,
                )
            )
        return _table(rows, _FILLS, self._digits)

    @cached_property
    def matches(self) -> pa.Table:
        """Every piece of a lot that a fill closed; the rows are those of `TradeMatch`."""
        return _table([self._match(e) for e in self.records.of(MatchMade)], _MATCHES, self._digits)

    def _match(self, each: MatchMade) -> tuple[Any, ...]:
        spec, long = self.market.specs[each.symbol], each.side > 0
        unit = each.quantity * self.market.factors[each.symbol]
        opened = self._average(each.open_value, unit, spec.price_decimals)
        closed = self._average(each.close_value, unit, spec.price_decimals)
        ids = (each.open_order_id, each.close_order_id), (each.open_fill_id, each.close_fill_id)
        fees = self._money(each.open_fees), self._money(each.close_fees)
        buys, sells = (0, 1) if long else (1, 0)
        prices = opened, closed
        realized = self._money(each.realized)
        return (
            f"{each.open_fill_id}|{each.close_fill_id}",
            each.account,
            each.strategy,
            each.symbol,
            "LONG" if long else "SHORT",
            spec.size(each.quantity),
            ids[0][buys],
            ids[0][sells],
            ids[1][buys],
            ids[1][sells],
            prices[buys],
            prices[sells],
            fees[buys],
            fees[sells],
            realized,
            realized - fees[0] - fees[1],
            spec.currency,
            each.opened,
            each.closed,
        )

    def _average(self, value: int, unit: int, decimals: int) -> Decimal:
        """A price of a value; the average cost method may need it rounded to its decimals."""
        value = abs(value)
        whole, rest = divmod(value, unit)
        return from_units(whole + (2 * rest >= unit), decimals)

    @cached_property
    def signals(self) -> pa.Table:
        """Every signal with the decision on it."""
        decided = {each.signal_id: each for each in self.records.of(PickerDecision)}
        rows = []
        for each in self.records.of(SignalMade):
            spec, found = self.market.specs[each.symbol], decided.get(each.signal_id)
            rows.append(
                (
                    each.time,
                    each.signal_id,
                    each.account,
                    each.strategy,
                    each.version,
                    each.parameters,
                    each.symbol,
                    each.action,
                    spec.size(each.size_hint),
                    each.confidence / 1_000_000,
                    each.reason,
                    self.run,
                    "" if found is None else found.code,
                    spec.size(0 if found is None else found.quantity),
                    "" if found is None else found.order_id,
                    "" if found is None else found.detail,
                )
            )
        return _table(rows, _SIGNALS, self._digits)

    @cached_property
    def alerts(self) -> pa.Table:
        """What a person must see."""
        rows = [(e.time, e.code, e.account, e.subject, e.message) for e in self.records.of(Alert)]
        return _table(rows, _ALERTS, self._digits)

    @property
    def stopped(self) -> dict[str, str]:
        """Strategies that raised an error and were stopped, with the handler and the error."""
        return {
            each.strategy: f"{each.handler}: {each.error}"
            for each in self.records.of(StrategyStopped)
        }

    def summary(self) -> dict[str, Any]:
        """Return the run in plain values, for JSON."""
        return {
            "run": self.run,
            "digest": self.digest,
            "strategies": self.strategies,
            "final_equity": str(self.final_equity),
            "orders": len(self.records.of(OrderOpened)),
            "fills": len(self.records.of(FillBooked)),
            "matches": len(self.records.of(MatchMade)),
            "metrics": msgspec.to_builtins(self.metrics, enc_hook=str),
            "stopped": self.stopped,
            "notes": self.notes,
        }

    # --- numbers ----------------------------------------------------------------------------------

    def _money(self, units: int) -> Decimal:
        return from_units(units, self.market.money_decimals)

    @property
    def _digits(self) -> dict[str, int]:
        specs = list(self.market.specs.values())
        return {
            "price": max((spec.price_decimals for spec in specs), default=2),
            "size": max((spec.size_decimals for spec in specs), default=0),
            "money": self.market.money_decimals,
        }


def _status(event: OrderEvent | None, filled: int, quantity: int) -> str:
    """What an order has come to; a fill is no event of its own in the records."""
    status = "INITIALIZED" if event is None else str(event.status)
    if not filled or status in ("CANCELED", "EXPIRED", "REJECTED"):
        return status
    return "FILLED" if filled >= quantity else "PARTIALLY_FILLED"


_Columns = Sequence[tuple[str, Any]]
_ORDERS: _Columns = (
    ("timestamp", NS),
    ("order_id", pa.string()),
    ("account", pa.string()),
    ("strategy", pa.string()),
    ("symbol", pa.string()),
    ("side", pa.string()),
    ("kind", pa.string()),
    ("quantity", "size"),
    ("limit_price", "price"),
    ("stop_price", "price"),
    ("time_in_force", pa.string()),
    ("status", pa.string()),
    ("filled", "size"),
    ("average_price", pa.float64()),
    ("fees", "money"),
    ("updated", NS),
    ("group", pa.string()),
    ("role", pa.string()),
    ("tag", pa.string()),
    ("reason", pa.string()),
)
_FILLS: _Columns = (
    ("timestamp", NS),
    ("symbol", pa.string()),
    ("side", pa.string()),
    ("quantity", "size"),
    ("price", "price"),
    ("fees", "money"),
    ("account", pa.string()),
    ("strategy", pa.string()),
    ("order_id", pa.string()),
    ("fill_id", pa.string()),
    ("booked", NS),
    ("maker", pa.bool_()),
)
_MATCHES: _Columns = (
    ("match_id", pa.string()),
    ("account", pa.string()),
    ("strategy", pa.string()),
    ("symbol", pa.string()),
    ("side", pa.string()),
    ("quantity", "size"),
    ("buy_order_id", pa.string()),
    ("sell_order_id", pa.string()),
    ("buy_fill_id", pa.string()),
    ("sell_fill_id", pa.string()),
    ("buy_price", "price"),
    ("sell_price", "price"),
    ("buy_fees", "money"),
    ("sell_fees", "money"),
    ("realized_pnl", "money"),
    ("net_pnl", "money"),
    ("currency", pa.string()),
    ("opened_at", NS),
    ("timestamp", NS),
)
_SIGNALS: _Columns = (
    ("timestamp", NS),
    ("signal_id", pa.string()),
    ("account", pa.string()),
    ("strategy", pa.string()),
    ("version", pa.string()),
    ("parameters", pa.string()),
    ("symbol", pa.string()),
    ("action", pa.string()),
    ("size_hint", "size"),
    ("confidence", pa.float64()),
    ("reason", pa.string()),
    ("run", pa.string()),
    ("decision", pa.string()),
    ("accepted", "size"),
    ("order_id", pa.string()),
    ("detail", pa.string()),
)
_ALERTS: _Columns = (
    ("timestamp", NS),
    ("code", pa.string()),
    ("account", pa.string()),
    ("subject", pa.string()),
    ("message", pa.string()),
)


def _table(rows: Iterable[tuple[Any, ...]], columns: _Columns, digits: dict[str, int]) -> pa.Table:
    listed = list(rows)
    by_column = list(zip(*listed, strict=True)) if listed else [()] * len(columns)
    arrays = []
    for (_, kind), values in zip(columns, by_column, strict=True):
        if isinstance(kind, str):
            arrays.append(pa.array(values, pa.decimal128(38, digits[kind])))
        elif kind is NS:
            arrays.append(pa.array(np.array(values, np.int64)).cast(NS))
        else:
            arrays.append(pa.array(values, kind))
    return pa.table(arrays, names=[name for name, _ in columns])
