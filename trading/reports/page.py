"""The page of a report: HTML with the pictures and tables, and nothing from elsewhere."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime, timezone
from html import escape
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd

from trading.metrics import Curve, Drawdown, Prices, RoundTrip
from trading.metrics.curve import days_in, instants
from trading.metrics.records import nanoseconds_of
from trading.positions import Fill
from trading.reports import pictures
from trading.reports.style import STYLE

__all__ = ["Contents", "page"]

Array = npt.NDArray[Any]

_CHARTS_MAX = 8
_TRADES_MAX = 200
_DRAWDOWNS_MAX = 5
_GROUPS_MAX = 30
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_RATIOS = (
    "sharpe",
    "sortino",
    "calmar",
    "omega",
    "profit_factor",
    "payoff_ratio",
    "skew",
    "kurtosis",
    "tail_ratio",
    "stability",
    "psr",
    "deflated_sharpe",
    "annual_turnover",
)
_WHOLE = (
    "observations",
    "max_drawdown_length",
    "max_drawdown_days",
    "longest_drawdown",
    "round_trips",
    "winners",
    "losers",
    "longest_winning_streak",
    "longest_losing_streak",
)
_MONEY = (
    "pnl_before_fees",
    "fees",
    "net_pnl",
    "expectancy",
    "average_win",
    "average_loss",
    "largest_win",
    "largest_loss",
    "average_mae",
    "average_mfe",
)
_TILES = ("total_return", "cagr", "volatility", "sharpe", "max_drawdown", "calmar")
_LABELS = {
    "cagr": "CAGR",
    "sharpe": "Sharpe ratio",
    "sortino": "Sortino ratio",
    "calmar": "Calmar ratio",
    "deflated_sharpe": "deflated Sharpe",
    "psr": "probabilistic Sharpe",
    "var_95": "VaR 95 %",
    "cvar_95": "CVaR 95 %",
    "pnl_before_fees": "P&L before fees",
    "net_pnl": "net P&L",
    "average_mae": "average MAE",
    "average_mfe": "average MFE",
    "average_duration_s": "average duration",
    "observations": "returns",
}
_GROUPINGS = {
    "flat": "from flat to flat",
    "reduced": "one for each fill that reduced a position",
    "fill": "one for each pair of fills",
}


class Contents(Protocol):
    """What a page shows; `Report` is one."""

    @property
    def title(self) -> str: ...  # noqa: D102
    @property
    def run(self) -> str: ...  # noqa: D102
    @property
    def time_zone(self) -> str: ...  # noqa: D102
    @property
    def notes(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def curve(self) -> Curve: ...  # noqa: D102
    @property
    def figures(self) -> dict[str, float]: ...  # noqa: D102
    @property
    def drawdowns(self) -> list[Drawdown]: ...  # noqa: D102
    @property
    def monthly(self) -> pd.DataFrame: ...  # noqa: D102
    @property
    def fills(self) -> list[Fill]: ...  # noqa: D102
    @property
    def prices(self) -> Prices | None: ...  # noqa: D102
    @property
    def trips(self) -> list[RoundTrip]: ...  # noqa: D102
    @property
    def grouping(self) -> str: ...  # noqa: D102
    @property
    def trip_figures(self) -> dict[str, float]: ...  # noqa: D102
    @property
    def by_strategy(self) -> list[dict[str, Any]]: ...  # noqa: D102
    @property
    def by_symbol(self) -> list[dict[str, Any]]: ...  # noqa: D102
    @property
    def exposure(self) -> pd.DataFrame | None: ...  # noqa: D102


def page(report: Contents) -> str:
    """Return the whole page."""
    sections = [
        _head(report),
        _section(
            "Equity", pictures.lines("Equity", _days(report), {"equity": report.curve.levels})
        ),
        _drawdown(report),
        _section("Returns by month", _heat_map(report.monthly)),
        _section("Figures", _definitions(report.figures)),
        *_exposure(report),
        *_trades_on_prices(report),
        *_trades(report),
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>{escape(report.title)}</title><style>{STYLE}</style></head>\n"
        f"<body><main>{''.join(sections)}</main></body></html>\n"
    )


def _days(report: Contents) -> Array:
    return np.asarray(report.curve.days, dtype="datetime64[D]")


def _section(title: str, *parts: str) -> str:
    return f"<section><h2>{escape(title)}</h2>{''.join(parts)}</section>\n"


def _head(report: Contents) -> str:
    days = _days(report)
    run = f" · run {escape(report.run)}" if report.run else ""
    tiles = "".join(
        f"<div><span>{escape(_label(name))}</span><b>{_text(name, report.figures[name])}</b></div>"
        for name in _TILES
    )
    notes = "".join(f"<p class=note>{escape(note)}</p>" for note in report.notes)
    deflated = report.figures.get("deflated_sharpe")
    if deflated is not None and not deflated >= 0.95:
        notes += (
            f"<p class=note>Deflated Sharpe ratio {_text('deflated_sharpe', deflated)}: the best "
            "of so many trials reaches this Sharpe ratio by luck too often to be believed (below "
            "0.95).</p>"
        )
    return (
        f"<header><h1>{escape(report.title)}</h1><p>{days[0]} to {days[-1]}, days of "
        f"{escape(report.time_zone)}{run}</p><div class=tiles>{tiles}</div>{notes}</header>\n"
    )


def _drawdown(report: Contents) -> str:
    chart = pictures.area("Drawdown", _days(report), report.curve.drawdown * 100, unit=" %")
    rows = [
        [
            _percent(each.depth),
            str(each.peak_day),
            str(each.trough_day),
            str(each.end_day) if each.recovered else "not yet",
            f"{each.days:,}",
        ]
        for each in report.drawdowns[:_DRAWDOWNS_MAX]
    ]
    names = ["depth", "peak", "trough", "recovered", "days"]
    return _section("Drawdown", chart, _table(names, rows) if rows else "<p>There was none.</p>")


# --- returns by month -----------------------------------------------------------------------------


def _heat_map(monthly: pd.DataFrame) -> str:
    """A table whose cells are the greener the more was gained, the redder the more was lost."""
    months = monthly.drop(columns="year").to_numpy(dtype=np.float64)
    most = float(np.nanmax(np.abs(months))) or 1.0
    head = "".join(f"<th>{name}</th>" for name in ["", *_MONTHS, "year"])
    rows = []
    for year, row in monthly.iterrows():
        cells = "".join(_cell(float(row[month]), most) for month in range(1, 13))
        rows.append(
            f"<tr><th>{year}</th>{cells}<td><b>{_percent(float(row['year']), 1)}</b></td></tr>"
        )
    return (
        f"<div class=scroll><table class=heat><thead><tr>{head}</tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _cell(value: float, most: float) -> str:
    if math.isnan(value):
        return "<td></td>"
    strength = round(70 * min(1.0, abs(value) / most))
    color = "good" if value >= 0 else "bad"
    shade = f"color-mix(in srgb, var(--{color}) {strength}%, transparent)"
    return f'<td style="background:{shade}">{_percent(value, 1)}</td>'


# --- exposure, trades -----------------------------------------------------------------------------


def _exposure(report: Contents) -> list[str]:
    held = report.exposure
    if held is None:
        return []
    days, share = _days(report), "gross_share" in held.columns
    ending, unit, factor = ("_share", " %", 100.0) if share else ("", "", 1.0)
    series = {
        name: held[f"{name}{ending}"].to_numpy() * factor for name in ("gross", "net", "short")
    }
    if not held["short"].any():
        # Without short positions gross and net are one line.
        series = {"held": series["gross"]}
    of = " in per cent of equity" if share else " in money"
    turnover = held[f"turnover{ending}"].to_numpy() * factor
    return [
        _section(
            "Exposure",
            f"<p>At the end of each day,{of}.</p>",
            pictures.lines("Exposure", days, series, unit=unit),
        ),
        _section(
            "Turnover",
            f"<p>Bought and sold each day,{of}.</p>",
            pictures.bars("Turnover", days, turnover, unit=unit),
        ),
    ]


def _trades_on_prices(report: Contents) -> list[str]:
    """A chart for each of the symbols that were traded most."""
    traded: dict[str, float] = {}
    for fill in report.fills:
        value = abs(float(fill.quantity) * float(fill.price))
        traded[fill.symbol] = traded.get(fill.symbol, 0.0) + value
    shown = sorted(traded, key=lambda symbol: -traded[symbol])[:_CHARTS_MAX]
    if not shown:
        return []
    parts = []
    for symbol in shown:
        path = None if report.prices is None else report.prices.path(symbol)
        own = [fill for fill in report.fills if fill.symbol == symbol]
        times = np.array([] if path is None else path.end, dtype="datetime64[ns]")
        last = np.array([] if path is None else path.last, dtype=np.float64)
        buys, sells = (_marks(own, side) for side in ("BUY", "SELL"))
        parts.append(f"<h3>{escape(symbol)}</h3>")
        parts.append(pictures.marks(f"Trades in {symbol}", times, last, buys, sells))
    more = len(traded) - len(shown)
    if more:
        parts.append(f"<p>{more} more symbols were traded less.</p>")
    return [_section("Trades on the price", *parts)]


def _marks(fills: Sequence[Fill], side: str) -> tuple[Array, Array]:
    own = [fill for fill in fills if fill.side == side]
    times = nanoseconds_of([fill.timestamp for fill in own]).astype("datetime64[ns]")
    return times, np.array([float(fill.price) for fill in own])


def _trades(report: Contents) -> list[str]:
    if not report.trips:
        return []
    sections = [
        _section(
            "Trades", f"<p>{_GROUPINGS[report.grouping]}</p>", _definitions(report.trip_figures)
        )
    ]
    for name, rows in (("strategy", report.by_strategy), ("symbol", report.by_symbol)):
        if len(rows) > 1 or rows[0][name]:
            chart = _earned(report, name, rows)
            sections.append(_section(f"By {name}", chart, _groups(name, rows)))
    sections.append(_section("List of trades", _list(report)))
    return sections


def _earned(report: Contents, name: str, rows: list[dict[str, Any]]) -> str:
    """Net P&L of the groups that earned and lost most, as their trades were closed."""
    most = len(pictures.SERIES)
    names = [row[name] for row in rows]
    if len(names) > most:
        names = names[: most // 2] + names[-(most - most // 2) :]
    days = _days(report)
    series = {}
    for group in names:
        own = [trip for trip in report.trips if getattr(trip, name) == group]
        closed = days_in(instants([trip.exit_time for trip in own]), report.time_zone)
        totals = np.concatenate([[0.0], np.cumsum([float(trip.net_pnl) for trip in own])])
        series[group or "none"] = totals[np.searchsorted(closed, days, side="right")]
    return pictures.lines(f"Net P&L by {name}", days, series)


def _groups(name: str, rows: list[dict[str, Any]]) -> str:
    shown = ("net_pnl", "fees", "round_trips", "hit_rate", "profit_factor", "expectancy")
    cells = [
        [escape(str(row[name]) or "none"), *(_text(each, row[each]) for each in shown)]
        for row in rows[:_GROUPS_MAX]
    ]
    more = len(rows) - len(cells)
    note = f"<p>{more} more are in report.json.</p>" if more > 0 else ""
    return _table([name, *(_label(each) for each in shown)], cells) + note


def _list(report: Contents) -> str:
    rows = [
        [
            escape(trip.symbol),
            escape(trip.strategy),
            trip.side.lower(),
            f"{trip.quantity:,.10g}",
            _moment(trip.entry_time),
            _moment(trip.exit_time),
            f"{trip.entry_price:,.6g}",
            f"{trip.exit_price:,.6g}",
            f"{trip.net_pnl:,.2f}",
            _percent(trip.net_return, 2),
            "" if trip.mae is None else f"{trip.mae:,.2f}",
            "" if trip.mfe is None else f"{trip.mfe:,.2f}",
        ]
        for trip in report.trips[-_TRADES_MAX:]
    ]
    names = ["symbol", "strategy", "side", "quantity", "entry (UTC)", "exit (UTC)"]
    names += ["at", "out at", "net P&L", "return", "MAE", "MFE"]
    more = len(report.trips) - len(rows)
    note = f"<p>The last {len(rows)}; all are in round_trips.parquet.</p>" if more > 0 else ""
    return note + _table(names, rows)


# --- text -----------------------------------------------------------------------------------------


def _definitions(figures: dict[str, float]) -> str:
    items = "".join(
        f"<div><dt>{escape(_label(name))}</dt><dd>{_text(name, value)}</dd></div>"
        for name, value in figures.items()
    )
    return f"<dl>{items}</dl>"


def _table(names: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in names)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    return f"<div class=scroll>{table}</div>"


def _label(name: str) -> str:
    return _LABELS.get(name, name.replace("_", " "))


def _text(name: str, value: float) -> str:
    if math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if name in _WHOLE:
        return f"{value:,.0f}"
    if name in _RATIOS:
        return f"{value:,.2f}" if name not in ("psr", "deflated_sharpe") else f"{value:,.3f}"
    if name in _MONEY:
        return f"{value:,.2f}"
    if name == "average_duration_s":
        return _duration(value)
    return _percent(value, 2)


def _percent(value: float, digits: int = 2) -> str:
    return "–" if math.isnan(value) else f"{value * 100:,.{digits}f} %"


def _duration(seconds: float) -> str:
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:,.1f} {unit}"
    return f"{seconds:,.1f} s"


def _moment(time: int) -> str:
    return datetime.fromtimestamp(time // 10**9, timezone.utc).strftime("%Y-%m-%d %H:%M")
