"""The engine's side of a broker: what it tells is collected, and effects are handed to it."""

from __future__ import annotations

import contextlib
import logging
import threading

from trading.engine.inbox import Inbox
from trading.errors import BrokerError
from trading.journal.outputs import Effect, SendCancel, SendOrder
from trading.venues.protocol import ConnectionState, VenueBroker

__all__ = ["BrokerLink"]

_LOG = logging.getLogger(__name__)


class BrokerLink:
    """Holds a broker and the thread that collects what it tells."""

    def __init__(self, broker: VenueBroker, inbox: Inbox) -> None:
        self.broker = broker
        self._inbox = inbox
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def connect(self, after: int, epoch: int) -> None:
        """Log on, unless that was done already, and begin to collect."""
        if self._thread is not None:
            return
        self.broker.connect(after, epoch)
        self._thread = threading.Thread(target=self._collect, name="engine-broker", daemon=True)
        self._thread.start()

    def _collect(self) -> None:
        while not self._stop.is_set():
            try:
                events = self.broker.poll(0.2)
            except BrokerError as error:
                _LOG.warning("broker: %s", error)
                self._stop.wait(0.2)
                continue
            if events:
                self._inbox.put_broker(events)
                self._inbox.wait_room(self._stop)

    def send(self, effect: Effect, *, fresh: bool) -> None:
        """Hand an effect to the broker; `fresh` says that no process has sent it before."""
        broker = self.broker
        if isinstance(effect, SendOrder):
            broker.submit(effect, fresh=fresh)
        elif isinstance(effect, SendCancel):
            broker.cancel(effect)
        else:
            broker.replace(effect)

    def together(self) -> contextlib.AbstractContextManager[None]:
        """Let a broker that can (one over a socket) send what the block hands to it in one piece.

        Each write lets go of Python for another thread, and 200 of them wait 200 times.
        """
        gather = getattr(self.broker, "together", contextlib.nullcontext)
        found: contextlib.AbstractContextManager[None] = gather()
        return found

    def close(self) -> None:
        """Log out; orders go on working at the broker."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        if self.broker.state is not ConnectionState.CLOSED:
            with contextlib.suppress(BrokerError):
                self.broker.close()
