"""A set of indicators for each symbol and timeframe, kept up to date from finished bars.

indicators = IndicatorSet({"ema_20": EMA(20), "macd": MACD()}, version="2024-03")
builder = BarBuilder("1m")
rows = indicators.push("1m", builder.push(ticks))     # rows of `indicator_history`
indicators.latest()                                   # `indicator_latest`
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from trading.bars.columns import instant_ns, nanoseconds
from trading.errors import IndicatorError
from trading.indicators.base import Indicator

_TIME = pa.timestamp("ns", tz="UTC")
# A bar without a trade has no new price; the next bar with one goes on from the last.
_WITHOUT_TRADES = ("empty", "missing")
_NEEDED = ("symbol", "start", "end", "state")


class _Series:
    """The indicators of one symbol and timeframe, after the last final bar."""

    __slots__ = ("bar_ts", "features", "indicators", "state")

    def __init__(self, indicators: dict[str, Indicator]) -> None:
        self.indicators = indicators
        self.bar_ts: int | None = None
        self.features: dict[str, float | None] = {}
        # The indicators as bytes, which are quicker to copy; made when they are asked for.
        self.state: bytes | None = None

    def update(self, row: dict[str, Any]) -> None:
        """Take a final bar."""
        self.features = _updated(self.indicators, row)
        self.state = None

    def preview(self, row: dict[str, Any]) -> dict[str, float | None]:
        """Return the features after a bar that is not final; nothing is changed."""
        if self.state is None:
            self.state = pickle.dumps(self.indicators, pickle.HIGHEST_PROTOCOL)
        return _updated(pickle.loads(self.state), row)


class IndicatorSet:
    """Computes named indicators, bar by bar, for any number of symbols and timeframes.

    indicators: an unused indicator for each name; an indicator of several outputs makes a column
    for each, `name_output`. version: says which set of definitions made a row.

    The tables have symbol, timeframe, bar_ts (the bar's start), final, a column for each feature
    (null while the indicator is not ready), calc_ts and indicator_version.
    """

    def __init__(self, indicators: Mapping[str, Indicator], version: str = "1") -> None:
        if not indicators:
            raise IndicatorError("a set needs at least one indicator, as {'ema_20': EMA(20)}")
        for name, indicator in indicators.items():
            if not isinstance(indicator, Indicator):
                raise IndicatorError(f"{name!r} is {indicator!r}; it must be an indicator")
            if not name.isidentifier():
                raise IndicatorError(f"{name!r} is no name of a column; use letters, digits and _")
        # The state as bytes is quicker to copy than the objects.
        self._fresh = pickle.dumps(dict(indicators))
        self.version = version
        self.inputs = sorted({name for each in indicators.values() for name in each.inputs})
        self.features = [
            column for name, indicator in indicators.items() for column in _columns(name, indicator)
        ]
        reserved = {"symbol", "timeframe", "bar_ts", "final", "calc_ts", "indicator_version"}
        taken = [name for name in self.features if name in reserved]
        if taken or len(set(self.features)) != len(self.features):
            raise IndicatorError(
                f"the columns {', '.join(self.features)} must differ from each other and from "
                f"{', '.join(sorted(reserved))}"
            )
        self._schema = pa.schema(
            [
                ("symbol", pa.string()),
                ("timeframe", pa.string()),
                ("bar_ts", _TIME),
                ("final", pa.bool_()),
                *((name, pa.float64()) for name in self.features),
                ("calc_ts", _TIME),
                ("indicator_version", pa.string()),
            ]
        )
        self._series: dict[tuple[str, str], _Series] = {}
        self._latest: dict[tuple[str, str], dict[str, Any]] = {}

    def push(self, timeframe: str, bars: pa.Table, *, now: Any = None) -> pa.Table:
        """Take bars that became final, in order of time for each symbol; returns history rows.

        Bars without a trade repeat the features before them. Revisions of bars that are past give
        no row: what was computed then stays what was known then. now: the time of the calculation
        (None: each bar's end). IndicatorError for a bar that comes before one that was taken, and
        nothing of the table is taken then.
        """
        rows = list(self._read(bars, timeframe))
        self._check_order(timeframe, rows)
        moment = None if now is None else instant_ns(now)
        history = []
        for row in rows:
            if row["state"] in ("working", "revised"):
                continue
            series = self._of(row["symbol"], timeframe)
            if row["state"] not in _WITHOUT_TRADES:
                series.update(row)
            elif not series.features:
                series.features = dict.fromkeys(self.features)
            series.bar_ts = row["start"]
            history.append(self._row(timeframe, row, series.features, moment, final=True))
        for made in history:
            self._latest[made["symbol"], timeframe] = made
        return self._table(history)

    def preview(self, timeframe: str, working: pa.Table, *, now: Any = None) -> pa.Table:
        """What the features would be if the working bars ended now: rows with `final` false.

        They become the latest ones; the indicators themselves stay as they are.
        """
        moment = None if now is None else instant_ns(now)
        rows = []
        for row in self._read(working, timeframe):
            if row["state"] != "working" or row["close"] is None:
                continue
            series = self._of(row["symbol"], timeframe)
            if series.bar_ts is not None and row["start"] <= series.bar_ts:
                continue
            features = series.preview(row)
            made = self._row(timeframe, row, features, moment, final=False)
            self._latest[row["symbol"], timeframe] = made
            rows.append(made)
        return self._table(rows)

    def latest(self) -> pa.Table:
        """`indicator_latest`: one row for each symbol and timeframe."""
        return self._table([self._latest[key] for key in sorted(self._latest)])

    def _of(self, symbol: str, timeframe: str) -> _Series:
        series = self._series.get((symbol, timeframe))
        if series is None:
            series = self._series[symbol, timeframe] = _Series(pickle.loads(self._fresh))
        return series

    def _read(self, bars: pa.Table, timeframe: str) -> Iterator[dict[str, Any]]:
        names = [*_NEEDED, *(name for name in self.inputs if name not in _NEEDED)]
        missing = [name for name in names if name not in bars.column_names]
        if missing:
            raise IndicatorError(
                f"the indicators of {timeframe} need the columns {', '.join(names)}; "
                f"{', '.join(missing)} is missing"
            )
        columns: dict[str, list[Any]] = {}
        for name in ["close", *names] if "close" in bars.column_names else names:
            column = bars[name]
            if name in ("start", "end"):
                columns[name] = nanoseconds(column)
                continue
            if name not in ("symbol", "state") and column.type != pa.float64():
                column = column.cast(pa.float64())
            columns[name] = column.to_pylist()
        for values in zip(*columns.values(), strict=True):
            yield dict(zip(columns, values, strict=True))

    def _check_order(self, timeframe: str, rows: list[dict[str, Any]]) -> None:
        last: dict[str, int] = {}
        for row in rows:
            if row["state"] in ("working", "revised"):
                continue
            symbol = row["symbol"]
            before = last.get(symbol)
            if before is None:
                series = self._series.get((symbol, timeframe))
                before = None if series is None else series.bar_ts
            if before is not None and row["start"] <= before:
                raise IndicatorError(
                    f"the {timeframe} bar of {symbol!r} from {_text(row['start'])} comes after the "
                    f"one from {_text(before)}; push each final bar once, in order of time"
                )
            last[symbol] = row["start"]

    def _row(
        self,
        timeframe: str,
        bar: dict[str, Any],
        features: dict[str, float | None],
        moment: int | None,
        *,
        final: bool,
    ) -> dict[str, Any]:
        return {
            "symbol": bar["symbol"],
            "timeframe": timeframe,
            "bar_ts": bar["start"],
            "final": final,
            **features,
            "calc_ts": bar["end"] if moment is None else moment,
            "indicator_version": self.version,
        }

    def _table(self, rows: list[dict[str, Any]]) -> pa.Table:
        arrays = [pa.array([row[f.name] for row in rows], f.type) for f in self._schema]
        return pa.Table.from_arrays(arrays, schema=self._schema)


def _columns(name: str, indicator: Indicator) -> list[str]:
    return [f"{name}_{output}" for output in indicator.outputs] or [name]


def _updated(indicators: dict[str, Indicator], row: dict[str, Any]) -> dict[str, float | None]:
    """The features after this bar; the indicators are updated."""
    features: dict[str, float | None] = {}
    for name, indicator in indicators.items():
        value = indicator.update(*(row[field] for field in indicator.inputs))
        columns = _columns(name, indicator)
        if value is None:
            features.update(dict.fromkeys(columns))
        elif indicator.outputs:
            features.update(zip(columns, value, strict=True))
        else:
            features[name] = value
    return features


def _text(moment: int) -> str:
    return f"{np.datetime64(moment, 'ns')}Z"
