"""A report of a run: figures, tables, and a page with pictures.

report = Report.of(result.equity, fills=result.fills, prices=bars, title="SMA cross")
report.write("reports/sma")                  # report.html, report.json, *.parquet
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from trading.errors import MetricsError
from trading.metrics import (
    Curve,
    Drawdown,
    Prices,
    RoundTrip,
    drawdowns,
    equity_metrics,
    exposure,
    monthly_returns,
    round_trip_metrics,
    round_trips,
    round_trips_table,
)
from trading.metrics.curve import TIME_ZONE, Kind
from trading.metrics.figures import without_nan
from trading.metrics.records import fills_of
from trading.metrics.round_trips import Grouping
from trading.positions import Fill
from trading.reports.page import page
from trading.specification import InstrumentSpec

__all__ = ["Report"]


@dataclass(frozen=True)
class Report:
    """What a run came to; `Report.of` computes it.

    `exposure` has money and, where equity is money, shares of it. `by_strategy` and `by_symbol` are
    rows of `round_trip_metrics` with what they are of.
    """

    title: str
    run: str
    time_zone: str
    notes: tuple[str, ...]
    curve: Curve
    figures: dict[str, float]
    drawdowns: list[Drawdown]
    monthly: pd.DataFrame
    fills: list[Fill]
    prices: Prices | None
    trips: list[RoundTrip]
    grouping: str
    trip_figures: dict[str, float]
    by_strategy: list[dict[str, Any]]
    by_symbol: list[dict[str, Any]]
    exposure: pd.DataFrame | None

    @classmethod
    def of(
        cls,
        equity: Any,
        *,
        fills: Any = None,
        matches: Any = None,
        prices: Any = None,
        title: str = "Report",
        run: str = "",
        notes: Sequence[str] = (),
        kind: Kind | None = None,
        periods: float = 252,
        risk_free: float = 0.0,
        time_zone: str = TIME_ZONE,
        trials: int | Sequence[float] | None = None,
        grouping: Grouping | None = None,
        instruments: Mapping[str, InstrumentSpec] | None = None,
    ) -> Report:
        """Compute a report of equity with times and, where they are given, of fills or matches.

        The arguments are those of `equity_metrics`, `round_trips` and `exposure`. Trades come from
        the fills, from flat to flat unless `grouping` says otherwise; without fills from the
        matches, by the fill that closed them. `prices` (bars or ticks) give the trades' MAE and
        MFE, the value of what is held, and the charts of prices. `notes` are shown as they are.
        """
        curve = Curve.of(equity, kind=kind, time_zone=time_zone)
        if curve.days is None:
            raise MetricsError("a report needs times; give a column timestamp or date")
        given = [] if fills is None else fills_of(fills)
        known = None if prices is None else Prices.of(prices)
        by = grouping or ("flat" if given or matches is None else "reduced")
        records = given if given or matches is None else matches
        trips = (
            round_trips(records, by, prices=known, instruments=instruments) if len(records) else []
        )
        held = None
        if given:
            held = exposure(
                given, curve.days, prices=known, time_zone=time_zone, instruments=instruments
            )
            if curve.is_money:
                for name in ("long", "short", "gross", "net", "turnover"):
                    held[f"{name}_share"] = held[name] / curve.levels
        return cls(
            title,
            run,
            time_zone,
            tuple(notes),
            curve,
            equity_metrics(curve, periods=periods, risk_free=risk_free, trials=trials)
            | _held_figures(held, periods),
            drawdowns(curve),
            monthly_returns(curve),
            given,
            known,
            trips,
            by,
            round_trip_metrics(trips) if trips else {},
            _by(trips, lambda trip: trip.strategy, "strategy"),
            _by(trips, lambda trip: trip.symbol, "symbol"),
            held,
        )

    def html(self) -> str:
        """Return the page: one text without anything from elsewhere, for light and dark screens."""
        return page(self)

    def to_dict(self) -> dict[str, Any]:
        """Return figures and small tables as JSON has them: NaN and infinity are None."""
        days = self.curve.days
        assert days is not None
        found = {
            "title": self.title,
            "run": self.run,
            "time_zone": self.time_zone,
            "start": str(days[0]),
            "end": str(days[-1]),
            "notes": list(self.notes),
            "figures": self.figures,
            "grouping": self.grouping,
            "round_trips": self.trip_figures,
            "by_strategy": self.by_strategy,
            "by_symbol": self.by_symbol,
            "drawdowns": [
                {
                    "depth": each.depth,
                    "peak": str(each.peak_day),
                    "trough": str(each.trough_day),
                    "end": str(each.end_day),
                    "recovered": each.recovered,
                    "length": each.length,
                    "days": each.days,
                }
                for each in self.drawdowns
            ],
            "monthly": {
                str(year): {str(name): float(value) for name, value in row.items()}
                for year, row in self.monthly.iterrows()
            },
        }
        cleaned: dict[str, Any] = without_nan(found)
        return cleaned

    def tables(self) -> dict[str, pa.Table]:
        """Return the tables by name: equity, monthly, and with trades round_trips and exposure."""
        curve = self.curve
        found = {
            "equity": pa.table(
                {
                    "date": pa.array(curve.days),
                    "equity": curve.levels,
                    "return": pa.array([None, *curve.returns.tolist()], pa.float64()),
                    "drawdown": curve.drawdown,
                }
            ),
            "monthly": pa.table(
                {
                    "year": self.monthly.index.to_numpy(),
                    **{
                        "year_return" if name == "year" else f"month_{name}": pa.array(
                            column.to_numpy(), from_pandas=True
                        )
                        for name, column in self.monthly.items()
                    },
                }
            ),
        }
        if self.trips:
            found["round_trips"] = round_trips_table(self.trips)
        if self.exposure is not None:
            found["exposure"] = pa.Table.from_pandas(self.exposure, preserve_index=False)
        return found

    def write(self, folder: str | os.PathLike[str], *, overwrite: bool = False) -> list[Path]:
        """Write `report.html`, `report.json` and a Parquet file for each table into a folder.

        FileExistsError where one of them is there already, unless `overwrite`; then nothing is
        written.
        """
        into = Path(folder)
        contents = {
            "report.html": self.html().encode(),
            "report.json": (
                json.dumps(self.to_dict(), indent=2, ensure_ascii=False) + "\n"
            ).encode(),
        }
        for name, table in self.tables().items():
            sink = pa.BufferOutputStream()
            pq.write_table(table, sink)
            contents[f"{name}.parquet"] = sink.getvalue().to_pybytes()
        there = [name for name in contents if (into / name).exists()]
        if there and not overwrite:
            raise FileExistsError(
                f"{into} holds {', '.join(there)} already; choose another folder, or overwrite them"
            )
        into.mkdir(parents=True, exist_ok=True)
        for name, content in contents.items():
            # Whoever finds a file finds all of it.
            part = into / f".{name}.part"
            part.write_bytes(content)
            part.replace(into / name)
        return [into / name for name in contents]


def _held_figures(held: pd.DataFrame | None, periods: float) -> dict[str, float]:
    """Averages of exposure and turnover: shares of equity, turnover a year."""
    if held is None:
        return {}
    found = {"time_in_market": float((held["gross"] > 0).mean())}
    if "gross_share" in held.columns:
        found["average_gross_exposure"] = float(held["gross_share"].mean())
        found["average_net_exposure"] = float(held["net_share"].mean())
        found["max_gross_exposure"] = float(held["gross_share"].max())
        found["annual_turnover"] = float(held["turnover_share"].mean() * periods)
    return found


def _by(
    trips: Sequence[RoundTrip], key: Callable[[RoundTrip], str], name: str
) -> list[dict[str, Any]]:
    """The figures of each group of trips, the one that earned most first."""
    groups: dict[str, list[RoundTrip]] = {}
    for trip in trips:
        groups.setdefault(key(trip), []).append(trip)
    rows = [{name: value} | round_trip_metrics(group) for value, group in groups.items()]
    return sorted(rows, key=lambda row: -float(row["net_pnl"]))
