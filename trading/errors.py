"""What can go wrong in `trading`, under one root; every error survives pickle."""

from __future__ import annotations

from typing import Any


def shown(value: object) -> str:
    """Return a value as messages show it, at most eighty characters."""
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001 - a repr of somebody's own may raise anything
        return f"this {type(value).__name__}"
    return text if len(text) <= 80 else f"{text[:77]}..."


def _rebuild(cls: type[TradingError], args: tuple[Any, ...], state: dict[str, Any]) -> Exception:
    error = cls.__new__(cls, *args)
    error.__dict__.update(state)
    return error


class TradingError(Exception):
    """Root of every error of this package."""

    def __reduce__(self) -> tuple[Any, ...]:
        # The default calls cls(*args), which fails for constructors that take fields.
        return _rebuild, (type(self), self.args, self.__dict__)


class NumberError(TradingError, ValueError):
    """A number that is not exact where it must be: NaN, infinite, or with too many decimals."""


class InstrumentError(TradingError, ValueError):
    """The description of an instrument contradicts itself or has no exact form."""


class UnknownInstrument(TradingError, LookupError):
    """No instrument has this symbol."""

    def __init__(self, symbol: str, known: int = 0) -> None:
        self.symbol = symbol
        self.known = known
        super().__init__(
            f"no instrument {symbol!r} among the {known} that are defined; "
            "define it before it is traded"
        )


class OrderError(TradingError):
    """Root of what can go wrong with an order."""


class InvalidOrderRequest(OrderError, ValueError):
    """A request that can be no order, whatever the market and the limits.

    `code` says which kind of fault: MALFORMED, NOT_A_NUMBER, PRICE_INCREMENT or SIZE_INCREMENT.
    """

    def __init__(self, problem: str, code: str = "MALFORMED") -> None:
        self.code = code
        super().__init__(problem)


class InvalidOrderEvent(OrderError, ValueError):
    """An event that an order in this state cannot have."""

    def __init__(
        self, order_id: str, status: str, event: str, allowed: tuple[str, ...] = ()
    ) -> None:
        self.order_id = order_id
        self.status = status
        self.event = event
        self.allowed = allowed
        name = f"order {order_id}" if order_id else "an order"
        super().__init__(
            f"{name} is {status} and cannot have the event {event}; "
            f"from {status} there {'are ' + ', '.join(allowed) if allowed else 'is no way on'}"
        )


class UnknownOrder(OrderError, LookupError):
    """There is no order of this id, or it was finished and removed long ago."""

    def __init__(self, order_id: str) -> None:
        self.order_id = order_id
        super().__init__(
            f"no order {order_id!r} is known here; look it up in the run's records, "
            "it may be finished or belong to another run"
        )


class FillConflict(TradingError, ValueError):
    """The same execution id came again with other content."""

    def __init__(self, fill_id: str, known: str, given: str) -> None:
        self.fill_id = fill_id
        self.known = known
        self.given = given
        super().__init__(
            f"execution {fill_id!r} is booked as {known} and came again as {given}; "
            "the first one stays; a broker corrects an execution by a correction, not by a repeat"
        )


class UnknownFill(TradingError, LookupError):
    """A bust or correction names an execution that is not in the book's memory."""

    def __init__(self, fill_id: str) -> None:
        self.fill_id = fill_id
        super().__init__(
            f"no execution {fill_id!r} is in the book's memory; give its side, quantity and price "
            "to book its reversal"
        )


class PositionError(TradingError, ValueError):
    """A fill or a corporate action that a book of lots cannot take."""


class LimitsError(TradingError, ValueError):
    """Limits that contradict themselves, or that one person alone tried to set."""


class SizingError(TradingError, ValueError):
    """A size cannot be computed from what was given."""


class BrokerError(TradingError):
    """A broker was asked for something that it cannot do."""


class BrokerUnavailable(BrokerError):
    """A venue did not answer in time, or the link to it is down; trying again may help."""


class BrokerRefused(BrokerError):
    """A venue does not let this account in, or not this program; trying again does not help.

    `code` is the venue's: WRONG_KEY, FENCED, SEQUENCE_AHEAD, VERSION, INSTRUMENTS, …
    """

    def __init__(self, problem: str, code: str = "REFUSED") -> None:
        self.code = code
        super().__init__(problem)

    def __reduce__(self) -> tuple[type[BrokerRefused], tuple[str, str]]:
        """Survive pickle with all fields."""
        return type(self), (str(self), self.code)


class ExchangeError(TradingError):
    """The simulated exchange was set up or asked wrongly."""


class ExchangeLogError(ExchangeError):
    """The exchange's log cannot be read, written or continued."""


class WireError(ExchangeError, ValueError):
    """Bytes that are no message of the exchange's protocol."""


class KernelError(TradingError):
    """Root of what can go wrong in the kernel."""


class GovernanceError(TradingError):
    """A governed change or request that is not possible: by whom, in which state, or at all."""


class SettlementError(TradingError):
    """The end of a day cannot be computed or kept."""


class EngineError(TradingError):
    """The trading engine cannot be set up, started, or go on."""


class EngineStopped(EngineError):
    """The engine is not running, or stopped before a command was recorded.

    Whether the command was recorded is unknown only where the message says so: give it again under
    the same command id.
    """


class EngineTimeout(EngineError, TimeoutError):
    """The engine did not answer in time; a command may still be recorded."""


class ReplayError(TradingError, ValueError):
    """A recording that cannot be played, verified or compared as it was asked for."""


class ArchiveError(TradingError, ValueError):
    """An archive that cannot be made, or that is not what it was when it was signed."""


class LinkError(TradingError, ConnectionError):
    """A process of the desk cannot be reached, or the link to it is cut."""


class ApiAway(TradingError, ConnectionError):
    """The desk's API does not answer; a command under a key can be given again."""


class ApiRefused(TradingError):
    """The desk's API refused; `status` is that of HTTP, `code` and `problem` say why."""

    def __init__(self, status: int, code: str, detail: str, problem: dict[str, Any]) -> None:
        self.status = status
        self.code = code
        self.detail = detail
        self.problem = problem
        super().__init__(f"{status} {code}: {detail}")

    def __reduce__(self) -> tuple[Any, ...]:
        """Survive pickle with all fields."""
        return type(self), (self.status, self.code, self.detail, self.problem)


class DeskError(TradingError):
    """A desk cannot be set up or started with what it was given."""


class SettingsError(KernelError, ValueError):
    """Settings that are unknown, out of bounds, or that cannot work together."""


class JournalError(KernelError, ValueError):
    """Bytes that are no input or output of the kernel, or an input that cannot be processed."""


class SnapshotError(KernelError, ValueError):
    """Bytes that are no snapshot, or one that does not fit the components it is restored with."""


class InvariantError(KernelError, AssertionError):
    """The books contradict themselves: a fault of the program, never of its input."""


class SymbolError(TradingError, ValueError):
    """A text cannot be a symbol."""


class StrategyError(TradingError, ValueError):
    """A strategy was declared, set up or used in a way that it cannot be."""


class BacktestError(TradingError, ValueError):
    """A backtest, a sweep or a check cannot be run with what it was given."""


class IntervalError(TradingError, ValueError):
    """A text is no interval of bars, or the interval does not fit what it is used for."""


class CalendarError(TradingError, ValueError):
    """A trading calendar is unknown, or says nothing about the time asked for."""


class TickError(TradingError, ValueError):
    """Ticks that cannot be taken. Nothing of the table they came in was used.

    `row` is the first bad row, counted from 0, and `rows` how many are bad; None where the fault is
    one of the whole table.
    """

    def __init__(self, message: str, row: int | None = None, rows: int | None = None) -> None:
        super().__init__(message)
        self.row = row
        self.rows = rows


class BarError(TradingError, ValueError):
    """Bars that cannot be used: columns are missing, or they do not fit what is asked for."""


class CorporateActionError(TradingError, ValueError):
    """A split or dividend cannot be applied to what it is asked of."""


class OptionError(TradingError, ValueError):
    """An option or a chain lacks what its figures need."""


class IndicatorError(TradingError, ValueError):
    """An indicator was made or fed with a value that it cannot take."""


class MetricsError(TradingError, ValueError):
    """Equity, returns, fills or prices from which no figures can be computed."""


class TickStoreError(TradingError):
    """The tick store cannot be reached or used, or the user has not the right."""


class FeedError(TradingError):
    """A feed of ticks was described wrongly, or ended for good."""


class SequenceConflict(TickError):
    """Ticks came under the source sequence of other ones.

    Unlike with other TickErrors the rest of the table is kept: `new` ticks of it. The ticks that
    were refused, as many as `conflicts`, are listed by `TickStore.conflicts()`.
    """

    def __init__(self, message: str, new: int | None = None, conflicts: int | None = None) -> None:
        super().__init__(message, None, conflicts)
        self.new = new
        self.conflicts = conflicts

    def __reduce__(self) -> tuple[type[SequenceConflict], tuple[str, int | None, int | None]]:
        """Survive pickle with all fields."""
        return type(self), (str(self), self.new, self.conflicts)
