"""The dashboard in the Web IDE: prices, a chart a symbol, risk by position, totals."""

from __future__ import annotations

from typing import Any

import deephaven.plot.express as dx
from deephaven import ui

from server.tables import MarketTables

UP, DOWN = "#35b779", "#f2545b"


def make_dashboard(tables: MarketTables) -> Any:
    """Return the dashboard; publish it under the name that its link carries."""
    return ui.dashboard(
        ui.column(
            ui.row(ui.panel(_totals(tables), title="Portfolio"), height=18),
            ui.row(
                ui.panel(_prices(tables), title="Prices"),
                ui.panel(_price_chart(tables), title="Price chart"),
                height=41,
            ),
            ui.row(
                ui.panel(_risk(tables), title="Risk by position"),
                ui.panel(_exposure_chart(tables), title="Exposure"),
                height=41,
            ),
        )
    )


def _totals(tables: MarketTables) -> Any:
    """Return the portfolio's totals as large numbers that follow the table."""
    shown = {
        "TotalMV": ("Market value", "${:,.0f}"),
        "TotalPnL": ("Unrealized P&L", "${:+,.0f}"),
        "TotalDelta": ("Delta, shares", "{:,.0f}"),
        "AvgGamma": ("Average gamma", "{:,.3f}"),
        "AvgTheta": ("Average theta a year", "${:,.0f}"),
        "AvgVega": ("Average vega", "${:,.0f}"),
        "NumPositions": ("Positions", "{:,.0f}"),
    }

    @ui.component  # type: ignore[untyped-decorator]
    def totals() -> Any:
        row = ui.use_row_data(tables.portfolio_summary)
        if row is None:
            return ui.text("Waiting for the first tick …")
        tiles = []
        for column, (label, form) in shown.items():
            value = row[column]
            color = (UP if value >= 0 else DOWN) if column == "TotalPnL" else None
            tiles.append(
                ui.view(
                    ui.text(label),
                    ui.heading(
                        form.format(value),
                        level=3,
                        **({"UNSAFE_style": {"color": color}} if color else {}),
                    ),
                )
            )
        if row["Stale"]:
            tiles.append(ui.badge("Market data is stale", variant="negative"))
        return ui.flex(*tiles, gap="size-400", wrap=True, align_items="center")

    return totals()


def _prices(tables: MarketTables) -> Any:

    moved = "Change > 0", "Change < 0"
    return ui.table(
        tables.prices_live,
        format_=[
            ui.TableFormat(cols=["Price", "Bid", "Ask"], value="$#,##0.00"),
            ui.TableFormat(cols="Volume", value="#,##0"),
            ui.TableFormat(cols="Change", value="+#,##0.00;-#,##0.00"),
            ui.TableFormat(cols="ChangePct", value="+0.00'%';-0.00'%'"),
            ui.TableFormat(cols=["Price", "Change", "ChangePct"], color=UP, if_=moved[0]),
            ui.TableFormat(cols=["Price", "Change", "ChangePct"], color=DOWN, if_=moved[1]),
            ui.TableFormat(color="#8c8c8c", if_="Stale"),
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
            ui.picker(*symbols, label="Symbol", selected_key=symbol, on_change=choose),
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
        ],
    )


def _exposure_chart(tables: MarketTables) -> Any:

    return dx.bar(tables.risk_live, x="Symbol", y="MarketValue", title="Market value by position")
