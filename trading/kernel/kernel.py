"""The step: one input in, its outputs out, and nothing else read or written.

    kernel = Kernel(Settings(), broker=PaperBroker("tick"))
    kernel.step(DefineInstrument(0, specify("AAPL")))
    outputs = kernel.step(Tick(time, "AAPL", 22825, 100))

The same inputs give the same outputs, byte for byte, in any process, in batches of any size, from
the beginning or from any snapshot.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from trading.brokers.paper import PaperBroker
from trading.errors import JournalError, SettingsError
from trading.journal import inputs as given
from trading.journal import reports
from trading.journal.inputs import Bar, Input
from trading.journal.outputs import CommandAnswered, Output
from trading.journal.recorder import Recorder
from trading.kernel.account_commands import AccountCommands
from trading.kernel.desk import Desk, next_day
from trading.kernel.hosting import AcceptAll, Context, HostedStrategy, Picker, StrategyHost
from trading.kernel.prices.bar_batches import BarBatches
from trading.kernel.prices.bar_columns import BarColumns
from trading.kernel.prices.bars import BarFold, TickBars
from trading.kernel.prices.columns import TickColumns
from trading.kernel.prices.market_data import MarketData
from trading.kernel.reference_data import ReferenceData
from trading.kernel.settings import Settings
from trading.kernel.snapshot import (
    Snapshot,
    read_executions,
    read_snapshot,
    write_executions,
    write_snapshot,
)
from trading.kernel.timers import NEVER, Timers
from trading.orders.id_digests import IdDigests
from trading.orders.order import Order
from trading.positions.lots import Position
from trading.risk.account import Account, Market
from trading.risk.totals import Watch

__all__ = ["Kernel", "step"]

# Strategies begin with the first of these: instruments and accounts are there by then.
_PRICES_AND_TIME = frozenset({given.Tick, given.Bar, given.Clock})
_OF_A_SYMBOL = frozenset({given.Tick, given.Bar})
_MANY_TICKS = frozenset({given.TickBatch, TickColumns})
_MANY_BARS = frozenset({given.BarBatch, BarColumns})


def step(kernel: Kernel, event: Input | TickColumns | BarColumns) -> list[Output]:
    """Give a kernel one input and return what it says."""
    return kernel.step(event)


class Kernel:
    """Orders, risk, fills, lots and P&L as a function of its inputs.

    `broker` is the simulated broker of backtests and paper trading; without one, orders leave as
    effects and the broker's reports are inputs. `fold` makes bars of ticks, one-minute bars unless
    told otherwise. `step` returns outputs; JournalError for an input that cannot be processed, and
    then nothing has changed.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        broker: PaperBroker | None = None,
        strategies: Sequence[HostedStrategy] = (),
        picker: Picker | None = None,
        fold: BarFold | None = None,
    ) -> None:
        self.settings = settings = Settings() if settings is None else settings
        self._recorder = Recorder(
            settings.prefix, digest=settings.digest, bars=settings.record_bars
        )
        self._market = Market(settings.money_decimals)
        self._accounts: dict[str, Account] = {}
        self._timers = Timers()
        self._heap = self._timers.heap
        self._checks = settings.check_invariants
        # When each command came, by its id.
        self._commands = IdDigests()
        self._day_set = False
        self._paper = broker
        self._picker: Picker = AcceptAll() if picker is None else picker
        self._host = StrategyHost(self._recorder, strategies)
        self._fold = fold = _fold_of(settings) if fold is None else fold
        watch: Watch = []
        self._desk = Desk(
            settings,
            self._recorder,
            self._market,
            self._accounts,
            self._timers,
            self._host,
            self._picker,
            broker,
            watch,
        )
        self._data = MarketData(
            self._recorder,
            self._market,
            self._desk,
            self._host,
            fold,
            broker,
            settings.fills_timeframe,
            self._advance,
            self._due,
            watch,
        )
        self._bars = BarBatches(
            self._recorder,
            self._market,
            self._desk,
            self._host,
            self._data,
            broker,
            self._timers,
            self._advance,
            self._due,
            self._begin,
        )
        self._account_commands = AccountCommands(
            *(self._recorder, self._market, self._accounts),
            *(self._desk, self._data, self._host),
        )
        self._reference = ReferenceData(
            self._recorder, self._market, self._accounts, self._desk, fold, broker
        )
        self._connect()
        self._handlers = self._find_handlers()
        self._reports = self._find_reports()

    def _connect(self) -> None:
        """Introduce what was given from outside to the parts that it works with."""
        if self._paper is not None:
            writer = self._desk.writer
            self._paper.connect(
                self._market,
                self._report,
                writer.accepted,
                writer.filled,
                writer.filled_at_once,
            )
        if self._fold is not None:
            self._fold.connect(self._market)
        self._picker.connect(self._market, self._recorder)
        strategies = self._host.strategies.values()
        self._host.contexts = {each.name: self._context(each) for each in strategies}

    def _context(self, strategy: HostedStrategy) -> Context:
        return Context(
            strategy,
            self._recorder,
            self._market,
            self._accounts,
            self._desk.ledger,
            self._desk,
            self._picker,
            self._timers,
            self._data.last_bars,
        )

    # --- the step ---------------------------------------------------------------------------------

    def step(self, event: Input | TickColumns | BarColumns) -> list[Output]:
        """Take in one input, or many ticks or bars, and return what it caused, in order."""
        kind = type(event)
        handler = self._handlers.get(kind)
        if handler is None:
            self._step_many(event, kind)
        else:
            self._step_one(event, kind, handler)
        if self._checks:
            self.check()
        return self._recorder.take()

    def advance(self, time: int) -> list[Output]:
        """Let happen what is due by a time, as the next input would; it is no input itself.

        Whoever plays a recording shows a bar when it ends, not when the next tick comes: outputs,
        ids and digest are the same either way. Nothing is due after the time of the next input.
        """
        self._advance(time)
        return self._recorder.take()

    def _step_one(self, event: Any, kind: type, handler: Callable[[Any], None]) -> None:
        time = event.time
        if kind in _OF_A_SYMBOL:
            self._known(event.symbol)
        if not self._day_set:
            self._begin_day(time)
        recorder, heap = self._recorder, self._heap
        if (
            (heap and heap[0][0] <= time)
            or (self._fold is not None and self._fold.due <= time)
            or self._picker.due <= time
        ):
            self._advance(time)
        now = recorder.now
        # A comparison costs a fifth of a call of max.
        recorder.now = time if time > now else now
        recorder.number += 1
        recorder.ordinal = 0
        if self._paper is not None:
            self._paper.state.now = recorder.now
        if not self._host.started and kind in _PRICES_AND_TIME:
            self._begin()
        handler(event)
        self._desk.settle()

    def _step_many(self, event: Any, kind: type) -> None:
        if kind in _MANY_TICKS:
            self._step_ticks(event)
        elif kind in _MANY_BARS:
            self._step_bars(event)
        else:
            raise JournalError(
                f"{kind.__name__} is no input of the kernel; there are: "
                f"{', '.join(sorted(each.__name__ for each in self._handlers))}"
            )

    def _step_ticks(self, event: Any) -> None:
        ticks = event if type(event) is TickColumns else TickColumns.from_batch(event)
        for symbol in ticks.symbols:
            self._known(symbol)
        if not len(ticks):
            return
        if not self._host.started:
            # Strategies begin with the first tick, at its time, as if it had come alone.
            self._step_one(ticks.tick(0), given.Tick, self._data.tick)
            ticks = ticks.slice(1, len(ticks))
        elif not self._day_set:
            self._begin_day(int(ticks.times[0]))
        self._data.ticks(ticks)

    def _step_bars(self, event: Any) -> None:
        bars = event if type(event) is BarColumns else BarColumns.from_batch(event)
        for symbol in bars.symbols:
            self._known(symbol)
        if not len(bars):
            return
        if not self._day_set:
            self._begin_day(int(bars.times[0]))
        if not self._host.started:
            # What strategies set up when they begin is there for the rest of the batch.
            first = bars.moment_after(1)
            self._bars.walk(bars.slice(0, first))
            bars = bars.slice(first, len(bars))
        self._bars.walk(bars)

    def _begin(self) -> None:
        """Prices or the time begin: strategies hear of it; bars that began before are partial."""
        self._host.start()
        if self._fold is not None:
            self._fold.begin(self._recorder.now)

    def _known(self, symbol: str) -> None:
        if symbol not in self._market.specs:
            raise JournalError(
                f"no instrument {symbol!r} is defined in this run; give DefineInstrument first"
            )

    # --- time -------------------------------------------------------------------------------------

    def _due(self) -> int:
        heap, fold = self._timers.heap, self._fold
        due = heap[0][0] if heap else NEVER
        if fold is not None:
            bars = fold.due
            due = min(due, bars)
        picker = self._picker.due
        return picker if picker < due else due

    def _advance(self, to: int) -> None:
        """Let everything happen that is due by a time: bars first, then timers as they were set."""
        recorder = self._recorder
        while True:
            due = self._due()
            if due > to:
                return
            recorder.now = max(recorder.now, due)
            if self._paper is not None:
                self._paper.state.now = recorder.now
            if self._data.due <= due:
                self._data.close_bars(recorder.now)
            elif self._timers.due <= due:
                _, _, kind, subject = self._timers.pop()
                self._fire(kind, subject)
            else:
                for order_id in self._picker.expire(due):
                    self._desk.cancel_order(order_id, "the time of its reservation is over")
                self._desk.gate.forget_totals()
                if self._picker.due <= due:
                    raise SettingsError(
                        f"the picker has something due at {self._picker.due} and kept it when it "
                        f"was told to expire at {due}; expire must end it"
                    )
            self._desk.settle()

    def _fire(self, kind: str, subject: str) -> None:
        desk = self._desk
        if kind == "mark":
            desk.mark()
        elif kind == "expire":
            desk.expire(subject)
        elif kind == "broker":
            if self._paper is not None:
                self._paper.advance(self._recorder.now)
        elif kind == "strategy":
            self._host.timer(subject)
        elif kind == "launch":
            desk.launch_held(subject)
        elif kind == "flat_by":
            desk.flat_by(subject)
        elif kind == "day":
            self._next_day()

    def _begin_day(self, time: int) -> None:
        self._day_set = True
        self._timers.set(next_day(time, self.settings.day_offset), "day")

    def _next_day(self) -> None:
        for account in self._accounts.values():
            account.begin_day(self._market)
        now = self._recorder.now
        self._timers.set(next_day(now, self.settings.day_offset), "day")
        before = now - self.settings.command_memory
        self._commands.forget_up_to(before)

    # --- what inputs do ---------------------------------------------------------------------------

    def _find_handlers(self) -> dict[type, Callable[[Any], None]]:
        desk, people, reference = self._desk, self._account_commands, self._reference
        commands: dict[type, Callable[[Any], tuple[str, str]]] = {
            given.Submit: desk.submit,
            given.Cancel: desk.cancel,
            given.Replace: desk.replace,
            given.CancelAll: self._cancel_all,
            given.Flatten: desk.flatten,
            given.SetTradingState: people.set_trading_state,
            given.SetLimits: people.set_limits,
            given.SetParameters: people.set_parameters,
            given.Transfer: people.transfer,
            given.SetWeights: self._picker.set_weights,
        }
        handlers: dict[type, Callable[[Any], None]] = {
            given.Tick: self._data.tick,
            given.Bar: self._data.bar,
            given.Clock: lambda _: None,
            given.OpenAccount: people.open,
            given.DefineInstrument: reference.define,
            given.DefineSessions: reference.define_sessions,
            given.SetRate: reference.set_rate,
            given.SetAtr: reference.set_atr,
            given.SplitShares: reference.split,
            given.CashDividend: reference.dividend,
            given.FeedGap: reference.gap,
        }
        for kind, answer in commands.items():
            handlers[kind] = self._command(answer)
        for kind in self._find_reports():
            handlers[kind] = self._report
        return handlers

    def _find_reports(self) -> dict[type, Callable[[Any], None]]:
        writer, corrections = self._desk.writer, self._desk.corrections
        return {
            reports.OrderAccepted: writer.accepted,
            reports.OrderRejected: writer.rejected,
            reports.OrderCanceled: writer.canceled,
            reports.OrderExpired: writer.expired,
            reports.OrderTriggered: writer.triggered,
            reports.OrderReplaced: writer.replaced,
            reports.OrderReplaceRejected: writer.replace_rejected,
            reports.OrderCancelRejected: writer.cancel_rejected,
            reports.OrderFilled: writer.filled,
            reports.FillBusted: corrections.busted,
            reports.FillCorrected: corrections.corrected,
        }

    def _report(self, report: Any) -> None:
        self._reports[type(report)](report)

    def _command(self, answer: Callable[[Any], tuple[str, str]]) -> Callable[[Any], None]:
        """Carry out a command once: a repeated id is answered and changes nothing."""

        def run(command: Any) -> None:
            recorder = self._recorder
            command_id = command.command_id
            if not command_id:
                answer(command)
                return
            if self._commands.add(command_id, recorder.now) is not None:
                recorder.emit(CommandAnswered(recorder.now, command_id, "REPEATED"))
                return
            code, detail = answer(command)
            recorder.emit(CommandAnswered(recorder.now, command_id, code, detail))

        return run

    def _cancel_all(self, command: given.CancelAll) -> tuple[str, str]:
        count = self._desk.cancel_all(
            command.account, command.strategy, command.symbol, f"by {command.by}"
        )
        return "OK", f"{count} orders"

    # --- what there is ----------------------------------------------------------------------------

    @property
    def now(self) -> int:
        """The time of the last input, in nanoseconds."""
        return self._recorder.now

    @property
    def due(self) -> int:
        """When something happens by the clock alone, such as a timer; far away if nothing does.

        Whoever feeds the kernel gives it a `Clock` then, if nothing else comes by.
        """
        return self._due()

    @property
    def digest(self) -> str:
        """SHA-256 over everything said so far: equal digests are what "the same" means."""
        return self._recorder.digest

    @property
    def outputs(self) -> int:
        """How many outputs there were."""
        return self._recorder.count

    @property
    def market(self) -> Market:
        """Instruments, last prices, rates; to look at."""
        return self._market

    @property
    def working_bars(self) -> list[Bar]:
        """Bars of ticks that are not final yet; none of a fold that does not tell them."""
        working = getattr(self._fold, "working", None)
        return [] if working is None else list(working())

    @property
    def accounts(self) -> dict[str, Account]:
        """Accounts by name; to look at."""
        return self._accounts

    @property
    def orders(self) -> dict[str, Order]:
        """Orders that are not forgotten yet; to look at."""
        return self._desk.writer.orders

    @property
    def positions(self) -> dict[tuple[str, str, str], Position]:
        """Positions by account, strategy and symbol; to look at."""
        return self._desk.ledger.positions

    def check(self) -> None:
        """Raise InvariantError where lots, positions, exposures and cash contradict each other."""
        self._desk.check(self._account_commands.moved)

    # --- snapshots --------------------------------------------------------------------------------

    def snapshot(self) -> bytes:
        """Return the whole state; a kernel of the same settings and components goes on from it."""
        recorder, timers, desk = self._recorder, self._timers.dump(), self._desk
        writer, strategies, people = desk.writer, self._host.strategies, self._account_commands
        taken_back, executions = write_executions(writer)
        return write_snapshot(
            Snapshot(
                settings=self.settings,
                broker=None if self._paper is None else self._paper.settings(),
                recorder=recorder.dump(),
                market=self._market,
                accounts=self._accounts,
                orders=list(writer.orders.values()),
                seen=taken_back,
                executions=executions,
                finished=writer.finished,
                groups=list(desk.groups.groups.values()),
                emulated=desk.emulator.held,
                positions=list(desk.ledger.positions.values()),
                timers=timers[0],
                timer_sequence=timers[1],
                mark_set=desk.mark_set,
                day_set=self._day_set,
                commands={},
                command_ids=self._commands.dump(),
                moved=[(a, c, m) for (a, c), m in people.moved.items()],
                paper=None if self._paper is None else self._paper.state,
                fold=b"" if self._fold is None else self._fold.dump(),
                last_bars=self._data.last_bars,
                measures=self._data.measures,
                picker=self._picker.dump(),
                strategies={name: each.dump() for name, each in strategies.items()},
                stopped=self._host.stopped,
                started=self._host.started,
            )
        )

    def restore(self, data: bytes) -> None:
        """Go on from a snapshot of a kernel with the same settings, broker and strategies.

        SnapshotError says what differs; nothing has changed then.
        """
        mine = None if self._paper is None else self._paper.settings()
        snapshot = read_snapshot(data, self.settings, mine, list(self._host.strategies))
        self._recorder.load(snapshot.recorder)
        for name in Market.__struct_fields__:
            setattr(self._market, name, getattr(snapshot.market, name))
        _refill(self._accounts, snapshot.accounts)
        desk = self._desk
        writer = desk.writer
        _refill(writer.orders, {order.order_id: order for order in snapshot.orders})
        read_executions(snapshot, writer)
        writer.finished[:] = snapshot.finished
        _refill(desk.groups.groups, {group.group_id: group for group in snapshot.groups})
        desk.emulator.restore(snapshot.emulated)
        desk.ledger.restore(snapshot.positions)
        desk.gate.forget()
        desk.mark_set = snapshot.mark_set
        self._timers.load(snapshot.timers, snapshot.timer_sequence)
        desk.set_missing_timers()
        self._day_set = snapshot.day_set
        self._commands.load(snapshot.command_ids)
        for command_id, time in snapshot.commands.items():
            self._commands.add(command_id, time)
        self._account_commands.moved = {(a, c): m for a, c, m in snapshot.moved}
        if self._paper is not None and snapshot.paper is not None:
            self._paper.restore(snapshot.paper)
        if self._fold is not None:
            self._fold.connect(self._market)
            self._fold.load(snapshot.fold)
        _refill(self._data.last_bars, snapshot.last_bars)
        self._data.measures = snapshot.measures
        self._picker.load(snapshot.picker)
        for name, state in snapshot.strategies.items():
            self._host.strategies[name].load(state)
        _refill(self._host.stopped, snapshot.stopped)
        self._host.started = snapshot.started


def _fold_of(settings: Settings) -> BarFold | None:
    """What makes the bars that settings ask for; None where they ask for none."""
    if not (settings.bar_interval or settings.timeframes):
        return None
    first = (settings.bar_interval,) if settings.bar_interval else ()
    return TickBars(
        *first,
        *settings.timeframes,
        lateness=settings.bar_lateness,
        memory=settings.bar_memory,
    )


def _refill(target: dict[Any, Any], source: dict[Any, Any]) -> None:
    """Replace the content of a dict that others hold on to."""
    target.clear()
    target.update(source)
