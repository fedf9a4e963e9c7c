"""The WebSockets: events once and in order, values as fast as the reader takes them.

Events of records wait in a bounded queue for each socket, and one that reads too slowly is
disconnected and resumes. Values are conflated: a slow reader gets fewer of them, always the newest.
A value that changes after a pause is sent at once; what changes within an interval is sent together
at its end.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import re
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec
from starlette.websockets import WebSocket, WebSocketDisconnect

from store.errors import PositionError, StoreError
from store.position import Position
from trading.api.market_hub import Key, MarketHub, instant
from trading.api.problems import Problem
from trading.api.reading import TWIN_RUN, newest_records
from trading.api.record_views import EVENT_TOPICS
from trading.api.replay import Replays
from trading.api.replay.link import Told
from trading.api.sessions import Session
from trading.api.settings import ApiSettings
from trading.api.unknown_names import unknown_fields
from trading.api.user_feed import FeedEvent, UserFeed, UserFeeds

__all__ = ["VALUE_TOPICS", "Sockets"]

_LOG = logging.getLogger(__name__)
VALUE_TOPICS = ("prices", "depth", "bars", "indicators", "options")
_TOPICS = (*EVENT_TOPICS, *VALUE_TOPICS, "desk")
_WITH_TIMEFRAME = ("bars", "indicators")
_ACCOUNTS_MAX, _SYMBOLS_MAX = 50, 500
_MESSAGES_A_SECOND = 50
# Values rest for so many times what sending them took: they take a third of the loop at most, and
# the rest is for events and requests.
_REST = 2.0
_TEXT_MAX = 200

_REPLAY_TOPIC = re.compile(r"replay:[0-9a-f]{12}")
_REPLAY_LOST = "the replay process has ended; begin another session"

GOING_AWAY, ENDED, BAD_MESSAGE, TOO_SLOW, TOO_MANY = 1001, 4001, 4002, 4008, 4013


def _fields_of(op: str, topic: str) -> tuple[str, ...]:
    """What a message about a topic may have."""
    if op == "subscribe" and topic in VALUE_TOPICS:
        return "op", "id", "topic", "symbols", "timeframe"
    if op == "subscribe" and topic in EVENT_TOPICS:
        return "op", "id", "topic", "account", "after"
    return "op", "id", "topic"


class _Refused(Exception):
    """A message of a client that is not carried out."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(code, detail)
        self.code = code
        self.detail = detail

    def __str__(self) -> str:
        return self.detail


class _Close(Exception):
    """The connection is to be closed."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(code, reason)
        self.code = code
        self.reason = reason

    def __str__(self) -> str:
        return self.reason


def _json(message: Mapping[str, Any]) -> str:
    return msgspec.json.encode(message).decode()


class _Interest:
    """What a socket wants of one topic of events: an account, None for all, without its twins."""

    def __init__(self, account: str | None, seen: dict[str, int] | None = None) -> None:
        self.account = account
        # Versions that the snapshot had: changes up to them are in it already.
        self.seen = seen or {}

    def wants(self, event: FeedEvent) -> bool:
        if self.account is not None and event.account != self.account:
            return False
        if event.run.startswith(TWIN_RUN):
            return False
        known = self.seen.get(event.entity_id)
        if known is None:
            return True
        if event.version <= known:
            return False
        del self.seen[event.entity_id]
        return True


class Socket:
    """One connection: what it wants, and what waits for it."""

    def __init__(self, settings: ApiSettings, ws: WebSocket, session: Session) -> None:
        self.ws = ws
        self.session = session
        self.feed: UserFeed | None = None
        self.interests: dict[str, _Interest] = {}
        self.values: dict[str, tuple[frozenset[str], str]] = {}
        self.keys: frozenset[Key] = frozenset()
        self.wants_desk = False
        # Replay sessions that are followed, by their topic, and the number of the follower.
        self.replays: dict[str, int] = {}
        self._settings = settings
        self._events: deque[tuple[str, bool, Callable[[], None] | None]] = deque()
        self._bytes = 0
        self._snapshot_bytes = 0
        self.pending: set[Key] = set()
        self.ready_text: str | None = None
        self._numbers = itertools.count(1)
        self.wake = asyncio.Event()
        self.closing: _Close | None = None
        # When the send began that has not ended yet, and whether it takes too long.
        self.sending_since: float | None = None
        self.is_stuck = asyncio.Event()
        self.dropped_values = 0

    # --- what waits -------------------------------------------------------------------------------

    def put(
        self, text: str, *, is_snapshot: bool = False, taken: Callable[[], None] | None = None
    ) -> None:
        """Let a message wait that must not be lost; too many of them close the connection.

        A snapshot is large and asked for: it has a bound of its own. `taken` is called when the
        message is about to be sent.
        """
        self._events.append((text, is_snapshot, taken))
        settings = self._settings
        if is_snapshot:
            self._snapshot_bytes += len(text)
        else:
            self._bytes += len(text)
        if (
            len(self._events) > settings.waiting_events
            or self._bytes > settings.waiting_bytes
            or self._snapshot_bytes > settings.waiting_snapshot_bytes
        ):
            self.close(TOO_SLOW, f"{len(self._events)} messages wait; connect again and resume")
        self.wake.set()

    def put_event(self, event: FeedEvent) -> None:
        """Let an event wait if it is wanted, under the connection's next number."""
        interest = self.interests.get(event.topic)
        if interest is not None and interest.wants(event):
            self.put(event.message(next(self._numbers)))

    def put_replay(self, topic: str, told: Told, taken: Callable[[], None]) -> None:
        """Let a piece of a replay wait; the next one comes when this one is taken."""
        kind, number = "snapshot" if told.is_snapshot else "replay", next(self._numbers)
        head = f'{{"type":"{kind}","topic":"{topic}","seq":{number},"item":'
        self.put(f"{head}{told.item}}}", is_snapshot=True, taken=taken)

    def close(self, code: int, reason: str) -> None:
        """Close the connection once the writer sees it."""
        if self.closing is None:
            self.closing = _Close(code, reason[:100])
        if self.sending_since is not None:
            self.is_stuck.set()
        self.wake.set()

    def feed_ended(self) -> None:
        """The user's feed is over: the client connects again, or has to log in."""
        self.close(ENDED, "the feed of records has ended; connect again, or log in")

    def take(self) -> str | None:
        """Return the next message that must not be lost."""
        if not self._events:
            return None
        text, is_snapshot, taken = self._events.popleft()
        if taken is not None:
            taken()
        if is_snapshot:
            self._snapshot_bytes -= len(text)
        else:
            self._bytes -= len(text)
        return text

    def set_values(self, topic: str, wanted: tuple[frozenset[str], str] | None) -> None:
        """Follow the values of a topic, or no more."""
        if wanted is None:
            self.values.pop(topic, None)
        else:
            self.values[topic] = wanted
        self.keys = frozenset(
            (topic, symbol, timeframe)
            for topic, (symbols, timeframe) in self.values.items()
            for symbol in symbols
        )
        self.pending &= self.keys


class Sockets:
    """All connections of a server, and the clock that sends values to them."""

    def __init__(
        self, settings: ApiSettings, market: MarketHub, feeds: UserFeeds, replays: Replays
    ) -> None:
        self._settings = settings
        self._market = market
        self._feeds = feeds
        self._replays = replays
        self._all: set[Socket] = set()
        self._dirty: set[Key] = set()
        self._changed = asyncio.Event()
        # What any connection wants; None where it has to be found anew.
        self._wanted: frozenset[Key] | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self.desk_state: Callable[[], dict[str, Any]] = dict
        self.sent_events = 0
        self.disconnected_slow = 0
        market.listen(self._mark)

    def start(self) -> None:
        """Begin to send; in the server's loop."""
        self._tasks = [
            asyncio.create_task(self._tick()),
            asyncio.create_task(self._beat()),
        ]

    async def close(self) -> None:
        """Close all connections."""
        for socket in list(self._all):
            socket.close(GOING_AWAY, "the server stops")
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def count(self) -> int:
        """How many connections there are."""
        return len(self._all)

    def close_all_of(self, session: Session) -> None:
        """Close the connections of a session that has ended."""
        for socket in self._all:
            if socket.session is session:
                socket.close(ENDED, "the session has ended; log in")

    # --- values -----------------------------------------------------------------------------------

    def _mark(self, keys: list[Key]) -> None:
        """Remember which values changed, as far as anybody wants them."""
        if self._wanted is None:
            # Equal sets become one object, which `_hand_out` finds without comparing their keys.
            shared: dict[frozenset[Key], frozenset[Key]] = {}
            for socket in self._all:
                socket.keys = shared.setdefault(socket.keys, socket.keys)
            self._wanted = frozenset().union(*shared)
        wanted = self._wanted.intersection(keys)
        if wanted:
            self._dirty |= wanted
            self._changed.set()

    async def _tick(self) -> None:
        """Hand the changed values to who wants them: at once, or once the interval is over."""
        due = 0.0
        while True:
            await self._changed.wait()
            pause = due - time.monotonic()
            if pause > 0:
                await asyncio.sleep(pause)
            self._changed.clear()
            dirty, self._dirty = self._dirty, set()
            begun, used = time.monotonic(), time.thread_time()
            self._hand_out(dirty)
            # The connections send what they were given before this goes on.
            await asyncio.sleep(0)
            took = time.thread_time() - used
            due = begun + max(self._settings.interval_s, (1 + _REST) * took)

    def _hand_out(self, dirty: set[Key]) -> None:
        """Give the changed values to the connections; one text serves all who want the same."""
        texts: dict[frozenset[Key], tuple[frozenset[Key], str]] = {}
        for socket in self._all:
            keys = socket.keys
            if not keys:
                continue
            made = texts.get(keys)
            if made is None:
                found = keys & dirty
                made = texts[keys] = found, self._batch(found) if found else ""
            if not made[1]:
                continue
            if socket.pending or socket.ready_text is not None:
                # It has not sent the last ones yet: the newest take their place.
                socket.dropped_values += 1
                socket.pending |= made[0]
                socket.ready_text = None
            else:
                socket.pending |= made[0]
                socket.ready_text = made[1]
            socket.wake.set()

    def _batch(self, keys: Iterable[Key]) -> str:
        values = self._market.values
        items = ",".join(values[key].json for key in sorted(keys) if key in values)
        return f'{{"type":"batch","time":"{instant(time.time_ns())}","items":[{items}]}}'

    async def _beat(self) -> None:
        """Say that connections live and how fresh the market is; end sessions that are over."""
        while True:
            await asyncio.sleep(self._settings.heartbeat_s)
            age = self._market.age_s
            desk = _json({"type": "desk", "data": self.desk_state()})
            for socket in list(self._all):
                if socket.session.ended.is_set() or time.time() >= socket.session.expires:
                    socket.close(ENDED, "the session has ended; log in")
                    continue
                since = socket.sending_since
                if since is not None and time.monotonic() > since + self._settings.send_s:
                    socket.is_stuck.set()
                    continue
                feed = socket.feed
                socket.put(
                    _json(
                        {
                            "type": "heartbeat",
                            "time": instant(time.time_ns()),
                            "position": "" if feed is None else str(feed.position),
                            "market_age_s": None if age is None else round(age, 3),
                        }
                    )
                )
                if socket.wants_desk:
                    socket.put(
                        f'{{"type":"batch","time":"{instant(time.time_ns())}","items":[{desk}]}}'
                    )

    # --- a connection -----------------------------------------------------------------------------

    async def serve(self, ws: WebSocket, session: Session) -> None:
        """Serve a connection until it ends; it is accepted here."""
        await ws.accept()
        of_user = sum(each.session.user == session.user for each in self._all)
        settings = self._settings
        if len(self._all) >= settings.sockets_max or of_user >= settings.sockets_of_user:
            await ws.close(TOO_MANY, "too many sockets; close some")
            return
        socket = Socket(settings, ws, session)
        self._all.add(socket)
        try:
            socket.put(await self._hello(socket))
            await self._run(socket)
        except StoreError as error:
            _LOG.info("a socket of %s cannot be served: %s", session.user, error)
            await self._shut(socket, _Close(1013, "the database does not answer; connect again"))
        finally:
            self._all.discard(socket)
            self._wanted = None
            if socket.feed is not None:
                socket.feed.remove(socket.put_event, socket.feed_ended)
            for number in socket.replays.values():
                self._replays.unfollow(number)

    async def _hello(self, socket: Socket) -> str:
        feed = await self._feeds.of(socket.session.pool)
        socket.feed = feed
        feed.add(socket.put_event, socket.feed_ended)
        return _json(
            {
                "type": "hello",
                "user": socket.session.user,
                "position": str(feed.position),
                "interval_ms": round(self._settings.interval_s * 1000),
                "topics_max": self._settings.topics_max,
                "time": instant(time.time_ns()),
            }
        )

    async def _run(self, socket: Socket) -> None:
        tasks = [
            asyncio.create_task(each)
            for each in (self._read(socket), self._write(socket), self._watch(socket))
        ]
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for task in done:
            error = task.exception()
            if isinstance(error, _Close):
                if error.code == TOO_SLOW:
                    self.disconnected_slow += 1
                await self._shut(socket, error)
            elif error is not None and not isinstance(
                error, (WebSocketDisconnect, RuntimeError, OSError)
            ):
                _LOG.error("a socket of %s failed", socket.session.user, exc_info=error)
                await self._shut(socket, _Close(1011, "the server failed at this connection"))

    async def _shut(self, socket: Socket, why: _Close) -> None:
        with contextlib.suppress(RuntimeError, OSError, asyncio.TimeoutError, TimeoutError):
            await asyncio.wait_for(socket.ws.close(why.code, why.reason), 2.0)

    async def _watch(self, socket: Socket) -> None:
        await socket.is_stuck.wait()
        raise socket.closing or _Close(
            TOO_SLOW, f"nothing was read for {self._settings.send_s:g} s"
        )

    async def _write(self, socket: Socket) -> None:
        while True:
            await socket.wake.wait()
            socket.wake.clear()
            while True:
                if socket.closing is not None:
                    raise socket.closing
                text = socket.take()
                if text is not None:
                    self.sent_events += 1
                elif socket.pending:
                    text = socket.ready_text or self._batch(socket.pending)
                    socket.pending = set()
                    socket.ready_text = None
                else:
                    break
                # Not by wait_for, which may swallow a cancellation: `_beat` looks at the time.
                socket.sending_since = time.monotonic()
                await socket.ws.send_text(text)
                socket.sending_since = None

    async def _read(self, socket: Socket) -> None:
        times: deque[float] = deque(maxlen=_MESSAGES_A_SECOND)
        while True:
            message = await socket.ws.receive()
            if message["type"] == "websocket.disconnect":
                raise WebSocketDisconnect(message.get("code", 1000))
            now = time.monotonic()
            if len(times) == _MESSAGES_A_SECOND and now - times[0] < 1.0:
                raise _Close(BAD_MESSAGE, f"more than {_MESSAGES_A_SECOND} messages a second")
            times.append(now)
            await self._take(socket, message.get("text"))

    async def _take(self, socket: Socket, text: str | None) -> None:
        try:
            given = msgspec.json.decode(text or "")
        except (msgspec.DecodeError, UnicodeError) as error:
            raise _Close(BAD_MESSAGE, "a message is one JSON object as text") from error
        if not isinstance(given, dict):
            raise _Close(BAD_MESSAGE, "a message is one JSON object as text")
        number = given.get("id")
        if not isinstance(number, (int, str, type(None))) or len(str(number)) > _TEXT_MAX:
            raise _Close(BAD_MESSAGE, "id is a number or a short text")
        try:
            await self._carry_out(socket, given, number)
        except _Refused as refused:
            told = {"code": refused.code, "detail": str(refused)}
            socket.put(_json({"type": "error", "id": number, **told}))
        except Problem as problem:
            told = {"code": problem.code, "detail": problem.detail}
            socket.put(_json({"type": "error", "id": number, **told}))

    async def _carry_out(self, socket: Socket, given: dict[str, Any], number: Any) -> None:
        op, topic = given.get("op"), given.get("topic")
        if not isinstance(topic, (str, type(None))):
            raise _Refused("MALFORMED", "topic is a text")
        if op == "ping":
            socket.put(_json({"type": "pong", "id": number}))
            return
        if op not in ("subscribe", "unsubscribe"):
            raise _Refused("UNKNOWN_OP", "op is subscribe, unsubscribe or ping")
        if topic is None or not (topic in _TOPICS or _REPLAY_TOPIC.fullmatch(topic)):
            known = ", ".join([*_TOPICS, "replay:ID"])
            raise _Refused("UNKNOWN_TOPIC", f"there is no topic {str(topic)[:40]!r}; {known}")
        if unknown := unknown_fields(given, _fields_of(str(op), topic), f"{op} {topic}"):
            raise _Refused("UNKNOWN_FIELD", unknown)
        if topic == "desk":
            socket.wants_desk = op == "subscribe"
            socket.put(_json({"type": f"{op}d", "id": number, "topic": topic}))
            return
        if topic not in _TOPICS:
            await self._replay(socket, str(op), topic, number)
            return
        if op == "unsubscribe":
            socket.interests.pop(topic, None)
            socket.set_values(topic, None)
            self._wanted = None
            socket.put(_json({"type": "unsubscribed", "id": number, "topic": topic}))
            return
        self._refuse_many(socket, topic)
        if topic in VALUE_TOPICS:
            await self._follow_values(socket, given, topic, number)
        else:
            await self._follow_events(socket, given, topic, number)

    def _refuse_many(self, socket: Socket, topic: str) -> None:
        followed = (*socket.interests, *socket.values, *socket.replays)
        if topic not in followed and len(followed) >= self._settings.topics_max:
            raise _Refused("TOO_MANY_TOPICS", f"at most {self._settings.topics_max}")

    async def _replay(self, socket: Socket, op: str, topic: str, number: Any) -> None:
        """Follow a replay session, or no more; what it shows comes first."""
        known = socket.replays.pop(topic, None)
        if known is not None:
            self._replays.unfollow(known)
        if op == "unsubscribe":
            socket.put(_json({"type": "unsubscribed", "id": number, "topic": topic}))
            return
        self._refuse_many(socket, topic)
        # What comes before the answer waits until the client has been told of it.
        early: list[Told | None] = []
        follower = 0

        def tell(told: Told | None) -> None:
            if not follower:
                early.append(told)
            elif socket.replays.get(topic) == follower:
                self._put_replay(socket, topic, follower, told)

        follower, _ = await self._replays.follow(socket.session.user, topic, tell)
        socket.replays[topic] = follower
        if socket not in self._all:
            self._replays.unfollow(follower)
            return
        socket.put(_json({"type": "subscribed", "id": number, "topic": topic}))
        for each in early:
            tell(each)

    def _put_replay(self, socket: Socket, topic: str, follower: int, told: Told | None) -> None:
        if told is None:
            status = {"session_id": topic, "state": "ENDED", "problem": _REPLAY_LOST}
            told = Told(_json({"session": status}), is_snapshot=False, is_over=True)
        if told.is_over and not told.is_snapshot:
            del socket.replays[topic]
        socket.put_replay(topic, told, lambda: self._replays.taken(follower))

    async def _follow_values(
        self, socket: Socket, given: dict[str, Any], topic: str, number: Any
    ) -> None:
        asked = given.get("symbols")
        timeframe = given.get("timeframe", "")
        if (
            not isinstance(asked, list)
            or not 0 < len(asked) <= _SYMBOLS_MAX
            or not all(isinstance(each, str) and len(each) <= _TEXT_MAX for each in asked)
        ):
            raise _Refused("MALFORMED", f"symbols is a list of 1 to {_SYMBOLS_MAX} symbols")
        if (topic in _WITH_TIMEFRAME) != bool(timeframe) or not isinstance(timeframe, str):
            raise _Refused("MALFORMED", f"timeframe is for {' and '.join(_WITH_TIMEFRAME)}")
        readable = await asyncio.to_thread(socket.session.pool.readable_symbols)
        unknown = sorted(set(asked) - readable)
        if unknown:
            raise _Refused("UNKNOWN_SYMBOL", f"no ticks of {', '.join(unknown[:5])} to be read")
        socket.set_values(topic, (frozenset(asked), timeframe))
        self._wanted = None
        socket.put(_json({"type": "subscribed", "id": number, "topic": topic}))
        first = {(topic, symbol, timeframe) for symbol in asked} & self._market.values.keys()
        if first:
            socket.pending |= first
            socket.ready_text = None
            socket.wake.set()

    async def _follow_events(
        self, socket: Socket, given: dict[str, Any], topic: str, number: Any
    ) -> None:
        account, after = given.get("account"), given.get("after")
        if not isinstance(account, (str, type(None))) or len(account or "") > _TEXT_MAX:
            raise _Refused("MALFORMED", "account is a text")
        names = sorted({e.account for e in self._settings.seen_by(socket.session.user)})
        if account and names and account not in names:
            what = f"there is no account {account!r:.80}; there is {', '.join(names)}"
            raise _Refused("UNKNOWN_ACCOUNT", what)
        socket.interests.pop(topic, None)
        if after is not None:
            if not isinstance(after, str) or len(after) > _TEXT_MAX:
                raise _Refused("MALFORMED", "after is the position of an event or a heartbeat")
            try:
                if await self._resumed(socket, topic, account, Position.parse(after), number):
                    return
                why = f"more than {self._settings.resume_events} events came since"
            except PositionError as error:
                why = str(error)
            socket.put(_json({"type": "reset", "topic": topic, "reason": why}))
        await self._from_snapshot(socket, topic, account, number)

    async def _resumed(
        self, socket: Socket, topic: str, account: str | None, after: Position, number: Any
    ) -> bool:
        """Send what came after a position, then go on; False where that is too much."""
        feed = socket.feed
        assert feed is not None
        asked = after
        older: list[FeedEvent] = []
        missed = feed.since(after)
        most = self._settings.resume_events
        for _ in range(3):
            if missed is not None:
                break
            found = await asyncio.to_thread(feed.read_log, after, most)
            if found is None:
                return False
            older += found[0]
            after = found[1]
            missed = feed.since(after)
        if missed is None or len(older) + len(missed) > most:
            return False
        # No await from here on: nothing can come between what was missed and what follows.
        subscribed = {"type": "subscribed", "id": number, "topic": topic}
        socket.put(_json({**subscribed, "position": str(asked)}))
        socket.interests[topic] = _Interest(account)
        for event in itertools.chain(older, missed):
            if event.topic == topic:
                socket.put_event(event)
        return True

    async def _from_snapshot(
        self, socket: Socket, topic: str, account: str | None, number: Any
    ) -> None:
        feed = socket.feed
        assert feed is not None
        for _ in range(3):
            position = feed.position
            items = await asyncio.to_thread(newest_records, socket.session.pool, topic, account)
            missed = feed.since(position)
            if missed is not None:
                break
        else:
            raise _Refused("TOO_BUSY", "too much is written at the moment; subscribe again")
        subscribed = {"type": "subscribed", "id": number, "topic": topic}
        socket.put(_json({**subscribed, "position": str(position)}))
        snapshot = {"type": "snapshot", "topic": topic, "position": str(position), "items": items}
        socket.put(_json(snapshot), is_snapshot=True)
        seen = {each["id"]: each["version"] for each in items}
        socket.interests[topic] = _Interest(account, seen)
        for event in missed:
            if event.topic == topic:
                socket.put_event(event)
