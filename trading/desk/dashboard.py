"""The market dashboard in Deephaven: candles with volume and an indicator, and the tables.

Like every module that imports deephaven, this one can be imported only once the JVM is up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import deephaven.plot.express as dx
from deephaven import merge, time_table, ui

UP, DOWN = "#35b779", "#f2545b"
# More candles than these take much of a core each time they are drawn.
CANDLES = 500
_DRAWN_EVERY = "PT1s"
_NO_INDICATOR = "none"
_PRICES = ["Open", "High", "Low", "Close", "VWAP", "Bid", "Ask"]


def make_market_dashboard(tables: Mapping[str, Any], features: Sequence[str] = ()) -> Any:
    """Return the dashboard; publish it under the name that its link carries.

    tables: `MarketTables.published`. features: columns of `indicator_history` that can be drawn
    over the candles.
    """
    return ui.dashboard(
        ui.row(
            ui.column(ui.panel(candles(tables, features), title="Candles"), width=60),
            ui.column(
                ui.panel(_bars(tables["bars_live"]), title="Working bars"),
                ui.panel(_bars(tables["bars_final"].reverse()), title="Final bars"),
                ui.panel(tables["indicator_latest"], title="Indicators"),
                ui.panel(tables["book_features"], title="Order books"),
                width=40,
            ),
        )
    )


def _bars(table: Any) -> Any:
    rising = ui.TableFormat(cols="Close", color=UP, if_="Close > Open")
    falling = ui.TableFormat(cols="Close", color=DOWN, if_="Close < Open")
    return ui.table(
        table,
        format_=[
            ui.TableFormat(cols=_PRICES, value="#,##0.00#######"),
            ui.TableFormat(cols="Volume", value="#,##0.########"),
            rising,
            falling,
        ],
    )


def candles(tables: Mapping[str, Any], features: Sequence[str]) -> Any:
    """Return candles of a symbol and interval of choice, with volume and an indicator."""
    kinds = tables["bars_live"].view(["Kind = Symbol + ` ` + Interval"]).sort("Kind")

    @ui.component  # type: ignore[untyped-decorator]
    def drawn() -> Any:
        known = ui.use_column_data(kinds)
        chosen, choose = ui.use_state("")
        feature, choose_feature = ui.use_state(features[0] if features else _NO_INDICATOR)
        kind = chosen or (known[0] if known else "")
        if not kind:
            return ui.text("Waiting for the first tick …")
        symbol, interval = kind.rsplit(" ", maxsplit=1)
        rows = ui.use_memo(lambda: _newest(tables, symbol, interval, feature), [kind, feature])
        chart = ui.use_memo(lambda: _chart(rows, kind, feature), [rows])
        return ui.flex(
            ui.flex(
                ui.picker(
                    *known, aria_label="Symbol and interval", selected_key=kind, on_change=choose
                ),
                ui.picker(
                    _NO_INDICATOR,
                    *features,
                    aria_label="Indicator",
                    selected_key=feature,
                    on_change=choose_feature,
                ),
            ),
            chart,
            direction="column",
            height="100%",
        )

    return drawn()


def _newest(tables: Mapping[str, Any], symbol: str, interval: str, feature: str) -> Any:
    """The newest final bars and the working one, with the indicator, as they are drawn."""
    columns = ["Start", "Open", "High", "Low", "Close", "Volume"]
    wanted = f"Symbol = `{symbol}` && Interval = `{interval}`"
    final = tables["bars_final"].where([wanted, "!isNull(Close)"]).view(columns)
    working = tables["bars_live"].where([wanted, "State = `working`"]).view(columns)
    rows = merge([final.sort("Start").tail(CANDLES), working])
    if feature != _NO_INDICATOR:
        of_symbol = f"Symbol = `{symbol}` && Timeframe = `{interval}`"
        names = ["Start = BarTime", f"Indicator = {feature}"]
        history = tables["indicator_history"].where(of_symbol).view(names)
        latest = tables["indicator_latest"].where([of_symbol, "!Final"]).view(names)
        values = merge([history, latest]).last_by("Start")
        rows = rows.natural_join(values, on="Start")
    # Drawn once a second, however often the bar changes.
    trigger = time_table(_DRAWN_EVERY)
    return rows.snapshot_when(trigger.view("Drawn = Timestamp").tail(1), initial=True)


def _chart(rows: Any, title: str, feature: str) -> Any:
    prices = dx.candlestick(
        rows,
        x="Start",
        open="Open",
        high="High",
        low="Low",
        close="Close",
        increasing_color_sequence=[UP],
        decreasing_color_sequence=[DOWN],
        # The times need no name, which would lie over the volume.
        xaxis_titles=[" "],
        unsafe_update_figure=_on_own_axes,
    )
    if feature != _NO_INDICATOR:
        line = dx.line(rows, x="Start", y="Indicator", labels={"Indicator": "Price", "Start": " "})
        prices = dx.layer(prices, line)
    volume = dx.bar(rows, x="Start", y="Volume", labels={"Start": " "})
    return dx.make_subplots(
        prices,
        volume,
        rows=2,
        shared_xaxes=True,
        row_heights=[0.75, 0.25],
        vertical_spacing=0.14,
        title=title,
        subplot_titles=False,
    )


def _on_own_axes(figure: Any) -> None:
    """Name the axes of candles, which subplots would otherwise draw on those of the volume."""
    figure.update_traces(xaxis="x", yaxis="y", showlegend=False)
