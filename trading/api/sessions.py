"""Who is logged in: sessions with an end, and each user's connections to the database.

A session is known by a random token of which only the hash is kept here. The password stays in
memory, in the pool of the user's connections, and nowhere else; a restart ends all sessions.
"""

from __future__ import annotations

import hashlib
import secrets
import threading
import time
from collections import deque
from dataclasses import dataclass, field

from store.client import StoreClient
from store.errors import AccessError, Unavailable
from trading.api.problems import Problem
from trading.api.settings import ApiSettings
from trading.errors import TickStoreError, TradingError
from trading.ticks import TickStore

__all__ = ["Session", "Sessions", "UserPool"]

_ADDRESSES_MAX = 10_000
_NAME_MAX, _PASSWORD_MAX = 63, 1_024
_SYMBOLS_S = 2.0


class UserPool:
    """A user's bounded connections to the store, shared by all sessions of the user."""

    def __init__(self, settings: ApiSettings, user: str, password: str) -> None:
        self.user = user
        self._settings = settings
        self._password = password
        self.store = StoreClient(user, password, **settings.store, pool_size=settings.pool_size)
        self._lock = threading.Lock()
        self._ticks: TickStore | None = None
        self._symbols: tuple[frozenset[str], float] = (frozenset(), 0.0)
        self._running = 0
        self.sessions = 0

    @property
    def records_owner(self) -> str:
        """The user whose records are shown."""
        return self._settings.records_owner

    @property
    def ticks(self) -> TickStore:
        """The tick store as this user."""
        with self._lock:
            if self._ticks is None:
                self._ticks = TickStore(self.store)
            return self._ticks

    def readable_symbols(self) -> frozenset[str]:
        """The symbols whose ticks this user may read, as the database said a moment ago."""
        with self._lock:
            known, until = self._symbols
        if time.monotonic() < until:
            return known
        try:
            found = frozenset(self.ticks.symbols())
        except TickStoreError as error:
            if "the right is missing" not in str(error):
                raise
            found = frozenset()
        with self._lock:
            self._symbols = found, time.monotonic() + _SYMBOLS_S
        return found

    @property
    def login(self) -> dict[str, object]:
        """What a connection of its own logs in with."""
        return {"user": self.user, "password": self._password, **self._settings.store}

    def accepts(self, password: str) -> bool:
        """Whether the database takes a password of this user now."""
        try:
            StoreClient(self.user, password, **self._settings.store, pool_size=2).close()
        except (AccessError, Unavailable) as error:
            if _is_refusal(error):
                return False
            raise
        return True

    def still_accepts(self) -> bool:
        """Whether the user may still log in with the password that made this pool."""
        return self.accepts(self._password)

    def __enter__(self) -> UserPool:
        with self._lock:
            if self._running >= self._settings.requests_max:
                raise Problem(
                    429,
                    "TOO_MANY_REQUESTS",
                    f"{self._running} requests of {self.user} are running, "
                    f"{self._settings.requests_max} at once are allowed; wait for answers",
                    headers={"Retry-After": "1"},
                )
            self._running += 1
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._running -= 1

    def close(self) -> None:
        """Log out everywhere."""
        with self._lock:
            if self._ticks is not None:
                try:
                    self._ticks.close()
                except TradingError:
                    self._ticks = None
        self.store.close()


@dataclass(eq=False)
class Session:
    """One log-in; `expires` and `used` are of `time.time`."""

    user: str
    pool: UserPool
    csrf: str
    created: float
    expires: float
    used: float
    digest: bytes
    ended: threading.Event = field(default_factory=threading.Event)


class Sessions:
    """All log-ins; every call is safe from any thread."""

    def __init__(self, settings: ApiSettings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._sessions: dict[bytes, Session] = {}
        self._pools: dict[str, UserPool] = {}
        self._failures: dict[tuple[str, str], deque[float]] = {}

    # --- logging in -------------------------------------------------------------------------------

    def log_in(self, user: str, password: str, address: str) -> tuple[str, Session]:
        """Return a new session and its token; Problem where the log-in is refused."""
        if not 0 < len(user) <= _NAME_MAX or not 0 < len(password) <= _PASSWORD_MAX:
            raise Problem(401, "LOGIN_REFUSED", "user or password is wrong")
        if "\0" in user or "\0" in password:
            raise Problem(401, "LOGIN_REFUSED", "user or password is wrong")
        self._throttle(user, address)
        while True:
            try:
                pool = self._pool(user, password)
            except (AccessError, Unavailable) as error:
                if not _is_refusal(error):
                    raise
                pool = None
            if pool is None:
                self._failed(user, address)
                raise Problem(401, "LOGIN_REFUSED", "user or password is wrong")
            begun = self._begin(pool)
            if begun is not None:
                return begun

    def _pool(self, user: str, password: str) -> UserPool | None:
        """The user's pool, once the database has taken the password; None where it does not."""
        with self._lock:
            known = self._pools.get(user)
        if known is not None:
            if not known.accepts(password):
                return None
            if known.still_accepts():
                return known
            self.end_user(user)
        made = UserPool(self._settings, user, password)
        with self._lock:
            known = self._pools.setdefault(user, made)
        if known is not made:
            made.close()
        return known

    def _begin(self, pool: UserPool) -> tuple[str, Session] | None:
        """A new session; None where the pool was closed meanwhile, since nobody used it."""
        token, now = secrets.token_urlsafe(32), time.time()
        session = Session(
            pool.user,
            pool,
            secrets.token_urlsafe(24),
            now,
            now + self._settings.session_s,
            now,
            _digest(token),
        )
        with self._lock:
            if self._pools.get(pool.user) is not pool:
                return None
            if len(self._sessions) >= self._settings.sessions_max:
                raise Problem(
                    503, "TOO_MANY_SESSIONS", "too many people are logged in; try again later"
                )
            self._sessions[session.digest] = session
            pool.sessions += 1
        return token, session

    def _throttle(self, user: str, address: str) -> None:
        settings, now = self._settings, time.monotonic()
        with self._lock:
            for key, most in (
                (("user", user), settings.failures_of_user),
                (("address", address), settings.failures_of_address),
            ):
                times = self._failures.get(key)
                while times and times[0] < now - settings.failures_s:
                    times.popleft()
                if times and len(times) >= most:
                    wait = max(1, round(times[0] + settings.failures_s - now))
                    raise Problem(
                        429,
                        "LOGIN_THROTTLED",
                        f"too many wrong passwords for this {key[0]}: {most} within "
                        f"{settings.failures_s:g} s are allowed; try again in {wait} s",
                        headers={"Retry-After": str(wait)},
                    )

    def _failed(self, user: str, address: str) -> None:
        now = time.monotonic()
        with self._lock:
            if len(self._failures) > _ADDRESSES_MAX:
                self._failures.clear()
            for key in (("user", user), ("address", address)):
                self._failures.setdefault(key, deque(maxlen=100)).append(now)

    # --- being logged in --------------------------------------------------------------------------

    def of_token(self, token: str) -> Session:
        """Return the session of a token; Problem where there is none, or it has ended."""
        now = time.time()
        with self._lock:
            session = self._sessions.get(_digest(token))
            if session is not None and self._is_over(session, now):
                self._drop(session)
                session = None
            if session is not None:
                session.used = now
                return session
        raise Problem(
            401,
            "NOT_LOGGED_IN",
            "there is no such session, or it has ended; POST /user/login begins one",
            headers={"WWW-Authenticate": "Bearer"},
        )

    def _is_over(self, session: Session, now: float) -> bool:
        return now >= session.expires or now >= session.used + self._settings.idle_s

    def log_out(self, session: Session) -> None:
        """End a session."""
        with self._lock:
            self._drop(session)

    def end_user(self, user: str) -> None:
        """End all sessions of a user and close the user's connections."""
        with self._lock:
            for session in [each for each in self._sessions.values() if each.user == user]:
                self._drop(session)
            pool = self._pools.pop(user, None)
        if pool is not None:
            pool.close()

    def _drop(self, session: Session) -> None:
        if self._sessions.pop(session.digest, None) is not None:
            session.ended.set()
            session.pool.sessions -= 1

    def tidy(self) -> None:
        """End what is over; log out users who have no session or may not log in any more."""
        now = time.time()
        with self._lock:
            for session in list(self._sessions.values()):
                if self._is_over(session, now):
                    self._drop(session)
            pools = list(self._pools.values())
        for pool in pools:
            if self._dropped_unused(pool):
                continue
            try:
                if pool.still_accepts():
                    continue
            except Unavailable:
                continue
            self.end_user(pool.user)

    def _dropped_unused(self, pool: UserPool) -> bool:
        """Close a pool that no session has; nobody can begin one with it meanwhile."""
        with self._lock:
            if pool.sessions > 0 or self._pools.get(pool.user) is not pool:
                return False
            del self._pools[pool.user]
        pool.close()
        return True

    def count(self) -> int:
        """How many sessions there are."""
        return len(self._sessions)

    def close(self) -> None:
        """End all sessions."""
        for user in list(self._pools):
            self.end_user(user)


def _is_refusal(error: Exception) -> bool:
    """Whether the database does not let a user in: by the password, or since it is disabled."""
    return isinstance(error, AccessError) or "not permitted to log in" in str(error)


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
