"""A subscription of pydeephaven-ticking, a package that not every Python has."""

from __future__ import annotations

import logging
from collections.abc import Callable

from pydeephaven.table import Table
from pydeephaven_ticking.table_listener import TableListener, TableListenerHandle, TableUpdate

from client.deadline import within

logger = logging.getLogger(__name__)
START_SECONDS = 10.0


class Subscription(TableListenerHandle, TableListener):  # type: ignore[misc]
    """A subscription that says when it has ended, also when the server ended it politely."""

    def __init__(
        self,
        table: Table,
        received: Callable[[Subscription, TableUpdate], None],
        ended: Callable[[Subscription], None],
    ) -> None:
        super().__init__(table, self)
        self._received = received
        self._ended = ended
        self.why = "the server ended the subscription"

    def on_update(self, update: TableUpdate) -> None:
        """Hand a batch of changes on."""
        self._received(self, update)

    def on_error(self, error: Exception) -> None:
        """Keep why it ends."""
        self.why = f"{type(error).__name__}: {error}"

    def end(self) -> None:
        """Unsubscribe; an error is logged."""
        try:
            within(START_SECONDS, "unsubscribing", self.stop)
        except Exception as error:  # noqa: BLE001 - the other side may be gone; we are leaving
            logger.info("unsubscribing: %s", error)

    def _process_data(self) -> None:
        super()._process_data()
        self._ended(self)
