"""What a replay session shows, as the API tells it: a snapshot, and then what changes.

Prices, sizes and money are texts, times are ISO 8601 in UTC, as in records.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Any, NamedTuple

from trading.api.record_views import number_text, time_text
from trading.journal import outputs as said
from trading.journal.inputs import Bar
from trading.kernel import BarColumns
from trading.replay.figures import PnlFigures, PositionKey
from trading.replay.screen import Shown, ShownOrder
from trading.replay.session import Glance, ReplaySession, SessionState, SessionStatus
from trading.replay.topics import Message
from trading.specification import InstrumentSpec
from trading.strategy import timeframe_of
from trading.times import moment

__all__ = ["Follower", "shown_view", "status_view"]

_TOPICS = (
    *("ticks", "bars", "orders", "fills", "positions", "matches", "signals", "decisions"),
    *("alerts", "status", "reset"),
)
_BARS_OF_SERIES, _BARS_IN_ALL, _NEWEST = 2_000, 20_000, 500
# What waits of lists that only grow, where nobody takes it.
_WAITING = 20_000

Specs = Mapping[str, InstrumentSpec]


def _time(nanoseconds: int) -> str:
    return time_text(moment(nanoseconds))


def _text(value: Decimal | None) -> str | None:
    return None if value is None else number_text(value)


def _price(spec: InstrumentSpec | None, units: int | None) -> str | None:
    return None if spec is None or units is None else number_text(spec.price(units))


def _size(spec: InstrumentSpec | None, units: int) -> str:
    return str(units) if spec is None else number_text(spec.size(units))


# --- one thing at a time --------------------------------------------------------------------------


def status_view(status: SessionStatus, more: Mapping[str, Any]) -> dict[str, Any]:
    """Return how far a session is; `more` is what it was made of."""
    return {
        "session_id": status.session,
        "name": status.name,
        "owner": status.owner,
        "state": status.state.value,
        "speed": status.speed,
        "time": _time(status.time),
        "start": _time(status.start),
        "end": _time(status.end),
        "position": status.position,
        "rows": status.rows,
        "lag_s": round(status.lag_s, 3),
        "problem": status.problem,
        **more,
    }


def _bar(bar: Bar, specs: Specs, state: str | None = None) -> dict[str, Any]:
    spec = specs.get(bar.symbol)
    vwap = None
    if spec is not None and bar.volume and bar.notional:
        vwap = round(float(spec.price(bar.notional)) / bar.volume, 10)
    return {
        "symbol": bar.symbol,
        "timeframe": timeframe_of(bar.interval),
        "start": _time(bar.start),
        "end": _time(bar.end),
        "open": _price(spec, bar.open),
        "high": _price(spec, bar.high),
        "low": _price(spec, bar.low),
        "close": _price(spec, bar.close),
        "volume": _size(spec, bar.volume),
        "count": bar.count,
        "vwap": vwap,
        "state": state or bar.state,
    }


def _prices(
    prices: Mapping[str, tuple[int | None, int | None, int | None]], specs: Specs
) -> list[dict[str, Any]]:
    return [
        {
            "symbol": symbol,
            **{
                name: _price(specs.get(symbol), units)
                for name, units in zip(("price", "bid", "ask"), three, strict=True)
            },
        }
        for symbol, three in prices.items()
    ]


def _order(order: ShownOrder, specs: Specs) -> dict[str, Any]:
    terms = order.terms
    spec = specs.get(terms.symbol)
    return {
        "order_id": order.order_id,
        "account": terms.account,
        "strategy": terms.strategy,
        "symbol": terms.symbol,
        "side": "BUY" if terms.side > 0 else "SELL",
        "order_kind": terms.kind,
        "order_quantity": _size(spec, terms.quantity),
        "limit_price": _price(spec, terms.limit),
        "stop_price": _price(spec, terms.stop),
        "time_in_force": terms.tif,
        "status": order.status,
        "filled_quantity": _size(spec, order.filled),
        "order_detail": order.detail,
        "order_tag": terms.tag,
        "timestamp": _time(order.updated),
    }


def _position(key: PositionKey, pnl: PnlFigures) -> dict[str, Any]:
    account, strategy, symbol = key
    return {
        "account": account,
        "strategy": strategy,
        "symbol": symbol,
        "net_quantity": number_text(pnl.net),
        "realized_amount": number_text(pnl.realized),
        "unrealized_amount": _text(pnl.unrealized),
        "fee_amount": number_text(pnl.fees),
        "income_amount": number_text(pnl.income),
        "total_amount": _text(pnl.total),
    }


def _signal(signal: Any, _specs: Specs) -> dict[str, Any] | None:
    return {
        "signal_id": signal.signal_id,
        "account": signal.account,
        "strategy": signal.strategy,
        "symbol": signal.symbol,
        "signal_action": signal.action,
        "confidence": signal.confidence / 1e6,
        "signal_reason": signal.reason,
        "timestamp": _time(signal.time),
    }


def _decision(decision: Any, _specs: Specs) -> dict[str, Any] | None:
    by_risk = isinstance(decision, said.RiskDecision)
    if by_risk:
        parts = [decision.limit, decision.seen and f"seen {decision.seen}"]
        parts.append(decision.allowed and f"allowed {decision.allowed}")
        detail = ", ".join(each for each in parts if each)
    else:
        detail = decision.detail
    return {
        "decision_kind": "RISK" if by_risk else "PICKER",
        "decision_code": decision.code,
        "order_id": decision.order_id,
        "signal_id": getattr(decision, "signal_id", ""),
        "detail": detail,
        "timestamp": _time(decision.time),
    }


def _alert(alert: Any, _specs: Specs) -> dict[str, Any] | None:
    found = {"account": getattr(alert, "account", ""), "timestamp": _time(alert.time)}
    if isinstance(alert, said.Alert):
        return {
            **found,
            "alert_code": alert.code,
            "subject": alert.subject,
            "message": alert.message,
        }
    if isinstance(alert, said.TradingStateChanged):
        return {**found, "alert_code": alert.state, "subject": alert.by, "message": alert.reason}
    if isinstance(alert, said.StrategyStopped):
        message = f"{alert.handler}: {alert.error}"
        return {
            **found,
            "alert_code": "STRATEGY_STOPPED",
            "subject": alert.strategy,
            "message": message,
        }
    return None


_LISTS: dict[str, Callable[[Any, Specs], dict[str, Any] | None]] = {
    "signals": _signal,
    "decisions": _decision,
    "alerts": _alert,
}


def _listed(topic: str, outputs: Iterable[Any], specs: Specs) -> list[dict[str, Any]]:
    made = (_LISTS[topic](each, specs) for each in outputs)
    return [each for each in made if each is not None]


class _Fills:
    """Executions by id, busts and corrections taken in."""

    def __init__(self, specs: Specs) -> None:
        self._specs = specs
        self._known: dict[str, dict[str, Any]] = {}

    def take(self, output: Any) -> str:
        """Take in an output; returns the id of the fill that is other now, or nothing."""
        if isinstance(output, said.FillTakenBack):
            known = self._known.get(output.fill_id)
            if known is None:
                return ""
            status = "CORRECTED" if output.corrected_id else "BUSTED"
            self._known[output.fill_id] = {**known, "status": status}
            return output.fill_id
        if not isinstance(output, said.FillBooked):
            return ""
        spec = self._specs.get(output.symbol)
        fees = None if spec is None else output.fees
        self._known[output.fill_id] = {
            "fill_id": output.fill_id,
            "order_id": output.order_id,
            "account": output.account,
            "strategy": output.strategy,
            "symbol": output.symbol,
            "side": "BUY" if output.side > 0 else "SELL",
            "fill_quantity": _size(spec, output.quantity),
            "fill_price": _price(spec, output.price),
            "fee_units": fees,
            "executed_at": _time(output.executed),
            "status": "BOOKED",
        }
        return output.fill_id

    def view(self, fill_id: str, money_decimals: int) -> dict[str, Any]:
        """Return a fill as it stands."""
        found = dict(self._known[fill_id])
        fees = found.pop("fee_units") or 0
        found["fee_amount"] = number_text(Decimal(fees).scaleb(-money_decimals))
        return found

    def newest(self, count: int, money_decimals: int) -> list[dict[str, Any]]:
        """Return the newest fills in order."""
        return [self.view(each, money_decimals) for each in list(self._known)[-count:]]


# --- everything at once ---------------------------------------------------------------------------


def _newest_bars(shown: Shown, specs: Specs) -> list[dict[str, Any]]:
    """The newest bars of each series, within a bound for all of them; the working ones last."""
    counts: dict[tuple[str, Any], int] = {}
    kept: list[Bar] = []
    for bar in reversed(shown.bars):
        key = bar.symbol, bar.interval
        counts[key] = counts.get(key, 0) + 1
        if counts[key] <= _BARS_OF_SERIES:
            kept.append(bar)
            if len(kept) == _BARS_IN_ALL:
                break
    final = [_bar(each, specs) for each in reversed(kept)]
    return final + [_bar(each, specs, "working") for each in shown.working]


def shown_view(
    shown: Shown, session: ReplaySession, status: SessionStatus, more: Mapping[str, Any]
) -> dict[str, Any]:
    """Return everything that a session shows at a moment."""
    specs = _specs_of(session)
    fills = _Fills(specs)
    for each in shown.logs.get("fills", ()):
        fills.take(each)
    return {
        "session": status_view(status, more),
        "prices": _prices(shown.prices, specs),
        "bars": _newest_bars(shown, specs),
        "orders": [_order(each, specs) for each in shown.orders[-_NEWEST:]],
        "fills": fills.newest(_NEWEST, session.tape.money_decimals),
        "positions": [_position(key, pnl) for key, pnl in shown.positions.items()],
        **{topic: _listed(topic, shown.logs.get(topic, ())[-_NEWEST:], specs) for topic in _LISTS},
    }


def _specs_of(session: ReplaySession) -> Specs:
    return {spec.symbol: spec for spec in session.tape.specs}


# --- what changes ---------------------------------------------------------------------------------


class Follower:
    """Collects what one session tells one reader; `message` gives it piece by piece.

    What is not fetched in time is put together: the newest of what has a key, all of the others.
    """

    def __init__(self, session: ReplaySession, more: Mapping[str, Any]) -> None:
        self.session = session
        self._more = more
        self._specs = _specs_of(session)
        self._lock = threading.Lock()
        self._clear()
        self._shown: Shown | None = None
        self._is_over = False
        self._stretch = 0
        self._end = session.subscribe(self._take, _TOPICS)

    def _clear(self) -> None:
        self._is_dirty = False
        self._bars: dict[tuple[Any, ...], Bar] = {}
        self._orders: dict[str, None] = {}
        self._fill_ids: dict[str, None] = {}
        self._lists: dict[str, deque[Any]] = {topic: deque(maxlen=_WAITING) for topic in _LISTS}

    def close(self) -> None:
        """Collect no more."""
        self._end()

    # --- on the session's thread ------------------------------------------------------------------

    def _take(self, message: Message) -> None:
        topic = message.topic
        with self._lock:
            self._is_dirty = True
            if topic == "reset":
                self._reset(message.rows[0])
            elif topic == "bars":
                for row in message.rows:
                    for bar in row.bars() if isinstance(row, BarColumns) else (row,):
                        self._bars[bar.symbol, bar.interval, bar.start] = bar
            elif topic in ("orders", "fills"):
                for row in message.rows:
                    order_id = getattr(row, "order_id", "")
                    if order_id:
                        self._orders[order_id] = None
                    fill_id = self._fills.take(row)
                    if fill_id:
                        self._fill_ids[fill_id] = None
            elif topic in _LISTS:
                self._lists[topic].extend(message.rows)
            elif topic == "status":
                self._is_over = self._is_over or message.rows[0].state is SessionState.ENDED

    def _reset(self, shown: Shown) -> None:
        """Begin anew with a moment; what was told before is forgotten."""
        self._clear()
        self._is_dirty = True
        self._stretch += 1
        self._shown = shown
        self._fills = _Fills(self._specs)
        for each in shown.logs.get("fills", ()):
            self._fills.take(each)
        self._told_prices: dict[str, Any] = dict(shown.prices)
        self._told_positions: dict[PositionKey, PnlFigures] = dict(shown.positions)
        self._told_working: tuple[Bar, ...] = shown.working

    # --- on the sender's thread -------------------------------------------------------------------

    def message(self) -> tuple[bool, bool, dict[str, Any]] | None:
        """Return what is to be told now: whether it is a snapshot, the last one, and the item.

        The session's lock is never asked for under this one's: the session calls `_take` under its
        own.
        """
        with self._lock:
            if not self._is_dirty:
                return None
            shown, self._shown = self._shown, None
            is_over = self._is_over
            # What came after the moment of a snapshot is told with the next message.
            waiting = None if shown is not None else self._waiting()
        glance = self.session.glance()
        if waiting is None:
            assert shown is not None
            status = _at(glance.status, shown)
            return True, is_over, shown_view(shown, self.session, status, self._more)
        return False, is_over, self._changes(waiting, glance)

    def _waiting(self) -> _Waiting:
        decimals = self.session.tape.money_decimals
        found = _Waiting(
            self._stretch,
            list(self._bars.values()),
            list(self._orders),
            [self._fills.view(each, decimals) for each in self._fill_ids],
            {topic: list(outputs) for topic, outputs in self._lists.items()},
        )
        self._clear()
        return found

    def _changes(self, waiting: _Waiting, glance: Glance) -> dict[str, Any]:
        specs = self._specs
        orders = (self.session.order(each) for each in waiting.orders)
        with self._lock:
            prices = _others(glance.prices, self._told_prices)
            positions = _others(glance.positions, self._told_positions)
            working = [each for each in glance.working if each not in self._told_working]
            if waiting.stretch == self._stretch:
                self._told_prices.update(prices)
                self._told_positions.update(positions)
                self._told_working = glance.working
        lists: dict[str, list[dict[str, Any]]] = {
            "prices": _prices(prices, specs),
            "bars": [_bar(each, specs) for each in waiting.bars]
            + [_bar(each, specs, "working") for each in working],
            "orders": [_order(each, specs) for each in orders if each is not None],
            "fills": waiting.fills,
            "positions": [_position(key, pnl) for key, pnl in positions.items()],
            **{topic: _listed(topic, rows, specs) for topic, rows in waiting.lists.items()},
        }
        found: dict[str, Any] = {"session": status_view(glance.status, self._more)}
        return found | {name: rows for name, rows in lists.items() if rows}


class _Waiting(NamedTuple):
    """What waited to be told, of the stretch between two seeks with this number."""

    stretch: int
    bars: list[Bar]
    orders: list[str]
    fills: list[dict[str, Any]]
    lists: dict[str, list[Any]]


def _others(now: Mapping[Any, Any], told: Mapping[Any, Any]) -> dict[Any, Any]:
    """What is another value now than was told."""
    return {key: value for key, value in now.items() if told.get(key) != value}


def _at(status: SessionStatus, shown: Shown) -> SessionStatus:
    """The status as of the moment that is shown."""
    fields = {name: getattr(status, name) for name in SessionStatus.__struct_fields__}
    return SessionStatus(**{**fields, "time": shown.time, "position": shown.position})
