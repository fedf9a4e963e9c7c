"""Option chains: implied volatility, Greeks and moneyness by strike and expiry.

Units: `vega` and `rho` per one percent, `theta` per calendar day, rates and volatilities as
fractions a year, time in days of 1/365 year.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from scipy.special import ndtr
from vollib.black.implied_volatility import implied_volatility as _black_76_volatility
from vollib.black_scholes.implied_volatility import implied_volatility as _black_scholes_volatility

from trading.bars.calendar import TradingCalendar, calendar_for
from trading.bars.columns import instant_ns
from trading.bars.interval import NS_PER_DAY
from trading.errors import OptionError

Floats = npt.NDArray[np.float64]
Model = Literal["black_scholes", "black_76"]

DEFAULT_RATE = 0.068
DAYS_PER_YEAR = 365.0
_MODELS = ("black_scholes", "black_76")
_TIME = pa.timestamp("ns", tz="UTC")
_NEEDED = ("strike", "expiry", "right", "price")
_FIGURES = ("delta", "gamma", "vega", "theta", "rho")


class Greeks(NamedTuple):
    """How an option's price moves, as arrays: see the module for the units."""

    price: Floats
    delta: Floats
    gamma: Floats
    vega: Floats
    theta: Floats
    rho: Floats


def days_to_expiry(
    now: Any, expiry: Any, *, calendar: str | TradingCalendar | None = None
) -> float:
    """Days until an option expires, with the fraction of the day; 0 from the expiry on.

    Without a calendar a day passes evenly. With one, a day on which the market is open passes
    within its session: it counts 1 before the open and 0 after the close.
    """
    at, until = instant_ns(now), instant_ns(expiry)
    if at >= until:
        return 0.0
    if calendar is None:
        return (until - at) / NS_PER_DAY
    sessions = calendar_for(calendar, at - NS_PER_DAY, until + NS_PER_DAY)
    today, last = sessions.local_dates(np.array([at, until], dtype=np.int64))
    whole = int((last - today).astype(np.int64))
    days: float = whole + _rest_of_day(sessions, at) - _rest_of_day(sessions, until)
    return max(days, 0.0)


def _rest_of_day(sessions: TradingCalendar, moment: int) -> float:
    """What is left of a moment's day: of its session where there is one, else of the clock's."""
    date = sessions.local_dates(np.array([moment], dtype=np.int64))
    begin, end = sessions.midnights(np.array([date[0], date[0] + 1])).tolist()
    part = sessions.between(begin, end - 1)
    # The session that closes on this date is this date's.
    closes = [
        (int(opens), int(closes))
        for opens, closes in zip(sessions.opens[part], sessions.closes[part], strict=True)
        if begin < closes <= end
    ]
    if closes:
        begin, end = max(closes[0][0], begin), closes[-1][1]
    rest: float = (end - moment) / (end - begin)
    return min(max(rest, 0.0), 1.0)


def greeks(
    right: Any,
    underlying_price: Any,
    strike: Any,
    days: Any,
    volatility: Any,
    *,
    rate: float = DEFAULT_RATE,
    model: Model = "black_scholes",
) -> Greeks:
    """Price and Greeks of options, element by element.

    right: "C" or "P"; underlying_price: the spot of "black_scholes", the future of "black_76";
    days: to expiry; volatility: a year, as a fraction. NaN where one of these is not above 0.
    OptionError for another right or model.
    """
    sign = _signs(right)
    numbers = [np.asarray(x, np.float64) for x in (underlying_price, strike, days, volatility)]
    sign, price, strikes, years, sigma = np.broadcast_arrays(sign, *numbers)
    years = np.where(years > 0, years, np.nan) / DAYS_PER_YEAR
    sigma = np.where(sigma > 0, sigma, np.nan)
    price = np.where(price > 0, price, np.nan)
    strikes = np.where(strikes > 0, strikes, np.nan)
    _check_model(model)
    is_spot = model == "black_scholes"
    root, discount = np.sqrt(years), np.exp(-rate * years)
    carry = rate if is_spot else 0.0
    d1 = (np.log(price / strikes) + (carry + sigma**2 / 2) * years) / (sigma * root)
    d2 = d1 - sigma * root
    density = np.exp(-(d1**2) / 2) / np.sqrt(2 * np.pi)
    # What an amount of the underlying at expiry is worth now.
    weight = np.ones_like(discount) if is_spot else discount
    held, owed = weight * price * ndtr(sign * d1), discount * strikes * ndtr(sign * d2)
    value = sign * (held - owed)
    decay = -weight * price * density * sigma / (2 * root)
    theta = decay - sign * rate * owed if is_spot else decay + rate * value
    rho = sign * years * owed if is_spot else -years * value
    return Greeks(
        value,
        sign * weight * ndtr(sign * d1),
        weight * density / (price * sigma * root),
        weight * price * density * root / 100,
        theta / DAYS_PER_YEAR,
        rho / 100,
    )


def option_price(
    right: Any,
    underlying_price: Any,
    strike: Any,
    days: Any,
    volatility: Any,
    *,
    rate: float = DEFAULT_RATE,
    model: Model = "black_scholes",
) -> Floats:
    """The price of European options; arguments as of `greeks`."""
    return greeks(right, underlying_price, strike, days, volatility, rate=rate, model=model).price


def implied_volatility(
    price: float,
    right: str,
    underlying_price: float,
    strike: float,
    days: float,
    *,
    rate: float = DEFAULT_RATE,
    model: Model = "black_scholes",
) -> float | None:
    """The volatility at which the model gives this price; None where none does.

    None for an expired option, and for a price at or below what the option is worth at once, or at
    or above what it can ever be worth.
    """
    _check_model(model)
    reason = _no_volatility(price, right, underlying_price, strike, days, rate, model)
    if reason is not None:
        return None
    years, flag = days / DAYS_PER_YEAR, _flag(right)
    if model == "black_76":
        found = _black_76_volatility(price, underlying_price, strike, rate, years, flag)
    else:
        found = _black_scholes_volatility(price, underlying_price, strike, years, rate, flag)
    return float(found) if 0 < found < float("inf") else None


def _no_volatility(
    price: float,
    right: str,
    underlying_price: float,
    strike: float,
    days: float,
    rate: float,
    model: Model,
) -> str | None:
    """Why no volatility gives this price."""
    numbers = np.array([price, underlying_price, strike, days], dtype=np.float64)
    if not np.isfinite(numbers).all():
        return "no price"
    if underlying_price <= 0 or strike <= 0:
        return "underlying or strike not above zero"
    if days <= 0:
        return "expired"
    discount = float(np.exp(-rate * days / DAYS_PER_YEAR))
    held = underlying_price * (1.0 if model == "black_scholes" else discount)
    owed = strike * discount
    is_call = _flag(right) == "c"
    if price <= max(held - owed if is_call else owed - held, 0.0):
        return "below intrinsic value"
    return "above the highest value" if price >= (held if is_call else owed) else None


def option_chain(
    options: Any,
    *,
    now: Any,
    underlying_price: float | None = None,
    rate: float = DEFAULT_RATE,
    model: Model = "black_scholes",
    calendar: str | TradingCalendar | None = None,
) -> pa.Table:
    """A chain with its figures, by expiry, strike and right (calls first).

    options: an Arrow table or frame with strike, expiry (a moment), right ("C", "P") and price,
    optionally `symbol`, `underlying_price` (else the argument's) and `volatility`. With a
    volatility `theoretical_price` and the Greeks are of that, else of the implied one.

    Returns symbol, strike, expiry, right, t_days, underlying_price, option_price, implied_vol,
    theoretical_price, delta, gamma, vega, theta, rho, moneyness (underlying over strike) and note:
    why there is no implied volatility. OptionError where a column is missing or a right unknown.
    """
    _check_model(model)
    table = _as_table(options)
    rights = [_flag(right).upper() for right in table["right"].to_pylist()]
    expiries = _expiries(table)
    strikes, prices = _floats(table, "strike"), _floats(table, "price")
    underlying = _underlying(table, underlying_price)
    # A chain has few expiries and many strikes.
    days_of = {at: days_to_expiry(now, at, calendar=calendar) for at in set(expiries)}
    days = np.array([days_of[at] for at in expiries], dtype=np.float64)
    volatilities, notes = [], []
    for row in zip(
        prices.tolist(), rights, underlying.tolist(), strikes.tolist(), days.tolist(), strict=True
    ):
        found = implied_volatility(*row, rate=rate, model=model)
        volatilities.append(found)
        reason = None if found is not None else _no_volatility(*row, rate, model)
        notes.append(reason if found is not None or reason is not None else "not found")
    implied = np.array(volatilities, dtype=np.float64)
    used = implied
    if "volatility" in table.column_names:
        given = _floats(table, "volatility")
        used = np.where(np.isfinite(given), given, implied)
    figures = greeks(
        rights if rights else np.zeros(0, "U1"),
        *(underlying, strikes, days, used),
        rate=rate,
        model=model,
    )
    symbols = pa.nulls(len(table), pa.string())
    if "symbol" in table.column_names:
        symbols = table["symbol"].cast(pa.string()).combine_chunks()
    columns = {
        "symbol": symbols,
        "strike": pa.array(strikes),
        "expiry": pa.array(expiries, pa.int64()).cast(_TIME),
        "right": pa.array(rights, pa.string()),
        "t_days": pa.array(days),
        "underlying_price": pa.array(underlying),
        "option_price": _nullable(prices),
        "implied_vol": _nullable(implied),
        "theoretical_price": _nullable(figures.price),
        **{name: _nullable(getattr(figures, name)) for name in _FIGURES},
        "moneyness": pa.array(underlying / strikes),
        "note": pa.array(notes, pa.string()),
    }
    chain = pa.table(columns)
    return chain.sort_by([(name, "ascending") for name in ("expiry", "strike", "right")])


def _underlying(table: pa.Table, price: float | None) -> npt.NDArray[np.float64]:
    """The underlying's price of each row: the table's own, or one for all."""
    if "underlying_price" in table.column_names:
        return _floats(table, "underlying_price")
    if price is None:
        raise OptionError(
            "no price of the underlying; pass underlying_price=, or a column underlying_price"
        )
    return np.full(len(table), float(price))


def by_strike(chain: pa.Table) -> pa.Table:
    """A chain as desks show it: one row for each expiry and strike, its call and its put side by
    side, as `call_…` and `put_…`.

    chain: what `option_chain` gave. OptionError where a strike has two calls or two puts.
    """
    names = ["symbol", "option_price", "implied_vol", "theoretical_price", *_FIGURES]
    keys = ["expiry", "strike"]
    sides = []
    for right, prefix in (("C", "call"), ("P", "put")):
        rows = pc.equal(chain["right"], right)
        side = chain.filter(rows).select(keys + names)
        if len(side.select(keys).group_by(keys).aggregate([])) != len(side):
            raise OptionError(
                f"a strike has several {prefix}s; take the chain of one underlying at a time"
            )
        sides.append(side.rename_columns(keys + [f"{prefix}_{name}" for name in names]))
    both = ["t_days", "underlying_price", "moneyness"]
    shared = chain.group_by(keys).aggregate([(name, "min") for name in both])
    shared = shared.rename_columns([*keys, *both])
    for side in sides:
        shared = shared.join(side, keys)
    return shared.sort_by([(name, "ascending") for name in keys])


def _as_table(options: Any) -> pa.Table:
    table = options
    if not isinstance(options, pa.Table):
        if not hasattr(options, "columns"):
            raise OptionError(
                f"expected an Arrow table or a pandas frame of options, got "
                f"{type(options).__name__}"
            )
        table = pa.Table.from_pandas(options, preserve_index=False)
    missing = [name for name in _NEEDED if name not in table.column_names]
    if missing:
        raise OptionError(
            f"options need the columns {', '.join(_NEEDED)}; {', '.join(missing)} is missing"
        )
    return table


def _expiries(table: pa.Table) -> list[int]:
    column = table["expiry"]
    if column.null_count or not pa.types.is_timestamp(column.type):
        raise OptionError(
            f"expiry is of type {column.type} with {column.null_count} nulls; it must be a moment "
            "in each row, such as the close of the last session"
        )
    kind = pa.timestamp("ns", column.type.tz)
    expiries: list[int] = column.cast(kind).cast(pa.int64()).to_pylist()
    return expiries


def _floats(table: pa.Table, name: str) -> Floats:
    return np.array(table[name].cast(pa.float64()).to_pylist(), dtype=np.float64)


def _nullable(values: Floats) -> pa.Array:
    return pa.array(values, mask=~np.isfinite(values))


def _flag(right: Any) -> str:
    flag = {"c": "c", "call": "c", "p": "p", "put": "p"}.get(str(right).lower())
    if flag is None:
        raise OptionError(f"right is {right!r}; it must be C or P (or call, put)")
    return flag


def _signs(right: Any) -> Floats:
    rights = np.asarray(right)
    known = {each: 1.0 if _flag(each) == "c" else -1.0 for each in set(rights.ravel().tolist())}
    signs = [known[each] for each in rights.ravel().tolist()]
    return np.array(signs, dtype=np.float64).reshape(rights.shape)


def _check_model(model: str) -> None:
    if model not in _MODELS:
        raise OptionError(f"model is {model!r}; it must be one of {', '.join(_MODELS)}")
