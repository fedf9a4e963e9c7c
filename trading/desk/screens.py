"""The three dashboards of a desk in Deephaven: desk, risk and strategy.

They are to look at: a button of a dashboard would run without knowing who pressed it. Like every
module that imports deephaven, this one can be imported only once the JVM is up.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import deephaven.plot.express as dx
from deephaven import ui

from trading.desk.dashboard import DOWN, UP, candles

__all__ = ["make_desk_dashboards"]

_GREY, _AMBER, _BLUE = "#8c8c8c", "#e5c07b", "#61afef"
_MONEY, _SIGNED = "#,##0.00", "+#,##0.00;-#,##0.00;0.00"
_SIZE, _PRICE = "#,##0.########", "#,##0.00######"
_OWN = "!Run.startsWith(`twin:`)"
# Each condition is a formula that the engine compiles: a few for several words each.
_STATUS_COLORS = {
    ("FILLED",): UP,
    ("ACCEPTED", "PARTIALLY_FILLED"): _BLUE,
    ("DENIED", "REJECTED"): DOWN,
    ("CANCELED", "EXPIRED"): _GREY,
}
_SIDE_COLORS = {("BUY", "LONG"): UP, ("SELL", "SHORT"): DOWN}

Tables = Mapping[str, Any]


def make_desk_dashboards(tables: Tables, features: Sequence[str]) -> dict[str, Any]:
    """Return the dashboards by name; `features` are the indicators that can be drawn."""
    return {
        "desk": _desk(tables, features),
        "risk": _risk(tables),
        "strategy": _strategy(tables),
    }


def _desk(tables: Tables, features: Sequence[str]) -> Any:
    orders = tables["orders"].where(_OWN).sort_descending("Ts")
    fills = tables["exec_report_history"].where(_OWN).sort_descending("Ts")
    return ui.dashboard(
        ui.column(
            ui.row(ui.panel(_accounts(tables), title="Accounts"), height=14),
            ui.row(
                ui.panel(candles(tables, features), title="Candles"),
                ui.stack(
                    ui.panel(_prices(tables), title="Prices"),
                    ui.panel(_chain(tables), title="Options"),
                    ui.panel(_books(tables), title="Order books"),
                    ui.panel(_indicators(tables), title="Indicators"),
                    active_item_index=0,
                ),
                height=48,
            ),
            ui.row(
                ui.stack(
                    ui.panel(_orders(orders), title="Orders"),
                    ui.panel(_fills(fills), title="Fills"),
                    active_item_index=0,
                ),
                ui.panel(_positions(tables), title="Open positions"),
                height=38,
            ),
        )
    )


def _risk(tables: Tables) -> Any:
    denied = tables["decisions"].where(["Kind = `RISK`", "Code != `OK`"]).sort_descending("Ts")
    exposure = tables["unrealized_pnl_latest"].where(_OWN)
    by_symbol = exposure.view(["Symbol", "MarketValue"]).sum_by("Symbol").sort("Symbol")
    return ui.dashboard(
        ui.column(
            ui.row(ui.panel(_accounts(tables), title="Accounts"), height=14),
            ui.row(
                ui.panel(_limits(tables), title="Limits"),
                ui.panel(_drawn(by_symbol, "MarketValue", "Exposure by symbol"), title="Exposure"),
                ui.panel(_alerts(tables), title="Alerts"),
                height=43,
            ),
            ui.row(
                ui.stack(
                    ui.panel(_positions(tables), title="Open positions"),
                    ui.panel(_lots(tables), title="Lots"),
                    active_item_index=0,
                ),
                ui.panel(_denied(denied), title="Refused by risk"),
                height=43,
            ),
        )
    )


def _strategy(tables: Tables) -> Any:
    signals = tables["strategy_signal_history"].sort_descending("SignalTs")
    earned = tables["strategy_perf_latest"].view(["Strategy = StrategyId + ` ` + Run", "NetPnl"])
    return ui.dashboard(
        ui.column(
            ui.row(
                ui.panel(_performance(tables), title="Performance"),
                ui.panel(_drawn(earned, "NetPnl", "Net P&L", x="Strategy"), title="Earned"),
                ui.panel(_weights(tables), title="Weights"),
                height=50,
            ),
            ui.row(
                ui.stack(
                    ui.panel(_signals(tables["strategy_signal_latest"]), title="Newest signals"),
                    ui.panel(_signals(signals), title="All signals"),
                    active_item_index=0,
                ),
                ui.panel(_decided(tables), title="Decisions on signals"),
                ui.panel(_matches(tables), title="Closed trades"),
                height=50,
            ),
        )
    )


# --- parts ----------------------------------------------------------------------------------------


def _accounts(tables: Tables) -> Any:
    """Large numbers of each account that follow the table."""
    accounts = tables["account_summary"].where(_OWN).sort(["AccountId", "Run"])
    shown: dict[str, tuple[str, Callable[[float], str], bool]] = {
        "NetPnl": ("Net P&L", _dollars, True),
        "RealizedPnl": ("Realized", _dollars, True),
        "UnrealizedPnl": ("Unrealized", _dollars, True),
        "Fees": ("Fees", _dollars, False),
        "NetExposure": ("Net exposure", _dollars, False),
        "GrossExposure": ("Gross exposure", _dollars, False),
        "OpenPositions": ("Positions", "{:,.0f}".format, False),
    }
    states = {"ACTIVE": "positive", "REDUCING": "notice", "HALTED": "negative"}

    @ui.component  # type: ignore[untyped-decorator]
    def tiles() -> Any:
        rows = ui.use_table_data(accounts)
        if not rows or not rows["AccountId"]:
            return ui.text("Waiting for the first fill …")
        lines = []
        for row in _records(rows):
            parts = [
                ui.flex(
                    ui.text(row["AccountId"], UNSAFE_style={"fontSize": "16px", "fontWeight": 600}),
                    ui.badge(row["State"], variant=states.get(row["State"], "neutral")),
                    direction="column",
                    gap="size-50",
                )
            ]
            for column, (label, shape, is_signed) in shown.items():
                value = row[column]
                color = (UP if value >= 0 else DOWN) if is_signed and value else None
                number = ui.text(
                    shape(value), color=color, UNSAFE_style={"fontSize": "20px", "fontWeight": 600}
                )
                parts.append(ui.flex(ui.text(label), number, direction="column"))
            lines.append(ui.flex(*parts, gap="size-500", wrap=True, align_items="center"))
        return ui.flex(*lines, direction="column", gap="size-100")

    return tiles()


def _records(columns: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _dollars(amount: float) -> str:
    return f"{'-' if amount < 0 else ''}${abs(amount):,.2f}"


def _table(table: Any, **formats: Sequence[str] | str) -> Any:
    """A table whose columns are formatted: `signed`, `money`, `price` and `size` name them."""
    shapes = {"signed": _SIGNED, "money": _MONEY, "price": _PRICE, "size": _SIZE}
    made = [
        ui.TableFormat(cols=list(formats[kind]), value=shape)
        for kind, shape in shapes.items()
        if kind in formats
    ]
    for column in formats.get("signed", ()):
        made.append(ui.TableFormat(cols=column, color=UP, if_=f"{column} > 0"))
        made.append(ui.TableFormat(cols=column, color=DOWN, if_=f"{column} < 0"))
    for kind, colors in (("side", _SIDE_COLORS), ("status", _STATUS_COLORS)):
        if kind in formats:
            column = str(formats[kind])
            made += [
                ui.TableFormat(cols=column, color=color, if_=_is_one_of(column, words))
                for words, color in colors.items()
            ]
    return ui.table(table, format_=made)


def _is_one_of(column: str, words: Sequence[str]) -> str:
    return " || ".join(f"{column} == `{word}`" for word in words)


def _prices(tables: Tables) -> Any:
    shown = (
        tables["prices_live"]
        .sort("Symbol")
        .view(["Symbol", "Price", "Bid", "Ask", "ChangePct", "Volume", "Timestamp"])
    )
    return _table(shown, price=["Price", "Bid", "Ask"], signed=["ChangePct"], size=["Volume"])


def _chain(tables: Tables) -> Any:
    """Call, strike and put side by side, as traders read a chain."""
    return _table(
        tables["option_ladder"],
        price=["CallBid", "CallAsk", "PutBid", "PutAsk"],
        size=["Strike"],
    )


def _books(tables: Tables) -> Any:
    shown = tables["book_features"].sort("Symbol")
    return _table(shown, price=["Mid", "Microprice", "VWAP"])


def _indicators(tables: Tables) -> Any:
    return ui.table(tables["indicator_latest"].sort(["Symbol", "Timeframe"]))


def _orders(orders: Any) -> Any:
    shown = orders.view(
        [
            *("Ts", "AccountId", "Symbol", "Side", "Quantity", "Filled", "Kind", "LimitPrice"),
            *("StopPrice", "Status", "StrategyId", "Detail", "OrderId"),
        ]
    )
    return _table(
        shown,
        side="Side",
        status="Status",
        price=["LimitPrice", "StopPrice"],
        size=["Quantity", "Filled"],
    )


def _fills(fills: Any) -> Any:
    shown = fills.view(
        [
            *("Ts", "AccountId", "Symbol", "Side", "FillQty", "FillPrice", "Fees", "StrategyId"),
            *("Status", "OrderId"),
        ]
    )
    return _table(shown, side="Side", price=["FillPrice"], size=["FillQty"], money=["Fees"])


def _positions(tables: Tables) -> Any:
    shown = (
        tables["unrealized_pnl_latest"]
        .where(_OWN)
        .view(
            [
                *("AccountId", "StrategyId", "Symbol", "NetQty", "AvgPrice", "CurrentPrice"),
                *("MarketValue", "UnrealizedPnl", "Ts"),
            ]
        )
    )
    return _table(
        shown,
        size=["NetQty"],
        price=["AvgPrice", "CurrentPrice"],
        money=["MarketValue"],
        signed=["UnrealizedPnl"],
    )


def _lots(tables: Tables) -> Any:
    shown = tables["open_positions_lots"].where(_OWN).sort("TsOpen")
    return _table(shown, side="Side", size=["QtyOpen", "QtyRem"], price=["AvgPrice"])


def _limits(tables: Tables) -> Any:
    shown = (
        tables["limits"]
        .where(_OWN)
        .view(["AccountId", "Limit", "Text", "Used", "UsedPct", "ApprovedBy", "Ts"])
    )
    return ui.table(
        shown,
        format_=[
            ui.TableFormat(cols="Used", value=_MONEY),
            ui.TableFormat(cols="UsedPct", value="0.0'%'"),
            ui.TableFormat(cols="UsedPct", color=_AMBER, if_="UsedPct > 80"),
            ui.TableFormat(cols="UsedPct", color=DOWN, if_="UsedPct > 100"),
        ],
    )


def _alerts(tables: Tables) -> Any:
    shown = tables["alerts"].where(_OWN).sort_descending("Ts")
    return ui.table(shown.view(["Ts", "AccountId", "Code", "Message", "SubjectId"]))


def _denied(decisions: Any) -> Any:
    return ui.table(
        decisions.where(_OWN).view(
            ["Ts", "AccountId", "Code", "Limit", "Seen", "Allowed", "OrderId"]
        )
    )


def _performance(tables: Tables) -> Any:
    shown = (
        tables["strategy_perf_latest"]
        .sort(["StrategyId", "Run"])
        .view(
            [
                *("StrategyId", "AccountId", "Run", "NetPnl", "RealizedPnl", "Fees", "Trades"),
                *("HitPct = 100 * HitRate", "MeanPnl", "Deviation", "TStat"),
            ]
        )
    )
    return ui.table(
        shown,
        format_=[
            ui.TableFormat(cols=["NetPnl", "RealizedPnl", "MeanPnl"], value=_SIGNED),
            ui.TableFormat(cols=["Fees", "Deviation", "TStat"], value=_MONEY),
            ui.TableFormat(cols="HitPct", value="0.0'%'"),
            ui.TableFormat(cols="NetPnl", color=UP, if_="NetPnl > 0"),
            ui.TableFormat(cols="NetPnl", color=DOWN, if_="NetPnl < 0"),
        ],
    )


def _weights(tables: Tables) -> Any:
    return ui.table(
        tables["strategy_weights_latest"].sort("StrategyId"),
        format_=[ui.TableFormat(cols="Weight", value="0.000")],
    )


def _signals(signals: Any) -> Any:
    shown = signals.view(
        [
            *("StrategyId", "Symbol", "Action", "SizeHint", "Confidence", "Reason", "Run"),
            "Ts = LastUpdated" if _has(signals, "LastUpdated") else "Ts = SignalTs",
        ]
    )
    return _table(shown, side="Action", size=["SizeHint"])


def _has(table: Any, column: str) -> bool:
    return any(each.name == column for each in table.columns)


def _decided(tables: Tables) -> Any:
    shown = tables["decisions"].where("Kind = `PICKER`").sort_descending("Ts")
    return ui.table(
        shown.view(["Ts", "Code", "Quantity", "Detail", "Run", "SubjectId"]),
        format_=[
            ui.TableFormat(cols="Code", color=UP, if_="Code == `OK`"),
            ui.TableFormat(cols="Code", color=DOWN, if_="Code != `OK`"),
        ],
    )


def _matches(tables: Tables) -> Any:
    shown = (
        tables["trade_match_history"]
        .sort_descending("MatchTimestamp")
        .view(
            [
                *("MatchTimestamp", "StrategyId", "Symbol", "Direction", "MatchedQty", "BuyPrice"),
                *("SellPrice", "RealizedPnl", "Fees", "Run"),
            ]
        )
    )
    return _table(
        shown,
        side="Direction",
        size=["MatchedQty"],
        price=["BuyPrice", "SellPrice"],
        signed=["RealizedPnl"],
        money=["Fees"],
    )


def _drawn(table: Any, y: str, title: str, x: str = "Symbol") -> Any:
    return dx.bar(table, x=x, y=y, title=title)
