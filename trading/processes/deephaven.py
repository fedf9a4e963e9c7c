"""Deephaven as a process of a desk: its tables and dashboards, to look at.

It follows the market's process by a link and the engines' records by the store's bridge. What it
lacks after a death, its own or another's, it reads again: nothing else waits for it.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from typing import Any, TypeVar

from bridge import BridgeError, State, StoreBridge
from publishing import Publisher, PublishingStopped, TableWriter
from server import access
from server.access import view_only
from server.jvm import checked_heap, start_jvm_server
from trading.errors import DeskError, LinkError
from trading.local_link import Link
from trading.processes.config import SCREEN_ROWS, DeskConfig, instruments_of
from trading.processes.market_screens import MarketScreens

__all__ = ["LOTS", "DeephavenProcess", "LotRows"]

T = TypeVar("T")
_LOG = logging.getLogger(__name__)
_HISTORY = timedelta(days=1)
_LOTS_S = 1.0
_RETRY_S = 0.5
# The screens come after the market and the engine where a core is short.
_NICE = 5
LOTS = {
    "AccountId": "string",
    "Run": "string",
    "StrategyId": "string",
    "Symbol": "string",
    "LotId": "string",
    "Side": "string",
    "QtyOpen": "double",
    "QtyRem": "double",
    "AvgPrice": "double",
    "TsOpen": "Instant",
    "TsUpdated": "Instant",
}
"""The columns of `open_positions_lots`; a lot with nothing left is one that is closed."""


class DeephavenProcess:
    """Runs a desk's Deephaven until it is told to stop.

    StartupError where the JVM cannot start.
    """

    def __init__(self, config: DeskConfig) -> None:
        self._config = config
        self._stop = threading.Event()
        port = config.ports["deephaven"]
        os.nice(_NICE)
        start_jvm_server(
            "127.0.0.1",
            port,
            config.deephaven_key,
            checked_heap(config.deephaven_heap_mb, SCREEN_ROWS),
            only_views=True,
        )
        # Deephaven can be imported only now that the JVM is up.
        from deephaven.execution_context import get_exec_ctx

        self._context = get_exec_ctx()
        # Each operation on a table looks through the source of every frame above it: a thread of
        # its own has few, which makes a hundred operations several times as fast.
        self._maker = ThreadPoolExecutor(1, "table maker")
        self._publisher, self.screens, self.lots = self._made(self._parts)
        login = {"user": "desk_engine", "password": config.logins["desk_engine"], **config.store}
        # Its place in the log is not kept: it loads the present state at each start.
        self.bridge = StoreBridge(**login, subscriber_id=None)

    def _parts(self) -> tuple[Publisher, MarketScreens, LotRows]:
        publisher = Publisher()
        screens = MarketScreens(self._config, publisher, rows=SCREEN_ROWS)
        return publisher, screens, LotRows(publisher, self._config)

    def run(self) -> None:
        """Publish everything, and go on; errors of the bridge say why it cannot begin."""
        self._made(self._register)
        self.bridge.start("present")
        self._made(self._publish)
        self.bridge.on_replaced = lambda _cls: self._renew()
        self.screens.when_replaced(self._renew)
        access.keep_key(self._config.ports["deephaven"], self._config.deephaven_key)
        self.screens.start()
        self.lots.start()

    def _register(self) -> None:
        from trading.desk.desk_tables import register

        register(self.bridge, datetime.now(timezone.utc) - _HISTORY)

    def wait(self) -> None:
        """Wait for the stop; DeskError where the bridge has failed, so that all begins anew."""
        while not self._stop.wait(0.5):
            status = self.bridge.status()
            if status.state is State.FAILED:
                raise DeskError(f"the bridge to the store has failed: {status.error}")

    def stop(self) -> None:
        """Tell `wait` to end."""
        self._stop.set()

    def close(self) -> None:
        """Follow no more; the key's file is removed."""
        self.screens.stop()
        self.lots.stop()
        with contextlib.suppress(BridgeError):
            self.bridge.stop()
        self._publisher.close()
        access.forget_key(self._config.ports["deephaven"], self._config.deephaven_key)

    def _made(self, make: Callable[[], T]) -> T:
        """Call a function that makes tables, in the thread for that."""
        from deephaven.execution_context import ExecutionContext

        def in_context() -> T:
            with ExecutionContext(self._context.j_exec_ctx):
                return make()

        return self._maker.submit(in_context).result()

    def _renew(self) -> None:
        """Make everything anew where a table has failed in the engine."""
        self._maker.submit(self._made_anew)

    def _made_anew(self) -> None:
        from deephaven.execution_context import ExecutionContext

        try:
            with ExecutionContext(self._context.j_exec_ctx):
                self._publish()
        except Exception:  # noqa: BLE001 - the process ends in order and begins anew
            _LOG.exception("tables that failed in the engine could not be made anew")
            self.stop()

    def _publish(self) -> None:
        from trading.desk.desk_tables import make_desk_tables
        from trading.desk.screens import make_desk_dashboards

        tables = self.screens.published()
        multipliers = {
            spec.symbol: spec.multiplier / 10**spec.multiplier_decimals
            for spec in instruments_of(self._config)
        }
        tables |= make_desk_tables(
            self.bridge, tables["prices_live"], self.lots.table, multipliers=multipliers
        )
        view_only.publish({**tables, **make_desk_dashboards(tables, self.screens.features)})


class LotRows:
    """Open lots, which only the engine knows: it is asked once a second, and changes are shown."""

    def __init__(self, publisher: Publisher, config: DeskConfig) -> None:
        self._config = config
        self._columns = list(LOTS)
        keys = ("AccountId", "Run", "LotId")
        self._writer: TableWriter = publisher.table("lots", LOTS, rows=1_000, keys=keys)
        self._known: dict[tuple[Any, ...], tuple[Any, ...]] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="lots", daemon=True)

    @property
    def table(self) -> Any:
        """The newest row of each lot; closed ones have nothing left."""
        return self._writer.live("AccountId", "Run", "LotId")

    def start(self) -> None:
        """Begin to ask."""
        self._thread.start()

    def stop(self) -> None:
        """Ask no more."""
        self._stop.set()
        self._thread.join(5)

    def _follow(self) -> None:
        while not self._stop.is_set():
            link: Link | None = None
            try:
                link = Link(self._config.ports["engine"], self._config.link_key)
                while not self._stop.wait(_LOTS_S):
                    link.send({"what": "lots", "by": "", "number": 1})
                    result = link.receive(15.0).get("result")
                    # While an engine starts nobody knows its lots: they stay as they were.
                    if result is not None:
                        self.take(result["items"])
            except LinkError as error:
                _LOG.info("the engine's lots are not known now: %s", error)
                self._stop.wait(_RETRY_S)
            except PublishingStopped:
                return
            finally:
                if link is not None:
                    link.close()

    def take(self, items: list[dict[str, Any]]) -> None:
        """Show what changed since the last time; a lot that is gone is closed."""
        found = {}
        for item in items:
            row = tuple(item[name] for name in self._columns)
            found[item["AccountId"], item["Run"], item["LotId"]] = row
        left = self._columns.index("QtyRem")
        for key, row in self._known.items():
            if key not in found:
                self._writer.write_row(*row[:left], 0.0, *row[left + 1 :])
        for key, row in found.items():
            if self._known.get(key) != row:
                self._writer.write_row(*row)
        self._known = found
