"""The desk's dashboard: orders, trades, the portfolio, and risk as it ticks.

Like every module that imports deephaven, it can be imported only once the JVM is up.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import deephaven.plot.express as dx
from deephaven import agg, ui
from deephaven.table import Table

from server.dashboard import PRICE_DIGITS

UP, DOWN = "#35b779", "#f2545b"
STATE_COLORS = {"PENDING": "#e5c07b", "FILLED": "#61afef", "SETTLED": UP, "CANCELLED": "#8c8c8c"}


def make_portfolio(trades: Table, prices: Table) -> Table:
    """What the desk holds and earned, by symbol, from its trades and the newest prices."""
    signed = trades.view(
        [
            "Symbol = symbol",
            "Shares = side == `BUY` ? quantity : -quantity",
            "Paid = Shares * price",
        ]
    )
    return (
        signed.agg_by(
            [agg.sum_(["Quantity = Shares", "Cost = Paid"]), agg.count_("Trades")], by="Symbol"
        )
        .natural_join(prices, on="Symbol", joins="Price")
        .update_view(["MarketValue = Quantity * Price", "PnL = MarketValue - Cost"])
    )


def make_risk_totals(risk: Table) -> Table:
    """The book's risk in one row; scores of positions add up, as if all fell together."""
    return risk.agg_by(
        [
            agg.sum_(["TotalMV = MarketValue", "TotalPnL = PnL", "TotalRisk = RiskScore"]),
            agg.count_("NumPositions"),
        ]
    )


def make_dashboard(tables: Mapping[str, Table]) -> Any:
    """All tables of the demo on one page."""
    return ui.dashboard(
        ui.column(
            ui.row(ui.panel(_totals(tables["risk_totals"]), title="Book"), height=13),
            ui.row(
                ui.panel(_orders(tables["orders_live"]), title="Orders"),
                ui.panel(_lifecycle(tables["orders_live"]), title="Orders by state"),
                height=52,
            ),
            ui.row(
                ui.panel(_portfolio(tables["portfolio"]), title="Portfolio, from trades"),
                ui.panel(_risk(tables["risk_live"]), title="Risk, from the reactive graph"),
                ui.panel(_risk_chart(tables["risk_live"]), title="Value at risk, one day"),
                height=35,
            ),
        )
    )


def _totals(risk_totals: Table) -> Any:
    shown: dict[str, tuple[str, Callable[[float], str]]] = {
        "TotalMV": ("Market value", _dollars),
        "TotalPnL": ("P&L", _dollars),
        "TotalRisk": ("Value at risk, one day, 95 %", _dollars),
        "NumPositions": ("Positions", "{:,.0f}".format),
    }

    @ui.component  # type: ignore[untyped-decorator]
    def totals() -> Any:
        row = ui.use_row_data(risk_totals)
        if row is None or row["TotalMV"] is None:
            return ui.text("Waiting for the first fill …")
        tiles = []
        for column, (label, shape) in shown.items():
            value = row[column]
            color = (UP if value >= 0 else DOWN) if column == "TotalPnL" else None
            number = ui.text(
                shape(value), color=color, UNSAFE_style={"fontSize": "24px", "fontWeight": 600}
            )
            tiles.append(ui.flex(ui.text(label), number, direction="column"))
        return ui.flex(*tiles, gap="size-600", wrap=True, align_items="center")

    return totals()


def _dollars(amount: float) -> str:
    return f"{'-' if amount < 0 else ''}${abs(amount):,.0f}"


def _orders(orders_live: Table) -> Any:
    newest = orders_live.sort_descending("TxTime").view(
        [
            "TxTime",
            "State",
            "Side = side",
            "Quantity = quantity",
            "Symbol = symbol",
            "Price = price",
            "Version",
            "EntityId",
        ]
    )
    return ui.table(
        newest,
        format_=[
            ui.TableFormat(cols="Price", value=f"${PRICE_DIGITS}"),
            *(
                ui.TableFormat(cols="State", color=color, if_=f"State == `{state}`")
                for state, color in STATE_COLORS.items()
            ),
        ],
    )


def _lifecycle(orders_live: Table) -> Any:
    return dx.bar(
        orders_live.count_by("Orders", by="State"), x="State", y="Orders", title="Orders by state"
    )


def _portfolio(portfolio: Table) -> Any:
    return ui.table(
        portfolio,
        format_=[
            ui.TableFormat(cols=["Cost", "MarketValue", "Quantity"], value="#,##0"),
            ui.TableFormat(cols="Price", value=f"${PRICE_DIGITS}"),
            *_signed("PnL"),
        ],
    )


def _risk(risk_live: Table) -> Any:
    return ui.table(
        risk_live,
        format_=[
            ui.TableFormat(cols=["MarketValue", "RiskScore", "Quantity"], value="#,##0"),
            ui.TableFormat(cols="Price", value=f"${PRICE_DIGITS}"),
            *_signed("PnL"),
        ],
    )


def _signed(column: str) -> list[Any]:
    return [
        ui.TableFormat(cols=column, value="+#,##0;-#,##0"),
        ui.TableFormat(cols=column, color=UP, if_=f"{column} > 0"),
        ui.TableFormat(cols=column, color=DOWN, if_=f"{column} < 0"),
    ]


def _risk_chart(risk_live: Table) -> Any:
    return dx.bar(risk_live, x="Symbol", y="RiskScore", title="Dollars at risk by position")
