"""explain: from a fill, an order, a refusal or a P&L figure back to what caused it.

    found = explain(recorded, recipe, "ACC.live.17-1")
    print(found.text())
    found.to_svg()                   # trading.replay.picture

The journal is folded once more, and each step of the chain says which input led to it: tick, bar,
signal with parameters and version, decision with limits, order, report, fill, match.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from trading.errors import ReplayError
from trading.journal import inputs as given
from trading.journal import outputs as said
from trading.kernel import TickColumns
from trading.numbers import from_units
from trading.replay.picture import Box, svg_of
from trading.replay.run_journal import Recipe, RecordedInput, RecordedRun
from trading.replay.verifying import describe
from trading.specification import InstrumentSpec
from trading.strategy import timeframe_of
from trading.times import moment

__all__ = ["Explanation", "Step", "explain"]

_MATCHES_SHOWN = 20


@dataclass(frozen=True)
class Step:
    """One cause: what it is, what it is called, and which other steps led to it, by their place.

    `input_number` is the input of the journal by which it happened; `details` are its figures.
    """

    kind: str
    subject: str
    time: int
    text: str
    input_number: int
    causes: tuple[int, ...] = ()
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Explanation:
    """A chain of causes; the first step is what was asked about."""

    subject: str
    steps: tuple[Step, ...]

    def as_data(self) -> list[dict[str, Any]]:
        """Return the steps as plain objects, for JSON."""
        return [
            {
                "kind": each.kind,
                "subject": each.subject,
                "time": moment(each.time).isoformat(),
                "input": each.input_number,
                "text": each.text,
                "causes": list(each.causes),
                "details": {k: str(v) for k, v in each.details.items() if v not in (None, "")},
            }
            for each in self.steps
        ]

    def text(self) -> str:
        """Return the chain as indented text; a step that is shown already is named only."""
        lines: list[str] = []
        shown: set[int] = set()

        def tell(place: int, depth: int) -> None:
            step = self.steps[place]
            again = place in shown
            shown.add(place)
            mark = "" if not depth else "  " * (depth - 1) + "<- "
            if again:
                lines.append(f"{mark}{step.kind} {step.subject} (above)")
                return
            lines.append(f"{mark}{step.kind} {step.text} [{moment(step.time).isoformat()}]")
            for cause in step.causes:
                tell(cause, depth + 1)

        tell(0, 0)
        return "\n".join(lines)

    def to_svg(self) -> str:
        """Return the chain as a picture."""
        boxes = [
            Box(each.kind, each.text, moment(each.time).isoformat(), each.causes)
            for each in self.steps
        ]
        return svg_of(self.subject, boxes)


def explain(recorded: RecordedRun, recipe: Recipe, subject: str) -> Explanation:
    """Return why something happened: an order's, fill's, signal's or match's id, or a P&L figure.

    A match is `CLOSING_FILL:OPENING_FILL`, a P&L figure `pnl:STRATEGY:SYMBOL` (an empty strategy is
    trading by hand). ReplayError where the run has nothing of the name.
    """
    facts = _Facts(recipe)
    for each in recorded.inputs():
        facts.take(each)
    return _Chain(facts).of(subject)


@dataclass
class _Fact:
    """An output with the input that it happened by, and the bars that it came after in its step."""

    output: Any
    by: RecordedInput
    bars: tuple[Any, ...] = ()


class _Facts:
    """What a run said, by what it is about."""

    def __init__(self, recipe: Recipe) -> None:
        self.kernel = recipe.kernel()
        self.parameters = {each.name: getattr(each, "strategy", None) for each in recipe.strategies}
        self.orders: dict[str, list[_Fact]] = {}
        self.signals: dict[str, list[_Fact]] = {}
        # The decision by which a signal became an order, by the order.
        self.picked: dict[str, _Fact] = {}
        self.fills: dict[str, list[_Fact]] = {}
        self.matches: dict[str, _Fact] = {}
        self.voided: dict[str, _Fact] = {}
        self.limits: dict[tuple[str, str], _Fact] = {}
        self.bars: dict[tuple[Any, ...], _Fact] = {}
        self.commands: dict[str, RecordedInput] = {}
        self.inputs: list[RecordedInput] = []

    def take(self, each: RecordedInput) -> None:
        self.inputs.append(each)
        if each.error:
            return
        command_id = getattr(each.event, "command_id", "")
        if command_id:
            self.commands.setdefault(command_id, each)
        bars: tuple[Any, ...] = (each.event,) if isinstance(each.event, given.Bar) else ()
        for output in self.kernel.step(each.event):
            if isinstance(output, said.BarClosed):
                bar = output.bar
                bars = (*bars, bar)
                self.bars[bar.symbol, bar.interval, bar.start] = _Fact(output, each)
                continue
            self._note(_Fact(output, each, bars))

    def _note(self, fact: _Fact) -> None:
        output = fact.output
        if isinstance(output, (said.SignalMade, said.PickerDecision)):
            self.signals.setdefault(output.signal_id, []).append(fact)
            if isinstance(output, said.PickerDecision) and output.order_id:
                self.picked[output.order_id] = fact
        elif isinstance(output, said.FillBooked):
            self.fills.setdefault(output.fill_id, []).append(fact)
        elif isinstance(output, said.FillTakenBack):
            self.fills.setdefault(output.fill_id, []).append(fact)
            if output.corrected_id:
                self.fills.setdefault(output.corrected_id, []).append(fact)
        elif isinstance(output, said.MatchMade):
            self.matches[f"{output.close_fill_id}:{output.open_fill_id}"] = fact
        elif isinstance(output, said.MatchVoided):
            self.voided[f"{output.close_fill_id}:{output.open_fill_id}"] = fact
        elif isinstance(output, said.LimitsChanged):
            self.limits[output.account, output.limits_id] = fact
        if isinstance(
            output, (said.OrderOpened, said.OrderEvent, said.OrderChanged, said.RiskDecision)
        ):
            self.orders.setdefault(output.order_id, []).append(fact)


class _Chain:
    """Puts steps together, each once."""

    def __init__(self, facts: _Facts) -> None:
        self._facts = facts
        self._steps: list[Step | None] = []
        self._places: dict[tuple[str, str], int] = {}

    def of(self, subject: str) -> Explanation:
        facts = self._facts
        if subject.startswith("pnl:"):
            self._pnl(subject)
        elif subject in facts.fills:
            self._fill(subject)
        elif subject in facts.orders:
            self._order(subject)
        elif subject in facts.signals:
            self._signal_and_decision(subject)
        elif subject in facts.matches:
            self._match(subject)
        else:
            raise ReplayError(
                f"the run has no order, fill, signal or match {subject!r}; a match is "
                "CLOSING_FILL:OPENING_FILL, a P&L figure pnl:STRATEGY:SYMBOL"
            )
        return Explanation(subject, tuple(each for each in self._steps if each is not None))

    # --- steps ------------------------------------------------------------------------------------

    def _begun(self, kind: str, subject: str) -> tuple[int, bool]:
        """The place of a step, and whether it is to be filled in."""
        key = kind, subject
        if key in self._places:
            return self._places[key], False
        self._places[key] = len(self._steps)
        self._steps.append(None)
        return self._places[key], True

    def _made(
        self,
        place: int,
        kind: str,
        subject: str,
        by: RecordedInput,
        text: str,
        causes: Iterable[int | None],
        time: int | None = None,
        **details: Any,
    ) -> int:
        known = tuple(dict.fromkeys(each for each in causes if each is not None))
        at = _time(by.event) if time is None else time
        self._steps[place] = Step(kind, subject, at, text, by.number, known, details)
        return place

    def _spec(self, symbol: str) -> InstrumentSpec:
        return self._facts.kernel.market.specs[symbol]

    def _money(self, units: int) -> Decimal:
        return from_units(units, self._facts.kernel.market.money_decimals).normalize()

    def _pnl(self, subject: str) -> int:
        _, strategy, symbol = (*subject.split(":", 2), "", "")[:3]
        positions = self._facts.kernel.positions
        found = [each for key, each in positions.items() if key[1:] == (strategy, symbol)]
        if not found:
            known = ", ".join(f"pnl:{key[1]}:{key[2]}" for key in positions) or "none"
            raise ReplayError(f"the run has no P&L figure {subject!r}; there are: {known}")
        [position, *_] = found
        place, _ = self._begun("pnl", subject)
        matches = [
            name
            for name, fact in self._facts.matches.items()
            if (fact.output.strategy, fact.output.symbol) == (strategy, symbol)
            and name not in self._facts.voided
        ]
        shown = matches[-_MATCHES_SHOWN:]
        causes: list[int | None] = [self._match(each) for each in shown]
        causes += [self._fill(lot.fill_id) for lot in position.lots]
        spec = self._spec(symbol)
        more = "" if shown == matches else f", the newest {len(shown)} of {len(matches)} matches"
        text = (
            f"{symbol} of {strategy or 'trading by hand'}: realized "
            f"{self._money(position.realized):f}, fees {self._money(position.fees):f}, income "
            f"{self._money(position.income):f}, open {spec.size(position.net)}{more}"
        )
        return self._made(place, "pnl", subject, self._facts.inputs[-1], text, causes)

    def _match(self, subject: str) -> int:
        place, is_new = self._begun("match", subject)
        if not is_new:
            return place
        fact = self._facts.matches[subject]
        match = fact.output
        size = self._spec(match.symbol).size(match.quantity)
        voided = " (no longer holds)" if subject in self._facts.voided else ""
        text = f"{size} {match.symbol} closed, realized {self._money(match.realized):f}{voided}"
        causes = self._fill(match.close_fill_id), self._fill(match.open_fill_id)
        return self._made(
            *(place, "match", subject, fact.by, text, causes, match.time),
            realized=self._money(match.realized),
            quantity=size,
        )

    def _fill(self, fill_id: str) -> int | None:
        facts = self._facts.fills.get(fill_id)
        if facts is None:
            return None
        place, is_new = self._begun("fill", fill_id)
        if not is_new:
            return place
        first = facts[0]
        output = first.output
        causes: list[int | None]
        if isinstance(output, said.FillTakenBack):
            # A correction's own execution: it stands in the place of another.
            text = f"{fill_id} in the place of {output.fill_id}: {output.reason}"
            causes = [self._input(first.by, "report"), self._fill(output.fill_id)]
            return self._made(place, "fill", fill_id, first.by, text, causes, output.time)
        spec = self._spec(output.symbol)
        side = "bought" if output.side > 0 else "sold"
        price, size = spec.price(output.price), spec.size(output.quantity)
        after = "".join(
            f", then {'corrected' if each.output.corrected_id else 'busted'} ({each.output.reason})"
            for each in facts[1:]
            if isinstance(each.output, said.FillTakenBack) and each.output.fill_id == fill_id
        )
        note = f" {output.note}" if output.note else ""
        text = f"{fill_id}: {side} {size} {output.symbol} at {price}{note}{after}"
        venue = "report" if type(first.by.event).__name__ == "OrderFilled" else "market"
        causes = [self._input(first.by, venue), self._order(output.order_id)]
        causes += [
            self._input(each.by, "report")
            for each in facts[1:]
            if isinstance(each.output, said.FillTakenBack)
        ]
        return self._made(
            *(place, "fill", fill_id, first.by, text, causes, output.time),
            price=price,
            quantity=size,
            fees=self._money(output.fees),
        )

    def _order(self, order_id: str) -> int | None:
        facts = self._facts.orders.get(order_id)
        if facts is None:
            return None
        place, is_new = self._begun("order", order_id)
        if not is_new:
            return place
        opened = next((each for each in facts if isinstance(each.output, said.OrderOpened)), None)
        if opened is None:
            return self._made(place, "order", order_id, facts[0].by, order_id, [])
        terms = opened.output.terms
        spec = self._facts.kernel.market.specs.get(terms.symbol)
        size = terms.quantity if spec is None else spec.size(terms.quantity)
        states = [each.output.status for each in facts if isinstance(each.output, said.OrderEvent)]
        side = "BUY" if terms.side > 0 else "SELL"
        limit = "" if terms.limit is None or spec is None else f" {spec.price(terms.limit)}"
        text = (
            f"{order_id}: {side} {size} {terms.symbol} {terms.kind}{limit}, "
            f"{' '.join(dict.fromkeys(states)) or 'INITIALIZED'}"
        )
        causes: list[int | None] = [
            self._risk(each, terms.account)
            for each in facts
            if isinstance(each.output, said.RiskDecision)
        ]
        causes += [self._picker_of(order_id, opened)]
        if opened.output.parent:
            causes.append(self._order(opened.output.parent))
        return self._made(
            *(place, "order", order_id, opened.by, text, causes, opened.output.time),
            account=terms.account,
            strategy=terms.strategy,
            status=states[-1] if states else "INITIALIZED",
        )

    def _risk(self, fact: _Fact, account: str) -> int:
        output = fact.output
        subject = f"risk of {output.order_id} at input {fact.by.number}"
        place, is_new = self._begun("decision", subject)
        if not is_new:
            return place
        if output.code == "OK":
            text = f"risk allows it, under limits {output.limits_id or '(none)'}"
        else:
            text = (
                f"risk refuses it: {output.code}, limit {output.limit}, seen {output.seen}, "
                f"allowed {output.allowed}"
            )
        limits = self._limits(account, output.limits_id)
        return self._made(
            *(place, "decision", subject, fact.by, text, [limits], output.time), code=output.code
        )

    def _limits(self, account: str, limits_id: str) -> int | None:
        fact = self._facts.limits.get((account, limits_id))
        if fact is None:
            return None
        place, is_new = self._begun("limits", limits_id)
        if not is_new:
            return place
        output, event = fact.output, fact.by.event
        terms = getattr(event, "limits", "")
        text = (
            f"{limits_id}, asked for by {output.requested_by}, approved by {output.approved_by}: "
            f"{terms}"
        )
        return self._made(place, "limits", limits_id, fact.by, text, [], output.time, limits=terms)

    def _picker_of(self, order_id: str, opened: _Fact) -> int | None:
        """What asked for an order: a signal that was picked, a strategy by itself, a command."""
        picked = self._facts.picked.get(order_id)
        if picked is not None:
            return self._picker(picked.output.signal_id, picked)
        command = self._facts.commands.get(opened.output.command_id)
        if command is not None:
            return self._input(command, "command")
        strategy = opened.output.terms.strategy
        if strategy in self._facts.parameters:
            return self._bar(opened, strategy, opened.output.terms.symbol)
        return self._input(opened.by, "input")

    def _picker(self, signal_id: str, fact: _Fact) -> int:
        subject = f"picker of {signal_id}"
        place, is_new = self._begun("decision", subject)
        if not is_new:
            return place
        output = fact.output
        text = f"picker: {output.code}, quantity {output.quantity} {output.detail}".rstrip()
        return self._made(
            *(place, "decision", subject, fact.by, text, [self._signal(signal_id)], output.time),
            code=output.code,
        )

    def _signal_and_decision(self, signal_id: str) -> None:
        """Of a signal that was refused, the refusal is what wants an explanation."""
        for fact in self._facts.signals[signal_id]:
            if isinstance(fact.output, said.PickerDecision) and fact.output.code != "OK":
                self._picker(signal_id, fact)
                return
        self._signal(signal_id)

    def _signal(self, signal_id: str) -> int:
        place, is_new = self._begun("signal", signal_id)
        if not is_new:
            return place
        facts = self._facts.signals[signal_id]
        made = next(each for each in facts if isinstance(each.output, said.SignalMade))
        output = made.output
        strategy = self._facts.parameters.get(output.strategy)
        parameters = getattr(strategy, "parameters", None) or output.parameters
        text = (
            f"{signal_id}: {output.strategy} version {output.version} says {output.action} "
            f"{output.symbol} ({output.reason or 'no reason given'}), parameters {parameters}"
        )
        causes = [self._bar(made, output.strategy, output.symbol)]
        return self._made(
            *(place, "signal", signal_id, made.by, text, causes, output.time),
            strategy=output.strategy,
            version=output.version,
            parameters_hash=output.parameters,
        )

    def _bar(self, fact: _Fact, strategy: str, symbol: str) -> int | None:
        """The bar that a strategy had just heard of; without one, the input itself."""
        if not fact.bars:
            return self._input(fact.by, "input")
        own = [each for each in fact.bars if each.symbol == symbol]
        bar = (own or fact.bars)[-1]
        subject = f"{bar.symbol} {timeframe_of(bar.interval)} {moment(bar.start).isoformat()}"
        place, is_new = self._begun("bar", subject)
        if not is_new:
            return place
        spec = self._spec(bar.symbol)
        prices = " ".join(
            str(spec.price(each)) for each in (bar.open, bar.high, bar.low, bar.close)
        )
        text = f"{subject}: {prices}, volume {spec.size(bar.volume)}, heard by {strategy}"
        causes = self._ticks(bar) or [self._input(fact.by, "input")]
        closed = self._facts.bars.get((bar.symbol, bar.interval, bar.start), fact)
        return self._made(place, "bar", subject, closed.by, text, causes, bar.time)

    def _ticks(self, bar: Any) -> list[int | None]:
        """The ticks that a bar has its open, high, low and close from."""
        inside: list[tuple[int, int, RecordedInput]] = []
        for each in self._facts.inputs:
            if each.error or not isinstance(each.event, (given.Tick, given.TickBatch)):
                continue
            inside += [
                (time, price, each)
                for time, symbol, price in _trades(each.event)
                if symbol == bar.symbol and bar.start <= time < bar.end
            ]
        if not inside:
            return []
        chosen = [
            inside[0],
            max(inside, key=lambda each: each[1]),
            min(inside, key=lambda each: each[1]),
            inside[-1],
        ]
        spec = self._spec(bar.symbol)
        found: list[int | None] = []
        for time, price, by in dict.fromkeys(chosen):
            subject = f"{bar.symbol} {spec.price(price)} at {moment(time).isoformat()}"
            place, is_new = self._begun("tick", subject)
            if is_new:
                self._made(place, "tick", subject, by, f"{subject}, input {by.number}", [], time)
            found.append(place)
        return found

    def _input(self, by: RecordedInput, kind: str) -> int:
        subject = f"input {by.number}"
        place, is_new = self._begun(kind, subject)
        if not is_new:
            return place
        return self._made(place, kind, subject, by, f"{subject}: {describe(by.event)}", [])


def _trades(event: Any) -> Iterable[tuple[int, str, int]]:
    """Time, symbol and price of the trades of an input."""
    if isinstance(event, given.Tick):
        if event.price is not None:
            time = event.time if event.event_time is None else event.event_time
            yield time, event.symbol, event.price
        return
    columns = TickColumns.from_batch(event)
    for row in range(len(columns)):
        yield from _trades(columns.tick(row))


def _time(event: Any) -> int:
    if isinstance(event, (given.TickBatch, given.BarBatch)):
        return int.from_bytes(event.times[-8:], "little")
    return int(event.time)
