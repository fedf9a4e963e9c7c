"""The dashboard in the Web IDE: prices, a chart a symbol, risk by position, totals."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import deephaven.plot.express as dx
from deephaven import ui

from server.tables import MarketTables

UP, DOWN = "#35b779", "#f2545b"
# Two decimals, and as many more as a price has: 228.13, 1.08345, 0.00001234.
PRICE_DIGITS = "#,##0.00##########"
STALE_IS_GREY = ui.TableFormat(color="#8c8c8c", if_="Stale")


def make_dashboard(tables: MarketTables) -> Any:
    """Return the dashboard; publish it under the name that its link carries."""
    return ui.dashboard(
        ui.column(
            ui.row(ui.panel(_totals(tables), title="Portfolio"), height=14),
            ui.row(
                ui.panel(_prices(tables), title="Prices"),
                ui.panel(_price_chart(tables), title="Price chart"),
                height=43,
            ),
            ui.row(
                ui.panel(_risk(tables), title="Risk by position (Greeks of 3-month 5% calls)"),
                *_exposure_panels(tables),
                height=43,
            ),
        )
    )


def _totals(tables: MarketTables) -> Any:
    """Return the portfolio's totals as large numbers that follow the table."""
    shown: dict[str, tuple[str, Callable[[float], str]]] = {
        "TotalMV": ("Market value", _dollars),
        "TotalPnL": ("Unrealized P&L", _dollars),
        "TotalDelta": ("Delta, shares", "{:,.0f}".format),
        "AvgGamma": ("Average gamma", "{:,.3f}".format),
        "AvgTheta": ("Average theta a year", _dollars),
        "AvgVega": ("Average vega", _dollars),
        "NumPositions": ("Positions", "{:,.0f}".format),
    }

    @ui.component  # type: ignore[untyped-decorator]
    def totals() -> Any:
        row = ui.use_row_data(tables.portfolio_summary)
        if row is None:
            return ui.text("Waiting for the first tick …")
        tiles = []
        for column, (label, shape) in shown.items():
            value = row[column]
            color = (UP if value >= 0 else DOWN) if column == "TotalPnL" else None
            number = ui.text(
                shape(value), color=color, UNSAFE_style={"fontSize": "24px", "fontWeight": 600}
            )
            tiles.append(ui.flex(ui.text(label), number, direction="column"))
        if row["Stale"]:
            tiles.append(ui.badge("Market data is stale", variant="negative"))
        return ui.flex(*tiles, gap="size-600", wrap=True, align_items="center")

    return totals()


def _dollars(amount: float) -> str:
    return f"{'-' if amount < 0 else ''}${abs(amount):,.0f}"


def _prices(tables: MarketTables) -> Any:

    moved = "Change > 0", "Change < 0"
    return ui.table(
        tables.prices_live,
        format_=[
            ui.TableFormat(cols=["Price", "Bid", "Ask"], value=f"${PRICE_DIGITS}"),
            ui.TableFormat(cols="Volume", value="#,##0.########"),
            ui.TableFormat(cols="Change", value=f"+{PRICE_DIGITS};-{PRICE_DIGITS}"),
            ui.TableFormat(cols="ChangePct", value="+0.00'%';-0.00'%'"),
            ui.TableFormat(cols=["Price", "Change", "ChangePct"], color=UP, if_=moved[0]),
            ui.TableFormat(cols=["Price", "Change", "ChangePct"], color=DOWN, if_=moved[1]),
            STALE_IS_GREY,
        ],
    )


def _price_chart(tables: MarketTables) -> Any:
    """Return a line chart of one symbol's ticks, with a picker of the symbol."""

    @ui.component  # type: ignore[untyped-decorator]
    def price_chart() -> Any:
        symbols = ui.use_column_data(tables.prices_live.view("Symbol").sort("Symbol"))
        chosen, choose = ui.use_state("")
        symbol = chosen or (symbols[0] if symbols else "")
        if not symbol:
            return ui.text("Waiting for the first tick …")
        ticks = ui.use_memo(lambda: tables.prices_raw.where(f"Symbol = `{symbol}`"), [symbol])
        chart = ui.use_memo(
            lambda: dx.line(ticks, x="Timestamp", y=["Bid", "Ask", "Price"], title=symbol),
            [ticks],
        )
        return ui.flex(
            ui.picker(*symbols, aria_label="Symbol", selected_key=symbol, on_change=choose),
            chart,
            direction="column",
            height="100%",
        )

    return price_chart()


def _risk(tables: MarketTables) -> Any:

    return ui.table(
        tables.risk_live,
        format_=[
            ui.TableFormat(
                cols=["Position", "MarketValue", "Delta", "Theta", "Vega"], value="#,##0"
            ),
            ui.TableFormat(cols="Gamma", value="#,##0.00"),
            ui.TableFormat(cols="UnrealizedPnL", value="+#,##0;-#,##0"),
            ui.TableFormat(cols="UnrealizedPnL", color=UP, if_="UnrealizedPnL > 0"),
            ui.TableFormat(cols="UnrealizedPnL", color=DOWN, if_="UnrealizedPnL < 0"),
            STALE_IS_GREY,
        ],
    )


def _exposure_panels(tables: MarketTables) -> list[Any]:
    """Return bars by position: its market value, and a Greek of choice."""
    exposure = dx.bar(tables.risk_live, x="Symbol", y="MarketValue", title="Market value, dollars")
    units = {
        "Delta": "shares",
        "Gamma": "shares a dollar",
        "Theta": "dollars a year",
        "Vega": "dollars for 1.00 of volatility",
    }

    @ui.component  # type: ignore[untyped-decorator]
    def greeks() -> Any:
        greek, choose = ui.use_state("Delta")
        chart = ui.use_memo(
            lambda: dx.bar(tables.risk_live, x="Symbol", y=greek, title=f"{greek}, {units[greek]}"),
            [greek],
        )
        return ui.flex(
            ui.picker(*units, aria_label="Greek", selected_key=greek, on_change=choose),
            chart,
            direction="column",
            height="100%",
        )

    return [
        ui.panel(exposure, title="Exposure"),
        ui.panel(greeks(), title="Greeks by position"),
    ]
