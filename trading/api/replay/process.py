"""The replay process: `python -m trading.api.replay.process FD`, started by the API.

It answers requests on an inherited socket and tells followers what sessions show. It ends with the
API. It has no link to an engine or market, and writes to no store.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec

from store.errors import StoreError
from trading.api.problems import Problem, problem_of
from trading.api.replay.link import SLOW
from trading.api.replay.views import Follower, shown_view, status_view
from trading.api.replay.work import Work, WorkSettings, moment_of
from trading.decoding import converted
from trading.errors import LinkError, ReplayError, TradingError
from trading.local_link import Link
from trading.replay.session import ReplaySession
from trading.replay.sessions import ReplaySessions
from trading.times import nanoseconds

__all__ = ["main"]

_LOG = logging.getLogger(__name__)
_THREADS, _SLOW_THREADS = 8, 3
_NICE = 5


class _Process:
    """Sessions, followers, and the link to the API."""

    def __init__(self, link: Link, settings: WorkSettings) -> None:
        self._link = link
        self._settings = settings
        self._work = Work(settings)
        self._sessions = ReplaySessions(idle_s=settings.idle_s, most=settings.sessions_max)
        # What each session was made of, by its id.
        self._made_of: dict[str, dict[str, Any]] = {}
        self._followers: dict[int, Follower] = {}
        # Followers whose last message the reader has not taken yet.
        self._untaken: set[int] = set()
        self._lock = threading.Lock()
        self._sending = threading.Lock()
        self._creating = threading.Lock()
        self._calls: dict[str, Callable[[dict[str, Any]], Any]] = {
            "sources": self._sources,
            "start": self._start,
            "list": self._list,
            "show": self._show,
            "shown": self._shown,
            "control": self._control,
            "end": self._end,
            "follow": self._follow,
            "explain": self._explain,
            "as_of": self._as_of,
            "changes": self._changes,
            "verify": lambda told: self._work.verified(told["login"], told["asked"]),
            "what_if": lambda told: self._work.what_if(told["login"], told["asked"]),
        }

    def run(self) -> None:
        """Serve until the API is gone."""
        teller = threading.Thread(target=self._tell, name="teller", daemon=True)
        teller.start()
        quick = ThreadPoolExecutor(_THREADS, "replay")
        # What reads and folds for long must not keep a session from being paused.
        slow = ThreadPoolExecutor(_SLOW_THREADS, "replay-reading")
        with contextlib.suppress(LinkError):
            while True:
                message = self._link.receive()
                what = message["what"]
                if what == "taken":
                    with self._lock:
                        self._untaken.discard(message["follower"])
                elif what == "unfollow":
                    self._unfollow(message["follower"])
                else:
                    (slow if what in SLOW else quick).submit(self._answer, message)
        # What is still read or folded is of no use to anybody.
        os._exit(0)

    def _send(self, message: Any) -> None:
        with self._sending, contextlib.suppress(LinkError):
            self._link.send(message)

    def _answer(self, message: dict[str, Any]) -> None:
        try:
            answer: dict[str, Any] = {"result": self._calls[message["what"]](message)}
        except Problem as problem:
            answer = {"problem": _fields(problem)}
        except ReplayError as error:
            answer = {"problem": _fields(Problem(422, "REPLAY", str(error)))}
        except (TradingError, StoreError) as error:
            answer = {"problem": _fields(problem_of(error))}
        except Exception:  # noqa: BLE001 - the process goes on; the caller is told
            _LOG.exception("a request failed: %s", message.get("what"))
            detail = "the replay process failed at this; see its log"
            answer = {"problem": _fields(Problem(500, "INTERNAL", detail))}
        self._send({"number": message["number"], **answer})

    # --- sessions ---------------------------------------------------------------------------------

    def _session(self, message: Mapping[str, Any]) -> ReplaySession:
        """A session of who asks: those of others are as if they were not there."""
        name = str(message["session"])
        with contextlib.suppress(ReplayError):
            found = self._sessions[name]
            if found.owner == message["by"]:
                return found
        raise Problem(
            404,
            "UNKNOWN_SESSION",
            f"there is no session {name!r:.60} of {message['by']}; it may have ended by itself",
        )

    def _sources(self, message: dict[str, Any]) -> Any:
        return self._work.sources(message["login"])

    def _start(self, message: dict[str, Any]) -> Any:
        body, login, by = message["body"], message["login"], message["by"]
        # Looked at before anything is read, and again when it is made.
        self._refuse_many(by)
        made_of: dict[str, Any] = {"kind": "run", "account": "", "run": "", "strategy": ""}
        recipe = None
        if body["run"] is not None:
            tape, recipe = self._work.run_tape(login, body["account"], body["run"])
            made_of |= {"account": body["account"], "run": body["run"]}
            strategies = []
        else:
            tape = self._work.data_tape(login, body)
            strategies = self._work.strategies(login, body)
            made_of |= {"kind": body["source"], "strategy": body["strategy"]}
        made_of["symbols"] = [spec.symbol for spec in tape.specs]
        with self._creating:
            self._refuse_many(by)
            kept = {each.session for each in self._sessions.list()}
            self._made_of = {n: each for n, each in self._made_of.items() if n in kept}
            session = self._sessions.create(
                tape,
                recipe=recipe,
                strategies=strategies,
                timeframes=body["timeframes"],
                speed=body["speed"],
                owner=by,
            )
            made_of["timeframes"] = _timeframes(session, body)
            self._made_of[session.id] = made_of
        return self._status(session)

    def _refuse_many(self, by: str) -> None:
        most = self._settings.sessions_of_user
        own = len(self._sessions.list(by))
        if own >= most:
            raise Problem(
                409,
                "TOO_MANY_SESSIONS",
                f"{by} has {own} replay sessions, {most} are allowed; end one with "
                "DELETE /replay/session/ID",
                allowed=most,
            )

    def _status(self, session: ReplaySession) -> dict[str, Any]:
        return status_view(session.status(), self._made_of.get(session.id, {}))

    def _list(self, message: dict[str, Any]) -> Any:
        found = self._sessions.list(message["by"])
        return {"items": [status_view(e, self._made_of.get(e.session, {})) for e in found]}

    def _show(self, message: dict[str, Any]) -> Any:
        return self._status(self._session(message))

    def _shown(self, message: dict[str, Any]) -> Any:
        session = self._session(message)
        shown = session.shown()
        more = self._made_of.get(session.id, {})
        return _json(shown_view(shown, session, session.status(), more))

    def _control(self, message: dict[str, Any]) -> Any:
        session, body = self._session(message), message["body"]
        action = body["action"]
        if action in ("play", "resume"):
            session.play(body["speed"] if body["has_speed"] else "same")
        elif action == "pause":
            session.pause()
        elif action == "speed":
            session.speed(body["speed"])
        elif action == "step":
            session.step(body["what"], body["count"])
        elif action == "seek":
            session.seek(time=_exact(session, body), position=body["position"])
        elif action == "restart":
            session.restart()
        else:
            self._sessions.end(session.id)
        return self._status(session)

    def _end(self, message: dict[str, Any]) -> Any:
        self._sessions.end(self._session(message).id)
        return {}

    def _explain(self, message: dict[str, Any]) -> Any:
        return self._work.explained(
            message["login"], message["account"], message["run"], message["subject"]
        )

    def _as_of(self, message: dict[str, Any]) -> Any:
        return self._work.as_of(message["login"], message["asked"])

    def _changes(self, message: dict[str, Any]) -> Any:
        return self._work.changes(message["login"], message["asked"])

    # --- followers --------------------------------------------------------------------------------

    def _follow(self, message: dict[str, Any]) -> Any:
        session = self._session(message)
        follower = Follower(session, self._made_of.get(session.id, {}))
        with self._lock:
            self._followers[message["follower"]] = follower
        return {"session_id": session.id}

    def _unfollow(self, number: int) -> None:
        with self._lock:
            follower = self._followers.pop(number, None)
            self._untaken.discard(number)
        if follower is not None:
            follower.close()

    def _tell(self) -> None:
        while True:
            time.sleep(self._settings.interval_s)
            with self._lock:
                ready = [
                    (number, each)
                    for number, each in self._followers.items()
                    if number not in self._untaken
                ]
            for number, follower in ready:
                try:
                    self._tell_one(number, follower)
                except Exception:  # noqa: BLE001 - the others are told all the same
                    _LOG.exception("a follower of %s cannot be told", follower.session.id)
                    self._unfollow(number)

    def _tell_one(self, number: int, follower: Follower) -> None:
        found = follower.message()
        if found is None:
            return
        is_snapshot, is_over, item = found
        with self._lock:
            self._untaken.add(number)
        told = {"follower": number, "snapshot": is_snapshot, "over": is_over}
        self._send({**told, "item": _json(item)})
        if is_over and not is_snapshot:
            self._unfollow(number)


def _exact(session: ReplaySession, body: Mapping[str, Any]) -> Any:
    """The recorded time of a seek; the API's microseconds of a row mean the row's nanoseconds."""
    given, position = moment_of(body["time"]), body["position"]
    if given is None:
        return None
    time = nanoseconds(given)
    if position:
        row = int(session.tape.times[min(position, len(session.tape)) - 1])
        if row // 1_000 == time // 1_000:
            return row
    return time


def _timeframes(session: ReplaySession, body: Mapping[str, Any]) -> list[str]:
    """The lengths of the bars that a session shows."""
    if body["run"] is None and body["source"] == "bars":
        return [body["timeframe"]]
    return session.timeframes


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _fields(problem: Problem) -> dict[str, Any]:
    return {
        "status": problem.status,
        "code": problem.code,
        "detail": problem.detail,
        **problem.more,
    }


def main(arguments: list[str]) -> int:
    """Run the process on the socket that was handed on."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    # The terminal's Ctrl-C is for who started the API.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with contextlib.suppress(OSError):
        # The live desk goes first.
        os.nice(_NICE)
    link = Link.of_socket(socket.socket(fileno=int(arguments[0])))
    try:
        settings = converted(link.receive(), WorkSettings)
    except LinkError:
        return 0
    _Process(link, settings).run()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
