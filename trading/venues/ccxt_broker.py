"""Real venues through ccxt: orders over REST, what becomes of them over WebSocket and REST.

    broker = CcxtBroker(
        "binance", account="ACC", instruments={"BTC/USDT": spec}, keys_file="binance.keys",
        sandbox=True,
    )
    broker.connect(after=last_report_in_my_journal)

Install requirements-trading.txt for ccxt. docs/venues.md says what was tried against which server.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import queue
import random
import threading
from collections import deque
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import TimeoutError as FutureTimeout
from decimal import Decimal
from pathlib import Path
from typing import Any

import ccxt.pro as ccxt_pro
from ccxt.base import errors as ccxt_errors

from trading.errors import BrokerError, BrokerRefused, BrokerUnavailable
from trading.journal.outputs import SendCancel, SendOrder, SendReplace
from trading.journal.reports import BrokerReport, OrderFilled
from trading.numbers import MONEY_DECIMALS
from trading.specification import InstrumentSpec
from trading.venues.ccxt_orders import whole_units
from trading.venues.ccxt_session import REFUSING, CcxtSession
from trading.venues.keys import secret
from trading.venues.protocol import (
    ConnectionChanged,
    ConnectionState,
    RequestRefused,
    SequencedReport,
    VenueEvent,
    VenueOrder,
)
from trading.venues.repeats import Repeats

__all__ = ["CcxtBroker"]

_log = logging.getLogger("trading.venues.ccxt")

_ENDED = (ConnectionState.REFUSED, ConnectionState.CLOSED)
# A sequence number is a millisecond of the venue times this, and a count within it.
_PER_MS = 1_000
_WAITING_MAX = 10_000
_Waiting = tuple[SendOrder | SendCancel | SendReplace, bool]


class CcxtBroker:
    """Trades one account at a venue that ccxt knows.

    `instruments` are ours by ccxt's symbols. The keys are `BINANCE_API_KEY` and `BINANCE_SECRET`
    (for the venue `binance`; `BINANCE_PASSWORD` where the venue has one), in the environment or in
    `keys_file`, which only its owner may read. `sandbox` takes the venue's test environment.
    `configure` gets the ccxt exchange before it is used, for options and other addresses.

    Sequence numbers are the venue's milliseconds times 1,000 and a count: after `connect(after)`
    trades of the last ten seconds before that may come again, under the same `fill_id`. `epoch` is
    not known to venues.
    """

    def __init__(
        self,
        venue: str,
        *,
        account: str,
        instruments: Mapping[str, InstrumentSpec],
        keys_file: str | Path | None = None,
        sandbox: bool = False,
        configure: Callable[[Any], None] | None = None,
        poll_interval_s: float = 30.0,
        backoff_s: tuple[float, float] = (0.5, 30.0),
    ) -> None:
        if venue not in ccxt_pro.exchanges:
            raise BrokerError(
                f"{venue!r} is no venue with streams in ccxt {ccxt_pro.__version__}; "
                "there are: " + " ".join(ccxt_pro.exchanges)
            )
        self._venue = venue
        self._account = account
        self._specs = dict(instruments)
        self._keys_file = keys_file
        self._sandbox = sandbox
        self._configure = configure
        self._poll_interval_s = poll_interval_s
        self._backoff_s = backoff_s
        self._events: queue.SimpleQueue[VenueEvent] = queue.SimpleQueue()
        self._changed = threading.Condition()
        self._state = ConnectionState.DISCONNECTED
        self._reason = ""
        self._refusal = "REFUSED"
        self._sequence = 0
        self._repeats = Repeats()
        self._lock = threading.Lock()
        self._waiting: deque[_Waiting] = deque()
        self._doubt = False
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._wake: asyncio.Event | None = None
        self._stop: asyncio.Event | None = None
        self._exchange: Any = None
        self._session: CcxtSession | None = None

    # --- state --------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """Name of the venue, with its test environment."""
        return f"{self._venue} sandbox" if self._sandbox else self._venue

    @property
    def account(self) -> str:
        """The account that is traded, by our name for it."""
        return self._account

    @property
    def state(self) -> ConnectionState:
        """State of the connection."""
        return self._state

    def _enter(self, state: ConnectionState, reason: str = "") -> None:
        with self._changed:
            if self._state is state or self._state in _ENDED:
                return
            self._state, self._reason = state, reason
            self._changed.notify_all()
        self._events.put(ConnectionChanged(state, reason))

    def connect(self, after: int = 0, epoch: int = 0) -> None:
        """Begin to connect, and to reconnect until `close`; BrokerRefused where there are no keys.

        With `after` 0 the account's history is not told, only what happens from now on.
        """
        if self._thread is not None:
            raise BrokerError("connect was called already; make another CcxtBroker")
        prefix = self._venue.upper()
        keys = {
            "apiKey": secret(f"{prefix}_API_KEY", self._keys_file),
            "secret": secret(f"{prefix}_SECRET", self._keys_file),
        }
        with contextlib.suppress(BrokerRefused):
            keys["password"] = secret(f"{prefix}_PASSWORD", self._keys_file)
        self._sequence = after
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._main(keys)), name=f"ccxt-{self._venue}", daemon=True
        )
        self._thread.start()

    def wait_connected(self, timeout: float) -> None:
        """Wait until what was missed is known.

        BrokerRefused when the venue does not let us in, BrokerUnavailable after `timeout` seconds.
        """
        with self._changed:
            self._changed.wait_for(
                lambda: self._state is ConnectionState.CONNECTED or self._state in _ENDED, timeout
            )
            state, reason = self._state, self._reason
        if state is ConnectionState.REFUSED:
            raise BrokerRefused(f"{self.name}: {reason}", self._refusal)
        if state is not ConnectionState.CONNECTED:
            raise BrokerUnavailable(f"{self.name}: still {state} after {timeout:g} s: {reason}")

    def close(self) -> None:
        """Disconnect and stop; orders go on working at the venue."""
        loop, stop, thread = self._loop, self._stop, self._thread
        if loop is not None and stop is not None:
            with contextlib.suppress(RuntimeError):  # it has ended already
                loop.call_soon_threadsafe(stop.set)
        if thread is not None and thread is not threading.current_thread():
            thread.join()
        self._enter(ConnectionState.CLOSED, "closed here")

    # --- requests -----------------------------------------------------------------------------

    def submit(self, order: SendOrder, *, fresh: bool = False) -> None:
        """Send an order; one that is not `fresh` is asked for at the venue first."""
        with self._lock:
            self._check(order.account, order.order_id)
            known = self._repeats.order(order)
            if known == "CONFLICT":
                self._events.put(self._repeats.refusal(order.order_id))
            if not known:
                self._waiting.append((order, not fresh))
        self._wake_up()

    def cancel(self, request: SendCancel) -> None:
        """Ask for an order's end."""
        self._change(request)

    def replace(self, request: SendReplace) -> None:
        """Ask for other terms: the order is cancelled, and what is left of it sent anew."""
        self._change(request)

    def _change(self, request: SendCancel | SendReplace) -> None:
        with self._lock:
            self._check(request.account, request.order_id)
            if not self._repeats.request(request):
                self._waiting.append((request, False))
        self._wake_up()

    def _check(self, account: str, order_id: str) -> None:
        if account != self._account:
            raise BrokerError(
                f"order {order_id} is of account {account}, this broker trades {self._account}"
            )
        if self._state in _ENDED:
            raise BrokerError(
                f"{self.name}: order {order_id} cannot be sent, the connection is {self._state}: "
                f"{self._reason}"
            )
        if len(self._waiting) >= _WAITING_MAX:
            raise BrokerError(f"{self.name}: {_WAITING_MAX} requests wait; no more are taken")

    def _wake_up(self) -> None:
        loop, wake = self._loop, self._wake
        if loop is not None and wake is not None:
            with contextlib.suppress(RuntimeError):  # it has ended already
                loop.call_soon_threadsafe(wake.set)

    def poll(self, timeout: float = 0.0, limit: int = 1_000) -> list[VenueEvent]:
        """Return what has come in; wait up to `timeout` seconds for the first event."""
        found: list[VenueEvent] = []
        with contextlib.suppress(queue.Empty):
            if timeout > 0:
                found.append(self._events.get(timeout=timeout))
            while len(found) < limit:
                found.append(self._events.get_nowait())
        return found

    # --- questions ----------------------------------------------------------------------------

    def open_orders(self, timeout: float = 10.0) -> Sequence[VenueOrder]:
        """Return the orders that work."""
        found: list[VenueOrder] = self._ask(lambda session: session.open_orders(), timeout)
        return found

    def find_order(self, order_id: str, timeout: float = 10.0) -> VenueOrder | None:
        """Return an order by its id, a finished one too; None when the venue never had it."""
        found: VenueOrder | None = self._ask(lambda session: session.find_order(order_id), timeout)
        return found

    def positions(self, timeout: float = 10.0) -> dict[str, int]:
        """Return signed size by symbol; on a spot market what is held of its coin."""
        found: dict[str, int] = self._ask(lambda _: self._positions(), timeout)
        return found

    def cash(self, timeout: float = 10.0) -> dict[str, int]:
        """Return money by the instruments' currencies, in units of 10 ** -MONEY_DECIMALS."""
        found: dict[str, int] = self._ask(lambda _: self._cash(), timeout)
        return found

    def executions_since(
        self, sequence: int, timeout: float = 30.0
    ) -> Sequence[tuple[int, OrderFilled]]:
        """Return the executions from a sequence number's millisecond on, with numbers for them."""
        found: list[tuple[int, OrderFilled]] = self._ask(
            lambda session: self._executions(session, sequence), timeout
        )
        return found

    def _ask(
        self, question: Callable[[CcxtSession], Coroutine[Any, Any, Any]], timeout: float
    ) -> Any:
        with self._changed:
            self._changed.wait_for(
                lambda: self._state is ConnectionState.CONNECTED or self._state in _ENDED, timeout
            )
        loop, session = self._loop, self._session
        if loop is None or session is None or self._state is not ConnectionState.CONNECTED:
            raise BrokerUnavailable(f"{self.name} is {self._state}: {self._reason}")
        answer = asyncio.run_coroutine_threadsafe(question(session), loop)
        try:
            return answer.result(timeout)
        except FutureTimeout:
            answer.cancel()
            raise BrokerUnavailable(f"{self.name}: no answer within {timeout:g} s") from None
        except ccxt_errors.OperationFailed as error:
            raise BrokerUnavailable(f"{self.name}: {error}") from error
        except ccxt_errors.BaseError as error:
            raise BrokerError(f"{self.name}: {type(error).__name__}: {error}") from error

    async def _positions(self) -> dict[str, int]:
        found: dict[str, int] = {}
        balance: dict[str, Any] | None = None
        for symbol, spec in self._specs.items():
            market = self._exchange.markets[symbol]
            if market["spot"]:
                if balance is None:
                    balance = await self._exchange.fetch_balance()
                size = _floor(balance["total"].get(market["base"]), spec.size_decimals)
            else:
                held = await self._exchange.fetch_positions([symbol])
                size = sum(
                    whole_units(each["contracts"], spec.size_decimals)
                    * (1 if each["side"] == "long" else -1)
                    for each in held
                )
            if size:
                found[spec.symbol] = size
        return found

    async def _cash(self) -> dict[str, int]:
        balance = await self._exchange.fetch_balance()
        return {
            currency: _floor(balance["total"].get(currency), MONEY_DECIMALS)
            for currency in {spec.currency for spec in self._specs.values()}
        }

    async def _executions(
        self, session: CcxtSession, sequence: int
    ) -> list[tuple[int, OrderFilled]]:
        found: list[tuple[int, OrderFilled]] = []
        last = 0
        for symbol in self._specs:
            for trade in await session.trades_since(symbol, sequence // _PER_MS):
                last = max(last + 1, int(trade["timestamp"]) * _PER_MS)
                found.append((last, session.execution(trade, await session.order_id_of(trade))))
        return sorted(found, key=lambda each: each[0])

    # --- the loop -----------------------------------------------------------------------------

    async def _main(self, keys: dict[str, str]) -> None:
        self._loop = asyncio.get_running_loop()
        self._wake, self._stop = asyncio.Event(), asyncio.Event()
        failures = 0
        while not self._stop.is_set() and self._state not in _ENDED:
            self._enter(ConnectionState.CONNECTING, self._reason)
            exchange = self._exchange = self._make(keys)
            stopped = asyncio.ensure_future(self._stop.wait())
            serving = asyncio.ensure_future(self._serve(exchange))
            try:
                await asyncio.wait({stopped, serving}, return_when=asyncio.FIRST_COMPLETED)
                if serving.done():
                    await serving
            except (BrokerRefused, *REFUSING) as error:
                self._refusal = getattr(error, "code", "WRONG_KEY")
                self._enter(ConnectionState.REFUSED, f"{type(error).__name__}: {error}")
            except (ccxt_errors.BaseError, OSError) as error:
                failures = 1 if self._state is ConnectionState.CONNECTED else failures + 1
                self._enter(ConnectionState.DISCONNECTED, f"{type(error).__name__}: {error}"[:300])
            except Exception as error:  # noqa: BLE001 - a fault of ccxt's must not end the link
                _log.exception("%s", self.name)
                failures += 1
                self._enter(ConnectionState.DISCONNECTED, f"{type(error).__name__}: {error}"[:300])
            finally:
                for task in (stopped, serving):
                    task.cancel()
                await asyncio.gather(stopped, serving, return_exceptions=True)
                with contextlib.suppress(Exception):
                    await exchange.close()
            if self._state not in _ENDED and not self._stop.is_set():
                await self._pause(failures)

    async def _pause(self, failures: int) -> None:
        least, most = self._backoff_s
        seconds = min(least * 2 ** max(failures - 1, 0), most) * random.uniform(0.5, 1.0)
        assert self._stop is not None
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._stop.wait(), seconds)

    def _make(self, keys: dict[str, str]) -> Any:
        exchange = getattr(ccxt_pro, self._venue)(
            {**keys, "enableRateLimit": True, "newUpdates": True}
        )
        # Exact numbers: ccxt's own are floats. With Decimal it loses fees that it parses twice.
        exchange.number = str
        exchange.options["adjustForTimeDifference"] = True
        if self._sandbox:
            exchange.set_sandbox_mode(True)
        if self._configure is not None:
            self._configure(exchange)
        return exchange

    async def _serve(self, exchange: Any) -> None:
        """Serve one connection until something breaks."""
        session = self._session
        if session is None:
            session = self._session = CcxtSession(
                exchange, self._account, self._specs, self._report, self._events.put
            )
        else:
            session.use(exchange)
        await session.check_instruments()
        tasks = [
            asyncio.ensure_future(self._follow(exchange.watch_my_trades, session.trades_said)),
            asyncio.ensure_future(self._follow(exchange.watch_orders, session.orders_said)),
        ]
        try:
            self._enter(ConnectionState.RECOVERING)
            await session.recover(self._sequence // _PER_MS)
            self._enter(ConnectionState.CONNECTED)
            tasks.append(asyncio.ensure_future(self._work(session)))
            tasks.append(asyncio.ensure_future(self._look_again(session)))
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                await task
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    @staticmethod
    async def _follow(
        watch: Callable[[], Coroutine[Any, Any, Any]],
        take: Callable[[Any], Coroutine[Any, Any, None]],
    ) -> None:
        while True:
            await take(await watch())

    async def _look_again(self, session: CcxtSession) -> None:
        """Ask for what the streams may have left out.

        ccxt does not say from when on a stream is complete, so the first questions come soon; later
        ones are for streams that fall silent without a word.
        """
        for seconds in itertools.chain((0.5, 1.0, 3.0), itertools.repeat(self._poll_interval_s)):
            await asyncio.sleep(seconds)
            await session.recover(0)

    async def _work(self, session: CcxtSession) -> None:
        """Carry out requests one by one; one whose outcome is open stays the first."""
        assert self._wake is not None
        slow = 0
        while True:
            self._wake.clear()
            while self._waiting:
                request, doubt = self._waiting[0]
                try:
                    await session.carry_out(request, doubt=doubt or self._doubt)
                except (ccxt_errors.RateLimitExceeded, ccxt_errors.DDoSProtection) as error:
                    slow += 1
                    self._doubt = True
                    _log.warning("%s: too fast, waiting: %s", self.name, error)
                    await asyncio.sleep(min(0.5 * 2**slow, 30.0))
                    continue
                except ccxt_errors.OperationFailed:
                    self._doubt = True
                    raise
                except REFUSING:
                    raise
                except ccxt_errors.BaseError as error:
                    text = f"{type(error).__name__}: {error}"[:300]
                    self._events.put(RequestRefused(request.order_id, "VENUE", text))
                slow, self._doubt = 0, False
                with self._lock:
                    self._waiting.popleft()
            await self._wake.wait()

    def _report(self, moment_ms: int, report: BrokerReport) -> None:
        self._sequence = max(self._sequence + 1, moment_ms * _PER_MS)
        self._events.put(SequencedReport(self._sequence, report))


def _floor(value: object, decimals: int) -> int:
    """Return a balance in units; what is below one unit is no position."""
    if value is None:
        return 0
    return int(Decimal(str(value)).scaleb(decimals).to_integral_value("ROUND_FLOOR"))
