"""The matching engine with its log: what it says is released once it is on disk.

with DurableExchange(directory, ExchangeSettings()) as exchange:
    outcome = exchange.stage(Request(now, order))   # in memory
    exchange.commit()                               # on disk; now it may be told
    exchange.reports("ACC", after=0)
"""

from __future__ import annotations

from array import array
from collections import deque
from pathlib import Path

import msgspec

from trading.errors import ExchangeError, ExchangeLogError
from trading.exchange.log import INPUT, REPORT, ExchangeLog, LogRecord, Position
from trading.exchange.matching.engine import MatchingEngine
from trading.exchange.matching.inputs import (
    AddAccount,
    ExchangeInput,
    ExchangeSettings,
    decode_exchange_input,
)
from trading.exchange.matching.state import ExchangeState, Outcome
from trading.exchange.wire import Report
from trading.journal.codec import pack

__all__ = ["DurableExchange"]

_RECENT = 4_096


class _Reports:
    """Where an account's reports stand in the log, and the latest of them in memory."""

    def __init__(self, number: int) -> None:
        self.number = number
        self._offsets = array("Q")
        self._lengths = array("I")
        self._recent: deque[bytes] = deque(maxlen=_RECENT)

    @property
    def last(self) -> int:
        """Number of the last report that is on disk."""
        return len(self._offsets)

    def add(self, position: Position, data: bytes) -> None:
        """Note the next report."""
        self._offsets.append(position.offset)
        self._lengths.append(position.length)
        self._recent.append(data)

    def read(self, log: ExchangeLog, after: int, limit: int) -> list[bytes]:
        """Return the reports after a number."""
        last = min(self.last, after + limit)
        recent = self.last - len(self._recent)
        return [
            self._recent[at - recent]
            if at >= recent
            else log.data_at(Position(self._offsets[at], self._lengths[at]))
            for at in range(after, last)
        ]


class DurableExchange:
    """Carries out inputs in memory, group by group, and keeps them with their reports on disk.

    Starting again folds the inputs of the log. The reports that they lead to are compared with
    those on disk: where they differ, the program has changed its mind about what was said before,
    and ExchangeLogError names the first difference.
    """

    def __init__(self, directory: str | Path, settings: ExchangeSettings) -> None:
        self.log = ExchangeLog(directory)
        self._engine: MatchingEngine | None = None
        self._staged: list[LogRecord] = []
        self._index: dict[str, _Reports] = {}
        self._by_number: list[_Reports] = []
        try:
            self._recover()
            self._begin(settings)
        except BaseException:
            self.log.close()
            raise

    def __enter__(self) -> DurableExchange:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the log."""
        self.log.close()

    @property
    def engine(self) -> MatchingEngine:
        """The engine; its state may be ahead of the disk until `commit`."""
        assert self._engine is not None
        return self._engine

    @property
    def state(self) -> ExchangeState:
        """The state of the engine."""
        return self.engine.state

    @property
    def staged(self) -> bool:
        """Whether there is something to commit."""
        return bool(self._staged)

    def stage(self, event: ExchangeInput) -> Outcome:
        """Carry out an input in memory; ExchangeError for one that cannot be carried out."""
        outcome = self.engine.apply(event)
        if outcome.changed:
            self._staged.append(LogRecord(INPUT, 0, pack(event)))
            if isinstance(event, AddAccount):
                self._add_account(event.account)
            for name, sequence, report in outcome.reports:
                data = pack(Report(sequence, report))
                self._staged.append(LogRecord(REPORT, self._index[name].number, data))
        return outcome

    def commit(self) -> None:
        """Write what was staged and wait for the disk; ExchangeLogError when it fails."""
        staged, self._staged = self._staged, []
        if not staged:
            return
        for record, position in zip(staged, self.log.append(staged), strict=True):
            if record.kind == REPORT:
                self._by_number[record.account].add(position, record.data)

    def discard(self) -> None:
        """Forget what was staged and fold the log again: memory is as the disk says."""
        self._recover()

    def last_report(self, account: str) -> int:
        """Return the number of an account's last report on disk."""
        return self._index[account].last

    def reports(self, account: str, after: int, limit: int = 1_000) -> list[bytes]:
        """Return an account's reports on disk after a number, as messages of the protocol."""
        return self._index[account].read(self.log, after, limit)

    # --- recovery -----------------------------------------------------------------------------

    def _begin(self, settings: ExchangeSettings) -> None:
        """Begin a new log with its settings, or hold them against those of the log."""
        if self._engine is not None:
            if not _same_rules(self.state.settings, settings):
                raise ExchangeError(
                    f"{self.log.directory} was begun with other settings: {self.state.settings}; "
                    "start with these, or with another directory"
                )
            return
        self._engine = MatchingEngine(settings)
        self._staged.append(LogRecord(INPUT, 0, pack(settings)))
        self.commit()

    def _add_account(self, name: str) -> None:
        found = self._index[name] = _Reports(len(self._by_number))
        self._by_number.append(found)

    def _recover(self) -> None:
        self._engine = None
        self._staged, self._index, self._by_number = [], {}, []
        expected: deque[tuple[int, bytes]] = deque()
        for group in self.log.read():
            for record, position in group:
                if record.kind == INPUT:
                    self._compare(expected, None, position)
                    expected.extend(self._fold(record.data))
                else:
                    self._compare(expected, record, position)
                    self._by_number[record.account].add(position, record.data)
            self._compare(expected, None, None)

    def _fold(self, data: bytes) -> list[tuple[int, bytes]]:
        """Carry out an input of the log; return the reports that it leads to."""
        event = decode_exchange_input(data)
        if isinstance(event, ExchangeSettings):
            self._engine = MatchingEngine(event)
            return []
        if self._engine is None:
            raise ExchangeLogError(f"{self.log.path} does not begin with the settings")
        outcome = self._engine.apply(event)
        if isinstance(event, AddAccount) and outcome.changed:
            self._add_account(event.account)
        return [
            (self._index[name].number, pack(Report(sequence, report)))
            for name, sequence, report in outcome.reports
        ]

    def _compare(
        self,
        expected: deque[tuple[int, bytes]],
        record: LogRecord | None,
        position: Position | None,
    ) -> None:
        """Hold a report of the log against what its input leads to now; None is the next input."""
        if record is None and not expected:
            return
        now = expected.popleft() if expected else None
        if record is not None and now == (record.account, record.data):
            return
        where = "at the end of a group" if position is None else f"at byte {position.offset}"
        raise ExchangeLogError(
            f"{self.log.path}, {where}: the log says {_shown(record and record.data)}, the same "
            f"input leads to {_shown(now and now[1])} now; run the version of the program that "
            "wrote it"
        )


def _shown(data: bytes | None) -> str:
    if data is None:
        return "nothing"
    try:
        return repr(msgspec.msgpack.decode(data))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return f"{len(data)} bytes that are no report"


def _same_rules(one: ExchangeSettings, other: ExchangeSettings) -> bool:
    return all(
        getattr(one, name) == getattr(other, name)
        for name in ExchangeSettings.__struct_fields__
        if name != "time"
    )
