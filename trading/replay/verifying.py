"""verify_run: a journal through the kernel again, and the first event that differs.

found = verify_run(recorded, recipe_of(recorded, strategies=[SmaCross()]), store)
if not found:
    print(found.text())
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from store.client import StoreClient
from trading.journal import decode_input
from trading.replay.run_journal import (
    Change,
    FoldedGroup,
    Group,
    Recipe,
    RecordedRun,
    fold_with_records,
    records_of_group,
)

__all__ = ["Difference", "Verification", "describe", "verify_run"]

_WIDTH = 100
_BYTES_SHOWN = 24


@dataclass(frozen=True)
class Difference:
    """The first group whose digest is another one here, and in it the first event.

    `recorded` and `folded` are that event as it was and as it is here, "" where there is none.
    `cause` is the input that led to it, `reason` why the two differ as far as that is known.
    """

    group: int
    input_number: int
    cause: str
    recorded: str
    folded: str
    reason: str
    recorded_digest: str
    folded_digest: str
    recorded_lines: tuple[str, ...] = ()
    folded_lines: tuple[str, ...] = ()


@dataclass(frozen=True)
class Verification:
    """What folding a run's journal has shown; true where its digest is that of the journal."""

    account: str
    run: str
    groups: int
    inputs: int
    outputs: int
    digest: str
    difference: Difference | None = None

    def __bool__(self) -> bool:
        return self.difference is None

    def text(self) -> str:
        """Return it as text: one line where all is well, else both sides and the cause."""
        name = f"run {self.run} of account {self.account}"
        if self.difference is None:
            return (
                f"{name}: {self.groups} groups, {self.inputs} inputs and {self.outputs} outputs "
                f"give the digest of the journal, {self.digest}"
            )
        found = self.difference
        lines = [
            f"{name}: group {found.group} leads to something else here",
            f"  digest of the journal  {found.recorded_digest}",
            f"  digest of this fold    {found.folded_digest}",
            f"  caused by input {found.input_number}: {found.cause}",
            f"  {found.reason}",
        ]
        return "\n".join([*lines, *_side_by_side(found.recorded_lines, found.folded_lines)])


def _side_by_side(recorded: Sequence[str], folded: Sequence[str]) -> Iterator[str]:
    for then, now in zip_longest(recorded, folded, fillvalue=""):
        mark = " " if then == now else "!"
        yield f"{mark} recorded | {then[:_WIDTH] or '(nothing)'}"
        if then != now:
            yield f"{mark} here     | {now[:_WIDTH] or '(nothing)'}"


def verify_run(
    recorded: RecordedRun, recipe: Recipe, store: StoreClient | None = None
) -> Verification:
    """Fold a run's journal and compare the digest after every group with the journal's.

    With a store, the records of the first group that differs are shown beside those of this fold.
    """
    kernel = recipe.kernel()
    inputs = 0
    for at, group in enumerate(recorded.groups):
        error = ""
        for entry in group.entries:
            inputs += 1
            if entry.error:
                continue
            try:
                kernel.step(decode_input(entry.data))
            except Exception as failed:  # noqa: BLE001 - what the kernel raises is a difference
                error = f"{type(failed).__name__}: {failed}"
                break
        if error or kernel.digest != group.digest:
            digest = f"none, the kernel raised {error}" if error else kernel.digest
            before = inputs - len(group.entries) if not error else _inputs_before(recorded, at)
            difference = _difference(recorded, recipe, store, group, before, digest)
            return Verification(
                recorded.account, recorded.run, at + 1, inputs, kernel.outputs, digest, difference
            )
    return Verification(
        *(recorded.account, recorded.run, len(recorded.groups), inputs, kernel.outputs),
        kernel.digest,
    )


def _inputs_before(recorded: RecordedRun, at: int) -> int:
    return sum(len(group.entries) for group in recorded.groups[:at])


def _difference(
    recorded: RecordedRun,
    recipe: Recipe,
    store: StoreClient | None,
    group: Group,
    before: int,
    digest: str,
) -> Difference:
    here = fold_with_records(recorded, recipe, group.number)
    then = [] if store is None else records_of_group(store, recorded, group.number)
    now = here.changes
    at = _first_difference(then, now)
    place, reason = _judged(store is not None, then, now, at, here)
    entry = group.entries[place]
    return Difference(
        group.number,
        before + place + 1,
        describe(decode_input(entry.data)),
        then[at].line() if at is not None and at < len(then) else "",
        now[at].line() if at is not None and at < len(now) else "",
        reason,
        group.digest,
        digest,
        tuple(each.line() for each in then),
        tuple(each.line() for each in now) or _said(here),
    )


def _first_difference(then: Sequence[Change], now: Sequence[Change]) -> int | None:
    for at in range(max(len(then), len(now))):
        if at >= len(then) or at >= len(now):
            return at
        if (then[at].kind, then[at].fields) != (now[at].kind, now[at].fields):
            return at
    return None


def _judged(
    has_records: bool,
    then: Sequence[Change],
    now: Sequence[Change],
    at: int | None,
    here: FoldedGroup,
) -> tuple[int, str]:
    """The place of the input that the difference comes of, and what is known of the reason."""
    if here.error:
        return len(here.outputs), f"the kernel could not process this input: {here.error}"
    if not has_records:
        place = next((n for n, outputs in enumerate(here.outputs) if outputs), 0)
        return place, "without a store there are no records to show beside this fold"
    if at is None:
        place = next((n for n, outputs in enumerate(here.outputs) if outputs), 0)
        return place, (
            "no record of this group differs; what is no record (a bar, a late tick, a group's "
            "state) does, or the journal's digest was altered"
        )
    place = now[at].input_place if at < len(now) else len(here.outputs) - 1
    if at < len(then) and at < len(now) and then[at].kind == now[at].kind:
        names = [
            name
            for name in {**then[at].fields, **now[at].fields}
            if then[at].fields.get(name) != now[at].fields.get(name)
        ]
        was = ", ".join(
            f"{name} was {then[at].fields.get(name)} and is {now[at].fields.get(name)} here"
            for name in names
        )
        return place, f"{then[at].kind}: {was}"
    if at >= len(now):
        return place, f"{then[at].kind} was recorded and does not happen here"
    if at >= len(then):
        return place, f"{now[at].kind} happens here and was not recorded"
    return place, f"{then[at].kind} was recorded where {now[at].kind} happens here"


def _said(here: FoldedGroup) -> tuple[str, ...]:
    return tuple(describe(output) for outputs in here.outputs for output in outputs)


def describe(event: Any) -> str:
    """Return an input or output as one line; columns of bytes by their length."""
    fields = []
    for name in getattr(event, "__struct_fields__", ()):
        value = getattr(event, name)
        if isinstance(value, bytes):
            value = f"{len(value)} bytes" if len(value) > _BYTES_SHOWN else value.hex()
        if value not in (None, "", b"", "0 bytes"):
            fields.append(f"{name}={value}")
    return f"{type(event).__name__} {' '.join(fields)}"
