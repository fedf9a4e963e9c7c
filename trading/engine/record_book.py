"""From the kernel's outputs to records of the store, and the records that may still change.

The book is a function of the outputs: when the journal is folded again, the same records come into
being in the same order, so that their entity ids, which the journal keeps, are theirs again.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from decimal import Decimal
from sys import intern
from typing import Any, Protocol, TypeVar

import msgspec

from store.base import Storable
from trading.decoding import msgpack_decoder
from trading.engine.records import (
    RECORDS,
    AlertRecord,
    CashRecord,
    DecisionRecord,
    FillRecord,
    LimitsRecord,
    MatchRecord,
    OrderRecord,
    ParametersRecord,
    PositionRecord,
    SignalRecord,
    TradingStateRecord,
)
from trading.engine.versions import mark
from trading.errors import EngineError
from trading.journal import inputs as given
from trading.journal import outputs as said
from trading.journal.outputs import Output
from trading.journal.reports import FillCorrected
from trading.numbers import from_units, optional_decimal
from trading.risk.account import Market
from trading.specification import InstrumentSpec
from trading.times import moment

__all__ = ["KeptRecord", "RecordBook", "RecordSink", "ReplaySink"]

S = TypeVar("S", bound=Storable)

_RECENT = 2_000
_SPARE_ORDERS = 1_024
# Stands for what an order named that is no instrument; the order's detail says what it was.
_NO_SYMBOL = "UNKNOWN"
_CLASSES = {cls.__name__: cls for cls in RECORDS}


class RecordSink(Protocol):
    """Where records are written: a batch of the store, or `ReplaySink`."""

    def write(
        self, obj: Storable, *, valid_from: datetime | None = None, valid_to: datetime | None = None
    ) -> str:
        """Add a new entity; returns its id."""
        ...

    def update(self, obj: Storable) -> int:
        """Add the next version of an entity; returns its number."""
        ...


class ReplaySink:
    """Gives records the ids and versions that they have in the store, and writes nothing."""

    def __init__(self, created: Iterable[str]) -> None:
        self._ids: Iterator[str] = iter(created)

    def write(
        self,
        obj: Storable,
        *,
        valid_from: datetime | None = None,  # noqa: ARG002 - as a batch has it
        valid_to: datetime | None = None,  # noqa: ARG002
    ) -> str:
        """Give a record the next id of the group."""
        entity_id = next(self._ids, None)
        if entity_id is None:
            raise EngineError(
                f"the journal has too few record ids for its outputs: none is left for a "
                f"{type(obj).__name__}; the program or its settings are not those that wrote it"
            )
        return entity_id

    def update(self, obj: Storable) -> int:
        """Count a version."""
        return (obj._store_version or 0) + 1

    def end(self) -> None:
        """EngineError where the journal has more ids than the outputs need."""
        if next(self._ids, None) is not None:
            raise EngineError(
                "the journal has more record ids than its outputs need; the program or its "
                "settings are not those that wrote it"
            )


class KeptRecord(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A record that may still change, as a snapshot keeps it."""

    kind: str
    entity_id: str
    version: int
    data: bytes


class RecordBook:
    """Writes the records of one account's run, and keeps those that may still change.

    These are orders that the kernel has not forgotten, positions, the trading state, and the newest
    2,000 fills and matches. A fill that is busted later gets a record of its own.

    An order and a position have one version for each group that changed them, as they are at its
    end: nobody could ever have read what they were between. `order_steps` names what happened to an
    order within the group. All other records are written as they come.

    Texts that come again in other records are interned: encoding skips a value that is the very
    object of the record before.
    """

    def __init__(self, account: str, run: str, market: Market, money_decimals: int) -> None:
        self._account = account
        self._run = run
        self._market = market
        self._money_decimals = money_decimals
        self._orders: dict[str, OrderRecord] = {}
        self._positions: dict[tuple[str, str], PositionRecord] = {}
        self._fills: OrderedDict[str, FillRecord] = OrderedDict()
        self._matches: OrderedDict[tuple[str, str], MatchRecord] = OrderedDict()
        self._state: TradingStateRecord | None = None
        self._sink: RecordSink = ReplaySink(())
        self._created: list[str] = []
        # What the group has changed, in the order of the first change.
        self._changed: dict[int, OrderRecord] = {}
        self._moved_positions: dict[tuple[str, str], said.PositionChanged] = {}
        self._event: object = None
        # The last time that was asked for: what comes of one input has one time.
        self._time, self._moment_of_time = 0, moment(0)
        self._writers: dict[type, Callable[[Any], None]] = {
            said.OrderOpened: self._opened,
            said.OrderEvent: self._order_event,
            said.OrderChanged: self._order_changed,
            said.RiskDecision: self._risk,
            said.FillBooked: self._fill,
            said.FillTakenBack: self._taken_back,
            said.MatchMade: self._match,
            said.MatchVoided: self._voided,
            said.PositionChanged: self._position,
            said.CashMoved: self._cash,
            said.TradingStateChanged: self._trading_state,
            said.LimitsChanged: self._limits,
            said.ParametersChanged: self._parameters,
            said.Alert: self._alert,
            said.StrategyStopped: self._stopped,
            said.SignalMade: self._signal,
            said.PickerDecision: self._picked,
            said.ReservationChanged: self._reservation,
            said.WeightsChanged: self._weight,
        }

    # --- groups -----------------------------------------------------------------------------------

    def begin(self, sink: RecordSink) -> None:
        """Begin a group that is written to a sink."""
        self._sink = sink
        self._created = []
        self._changed = {}
        self._moved_positions = {}

    def end(self) -> None:
        """Write orders and positions as they are at the end of the group."""
        for order in self._changed.values():
            self._write_or_update(order)
        self._write_positions()
        self._changed, self._moved_positions = {}, {}

    def _write_or_update(self, record: Storable) -> None:
        if record._store_entity_id is None:
            self._new(record)
        else:
            self._update(record)

    def take(self, event: object, outputs: list[Output]) -> None:
        """Write the records of one input's outputs."""
        self._event = event
        writers = self._writers
        for output in outputs:
            writer = writers.get(type(output))
            if writer is not None:
                writer(output)

    def created(self) -> list[str]:
        """Return the ids of the entities that the group created, in order."""
        return self._created

    def forget(self, known: dict[str, Any]) -> None:
        """Let go of orders that the kernel has forgotten, once they are many."""
        if len(self._orders) > 2 * len(known) + _SPARE_ORDERS:
            self._orders = {key: each for key, each in self._orders.items() if key in known}

    # --- snapshots --------------------------------------------------------------------------------

    def dump(self) -> list[KeptRecord]:
        """Return what a snapshot keeps."""
        kept: list[Storable] = [
            *self._orders.values(),
            *self._positions.values(),
            *self._fills.values(),
            *self._matches.values(),
        ]
        if self._state is not None:
            kept.append(self._state)
        return [
            KeptRecord(
                type(each).__name__,
                each._store_entity_id or "",
                each._store_version or 0,
                msgspec.msgpack.encode(each),
            )
            for each in kept
        ]

    def load(self, kept: Iterable[KeptRecord]) -> None:
        """Go on from a snapshot."""
        for each in kept:
            record = msgpack_decoder(_CLASSES[each.kind]).decode(each.data)
            mark(record, each.entity_id, each.version)
            if isinstance(record, OrderRecord):
                self._orders[record.order_id] = record
            elif isinstance(record, PositionRecord):
                self._positions[record.strategy, record.symbol] = record
            elif isinstance(record, FillRecord):
                self._fills[record.fill_id] = record
            elif isinstance(record, MatchRecord):
                self._matches[record.close_fill_id, record.open_fill_id] = record
            elif isinstance(record, TradingStateRecord):
                self._state = record

    # --- what they have in common -----------------------------------------------------------------

    def _new(self, record: S, **period: datetime | None) -> S:
        entity_id = self._sink.write(record, **period)
        mark(record, entity_id, 1)
        self._created.append(entity_id)
        return record

    def _update(self, record: Storable) -> None:
        version = self._sink.update(record)
        mark(record, record._store_entity_id or "", version)

    def _step(self, order: OrderRecord, event: str, time: int) -> None:
        """Note what happened to an order; its version is written at the end of the group."""
        is_first = id(order) not in self._changed
        self._changed[id(order)] = order
        order.order_steps = event if is_first else intern(f"{order.order_steps} {event}")
        order.order_event = event
        order.timestamp = self._moment(time)

    def _moment(self, time: int) -> datetime:
        if time != self._time:
            self._time, self._moment_of_time = time, moment(time)
        return self._moment_of_time

    def _spec(self, symbol: str) -> InstrumentSpec | None:
        return self._market.specs.get(symbol)

    def _size(self, symbol: str, units: int) -> Decimal:
        spec = self._spec(symbol)
        return Decimal(units) if spec is None else from_units(units, spec.size_decimals)

    def _price(self, symbol: str, units: int | None) -> Decimal | None:
        spec = self._spec(symbol)
        return optional_decimal(units, 0 if spec is None else spec.price_decimals)

    def _money(self, units: int) -> Decimal:
        return from_units(units, self._money_decimals)

    # --- orders -----------------------------------------------------------------------------------

    def _opened(self, output: said.OrderOpened) -> None:
        terms = output.terms
        symbol = terms.symbol
        order = self._orders[output.order_id] = OrderRecord(
            account=intern(terms.account),
            run=self._run,
            order_id=output.order_id,
            strategy=intern(terms.strategy),
            symbol=intern(symbol) if symbol in self._market.specs else _NO_SYMBOL,
            side="BUY" if terms.side > 0 else "SELL",
            order_quantity=self._size(symbol, terms.quantity),
            order_kind=intern(terms.kind),
            limit_price=self._price(symbol, terms.limit),
            stop_price=self._price(symbol, terms.stop),
            time_in_force=intern(terms.tif),
            status="INITIALIZED",
            order_detail=terms.fault,
            group_id=output.group,
            group_role=output.role,
            parent_id=output.parent,
            command_id=output.command_id,
            order_tag=terms.tag,
        )
        self._step(order, "INITIALIZED", output.time)

    def _order_event(self, output: said.OrderEvent) -> None:
        order = self._orders.get(output.order_id)
        if order is not None:
            filled = self._size(order.symbol, output.filled)
            self._moved(order, output.time, output.event, output.status, filled, output.detail)

    def _moved(
        self,
        order: OrderRecord,
        time: int,
        event: str,
        status: str,
        filled: Decimal,
        detail: str = "",
    ) -> None:
        order.status, order.order_detail = status, detail
        order.filled_quantity = filled
        self._step(order, event, time)

    def _order_changed(self, output: said.OrderChanged) -> None:
        order = self._orders.get(output.order_id)
        if order is None:
            return
        order.order_quantity = self._size(order.symbol, output.quantity)
        order.limit_price = self._price(order.symbol, output.limit)
        order.stop_price = self._price(order.symbol, output.stop)
        self._step(order, "TERMS", output.time)

    # --- fills and matches ------------------------------------------------------------------------

    def _fill(self, output: said.FillBooked) -> None:
        symbol = intern(output.symbol)
        executed = moment(min(output.executed, output.time))
        fill = FillRecord(
            account=intern(output.account),
            run=self._run,
            fill_id=output.fill_id,
            order_id=output.order_id,
            strategy=intern(output.strategy),
            symbol=symbol,
            side="BUY" if output.side > 0 else "SELL",
            fill_quantity=self._size(symbol, output.quantity),
            fill_price=self._price(symbol, output.price) or Decimal(0),
            fee_amount=self._money(output.fees),
            is_maker=output.maker,
            fill_note=output.note,
            executed_at=executed,
            timestamp=self._moment(output.time),
        )
        self._fills[output.fill_id] = self._new(fill, valid_from=executed)
        _drop_oldest(self._fills)
        order = self._orders.get(output.order_id)
        if order is not None and output.status:
            filled = self._size(symbol, output.filled)
            self._moved(order, output.time, "FILL", output.status, filled, output.note)

    def _taken_back(self, output: said.FillTakenBack) -> None:
        fill = self._fills.get(output.fill_id)
        known = fill is not None
        if fill is None:
            fill = self._correction(output.account, output.fill_id)
        fill.status = "CORRECTED" if output.corrected_id else "BUSTED"
        fill.corrected_id = output.corrected_id
        fill.fill_note = output.reason
        fill.timestamp = self._moment(output.time)
        event = self._event
        if output.corrected_id and isinstance(event, FillCorrected):
            fill.corrected_quantity = self._size(fill.symbol, event.quantity)
            fill.corrected_price = self._price(fill.symbol, event.price)
            fill.corrected_fee_amount = self._money(event.fees)
        if known:
            self._update(fill)
        else:
            self._new(fill)

    def _correction(self, account: str, fill_id: str) -> FillRecord:
        """A record of an execution that has none: a correction's own, or one of long ago."""
        made = FillRecord(account=account, run=self._run, fill_id=fill_id)
        for each in self._fills.values():
            if each.corrected_id == fill_id:
                for name in ("order_id", "strategy", "symbol", "side", "executed_at"):
                    setattr(made, name, getattr(each, name))
        return made

    def _match(self, output: said.MatchMade) -> None:
        symbol = intern(output.symbol)
        self._matches[output.close_fill_id, output.open_fill_id] = self._new(
            MatchRecord(
                account=intern(output.account),
                run=self._run,
                strategy=intern(output.strategy),
                symbol=symbol,
                direction="LONG" if output.side > 0 else "SHORT",
                match_quantity=self._size(symbol, output.quantity),
                open_fill_id=output.open_fill_id,
                open_order_id=output.open_order_id,
                close_fill_id=output.close_fill_id,
                close_order_id=output.close_order_id,
                open_amount=self._money(output.open_value),
                close_amount=self._money(output.close_value),
                open_fee_amount=self._money(output.open_fees),
                close_fee_amount=self._money(output.close_fees),
                realized_amount=self._money(output.realized),
                timestamp=self._moment(output.time),
            )
        )
        _drop_oldest(self._matches)

    def _voided(self, output: said.MatchVoided) -> None:
        match = self._matches.pop((output.close_fill_id, output.open_fill_id), None)
        if match is not None:
            match.status, match.timestamp = "VOIDED", self._moment(output.time)
            self._update(match)
            return
        self._new(
            MatchRecord(
                account=output.account,
                run=self._run,
                strategy=output.strategy,
                symbol=output.symbol,
                open_fill_id=output.open_fill_id,
                close_fill_id=output.close_fill_id,
                realized_amount=self._money(output.realized),
                status="VOIDED",
                timestamp=self._moment(output.time),
            )
        )

    # --- the account ------------------------------------------------------------------------------

    def _position(self, output: said.PositionChanged) -> None:
        self._moved_positions[output.strategy, output.symbol] = output

    def _write_positions(self) -> None:
        for key, output in self._moved_positions.items():
            position = self._positions.get(key)
            if position is None:
                position = PositionRecord(output.account, self._run, output.strategy, output.symbol)
                self._positions[key] = position
            position.net_quantity = self._size(output.symbol, output.net)
            position.cost_amount = self._money(output.cost)
            position.realized_amount = self._money(output.realized)
            position.fee_amount = self._money(output.fees)
            position.income_amount = self._money(output.income)
            position.timestamp = self._moment(output.time)
            self._write_or_update(position)

    def _cash(self, output: said.CashMoved) -> None:
        self._new(
            CashRecord(
                output.account,
                self._run,
                output.currency,
                self._money(output.amount),
                output.reason,
                output.subject,
                self._moment(output.time),
            )
        )

    def _trading_state(self, output: said.TradingStateChanged) -> None:
        state = self._state
        known = state is not None
        if state is None:
            state = self._state = TradingStateRecord(output.account, self._run)
        state.trading_state, state.state_reason, state.state_changed_by = (
            output.state,
            output.reason,
            output.by,
        )
        state.timestamp = self._moment(output.time)
        if known:
            self._update(state)
        else:
            self._new(state)

    def _limits(self, output: said.LimitsChanged) -> None:
        event = self._event
        self._new(
            LimitsRecord(
                output.account,
                self._run,
                output.limits_id,
                event.limits if isinstance(event, given.SetLimits) else "",
                output.requested_by,
                output.approved_by,
                self._moment(output.time),
            ),
            valid_from=moment(output.valid_from),
            valid_to=None if output.valid_to is None else moment(output.valid_to),
        )

    def _parameters(self, output: said.ParametersChanged) -> None:
        event = self._event
        self._new(
            ParametersRecord(
                output.account,
                self._run,
                output.strategy,
                output.change_id,
                output.parameters,
                event.parameters if isinstance(event, given.SetParameters) else "",
                output.requested_by,
                output.approved_by,
                self._moment(output.time),
            )
        )

    # --- opinions, decisions and alerts -----------------------------------------------------------

    def _signal(self, output: said.SignalMade) -> None:
        self._new(
            SignalRecord(
                output.account,
                self._run,
                output.signal_id,
                output.strategy,
                output.version,
                output.parameters,
                output.symbol,
                output.action,
                self._size(output.symbol, output.size_hint),
                output.confidence / 1_000_000,
                output.reason,
                self._moment(output.time),
            )
        )

    def _decision(
        self, time: int, kind: str, subject: str, code: str, quantity: Decimal, **more: str
    ) -> None:
        self._new(
            DecisionRecord(
                account=self._account,
                run=self._run,
                decision_kind=kind,
                subject_id=subject,
                decision_code=code,
                decided_quantity=quantity,
                timestamp=self._moment(time),
                **more,
            )
        )

    def _risk(self, output: said.RiskDecision) -> None:
        order = self._orders.get(output.order_id)
        symbol = "" if order is None else order.symbol
        if order is not None:
            order.limits_id = output.limits_id
            if output.code == "OK" and self._size(symbol, output.quantity) == order.order_quantity:
                return  # its own record says all of it
        self._decision(
            output.time,
            "RISK",
            output.order_id,
            output.code,
            self._size(symbol, output.quantity),
            order_id=output.order_id,
            limits_id=output.limits_id,
            limit_text=output.limit,
            seen_text=output.seen,
            allowed_text=output.allowed,
        )

    def _picked(self, output: said.PickerDecision) -> None:
        order = self._orders.get(output.order_id)
        quantity = self._size("" if order is None else order.symbol, output.quantity)
        self._decision(
            output.time,
            "PICKER",
            output.signal_id,
            output.code,
            quantity,
            order_id=output.order_id,
            decision_detail=output.detail,
        )

    def _reservation(self, output: said.ReservationChanged) -> None:
        quantity = self._size(output.symbol, output.quantity)
        self._decision(
            output.time,
            "RESERVATION",
            output.signal_id,
            output.state,
            quantity,
            decision_detail=output.symbol,
        )

    def _weight(self, output: said.WeightsChanged) -> None:
        weight = from_units(output.weight, 6)
        detail = f"by {output.by}: {output.reason}"
        self._decision(output.time, "WEIGHT", output.strategy, "OK", weight, decision_detail=detail)

    def _alert(self, output: said.Alert) -> None:
        self._new(
            AlertRecord(
                output.account or self._account,
                self._run,
                output.code,
                output.subject,
                output.message,
                self._moment(output.time),
            )
        )

    def _stopped(self, output: said.StrategyStopped) -> None:
        self._new(
            AlertRecord(
                self._account,
                self._run,
                "STRATEGY_STOPPED",
                output.strategy,
                f"{output.handler}: {output.error}",
                self._moment(output.time),
            )
        )


def _drop_oldest(records: OrderedDict[Any, Any]) -> None:
    # A plain dict looks at all places that have become free before it finds its first key.
    if len(records) > _RECENT:
        records.popitem(last=False)
