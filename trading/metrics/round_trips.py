"""Round trips: trades counted in three ways, with how far they went against and for their owner.

trips = round_trips(result.fills, "flat", prices=bars)
trips[0].net_pnl, trips[0].mae, trips[0].mfe
round_trip_metrics(trips)["profit_factor"]
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import groupby
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from trading.errors import MetricsError, shown
from trading.metrics.figures import quotient
from trading.metrics.prices import Path, Prices
from trading.metrics.records import fills_of, is_matches, matches_of
from trading.positions import Fill, LotBook, TradeMatch
from trading.positions.lots import Method
from trading.specification import InstrumentSpec

__all__ = ["GROUPINGS", "RoundTrip", "round_trip_metrics", "round_trips", "round_trips_table"]

Grouping = Literal["fill", "reduced", "flat"]
GROUPINGS = ("fill", "reduced", "flat")

Instruments = Mapping[str, InstrumentSpec]


@dataclass(frozen=True)
class RoundTrip:
    """What was bought and sold, or sold and bought back, as one trade.

    `pnl` is before `fees`; prices are averages by quantity; times are nanoseconds since 1970. `mae`
    and `mfe` are the worst (<= 0) and the best (>= 0) P&L before fees, in money, that the trade
    showed while it was open; None where no prices of the symbol are known.
    """

    account: str
    strategy: str
    symbol: str
    currency: str
    side: str
    quantity: Decimal
    entry_time: int
    exit_time: int
    entry_price: Decimal
    exit_price: Decimal
    entry_value: Decimal
    pnl: Decimal
    fees: Decimal
    matches: tuple[TradeMatch, ...]
    mae: float | None = None
    mfe: float | None = None

    @property
    def net_pnl(self) -> Decimal:
        """P&L after fees."""
        return self.pnl - self.fees

    @property
    def net_return(self) -> float:
        """P&L after fees as a share of what was paid or received at the entry."""
        return quotient(float(self.net_pnl), float(self.entry_value))

    @property
    def duration_s(self) -> float:
        """Seconds from the first entry to the last exit."""
        return (self.exit_time - self.entry_time) / 1e9


def round_trips(
    fills_or_matches: Any,
    grouping: Grouping = "flat",
    *,
    prices: Any = None,
    instruments: Instruments | None = None,
    method: Method = "FIFO",
    partial_bars: bool = False,
) -> list[RoundTrip]:
    """Return the closed round trips in order of their exits.

    `grouping` says what one trade is. `fill`: each piece of a fill that closed a piece of another.
    `reduced`: each fill that reduced a position, with all that it closed. `flat`: from flat to flat
    again, or to the other side; this needs fills, since matches do not tell what is still open.
    `fills_of` and `matches_of` say which columns a frame has.

    With `prices` (bars or ticks, see `Prices`) trips have `mae` and `mfe`. Only bars that lie
    wholly between two fills count, and the fills' own prices; with `partial_bars` also those that a
    fill lies in, whose extremes may be from before the entry or after the exit.
    """
    if grouping not in GROUPINGS:
        raise MetricsError(f"grouping {shown(grouping)} is none of: {', '.join(GROUPINGS)}")
    if is_matches(fills_or_matches):
        if grouping == "flat":
            raise MetricsError(
                "trades from flat to flat need fills: matches do not tell what is still open; give "
                'fills, or ask for grouping="reduced"'
            )
        groups = _groups_of_matches(matches_of(fills_or_matches), grouping)
    else:
        book = LotBook(method, instruments=instruments)
        groups = _groups_of_fills(book, fills_of(fills_or_matches), grouping)
    known = None if prices is None else Prices.of(prices)
    return [_trip(group, known, instruments or {}, partial_bars) for group in groups]


# --- grouping -------------------------------------------------------------------------------------


def _groups_of_fills(
    book: LotBook, fills: Iterable[Fill], grouping: Grouping
) -> list[list[TradeMatch]]:
    groups: list[list[TradeMatch]] = []
    held: dict[tuple[str, str, str], tuple[Decimal, list[TradeMatch]]] = {}
    seen: set[tuple[str, str]] = set()
    for fill in fills:
        matches = book.apply(fill)
        if grouping == "fill":
            groups.extend([match] for match in matches)
        elif grouping == "reduced":
            if matches:
                groups.append(matches)
        elif (fill.account, fill.fill_id) not in seen:
            seen.add((fill.account, fill.fill_id))
            key = (fill.account, fill.strategy, fill.symbol)
            before, pieces = held.get(key, (Decimal(0), []))
            after = before + (fill.quantity if fill.side == "BUY" else -fill.quantity)
            pieces.extend(matches)
            if before * after <= 0 and pieces:
                groups.append(pieces)
                pieces = []
            held[key] = (after, pieces)
    return groups


def _groups_of_matches(matches: Sequence[TradeMatch], grouping: Grouping) -> list[list[TradeMatch]]:
    if grouping == "fill":
        return [[match] for match in matches]
    return [list(group) for _close, group in groupby(matches, _closing)]


def _closing(match: TradeMatch) -> tuple[str, ...]:
    """What closed a piece: by its fill, or where that is not known by its order and time."""
    long = match.side == "LONG"
    fill = match.sell_fill_id if long else match.buy_fill_id
    order = match.sell_order_id if long else match.buy_order_id
    by = (fill,) if fill else (order, str(match.timestamp))
    return (match.account, match.strategy, match.symbol, match.side, *by)


def _trip(
    matches: list[TradeMatch], prices: Prices | None, instruments: Instruments, partial: bool
) -> RoundTrip:
    first = matches[0]
    long = first.side == "LONG"
    spec = instruments.get(first.symbol)
    multiplier = (
        Decimal(1) if spec is None else Decimal(spec.multiplier).scaleb(-spec.multiplier_decimals)
    )
    quantity = sum((match.quantity for match in matches), Decimal(0))
    bought = sum((match.quantity * match.buy_price for match in matches), Decimal(0))
    sold = sum((match.quantity * match.sell_price for match in matches), Decimal(0))
    entry, leaving = (bought, sold) if long else (sold, bought)
    path = None if prices is None else prices.path(first.symbol)
    mae, mfe = (
        (None, None) if path is None else _excursion(matches, path, float(multiplier), partial)
    )
    return RoundTrip(
        first.account,
        first.strategy,
        first.symbol,
        first.currency,
        first.side,
        quantity,
        min(match.opened_at for match in matches),
        max(match.timestamp for match in matches),
        entry / quantity,
        leaving / quantity,
        entry * multiplier,
        sum((match.realized_pnl for match in matches), Decimal(0)),
        sum((match.fees for match in matches), Decimal(0)),
        tuple(matches),
        mae,
        mfe,
    )


# --- excursions -----------------------------------------------------------------------------------


def _excursion(
    matches: list[TradeMatch], path: Path, multiplier: float, partial: bool
) -> tuple[float, float]:
    """The least and the greatest P&L before fees between the first entry and the last exit.

    Between two fills the P&L is a straight line of the price, so its extremes lie at the lowest and
    the highest price of that stretch.
    """
    sign = 1.0 if matches[0].side == "LONG" else -1.0
    events: dict[int, list[tuple[float, float, float]]] = {}
    for match in matches:
        quantity = float(match.quantity)
        buy, sell = float(match.buy_price), float(match.sell_price)
        entry, leaving = (buy, sell) if sign > 0 else (sell, buy)
        events.setdefault(match.opened_at, []).append((quantity, -sign * quantity * entry, entry))
        events.setdefault(match.timestamp, []).append(
            (-quantity, sign * quantity * leaving, leaving)
        )
    times = sorted(events)
    worst = best = held = money = 0.0
    for begin, stop in zip(times, [*times[1:], times[-1]], strict=True):
        for quantity, cash, _price in events[begin]:
            held += quantity
            money += cash
        rows = path.within(begin, stop, partial=partial)
        seen = [price for time in (begin, stop) for _quantity, _cash, price in events[time]]
        if rows.stop > rows.start:
            seen += [float(path.low[rows].min()), float(path.high[rows].max())]
        results = [sign * held * price + money for price in seen]
        worst, best = min(worst, *results), max(best, *results)
    return worst * multiplier, best * multiplier


# --- figures --------------------------------------------------------------------------------------


def round_trip_metrics(trips: Sequence[RoundTrip]) -> dict[str, float]:
    """Return the figures of round trips; money after fees unless the name says otherwise.

    `hit_rate` is the share of winners among all, `expectancy` the mean P&L, streaks are in order of
    exits. Figures without a trip are NaN. Trips in several currencies are a MetricsError.
    """
    currencies = sorted({trip.currency for trip in trips})
    if len(currencies) > 1:
        raise MetricsError(
            f"these trips are in {', '.join(currencies)}, which cannot be added; give those of one "
            "currency"
        )
    net = [trip.net_pnl for trip in trips]
    wins, losses = [pnl for pnl in net if pnl > 0], [pnl for pnl in net if pnl < 0]
    average_win, average_loss = _mean(wins), _mean(losses)
    excursions = [(trip.mae, trip.mfe) for trip in trips if trip.mae is not None]
    return {
        "round_trips": len(trips),
        "winners": len(wins),
        "losers": len(losses),
        "hit_rate": quotient(len(wins), len(trips)),
        "pnl_before_fees": float(sum(trip.pnl for trip in trips)),
        "fees": float(sum(trip.fees for trip in trips)),
        "net_pnl": float(sum(net)),
        "expectancy": _mean(net),
        "profit_factor": quotient(float(sum(wins)), -float(sum(losses))),
        "average_win": average_win,
        "average_loss": average_loss,
        "payoff_ratio": average_win / -average_loss,
        "largest_win": float(max(wins, default=math.nan)),
        "largest_loss": float(min(losses, default=math.nan)),
        "longest_winning_streak": _streak(pnl > 0 for pnl in net),
        "longest_losing_streak": _streak(pnl < 0 for pnl in net),
        "average_duration_s": _mean([trip.duration_s for trip in trips]),
        "average_mae": _mean([mae for mae, _mfe in excursions]),
        "average_mfe": _mean([mfe for _mae, mfe in excursions]),
    }


def _mean(values: Sequence[Any]) -> float:
    return float(sum(values) / len(values)) if values else math.nan


def _streak(flags: Iterable[bool]) -> int:
    return max((sum(1 for _ in run) for flag, run in groupby(flags) if flag), default=0)


def round_trips_table(trips: Sequence[RoundTrip]) -> pa.Table:
    """Return round trips as an Arrow table: times in UTC, money and prices as floats."""
    names = ("account", "strategy", "symbol", "currency", "side")
    columns: dict[str, Any] = {
        name: pa.array([getattr(trip, name) for trip in trips], pa.string()) for name in names
    }
    for name in ("entry_time", "exit_time"):
        times = np.array([getattr(trip, name) for trip in trips], dtype="datetime64[ns]")
        columns[name] = pa.array(times, pa.timestamp("ns", "UTC"))
    for name in (
        "quantity",
        "entry_price",
        "exit_price",
        "entry_value",
        "pnl",
        "fees",
        "net_pnl",
        "net_return",
        "duration_s",
        "mae",
        "mfe",
    ):
        values = [getattr(trip, name) for trip in trips]
        columns[name] = pa.array(
            [None if value is None else float(value) for value in values], pa.float64()
        )
    return pa.table(columns)
