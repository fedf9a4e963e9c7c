"""A run as its journal in the store has it: inputs, digests, settings, and the records of a group.

    recorded = read_run(store, "ACC", "paper:demo")
    recipe = recipe_of(recorded, strategies=[SmaCross()])

Everything here reads; the store is asked by `query`, `history` and the log alone. This is the one
module of the package that knows how an engine keeps its journal.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property
from typing import Any, cast

import msgspec

from store.base import Storable
from store.client import StoreClient
from store.subscriptions import EventLog
from trading.brokers import PaperBroker
from trading.engine import EngineSnapshot, JournalSegment, TradingEngine
from trading.engine.journal import Entry, Group, Journal
from trading.engine.records import RECORDS
from trading.engine.state import EngineState, Recipe
from trading.errors import ReplayError, SnapshotError
from trading.journal import decode_input
from trading.journal.codec import unpack
from trading.journal.inputs import DefineInstrument, Input
from trading.journal.outputs import Output
from trading.kernel import HostedStrategy, Picker, Settings
from trading.kernel.snapshot import Snapshot
from trading.specification import InstrumentSpec
from trading.strategy import Strategy

__all__ = [
    "Change",
    "Entry",
    "FoldedGroup",
    "Group",
    "Recipe",
    "RecordedInput",
    "RecordedRun",
    "RunName",
    "fold_with_records",
    "following",
    "read_run",
    "recipe_of",
    "records_of_group",
    "run_names",
]

_PAGE = 1_000


@dataclass(frozen=True, order=True)
class RunName:
    """A run of an account, by what both are called."""

    account: str
    run: str
    groups: int = 0


@dataclass(frozen=True)
class RecordedInput:
    """An input with its place: its number in the journal from 1 on, and its group's."""

    number: int
    group: int
    event: Input
    error: str = ""
    note: str = ""


@dataclass(frozen=True)
class RecordedRun:
    """A run's journal in memory; `times` are when each group was committed, where that is known.

    Settings, broker and names of strategies are those of the run's snapshots; None without one.
    """

    account: str
    run: str
    groups: tuple[Group, ...]
    settings: Settings | None = None
    broker: list[Any] | None = None
    strategies: tuple[str, ...] | None = None
    times: tuple[datetime | None, ...] = field(default=(), repr=False)

    def inputs(self) -> Iterator[RecordedInput]:
        """Yield the inputs in order, those that the kernel could not process with their error."""
        number = 0
        for group in self.groups:
            for entry in group.entries:
                number += 1
                event = decode_input(entry.data)
                yield RecordedInput(number, group.number, event, entry.error, entry.note)

    @property
    def digest(self) -> str:
        """The digest of the run after its last group."""
        return self.groups[-1].digest if self.groups else ""

    @cached_property
    def specs(self) -> dict[str, InstrumentSpec]:
        """The instruments that the journal defines, by symbol."""
        found: dict[str, InstrumentSpec] = {}
        for each in self.inputs():
            if isinstance(each.event, DefineInstrument):
                found.setdefault(each.event.spec.symbol, each.event.spec)
        return found


# --- reading --------------------------------------------------------------------------------------


def run_names(store: StoreClient, owner: str | None = None) -> list[RunName]:
    """Return the runs that have a journal which the user may read; of one owner, or of all."""
    found: dict[tuple[str, str], int] = {}
    for each in store.query(JournalSegment, limit=None):
        if owner not in (None, each._store_owner):
            continue
        key = each.account, each.run
        found[key] = max(found.get(key, 0), each.group_number)
    return sorted(RunName(account, run, groups) for (account, run), groups in found.items())


def read_run(
    store: StoreClient,
    account: str | None,
    run: str,
    *,
    upto: int | None = None,
    owner: str | None = None,
) -> RecordedRun:
    """Return a run's journal, or its first groups up to a number.

    Without an account, the run is the only one of its name. With an `owner` it is what this login
    wrote, whatever others share under the same name. ReplayError where there is none.
    """
    name = _named(store, account, run, owner)
    groups, times = [], []
    for group, time in _groups(store, _segments(store, name, owner)):
        if upto is not None and group.number > upto:
            break
        groups.append(group)
        times.append(time)
    settings, broker, strategies = _described(store, name, owner)
    return RecordedRun(
        name.account, name.run, tuple(groups), settings, broker, strategies, tuple(times)
    )


def _named(store: StoreClient, account: str | None, run: str, owner: str | None) -> RunName:
    known = run_names(store, owner)
    found = [each for each in known if each.run == run and account in (None, each.account)]
    if len(found) == 1:
        return found[0]
    asked = run if account is None else f"{run} of account {account}"
    if found:
        raise ReplayError(
            f"several accounts have a run {run}: {', '.join(each.account for each in found)}; "
            "name the account that is meant"
        )
    there = ", ".join(f"{each.run} of {each.account}" for each in known) or "none"
    raise ReplayError(
        f"there is no journal of run {asked} that {store.user} may read; there are: {there}"
    )


def _segments(store: StoreClient, name: RunName, owner: str | None) -> list[JournalSegment]:
    if owner is None:
        return Journal(store, name.account, name.run).segments()
    where = {"account": name.account, "run": name.run}
    found = store.query(JournalSegment, where, limit=None)
    own = [each for each in found if each._store_owner == owner]
    return sorted(own, key=lambda each: each.segment)


def _groups(
    store: StoreClient, segments: list[JournalSegment]
) -> Iterator[tuple[Group, datetime | None]]:
    expected = 1
    for segment in segments:
        versions = store.history(
            JournalSegment, segment._store_entity_id or "", on_unreadable="raise"
        )
        for version in versions:
            if version.group_number != expected:
                raise ReplayError(
                    f"the journal of {segment.account}, run {segment.run}, has group "
                    f"{version.group_number} where {expected} is expected: groups are missing"
                )
            expected += 1
            yield version.group(), version._store_tx_time


def _described(
    store: StoreClient, name: RunName, owner: str | None
) -> tuple[Settings | None, list[Any] | None, tuple[str, ...] | None]:
    """Settings, broker and strategies of a run's newest snapshot."""
    where = {"account": name.account, "run": name.run}
    kept = [
        each
        for each in store.query(EngineSnapshot, where, limit=None)
        if owner in (None, each._store_owner)
    ]
    newest = max(kept, key=lambda each: each.group_number, default=None)
    if newest is None:
        return None, None, None
    try:
        # The first fields of an engine's snapshot are its version and the kernel's snapshot.
        saved = msgspec.msgpack.decode(newest.state())
        kernel = unpack(saved[1][8:], Snapshot)
    except (SnapshotError, msgspec.MsgspecError, TypeError, IndexError) as error:
        raise ReplayError(f"the snapshot of {name.account}, run {name.run}: {error}") from error
    return kernel.settings, kernel.broker, tuple(kernel.strategies)


# --- what a kernel of the run is made of ----------------------------------------------------------


def recipe_of(
    recorded: RecordedRun,
    *,
    strategies: Sequence[Strategy | HostedStrategy] = (),
    broker: PaperBroker | None = None,
    settings: Settings | None = None,
    picker: Picker | None = None,
) -> Recipe:
    """Return what a kernel of the run is made of, as the engine that wrote it makes it.

    Settings are those given, or those of the run's snapshot, or an engine's own. Without a
    simulated broker, the reports of the journal are what a venue said.
    """
    engine = TradingEngine(
        # It is never started: it only puts together what its kernels are made of.
        store=cast(StoreClient, None),
        feed=None,
        broker=broker if broker is not None else _no_broker,
        strategies=strategies,
        account=recorded.account,
        run=recorded.run,
        instruments=tuple(recorded.specs.values()),
        owner="replay",
        settings=settings or recorded.settings,
        picker=picker,
    )
    return engine.recipe


def following(settings: Settings | None, strategies: Sequence[Strategy]) -> Settings | None:
    """Return a run's settings with the bars that other strategies than its own follow."""
    if settings is None:
        return None
    frames = [frame for each in strategies for frame in each.timeframes]
    together = tuple(dict.fromkeys((*settings.timeframes, *frames)))
    return msgspec.structs.replace(settings, timeframes=together)


def _no_broker() -> Any:
    raise ReplayError("a replay has no broker: effects are carried out by nobody")


# --- the records of a group -----------------------------------------------------------------------


@dataclass(frozen=True)
class Change:
    """A version of a record: its class, its fields, and which input of the group led to it."""

    kind: str
    fields: dict[str, Any]
    input_place: int = -1

    def line(self) -> str:
        """Return the change as one line of text, without what is empty."""
        shown = " ".join(
            f"{name}={value}"
            for name, value in self.fields.items()
            if value not in (None, "", "0", 0, False) and not name.startswith("_")
        )
        return f"{self.kind} {shown}"


@dataclass(frozen=True)
class FoldedGroup:
    """What one group leads to here: the outputs of each of its inputs, and the records of them."""

    outputs: list[list[Output]]
    changes: list[Change]
    error: str = ""


def records_of_group(store: StoreClient, recorded: RecordedRun, number: int) -> list[Change]:
    """Return the records that were written in the transaction of a group, in order."""
    time = recorded.times[number - 1]
    if time is None:
        return []
    log = EventLog(store.conn, types=[*RECORDS, JournalSegment])
    events, after = [], log.position_at(time)
    while True:
        page = log.page(after, _PAGE)
        events += page.events
        if len(page.events) < _PAGE or events[-1].tx_time > time:
            break
        after = page.events[-1].position or after
    xid = None
    for event in events:
        if event.type_name.endswith(".JournalSegment"):
            fields = event.fields()
            if (fields["account"], fields["run"]) == (recorded.account, recorded.run) and (
                fields["group_number"] == number
            ):
                xid = event.position.xid if event.position else None
    return [
        Change(event.type_name.rpartition(".")[2], _fields(event.data or "{}"))
        for event in events
        if event.position is not None
        and event.position.xid == xid
        and not event.type_name.endswith(".JournalSegment")
    ]


class _Collecting:
    """Takes the records of a fold in place of a batch of the store, and writes nothing."""

    def __init__(self) -> None:
        self.changes: list[Change] = []
        self.place = 0

    def write(
        self, obj: Storable, *, valid_from: datetime | None = None, valid_to: datetime | None = None
    ) -> str:
        """Take a new record; the period is part of what an engine says of fills and limits."""
        entity_id = str(uuid.UUID(int=len(self.changes) + 1))
        del valid_from, valid_to
        object.__setattr__(obj, "_store_entity_id", entity_id)
        object.__setattr__(obj, "_store_version", 1)
        self._take(obj)
        return entity_id

    def update(self, obj: Storable) -> int:
        """Take the next version of a record."""
        version = (obj._store_version or 0) + 1
        object.__setattr__(obj, "_store_version", version)
        self._take(obj)
        return version

    def _take(self, obj: Storable) -> None:
        self.changes.append(Change(type(obj).__name__, _fields(obj.to_json()), self.place))


def fold_with_records(recorded: RecordedRun, recipe: Recipe, number: int) -> FoldedGroup:
    """Fold the journal up to a group, and return what that group leads to here."""
    state = EngineState(recipe)
    for group in recorded.groups[: number - 1]:
        state.book.begin(_Collecting())
        for entry in group.entries:
            state.fold_entry(entry)
        state.end_group()
    sink = _Collecting()
    state.book.begin(sink)
    outputs: list[list[Output]] = []
    for place, entry in enumerate(recorded.groups[number - 1].entries):
        sink.place = place
        try:
            outputs.append(state.fold_entry(entry))
        except Exception as error:  # noqa: BLE001 - what the kernel raises is what is reported
            return FoldedGroup(outputs, sink.changes, f"{type(error).__name__}: {error}")
    written = len(sink.changes)
    state.end_group()
    # Orders and positions are written once a group: by the last input that changed them.
    whole = [replace(each, input_place=_place_of(each, outputs)) for each in sink.changes[written:]]
    return FoldedGroup(outputs, sink.changes[:written] + whole)


def _place_of(change: Change, outputs: list[list[Output]]) -> int:
    name = "order_id" if "order_id" in change.fields else "symbol"
    wanted = change.fields.get(name)
    places = [
        place
        for place, said in enumerate(outputs)
        if any(getattr(each, name, None) == wanted for each in said)
    ]
    return max(places, default=len(outputs) - 1)


def _fields(text: str) -> dict[str, Any]:
    fields: dict[str, Any] = json.loads(text, parse_float=str)
    return fields
