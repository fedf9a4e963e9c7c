"""Handing events to handlers: again when they raise, and at last aside."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from store.errors import SubscriptionError
from store.events import ChangeEvent
from store.subscriptions.event_bus import Callback, EventBus
from store.subscriptions.event_filter import EventFilter
from store.subscriptions.log_follower import Stopped
from store.subscriptions.session import Session
from store.subscriptions.status import Counters

_LOG = logging.getLogger(__name__)

# How long an event is handed over again where the handler's database is away, and how seldom.
OUTAGE_SECONDS = 60.0
_OUTAGE_PAUSE_SECONDS = 2.0
_SHORTEST_SECONDS = 0.01

BatchHandler = Callable[[list[ChangeEvent]], object]
OnError = Literal["park", "stop"]


class Handler(Protocol):
    """Takes events one way or another.

    `met_outage` tells whether the last error was a database's that is away, which says nothing of
    the events.
    """

    met_outage: bool

    def handle(self, events: list[ChangeEvent], *, again: bool) -> str | None:
        """Take the events, `again` if it could not before; the error's text if it cannot."""


class BusHandler:
    """Hands single events to the callbacks of a bus; again only to those that raised."""

    def __init__(self, bus: EventBus) -> None:
        self._bus = bus
        self._left: Sequence[Callback] = ()
        self.met_outage = False

    def handle(self, events: list[ChangeEvent], *, again: bool) -> str | None:
        """Tell everybody, or those who raised before."""
        failures = self._bus.deliver(events[0], self._left if again else None)
        self.met_outage = any(_is_outage(failure.error) for failure in failures)
        if not failures:
            return None
        self._left = [failure.callback for failure in failures]
        return "\n".join(_text(failure.error) for failure in failures)


class FunctionHandler:
    """Hands lists of events to one function."""

    def __init__(self, function: BatchHandler) -> None:
        self._function = function
        self.met_outage = False

    def handle(self, events: list[ChangeEvent], *, again: bool) -> str | None:  # noqa: ARG002
        """Call the function."""
        try:
            self._function(events)
        except Stopped:
            raise
        except Exception as error:  # noqa: BLE001 - somebody else's code
            _LOG.exception("a handler raised on %s events: %r", len(events), self._function)
            self.met_outage = _is_outage(error)
            return _text(error)
        return None


@dataclass
class Delivery:
    """Hands the events of a page over, in order, and moves the session's place behind them.

    `pause` waits some seconds and raises Stopped if it is time to stop; so does `check`.
    """

    handler: Handler
    batch_size: int
    wanted: EventFilter | None
    retries: int
    retry_seconds: float
    on_error: OnError
    checkpoint_every: int
    counters: Counters
    pause: Callable[[float], None]
    check: Callable[[], None]

    def deliver(self, session: Session, events: list[ChangeEvent]) -> None:
        """All events of a page; SubscriptionError if one is not taken and that is to be the end."""
        unsaved = 0
        for part, filter_error in self._parts(events):
            self.check()
            if filter_error is not None:
                # The handler was not asked: somebody else's bad data are no reason to end.
                self._park(session, part[0], filter_error, 1)
                continue
            error, attempts = self._try(part)
            if error is not None:
                unsaved = 0
                self._one_by_one(session, part, error, attempts)
                continue
            self.counters.handled(part)
            unsaved += 1
            session.reached(part[-1])
            if unsaved >= self.checkpoint_every:
                unsaved = 0
                session.save()
        if unsaved:
            session.save()

    def _parts(self, events: list[ChangeEvent]) -> Iterator[tuple[list[ChangeEvent], str | None]]:
        """Lists as long as the handler wants them, and what the filter could not be asked about."""
        if self.wanted is None:
            for first in range(0, len(events), self.batch_size):
                yield events[first : first + self.batch_size], None
            return
        part: list[ChangeEvent] = []
        for event in events:
            try:
                passes = self.wanted.passes(event)
            except Exception as error:  # noqa: BLE001 - data that its writer did not check
                if part:
                    yield part, None
                    part = []
                yield [event], _text(error)
                continue
            if passes:
                part.append(event)
            else:
                self.counters.filtered += 1
            if len(part) == self.batch_size:
                yield part, None
                part = []
        if part:
            yield part, None

    def _try(self, events: list[ChangeEvent]) -> tuple[str | None, int]:
        """Hand events over; the error that is left, and how often it was tried."""
        error = self.handler.handle(events, again=False)
        tried, waited = 1, 0.0
        while error is not None:
            if self.handler.met_outage and waited < OUTAGE_SECONDS:
                # No attempt: the event is not to be parked for it.
                seconds = min(max(self.retry_seconds, waited), _OUTAGE_PAUSE_SECONDS)
                waited += max(seconds, _SHORTEST_SECONDS)
            elif tried <= self.retries:
                seconds = self.retry_seconds * 2 ** (tried - 1)
                tried += 1
            else:
                break
            self.pause(seconds)
            self.counters.retries += 1
            error = self.handler.handle(events, again=True)
        return error, tried

    def _one_by_one(
        self, session: Session, events: list[ChangeEvent], error: str | None, attempts: int
    ) -> None:
        """Find the events of a list that the handler will not take, and set them aside."""
        for event in events:
            if len(events) > 1:
                self.check()
                error, attempts = self._try([event])
            if error is not None:
                self._set_aside(session, event, error, attempts)
            else:
                self.counters.handled([event])
                session.reached(event)
                session.save()

    def _set_aside(self, session: Session, event: ChangeEvent, error: str, attempts: int) -> None:
        if self.on_error == "stop":
            raise SubscriptionError(
                f"the handler raised {attempts} times on {event}, and that is to be the end; it "
                f"comes again at the next start\n{error}"
            )
        self._park(session, event, error, attempts)

    def _park(self, session: Session, event: ChangeEvent, error: str, attempts: int) -> None:
        _LOG.error("%s is parked after %s attempts", event, attempts)
        session.park(event, error, attempts)
        self.counters.set_aside(event, error)


def _is_outage(error: BaseException) -> bool:
    return getattr(error, "is_transient", False) is True


def _text(error: BaseException) -> str:
    """The traceback as a text that the database takes: no NUL, no half of a surrogate pair."""
    text = "".join(traceback.format_exception(error)).replace("\0", r"\x00")
    return text.encode("utf-8", "backslashreplace").decode()
