"""ReplaySessions: many replays at a time, each under its own name; those left alone end.

with ReplaySessions() as sessions:
    session = sessions.create(tape, strategies=[SmaCross()], speed=10)
    session.play()
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Sequence
from types import TracebackType

from trading.brokers import PaperBroker
from trading.engine.state import Recipe
from trading.errors import ReplayError
from trading.kernel import HostedStrategy, Picker, Settings
from trading.picker import TradePicker
from trading.replay.session import ReplaySession, SessionState, SessionStatus
from trading.replay.tape import Tape
from trading.strategy import Hosted, Strategy, by_length, interval_length, timeframe_key
from trading.times import SECOND

__all__ = ["ReplaySessions", "session_recipe"]

_IDLE_S = 900.0
_MOST = 64
_LOOKS = 10


def session_recipe(
    tape: Tape,
    session_id: str,
    *,
    strategies: Sequence[Strategy | HostedStrategy] = (),
    timeframes: Sequence[str] = (),
    broker: PaperBroker | None = None,
    picker: Picker | None = None,
) -> Recipe:
    """Return what the kernels of a session are made of.

    Bars of ticks are of the strategies' timeframes and of those that are asked for, of one minute
    otherwise. Strategies that name no symbols hear of all; orders are filled by `broker`, of ticks
    at the next tick and of bars at the next bar's open unless it says otherwise.
    """
    symbols = [spec.symbol for spec in tape.specs]
    hosted = [_hosted(each, tape.account, symbols) for each in strategies]
    named = [each for s in strategies if isinstance(s, Strategy) for each in s.timeframes]
    frames: list[str] = by_length([*named, *timeframes]) or ["1m"]
    by_bars = tape.interval is not None
    settings = Settings(
        run=session_id,
        money_decimals=tape.money_decimals,
        bar_interval=0,
        timeframes=() if by_bars else tuple(frames),
        fills_interval=tape.interval if tape.interval is not None else timeframe_key(frames[0]),
    )
    broker = broker or PaperBroker("next_open" if by_bars else "tick")
    picker = picker or TradePicker(reservation_ttl_ms=0)
    return Recipe(tape.account, session_id, settings, broker, hosted, picker)


def _hosted(
    strategy: Strategy | HostedStrategy, account: str, symbols: Sequence[str]
) -> HostedStrategy:
    if not isinstance(strategy, Strategy):
        return strategy
    if not strategy.symbols:
        strategy.symbols = tuple(symbols)
    return Hosted(strategy, account)


def _until(tape: Tape, recipe: Recipe) -> int:
    """When a session ends: once the bars of its last ticks are final, too."""
    settings = recipe.settings
    if tape.interval is not None or not settings.timeframes or not tape.opening:
        return tape.end
    lengths = [interval_length(str(each)) for each in settings.timeframes]
    return tape.end + max(min(lengths), SECOND) + settings.bar_lateness


class ReplaySessions:
    """The replays of one process. Sessions that nobody uses for `idle_s` seconds are ended.

    `most` is how many there may be at a time. `close` ends all of them.
    """

    def __init__(self, *, idle_s: float = _IDLE_S, most: int = _MOST) -> None:
        if not idle_s > 0 or most < 1:
            raise ReplayError(f"idle_s={idle_s}, most={most}: both have to be above 0")
        self._idle_s = idle_s
        self._most = most
        self._sessions: dict[str, ReplaySession] = {}
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None

    def create(
        self,
        tape: Tape,
        *,
        strategies: Sequence[Strategy | HostedStrategy] = (),
        timeframes: Sequence[str] = (),
        broker: PaperBroker | None = None,
        picker: Picker | None = None,
        recipe: Recipe | None = None,
        speed: float | None = 1.0,
        owner: str = "",
    ) -> ReplaySession:
        """Make a session, paused at the beginning of a tape.

        With strategies they trade on an account of the session; without, it is to look at. `recipe`
        is what a recorded run was made of: its tape then says what the run said. ReplayError where
        there are too many sessions.
        """
        session_id = f"replay:{secrets.token_hex(6)}"
        if recipe is None:
            recipe = session_recipe(
                tape,
                session_id,
                strategies=strategies,
                timeframes=timeframes,
                broker=broker,
                picker=picker,
            )
        session = ReplaySession(
            session_id, tape, recipe, speed=speed, owner=owner, until=_until(tape, recipe)
        )
        with self._lock:
            if self._closed.is_set():
                raise ReplayError("these sessions are closed; make another ReplaySessions")
            if len(self._sessions) >= self._most:
                raise ReplayError(
                    f"there are {len(self._sessions)} sessions, as many as there may be; end one"
                )
            self._sessions[session_id] = session
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._watch, name="replay-sessions", daemon=True
                )
                self._thread.start()
        return session

    def __getitem__(self, session_id: str) -> ReplaySession:
        with self._lock:
            found = self._sessions.get(session_id)
        if found is None:
            raise ReplayError(f"there is no session {session_id!r}; it may have ended by itself")
        return found

    def list(self, owner: str | None = None) -> list[SessionStatus]:
        """Return the status of all sessions, or of one owner's."""
        with self._lock:
            sessions = [*self._sessions.values()]
        return [each.status() for each in sessions if owner in (None, each.owner)]

    def end(self, session_id: str) -> None:
        """End a session; ReplayError where there is none."""
        self._end(self[session_id], "")

    def _end(self, session: ReplaySession, reason: str) -> None:
        session.end(reason)
        with self._lock:
            self._sessions.pop(session.id, None)

    def _watch(self) -> None:
        while not self._closed.wait(min(self._idle_s / _LOOKS, 5.0)):
            with self._lock:
                sessions = [*self._sessions.values()]
            for each in sessions:
                if each.status().state is SessionState.ENDED:
                    self._end(each, "")
                elif each.idle_s() > self._idle_s:
                    self._end(each, f"nobody used it for {self._idle_s:g} s")

    def close(self) -> None:
        """End all sessions; a second call does nothing."""
        self._closed.set()
        with self._lock:
            sessions = [*self._sessions.values()]
        for each in sessions:
            self._end(each, "the program ends")
        if self._thread is not None:
            self._thread.join()

    def __enter__(self) -> ReplaySessions:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
