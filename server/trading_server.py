"""The running server: JVM, tables, feed and key, started and stopped together."""

from __future__ import annotations

import threading
import time
import warnings
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from urllib.parse import quote

from publishing import Publisher
from publishing.engine import replace_variables
from server import access, shutdown
from server.access import view_only
from server.access.tls import checked_identity
from server.address import host_and_port
from server.health import Heartbeat
from server.jvm import checked_heap, start_jvm_server
from server.market.feed import MarketFeed
from server.market.replay import Replay
from server.market.simulator import Simulator
from server.market_data import BASE_PRICES, FeedPlayer, book_for
from server.options import Options
from server.time_zone import machine_zone


def make_feed(options: Options) -> MarketFeed:
    """Return the market that was asked for; a recorded one has been read and checked.

    Raises:
        FeedFileError: a file of the replay is refused.
    """
    if options.replay:
        return Replay(options.replay, speed=options.speed, allow_negative=options.allow_negative)
    return Simulator(
        BASE_PRICES,
        tick_interval=1 / options.rate,
        volatility=options.volatility,
        seed=options.seed,
    )


class TradingServer:
    """The platform's server in this process; there can be one.

    Tables that fail in the engine are made anew, empty, within a second or two; `on_replaced` is
    called then, on the heartbeat's thread, and `feed_status` tells it.

    Raises:
        StartupError: it cannot start; the message is one line for the terminal.
        FeedFileError: a file of the replay is refused, before anything was published.
    """

    def __init__(self, options: Options) -> None:
        began = time.monotonic()
        self.options = options
        # Everything that can be refused is refused before the seconds that a JVM takes.
        self.feed = make_feed(options)
        book = book_for(self.feed)
        self.key = access.choose_key(options.psk)
        heap_mb = checked_heap(options.heap_mb, options.raw_rows)
        self.time_zone = options.time_zone or machine_zone()
        start_jvm_server(
            options.host,
            options.port,
            self.key,
            heap_mb,
            only_views=options.view_only,
            allowed_hosts=options.allow_host,
            tls=checked_identity(options.tls_cert, options.tls_key),
            time_zone=self.time_zone,
        )
        # Deephaven can be imported only now that the JVM is up.
        from deephaven.execution_context import get_exec_ctx

        from server.dashboard import make_dashboard
        from server.tables import declare_writers, make_market_tables

        self._context = get_exec_ctx()
        self._publisher = Publisher()
        self._writers = declare_writers(
            self._publisher, options.raw_rows, has_whole_volumes=self._has_whole_volumes
        )
        self.tables = make_market_tables(self._writers)
        self.dashboard = make_dashboard(self.tables)
        self.on_replaced: Callable[[], object] = lambda: None
        self._replace_after, self._replace_pause = 0.0, 1.0
        self.player = FeedPlayer(self.feed, book, self.tables.price_writer, self.tables.risk_writer)
        self._heartbeat = Heartbeat(
            self.tables.status_writer,
            status=self.player.health,
            publishers=(self.tables.price_writer.stats, self.tables.risk_writer.stats),
            each_beat=self._each_beat,
        )
        self.player.on_status = self._heartbeat.changed
        if options.view_only:
            view_only.publish(self.published)
        self.key_file = access.keep_key(options.port, self.key)
        self._heartbeat.start()
        self.player.start()
        self._stopping = threading.Lock()
        self._stopped = False
        self.started_seconds = time.monotonic() - began

    @property
    def published(self) -> dict[str, Any]:
        """Tables and dashboard by the names under which users see them."""
        return {**self.tables.published, "dashboard": self.dashboard}

    @property
    def context(self) -> Any:
        """Deephaven's context, in which any thread can make tables: `with server.context:`."""
        from deephaven.execution_context import ExecutionContext

        # One each time: it keeps what it opened, and two threads would close each other's.
        return ExecutionContext(self._context.j_exec_ctx)

    @property
    def base_url(self) -> str:
        """Where a browser on this machine finds the server."""
        # What listens on ::1 alone is not found by a browser that tries 127.0.0.1 first.
        everywhere = self.options.host in ("127.0.0.1", "0.0.0.0", "::", "localhost")
        host = "localhost" if everywhere else self.options.host
        scheme = "https" if self.options.tls_cert else "http"
        return f"{scheme}://{host_and_port(host, self.options.port)}"

    @property
    def ide_url(self) -> str:
        """Link to the Web IDE, with the key in it."""
        return f"{self.base_url}/?psk={quote(self.key)}"

    @property
    def dashboard_url(self) -> str:
        """Link to the dashboard, with the key in it."""
        return f"{self.base_url}/iframe/widget/?name=dashboard&psk={quote(self.key)}"

    def greeting(self) -> str:
        """Return what a person at the terminal needs to know."""
        options = self.options
        feed = self.player.status.source
        if isinstance(self.feed, Replay):
            took = timedelta(seconds=round(self.feed.duration_s))
            feed += f" of {len(self.feed):,} ticks at {options.speed:g}×, which takes {took}"
        lines = [
            f"Ready after {self.started_seconds:.1f} s; market: {feed}.",
            f"  Dashboard  {self.dashboard_url}",
            f"  Web IDE    {self.ide_url}",
            f"  Tables     {' '.join(self.tables.published)}",
            f"  Times      {self.time_zone} (--time-zone ZONE shows another)",
            f"  Key        {self.key_file} (clients of this user find it by themselves)",
        ]
        if options.view_only:
            lines.append("  View only: clients see these tables, run no code and replace nothing.")
        if options.host not in ("127.0.0.1", "::1", "localhost"):
            lines.append(
                f"  Open to other hosts on {options.host}: whoever has the key can "
                f"{'read everything' if options.view_only else 'run code as you'}"
                + ("." if options.tls_cert else ", and")
            )
            if not options.tls_cert:
                lines.append(
                    "  whoever can listen to the network reads the key and every row: use "
                    "--tls-cert and --tls-key, or a proxy with TLS in front."
                )
        return "\n".join(lines)

    def stop(self) -> None:
        """Stop the feed, publish what is pending and remove the key; a second call does nothing."""
        with self._stopping:
            if self._stopped:
                return
            self._stopped = True
            self.player.stop()
            self._heartbeat.stop()
            self._publisher.close()
            access.forget_key(self.options.port, self.key)

    def _each_beat(self) -> None:
        failed = self.tables.failed()
        if failed and time.monotonic() >= self._replace_after:
            # What fails again and again is made anew less and less often.
            self._replace_pause = min(2 * self._replace_pause, 60.0)
            self._replace_after = time.monotonic() + self._replace_pause
            self._replace_tables(failed)

    def _replace_tables(self, failed: list[str]) -> None:
        """Make all tables anew; variables and fields of their names show the new ones."""
        from server.dashboard import make_dashboard
        from server.tables import make_market_tables

        before = self.published
        with self.context:
            self._writers.remake()
            self.tables = make_market_tables(self._writers)
            self.dashboard = make_dashboard(self.tables)
        if self.options.view_only:
            view_only.publish(self.published)
        for name, old in before.items():
            replace_variables(old, self.published[name])
        # Not before: who followed an old table opens what has its name now.
        self._writers.end_replaced()
        self._heartbeat.tables_failed(failed)
        self.on_replaced()

    @property
    def _has_whole_volumes(self) -> bool:
        return not isinstance(self.feed, Replay) or self.feed.has_whole_volumes


_OLD_NAMES = {
    "Wish": "StopRequest",
    "wait_for_wish": "wait_for_stop",
    "leave_after": "exit_with",
    "leave": "exit_now",
}


def __getattr__(name: str) -> Any:
    if name not in _OLD_NAMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    new = _OLD_NAMES[name]
    warnings.warn(f"{name} is called server.shutdown.{new} now", DeprecationWarning, stacklevel=2)
    return getattr(shutdown, new)
