"""The engine's process: all accounts of a desk, and the gateway for people's commands."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence

from store.client import StoreClient
from store.errors import StoreError
from trading.errors import EngineError, TradingError
from trading.governance.lapsing import lapse_overdue
from trading.journal.outputs import Output
from trading.processes.accounts import Book
from trading.processes.config import DeskConfig
from trading.processes.gateway import Gateway
from trading.processes.publishing import LinkServer

__all__ = ["EngineProcess"]

_LOG = logging.getLogger(__name__)
_LAPSE_S, _LAPSE_END_S = 2.0, 5.0

Publish = Callable[[str, str, Sequence[Output]], None]


class EngineProcess:
    """Runs the engines of a desk until it is told to stop, or one of them fails."""

    def __init__(self, config: DeskConfig, publish: Publish | None = None) -> None:
        self._store = StoreClient(
            "desk_engine", config.logins["desk_engine"], **config.store, pool_size=24
        )
        self._stop = threading.Event()
        told = publish or _nobody
        self.books = {
            each.account: Book(config, each, self._store, told) for each in config.accounts
        }
        self._gateway = Gateway(self.books, self._store)
        self._server = LinkServer(
            config.ports["engine"], config.link_key, answer=self._gateway.answer
        )

    def run(self) -> None:
        """Trade; EngineError where an engine has failed, so that the process is started again."""
        for book in self.books.values():
            book.start()
        self._server.start()
        lapsing = threading.Thread(target=self._lapse, name="lapsing", daemon=True)
        lapsing.start()
        try:
            while not self._stop.wait(0.5):
                for name, book in self.books.items():
                    if book.failed:
                        raise EngineError(f"account {name}: {book.failed}")
        finally:
            self._stop.set()
            lapsing.join(_LAPSE_END_S)
            self._server.stop()
            self._gateway.close()
            for book in self.books.values():
                book.stop()
            self._store.close()

    def _lapse(self) -> None:
        """End proposals that nobody has approved in their time."""
        while not self._stop.wait(_LAPSE_S):
            try:
                lapse_overdue(self._store)
            except (StoreError, TradingError) as error:
                _LOG.warning("proposals that are overdue wait: %s", error)

    def stop(self) -> None:
        """End it in order; what is open is there at the next start."""
        self._stop.set()


def _nobody(_account: str, _run: str, _outputs: Sequence[Output]) -> None:
    """Nobody listens."""
