"""ReplaySession: a recording that is played, paused, stepped through and wound to any moment.

session = ReplaySession("replay:1", tape, recipe, speed=10)
session.subscribe(print, ["bars", "orders"])
session.play()
session.seek(time="2026-02-20T15:00:00Z")
session.shown().orders
"""

from __future__ import annotations

import logging
import threading
import time as clock
from collections.abc import Callable, Iterable
from enum import Enum
from typing import Any, NamedTuple

import msgspec

from trading.errors import ReplayError
from trading.history.reading import instant
from trading.journal.inputs import Bar
from trading.journal.outputs import BarClosed, Output
from trading.kernel import BarColumns
from trading.replay.figures import PnlFigures, PositionKey, pnl_of
from trading.replay.player import Played, Player
from trading.replay.run_journal import Recipe
from trading.replay.screen import Shown, ShownOrder, prices_of, topic_of
from trading.replay.tape import Tape
from trading.replay.topics import Listener, Message, Topics
from trading.strategy import timeframe_of
from trading.times import SECOND

__all__ = ["Glance", "ReplaySession", "SessionState", "SessionStatus"]

_LOG = logging.getLogger(__name__)
SLOWEST, FASTEST = 0.1, 1_000_000.0
# Rows that are played between two looks at what was asked for meanwhile, as fast as possible.
_ROWS_AT_ONCE = 65_536
# At a speed, a wait is never longer than this, nor is what is shown together further apart.
_LONGEST_WAIT_S = 0.25
_SHORTEST_WAIT_S = 0.001
_STATUS_EVERY_S = 0.5


class SessionState(str, Enum):
    """PAUSED, PLAYING, FINISHED (at the end of the tape), ENDED, or FAILED."""

    PAUSED = "PAUSED"
    PLAYING = "PLAYING"
    FINISHED = "FINISHED"
    ENDED = "ENDED"
    FAILED = "FAILED"


class SessionStatus(msgspec.Struct, frozen=True, gc=False):
    """How far a session is; times are recorded times in nanoseconds, `speed` None for the fastest.

    `lag_s` is how many seconds it is behind its speed: more than a little where the machine does
    not keep up.
    """

    session: str
    name: str
    owner: str
    state: SessionState
    speed: float | None
    time: int
    start: int
    end: int
    position: int
    rows: int
    outputs: int
    lag_s: float
    problem: str = ""


class Glance(NamedTuple):
    """The moment that is shown, without what came before it.

    `prices` are last trade, bid and ask in the instrument's units, `working` the bars that are not
    final.
    """

    status: SessionStatus
    prices: dict[str, tuple[int | None, int | None, int | None]]
    working: tuple[Bar, ...]
    positions: dict[PositionKey, PnlFigures]


class ReplaySession:
    """One tape with a kernel of its own; any thread may control it.

    `speed` is how many recorded seconds pass in one, from 0.1, or None for as fast as possible.
    `until` is when it ends, the tape's end without it. What it tells goes to who subscribes. It
    begins paused. ReplayError for a speed that is none, and for anything after `end`.
    """

    def __init__(
        self,
        session_id: str,
        tape: Tape,
        recipe: Recipe,
        *,
        speed: float | None = 1.0,
        owner: str = "",
        until: int | None = None,
    ) -> None:
        self.id = session_id
        self.owner = owner
        self.tape = tape
        self._speed = _checked(speed)
        self._player = Player(tape, recipe.kernel, until)
        self._topics = Topics()
        self._state = SessionState.PAUSED
        self._problem = ""
        self._lag_s = 0.0
        # Held while the player moves: what is shown is of one moment.
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._thread: threading.Thread | None = None
        self._used = clock.monotonic()
        # When, on both clocks, the present speed began.
        self._since = 0.0
        self._since_recorded = 0

    # --- controls ---------------------------------------------------------------------------------

    def play(self, speed: float | str | None = "same") -> None:
        """Play from here on, at the same speed or at another; nothing at the end of the tape."""
        with self._changed:
            self._use()
            if not isinstance(speed, str):
                self._speed = _checked(speed)
            if self._player.at_end:
                self._enter(SessionState.FINISHED)
                return
            self._begin_pace()
            self._enter(SessionState.PLAYING)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=self.id, daemon=True)
                self._thread.start()

    def pause(self) -> None:
        """Stay at this moment."""
        with self._changed:
            self._use()
            if self._state is SessionState.PLAYING:
                self._enter(SessionState.PAUSED)

    def speed(self, speed: float | None) -> None:
        """Go on at another speed; None is as fast as possible."""
        with self._changed:
            self._use()
            self._speed = _checked(speed)
            self._begin_pace()
            self._enter(self._state)

    def step(self, what: str = "tick", count: int = 1) -> None:
        """Pause, and go on to the next `tick`, `bar` or `order`, so many times."""
        if count < 1:
            raise ReplayError(f"step: a count of 1 or more is expected, seen {count}")
        with self._changed:
            self._use()
            self._pause_quietly()
            for _ in range(count):
                self._tell(self._player.step(what))
            self._settle()

    def seek(self, *, time: Any = None, position: int | None = None) -> None:
        """Go to a time (nanoseconds, a text, a datetime) or to after so many rows, either way.

        With both, to exactly the moment that `shown` had them of, as after a step. What is shown
        then is what was shown there the first time. It goes on playing if it did.
        """
        if time is None and position is None:
            raise ReplayError("seek: give a time, a position, or both of a moment that was shown")
        if position is not None and not 0 <= position <= len(self.tape):
            raise ReplayError(f"seek: position {position} is not within 0 and {len(self.tape)}")
        with self._changed:
            self._use()
            wanted = instant(time, "time")
            if wanted is not None and position is not None:
                self._player.seek_moment(position, wanted)
            elif wanted is not None:
                self._player.seek_time(wanted)
            elif position is not None:
                self._player.seek_row(position)
            self._tell_all()
            self._begin_pace()
            self._settle()

    def restart(self) -> None:
        """Go back to the beginning, and go on as before: playing or paused."""
        self.seek(position=0)

    def end(self, reason: str = "") -> None:
        """End it for good; who listens is told. A second call does nothing."""
        with self._changed:
            if self._state is SessionState.ENDED:
                return
            self._problem = reason
            self._enter(SessionState.ENDED)
            thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    # --- what there is ----------------------------------------------------------------------------

    def shown(self) -> Shown:
        """Return all that is shown at this moment."""
        with self._lock:
            self._use()
            return self._player.shown()

    def order(self, order_id: str) -> ShownOrder | None:
        """Return an order as it stands at this moment."""
        with self._lock:
            return self._player.screen.order(order_id)

    def positions(self) -> dict[PositionKey, PnlFigures]:
        """Return positions with their P&L at this moment."""
        with self._lock:
            return pnl_of(self._player.kernel)

    def status(self) -> SessionStatus:
        """Return how far it is; asking for it does not keep a session alive."""
        with self._lock:
            player = self._player
            return SessionStatus(
                self.id,
                self.tape.name,
                self.owner,
                self._state,
                self._speed,
                player.time,
                self.tape.start,
                player.until,
                player.position,
                len(self.tape),
                player.kernel.outputs,
                self._lag_s,
                self._problem,
            )

    @property
    def timeframes(self) -> list[str]:
        """The lengths of the bars that its kernel makes of ticks."""
        with self._lock:
            return [timeframe_of(each) for each in self._player.kernel.settings.timeframes]

    def glance(self) -> Glance:
        """Return status, prices, working bars and positions of one moment; it costs little."""
        with self._lock:
            kernel = self._player.kernel
            return Glance(
                self.status(), prices_of(kernel), tuple(kernel.working_bars), pnl_of(kernel)
            )

    @property
    def digest(self) -> str:
        """SHA-256 over everything that was said until this moment."""
        with self._lock:
            return self._player.kernel.digest

    def subscribe(
        self, listener: Listener, topics: Iterable[str] | None = None
    ) -> Callable[[], None]:
        """Call a listener with what is told of some topics (None: all); returns what ends it.

        It first hears `reset` with all that is shown, if it wants that topic, so that it can begin
        in the middle. A session with a listener does not end by itself.
        """
        with self._lock:
            self._use()
            wanted = None if topics is None else frozenset(topics)
            if wanted is None or "reset" in wanted:
                listener(self._message("reset", (self._player.shown(),)))
            end = self._topics.subscribe(listener, wanted)

        def ended() -> None:
            self._used = clock.monotonic()
            end()

        return ended

    def wait(self, state: SessionState, timeout: float) -> bool:
        """Wait until it is in a state; False if time ran out."""
        with self._changed:
            return self._changed.wait_for(lambda: self._state is state, timeout)

    def idle_s(self) -> float:
        """For how many seconds nobody has controlled it, looked or listened."""
        if self._topics.listeners and self._state is not SessionState.ENDED:
            return 0.0
        return clock.monotonic() - self._used

    # --- inside -----------------------------------------------------------------------------------

    def _use(self) -> None:
        if self._state is SessionState.ENDED:
            raise ReplayError(f"session {self.id} has ended{self._problem and ': '}{self._problem}")
        self._used = clock.monotonic()

    def _enter(self, state: SessionState) -> None:
        self._state = state
        self._changed.notify_all()
        self._topics.tell(self._message("status", (self.status(),)))

    def _pause_quietly(self) -> None:
        if self._state is SessionState.PLAYING:
            self._state = SessionState.PAUSED

    def _settle(self) -> None:
        """Say where it is after it was moved."""
        if self._player.at_end:
            self._enter(SessionState.FINISHED)
        elif self._state is SessionState.FINISHED:
            self._enter(SessionState.PAUSED)
        else:
            self._enter(self._state)

    def _begin_pace(self) -> None:
        self._since, self._since_recorded = clock.monotonic(), self._player.time

    def _run(self) -> None:
        """Play while that is wanted; the thread ends with it."""
        told = clock.monotonic()
        try:
            with self._changed:
                while self._state is SessionState.PLAYING:
                    wait = self._play_a_piece()
                    if self._player.at_end:
                        self._enter(SessionState.FINISHED)
                    elif clock.monotonic() - told > _STATUS_EVERY_S:
                        told = clock.monotonic()
                        self._topics.tell(self._message("status", (self.status(),)))
                    if self._state is SessionState.PLAYING:
                        # Others may come in, also where it plays as fast as possible.
                        self._changed.wait(wait)
        except Exception as error:  # noqa: BLE001 - the thread's end, told by the status
            _LOG.exception("session %s failed", self.id)
            with self._changed:
                self._problem = f"{type(error).__name__}: {error}"
                self._enter(SessionState.FAILED)
        finally:
            with self._changed:
                self._thread = None
                self._changed.notify_all()
                if self._state is SessionState.PLAYING:
                    self.play()

    def _play_a_piece(self) -> float:
        """Play what is due by now, and return how many seconds to wait for the next of it."""
        player = self._player
        if self._speed is None:
            if player.position < len(self.tape):
                self._tell(player.play_rows(player.position + _ROWS_AT_ONCE))
            else:
                self._tell(player.play_until(player.until))
            return 0.0
        now = clock.monotonic()
        target = self._since_recorded + int((now - self._since) * self._speed * SECOND)
        due = player.due
        if due is not None and due <= target:
            # Much is due at once where it is fast, or was held up: it is told piece by piece.
            upto = player.position + _ROWS_AT_ONCE
            if upto < len(self.tape) and self.tape.times[upto] < target:
                target = int(self.tape.times[upto])
            self._lag_s = max(target - due, 0) / SECOND / self._speed
            self._tell(player.play_until(target))
        due = player.due
        if due is None:
            return 0.0
        at = self._since + (due - self._since_recorded) / SECOND / self._speed
        return min(max(at - clock.monotonic(), _SHORTEST_WAIT_S), _LONGEST_WAIT_S)

    # --- telling ----------------------------------------------------------------------------------

    def _message(self, topic: str, rows: tuple[Any, ...]) -> Message:
        return Message(self.id, topic, self._player.time, self._player.position, rows)

    def _tell(self, played: Played) -> None:
        if not self._topics.listeners:
            return
        by_topic: dict[str, list[Any]] = {}
        for piece in played.pieces:
            if isinstance(piece, BarColumns):
                by_topic.setdefault("bars", []).append(piece)
            elif hasattr(piece, "codes") or type(piece).__name__ == "Tick":
                by_topic.setdefault("ticks", []).append(piece)
        for output in played.outputs:
            by_topic.setdefault(topic_of(output), []).append(_told(output))
        for topic, rows in by_topic.items():
            if self._topics.wants(topic):
                self._topics.tell(self._message(topic, tuple(rows)))

    def _tell_all(self) -> None:
        """Everything that is shown is another now."""
        if self._topics.wants("reset"):
            self._topics.tell(self._message("reset", (self._player.shown(),)))


def _told(output: Output) -> Any:
    return output.bar if isinstance(output, BarClosed) else output


def _checked(speed: float | None) -> float | None:
    if speed is not None and not SLOWEST <= speed <= FASTEST:
        raise ReplayError(
            f"speed {speed!r}: {SLOWEST:g} to {FASTEST:g} is possible, and None for as fast as "
            "possible"
        )
    return speed
