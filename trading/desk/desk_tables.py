"""The tables of a whole desk: what its engines wrote to the store, joined to the newest prices.

    register(bridge, since=yesterday)
    bridge.start("present")
    tables = make_desk_tables(bridge, prices_live, lots)

Like every module that imports deephaven, it can be imported only once the JVM is up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec
from deephaven import agg, new_table
from deephaven.column import double_col, string_col
from deephaven.constants import NULL_DOUBLE
from deephaven.table import Table

from bridge import StoreBridge
from reactive.expr import Const, Field
from store.base import Storable
from trading.engine.records import (
    AlertRecord,
    DecisionRecord,
    FillRecord,
    LimitsRecord,
    MatchRecord,
    OrderRecord,
    PositionRecord,
    SignalRecord,
    TradingStateRecord,
)
from trading.orders.status import OPEN
from trading.risk import Limits

__all__ = ["make_desk_tables", "register"]

# Of these a desk makes more every day: what is older than `since` is left to the store.
_HISTORIES: tuple[type[Storable], ...] = (
    OrderRecord,
    FillRecord,
    MatchRecord,
    SignalRecord,
    DecisionRecord,
    AlertRecord,
)
_PRESENT: tuple[type[Storable], ...] = (PositionRecord, LimitsRecord, TradingStateRecord)
# The screens show present states; of the versions that led to them a few are enough.
_RAW_ROWS = 100
_TWINS = "Run.startsWith(`twin:`)"

_IDENTITY = {"AccountId": "account", "Run": "run", "StrategyId": "strategy", "Symbol": "symbol"}
_ORDERS = {
    **_IDENTITY,
    "OrderId": "order_id",
    "Side": "side",
    "Kind": "order_kind",
    "Quantity": "order_quantity",
    "Filled": "filled_quantity",
    "LimitPrice": "limit_price",
    "StopPrice": "stop_price",
    "TimeInForce": "time_in_force",
    "Status": "status",
    "Event": "order_event",
    "Detail": "order_detail",
    "GroupId": "group_id",
    "GroupRole": "group_role",
    "Ts": "timestamp",
}
_FILLS = {
    **_IDENTITY,
    "OrderId": "order_id",
    "FillId": "fill_id",
    "Side": "side",
    "FillQty": "fill_quantity",
    "FillPrice": "fill_price",
    "Fees": "fee_amount",
    "Status": "status",
    "Note": "fill_note",
    "Ts": "executed_at",
}
_MATCHES = {
    **_IDENTITY,
    "Direction": "direction",
    "MatchedQty": "match_quantity",
    "OpenOrderId": "open_order_id",
    "CloseOrderId": "close_order_id",
    "OpenFillId": "open_fill_id",
    "CloseFillId": "close_fill_id",
    "OpenAmount": "open_amount",
    "CloseAmount": "close_amount",
    "OpenFees": "open_fee_amount",
    "CloseFees": "close_fee_amount",
    "RealizedPnl": "realized_amount",
    "Status": "status",
    "MatchTimestamp": "timestamp",
}
_SIGNALS = {
    **_IDENTITY,
    "SignalId": "signal_id",
    "Action": "signal_action",
    "SizeHint": "hint_quantity",
    "Confidence": "confidence",
    "Reason": "signal_reason",
    "StrategyVersion": "strategy_version",
    "ParamsHash": "parameters_hash",
    "SignalTs": "timestamp",
}
_DECISIONS = {
    "AccountId": "account",
    "Run": "run",
    "Kind": "decision_kind",
    "SubjectId": "subject_id",
    "OrderId": "order_id",
    "Code": "decision_code",
    "Quantity": "decided_quantity",
    "LimitsId": "limits_id",
    "Limit": "limit_text",
    "Seen": "seen_text",
    "Allowed": "allowed_text",
    "Detail": "decision_detail",
    "Ts": "timestamp",
}
_ALERTS = {
    "AccountId": "account",
    "Run": "run",
    "Code": "alert_code",
    "SubjectId": "subject_id",
    "Message": "alert_message",
    "Ts": "timestamp",
}
_STATES = {
    "AccountId": "account",
    "Run": "run",
    "State": "trading_state",
    "Reason": "state_reason",
    "ChangedBy": "state_changed_by",
    "Ts": "timestamp",
}


def register(bridge: StoreBridge, since: datetime) -> None:
    """Let a bridge carry all records of a desk; of histories those from `since` on."""
    recent = Field("timestamp") >= Const(since)
    for cls in _HISTORIES:
        wanted = recent
        if cls is OrderRecord:
            wanted = recent | Field("status").is_in(sorted(each.value for each in OPEN))
        bridge.register(cls, filter=wanted, rows=_RAW_ROWS)
    for cls in _PRESENT:
        bridge.register(cls, rows=_RAW_ROWS)


def make_desk_tables(
    bridge: StoreBridge,
    prices: Table,
    lots: Table,
    *,
    owner: str = "desk_engine",
    multipliers: Mapping[str, float] | None = None,
) -> dict[str, Table]:
    """Make every table by its name.

    prices: `Symbol` and `Price` by symbol. lots: the newest row of each, closed ones with 0 left.
    multipliers: what one unit of size stands for, by symbol; 1 for those that are not named.
    Records of others than `owner` are left out: anybody may write objects of these classes and
    share them.
    """

    def of(cls: type[Storable], columns: dict[str, str]) -> Table:
        own = bridge.live(cls).where(f"UpdatedBy = `{owner}`")
        return own.view([f"{shown} = {name}" for shown, name in columns.items()])

    tables: dict[str, Table] = {
        "orders": of(OrderRecord, _ORDERS),
        "exec_report_history": of(FillRecord, _FILLS),
        "strategy_signal_history": of(SignalRecord, _SIGNALS),
        "decisions": of(DecisionRecord, _DECISIONS),
        "alerts": of(AlertRecord, _ALERTS),
        "open_positions_lots": lots.where("QtyRem > 0"),
    }
    units = _units(multipliers or {})
    matches = _with_multiplier(of(MatchRecord, _MATCHES).where("Status = `MADE`"), units)
    tables["trade_match_history"] = matches.view(
        [
            "MatchId = CloseFillId + `:` + OpenFillId",
            *("AccountId", "Run", "StrategyId", "Symbol", "Direction"),
            "BuyOrderId = Direction == `LONG` ? OpenOrderId : CloseOrderId",
            "SellOrderId = Direction == `LONG` ? CloseOrderId : OpenOrderId",
            "MatchedQty",
            "BuyPrice = (Direction == `LONG` ? OpenAmount : CloseAmount)"
            " / (MatchedQty * Multiplier)",
            "SellPrice = (Direction == `LONG` ? CloseAmount : OpenAmount)"
            " / (MatchedQty * Multiplier)",
            "Fees = OpenFees + CloseFees",
            *("RealizedPnl", "MatchTimestamp"),
        ]
    )
    tables["paper_trade_match_history"] = tables["trade_match_history"].where(_TWINS)
    states = of(TradingStateRecord, _STATES)
    tables["trading_states"] = _newest(states, ["AccountId", "Run"], "Ts")
    tables |= _signal_tables(tables["strategy_signal_history"], tables["decisions"])
    positions = _with_multiplier(of(PositionRecord, _POSITIONS), units)
    tables |= _position_tables(positions, prices)
    tables["strategy_perf_latest"] = _performance(
        tables["trade_match_history"], tables["realized_pnl_latest"]
    )
    tables["account_summary"] = _accounts(
        tables["realized_pnl_latest"], tables["unrealized_pnl_latest"], tables["trading_states"]
    )
    tables["limits"] = _limits(of(LimitsRecord, _LIMITS), tables["account_summary"])
    return tables


_POSITIONS = {
    **_IDENTITY,
    "NetQty": "net_quantity",
    "Cost": "cost_amount",
    "RealizedPnl": "realized_amount",
    "Fees": "fee_amount",
    "Income": "income_amount",
    "LastUpdated": "timestamp",
}
_LIMITS = {
    "AccountId": "account",
    "Run": "run",
    "LimitsId": "limits_id",
    "Json": "limits_json",
    "RequestedBy": "requested_by",
    "ApprovedBy": "approved_by",
    "Ts": "timestamp",
}


def _units(multipliers: Mapping[str, float]) -> Table:
    """The symbols whose multiplier is another one than 1."""
    others = {symbol: value for symbol, value in multipliers.items() if value != 1}
    return new_table(
        [
            string_col("Symbol", list(others)),
            double_col("Multiplier", [float(each) for each in others.values()]),
        ]
    )


def _with_multiplier(table: Table, units: Table) -> Table:
    return table.natural_join(units, on="Symbol").update_view(
        "Multiplier = isNull(Multiplier) ? 1.0 : Multiplier"
    )


def _newest(table: Table, keys: Sequence[str], by: str) -> Table:
    """The row of the greatest time for each key, wherever it stands in the table."""
    rest = [column.name for column in table.columns if column.name not in (*keys, by)]
    return table.agg_by([agg.sorted_last(by, rest), agg.max_(by)], by=list(keys))


def _signal_tables(signals: Table, decisions: Table) -> dict[str, Table]:
    picked = decisions.where(["Kind = `PICKER`", "Code = `OK`"])
    of_signal = ["AccountId", "Run", "SubjectId = SignalId"]
    weights = decisions.where("Kind = `WEIGHT`").view(
        ["AccountId", "Run", "StrategyId = SubjectId", "Weight = Quantity", "Detail", "Ts"]
    )
    return {
        "strategy_signal_latest": _newest(
            signals, ["AccountId", "Run", "StrategyId", "Symbol"], "SignalTs"
        ).rename_columns("LastUpdated = SignalTs"),
        "accepted_trade_signal_history": picked.natural_join(
            signals, on=of_signal, joins=["StrategyId", "Symbol", "Action", "Reason"]
        ).view(
            [
                *("AccountId", "Run", "StrategyId", "Symbol", "Action"),
                *("Qty = Quantity", "Ts", "Reason", "SignalId = SubjectId"),
            ]
        ),
        "strategy_weights_latest": _newest(weights, ["AccountId", "Run", "StrategyId"], "Ts"),
    }


def _position_tables(positions: Table, prices: Table) -> dict[str, Table]:
    """Positions that are not flat, what they would earn now, and what all have earned."""
    keys = ["AccountId", "Run", "StrategyId", "Symbol"]
    open_now = positions.where("NetQty != 0").update_view(
        ["Side = NetQty > 0 ? `LONG` : `SHORT`", "AvgPrice = Cost / (NetQty * Multiplier)"]
    )
    priced = open_now.natural_join(prices, on="Symbol", joins="CurrentPrice = Price")
    return {
        "open_positions_rollup": open_now.view(
            [*keys, "Side", "NetQty", "AvgPrice", "Cost", "LastUpdated"]
        ),
        "unrealized_pnl_latest": priced.view(
            [
                *keys,
                "UnrealizedPnl = NetQty * CurrentPrice * Multiplier - Cost",
                "MarketValue = NetQty * CurrentPrice * Multiplier",
                *("CurrentPrice", "AvgPrice", "NetQty", "Ts = LastUpdated"),
            ]
        ),
        "realized_pnl_latest": positions.view(
            [*keys, "RealizedPnl", "Fees", "Income", "Ts = LastUpdated"]
        ),
    }


def _performance(matches: Table, realized: Table) -> Table:
    """Each strategy's record: trades since the screens' beginning, and P&L of the whole run."""
    keys = ["AccountId", "Run", "StrategyId"]
    trades = matches.update_view(["Win = RealizedPnl > Fees ? 1 : 0"]).agg_by(
        [
            agg.count_("Trades"),
            agg.avg(["HitRate = Win", "MeanPnl = RealizedPnl"]),
            agg.std(["Deviation = RealizedPnl"]),
            agg.max_(["Ts = MatchTimestamp"]),
        ],
        by=keys,
    )
    earned = realized.agg_by([agg.sum_(["RealizedPnl", "Fees", "Income"])], by=keys)
    return earned.natural_join(trades, on=keys).update_view(
        [
            "NetPnl = RealizedPnl - Fees + Income",
            "TStat = Trades > 1 && Deviation > 0 ? MeanPnl / Deviation * sqrt(Trades) : null",
        ]
    )


def _accounts(realized: Table, unrealized: Table, states: Table) -> Table:
    keys = ["AccountId", "Run"]
    earned = realized.agg_by([agg.sum_(["RealizedPnl", "Fees", "Income"])], by=keys)
    by_symbol = unrealized.agg_by(
        [agg.sum_(["MarketValue", "UnrealizedPnl"])], by=[*keys, "Symbol"]
    )
    held = by_symbol.update_view("Gross = abs(MarketValue)").agg_by(
        [
            agg.sum_(["UnrealizedPnl", "NetExposure = MarketValue", "GrossExposure = Gross"]),
            agg.max_(["LargestPosition = Gross"]),
            agg.count_("OpenPositions"),
        ],
        by=keys,
    )
    # An account that holds nothing has no row of what it holds.
    return (
        earned.natural_join(held, on=keys)
        .natural_join(states, on=keys, joins=["State", "StateReason = Reason"])
        .update_view(
            [
                *(
                    f"{name} = isNull({name}) ? 0.0 : {name}"
                    for name in ("UnrealizedPnl", "NetExposure", "GrossExposure", "LargestPosition")
                ),
                "OpenPositions = isNull(OpenPositions) ? 0L : OpenPositions",
                "State = isNull(State) ? `ACTIVE` : State",
                "NetPnl = RealizedPnl + UnrealizedPnl - Fees + Income",
            ]
        )
    )


def _limits(records: Table, accounts: Table) -> Table:
    """One row for each limit that an account has, and how much of it is used where that is known.

    Of a limit that is no number `Value` is null.
    """
    newest = _newest(records, ["AccountId", "Run"], "Ts")
    names = new_table([string_col("Limit", _limit_names())])
    used = accounts.view(["AccountId", "Run", "GrossExposure", "NetExposure", "LargestPosition"])
    return (
        newest.join(names)
        .update(["Text = (String) limit_text(Json, Limit)", "Value = (double) limit_number(Text)"])
        .where("!isNull(Text) && Text != ``")
        .natural_join(used, on=["AccountId", "Run"])
        .update_view(
            [
                "Used = Limit == `max_gross_exposure` ? GrossExposure : "
                "Limit == `max_net_exposure` ? abs(NetExposure) : "
                "Limit == `max_symbol_notional` ? LargestPosition : null",
                "UsedPct = Value > 0 ? 100 * Used / Value : null",
            ]
        )
        .view(
            [
                *("AccountId", "Run", "Limit", "Text", "Value", "Used", "UsedPct"),
                *("LimitsId", "RequestedBy", "ApprovedBy", "Ts"),
            ]
        )
    )


# The window of a rate says something only where the rate is limited.
_RATE_OF = {"order_window": "max_orders", "cancel_window": "max_cancels"}


def _limit_names() -> list[str]:
    return [each.name for each in msgspec.structs.fields(Limits)]


def limit_text(limits: str, name: str) -> str:
    """One limit of an account's limits in JSON as text; empty where there is none."""
    try:
        given: dict[str, Any] = msgspec.json.decode(limits, type=dict[str, Any])
    except msgspec.DecodeError:
        return ""
    value = given.get(name)
    if not value or given.get(_RATE_OF.get(name, name)) is None:
        return ""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def limit_number(text: str) -> float:
    """A limit's number; Deephaven's null where it is none."""
    try:
        return float(Decimal(text))
    except InvalidOperation:
        return float(NULL_DOUBLE)
