"""Market data of symbols whose ticks the user may read."""

from __future__ import annotations

import time
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from pydantic import AfterValidator

from trading.api.current import CurrentPool, parts_of
from trading.api.market_hub import bar_rows, instant_text
from trading.api.problems import Problem, unknown_symbol, unreadable_symbols
from trading.api.record_views import time_text
from trading.api.routes.filters import PastTime, Time
from trading.api.schemas import Page, clean_text
from trading.api.sessions import UserPool
from trading.bars import parse_interval
from trading.bars.calendar import calendar_for
from trading.ticks.bar_store import BarRecipe

router = APIRouter(tags=["market"])

SymbolPath = Annotated[str, Path(max_length=64), AfterValidator(clean_text)]
SymbolQuery = Annotated[str, Query(max_length=64), AfterValidator(clean_text)]
Timeframe = Annotated[str, Query(max_length=20, examples=["1m"]), AfterValidator(clean_text)]
_BARS_MAX = 5_000
_FIRST_PIECES = 3
_SHOWN_MAX = 50


def _refuse_unreadable(pool: UserPool, symbol: str) -> None:
    if symbol not in pool.readable_symbols():
        raise unreadable_symbols([symbol], pool.readable_symbols())


@router.get("/instruments", response_model=Page)
def list_instruments(request: Request, pool: CurrentPool) -> dict[str, Any]:
    """What is traded, of symbols whose ticks the user may read."""
    parts = parts_of(request)
    frames = list(parts.settings.timeframes)
    items = [
        {**each, "timeframes": frames} for each in parts.instruments.shown(pool.readable_symbols())
    ]
    return {"items": items, "next_cursor": None}


@router.get("/prices", response_model=Page)
def list_prices(request: Request, pool: CurrentPool) -> dict[str, Any]:
    """The last price and quote of each symbol."""
    market, readable = parts_of(request).market, pool.readable_symbols()
    found = [market.get("prices", symbol) for symbol in sorted(readable)]
    return {"items": [each for each in found if each is not None], "next_cursor": None}


@router.get("/prices/{symbol}")
def show_price(request: Request, pool: CurrentPool, symbol: SymbolPath) -> dict[str, Any]:
    """The last price and quote of a symbol."""
    return _value(request, pool, "prices", symbol)


@router.get("/depth/{symbol}")
def show_depth(request: Request, pool: CurrentPool, symbol: SymbolPath) -> dict[str, Any]:
    """The newest order book of a symbol."""
    return _value(request, pool, "depth", symbol)


@router.get("/options", response_model=Page)
def list_options(request: Request, pool: CurrentPool) -> dict[str, Any]:
    """The underlyings of options, of symbols whose ticks the user may read, with the expiries."""
    market = parts_of(request).market
    found = [market.get("options", symbol) for symbol in sorted(pool.readable_symbols())]
    items = [
        {
            "underlying": each["underlying"],
            "expiries": [part["expiry"] for part in each["expiries"]],
        }
        for each in found
        if each is not None
    ]
    return {"items": items, "next_cursor": None}


@router.get("/options/{underlying}")
def show_options(
    request: Request,
    pool: CurrentPool,
    underlying: Annotated[str, Path(max_length=64, examples=["AAPL"]), AfterValidator(clean_text)],
) -> dict[str, Any]:
    """The option ladder of an underlying: by expiry and strike, call and put side by side.

    `implied_vol` is a fraction a year, `vega` and `rho` are per one percent, `theta` per day. A
    figure that the model does not give is null, and `note` says why.
    """
    return _value(request, pool, "options", underlying)


def _value(request: Request, pool: UserPool, topic: str, symbol: str) -> dict[str, Any]:
    _refuse_unreadable(pool, symbol)
    market = parts_of(request).market
    found = market.get(topic, symbol)
    if found is None:
        others = [each for each in sorted(pool.readable_symbols()) if market.get(topic, each)]
        hint = f"there are those of {', '.join(others[:_SHOWN_MAX])}" if others else "ask again"
        raise Problem(404, "NOTHING_YET", f"no {topic} of {symbol} have come yet; {hint}")
    return found


@router.get("/bars")
def list_bars(
    request: Request,
    pool: CurrentPool,
    symbol: SymbolQuery,
    timeframe: Timeframe = "1m",
    start: Time = None,
    end: Time = None,
    known_at: PastTime = None,
    limit: Annotated[int, Query(ge=1, le=_BARS_MAX)] = 500,
) -> dict[str, Any]:
    """The newest final bars of a range, the oldest first; without `end` and `known_at` the working
    one too. With `known_at`, each bar as it was known then.
    """
    _refuse_unreadable(pool, symbol)
    items = kept_bars(request, pool, symbol, timeframe, start, end, known_at, limit)
    if end is None and known_at is None:
        live = parts_of(request).market.get("bars", symbol, timeframe)
        if live is not None:
            bar = live["data"]
            items = [each for each in items if each["start"] < bar["start"]]
            items = [*items, bar][-limit:]
    if not items:
        _refuse_other_timeframes(request, timeframe)
    return {"symbol": symbol, "timeframe": timeframe, "items": items}


def _refuse_other_timeframes(request: Request, timeframe: str) -> None:
    """Problem for bars of a length that the desk does not keep: there will never be any."""
    kept = parts_of(request).settings.timeframes
    if kept and timeframe not in kept:
        raise Problem(
            404,
            "UNKNOWN_TIMEFRAME",
            f"no bars of {timeframe!r:.20} are kept; there are those of {', '.join(kept)}",
            allowed=list(kept),
        )


def kept_bars(
    request: Request,
    pool: UserPool,
    symbol: str,
    timeframe: str,
    start: datetime | None,
    end: datetime | None,
    known_at: datetime | None,
    limit: int,
) -> list[dict[str, Any]]:
    """Return the newest `limit` final bars of a range; without a start it is found by looking."""
    settings = parts_of(request).settings
    if start is not None and end is not None and start >= end:
        what = f"start {time_text(start)} is not before end {time_text(end)}"
        raise Problem(422, "MALFORMED", what)
    recipe = BarRecipe(timeframe, settings.calendar or None, settings.bar_source)
    bars = pool.ticks.bars
    if start is not None:
        table = bars.read([symbol], recipe, start, end, known_at=known_at)
        return bar_rows(table, timeframe)[-limit:]
    length = parse_interval(timeframe).length_ns or 86_400_000_000_000
    high = time.time_ns() if end is None else round(end.timestamp() * 1e9)
    span = length * limit
    for _ in range(_FIRST_PIECES):
        table = bars.read([symbol], recipe, high - span, end, known_at=known_at)
        if len(table) >= limit:
            break
        # Nights and weekends lie between.
        span *= 6
    return bar_rows(table, timeframe)[-limit:]


# --- the names of an older system -----------------------------------------------------------------


@router.get("/chart/data/bars_slots")
def bars_and_slots(
    request: Request,
    pool: CurrentPool,
    instrument_id: SymbolQuery,
    timeframe: Timeframe = "1m",
    bars_timestamp_end: Time = None,
    slots_timestamp_end: Time = None,
    limit: Annotated[int, Query(ge=1, le=_BARS_MAX)] = 500,
) -> dict[str, Any]:
    """Bars until a time, and the empty places of the calendar after the last one until another.

    The slots are the starts of bars that are still to come, so that a chart shows its gaps.
    """
    _refuse_unreadable(pool, instrument_id)
    bars = kept_bars(request, pool, instrument_id, timeframe, None, bars_timestamp_end, None, limit)
    length = parse_interval(timeframe).length_ns
    slots: list[str | None] = []
    if slots_timestamp_end is not None and length and bars:
        first = datetime.fromisoformat(bars[-1]["end"].replace("Z", "+00:00"))
        low = round(first.timestamp() * 1e9)
        high = round(slots_timestamp_end.timestamp() * 1e9)
        starts = range(low, min(high, low + length * _BARS_MAX), length)
        calendar = parts_of(request).settings.calendar
        if calendar and starts:
            found = calendar_for(calendar, low, high)
            part = found.between(low, high)
            sessions = list(
                zip(found.opens[part].tolist(), found.closes[part].tolist(), strict=True)
            )
            slots = [instant_text(at) for at in starts if any(o <= at < c for o, c in sessions)]
        else:
            slots = [instant_text(at) for at in starts]
    return {"instrument_id": instrument_id, "timeframe": timeframe, "bars": bars, "slots": slots}


@router.get("/chart/{kind}/all")
def chart_all(
    request: Request, pool: CurrentPool, kind: Annotated[str, Path(max_length=20)]
) -> dict[str, Any]:
    """The exchanges (calendars), segments (kinds) or instruments that there are."""
    shown = parts_of(request).instruments.shown(pool.readable_symbols())
    names = {"exchange": "calendar", "segment": "kind"}
    if kind == "instrument":
        return {"items": shown}
    if kind not in names:
        raise Problem(404, "NOT_FOUND", "there are exchange, segment and instrument")
    return {"items": sorted({each[names[kind]] for each in shown})}


@router.get("/chart/instrument/{what}")
def chart_instrument(
    request: Request,
    pool: CurrentPool,
    what: Annotated[str, Path(max_length=20)],
    query: Annotated[str, Query(max_length=64)] = "",
    instrument_id: Annotated[str, Query(max_length=64)] = "",
    exchange: Annotated[str, Query(max_length=64)] = "",
    segment: Annotated[str, Query(max_length=64)] = "",
) -> dict[str, Any]:
    """Instruments: `search` by a part of the symbol, `filter` by exchange and segment, `detail`
    of one, and its `derivatives`.
    """
    shown = parts_of(request).instruments.shown(pool.readable_symbols())
    if what == "search":
        return {"items": [each for each in shown if query.upper() in each["symbol"].upper()]}
    if what == "filter":
        return {
            "items": [
                each
                for each in shown
                if exchange in ("", each["calendar"]) and segment in ("", each["kind"])
            ]
        }
    if what == "detail":
        for each in shown:
            if each["symbol"] == instrument_id:
                return each
        raise unknown_symbol(instrument_id, [each["symbol"] for each in shown])
    if what == "derivatives":
        kinds = ("FUTURE", "OPTION")
        return {
            "items": [
                each
                for each in shown
                if each["kind"] in kinds and each["symbol"].startswith(instrument_id)
            ]
        }
    raise Problem(404, "NOT_FOUND", "there are search, filter, detail and derivatives")
