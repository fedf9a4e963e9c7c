"""What the replay process does for a user: tapes, recipes, explanations; each as that user.

The user's login comes with each request, is used for it and kept nowhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from functools import reduce
from typing import Any, NamedTuple

import msgspec
import pyarrow as pa

from reactive.expr import Const, Expr, Field
from store.client import StoreClient
from trading.api.market_hub import bar_rows
from trading.api.problems import Problem, unreadable_symbols
from trading.api.reading import LIMIT_MAX, page_of
from trading.api.record_views import number_text, time_text
from trading.api.replay.comparing import (
    changes_of,
    compared,
    made,
    made_as_asked,
    name_of,
    run_recipe,
    strategy_named,
    verified,
)
from trading.api.settings import RunSettings, RunStrategy
from trading.errors import ReplayError, TickStoreError, TradingError
from trading.journal.inputs import BarBatch, TickBatch
from trading.replay.explaining import explain
from trading.replay.run_journal import Recipe, RecordedRun, read_run, run_names
from trading.replay.tape import Tape
from trading.replay.two_times import ChangedFigure, PnlAt, TwoTimes
from trading.specification import InstrumentSpec
from trading.strategy import Strategy
from trading.strategy import examples as known_strategies
from trading.ticks import BarRecipe, TickStore
from trading.times import moment, nanoseconds

__all__ = ["Work", "WorkSettings", "moment_of"]

_DAY = timedelta(days=1)
_BARS_MAX = 5_000
_CHANGES_MAX, _EVENTS_MAX = 2_000, 50


class WorkSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What the process is told at its start; times are seconds."""

    records_owner: str
    runs: tuple[RunSettings, ...]
    instruments: tuple[InstrumentSpec, ...]
    timeframes: tuple[str, ...]
    calendar: str
    bar_source: str
    rows_max: int
    sessions_max: int
    sessions_of_user: int
    idle_s: float
    interval_s: float


class Work:
    """Reads the store as a user; every method takes the user's login first."""

    def __init__(self, settings: WorkSettings) -> None:
        self._settings = settings

    # --- what there is ----------------------------------------------------------------------------

    def sources(self, login: Mapping[str, Any]) -> dict[str, Any]:
        """Return what the user can play."""
        settings = self._settings
        known = {(each.account, each.run): each for each in self._runs_of(login["user"])}
        with _store(login) as store:
            names = run_names(store, settings.records_owner)
            with TickStore(store) as ticks:
                held = ticks.held()
        return {
            "runs": [
                {
                    "account": each.account,
                    "run": each.run,
                    "groups": each.groups,
                    "strategies": [
                        _described(name_of(one), one)
                        for one in known[each.account, each.run].strategies
                    ],
                }
                for each in names
                if (each.account, each.run) in known
            ],
            "symbols": [
                {
                    "symbol": symbol,
                    "first": time_text(datetime(day.year, day.month, day.day, tzinfo=timezone.utc)),
                    "last": time_text(moment(newest)),
                    "rows": rows,
                }
                for symbol, (day, newest, rows) in held.items()
            ],
            "strategies": [_described(name, each) for name, each in self._known(login).items()],
            "timeframes": list(settings.timeframes),
            "sessions_max": settings.sessions_of_user,
        }

    def _runs_of(self, user: str) -> list[RunSettings]:
        return [each for each in self._settings.runs if user in each.members]

    def _known(self, login: Mapping[str, Any]) -> dict[str, RunStrategy]:
        """The strategies that a user may play, by name: code is not taken from anybody."""
        module = known_strategies.__name__
        found = {name: RunStrategy(f"{module}:{name}") for name in known_strategies.__all__}
        for run in self._runs_of(login["user"]):
            for each in run.strategies:
                found[name_of(each)] = each
        return found

    # --- tapes ------------------------------------------------------------------------------------

    def run_tape(self, login: Mapping[str, Any], account: str, run: str) -> tuple[Tape, Recipe]:
        """Return the tape of a run, and what its kernel was made of."""
        recorded, settings = self._recorded(login, account, run)
        tape = Tape.of_run(recorded)
        self._refuse_long(len(tape))
        return tape, run_recipe(settings, recorded)

    def _recorded(
        self, login: Mapping[str, Any], account: str, run: str, upto: int | None = None
    ) -> tuple[RecordedRun, RunSettings]:
        found = self._run(login["user"], account, run)
        with _store(login) as store:
            try:
                owner = self._settings.records_owner
                recorded = read_run(store, account, run, upto=upto, owner=owner)
            except ReplayError as error:
                raise Problem(404, "UNKNOWN_RUN", str(error)) from error
        return recorded, found

    def _run(self, user: str, account: str, run: str) -> RunSettings:
        found = [e for e in self._runs_of(user) if (e.account, e.run) == (account, run)]
        if not found:
            there = ", ".join(f"{each.run} of {each.account}" for each in self._runs_of(user))
            raise Problem(
                404,
                "UNKNOWN_RUN",
                f"{user} has no run {run!r:.80} of account {account!r:.80}; there are: "
                f"{there or 'none'}",
            )
        return found[0]

    def data_tape(self, login: Mapping[str, Any], body: Mapping[str, Any]) -> Tape:
        """Return the tape of recorded ticks or bars of some symbols in a span."""
        symbols = list(body["symbols"])
        low, high = _span(body)
        with _store(login) as store, TickStore(store) as ticks:
            known = ticks.symbols()
            missing = sorted(set(symbols) - set(known))
            if missing:
                raise unreadable_symbols(missing, known)
            if body["source"] == "bars":
                table = self._bars(ticks, symbols, body["timeframe"], low, high)
            else:
                table = self._ticks(ticks, symbols, low, high)
        if not len(table):
            raise Problem(
                404,
                "NOTHING_RECORDED",
                f"no {body['source']} of {', '.join(symbols)!r:.200} were recorded in this span; "
                f"GET /replay/sources tells the spans, and bars are of "
                f"{', '.join(self._settings.timeframes) or 'no length'}",
            )
        return Tape.of_data(
            table,
            symbols=symbols,
            instruments=self._settings.instruments,
            timeframe=body["timeframe"] if body["source"] == "bars" else None,
            cash=body["cash"],
        )

    def _ticks(
        self, ticks: TickStore, symbols: list[str], low: datetime | None, high: datetime | None
    ) -> pa.Table:
        """Day by day, so that a span that is too long is refused before it fills the memory."""
        parts, rows = [], 0
        for day in ticks.days(symbols):
            begin = datetime(day.year, day.month, day.day, tzinfo=timezone.utc)
            start, end = max(begin, low or begin), begin + _DAY
            end = end if high is None else min(end, high)
            if start >= end:
                continue
            part = ticks.read(symbols, start, end)
            rows += len(part)
            self._refuse_long(rows)
            parts.append(part)
        if not parts:
            return pa.table({})
        return pa.concat_tables(parts, promote_options="permissive")

    def _bars(
        self,
        ticks: TickStore,
        symbols: list[str],
        timeframe: str,
        low: datetime | None,
        high: datetime | None,
    ) -> pa.Table:
        settings = self._settings
        recipe = BarRecipe(timeframe, settings.calendar or None, settings.bar_source)
        table = ticks.bars.read(symbols, recipe, low, high)
        self._refuse_long(len(table))
        names = ["symbol", "start", "end", "open", "high", "low", "close", "volume"]
        return table.select(names).drop_null().rename_columns(["symbol", "timestamp", *names[2:]])

    def _refuse_long(
        self, rows: int, instead: str = "name a shorter span or fewer symbols"
    ) -> None:
        if rows > self._settings.rows_max:
            raise Problem(
                422,
                "TOO_LONG",
                f"more than {self._settings.rows_max} rows would be played; {instead}",
                allowed=self._settings.rows_max,
            )

    def strategies(self, login: Mapping[str, Any], body: Mapping[str, Any]) -> list[Strategy]:
        """Return the strategy that a session is to have, by its name; none where none is named."""
        name = body["strategy"]
        if not name:
            return []
        given = strategy_named(self._known(login), name)
        frames = tuple(body["timeframes"]) or given.timeframes
        parameters = {**given.parameters, **body["parameters"]}
        wanted = RunStrategy(given.where, parameters, (), frames)
        return [made_as_asked(wanted, list(body["symbols"]))]

    # --- a run against its replay -----------------------------------------------------------------

    def verified(self, login: Mapping[str, Any], asked: Mapping[str, Any]) -> dict[str, Any]:
        """Return whether a run's journal leads to its digest again, and where it does not."""
        recorded, run = self._whole(login, asked)
        with _store(login) as store:
            return verified(recorded, run_recipe(run, recorded), store)

    def what_if(self, login: Mapping[str, Any], asked: Mapping[str, Any]) -> dict[str, Any]:
        """Return what would have been different in a run with something changed."""
        run = self._run(login["user"], asked["account"], asked["run"])
        changes = changes_of(run, self._known(login), asked, list(self._specs))
        recorded, _ = self._whole(login, asked)
        return compared(run, recorded, changes)

    def _whole(
        self, login: Mapping[str, Any], asked: Mapping[str, Any]
    ) -> tuple[RecordedRun, RunSettings]:
        recorded, run = self._recorded(login, asked["account"], asked["run"], asked["upto"])
        rows = sum(_rows(each.event) for each in recorded.inputs())
        self._refuse_long(rows, "name the last group with `upto`")
        return recorded, run

    # --- two times --------------------------------------------------------------------------------

    def as_of(self, login: Mapping[str, Any], asked: Mapping[str, Any]) -> dict[str, Any]:
        """Return P&L, positions, orders, limits and bars at one pair of times."""
        at, known_at = moment_of(asked["at"]), moment_of(asked["known_at"])
        where = {"account": asked["account"], "run": asked["run"]}
        with _store(login) as store, TickStore(store) as ticks:
            reader = _Reader(store, self._settings.records_owner)
            prices = self._closes(store, ticks, at, known_at)
            books = TwoTimes(store, self._specs, owner=self._settings.records_owner)
            pnl = books.pnl(known_at, at, prices=prices, **where)
            if asked["symbol"]:
                pnl = [each for each in pnl if each.symbol == asked["symbol"]]
            now = datetime.now(timezone.utc)
            return {
                **where,
                "at": time_text(at or now),
                "known_at": time_text(known_at or now),
                "pnl": [_pnl(each, prices) for each in pnl],
                "totals": _totals(pnl),
                "positions": [_position(each) for each in pnl if each.net],
                "orders": page_of(
                    reader,
                    "orders",
                    _wanted(asked, "symbol"),
                    limit=LIMIT_MAX,
                    at=at,
                    known_at=known_at,
                )["items"],
                "limits": page_of(reader, "limits", _wanted(asked), at=at, known_at=known_at)[
                    "items"
                ],
                "bars": self._bars_as_of(store, ticks, asked, at, known_at),
            }

    def _closes(
        self, store: StoreClient, ticks: TickStore, at: datetime | None, known_at: datetime | None
    ) -> dict[str, Any]:
        """The last closes by a time, as they were known; none where no ticks may be read."""
        frames = self._settings.timeframes
        frame = "1m" if "1m" in frames or not frames else frames[0]
        end = at or datetime.now(timezone.utc)
        start = end.replace(hour=0, minute=0, second=0, microsecond=0)
        try:
            table = self._books_of_bars(store, ticks, frame).bars(None, start, known_at, end)
        except TickStoreError as error:
            if "the right is missing" not in str(error):
                raise
            return {}
        rows = zip(table["symbol"].to_pylist(), table["close"].to_pylist(), strict=True)
        return {symbol: close for symbol, close in rows if close is not None}

    def _books_of_bars(self, store: StoreClient, ticks: TickStore, timeframe: str) -> TwoTimes:
        settings = self._settings
        recipe = BarRecipe(timeframe, settings.calendar or None, settings.bar_source)
        return TwoTimes(store, self._specs, ticks, recipe, settings.records_owner)

    def _bars_as_of(
        self,
        store: StoreClient,
        ticks: TickStore,
        asked: Mapping[str, Any],
        at: datetime | None,
        known_at: datetime | None,
    ) -> list[dict[str, Any]]:
        start = moment_of(asked["bars_from"])
        if start is None:
            return []
        symbols = [asked["symbol"]] if asked["symbol"] else None
        table = self._books_of_bars(store, ticks, asked["timeframe"]).bars(
            symbols, start, known_at, at
        )
        return bar_rows(table, asked["timeframe"])[-_BARS_MAX:]

    def changes(self, login: Mapping[str, Any], asked: Mapping[str, Any]) -> dict[str, Any]:
        """Return the figures that are others now than were known, with the events."""
        at, since, until = (moment_of(asked[name]) for name in ("at", "since", "until"))
        assert since is not None
        with _store(login) as store, TickStore(store) as ticks:
            valid = since if at is None else at
            prices = self._closes(store, ticks, valid, since)
            books = TwoTimes(store, self._specs, ticks, owner=self._settings.records_owner)
            start = moment_of(asked["bars_from"])
            if start is not None:
                books = self._books_of_bars(store, ticks, asked["timeframe"])
            found = books.changes(
                since,
                until,
                valid,
                account=asked["account"],
                run=asked["run"],
                prices=prices,
                symbols=[asked["symbol"]] if asked["symbol"] else None,
                bars_from=start,
            )
        items = [_changed(each) for each in found[:_CHANGES_MAX]]
        now = datetime.now(timezone.utc)
        return {
            "since": time_text(since),
            "until": time_text(until or now),
            "at": time_text(valid),
            "items": items,
            "left_out": len(found) - len(items),
        }

    @property
    def _specs(self) -> dict[str, InstrumentSpec]:
        return {spec.symbol: spec for spec in self._settings.instruments}

    # --- explanations -----------------------------------------------------------------------------

    def explained(
        self, login: Mapping[str, Any], account: str, run: str, subject: str
    ) -> dict[str, Any]:
        """Return why something happened in a run, as data, text and picture."""
        recorded, settings = self._recorded(login, account, run)
        try:
            found = explain(recorded, run_recipe(settings, recorded), subject)
        except ReplayError as error:
            raise Problem(404, "UNKNOWN_SUBJECT", str(error)) from error
        return {
            "subject": subject,
            "account": account,
            "run": run,
            "steps": found.as_data(),
            "text": found.text(),
            "svg": found.to_svg(),
        }


def _rows(event: Any) -> int:
    """How many ticks or bars an input has; a command is one."""
    return len(event.times) // 8 if isinstance(event, (TickBatch, BarBatch)) else 1


@contextmanager
def _store(login: Mapping[str, Any]) -> Iterator[StoreClient]:
    with StoreClient(**login, pool_size=2) as store:
        yield store


def _span(body: Mapping[str, Any]) -> tuple[datetime | None, datetime | None]:
    low, high = (moment_of(body[name]) for name in ("start", "end"))
    if low is not None and high is not None and nanoseconds(low) >= nanoseconds(high):
        raise Problem(422, "MALFORMED", f"start {low} is not before end {high}")
    return low, high


def _described(name: str, given: RunStrategy) -> dict[str, Any]:
    try:
        strategy = made(given, [])
    except (TradingError, TypeError):
        # It needs values that only who plays it can name.
        return {"strategy": name, "parameters": dict(given.parameters), "timeframes": []}
    return {
        "strategy": name,
        "parameters": msgspec.to_builtins(strategy.parameters),
        "timeframes": list(strategy.timeframes),
    }


# --- how two-time answers are shown ---------------------------------------------------------------


class _Reader(NamedTuple):
    """What pages of records are read with."""

    store: StoreClient
    records_owner: str


def moment_of(text: str | None) -> datetime | None:
    """Return a time of a request; None where none was given."""
    return None if text is None else datetime.fromisoformat(text.replace("Z", "+00:00"))


def _wanted(asked: Mapping[str, Any], *names: str) -> Expr:
    fields = {name: asked[name] for name in ("account", "run", *names) if asked[name]}
    parts = [Field(name) == Const(value) for name, value in fields.items()]
    return reduce(lambda left, right: left & right, parts)


def _figure(value: Any) -> Any:
    if isinstance(value, Decimal):
        return number_text(value)
    return time_text(value) if isinstance(value, datetime) else value


def _pnl(each: PnlAt, prices: Mapping[str, Any]) -> dict[str, Any]:
    names = ("net", "cost", "realized", "unrealized", "fees", "income", "total", "fills")
    return {
        **dict(zip(("account", "run", "strategy", "symbol"), each.key, strict=True)),
        **{name: _figure(getattr(each, name)) for name in names},
        "price": _figure(prices.get(each.symbol)),
    }


def _position(each: PnlAt) -> dict[str, Any]:
    names = ("account", "run", "strategy", "symbol", "net", "cost")
    return {name: _figure(getattr(each, name)) for name in names}


def _totals(pnl: Sequence[PnlAt]) -> dict[str, Any]:
    found = {}
    for name in ("realized", "unrealized", "fees", "income", "total"):
        values = [getattr(each, name) for each in pnl]
        found[name] = None if None in values else _figure(sum(values, Decimal(0)))
    return found


def _changed(each: ChangedFigure) -> dict[str, Any]:
    return {
        "table": each.table,
        "key": list(each.key),
        "figure": each.figure,
        "before": _figure(each.before),
        "after": _figure(each.after),
        "events": [
            {
                "what": event.what,
                "subject": event.subject,
                "entity_id": event.entity_id,
                "version": event.version,
                "known_at": time_text(event.known_at),
                "valid_at": time_text(event.valid_at),
                "by": event.by,
                "detail": event.detail,
            }
            for event in each.events[:_EVENTS_MAX]
        ],
    }
