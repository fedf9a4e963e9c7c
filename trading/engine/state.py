"""What an engine has in memory, all of it a function of the journal: folded, kept and discarded."""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from trading.brokers.paper import PaperBroker
from trading.engine.journal import Entry, Group
from trading.engine.pending import PendingEffects
from trading.engine.record_book import KeptRecord, RecordBook, ReplaySink
from trading.errors import EngineError, SnapshotError
from trading.journal import decode_input, encode
from trading.journal.codec import pack, unpack
from trading.journal.inputs import Input
from trading.journal.outputs import CommandAnswered, Effect, FillBooked, OrderEvent, Output
from trading.kernel import HostedStrategy, Kernel, Picker, Settings, TickColumns
from trading.orders.status import TERMINAL

__all__ = ["Answer", "EngineState", "Recipe", "canonical"]

_VERSION = 2
_ANSWERS = 10_000
# Most outputs are of other classes, and are passed over by one look.
_FOLLOWED = frozenset({CommandAnswered, OrderEvent, FillBooked})


@dataclass(frozen=True)
class Answer:
    """What became of a command; `detail` is the id of its order or group where it made one."""

    code: str
    detail: str = ""

    @property
    def ok(self) -> bool:
        """Whether the command was carried out."""
        return self.code == "OK"


@dataclass(frozen=True)
class Recipe:
    """What a kernel of the run is made of, afresh each time that the journal is folded."""

    account: str
    run: str
    settings: Settings
    broker: PaperBroker | None = None
    strategies: Sequence[HostedStrategy] = ()
    picker: Picker | None = None

    def kernel(self) -> Kernel:
        """Return a new kernel; the components given here stay as they are."""
        parts: list[Any] = copy.deepcopy([self.broker, list(self.strategies), self.picker])
        return Kernel(self.settings, broker=parts[0], strategies=parts[1], picker=parts[2])


class _Saved(msgspec.Struct, array_like=True, gc=False):
    """A snapshot of an engine: the kernel's, and what the engine itself keeps."""

    version: int
    kernel: bytes
    records: list[KeptRecord]
    effects: list[Effect]
    answers: list[tuple[str, str, str]]
    sequence: int
    inputs: int


def canonical(event: Input | TickColumns) -> bytes:
    """Return an input as the journal keeps it."""
    return encode(event.to_batch() if isinstance(event, TickColumns) else event)


@dataclass
class EngineState:
    """The kernel and what follows its outputs: records, unanswered effects, answers."""

    recipe: Recipe
    sequence: int = 0
    inputs: int = 0
    answers: OrderedDict[str, Answer] = field(default_factory=OrderedDict)
    pending: PendingEffects = field(default_factory=PendingEffects)

    def __post_init__(self) -> None:
        self.kernel = self.recipe.kernel()
        recipe = self.recipe
        self.book = RecordBook(
            recipe.account, recipe.run, self.kernel.market, recipe.settings.money_decimals
        )

    def step(self, event: Input | TickColumns, sequence: int = 0) -> list[Output]:
        """Give the kernel an input, and follow what it says; the records go to the group's sink.

        Whatever the kernel raises is raised: the state is of no use any more then.
        """
        outputs = self.kernel.step(event)
        self.inputs += 1
        self.sequence = max(self.sequence, sequence)
        self.pending.take(event, outputs)
        self.book.take(event, outputs)
        for output in outputs:
            if output.__class__ not in _FOLLOWED:
                continue
            if isinstance(output, CommandAnswered):
                self._answer(output)
            elif isinstance(output, (OrderEvent, FillBooked)) and output.status in TERMINAL:
                self.pending.forget(output.order_id)
        return outputs

    def _answer(self, output: CommandAnswered) -> None:
        answers = self.answers
        if output.code == "REPEATED" and output.command_id in answers:
            return
        answers[output.command_id] = Answer(output.code, output.detail)
        if len(answers) > _ANSWERS:
            answers.popitem(last=False)

    def end_group(self) -> None:
        """Write what the group changed, and let go of what the kernel has forgotten."""
        self.book.end()
        self.book.forget(self.kernel.orders)

    # --- folding ----------------------------------------------------------------------------------

    def fold(self, group: Group) -> None:
        """Take in a group of the journal; EngineError where it leads to something else here."""
        sink = ReplaySink(group.record_ids())
        self.book.begin(sink)
        for entry in group.entries:
            self.fold_entry(entry)
        self.end_group()
        sink.end()
        self.sequence = group.sequence
        if self.kernel.digest != group.digest:
            recipe = self.recipe
            raise EngineError(
                f"account {recipe.account}, run {recipe.run}: after group {group.number} the "
                f"journal has the digest {group.digest[:16]}…, folding it here gives "
                f"{self.kernel.digest[:16]}…. The program, its settings or its strategies are not "
                "those that wrote the journal: start with these, or begin another run"
            )

    def fold_entry(self, entry: Entry) -> list[Output]:
        """Take in an entry; one that the kernel could not process is passed over."""
        if entry.error:
            return []
        return self.step(decode_input(entry.data), entry.sequence)

    # --- snapshots --------------------------------------------------------------------------------

    def dump(self) -> bytes:
        """Return the state, between groups."""
        return pack(
            _Saved(
                _VERSION,
                self.kernel.snapshot(),
                self.book.dump(),
                self.pending.all(),
                [(key, each.code, each.detail) for key, each in self.answers.items()],
                self.sequence,
                self.inputs,
            )
        )

    @classmethod
    def load(cls, recipe: Recipe, data: bytes) -> EngineState:
        """Return the state of a snapshot; SnapshotError where it does not fit."""
        saved = unpack(data, _Saved)
        if saved.version != _VERSION:
            raise SnapshotError(
                f"the engine's snapshot has version {saved.version}, this program reads {_VERSION}"
            )
        state = cls(recipe, saved.sequence, saved.inputs)
        state.kernel.restore(saved.kernel)
        state.book.load(saved.records)
        state.pending.load(saved.effects)
        state.answers.update((key, Answer(code, detail)) for key, code, detail in saved.answers)
        return state
