"""Splits and dividends as known at a time, and the adjusted view of ticks and bars.

    actions = corporate_actions(client, ["AAPL"])
    raw = ticks.read(["AAPL"], start, end)
    adjusted = ticks.read(["AAPL"], start, end, actions=actions)
    then = corporate_actions(client, ["AAPL"], known_at=datetime(2026, 2, 20, tzinfo=timezone.utc))

Raw prices are the record; nothing of it is rewritten. What traded before a split of 4 for 1 is
shown at a quarter of its price and four times its size. What traded before a dividend is shown at
`1 - cash / last price before it` of its price. Adjusted numbers are floats: for research, not for
orders.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from decimal import Decimal
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from store.client import StoreClient
from trading.errors import CorporateActionError
from trading.instruments import Dividend, Split
from trading.times import nanoseconds

__all__ = ["Action", "CorporateActions", "LastPrice", "corporate_actions"]

# When an action holds for ever, it holds then.
_EVER = datetime(9999, 1, 1, tzinfo=timezone.utc)
_BY_PRICE = ("price", "bid", "ask", "open", "high", "low", "close", "vwap")
_BY_SIZE = ("size", "bid_size", "ask_size", "volume")
# A day on which clocks are set back.
_LONGEST_DAY_NS = 25 * 3_600_000_000_000

LastPrice = Callable[[str, int], float | None]
"""The raw price of a symbol's last trade before a time in nanoseconds; None where none is known."""


class Action(NamedTuple):
    """One split or dividend of a symbol, from a time (nanoseconds since 1970 UTC) on.

    `new` shares are held for `old` ones; `cash` is paid for each share.
    """

    time: int
    new: int = 1
    old: int = 1
    cash: Decimal = Decimal(0)


@dataclass(frozen=True)
class CorporateActions:
    """What is known of the splits and dividends of symbols, each symbol's by time."""

    by_symbol: Mapping[str, tuple[Action, ...]]

    def adjust(self, table: pa.Table, last_price: LastPrice) -> pa.Table:
        """The adjusted view of a table of ticks or bars.

        Prices, sizes, volume, vwap and notional amount become floats; the other columns stay.
        `last_price` is asked for dividends. A bar of up to a day that an action falls into counts
        as after it; CorporateActionError for a longer one, and for a dividend without a price.
        """
        times, ends = _moments(table)
        names = table["symbol"].cast(pa.string()).combine_chunks().dictionary_encode()
        codes = np.asarray(names.indices)
        of_price, of_size = np.ones(len(table)), np.ones(len(table))
        for code, symbol in enumerate(names.dictionary.to_pylist()):
            rows = np.flatnonzero(codes == code)
            for action in self.by_symbol.get(symbol, ()):
                before = rows[times[rows] < action.time]
                if ends is not None:
                    before = _whole_before(symbol, action, before, times, ends)
                if len(before):
                    price, size = _factors(symbol, action, last_price)
                    of_price[before] *= price
                    of_size[before] *= size
        return _multiplied(table, of_price, of_size)


def corporate_actions(
    client: StoreClient,
    symbols: Iterable[str] | None = None,
    *,
    known_at: datetime | None = None,
    until: datetime | None = None,
    dividends: bool = True,
) -> CorporateActions:
    """Read the splits and dividends that the user may read, as they were known at a time.

    known_at: None is now. until: later ones are left out; None is `known_at`, so that an announced
    split changes nothing before it happens. dividends: False takes splits alone.
    """
    last = nanoseconds(until or known_at or datetime.now(timezone.utc))
    wanted = None if symbols is None else set(symbols)
    found: dict[str, list[Action]] = {}
    when: dict[str, Any] = {
        "limit": None,
        "tx_time": known_at,
        "valid_time": _EVER,
        "on_unreadable": "raise",
    }
    # What is deleted, or replaced by another event, does not hold for ever.
    items: list[Split | Dividend] = [*client.query(Split, **when)]
    if dividends:
        items += client.query(Dividend, **when)
    for item in items:
        action = _action(item)
        if action.time <= last and (wanted is None or item.symbol in wanted):
            found.setdefault(item.symbol, []).append(action)
    return CorporateActions({name: tuple(sorted(actions)) for name, actions in found.items()})


def _action(item: Split | Dividend) -> Action:
    if item.timestamp is None:
        raise CorporateActionError(
            f"the {type(item).__name__.lower()} of {item.symbol} has no timestamp; set the time "
            "from which on it counts"
        )
    time = nanoseconds(item.timestamp)
    if isinstance(item, Split):
        return Action(time, item.ratio_new, item.ratio_old)
    return Action(time, cash=item.cash_per_share)


def _factors(symbol: str, action: Action, last_price: LastPrice) -> tuple[float, float]:
    """By what prices and sizes before an action are multiplied."""
    if not action.cash:
        return action.old / action.new, action.new / action.old
    last = last_price(symbol, action.time)
    if last is None or last <= float(action.cash):
        seen = "no price before it is kept" if last is None else f"the last price was {last}"
        raise CorporateActionError(
            f"the dividend of {action.cash} of {symbol} at {_shown(action.time)} cannot be "
            f"applied: {seen}; keep the ticks before it, or read with dividends=False"
        )
    return 1.0 - float(action.cash) / last, 1.0


def _whole_before(
    symbol: str,
    action: Action,
    before: npt.NDArray[Any],
    times: npt.NDArray[np.int64],
    ends: npt.NDArray[np.int64],
) -> npt.NDArray[Any]:
    cut = before[ends[before] > action.time]
    long = cut[ends[cut] - times[cut] > _LONGEST_DAY_NS]
    if len(long):
        raise CorporateActionError(
            f"the bar of {symbol} from {_shown(int(times[long[0]]))} has prices from before and "
            f"after {_shown(action.time)}, when a corporate action took place; read days, and "
            "compose longer bars of the adjusted ones"
        )
    return np.asarray(before[ends[before] <= action.time])


def _moments(table: pa.Table) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64] | None]:
    def of(name: str) -> npt.NDArray[np.int64]:
        return np.asarray(table[name].cast(pa.timestamp("ns", "UTC")).cast(pa.int64()))

    if "timestamp" in table.column_names:
        return of("timestamp"), None
    return of("start"), of("end")


def _multiplied(
    table: pa.Table, of_price: npt.NDArray[np.float64], of_size: npt.NDArray[np.float64]
) -> pa.Table:
    factors = dict.fromkeys(_BY_PRICE, of_price) | dict.fromkeys(_BY_SIZE, of_size)
    factors["notional"] = of_price * of_size
    for place, name in enumerate(table.column_names):
        if name in factors:
            values = table[name].cast(pa.float64())
            table = table.set_column(place, name, pc.multiply(values, pa.array(factors[name])))
    return table


def _shown(time: int) -> str:
    return f"{np.datetime64(time, 'ns')}Z"
