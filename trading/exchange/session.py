"""One client's link at the exchange: log-on, commands by number, reports by a cursor.

Reports are not queued for a client: they are read from the log from where its cursor stands. So a
slow reader holds up nobody, nothing piles up in memory, and sending again is setting the cursor
back.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import os
from collections import deque
from collections.abc import Iterable
from typing import Protocol

from trading.errors import WireError
from trading.exchange.durable import DurableExchange
from trading.exchange.faults import LinkFaults
from trading.exchange.matching.accounts import Trade
from trading.exchange.wire import (
    ADMIN,
    LARGEST_REQUEST,
    VERSION,
    Closing,
    Command,
    Depth,
    Done,
    FrameReader,
    GapFilled,
    Heartbeat,
    Hello,
    LoggedOn,
    Logon,
    LogonRefused,
    Logout,
    Query,
    Quote,
    ResendCommands,
    ResendReports,
    Subscribe,
    TradePrint,
    decode_client,
    frame,
    proof,
)

__all__ = ["Session", "SessionHost"]

_log = logging.getLogger("trading.exchange")

_LOGON_SECONDS = 10.0
_HEARTBEAT_MS = (50, 60_000)
_PAGE = 256
_TRADES_WAITING = 10_000
_LARGEST_BUFFER = 8 * 1024 * 1024
_SYMBOLS = 10_000
_LEVELS = 50


class SessionHost(Protocol):
    """What a session needs of the exchange."""

    exchange: DurableExchange
    faults: LinkFaults

    def key_of(self, account: str) -> str | None:
        """Return the key of an account, None where there is no such account."""
        ...

    async def take(self, session: Session, message: Logon | Command | Query) -> None:
        """Put a message in the queue; waits while that is full."""
        ...

    def left(self, session: Session) -> None:
        """Forget a session that has ended."""
        ...


class Session:
    """A client from its first byte to its last."""

    def __init__(
        self, host: SessionHost, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._host = host
        self._reader = reader
        self._writer = writer
        self._nonce = os.urandom(16)
        self._frames = FrameReader(LARGEST_REQUEST)
        self.account = ""
        self.heartbeat_s = 5.0
        self.is_on = False
        self.closed = False
        # The last command that was queued, and the last one that is on disk.
        self.received = 0
        self.done = 0
        self._told = 0
        self._asked_at = -1.0
        self._cursor = 0
        self._gap_through = 0
        self._news = asyncio.Event()
        self._held: bytes | None = None
        self._heard = 0.0
        self._symbols: set[str] = set()
        self._levels = 0
        self._dirty: set[str] = set()
        self._trades: deque[Trade] = deque(maxlen=_TRADES_WAITING)
        self._tasks: list[asyncio.Task[None]] = []

    # --- life ---------------------------------------------------------------------------------

    async def run(self) -> None:
        """Serve the link until it ends."""
        loop = asyncio.get_running_loop()
        self.send(Hello(VERSION, self._host.exchange.state.settings.name, self._nonce))
        late = loop.call_later(_LOGON_SECONDS, self._not_logged_on)
        try:
            while not self.closed:
                data = await self._reader.read(65_536)
                if not data:
                    break
                self._heard = loop.time()
                for message in self._frames.feed(data):
                    await self._handle(message)
        except WireError as error:
            self.end("MALFORMED", str(error))
        except OSError:
            pass  # the network's ways of ending a link
        finally:
            late.cancel()
            self.hang_up()
            self._host.left(self)

    def _not_logged_on(self) -> None:
        if not self.is_on:
            self.end("LOGON_TIMEOUT", f"no log-on within {_LOGON_SECONDS:g} seconds")

    def end(self, code: str, text: str) -> None:
        """Say why, and close the link."""
        if not self.closed:
            self.send(Closing(code, text))
            self.hang_up()

    def hang_up(self) -> None:
        """Close the link once what was sent is on its way."""
        if self.closed:
            return
        self.closed = True
        for task in self._tasks:
            if task is not asyncio.current_task():
                task.cancel()
        transport = self._writer.transport
        if transport.get_write_buffer_size() > _LARGEST_BUFFER:
            transport.abort()
        else:
            self._writer.close()
            # Somebody who reads nothing must not keep the link for ever.
            asyncio.get_running_loop().call_later(2.0, transport.abort)

    def cut(self) -> None:
        """End the link without a word, as a network does."""
        self._writer.transport.abort()
        self.hang_up()

    # --- what comes in ------------------------------------------------------------------------

    async def _handle(self, data: bytes) -> None:
        message = decode_client(data)
        if not self.is_on:
            if isinstance(message, Logon):
                await self._log_on(message)
                return
            raise WireError(f"a session begins with a log-on, seen {type(message).__name__}")
        if isinstance(message, Command):
            await self._command(message)
        elif isinstance(message, Query):
            await self._host.take(self, message)
        elif isinstance(message, Heartbeat):
            if message.last > self.received:
                self._ask_again()
        elif isinstance(message, ResendReports):
            self.resend(message.after)
        elif isinstance(message, Subscribe):
            self._subscribe(message)
        elif isinstance(message, Logout):
            self.end("LOGOUT", "as asked")
        else:
            raise WireError("this session is logged on already")

    async def _log_on(self, logon: Logon) -> None:
        if logon.version != VERSION:
            text = f"version {VERSION} of the protocol is spoken here, seen {logon.version}"
            self.refuse("VERSION", text)
            return
        key = self._host.key_of(logon.account)
        expected = proof(key or "", self._nonce, logon.account)
        # Compared also where there is no such account: the time must not tell.
        if not hmac.compare_digest(expected, logon.proof) or key is None:
            self.refuse(
                "WRONG_KEY",
                f"account {logon.account[:60]!r} is not known here, or its key is another one",
            )
            return
        least, most = _HEARTBEAT_MS
        self.heartbeat_s = min(max(logon.heartbeat_ms, least), most) / 1_000
        await self._host.take(self, logon)

    def refuse(self, code: str, text: str) -> None:
        """Let a client not in, and say why."""
        self.send(LogonRefused(code, text))
        self.hang_up()

    def logged_on(self, logon: Logon, last: int, time: int) -> None:
        """Begin to serve: missed reports first, then what is new."""
        if self.closed:
            return
        self.account, self.is_on = logon.account, True
        self._cursor = logon.after
        self._gap_through = last if last > logon.after else 0
        self._heard = asyncio.get_running_loop().time()
        self.send(LoggedOn(logon.account, last, time, logon.epoch, round(self.heartbeat_s * 1_000)))
        self._tasks = [
            asyncio.ensure_future(self._pump()),
            asyncio.ensure_future(self._beat()),
        ]
        self._news.set()

    async def _command(self, command: Command) -> None:
        fault = self._host.faults.next("in", self.account)
        times = 1
        if fault is not None:
            if fault.kind == "disconnect":
                self.cut()
                return
            if fault.kind == "delay":
                await asyncio.sleep(fault.delay_ms / 1_000)
            times = {"drop": 0, "reorder": 0, "duplicate": 2}.get(fault.kind, 1)
        for _ in range(times):
            if command.number == self.received + 1:
                self.received += 1
                await self._host.take(self, command)
            elif command.number > self.received:
                self._ask_again()

    def _ask_again(self) -> None:
        """Ask for the commands that are missing, once in a while."""
        now = asyncio.get_running_loop().time()
        if now - self._asked_at > 0.05:
            self._asked_at = now
            self.send(ResendCommands(self.received))

    def resend(self, after: int) -> None:
        """Send reports once more, from after a number."""
        if 0 <= after < self._cursor:
            self._gap_through = max(self._cursor, self._gap_through)
            self._cursor = after
            self._news.set()

    def say_again(self, sequence: int) -> None:
        """Send one report once more: the answer to a repeated request."""
        if sequence <= self._cursor:
            for data in self._host.exchange.reports(self.account, sequence - 1, 1):
                self.send(data)

    def _subscribe(self, message: Subscribe) -> None:
        if len(message.symbols) > _SYMBOLS:
            raise WireError(f"at most {_SYMBOLS} symbols, seen {len(message.symbols)}")
        self._symbols = set(message.symbols)
        self._levels = min(max(message.depth, 0), _LEVELS)
        self._dirty |= self._symbols
        self._news.set()

    # --- what goes out ------------------------------------------------------------------------

    def send(self, message: object) -> None:
        """Send a message past reports and faults; a client that reads nothing loses the link."""
        if self.closed:
            return
        self._writer.write(frame(message))
        if self._writer.transport.get_write_buffer_size() > _LARGEST_BUFFER:
            self.cut()

    def carried_out(self) -> None:
        """Say which commands are on disk, and that there may be reports."""
        self._news.set()

    def market_moved(self, symbols: Iterable[str], trades: Iterable[Trade]) -> None:
        """Note what has changed in the market, where it was asked for."""
        if not self._symbols:
            return
        self._dirty.update(self._symbols.intersection(symbols))
        self._trades.extend(trade for trade in trades if trade.symbol in self._symbols)
        if self._dirty or self._trades:
            self._news.set()

    async def _pump(self) -> None:
        """Send reports as fast as the client reads, then market data as it is by then."""
        try:
            while not self.closed:
                await self._news.wait()
                self._news.clear()
                await self._send_reports()
                if self.done > self._told:
                    self._told = self.done
                    await self._send_faulty(frame(Done(self.done)))
                self._send_market()
                await self._drain()
        except (OSError, asyncio.TimeoutError):
            self.cut()
        except Exception:  # noqa: BLE001 - one link's fault is not the others'
            _log.exception("the link of %s is cut", self.account)
            self.cut()

    async def _send_reports(self) -> None:
        if self.account == ADMIN:
            return
        exchange = self._host.exchange
        while not self.closed and self._cursor < exchange.last_report(self.account):
            at = self._cursor
            page = exchange.reports(self.account, at, _PAGE)
            if self._host.faults.none and self._held is None:
                # One call of the system for the page.
                self._writer.write(b"".join(map(frame, page)))
                self._cursor += len(page)
                await self._drain()
                continue
            for data in page:
                await self._send_faulty(frame(data))
                at += 1
                if self._cursor != at - 1:
                    break  # it was set back meanwhile
                self._cursor = at
            await self._drain()
        if self._gap_through and self._cursor >= self._gap_through:
            self._gap_through = 0
            self.send(GapFilled(self._cursor))

    async def _send_faulty(self, data: bytes) -> None:
        fault = self._host.faults.next("out", self.account)
        if fault is None:
            self._writer.write(data)
        elif fault.kind == "disconnect":
            self.cut()
        elif fault.kind == "delay":
            await asyncio.sleep(fault.delay_ms / 1_000)
            self._writer.write(data)
        elif fault.kind == "duplicate":
            self._writer.write(data + data)
        elif fault.kind == "reorder" and self._held is None:
            self._held = data
            return
        # A message that was held back goes out after the one that followed it.
        if self._held is not None and not self.closed:
            self._writer.write(self._held)
            self._held = None

    def _send_market(self) -> None:
        state = self._host.exchange.state
        while self._trades:
            trade = self._trades.popleft()
            self.send(
                TradePrint(
                    trade.time, trade.symbol, trade.number, trade.price, trade.size, trade.taker
                )
            )
        for symbol in sorted(self._dirty):
            book = state.books.get(symbol)
            if book is None:
                continue
            self.send(
                Quote(
                    state.now,
                    symbol,
                    book.best_price(1),
                    book.best_size(1),
                    book.best_price(-1),
                    book.best_size(-1),
                )
            )
            if self._levels:
                bids, asks = book.depth(1, self._levels), book.depth(-1, self._levels)
                self.send(Depth(state.now, symbol, tuple(bids), tuple(asks)))
        self._dirty.clear()

    async def _drain(self) -> None:
        if not self.closed:
            await asyncio.wait_for(self._writer.drain(), max(3 * self.heartbeat_s, 2.0))

    async def _beat(self) -> None:
        """Tell the last report's number regularly; end the link of a client that says nothing."""
        loop = asyncio.get_running_loop()
        while not self.closed:
            await asyncio.sleep(self.heartbeat_s)
            if loop.time() - self._heard > 3 * self.heartbeat_s:
                self.end("SILENT", f"nothing was heard for {3 * self.heartbeat_s:g} seconds")
                return
            if self._held is not None:
                self._writer.write(self._held)
                self._held = None
            last = 0 if self.account == ADMIN else self._cursor
            self.send(Heartbeat(last))
            if self.done:
                self.send(Done(self.done))
