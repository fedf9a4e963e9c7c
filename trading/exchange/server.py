"""The exchange as a process: sessions over a socket, one queue, one group on disk at a time.

    server = ExchangeServer(exchange, keys={"ACC": "secret"}, admin_key="other")
    await server.start("127.0.0.1", 7001)
    await server.run()

What has arrived while a group was being written is the next group. Nobody hears of anything before
it is on disk.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from trading.errors import ExchangeError
from trading.exchange.durable import DurableExchange
from trading.exchange.faults import LinkFaults
from trading.exchange.matching.accounts import Trade
from trading.exchange.matching.inputs import Clock, ExchangeInput, MakerStep, RaiseEpoch, Request
from trading.exchange.queries import admin_input, answer_account, answer_admin
from trading.exchange.session import Session
from trading.exchange.wire import (
    ADMIN,
    LARGEST_FRAME,
    Answer,
    Command,
    Logon,
    LogonRefused,
    Query,
    Refused,
)
from trading.journal.codec import pack
from trading.venues.protocol import RequestRefused

__all__ = ["ExchangeServer"]

_log = logging.getLogger("trading.exchange")

_GROUP = 500
_QUEUE = 10_000
_SESSIONS = 256
_IDLE_SECONDS = 60.0


@dataclass
class _Group:
    """What is told once the group is on disk."""

    symbols: set[str] = field(default_factory=set)
    trades: list[Trade] = field(default_factory=list)
    logons: list[tuple[Session, Logon]] = field(default_factory=list)
    messages: list[tuple[Session, object]] = field(default_factory=list)
    done: dict[Session, int] = field(default_factory=dict)
    repeats: list[tuple[Session, int]] = field(default_factory=list)


_Item = tuple[Session, Logon | Command | Query]


class ExchangeServer:
    """Takes links, puts what they say in one order, and carries it out group by group."""

    def __init__(
        self,
        exchange: DurableExchange,
        keys: Mapping[str, str],
        admin_key: str | None = None,
        *,
        maker_interval_s: float = 0.1,
        clock_offset_ns: int = 0,
    ) -> None:
        self.exchange = exchange
        self.faults = LinkFaults()
        self._keys = dict(keys)
        if admin_key is not None:
            self._keys[ADMIN] = admin_key
        self._maker_interval_s = maker_interval_s
        self._clock_offset_ns = clock_offset_ns
        self._queue: list[_Item] = []
        self._makers_paused = False
        self._wake = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._stopping = False
        self._sessions: set[Session] = set()
        self._by_account: dict[str, Session] = {}
        self._server: asyncio.Server | None = None
        # Inputs during which the program failed; they are not carried out a second time.
        self._poison: set[int] = set()

    # --- life ---------------------------------------------------------------------------------

    async def start(self, host: str, port: int) -> tuple[str, int]:
        """Listen; return the address, with the port that was free where 0 was asked for."""
        self._server = await asyncio.start_server(self._serve, host, port, backlog=128)
        address: tuple[str, int] = self._server.sockets[0].getsockname()[:2]
        return address

    def stop(self) -> None:
        """Finish the group at hand, close all links, and let `run` return."""
        self._stopping = True
        self._wake.set()

    async def run(self) -> None:
        """Carry out what arrives until `stop`; ExchangeLogError when the disk fails."""
        loop = asyncio.get_running_loop()
        next_step = loop.time() + self._maker_interval_s
        with ThreadPoolExecutor(1, "exchange-disk") as disk:
            try:
                while not self._stopping or self._queue:
                    makers = self.exchange.engine.makers.active and not self._makers_paused
                    await self._wait(next_step if makers else None)
                    step = makers and loop.time() >= next_step
                    if step:
                        next_step = max(next_step + self._maker_interval_s, loop.time())
                    items, self._queue = self._queue[:_GROUP], self._queue[_GROUP:]
                    group = self._carry_out(items, step)
                    if self.exchange.staged:
                        await loop.run_in_executor(disk, self.exchange.commit)
                    self._release(group)
                    if len(self._queue) < _QUEUE:
                        self._room.set()
            finally:
                await self._close()

    async def _wait(self, next_step: float | None) -> None:
        """Wait for a message, the makers' next step or an order's end of time."""
        if self._queue or self._stopping:
            return
        self._wake.clear()
        seconds = _IDLE_SECONDS
        if next_step is not None:
            seconds = min(seconds, next_step - asyncio.get_running_loop().time())
        due = self.exchange.engine.next_timer
        if due is not None:
            seconds = min(seconds, (due - self._now()) / 1e9)
        if seconds > 0:
            try:
                await asyncio.wait_for(self._wake.wait(), seconds)
            except asyncio.TimeoutError:
                return

    async def _close(self) -> None:
        if self._server is not None:
            self._server.close()
        for session in list(self._sessions):
            session.end("STOPPING", "the exchange stops")
        # Give the links a moment to take the last words.
        await asyncio.sleep(0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        session = Session(self, reader, writer)
        if len(self._sessions) >= _SESSIONS or self._stopping:
            session.refuse("BUSY", f"{_SESSIONS} links are open, or the exchange stops; try later")
            return
        self._sessions.add(session)
        await session.run()

    # --- what sessions ask for ----------------------------------------------------------------

    def key_of(self, account: str) -> str | None:
        """Return the key of an account, None where there is no such account."""
        if account != ADMIN and account not in self.exchange.state.accounts:
            return None
        return self._keys.get(account)

    async def take(self, session: Session, message: Logon | Command | Query) -> None:
        """Put a message in the queue; waits while that is full."""
        self._queue.append((session, message))
        self._wake.set()
        if len(self._queue) >= _QUEUE:
            self._room.clear()
            await self._room.wait()

    def left(self, session: Session) -> None:
        """Forget a session that has ended."""
        self._sessions.discard(session)
        if self._by_account.get(session.account) is session:
            del self._by_account[session.account]

    # --- groups -------------------------------------------------------------------------------

    def _now(self) -> int:
        return max(time.time_ns() + self._clock_offset_ns, self.exchange.state.now)

    def _carry_out(self, items: list[_Item], step: bool) -> _Group:
        """Carry out a group in memory.

        Where the program fails on an input, memory is folded again from the disk and the group is
        carried out without it: one client's message must not keep the exchange from starting.
        """
        while True:
            group, at = _Group(), -1
            try:
                self._advance(group, step)
                for at, (session, message) in enumerate(items):
                    self._one(group, session, message, at in self._poison)
            except Exception:
                if at < 0:
                    raise
                _log.exception("the program failed on %s", items[at][1])
                self._poison.add(at)
                self.exchange.discard()
                continue
            self._poison.clear()
            return group

    def _advance(self, group: _Group, step: bool) -> None:
        """Let time pass: orders expire, makers act."""
        now = self._now()
        due = self.exchange.engine.next_timer
        if due is not None and due <= now:
            self._stage(group, Clock(now))
        if step:
            self._stage(group, MakerStep(now))

    def _stage(self, group: _Group, event: ExchangeInput) -> None:
        outcome = self.exchange.stage(event)
        group.symbols |= outcome.symbols
        group.trades += outcome.trades

    def _one(
        self, group: _Group, session: Session, message: Logon | Command | Query, failed: bool
    ) -> None:
        if isinstance(message, Logon):
            self._logon(group, session, message)
        elif session.closed:
            return  # its writer may have been replaced by another one
        elif isinstance(message, Query):
            answer = (
                Answer(message.query_id, error="the program failed on this; see the exchange's log")
                if failed
                else self._query(group, session, message)
            )
            group.messages.append((session, answer))
        else:
            group.done[session] = message.number
            refused = self._command(group, session, message, failed)
            if refused is not None:
                group.messages.append((session, Refused(message.number, refused)))

    def _logon(self, group: _Group, session: Session, logon: Logon) -> None:
        if logon.account != ADMIN:
            account = self.exchange.state.account(logon.account)
            if logon.epoch < account.epoch:
                text = (
                    f"epoch {logon.epoch} was given and epoch {account.epoch} has logged on to "
                    f"{account.name}: another writer has taken over"
                )
                group.messages.append((session, LogonRefused("FENCED", text)))
                return
            if logon.after > account.sequence:
                text = (
                    f"report {logon.after} is said to be known, the last one of {account.name} "
                    f"here is {account.sequence}: the exchange has lost data, or it is another one"
                )
                group.messages.append((session, LogonRefused("SEQUENCE_AHEAD", text)))
                return
            if logon.epoch > account.epoch:
                self._stage(group, RaiseEpoch(self._now(), account.name, logon.epoch))
            # From here on nothing of the former link is carried out.
            former = self._by_account.get(account.name)
            if former is not None and former is not session:
                former.end("REPLACED", f"{account.name} has logged on over another link")
            self._by_account[account.name] = session
            session.account = account.name
        group.logons.append((session, logon))

    def _command(
        self, group: _Group, session: Session, command: Command, failed: bool
    ) -> RequestRefused | None:
        request = command.request
        if failed:
            text = "the program failed on this; see the exchange's log"
            return RequestRefused(request.order_id, "INTERNAL", text)
        if request.account != session.account:
            text = f"this link is {session.account}'s, the request is for {request.account[:60]!r}"
            return RequestRefused(request.order_id, "WRONG_ACCOUNT", text)
        outcome = self.exchange.stage(Request(self._now(), request))
        group.symbols |= outcome.symbols
        group.trades += outcome.trades
        if outcome.repeats:
            group.repeats.append((session, outcome.repeats))
        return outcome.refused

    def _query(self, group: _Group, session: Session, query: Query) -> Answer:
        try:
            if session.account != ADMIN:
                body = answer_account(self.exchange, session.account, query.what, query.argument)
            else:
                event = admin_input(query.what, query.argument, self._now())
                if query.what in ("pause", "resume"):
                    self._makers_paused = query.what == "pause"
                    body = pack(True)
                elif event is None:
                    body = answer_admin(self.exchange, self.faults, query.what, query.argument)
                else:
                    self._stage(group, event)
                    body = pack(True)
        except ExchangeError as error:
            return Answer(query.query_id, error=str(error))
        if len(body) > LARGEST_FRAME - 1_024:
            return Answer(query.query_id, error=f"the answer has {len(body)} bytes, too many")
        return Answer(query.query_id, body)

    def _release(self, group: _Group) -> None:
        """Tell what is on disk now."""
        for session, logon in group.logons:
            last = 0 if logon.account == ADMIN else self.exchange.last_report(logon.account)
            session.account = logon.account
            session.logged_on(logon, last, self._now())
        for session, message in group.messages:
            session.send(message)
            if isinstance(message, LogonRefused):
                session.hang_up()
        for session, sequence in group.repeats:
            session.say_again(sequence)
        for session, number in group.done.items():
            session.done = number
        for session in self._sessions:
            if session.is_on:
                session.carried_out()
                session.market_moved(group.symbols, group.trades)
