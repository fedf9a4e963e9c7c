"""What a venue offers to a program that trades on it: the broker outside the kernel.

    broker.connect(after=last_sequence_in_my_journal)
    broker.submit(effect)                       # a SendOrder that is recorded already
    for event in broker.poll(timeout=1.0): ...  # reports, problems, states of the connection

The kernel says what is to be sent as effects (`SendOrder`, `SendCancel`, `SendReplace`). A
`VenueBroker` carries them out and gives back what became of them, as the reports that the kernel
takes as inputs. One broker serves one account.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Protocol

import msgspec

from trading.journal.outputs import SendCancel, SendOrder, SendReplace
from trading.journal.reports import BrokerReport, OrderFilled

__all__ = [
    "ConnectionChanged",
    "ConnectionState",
    "RequestRefused",
    "SequencedReport",
    "VenueBroker",
    "VenueEvent",
    "VenueOrder",
]


class ConnectionState(str, Enum):
    """How far the connection to a venue is.

    RECOVERING is logged on while reports that were missed still arrive; REFUSED needs a person,
    since the venue does not let us in and trying again would not help.
    """

    DISCONNECTED = "DISCONNECTED"
    CONNECTING = "CONNECTING"
    RECOVERING = "RECOVERING"
    CONNECTED = "CONNECTED"
    REFUSED = "REFUSED"
    CLOSED = "CLOSED"

    __hash__ = str.__hash__

    def __str__(self) -> str:
        return str.__str__(self)


class SequencedReport(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A report with the venue's sequence number for this account."""

    sequence: int
    report: BrokerReport


class ConnectionChanged(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The connection has another state."""

    state: ConnectionState
    reason: str = ""


class RequestRefused(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A request that the venue did not act on, and that changed no order.

    `code` is DUPLICATE_ID where the order id is taken by an order with other terms, MALFORMED where
    the venue cannot read the request, UNKNOWN_OUTCOME where it may or may not have been carried
    out, else the venue's own. `retryable` tells whether the same request may succeed later.
    """

    order_id: str
    code: str
    text: str
    retryable: bool = False


VenueEvent = SequencedReport | ConnectionChanged | RequestRefused


class VenueOrder(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """An order as the venue has it; prices and sizes in the instrument's units.

    `status` is one of the names of `OrderStatus` that a venue knows: ACCEPTED, TRIGGERED,
    PARTIALLY_FILLED, FILLED, CANCELED, REJECTED, EXPIRED. `fees` is money; None where the venue
    tells fees of fills only.
    """

    order_id: str
    symbol: str
    side: int
    kind: str
    tif: str
    quantity: int
    filled: int
    status: str
    limit: int | None = None
    stop: int | None = None
    venue_id: str = ""
    fees: int | None = None


class VenueBroker(Protocol):
    """Carries out the effects of one account and tells what became of them.

    Every request may be given again: an order is known by its id, a cancel or replace by its whole
    content, and a repeat has no effect. Requests return at once, also while the link is down: they
    are kept and sent when it is up. What a program does not know after a crash it asks for.

    Reports have numbers that rise. After `connect(after)` every report with a higher number comes,
    in order; where a venue cannot number reports itself, some may come again, and an execution has
    the same `fill_id` each time. Queries wait for the venue: they raise BrokerUnavailable when it
    does not answer in time.
    """

    @property
    def name(self) -> str:
        """Name of the venue, for messages."""
        ...

    @property
    def account(self) -> str:
        """The account that is traded."""
        ...

    @property
    def state(self) -> ConnectionState:
        """State of the connection."""
        ...

    def connect(self, after: int = 0, epoch: int = 0) -> None:
        """Begin to connect, and to reconnect for as long as it takes.

        `after` is the sequence number of the last report that is recorded here. `epoch` numbers
        the writers of the account: a venue that knows epochs refuses a lower one than it has seen.
        """
        ...

    def wait_connected(self, timeout: float) -> None:
        """Wait until the missed reports have arrived.

        BrokerRefused when the venue does not let us in, BrokerUnavailable after `timeout` seconds.
        """
        ...

    def close(self) -> None:
        """Disconnect and stop; orders go on working at the venue."""
        ...

    def submit(self, order: SendOrder, *, fresh: bool = False) -> None:
        """Send an order; `fresh` says that no process has ever sent it.

        A venue that does not recognise repeats is asked for the order before one that is not fresh
        is sent.
        """
        ...

    def cancel(self, request: SendCancel) -> None:
        """Ask for an order's end."""
        ...

    def replace(self, request: SendReplace) -> None:
        """Ask for other terms; the quantity is the whole order's, what is filled included."""
        ...

    def poll(self, timeout: float = 0.0, limit: int = 1_000) -> list[VenueEvent]:
        """Return what has come in, at most `limit` events; wait up to `timeout` s for the first."""
        ...

    def open_orders(self, timeout: float = 10.0) -> Sequence[VenueOrder]:
        """Return the orders that work."""
        ...

    def find_order(self, order_id: str, timeout: float = 10.0) -> VenueOrder | None:
        """Return an order by its id, a finished one too; None when the venue never had it."""
        ...

    def positions(self, timeout: float = 10.0) -> dict[str, int]:
        """Return signed size by symbol, flat ones left out."""
        ...

    def cash(self, timeout: float = 10.0) -> dict[str, int]:
        """Return money by currency, in units of 10 ** -MONEY_DECIMALS."""
        ...

    def executions_since(
        self, sequence: int, timeout: float = 10.0
    ) -> Sequence[tuple[int, OrderFilled]]:
        """Return the executions after a sequence number, with their own."""
        ...
