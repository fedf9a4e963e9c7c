"""The API's end of the replay process: it starts it when it is first needed, asks and follows.

A replay folds as fast as a core can, and Python has one lock for all threads: in the API's own
process it would hold up everybody's orders. Logins go over a socket that only both processes have.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import socket
import subprocess
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from trading.api.problems import Problem
from trading.api.settings import ApiSettings
from trading.errors import LinkError
from trading.local_link import AsyncLink, pack_frame

__all__ = ["SLOW", "Replays", "Told"]

SLOW = frozenset({"sources", "start", "explain", "as_of", "changes", "verify", "what_if"})
"""What reads and folds for long: a user has few of these running at a time."""

_LOG = logging.getLogger(__name__)
_ANSWER_S = 300.0
_END_S = 5.0
_SLOW_OF_USER = 2


class Told(NamedTuple):
    """A piece of what a session shows, as JSON; a snapshot is all of it, `is_over` the last one."""

    item: str
    is_snapshot: bool
    is_over: bool


class Replays:
    """The replays of an API's users, in a process that is started by the first request.

    Where that process dies, its sessions are over, followers are told, and the next request starts
    another.
    """

    def __init__(self, settings: ApiSettings) -> None:
        self._settings = settings
        self._child: subprocess.Popen[bytes] | None = None
        self._link: AsyncLink | None = None
        self._reader: asyncio.Task[None] | None = None
        self._starting = asyncio.Lock()
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._followers: dict[int, Callable[[Told | None], None]] = {}
        self._slow: dict[str, int] = {}
        self._is_closed = False

    @property
    def pid(self) -> int | None:
        """The process, while there is one."""
        return None if self._child is None else self._child.pid

    async def ask(self, what: str, *, by: str, **arguments: Any) -> Any:
        """Return the process's answer; Problem where it refuses, or is lost meanwhile."""
        if what not in SLOW:
            return await self._asked(what, by=by, **arguments)
        running = self._slow.get(by, 0)
        if running >= _SLOW_OF_USER:
            raise Problem(
                429,
                "TOO_MANY_REQUESTS",
                f"{running} readings of the past are running for {by}, {_SLOW_OF_USER} at once are "
                "allowed; wait for answers",
                headers={"Retry-After": "1"},
            )
        self._slow[by] = running + 1
        try:
            return await self._asked(what, by=by, **arguments)
        finally:
            self._slow[by] -= 1
            if not self._slow[by]:
                del self._slow[by]

    async def _asked(self, what: str, **arguments: Any) -> Any:
        link = self._link or await self._started()
        number = next(self._numbers)
        waiting: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting[number] = waiting
        link.write(pack_frame({"number": number, "what": what, **arguments}))
        try:
            answer = await asyncio.wait_for(waiting, _ANSWER_S)
        except (TimeoutError, asyncio.TimeoutError) as error:
            detail = f"the replay process gave no answer in {_ANSWER_S:g} s; ask for less"
            raise Problem(504, "REPLAY_TIMEOUT", detail) from error
        except LinkError as error:
            detail = "the replay process has ended; its sessions are over, begin another"
            raise Problem(503, "REPLAY_AWAY", detail, headers={"Retry-After": "1"}) from error
        finally:
            self._waiting.pop(number, None)
        problem = answer.get("problem")
        if problem is not None:
            fields = dict(problem)
            raise Problem(fields.pop("status"), fields.pop("code"), fields.pop("detail"), **fields)
        return answer["result"]

    async def follow(
        self, by: str, session: str, tell: Callable[[Told | None], None]
    ) -> tuple[int, str]:
        """Let a function hear what a session shows; returns a number to end it, and the session.

        It hears a snapshot first, and None where the process is lost. The next piece comes once
        `taken` was called.
        """
        number = next(self._numbers)
        self._followers[number] = tell
        try:
            found = await self.ask("follow", by=by, session=session, follower=number)
        except BaseException:
            self._followers.pop(number, None)
            raise
        return number, found["session_id"]

    def taken(self, number: int) -> None:
        """Say that a follower has taken what it was told."""
        self._write({"what": "taken", "follower": number})

    def unfollow(self, number: int) -> None:
        """Let a follower hear no more."""
        if self._followers.pop(number, None) is not None:
            self._write({"what": "unfollow", "follower": number})

    def _write(self, message: dict[str, Any]) -> None:
        if self._link is not None:
            self._link.write(pack_frame(message))

    # --- the process ------------------------------------------------------------------------------

    async def _started(self) -> AsyncLink:
        async with self._starting:
            if self._link is not None:
                return self._link
            if self._is_closed:
                raise Problem(503, "REPLAY_AWAY", "the server stops")
            await asyncio.to_thread(self._reap)
            ours, theirs = socket.socketpair()
            try:
                self._child = await asyncio.to_thread(_spawn, theirs)
            finally:
                theirs.close()
            link = await AsyncLink.of_socket(ours)
            link.write(pack_frame(_settings(self._settings)))
            self._link = link
            self._reader = asyncio.create_task(self._read(link))
            return link

    def _reap(self) -> None:
        """Take leave of a process that has ended, or is not to go on."""
        child, self._child = self._child, None
        if child is None:
            return
        try:
            child.wait(_END_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()

    async def _read(self, link: AsyncLink) -> None:
        try:
            while True:
                self._take(await link.receive())
        except LinkError as error:
            if not self._is_closed:
                _LOG.warning("the replay process has ended: %s", error)
            self._lost(link, error)
        except asyncio.CancelledError:
            self._lost(link, LinkError("the server stops"))
            raise

    def _take(self, message: dict[str, Any]) -> None:
        if "follower" not in message:
            waiting = self._waiting.get(message["number"])
            if waiting is not None and not waiting.done():
                waiting.set_result(message)
            return
        tell = self._followers.get(message["follower"])
        if tell is None:
            # Who wanted it was gone before it began.
            self._write({"what": "unfollow", "follower": message["follower"]})
            return
        told = Told(message["item"], message["snapshot"], message["over"])
        if told.is_over and not told.is_snapshot:
            self._followers.pop(message["follower"], None)
        tell(told)

    def _lost(self, link: AsyncLink, error: LinkError) -> None:
        if self._link is link:
            self._link = None
        link.close()
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(error)
        followers, self._followers = list(self._followers.values()), {}
        for tell in followers:
            tell(None)

    async def close(self) -> None:
        """End the process and with it all sessions."""
        self._is_closed = True
        if self._reader is not None:
            self._reader.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._reader
        await asyncio.to_thread(self._reap)


def _spawn(theirs: socket.socket) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "trading.api.replay.process", str(theirs.fileno())]
    return subprocess.Popen(command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL)


def _settings(settings: ApiSettings) -> Any:
    return msgspec.to_builtins(
        {
            "records_owner": settings.records_owner,
            "runs": settings.runs,
            "instruments": settings.instruments,
            "timeframes": settings.timeframes,
            "calendar": settings.calendar,
            "bar_source": settings.bar_source,
            "rows_max": settings.replay_rows_max,
            "sessions_max": settings.replays_max,
            "sessions_of_user": settings.replays_of_user,
            "idle_s": settings.replay_idle_s,
            "interval_s": settings.replay_interval_s,
        }
    )
