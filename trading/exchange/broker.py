"""The engine's side of a link to the exchange: a `VenueBroker` over a socket.

    broker = ExchangeBroker("127.0.0.1", 7001, account="ACC", key=key)
    broker.connect(after=last_report_in_my_journal)
    broker.wait_connected(10)
    broker.submit(effect)
    for event in broker.poll(timeout=1.0): ...

One thread reads, reconnects and sends heartbeats. A request is written by the thread that makes it,
as long as the socket takes it at once, and kept until the exchange says that it is durable there;
after a reconnect, and where the exchange says that it missed one, it is sent again under its id.
"""

from __future__ import annotations

import contextlib
import os
import queue
import random
import selectors
import socket
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Any

import msgspec

from trading.decoding import msgpack_decoder
from trading.errors import BrokerError, BrokerRefused, BrokerUnavailable, WireError
from trading.exchange.market_data import ExchangeFeed
from trading.exchange.queries import ExecutionsPage
from trading.exchange.wire import (
    LARGEST_FRAME,
    LARGEST_TEXT,
    VERSION,
    Answer,
    Closing,
    Command,
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
    Refused,
    Report,
    ResendCommands,
    ResendReports,
    Subscribe,
    TradePrint,
    decode_server,
    frame,
    proof,
)
from trading.journal.codec import pack
from trading.journal.outputs import SendCancel, SendOrder, SendReplace
from trading.journal.reports import OrderFilled
from trading.specification import InstrumentSpec
from trading.venues.protocol import (
    ConnectionChanged,
    ConnectionState,
    SequencedReport,
    VenueEvent,
    VenueOrder,
)

__all__ = ["ExchangeBroker"]

_Requestable = SendOrder | SendCancel | SendReplace

_LIVE = (ConnectionState.RECOVERING, ConnectionState.CONNECTED)
_ENDED = (ConnectionState.REFUSED, ConnectionState.CLOSED)
_FINAL_REFUSALS = ("WRONG_KEY", "FENCED", "SEQUENCE_AHEAD", "VERSION")
_EVENTS_WAITING = 100_000


class ExchangeBroker:
    """Trades one account on the simulated exchange, over any number of reconnects.

    `instruments` are the descriptions that the program trades by: prices and sizes travel as whole
    numbers of their units, so that an exchange with other decimals is refused. `waiting_max` bounds
    the requests that the exchange has not confirmed; BrokerError beyond that.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        account: str,
        key: str,
        instruments: Sequence[InstrumentSpec] = (),
        heartbeat_s: float = 1.0,
        backoff_s: tuple[float, float] = (0.05, 5.0),
        connect_timeout_s: float = 5.0,
        waiting_max: int = 100_000,
    ) -> None:
        self._address = host, port
        self._account = account
        self._key = key
        self._instruments = {spec.symbol: spec for spec in instruments}
        self._heartbeat_s = heartbeat_s
        self._backoff_s = backoff_s
        self._connect_timeout_s = connect_timeout_s
        self._waiting_max = waiting_max
        # What one read brought is one piece of the queue: each piece wakes who waits for it.
        self._events: queue.SimpleQueue[list[VenueEvent]] = queue.SimpleQueue()
        self._heard: list[VenueEvent] = []
        self._told_count = self._polled_count = 0
        self._polled: deque[VenueEvent] = deque()
        self._changed = threading.Condition()
        self._state = ConnectionState.DISCONNECTED
        self._reason = ""
        self._refusal = "REFUSED"
        self._venue = "exchange"
        self._after = 0
        self._epoch = 0
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()
        # Below: shared by the threads that make requests and the one that reads.
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._unsent = bytearray()
        self._is_gathering = False
        self._waiting: deque[_Requestable] = deque()
        # Number in this session of the first request that waits, and whether they may be sent.
        self._first = 1
        self._sending = False
        self._queries: dict[int, Future[bytes]] = {}
        self._query_id = 0
        self._feed: ExchangeFeed | None = None
        # Of the link at hand; the reading thread's alone.
        self._frames = FrameReader(LARGEST_FRAME)
        self._is_on = False
        self._ended = ""
        self._last_at_logon = 0
        self._asked_after = 0
        self._asked_at = 0.0
        self._wake_out, self._wake_in = os.pipe()
        os.set_blocking(self._wake_out, False)
        os.set_blocking(self._wake_in, False)
        self.clock_offset_ns = 0
        """How far the exchange's clock was ahead of this machine's at the last log-on."""

    # --- state --------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """Name of the exchange, once it has said it."""
        return self._venue

    @property
    def account(self) -> str:
        """The account that is traded."""
        return self._account

    @property
    def state(self) -> ConnectionState:
        """State of the connection."""
        return self._state

    @property
    def unconfirmed(self) -> int:
        """How many requests the exchange has not confirmed as durable."""
        with self._lock:
            return len(self._waiting)

    @property
    def last_report(self) -> int:
        """Number of the last report that came in."""
        return self._after

    def _enter(self, state: ConnectionState, reason: str = "") -> None:
        # What came before is there to be polled when the state is seen.
        self._tell()
        with self._changed:
            if self._state is state or self._state in _ENDED:
                return
            self._state, self._reason = state, reason
            self._changed.notify_all()
        self._heard.append(ConnectionChanged(state, reason))
        self._tell()

    def _tell(self) -> None:
        """Let what was heard be polled; for the reading thread, and while it does not run."""
        if self._heard:
            heard, self._heard = self._heard, []
            self._told_count += len(heard)
            self._events.put(heard)

    def connect(self, after: int = 0, epoch: int = 0) -> None:
        """Begin to connect, and to reconnect until `close`; BrokerError the second time."""
        if self._thread is not None:
            raise BrokerError("connect was called already; make another ExchangeBroker")
        self._after, self._epoch = after, epoch
        self._thread = threading.Thread(
            target=self._run, name=f"exchange-{self._account}", daemon=True
        )
        self._thread.start()

    def wait_connected(self, timeout: float) -> None:
        """Wait until the missed reports have arrived.

        BrokerRefused when the exchange does not let us in, BrokerUnavailable after `timeout`.
        """
        with self._changed:
            self._changed.wait_for(
                lambda: self._state is ConnectionState.CONNECTED or self._state in _ENDED, timeout
            )
            state, reason = self._state, self._reason
        if state is ConnectionState.REFUSED:
            raise BrokerRefused(f"{self._where}: {reason}", self._refusal)
        if state is not ConnectionState.CONNECTED:
            raise BrokerUnavailable(
                f"{self._where}: still {state} after {timeout:g} s: {reason or 'no answer yet'}"
            )

    @property
    def _where(self) -> str:
        return f"exchange at {self._address[0]}:{self._address[1]}, account {self._account}"

    def close(self) -> None:
        """Disconnect and stop; orders go on working at the exchange."""
        if self._stop.is_set():
            return
        self._stop.set()
        self._wake()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()
        self._enter(ConnectionState.CLOSED, "closed here")
        if self._feed is not None:
            self._feed.stop()
        self._fail_queries("the broker is closed")
        with self._lock:
            os.close(self._wake_in)
            os.close(self._wake_out)
            self._wake_in = self._wake_out = -1

    def __enter__(self) -> ExchangeBroker:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def market_data(self, symbols: Sequence[str] = ()) -> ExchangeFeed:
        """Return a feed of the exchange's trades and quotes; without symbols, of all instruments.

        Call it before `connect`, once; BrokerError otherwise, and for a symbol that the broker was
        not given.
        """
        if self._thread is not None or self._feed is not None:
            raise BrokerError("market_data is called once, before connect")
        unknown = sorted(set(symbols) - set(self._instruments))
        if unknown or not self._instruments:
            raise BrokerError(
                f"there is no market data without the description of {unknown or 'any symbol'}; "
                "give the broker its instruments"
            )
        chosen = symbols or self._instruments
        self._feed = ExchangeFeed({symbol: self._instruments[symbol] for symbol in chosen})
        return self._feed

    # --- requests -----------------------------------------------------------------------------

    def submit(self, order: SendOrder, *, fresh: bool = False) -> None:
        """Send an order; the exchange recognises repeats, so that `fresh` makes no difference."""
        self._request(order)

    def cancel(self, request: SendCancel) -> None:
        """Ask for an order's end."""
        self._request(request)

    def replace(self, request: SendReplace) -> None:
        """Ask for other terms; the quantity includes what is filled."""
        self._request(request)

    def _request(self, request: _Requestable) -> None:
        if request.account != self._account:
            raise BrokerError(
                f"order {request.order_id} is of account {request.account}, this broker trades "
                f"{self._account}"
            )
        if self._state in _ENDED:
            raise BrokerError(
                f"{self._where}: order {request.order_id} cannot be sent, the connection is "
                f"{self._state}: {self._reason}"
            )
        longest = max(map(len, (request.order_id, getattr(request, "symbol", ""))))
        if longest > LARGEST_TEXT:
            raise BrokerError(
                f"a text of the request has {longest} characters, {LARGEST_TEXT} are allowed"
            )
        with self._lock:
            if len(self._waiting) >= self._waiting_max:
                raise BrokerError(
                    f"{len(self._waiting)} requests wait for the exchange; no more are taken "
                    "before it confirms some"
                )
            self._waiting.append(request)
            if self._sending:
                number = self._first + len(self._waiting) - 1
                self._write(frame(Command(number, request)))

    def poll(self, timeout: float = 0.0, limit: int = 1_000) -> list[VenueEvent]:
        """Return what has come in; wait up to `timeout` seconds for the first event.

        One thread polls.
        """
        polled = self._polled
        with contextlib.suppress(queue.Empty):
            if timeout > 0 and not polled:
                polled.extend(self._events.get(timeout=timeout))
            while len(polled) < limit:
                polled.extend(self._events.get_nowait())
        found = [polled.popleft() for _ in range(min(limit, len(polled)))]
        self._polled_count += len(found)
        return found

    # --- questions ----------------------------------------------------------------------------

    def open_orders(self, timeout: float = 10.0) -> Sequence[VenueOrder]:
        """Return the orders that work."""
        found: list[VenueOrder] = self._ask("open_orders", None, list[VenueOrder], timeout)
        return found

    def find_order(self, order_id: str, timeout: float = 10.0) -> VenueOrder | None:
        """Return an order by its id, a finished one too; None when the exchange never had it."""
        found: VenueOrder | None = self._ask("order", order_id, VenueOrder | None, timeout)
        return found

    def positions(self, timeout: float = 10.0) -> dict[str, int]:
        """Return signed size by symbol, flat ones left out."""
        found: dict[str, int] = self._ask("positions", None, dict[str, int], timeout)
        return found

    def cash(self, timeout: float = 10.0) -> dict[str, int]:
        """Return money by currency, in units of 10 ** -MONEY_DECIMALS."""
        found: dict[str, int] = self._ask("cash", None, dict[str, int], timeout)
        return found

    def instruments(self, timeout: float = 10.0) -> Sequence[InstrumentSpec]:
        """Return what is traded there."""
        found: list[InstrumentSpec] = self._ask("instruments", None, list[InstrumentSpec], timeout)
        return found

    def executions_since(
        self, sequence: int, timeout: float = 10.0
    ) -> Sequence[tuple[int, OrderFilled]]:
        """Return the executions after a sequence number, with their own."""
        found: list[tuple[int, OrderFilled]] = []
        more, deadline = True, time.monotonic() + timeout
        while more:
            left = max(deadline - time.monotonic(), 0.0)
            page: ExecutionsPage = self._ask("executions", sequence, ExecutionsPage, left)
            found += page.executions
            sequence, more = page.through, page.more
        return found

    def _ask(self, what: str, argument: object, kind: Any, timeout: float) -> Any:
        """Ask, and wait for the answer; while the link is down, wait for it to come up."""
        deadline = time.monotonic() + timeout
        answer: Future[bytes] = Future()
        query_id = 0
        while not query_id:
            self._wait_sending(what, deadline)
            with self._lock:
                if self._sending:
                    self._query_id += 1
                    query_id = self._query_id
                    self._queries[query_id] = answer
                    body = b"" if argument is None else pack(argument)
                    self._write(frame(Query(query_id, what, body)))
        try:
            body = answer.result(max(deadline - time.monotonic(), 0.0))
            return msgpack_decoder(kind, strict=False).decode(body)
        except FutureTimeout:
            raise BrokerUnavailable(
                f"{self._where}: no answer to {what} within {timeout:g} s"
            ) from None
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise BrokerError(f"{self._where}: the answer to {what} is none: {error}") from error
        finally:
            with self._lock:
                self._queries.pop(query_id, None)

    def _wait_sending(self, what: str, deadline: float) -> None:
        with self._changed:
            self._changed.wait_for(
                lambda: self._sending or self._state in _ENDED,
                max(deadline - time.monotonic(), 0.0),
            )
            state, reason = self._state, self._reason
        if not self._sending and (state in _ENDED or time.monotonic() >= deadline):
            raise BrokerUnavailable(
                f"{self._where}: {what} was not asked, the connection is {state}: {reason}"
            )

    def _fail_queries(self, why: str) -> None:
        with self._lock:
            failed, self._queries = self._queries, {}
        for answer in failed.values():
            if not answer.done():
                answer.set_exception(BrokerUnavailable(f"{self._where}: {why}; ask again"))

    # --- writing ------------------------------------------------------------------------------

    def _wake(self) -> None:
        with self._lock:
            self._wake_locked()

    def _wake_locked(self) -> None:
        if self._wake_in >= 0:
            with contextlib.suppress(BlockingIOError):
                os.write(self._wake_in, b"x")

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """Send the requests of the block in one piece at its end; no questions in it."""
        with self._lock:
            self._is_gathering = True
        try:
            yield
        finally:
            with self._lock:
                self._is_gathering = False
                gathered = bytes(self._unsent)
                self._unsent.clear()
                if gathered:
                    self._write(gathered)

    def _write(self, data: bytes) -> None:
        """Write what the socket takes at once; the reading thread writes the rest. Locked."""
        if self._socket is None:
            return
        if self._unsent or self._is_gathering:
            self._unsent += data
            return
        try:
            sent = self._socket.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            return  # the reading thread hears of it, and everything is sent again
        if sent < len(data):
            self._unsent += data[sent:]
            self._wake_locked()

    def _send(self, message: object) -> None:
        with self._lock:
            self._write(frame(message))

    # --- the thread ---------------------------------------------------------------------------

    def _run(self) -> None:
        failures = 0
        while not self._stop.is_set() and self._state not in _ENDED:
            self._enter(ConnectionState.CONNECTING, self._reason)
            try:
                reason, was_on = self._session()
            except (OSError, WireError) as error:
                reason, was_on = f"{type(error).__name__}: {error}", False
            with self._lock:
                self._sending = False
                self._socket = None
                self._unsent.clear()
            self._fail_queries(f"the link went down: {reason}")
            if self._feed is not None:
                self._feed.link_is_down()
            if self._stop.is_set() or self._state in _ENDED:
                return
            self._enter(ConnectionState.DISCONNECTED, reason)
            failures = 1 if was_on else failures + 1
            least, most = self._backoff_s
            pause = min(least * 2 ** (failures - 1), most)
            self._stop.wait(pause * random.uniform(0.5, 1.0))

    def _session(self) -> tuple[str, bool]:
        """Serve one link; return why it ended, and whether it was logged on."""
        link = socket.create_connection(self._address, self._connect_timeout_s)
        with link, selectors.DefaultSelector() as ready:
            link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            link.setblocking(False)
            self._frames = FrameReader(LARGEST_FRAME)
            self._is_on, self._ended = False, ""
            self._last_at_logon = self._asked_after = 0
            self._asked_at = 0.0
            with self._lock:
                self._socket = link
                self._unsent.clear()
            try:
                self._serve(link, ready)
                return self._ended or "the link was closed", self._is_on
            except (OSError, WireError) as error:
                return f"{type(error).__name__}: {error}", self._is_on

    def _serve(self, link: socket.socket, ready: selectors.BaseSelector) -> None:
        """Read, write what was left over, and send heartbeats, until the link ends."""
        ready.register(link, selectors.EVENT_READ)
        ready.register(self._wake_out, selectors.EVENT_READ)
        beat = self._heartbeat_s
        heard = next_beat = time.monotonic()
        while not self._ended and not self._stop.is_set():
            full = self._told_count - self._polled_count > _EVENTS_WAITING
            with self._lock:
                writes = selectors.EVENT_WRITE if self._unsent else 0
            ready.modify(
                link, writes | (0 if full else selectors.EVENT_READ) or selectors.EVENT_READ
            )
            for key, events in ready.select(0.05 if full else beat / 2):
                if key.fileobj is not link:
                    with contextlib.suppress(BlockingIOError):
                        os.read(self._wake_out, 4_096)
                    continue
                if events & selectors.EVENT_WRITE:
                    self._flush(link)
                if events & selectors.EVENT_READ and not full:
                    data = link.recv(262_144)
                    if not data:
                        return
                    heard = time.monotonic()
                    try:
                        for message in self._frames.feed(data):
                            self._take(decode_server(message))
                    finally:
                        self._tell()
            now = time.monotonic()
            if full:
                heard = now  # it is we who do not listen
            if now - heard > 3 * beat:
                self._ended = f"nothing was heard for {3 * beat:g} s"
            elif self._is_on and now >= next_beat:
                next_beat = now + beat
                with self._lock:
                    self._write(frame(Heartbeat(self._first + len(self._waiting) - 1)))
        if self._stop.is_set():
            self._send(Logout())

    def _flush(self, link: socket.socket) -> None:
        with self._lock, contextlib.suppress(BlockingIOError):
            sent = link.send(self._unsent[:262_144])
            del self._unsent[:sent]

    # --- what the exchange says ---------------------------------------------------------------

    def _take(self, message: object) -> None:
        if isinstance(message, Report):
            self._report(message)
        elif isinstance(message, Done):
            self._done(message.number)
        elif isinstance(message, (Quote, TradePrint)):
            if self._feed is not None:
                self._feed.put(message)
        elif isinstance(message, Refused):
            self._heard.append(message.refused)
        elif isinstance(message, Answer):
            self._answer(message)
        elif isinstance(message, Heartbeat):
            self._miss(message.last)
        elif isinstance(message, GapFilled):
            self._miss(message.through)
        elif isinstance(message, ResendCommands):
            self._resend(message.after)
        elif isinstance(message, Hello):
            self._hello(message)
        elif isinstance(message, LoggedOn):
            self._logged_on(message)
        elif isinstance(message, LogonRefused):
            self._refused(message.code, message.text)
        elif isinstance(message, Closing):
            if message.code == "MALFORMED":
                self._refused(message.code, message.text)
            self._ended = f"{message.code}: {message.text}"

    def _hello(self, hello: Hello) -> None:
        self._venue = hello.name
        if hello.version != VERSION:
            self._refused(
                "VERSION",
                f"version {hello.version} of the protocol is spoken there, {VERSION} here",
            )
            return
        self._send(
            Logon(
                VERSION,
                self._account,
                proof(self._key, hello.nonce, self._account),
                self._after,
                self._epoch,
                round(self._heartbeat_s * 1_000),
            )
        )

    def _refused(self, code: str, text: str) -> None:
        self._ended = f"{code}: {text}"
        if code != "BUSY":
            self._refusal = code
            self._enter(ConnectionState.REFUSED, self._ended)

    def _logged_on(self, message: LoggedOn) -> None:
        self.clock_offset_ns = message.time - time.time_ns()
        self._last_at_logon = message.last
        if self._instruments:
            check: Future[bytes] = Future()
            with self._lock:
                self._queries[0] = check
                self._write(frame(Query(0, "instruments")))
            check.add_done_callback(self._compare_instruments)
        else:
            self._begin_sending()

    def _compare_instruments(self, answer: Future[bytes]) -> None:
        """Refuse an exchange whose numbers mean something else than ours."""
        if answer.exception() is not None:
            return  # the link went down before it was answered
        try:
            listed = msgpack_decoder(list[InstrumentSpec], strict=False).decode(answer.result())
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            self._refused("INSTRUMENTS", f"the list of instruments cannot be read: {error}")
            return
        theirs = {spec.symbol: spec for spec in listed}
        for symbol, spec in self._instruments.items():
            other = theirs.get(symbol)
            if other is not None and _units(other) != _units(spec):
                self._refused(
                    "INSTRUMENTS",
                    f"{symbol} has decimals of price and size, multiplier and currency "
                    f"{_units(other)} there and {_units(spec)} here",
                )
                return
        self._begin_sending()

    def _begin_sending(self) -> None:
        """Send what waits, once more, and let new requests follow."""
        with self._lock:
            self._first = 1
            for number, request in enumerate(self._waiting, 1):
                self._write(frame(Command(number, request)))
            self._sending = True
            if self._feed is not None:
                self._feed.link_is_up()
                self._write(frame(Subscribe(tuple(self._feed.symbols))))
        self._is_on = True
        self._enter(ConnectionState.RECOVERING)
        self._recovered()
        with self._changed:
            self._changed.notify_all()

    def _recovered(self) -> None:
        if self._is_on and self._after >= self._last_at_logon:
            self._enter(ConnectionState.CONNECTED)

    def _report(self, message: Report) -> None:
        if message.sequence > self._after + 1:
            self._miss(message.sequence)
        elif message.sequence == self._after + 1:
            self._after = message.sequence
            self._heard.append(SequencedReport(message.sequence, message.report))
            if self._state is ConnectionState.RECOVERING:
                self._recovered()

    def _miss(self, last: int) -> None:
        """Ask for the reports that are missing, once in a while."""
        now = time.monotonic()
        if last <= self._after:
            return
        if self._asked_after != self._after + 1 or now - self._asked_at > 0.2:
            self._asked_after, self._asked_at = self._after + 1, now
            self._send(ResendReports(self._after))

    def _done(self, number: int) -> None:
        with self._lock:
            while self._first <= number and self._waiting:
                self._waiting.popleft()
                self._first += 1

    def _resend(self, after: int) -> None:
        with self._lock:
            skip = max(after - self._first + 1, 0)
            for at, request in enumerate(self._waiting):
                if at >= skip:
                    self._write(frame(Command(self._first + at, request)))

    def _answer(self, message: Answer) -> None:
        with self._lock:
            found = self._queries.pop(message.query_id, None)
        if found is None or found.done():
            return
        if message.error:
            found.set_exception(BrokerError(f"{self._where}: {message.error}"))
        else:
            found.set_result(message.body)


def _units(spec: InstrumentSpec) -> tuple[int, int, int, int, str]:
    return (
        spec.price_decimals,
        spec.size_decimals,
        spec.multiplier,
        spec.multiplier_decimals,
        spec.currency,
    )
